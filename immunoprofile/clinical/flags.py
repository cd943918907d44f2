"""Flags of laboratory safety and doses, by subject and visit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.clinical.courses import dose_tables
from immunoprofile.clinical.grades import hides_nothing
from immunoprofile.clinical.tables import HasClinical, day_of
from immunoprofile.clinical.units import lab_value, significant
from immunoprofile.errors import UnitError
from immunoprofile.io.records import records
from immunoprofile.schema import SAFETY_FLAG_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.clinical.safety import SafetyTables

PULSE_WITHIN_D: Final = 7
"""A steroid pulse is flagged at visits up to so many days after it."""

_Flag = tuple[tuple[str, str], str, str]
"""(Subject, visit), flag, detail."""


def safety_flags(study: HasClinical, tables: SafetyTables, visits: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    """Flags of every subject and visit.

    Parameters
    ----------
    study
        Table ``labs``.
    tables
        The other tables of `clinical.safety`.
    visits
        (subject, visit) -> ISO date.

    Returns
    -------
    DataFrame
        ``schema.SAFETY_FLAG_COLUMNS``, one row per flag and detail, sorted. GRADE_PROVISIONAL, GCV_UNDERDOSED,
        GCV_HAEM_LIMIT, STEROID_PULSE (within 7 d before the visit), IMMUNOSUPPRESSANT and UNKNOWN_INPUT. RECENT_IL2 is
        set by the verdict of the sample (`pp.verdict`).
    """
    import pandas as pd

    rows: set[tuple[str, ...]] = set()
    sources = (_grade_flags(tables), _haem_flags(study), _dose_flags(tables, visits), _steroid_flags(tables, visits),
               _clearance_flags(tables), _drug_flags(tables))  # fmt: skip
    for source in sources:
        for (usubjid, visit), flag, detail in source:
            rows.add((usubjid, visit, visits.get((usubjid, visit), "")[:10], flag, detail))
    ordered = sorted(rows, key=lambda row: (row[0], row[2], *row[1:]))
    return pd.DataFrame(ordered, columns=list(SAFETY_FLAG_COLUMNS))


def _grade_flags(tables: SafetyTables) -> Iterator[_Flag]:
    for row in records(tables.grades, "safety"):
        key = (row["usubjid"], row["visit"])
        if row["grade_provisional"]:
            yield key, "GRADE_PROVISIONAL", f"{row['term']}: {row['reason']}"
        if math.isnan(row["grade"]) and not hides_nothing(row):
            yield key, "UNKNOWN_INPUT", f"{row['term']}: {row['reason']}"


def _haem_flags(study: HasClinical) -> Iterator[_Flag]:
    limits = dose_tables()["antivirals"]["haem_limits"]
    for row in records(study.labs, "labs"):
        if row["test"] not in limits:
            continue
        try:
            value = lab_value(row["value"], row["unit"], row["test"])
        except UnitError:
            continue  # told by the grades
        if significant(value) < limits[row["test"]]:
            detail = f"{row['test']} {value:g} is below {limits[row['test']]:g}"
            yield (row["usubjid"], row["visit"]), "GCV_HAEM_LIMIT", detail


def _dose_flags(tables: SafetyTables, visits: Mapping[tuple[str, str], str]) -> Iterator[_Flag]:
    for key, row in doses_at(tables.adequacy, visits).items():
        enough = dose_tables()["antivirals"]["planned_given_at_least"]
        short = row["pct_given"] < 100 * enough
        if row["adequacy_state"] == "UNDER" or short:
            yield key, "GCV_UNDERDOSED", f"{row['drug']}: {row['reason']}"
        elif row["appropriately_dosed"] == "UNKNOWN":
            yield key, "UNKNOWN_INPUT", f"{row['drug']} dose: {row['reason']}"


def doses_at(adequacy: pd.DataFrame, visits: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], dict[str, Any]]:
    """(subject, visit) -> row of the dose table that holds on that day; visits without treatment have none."""
    found = {}
    by_subject: dict[str, list[dict[str, Any]]] = {}
    for row in records(adequacy, "dose_adequacy"):
        by_subject.setdefault(row["usubjid"], []).append(row)
    for key, dtc in visits.items():
        for row in by_subject.get(key[0], ()):
            # A row without dates says that nothing is known of any day.
            if not row["from_date"] or (dtc and row["from_date"] <= dtc[:10] <= row["to_date"]):
                found[key] = row
    return found


def _steroid_flags(tables: SafetyTables, visits: Mapping[tuple[str, str], str]) -> Iterator[_Flag]:
    days: dict[str, dict[str, dict[str, Any]]] = {}
    for row in records(tables.steroids, "steroids"):
        days.setdefault(row["usubjid"], {})[row["date"]] = row
    for (usubjid, visit), dtc in visits.items():
        day = day_of(dtc)
        own = days.get(usubjid, {})
        if day is None or not own:
            continue
        for back in range(PULSE_WITHIN_D + 1):
            earlier = own.get((day - timedelta(days=back)).isoformat(), {})
            if earlier.get("pulse"):
                yield (usubjid, visit), "STEROID_PULSE", f"methylprednisolone on {earlier['date']}"
        today = own.get(day.isoformat())
        if today is not None and math.isnan(today["ped_mg_kg"]):
            reason = today["reason"] or "no weight within 30 d"
            yield (usubjid, visit), "UNKNOWN_INPUT", f"corticosteroid dose: {reason}"


def _clearance_flags(tables: SafetyTables) -> Iterator[_Flag]:
    for row in records(tables.clearance, "clearance"):
        key = (row["usubjid"], row["visit"])
        if row["reason"]:
            yield key, "UNKNOWN_INPUT", f"creatinine clearance: {row['reason']}"
        if row["unstable"]:
            yield key, "UNKNOWN_INPUT", "creatinine clearance: unreliable, creatinine changed by over 50 % within 48 h"


def _drug_flags(tables: SafetyTables) -> Iterator[_Flag]:
    for (usubjid, visit, agent, drug, active), own in tables.immunosuppressants.groupby(
        ["usubjid", "visit", "agent", "drug", "active"], sort=True
    ):
        sure = "" if active == "TRUE" else " (perhaps)"
        populations = ", ".join(sorted(set(own["population"])))
        yield (str(usubjid), str(visit)), "IMMUNOSUPPRESSANT", f"{agent} ({drug}){sure}: {populations}"
