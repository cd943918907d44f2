"""Intervals of counts; numbers from R binom.test and exact Poisson limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from immunoprofile import pp
from immunoprofile.pp import (
    clopper_pearson,
    events_for_cv,
    events_for_fold_change,
    jeffreys,
    percentage,
    poisson_cv,
    poisson_interval,
    ratio_interval,
    wilson,
)


@pytest.mark.parametrize(
    ("method", "lower", "upper"),
    [(wilson, 3.813, 6.531), (jeffreys, 3.777, 6.483), (clopper_pearson, 3.734, 6.539)],
)
def test_fifty_of_a_thousand(method: object, lower: float, upper: float) -> None:
    limits = method(50, 1000)  # type: ignore[operator]
    assert (float(limits.lower), float(limits.upper)) == pytest.approx((lower, upper), abs=5e-4)


@pytest.mark.parametrize(
    ("n", "cv", "lower", "upper"),
    [(10, 31.6, 4.8, 18.4), (20, 22.4, 12.2, 30.9), (30, 18.3, 20.2, 42.8), (50, 14.1, 37.1, 65.9),
     (100, 10.0, 81.4, 121.6), (400, 5.0, 361.8, 441.2)],
)  # fmt: skip
def test_poisson_table(n: int, cv: float, lower: float, upper: float) -> None:
    limits = poisson_interval(n)
    assert float(poisson_cv(n)) == pytest.approx(cv, abs=0.05)
    assert (float(limits.lower), float(limits.upper)) == pytest.approx((lower, upper), abs=0.06)


def test_poisson_of_a_thousand_and_of_none() -> None:
    assert [round(float(limit)) for limit in poisson_interval(1000)] == [939, 1064]
    assert float(poisson_interval(0).lower) == 0
    assert float(poisson_interval(0).upper) == pytest.approx(3.69, abs=2e-3)


def test_events_needed() -> None:
    assert [events_for_cv(cv) for cv in (20, 15, 10, 5, 3)] == [25, 45, 100, 400, 1112]
    assert [events_for_fold_change(fold) for fold in (1.25, 1.5, 2)] == [316, 96, 33]


def test_ratio_of_disjoint_populations() -> None:
    limits = ratio_interval(6000, 120)
    assert (float(limits.lower), float(limits.upper)) == pytest.approx((41.73, 59.90), abs=5e-3)
    assert np.isnan(ratio_interval(0, 10).lower)
    assert np.isnan(ratio_interval(10, 0).upper)


@given(st.integers(1, 100_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_limits_contain_the_estimate(case: tuple[int, int]) -> None:
    count, total = case
    estimate = float(percentage(count, total))
    for method in (wilson, jeffreys, clopper_pearson):
        limits = method(count, total)
        assert 0 <= limits.lower <= estimate + 1e-9
        assert estimate - 1e-9 <= limits.upper <= 100


def test_no_denominator_is_missing() -> None:
    for method in (wilson, jeffreys, clopper_pearson):
        limits = method([0, np.nan, 3], [0, 10, 10])
        assert np.isnan(limits.lower[:2]).all()
        assert not np.isnan(limits.lower[2])
    assert np.isnan(percentage(0, 0))


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and its total"):
        wilson(11, 10)
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, 10, confidence=95)


def test_rare_populations() -> None:
    """Limits of detection and exact intervals, calculated by hand."""
    assert pp.detection_limit(10) == pytest.approx(13.1, abs=0.05)
    assert pp.detection_limit(10, paired=True) == pytest.approx(17.4, abs=0.05)
    none = pp.clopper_pearson(0, 100_000)
    assert float(none[0]) == 0
    assert float(none[1]) / 100 == pytest.approx(3.68881e-5, rel=1e-5)
    few = pp.clopper_pearson(20, 50_000)
    assert (float(few[0]) / 100, float(few[1]) / 100) == pytest.approx((0.000244347, 0.000617700), rel=1e-5)
    assert float(pp.poisson_cv(20)) == pytest.approx(22.36, abs=0.01)
