"""Tobit mixed model: repeated measures of which some are known only by bounds, with random effects of subjects.

Own code: no Python library fits it by maximum likelihood. The integral over the random effects uses Gauss-Hermite nodes
placed at the mode of each subject (adaptive): nodes at fixed places give a wrong likelihood as soon as a subject has
several results. Likelihood, gradient and second derivatives are exact and compiled (virology/censored_normal.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.tl._effects import fitted_without_error
from immunoprofile.virology.censored_normal import LOG_2PI, mixed_likelihood

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

NODES: Final = {0: 1, 1: 141, 2: 21}
"""Quadrature nodes in each direction, by the number of random effects.

With 9 x 9 nodes the likelihood of subjects with censored results is rough enough that fits with a random slope stop
short of their maximum; from 21 x 21 on the maximum no longer moves (checked against a grid of 201 x 201 points). One
random effect has equally spaced nodes: a subject without any quantified result has a posterior with an edge, which the
nodes of Gauss and Hermite are too far apart to see.
"""
REACH: Final = 7.0
"""Equally spaced nodes lie within so many standard deviations."""

NEWTON_STEPS: Final = 60
HALVINGS: Final = 30
LONGEST_STEP: Final = 2.0
CONVERGED: Final = 1e-9
"""Decrease of the log-likelihood that a Newton step still promises at the end."""

QUADRATURE_NOISE: Final = 1e-3
"""A step that promises less and finds no better place is at the peak, as far as the nodes can tell: an estimate is then
within a twentieth of its standard error. So it is where subjects have no quantified result at all."""

FLATTEST: Final = 1e-8
"""A peak with less curvature a row in some direction is none."""

SMALLEST_SIGMA: Final = 1e-5
"""Residual deviations below this share of the spread of the outcome mean that the rows are fitted without error."""


@dataclass(frozen=True)
class TobitMixed:
    """Fit by maximum likelihood.

    Attributes
    ----------
    names
        Fixed effects.
    coefficients, covariance
        Estimates and their covariance matrix, from the observed information of all parameters.
    sigma
        Residual standard deviation.
    random_covariance
        Covariance matrix of the random effects (intercept, then slope), 0 x 0 without random effects.
    loglik
        Log-likelihood: densities of exact rows, probabilities of bounded ones.
    n, censored, subjects
        Rows, those known by bounds only, and subjects.
    slopes
        Expected slope of the log-likelihood in the mean of each row (in the order of the rows that came in), given the
        data: for exact rows without random effects the residual over the variance.
    """

    names: tuple[str, ...]
    coefficients: Floats
    covariance: Floats
    sigma: float
    random_covariance: Floats
    loglik: float
    n: int
    censored: int
    subjects: int
    slopes: Floats

    @property
    def standard_errors(self) -> Floats:
        """By fixed effect."""
        return np.sqrt(np.diag(self.covariance))

    def term(
        self, name: str, *, df: float = math.inf, spent: int = 0, confidence: float = 0.95
    ) -> tuple[float, float, float, float]:
        """Estimate, lower and upper limit and two-sided p of a fixed effect, by the t (or normal) distribution.

        Maximum likelihood does not count the fixed effects that it spends and makes variances too small. ``spent`` of
        them are given back: the variance is scaled by (df + spent) / df, as in least squares.
        """
        return self.contrast({name: 1.0}, df=df, spent=spent, confidence=confidence)

    def contrast(
        self, weights: Mapping[str, float], *, df: float = math.inf, spent: int = 0, confidence: float = 0.95
    ) -> tuple[float, float, float, float]:
        """Estimate, limits and p of a weighted sum of fixed effects, as :func:`term`."""
        from scipy.stats import t

        weight = np.array([weights.get(name, 0.0) for name in self.names])
        estimate = float(weight @ self.coefficients)
        error = math.sqrt(float(weight @ self.covariance @ weight)) * math.sqrt(1 + spent / df)
        half = float(t.ppf(0.5 + confidence / 2, df)) * error
        return estimate, estimate - half, estimate + half, 2 * float(t.sf(abs(estimate) / error, df))


class _Evaluation(NamedTuple):
    """Minus the log-likelihood, its first and second derivatives, and the expected slope of each row in its mean."""

    value: float
    gradient: Floats
    hessian: Floats
    slopes: Floats


class _Problem:
    """Rows sorted by subject, fixed effects scaled to be orthogonal, and the modes found last."""

    def __init__(self, subject: NDArray[np.intp], rows: tuple[Floats, Floats], design: Floats, random: Floats) -> None:
        self.order = np.argsort(subject, kind="stable")
        self.who = subject[self.order]
        self.lower, self.upper = (np.ascontiguousarray(bound[self.order]) for bound in rows)
        self.random = np.ascontiguousarray(random[self.order])
        self.effects = self.random.shape[1]
        self.exact = self.lower == self.upper
        n = len(self.who)
        basis, triangle = np.linalg.qr(design[self.order])
        # columns of about unit size: the optimiser then sees similar curvature in every direction
        self.design, self.triangle = basis * math.sqrt(n), triangle / math.sqrt(n)
        first = np.flatnonzero(np.diff(self.who, prepend=-1))
        self.starts = np.append(first, n)
        self.subjects, self.n, self.terms = len(first), n, design.shape[1]
        self.lowest = np.tril_indices(self.effects)
        self.modes = np.zeros((self.subjects, self.effects))
        self.nodes, self.log_weights = _grid(self.effects)

    def evaluate(self, parameters: Floats) -> _Evaluation:
        """Minus the log-likelihood, its gradient and its observed information at these parameters."""
        beta, sigma = parameters[: self.terms], math.exp(min(float(parameters[-1]), 50.0))
        factor = np.zeros((self.effects, self.effects))
        factor[self.lowest] = parameters[self.terms : -1]
        value, gradient, hessian, slopes = mixed_likelihood(
            self.starts, self.lower, self.upper, self.design, self.random, self.design @ beta, factor, sigma,
            self.modes, self.nodes, self.log_weights,
        )  # fmt: skip
        return _Evaluation(-value, -gradient, -hessian, slopes)

    def nested(self, fit: TobitMixed, names: tuple[str, ...]) -> Floats:
        """Parameters of a fit with some of the fixed effects, the others at zero."""
        known = dict(zip(fit.names, fit.coefficients.tolist(), strict=True))
        beta = self.triangle @ np.array([known.get(name, 0.0) for name in names])
        spread = fit.random_covariance
        floor = 1e-6 * max(float(np.trace(spread)), fit.sigma**2) * np.eye(self.effects)
        factor = np.linalg.cholesky(spread + floor) if self.effects else spread
        return np.concatenate([beta, factor[self.lowest], [math.log(fit.sigma)]])

    def start(self) -> Floats:
        """Least squares with bounded rows at their bound, the residual variation split between and within subjects."""
        guess = np.where(np.isfinite(self.upper), self.upper, self.lower)
        beta = self.design.T @ guess / self.n
        left = guess - self.design @ beta
        sizes = np.diff(self.starts)
        means = np.add.reduceat(left, self.starts[:-1]) / sizes
        within = float(((left - means[self.who]) ** 2).sum()) / max(self.n - self.subjects, 1)
        within = max(within, 0.05 * float(left @ left) / self.n)
        between = max(float(np.mean(means**2)) - within / float(sizes.mean()), 0.1 * within)
        factor = np.zeros((self.effects, self.effects))
        scale = np.sqrt(np.maximum((self.random**2).mean(axis=0), 1e-12)) if self.effects else np.ones(0)
        np.fill_diagonal(factor, [math.sqrt(between) / s if k == 0 else 0.3 * math.sqrt(within) / s
                                  for k, s in enumerate(scale)])  # fmt: skip
        total = within if self.effects else float(left @ left) / self.n
        return np.concatenate([beta, factor[self.lowest], [0.5 * math.log(total)]])


def fit_tobit_mixed(
    subject: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    design: ArrayLike,
    names: Sequence[str],
    random: ArrayLike | None = None,
    start: TobitMixed | None = None,
) -> TobitMixed:
    """Fit a linear mixed model to outcomes of which some are censored, by maximum likelihood.

    Parameters
    ----------
    subject
        Label of the subject of each row, length n.
    lower, upper
        Bounds of the outcome, length n: equal where the value is known, ``-inf`` below for left-censored rows, ``inf``
        above for right-censored ones, two numbers for an interval.
    design
        Fixed effects, n x terms, full rank.
    names
        Names of the fixed effects.
    random
        Columns with random effects, n x 0, 1 or 2; default a column of ones (random intercept). With none this is
        Tobit regression (Tobin 1958, Econometrica 26:24) and ``subject`` plays no part.

    start
        Fit of the same rows and random effects with some of these fixed effects: the search begins at its maximum.

    Returns
    -------
    TobitMixed

    Raises
    ------
    AnalysisError
        Nothing was quantified, a fixed effect rests on censored rows only (its estimate would run to infinity), fixed
        effects depend on each other, the quantified rows are fitted without error, or the likelihood has no peak.

    Notes
    -----
    Hughes 1999, Biometrics 55:625 (mixed models with censored viral load); Pinheiro and Bates 1995, J Comput Graph Stat
    4:12 (adaptive quadrature).
    """
    _, who = np.unique(np.asarray(subject), return_inverse=True)
    low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    x = np.asarray(design, dtype=np.float64)
    z = np.ones((len(who), 1)) if random is None else np.asarray(random, dtype=np.float64).reshape(len(who), -1)
    if z.shape[1] not in NODES:
        raise AnalysisError(f"{z.shape[1]} random effects", where="Tobit mixed model", todo="use 0, 1 or 2")
    _check(low, high, x, tuple(names))
    problem = _Problem(who, (low, high), x, z)
    parameters, found = _maximise(problem, problem.start() if start is None else problem.nested(start, tuple(names)))
    spread = float(np.std(problem.upper[problem.exact]))
    sigma = math.exp(float(parameters[-1]))
    if sigma < SMALLEST_SIGMA * spread:
        raise AnalysisError("the quantified rows are fitted without error", where="Tobit mixed model")
    matrix = np.linalg.inv(found.hessian)[: problem.terms, : problem.terms]
    back = np.linalg.inv(problem.triangle)
    factor = np.zeros((problem.effects, problem.effects))
    factor[problem.lowest] = parameters[problem.terms : -1]
    slopes = np.empty(problem.n)
    slopes[problem.order] = found.slopes
    return TobitMixed(
        tuple(names), back @ parameters[: problem.terms], back @ matrix @ back.T, sigma, factor @ factor.T,
        -found.value, problem.n, int((~problem.exact).sum()), problem.subjects, slopes,
    )  # fmt: skip


def _grid(effects: int) -> tuple[Floats, Floats]:
    """Nodes (q, effects) and the logarithm of their weights, less the normal density that the nodes stand for."""
    if not effects:
        return np.zeros((1, 0)), np.zeros(1)
    if effects == 1:
        points, space = np.linspace(-REACH, REACH, NODES[1], retstep=True)
        return points[:, None], np.full(len(points), math.log(float(space)) - 0.5 * LOG_2PI)
    points, weights = np.polynomial.hermite_e.hermegauss(NODES[effects])
    logs = np.log(weights / weights.sum())
    nodes = np.stack(np.meshgrid(*[points] * effects, indexing="ij"), axis=-1).reshape(-1, effects)
    joint = sum(np.meshgrid(*[logs] * effects, indexing="ij"), np.zeros(())).reshape(-1)
    return nodes, joint + 0.5 * (nodes**2).sum(axis=1)


def _check(lower: Floats, upper: Floats, design: Floats, names: tuple[str, ...]) -> None:
    where = "Tobit mixed model"
    if np.isnan(lower).any() or np.isnan(upper).any() or (lower > upper).any():
        raise AnalysisError("bounds are missing or the wrong way round", where=where)
    if np.isinf(lower[lower == upper]).any() or (np.isinf(lower) & np.isinf(upper)).any():
        raise AnalysisError("a row has no finite bound", where=where)
    exact = lower == upper
    if not exact.any():
        raise AnalysisError(f"all {len(exact)} results are censored", where=where)
    scale = np.sqrt((design**2).sum(axis=0))
    scaled = design / np.where(scale == 0, 1, scale)
    terms = design.shape[1]
    if np.linalg.matrix_rank(scaled) < terms:
        raise AnalysisError("the fixed effects cannot be told apart", where=where)
    # rows that are open on one side cannot hold an estimate back on that side
    _, singular, directions = np.linalg.svd(scaled[np.isfinite(lower) & np.isfinite(upper)], full_matrices=True)
    rank = int((singular > 1e-9 * max(singular.max(initial=0.0), 1e-300)).sum())
    if rank < terms:
        loose = [name for name, size in zip(names, np.abs(directions[rank:]).max(axis=0), strict=True) if size > 1e-6]
        raise AnalysisError(f"{', '.join(loose)}: rests on censored results only, the estimate has no bound",
                            where=where)  # fmt: skip
    value, quantified = lower[exact], scaled[exact]
    left = value - quantified @ np.linalg.lstsq(quantified, value, rcond=None)[0]
    if fitted_without_error(value, left):
        raise AnalysisError("the quantified rows are fitted without error", where=where)


def _maximise(problem: _Problem, parameters: Floats) -> tuple[Floats, _Evaluation]:
    """Parameters at the peak of the likelihood and what it is there, by damped Newton steps."""

    def evaluate(parameters: Floats) -> _Evaluation | None:
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                found = problem.evaluate(parameters)
        except np.linalg.LinAlgError:
            found = None
        if found is not None and math.isfinite(found.value) and np.isfinite(found.hessian).all():
            return found
        problem.modes = np.zeros_like(problem.modes)
        return None

    here = evaluate(parameters)
    for _ in range(NEWTON_STEPS):
        if here is None:
            break
        values, vectors = np.linalg.eigh(here.hessian)
        # away from the peak directions may curve the wrong way; there the size of the curvature gives the step
        step = -vectors @ ((vectors.T @ here.gradient) / np.maximum(np.abs(values), 1e-3 * values[-1]))
        decrease = -float(here.gradient @ step)
        if decrease < CONVERGED:
            return _peak(problem, parameters, here, values)
        length = min(1.0, LONGEST_STEP / float(np.abs(step).max()))
        found = None
        for _ in range(HALVINGS):
            found = evaluate(parameters + length * step)
            if found is not None and found.value <= here.value - 1e-4 * length * decrease:
                break
            found, length = None, length / 2
        if found is None and decrease < QUADRATURE_NOISE:
            return _peak(problem, parameters, here, values)
        if found is None:
            break
        parameters, here = parameters + length * step, found
    raise AnalysisError("the fit did not converge", where="Tobit mixed model")


def _peak(problem: _Problem, parameters: Floats, here: _Evaluation, curvature: Floats) -> tuple[Floats, _Evaluation]:
    """The end of the search, where the likelihood curves downward in every direction."""
    if curvature[0] <= FLATTEST * problem.n:
        raise AnalysisError("the likelihood has no peak", where="Tobit mixed model")
    return parameters, here
