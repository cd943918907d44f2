"""Westgard's rules by hand, targets and deviates, and how often rules speak with and without a shift."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from scipy import stats

from immunoprofile.pp.control_rules import REJECTING, Run, Target, deviate, established, judge_runs

UNIT = Target(0.0, 1.0)


def rules_of(*values: float | tuple[float, ...]) -> list[set[str]]:
    """Rejecting rules that each run breaks; a number is a run of one tube."""
    runs = [Run(f"B{number:02d}", one if isinstance(one, tuple) else (one,)) for number, one in enumerate(values, 1)]
    return [set(one.rules) & set(REJECTING) for one in judge_runs(runs, UNIT)]


@pytest.mark.parametrize(
    ("values", "last"),
    [
        # the examples of Westgard, Barry, Hunt and Groth 1981, each just beyond and just inside
        ((3.01,), {"1-3s"}),
        ((-3.01,), {"1-3s"}),
        ((3.0,), set()),
        ((2.01, 2.01), {"2-2s"}),
        ((2.01, -2.01), set()),
        ((2.01, 0.5, 2.01), set()),
        ((-2.5, -2.1), {"2-2s"}),
        (((2.01, -2.01),), {"R-4s"}),
        (((2.5, -1.9),), set()),
        (((2.21, 0.0, -2.3),), set()),  # three tubes: 2.22
        (((2.23, 0.0, -2.3),), {"R-4s"}),
        ((2.1, (-2.1,)), set()),  # another run: no range
        ((1.1, 1.2, 1.3, 1.4), {"4-1s"}),
        ((1.1, 1.2, 1.3, -1.4), set()),
        ((1.1, 1.2, 1.0, 1.4), set()),
        ((-1.1, -1.1, -1.1, -1.1), {"4-1s"}),
        ((0.1,) * 10, {"10-x"}),
        ((0.1,) * 9, set()),
        ((0.1,) * 9 + (-0.1,), set()),
        ((0.1,) * 9 + (0.0,), set()),
        ((-0.4,) * 12, {"10-x"}),
        ((2.1, 2.1, 2.1, 3.1), {"1-3s", "2-2s", "4-1s"}),
    ],
)
def test_rules_by_hand(values, last):
    assert rules_of(*values)[-1] == last


def test_a_rule_is_broken_by_the_run_that_completes_it():
    found = rules_of(*(0.2,) * 12)
    assert found[:9] == [set()] * 9
    assert found[9:] == [{"10-x"}] * 3  # a lasting shift speaks again in every run


def test_warnings_fail_nothing():
    (one,) = judge_runs([Run("B01", (2.5,))], UNIT)
    assert one.rules == ("1-2s",)
    assert not one.failed
    small = judge_runs([Run(f"B{n}", (one,)) for n, one in enumerate((1.9, 1.9, 1.9, 0.5, 1.9, 1.9, 1.9))], UNIT)
    assert small[-1].rules == ("EWMA",)
    assert not small[-1].failed


def test_weighted_mean_by_hand():
    first, second = judge_runs([Run("B01", (1.0,)), Run("B02", (2.0,))], UNIT)
    assert first.ewma == pytest.approx(0.2)
    assert second.ewma == pytest.approx(0.2 * 2 + 0.8 * 0.2)
    # its limit after the first run is 2.962 x 0.2: a deviate of 2.962
    assert judge_runs([Run("B01", (2.97,))], UNIT)[0].rules == ("1-2s", "EWMA")
    assert judge_runs([Run("B01", (2.95,))], UNIT)[0].rules == ("1-2s",)


def test_target_of_first_runs_by_hand():
    values = [10.0, 12.0, 11.0, 13.0, 9.0, 500.0]
    target = established([Run(str(n), (one,)) for n, one in enumerate(values)], wanted=5)
    assert target is not None
    assert (target.mean, target.sd) == pytest.approx((11.0, math.sqrt(2.5)))  # the sixth run changes nothing
    assert established([Run(str(n), (one,)) for n, one in enumerate(values[:4])], wanted=5) is None
    assert established([Run(str(n), (7.0,)) for n in range(5)], wanted=5) is None


def test_target_of_runs_with_several_tubes_by_hand():
    runs = [Run("1", (9.0, 11.0)), Run("2", (12.0, 14.0)), Run("3", (15.0, 17.0))]
    target = established(runs, wanted=3)
    assert target is not None
    # run means 10, 13, 16: variance 9; within runs variance 2 each; one tube: 9 + 2 (1 - 1/2) = 10
    assert (target.mean, target.sd**2, target.within**2) == pytest.approx((13.0, 10.0, 2.0))
    assert target.sd_of(2) ** 2 == pytest.approx(9.0)
    assert target.sd_of(1) ** 2 == pytest.approx(10.0)


def test_declared_sd_without_that_of_a_run_stays_for_a_mean():
    assert Target(50.0, 2.0).sd_of(4) == 2.0
    assert Target(50.0, 2.0, within=2.0).sd_of(4) == pytest.approx(1.0)


def test_deviate_of_an_established_target_is_that_of_the_same_tail():
    target = Target(0.0, 1.0, runs=20)
    for z in (1.0, 2.0, 3.0, -3.0):
        t = float(stats.t.ppf(stats.norm.cdf(z), 19)) * math.sqrt(1 + 1 / 20)
        assert deviate(t, target) == pytest.approx(z)
    assert deviate(1e6, target) > 8
    assert math.isfinite(deviate(1e6, target))


def simulate(*, trials: int, tubes: int, seed: int, known: bool) -> tuple[float, float]:
    """Share of the runs that fail without a shift, and of the shifts of 2 SD that are found within two runs.

    With ``known`` the target is that of the simulation, else it is established from the first 20 runs.
    """
    draw = random.Random(seed)
    failed = runs = found = 0
    for _ in range(trials):
        series = [Run(str(n), tuple(draw.gauss(0, 1) for _ in range(tubes))) for n in range(42)]
        series[-2:] = [Run(one.name, tuple(value + 2 for value in one.values)) for one in series[-2:]]
        target = Target(0.0, 1.0, within=1.0) if known else established(series)
        assert target is not None
        judged = judge_runs(series[20:], target)
        failed += sum(one.failed for one in judged[10:20])
        runs += 10
        found += any(one.failed for one in judged[20:])
    return failed / runs, found / trials


@pytest.mark.parametrize(("tubes", "power"), [(1, 0.424), (3, 0.962)])
def test_false_alarms_and_power_of_the_rules(tubes, power):
    """One tube a run: 0.7 % and 42 %. Three: the same alarms, 96 % (docs/controls.md)."""
    trials = 1500
    alarms, found = simulate(trials=trials, tubes=tubes, seed=1, known=True)
    assert alarms < 0.01
    assert found == pytest.approx(power, abs=4 * math.sqrt(power * (1 - power) / trials) + 0.01)


def test_no_rule_finds_two_sd_with_one_tube_in_nine_of_ten():
    """The most powerful test of two runs at 1 % false alarms, by Neyman and Pearson: 60 %."""
    bound = stats.norm.sf(stats.norm.isf(0.005) - 2 * math.sqrt(2))
    assert bound == pytest.approx(0.60, abs=0.005)


def test_a_shifted_series_is_found_and_stays_found():
    draw = random.Random(3)
    series = [Run(str(n), (draw.gauss(2, 1),)) for n in range(40)]
    judged = judge_runs(series, UNIT)
    assert any(one.failed for one in judged[:10])
    assert statistics.fmean(one.failed for one in judged[10:]) > 0.4
