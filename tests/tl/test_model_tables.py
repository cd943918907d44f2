"""The models on the visits object: tables, options, missing visits, refusals."""

from __future__ import annotations

import inspect

import anndata
import numpy as np
import pandas as pd
import pytest

from immunoprofile import schema, tl
from immunoprofile.datasets import il2_cmv_counts
from immunoprofile.errors import AnalysisError

FUNCTIONS = {
    "change_t": tl.change_t,
    "compare_ranks": tl.compare_ranks,
    "mmrm": tl.mmrm,
    "compare_slopes": tl.compare_slopes,
    "associate_lagged": tl.associate_lagged,
    "associate_censored": tl.associate_censored,
}


def cohort(subjects: int, *, visits: int = 5, seed: int = 7, effect: str = "il2") -> anndata.AnnData:
    adata = il2_cmv_counts(subjects=subjects, visits=visits, seed=seed, effect=effect)  # type: ignore[arg-type]
    adata.uns["study"] = {"count_tube": "count", "reference_arm": "GCV", "primary_visit": "D14"}
    return adata


@pytest.fixture
def trial() -> anndata.AnnData:
    return cohort(24)


@pytest.mark.parametrize("key", FUNCTIONS)
def test_tables_have_the_columns_and_survive_h5ad(trial: anndata.AnnData, key: str, tmp_path: object) -> None:
    function = FUNCTIONS[key]
    parameters = list(inspect.signature(function).parameters.values())
    assert parameters[0].name == "adata"
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters[1:])
    assert f"adata.uns['{key}']" in function.__doc__
    assert key in schema.MODEL_TABLES
    assert function(trial, populations=["treg", "nk"]) is None
    table = trial.uns[key]
    assert tuple(table.columns) == schema.STATISTIC_COLUMNS
    assert (table["status"] == "ESTIMATED").all()
    assert (table["lower"] <= table["estimate"]).all()
    assert (table["estimate"] <= table["upper"]).all()
    assert table["p_value"].between(0, 1).all()
    trial.write_h5ad(tmp_path / "visits.h5ad")  # type: ignore[operator]
    back = anndata.read_h5ad(tmp_path / "visits.h5ad")  # type: ignore[operator]
    pd.testing.assert_frame_equal(back.uns[key], table, check_dtype=False, check_index_type=False)


@pytest.mark.parametrize("key", FUNCTIONS)
def test_rows_in_any_order_give_the_same(trial: anndata.AnnData, key: str) -> None:
    other = trial[np.random.default_rng(2).permutation(trial.n_obs)].copy()
    for adata in (trial, other):
        FUNCTIONS[key](adata, populations=["treg"])
    pd.testing.assert_frame_equal(trial.uns[key], other.uns[key], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("key", FUNCTIONS)
def test_four_subjects_are_refused_with_the_reason(key: str) -> None:
    adata = cohort(4, seed=3)
    FUNCTIONS[key](adata)
    table = adata.uns[key]
    if key == "compare_ranks":
        # two against two have a rank sum
        assert np.isfinite(table["p_value"]).all()
        return
    refused = table["status"] == "NOT_ESTIMABLE"
    assert refused.all()
    assert table["note"].str.contains("refused").all()
    assert table[["estimate", "lower", "p_value", "effect", "conf_level"]].isna().all(axis=None)


def test_paired_t_is_that_of_scipy(trial: anndata.AnnData) -> None:
    from scipy.stats import ttest_1samp

    tl.change_t(trial, populations=["nk"], measure="abs")
    column = trial.var_names.get_loc("nk")
    logs = pd.Series(np.log2(trial.layers["abs"][:, column]), index=trial.obs_names)
    rows = trial.obs["arm"] == "GCV"
    start, end = (logs[rows & trial.obs["visit"].eq(name)].to_numpy() for name in ("BL", "D14"))
    test = ttest_1samp(end - start, 0)
    row = trial.uns["change_t"].set_index("arm").loc["GCV"]
    assert (row["estimate"], row["p_value"]) == pytest.approx(((end - start).mean(), test.pvalue))
    assert row["effect"] == pytest.approx(2 ** (end - start).mean())


def test_mmrm_without_gaps_is_ancova_at_each_visit(trial: anndata.AnnData) -> None:
    """With every visit measured and its own baseline slope, the estimates are those of separate ANCOVAs."""
    tl.mmrm(trial, populations=["treg"])
    tl.compare(trial, populations=["treg"], visit=["D7", "D14", "D28", "W8"])
    model, single = trial.uns["mmrm"], trial.uns["compare"]
    assert model["visit"].tolist() == ["D7", "D14", "D28", "W8", "all"]
    np.testing.assert_allclose(model["estimate"][:4], single["estimate"], atol=1e-5)
    assert model["estimate"].iloc[4] == pytest.approx(single["estimate"].mean(), abs=1e-5)
    assert model["note"].str.contains("covariance unstructured").all()
    # the degrees of freedom of the analysis of covariance, and its interval
    assert model["note"].str.contains("df 21.0 (Kenward-Roger)", regex=False).all()
    np.testing.assert_allclose(model[["lower", "upper"]][:4], single[["lower", "upper"]], atol=1e-4)


def test_missed_visits_keep_the_subject(trial: anndata.AnnData) -> None:
    missed = (trial.obs["visit"] == "D14") & trial.obs["usubjid"].isin(trial.obs["usubjid"].unique()[:3])
    trial = trial[~missed.to_numpy()].copy()
    tl.mmrm(trial, populations=["treg"])
    table = trial.uns["mmrm"].set_index("visit")
    assert table.loc["D14", ["n", "n_reference"]].sum() == 21
    assert table.loc["D7", ["n", "n_reference"]].sum() == 24
    assert table.loc["all", ["n", "n_reference"]].sum() == 24


def test_subject_without_baseline_enters_with_baseline_as_outcome(trial: anndata.AnnData) -> None:
    first = trial.obs["usubjid"].unique()[0]
    dropped = (trial.obs["usubjid"] == first) & (trial.obs["visit"] == "BL")
    trial = trial[~dropped.to_numpy()].copy()
    tl.mmrm(trial, populations=["treg"])
    assert trial.uns["mmrm"].iloc[-1][["n", "n_reference"]].sum() == 23
    tl.mmrm(trial, populations=["treg"], baseline_as_outcome=True)
    row = trial.uns["mmrm"].iloc[-1]
    assert row[["n", "n_reference"]].sum() == 24
    assert "cLDA" in row["method"]


def test_ten_subjects_give_way_to_ancova() -> None:
    adata = cohort(10)
    tl.mmrm(adata, populations=["treg"])
    table = adata.uns["mmrm"]
    assert table["method_id"].tolist() == ["S3"] * 4 + ["S5"]
    assert table["note"].str.startswith("MMRM refused: 10 subjects for ").all()
    assert table["status"].tolist() == ["ESTIMATED"] * 4 + ["NOT_ESTIMABLE"]


def test_visit_of_one_arm_leaves_the_model(trial: anndata.AnnData) -> None:
    gone = (trial.obs["visit"] == "W8") & (trial.obs["arm"] == "GCV")
    trial = trial[~gone.to_numpy()].copy()
    tl.mmrm(trial, populations=["treg"])
    table = trial.uns["mmrm"]
    assert table["visit"].tolist() == ["D7", "D14", "D28", "all"]
    assert table["exclusions"].str.contains("rows of W8: fewer than 2 in an arm").all()


def test_strata_of_three_levels_of_which_an_arm_pair_has_two(trial: anndata.AnnData) -> None:
    """A level that nobody has must not make the model depend on itself; numbers are those of the formula."""
    import statsmodels.formula.api as smf

    subjects = trial.obs["usubjid"].unique()
    strata = dict(zip(subjects, np.tile(["low", "mid"], 12), strict=True))
    trial.obs["stratum"] = pd.Categorical(trial.obs["usubjid"].map(strata), categories=["high", "low", "mid"])
    other = trial.obs["usubjid"] == subjects[0]
    trial.obs["arm"] = trial.obs["arm"].astype(str).where(~other, "THIRD")
    trial.obs.loc[other, "stratum"] = "high"
    for covariance in ("classical", "HC3"):
        tl.compare(trial, populations=["nk"], measure="abs", covariates=["stratum"], covariance=covariance)
        row = trial.uns["compare"].set_index("arm").loc["IL2_GCV"]
        column = trial.var_names.get_loc("nk")
        frame = trial.obs.assign(log=np.log2(trial.layers["abs"][:, column]))
        frame = frame[frame["arm"] != "THIRD"]
        # plain names of columns: from Python 3.12 on pandas 2.3 cannot join a frame whose columns are categories
        wide = (
            frame.pivot(index="usubjid", columns="visit", values="log")
            .rename(columns=str)
            .join(frame.groupby("usubjid")[["arm", "stratum"]].first())
        )
        wide["stratum"], wide["arm"] = wide["stratum"].astype(str), wide["arm"].astype(str)
        wide["delta"] = wide["D14"] - wide["BL"]
        kind = "HC3" if covariance == "HC3" else "nonrobust"
        fit = smf.ols("delta ~ BL + arm + stratum", data=wide).fit(cov_type=kind, use_t=True)
        assert row["estimate"] == pytest.approx(fit.params["arm[T.IL2_GCV]"])
        assert row["p_value"] == pytest.approx(fit.pvalues["arm[T.IL2_GCV]"])


def test_lags_pair_neighbouring_visits() -> None:
    adata = cohort(20)
    tl.associate_lagged(adata, populations=["treg"], lags=[1, 0])
    table = adata.uns["associate_lagged"]
    assert table["contrast"].tolist() == [
        "within subjects, population 1 visit before CMV-DNA",
        "within subjects, same visit",
    ]
    tl.associate(adata, populations=["treg"])
    same = adata.uns["associate"].iloc[0]
    assert table.iloc[1][["estimate", "lower", "p_value"]].tolist() == same[["estimate", "lower", "p_value"]].tolist()
    column = adata.var_names.get_loc("treg")
    n, total = adata.layers["counts"][:, column], adata.layers["parent_counts"][:, column]
    frame = adata.obs.assign(
        value=np.log((n + 0.5) / (total - n + 0.5)), virus=adata.obs["cmv_log10"].fillna(adata.obs["cmv_upper"])
    )
    frame = frame.sort_values(["usubjid", "visitnum"])
    frame["before"] = frame.groupby("usubjid")["value"].shift(1)
    frame = frame.dropna(subset=["before", "virus"])
    by_hand = tl.repeated_correlation(
        frame["usubjid"], frame["before"], frame["virus"], adjust=frame["visit"].astype(str), arm=frame["arm"]
    )
    assert table["estimate"].iloc[0] == pytest.approx(by_hand.r)
    assert table["n"].iloc[0] == by_hand.n
    first, second = sorted(table["p_value"])
    assert sorted(table["p_adjusted"]) == pytest.approx([min(2 * first, second), second])


def test_a_missed_visit_makes_no_pair_across_it() -> None:
    adata = cohort(20)
    before = tl.associate_lagged(adata, populations=["treg"], lags=[1]) or adata.uns["associate_lagged"]["n"].iloc[0]
    kept = ~((adata.obs["usubjid"] == adata.obs["usubjid"].iloc[0]) & (adata.obs["visit"] == "D14")).to_numpy()
    fewer = adata[kept].copy()
    tl.associate_lagged(fewer, populations=["treg"], lags=[1])
    # without D14 there is neither BL..D14, nor D14..D28
    assert before - fewer.uns["associate_lagged"]["n"].iloc[0] == 2
    with pytest.raises(AnalysisError, match="different whole numbers"):
        tl.associate_lagged(adata, lags=[1, 1])


def test_censored_model_without_its_interval_is_the_same_but_for_it() -> None:
    adata = cohort(12, visits=3)
    tl.associate_censored(adata, populations=["treg"])
    whole = adata.uns["associate_censored"]
    tl.associate_censored(adata, populations=["treg"], interval=False)
    bare = adata.uns["associate_censored"]
    bounds = ["lower", "upper", "effect_lower", "effect_upper", "conf_level"]
    pd.testing.assert_frame_equal(bare.drop(columns=bounds), whole.drop(columns=bounds))
    association = whole["arm"] == "all"
    assert whole.loc[association, bounds].notna().all(axis=None)
    assert bare.loc[association, bounds].isna().all(axis=None)
    pd.testing.assert_frame_equal(bare[~association], whole[~association])


def test_censored_model_by_hand() -> None:
    adata = cohort(20, visits=3)
    tl.associate_censored(adata, populations=["treg"], trend="linear", random="intercept")
    table = adata.uns["associate_censored"].set_index("contrast")
    column = adata.var_names.get_loc("treg")
    n, total = adata.layers["counts"][:, column], adata.layers["parent_counts"][:, column]
    frame = adata.obs.assign(value=np.log((n + 0.5) / (total - n + 0.5)))
    frame = frame[frame["cmv_kind"].notna()]
    means = frame.groupby("usubjid")["value"].transform("mean")
    week, treated = frame["virology_day"].astype(float) / 7, (frame["arm"] == "IL2_GCV").astype(float)
    design = np.column_stack([np.ones(len(frame)), week, treated, treated * week, frame["value"] - means, means])
    lower = np.where(frame["cmv_kind"] == "QUANT", frame["cmv_log10"], -np.inf)
    fit = tl.fit_tobit_mixed(frame["usubjid"], lower, frame["cmv_upper"], design=design, names=list("abcdef"))
    assert fit.censored == (frame["cmv_kind"] != "QUANT").sum() > 0
    for contrast, term in (("within subjects", "e"), ("between subjects", "f"), ("IL2_GCV - GCV, slope of time", "d")):
        index = "abcdef".index(term)
        assert table.loc[contrast, "estimate"] == pytest.approx(fit.coefficients[index], abs=1e-6)
        assert table.loc[contrast, "effect"] == pytest.approx(10 ** fit.coefficients[index], rel=1e-5)
    assert "20 subjects" in table["note"].iloc[0]


def test_limit_of_detection_as_a_sensitivity() -> None:
    adata = cohort(20)
    tl.associate_censored(adata, populations=["treg"])
    usual = adata.uns["associate_censored"]
    tl.associate_censored(adata, populations=["treg"], lod=91.0)
    narrow = adata.uns["associate_censored"]
    assert narrow["note"].str.contains("censored at the LOD and LLOQ").all()
    assert narrow["estimate"].iloc[0] != usual["estimate"].iloc[0]
    adata.obs["cmv_series"] = "one"
    tl.associate_censored(adata, populations=["treg"], lod={"one": 91.0})
    assert adata.uns["associate_censored"]["estimate"].iloc[0] == pytest.approx(narrow["estimate"].iloc[0])
    for lod, message in ((200.0, "above the limit of quantification"), (0.0, "not positive"), ({}, "no limit")):
        with pytest.raises(AnalysisError, match=message):
            tl.associate_censored(adata, populations=["treg"], lod=lod)


def test_all_censored_and_one_arm_censored() -> None:
    adata = cohort(20)
    below = adata.obs["cmv_kind"].notna()
    adata.obs.loc[below, ["cmv_kind", "cmv_log10", "cmv_lower", "cmv_upper"]] = ["BLQ", np.nan, np.nan, np.log10(137)]
    tl.associate_censored(adata, populations=["treg"])
    table = adata.uns["associate_censored"]
    assert (table["status"] == "NOT_ESTIMABLE").all()
    assert table["note"].str.contains("results are censored").all()
    adata = cohort(20)
    below = adata.obs["cmv_kind"].notna() & (adata.obs["arm"] == "IL2_GCV")
    adata.obs.loc[below, ["cmv_kind", "cmv_log10", "cmv_lower", "cmv_upper"]] = ["BLQ", np.nan, np.nan, np.log10(137)]
    tl.associate_censored(adata, populations=["treg"])
    table = adata.uns["associate_censored"]
    # the arm that never left the limit says nothing; the other answers alone, and the slopes cannot be compared
    assert table["status"].tolist() == ["ESTIMATED", "ESTIMATED", "NOT_ESTIMABLE"]
    assert table["exclusions"].str.contains("rows of an arm at a visit at which all its CMV-DNA is censored").all()
    assert (table["n"] <= 50).all()


def test_few_quantified_results_are_refused() -> None:
    adata = cohort(20)
    below = adata.obs["cmv_kind"].notna() & (adata.obs["visit"] != "BL")
    adata.obs.loc[below, ["cmv_kind", "cmv_log10", "cmv_lower", "cmv_upper"]] = ["BLQ", np.nan, np.nan, np.log10(137)]
    tl.associate_censored(adata, populations=["treg"], trend="linear")
    table = adata.uns["associate_censored"]
    assert (table["status"] == "NOT_ESTIMABLE").all()
    assert table["note"].str.contains("20 quantified results leave -3 degrees of freedom within subjects").all()


def test_visits_with_nothing_quantified_leave_the_free_trend() -> None:
    adata = cohort(20)
    late = (adata.obs["visit"] == "W8") & adata.obs["cmv_kind"].notna()
    adata.obs.loc[late, ["cmv_kind", "cmv_log10", "cmv_lower", "cmv_upper"]] = ["TND", np.nan, np.nan, np.log10(137)]
    tl.associate_censored(adata, populations=["treg"])
    table = adata.uns["associate_censored"]
    assert (table["status"] == "ESTIMATED").all()
    assert table["exclusions"].str.contains("rows of an arm at a visit at which all its CMV-DNA is censored").all()


def test_slopes_on_the_visits_named(trial: anndata.AnnData) -> None:
    tl.compare_slopes(trial, populations=["treg"], visits=["BL", "D7", "D14"])
    row = trial.uns["compare_slopes"].iloc[0]
    # odds of Treg double within about two weeks of IL-2 in the simulated arm
    assert row["estimate"] > 0.2
    assert row["p_value"] < 0.01
    assert row["effect_kind"] == "odds ratio a week"


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (tl.mmrm, {"structures": ["VC"]}, "no covariance structure VC"),
        (tl.mmrm, {"covariates": ["age"]}, "no column age"),
        (tl.mmrm, {"visits": ["D15"]}, "no row of visit D15"),
        (tl.compare_slopes, {"random": "both"}, "random 'both'"),
        (tl.associate_censored, {"trend": "curve"}, "trend 'curve'"),
        (tl.associate_censored, {"random": "none"}, "random 'none'"),
        (tl.compare_ranks, {"reference": "PLACEBO"}, "no arm"),
    ],
)
def test_clear_errors(trial: anndata.AnnData, function: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        function(trial, **options)  # type: ignore[operator]
