"""The plan as data: what is run, corrected, left out and told."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest

from immunoprofile import tl
from immunoprofile.datasets import il2_cmv_counts
from immunoprofile.errors import AnalysisError
from immunoprofile.gate.cut_shifts import RUNS
from immunoprofile.io.analysis_plan import METHOD_IDS, Analysis, AnalysisFamily, AnalysisPlan
from immunoprofile.report.key_table import technical
from immunoprofile.resources import populations
from immunoprofile.schema import (
    FAMILY_WORDS,
    STATISTIC_COLUMNS,
    TIME_TO_CLEARANCE_COLUMNS,
    VISIT_GATINGS,
    WORST_GRADE_COLUMNS,
)
from immunoprofile.tl import plan as plan_module
from immunoprofile.tl.confounding import cramers_v, lost_contrasts
from immunoprofile.tl.multiplicity import complements


@pytest.fixture
def trial() -> anndata.AnnData:
    adata = il2_cmv_counts(subjects=20, seed=7)
    adata.uns["study"] = {"count_tube": "count", "reference_arm": "GCV", "primary_visit": "D14"}
    for name, layer in zip(VISIT_GATINGS, ("counts", "parent_counts", "parent_counts"), strict=True):
        adata.obsm[name] = np.repeat(np.asarray(adata.layers[layer])[..., None], RUNS, axis=2)
    return adata


def with_events(adata: anndata.AnnData) -> None:
    rng = np.random.default_rng(3)
    subjects = list(adata.obs["usubjid"].unique())
    low = 7.0 * rng.integers(0, 7, len(subjects))
    parts = [
        pd.DataFrame({"usubjid": subjects, "rule_id": rule, "lower_day": low + shift, "upper_day": low + 7 + shift,
                      "observed": True, "competing": "", "reason": ""})
        for rule, shift in (("clearance_1", 0), ("clearance_2", 7), ("clearance_tnd", 14))
    ]  # fmt: skip
    adata.uns["clearance"] = pd.concat(parts, ignore_index=True)[list(TIME_TO_CLEARANCE_COLUMNS)]
    adata.uns["responses"] = pd.DataFrame({"usubjid": subjects, "rule_id": "vr_d14", "reason": "",
                                           "response": np.arange(len(subjects)) % 3 == 0})  # fmt: skip
    arms = adata.obs.drop_duplicates("usubjid")["arm"].astype(str).to_numpy()
    grades = pd.DataFrame({"usubjid": subjects, "arm": arms, "test": "ANC"})
    grades = grades.assign(baseline_grade=0, worst_grade=2, exposure_days=56, version="CTCAE v5.0")
    adata.uns["worst_grades"] = grades[list(WORST_GRADE_COLUMNS)]


def values_of(adata: anndata.AnnData) -> dict[str, object]:
    """Everything that analyses read, as values that are compared by content."""
    found: dict[str, object] = {"obs": adata.obs.to_csv(), "var": adata.var.to_csv(), "X": adata.X.tobytes()}
    found |= {f"layer {name}": np.asarray(layer).tobytes() for name, layer in adata.layers.items()}
    found |= {f"obsm {name}": np.asarray(value).tobytes() for name, value in adata.obsm.items()}
    return found | {f"uns {key}": repr(getattr(value, "values", value)) for key, value in adata.uns.items()}


def test_an_analysis_writes_nothing_but_tables(trial: anndata.AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Analyses of the same rows share them, so that none may change what the next one reads."""
    with_events(trial)
    trial.obs["per_protocol"] = np.arange(trial.n_obs) % 3 > 0
    trial.obs["cmv_confounded"] = False
    run, parts_seen = plan_module._run, []

    def watched(adata, analysis, function, plan, parts):
        tables = values_of(adata)
        row = run(adata, analysis, function, plan, parts)
        now = values_of(adata)
        assert {key for key in tables if tables[key] != now[key]} <= {"uns clearance_curves"}
        for part in parts.values():
            values = {key: value for key, value in values_of(part).items() if not key.startswith("uns ")}
            seen = next((before for one, before in parts_seen if one is part), None)
            assert seen in (None, values)
            if seen is None:
                parts_seen.append((part, values))
        return row

    before = values_of(trial)
    monkeypatch.setattr(plan_module, "_run", watched)
    tl.run_plan(trial)
    assert 1 < len(parts_seen) < len(trial.uns["plan_runs"]) / 3
    after = values_of(trial)
    assert {key for key in before if before[key] != after[key]} == set()


def test_the_default_plan_runs_what_the_object_can_hold(trial: anndata.AnnData, tmp_path: object) -> None:
    with_events(trial)
    trial.obs["per_protocol"] = True
    trial.obs["cmv_confounded"] = False
    tl.run_plan(trial)
    runs = trial.uns["plan_runs"].set_index("key")
    # nobody deviated, no quality warning and no recent dose: the main result is not printed again
    same = [key for key in runs.index if key.endswith("_per_protocol") or key.startswith("compare_without")]
    assert len(same) == 4
    assert runs.loc[same, "note"].str.contains("nothing is left out").all()
    assert all(trial.uns[key]["estimate"].isna().all() for key in same)
    runs = runs.drop(index=same)
    expected = {"compare", "change", "associate", "compare_all_pct", "compare_all_abs", "clearance_interval",
                "clearance_exact", "cumulative_incidence", "landmark", "time_varying", "clearance_interval_unconfirmed",
                "clearance_interval_tnd", "responders", "grade_shifts", "grade_rates", "mmrm",
                "associate_censored", "compare_gatings"}  # fmt: skip
    assert expected <= set(runs.index)
    assert (runs["status"] == "ESTIMATED").all(), runs[["status", "note"]].to_string()
    for key in expected - {"grade_shifts", "grade_rates"}:
        assert tuple(trial.uns[key].columns) == STATISTIC_COLUMNS
    assert json.loads(runs.loc["clearance_interval_tnd", "parameters"])["rule"] == "clearance_tnd"
    # sensitivity analyses do not replace the curves of the primary one
    assert set(trial.uns["clearance_curves"]["rule_id"]) == {"clearance_2"}
    trial.write_h5ad(f"{tmp_path}/visits.h5ad")


def test_families_of_the_default_plan(trial: anndata.AnnData) -> None:
    tl.run_plan(trial)
    key, screen = trial.uns["compare"], trial.uns["compare_all_pct"]
    assert set(key["family"]) == {"F1"}
    assert set(key["adjusted"]) == {"Holm"}
    assert key["p_adjusted"].to_numpy() == pytest.approx(tl.adjust(key["p_value"], correction="Holm"))
    assert set(screen["population"]) == set(trial.var_names) - {"lymphocytes"}
    # complements count once: one of each pair stands in the family, and both carry its corrected p-value
    standing = screen["family"] == "F2"
    assert set(screen.loc[~standing, "population"]) == set(complements(trial)) > set()
    expected = tl.adjust(screen["p_value"].where(standing), correction="Benjamini-Hochberg")
    assert screen["p_adjusted"][standing].to_numpy() == pytest.approx(expected[standing], nan_ok=True)
    own = screen.set_index("population")["p_adjusted"]
    assert all(own[one] == own[other] for one, other in complements(trial).items())
    assert set(trial.uns["compare_all_abs"]["family"]) == {"F3"}
    # of the censored model only the effect within subjects answers the question of the family
    censored = trial.uns["associate_censored"]
    assert set(censored.loc[censored["family"] == "F4", "contrast"]) == {"within subjects"}
    assert (censored["family"] == "F4").sum() == 3


def test_what_cannot_be_done_is_a_row_with_the_reason(trial: anndata.AnnData) -> None:
    trial.uns["study"]["virology_endpoints"] = pd.DataFrame({"rule": ["clearance_2"], "kind": ["time_to_event"]})
    tl.run_plan(trial)
    for key in ("clearance_interval", "landmark", "compare_per_protocol"):
        table = trial.uns[key]
        assert table["status"].tolist() == ["NOT_ESTIMABLE"]
        assert table["note"].iloc[0].startswith("refused: ")
    runs = trial.uns["plan_runs"].set_index("key")
    assert runs.loc["landmark", "status"] == "NOT_ESTIMABLE"
    assert "there is no table of times to clearance" in runs.loc["landmark", "note"]


def test_sensitivities_and_windows_leave_rows_out_and_say_so(trial: anndata.AnnData) -> None:
    at_visit = trial.obs.index[trial.obs["visit"] == "D14"]
    trial.obs.loc[at_visit[0], "qc_status"] = "WARN"
    trial.obs.loc[at_visit[1], "flags"] = "SYNTHETIC_DATA RECENT_IL2"
    trial.obs.loc[at_visit[2], "study_day"] = 30
    trial.obs["per_protocol"] = trial.obs["usubjid"] != trial.obs.loc[at_visit[3], "usubjid"]
    plan = AnalysisPlan(
        analyses=(
            Analysis(key="plain", method="S3"),
            *(Analysis(key=reason, method="S3", role="sensitivity", leave_out=(reason,))
              for reason in ("qc_warn", "recent_il2", "protocol_deviation")),
        ),
        windows={"D14": (12, 17)},
    )  # fmt: skip
    tl.run_plan(trial, plan=plan)
    counts = {key: int((trial.uns[key]["n"] + trial.uns[key]["n_reference"]).iloc[0]) for key in
              ("plain", "qc_warn", "recent_il2", "protocol_deviation")}  # fmt: skip
    assert counts == {"plain": 19, "qc_warn": 18, "recent_il2": 18, "protocol_deviation": 18}
    window = "1 rows of D14 outside days 12 to 17 left out"
    assert trial.uns["plain"]["exclusions"].str.startswith(window).all()
    assert trial.uns["qc_warn"]["exclusions"].str.startswith(f"1 rows with a quality warning left out; {window}").all()
    # the object itself has lost nothing
    assert trial.n_obs == 100


def test_values_of_few_events_leave_a_sensitivity_analysis_only_where_it_asks(trial: anndata.AnnData) -> None:
    at_visit = np.flatnonzero(trial.obs["visit"] == "D14")
    columns = [trial.var_names.get_loc(name) for name in ("treg", "cd4")]
    for row, (n, parent) in zip(at_visit, [(29.0, 500.0), (30.0, 500.0), (40.0, 99.0)], strict=False):
        trial.layers["counts"][row, columns[0]], trial.layers["parent_counts"][row, columns[0]] = n, parent
    plan = AnalysisPlan(
        analyses=(
            Analysis(key="plain", method="S3", endpoints=("treg", "cd4"), measure="pct_parent"),
            *(Analysis(key=key, method=method, role="sensitivity", endpoints=("treg", "cd4"), measure="pct_parent",
                       leave_out=("few_events",))
              for key, method in (("many", "S3"), ("gatings", "S3_gatings"))),
            Analysis(key="none", method="S3", role="sensitivity", endpoints=("cd4",), leave_out=("few_events",)),
            Analysis(key="again", method="S3", endpoints=("treg", "cd4"), measure="pct_parent"),
        ),
    )  # fmt: skip
    tl.run_plan(trial, plan=plan)
    for key, lost in (("plain", 0), ("many", 2), ("gatings", 2), ("again", 0)):
        table = trial.uns[key].set_index("population")
        n = table["n"] + table["n_reference"]
        assert n["cd4"] - n["treg"] == lost, key
    told = "2 values of fewer than 30 events, or of a parent of fewer than 100 left out"
    assert trial.uns["many"]["exclusions"].str.startswith(told).all()
    assert "nothing is left out" in trial.uns["none"]["note"].iloc[0]
    assert trial.layers["counts"][at_visit[0], columns[0]] == 29  # the object itself has lost nothing


def test_what_is_said_of_cmv_dna_is_said_again_without_drugs_that_change_it(trial: anndata.AnnData) -> None:
    with_events(trial)
    trial.obs["per_protocol"] = True
    touched = {str(name) for name in trial.obs["usubjid"].unique()[:2]}
    trial.obs["cmv_confounded"] = trial.obs["usubjid"].astype(str).isin(touched).to_numpy()
    tl.run_plan(trial)
    runs = trial.uns["plan_runs"].set_index("key")
    for key in ("clearance_interval", "responders", "associate_censored"):
        again = runs.loc[f"{key}_without_cmv_drugs"]
        assert again["role"] == "sensitivity"
        assert again["exclusions"].startswith("10 rows of subjects with a drug that changes CMV-DNA by itself left out")
    whole, less = (int(runs.loc[key, "subjects"]) for key in
                   ("clearance_interval", "clearance_interval_without_cmv_drugs"))  # fmt: skip
    assert whole - less == 2


def test_methods_text_tells_the_calls(trial: anndata.AnnData) -> None:
    plan = AnalysisPlan(
        analyses=(Analysis(key="compare", method="S3", role="primary", family="F1", endpoints=("treg", "nk"),
                           options={"covariance": "HC3"}),),
        families=(AnalysisFamily(name="F1", correction="Holm"),),
    )  # fmt: skip
    trial.uns["study"]["plan"] = plan.model_dump_json()
    tl.run_plan(trial)
    text = trial.uns["methods"]
    assert text.startswith("S3 (compare, primary): ANCOVA, change ~ baseline + arm, HC3; arguments ")
    for words in ("covariance = HC3", "populations = treg nk", "confidence = 0.95", "2 rows of the table",
                  "20 subjects", "n 10", "p-values corrected within F1 (Holm)", "lifelines 0."):  # fmt: skip
        assert words in text
    tl.methods(trial)
    assert trial.uns["methods"] == text
    with pytest.raises(AnalysisError, match="no plan was run"):
        tl.methods(il2_cmv_counts(subjects=4, seed=1))


@pytest.mark.parametrize("method", METHOD_IDS)
def test_every_method_of_a_plan_can_be_run(trial: anndata.AnnData, method: str) -> None:
    with_events(trial)
    options = {"imputations": 5} if method == "S3_tipping" else {}
    tl.run_plan(trial, plan=AnalysisPlan(analyses=(Analysis(key="own", method=method, options=options),)))
    assert len(trial.uns["own"]) > 0
    assert trial.uns["plan_runs"].loc[0, ["status", "note"]].tolist() == ["ESTIMATED", ""]
    assert trial.uns["methods"].startswith(f"{method.split('_')[0]} (own, exploratory): ")


def test_wrong_arguments_raise_before_anything_runs(trial: anndata.AnnData) -> None:
    wrong = AnalysisPlan(analyses=(Analysis(key="a", method="S3"), Analysis(key="b", method="S3", rule="clearance_2")))
    with pytest.raises(AnalysisError, match="compare takes no rule"):
        tl.run_plan(trial, plan=wrong)
    assert "a" not in trial.uns


def test_a_functional_primary_endpoint_shares_the_family_of_the_key_ones(trial: anndata.AnnData) -> None:
    rng = np.random.default_rng(1)
    trial.obsm["functional"] = pd.DataFrame({"nk_cd107a": rng.lognormal(3, 0.3, trial.n_obs)}, index=trial.obs_names)
    trial.uns["study"]["functional_endpoints"] = pd.DataFrame({"readout": ["nk_cd107a"], "primary": [True]})
    trial.uns["study"]["endpoints"] = pd.DataFrame({"population": ["treg", "nk"], "measure": ["pct_parent", "abs"]})
    tl.run_plan(trial)
    both = pd.concat([trial.uns["compare"], trial.uns["compare_functional"]])
    assert len(both) == 3
    assert set(both["adjusted"]) == {"Holm"}
    assert both["p_adjusted"].to_numpy() == pytest.approx(tl.adjust(both["p_value"], correction="Holm"))


def test_four_declared_endpoints_are_corrected_by_holm(trial: anndata.AnnData) -> None:
    trial.uns["study"]["endpoints"] = pd.DataFrame(
        {"population": ["treg", "nk", "cd8", "cd4"], "measure": "pct_parent"}
    )
    tl.run_plan(trial)
    table = trial.uns["compare"]
    assert table["family"].tolist() == ["F1"] * 4
    assert set(table["adjusted"]) == {"Holm"}
    assert table["p_adjusted"].to_numpy() == pytest.approx(tl.adjust(table["p_value"], correction="Holm"))
    # inside arms is another question than between them, with a family of its own
    assert set(trial.uns["change"]["family"]) == {"F5"}


def test_every_family_of_the_default_plan_has_a_name(trial: anndata.AnnData) -> None:
    with_events(trial)
    tl.run_plan(trial)
    tables = [trial.uns[key] for key in trial.uns["plan_runs"]["key"] if "family" in trial.uns[key]]
    families = {name for table in tables for name in table["family"] if name}
    assert families == set(FAMILY_WORDS)


def scheduled(trial: anndata.AnnData) -> None:
    days = {"BL": 1, "D7": 7, "D14": 14, "D28": 28, "W8": 56}
    trial.uns["visit_schedule"] = pd.DataFrame(
        [(visit, day, True, visit == "BL") for visit, day in days.items()], columns=["visit", "day", "flow", "baseline"]
    )


def test_a_row_outside_its_window_leaves_and_is_counted(trial: anndata.AnnData) -> None:
    scheduled(trial)
    trial.obs["study_day"] = [{"BL": 1, "D7": 7, "D14": 14, "D28": 28, "W8": 56}[visit] for visit in trial.obs["visit"]]
    tl.run_plan(trial)
    before = trial.uns["compare"].iloc[0]
    row = int(np.flatnonzero((trial.obs["visit"].astype(str) == "D14").to_numpy())[0])
    for day, left in ((21, 0), (22, 1), (10, 1)):  # half the gap between D14 and D28 is 21, which is still D14
        trial.obs.iloc[row, trial.obs.columns.get_loc("study_day")] = day
        tl.run_plan(trial)
        after = trial.uns["compare"].iloc[0]
        assert after["n"] + after["n_reference"] == before["n"] + before["n_reference"] - left
        assert ("1 rows of D14 outside days 11 to 21 left out" in after["exclusions"]) is bool(left)


def test_incidence_is_given_on_the_days_of_the_last_visits(trial: anndata.AnnData) -> None:
    with_events(trial)
    scheduled(trial)
    tl.run_plan(trial)
    assert set(trial.uns["cumulative_incidence"]["visit"]) == {"day 27", "day 55"}
    assert "Windows, study days: D7 4 to 10, D14 11 to 21, D28 22 to 42, W8 43 to 70.\n" in trial.uns["methods"]


def renamed(trial: anndata.AnnData, **names: str) -> None:
    trial.var_names = [names.get(name, name) for name in trial.var_names]
    trial.var["abs_anchor"] = [names.get(name, name) for name in trial.var["abs_anchor"]]


def test_exploratory_families_hold_populations_of_the_registry(trial: anndata.AnnData) -> None:
    # a helper of a template, a step on the way, and an endpoint that only this study knows
    renamed(trial, b="cd56_or_cd16", cd8_act="singlets", nk_dim="our_subset")
    trial.uns["study"]["endpoints"] = pd.DataFrame({"population": ["our_subset"], "measure": ["pct_parent"]})
    tl.run_plan(trial)
    for key in ("compare_all_pct", "compare_all_abs"):
        explored = set(trial.uns[key]["population"])
        assert explored == set(trial.var_names) - {"cd56_or_cd16", "singlets", "lymphocytes"}
        assert "our_subset" in explored
    runs = trial.uns["plan_runs"].set_index("key")
    assert set(runs.loc["compare_all_pct", "exclusions"].removeprefix("not explored: ").split(", ")) == {
        "cd56_or_cd16", "singlets", "lymphocytes",
    }  # fmt: skip
    assert "not explored: " in trial.uns["methods"]


def test_an_object_without_any_known_population_says_so(trial: anndata.AnnData) -> None:
    renamed(trial, **{name: f"own_{name}" for name in trial.var_names})
    trial.uns["study"]["endpoints"] = pd.DataFrame({"population": ["own_x"], "measure": ["abs"]})
    tl.run_plan(trial)
    assert trial.uns["compare_all_pct"]["note"].str.contains("in the registry").all()


def test_the_report_and_the_plan_leave_out_the_same_steps() -> None:
    unexplored = {name for name, entry in populations().items() if not entry.explored}
    assert unexplored | {"root"} == technical()
    assert {name for name, entry in populations().items() if entry.technical} < unexplored


def test_confounding_is_computed_and_stated(trial: anndata.AnnData) -> None:
    tl.batch_confounding(trial)
    assert trial.uns["confounding"]["state"].tolist() == ["NOT_ASSESSABLE"] * 2
    trial.obs["batch_id"] = trial.obs["visit"].astype(str)
    tl.batch_confounding(trial)
    table = trial.uns["confounding"].set_index("factor")
    assert table["state"].to_dict() == {"visit": "COMPLETE", "arm": "SEPARATE"}
    assert table.loc["visit", "cramers_v"] == pytest.approx(1.0)
    assert "must not be normalised by batch" in table.loc["visit", "message"]
    trial.obs["batch_id"] = np.where(trial.obs["arm"] == "GCV", "one", "two")
    tl.batch_confounding(trial)
    assert trial.uns["confounding"]["state"].tolist() == ["SEPARATE", "COMPLETE"]
    batches = trial.obs["batch_id"].astype(str).to_numpy()
    trial.obs["batch_id"] = ""  # as a study without batches is read: no batch is not one batch
    tl.batch_confounding(trial)
    assert trial.uns["confounding"]["state"].tolist() == ["NOT_ASSESSABLE"] * 2
    trial.obs["batch_id"] = pd.Categorical(np.where(np.arange(trial.n_obs) < 3, "", batches))
    tl.batch_confounding(trial)
    table = trial.uns["confounding"].set_index("factor")
    assert table["batches"].tolist() == [2, 2]
    assert table["message"].str.endswith("; 3 rows without a batch").all()


def test_lost_contrasts_by_hand() -> None:
    batch = np.array(["1", "1", "2", "2", "3", "3"])
    # A and B meet in batch 1 and 2; C stands alone in batch 3
    assert lost_contrasts(np.array(["A", "B", "A", "B", "C", "C"]), batch) == 1
    assert lost_contrasts(np.array(["A", "A", "B", "B", "C", "C"]), batch) == 2
    assert lost_contrasts(np.array(["A", "B", "B", "C", "C", "A"]), batch) == 0
    assert cramers_v(np.repeat(["A", "B"], 50), np.tile(["1", "2"], 50)) == 0.0
