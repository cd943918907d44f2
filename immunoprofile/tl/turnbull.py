"""S13: survival of interval-censored times without a model (Turnbull's estimate) on half-open intervals (L, R]."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from immunoprofile.errors import AnalysisError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_GAP: Final = 1e-8
"""Most by which the log-likelihood may stay below its maximum (a bound that the estimate itself proves)."""
_STEPS: Final = 200_000


@dataclass(frozen=True)
class Turnbull:
    """Masses of the nonparametric estimate.

    Attributes
    ----------
    lower, upper
        Intervals (lower, upper] that can hold mass, ascending; equal bounds are a point, ``upper`` may be infinite.
    mass
        Probability of each, without those of no mass. Where it lies inside an interval is not known: the survival
        curve is undefined there.
    log_likelihood
        At the maximum.
    n
        Subjects.
    """

    lower: Floats
    upper: Floats
    mass: Floats
    log_likelihood: float
    n: int

    @property
    def survival(self) -> Floats:
        """Survival after each interval."""
        return np.asarray(np.maximum(1 - np.cumsum(self.mass), 0.0))

    def survival_at(self, time: float) -> float:
        """Survival at a time; NaN inside an interval of mass, where it is undefined."""
        if np.any((self.lower < time) & (time < self.upper)):
            return float("nan")
        return float(max(1 - self.mass[self.upper <= time].sum(), 0.0))

    def quantile(self, share: float) -> tuple[float, float]:
        """The interval in which the share of events is reached; infinite bounds where it is not."""
        reached = np.cumsum(self.mass)
        index = int(np.searchsorted(reached, share - 1e-9))
        if index >= len(self.mass):
            return float("inf"), float("inf")
        return float(self.lower[index]), float(self.upper[index])


def turnbull(lower: ArrayLike, upper: ArrayLike) -> Turnbull:
    """Nonparametric maximum-likelihood estimate of interval-censored times.

    Parameters
    ----------
    lower, upper
        The event lies in (lower, upper]: at ``lower`` it is known not to have happened. ``upper`` infinite is
        right-censored; equal bounds are an exact time.

    Raises
    ------
    AnalysisError
        No interval, or one that is missing or reversed.

    Notes
    -----
    Expectation-maximisation on maximal intersections (Turnbull 1976, J R Stat Soc B 38:290). It stops when the gradient
    proves that the log-likelihood is within 1e-8 of its maximum.
    """
    low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    if low.size == 0:
        raise AnalysisError("there is no interval", where="Turnbull")
    if low.shape != high.shape or np.any(~(low <= high)):
        raise AnalysisError("an interval is missing or reversed", where="Turnbull")
    left, right = _intersections(low, high)
    pairs, weight = np.unique(np.column_stack([low, high]), axis=0, return_counts=True)
    # A point (equal bounds) holds only itself; an open lower bound holds what begins at it.
    holds = (pairs[:, :1] <= left) & (right <= pairs[:, 1:])
    point = left == right
    holds &= ~(point[None, :] & (pairs[:, :1] == left) & (pairs[:, 1:] > left))
    share = weight / weight.sum()
    mass = np.full(len(left), 1 / len(left))
    for _ in range(_STEPS):
        inside = holds @ mass
        gradient = (share / inside) @ holds
        if (gradient.max() - 1) * len(low) <= _GAP:
            break
        mass = mass * gradient
    else:
        raise AnalysisError("the estimate did not settle", where="Turnbull")
    keep = mass > 1e-7
    mass = mass[keep] / mass[keep].sum()
    value = float((weight * np.log(holds[:, keep] @ mass)).sum())
    return Turnbull(left[keep], right[keep], mass, value, len(low))


def _intersections(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Maximal intersections: a left end that is followed by a right end, nothing between.

    At one time come first the (closed) left ends of points, then right ends, then open left ends: (3, 5] and (5, 8]
    do not meet.
    """
    point = low == high
    ends = sorted(
        {(float(time), 0 if exact else 2) for time, exact in zip(low, point, strict=True)}
        | {(float(time), 1) for time in high}
    )
    found = [(a[0], b[0]) for a, b in pairwise(ends) if a[1] != 1 and b[1] == 1]
    return np.array([pair[0] for pair in found]), np.array([pair[1] for pair in found])
