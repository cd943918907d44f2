"""Linear mixed model with random effects of subjects, by (restricted) maximum likelihood.

Own code over sums of squares, because ``statsmodels.MixedLM`` stops early, takes seconds or fails on the border as soon
as the slopes of subjects hardly differ, which is the usual case of a small trial. Numbers agree with lme4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.tl._effects import fitted_without_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

LARGEST_GRADIENT = 1e-3
BORDER = 1e-4
"""A random effect whose deviation is below this share of the residual one has no variance: the fit is on the border."""

WHERE = "linear mixed model"


@dataclass(frozen=True)
class LinearMixed:
    """Fit of a linear mixed model.

    Attributes
    ----------
    names
        Fixed effects.
    coefficients, covariance
        Estimates and their covariance matrix.
    sigma
        Residual standard deviation.
    random_covariance
        Covariance matrix of the random effects.
    loglik
        Restricted log-likelihood, or the log-likelihood when fitted by maximum likelihood; with all constants.
    n, subjects
        Rows and subjects.
    on_border
        A random effect has no variance, or two are perfectly correlated: the model has more of them than the data show.
        The fixed effects hold all the same.
    """

    names: tuple[str, ...]
    coefficients: Floats
    covariance: Floats
    sigma: float
    random_covariance: Floats
    loglik: float
    n: int
    subjects: int
    on_border: bool

    @property
    def standard_errors(self) -> Floats:
        """By fixed effect."""
        return np.sqrt(np.diag(self.covariance))

    def term(self, name: str, *, df: float, confidence: float = 0.95) -> tuple[float, float, float, float]:
        """Estimate, lower and upper limit and two-sided p of a fixed effect, by the t distribution."""
        from scipy.special import stdtr, stdtrit

        index = self.names.index(name)
        estimate, error = float(self.coefficients[index]), float(self.standard_errors[index])
        half = float(stdtrit(df, 0.5 + confidence / 2)) * error
        return estimate, estimate - half, estimate + half, 2 * float(stdtr(df, -abs(estimate) / error))


class _Problem:
    """Cross-products of each subject; fixed effects made orthogonal, outcome and random effects of unit size."""

    def __init__(self, who: NDArray[np.intp], design: Floats, outcome: Floats, random: Floats) -> None:
        self.n, self.terms = design.shape
        self.subjects, self.effects = int(who.max()) + 1, random.shape[1]
        self.basis, self.triangle = np.linalg.qr(design)
        self.start = self.basis.T @ outcome
        left = outcome - self.basis @ self.start
        self.unit = math.sqrt(float(left @ left) / self.n)
        self.columns = np.sqrt((random**2).mean(axis=0))
        both = np.column_stack([self.basis, left / self.unit])
        scaled = random / self.columns
        self.total = both.T @ both
        self.inner = np.zeros((self.subjects, self.effects, self.effects))
        self.outer = np.zeros((self.subjects, self.effects, self.terms + 1))
        np.add.at(self.inner, who, scaled[:, :, None] * scaled[:, None, :])
        np.add.at(self.outer, who, scaled[:, :, None] * both[:, None, :])
        self.lowest = np.tril_indices(self.effects)

    def factor(self, parameters: Floats) -> Floats:
        """Cholesky factor of the covariance of the random effects over the residual variance."""
        matrix = np.zeros((self.effects, self.effects))
        matrix[self.lowest] = parameters
        return matrix

    def solve(self, parameters: Floats) -> tuple[Floats, Floats, float]:
        """Cross-products of the fixed effects given the random ones, their effects, and the sum of log determinants."""
        factor = self.factor(parameters)
        spread = np.eye(self.effects) + factor.T @ self.inner @ factor
        half = np.linalg.solve(np.linalg.cholesky(spread), factor.T @ self.outer)
        sums = self.total - np.einsum("ska,skb->ab", half, half)
        effects = np.linalg.solve(sums[:-1, :-1], sums[:-1, -1])
        return sums, effects, float(np.linalg.slogdet(spread)[1].sum())

    def deviance(self, parameters: Floats, *, reml: bool) -> float:
        """-2 log-likelihood at the best residual variance, outcome in units of ``unit``."""
        sums, effects, log_determinant = self.solve(parameters)
        squares = float(sums[-1, -1] - sums[-1, :-1] @ effects)
        count = self.n - self.terms if reml else self.n
        if squares <= 0:
            return math.inf
        value: float = log_determinant + count * (1 + math.log(2 * math.pi * squares / count))
        return value + float(np.linalg.slogdet(sums[:-1, :-1])[1]) if reml else value


def fit_linear_mixed(
    subject: ArrayLike,
    design: ArrayLike,
    outcome: ArrayLike,
    *,
    names: Sequence[str],
    random: ArrayLike | None = None,
    reml: bool = True,
) -> LinearMixed:
    """Fit a linear mixed model.

    Parameters
    ----------
    subject
        Label of the subject of each row, length n.
    design
        Fixed effects, n x terms, full rank.
    outcome
        Length n, nothing missing.
    names
        Names of the fixed effects.
    random
        Columns with random effects, n x k; default a column of ones (random intercept).
    reml
        Restricted (default) or ordinary maximum likelihood.

    Raises
    ------
    AnalysisError
        Fixed effects depend on each other, the outcome is fitted without error, or the fit does not converge.

    Notes
    -----
    Laird and Ware 1982, Biometrics 38:963; the likelihood is profiled over the fixed effects and the residual variance.
    """
    from scipy.optimize import approx_fprime, minimize

    _, who = np.unique(np.asarray(subject), return_inverse=True)
    x, y = np.asarray(design, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    z = np.ones((len(y), 1)) if random is None else np.asarray(random, dtype=np.float64).reshape(len(y), -1)
    scale = np.sqrt((x**2).sum(axis=0))
    if (scale == 0).any() or np.linalg.matrix_rank(x / np.where(scale == 0, 1, scale)) < x.shape[1]:
        raise AnalysisError("the fixed effects cannot be told apart", where=WHERE)
    left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    if fitted_without_error(y, left):
        raise AnalysisError("the outcome has no residual variation", where=WHERE)
    problem = _Problem(who, x, y, z)

    def deviance(parameters: Floats) -> float:
        return problem.deviance(parameters, reml=reml)

    start = (0.7 * np.eye(problem.effects))[problem.lowest]
    rough = minimize(deviance, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-4})
    fine = minimize(deviance, rough.x, method="BFGS", jac="3-point", options={"gtol": 1e-5})
    best = fine if fine.fun <= rough.fun else rough
    parameters = np.asarray(best.x)
    gradient = approx_fprime(parameters, deviance, 1e-6)
    if not math.isfinite(float(best.fun)) or np.abs(gradient).max() > LARGEST_GRADIENT * problem.n:
        raise AnalysisError("the fit did not converge", where=WHERE)
    return _result(problem, parameters, tuple(names), reml=reml)


def _result(problem: _Problem, parameters: Floats, names: tuple[str, ...], *, reml: bool) -> LinearMixed:
    """The fit in the units that came in."""
    sums, effects, _ = problem.solve(parameters)
    count = problem.n - problem.terms if reml else problem.n
    variance = float(sums[-1, -1] - sums[-1, :-1] @ effects) / count * problem.unit**2
    back = np.linalg.inv(problem.triangle)
    factor = problem.factor(parameters)
    relative = factor @ factor.T
    # of the scaling only the unit of the outcome and, in a restricted likelihood, that of the fixed effects count
    shift = count * math.log(problem.unit)
    if reml:
        shift += float(np.log(np.abs(np.diag(problem.triangle))).sum())
    return LinearMixed(
        names, back @ (problem.start + problem.unit * effects),
        variance * back @ np.linalg.inv(sums[:-1, :-1]) @ back.T, math.sqrt(variance),
        variance * relative / np.outer(problem.columns, problem.columns),
        -0.5 * problem.deviance(parameters, reml=reml) - shift, problem.n, problem.subjects,
        bool(np.sqrt(np.maximum(np.linalg.eigvalsh(relative), 0.0))[0] < BORDER),
    )  # fmt: skip
