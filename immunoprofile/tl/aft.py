"""S13: accelerated failure time of interval-censored times, with the permutation test of a coefficient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.tl._aft_likelihood import maximise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Distribution = Literal["weibull", "log-logistic"]
DISTRIBUTIONS: Final[tuple[Distribution, ...]] = get_args(Distribution)


@dataclass(frozen=True)
class Aft:
    """Maximum-likelihood fit of log T = x beta + sigma error.

    Attributes
    ----------
    names
        Terms, with ``intercept`` first.
    coefficients, standard_errors
        By term on the scale of log time: exp is a time ratio.
    log_scale, log_scale_error
        log sigma and its standard error (Weibull: sigma is 1 / shape).
    log_likelihood
        At the maximum.
    n, events
        Subjects, and those whose event was seen.
    """

    names: tuple[str, ...]
    coefficients: Floats
    standard_errors: Floats
    log_scale: float
    log_scale_error: float
    log_likelihood: float
    n: int
    events: int

    def term(self, name: str, *, confidence: float = 0.95) -> tuple[float, float, float, float]:
        """Estimate, lower and upper limit, two-sided p of a term (Wald)."""
        from scipy.special import ndtr, ndtri

        index = self.names.index(name)
        estimate, error = float(self.coefficients[index]), float(self.standard_errors[index])
        half = float(ndtri(0.5 + confidence / 2)) * error
        return estimate, estimate - half, estimate + half, 2 * float(ndtr(-abs(estimate) / error))


class Permutation(NamedTuple):
    """Outcome of a permutation test.

    Attributes
    ----------
    p_value
        Two-sided.
    permutations, exact
        Permutations tried, and whether these were all.
    diverged
        Those whose likelihood has no finite maximum: their statistic is finite all the same.
    critical
        Likelihood-ratio statistic that a share ``confidence`` of the permutations do not exceed (3.84 in large trials).
    """

    p_value: float
    permutations: int
    exact: bool
    diverged: int
    critical: float


def interval_aft(
    lower: ArrayLike,
    upper: ArrayLike,
    covariates: Mapping[str, ArrayLike] | None = None,
    *,
    distribution: Distribution = "weibull",
) -> Aft:
    """Accelerated failure time with interval censoring.

    Parameters
    ----------
    lower, upper
        The event lies in (lower, upper]; ``upper`` infinite is right-censored, ``lower`` 0 is left-censored, equal
        bounds are an exact time. Any unit above 0.
    covariates
        Name -> one number a subject.
    distribution
        ``weibull`` or ``log-logistic``.

    Raises
    ------
    AnalysisError
        Times out of order, nobody with an event, fewer than 3 subjects beyond the parameters, columns that depend on
        each other, or no finite maximum (an arm without events, or all events in one interval).

    Notes
    -----
    In 1 / sigma and beta / sigma the log-likelihood is concave (Burridge 1981, J R Stat Soc B 43:41), so that Newton
    steps end at the only maximum or run away, which is told.
    """
    names, low, high, design = _checked(lower, upper, covariates, distribution)
    fit = maximise(low, high, design[None], distribution)
    if not fit.converged[0]:
        raise AnalysisError("the likelihood has no finite maximum: an arm without events, or events that do not spread",
                            where="AFT")  # fmt: skip
    theta, tau = fit.parameters[0, :-1], float(fit.parameters[0, -1])
    covariance = np.linalg.inv(-fit.hessian[0])
    # from (beta / sigma, 1 / sigma) to (beta, log sigma)
    k = len(names)
    jacobian = np.zeros((k + 1, k + 1))
    jacobian[:k, :k] = np.eye(k) / tau
    jacobian[:k, k] = -theta / tau**2
    jacobian[k, k] = -1 / tau
    covariance = jacobian @ covariance @ jacobian.T
    errors = np.sqrt(np.maximum(np.diag(covariance), 0))
    events = int(np.isfinite(high).sum())
    log_time = float(np.log(low[low == high]).sum())
    return Aft(names, theta / tau, errors[:k], -math.log(tau), float(errors[k]), float(fit.value[0]) - log_time,
               len(low), events)  # fmt: skip


def profile_interval(
    lower: ArrayLike,
    upper: ArrayLike,
    covariates: Mapping[str, ArrayLike],
    *,
    term: str,
    distribution: Distribution = "weibull",
    confidence: float = 0.95,
    critical: float | None = None,
) -> tuple[float, float]:
    """Interval of a term by the profile likelihood: the values that the likelihood-ratio test does not reject.

    Closer to its nominal coverage in small trials than estimate +- 1.96 standard errors, and not symmetric.

    Parameters
    ----------
    lower, upper, covariates, distribution
        As in :func:`interval_aft`.
    term
        Name of the covariate.
    confidence
        Nominal coverage.
    critical
        Likelihood-ratio statistic at the limits; default is that of chi-squared with one degree of freedom.

    Raises
    ------
    AnalysisError
        As :func:`interval_aft`; or the likelihood does not fall far enough on one side.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    whole = interval_aft(lower, upper, covariates, distribution=distribution)
    names, low, high, design = _checked(lower, upper, covariates, distribution)
    column = names.index(term)
    x, rest = design[:, column], np.delete(design, column, axis=1)
    best = whole.log_likelihood + float(np.log(low[low == high]).sum())
    drop = (float(ndtri(0.5 + confidence / 2)) ** 2 if critical is None else critical) / 2

    def excess(value: float) -> float:
        # a fixed effect is an offset of log time: the times of each subject are rescaled
        scale = np.exp(-value * x)
        return best - drop - float(maximise(low * scale, high * scale, rest[None], distribution).value[0])

    middle, error = whole.coefficients[column], whole.standard_errors[column]
    ends = []
    for side in (-1, 1):
        reach = next((step for step in (2, 4, 8, 16) if excess(middle + side * step * error) > 0), None)
        if reach is None:
            raise AnalysisError(f"the likelihood does not bound {term}", where="AFT")
        ends.append(float(brentq(excess, middle, middle + side * reach * error, xtol=1e-6)))
    return min(ends), max(ends)


def time_ratio(
    lower: ArrayLike,
    upper: ArrayLike,
    group: ArrayLike,
    *,
    distribution: Distribution = "weibull",
    confidence: float = 0.95,
    test: Permutation | None = None,
) -> tuple[float, float, float, float]:
    """Log time ratio of a group against the others: estimate, profile-likelihood limits, likelihood-ratio p.

    Parameters
    ----------
    lower, upper, distribution, confidence
        As in :func:`profile_interval`.
    group
        True (1) for the group.
    test
        Outcome of :func:`permutation_test` on the same data: p is then its p, and the limits are where its critical
        value is reached. By chi-squared both are too small in trials of 15 or fewer an arm.

    Raises
    ------
    AnalysisError
        As :func:`profile_interval`.
    """
    from scipy.special import chdtrc

    member = {"group": np.asarray(group, dtype=np.float64)}
    fit = interval_aft(lower, upper, member, distribution=distribution)
    none = interval_aft(lower, upper, distribution=distribution)
    low, high = profile_interval(lower, upper, member, term="group", distribution=distribution, confidence=confidence,
                                 critical=None if test is None else test.critical)  # fmt: skip
    p_value = float(chdtrc(1, max(0.0, 2 * (fit.log_likelihood - none.log_likelihood))))
    return float(fit.coefficients[1]), low, high, p_value if test is None else test.p_value


def permutation_test(
    lower: ArrayLike,
    upper: ArrayLike,
    group: ArrayLike,
    *,
    distribution: Distribution = "weibull",
    permutations: int = 999,
    confidence: float = 0.95,
    seed: int,
) -> Permutation:
    """Test of no difference between two groups: the likelihood ratio of the group when its labels are dealt anew.

    Parameters
    ----------
    lower, upper, distribution
        As in :func:`interval_aft`.
    group
        True (1) for the group whose coefficient is tested.
    permutations
        Random permutations; when there are no more possible ones all are tried and the p-value is exact.
    confidence
        Share of the permutations below the critical value.
    seed
        Of the random permutations.

    Raises
    ------
    AnalysisError
        As :func:`interval_aft`, for the groups as they were.

    Notes
    -----
    p is (1 + those at least as extreme) / (1 + tried), or the exact share. Validity needs that censoring does not
    depend on the group.
    """
    member = np.asarray(group, dtype=bool)
    observed = interval_aft(lower, upper, {"group": member.astype(float)}, distribution=distribution)
    _, low, high, _ = _checked(lower, upper, {"group": member.astype(float)}, distribution)
    n, inside = len(member), int(member.sum())
    exact = math.comb(n, inside) <= permutations
    if exact:
        labels = np.zeros((math.comb(n, inside), n))
        for row, chosen in enumerate(combinations(range(n), inside)):
            labels[row, list(chosen)] = 1
    else:
        rng = np.random.default_rng(seed)
        labels = rng.permuted(np.tile(member.astype(float), (permutations, 1)), axis=1)
    designs = np.stack([np.ones_like(labels), labels], axis=2)
    fit = maximise(low, high, designs, distribution)
    log_time = float(np.log(low[low == high]).sum())
    best = observed.log_likelihood + log_time
    extreme = int((fit.value >= best - 1e-7).sum())
    p_value = extreme / len(labels) if exact else (1 + extreme) / (1 + len(labels))
    none = interval_aft(lower, upper, distribution=distribution).log_likelihood + log_time
    place = min(math.ceil(confidence * (len(labels) + (not exact))), len(labels)) - 1
    critical = 2 * (float(np.sort(fit.value)[place]) - none)
    return Permutation(p_value, len(labels), exact, int((~fit.converged).sum()), max(critical, 0.0))


def _checked(
    lower: ArrayLike, upper: ArrayLike, covariates: Mapping[str, ArrayLike] | None, distribution: str
) -> tuple[tuple[str, ...], Floats, Floats, Floats]:
    if distribution not in DISTRIBUTIONS:
        raise AnalysisError(f"distribution {distribution!r} is not known", todo=f"one of: {', '.join(DISTRIBUTIONS)}")
    low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    if low.shape != high.shape or np.any(~(low <= high)) or np.any(low < 0) or np.any(high <= 0):
        raise AnalysisError("an interval is missing, reversed or not above 0", where="AFT")
    columns = {name: np.asarray(column, dtype=np.float64) for name, column in (covariates or {}).items()}
    names = ("intercept", *columns)
    design = np.column_stack([np.ones_like(low), *columns.values()])
    informative = ~((low == 0) & np.isinf(high))
    if not np.isfinite(high).any():
        raise AnalysisError("no event was seen: all times are censored", where="AFT")
    if int(informative.sum()) - len(names) - 1 < 1:
        raise AnalysisError(f"{int(informative.sum())} subjects for {len(names) + 1} parameters", where="AFT")
    if np.linalg.matrix_rank(design - np.where(np.arange(len(names)) == 0, 0, design.mean(axis=0))) < len(names):
        raise AnalysisError("the covariates cannot be told apart", where="AFT")
    return names, low, high, design
