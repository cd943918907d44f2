"""Systemic corticosteroids as prednisone equivalents, day by day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.clinical.body import Bodies
from immunoprofile.clinical.courses import Course, days_from, dose_tables, frequency_names, read_course
from immunoprofile.clinical.drug_names import names_agent
from immunoprofile.clinical.tables import HasClinical, observed_days
from immunoprofile.clinical.units import MG_PER_UNIT, plain_unit, significant
from immunoprofile.io.records import numbered, text_of
from immunoprofile.schema import STEROID_COLUMNS, STEROID_RECORD_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

BEFORE_D: Final = 28
"""The grid begins so many days before a subject's first day in the study: steroids are often taken for years."""


@dataclass(frozen=True)
class _Record:
    """A corticosteroid of conmeds."""

    usubjid: str
    steroid: str
    use: str
    mg: float
    """mg per dose, or mg/kg per dose when per_kg; NaN when not known."""
    per_kg: bool
    factor: float
    course: Course
    reason: str


def prednisone_equivalents(study: HasClinical, *, mg_equivalent: dict[str, float] | None = None) -> pd.DataFrame:
    """Daily dose of systemic corticosteroids as prednisone.

    Parameters
    ----------
    study
        Tables ``conmeds`` and ``visits`` (weights); the other tables give the days that the study covers.
    mg_equivalent
        Steroid -> mg as strong as 5 mg of prednisone, in place of the package's: ``{"betamethasone": 0.75}``.

    Returns
    -------
    DataFrame
        ``schema.STEROID_COLUMNS``, sorted by subject and day: one row per calendar day from 28 d before the subject's
        first to its last day in the study on which a systemic record is active or may be. A day without a record has
        no row, since no record is not a dose of zero. ``ped_mg`` is NaN with a ``reason`` when a drug, dose, unit,
        frequency (PRN), route or date is not known; ``ped_mg_at_least`` is the part that is known. ``ped_mg_kg`` uses
        the nearest weight within 30 d. ``pulse`` (boolean, missing when not known): methylprednisolone of 250 mg or
        more on that day.

    Notes
    -----
    Sum of dose x administrations on the day x factor over oral, intravenous, intramuscular and subcutaneous records.
    Factors: 5 mg of prednisone over the equivalent mg (resources/doses.yaml).
    """
    import pandas as pd

    spans, bodies = observed_days(study), Bodies(study.visits)
    by_subject: dict[str, list[_Record]] = {}
    for _, _, record in _records(study, mg_equivalent or {}):
        if record.use != "not_systemic":
            by_subject.setdefault(record.usubjid, []).append(record)
    rows = []
    for usubjid in sorted(by_subject.keys() & spans.keys()):
        first, last = spans[usubjid]
        for day in days_from(first - timedelta(days=BEFORE_D), last):
            row = _day_row(usubjid, day, by_subject[usubjid], bodies)
            rows += [row] if row is not None else []
    frame = pd.DataFrame(rows, columns=list(STEROID_COLUMNS))
    numbers = ["ped_mg", "weight_kg", "ped_mg_kg", "ped_mg_at_least", "ped_mg_kg_at_least"]
    return frame.astype(dict.fromkeys(numbers, "float64") | {"pulse": "boolean"})


def steroid_records(study: HasClinical, *, mg_equivalent: dict[str, float] | None = None) -> pd.DataFrame:
    """Every corticosteroid of conmeds and what the grid does with it, the inhaled and topical ones too.

    Parameters
    ----------
    study, mg_equivalent
        As in `prednisone_equivalents`.

    Returns
    -------
    DataFrame
        ``schema.STEROID_RECORD_COLUMNS`` in the order of conmeds. ``use`` is ``counted``, ``unknown`` (its days have no
        ``ped_mg``; see ``reason``) or ``not_systemic`` (listed only).
    """
    import pandas as pd

    copied = ("usubjid", "drug", "dose", "unit", "freq", "route", "start_dtc", "end_dtc", "ongoing")
    rows = []
    for number, row, record in _records(study, mg_equivalent or {}):
        mg = math.nan if record.per_kg else record.mg
        rows.append({name: row[name] for name in copied} | {
            "row": number, "steroid": record.steroid, "use": record.use, "mg_per_dose": mg,
            "ped_mg_per_dose": mg * record.factor, "reason": record.reason,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(STEROID_RECORD_COLUMNS))


def _records(study: HasClinical, own: dict[str, float]) -> list[tuple[int, dict[str, Any], _Record]]:
    spans = observed_days(study)
    found = []
    for number, row in numbered(study.conmeds, "conmeds"):
        steroid = steroid_name(row["drug"], row["atc"])
        if steroid:
            span = spans.get(row["usubjid"])
            found.append((number, row, _read(row, steroid, own, None if span is None else span[1])))
    return found


@lru_cache(maxsize=4096)
def steroid_name(drug: object, atc: object) -> str:
    """Generic name of a corticosteroid; empty when the drug is none.

    A name, in other languages and of brands too, is found as a whole word in the text of the drug, else by the ATC
    code. A systemic corticosteroid by ATC (H02) that the table does not know keeps its own text: it is unknown, not
    absent.
    """
    table = dose_tables()["corticosteroids"]
    entries = dict(table["drugs"]) | {name: {} for name in table["without_equivalent"]}
    written = {name: entry | {"names": (name, *entry.get("names", ())), "atc": ()} for name, entry in entries.items()}
    named = [name for name, entry in written.items() if names_agent(drug, "", entry)]
    if named:
        return " + ".join(named)
    code = text_of(atc).upper()
    by_code = [name for name, entry in table["drugs"].items() if code in entry["atc"]]
    if by_code:
        return str(by_code[0])
    return text_of(drug) or code if code.startswith(table["systemic_atc"]) else ""


def _read(row: dict[str, Any], steroid: str, own: dict[str, float], last: date | None) -> _Record:
    tables = dose_tables()
    entry = tables["corticosteroids"]["drugs"].get(steroid)
    route = row["route"].upper()
    course = read_course(row["start_dtc"], row["end_dtc"], row["freq"], ongoing=row["ongoing"], last_day=last)
    use, reasons = "counted", []
    if route in tables["other_routes"]:
        use = "not_systemic"
    elif route not in tables["systemic_routes"]:
        reasons.append(f"route {route or 'missing'}: whether it is systemic is not known")
    factor = math.nan
    if entry is None:
        reasons.append(f"no prednisone equivalent for {steroid}")
    else:
        factor = tables["corticosteroids"]["reference_mg"] / own.get(steroid, entry["mg"])
    unit = plain_unit(row["unit"])
    per_kg = unit.endswith("/kg")
    mass = unit.removesuffix("/kg")
    dose = row["dose"]
    mg = dose * MG_PER_UNIT.get(mass, math.nan)
    if math.isnan(dose):
        reasons.append("the dose is missing")
    if mass not in MG_PER_UNIT:
        reasons.append(f"unit {unit or 'missing'} is none of {', '.join(MG_PER_UNIT)} (or per kg)")
    if course.frequency is None:
        reasons.append(f"frequency {row['freq'] or 'missing'} is none of {', '.join(frequency_names())}")
    if course.start_low is None:
        reasons.append("the start is missing")
    once = course.frequency is not None and course.frequency.once
    if not row["end_dtc"] and not row["ongoing"] and not once:
        reasons.append("neither an end nor ongoing = Y")
    if row["end_dtc"] and row["ongoing"]:
        reasons.append("an end and ongoing = Y contradict each other")
    if use == "counted" and reasons:
        use = "unknown"
    return _Record(row["usubjid"], steroid, use, mg, per_kg, factor, course, "; ".join(reasons))


def _day_row(usubjid: str, day: date, records: list[_Record], bodies: Bodies) -> dict[str, Any] | None:
    weight = bodies.weight(usubjid, day.isoformat()).value
    total = known = pulse_total = pulse_known = 0.0
    drugs, reasons, covered = [], [], False
    pulse_drug = dose_tables()["corticosteroids"]["pulse"]
    for record in records:
        fewest, most = record.course.doses_on(day)
        if most == 0 and not _within(record.course, day):
            continue
        covered = True
        drugs.append(record.steroid)
        route_known = not record.reason.startswith("route")
        per_dose = record.mg * (weight if record.per_kg else 1.0) if route_known else math.nan
        least = fewest * per_dose if fewest and not math.isnan(per_dose) else 0.0
        exact = 0.0 if most == 0 else fewest * per_dose if fewest == most else math.nan
        total += exact * record.factor if exact else 0.0
        known += least * record.factor if least and not math.isnan(record.factor) else 0.0
        if most and math.isnan(exact * record.factor):
            why = record.reason or ("no weight within 30 d" if record.per_kg else "not certain on this day")
            reasons.append(f"{record.steroid}: {why}")
        if record.steroid == pulse_drug["drug"]:
            pulse_total += exact
            pulse_known += least
    if not covered:
        return None
    limit = pulse_drug["mg_per_day"]
    pulse = True if pulse_known >= limit else None if math.isnan(pulse_total) else False
    total, known = significant(total), significant(known)
    return {
        "usubjid": usubjid, "date": day.isoformat(), "ped_mg": total, "weight_kg": weight,
        "ped_mg_kg": significant(total / weight), "ped_mg_at_least": known,
        "ped_mg_kg_at_least": significant(known / weight), "pulse": pulse,
        "drugs": ", ".join(sorted(set(drugs))), "reason": "; ".join(dict.fromkeys(reasons)),
    }  # fmt: skip


def _within(course: Course, day: date) -> bool:
    """Whether a day without a dose lies inside a course (the free day of an every-other-day dose: a true zero)."""
    return (course.start_low is None or day >= course.start_low) and (course.end_high is None or day <= course.end_high)
