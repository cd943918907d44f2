"""Rank statistics against R (stats::wilcox.test, exactRankTests) and against full enumeration."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from immunoprofile.tl import hodges_lehmann, rank_sum, signed_rank, smallest_signed_rank_p
from tests.oracles.rank_data import (
    DEPRESSION_AFTER,
    DEPRESSION_BEFORE,
    OZONE_AUGUST,
    OZONE_MAY,
    SLEEP_1,
    SLEEP_2,
)

differences = st.lists(st.integers(-6, 6).map(lambda value: value / 2), min_size=1, max_size=9)


def test_depression_data() -> None:
    change = np.subtract(DEPRESSION_BEFORE, DEPRESSION_AFTER)
    test, estimate = signed_rank(change), hodges_lehmann(change)
    assert test.statistic == 40
    assert test.p_value == pytest.approx(0.0390625, rel=1e-9)
    assert estimate.estimate == pytest.approx(0.46, rel=1e-4)
    assert (estimate.lower, estimate.upper) == pytest.approx((0.010, 0.786), rel=1e-4)
    assert estimate.conf_level == pytest.approx(0.9609375)


def test_sleep_data_with_a_zero_and_a_tie() -> None:
    change = np.subtract(SLEEP_2, SLEEP_1)
    test, estimate = signed_rank(change), hodges_lehmann(change, zeros="drop")
    assert test.p_value == pytest.approx(0.003906, rel=1e-3)
    assert (test.n, test.n_zero) == (9, 1)
    assert estimate.estimate == pytest.approx(1.4)
    assert estimate.lower == pytest.approx(1.05)
    # exactRankTests prints 2.90 here: 1.2 - 2.9 and 4.6 - 2.9 differ by rounding, which breaks a tie. The exact test
    # does not reject a shift just below 2.95 (13 of 512 sign patterns in a tail) and rejects one just above.
    assert estimate.upper == pytest.approx(2.95)
    kept = change[np.abs(change) > 1e-9]
    assert signed_rank(kept - 2.94).p_value == pytest.approx(26 / 512)
    assert signed_rank(kept - 2.96).p_value < 0.05


def test_air_quality_rank_sum() -> None:
    result = rank_sum(OZONE_MAY, OZONE_AUGUST)
    assert result.statistic == 127.5
    assert result.p_value == pytest.approx(0.0001208, rel=1e-3)
    assert result.shift == pytest.approx(-31.99996, rel=1e-4)
    assert (result.lower, result.upper) == pytest.approx((-52.99999, -14.99998), rel=1e-4)


@pytest.mark.parametrize(("n", "p_value"), [(5, 0.00794), (4, 0.0286), (3, 0.1)])
def test_smallest_rank_sum_p(n: int, p_value: float) -> None:
    assert rank_sum(range(n), range(100, 100 + n)).p_value == pytest.approx(p_value, rel=2e-3)


@pytest.mark.parametrize(("n", "p_value", "confidence"), [(5, 0.0625, 0.9375), (6, 0.03125, 0.96875)])
def test_five_can_never_be_significant(n: int, p_value: float, confidence: float) -> None:
    change = np.arange(1, n + 1) + 0.1
    assert smallest_signed_rank_p(n) == p_value
    assert signed_rank(change).p_value == pytest.approx(p_value)
    estimate = hodges_lehmann(change)
    assert estimate.conf_level == pytest.approx(confidence)
    assert (estimate.lower, estimate.upper) == (change[0], change[-1])


@given(differences)
@settings(max_examples=60, deadline=None)
def test_exact_p_is_full_enumeration(values: list[float]) -> None:
    kept = np.array([value for value in values if value != 0])
    result = signed_rank(values)
    assert result.n_zero == len(values) - len(kept)
    if not len(kept):
        assert np.isnan(result.p_value)
        return
    ranks = rankdata(np.abs(kept))
    sums = np.array([ranks[np.array(signs)].sum() for signs in product([False, True], repeat=len(kept))])
    observed = ranks[kept > 0].sum()
    distance = abs(observed - ranks.sum() / 2)
    expected = np.mean(np.abs(sums - ranks.sum() / 2) >= distance - 1e-9)
    assert result.p_value == pytest.approx(expected)


@given(differences, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_estimate_lies_in_its_interval_whatever_the_order(values: list[float], random: object) -> None:
    estimate = hodges_lehmann(values)
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    np.testing.assert_equal(hodges_lehmann(shuffled), estimate)
    if any(values):
        assert estimate.lower <= estimate.estimate <= estimate.upper


@pytest.mark.parametrize(
    ("values", "pseudo_median"), [([0, 0, 0, 1, 1.5], 0.5), ([0, 0, 0, 0, 2, 1, 3], 0.75), ([-1, 0, 0, 3, 4], 1.5)]
)
def test_pseudo_median_of_everybody(values: list[float], pseudo_median: float) -> None:
    """By hand: the median of the means of all pairs, zeros among them."""
    found = hodges_lehmann(values)
    assert (found.estimate, found.n) == (pseudo_median, len(values))
    assert found.n_zero == values.count(0)


@given(differences, st.floats(-1e-15, 1e-15))
@settings(max_examples=50, deadline=None)
def test_rounding_noise_breaks_no_tie(values: list[float], noise: float) -> None:
    changed = [value for value in values if value]
    noisy = [value + noise * index for index, value in enumerate(changed)]
    np.testing.assert_equal(signed_rank(noisy).p_value, signed_rank(changed).p_value)
    other = [*changed, 0.5, 1.0]
    np.testing.assert_equal(
        rank_sum(noisy, other).p_value if noisy else 0, rank_sum(changed, other).p_value if changed else 0
    )


def test_nothing_to_test() -> None:
    assert np.isnan(hodges_lehmann([]).estimate)
    assert hodges_lehmann([0, 0]).estimate == 0
    assert np.isnan(hodges_lehmann([0, 0]).lower)
    assert np.isnan(smallest_signed_rank_p(0))
