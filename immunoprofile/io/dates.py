"""ISO 8601 text dates as studies have them: full, partial, with or without time of day."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from immunoprofile.io.records import text_of

_DAY = len("2024-01-01")
_MINUTE = len("2024-01-01T00:00")


def iso_day(value: object) -> date | None:
    """Calendar day of a text date or a date; None for a missing or partial one."""
    if isinstance(value, date):
        return value
    text = text_of(value)
    if len(text) < _DAY:
        return None
    try:
        return date.fromisoformat(text[:_DAY])
    except ValueError:
        return None


def days_between(start: object, end: object) -> int | None:
    """Calendar days from start to end (0 on the same day); None unless both are full dates."""
    first, second = iso_day(start), iso_day(end)
    return None if first is None or second is None else (second - first).days


def days_since(start: object, end: object) -> float:
    """The same as a float for a time axis, NaN unless both are full dates."""
    days = days_between(start, end)
    return math.nan if days is None else float(days)


def hours_apart(one: object, other: object) -> float:
    """Hours between two dates, NaN unless both are full dates.

    Without a time of day it is 0 on the same day, else whole days.
    """
    days = days_between(one, other)
    if days is None:
        return math.nan
    first, second = text_of(one), text_of(other)
    if len(first) >= _MINUTE and len(second) >= _MINUTE:
        apart = datetime.fromisoformat(first[:_MINUTE]) - datetime.fromisoformat(second[:_MINUTE])
        return abs(apart.total_seconds()) / 3600.0
    return 24.0 * abs(days)


def drawn_before(drawn: object, dose: object) -> bool:
    """Whether blood was drawn on or before a dose, to the precision that both have.

    Blood drawn on the day of the dose counts as before it unless both have a time of day that says otherwise.
    """
    days = days_between(dose, drawn)
    if days is None or days > 0:
        return False
    first, second = text_of(drawn), text_of(dose)
    return days < 0 or len(first) < _MINUTE or len(second) < _MINUTE or first[:_MINUTE] <= second[:_MINUTE]


def first_dose(subject: Mapping[Any, Any]) -> str:
    """First dose of either study drug of a row of the subjects table; empty when none is known.

    When it is not given as such, it is the earlier of the first doses of the two drugs.
    """
    stated = text_of(subject.get("first_dose_dtc"))
    drugs = [text_of(subject.get(name)) for name in ("first_il2_dtc", "first_gcv_dtc")]
    return stated or min((one for one in drugs if one), default="")
