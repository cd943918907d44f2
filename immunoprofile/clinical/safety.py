"""Laboratory safety and doses of a study in one call, and what of it belongs to each visit."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.clinical.adequacy import dose_adequacy
from immunoprofile.clinical.cmv_confounders import cmv_confounders
from immunoprofile.clinical.doses import dose_courses, dosing_bars, exposure, note_first_doses
from immunoprofile.clinical.flags import doses_at, safety_flags
from immunoprofile.clinical.grades import (
    BASELINE_WITHIN_D,
    event_rates,
    graded_results,
    hides_nothing,
    lab_results,
    shift_table,
    worst_grades,
)
from immunoprofile.clinical.il2_timing import il2_timing
from immunoprofile.clinical.immunosuppressants import immunosuppressants
from immunoprofile.clinical.renal import WeightKind, creatinine_clearance
from immunoprofile.clinical.steroids import prednisone_equivalents, steroid_records
from immunoprofile.clinical.tables import HasClinical, day_of, observed_days
from immunoprofile.clinical.units import significant
from immunoprofile.clinical.visit_days import visit_days
from immunoprofile.io.dates import hours_apart
from immunoprofile.io.exceptions import Exceptions
from immunoprofile.io.records import numbered, records
from immunoprofile.schema import CLINICAL_OBS, SAFETY_FILES

if TYPE_CHECKING:
    import pandas as pd

_COUNTS: Final = {"anc": "ANC", "plt": "PLT", "hgb": "HGB"}
_MULTIPLES: Final = {"alt_uln": "ALT", "tbil_uln": "TBIL"}


@dataclass(frozen=True, eq=False)
class SafetyTables:
    """Tidy tables of laboratory safety, doses and concomitant drugs.

    Attributes
    ----------
    grades, worst, shift, event_rates
        CTCAE grade of each result, worst on treatment, subjects by shift, adverse events over time.
    clearance
        Creatinine clearance at each creatinine.
    courses, exposure, adequacy, bars, il2_timing
        Study drugs: each course, sums, held against the label, intervals for figures, hours before each draw.
    steroids, steroid_records
        Prednisone equivalents by day, and every corticosteroid of conmeds.
    immunosuppressants
        Drugs that touch populations, by visit.
    confounders
        Drugs and procedures that change CMV-DNA by themselves, or what is said of it.
    flags
        Flags by subject and visit.
    exceptions
        Rows that could not be used in full, with table, row and remedy (``schema.EXCEPTION_COLUMNS``).

    Columns stand in ``immunoprofile.schema.clinical``, file names in ``schema.SAFETY_FILES``.
    """

    grades: pd.DataFrame
    worst: pd.DataFrame
    shift: pd.DataFrame
    event_rates: pd.DataFrame
    clearance: pd.DataFrame
    courses: pd.DataFrame
    exposure: pd.DataFrame
    adequacy: pd.DataFrame
    bars: pd.DataFrame
    il2_timing: pd.DataFrame
    steroids: pd.DataFrame
    steroid_records: pd.DataFrame
    immunosuppressants: pd.DataFrame
    confounders: pd.DataFrame
    flags: pd.DataFrame
    exceptions: pd.DataFrame

    def files(self) -> dict[str, pd.DataFrame]:
        """Tables by the name of their file in a results folder; exceptions belong to exceptions.csv."""
        return {SAFETY_FILES[one.name]: getattr(self, one.name) for one in fields(self) if one.name in SAFETY_FILES}


def safety(
    study: HasClinical,
    *,
    ctcae: str | None = None,
    weight: WeightKind = "actual",
    baseline_within_d: int = BASELINE_WITHIN_D,
) -> SafetyTables:
    """Laboratory safety, doses and concomitant drugs of a study.

    Parameters
    ----------
    study
        A `Study`.
    ctcae
        Version of CTCAE, ``5`` or ``6``; default that of ``study.yaml``. A term that the version does not hold is named
        in ``exceptions`` (NO_CRITERIA for every result, TERM_NOT_GRADED once a term) and graded by no other version.
    weight
        Body weight in the clearance where the body mass index is 30 or more (`clinical.creatinine_clearance`).
    baseline_within_d
        Oldest laboratory baseline, days before the first dose.

    Returns
    -------
    SafetyTables
        Nothing is left out in silence: a row that cannot be used keeps its place with a reason, and stands in
        ``exceptions`` with what to do.

    Raises
    ------
    NotAvailableError
        The version of CTCAE is not in the table.

    Examples
    --------
    >>> tables = ip.clinical.safety(study)  # doctest: +SKIP
    >>> tables.worst[["usubjid", "term", "baseline_grade", "worst_grade"]]  # doctest: +SKIP
    """
    import pandas as pd

    notes = Exceptions("safety")
    clearance = creatinine_clearance(study, weight=weight)
    version = study.config.ctcae if ctcae is None else ctcae
    grades = graded_results(study, clearance, version=version, baseline_within_d=baseline_within_d, notes=notes)
    worst = worst_grades(grades, study)
    courses = dose_courses(study, notes=notes)
    visits, steroids = visit_days(study), steroid_records(study)
    note_first_doses(study, notes)
    _note_clearance(clearance, notes)
    _note_steroids(steroids, notes)
    _note_events(study, notes)
    tables: dict[str, pd.DataFrame] = {
        "grades": grades, "worst": worst, "shift": shift_table(worst),
        "event_rates": event_rates(study, observed_days(study)), "clearance": clearance, "courses": courses,
        "exposure": exposure(courses), "adequacy": dose_adequacy(study, clearance), "bars": dosing_bars(study),
        "il2_timing": il2_timing(study, notes=notes), "steroids": prednisone_equivalents(study),
        "steroid_records": steroids, "immunosuppressants": immunosuppressants(study, visits),
        "confounders": cmv_confounders(study, notes=notes),
    }  # fmt: skip
    without = SafetyTables(**tables, flags=pd.DataFrame(), exceptions=pd.DataFrame())
    return SafetyTables(**tables, flags=safety_flags(study, without, visits), exceptions=notes.table())


def _note_clearance(clearance: pd.DataFrame, notes: Exceptions) -> None:
    for row in records(clearance, "clearance"):
        if row["reason"]:
            notes.add("warning", "NO_CLEARANCE", row["reason"], table="labs", usubjid=row["usubjid"],
                      visit=row["visit"], action="fill age, sex, weight and creatinine")  # fmt: skip


def _note_steroids(steroids: pd.DataFrame, notes: Exceptions) -> None:
    for row in records(steroids, "steroid_records"):
        if row["use"] == "unknown":
            notes.add("warning", "STEROID_UNKNOWN", f"{row['steroid']}: {row['reason']}", table="conmeds",
                      row=int(row["row"]), usubjid=row["usubjid"],
                      action="complete the row; until then its days have no prednisone equivalent")  # fmt: skip
        elif row["use"] == "not_systemic":
            notes.add("note", "STEROID_NOT_SYSTEMIC", f"{row['steroid']} by route {row['route']} is not counted",
                      table="conmeds", row=int(row["row"]), usubjid=row["usubjid"])  # fmt: skip


def _note_events(study: HasClinical, notes: Exceptions) -> None:
    for number, row in numbered(study.aes, "aes"):
        if day_of(row["start_dtc"]) is None:
            notes.add("warning", "EVENT_UNDATED", f"{row['term']}: the start is not known to the day", table="aes",
                      row=number, usubjid=row["usubjid"], action="fill start_dtc")  # fmt: skip


def visit_columns(study: HasClinical, tables: SafetyTables) -> pd.DataFrame:
    """What safety offers to each visit, for `obs` of the visits object.

    Parameters
    ----------
    study
        A `Study`.
    tables
        Result of `safety`.

    Returns
    -------
    DataFrame
        Index ``usubjid, visit`` (every visit that took place, and the unscheduled ones), columns
        ``schema.CLINICAL_OBS``. A laboratory value is that of the draw nearest to the date of the visit among the
        results filed under the visit; of several equally near the worse one. Missing where nothing was measured;
        ``n_ungraded`` says how many results hide behind ``worst_grade``.
    """
    import pandas as pd

    visits = visit_days(study)
    grades, clearance = _by_visit(tables.grades, "safety"), _by_visit(tables.clearance, "clearance")
    steroids = {(row["usubjid"], row["date"]): row for row in records(tables.steroids, "steroids")}
    labs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in lab_results(study):
        labs.setdefault((result.usubjid, result.visit), []).append(
            {"test": result.test, "value": result.value, "uln": result.uln, "collected_dtc": result.dtc}
        )
    drugs, flags = _by_visit(tables.immunosuppressants, "immunosuppressants"), _by_visit(tables.flags, "safety_flags")
    doses = doses_at(tables.adequacy, visits)
    rows: list[dict[str, Any]] = []
    for key, dtc in visits.items():
        results = grades.get(key, [])
        filtration = _nearest(clearance.get(key, []), dtc)
        steroid = steroids.get((key[0], dtc[:10]), {})
        dose = doses.get(key, {})
        row: dict[str, Any] = {
            "steroid_ped_mg": steroid.get("ped_mg", math.nan),
            "steroid_ped_mg_kg": steroid.get("ped_mg_kg", math.nan),
            "crcl": math.nan if filtration is None else filtration["crcl"],
            "crcl_unstable": None if filtration is None else bool(filtration["unstable"]),
            "gcv_adequacy": dose.get("adequacy", math.nan), "gcv_dosed": dose.get("appropriately_dosed", ""),
            "immunosuppressants": _joined(drugs.get(key, []), "agent"),
            "clinical_flags": _joined(flags.get(key, []), "flag"),
        }  # fmt: skip
        row |= {name: _value(labs.get(key, []), test, dtc) for name, test in _COUNTS.items()}
        row |= {name: _value(labs.get(key, []), test, dtc, over_uln=True) for name, test in _MULTIPLES.items()}
        rows.append(row | _worst_of(results))
    index = pd.MultiIndex.from_tuples(list(visits), names=["usubjid", "visit"])
    frame = pd.DataFrame(rows, columns=list(CLINICAL_OBS), index=index if rows else index[:0])
    text = ["worst_term", "gcv_dosed", "immunosuppressants", "clinical_flags"]
    whole = ["worst_grade", "n_ungraded"]
    kinds = dict.fromkeys(text, "object") | dict.fromkeys(whole, "Int64") | {"crcl_unstable": "boolean"}
    return frame.astype(dict.fromkeys(CLINICAL_OBS, "float64") | kinds)


def _by_visit(table: pd.DataFrame, name: str) -> dict[tuple[str, str], list[dict[str, Any]]]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in records(table, name):
        found.setdefault((row["usubjid"], row["visit"]), []).append(row)
    return found


def _nearest(rows: list[dict[str, Any]], dtc: str) -> dict[str, Any] | None:
    """The row drawn nearest to a date; rows whose date is not known come last."""

    def distance(row: dict[str, Any]) -> float:
        hours = hours_apart(row["collected_dtc"], dtc)
        return math.inf if math.isnan(hours) else hours

    return min(rows, key=distance, default=None)


def _value(results: list[dict[str, Any]], test: str, dtc: str, *, over_uln: bool = False) -> float:
    """Value of a test nearest to a date; of several equally near the lowest count, or the highest multiple."""
    own = [row["value"] / row["uln"] if over_uln else row["value"] for row in results if row["test"] == test]
    rows = [row for row in results if row["test"] == test]
    known = [pair for pair in zip(own, rows, strict=True) if not math.isnan(pair[0])]
    known.sort(key=lambda pair: -pair[0] if over_uln else pair[0])
    nearest = _nearest([row | {"shown": value} for value, row in known], dtc)
    return math.nan if nearest is None else significant(nearest["shown"])


def _worst_of(results: list[dict[str, Any]]) -> dict[str, Any]:
    graded = [row for row in results if not math.isnan(row["grade"])]
    worst = max((int(row["grade"]) for row in graded), default=None)
    terms = sorted({row["term"] for row in graded if worst and row["grade"] == worst})
    hidden = [row for row in results if math.isnan(row["grade"]) and not hides_nothing(row)]
    return {"worst_grade": worst, "worst_term": "; ".join(terms), "n_ungraded": len(hidden) if results else None}


def _joined(rows: list[dict[str, Any]], name: str) -> str:
    return " ".join(sorted({row[name] for row in rows}))
