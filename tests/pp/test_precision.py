"""CV of replicates that have little or nothing in common: no number that nobody can believe, and no crash."""

from __future__ import annotations

import math

import pytest

from immunoprofile.pp.precision import MOST_CV, Replicate, cv_to_log_sd, log_sd_to_cv, precision


@pytest.mark.parametrize("ratio", [1.0, 1.1, 1.5, 2.0, 3.0, 10.0, 1e3, 1e6])
def test_one_pair_of_replicates_has_limits_in_order(ratio: float) -> None:
    found = precision([[Replicate(math.log(400), 0.001), Replicate(math.log(400 * ratio), 0.001)]])
    assert found is not None
    assert 0 <= found.lower <= found.cv <= found.upper
    # a pair that differs tells no upper limit: 1 degree of freedom
    assert math.isinf(found.upper) is (ratio > 1.0)
    for one in (found.lower, found.cv, found.upper):
        assert one <= MOST_CV + 1e-9 or math.isinf(one)


@pytest.mark.parametrize("cv", [0.0, 0.05, 0.2, 1.0, 5.0, 9.99])
def test_cv_and_sd_of_the_logarithm_go_both_ways(cv: float) -> None:
    assert log_sd_to_cv(cv_to_log_sd(cv)) == pytest.approx(cv, abs=1e-12)


def test_beyond_the_largest_cv_it_is_infinite() -> None:
    assert math.isinf(log_sd_to_cv(30.0))
    assert math.isinf(log_sd_to_cv(math.inf))
    assert math.isinf(log_sd_to_cv(cv_to_log_sd(MOST_CV) * 1.0001))
