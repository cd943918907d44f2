"""S10: does CMV-DNA move with a population inside subjects, with results below the limit as bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import UNS_ASSOCIATE_CENSORED
from immunoprofile.tl._effects import UNKNOWN, effect_row, joined, left_out
from immunoprofile.tl._enough import LEAST_RESIDUAL_DF, require_rows, require_subjects
from immunoprofile.tl._frame import (
    Endpoint,
    Measure,
    Scale,
    analysis_values,
    arm_names,
    arm_order,
    endpoints,
    statistic_table,
)
from immunoprofile.tl.association import cmv_bounds, first_series
from immunoprofile.tl.tobit_mixed import TobitMixed, fit_tobit_mixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TimeTrend = Literal["visit", "linear"]
RandomEffects = Literal["slope", "intercept"]

PER_UNIT: dict[Scale, str] = {"log2": "doubling", "logit": "unit of logit", "identity": "unit"}
DAYS_PER_WEEK = 7


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


@dataclass(frozen=True)
class _Options:
    trend: TimeTrend
    random: RandomEffects
    reference: str
    others: tuple[str, ...]
    confidence: float
    limit: str


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
    include_failed: bool = False,
) -> None:
    """Tobit mixed model of log10 CMV-DNA: time + arm + arm x time + population within and between subjects.

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
        ``visit``: the mean of each visit is free, so that no shared course of time, however bent, makes an association;
        visits at which every result is censored then say nothing and are left out (``exclusions``).
        ``linear``: a straight line of time, one parameter.
    random
        ``slope``: each subject has its own level and its own slope of time; gives way to ``intercept`` where the data
        do not bear it (``note`` says so).
    lod
        Sensitivity analysis: limit of detection in the unit of the results (one number, or one for each
        ``cmv_series``). Results that were detected below the LLOQ then lie between the two limits and those not
        detected below the LOD. Default: both are left-censored at the LLOQ.

    Returns
    -------
    None; writes

    ``adata.uns['associate_censored']``
        DataFrame with ``schema.STATISTIC_COLUMNS``; of each endpoint the rows ``within subjects`` (log10 CMV-DNA per
        unit of the population around the subject's mean, the answer to the question), ``between subjects`` (the same of
        the subjects' means) and one an arm for the difference of the slopes of time per week. ``effect`` is the ratio
        of CMV-DNA. ``n`` counts rows. ``note`` has subjects, censored rows, degrees of freedom and random effects. A
        refused analysis says why.

    Raises
    ------
    AnalysisError
        The object has no CMV-DNA results, or they are in different units; a name is not known.

    Notes
    -----
    An association is no cause: ganciclovir lowers both viral load and activation. Of a subject only the series of its
    first result enters. Standard errors are from the observed information, widened for the parameters spent as in least
    squares; t with quantified rows less subjects less parameters within subjects, or subjects less parameters between
    them, as degrees of freedom.
    """
    chosen = endpoints(adata, populations, measure, scale)
    if trend not in ("visit", "linear"):
        raise AnalysisError(f"trend {trend!r} is not known", todo="one of: visit, linear")
    if random not in ("slope", "intercept"):
        raise AnalysisError(f"random {random!r} is not known", todo="one of: slope, intercept")
    one_arm = len(arm_names(adata)) < 2
    reference_arm, others = ("", []) if one_arm else arm_order(adata, reference)
    limit = "LLOQ" if lod is None else "LOD and LLOQ"
    options = _Options(trend, random, reference_arm, tuple(others), confidence, limit)
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
    known_arm = adata.obs["arm"].notna().to_numpy(dtype=bool)
    complete = usable & ~np.isnan(values) & ~np.isnan(weeks) & known_arm
    used = complete & ~_silent_visits(adata, complete, lower, upper) if options.trend == "visit" else complete
    subject = adata.obs["usubjid"].astype(str).to_numpy(dtype=str)[used]
    names, member = np.unique(subject, return_inverse=True)
    means = np.bincount(member, values[used], minlength=len(names)) / np.maximum(np.bincount(member), 1)
    rows = _Rows(
        subject, adata.obs["arm"].astype(str).to_numpy(dtype=str)[used],
        adata.obs["visit"].astype(str).to_numpy(dtype=str)[used], weeks[used], lower[used], upper[used],
        values[used] - means[member], means[member] - (means.mean() if len(means) else 0.0),
    )  # fmt: skip
    exclusions = joined(
        left_out(int((usable & np.isnan(values)).sum()), "CMV-DNA results without a value of the population"),
        left_out(int((~usable & ~np.isnan(upper)).sum()), "CMV-DNA results of another assay or specimen"),
        left_out(int((usable & ~np.isnan(values) & ~complete).sum()), "rows without a day or an arm"),
        left_out(int((complete & ~used).sum()), "rows of visits at which all CMV-DNA is censored"),
    )
    common = {"n": len(subject), "exclusions": exclusions}
    try:
        fit, columns, remark = _fit(rows, options)
    except AnalysisError as refused:
        return [
            _row(endpoint, UNKNOWN, place, options) | common | {"note": f"refused: {refused.what}"}
            for place in _places(options)
        ]
    between, inside = _parameters(columns)
    # (residual degrees of freedom, parameters spent)
    residual = {
        "between": (fit.subjects - between, between),
        "within": (fit.n - fit.censored - fit.subjects - inside, inside),
    }
    described = joined(
        f"{fit.subjects} subjects, {fit.censored} of {fit.n} CMV-DNA results censored at the {options.limit}",
        remark,
        "association, not cause",
    )
    table = []
    for place in _places(options):
        name, kind = place
        df, spent = residual[kind]
        effect = fit.term(name, df=df, spent=spent, confidence=options.confidence)
        table.append(_row(endpoint, effect, place, options) | common | {"note": f"df {df}; {described}"})
    return table


def _silent_visits(adata: AnnData, complete: NDArray[np.bool_], lower: Floats, upper: Floats) -> NDArray[np.bool_]:
    """Rows of visits at which every result is open on one side.

    A free mean of such a visit runs to infinity and fits these rows whatever the population: they carry nothing.
    """
    visit = adata.obs["visit"].astype(str).to_numpy(dtype=str)
    pinned = complete & np.isfinite(lower) & np.isfinite(upper)
    return ~np.isin(visit, np.unique(visit[pinned])) if pinned.any() else np.zeros(len(visit), dtype=bool)


def _places(options: _Options) -> list[tuple[str, str]]:
    """Terms that the table shows, and where their degrees of freedom lie."""
    return [("within", "within"), ("between", "between"), *((f"arm[{arm}]:week", "between") for arm in options.others)]


def _columns(rows: _Rows, options: _Options) -> dict[str, Floats]:
    columns: dict[str, Floats] = {}
    if options.trend == "linear":
        columns["intercept"], columns["week"] = np.ones(len(rows.weeks)), rows.weeks
    else:
        columns |= {f"visit[{name}]": (rows.visit == name).astype(np.float64) for name in np.unique(rows.visit)}
    for arm in options.others:
        columns[f"arm[{arm}]"] = (rows.arm == arm).astype(np.float64)
        columns[f"arm[{arm}]:week"] = (rows.arm == arm) * rows.weeks
    return columns | {"within": rows.within, "between": rows.mean}


def _parameters(columns: dict[str, Floats]) -> tuple[int, int]:
    """Parameters between subjects (with the intercept) and within them."""
    arms = sum(name.startswith("arm[") and not name.endswith(":week") for name in columns)
    between = arms + 2
    return between, len(columns) - between


def _fit(rows: _Rows, options: _Options) -> tuple[TobitMixed, dict[str, Floats], str]:
    where = "Tobit mixed model"
    columns = _columns(rows, options)
    between, inside = _parameters(columns)
    require_subjects(len(np.unique(rows.subject)), between, where=where)
    require_rows(len(rows.subject), inside, where=where)
    quantified = int((rows.lower == rows.upper).sum())
    left = quantified - len(np.unique(rows.subject)) - inside
    if 0 < quantified and left < LEAST_RESIDUAL_DF:
        raise AnalysisError(
            f"{quantified} quantified results leave {left} degrees of freedom within subjects, fewer than "
            f"{LEAST_RESIDUAL_DF}",
            where=where,
        )
    if not np.ptp(rows.within) > 1e-12:
        raise AnalysisError("the population does not vary within subjects", where=where)
    design = np.column_stack(list(columns.values()))
    ones = np.ones(len(rows.subject))
    centred = rows.weeks - rows.weeks.mean()
    remark = "random intercept"
    if options.random == "slope":
        try:
            fit = fit_tobit_mixed(
                rows.subject, rows.lower, rows.upper, design=design, names=tuple(columns),
                random=np.column_stack([ones, centred]),
            )  # fmt: skip
            return fit, columns, "random intercept and slope"
        except AnalysisError as refused:
            remark = f"random intercept only (with a slope: {refused.what})"
    fit = fit_tobit_mixed(rows.subject, rows.lower, rows.upper, design=design, names=tuple(columns), random=ones)
    return fit, columns, remark


def _row(
    endpoint: Endpoint, effect: tuple[float, float, float, float], place: tuple[str, str], options: _Options
) -> dict[str, Any]:
    name, _ = place
    arm = name.removeprefix("arm[").removesuffix("]:week") if name.startswith("arm[") else "all"
    per = "week" if arm != "all" else PER_UNIT[endpoint.scale]
    with np.errstate(over="ignore"):
        ratio, low, high = (float(np.power(10.0, value)) for value in effect[:3])
    time = "visit" if options.trend == "visit" else "week"
    arms = " + arm + arm x week" if options.others else ""
    return effect_row(
        endpoint,
        effect,
        confidence=options.confidence,
        method_id="S10",
        method=f"Tobit mixed model, log10 CMV-DNA ~ {time}{arms} + within + between subjects",
        contrast=f"{name} subjects" if arm == "all" else f"{arm} - {options.reference}, slope of time",
        visit="all",
        arm=arm,
        effect_kind=f"ratio of CMV-DNA per {per}",
        effect=ratio,
        effect_lower=low,
        effect_upper=high,
    )
