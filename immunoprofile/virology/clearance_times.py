"""Time to clearance as an interval, with death and rescue as competing events."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from immunoprofile.schema import CMV_CLEARANCE_COLUMNS
from immunoprofile.virology.clearance_rules import CLEARANCE_PREDICATES
from immunoprofile.virology.courses import Course, HasCourses, courses
from immunoprofile.virology.rulebook import RuleBook, rulebook
from immunoprofile.virology.series import cmv_results

if TYPE_CHECKING:
    import pandas as pd

CLEARANCE_RULES: Final = ("clearance_2", "clearance_tnd", "clearance_1")
"""The definition of the trial first, then its sensitivity analyses."""


def time_to_clearance(
    study: HasCourses, *, results: pd.DataFrame | None = None, book: RuleBook | None = None
) -> pd.DataFrame:
    """Time from the first ganciclovir to clearance, one row a subject and definition.

    Parameters
    ----------
    study
        Subjects, CMV-DNA results and events (RESCUE and DEATH end the time at risk).
    results
        Table of `cmv_results`; made from the study when it is not given.
    book
        Rules and parameters, see `rulebook`.

    Returns
    -------
    DataFrame with ``schema.CMV_CLEARANCE_COLUMNS``, sorted by subject. Cleared in (``lower_day``, ``upper_day``]: after
    the last result that is not cleared, at or before the first of the pair that is. Not ``observed``: right-censored,
    ``upper_day`` is infinite and ``lower_day`` is the last day known to be not cleared; an unconfirmed result below the
    LLOQ at the end may still turn out to be the clearance, so it does not extend that time. Results after a rescue
    antiviral do not count: the clearance would not be that of the study treatment. Both days are missing, with the
    reason, for a subject that cannot enter.

    Raises
    ------
    StudyError
        Results cannot be read.
    """
    import pandas as pd

    chosen = rulebook() if book is None else book
    if results is None:
        results = cmv_results(study, baseline_window_days=chosen.baseline_window_days)
    rows = [_row(course, name, chosen) for course in courses(study, results) for name in CLEARANCE_RULES]
    frame = pd.DataFrame(rows, columns=list(CMV_CLEARANCE_COLUMNS))
    days = ("lower_day", "upper_day", "competing_day")
    return frame.astype(dict.fromkeys(days, "float64") | {"observed": "bool"})


def _row(course: Course, name: str, book: RuleBook) -> tuple[object, ...]:
    nothing = (course.usubjid, name, math.nan, math.nan, False)
    if not course.anchored or not course.samples:
        why = "no valid dated result" if course.anchored else "the date of the first ganciclovir is missing"
        return (*nothing, "", math.nan, why)
    events = {"RESCUE": course.rescue_day, "DEATH": course.death_day}
    ends = sorted((day, event) for event, day in events.items() if day is not None)
    day, event = ends[0] if ends else (math.nan, "")
    at_risk = replace(course, samples=tuple(one for one in course.samples if not one.day > day))
    if not at_risk.samples:
        return (*nothing, event, day, f"no valid result until {event.lower()}")
    verdict = CLEARANCE_PREDICATES[name](at_risk, book.rules[name], {})
    if math.isnan(verdict.lower):
        return (*nothing, event, day, verdict.reason)
    if verdict.true and verdict.upper <= 0:
        return (*nothing, event, day, "below the LLOQ on the day of the first ganciclovir already")
    if verdict.true:
        return course.usubjid, name, verdict.lower, verdict.upper, True, "", math.nan, verdict.reason
    return course.usubjid, name, verdict.lower, math.inf, False, event, day, verdict.reason
