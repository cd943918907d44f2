"""Censored normal observations: the likelihood of rows, and of subjects whose rows share random effects.

Compiled, in one file: what is compiled is kept on disk under the date of this file. One row is known exactly
(``lower == upper``) or lies between two bounds, of which one may be infinite. All is stable far in the tails.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LOG_2PI = math.log(2 * math.pi)

_MODE_STEPS = 60
_LONGEST_STEP = 3.0
_AT_MODE = 1e-7
_SMALLEST_SHARE = 1e-15
"""A node with a smaller share of the likelihood of a subject adds nothing that a number holds."""

_jit: Any = numba.njit(nogil=True, cache=True, error_model="numpy")


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


def censored_rows(lower: Floats, upper: Floats, mean: Floats, sigma: float) -> RowLikelihood:
    """Likelihood of rows.

    Parameters
    ----------
    lower, upper
        Bounds, length n; equal where the value is known, infinite where open.
    mean, sigma
        Mean of each row (length n) and the standard deviation of all.
    """
    return RowLikelihood(
        *_rows(*(np.ascontiguousarray(part, dtype=np.float64) for part in (lower, upper, mean)), sigma)
    )


@_jit
def _log_cdf(x):
    """Logarithm of the normal distribution function."""
    if x > 5.0:
        return math.log1p(-0.5 * math.erfc(x / math.sqrt(2.0)))
    if x > -30.0:
        return math.log(0.5 * math.erfc(-x / math.sqrt(2.0)))
    if x == -np.inf:
        return -np.inf
    inverse = 1.0 / (x * x)
    series = 1.0 - inverse * (1.0 - 3.0 * inverse * (1.0 - 5.0 * inverse * (1.0 - 7.0 * inverse)))
    return -0.5 * (x * x + LOG_2PI) - math.log(-x) + math.log(series)


@_jit
def _row(lower, upper, mean, sigma, log_sigma):
    """Log density of one row, or the log probability of its bounds."""
    if lower == upper:
        z = (upper - mean) / sigma
        return -0.5 * (LOG_2PI + z * z) - log_sigma
    above = (upper - mean) / sigma
    if lower == -np.inf:
        return _log_cdf(above)
    below = (lower - mean) / sigma
    # an interval in the upper tail is mirrored into the lower one, where the logarithm keeps its digits
    low, high = (-above, -below) if below > 0 else (below, above)
    outer = _log_cdf(high)
    return outer + math.log1p(-math.exp(_log_cdf(low) - outer))


@_jit
def _derivatives(lower, upper, mean, sigma, value):
    """Slope, curvature, first and second derivative in log sigma, mixed derivative of one row."""
    if lower == upper:
        z = (upper - mean) / sigma
        return z / sigma, -1.0 / (sigma * sigma), z * z - 1.0, -2.0 * z * z, -2.0 * z / sigma
    at_low, at_high, below, above = 0.0, 0.0, 0.0, 0.0
    # at an infinite bound the density is zero, and so is every power of the bound times it
    if upper < np.inf:
        above = (upper - mean) / sigma
        at_high = math.exp(-0.5 * (LOG_2PI + above * above) - value)
    if lower > -np.inf:
        below = (lower - mean) / sigma
        at_low = math.exp(-0.5 * (LOG_2PI + below * below) - value)
    slope = (at_low - at_high) / sigma
    first = below * at_low - above * at_high
    second = below * below * at_low - above * above * at_high
    third = below * below * below * at_low - above * above * above * at_high
    return (slope, first / (sigma * sigma) - slope * slope, first, third - first - first * first,
            second / sigma - slope * first - slope)  # fmt: skip


@_jit
def _rows(lower, upper, mean, sigma):
    n = len(mean)
    value, slope, curvature = np.empty(n), np.empty(n), np.empty(n)
    by_sigma, twice, mixed = np.empty(n), np.empty(n), np.empty(n)
    log_sigma = math.log(sigma)
    for r in range(n):
        value[r] = _row(lower[r], upper[r], mean[r], sigma, log_sigma)
        slope[r], curvature[r], by_sigma[r], twice[r], mixed[r] = _derivatives(
            lower[r], upper[r], mean[r], sigma, value[r]
        )
    return value, slope, curvature, by_sigma, twice, mixed


@_jit
def _mode(bounds, fixed, loadings, sigma, mode, curvature):
    """Most likely random effects of one subject (in place) and the curvature there, by Newton's method.

    The log-likelihood is concave in them, so that there is one mode only.
    """
    lower, upper = bounds
    effects = len(mode)
    uphill, step = np.empty(effects), np.empty(effects)
    log_sigma = math.log(sigma)
    for _ in range(_MODE_STEPS):
        for k in range(effects):
            uphill[k] = -mode[k]
            for m in range(effects):
                curvature[k, m] = 1.0 if k == m else 0.0
        for r in range(len(fixed)):
            mean = fixed[r]
            for k in range(effects):
                mean += loadings[r, k] * mode[k]
            value = _row(lower[r], upper[r], mean, sigma, log_sigma)
            slope, bend, _, _, _ = _derivatives(lower[r], upper[r], mean, sigma, value)
            for k in range(effects):
                uphill[k] += loadings[r, k] * slope
                for m in range(effects):
                    curvature[k, m] -= loadings[r, k] * loadings[r, m] * bend
        if effects == 1:
            step[0] = uphill[0] / curvature[0, 0]
        else:
            determinant = curvature[0, 0] * curvature[1, 1] - curvature[0, 1] * curvature[1, 0]
            step[0] = (curvature[1, 1] * uphill[0] - curvature[0, 1] * uphill[1]) / determinant
            step[1] = (curvature[0, 0] * uphill[1] - curvature[1, 0] * uphill[0]) / determinant
        longest = 0.0
        for k in range(effects):
            longest = max(longest, abs(step[k]))
            mode[k] += min(max(step[k], -_LONGEST_STEP), _LONGEST_STEP)
        if not longest > _AT_MODE:
            break


@_jit
def _places(mode, curvature, nodes):
    """Nodes moved to the mode and scaled by the curvature; the logarithm of the volume that they stand for."""
    effects = len(mode)
    places = np.empty_like(nodes)
    if effects == 0:
        return places, 0.0
    a = math.sqrt(curvature[0, 0])
    if effects == 1:
        for q in range(len(nodes)):
            places[q, 0] = mode[0] + nodes[q, 0] / a
        return places, -math.log(a)
    b = curvature[1, 0] / a
    c = math.sqrt(curvature[1, 1] - b * b)
    for q in range(len(nodes)):
        places[q, 1] = mode[1] + nodes[q, 1] / c
        places[q, 0] = mode[0] + nodes[q, 0] / a - nodes[q, 1] * b / (a * c)
    return places, -math.log(a) - math.log(c)


@_jit
def mixed_likelihood(starts, lower, upper, design, random, fixed, factor, sigma, modes, nodes, log_weights):
    """Log-likelihood of subjects whose rows share normal random effects, its gradient and second derivatives.

    Rows are sorted by subject, ``starts`` (subjects + 1) has where each begins; ``fixed`` is ``design`` times the fixed
    effects, ``factor`` the Cholesky factor of the covariance of the random effects, ``nodes`` and ``log_weights`` are
    those of the quadrature, which is adaptive: they are moved to the mode of each subject and scaled by the curvature
    there. ``modes`` (subjects, effects) are found anew in place. Parameters are the fixed effects, the lower triangle
    of ``factor`` row by row, and log sigma; the last result is the expected slope of each row in its mean, given the
    data.

    The gradient is the expected score given the data; the second derivatives are the expected second derivatives plus
    the covariance of the score (Louis 1982, J R Stat Soc B 44:226).
    """
    n, terms = design.shape
    effects, points = random.shape[1], len(nodes)
    corner = effects * (effects + 1) // 2
    size = terms + corner + 1
    loadings = random @ factor
    gradient, hessian = np.zeros(size), np.zeros((size, size))
    slopes = np.zeros(n)
    total, log_sigma = 0.0, math.log(sigma)
    score, mean_score = np.empty(size), np.empty(size)
    curvature = np.zeros((effects, effects))
    by_effect = np.empty(effects)
    for subject in range(len(starts) - 1):
        begin, end = starts[subject], starts[subject + 1]
        rows = end - begin
        low, high = lower[begin:end], upper[begin:end]
        if effects:
            _mode((low, high), fixed[begin:end], loadings[begin:end], sigma, modes[subject], curvature)
        places, volume = _places(modes[subject], curvature, nodes)
        values, means, logs = np.empty((points, rows)), np.empty((points, rows)), np.empty(points)
        for q in range(points):
            log = log_weights[q]
            for k in range(effects):
                log -= 0.5 * places[q, k] * places[q, k]
            for r in range(rows):
                mean = fixed[begin + r]
                for k in range(effects):
                    mean += loadings[begin + r, k] * places[q, k]
                means[q, r] = mean
                values[q, r] = _row(low[r], high[r], mean, sigma, log_sigma)
                log += values[q, r]
            logs[q] = log
        highest = logs.max()
        whole = np.exp(logs - highest).sum()
        total += math.log(whole) + highest + volume
        curved, mixed = np.zeros((rows, 1 + effects)), np.zeros((rows, 1 + effects))
        squares = np.zeros((rows, corner))
        mean_score[:] = 0.0
        for q in range(points):
            share = math.exp(logs[q] - highest) / whole
            if not share > _SMALLEST_SHARE:
                continue
            score[:] = 0.0
            by_effect[:] = 0.0
            for r in range(rows):
                slope, bend, by_sigma, twice, cross = _derivatives(low[r], high[r], means[q, r], sigma, values[q, r])
                slopes[begin + r] += share * slope
                for t in range(terms):
                    score[t] += slope * design[begin + r, t]
                for k in range(effects):
                    by_effect[k] += slope * random[begin + r, k]
                score[size - 1] += by_sigma
                hessian[size - 1, size - 1] += share * twice
                curved[r, 0] += share * bend
                mixed[r, 0] += share * cross
                place = 0
                for k in range(effects):
                    curved[r, 1 + k] += share * bend * places[q, k]
                    mixed[r, 1 + k] += share * cross * places[q, k]
                    for m in range(k + 1):
                        squares[r, place] += share * bend * places[q, k] * places[q, m]
                        place += 1
            place = terms
            for k in range(effects):
                for m in range(k + 1):
                    score[place] = by_effect[k] * places[q, m]
                    place += 1
            for i in range(size):
                mean_score[i] += share * score[i]
                for j in range(i + 1):
                    hessian[i, j] += share * score[i] * score[j]
        for i in range(size):
            gradient[i] += mean_score[i]
            for j in range(i + 1):
                hessian[i, j] -= mean_score[i] * mean_score[j]
        for r in range(rows):
            row = begin + r
            for t in range(terms):
                for s in range(t + 1):
                    hessian[t, s] += design[row, t] * design[row, s] * curved[r, 0]
                hessian[size - 1, t] += design[row, t] * mixed[r, 0]
            place = terms
            for k in range(effects):
                for m in range(k + 1):
                    for t in range(terms):
                        hessian[place, t] += design[row, t] * random[row, k] * curved[r, 1 + m]
                    hessian[size - 1, place] += random[row, k] * mixed[r, 1 + m]
                    other = terms
                    for i in range(effects):
                        for j in range(i + 1):
                            if other <= place:
                                both = squares[r, max(m, j) * (max(m, j) + 1) // 2 + min(m, j)]
                                hessian[place, other] += random[row, k] * random[row, i] * both
                            other += 1
                    place += 1
    for i in range(size):
        for j in range(i):
            hessian[j, i] = hessian[i, j]
    return total, gradient, hessian, slopes
