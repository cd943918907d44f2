"""S12 to S19 on the visits object: what is written, who is left out, and what has no answer."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

from immunoprofile import tl
from immunoprofile.datasets import il2_cmv_counts
from immunoprofile.errors import AnalysisError, StudyError
from immunoprofile.schema import CURVE_COLUMNS, RESPONSE_COLUMNS, STATISTIC_COLUMNS, TIME_TO_CLEARANCE_COLUMNS
from immunoprofile.schema import WORST_GRADE_COLUMNS as GRADES

INF = np.inf
EVENT_FUNCTIONS = (tl.clearance_exact, tl.clearance_interval, tl.clearance_incidence)
PREDICTOR_FUNCTIONS = (tl.landmark, tl.time_varying)
KEYS = ("clearance_exact", "clearance_interval", "cumulative_incidence", "landmark", "time_varying")


def clearance_table(adata: anndata.AnnData, seed: int = 1, ratio: float = 0.7) -> pd.DataFrame:
    """Weekly samples to day 56; IL-2 multiplies the time to clearance by ``ratio``."""
    rng = np.random.default_rng(seed)
    rows = []
    for name, arm in adata.obs.drop_duplicates("usubjid")[["usubjid", "arm"]].itertuples(index=False):
        time = 30 * (ratio if arm == "IL2_GCV" else 1.0) * rng.weibull(1.6)
        low = min(np.floor(time / 7) * 7, 56.0)
        seen = low < 56
        rows.append((name, "clearance_2", low, low + 7 if seen else INF, seen, "", ""))
    return pd.DataFrame(rows, columns=list(TIME_TO_CLEARANCE_COLUMNS))


@pytest.fixture
def trial() -> anndata.AnnData:
    adata = il2_cmv_counts(subjects=40, seed=7)
    adata.uns["study"] = {"count_tube": "count", "reference_arm": "GCV", "primary_visit": "D14"}
    adata.uns["clearance"] = clearance_table(adata)
    return adata


def run_all(adata: anndata.AnnData) -> dict[str, pd.DataFrame]:
    for run in EVENT_FUNCTIONS + PREDICTOR_FUNCTIONS:
        run(adata)
    return {key: adata.uns[key] for key in KEYS}


def test_all_tables_are_tables_of_statistics(trial: anndata.AnnData, tmp_path: object) -> None:
    for table in run_all(trial).values():
        assert tuple(table.columns) == STATISTIC_COLUMNS
        assert (table["status"] == "ESTIMATED").all(), table[["method", "note"]].to_string()
    assert tuple(trial.uns["clearance_curves"].columns) == CURVE_COLUMNS
    assert set(trial.uns["clearance_curves"]["method_id"]) == {"S12", "S13", "S17"}
    trial.write_h5ad(f"{tmp_path}/visits.h5ad")
    again = anndata.read_h5ad(f"{tmp_path}/visits.h5ad")
    assert again.uns["clearance_exact"]["p_value"].equals(trial.uns["clearance_exact"]["p_value"])


def test_effects_are_those_of_the_models(trial: anndata.AnnData) -> None:
    run_all(trial)
    table = trial.uns["clearance"].merge(trial.obs.drop_duplicates("usubjid")[["usubjid", "arm"]], on="usubjid")
    table = table.sort_values("usubjid")
    treated = table["arm"] == "IL2_GCV"
    day = np.where(table["observed"], table["upper_day"], table["lower_day"])
    hazard = tl.cox(day, table["observed"], {"arm": treated})
    exact, interval = trial.uns["clearance_exact"], trial.uns["clearance_interval"]
    row = exact[exact["effect_kind"] == "hazard ratio"].iloc[0]
    assert row["effect"] == pytest.approx(np.exp(hazard.coefficients[0]))
    assert (row["n"], row["n_reference"]) == (20, 20)
    test = tl.permutation_test(table["lower_day"], table["upper_day"], treated, seed=0)
    model = tl.time_ratio(table["lower_day"], table["upper_day"], treated, test=test)
    weibull = interval[interval["method"].str.contains("Weibull, interval")].iloc[0]
    assert weibull[["estimate", "lower", "upper", "p_value"]].tolist() == pytest.approx(model)
    assert weibull["effect_lower"] < weibull["effect"] < weibull["effect_upper"]
    permuted = interval[interval["method"].str.startswith("permutation")].iloc[0]
    assert permuted["effect"] == pytest.approx(weibull["effect"])
    assert "999 permutations, seed 0" in permuted["note"]


def test_cumulative_incidence_beside_a_competing_event(trial: anndata.AnnData) -> None:
    table = trial.uns["clearance"]
    died = table.index[~table["observed"]][0]
    table.loc[died, ["lower_day", "upper_day", "competing"]] = [14.0, 20.0, "death"]
    tl.clearance_incidence(trial, days=(28,))
    rows = trial.uns["cumulative_incidence"]
    arm = trial.obs.set_index("usubjid")["arm"].astype(str)[table.loc[died, "usubjid"]].iloc[0]
    death = rows[rows["method"].str.endswith("of: death") & (rows["arm"] == arm)].iloc[0]
    # all 20 were at risk or had cleared: nobody is censored before day 28, so the incidence is the plain share
    assert death["effect"] == pytest.approx(100 / 20)
    own = table[table["usubjid"].map(trial.obs.drop_duplicates("usubjid").set_index("usubjid")["arm"]).eq(arm)]
    cleared = rows[rows["method"].str.endswith("of: cleared") & (rows["arm"] == arm)].iloc[0]
    assert cleared["effect"] == pytest.approx(100 * (own["observed"] & (own["upper_day"] <= 28)).mean())
    assert "1 with a competing event" in cleared["note"]


def test_the_day_of_a_competing_event_may_have_its_own_column(trial: anndata.AnnData) -> None:
    table = trial.uns["clearance"].astype({"competing": object})
    died = table.index[~table["observed"]][0]
    table.loc[died, ["lower_day", "upper_day", "competing"]] = [14.0, 20.0, "DEATH"]
    trial.uns["clearance"] = table
    tl.clearance_incidence(trial)
    one = trial.uns["cumulative_incidence"]
    assert one["method"].str.contains("DEATH").any()
    trial.uns["clearance"] = table.assign(competing_day=table["upper_day"].where(table["competing"] != "", np.nan),
                                          upper_day=table["upper_day"].mask(table["competing"] != "", INF))  # fmt: skip
    tl.clearance_incidence(trial)
    pd.testing.assert_frame_equal(one, trial.uns["cumulative_incidence"])


def test_rows_in_any_order_give_the_same(trial: anndata.AnnData) -> None:
    first = {key: table.copy() for key, table in run_all(trial).items()}
    trial.uns["clearance"] = trial.uns["clearance"].sample(frac=1, random_state=3)
    other = trial[np.random.default_rng(1).permutation(trial.n_obs)].copy()
    for key, table in run_all(other).items():
        pd.testing.assert_frame_equal(first[key], table, rtol=1e-6)


def all_censored(table: pd.DataFrame, arms: pd.Series) -> pd.DataFrame:
    return table.assign(observed=False, upper_day=INF)


def one_arm_without_event(table: pd.DataFrame, arms: pd.Series) -> pd.DataFrame:
    treated = table["usubjid"].map(arms) == "IL2_GCV"
    return table.assign(observed=table["observed"] & treated, upper_day=table["upper_day"].where(treated, INF))


def separated(table: pd.DataFrame, arms: pd.Series) -> pd.DataFrame:
    treated = table["usubjid"].map(arms) == "IL2_GCV"
    low = np.where(treated, 7.0, 49.0)
    return table.assign(observed=True, lower_day=low, upper_day=low + 7)


def all_tied(table: pd.DataFrame, arms: pd.Series) -> pd.DataFrame:
    return table.assign(observed=True, lower_day=21.0, upper_day=28.0)


def two_subjects(table: pd.DataFrame, arms: pd.Series) -> pd.DataFrame:
    return pd.concat([table[table["usubjid"].map(arms) == arm].head(1) for arm in ("GCV", "IL2_GCV")])


def not_evaluable(table: pd.DataFrame, arms: pd.Series) -> pd.DataFrame:
    return table.assign(lower_day=np.nan, upper_day=np.nan, observed=False, reason="no valid result")


@pytest.mark.parametrize(
    "spoil", [all_censored, one_arm_without_event, separated, all_tied, two_subjects, not_evaluable]
)
def test_what_has_no_answer_is_told_not_raised(trial: anndata.AnnData, spoil: object) -> None:
    arms = trial.obs.drop_duplicates("usubjid").set_index("usubjid")["arm"].astype(str)
    trial.uns["clearance"] = spoil(trial.uns["clearance"], arms).reset_index(drop=True)
    tables = run_all(trial)
    for table in tables.values():
        refused = table[table["status"] == "NOT_ESTIMABLE"]
        assert refused["note"].str.startswith("refused: ").all()
        assert refused[["estimate", "effect", "p_value"]].isna().all(axis=None)
        # a ratio that is printed has a finite interval
        ratios = table[table["effect_kind"].str.contains("ratio") & ~table["method"].str.startswith("permutation")]
        assert np.isfinite(ratios[ratios["status"] == "ESTIMATED"][["effect_lower", "effect_upper"]]).all(axis=None)
    interval = tables["clearance_interval"]
    ratio = interval[interval["effect_kind"].eq("time ratio") & interval["status"].eq("ESTIMATED")]
    assert ratio.empty
    if spoil is not_evaluable:
        assert interval["exclusions"].eq("40 not evaluable (no valid result)").all()


def test_one_arm(trial: anndata.AnnData) -> None:
    one = trial[trial.obs["arm"] == "GCV"].copy()
    for run in EVENT_FUNCTIONS:
        run(one)
    table = one.uns["clearance_interval"]
    assert table["note"].str.contains("there is one arm only").sum() == 1
    assert table["exclusions"].str.contains("20 without an arm").all()


def test_wrong_tables_raise(trial: anndata.AnnData) -> None:
    with pytest.raises(AnalysisError, match="no row of rule clearance_9"):
        tl.clearance_exact(trial, rule="clearance_9")
    table = trial.uns["clearance"]
    trial.uns["clearance"] = pd.concat([table, table.head(1)])
    with pytest.raises(AnalysisError, match="has two rows of clearance_2"):
        tl.clearance_exact(trial)
    trial.uns["clearance"] = table.assign(upper_day=np.nan)
    with pytest.raises(AnalysisError, match="a clearance without an interval"):
        tl.clearance_interval(trial)
    del trial.uns["clearance"]
    with pytest.raises(AnalysisError, match="there is no table of times to clearance"):
        tl.landmark(trial)


def test_landmark_takes_only_those_still_open(trial: anndata.AnnData) -> None:
    tl.landmark(trial, populations=["treg"], day=14)
    row = trial.uns["landmark"].iloc[0]
    table = trial.uns["clearance"]
    later = table[(~table["observed"]) | (table["upper_day"] > 14)]
    early = int((table["observed"] & (table["upper_day"] <= 14)).sum())
    assert early > 0
    assert (row["n"], f"{early} cleared by the landmark" in row["exclusions"]) == (len(later), True)
    # by hand: change of the logit, time from day 14, arm in the model
    column = trial.var_names.get_loc("treg")
    share = (trial.layers["counts"][:, column] + 0.5) / (trial.layers["parent_counts"][:, column] + 1)
    values = trial.obs.assign(y=np.log(share / (1 - share))).pivot(index="usubjid", columns="visit", values="y")
    own = later.set_index("usubjid")
    arms = trial.obs.drop_duplicates("usubjid").set_index("usubjid")["arm"].astype(str)[own.index]
    fit = tl.cox(np.where(own["observed"], own["upper_day"], own["lower_day"]) - 14, own["observed"],
                 {"x": (values["D14"] - values["BL"])[own.index], "arm": arms == "IL2_GCV"})  # fmt: skip
    assert row["estimate"] == pytest.approx(fit.term("x")[0], abs=1e-6)
    assert row["note"].startswith("arm in the model")


def test_a_late_draw_moves_the_landmark_of_its_subject(trial: anndata.AnnData) -> None:
    table = trial.uns["clearance"]
    subject = table[table["upper_day"] == 21]["usubjid"].iloc[0]
    row = (trial.obs["usubjid"] == subject) & (trial.obs["visit"] == "D14")
    tl.landmark(trial, populations=["treg"])
    before = trial.uns["landmark"].iloc[0]["n"]
    trial.obs.loc[row, "virology_day"] = 22
    tl.landmark(trial, populations=["treg"])
    assert trial.uns["landmark"].iloc[0]["n"] == before - 1


def test_newcombe_1998() -> None:
    # Newcombe 1998, table II: 56/70 - 48/80 by method 10 and by Miettinen-Nurminen
    found = tl.proportion_difference((56, 48), (70, 80))
    assert (found.estimate, found.lower, found.upper) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    other = tl.proportion_difference((56, 48), (70, 80), interval="miettinen-nurminen")
    assert (other.lower, other.upper) == pytest.approx((0.0528, 0.3382), abs=5e-5)
    with pytest.raises(AnalysisError, match="more responders than subjects"):
        tl.proportion_difference((6, 1), (5, 5))
    # Fisher's tea: three of four right in both directions, p = 0.4857 two-sided
    assert tl.proportion_difference((3, 1), (4, 4), test="fisher").p_value == pytest.approx(34 / 70)
    assert tl.proportion_difference((0, 0), (5, 5)).p_value == 1.0


@pytest.mark.parametrize(("yes", "n"), [((0, 0), (5, 8)), ((5, 8), (5, 8)), ((5, 0), (5, 8)), ((3, 2), (10, 12))])
@pytest.mark.parametrize("interval", ["newcombe", "miettinen-nurminen"])
def test_intervals_of_a_difference_hold_it_and_mirror(yes: tuple[int, int], n: tuple[int, int], interval: str) -> None:
    found = tl.proportion_difference(yes, n, interval=interval)
    swapped = tl.proportion_difference(yes[::-1], n[::-1], interval=interval)
    assert -1 <= found.lower <= found.estimate <= found.upper <= 1
    assert found.lower < found.upper
    assert (swapped.lower, swapped.upper) == pytest.approx((-found.upper, -found.lower), abs=1e-6)


def test_responders(trial: anndata.AnnData) -> None:
    subjects = trial.obs.drop_duplicates("usubjid")[["usubjid", "arm"]]
    treated = subjects["arm"].eq("IL2_GCV").to_numpy()
    answer = np.where(treated, np.arange(40) % 4 != 0, np.arange(40) % 2 == 0)
    table = pd.DataFrame({"usubjid": subjects["usubjid"], "rule_id": "vr_d14", "response": answer, "reason": ""})
    table["response"] = table["response"].astype("boolean")
    missing = table.index[treated][0]
    table.loc[missing, ["response", "reason"]] = [pd.NA, "no result in the window"]
    trial.uns["responses"] = table[list(RESPONSE_COLUMNS)]
    tl.responders(trial)
    row = trial.uns["responders"].iloc[0]
    known = treated & table["response"].notna().to_numpy()
    share = table["response"][known].astype(float).mean() - table["response"][~treated].astype(float).mean()
    assert row["effect"] == pytest.approx(100 * share)
    assert (row["n"], row["n_reference"]) == (19, 20)
    assert row["exclusions"] == "IL2_GCV: 1 not evaluable (no result in the window)"
    trial.uns["responses"]["response"] = pd.NA
    tl.responders(trial)
    assert trial.uns["responders"]["status"].tolist() == ["NOT_ESTIMABLE"]


def grades(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame([(*row, "CTCAE v5.0") for row in rows], columns=list(GRADES))


def test_grades_carry_their_version_and_versions_are_never_mixed(trial: anndata.AnnData) -> None:
    five = grades(("S1", "A", "PLT", 0, 4, 50), ("S2", "A", "PLT", 0, 1, 50))
    six = five.assign(worst_grade=[3, 1], version="CTCAE v6.0")
    trial.uns["worst_grades"] = pd.concat([five, six], ignore_index=True)
    tl.grade_shifts(trial)
    tl.grade_rates(trial, threshold=4)
    shift, rate = trial.uns["grade_shifts"], trial.uns["grade_rates"]
    assert shift.groupby("version")["n"].sum().to_dict() == {"CTCAE v5.0": 2, "CTCAE v6.0": 2}
    assert shift["n_arm"].unique().tolist() == [2]
    assert rate.set_index("version")["n"].to_dict() == {"CTCAE v5.0": 1, "CTCAE v6.0": 0}
    trial.uns["worst_grades"] = five.assign(version=["CTCAE v5.0", ""])
    with pytest.raises(StudyError, match="by which criteria"):
        tl.grade_shifts(trial)


def test_shift_and_rate_by_hand() -> None:
    table = grades(("S1", "A", "ANC", 0, 3, 50), ("S2", "A", "ANC", 0, 1, 100), ("S3", "A", "ANC", np.nan, 4, 50),
                   ("S4", "A", "ANC", 3, 3, 50), ("S5", "B", "ANC", 1, 1, 100),
                   ("S6", "A", "PLT", 0, 0, np.nan))  # fmt: skip
    shift = tl.shift_table(table).set_index(["test", "arm", "baseline_grade", "worst_grade"])
    assert shift.loc[("ANC", "A", "0", "3")].tolist() == [1, 4, 25.0, "CTCAE v5.0"]
    assert shift.loc[("ANC", "A", "unknown", "4"), "n"] == 1
    assert shift["n"].sum() == len(table)
    rates = tl.rate_table(table).set_index(["test", "arm"])
    # one event in 200 days; exact Poisson limits of one event: 0.025318 and 5.571643
    anc = rates.loc[("ANC", "A")]
    assert (anc["n"], anc["n_evaluable"], anc["exposure_days"], anc["rate"]) == (1, 3, 200.0, 0.5)
    assert (anc["lower"], anc["upper"]) == pytest.approx((0.02531781 / 2, 5.571643 / 2), rel=1e-6)
    assert "1 without a grade" in anc["exclusions"]
    assert (rates.loc[("ANC", "B"), "lower"], rates.loc[("ANC", "B"), "rate"]) == (0.0, 0.0)
    assert np.isnan(rates.loc[("PLT", "A"), "rate"])
    assert rates.loc[("PLT", "A"), "exclusions"] == "1 without exposure"


def test_impossible_grades_are_named_all_at_once(trial: anndata.AnnData) -> None:
    trial.uns["worst_grades"] = grades(("S1", "A", "ANC", 0, 6, 50), ("S1", "A", "ANC", 1.5, 2, -1))
    with pytest.raises(StudyError) as caught:
        tl.grade_shifts(trial)
    assert len(caught.value.problems) == 4
    with pytest.raises(AnalysisError, match="no grade 7"):
        tl.rate_table(grades(), threshold=7)


def test_functional_readouts_take_part_like_a_population(trial: anndata.AnnData) -> None:
    rng = np.random.default_rng(2)
    values = 2.0 ** rng.normal(4, 1, trial.n_obs)
    values[0] = 0.0
    trial.obsm["functional"] = pd.DataFrame({"nk_cd107a": values}, index=trial.obs_names)
    tl.compare(trial, populations=["nk_cd107a"], measure="functional")
    row = trial.uns["compare"].iloc[0]
    assert (row["status"], row["effect_kind"], row["measure"]) == ("ESTIMATED", "fold change", "functional")
    logs = np.log2(np.where(values > 0, values, values[values > 0].min() / 2))
    frame = trial.obs.assign(y=logs).pivot(index=["usubjid", "arm"], columns="visit", values="y").dropna(subset="BL")
    arm = frame.index.get_level_values("arm").to_numpy(str)
    fit = tl.ancova(frame["D14"] - frame["BL"], frame["BL"], arm, reference="GCV")
    assert row["estimate"] == pytest.approx(fit.term("arm[IL2_GCV]")[0])
    tl.change(trial, populations=["nk_cd107a"], measure="functional", scale="identity")
    assert trial.uns["change"]["effect_kind"].eq("difference").all()
    with pytest.raises(AnalysisError, match="no functional readout treg"):
        tl.compare(trial, populations=["treg"], measure="functional")


def test_arms_sampled_unequally_are_told(trial: anndata.AnnData) -> None:
    tl.clearance_exact(trial)
    table = trial.uns["clearance_exact"]
    assert not table["note"].str.contains("sampled unequally").any()
    times = trial.uns["clearance"]
    arm = times["usubjid"].map(trial.obs.drop_duplicates("usubjid").set_index("usubjid")["arm"]).astype(str)
    seldom = (arm == "GCV") & times["observed"]
    times.loc[seldom, "upper_day"] = times.loc[seldom, "lower_day"] + 21
    tl.clearance_exact(trial)
    table = trial.uns["clearance_exact"]
    compared = table["method"].str.contains("log-rank|Cox")
    assert table.loc[compared, "note"].str.startswith("the arms were sampled unequally (mean gap").all()


def test_not_evaluable_as_no_response(trial: anndata.AnnData) -> None:
    subjects = list(trial.obs["usubjid"].unique())
    arm = trial.obs.drop_duplicates("usubjid").set_index("usubjid")["arm"].astype(str)
    answers = pd.array([True, None, False, True] * (len(subjects) // 4), dtype="boolean")
    parts = [pd.DataFrame({"usubjid": subjects, "rule_id": rule, "response": answers, "reason": "no result"})
             for rule in ("vr_d14", "recurrence")]  # fmt: skip
    trial.uns["responses"] = pd.concat(parts, ignore_index=True)
    tl.responders(trial)
    table = trial.uns["responders"]
    # a return that could not be judged is no return that did not happen
    assert table["population"].tolist() == ["recurrence", "vr_d14", "vr_d14"]
    plain, everybody = table.iloc[1], table.iloc[2]
    assert everybody["contrast"] == f"{plain['contrast']}, not evaluable = no response"
    assert everybody["n"] == int((arm == plain["arm"]).sum())
    yes = [int((pd.Series(answers, subjects).fillna(False) & (arm.reindex(subjects) == name)).sum())
           for name in (plain["arm"], "GCV")]  # fmt: skip
    assert everybody["estimate"] == pytest.approx(100 * (yes[0] - yes[1]) / 20)
    tl.adjust_families(trial, [tl.Family("F6", "Benjamini-Hochberg", ("responders",))])
    assert trial.uns["responders"]["family"].tolist() == ["F6", "F6", ""]
