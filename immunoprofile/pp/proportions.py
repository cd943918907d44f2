"""Intervals and precision of counts: what counting alone says about a percentage, a count or a ratio.

Percentages are 0-100 everywhere, also the limits. Limits are NaN where the denominator is zero or missing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """Lower and upper limits, arrays of the shape of the input."""

    lower: Floats
    upper: Floats


def normal_quantile(confidence: float) -> float:
    """Two-sided standard normal quantile, 1.96 for 0.95; ValueError unless 0 < confidence < 1."""
    if not 0 < confidence < 1:
        message = f"confidence must lie between 0 and 1, not {confidence}"
        raise ValueError(message)
    from scipy.special import ndtri

    return float(ndtri(0.5 + confidence / 2))


def percentage(count: ArrayLike, total: ArrayLike) -> Floats:
    """100 count / total in per cent; NaN where total is zero or either is missing."""
    k, n = _counts(count, total)
    return 100 * k / n


def wilson(count: ArrayLike, total: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a percentage (0-100).

    Parameters
    ----------
    count, total
        Events in the gate and in its parent; arrays that broadcast.
    confidence
        Coverage, between 0 and 1.

    Examples
    --------
    >>> [round(float(limit), 3) for limit in wilson(50, 1000)]
    [3.813, 6.531]
    """
    k, n = _counts(count, total)
    z = normal_quantile(confidence)
    p = k / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # the exact ends are known, the formula leaves rounding error there
    lower = np.where(k == 0, 0.0, centre - half)
    upper = np.where(k == n, 1.0, centre + half)
    return Interval(_where_known(n, 100 * lower), _where_known(n, 100 * upper))


def jeffreys(count: ArrayLike, total: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Jeffreys interval of a percentage (0-100): quantiles of Beta(count + 1/2, total - count + 1/2).

    The lower limit is 0 where nothing was counted, the upper 100 where everything was.
    """
    from scipy.special import betaincinv

    k, n = _counts(count, total)
    tail = _tail(confidence)
    lower = np.where(k == 0, 0.0, betaincinv(k + 0.5, n - k + 0.5, tail))
    upper = np.where(k == n, 1.0, betaincinv(k + 0.5, n - k + 0.5, 1 - tail))
    return Interval(_where_known(n, 100 * lower), _where_known(n, 100 * upper))


def clopper_pearson(count: ArrayLike, total: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Exact (Clopper-Pearson) interval of a percentage (0-100)."""
    from scipy.special import betaincinv

    k, n = _counts(count, total)
    tail = _tail(confidence)
    lower = np.where(k == 0, 0.0, betaincinv(np.maximum(k, 1), n - k + 1, tail))
    upper = np.where(k == n, 1.0, betaincinv(k + 1, np.maximum(n - k, 1), 1 - tail))
    return Interval(_where_known(n, 100 * lower), _where_known(n, 100 * upper))


def poisson_interval(count: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Exact interval of the expected number of events when ``count`` were seen; 0-3.69 for none."""
    from scipy.special import gammaincinv

    k = np.asarray(count, dtype=np.float64)
    tail = _tail(confidence)
    lower = np.where(k == 0, 0.0, gammaincinv(np.maximum(k, 1), tail))
    upper = gammaincinv(k + 1, 1 - tail)
    return Interval(np.where(np.isnan(k), np.nan, lower), np.where(np.isnan(k), np.nan, upper))


def poisson_cv(count: ArrayLike) -> Floats:
    """Coefficient of variation of a count in per cent, 100 / sqrt(count); NaN for none."""
    k = np.asarray(count, dtype=np.float64)
    return np.asarray(100 / np.sqrt(np.where(k > 0, k, np.nan)))


def detection_limit(background: ArrayLike, *, paired: bool = False) -> Floats:
    """Events of a population, beside its background, from which it is detected with 5 % error on either side.

    Currie, Anal Chem 1968;40:586, by normal approximation: for some ten events of the background and more.
    `limit_of_detection` is exact, for few events and for a blank of another size.

    Parameters
    ----------
    background
        Events expected in the gate from a blank (an FMO control, or the day without drug).
    paired
        The blank was counted once, like the sample, so its noise counts too; otherwise it is known well.

    Returns
    -------
    numpy.ndarray
        Events: 2.71 + 3.29 sqrt(B), or 2.71 + 4.65 sqrt(B) for a paired blank.
    """
    return np.asarray(2.71 + (4.65 if paired else 3.29) * np.sqrt(np.asarray(background, dtype=np.float64)))


def ratio_interval(numerator: ArrayLike, denominator: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Interval of the ratio a / b of two disjoint populations counted in one tube: exp(ln(a/b) +- z sqrt(1/a + 1/b)).

    Not for nested populations (a within b): use :func:`wilson`. NaN where either count is zero.

    Examples
    --------
    >>> [round(float(limit), 2) for limit in ratio_interval(6000, 120)]
    [41.73, 59.9]
    """
    a, b = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    a, b = np.where(a > 0, a, np.nan), np.where(b > 0, b, np.nan)
    half = normal_quantile(confidence) * np.sqrt(1 / a + 1 / b)
    return Interval(a / b * np.exp(-half), a / b * np.exp(half))


def events_for_cv(cv_pct: float) -> int:
    """Fewest events with a counting CV of at most ``cv_pct`` per cent: 100 for 10 %."""
    return math.ceil(round((100 / cv_pct) ** 2, 9))


def events_for_fold_change(fold: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Events per visit to tell a fold change from counting noise alone, two visits with equal counts.

    Normal approximation on the log scale: n = 2 (z_alpha + z_power)^2 / ln(fold)^2.
    """
    from scipy.special import ndtri

    quantiles = normal_quantile(1 - alpha) + float(ndtri(power))
    return math.ceil(2 * quantiles**2 / math.log(fold) ** 2)


def _counts(count: ArrayLike, total: ArrayLike) -> tuple[Floats, Floats]:
    k, n = np.broadcast_arrays(np.asarray(count, dtype=np.float64), np.asarray(total, dtype=np.float64))
    if bool(np.any(k < 0)) or bool(np.any(k > n)):
        message = "a count must lie between 0 and its total"
        raise ValueError(message)
    return np.array(k), np.where(n > 0, n, np.nan)


def _tail(confidence: float) -> float:
    normal_quantile(confidence)
    return (1 - confidence) / 2


def _where_known(total: Floats, limit: Floats) -> Floats:
    return np.asarray(np.where(np.isnan(total), np.nan, limit))
