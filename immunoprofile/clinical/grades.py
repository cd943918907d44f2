"""CTCAE grades of a study: every result, the worst on treatment, shifts from baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.clinical.ctcae import (
    NO_GRADE_WORDS,
    Grade,
    Term,
    ctcae_name,
    ctcae_terms,
    grade_term,
    no_criteria,
    terms_without_criteria,
)
from immunoprofile.clinical.tables import HasClinical, day_of
from immunoprofile.clinical.units import analysis_unit, lab_value, significant
from immunoprofile.errors import UnitError
from immunoprofile.io.dates import days_between, drawn_before, first_dose
from immunoprofile.io.records import numbered, records
from immunoprofile.schema import EVENT_RATE_COLUMNS, GRADE_COLUMNS, SHIFT_COLUMNS, WORST_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.io.exceptions import Exceptions

BASELINE_WITHIN_D: Final = 28
"""A laboratory baseline was drawn at most this many days before the first dose."""

CLEARANCE_TEST: Final = "CRCL"
_CLEARANCE_UNIT: Final = "mL/min"
_MISSING: Final = dict.fromkeys(("lln", "uln", "baseline", "baseline_uln", "baseline_lln"), math.nan)


@dataclass(frozen=True)
class LabResult:
    """A result in the unit of analysis; ``span`` holds the values that it can mean (a clearance, by age)."""

    row: int | None
    usubjid: str
    visit: str
    dtc: str
    lab_id: str
    test: str
    value: float
    unit: str
    lln: float
    uln: float
    span: tuple[float, ...]
    reason: str

    @property
    def order(self) -> tuple[str, ...]:
        """Subject, time, test and laboratory: the order of rows in tables."""
        return (self.usubjid, self.dtc, self.test, self.lab_id, self.visit, f"{self.value:.12g}")


def graded_results(
    study: HasClinical,
    clearance: pd.DataFrame,
    *,
    version: str = "5",
    baseline_within_d: int = BASELINE_WITHIN_D,
    notes: Exceptions | None = None,
) -> pd.DataFrame:
    """CTCAE grade of every laboratory result that has a term.

    Parameters
    ----------
    study
        Tables ``labs`` and ``subjects`` (first doses).
    clearance
        Result of `clinical.creatinine_clearance`; it is graded as test CRCL where the version has it.
    version
        Version of CTCAE.
    baseline_within_d
        Baseline is the last result on or before the first dose of either study drug, at most so many days earlier.
    notes
        Takes every result that could not be graded, or has no upper limit where its term counts in multiples of it,
        with its row and what to do.

    Returns
    -------
    DataFrame
        ``schema.GRADE_COLUMNS``, sorted by subject, time, test, laboratory and term. A result has no row for a term
        that only another version holds: ``notes`` names it (NO_CRITERIA), so that rows and names together are as many
        as the rows of the version that has most terms.

    Notes
    -----
    The baseline itself is graded by the same rule as the others: a high baseline of a liver enzyme is grade 0, and
    what counts is how often it is multiplied.
    """
    import pandas as pd

    terms, others = _by_test(ctcae_terms(version)), _by_test(terms_without_criteria(version))
    doses = {row["usubjid"]: first_dose(row) for row in records(study.subjects, "subjects")}
    results = sorted(
        (one for one in (*lab_results(study), *_clearance_results(clearance)) if one.test in {*terms, *others}),
        key=lambda one: one.order,
    )
    if notes is not None:
        _name_ungraded(results, others, version, notes)
    baselines: dict[tuple[str, str], LabResult] = {}
    for one in results:
        days = days_between(doses.get(one.usubjid, ""), one.dtc)
        if days is not None and -baseline_within_d <= days and not math.isnan(one.value):
            if drawn_before(one.dtc, doses[one.usubjid]):
                baselines[one.usubjid, one.test] = one
    name, rows = ctcae_name(version), []
    for one in results:
        baseline = baselines.get((one.usubjid, one.test))
        for term in terms.get(one.test, ()):
            rows.append(_grade_row(one, baseline, term, doses.get(one.usubjid, ""), name))
            if notes is not None and rows[-1]["grade"] is None and not hides_nothing(rows[-1]):
                notes.add(
                    "warning", "NOT_GRADED", f"{term.term}: {rows[-1]['reason']}", table="labs", row=one.row,
                    usubjid=one.usubjid, visit=one.visit, action=_remedy(one, rows[-1]["reason"]),
                )  # fmt: skip
            elif notes is not None and term.uses_uln and math.isnan(one.uln):
                # A high baseline can give the grade; multiples of the limit, as criteria of entry ask, are unknown.
                notes.add(
                    "warning", "NO_ULN", f"{one.test} has no upper limit of normal: no multiple of it is known",
                    table="labs", row=one.row, usubjid=one.usubjid, visit=one.visit, action=_FILL_LIMITS,
                )  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(GRADE_COLUMNS))
    return frame.astype(
        dict.fromkeys(["value", "lln", "uln", "baseline"], "float64")
        | dict.fromkeys(["grade", "baseline_grade"], "Int64")
        | dict.fromkeys(["on_treatment", "treatment_emergent"], "boolean")
        | {"grade_provisional": "bool"}
    )


def hides_nothing(row: Mapping[str, Any]) -> bool:
    """Whether a row without a grade is a clearance that needs none, or of which `creatinine_clearance` tells why.

    A clearance has no lower limit of normal: that it is not graded above 60 is no defect of the tables. One that is too
    low for the grades of a version is told.
    """
    return row["test"] == CLEARANCE_TEST and NO_GRADE_WORDS not in row["reason"]


def _by_test(terms: Sequence[Term]) -> dict[str, list[Term]]:
    found: dict[str, list[Term]] = {}
    for term in terms:
        found.setdefault(term.test, []).append(term)
    return found


def _name_ungraded(
    results: Sequence[LabResult], others: Mapping[str, Sequence[Term]], version: str, notes: Exceptions
) -> None:
    """Name every result of a term that only other versions hold, and say once a term how many there are."""
    counts: dict[str, int] = {}
    for one in results:
        for term in others.get(one.test, ()):
            notes.add("note", "NO_CRITERIA", no_criteria(term, version), table="labs", row=one.row,
                      usubjid=one.usubjid, visit=one.visit)  # fmt: skip
            counts[f"{term.term} ({term.test})"] = counts.get(f"{term.term} ({term.test})", 0) + 1
    action = "grade them by hand, or set ctcae in study.yaml to the version of the protocol"
    for words, count in counts.items():
        message = f"{words}: {count} results stand without a grade in {ctcae_name(version)}"
        notes.add("warning", "TERM_NOT_GRADED", message, table="labs", action=action)


def lab_results(study: HasClinical) -> Iterator[LabResult]:
    """Every row of labs in the unit of analysis of its test; what cannot be read is NaN with a reason."""
    for number, row in numbered(study.labs, "labs"):
        test, reason = row["test"], ""
        value, lln, uln = (row[name] for name in ("value", "lln", "uln"))
        unit = row["unit"]
        try:
            value, lln, uln = (lab_value(one, unit, test) for one in (value, lln, uln))
            unit = analysis_unit(test)
        except UnitError as error:
            value = lln = uln = math.nan
            reason = str(error)
        if value < 0:
            value, reason = math.nan, "a value below 0"
        yield LabResult(number, row["usubjid"], row["visit"], row["collected_dtc"],
                      row["lab_id"], test, value, unit, lln, uln, (), reason)  # fmt: skip


def _clearance_results(clearance: pd.DataFrame) -> Iterator[LabResult]:
    for row in records(clearance, "clearance"):
        yield LabResult(None, row["usubjid"], row["visit"], row["collected_dtc"], row["lab_id"], CLEARANCE_TEST,
                      row["crcl"], _CLEARANCE_UNIT, math.nan, math.nan, (row["crcl_low"], row["crcl_high"]),
                      row["reason"])  # fmt: skip


def _grade_of(one: LabResult, baseline: LabResult | None, term: Term, name: str) -> Grade:
    references = _MISSING | {"lln": one.lln, "uln": one.uln}
    if baseline is not None:
        references |= {"baseline": baseline.value, "baseline_uln": baseline.uln, "baseline_lln": baseline.lln}
    grade = grade_term(one.value, term, references, name=name)
    if one.reason:
        return Grade(None, grade.provisional, "", one.reason)
    if {grade_term(value, term, references, name=name).grade for value in one.span} - {grade.grade}:
        why = "the limit lies between the clearances at the ages that the study leaves open"
        return Grade(None, grade.provisional, "", why)
    return grade


def _grade_row(one: LabResult, baseline: LabResult | None, term: Term, dose: str, name: str) -> dict[str, Any]:
    grade = _grade_of(one, baseline, term, name)
    before = None if baseline is None else _grade_of(baseline, baseline, term, name).grade
    treated = None if not dose or day_of(one.dtc) is None or day_of(dose) is None else not drawn_before(one.dtc, dose)
    return {
        "usubjid": one.usubjid, "visit": one.visit, "collected_dtc": one.dtc, "lab_id": one.lab_id, "test": one.test,
        "term": term.term, "direction": term.direction, "value": one.value, "unit": one.unit, "lln": one.lln,
        "uln": one.uln, "baseline": math.nan if baseline is None else baseline.value,
        "baseline_dtc": "" if baseline is None else baseline.dtc, "grade": grade.grade, "baseline_grade": before,
        "grade_provisional": grade.provisional, "on_treatment": treated,
        "treatment_emergent": _emergent(grade.grade, before, treated=treated), "criterion_text": grade.criterion_text,
        "version": name, "reason": grade.reason,
    }  # fmt: skip


def _emergent(grade: int | None, baseline: int | None, *, treated: bool | None) -> bool | None:
    """Worse than at baseline after the first dose; None when a part that matters is not known."""
    if treated is False or grade == 0:
        return False
    if treated is None or grade is None or baseline is None:
        return None
    return grade > baseline


_FILL_LIMITS: Final = (
    "fill lln and uln with the limits that the laboratory gave with this result, never those of another one"
)


def _remedy(one: LabResult, reason: str) -> str:
    if "limit of normal" in reason:
        return _FILL_LIMITS
    if NO_GRADE_WORDS in reason:
        return "grade it by hand"
    return "correct value and unit" if one.reason or "value" in reason else "grade it by hand, or use another version"


def worst_grades(grades: pd.DataFrame, study: HasClinical) -> pd.DataFrame:
    """Worst grade on treatment of every subject and term, beside the grade at baseline.

    Parameters
    ----------
    grades
        Result of `graded_results`.
    study
        Gives the arms.

    Returns
    -------
    DataFrame
        ``schema.WORST_COLUMNS``, sorted by subject, test and term; subjects with at least one result of the term.
        ``treatment_emergent`` is missing when it cannot be known: some results have no grade and none is worse than
        baseline, or there is no baseline.
    """
    import pandas as pd

    arms = {row["usubjid"]: row["arm"] for row in records(study.subjects, "subjects")}
    by_term: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in records(grades, "safety"):
        by_term.setdefault(tuple(row[name] for name in ("usubjid", "test", "term", "direction")), []).append(row)
    rows = [_worst_row(own, arms) for _, own in sorted(by_term.items())]
    frame = pd.DataFrame(rows, columns=list(WORST_COLUMNS))
    integers = dict.fromkeys(["baseline_grade", "worst_grade", "n_results", "n_ungraded"], "Int64")
    return frame.astype(integers | {"grade_provisional": "bool", "treatment_emergent": "boolean"})


def _worst_row(own: list[dict[str, Any]], arms: dict[str, str]) -> dict[str, Any]:
    """The worst of the results of one subject and term; of equal ones the first."""
    treated = [row for row in own if row["on_treatment"]]
    graded = [row for row in treated if not math.isnan(row["grade"])]
    worst = max(graded, key=lambda row: int(row["grade"]), default=None)
    at_baseline = next((row["baseline_grade"] for row in own if not math.isnan(row["baseline_grade"])), None)
    answers = [row["treatment_emergent"] for row in treated]
    emergent = True if True in answers else None if None in answers or not answers else False
    return {name: own[0][name] for name in ("usubjid", "term", "test", "direction", "version")} | {
        "arm": arms.get(own[0]["usubjid"], ""), "baseline_grade": at_baseline,
        "worst_grade": None if worst is None else worst["grade"],
        "worst_visit": "" if worst is None else worst["visit"],
        "worst_dtc": "" if worst is None else worst["collected_dtc"], "n_results": len(treated),
        "n_ungraded": len(treated) - len(graded),
        "grade_provisional": any(row["grade_provisional"] for row in treated), "treatment_emergent": emergent,
    }  # fmt: skip


def shift_table(worst: pd.DataFrame) -> pd.DataFrame:
    """Subjects by arm, term, baseline grade and worst grade on treatment.

    Parameters
    ----------
    worst
        Result of `worst_grades`; subjects without any result on treatment are counted with a missing worst grade.

    Returns
    -------
    DataFrame
        ``schema.SHIFT_COLUMNS``, only combinations that occur; no tests, by the statistics plan.
    """
    import pandas as pd

    keys = ["arm", "term", "direction", "baseline_grade", "worst_grade", "version"]
    counted = worst.assign(n_incomplete=(worst["n_ungraded"] > 0).astype("int64"))
    grouped = counted.groupby(keys, dropna=False, sort=True)["n_incomplete"]
    table = pd.DataFrame({"n_subjects": grouped.size(), "n_incomplete": grouped.sum()}).reset_index()
    return table[list(SHIFT_COLUMNS)]


def event_rates(study: HasClinical, spans: dict[str, tuple[Any, Any]]) -> pd.DataFrame:
    """Adverse events per 100 days of follow-up from the first dose, by arm and term.

    Parameters
    ----------
    study
        Tables ``aes`` and ``subjects``.
    spans
        First and last day of each subject in the study (`clinical.tables.observed_days`).

    Returns
    -------
    DataFrame
        ``schema.EVENT_RATE_COLUMNS``. Only events that began on or after the day of the first dose; those without a
        full start date are counted apart in ``n_undated``. Subjects without a first dose are not followed.
    """
    import pandas as pd

    followed: dict[str, dict[str, int]] = {}
    starts: dict[str, str] = {}
    arm_of: dict[str, str] = {}
    for row in records(study.subjects, "subjects"):
        usubjid, dose = row["usubjid"], first_dose(row)
        if usubjid in spans and day_of(dose) is not None:
            days = days_between(dose, spans[usubjid][1].isoformat())
            arm_of[usubjid], starts[usubjid] = row["arm"], dose
            followed.setdefault(arm_of[usubjid], {})[usubjid] = max(days or 0, 0) + 1
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row in records(study.aes, "aes"):
        usubjid = row["usubjid"]
        if usubjid not in arm_of:
            continue
        days = days_between(starts[usubjid], row["start_dtc"])
        kind = "undated" if days is None else "event" if days >= 0 else ""
        if kind:
            found.setdefault((arm_of[usubjid], row["term"]), {}).setdefault(kind, []).append(usubjid)
    rows = []
    for (arm, term), kinds in sorted(found.items()):
        events, total = kinds.get("event", []), sum(followed[arm].values())
        rows.append({
            "arm": arm, "term": term, "n_subjects": len(followed[arm]), "n_with_event": len(set(events)),
            "n_events": len(events), "n_undated": len(kinds.get("undated", [])), "exposure_days": total,
            "events_per_100_days": significant(100.0 * len(events) / total),
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(EVENT_RATE_COLUMNS))
