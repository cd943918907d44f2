"""S12 to S17: times to an event against the numbers of R, against lifelines, and by hand."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immunoprofile.errors import AnalysisError
from immunoprofile.tl.aft import interval_aft, permutation_test, profile_interval, time_ratio
from immunoprofile.tl.survival import cox, cox_time_varying, cumulative_incidence, kaplan_meier, log_rank
from immunoprofile.tl.turnbull import turnbull

INF = np.inf

# interval::bcos as R's survfit(interval2) gives it
RAD = {(4, 5): 0.0463, (6, 7): 0.0334, (7, 8): 0.0887, (11, 12): 0.0708, (24, 25): 0.0926, (33, 34): 0.0818,
       (38, 40): 0.1209, (46, 48): 0.4656}  # fmt: skip
RADCHEM = {(4, 5): 0.0433, (5, 8): 0.0433, (11, 12): 0.0692, (16, 17): 0.1454, (18, 19): 0.1411, (19, 20): 0.1157,
           (24, 25): 0.0999, (30, 31): 0.0709, (35, 36): 0.1608, (44, 48): 0.0552, (48, 60): 0.0552}  # fmt: skip


@pytest.fixture
def golden(outside_data: Path) -> Path:
    return outside_data / "golden_statistics"


def test_aml(golden: Path) -> None:
    data = pd.read_csv(golden / "aml.csv")
    medians = {arm: kaplan_meier(own["time"], own["status"]).median()[0] for arm, own in data.groupby("x")}
    assert medians == {"Maintained": 31, "Nonmaintained": 23}
    test = log_rank(data["time"], data["status"], data["x"].to_numpy(str))
    assert (test.chi_squared, test.p_value, test.df) == pytest.approx((3.39639, 0.06534, 1), abs=5e-6)
    fit = cox(data["time"], data["status"], {"x": data["x"] != "Maintained"})
    assert (fit.coefficients[0], fit.standard_errors[0]) == pytest.approx((0.915533, 0.511934), abs=2e-6)


def test_lung(golden: Path) -> None:
    data = pd.read_csv(golden / "lung.csv")
    dead = data["status"] == 2
    for sex, expected in ((1, (270, 212, 310)), (2, (426, 348, 550))):
        own = data["sex"] == sex
        assert kaplan_meier(data["time"][own], dead[own], interval="log").median() == expected
    assert log_rank(data["time"], dead, data["sex"].to_numpy(str)).chi_squared == pytest.approx(10.32674, abs=5e-6)
    full = data.dropna(subset="ph.ecog")
    fit = cox(full["time"], full["status"] == 2, {name: full[name] for name in ("age", "sex", "ph.ecog")})
    assert fit.coefficients == pytest.approx([0.011067, -0.552612, 0.463728], abs=2e-6)
    assert fit.standard_errors == pytest.approx([0.009267, 0.167739, 0.113577], abs=1e-6)


def test_pbc_and_aids(golden: Path) -> None:
    data = pd.read_csv(golden / "pbc.csv").dropna(subset="protime")
    logs = {f"log_{name}": np.log(data[name]) for name in ("bili", "protime", "albumin")}
    fit = cox(data["time"], data["status"] == 2, {"age": data["age"], "edema": data["edema"]} | logs)
    assert fit.coefficients == pytest.approx([0.039609, 0.896311, 0.863551, 2.386839, -2.506923], abs=2e-5)
    patients = pd.read_csv(golden / "aids.csv").drop_duplicates("patient")
    fit = cox(patients["Time"], patients["death"], {"ddI": patients["drug"] == "ddI"})
    assert (fit.coefficients[0], fit.standard_errors[0]) == pytest.approx((0.210190, 0.14622), abs=1e-6)


def test_turnbull_of_bcos(golden: Path) -> None:
    data = pd.read_csv(golden / "bcos.csv")
    for arm, masses, value, at_40 in (("Rad", RAD, -58.060, 0.466), ("RadChem", RADCHEM, -65.637, 0.110)):
        own = data[data["treatment"] == arm]
        fit = turnbull(own["left"], own["right"])
        assert list(zip(fit.lower, fit.upper, strict=True)) == list(masses)
        assert fit.mass == pytest.approx(list(masses.values()), abs=6e-5)
        assert fit.log_likelihood == pytest.approx(value, abs=5e-4)
        assert fit.survival_at(40) == pytest.approx(at_40, abs=5e-4)
    assert np.isnan(turnbull([4, 5], [6, 7]).survival_at(5.5))


def test_weibull_aft(golden: Path) -> None:
    data = pd.read_csv(golden / "bcos.csv")
    fit = interval_aft(data["left"], data["right"], {"RadChem": data["treatment"] == "RadChem"})
    assert fit.coefficients == pytest.approx([3.8993, -0.5676], abs=5e-5)
    assert fit.standard_errors == pytest.approx([0.1405, 0.1757], abs=5e-5)
    assert (np.exp(fit.log_scale), fit.log_scale) == pytest.approx((0.6194, -0.479), abs=2e-4)
    assert fit.log_likelihood == pytest.approx(-143.3208, abs=5e-5)
    mice = pd.read_csv(golden / "mice.csv")
    fit = interval_aft(mice["l"], mice["u"].fillna(INF), {"ge": mice["grp"] == "ge"})
    assert fit.coefficients == pytest.approx([6.948142, -0.387606], abs=5e-6)
    assert fit.standard_errors[1] == pytest.approx(0.280983, abs=5e-6)
    assert fit.log_likelihood == pytest.approx(-80.32020, abs=5e-6)


def test_weibull_aft_with_exact_times() -> None:
    from lifelines.datasets import load_diabetes

    data = load_diabetes()
    fit = interval_aft(data["left"], data["right"], {"male": data["gender"] == "male"})
    assert fit.coefficients == pytest.approx([2.907977, 0.045758], abs=1e-6)
    assert fit.standard_errors[1] == pytest.approx(0.027501, abs=1e-6)
    assert (-fit.log_scale, fit.log_likelihood) == pytest.approx((1.038961, -2027.1963), abs=5e-5)


def weekly(rng: np.random.Generator, n: int, log_time_ratio: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    arm = np.arange(n) % 2
    time = 20 * np.exp(log_time_ratio * arm) * rng.weibull(1.5, n)
    lower = np.minimum(np.floor(time / 7) * 7, 56)
    return lower, np.where(lower >= 56, INF, lower + 7), arm.astype(bool)


@pytest.mark.parametrize("distribution", ["weibull", "log-logistic"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_aft_equals_lifelines(distribution: str, seed: int) -> None:
    from lifelines import LogLogisticAFTFitter, WeibullAFTFitter

    lower, upper, arm = weekly(np.random.default_rng(seed), 60)
    fit = interval_aft(lower, upper, {"arm": arm}, distribution=distribution)
    fitter = WeibullAFTFitter() if distribution == "weibull" else LogLogisticAFTFitter()
    frame = pd.DataFrame({"lower": lower, "upper": upper, "arm": arm.astype(float)})
    other = fitter.fit_interval_censoring(frame, "lower", "upper")
    location = other.params_.index[0][0]
    assert fit.coefficients == pytest.approx(
        [other.params_[location, "Intercept"], other.params_[location, "arm"]], abs=2e-3
    )
    assert fit.standard_errors[1] == pytest.approx(other.standard_errors_[location, "arm"], abs=2e-3)
    # both are at the maximum of the same function; ours is not the lower one
    assert fit.log_likelihood == pytest.approx(other.log_likelihood_, abs=1e-4)
    assert fit.log_likelihood >= other.log_likelihood_ - 1e-7


@settings(max_examples=25)
@given(st.integers(0, 2**20), st.floats(0.1, 100))
def test_aft_knows_no_unit_of_time(seed: int, factor: float) -> None:
    lower, upper, arm = weekly(np.random.default_rng(seed), 40)
    one = interval_aft(lower, upper, {"arm": arm})
    other = interval_aft(lower * factor, upper * factor, {"arm": arm})
    assert other.coefficients == pytest.approx([one.coefficients[0] + np.log(factor), one.coefficients[1]], abs=1e-5)
    assert other.log_scale == pytest.approx(one.log_scale, abs=1e-5)


@pytest.mark.parametrize("distribution", ["weibull", "log-logistic"])
def test_profile_interval_is_where_the_likelihood_ratio_test_rejects(distribution: str) -> None:
    lower, upper, arm = weekly(np.random.default_rng(8), 30)
    covariates = {"x": np.linspace(-1, 1, 30), "arm": arm.astype(float)}
    whole = interval_aft(lower, upper, covariates, distribution=distribution)
    low, high = profile_interval(lower, upper, covariates, term="arm", distribution=distribution)
    for end in (low, high):
        # with the effect fixed at the end, the times of the arm are rescaled and it leaves the model
        scale = np.exp(-end * arm)
        fixed = interval_aft(lower * scale, upper * scale, {"x": covariates["x"]}, distribution=distribution)
        assert 2 * (whole.log_likelihood - fixed.log_likelihood) == pytest.approx(3.841459, abs=1e-4)
    assert low < whole.coefficients[2] < high


def test_time_ratio_near_the_wald_answer_in_a_large_sample() -> None:
    lower, upper, arm = weekly(np.random.default_rng(9), 1000)
    wald = interval_aft(lower, upper, {"arm": arm}).term("arm")
    assert time_ratio(lower, upper, arm)[:3] == pytest.approx(wald[:3], abs=0.005)
    assert (1 - time_ratio(lower, upper, arm, confidence=0.8)[3]) == pytest.approx(1, abs=1e-6)


def test_permutation_test_of_few_subjects_tries_all() -> None:
    lower, upper = np.array([0, 7, 7, 14, 21, 28.0]), np.array([7, 14, 14, 21, 28, INF])
    group = np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    outcome = permutation_test(lower, upper, group, seed=1)
    assert (outcome.permutations, outcome.exact) == (20, True)
    own = interval_aft(lower, upper, {"g": group}).coefficients[1]
    effects = []
    for chosen in combinations(range(6), 3):
        label = np.isin(np.arange(6), chosen)
        try:
            effects.append(abs(interval_aft(lower, upper, {"g": label}).coefficients[1]))
        except AnalysisError:
            effects.append(INF)
    assert outcome.p_value == np.mean(np.array(effects) >= abs(own) - 1e-7)


def test_permutation_test_is_the_same_for_the_same_seed_and_close_to_wald() -> None:
    lower, upper, arm = weekly(np.random.default_rng(5), 60)
    one, same = (permutation_test(lower, upper, arm, seed=3) for _ in range(2))
    assert one == same
    wald = interval_aft(lower, upper, {"arm": arm}).term("arm")[3]
    assert one.p_value == pytest.approx(wald, abs=0.03)


@pytest.mark.parametrize(
    ("lower", "upper", "group", "words"),
    [
        ([7, 7, 14, 14, 21, 7], [INF] * 6, [0, 1, 0, 1, 0, 1], "all times are censored"),
        ([0, 7, 14, 14, 28, 28, 28, 28], [7, 14, 21, 21, *[INF] * 4], [0] * 4 + [1] * 4, "no finite maximum"),
        ([7] * 8, [14] * 8, [0, 1] * 4, "no finite maximum"),
        ([0, 7], [7, 14], [0, 1], "2 subjects for 3 parameters"),
        ([0, 7, 14, 7, 14], [7, 14, 21, 14, INF], [1] * 5, "cannot be told apart"),
        ([14, 7, 14, 7, 14], [7, 14, 21, 14, INF], [1, 0, 1, 0, 1], "reversed"),
    ],
)
def test_aft_refuses_what_has_no_answer(lower: list[float], upper: list[float], group: list[int], words: str) -> None:
    with pytest.raises(AnalysisError, match=words):
        interval_aft(lower, upper, {"group": group})


times_and_events = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=2, max_size=25).filter(
    lambda rows: any(seen for _, seen in rows)
)


@settings(max_examples=25)
@given(times_and_events)
def test_turnbull_of_exact_times_is_kaplan_meier(rows: list[tuple[int, bool]]) -> None:
    times, seen = np.array([row[0] for row in rows], dtype=float), np.array([row[1] for row in rows])
    fit = turnbull(times, np.where(seen, times, INF))
    curve = kaplan_meier(times, seen)
    for time in times[seen]:
        assert fit.survival_at(time) == pytest.approx(curve.at(time, start=1.0)[0], abs=1e-4)


@settings(max_examples=25)
@given(times_and_events)
def test_kaplan_meier_by_its_product(rows: list[tuple[int, bool]]) -> None:
    times, seen = np.array([row[0] for row in rows], dtype=float), np.array([row[1] for row in rows])
    curve = kaplan_meier(times, seen)
    value = 1.0
    for time in np.unique(times):
        value *= 1 - ((times == time) & seen).sum() / (times >= time).sum()
        found, low, high = curve.at(time, start=1.0)
        assert found == pytest.approx(value, abs=1e-9)
        assert np.isnan(low) or low - 1e-12 <= found <= high + 1e-12


def test_cumulative_incidence_equals_lifelines_without_ties() -> None:
    from lifelines import AalenJohansenFitter

    rng = np.random.default_rng(0)
    times, kinds = rng.exponential(10, 40), rng.choice([0, 1, 2], 40)
    other = AalenJohansenFitter(calculate_variance=True).fit(times, kinds, 1)
    curve = cumulative_incidence(times, np.array(["", "cleared", "death"])[kinds], of="cleared")
    assert curve.value == pytest.approx(other.cumulative_density_.iloc[1:, 0].to_numpy())
    # lifelines gives the interval on the log-log scale of the incidence, ours is on that of 1 - incidence, as the
    # curve of Kaplan and Meier: the variance is the same
    measured = curve.value > 0
    free = 1 - curve.value[measured]
    error = 1.959964 * np.sqrt(other.variance_.iloc[1:].to_numpy().ravel()[measured])
    factor = np.exp(error / (free * -np.log(free)))
    assert curve.lower[measured] == pytest.approx(1 - free ** (1 / factor))
    assert curve.upper[measured] == pytest.approx(1 - free**factor)


def test_cumulative_incidence_without_competing_events_is_one_minus_kaplan_meier() -> None:
    rng = np.random.default_rng(3)
    times, seen = np.ceil(rng.exponential(10, 30)), rng.random(30) < 0.7
    one = cumulative_incidence(times, np.where(seen, "cleared", ""), of="cleared")
    other = kaplan_meier(times, seen)
    for ours, theirs in ((one.value, other.value), (one.lower, other.upper), (one.upper, other.lower)):
        inner = (one.value > 0) & (one.value < 1)
        assert ours[inner] == pytest.approx(1 - theirs[inner])


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 8), st.sampled_from(["", "a", "b"])), min_size=1, max_size=25))
def test_incidences_and_survival_add_up(rows: list[tuple[int, str]]) -> None:
    times, kinds = [float(row[0]) for row in rows], [row[1] for row in rows]
    both = [cumulative_incidence(times, kinds, of=name).value for name in ("a", "b")]
    survival = kaplan_meier(times, [kind != "" for kind in kinds]).value
    assert both[0] + both[1] + survival == pytest.approx(np.ones(len(survival)))


def test_time_varying_cox_of_constant_covariates_is_cox() -> None:
    rng = np.random.default_rng(4)
    n = 60
    x = rng.normal(size=n)
    time = np.ceil(20 * np.exp(-0.5 * x) * rng.exponential(size=n))
    seen = rng.random(n) < 0.8
    whole = cox(time, seen, {"x": x})
    rows = []
    for subject in range(n):
        cuts = [0.0, *np.arange(7, time[subject], 7), time[subject]]
        for start, stop in pairwise(cuts):
            rows.append((f"S{subject}", start, stop, bool(seen[subject] and stop == time[subject]), x[subject]))
    table = pd.DataFrame(rows, columns=["usubjid", "start", "stop", "event", "x"])
    split = cox_time_varying(table, covariates=["x"])
    assert split.coefficients == pytest.approx(whole.coefficients, abs=1e-5)
    assert split.standard_errors == pytest.approx(whole.standard_errors, abs=1e-5)
    assert (split.n, split.events) == (n, int(seen.sum()))


def test_cox_refuses_what_has_no_answer() -> None:
    time, arm = np.arange(1.0, 13), np.array([0, 1] * 6)
    with pytest.raises(AnalysisError, match="all events are on one side of arm"):
        cox(time, arm == 1, {"arm": arm})
    with pytest.raises(AnalysisError, match="2 events are fewer than 3 for each of 1 parameters"):
        cox(time, time < 3, {"arm": arm})
    with pytest.raises(AnalysisError, match=r"no finite maximum|runs to infinity"):
        cox(time, np.ones(12, dtype=bool), {"x": -time})
    with pytest.raises(AnalysisError, match="does not vary"):
        cox(time, np.ones(12, dtype=bool), {"x": np.ones(12)})
    with pytest.raises(AnalysisError, match="no event"):
        log_rank(time, np.zeros(12, dtype=bool), arm.astype(str))


def test_limits_of_a_median_are_in_order_or_missing() -> None:
    """All events on one day: Greenwood's variance does not exist there, and no limit of the median does either."""
    middle, low, high = kaplan_meier([5, 5, 5], [True] * 3).median()
    assert (middle, high) == (5, INF)
    assert np.isnan(low)


@pytest.mark.parametrize(
    ("time", "seen", "median"),
    [
        ([1, 2, 3, 4], [1, 1, 1, 1], 2.5),
        ([2, 4, 6, 9, 11, 13, 17, 19], [1, 1, 1, 1, 0, 1, 0, 1], 11),
        ([3, 5, 5, 8, 12, 12, 15, 20, 21, 30], [1, 1, 0, 1, 1, 0, 1, 1, 0, 1], 15),
    ],
)
def test_median_where_the_curve_lies_at_one_half(time: list[int], seen: list[int], median: float) -> None:
    """R 4.2.2, survival 3.5.3: summary(survfit(Surv(time, seen) ~ 1, conf.type = "log-log"))$table."""
    assert kaplan_meier(time, np.array(seen, dtype=bool)).median()[0] == median
