"""Concomitant drugs that change cells or hide an epitope, at the visits that they touch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any

from immunoprofile.clinical.courses import read_course
from immunoprofile.clinical.drug_names import names_agent
from immunoprofile.clinical.tables import HasClinical, day_of, observed_days
from immunoprofile.io.records import records
from immunoprofile.resources import load_yaml
from immunoprofile.schema import IMMUNOSUPPRESSANT_COLUMNS

if TYPE_CHECKING:
    import pandas as pd


@cache
def agents() -> Mapping[str, Mapping[str, Any]]:
    """Agents of resources/immunosuppressants.yaml: names, ATC codes, populations touched, days after the last dose."""
    found: Mapping[str, Mapping[str, Any]] = load_yaml("immunosuppressants.yaml")["agents"]
    others = load_yaml("cmv_confounders.yaml")["agents"]
    return {name: {**others.get(entry.get("named_as"), {}), **entry} for name, entry in found.items()}


def agents_of(drug: object, atc: object) -> tuple[str, ...]:
    """Agents that a row of conmeds names, by a word or phrase in the text of the drug or by its ATC code.

    Examples
    --------
    >>> agents_of("mycophenolate mofetil", None)
    ('mycophenolate',)
    """
    return tuple(name for name, entry in agents().items() if names_agent(drug, atc, entry))


def immunosuppressants(study: HasClinical, visits: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    """Which visits an immunosuppressant touches, and which populations.

    Parameters
    ----------
    study
        Table ``conmeds``.
    visits
        (subject, visit) -> ISO date of the visit.

    Returns
    -------
    DataFrame
        ``schema.IMMUNOSUPPRESSANT_COLUMNS``: one row per visit, row of conmeds and population. The visit is within the
        course or within the agent's days after its last dose. ``active`` is UNKNOWN where dates are not known to the
        day; ``days_since_last`` is 0 within the course and missing when it is not known.
    """
    import pandas as pd

    spans = observed_days(study)
    days: dict[str, list[tuple[str, date]]] = {}
    for (usubjid, visit), dtc in visits.items():
        day = day_of(dtc)
        if day is not None:
            days.setdefault(usubjid, []).append((visit, day))
    rows = []
    for row in records(study.conmeds, "conmeds"):
        usubjid = row["usubjid"]
        for agent in agents_of(row["drug"], row["atc"]):
            for visit, day in days.get(usubjid, ()):
                last = spans[usubjid][1] if usubjid in spans else None
                active, since = _activity(row, agents()[agent]["days_after"], day, last)
                for population, effect in agents()[agent]["touches"].items() if active else ():
                    rows.append({
                        "usubjid": usubjid, "visit": visit, "date": day.isoformat(), "agent": agent,
                        "drug": row["drug"], "effect": effect, "population": population, "active": active,
                        "days_since_last": since,
                        "note": "" if active == "TRUE" else "start or end of the drug is not known to the day",
                    })  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(IMMUNOSUPPRESSANT_COLUMNS)).astype({"days_since_last": "Int64"})
    order = ["usubjid", "date", "visit", "agent", "drug", "population", "active"]
    return frame.sort_values(order, kind="stable", ignore_index=True)


def _activity(row: dict[str, Any], days_after: int, day: date, last: date | None) -> tuple[str, int | None]:
    """TRUE, UNKNOWN or empty (not active), and days since the last dose."""
    course = read_course(row["start_dtc"], row["end_dtc"], row["freq"], ongoing=row["ongoing"], last_day=last)
    if course.start_low is not None and day < course.start_low:
        return "", None
    if course.end_high is not None and (day - course.end_high).days > days_after:
        return "", None
    begun = course.start_high is not None and day >= course.start_high
    if begun and course.end_low is not None:
        if day <= course.end_low:
            return "TRUE", 0
        if course.end_low == course.end_high:
            return "TRUE", (day - course.end_low).days
        # Somewhere in the span it ended; it still counts when that is true of the earliest possible end.
        return ("TRUE" if (day - course.end_low).days <= days_after else "UNKNOWN"), None
    return "UNKNOWN", None
