"""Covariance of repeated visits: structures with unconstrained parameters and exact derivatives.

Each structure is a smooth map from real parameters to a positive definite matrix; derivatives come from the complex
step (Squire and Trapp 1998), which is exact to rounding because every operation used is analytic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Numbers = NDArray[Any]
    """Real, or complex in the complex step."""

StructureName = Literal["UN", "TOEPH", "AR1", "CS"]

STEP: Final = 1e-30
LARGEST_START: Final = 0.9
"""Correlations that a fit starts from stay inside this bound."""


@dataclass(frozen=True)
class Structure:
    """A covariance structure of visits.

    Attributes
    ----------
    name, title
        Short name, and what it is called in a table.
    size
        Number of parameters for a number of visits.
    matrix
        Parameters (..., size) and number of visits -> matrices (..., visits, visits).
    start
        Covariance matrix -> parameters to start from.
    """

    name: StructureName
    title: str
    size: Callable[[int], int]
    matrix: Callable[[Numbers, int], Numbers]
    start: Callable[[Floats], Floats]

    def with_derivatives(self, parameters: Floats, visits: int) -> tuple[Floats, Floats]:
        """The matrix (visits, visits) and its derivatives (size, visits, visits)."""
        value = np.real(self.matrix(parameters, visits))
        shifted = parameters.astype(np.complex128) + 1j * STEP * np.eye(len(parameters))
        return value, np.imag(self.matrix(shifted, visits)) / STEP


def _unstructured(parameters: Numbers, visits: int) -> Numbers:
    """Cholesky factor with the logarithm of its diagonal."""
    rows, columns = np.tril_indices(visits)
    factor = np.zeros((*parameters.shape[:-1], visits, visits), dtype=parameters.dtype)
    factor[..., rows, columns] = np.where(rows == columns, np.exp(_bounded(parameters, rows == columns)), parameters)
    return factor @ np.swapaxes(factor, -1, -2)


def _bounded(parameters: Numbers, which: NDArray[np.bool_]) -> Numbers:
    """Parameters that go into an exponential; the others must not overflow there."""
    return np.where(which, parameters, 0.0)


def _start_unstructured(covariance: Floats) -> Floats:
    visits = len(covariance)
    factor = np.linalg.cholesky(covariance)
    rows, columns = np.tril_indices(visits)
    values = factor[rows, columns]
    return np.where(rows == columns, np.log(np.where(rows == columns, values, 1.0)), values)


def _toeplitz(parameters: Numbers, visits: int) -> Numbers:
    """Own variance at each visit; the correlation depends on the lag only.

    Partial autocorrelations between -1 and 1 give every positive definite sequence of correlations (Durbin-Levinson).
    """
    deviations = np.exp(parameters[..., :visits])
    partial = np.tanh(parameters[..., visits:])
    correlations = [np.ones_like(deviations[..., 0])]
    weights: list[Numbers] = []
    unexplained = np.ones_like(deviations[..., 0])
    for lag in range(1, visits):
        own = partial[..., lag - 1]
        known = sum((weight * correlations[lag - 1 - i] for i, weight in enumerate(weights)), 0 * own)
        correlations.append(known + own * unexplained)
        weights = [weight - own * weights[lag - 2 - i] for i, weight in enumerate(weights)] + [own]
        unexplained = unexplained * (1 - own**2)
    lags = np.abs(np.subtract.outer(np.arange(visits), np.arange(visits)))
    matrix = np.stack(correlations, axis=-1)[..., lags]
    return np.asarray(deviations[..., :, None] * matrix * deviations[..., None, :])


def _start_toeplitz(covariance: Floats) -> Floats:
    deviations = np.sqrt(np.diag(covariance))
    neighbours = _mean_correlation(covariance, 1)
    partial = np.zeros(len(covariance) - 1)
    partial[:1] = np.arctanh(neighbours)
    return np.concatenate([np.log(deviations), partial])


def _autoregressive(parameters: Numbers, visits: int) -> Numbers:
    """One variance; the correlation falls by the same factor from visit to visit."""
    variance, rho = np.exp(2 * parameters[..., 0]), np.tanh(parameters[..., 1])
    powers = np.stack([rho**lag for lag in range(visits)], axis=-1)
    lags = np.abs(np.subtract.outer(np.arange(visits), np.arange(visits)))
    return np.asarray(variance[..., None, None] * powers[..., lags])


def _start_autoregressive(covariance: Floats) -> Floats:
    return np.array([0.5 * np.log(np.diag(covariance).mean()), np.arctanh(_mean_correlation(covariance, 1))])


def _compound(parameters: Numbers, visits: int) -> Numbers:
    """One variance and one correlation, above -1 / (visits - 1)."""
    variance = np.exp(2 * parameters[..., 0])
    lowest = -1 / max(visits - 1, 1)
    rho = lowest + (1 - lowest) / (1 + np.exp(-parameters[..., 1]))
    same = np.eye(visits)
    return np.asarray(variance[..., None, None] * (same + (1 - same) * rho[..., None, None]))


def _start_compound(covariance: Floats) -> Floats:
    lowest = -1 / max(len(covariance) - 1, 1)
    share = (max(_mean_correlation(covariance, None), 0.9 * lowest) - lowest) / (1 - lowest)
    return np.array([0.5 * np.log(np.diag(covariance).mean()), np.log(share / (1 - share))])


def _mean_correlation(covariance: Floats, lag: int | None) -> float:
    """Mean correlation at a lag, or over all pairs."""
    if len(covariance) < 2:
        return 0.0
    deviations = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviations, deviations)
    found = correlation[np.triu_indices(len(correlation), 1)] if lag is None else np.diag(correlation, lag)
    return float(np.clip(found.mean(), -LARGEST_START, LARGEST_START))


STRUCTURES: Final[dict[StructureName, Structure]] = {
    "UN": Structure("UN", "unstructured", lambda t: t * (t + 1) // 2, _unstructured, _start_unstructured),
    "TOEPH": Structure("TOEPH", "heterogeneous Toeplitz", lambda t: 2 * t - 1, _toeplitz, _start_toeplitz),
    "AR1": Structure("AR1", "first-order autoregressive", lambda _: 2, _autoregressive, _start_autoregressive),
    "CS": Structure("CS", "compound symmetry", lambda _: 2, _compound, _start_compound),
}
"""From the richest to the plainest: the order in which a fit gives way."""
