"""S12, S15, S17: Kaplan-Meier, log-rank, Cox models and cumulative incidence of times that are known to the day."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.tl._effects import varies
from immunoprofile.tl._enough import require_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

IntervalKind = Literal["log-log", "log"]
_AT_HALF = 1.5e-8
"""Difference from one half that is an error of arithmetic (R's square root of the machine precision)."""
_LARGEST_ERROR = 20.0
"""A log hazard ratio per standard deviation with a larger standard error has run to infinity."""


@dataclass(frozen=True)
class Curve:
    """A survival curve or cumulative incidence.

    ``time``, ``at_risk``, ``events``, ``value``, ``lower`` and ``upper`` have one entry a time at which something
    happened; ``value`` holds from that time on.
    """

    time: Floats
    at_risk: Floats
    events: Floats
    value: Floats
    lower: Floats
    upper: Floats

    def at(self, time: float, *, start: float) -> tuple[float, float, float]:
        """Value and limits at a time; ``start`` (with no width) before the first entry."""
        index = int(np.searchsorted(self.time, time, side="right")) - 1
        if index < 0:
            return start, start, start
        return float(self.value[index]), float(self.lower[index]), float(self.upper[index])

    def median(self) -> tuple[float, float, float]:
        """Time at which the survival falls to one half, with its limits; infinite where it does not.

        Where the curve lies at exactly one half for a while it is the middle of that while, as in ``survfit`` of R; the
        first of these days is as good an answer. The same holds for the limits. The lower limit is missing where the
        last subject had the event, so that the band ends before it falls to half.
        """

        def first(values: Floats) -> float:
            below = np.flatnonzero(values < 0.5 + _AT_HALF)
            if not len(below):
                return float("inf")
            time = float(self.time[below[0]])
            later = below[values[below] < values[below[0]]]
            at_half = abs(float(values[below[0]]) - 0.5) < _AT_HALF
            return (time + float(self.time[later[0]])) / 2 if at_half and len(later) else time

        middle, low = first(self.value), first(self.lower)
        return middle, low if low <= middle else float("nan"), first(self.upper)


class LogRank(NamedTuple):
    """Log-rank test."""

    chi_squared: float
    df: int
    p_value: float


@dataclass(frozen=True)
class Cox:
    """Cox model: log hazard ratios by term, their standard errors, partial log-likelihood, rows and events."""

    names: tuple[str, ...]
    coefficients: Floats
    standard_errors: Floats
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


def kaplan_meier(
    duration: ArrayLike, observed: ArrayLike, *, confidence: float = 0.95, interval: IntervalKind = "log-log"
) -> Curve:
    """Survival curve of Kaplan and Meier with Greenwood's variance.

    Parameters
    ----------
    duration, observed
        Time of the event, or of the last look; True where the event was seen.
    confidence
        Coverage of the pointwise interval.
    interval
        ``log-log`` stays inside 0 to 1 and serves small samples; ``log`` is the default of R.

    Raises
    ------
    AnalysisError
        Nobody, or a time that is missing or negative.
    """
    from lifelines import KaplanMeierFitter
    from scipy.special import ndtri

    times, seen = _times(duration, observed)
    fitted = KaplanMeierFitter().fit(times, seen)
    table = fitted.event_table[fitted.event_table["removed"] > 0]
    at_risk = table["at_risk"].to_numpy(dtype=np.float64)
    events = table["observed"].to_numpy(dtype=np.float64)
    value = fitted.survival_function_.loc[table.index].to_numpy(dtype=np.float64)[:, 0]
    value = np.where(value < 1e-12, 0.0, value)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(np.where(at_risk > events, events / (at_risk * (at_risk - events)), 0.0))
        error = float(ndtri(0.5 + confidence / 2)) * np.sqrt(greenwood)
        if interval == "log-log":
            width = error / np.log(value)
            lower, upper = value ** np.exp(-width), value ** np.exp(width)
        else:
            lower, upper = value * np.exp(-error), np.minimum(value * np.exp(error), 1.0)
    flat = value >= 1
    lower, upper = np.where(flat, 1.0, lower), np.where(flat, 1.0, upper)
    # When the last subject has the event Greenwood's variance does not exist.
    lower, upper = np.where(value == 0, np.nan, lower), np.where(value == 0, np.nan, upper)
    return Curve(table.index.to_numpy(dtype=np.float64), at_risk, events, value, lower, upper)


def log_rank(duration: ArrayLike, observed: ArrayLike, group: Sequence[str] | NDArray[np.str_]) -> LogRank:
    """Log-rank test of two or more groups.

    Raises
    ------
    AnalysisError
        One group only, nobody with an event, or a time that is missing.
    """
    from lifelines.statistics import multivariate_logrank_test

    times, seen = _times(duration, observed)
    labels = np.asarray(group, dtype=str)
    if len(set(labels.tolist())) < 2:
        raise AnalysisError("there is one group only", where="log-rank test")
    if not seen.any():
        raise AnalysisError("no event was seen", where="log-rank test")
    result = multivariate_logrank_test(times, labels, seen)
    if not np.isfinite(result.test_statistic):
        raise AnalysisError("the groups were never at risk together", where="log-rank test")
    return LogRank(float(result.test_statistic), int(result.degrees_of_freedom), float(result.p_value))


def cox(duration: ArrayLike, observed: ArrayLike, covariates: Mapping[str, ArrayLike]) -> Cox:
    """Cox model with Efron's handling of ties.

    Parameters
    ----------
    duration, observed
        As in :func:`kaplan_meier`.
    covariates
        Name -> one number a subject.

    Raises
    ------
    AnalysisError
        Fewer than 3 events for each term, a term that separates those with an event from the others, or columns that
        depend on each other.
    """
    import pandas as pd
    from lifelines import CoxPHFitter

    times, seen = _times(duration, observed)
    columns = pd.DataFrame({name: np.asarray(column, dtype=np.float64) for name, column in covariates.items()})
    _check_terms(columns, seen, int(seen.sum()))
    frame = columns.assign(_time=times, _event=seen)
    fitted = _fitted(lambda: CoxPHFitter().fit(frame, "_time", "_event"))
    return _cox(fitted, columns, len(times), int(seen.sum()))


def cox_time_varying(rows: pd.DataFrame, *, covariates: Sequence[str]) -> Cox:
    """Cox model whose covariates change: one row a subject and stretch of time.

    Parameters
    ----------
    rows
        Columns ``usubjid``, ``start``, ``stop`` (the stretch (start, stop]), ``event`` (True where the event ends it),
        and the covariates, nothing missing.
    covariates
        Names of the columns of numbers.

    Raises
    ------
    AnalysisError
        As :func:`cox`, and for stretches that end before they begin.
    """
    from lifelines import CoxTimeVaryingFitter

    names = list(covariates)
    columns = rows[names].astype(np.float64).reset_index(drop=True)
    seen = rows["event"].to_numpy(dtype=bool)
    if np.any(rows["stop"].to_numpy(dtype=float) <= rows["start"].to_numpy(dtype=float)):
        raise AnalysisError("a stretch of time ends before it begins", where="time-varying Cox model")
    _check_terms(columns, seen, int(seen.sum()))
    frame = columns.assign(_id=rows["usubjid"].to_numpy(dtype=str), _start=rows["start"].to_numpy(dtype=float),
                           _stop=rows["stop"].to_numpy(dtype=float), _event=seen)  # fmt: skip
    fitted = _fitted(
        lambda: CoxTimeVaryingFitter().fit(frame, id_col="_id", event_col="_event", start_col="_start",
                                           stop_col="_stop")
    )  # fmt: skip
    return _cox(fitted, columns, int(frame["_id"].nunique()), int(seen.sum()))


def cumulative_incidence(duration: ArrayLike, cause: ArrayLike, *, of: str, confidence: float = 0.95) -> Curve:
    """Cumulative incidence of one kind of event beside others that rule it out (Aalen and Johansen).

    Parameters
    ----------
    duration
        Time of the event, or of the last look.
    cause
        Kind of the event; empty text is censored.
    of
        The kind whose incidence is wanted.
    confidence
        Coverage of the pointwise interval, on the log-log scale of 1 - incidence.

    Raises
    ------
    AnalysisError
        Nobody, or a time that is missing.

    Notes
    -----
    Own code over event counts: the estimator of lifelines moves tied times at random, and weekly samples are tied. The
    variance is that of the delta method for this product (Marubini and Valsecchi 1995, chapter 10).
    """
    from scipy.special import ndtri

    kinds = np.asarray(cause, dtype=str)
    times, _ = _times(duration, kinds != "")
    points = np.unique(times)
    at_risk = np.array([(times >= point).sum() for point in points], dtype=np.float64)
    events = np.array([((times == point) & (kinds != "")).sum() for point in points], dtype=np.float64)
    own = np.array([((times == point) & (kinds == of)).sum() for point in points], dtype=np.float64)
    survival = np.cumprod(1 - events / at_risk)
    before = np.concatenate([[1.0], survival[:-1]])
    value = np.cumsum(before * own / at_risk)
    variance = np.empty_like(value)
    safe = at_risk > events
    hazard_term = np.where(safe, events / (at_risk * np.where(safe, at_risk - events, 1.0)), 0.0)
    for index in range(len(points)):
        past = slice(0, index + 1)
        distance = value[index] - value[past]
        variance[index] = (
            (distance**2 * hazard_term[past]).sum()
            + (before[past] ** 2 * own[past] * (at_risk[past] - own[past]) / at_risk[past] ** 3).sum()
            - 2 * (distance * before[past] * own[past] / at_risk[past] ** 2).sum()
        )
    error = float(ndtri(0.5 + confidence / 2)) * np.sqrt(np.maximum(variance, 0.0))
    lower, upper = np.full_like(value, np.nan), np.full_like(value, np.nan)
    # On the log-log scale of 1 - incidence, so that without a competing event it is the interval of Kaplan and Meier.
    # The scale has no width at 0 and none at 1: there is no interval there.
    inner = (value > 0) & (value < 1 - 1e-12)
    free = 1 - value[inner]
    width = error[inner] / (free * np.log(free))
    lower[inner], upper[inner] = 1 - free ** np.exp(width), 1 - free ** np.exp(-width)  # width is negative
    return Curve(points, at_risk, own, value, lower, upper)


def _times(duration: ArrayLike, observed: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    times, seen = np.asarray(duration, dtype=np.float64), np.asarray(observed, dtype=bool)
    if times.size == 0:
        raise AnalysisError("there is no subject", where="time to event")
    if times.shape != seen.shape or np.any(~np.isfinite(times)) or np.any(times < 0):
        raise AnalysisError("a time is missing or below 0", where="time to event")
    return times, seen


def _check_terms(columns: pd.DataFrame, seen: NDArray[np.bool_], events: int) -> None:
    require_rows(events, columns.shape[1], where="Cox model", of="events")
    values = columns.to_numpy()
    if not np.all(np.isfinite(values)):
        raise AnalysisError("a covariate is missing", where="Cox model")
    if (
        not all(varies(column) for column in values.T)
        or np.linalg.matrix_rank(values - values.mean(axis=0)) < values.shape[1]
    ):
        raise AnalysisError("a covariate does not vary, or depends on the others", where="Cox model")
    for name, column in columns.items():
        levels = set(column)
        if levels <= {0.0, 1.0} and len(set(column[seen])) < 2:
            raise AnalysisError(f"all events are on one side of {name}: the hazard ratio is not finite",
                                where="Cox model")  # fmt: skip


def _fitted(fit: Callable[[], Any]) -> Any:
    """The result of lifelines, its doubts about convergence as a refusal."""
    from lifelines.exceptions import ConvergenceError, ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        try:
            return fit()
        except (ConvergenceError, ConvergenceWarning) as doubt:
            raise AnalysisError("the likelihood has no finite maximum (separation, or covariates that depend on each "
                                "other)", where="Cox model") from doubt  # fmt: skip


def _cox(fitted: Any, columns: pd.DataFrame, n: int, events: int) -> Cox:
    names = tuple(str(name) for name in columns)
    coefficients = fitted.params_.loc[list(names)].to_numpy(dtype=np.float64)
    errors = fitted.standard_errors_.loc[list(names)].to_numpy(dtype=np.float64)
    spread = columns.std(ddof=0).to_numpy()
    if not np.all(np.isfinite(errors)) or np.any(errors * spread > _LARGEST_ERROR):
        raise AnalysisError("the hazard ratio runs to infinity", where="Cox model")
    return Cox(names, coefficients, errors, float(fitted.log_likelihood_), n, events)
