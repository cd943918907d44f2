"""Hours from the last IL-2 dose to each blood draw."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from immunoprofile.clinical.courses import Frequency, dose_tables
from immunoprofile.clinical.doses import StudyDose, study_doses
from immunoprofile.clinical.tables import HasClinical, day_of
from immunoprofile.clinical.units import significant
from immunoprofile.io.records import numbered, records
from immunoprofile.schema import IL2_TIMING_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.io.exceptions import Exceptions

AGREE_H: Final = 1.0
"""Stated and computed hours may differ by so much before the sample is listed."""

_DAY_H: Final = 24.0


def il2_timing(study: HasClinical, *, notes: Exceptions | None = None) -> pd.DataFrame:
    """Hours since the last IL-2 dose for every sample, from dosing beside what samples states.

    Parameters
    ----------
    study
        Tables ``dosing``, ``samples`` and ``subjects``.
    notes
        Takes samples whose stated hours dosing contradicts.

    Returns
    -------
    DataFrame
        ``schema.IL2_TIMING_COLUMNS``, sorted by subject, draw and sample. ``hours`` is what samples states, else what
        dosing gives exactly: that needs times of day, a fixed frequency and no missed dose. Otherwise ``hours_low`` and
        ``hours_high`` say what is possible. ``recent``: under 18 h, or possibly so. Without an IL-2 dose before the
        draw ``hours`` is missing and ``recent`` false.
    """
    import pandas as pd

    limit = float(dose_tables()["recent_il2_h"])
    courses: dict[str, list[StudyDose]] = {}
    for one in study_doses(study):
        if one.drug == "IL2":
            courses.setdefault(one.usubjid, []).append(one)
    told = {row["usubjid"] for row in records(study.subjects, "subjects") if row["first_il2_dtc"]}
    rows = []
    for number, row in numbered(study.samples, "samples"):
        usubjid, dtc = row["usubjid"], row["collected_dtc"]
        if not usubjid:
            continue
        stated = row["hours_since_last_il2"]
        low, high, reason = _since(courses.get(usubjid, []), dtc)
        if not courses.get(usubjid) and usubjid in told:
            low, high, reason = 0.0, math.inf, "IL-2 was given, but dosing has no row of it"
        exact = low if math.isclose(low, high) else math.nan
        if notes is not None and (stated < low - AGREE_H or stated > high + AGREE_H):
            what = f"hours_since_last_il2 is {stated:g}, dosing says {low:g} to {high:g}"
            notes.add("warning", "IL2_HOURS_DIFFER", what, table="samples", row=number, usubjid=usubjid,
                      visit=row["visit"], sample_id=row["sample_id"],
                      action="correct samples or dosing; what samples says was used")  # fmt: skip
        hours = exact if math.isnan(stated) else stated
        least = low if math.isnan(hours) else hours
        rows.append({
            "sample_id": row["sample_id"], "usubjid": usubjid, "visit": row["visit"],
            "collected_dtc": dtc, "hours_stated": stated, "hours_computed": exact, "hours_low": low,
            "hours_high": high, "hours": hours, "recent": least < limit, "reason": reason,
        })  # fmt: skip
    rows.sort(key=lambda row: (row["usubjid"], row["collected_dtc"], row["sample_id"]))
    frame = pd.DataFrame(rows, columns=list(IL2_TIMING_COLUMNS))
    numbers = ["hours_stated", "hours_computed", "hours_low", "hours_high", "hours"]
    return frame.astype(dict.fromkeys(numbers, "float64") | {"recent": "bool"})


def _since(courses: list[StudyDose], dtc: str) -> tuple[float, float, str]:
    """Fewest and most hours since the last dose of any course; NaN, NaN when none was before the draw."""
    day = day_of(dtc)
    if not courses:
        return math.nan, math.nan, ""
    if day is None:
        return 0.0, math.inf, "the draw is not known to the day"
    drawn = _span(dtc)
    spans = [one for one in (_of_course(course, drawn) for course in courses) if one is not None]
    if not spans:
        return math.nan, math.nan, "before the first dose"
    low, high = min(one[0] for one in spans), min(one[1] for one in spans)
    return significant(low), significant(high), "; ".join(dict.fromkeys(one[2] for one in spans if one[2]))


def _span(dtc: str) -> tuple[datetime, datetime]:
    """Earliest and latest time that a full date can mean."""
    time = datetime.fromisoformat(dtc[:16])
    return (time, time) if len(dtc) > len("2024-01-01") else (time, time + timedelta(hours=_DAY_H, minutes=-1))


def _of_course(dose: StudyDose, drawn: tuple[datetime, datetime]) -> tuple[float, float, str] | None:
    """Fewest and most hours since the last dose of a course; None when it began after the draw."""
    start, frequency = dose.cells["start_dtc"], dose.course.frequency
    if day_of(start) is None:
        return 0.0, math.inf, "the start of IL-2 is not known to the day"
    first = _span(start)
    if first[0] > drawn[1]:
        return None
    if frequency is None or frequency.mean_per_day == 0:
        return 0.0, _hours(first[0], drawn[1]), "the frequency of IL-2 is not known"
    end = dose.cells["end_dtc"]
    # Without a time of day the last dose can have been at any time of its day.
    ends = _span(end) if day_of(end) is not None else None
    steps = [_last_dose(time, moment, frequency, ends) for time in first for moment in drawn]
    possible = [one for one in steps if one is not None]
    low = min(possible, default=0.0)
    high = max(possible, default=_hours(first[0], drawn[1]))
    if first[0] != first[1] or drawn[0] != drawn[1]:
        # The dose of the day may have been before or after the draw.
        interval = _DAY_H / frequency.mean_per_day if frequency.mean_per_day else _DAY_H
        low, high = max(0.0, low - interval if low < _DAY_H else low), min(high + interval, _hours(first[0], drawn[1]))
        return low, high, "a time of day is missing"
    if frequency.per_day is None:
        return 0.0, _hours(first[0], drawn[1]), "the days of IL-2 within the week are not known"
    if not dose.given_fraction >= 1:
        return low, _hours(first[0], drawn[1]), "a dose was missed, or the numbers of doses are missing"
    return low, high, ""


def _last_dose(
    first: datetime, drawn: datetime, frequency: Frequency, ends: tuple[datetime, datetime] | None
) -> float | None:
    """Hours from the last dose of a regular course to a draw; None when it began later."""
    if first > drawn:
        return None
    if frequency.mean_per_day is None:
        return _hours(first, drawn)
    interval = timedelta(hours=_DAY_H / frequency.mean_per_day)
    until = drawn if ends is None else min(drawn, ends[1])
    return _hours(first + interval * max((until - first) // interval, 0), drawn)


def _hours(one: datetime, other: datetime) -> float:
    return max((other - one) / timedelta(hours=1), 0.0)
