"""Linear regression on values that may be censored (Tobit): normal errors, maximum likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.virology.censored_normal import RowLikelihood, censored_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_ON_A_LINE = 1e-9
"""Residual SD, in units of the largest value, below which results lie on a line as far as arithmetic can tell."""

_FLATTEST = 1e-6


@dataclass(frozen=True, eq=False)
class TobitFit:
    """A fitted censored regression.

    Attributes
    ----------
    coefficients
        One a column of the design.
    covariance
        Of the coefficients and log sigma, from the observed information; NaN when ``on_a_line``.
    sigma
        Standard deviation of the errors (maximum likelihood); 0 when ``on_a_line``.
    log_likelihood
        Density of the exact values and probability of the censored ones; infinite when ``on_a_line``.
    n, n_exact
        Values that were used, and how many of them are exact.
    on_a_line
        The exact values lie on the fitted line and the censored ones do not contradict it: the likelihood grows without
        bound as sigma goes to 0. The coefficients are those of that line, an interval does not exist.
    """

    coefficients: Floats
    covariance: Floats
    sigma: float
    log_likelihood: float
    n: int
    n_exact: int
    on_a_line: bool = False

    @property
    def standard_errors(self) -> Floats:
        """Standard errors of the coefficients by maximum likelihood, without correction for few values."""
        k = len(self.coefficients)
        return np.asarray(np.sqrt(np.diag(self.covariance)[:k]), dtype=np.float64)

    def interval(self, column: int, *, confidence: float = 0.95) -> tuple[float, float]:
        """Confidence interval of one coefficient.

        Student's t with n - k degrees of freedom and the variance scaled by n / (n - k): without censoring this is the
        exact interval of least squares. With few censored values it is wider than the normal one of large samples,
        which is too narrow there.

        Returns
        -------
        (lower, upper); NaN when the values lie on a line or leave no degree of freedom.
        """
        from scipy.stats import t

        free = self.n - len(self.coefficients)
        if self.on_a_line or free < 1:
            return math.nan, math.nan
        half = float(t.ppf(0.5 + confidence / 2, free)) * float(self.standard_errors[column])
        half *= math.sqrt(self.n / free)
        return float(self.coefficients[column]) - half, float(self.coefficients[column]) + half


def censored_regression(design: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> TobitFit:
    """Fit a linear regression to exact, left-, right- or interval-censored values.

    Parameters
    ----------
    design
        n x k matrix; the intercept is a column of it.
    lower, upper
        Bounds of the n values. Equal: an exact value. NaN or infinite: open. Both open says nothing and is refused.

    Returns
    -------
    TobitFit

    Raises
    ------
    AnalysisError
        The shapes differ, a bound is above the other, a value says nothing, or the exact values do not determine the
        coefficients.

    Notes
    -----
    J. Tobin, Econometrica 1958;26:24; the likelihood of interval-censored normal values as in survreg of R.

    Examples
    --------
    >>> days = [0, 7, 14, 21, 28]
    >>> low = [4, np.log10(12000), np.log10(800), np.nan, np.nan]
    >>> up = [4, np.log10(12000), np.log10(800), np.log10(137), np.log10(137)]
    >>> fit = censored_regression(np.column_stack([np.ones(5), days]), low, up)
    >>> [round(float(value), 4) for value in fit.coefficients]
    [4.3599, -0.1104]
    """
    x, low, high = _checked(design, lower, upper)
    n, k = x.shape
    exact = low == high
    start, _, rank, _ = np.linalg.lstsq(x[exact], low[exact], rcond=None)
    if int(rank) < k:
        raise AnalysisError(
            f"{int(exact.sum())} exact values do not determine {k} coefficients", where="censored regression"
        )
    spread = float(np.sqrt(np.mean((low[exact] - x[exact] @ start) ** 2)))
    scale = max(1.0, float(np.abs(low[exact]).max()))
    fitted = x @ start
    if spread <= _ON_A_LINE * scale and bool(np.all(exact | ((fitted >= low) & (fitted <= high)))):
        missing = np.full((k + 1, k + 1), np.nan)
        return TobitFit(start, missing, 0.0, math.inf, n, int(exact.sum()), on_a_line=True)
    theta = _maximise(start, max(spread, 0.1 * scale), x, low, high)
    covariance = np.asarray(np.linalg.inv(_information(theta, x, low, high)))
    log_likelihood = -_objective(theta, x, low, high)[0]
    return TobitFit(theta[:k], covariance, math.exp(float(theta[k])), log_likelihood, n, int(exact.sum()))


def _checked(design: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> tuple[Floats, Floats, Floats]:
    x = np.asarray(design, dtype=np.float64)
    low, high = (np.asarray(bound, dtype=np.float64) for bound in (lower, upper))
    where = "censored regression"
    if x.ndim != 2 or low.shape != (len(x),) or high.shape != (len(x),):
        raise AnalysisError(f"design {x.shape}, bounds {low.shape} and {high.shape} do not fit", where=where)
    if not np.isfinite(x).all():
        raise AnalysisError("the design has missing values", where=where, todo="leave these rows out")
    low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    if bool(np.any(low > high)):
        raise AnalysisError("a lower bound is above its upper bound", where=where)
    if bool(np.any(np.isinf(low) & np.isinf(high))):
        raise AnalysisError("a value without any bound says nothing", where=where, todo="leave the row out")
    return x, low, high


def _likelihood(theta: Floats, x: Floats, low: Floats, high: Floats) -> RowLikelihood:
    """Of every row, at coefficients and log sigma."""
    return censored_rows(low, high, x @ theta[:-1], math.exp(float(theta[-1])))


def _objective(theta: Floats, x: Floats, low: Floats, high: Floats) -> tuple[float, Floats]:
    """Minus log-likelihood and its gradient in the coefficients and log sigma."""
    rows = _likelihood(theta, x, low, high)
    return -float(rows.value.sum()), -np.append(x.T @ rows.slope, rows.by_sigma.sum())


def _maximise(start: Floats, sigma: float, x: Floats, low: Floats, high: Floats) -> Floats:
    """Maximum-likelihood estimate; columns of the design are scaled, so that slopes per day are well conditioned.

    A line search may step to a sigma where the likelihood is flat; then smaller sigmas are tried as start.
    """
    from scipy.optimize import minimize

    size = np.append(np.sqrt(np.mean(x**2, axis=0)), 1.0)

    def scaled(theta: Floats) -> tuple[float, Floats]:
        with np.errstate(over="ignore", invalid="ignore"):
            value, gradient = _objective(theta / size, x, low, high)
        return (value, gradient / size) if np.isfinite(value) else (math.inf, np.zeros_like(theta))

    for share in (1.0, 0.5, 0.2, 0.05):
        begin = np.append(start, math.log(share * sigma)) * size
        found = minimize(scaled, begin, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})
        gradient = float(np.abs(found.jac).max())
        if np.isfinite(found.fun) and gradient <= _FLATTEST * max(1.0, abs(float(found.fun))):
            return np.asarray(found.x / size, dtype=np.float64)
    raise AnalysisError("the likelihood has no maximum that could be found", where="censored regression")


def _information(theta: Floats, x: Floats, low: Floats, high: Floats) -> Floats:
    """Observed information of the coefficients and log sigma."""
    rows = _likelihood(theta, x, low, high)
    side = -(x.T @ rows.mixed)
    inner = -(x.T * rows.curvature) @ x
    return np.block([[inner, side[:, None]], [side[None, :], -rows.by_sigma_twice.sum()]])
