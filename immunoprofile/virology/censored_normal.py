"""Censored normal observations: log-likelihood of each row and its derivatives, stable far in the tails."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LOG_2PI = math.log(2 * math.pi)


class RowLikelihood(NamedTuple):
    """Log-likelihood of rows and its derivatives in the mean and in log sigma.

    Attributes
    ----------
    value
        Log density, or log probability of the bounds.
    slope, curvature
        First and second derivative in the mean.
    by_sigma, by_sigma_twice
        First and second derivative in log sigma.
    mixed
        Derivative of ``slope`` in log sigma.
    """

    value: Floats
    slope: Floats
    curvature: Floats
    by_sigma: Floats
    by_sigma_twice: Floats
    mixed: Floats


def exact_rows(outcome: Floats, mean: Floats, sigma: float) -> RowLikelihood:
    """Rows whose value is known."""
    residual = (outcome - mean) / sigma
    squared = residual**2
    slope = residual / sigma
    return RowLikelihood(
        -0.5 * (LOG_2PI + squared) - math.log(sigma), slope, np.full_like(residual, -1 / sigma**2), squared - 1,
        -2 * squared, -2 * slope,
    )  # fmt: skip


def bounded_rows(lower: Floats, upper: Floats, mean: Floats, sigma: float) -> RowLikelihood:
    """Rows known to lie between two bounds, of which one may be infinite.

    An interval in the upper tail is mirrored into the lower one, where the logarithm of the normal distribution keeps
    its digits.
    """
    from scipy.special import log_ndtr

    above = (upper - mean) / sigma
    if np.isneginf(lower).all():
        value = log_ndtr(above)
        at_high = _density_ratio(above, value)
        slope, first, second, third = -at_high / sigma, -above * at_high, -(above**2) * at_high, -(above**3) * at_high
    else:
        below = (lower - mean) / sigma
        mirrored = below > 0
        low, high = np.where(mirrored, -above, below), np.where(mirrored, -below, above)
        outer = log_ndtr(high)
        value = outer + np.log1p(-np.exp(log_ndtr(low) - outer))
        at_low, at_high = _density_ratio(below, value), _density_ratio(above, value)
        # at an infinite bound the density is zero, and so is every power of the bound times it
        below, above = (np.where(np.isfinite(bound), bound, 0.0) for bound in (below, above))
        slope = (at_low - at_high) / sigma
        first, second, third = (below**k * at_low - above**k * at_high for k in (1, 2, 3))
    return RowLikelihood(
        value, slope, first / sigma**2 - slope**2, first, third - first - first**2,
        second / sigma - slope * first - slope,
    )  # fmt: skip


def _density_ratio(point: Floats, log_probability: Floats) -> Floats:
    """Normal density over a probability; zero at infinity."""
    return np.asarray(np.exp(-0.5 * (LOG_2PI + point**2) - log_probability))
