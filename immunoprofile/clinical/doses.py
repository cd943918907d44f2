"""Study drugs as they were given: courses, cumulative exposure, and bars for figures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.clinical.body import Bodies, body_surface_m2
from immunoprofile.clinical.courses import Course, day_span, dose_tables, frequency_names, read_course
from immunoprofile.clinical.drug_names import names_agent
from immunoprofile.clinical.tables import HasClinical, day_of, observed_days
from immunoprofile.clinical.units import significant
from immunoprofile.io.dates import days_between, first_dose
from immunoprofile.io.records import numbered, records, text_of, value_of
from immunoprofile.schema import BAR_COLUMNS, COURSE_COLUMNS, DRUGS, EXPOSURE_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.io.exceptions import Exceptions

ANTIVIRALS: Final = ("GCV", "VGCV")
ABSOLUTE_UNIT: Final = {"IL2": "MIU", "GCV": "mg", "VGCV": "mg"}
_UNITS: Final = {"IL2": ("MIU", "IU", "MIU/m2"), "GCV": ("mg/kg", "mg"), "VGCV": ("mg", "mg/kg")}
IU_PER_MIU: Final = 1e6


@dataclass(frozen=True)
class Anchors:
    """Days that count as the first of a subject's two time axes, empty when not known."""

    immunology: str
    virology: str

    def immunology_day(self, dtc: object) -> int | None:
        """Day on the immunology axis: 1 on the day of the anchor, no day 0."""
        days = days_between(self.immunology, dtc)
        return None if days is None else days + 1 if days >= 0 else days

    def virology_day(self, dtc: object) -> int | None:
        """Days since the first ganciclovir, 0 on its day."""
        return days_between(self.virology, dtc)


def anchors(study: HasClinical) -> dict[str, Anchors]:
    """Time axes of every subject.

    Immunology: first IL-2, or randomisation, as ``immunology_anchor`` of study.yaml says. Virology: first
    ganciclovir or valganciclovir of the subjects table, else the first full start date of one in dosing.
    """
    first: dict[str, str] = {}
    for row in records(study.dosing, "dosing"):
        day = day_of(row["start_dtc"])
        if row["drug"] in ANTIVIRALS and day is not None:
            usubjid = row["usubjid"]
            first[usubjid] = min(first.get(usubjid, "9999"), row["start_dtc"])
    found = {}
    for row in records(study.subjects, "subjects"):
        usubjid, il2, randomised = (row[name] for name in ("usubjid", "first_il2_dtc", "randomised_dtc"))
        kind = study.config.immunology_anchor
        own = {"first_il2": il2, "randomised": randomised}.get(kind, il2 or randomised)
        found[usubjid] = Anchors(own, row["first_gcv_dtc"] or first.get(usubjid, ""))
    return found


def note_first_doses(study: HasClinical, notes: Exceptions) -> None:
    """List subjects whose first doses in the subjects table are not those of dosing: both time axes hang on them."""
    subjects = {row["usubjid"]: row for row in records(study.subjects, "subjects")}
    first: dict[tuple[str, str], str] = {}
    for one in study_doses(study):
        subject = subjects.get(one.usubjid, {})
        column = "first_il2_dtc" if one.drug == "IL2" else "first_gcv_dtc" if one.drug in ANTIVIRALS else ""
        if column and not is_before_study(one, subject) and day_of(one.cells["start_dtc"]) is not None:
            key, start = (one.usubjid, column), one.cells["start_dtc"]
            first[key] = min(first.get(key, start), start)
    for (usubjid, column), start in sorted(first.items()):
        stated = subjects[usubjid][column] if usubjid in subjects else ""
        if days_between(stated, start) != 0:
            what = f"{column} is {stated or 'missing'}, the first course in dosing began {start}"
            notes.add("warning", "FIRST_DOSE_DIFFERS", what, table="subjects", usubjid=usubjid,
                      action=f"correct {column}, or dosing; days of study are counted from {column}")  # fmt: skip


@dataclass(frozen=True)
class StudyDose:
    """A row of dosing, read."""

    row: int
    usubjid: str
    drug: str
    amount: float
    unit: str
    route: str
    phase: str
    planned: float
    given: float
    course: Course
    cells: dict[str, Any]
    reasons: tuple[str, ...]

    @property
    def given_fraction(self) -> float:
        """Doses given over doses planned; NaN when either is missing, or none was planned."""
        return self.given / self.planned if self.planned > 0 else math.nan


def study_doses(study: HasClinical, *, notes: Exceptions | None = None) -> list[StudyDose]:
    """Rows of dosing in the order of subject, drug and start; ``notes`` takes what cannot be used, row by row."""
    spans = observed_days(study)
    doses = []
    for number, row in numbered(study.dosing, "dosing"):
        usubjid, drug, unit = (row[name] for name in ("usubjid", "drug", "unit"))
        span = spans.get(usubjid)
        # Empty means that it goes on: docs/study-folder.md.
        course = read_course(
            row["start_dtc"], row["end_dtc"], row["freq"], ongoing=not row["end_dtc"],
            last_day=None if span is None else span[1],
        )  # fmt: skip
        amount = row["dose"]
        found: list[tuple[str, str]] = []
        if drug not in DRUGS:
            found.append(("drug", f"drug {drug or 'missing'!r} is none of {', '.join(DRUGS)}"))
        allowed = _UNITS.get(drug, ())
        if allowed and unit not in allowed:
            what = f"unit {unit!r} does not fit {drug}" if unit else "the dose has no unit"
            found.append(("unit", f"{what}; allowed: {', '.join(allowed)}"))
        if not amount >= 0:
            found.append(("dose", "the dose is missing"))
        if course.frequency is None:
            what = row["freq"] or "missing"
            found.append(("freq", f"frequency {what} is none of {', '.join(frequency_names())}"))
        if day_of(row["start_dtc"]) is None:
            found.append(("start_dtc", "the start is not known to the day"))
        if row["end_dtc"] and day_of(row["end_dtc"]) is None:
            found.append(("end_dtc", "the end is not known to the day"))
        for column, what in found:
            if notes is None:
                break
            notes.add("warning", "DOSE_NOT_USABLE", f"column {column}: {what}", table="dosing", row=number,
                      usubjid=usubjid, action=f"correct {column}; the row is listed, and judged UNKNOWN")  # fmt: skip
        doses.append(StudyDose(
            number, usubjid, drug, amount, unit, row["route"], row["phase"],
            row["doses_planned"], row["doses_given"], course, row,
            tuple(what for _, what in found),
        ))  # fmt: skip
    return sorted(doses, key=lambda one: (one.usubjid, one.drug, one.cells["start_dtc"], one.row))


def is_before_study(dose: StudyDose, subject: dict[str, Any]) -> bool:
    """Whether a course ended before the first dose of either study drug as the subjects table states it."""
    first, last = day_of(first_dose(subject)), dose.course.end_high
    return first is not None and last is not None and last < first


def dose_courses(study: HasClinical, *, notes: Exceptions | None = None) -> pd.DataFrame:
    """Every row of dosing on both time axes, with its dose in MIU or mg, and what it adds up to.

    Returns
    -------
    DataFrame
        ``schema.COURSE_COLUMNS``. Weight and height are the nearest to the start (weight within 30 d).
        ``dose_per_m2`` of IL-2 is MIU over the body surface by Mosteller. ``cumulative`` is dose x doses given;
        missing with a ``reason`` when one of them is. Antivirals that ended before the first study dose are listed
        with ``before_study``.
    """
    import pandas as pd

    subjects = {row["usubjid"]: row for row in records(study.subjects, "subjects")}
    axes, bodies = anchors(study), Bodies(study.visits)
    rows = []
    for one in study_doses(study, notes=notes):
        axis, subject = axes.get(one.usubjid, Anchors("", "")), subjects.get(one.usubjid, {})
        absolute, weight, surface, reason = absolute_dose(one, bodies, one.cells["start_dtc"])
        reasons = [*one.reasons, *([reason] if reason else [])]
        if math.isnan(one.given):
            reasons.append("doses_given is missing")
        start, end = one.cells["start_dtc"], one.cells["end_dtc"]
        rows.append({
            "usubjid": one.usubjid, "arm": subject.get("arm", ""), "drug": one.drug, "dose": one.amount,
            "unit": one.unit, "freq": one.cells["freq"], "route": one.route, "start_dtc": start,
            "end_dtc": end, "start_day": axis.immunology_day(start), "end_day": axis.immunology_day(end),
            "virology_start_day": axis.virology_day(start), "virology_end_day": axis.virology_day(end),
            "doses_planned": _whole(one.planned), "doses_given": _whole(one.given),
            "pct_given": significant(100 * one.given_fraction), "weight_kg": weight, "bsa_m2": surface,
            "dose_absolute": absolute, "dose_per_m2": absolute / surface if one.drug == "IL2" else math.nan,
            "cumulative": significant(absolute * one.given), "cumulative_unit": ABSOLUTE_UNIT.get(one.drug, ""),
            "before_study": is_before_study(one, subject), "reason": "; ".join(reasons),
        })  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(COURSE_COLUMNS))
    whole = ["start_day", "end_day", "virology_start_day", "virology_end_day", "doses_planned", "doses_given"]
    numbers = ["dose", "pct_given", "weight_kg", "bsa_m2", "dose_absolute", "dose_per_m2", "cumulative"]
    return frame.astype(dict.fromkeys(whole, "Int64") | dict.fromkeys(numbers, "float64") | {"before_study": "bool"})


def absolute_dose(dose: StudyDose, bodies: Bodies, dtc: object) -> tuple[float, float, float, str]:
    """One administration in MIU or mg, weight (kg), body surface (m2), and why there is no dose."""
    weight = bodies.weight(dose.usubjid, dtc).value
    surface = body_surface_m2(bodies.height(dose.usubjid, dtc).value, weight)
    factors: dict[str, float] = {"MIU": 1.0, "IU": 1 / IU_PER_MIU, "MIU/m2": surface, "mg": 1.0, "mg/kg": weight}
    if dose.unit not in _UNITS.get(dose.drug, ()):
        return math.nan, weight, surface, ""
    factor = factors[dose.unit]
    what = "body surface (weight within 30 d, height)" if dose.unit == "MIU/m2" else "weight within 30 d"
    return dose.amount * factor, weight, surface, f"no {what}" if math.isnan(factor) else ""


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else int(value)


def exposure(courses: pd.DataFrame) -> pd.DataFrame:
    """What each subject received of each study drug within the study.

    Parameters
    ----------
    courses
        Result of `dose_courses`; courses before the study are left to that table.

    Returns
    -------
    DataFrame
        ``schema.EXPOSURE_COLUMNS``. Sums are missing when a part is; ``last_dtc`` is empty when a course goes on.
    """
    import pandas as pd

    rows = []
    within = courses[~courses["before_study"]]
    for (usubjid, drug), own in within.groupby(["usubjid", "drug"], sort=True):
        planned, given = (value_of(own[name].sum(skipna=False)) for name in ("doses_planned", "doses_given"))
        per_m2 = own["dose_per_m2"] * own["doses_given"].astype("float64")
        counted = planned is not None and given is not None and planned > 0
        ends = own["end_dtc"].tolist()
        rows.append({
            "usubjid": usubjid, "arm": own["arm"].iloc[0], "drug": drug, "first_dtc": own["start_dtc"].min(),
            "last_dtc": max(ends) if all(ends) else "", "n_courses": len(own), "doses_planned": planned,
            "doses_given": given, "pct_given": significant(100 * given / planned) if counted else math.nan,
            "cumulative": significant(own["cumulative"].sum(skipna=False)),
            "cumulative_unit": ABSOLUTE_UNIT.get(str(drug), ""),
            "cumulative_per_m2": significant(per_m2.sum(skipna=False)),
            "reason": "; ".join(dict.fromkeys(reason for reason in own["reason"] if reason)),
        })  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(EXPOSURE_COLUMNS))
    return frame.astype(dict.fromkeys(["doses_planned", "doses_given", "n_courses"], "Int64"))


def dosing_bars(study: HasClinical) -> pd.DataFrame:
    """Intervals in which a drug was given, for figures on either time axis.

    Returns
    -------
    DataFrame
        ``schema.BAR_COLUMNS``: study drugs (``source`` dosing) and every antiviral of conmeds, also those that ended
        before the study (``before_study``). Days are missing where the date is not known to the day; ``ongoing``
        bars have no end.
    """
    import pandas as pd

    subjects = {row["usubjid"]: row for row in records(study.subjects, "subjects")}
    axes = anchors(study)
    rows = []
    for table, source in ((study.dosing, "dosing"), (study.conmeds, "conmeds")):
        for row in records(table, source):
            drug = row["drug"] if source == "dosing" else antiviral_name(row["drug"], row["atc"])
            usubjid = row["usubjid"]
            if not drug:
                continue
            axis = axes.get(usubjid, Anchors("", ""))
            start, end = row["start_dtc"], row["end_dtc"]
            ongoing = not end if source == "dosing" else bool(row["ongoing"])
            rows.append({
                "usubjid": usubjid, "drug": drug, "source": source, "start_dtc": start, "end_dtc": end,
                "start_day": axis.immunology_day(start), "end_day": axis.immunology_day(end),
                "virology_start_day": axis.virology_day(start), "virology_end_day": axis.virology_day(end),
                "ongoing": ongoing, "before_study": _ended_before(end, subjects.get(usubjid, {})),
                "text": _dose_text(drug, row),
            })  # fmt: skip
    rows.sort(key=lambda row: (row["usubjid"], row["start_dtc"], row["drug"], row["source"], row["text"]))
    frame = pd.DataFrame(rows, columns=list(BAR_COLUMNS))
    whole = ["start_day", "end_day", "virology_start_day", "virology_end_day"]
    return frame.astype(dict.fromkeys(whole, "Int64") | dict.fromkeys(["ongoing", "before_study"], "bool"))


@lru_cache(maxsize=4096)
def antiviral_name(drug: object, atc: object) -> str:
    """Antiviral of a row of conmeds, by a whole word in the text of the drug or its ATC code; empty when it is none."""
    table = dose_tables()["antivirals"]
    named = [name for name in table["names"] if names_agent(drug, "", {"names": (name,), "atc": ()})]
    # Chinese writes no blanks: the name of ganciclovir is a part of that of valganciclovir
    named = [name for name in named if name.isascii() or not any(name != one and name in one for one in named)]
    if named:
        return " + ".join(named)
    return (text_of(drug) or text_of(atc)) if text_of(atc).upper() in table["atc"] else ""


def _ended_before(end: str, subject: dict[str, Any]) -> bool:
    last, first = day_span(end)[1], day_of(first_dose(subject))
    return last is not None and first is not None and last < first


def _dose_text(drug: str, row: dict[str, Any]) -> str:
    amount = row["dose"]
    parts = [drug, "dose not known" if math.isnan(amount) else f"{amount:g} {row['unit'] or 'unit not known'}",
             row["freq"], row["route"]]  # fmt: skip
    return " ".join(part for part in parts if part)


def last_day_of(course: Course, fallback: date) -> date:
    """Last day on which a course may have been given; ``fallback`` while it goes on."""
    return course.end_high if course.end_high is not None else fallback
