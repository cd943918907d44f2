"""Rank statistics with exact distributions: signed rank, rank sum, and Hodges-Lehmann estimates.

Where there are too many ranks to count all cases, the distribution is a saddlepoint approximation (`_signed_ranks`).
Own code, because SciPy has neither the Hodges-Lehmann intervals nor an exact signed-rank distribution with ties.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from immunoprofile.tl._pair_sums import pair_sums_at
from immunoprofile.tl._signed_ranks import counted, distribution, upper_tail

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

NAN = math.nan


class HodgesLehmann(NamedTuple):
    """Estimate with an exact interval (of more than 500 differences: by saddlepoint).

    Attributes
    ----------
    estimate, lower, upper
        Pseudo-median and limits in the unit of the data.
    conf_level
        Confidence that the interval in fact has: at least the one asked for, or the widest that n allows.
    n, n_zero
        Differences used, and how many of all are zero.
    """

    estimate: float
    lower: float
    upper: float
    conf_level: float
    n: int
    n_zero: int


class SignedRank(NamedTuple):
    """Wilcoxon signed-rank test.

    Attributes
    ----------
    statistic, p_value
        Sum of the positive ranks; two-sided p.
    n, n_zero
        Differences used and left out.
    method
        ``exact``, or ``saddlepoint`` where all cases were too many to count.
    """

    statistic: float
    p_value: float
    n: int
    n_zero: int
    method: Literal["exact", "saddlepoint"] = "exact"


class RankSum(NamedTuple):
    """Wilcoxon rank-sum test of two samples with the Hodges-Lehmann shift (first minus second).

    Attributes
    ----------
    statistic, p_value
        Sum of the ranks of the first sample less its smallest value; two-sided p.
    shift, lower, upper
        Median of all pairwise differences and its limits.
    conf_level
        Confidence that the interval has: exact in small samples without ties (at least the one asked for, or the widest
        that the sizes allow), else the one asked for.
    """

    statistic: float
    p_value: float
    shift: float
    lower: float
    upper: float
    conf_level: float


def signed_rank(differences: ArrayLike) -> SignedRank:
    """Exact Wilcoxon signed-rank test.

    Zero differences are left out; tied differences share their mean rank and the permutation distribution of exactly
    those ranks is used, so that p is exact with ties too. NaN p without a difference that is not zero.

    Notes
    -----
    p is the probability, over all 2^n signs, of a rank sum at least as far from its mean. With more than 500
    differences of 100 or more sizes, none of which nearly all have, it is that of a saddlepoint approximation to the
    same distribution, whose relative error is below 1e-4 down to p = 1e-30.
    """
    kept, n_zero = rounded(differences)
    kept = kept[kept != 0]
    n = len(kept)
    if n == 0:
        return SignedRank(NAN, NAN, 0, n_zero)
    from scipy.stats import rankdata

    # twice the mean ranks are whole numbers: the distribution is then an exact convolution
    doubled = np.rint(2 * rankdata(np.abs(kept))).astype(int)
    positive = int(doubled[kept > 0].sum())
    total = int(doubled.sum())
    distance = abs(2 * positive - total)
    if not counted(doubled):
        p_value = 1.0 if distance == 0 else 2 * upper_tail(doubled, max(positive, total - positive))
        return SignedRank(positive / 2, min(1.0, p_value), n, n_zero, "saddlepoint")
    probabilities = distribution(doubled)
    sums = np.arange(len(probabilities))
    p_value = float(probabilities[np.abs(2 * sums - total) >= distance].sum())
    return SignedRank(positive / 2, min(1.0, p_value), n, n_zero)


def hodges_lehmann(
    differences: ArrayLike, *, confidence: float = 0.95, zeros: Literal["keep", "drop"] = "keep"
) -> HodgesLehmann:
    """Pseudo-median of differences: the median of all pairwise means, with the signed-rank interval.

    Parameters
    ----------
    differences
        Paired differences; missing ones are ignored.
    confidence
        Wanted confidence; with fewer than six differences 0.95 is out of reach and the widest interval is given.
    zeros
        ``keep``: zero differences are differences, and the estimate is of everybody. ``drop``: of the others, as the
        test does (and R's ``wilcox.test``).

    Returns
    -------
    HodgesLehmann
        NaN without differences; no interval where all are zero.

    Notes
    -----
    Hollander and Wolfe, Nonparametric Statistical Methods: the limits are order statistics of the Walsh averages. The
    interval is exact without ties and zeros, and holds its confidence or more with them.
    """
    kept, n_zero = rounded(differences)
    if zeros == "drop":
        kept = kept[kept != 0]
    n = len(kept)
    if n == 0 or not kept.any():
        # only zero differences: the change is zero, its interval is not known
        return HodgesLehmann(0.0 if n_zero else NAN, NAN, NAN, NAN, n, n_zero)
    position, conf_level = _signed_rank_limit(n, 1 - confidence)
    kept = np.sort(kept)
    pairs = n * (n + 1) // 2
    places = (position - 1, pairs - position, (pairs - 1) // 2, pairs // 2)
    lower, upper, *middle = (total / 2 for total in pair_sums_at(kept, kept, places, upper=True))
    return HodgesLehmann(sum(middle) / 2, lower, upper, conf_level, n, n_zero)


def _signed_rank_limit(n: int, alpha: float) -> tuple[int, float]:
    """Place, from 1, of the lower limit among the Walsh averages of n differences, and the confidence that it gives.

    It is the smallest rank sum whose lower tail reaches alpha / 2, at least the first.
    """
    ranks = np.arange(1, n + 1)
    reaches = alpha / 2 - 1e-12
    if counted(ranks):
        cumulative = np.cumsum(distribution(ranks))
        position = max(1, int(np.searchsorted(cumulative, reaches)))
        return position, 1 - 2 * float(cumulative[position - 1])
    total = n * (n + 1) // 2
    sums = range(total // 2)
    position = max(1, bisect_left(sums, reaches, key=lambda up_to: upper_tail(ranks, total - up_to)))
    return position, 1 - 2 * upper_tail(ranks, total - position + 1)


def smallest_signed_rank_p(n: int) -> float:
    """Smallest two-sided p that n differences can give: 0.0625 for five, 0.03125 for six; NaN for none."""
    return NAN if n < 1 else min(1.0, 2.0 ** (1 - n))


def rank_sum(first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95) -> RankSum:
    """Wilcoxon rank-sum test with the Hodges-Lehmann shift of two independent samples.

    p is exact when both samples are small (fewer than 50) and have no ties, else from the normal approximation with
    continuity correction. The limits are order statistics of all pairwise differences, their rank from the same
    distribution as p.
    """
    from scipy.special import ndtri
    from scipy.stats import mannwhitneyu, rankdata

    x, y = (np.asarray(sample, dtype=np.float64) for sample in (first, second))
    x, y = x[~np.isnan(x)], y[~np.isnan(y)]
    m, n = len(x), len(y)
    if m == 0 or n == 0:
        return RankSum(NAN, NAN, NAN, NAN, NAN, NAN)
    together, _ = rounded(np.concatenate([x, y]))
    x, y = together[:m], together[m:]
    ties = len(np.unique(together)) < m + n
    exact = not ties and max(m, n) < 50
    test = mannwhitneyu(x, y, method="exact" if exact else "asymptotic", use_continuity=True)
    x, minus_y = np.sort(x), -np.sort(y)[::-1]
    conf_level = confidence
    if exact:
        cumulative = np.cumsum(_rank_sum_distribution(m, n))
        position = max(1, int(np.searchsorted(cumulative, (1 - confidence) / 2 - 1e-12)))
        conf_level = 1 - 2 * float(cumulative[position - 1])
    else:
        _, repeats = np.unique(rankdata(together), return_counts=True)
        size = m + n
        tie_term = float((repeats**3 - repeats).sum()) / (size * (size - 1)) if size > 1 else 0.0
        spread = math.sqrt(m * n / 12 * (size + 1 - tie_term))
        position = max(1, math.floor(m * n / 2 - float(ndtri(0.5 + confidence / 2)) * spread - 0.5) + 1)
    places = (position - 1, m * n - position, (m * n - 1) // 2, m * n // 2)
    lower, upper, *middle = pair_sums_at(x, minus_y, places)
    return RankSum(float(test.statistic), float(test.pvalue), sum(middle) / 2, lower, upper, max(conf_level, 0.0))


def _rank_sum_distribution(m: int, n: int) -> Floats:
    """Probability of every value 0 ... m n of the rank-sum statistic when all samples of m ranks are equally likely."""
    counts = np.zeros((m + 1, m * n + 1))
    counts[0, 0] = 1.0
    # a sample of j ranks grows by rank r: r - j of the other sample lie below it
    for rank in range(1, m + n + 1):
        for size in range(min(rank, m), max(0, rank - n - 1), -1):
            below = rank - size
            counts[size, below:] += counts[size - 1, : m * n + 1 - below]
    return np.asarray(counts[m] / counts[m].sum())


def rounded(values: ArrayLike) -> tuple[Floats, int]:
    """What is not missing, to twelve digits of the largest, and how many of these are zero.

    Rounding noise of a subtraction must not make or break a tie.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    scale = float(np.abs(known).max(initial=0.0))
    known = np.round(known, 12 - math.ceil(math.log10(scale))) if scale > 0 else known
    return known, int((known == 0).sum())
