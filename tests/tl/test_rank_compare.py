"""Rank sum with exact limits, and rank analysis of covariance, against enumeration and least squares."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import f_oneway, mannwhitneyu, rankdata

from immunoprofile.errors import AnalysisError
from immunoprofile.tl import rank_ancova, rank_sum
from immunoprofile.tl.ranks import _rank_sum_distribution


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 5), (4, 4), (6, 3)])
def test_distribution_is_full_enumeration(m: int, n: int) -> None:
    sums = [sum(chosen) - m * (m + 1) // 2 for chosen in combinations(range(1, m + n + 1), m)]
    expected = np.bincount(sums, minlength=m * n + 1) / len(sums)
    np.testing.assert_allclose(_rank_sum_distribution(m, n), expected, atol=1e-15)


def test_limits_invert_the_exact_test() -> None:
    """A shift inside the interval is not rejected by the exact test, one just outside is."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(1, 1, 7), rng.normal(0, 1, 6)
    result = rank_sum(x, y)
    assert 0.95 <= result.conf_level < 1
    for limit, inward in ((result.lower, 1), (result.upper, -1)):
        inside = mannwhitneyu(x - (limit + inward * 1e-6), y, method="exact").pvalue
        outside = mannwhitneyu(x - (limit - inward * 1e-6), y, method="exact").pvalue
        assert inside > 0.05 >= outside
        assert outside == pytest.approx(1 - result.conf_level)


def test_three_against_three_reach_ninety_per_cent_at_most() -> None:
    result = rank_sum([1.1, 2.3, 3.7], [0.2, 0.4, 1.0])
    assert result.conf_level == pytest.approx(0.9)
    assert result.p_value == pytest.approx(0.1)


def test_rank_ancova_is_analysis_of_variance_of_residual_ranks() -> None:
    from statsmodels.regression.linear_model import OLS

    rng = np.random.default_rng(6)
    baseline = rng.normal(size=14).round(1)
    arm = np.repeat(["GCV", "IL2"], 7)
    outcome = (baseline + (arm == "IL2") + 0.5 * rng.normal(size=14)).round(1)
    result = rank_ancova(outcome, baseline, arm)
    ranks = OLS(rankdata(outcome), np.column_stack([np.ones(14), rankdata(baseline)])).fit().resid
    expected = f_oneway(ranks[:7], ranks[7:])
    assert (result.df_arms, result.df_residual) == (1, 12)
    assert (result.statistic, result.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    monotone = rank_ancova(np.exp(outcome), baseline**3, arm)
    assert monotone == pytest.approx(result)


def test_rank_ancova_uses_the_baseline() -> None:
    """Arms that differ by their baseline only: the rank sum of the values sees a difference, the rank ANCOVA none."""
    rng = np.random.default_rng(1)
    arm = np.repeat(["a", "b"], 9)
    rejected = {"ancova": 0, "sum": 0}
    for _ in range(200):
        baseline = 1.5 * (arm == "b") + rng.normal(size=18)
        outcome = baseline + 0.3 * rng.normal(size=18)
        rejected["ancova"] += rank_ancova(outcome, baseline, arm).p_value < 0.05
        rejected["sum"] += rank_sum(outcome[:9], outcome[9:]).p_value < 0.05
    assert rejected["sum"] > 100
    # 200 tests at 5 %: 99.8 % of the counts lie below 21
    assert rejected["ancova"] <= 20


def test_refusals() -> None:
    with pytest.raises(AnalysisError, match="two arms"):
        rank_ancova([1, 2, 3], [1, 2, 3], ["a", "a", "a"])
    with pytest.raises(AnalysisError, match="fewer than 3 residual degrees of freedom"):
        rank_ancova([1, 2, 3, 4, 5], [1, 3, 2, 5, 4], ["a", "a", "b", "b", "b"])
    with pytest.raises(AnalysisError, match="no residual variation"):
        rank_ancova(np.arange(8), np.arange(8), ["a", "b"] * 4)
