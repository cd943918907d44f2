"""S10: does CMV-DNA move with a population inside subjects, with results below the limit as bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import UNS_ASSOCIATE_CENSORED
from immunoprofile.tl._effects import UNKNOWN, effect_row, fitted_without_error, joined, left_out
from immunoprofile.tl._enough import LEAST_RESIDUAL_DF, require_rows, require_subjects
from immunoprofile.tl._frame import (
    NAN,
    Endpoint,
    Measure,
    Scale,
    analysis_values,
    arm_names,
    arm_order,
    endpoints,
    statistic_table,
)
from immunoprofile.tl.association import arm_labels, cmv_bounds, first_series
from immunoprofile.tl.courses import course_table
from immunoprofile.tl.inversion import not_rejected, reach
from immunoprofile.tl.tobit_mixed import TobitMixed, fit_tobit_mixed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from anndata import AnnData
    from numpy.typing import NDArray

    from immunoprofile.tl.courses import CoursePermutation

    Floats = NDArray[np.float64]

TimeTrend = Literal["visit", "linear"]
RandomEffects = Literal["slope", "intercept"]

PER_UNIT: dict[Scale, str] = {"log2": "doubling", "logit": "unit of logit", "identity": "unit"}
DAYS_PER_WEEK = 7
WHERE = "Tobit mixed model"


@dataclass(frozen=True)
class _Rows:
    """Rows with a CMV-DNA result and a value of the population."""

    subject: NDArray[np.str_]
    arm: NDArray[np.str_]
    visit: NDArray[np.str_]
    weeks: Floats
    lower: Floats
    upper: Floats
    within: Floats
    mean: Floats
    centre: float


@dataclass(frozen=True)
class _Options:
    trend: TimeTrend
    random: RandomEffects
    reference: str
    others: tuple[str, ...]
    confidence: float
    limit: str
    interval: bool

    @property
    def arms(self) -> tuple[str, ...]:
        """The reference first."""
        return (self.reference, *self.others)


def associate_censored(
    adata: AnnData,
    *,
    populations: Iterable[str] | None = None,
    measure: Measure | None = None,
    scale: Scale | None = None,
    reference: str | None = None,
    trend: TimeTrend = "visit",
    random: RandomEffects = "slope",
    lod: float | Mapping[str, float] | None = None,
    confidence: float = 0.95,
    interval: bool = True,
    include_failed: bool = False,
) -> None:
    """Tobit mixed model of log10 CMV-DNA: arm x time + population within and between subjects.

    Parameters
    ----------
    adata
        Visits x populations with ``obs`` ``cmv_kind``, ``cmv_unit``, ``cmv_log10``, ``cmv_lower``, ``cmv_upper`` and
        ``virology_day`` (or ``study_day``).
    populations, measure, scale, confidence, include_failed
        As in :func:`change`.
    reference
        Reference arm; default is that of the study.
    trend
        ``visit``: the mean of each arm at each visit is free, so that no course of time of an arm, however bent, makes
        an association; where every result of an arm at a visit is censored these rows say nothing and are left out
        (``exclusions``). ``linear``: a straight line of time in each arm.
    random
        ``slope``: each subject has its own level and its own slope of time; gives way to ``intercept`` where the data
        do not bear it (``note`` says so).
    lod
        Sensitivity analysis: limit of detection in the unit of the results (one number, or one for each
        ``cmv_series``). Results that were detected below the LLOQ then lie between the two limits and those not
        detected below the LOD. Default: both are left-censored at the LLOQ.
    interval
        False: the association has its estimate and p, and no interval, which takes most of the time (the model is
        fitted anew some ten times); for simulations and long lists of populations.

    Returns
    -------
    None; writes

    ``adata.uns['associate_censored']``
        DataFrame with ``schema.STATISTIC_COLUMNS``; of each endpoint the rows ``within subjects`` (log10 CMV-DNA per
        unit of the population around the subject's mean, the answer to the question), ``between subjects`` (the same of
        the subjects' means) and one an arm for the difference of the slopes of time per week. ``effect`` is the ratio
        of CMV-DNA. ``n`` counts rows. ``note`` has subjects, censored rows, random effects and how p was found. A
        refused analysis says why.

    Raises
    ------
    AnalysisError
        The object has no CMV-DNA results, or they are in different units; a name is not known.

    Notes
    -----
    An association is no cause: ganciclovir lowers both viral load and activation. Of a subject only the series of its
    first result enters.

    p of the association is that of the score test, its distribution from whole courses of the population (or means of
    subjects) dealt anew inside the arms (:meth:`Courses.permute`): it holds whatever the serial correlation and the
    share of censored results. The interval has the values that the same test does not reject, the model fitted anew for
    each that is tried: it holds zero exactly where p is not below 1 - ``confidence``. The slope of time has standard
    errors from the observed information, widened for the parameters spent as in least squares, and t with subjects less
    parameters between them.
    """
    chosen = endpoints(adata, populations, measure, scale)
    if trend not in ("visit", "linear"):
        raise AnalysisError(f"trend {trend!r} is not known", todo="one of: visit, linear")
    if random not in ("slope", "intercept"):
        raise AnalysisError(f"random {random!r} is not known", todo="one of: slope, intercept")
    one_arm = len(arm_names(adata)) < 2
    reference_arm, others = (next(iter(arm_names(adata)), ""), []) if one_arm else arm_order(adata, reference)
    limit = "LLOQ" if lod is None else "LOD and LLOQ"
    options = _Options(trend, random, reference_arm, tuple(others), confidence, limit, interval)
    lower, upper = cmv_bounds(adata, lod=lod)
    usable = first_series(adata) & ~np.isnan(lower) & ~np.isnan(upper)
    rows: list[dict[str, Any]] = []
    for endpoint in chosen:
        values = analysis_values(adata, endpoint, include_failed=include_failed)
        rows += _of_endpoint(adata, endpoint, values, (usable, lower, upper), options)
    adata.uns[UNS_ASSOCIATE_CENSORED] = statistic_table(rows)


def _weeks(adata: AnnData) -> Floats:
    """Time on the virology anchor, else on that of the study."""
    name = next((name for name in ("virology_day", "study_day") if name in adata.obs), None)
    if name is None:
        raise AnalysisError("there is no time", where="obs virology_day, study_day")
    return np.asarray(adata.obs[name].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan) / DAYS_PER_WEEK)


def _of_endpoint(
    adata: AnnData,
    endpoint: Endpoint,
    values: Floats,
    virus: tuple[NDArray[np.bool_], Floats, Floats],
    options: _Options,
) -> list[dict[str, Any]]:
    usable, lower, upper = virus
    weeks = _weeks(adata)
    arms, known_arm = arm_labels(adata)
    complete = usable & ~np.isnan(values) & ~np.isnan(weeks) & known_arm
    used = complete & ~_silent_cells(adata, complete, lower, upper, arms) if options.trend == "visit" else complete
    subject = adata.obs["usubjid"].astype(str).to_numpy(dtype=str)[used]
    names, member = np.unique(subject, return_inverse=True)
    means = np.bincount(member, values[used], minlength=len(names)) / np.maximum(np.bincount(member), 1)
    centre = float(means.mean()) if len(means) else 0.0
    rows = _Rows(
        subject, arms[used],
        adata.obs["visit"].astype(str).to_numpy(dtype=str)[used], weeks[used], lower[used], upper[used],
        values[used] - means[member], means[member] - centre, centre,
    )  # fmt: skip
    exclusions = joined(
        left_out(int((usable & np.isnan(values)).sum()), "CMV-DNA results without a value of the population"),
        left_out(int((~usable & ~np.isnan(upper)).sum()), "CMV-DNA results of another assay or specimen"),
        left_out(int((usable & ~np.isnan(values) & ~complete).sum()), "rows without a day or an arm"),
        left_out(int((complete & ~used).sum()), "rows of an arm at a visit at which all its CMV-DNA is censored"),
    )
    common = {"n": len(subject), "exclusions": exclusions}
    try:
        fitted = _fit(rows, options)
    except AnalysisError as refused:
        return [
            _row(endpoint, UNKNOWN, place, options) | common | {"note": f"refused: {refused.what}"}
            for place in _places(options)
        ]
    fit = fitted.fit
    described = joined(
        f"{fit.subjects} subjects, {fit.censored} of {fit.n} CMV-DNA results censored at the {options.limit}",
        fitted.remark,
        "association, not cause",
    )
    table = []
    for place in _places(options):
        effect, words = _effect(rows, fitted, place, options)
        table.append(_row(endpoint, effect, place, options) | common | {"note": joined(words, described)})
    return table


def _effect(
    rows: _Rows, fitted: _Fitted, place: str, options: _Options
) -> tuple[tuple[float, float, float, float], str]:
    """Estimate, limits and p of a row of the table, and what its p rests on."""
    fit, between = fitted.fit, len(options.arms) + 1
    if place not in ("within", "between"):
        weights = _slope_weights(rows, fit, place, options)
        if not weights:
            return UNKNOWN, "refused: fewer than two visits at which both arms have a quantified result"
        df = fit.subjects - between
        return fit.contrast(weights, df=df, spent=between, confidence=options.confidence), f"df {df}"
    column = rows.within if place == "within" else rows.mean
    member, first = np.arange(len(column)), np.arange(len(column))
    visit = rows.visit
    if place == "between":
        _, first, member = np.unique(rows.subject, return_index=True, return_inverse=True)
        visit = np.full(len(first), "all")
    subject, arm = rows.subject[first], rows.arm[first]
    x = _less_means(column[first], np.char.add(np.char.add(arm, " "), visit))

    def tested(score: Floats) -> CoursePermutation:
        return course_table(subject, visit, arm, x, _sums(member, score)).permute(confidence=options.confidence)

    estimate, error = fit.term(place)[0], float(fit.standard_errors[fit.names.index(place)])
    try:
        at_zero = tested(fitted.without.slopes)
    except AnalysisError as refused:
        return (estimate, NAN, NAN, NAN), f"no p-value: {refused.what}"
    if math.isnan(at_zero.p_value):
        return (estimate, NAN, NAN, NAN), at_zero.words()
    if not options.interval:
        return (estimate, NAN, NAN, at_zero.p_value), at_zero.words()
    # where the search begins: the largest correlation that is still chance, as an error of the estimate
    half = reach(at_zero.quantile) * float(np.linalg.norm(x) * np.linalg.norm(_sums(member, fit.slopes))) * error**2
    try:
        lower, upper = not_rejected(lambda value: tested(fitted.offset(value * column).slopes), at_zero, estimate, half)
    except AnalysisError as refused:
        return (estimate, NAN, NAN, at_zero.p_value), joined(at_zero.words(), f"no interval: {refused.what}")
    return (estimate, lower, upper, at_zero.p_value), at_zero.words()


def _sums(member: NDArray[np.intp], values: Floats) -> Floats:
    """Sums of the members of each group."""
    return np.asarray(np.bincount(member, values), dtype=np.float64)


def _less_means(values: Floats, labels: NDArray[np.str_]) -> Floats:
    """Values less the mean of their label."""
    _, member = np.unique(labels, return_inverse=True)
    return np.asarray(values - (np.bincount(member, values) / np.bincount(member))[member])


def _slope_weights(rows: _Rows, fit: TobitMixed, arm: str, options: _Options) -> dict[str, float]:
    """Weights of the fixed effects whose sum is the difference of the slopes of time; empty where there is none."""
    if options.trend == "linear":
        return {f"{arm}:week": 1.0}
    shared = [
        name
        for name in np.unique(rows.visit)
        if {f"{one}:{name}" for one in (arm, options.reference)} <= set(fit.names)
    ]
    weeks = np.array([rows.weeks[rows.visit == name].mean() for name in shared])
    centred = weeks - weeks.mean() if len(weeks) else weeks
    if len(shared) < 2 or not float(centred @ centred) > 0:
        return {}
    shares = centred / float(centred @ centred)
    return {f"{one}:{name}": sign * float(share) for one, sign in ((arm, 1.0), (options.reference, -1.0))
            for name, share in zip(shared, shares, strict=True)}  # fmt: skip


def _silent_cells(
    adata: AnnData, complete: NDArray[np.bool_], lower: Floats, upper: Floats, arms: NDArray[np.str_]
) -> NDArray[np.bool_]:
    """Rows of an arm at a visit at which all its results are open on one side.

    A free mean runs to infinity there and fits these rows whatever the population: they carry nothing.
    """
    cell = np.char.add(np.char.add(arms, " "), adata.obs["visit"].astype(str).to_numpy(dtype=str))
    pinned = complete & np.isfinite(lower) & np.isfinite(upper)
    return ~np.isin(cell, np.unique(cell[pinned])) if pinned.any() else np.zeros(len(cell), dtype=bool)


def _places(options: _Options) -> list[str]:
    """Rows of the table: the association within and between subjects, and the arms whose slope of time is compared."""
    return ["within", "between", *options.others]


def _columns(rows: _Rows, options: _Options) -> dict[str, Floats]:
    columns: dict[str, Floats] = {}
    if options.trend == "linear":
        columns["intercept"], columns["week"] = np.ones(len(rows.weeks)), rows.weeks
        for arm in options.others:
            columns[arm] = (rows.arm == arm).astype(np.float64)
            columns[f"{arm}:week"] = (rows.arm == arm) * rows.weeks
    else:
        for arm in options.arms:
            own = rows.arm == arm
            columns |= {f"{arm}:{name}": (own & (rows.visit == name)).astype(np.float64)
                        for name in np.unique(rows.visit[own])}  # fmt: skip
    return columns | {"within": rows.within, "between": rows.mean}


class _Fitted(NamedTuple):
    """The model; without the population; that less an offset of each row; the random effects in words."""

    fit: TobitMixed
    without: TobitMixed
    offset: Callable[[Floats], TobitMixed]
    remark: str


def _fit(rows: _Rows, options: _Options) -> _Fitted:
    columns = _columns(rows, options)
    subjects = np.unique(rows.subject)
    between = len(options.arms) + 1
    inside = len(columns) - between
    require_subjects(len(subjects), between, where=WHERE)
    require_rows(len(rows.subject), inside, where=WHERE)
    exact = rows.lower == rows.upper
    quantified = int(exact.sum())
    # a subject without a quantified result spends none of them on its level
    left = quantified - len(np.unique(rows.subject[exact])) - inside
    if 0 < quantified and left < LEAST_RESIDUAL_DF:
        raise AnalysisError(
            f"{quantified} quantified results leave {left} degrees of freedom within subjects, fewer than "
            f"{LEAST_RESIDUAL_DF}",
            where=WHERE,
        )
    values = rows.within + rows.mean + rows.centre
    if fitted_without_error(values, rows.within):
        raise AnalysisError("the population does not vary within subjects", where=WHERE)
    if quantified == len(exact) and fitted_without_error(rows.upper, _less_means(rows.upper, rows.subject)):
        raise AnalysisError("CMV-DNA does not vary within subjects", where=WHERE)
    ones = np.ones(len(rows.subject))
    slope = np.column_stack([ones, rows.weeks - rows.weeks.mean()])
    remark = "random intercept"
    if options.random == "slope":
        try:
            return _Fitted(*_both(rows, columns, slope), "random intercept and slope")
        except AnalysisError as refused:
            remark = f"random intercept only (with a slope: {refused.what})"
    return _Fitted(*_both(rows, columns, ones), remark)


def _both(
    rows: _Rows, columns: dict[str, Floats], random: Floats
) -> tuple[TobitMixed, TobitMixed, Callable[[Floats], TobitMixed]]:
    """The model with and without the population, and the latter less an offset."""

    def fitted(names: tuple[str, ...], start: TobitMixed | None, offset: Floats | float = 0.0) -> TobitMixed:
        design = np.column_stack([columns[name] for name in names])
        return fit_tobit_mixed(
            rows.subject, rows.lower - offset, rows.upper - offset, design=design, names=names, random=random,
            start=start,
        )  # fmt: skip

    others = tuple(columns)[:-2]
    without = fitted(others, None)
    return fitted(tuple(columns), without), without, lambda offset: fitted(others, without, offset)


def _row(
    endpoint: Endpoint, effect: tuple[float, float, float, float], place: str, options: _Options
) -> dict[str, Any]:
    arm = "all" if place in ("within", "between") else place
    per = "week" if arm != "all" else PER_UNIT[endpoint.scale]
    with np.errstate(over="ignore"):
        ratio, low, high = (float(np.power(10.0, value)) for value in effect[:3])
    time = "visit" if options.trend == "visit" else "week"
    time = f"arm x {time}" if options.others else time
    return effect_row(
        endpoint,
        effect,
        confidence=options.confidence,
        method_id="S10",
        method=f"Tobit mixed model, log10 CMV-DNA ~ {time} + within + between subjects",
        contrast=f"{place} subjects" if arm == "all" else f"{arm} - {options.reference}, slope of time",
        visit="all",
        arm=arm,
        effect_kind=f"ratio of CMV-DNA per {per}",
        effect=ratio,
        effect_lower=low,
        effect_upper=high,
    )
