"""Kinetic summaries: numbers that R gives, and what cannot be estimated."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from immunoprofile.schema import CMV_KINETICS
from immunoprofile.virology import kinetics
from tests.virology.made_up_study import GOLDEN, ROCHE, Series, day_text, made_up

LLOQ = math.log10(137)


def summary(series: Series, **changes: object) -> pd.Series:
    return kinetics(made_up(series), **changes).iloc[0]  # type: ignore[arg-type]


def test_golden_series() -> None:
    one = summary(GOLDEN)
    assert tuple(one.index) == tuple(CMV_KINETICS)
    assert one["slope"] == pytest.approx(-0.11044, rel=1e-4)
    assert one["slope_intercept"] == pytest.approx(4.3599, rel=1e-4)
    assert one["slope_sigma"] == pytest.approx(0.3436, rel=2e-4)
    assert one["half_life_d"] == pytest.approx(2.726, rel=1e-4)
    assert one["auc_log10"] == pytest.approx(85.311, rel=1e-4)
    assert one["auc_excess"] == pytest.approx(25.483, rel=1e-4)
    assert one["auc_linear"] == pytest.approx(126_038.5, rel=1e-6)
    assert one["auc_time_averaged_log10"] == pytest.approx(85.311 / 28, rel=1e-4)
    assert (one["auc_duration_d"], one["auc_pct_censored"], one["auc_status"]) == (28, 40, "COMPLETE")
    assert (one["slope_n"], one["slope_last_day"], one["slope_status"]) == (5, 28, "ESTIMATED")
    assert (one["peak_log10"], one["time_to_peak_d"]) == (math.log10(12000), 7)
    assert (one["d7_log10"], one["d14_log10"]) == (math.log10(12000), math.log10(800))
    assert (one["d28_kind"], one["d28_log10_upper"]) == ("TND", LLOQ)
    assert math.isnan(one["d28_log10"])
    assert one["pct_below_lloq"] == 40


def test_half_life_inverts_the_interval_of_the_slope() -> None:
    one = summary(GOLDEN)
    assert one["slope_lower"] < one["slope"] < one["slope_upper"] < 0
    assert one["half_life_lower_d"] == pytest.approx(math.log10(2) / -one["slope_lower"])
    assert one["half_life_upper_d"] == pytest.approx(math.log10(2) / -one["slope_upper"])
    assert math.isnan(one["doubling_time_d"])


def test_an_interval_that_contains_zero_has_no_half_life() -> None:
    one = summary([(0, "10000"), (7, "30000"), (14, "3000"), (21, "9000")])
    assert one["slope"] < 0 < one["slope_upper"]
    assert one[["half_life_d", "half_life_lower_d", "half_life_upper_d", "doubling_time_d"]].isna().all()


def test_a_rise_has_a_doubling_time() -> None:
    """10-fold in 14 days doubles in 14 x log10(2) = 4.214 days."""
    one = summary([(0, "1000"), (7, "3200"), (14, "10000"), (21, "31000"), (28, "100000")])
    assert one["doubling_time_d"] == pytest.approx(14 * math.log10(2), rel=0.02)
    assert one["doubling_time_lower_d"] < one["doubling_time_d"] < one["doubling_time_upper_d"]
    assert math.isnan(one["half_life_d"])


def test_slope_from_the_peak_of_the_first_week() -> None:
    """From day 7 on two results are quantified, and the line through them is below the LLOQ where it must be."""
    one = summary(GOLDEN)
    assert one["peak_slope_from_day"] == 7
    assert one["peak_slope"] == pytest.approx((math.log10(800) - math.log10(12000)) / 7)
    assert one["peak_slope_status"] == "NO_INTERVAL"
    assert one["peak_slope_reason"] == "the results lie on a line: no interval"
    assert math.isnan(one["peak_slope_lower"])
    day_8 = summary([(0, "10000"), (8, "12000"), (14, "800"), (21, "<137")])
    assert day_8["peak_slope_from_day"] == 0  # day 8 is not the first week


def test_slope_ends_at_the_sample_that_confirms_clearance() -> None:
    early = [(0, "10000"), (3, "5200"), (7, "1000"), (14, "TND"), (19, "TND")]
    late = [*early, (26, "TND"), (28, "500")]
    assert summary(early)["slope_last_day"] == 19
    assert summary(late)["slope"] == summary(early)["slope"]


def test_slope_and_area_end_with_week_4() -> None:
    series = [(0, "10000"), (7, "5200"), (14, "3000"), (28, "1100")]
    one, more = summary(series), summary([*series, (32, "900"), (56, "800")])
    for name in ("slope", "slope_last_day", "auc_log10", "auc_duration_d"):
        assert one[name] == more[name]
    assert summary([*series[:3], (31, "1100")])["slope_last_day"] == 31  # within the window of week 4


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        ([(0, "10000"), (7, "5000")], "2 results, 2 QUANT"),
        ([(0, "10000"), (7, "<137"), (14, "TND")], "3 results, 1 QUANT"),
        ([(0, "TND"), (7, "TND"), (14, "TND")], "0 QUANT"),
        ([], "no valid dated result"),
        ([(0, "haemolysed")], "no valid dated result"),
    ],
)
def test_too_few_results(series: list[tuple[int, str]], reason: str) -> None:
    one = summary(series)
    assert one["slope_status"] == "NOT_ESTIMABLE"
    assert reason in one["slope_reason"]
    assert math.isnan(one["slope"])


def test_without_an_anchor_nothing_is_counted_in_days() -> None:
    one = kinetics(made_up(GOLDEN, first_gcv_dtc=None)).iloc[0]
    assert one["slope_reason"] == "the date of the first ganciclovir is missing"
    assert math.isnan(one["auc_log10"]) and math.isnan(one["peak_log10"])


@pytest.mark.parametrize(
    ("days", "status", "reason"),
    [
        ((0, 14, 28), "COMPLETE", ""),  # gaps of exactly 14 days
        ((0, 13, 28), "INCOMPLETE", "a gap of 15 days"),
        ((0, 7, 14), "COMPLETE", ""),  # 14 days to week 4
        ((0, 7, 13), "INCOMPLETE", "a gap of 15 days"),
        ((7, 14, 28), "NOT_ESTIMABLE", "no result at day 0"),
        ((0,), "NOT_ESTIMABLE", "fewer than 2"),
    ],
)
def test_area_and_gaps(days: tuple[int, ...], status: str, reason: str) -> None:
    one = summary([(day, "5000") for day in days])
    assert one["auc_status"] == status
    assert one["auc_reason"].startswith(reason)
    assert math.isnan(one["auc_log10"]) == (status == "NOT_ESTIMABLE")


def test_area_by_hand() -> None:
    """(4 + 3)/2 x 10 + (3 + log10 137)/2 x 10; above the LLOQ: minus 20 x log10 137."""
    one = summary([(0, "10000"), (10, "1000"), (20, "TND")])
    by_hand = 35 + (3 + LLOQ) * 5
    assert one["auc_log10"] == pytest.approx(by_hand)
    assert one["auc_excess"] == pytest.approx(by_hand - 20 * LLOQ)
    assert one["auc_linear"] == pytest.approx(55_000 + 5_685)


def test_a_baseline_before_day_0_stands_at_day_0() -> None:
    before, on_day = (summary([(day, "10000"), (7, "5000"), (14, "2600")]) for day in (-3, 0))
    for name in ("slope", "auc_log10", "auc_duration_d", "time_to_peak_d"):
        assert before[name] == on_day[name]
    both = summary([(-3, "90000"), (7, "5000"), (14, "2600")])
    assert both["peak_log10"] == math.log10(90000)


def test_a_result_of_day_0_itself_comes_first() -> None:
    study = made_up([(-3, "90000"), (0, "10000"), (7, "5000"), (14, "2600")])
    study.cmv_dna.loc[1, "collected_dtc"] = day_text(0, "T18:00")  # after the first dose: no baseline
    one = kinetics(study).iloc[0]
    assert one["slope_n"] == 3
    assert one["slope"] == pytest.approx(summary([(0, "10000"), (7, "5000"), (14, "2600")])["slope"])


def test_above_the_range_is_censored_too() -> None:
    one = summary([(0, ">9100000"), (7, "5000000"), (14, "2600000"), (21, "1200000")])
    assert (one["peak_kind"], one["peak_log10_lower"]) == ("ALQ", math.log10(9.1e6))
    assert math.isnan(one["peak_log10"]) and math.isnan(one["peak_log10_upper"])
    assert one["slope_status"] == "ESTIMATED"
    assert one["auc_reason"] == "at least: 1 results above the range"
    assert one["auc_pct_censored"] == 25


def test_limit_of_detection_as_a_sensitivity_analysis() -> None:
    """TND at 91 instead of 137 leaves less room above the line: a steeper slope, and no other number moves."""
    one, lod = summary(GOLDEN), summary(GOLDEN, censoring="lod")
    assert (one["censoring"], lod["censoring"]) == ("lloq", "lod")
    assert lod["slope"] < one["slope"]
    assert lod["auc_log10"] == one["auc_log10"]
    assert lod["d28_log10_upper"] == pytest.approx(math.log10(ROCHE.lod or 0))


def test_peak_and_levels() -> None:
    one = summary([(0, "10000"), (4, "900"), (10, "800"), (12, "700"), (17, "600"), (25, "500"), (40, "90000")])
    assert (one["d7_day"], one["d14_day"], one["d28_day"]) == (4, 12, 25)
    assert (one["peak_log10"], one["time_to_peak_d"]) == (math.log10(90000), 40)
    far = summary([(0, "10000"), (3, "900"), (11, "800"), (18, "600"), (24, "500"), (32, "400")])
    assert far[["d7_kind", "d14_kind", "d28_kind"]].tolist() == ["", "", ""]
