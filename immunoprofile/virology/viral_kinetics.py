"""Kinetic summaries of a course: slope, half-life, peak, area under the curve."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import CMV_KINETICS
from immunoprofile.virology.clearance_rules import clearance
from immunoprofile.virology.courses import Course, HasCourses, Sample, courses
from immunoprofile.virology.results import Censoring
from immunoprofile.virology.rulebook import RuleBook, rulebook
from immunoprofile.virology.series import cmv_results
from immunoprofile.virology.tobit import TobitFit, censored_regression

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

LAST_DAY: Final = 28
"""Week 4: the slope and the area end here (its visit window included) when no clearance is confirmed before."""

WINDOWS: Final[dict[int, tuple[int, int]]] = {7: (4, 10), 14: (12, 17), LAST_DAY: (25, 31)}
"""Days of the named levels and their windows, included on both sides."""

LONGEST_GAP_D: Final = 14
_TEXT: Final = frozenset({"usubjid", "series", "unit", "censoring"}) | {
    name for name in CMV_KINETICS if name.endswith(("_kind", "_status", "_reason"))
}
"""Columns that hold words."""
_PEAK_LAST_DAY: Final = 7
_FEWEST, _FEWEST_QUANT = 3, 2
_LOG10_2: Final = math.log10(2)
NAN = math.nan


class Slope(NamedTuple):
    """Change of the level in log10 per day, with its 95 % interval (NaN where there is none)."""

    slope: float = NAN
    lower: float = NAN
    upper: float = NAN
    intercept: float = NAN
    sigma: float = NAN
    n: int = 0
    last_day: float = NAN
    status: str = "NOT_ESTIMABLE"
    reason: str = ""


class HalfLife(NamedTuple):
    """Half-life and doubling time in days with their intervals; NaN where they are not estimable."""

    half_life: tuple[float, float, float]
    doubling: tuple[float, float, float]


def kinetics(
    study: HasCourses,
    *,
    results: pd.DataFrame | None = None,
    censoring: Censoring = "lloq",
    book: RuleBook | None = None,
) -> pd.DataFrame:
    """Kinetic summaries, one row a subject.

    Parameters
    ----------
    study
        Subjects and CMV-DNA results.
    results
        Table of `cmv_results` made with the same ``censoring``; made from the study when it is not given.
    censoring
        ``lloq``, or ``lod`` for the sensitivity analysis.
    book
        Rules and parameters: baseline window and the days that confirm clearance.

    Returns
    -------
    DataFrame with the columns ``schema.CMV_KINETICS``, sorted by subject, also for subjects without results. A number
    that cannot be had is missing and its reason is given; a result below the LLOQ is never replaced by a number except
    in the areas, where it stands at the LLOQ and its share is given. A baseline that was drawn before day 0 stands at
    day 0.

    Raises
    ------
    StudyError
        Results cannot be read.
    """
    import pandas as pd

    chosen = rulebook() if book is None else book
    if results is None:
        results = cmv_results(study, baseline_window_days=chosen.baseline_window_days, censoring=censoring)
    rows = [course_kinetics(course, censoring=censoring, book=chosen) for course in courses(study, results)]
    frame = pd.DataFrame(rows, columns=list(CMV_KINETICS))
    return frame.astype({name: "float64" for name in CMV_KINETICS if name not in _TEXT})


def course_kinetics(course: Course, *, censoring: Censoring = "lloq", book: RuleBook | None = None) -> dict[str, Any]:
    """The row of one course in the table of `kinetics`: text, and numbers that are NaN where there is none.

    Parameters
    ----------
    course
        From `courses.courses`.
    censoring, book
        As for `kinetics`.
    """
    chosen = rulebook() if book is None else book
    row = _row(course, censoring, chosen.rules["clearance_2"].parameters["days_apart"])
    return {name: value if name in _TEXT else float(value) for name, value in row.items()}


def slope(points: Sequence[tuple[float, Sample]]) -> Slope:
    """Censored regression of the level on the day.

    Parameters
    ----------
    points
        (day, result). At least 3, of which 2 QUANT.
    """
    quant = sum(sample.kind == "QUANT" for _, sample in points)
    last = max((day for day, _ in points), default=NAN)
    if len(points) < _FEWEST or quant < _FEWEST_QUANT:
        why = f"{len(points)} results, {quant} QUANT; {_FEWEST} with {_FEWEST_QUANT} QUANT are needed"
        return Slope(n=len(points), last_day=last, reason=why)
    days, least, most = zip(*((day, sample.lower, sample.upper) for day, sample in points), strict=True)
    try:
        fit = _fit(days, least, most)
    except AnalysisError as refused:
        return Slope(n=len(points), last_day=last, reason=refused.what)
    intercept, per_day = (float(value) for value in fit.coefficients)
    lower, upper = fit.interval(1)
    status, why = "ESTIMATED", ""
    if math.isnan(lower):
        status, why = "NO_INTERVAL", "the results lie on a line: no interval"
    return Slope(per_day, lower, upper, intercept, fit.sigma, len(points), last, status, why)


@lru_cache(maxsize=1024)
def _fit(days: tuple[float, ...], lower: tuple[float, ...], upper: tuple[float, ...]) -> TobitFit:
    """Line through levels that are known to bounds; pages of one subject ask for the same ones again."""
    return censored_regression(np.column_stack([np.ones(len(days)), days]), lower, upper)


def half_life(found: Slope) -> HalfLife:
    """Half-life of a fall and doubling time of a rise, by inverting the interval of the slope.

    Nothing is estimable when the interval contains 0, or when there is none.

    Examples
    --------
    >>> [round(value, 3) for value in half_life(Slope(-0.11044, -0.2, -0.05)).half_life]
    [2.726, 1.505, 6.021]
    """
    none = (NAN, NAN, NAN)
    if found.upper < 0:
        return HalfLife(tuple(-_LOG10_2 / b for b in (found.slope, found.lower, found.upper)), none)  # type: ignore[arg-type]
    if found.lower > 0:
        return HalfLife(none, tuple(_LOG10_2 / b for b in (found.slope, found.upper, found.lower)))  # type: ignore[arg-type]
    return HalfLife(none, none)


def _row(course: Course, censoring: Censoring, days_apart: float) -> dict[str, Any]:
    samples = course.samples
    row: dict[str, Any] = dict.fromkeys(CMV_KINETICS, NAN)
    row |= {name: "" for name in CMV_KINETICS if name.endswith(("_kind", "_status", "_reason"))}
    row |= {"usubjid": course.usubjid, "series": course.series, "unit": course.unit, "censoring": censoring}
    row |= {"n": len(samples), "n_quant": sum(sample.kind == "QUANT" for sample in samples)}
    if not course.anchored or not samples:
        why = "no valid dated result" if course.anchored else "the date of the first ganciclovir is missing"
        status = dict.fromkeys(("slope_status", "peak_slope_status", "auc_status"), "NOT_ESTIMABLE")
        return row | status | dict.fromkeys(("slope_reason", "peak_slope_reason", "auc_reason"), why)
    row["pct_below_lloq"] = 100.0 * sum(sample.below for sample in samples) / len(samples)
    last_day = WINDOWS[LAST_DAY][1]
    cleared = clearance(samples, lambda one: one.below, days_apart=days_apart)
    confirmed = next((one.day for one in samples if cleared.true and one.date == cleared.confirmed), last_day)
    points = [(day, sample) for day, sample in _from_day_0(course) if day <= min(confirmed, last_day)]
    row |= _slopes(points)
    row |= _peak(samples) | _levels(course)
    return row | _areas([(day, sample) for day, sample in _from_day_0(course) if day <= last_day], course)


def _from_day_0(course: Course) -> list[tuple[int, Sample]]:
    """Results from day 0 on; an earlier baseline stands at day 0, unless a result of that day itself is there."""
    points = [(sample.day, sample) for sample in course.later]
    if course.baseline is not None and not (course.baseline.day < 0 and any(day == 0 for day, _ in points)):
        points.insert(0, (max(course.baseline.day, 0), course.baseline))
    return [(day, sample) for day, sample in points if day >= 0]


def _slopes(points: list[tuple[int, Sample]]) -> dict[str, object]:
    whole = slope(points)
    lives = half_life(whole)
    early = [(day, sample) for day, sample in points if day <= _PEAK_LAST_DAY]
    top = max(early, key=lambda point: (*_rank(point[1]), point[0]), default=None)
    after = slope([point for point in points if top is not None and point[0] >= top[0]])
    if top is None:
        after = Slope(reason="no valid result on days 0 to 7")
    names = ("half_life_d", "half_life_lower_d", "half_life_upper_d")
    doubling = ("doubling_time_d", "doubling_time_lower_d", "doubling_time_upper_d")
    return {
        "slope": whole.slope, "slope_lower": whole.lower, "slope_upper": whole.upper,
        "slope_intercept": whole.intercept, "slope_sigma": whole.sigma, "slope_n": whole.n,
        "slope_last_day": whole.last_day, "slope_status": whole.status, "slope_reason": whole.reason,
        **dict(zip(names, lives.half_life, strict=True)), **dict(zip(doubling, lives.doubling, strict=True)),
        "peak_slope": after.slope, "peak_slope_lower": after.lower, "peak_slope_upper": after.upper,
        "peak_slope_n": after.n, "peak_slope_from_day": NAN if top is None else top[0],
        "peak_slope_status": after.status, "peak_slope_reason": after.reason,
    }  # fmt: skip


def _rank(sample: Sample) -> tuple[int, float]:
    return ("TND", "BLQ", "QUANT", "ALQ").index(sample.kind), sample.lower if sample.kind == "QUANT" else 0.0


def _log10(sample: Sample) -> float:
    return sample.lower if sample.kind == "QUANT" else NAN


def _peak(samples: Sequence[Sample]) -> dict[str, object]:
    top = max(samples, key=lambda one: (*_rank(one), -one.day))
    return {"peak_kind": top.kind, "peak_log10": _log10(top), "peak_log10_lower": top.lower,
            "peak_log10_upper": top.upper, "time_to_peak_d": max(top.day, 0)}  # fmt: skip


def _levels(course: Course) -> dict[str, object]:
    row: dict[str, object] = {}
    for day, (first, last) in WINDOWS.items():
        inside = [sample for sample in course.later if first <= sample.day <= last]
        if inside:
            near = min(inside, key=lambda one: (abs(one.day - day), one.day))
            row |= {f"d{day}_kind": near.kind, f"d{day}_day": near.day, f"d{day}_log10": _log10(near),
                    f"d{day}_log10_upper": near.upper}  # fmt: skip
    return row


def _areas(points: list[tuple[int, Sample]], course: Course) -> dict[str, object]:
    from scipy.integrate import trapezoid

    if len(points) < 2 or points[0][0] != 0:
        why = "no result at day 0" if course.baseline is None else "fewer than 2 results until week 4"
        return {"auc_status": "NOT_ESTIMABLE", "auc_reason": why}
    days = np.array([day for day, _ in points], dtype=np.float64)
    limit = math.log10(points[0][1].lloq)
    level = np.array([limit if s.below else s.lower for _, s in points])
    log_area = float(trapezoid(level, days))
    duration = float(days[-1])
    gaps = [after - before for before, after in pairwise([*days.tolist(), max(float(LAST_DAY), duration)])]
    notes = [f"a gap of {max(gaps):g} days without a result"] if max(gaps) > LONGEST_GAP_D else []
    above = sum(sample.kind == "ALQ" for _, sample in points)
    return {
        "auc_log10": log_area,
        "auc_excess": float(trapezoid(level - limit, days)),
        "auc_linear": float(trapezoid(10.0**level, days)),
        "auc_time_averaged_log10": log_area / duration,
        "auc_duration_d": duration,
        "auc_pct_censored": 100.0 * sum(sample.kind != "QUANT" for _, sample in points) / len(points),
        "auc_status": "INCOMPLETE" if notes else "COMPLETE",
        "auc_reason": "; ".join([*notes, *([f"at least: {above} results above the range"] if above else [])]),
    }
