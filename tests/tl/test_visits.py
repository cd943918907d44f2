"""The analyses on the visits object."""

from __future__ import annotations

import inspect

import anndata
import numpy as np
import pandas as pd
import pytest

from immunoprofile import get, pp, tl
from immunoprofile.datasets import il2_cmv_counts
from immunoprofile.errors import AnalysisError, NotAvailableError
from immunoprofile.schema import QUALITY_COLUMNS, STATISTIC_COLUMNS


@pytest.fixture
def trial() -> anndata.AnnData:
    adata = il2_cmv_counts(subjects=20, seed=7)
    adata.uns["study"] = {"count_tube": "count", "reference_arm": "GCV", "primary_visit": "D14"}
    return adata


def test_conventions_of_scverse() -> None:
    for function in (tl.change, tl.compare, tl.associate, tl.join_cmv, pp.absolute, pp.percentages, pp.ratios):
        parameters = list(inspect.signature(function).parameters.values())
        assert parameters[0].name == "adata"
        assert sum(p.kind is not inspect.Parameter.KEYWORD_ONLY for p in parameters) <= 3
        assert "adata.uns" in function.__doc__ or "adata.layers" in function.__doc__ or "adata.obsm" in function.__doc__


def test_change_writes_one_row_an_arm_and_endpoint(trial: anndata.AnnData) -> None:
    tl.change(trial)
    table = trial.uns["change"]
    assert tuple(table.columns) == STATISTIC_COLUMNS
    assert len(table) == 2 * 3
    treg = table[(table["population"] == "treg") & (table["arm"] == "IL2_GCV")].iloc[0]
    rows = trial.obs["arm"].eq("IL2_GCV")
    column = trial.var_names.get_loc("treg")
    n, total = trial.layers["counts"][:, column], trial.layers["parent_counts"][:, column]
    logit = pd.Series(np.log((n + 0.5) / (total - n + 0.5)), index=trial.obs_names)
    start = logit[rows & trial.obs["visit"].eq("BL")].to_numpy()
    end = logit[rows & trial.obs["visit"].eq("D14")].to_numpy()
    expected = tl.hodges_lehmann(end - start)
    assert (treg["estimate"], treg["lower"], treg["upper"]) == pytest.approx(expected[:3])
    assert treg["effect"] == pytest.approx(np.exp(expected.estimate))
    assert (treg["scale"], treg["effect_kind"], treg["n"]) == ("logit", "odds ratio", 10)


def test_an_arm_of_five_says_that_it_cannot_be_significant() -> None:
    adata = il2_cmv_counts(subjects=10, seed=7)
    tl.change(adata, populations=["treg"], measure="abs", visit="D14")
    table = adata.uns["change"]
    assert set(table["n"]) == {5}
    assert (table["p_value"] >= 0.0625 - 1e-12).all()
    assert table["conf_level"].tolist() == pytest.approx([0.9375, 0.9375])
    assert table["note"].str.contains("p < 0.05 cannot be reached").all()


def test_compare_equals_least_squares_by_hand(trial: anndata.AnnData) -> None:
    tl.compare(trial, populations=["nk"], measure="abs")
    row = trial.uns["compare"].iloc[0]
    frame = get.visits(trial, populations=["nk"]).pivot(index=["usubjid", "arm"], columns="visit", values="abs")
    start, end = np.log2(frame["BL"].to_numpy()), np.log2(frame["D14"].to_numpy())
    treated = frame.index.get_level_values("arm") == "IL2_GCV"
    fit = tl.ancova(end - start, start, np.where(treated, "IL2", "GCV"), reference="GCV")
    assert row["estimate"] == pytest.approx(fit.term("arm[IL2]")[0])
    assert row["effect"] == pytest.approx(2 ** row["estimate"])
    assert (row["effect_kind"], row["n"], row["n_reference"]) == ("fold change", 10, 10)
    assert row["effect_lower"] < row["effect"] < row["effect_upper"]


def test_fold_change_of_a_percentage(trial: anndata.AnnData) -> None:
    tl.compare(trial, populations=["treg"], scale="log2")
    row = trial.uns["compare"].iloc[0]
    assert (row["measure"], row["scale"], row["effect_kind"]) == ("pct_parent", "log2", "fold change")


def test_rows_in_any_order_give_the_same(trial: anndata.AnnData) -> None:
    order = np.random.default_rng(2).permutation(trial.n_obs)
    other = trial[order].copy()
    for run, key in ((tl.change, "change"), (tl.compare, "compare"), (tl.associate, "associate")):
        run(trial)
        run(other)
        pd.testing.assert_frame_equal(trial.uns[key], other.uns[key], rtol=1e-9)


def test_failed_quality_leaves_the_statistics(trial: anndata.AnnData) -> None:
    first = trial.obs_names[(trial.obs["arm"] == "IL2_GCV") & (trial.obs["visit"] == "D14")][0]
    trial.obs.loc[first, "qc_status"] = "FAIL"
    tl.compare(trial)
    assert set(trial.uns["compare"]["n"]) == {9}
    tl.compare(trial, include_failed=True)
    assert set(trial.uns["compare"]["n"]) == {10}
    trial.obs["qc_status"] = "NOT_EVALUABLE"
    tl.compare(trial)
    assert set(trial.uns["compare"]["n"]) == {10}


def test_too_few_subjects_are_refused_with_the_reason() -> None:
    adata = il2_cmv_counts(subjects=4, seed=3)
    tl.compare(adata, visit="D14", reference="GCV")
    table = adata.uns["compare"]
    assert table[["estimate", "effect", "p_value", "conf_level"]].isna().all(axis=None)
    assert (
        table["note"].str.contains("4 subjects for 3 parameters leave fewer than 3 residual degrees of freedom").all()
    )


def test_covariates(trial: anndata.AnnData) -> None:
    rng = np.random.default_rng(4)
    subjects = trial.obs["usubjid"].unique()
    age = dict(zip(subjects, rng.normal(40, 10, len(subjects)), strict=True))
    sex = dict(zip(subjects, ["M", "F"] * 10, strict=True))
    trial.obs["age_y"] = trial.obs["usubjid"].astype(str).map(age)
    trial.obs["sex"] = trial.obs["usubjid"].astype(str).map(sex)
    trial.obs.loc[trial.obs["usubjid"] == subjects[0], "age_y"] = np.nan
    tl.compare(trial, populations=["treg"], covariates=("age_y", "sex"))
    row = trial.uns["compare"].iloc[0]
    assert row["n"] + row["n_reference"] == 19
    assert row["exclusions"] == "1 without covariates"
    assert "residual df 14" in row["note"]


def test_zero_counts_stay_in(trial: anndata.AnnData) -> None:
    column = trial.var_names.get_loc("treg")
    trial.layers["counts"][:2, column] = 0
    trial.layers["abs"][:2, column] = 0
    trial.layers["anchor_counts"] = trial.layers["parent_counts"].copy()
    trial.X[:2, column] = 0
    for measure in ("pct_parent", "abs"):
        tl.compare(trial, populations=["treg"], measure=measure)
        row = trial.uns["compare"].iloc[0]
        assert row["n"] + row["n_reference"] == 20
        assert np.isfinite(row["estimate"])


def test_association_tells_how_much_is_censored(trial: anndata.AnnData) -> None:
    tl.associate(trial)
    table = trial.uns["associate"]
    assert (table["method_id"] == "S8").all()
    assert table["estimate"].between(-1, 1).all()
    assert table["note"].str.contains("censored, taken at their bound").all()
    assert table["note"].str.contains("association, not cause").all()


def test_units_of_the_virus_are_not_mixed(trial: anndata.AnnData) -> None:
    trial.obs["cmv_unit"] = trial.obs["cmv_unit"].astype(object)
    trial.obs.iloc[0, trial.obs.columns.get_loc("cmv_unit")] = "copies/mL"
    with pytest.raises(AnalysisError, match="IU/mL and copies/mL"):
        tl.associate(trial)


def test_cmv_beside_the_cells(trial: anndata.AnnData) -> None:
    tl.join_cmv(trial, populations=["treg"], measure="abs")
    table = trial.uns["cmv_change"]
    assert len(table) == trial.n_obs - 20
    assert table["fold_change"].to_numpy() == pytest.approx((table["value"] / table["baseline"]).to_numpy())
    censored = table["cmv_kind"].isin(["BLQ", "TND"])
    assert censored.any()
    assert table.loc[censored, "cmv_drop"].isna().all()
    assert get.statistics(trial, "cmv_change").equals(table)


def test_tables_survive_h5ad(trial: anndata.AnnData, tmp_path: object) -> None:
    tl.change(trial)
    tl.compare(trial)
    tl.associate(trial)
    tl.join_cmv(trial)
    trial.write_h5ad(tmp_path / "visits.h5ad")  # type: ignore[operator]
    back = anndata.read_h5ad(tmp_path / "visits.h5ad")  # type: ignore[operator]
    for key in ("change", "compare", "associate", "cmv_change"):
        written = trial.uns[key]
        pd.testing.assert_frame_equal(back.uns[key], written, check_dtype=False, check_index_type=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"populations": ["tregs"]}, "no population tregs"),
        ({"measure": "percent"}, "measure 'percent'"),
        ({"visit": "D15"}, "no row of visit D15"),
        ({"visit": "BL"}, "baseline visit"),
        ({"reference": "PLACEBO"}, "no arm"),
        ({"covariates": ["age"]}, "no column age"),
        ({"measure": "abs", "scale": "logit"}, "no logit"),
    ],
)
def test_clear_errors(trial: anndata.AnnData, options: dict[str, object], message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        tl.compare(trial, **options)


def test_endpoints_of_the_study_come_first(trial: anndata.AnnData) -> None:
    trial.uns["study"]["endpoints"] = pd.DataFrame({"population": ["nk", "treg"], "measure": ["abs", "pct_parent"]})
    tl.compare(trial)
    assert trial.uns["compare"][["population", "measure"]].to_numpy().tolist() == [
        ["nk", "abs"],
        ["treg", "pct_parent"],
    ]


def test_missing_table() -> None:
    adata = il2_cmv_counts(subjects=4, seed=3)
    with pytest.raises(NotAvailableError, match="no table"):
        get.statistics(adata, "compare")


def test_failure_of_one_tube_leaves_the_others() -> None:
    """A clog in the Treg tube takes Treg out of the statistics, and neither NK nor CD8 of the counting tube."""
    cohort = il2_cmv_counts(subjects=12, seed=3)
    cohort.uns["study"] = {"reference_arm": "GCV", "primary_visit": "D14"}
    tl.compare(cohort, populations=["treg", "nk"])
    before = cohort.uns["compare"].set_index("population")
    row = cohort.obs[(cohort.obs["visit"] == "D14") & (cohort.obs["arm"] == "GCV")].iloc[0]
    failed = (row["usubjid"], "D14", "treg", "file", "flow_rate", 80.0, "%", "", "FAIL", "FLOW_RATE")
    cohort.uns["quality"] = pd.DataFrame([failed], columns=list(QUALITY_COLUMNS))
    tl.compare(cohort, populations=["treg", "nk"])
    after = cohort.uns["compare"].set_index("population")
    assert after.loc["treg", "n_reference"] == before.loc["treg", "n_reference"] - 1
    assert after.loc["nk", "n_reference"] == before.loc["nk", "n_reference"]
    assert after.loc["nk", "estimate"] == before.loc["nk", "estimate"]
    tl.compare(cohort, populations=["treg"], include_failed=True)
    assert cohort.uns["compare"].iloc[0]["estimate"] == before.loc["treg", "estimate"]


def test_declared_analyses_tell_why_they_were_refused() -> None:
    cohort = il2_cmv_counts(subjects=4, seed=3)
    cohort = cohort[cohort.obs["visit"] == "BL"].copy()
    cohort.uns["study"] = {"reference_arm": "GCV", "primary_visit": "BL"}
    tl.declared(cohort)
    written = {key: get.statistics(cohort, key) for key in ("change", "compare", "associate", "cmv_change")}
    assert written["change"]["note"].str.startswith("refused: visit: BL is the baseline visit").all()
    assert written["change"]["p_value"].isna().all()
    assert written["cmv_change"].empty


def test_who_makes_no_pair_is_counted(trial: anndata.AnnData) -> None:
    """One subject each misses D14, has no baseline, and gave another specimen at baseline: none leaves silently."""
    people = trial.obs.loc[trial.obs["arm"] == "GCV", "usubjid"].astype(str).unique()[:3]
    subject, visit = trial.obs["usubjid"].astype(str), trial.obs["visit"].astype(str)
    gone = ((subject == people[0]) & (visit == "D14")) | ((subject == people[1]) & (visit == "BL"))
    trial = trial[~gone.to_numpy()].copy()
    trial.obs["specimen_type"] = trial.obs["specimen_type"].astype(str)
    frozen = ((trial.obs["usubjid"] == people[2]) & (trial.obs["visit"] == "BL")).to_numpy()
    trial.obs.loc[frozen, "specimen_type"] = "PBMC"
    words = "1 without this visit; 1 without a baseline; 1 with a baseline of another specimen"
    for function, key in ((tl.change, "change"), (tl.change_t, "change_t"), (tl.compare, "compare"),
                          (tl.compare_ranks, "compare_ranks")):  # fmt: skip
        function(trial, populations=["treg"])
        table = trial.uns[key]
        assert table["exclusions"].iloc[0] == words
        own = table["n"] if key.startswith("change") else table["n_reference"]
        assert own.iloc[0] == 7
    assert set(trial.uns["change"]["exclusions"]) == {words, ""}
    tl.mmrm(trial, populations=["treg"])
    assert trial.uns["mmrm"]["exclusions"].str.startswith("4 rows without a baseline; 4 rows with a baseline of").all()
    tl.mmrm(trial, populations=["treg"], baseline_as_outcome=True)
    assert trial.uns["mmrm"]["exclusions"].str.startswith("4 rows with a baseline of another specimen").all()


def test_values_as_they_are_have_their_own_unit(trial: anndata.AnnData) -> None:
    """CMV-DNA against cells/uL without a logarithm: a hundredfold unit makes a hundredth of the slope."""
    tl.associate_censored(trial, populations=["nk"], measure="abs", scale="identity", trend="linear")
    first = trial.uns["associate_censored"].iloc[0]
    assert (first["status"], first["effect_kind"]) == ("ESTIMATED", "ratio of CMV-DNA per unit")
    trial.layers["abs"] = 100 * trial.layers["abs"]
    tl.associate_censored(trial, populations=["nk"], measure="abs", scale="identity", trend="linear")
    assert trial.uns["associate_censored"].iloc[0]["estimate"] == pytest.approx(first["estimate"] / 100, rel=1e-3)
