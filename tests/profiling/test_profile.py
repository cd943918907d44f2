"""Gating a study: the results folder, its reproducibility, and what happens when things go wrong."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest

import immunoprofile as ip
from immunoprofile import schema
from immunoprofile.errors import GateError, NotAvailableError, ResultsError
from immunoprofile.profiling.sealing import verify
from immunoprofile.workers import crew, here
from tests.folders import content
from tests.io.fcs_files import events, spill_text, write
from tests.small_study import TABLES, write_gates, write_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    write_study(folder / "study")
    write_gates(folder / "gates")
    return folder


@pytest.fixture(scope="module")
def gates(folder):
    return ip.gate.load(folder / "gates")


@pytest.fixture(scope="module")
def profile(folder, gates):
    return ip.profile(ip.read_study(folder / "study"), gates, out=folder / "results")


def test_slots_are_those_of_the_schema(profile):
    visits = profile.visits
    assert set(schema.VISIT_LAYERS) == set(ip.get.layer_names(visits))
    assert set(schema.VISIT_OBSM) | set(schema.VISIT_GATINGS) <= set(visits.obsm)
    assert set(schema.VISIT_OBS) | set(schema.CLINICAL_OBS) | set(schema.CMV_VISIT_OBS) <= set(visits.obs.columns)
    assert set(schema.VISIT_VAR) <= set(visits.var.columns)
    assert visits.X.dtype == np.float64


def test_numbers_are_those_of_the_files(profile, gates):
    """The row of a visit against the same file gated by itself."""
    sample = ip.read_fcs(profile.study.fcs_path("S-1_D14"))
    masks = ip.gate.membership(sample, gates)
    row = profile.visits["S-1_D14"]
    n, parent = int(masks["t"].sum()), int(masks["lymphocytes"].sum())
    assert 0 < n < parent
    assert row[:, "t"].layers["counts"].item() == n
    assert row[:, "t"].layers["parent_counts"].item() == parent
    assert row[:, "t"].X.item() == pytest.approx(100 * n / parent, rel=1e-15)
    medians = profile.visits.obsm["mdfi"].loc["S-1_D14", "t_cd3"]
    gated = ip.gate.gate_sample(sample, gates["t"])
    expected = np.median(gated.compensated[masks["t"].to_numpy(), sample.position("CD3")])
    assert medians == pytest.approx(expected, rel=1e-12)


def test_spread_under_moved_cuts_is_that_of_the_engine(profile, gates):
    """T hang on FSC, SSC and CD3: gated again with all of them moved by 1 %, in the eight ways that there are."""
    sample = ip.read_fcs(profile.study.fcs_path("S-1_D14"))
    strategy = gates["t"]
    plain = ip.gate.gate_sample(sample, strategy)
    counts, percentages = [], []
    for fsc, ssc, cd3 in itertools.product((-1, 1), repeat=3):
        by = {"FSC-A": 2621.44 * fsc, "SSC-A": 2621.44 * ssc, "CD3": 0.01 * cd3}
        moved = tuple(gate.moved(lambda d, at, by=by: at + by.get(d.marker, 0.0)) for gate in strategy.gates)
        gated = ip.gate.gate_sample(sample, replace(strategy, gates=moved))
        counts.append(gated.n("t"))
        percentages.append(100 * gated.n("t") / gated.n("lymphocytes"))
    table = profile.tables["gate_spread"].set_index(["sample_id", "population"])
    row = table.loc["S-1_D14", "t"]
    assert (row["n"], row["n_cuts"], row["cut_shift"], row["not_moved"]) == (plain.n("t"), 3, 0.01, "")
    assert (row["n_low"], row["n_high"]) == (min(counts), max(counts))
    logs = np.log(np.array(counts) / plain.n("t"))
    assert row["cv_n"] == pytest.approx(100 * np.sqrt(np.mean(logs**2)), abs=1e-4)
    share = np.log(np.array(percentages) / (100 * plain.n("t") / plain.n("lymphocytes")))
    assert row["cv_pct"] == pytest.approx(100 * np.sqrt(np.mean(share**2)), abs=1e-4)
    assert (row["main_cut"], bool(row["own"])) == ("CD3 in lymphocytes", False)
    assert profile.visits["S-1_D14", "t"].layers["gate_cv"].item() == pytest.approx(row["cv_pct"], abs=1e-3)
    assert profile.visits["S-1_BL"].obsm["gate_sd_baseline"]["t"].item() == 0.0
    assert np.isnan(profile.visits["S-2_BL", "t"].layers["gate_cv_abs"].item())  # no blood count


def test_obs_dates_and_virology(profile):
    obs = profile.visits.obs
    assert obs["study_day"].tolist() == [1, 14, 1]
    assert obs["virology_day"].tolist() == [0, 13, 0]
    assert obs["baseline_flag"].tolist() == [True, False, True]
    # Analyser: 3.2 x 10^9/L with 25 % lymphocytes is 800/uL.
    assert obs.loc["S-1_BL", "alc"] == pytest.approx(800)
    assert np.isnan(obs.loc["S-2_BL", "alc"])
    later = obs.loc["S-1_D14"]
    assert later["cmv_kind"] == "BLQ"
    assert np.isnan(later["cmv_log10"])
    assert later["cmv_upper"] == pytest.approx(np.log10(137))
    # From 10,000 to "<137": a fall of at least 1.86, never a point.
    assert np.isnan(later["cmv_drop"])
    assert later["cmv_drop_lower"] == pytest.approx(4 - np.log10(137))
    assert np.isnan(later["cmv_drop_upper"])


def test_h5ad_round_trip_is_identical(profile, tmp_path):
    profile.visits.write_h5ad(tmp_path / "v.h5ad")
    again = anndata.read_h5ad(tmp_path / "v.h5ad")
    pd.testing.assert_frame_equal(again.obs, profile.visits.obs)
    pd.testing.assert_frame_equal(again.var, profile.visits.var)
    np.testing.assert_array_equal(again.X, profile.visits.X)
    for name in schema.VISIT_LAYERS:
        np.testing.assert_array_equal(again.layers[name], profile.visits.layers[name])
    for name in schema.VISIT_OBSM:
        pd.testing.assert_frame_equal(again.obsm[name], profile.visits.obsm[name])
    assert set(again.uns) == set(profile.visits.uns)


@pytest.mark.skipif(not crew.FORKS, reason="only Linux forks workers")
@pytest.mark.parametrize(("many", "jobs"), [(1 << 30, 2), (0, 2), (0, 3)], ids=["threads", "processes", "three"])
def test_same_bytes_whatever_the_jobs(folder, gates, profile, monkeypatch, many, jobs):
    from immunoprofile.profiling import gate_files

    begun = []
    monkeypatch.setattr(gate_files, "MANY_FILES", many)
    monkeypatch.setattr(here, "Crew", lambda jobs: begun.append(jobs) or crew.Crew(jobs))
    out = folder / f"again {many} {jobs}"
    again = ip.profile(ip.read_study(folder / "study"), gates, out=out, jobs=jobs)
    assert content(profile.folder) == content(again.folder)
    assert begun == ([] if many else [jobs])
    # What was gated is not gated again, so that nothing is started for it.
    monkeypatch.setattr(gate_files, "MANY_FILES", max(many, 1))
    ip.profile(ip.read_study(folder / "study"), gates, out=out, jobs=jobs)
    assert begun == ([] if many else [jobs])


def test_killed_run_resumes_to_the_same_bytes(folder, gates, profile, monkeypatch):
    from immunoprofile.profiling import gate_files, one_file

    out = folder / "killed"
    seen: list[str] = []

    def stop_at_the_third(request, target, *, cells):
        seen.append(request.sample_id)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return one_file.process(request, target, cells=cells)

    with monkeypatch.context() as patch:
        patch.setattr(gate_files, "process", stop_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            ip.profile(ip.read_study(folder / "study"), gates, out=out)
    assert not (out / "visits.h5ad").exists()
    with pytest.raises(ResultsError, match="no complete results"):
        ip.read_results(out)
    gated: list[str] = []
    with monkeypatch.context() as patch:
        whole = one_file._gate
        patch.setattr(
            one_file, "_gate", lambda request, *a, **k: gated.append(request.sample_id) or whole(request, *a, **k)
        )
        ip.profile(ip.read_study(folder / "study"), gates, out=out)
    assert gated == ["S-2_BL"]
    assert content(out) == content(profile.folder)


def test_changed_file_is_gated_again(folder, gates, tmp_path):
    shutil.copytree(folder / "study", tmp_path / "study")
    # A control may have the content of a sample and is asked about; two samples may not.
    samples = tmp_path / "study" / "samples.csv"
    samples.write_text(samples.read_text().replace("S-2_BL,S-2,BL,t,sample", "S-2_BL,S-2,BL,t,control"))
    first = ip.profile(ip.read_study(tmp_path / "study"), gates, out=tmp_path / "results")
    (tmp_path / "study" / "fcs" / "S-1_BL.fcs").write_bytes((tmp_path / "study" / "fcs" / "S-2_BL.fcs").read_bytes())
    second = ip.profile(ip.read_study(tmp_path / "study"), gates, out=tmp_path / "results")
    assert first.visits["S-1_BL"].layers["counts"].tolist() != second.visits["S-1_BL"].layers["counts"].tolist()
    duplicate = second.exceptions.set_index("code").loc["DUPLICATE_CONTENT"]
    assert duplicate["sample_id"] == "S-2_BL"


def test_results_stand_on_their_own(folder, gates, tmp_path):
    shutil.copytree(folder / "study", tmp_path / "study")
    before = ip.profile(ip.read_study(tmp_path / "study"), gates, out=tmp_path / "results", cells=True)
    shutil.rmtree(tmp_path / "study")
    after = ip.read_results(tmp_path / "results")
    np.testing.assert_array_equal(after.visits.X, before.visits.X)
    pd.testing.assert_frame_equal(after.counts, before.counts)
    pd.testing.assert_frame_equal(after.exceptions, before.exceptions)
    assert after.gates["t"] == gates["t"]
    assert after.study.config == before.study.config
    assert len(after.rasters("S-1_BL")) == 2
    cells = after.cells("t", per_visit=100)
    assert cells.n_obs == 300
    assert cells.obs["gate_t"].all()


def test_cells_from_fcs_and_from_disk_are_the_same(folder, gates, tmp_path):
    stored = ip.profile(ip.read_study(folder / "study"), gates, out=tmp_path / "results", cells=True)
    shutil.copytree(tmp_path / "results", tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "cells")
    study = ip.read_study(folder / "study")
    from immunoprofile.profiling import Profile

    fresh = Profile.read(tmp_path / "bare", study=study)
    one, two = stored.cells("t", per_visit=50), fresh.cells("t", per_visit=50)
    assert one.obs_names.tolist() == two.obs_names.tolist()
    np.testing.assert_array_equal(one.X, two.X)
    np.testing.assert_array_equal(one.layers["comp"], two.layers["comp"])
    with pytest.raises(NotAvailableError, match="--cells"):
        ip.read_results(tmp_path / "bare").cells("t")
    with pytest.raises(KeyError, match="unknown population 'x'"):
        stored.cells("x")


def test_bad_file_is_listed_and_the_others_go_on(folder, gates, tmp_path):
    shutil.copytree(folder / "study", tmp_path / "study")
    path = tmp_path / "study" / "fcs" / "S-1_D14.fcs"
    path.write_bytes(path.read_bytes()[:5000])
    profile = ip.profile(ip.read_study(tmp_path / "study"), gates, out=tmp_path / "results")
    row = profile.exceptions.set_index("code").loc["FILE_UNREADABLE"]
    assert (row["severity"], row["file"], row["visit"]) == ("error", "fcs/S-1_D14.fcs", "D14")
    assert "cut off" in row["message"]
    assert np.isnan(profile.visits["S-1_D14"].X).all()
    assert not np.isnan(profile.visits["S-2_BL"].X).any()
    assert "TUBE_MISSING" in profile.visits.obs.loc["S-1_D14", "flags"]


def test_rerun_is_chosen_by_the_rule(folder, gates, tmp_path):
    samples = TABLES["samples"].replace("fcs_path", "fcs_path,attempt,supersedes").replace(".fcs\n", ".fcs,1,\n")
    samples += "S-1_D14_2,S-1,D14,t,sample,WB_EDTA,2024-03-14T08:00,fcs/S-1_D14_2.fcs,2,S-1_D14\n"
    write_study(tmp_path / "study", samples=samples)
    again = tmp_path / "study" / "fcs" / "S-1_D14_2.fcs"
    write(again, events(3000, seed=9), **{"$SPILLOVER": spill_text()})
    profile = ip.profile(ip.read_study(tmp_path / "study"), gates, out=tmp_path / "results")
    assert profile.sample_of("S-1", "D14", "t") == "S-1_D14_2"
    codes = profile.exceptions.groupby("code")["sample_id"].apply(list)
    assert codes["RERUN"] == ["S-1_D14_2"]
    assert codes["ATTEMPT_NOT_USED"] == ["S-1_D14"]
    assert {"S-1_D14", "S-1_D14_2"} <= set(profile.counts["sample_id"])


def test_wrong_hash_and_wrong_gates(folder, gates, tmp_path):
    samples = TABLES["samples"].replace("fcs_path", "fcs_path,sha256").replace(".fcs\n", ".fcs,\n")
    samples = samples.replace("S-1_BL.fcs,", "S-1_BL.fcs," + "0" * 64)
    study = ip.read_study(write_study(tmp_path / "study", samples=samples))
    profile = ip.profile(study, gates, out=tmp_path / "results")
    assert "not what samples.csv says" in profile.exceptions.set_index("code").loc["FILE_UNREADABLE", "message"]
    template = (folder / "gates" / "t.csv").read_text().replace("CD3", "CD99").replace("tube: t", "tube: u")
    lines = [line for line in template.splitlines(keepends=True) if not line.startswith("# channels")]
    (tmp_path / "u.csv").write_text("".join(lines))
    with pytest.raises(GateError, match="marker CD99 of tube t is missing"):  # the only gates serve the only tube
        ip.profile(study, ip.gate.load(tmp_path / "u.csv"), out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_foreign_folder_is_not_touched(folder, gates, tmp_path):
    (tmp_path / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(ResultsError, match="holds no results"):
        ip.profile(ip.read_study(folder / "study"), gates, out=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_provenance_hashes_every_file_and_tells_changes(profile):
    provenance = json.loads((profile.folder / "provenance.json").read_text())
    files = set(content(profile.folder)) - {"provenance.json"}
    assert set(provenance["outputs"]) == files
    assert verify(profile.folder) == []
    counts = profile.folder / "counts.csv"
    original = counts.read_bytes()
    counts.write_bytes(original.replace(b"S-1", b"S-7", 1))
    assert verify(profile.folder) == ["changed: counts.csv"]
    counts.write_bytes(original)


def test_forged_files_and_other_studies(folder, gates, tmp_path):
    shutil.copytree(folder / "results", tmp_path / "results")
    (tmp_path / "results" / "reports").mkdir(exist_ok=True)
    (tmp_path / "results" / "reports" / "forged.html").write_text("<p>all well</p>")
    assert verify(tmp_path / "results") == ["not written by a run: reports/forged.html"]
    config = (folder / "study" / "study.yaml").read_text().replace("study_id: SMALL", "study_id: OTHER")
    study = ip.read_study(write_study(tmp_path / "study", config=config))
    with pytest.raises(ResultsError, match="holds the results of study SMALL"):
        ip.profile(study, gates, out=tmp_path / "results")


def test_withdrawn_subject_leaves_no_trace(folder, gates, tmp_path):
    shutil.copytree(folder / "results", tmp_path / "results")
    without = {
        name: "".join(line for line in text.splitlines(keepends=True) if not line.startswith(("S-2", "S-2_BL")))
        for name, text in TABLES.items()
    }
    ip.profile(ip.read_study(write_study(tmp_path / "study", **without)), gates, out=tmp_path / "results")
    assert not [name for name in content(tmp_path / "results") if "S-2" in name]
    assert verify(tmp_path / "results") == []


def test_repeated_invalid_result_does_not_hide_the_valid_one(folder, gates, tmp_path):
    cmv = TABLES["cmv_dna"] + "S-2,BL,2024-03-04T23:00,haemolysed,IU/mL,cap,plasma\n"
    study = ip.read_study(write_study(tmp_path / "study", cmv_dna=cmv))
    obs = ip.profile(study, gates, out=tmp_path / "results").visits.obs
    assert obs.loc["S-2_BL", "cmv_kind"] == "QUANT"
    assert obs.loc["S-1_D14", "cmv_series"] == "cap, plasma"
    assert "CMV_BLQ" in obs.loc["S-1_D14", "flags"]


def test_template_is_taken_by_the_name_in_study_yaml(folder, gates, tmp_path):
    config = (folder / "study" / "study.yaml").read_text().replace("gates: t,", "gates: tcells,")
    study = ip.read_study(write_study(tmp_path / "study", config=config))
    with pytest.raises(GateError, match=r"has no gates \(found 'tcells'\); allowed: t"):
        ip.profile(study, gates, out=tmp_path / "results")
    text = (folder / "gates" / "t.csv").read_text().replace("tube: t", "tube: tcells")
    (tmp_path / "tcells.csv").write_text(text)
    profile = ip.profile(study, ip.gate.load(tmp_path / "tcells.csv"), out=tmp_path / "results")
    assert set(profile.counts["tube"]) == {"t"}


def test_flags_of_events_and_time_gate_are_stored(profile):
    flags = profile.event_flags("S-1_BL")
    assert len(flags) == ip.read_fcs(profile.study.fcs_path("S-1_BL")).n_events
    assert {"stability", "flow_rate", "margins", "doublets"} <= set(flags.columns)
    assert set(flags.dtypes) == {np.dtype(bool)}
    assert all(begin <= end for begin, end in flags.attrs["time_gate"])
    with pytest.raises(NotAvailableError, match="no flags"):
        profile.event_flags("nobody")
    checks = set(profile.quality.loc[profile.quality["sample_id"] == "S-1_BL", "check"])
    assert {"signal_stability", "margins", "doublets", "time_order", "flow_rate", "compensation"} <= checks


def test_override_keeps_what_was_computed(folder, gates, tmp_path):
    rows = "S-1,BL,t,gated_lymphocytes,PASS,known lymphopenia,INV1,2024-04-01\n"
    head = "usubjid,visit,tube_id,check,state,reason,author,dtc\n"
    study = ip.read_study(write_study(tmp_path / "study", overrides=head + rows))
    profile = ip.profile(study, gates, out=tmp_path / "results")
    own = profile.quality[(profile.quality["usubjid"] == "S-1") & (profile.quality["visit"] == "BL")]
    row = own.set_index("check").loc["gated_lymphocytes"]
    assert (row["state"], row["computed_state"]) == ("PASS", "WARN")
    assert (row["override_reason"], row["override_author"]) == ("known lymphopenia", "INV1")
    assert "OVERRIDE" in profile.visits.obs.loc["S-1_BL", "flags"]
    with pytest.raises(ip.errors.StudyError, match="reason"):
        ip.read_study(write_study(tmp_path / "bad", overrides=head + rows.replace("known lymphopenia", "")))


def test_swapped_channels_are_asked_about(folder, gates, tmp_path):
    from tests.io.fcs_files import PNS

    write_study(tmp_path / "study")
    for name, columns in (("S-1_BL", (0, 1, 2, 3, 4, 5)), ("S-1_D14", (0, 1, 3, 2, 4, 5))):
        data = events(3000, seed=5)
        data[:, 2] = data[:, 2] * 20 + 3000
        path = tmp_path / "study" / "fcs" / f"{name}.fcs"
        write(path, np.ascontiguousarray(data[:, columns]), pns=PNS, **{"$SPILLOVER": spill_text()})
    profile = ip.profile(ip.read_study(tmp_path / "study"), gates, out=tmp_path / "results")
    assert "CHANNEL_SWAP" in profile.visits.obs.loc["S-1_D14", "flags"]
    assert "CHANNEL_SWAP" not in profile.visits.obs.loc["S-1_BL", "flags"]
