"""Mixed model for repeated measures (MMRM): restricted maximum likelihood over visits with a covariance structure.

Own code: statsmodels has no residual covariance of visits, and the young alternatives on PyPI none that is tested
against R. The likelihood needs only sums of cross-products for each pattern of observed visits, so that an evaluation
does not grow with the number of subjects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.tl._effects import fitted_without_error
from immunoprofile.tl.covariance import STRUCTURES, Structure, StructureName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

NAN = math.nan
FALLBACK: tuple[StructureName, ...] = ("UN", "TOEPH", "AR1", "CS")
SMALLEST_EIGENVALUE = 1e-4
"""A correlation matrix of visits with a smaller eigenvalue lies on the border: the structure does not fit the data."""
LARGEST_GRADIENT = 1e-3


@dataclass(frozen=True)
class Reml:
    """Fit by restricted maximum likelihood.

    Attributes
    ----------
    names
        Fixed effects.
    coefficients, covariance
        Estimates and their covariance matrix, (X' V^-1 X)^-1.
    adjusted
        The covariance matrix with the small-sample correction of Kenward and Roger: contrasts rest on it. The same as
        ``covariance`` where nothing is missing and the structure is unstructured.
    structure
        Covariance structure that was fitted.
    visit_covariance
        Covariance matrix of the visits.
    minus_two_loglik
        Restricted log-likelihood times -2, with all constants.
    slopes, parameter_covariance
        Derivatives of ``covariance`` in the covariance parameters (size, terms, terms), and the asymptotic covariance
        matrix of these parameters: from them follow the degrees of freedom of a contrast (:meth:`df`).
    n, subjects
        Rows and subjects.
    tried
        Structures that were tried before and why they were left.
    """

    names: tuple[str, ...]
    coefficients: Floats
    covariance: Floats
    adjusted: Floats
    structure: StructureName
    visit_covariance: Floats
    minus_two_loglik: float
    slopes: Floats
    parameter_covariance: Floats
    n: int
    subjects: int
    tried: tuple[str, ...] = field(default=())

    @property
    def standard_errors(self) -> Floats:
        """By fixed effect."""
        return np.sqrt(np.diag(self.covariance))

    def df(self, weights: ArrayLike) -> float:
        """Degrees of freedom of a weighted sum of fixed effects, by Satterthwaite's approximation.

        Those of Kenward and Roger are the same for a single sum. With complete data and an unstructured covariance the
        effect of an arm at a visit has exactly those of the analysis of covariance there.
        """
        weight = np.asarray(weights, dtype=np.float64)
        variance = float(weight @ self.covariance @ weight)
        slope = np.einsum("i,kij,j->k", weight, self.slopes, weight)
        return max(1.0, 2 * variance**2 / float(slope @ self.parameter_covariance @ slope))

    def contrast(self, weights: ArrayLike, *, confidence: float = 0.95) -> tuple[float, float, float, float]:
        """Estimate, lower and upper limit and two-sided p of a weighted sum of fixed effects, by the t distribution."""
        from scipy.special import stdtr, stdtrit

        weight = np.asarray(weights, dtype=np.float64)
        estimate, df = float(weight @ self.coefficients), self.df(weight)
        error = math.sqrt(float(weight @ self.adjusted @ weight))
        half = float(stdtrit(df, 0.5 + confidence / 2)) * error
        p_value = 2 * float(stdtr(df, -abs(estimate) / error))
        return estimate, estimate - half, estimate + half, p_value

    def joint(self, weights: ArrayLike) -> tuple[float, float, float]:
        """Wald F that all rows of weights are zero, its degrees of freedom (Fai and Cornelius) and p."""
        from scipy.special import fdtrc

        weight = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        effects, count = weight @ self.coefficients, len(weight)
        spread = weight @ self.adjusted @ weight.T
        statistic = float(effects @ np.linalg.solve(spread, effects)) / count
        own = np.array([self.df(direction @ weight) for direction in np.linalg.eigh(spread)[1].T])
        expected = float((own[own > 2] / (own[own > 2] - 2)).sum())
        df = 2 * expected / (expected - count) if expected > count else float(own.min())
        return statistic, df, float(fdtrc(count, df, statistic))


class _Problem:
    """Cross-products of the orthogonal design and the residuals by pattern of observed visits."""

    def __init__(self, subject: NDArray[np.intp], visit: NDArray[np.intp], design: Floats, outcome: Floats) -> None:
        self.visits = int(visit.max()) + 1
        self.subjects = int(subject.max()) + 1
        self.n, self.terms = design.shape
        # an orthogonal design and ordinary residuals keep the sums of squares free of cancellation
        self.basis, self.triangle = np.linalg.qr(design)
        self.start = self.basis.T @ outcome
        stacked = np.column_stack([self.basis, outcome - self.basis @ self.start])
        self.log_scale = 2 * float(np.log(np.abs(np.diag(self.triangle))).sum())
        cube = np.zeros((self.subjects, self.visits, self.terms + 1))
        cube[subject, visit] = stacked
        seen = np.zeros((self.subjects, self.visits), dtype=bool)
        seen[subject, visit] = True
        self.masks, member = np.unique(seen, axis=0, return_inverse=True)
        member = member.reshape(-1)
        self.sizes = np.bincount(member).astype(np.float64)
        self.products = np.stack(
            [np.einsum("iaj,icl->acjl", cube[member == p], cube[member == p], optimize=True)
             for p in range(len(self.masks))]
        )  # fmt: skip
        self.both = self.masks[:, :, None] & self.masks[:, None, :]
        self.seen = seen
        self.residuals = cube[:, :, -1]

    def moments(self) -> Floats:
        """Covariance of the residuals over pairs of observed visits, made positive definite."""
        pairs = self.seen.T.astype(float) @ self.seen
        inflation = self.n / max(self.n - self.terms, 1)
        raw = inflation * (self.residuals.T @ self.residuals) / np.maximum(pairs, 1)
        floor = 1e-3 * max(float(np.mean(np.diag(raw))), 1e-300)
        deviations = np.sqrt(np.maximum(np.diag(raw), floor))
        values, vectors = np.linalg.eigh(raw / np.outer(deviations, deviations))
        correlation = (vectors * np.maximum(values, 0.05)) @ vectors.T
        rescale = np.sqrt(np.diag(correlation))
        return np.asarray(correlation / np.outer(rescale, rescale) * np.outer(deviations, deviations))

    def weights(self, covariance: Floats) -> tuple[Floats, float]:
        """Inverse of the observed part for each pattern (zero elsewhere), and the sum of the log determinants."""
        same = np.eye(self.visits)
        blocks = np.where(self.both, covariance, same * ~self.masks[:, :, None])
        factor = np.linalg.cholesky(blocks)
        log_determinants = 2 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        return np.where(self.both, np.linalg.inv(blocks), 0.0), float(self.sizes @ log_determinants)

    def solve(self, covariance: Floats) -> tuple[float, Floats, Floats, Floats]:
        """-2 log restricted likelihood, effects in the orthogonal basis, their covariance, weights."""
        weights, log_determinant = self.weights(covariance)
        sums = np.tensordot(weights, self.products, axes=([0, 1, 2], [0, 1, 2]))
        inner, side = sums[:-1, :-1], sums[:-1, -1]
        factor = np.linalg.cholesky(inner)
        bread = np.linalg.inv(inner)
        effects = bread @ side
        squares = float(sums[-1, -1] - side @ effects)
        value = (
            (self.n - self.terms) * math.log(2 * math.pi) + log_determinant + squares
            + 2 * float(np.log(np.diag(factor)).sum()) + self.log_scale
        )  # fmt: skip
        return value, effects, bread, weights

    def small_sample(
        self, derivatives: Floats, bread: Floats, weights: Floats, parameter_covariance: Floats
    ) -> tuple[Floats, Floats]:
        """Derivatives of the covariance of the effects, and its correction by Kenward and Roger.

        The correction leaves out the second derivatives of the covariance of the visits, which are zero for structures
        that are linear in their parameters, so that the result does not depend on how a structure is written down.
        """
        products = self.products[..., :-1, :-1]
        turned = weights[None] @ derivatives[:, None] @ weights[None]
        inner = np.tensordot(turned, products, axes=([1, 2, 3], [0, 1, 2]))
        twice = np.einsum("kpab,lbc,pcd->klpad", turned, derivatives, weights, optimize=True)
        both = np.einsum("kl,klpad->pad", parameter_covariance, twice, optimize=True)
        middle = np.tensordot(both, products, axes=([0, 1, 2], [0, 1, 2]))
        middle -= np.einsum("kl,kij,jm,lmn->in", parameter_covariance, inner, bread, inner, optimize=True)
        return np.asarray(bread @ inner @ bread), np.asarray(bread + bread @ (middle + middle.T) @ bread)

    def value_and_gradient(self, parameters: Floats, structure: Structure) -> tuple[float, Floats]:
        """-2 log restricted likelihood and its gradient in the covariance parameters."""
        with np.errstate(over="ignore", invalid="ignore"):
            covariance, slopes = structure.with_derivatives(parameters, self.visits)
        if not np.isfinite(covariance).all() or not np.isfinite(slopes).all():
            return math.inf, np.zeros_like(parameters)
        try:
            value, effects, bread, weights = self.solve(covariance)
        except np.linalg.LinAlgError:
            return math.inf, np.zeros_like(parameters)
        # residual sums of squares plus the spread that the estimated effects leave in them
        joint = np.append(-effects, 1.0)
        spread = np.outer(joint, joint)
        spread[:-1, :-1] += bread
        inside = np.tensordot(self.products, spread, axes=([3, 4], [0, 1]))
        sensitivity = np.tensordot(self.sizes, weights, axes=1) - (weights @ inside @ weights).sum(axis=0)
        return value, np.tensordot(slopes, sensitivity, axes=([1, 2], [0, 1]))


def fit_reml(
    subject: ArrayLike,
    visit: ArrayLike,
    design: ArrayLike,
    *,
    outcome: ArrayLike,
    names: Sequence[str],
    structures: Sequence[StructureName] = FALLBACK,
) -> Reml:
    """Fit a linear model whose errors are correlated over the visits of a subject, by REML.

    Parameters
    ----------
    subject
        Label of the subject of each row, length n.
    visit
        Order of the visit of each row, length n, whole numbers: sorted they are the rows of the covariance matrix.
    design
        Fixed effects, n x terms, full rank.
    outcome
        Observed values, length n; nothing missing. Visits that were missed are left out by their rows (missing at
        random).
    names
        Names of the fixed effects.
    structures
        Covariance structures in the order in which they are tried: ``UN`` unstructured, ``TOEPH`` heterogeneous
        Toeplitz, ``AR1``, ``CS`` compound symmetry. A structure gives way to the next when it has more parameters than
        the data can bear, does not converge, or ends on the border (a correlation of one).

    Returns
    -------
    Reml
        With ``tried`` telling which structures were left and why.

    Raises
    ------
    AnalysisError
        Fixed effects depend on each other, a subject has two rows of a visit, the outcome is fitted without error, or
        no structure converges.

    Notes
    -----
    Patterson and Thompson 1971, Biometrika 58:545; covariance of the effects and degrees of freedom by Kenward and
    Roger 1997, Biometrics 53:983 (with the observed information), those of several contrasts by Fai and Cornelius 1996,
    J Stat Comput Simul 54:363; the fall-back order is that of the trial's analysis plan.
    """
    _, who = np.unique(np.asarray(subject), return_inverse=True)
    _, when = np.unique(np.asarray(visit), return_inverse=True)
    x, y = np.asarray(design, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    _check(who, when, x, y)
    problem = _Problem(who, when, x, y)
    tried: list[str] = []
    for name in structures:
        structure = STRUCTURES[name]
        reason, parameters, hessian = _search(problem, structure)
        if parameters is None:
            tried.append(f"{structure.title}: {reason}")
            continue
        covariance = structure.with_derivatives(parameters, problem.visits)[0]
        value, effects, bread, weights = problem.solve(covariance)
        back = np.linalg.inv(problem.triangle)
        spread = np.asarray(2 * np.linalg.inv(hessian), dtype=np.float64)
        derivatives = structure.with_derivatives(parameters, problem.visits)[1]
        slopes, adjusted = problem.small_sample(derivatives, bread, weights, spread)
        return Reml(
            tuple(names), back @ (problem.start + effects), back @ bread @ back.T, back @ adjusted @ back.T, name,
            covariance, value, back @ slopes @ back.T, spread, problem.n, problem.subjects, tuple(tried),
        )  # fmt: skip
    raise AnalysisError(f"no covariance structure could be fitted ({'; '.join(tried)})", where="MMRM")


def _check(who: NDArray[np.intp], when: NDArray[np.intp], x: Floats, y: Floats) -> None:
    terms = x.shape[1]
    if len(np.unique(np.column_stack([who, when]), axis=0)) < len(who):
        raise AnalysisError("a subject has two rows of one visit", where="MMRM")
    scale = np.sqrt((x**2).sum(axis=0))
    if (scale == 0).any() or np.linalg.matrix_rank(x / np.where(scale == 0, 1, scale)) < terms:
        raise AnalysisError("the fixed effects cannot be told apart", where="MMRM")
    left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    if fitted_without_error(y, left):
        raise AnalysisError("the outcome has no residual variation", where="MMRM")


def _search(problem: _Problem, structure: Structure) -> tuple[str, Floats | None, Floats]:
    """Why a structure does not fit, or its parameters and the second derivatives of the deviance near them."""
    from scipy.optimize import minimize

    size, hessian = structure.size(problem.visits), np.empty((0, 0))
    if problem.n - problem.terms <= size:
        return f"{size} parameters for {problem.n - problem.terms} residual degrees of freedom", None, hessian
    pairs = problem.seen.T.astype(int) @ problem.seen
    if structure.name == "UN" and (fewest := int(pairs.min())) <= problem.visits:
        return f"two visits share {fewest} subjects only, {problem.visits + 1} are needed", None, hessian
    start = structure.start(problem.moments())
    found = minimize(problem.value_and_gradient, start, args=(structure,), jac=True, method="BFGS",
                     options={"gtol": 1e-4, "maxiter": 200})  # fmt: skip
    parameters = np.asarray(found.x)
    for _ in range(3):
        hessian = _hessian(problem, structure, parameters)
        gradient = problem.value_and_gradient(parameters, structure)[1]
        if not np.isfinite(hessian).all() or np.linalg.eigvalsh(hessian)[0] <= 0:
            return "the likelihood has no peak", None, hessian
        if np.abs(gradient).max() <= 1e-6:
            break
        parameters = parameters - np.linalg.solve(hessian, gradient)
    value, gradient = problem.value_and_gradient(parameters, structure)
    if not math.isfinite(value) or np.abs(gradient).max() > LARGEST_GRADIENT:
        return "not converged", None, hessian
    covariance = structure.with_derivatives(parameters, problem.visits)[0]
    deviations = np.sqrt(np.diag(covariance))
    if np.linalg.eigvalsh(covariance / np.outer(deviations, deviations))[0] < SMALLEST_EIGENVALUE:
        return "visits are perfectly correlated in the fit", None, hessian
    return "", parameters, hessian


def _hessian(problem: _Problem, structure: Structure, parameters: Floats) -> Floats:
    """Second derivatives from central differences of the exact gradient."""
    step = 1e-4
    moved = np.stack([
        problem.value_and_gradient(parameters + step * unit, structure)[1]
        - problem.value_and_gradient(parameters - step * unit, structure)[1]
        for unit in np.eye(len(parameters))
    ])  # fmt: skip
    hessian = moved / (2 * step)
    return np.asarray((hessian + hessian.T) / 2)
