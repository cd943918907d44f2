"""Gates of a study: placed before the first dose and on controls, then frozen; the replay of its visits."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import immunoprofile as ip
from immunoprofile.datasets import il2_cmv
from immunoprofile.gate.check import check
from immunoprofile.placement.controls import Controls, Place
from immunoprofile.placement.in_study import place_study
from tests.placement.samples import placed_gates, with_method

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return il2_cmv(tmp_path_factory.mktemp("trial") / "study", subjects=2, visits=3, events=3000, warts=False)


def without(trial, out, keep):
    """The study with some rows of its samples table."""
    shutil.copytree(trial, out)
    samples = pd.read_csv(out / "samples.csv", dtype=str)
    samples[keep(samples)].to_csv(out / "samples.csv", index=False)
    return ip.read_study(out)


def placed(study):
    return place_study(study, check(placed_gates(), study))


@pytest.fixture(scope="module")
def whole(trial):
    return placed(ip.read_study(trial))


def test_gates_of_a_subject_are_frozen_but_for_the_shift_of_the_control(trial, whole):
    samples = ip.read_study(trial).samples.set_index("sample_id")
    table = whole.table
    frozen = table[
        (table["group_by"] == "subject") & table["sample_id"].isin(samples.index[samples["role"] == "sample"])
    ]
    frozen = frozen[~frozen["method"].eq("boolean")].assign(
        usubjid=frozen["sample_id"].map(samples["usubjid"]), visit=frozen["sample_id"].map(samples["visit"])
    )
    key = ["usubjid", "tube", "population", "marker", "limit"]
    assert (frozen.groupby(key)["source"].nunique() == 1).all()
    at_baseline = frozen[frozen["visit"] == "BL"]
    assert (at_baseline["later_shift"] == 0).all()
    held = frozen["shift"] - frozen["later_shift"]
    assert (held.groupby([frozen[name] for name in key]).agg(lambda x: x.max() - x.min()) < 1e-7).all()
    same_batch = frozen["sample_id"].map(samples["batch_id"]) == frozen["usubjid"].map(
        samples[samples["visit"] == "BL"].groupby("usubjid")["batch_id"].first()
    )
    assert (frozen.loc[same_batch, "later_shift"] == 0).all()
    assert (frozen.loc[~same_batch, "later_shift"] != 0).any()
    assert (frozen["later_shift"].abs() <= 0.1).all()


def test_the_drug_cannot_move_a_gate(trial, tmp_path, whole):
    """Every sample after the first dose is replaced by another one: no gate moves."""
    study = ip.read_study(trial)
    early = without(trial, tmp_path / "study", lambda s: (s["role"] != "sample") | (s["visit"] == "BL"))
    for sample_id, strategy in placed(early).strategies.items():
        assert strategy == whole.strategies[sample_id]
    assert len(whole.strategies) > len(early.samples[early.samples["role"] == "sample"])
    assert set(study.samples["sample_id"]) >= set(whole.strategies)


def test_replay_in_order_of_arrival_gives_the_counts_that_were_issued(trial, tmp_path):
    """What `profile` wrote of a sample when it came in is what it writes of it in the end, byte for byte."""
    gates = placed_gates()
    samples = pd.read_csv(trial / "samples.csv", dtype=str)
    ends = sorted(samples.loc[samples["role"] == "sample", "acquired_dtc"])
    issued: dict[str, bytes] = {}
    for number, share in enumerate((0.4, 0.7, 1.0)):
        until = ends[int(share * (len(ends) - 1))]
        study = without(trial, tmp_path / f"{number}", lambda s, until=until: s["acquired_dtc"] <= until)
        out = tmp_path / f"results-{number}"
        ip.profile(study, gates, out=out)
        lines = (out / "counts.csv").read_bytes().splitlines()[1:]
        found: dict[str, bytes] = {}
        for line in lines:
            name = line.split(b",")[0].decode()
            found[name] = found.get(name, b"") + line
        for name, text in issued.items():
            assert found[name] == text, name
        issued |= found
    assert (tmp_path / "results-2" / "placement.csv").stat().st_size > 1000
    assert len(issued) > 20


def test_without_controls_the_gates_hold_and_it_is_said(trial, tmp_path):
    study = without(trial, tmp_path / "study", lambda s: s["role"] == "sample")
    found = placed(study)
    table, notes = found.table, pd.DataFrame(found.notes)
    assert (table["later_shift"] == 0).all()
    batches = study.samples.groupby("usubjid")["batch_id"].nunique()
    held = notes[notes["code"] == "GATE_HELD"]
    assert set(held["usubjid"]) == set(batches.index[batches > 1])
    assert held["message"].str.contains("has no control aliquot").all()
    treg = table[table["population"] == "treg"]
    assert (treg["method"] == "template").all()
    assert treg["review"].all()
    activated = table[table["population"] == "cd8_act"]
    assert (activated["method"] == "landmark").all()
    assert activated["reason"].str.contains("no FMO control without").all()


def _brighten(path, *, by):
    """The same events of a file with the values of all markers multiplied."""
    sample, content = ip.read_fcs(path), path.read_bytes()
    begin = int(content[26:34])
    values = np.frombuffer(content, "<f4", sample.events.size, begin).reshape(sample.events.shape)
    assert np.array_equal(values[:, 0], sample.events[:, 0])
    factor = np.array([by if marker else 1.0 for marker in sample.markers], "<f4")
    path.write_bytes(content[:begin] + (values * factor).tobytes() + content[begin + values.nbytes :])


def test_samples_without_a_batch_are_not_of_one_batch(trial, tmp_path, whole):
    """Empty cells are no name: the frozen gates hold, it is said, and moved peaks are looked for."""
    study = without(trial, tmp_path / "study", lambda s: s["role"].notna())
    path = study.folder / "samples.csv"
    pd.read_csv(path, dtype=str).assign(batch_id="").to_csv(path, index=False)
    study = ip.read_study(study.folder)
    found = placed(study)
    table, notes = found.table, pd.DataFrame(found.notes)
    samples = study.samples.set_index("sample_id")
    later = samples.index[(samples["role"] == "sample") & (samples["visit"] != "BL")]
    assert (table["later_shift"] == 0).all()
    held = notes[notes["code"] == "GATE_HELD"]
    assert set(held["sample_id"]) == set(later)
    assert held["message"].str.contains(r"batch \(none\) has no control aliquot").all()
    assert set(table.loc[table["held"].astype(bool), "sample_id"]) == set(later)
    assert not len(notes.query("code == 'PEAKS_MOVED'"))
    name = later[0]
    _brighten(study.fcs_path(name), by=2.0)
    pd.read_csv(path, dtype=str).assign(sha256="").to_csv(path, index=False)
    told = pd.DataFrame(placed(ip.read_study(study.folder)).notes).query("code == 'PEAKS_MOVED'")
    assert told["sample_id"].tolist() == [name]
    assert told["message"].str.contains("no control tells why: ").all()


def test_fmo_controls_are_found_by_batch_and_an_earlier_one_stands_in(trial, whole):
    samples = ip.read_study(trial).samples.set_index("sample_id")
    cuts = whole.table[whole.table["population"] == "cd8_act"]
    cuts = cuts[cuts["sample_id"].map(samples["visit"]) == "BL"]
    assert set(samples.loc[cuts["source"], "role"]) == {"fmo"}
    for row in cuts.itertuples():
        assert samples.loc[row.source, "fmo_marker"] == row.marker
        same = samples.loc[row.source, "batch_id"] == samples.loc[row.sample_id, "batch_id"]
        assert row.method == ("fmo_quantile" if same else "earlier_batch")
        assert samples.loc[row.source, "acquired_dtc"] < samples.loc[row.sample_id, "acquired_dtc"]


def test_a_subject_without_a_sample_before_the_dose_keeps_the_template(trial, tmp_path):
    first = ip.read_study(trial).samples["usubjid"].dropna().min()
    study = without(trial, tmp_path / "study", lambda s: (s["usubjid"] != first) | (s["visit"] != "BL"))
    found = placed(study)
    own = found.table[found.table["sample_id"].str.startswith(first) & (found.table["group_by"] == "subject")]
    assert (own["method"] == "template").all()
    assert (own["reason"] == "no sample before the first dose could place it").all()
    assert "GATE_NOT_PLACED" in set(pd.DataFrame(found.notes).query("usubjid == @first")["code"])


def test_controls_that_cannot_be_read_are_named_where_they_are_missed(trial, tmp_path, whole):
    """They stand in the samples table: "no control" alone would be false."""
    study = without(trial, tmp_path / "study", lambda s: s["role"].notna())
    samples = study.samples
    roles = samples["role"].isin(("fmo", "control"))
    for path in samples.loc[roles, "fcs_path"]:
        (study.folder / path).write_bytes(b"no FCS file")
    found = placed(study)
    activated = found.table[found.table["population"] == "cd8_act"]
    used = whole.table.loc[whole.table["population"] == "cd8_act", "source"]
    fmo = samples[(samples["role"] == "fmo") & samples["sample_id"].isin(used)]
    assert len(fmo)
    for name in fmo["sample_id"]:
        assert activated["reason"].str.contains(f"{name} cannot be used: ", regex=False).any()
    held = pd.DataFrame(found.notes).query("code == 'GATE_HELD'")["message"]
    assert held.str.contains("has no control aliquot .*; .* cannot be used: ").all()
    assert len(held)


def test_a_limit_on_a_linear_axis_is_held_and_it_is_said(trial, tmp_path):
    """Control aliquots are compared on scales; without one the gate holds, and neither silently nor by a huge grid."""
    gates = placed_gates()
    both = with_method(gates["count"], "lymphocytes", "polygon", axes="CD45,SSC-A")
    gates = replace(gates, strategies=tuple(both if one.tube == "count" else one for one in gates.strategies))
    study = without(trial, tmp_path / "study", lambda s: s["tube_id"] == "count")
    found = place_study(study, check(gates, study))
    batches = study.samples.query("role == 'sample'").groupby("usubjid")["batch_id"].nunique()
    held = pd.DataFrame(found.notes).query("code == 'GATE_HELD'")
    assert set(held["usubjid"]) == set(batches.index[batches > 1])
    assert held["message"].str.contains("SSC-A has no scale.*lymphocytes").all()
    moved = found.table.query("population == 'lymphocytes' and later_shift != 0")
    assert set(moved["marker"]) == {"CD45"}
    controls = Controls(study, "count", both)
    lymphocytes, place = both["lymphocytes"], Place("panel", "1", "")
    linear = controls.between(lymphocytes, lymphocytes.dimensions[1], place, replace(place, batch="2"))
    assert linear == "SSC-A has no scale on which control aliquots are compared"


def test_fixed_templates_read_nothing(trial):
    study = ip.read_study(trial)
    found = place_study(study, check(ip.gate.load(ip.gate.shipped_folder()), study))
    assert not found.strategies
    assert found.table.empty
    assert not found.notes
