"""The default demo from the command line: what `make demo` shows a newcomer, held against the hidden truth."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import immunoprofile as ip
from immunoprofile import schema
from immunoprofile.cli import EXIT_LEFT_OUT, app
from immunoprofile.report.source import Source
from tests.label_geometry import collisions_of_study
from tests.pages_in_browser import chromium, problems

LIMIT_POINTS = 2.0
"""Largest deviation of a population from the truth, in per cent of its parent."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    outcome = CliRunner().invoke(app, ["demo", "--out", str(folder), "--jobs", "2", "--quiet"], catch_exceptions=False)
    # The truncated file was left out, and the exit code says so.
    assert outcome.exit_code == EXIT_LEFT_OUT, outcome.output
    for stage in ("simulate", "gate the files", "statistics", "reports", "total"):
        assert stage in outcome.output
    assert str(folder / "results" / "reports" / "cohort.html") in outcome.output
    return folder


@pytest.fixture(scope="module")
def warts(demo) -> pd.DataFrame:
    return pd.read_csv(demo / "study-truth" / "warts.csv", dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def exceptions(demo) -> pd.DataFrame:
    return pd.read_csv(demo / "results" / "exceptions.csv", dtype=str, keep_default_na=False)


def place(warts, name):
    row = warts[warts["name"] == name].iloc[0]
    return row["usubjid"], row["visit"], row["tube"]


def test_results_folder_is_that_of_the_design(demo):
    results = demo / "results"
    visits = anndata.read_h5ad(results / "visits.h5ad")
    assert visits.shape[0] == 49  # 10 subjects x 5 visits, one of them missed
    for name in (
        "counts.csv", "quality.csv", "exceptions.csv", "virology.csv", "provenance.json", "run.log",
        "reports/cohort.html", "study/study.yaml", "statistics/change.csv", "statistics/compare.csv",
        "statistics/associate.csv",
    ):  # fmt: skip
        assert (results / name).is_file(), name
    for row in visits.obs.itertuples():
        assert (results / "reports" / row.usubjid / f"{row.visit}.html").is_file()
    assert not (results / ".partial").exists()
    assert not (results / ".lock").exists()


def test_truncated_file_is_listed_and_everything_else_is_there(demo, warts, exceptions):
    subject, visit, tube = place(warts, "truncated_fcs")
    left_out = exceptions[exceptions["severity"] == "error"]
    assert left_out[["code", "usubjid", "visit"]].to_numpy().tolist() == [["FILE_UNREADABLE", subject, visit]]
    assert "cut off" in left_out["message"].iloc[0]
    samples = pd.read_csv(demo / "study" / "samples.csv", dtype=str)
    expected = set(samples.loc[samples["role"].isin(["sample", "control"]), "sample_id"])
    counted = set(pd.read_csv(demo / "results" / "counts.csv")["sample_id"])
    assert expected - counted == set(left_out["sample_id"])
    visits = anndata.read_h5ad(demo / "results" / "visits.h5ad")
    row = visits[f"{subject}_{visit}"]
    missing = np.isnan(row.X).ravel()
    assert missing[(visits.var["tube"] == tube).to_numpy()].all()
    assert not missing[(visits.var["tube"] != tube).to_numpy()].any()


def test_every_wart_is_told(demo, warts, exceptions):
    visits = anndata.read_h5ad(demo / "results" / "visits.h5ad")
    told = exceptions.set_index("code")
    subject, visit, _ = place(warts, "missing_visit")
    assert told.loc["VISIT_MISSED", ["usubjid", "visit"]].tolist() == [subject, visit]
    subject, visit, tube = place(warts, "rerun_tube")
    assert told.loc["RERUN", "sample_id"] == f"{subject}_{visit}_{tube}_run2"
    assert "RERUN" in visits.obs.loc[f"{subject}_{visit}", "flags"]
    subject, visit, _ = place(warts, "clog")
    assert "FLOW_RATE" in visits.obs.loc[f"{subject}_{visit}", "flags"]
    assert "SAME_FILE_NAME" in told.index
    subject, visit, _ = place(warts, "visit_without_beads")
    assert np.isnan(visits[f"{subject}_{visit}"].layers["abs_bead"]).all()
    own = visits.obs["usubjid"] == subject
    # The whole subject goes over to the blood count, never the single visit: two methods differ by more than a change.
    assert (visits.obs.loc[own, "abs_method"] == "dual_lymph").all()
    assert visits.obs.loc[own, "flags"].str.contains("ABS_METHOD_SWITCHED").all()
    assert not np.isnan(visits[own.to_numpy(), "nk"].layers["abs"]).any()
    subject, _, _ = place(warts, "unscheduled_cbc")
    study = ip.read_study(demo / "results" / "study", require_files=False)
    assert "UNS.01" in set(study.labs.loc[study.labs["usubjid"] == subject, "visit"])
    assert {"BLQ", "TND", "QUANT"} <= set(pd.read_csv(demo / "results" / "virology.csv")["kind"])


def test_clean_tubes_are_not_flagged(demo, warts):
    quality = pd.read_csv(demo / "results" / "quality.csv", keep_default_na=False)
    flagged = quality[quality["flag"] == "FLOW_RATE"]
    assert set(flagged[["usubjid", "visit", "tube"]].itertuples(index=False, name=None)) == {place(warts, "clog")}
    lost = quality[(quality["check"] == "time_loss") & (quality["flag"] == "")]
    assert len(lost) > 140
    # Clean tubes lose less than 2 % of their events to the proposed time gate.
    assert lost["value"].astype(float).max() < 2.0


def test_populations_are_recovered(demo, warts):
    """Within 2 points of the parent in every good file, however few events the parent has."""
    counts = pd.read_csv(demo / "results" / "counts.csv")
    truth = pd.read_csv(demo / "study-truth" / "counts.csv").set_index(["sample_id", "population"])["n"]
    bad = {"_".join(place(warts, "clog")), "_".join(place(warts, "rerun_tube"))}
    counts = counts[~counts["sample_id"].isin(bad)]
    key = pd.MultiIndex.from_frame(counts[["sample_id", "population"]])
    parent = pd.MultiIndex.from_frame(counts[["sample_id", "parent"]].set_axis(["sample_id", "population"], axis=1))
    counts["true_n"], counts["true_parent"] = truth.reindex(key).to_numpy(), truth.reindex(parent).to_numpy()
    at_root = counts["parent"] == "root"
    counts.loc[at_root, "true_parent"] = counts.loc[at_root, "n_parent"]
    counts = counts.dropna(subset=["true_n", "true_parent"])
    assert counts["sample_id"].nunique() > 140
    counts["off"] = counts["pct_parent"] - 100 * counts["true_n"] / counts["true_parent"]
    assert counts["off"].abs().max() <= LIMIT_POINTS, counts.loc[counts["off"].abs().idxmax()]
    assert counts.groupby(["tube", "population"])["off"].median().abs().max() < 1.0
    # 49 visits x 3 tubes and the control aliquots, less the faulty files.
    assert len(counts) > 2200


def test_cells_per_ul_are_recovered(demo):
    visits = anndata.read_h5ad(demo / "results" / "visits.h5ad")
    truth = pd.read_csv(demo / "study-truth" / "visits.csv")
    true = truth[truth["unit"] == "cells/uL"].set_index(["usubjid", "visit", "quantity"])["value"]
    found = pd.DataFrame(visits.layers[schema.ABS_BEAD], index=visits.obs_names, columns=visits.var_names)
    for population in ("t", "cd4", "cd8", "nk"):
        off = [
            found.loc[name, population] / true[row["usubjid"], row["visit"], population] - 1
            for name, row in visits.obs.iterrows()
            if not np.isnan(found.loc[name, population])
        ]
        assert len(off) >= 45
        assert np.median(np.abs(off)) < 0.10


def test_pages_fit_screens_and_paper_and_are_accessible(demo, warts):
    failed, missed = (place(warts, name)[:2] for name in ("clog", "missing_visit"))
    truncated = place(warts, "truncated_fcs")[:2]
    with chromium() as browser:
        for subject, visit in (("IL2CMV-01-001", "D14"), ("IL2CMV-02-002", "D14"), failed, missed, truncated):
            assert problems(browser, demo / "results" / "reports" / subject / f"{visit}.html") == []
        assert problems(browser, demo / "results" / "reports" / "cohort.html") == []


def test_no_label_of_any_gating_plot_lies_on_a_gate_or_a_label(demo):
    found, plots = collisions_of_study(Source(ip.read_results(demo / "results")))
    assert found == []
    assert plots > 1000


def test_results_do_not_need_the_files(demo):
    """Read from the results folder alone; the study folder is out of reach because only its copy is opened."""
    profile = ip.read_results(demo / "results")
    assert profile.study.folder == demo / "results" / "study"
    assert not any(profile.study.folder.rglob("*.fcs"))
    assert profile.visits.n_obs == 49
    provenance = json.loads((demo / "results" / "provenance.json").read_text())
    for name, digest in provenance["inputs"].items():
        if name.endswith(".fcs"):
            assert len(digest) == 64
    assert "reports/cohort.html" in provenance["outputs"]


def test_nk_without_cd14_is_told(demo):
    """The counting tube gates NK by CD16+CD56 without CD14: CD16+ monocytes cannot be excluded by a marker."""
    visits = anndata.read_h5ad(demo / "results" / "visits.h5ad")
    assert visits.obs["flags"].str.contains("NK_NO_CD14").all()
    quality = pd.read_csv(demo / "results" / "quality.csv", keep_default_na=False)
    assert set(quality.loc[quality["flag"] == "NK_NO_CD14", "state"]) == {"NOT_EVALUABLE"}
    assert (visits.obs["qc_status"] == "PASS").any()


def test_five_per_arm_cannot_reach_significance_and_the_page_says_so(demo):
    page = (demo / "results" / "reports" / "cohort.html").read_text(encoding="utf-8")
    assert "With 5 subjects in an arm the exact signed-rank test cannot reach p &lt; 0.05" in page


def test_clinical_cases_stand_in_the_results(demo):
    results = demo / "results"
    cases = pd.read_csv(demo / "study-truth" / "cases.csv", dtype=str, keep_default_na=False)
    rules = pd.read_csv(results / "virology_rules.csv", dtype=str, keep_default_na=False)
    verdicts = {(row.usubjid, row.rule_id): row.result for row in rules.itertuples()}
    overall = pd.read_csv(results / "eligibility_overall.csv", dtype=str).set_index("usubjid")["state"]
    subject = dict(zip(cases["case"], cases["usubjid"], strict=True))
    assert overall[subject["ineligible"]] == "INELIGIBLE"
    assert overall[subject["indeterminate"]] == "INDETERMINATE"
    assert overall.drop([subject["ineligible"], subject["indeterminate"]]).eq("ELIGIBLE").all()
    for case, rule in (
        ("refractory", "refractory_2019"), ("cleared_with_blip", "blip"), ("cleared_with_blip", "clearance_2"),
        ("rebound", "rebound"), ("late_onset", "late_onset"),
    ):  # fmt: skip
        assert verdicts[subject[case], rule] == "TRUE", (case, rule)
    worst = pd.read_csv(results / "safety_worst.csv")
    own = worst[(worst["usubjid"] == subject["neutropenia_grade_3"]) & (worst["test"] == "ANC")]
    assert own["worst_grade"].tolist() == [3]
    flags = pd.read_csv(results / "safety_flags.csv")
    assert set(flags.loc[flags["flag"] == "GCV_UNDERDOSED", "usubjid"]) == {subject["underdosed_renal"]}
