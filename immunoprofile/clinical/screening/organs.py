"""X4a to X4c: heart failure, creatinine clearance, liver."""

from __future__ import annotations

import math
from typing import Any

from immunoprofile.clinical.screening.kleene import Truth, any_of, when_present
from immunoprofile.clinical.screening.records import Case, Evidence, Record, Verdict, statement
from immunoprofile.clinical.screening.rules import Criterion
from immunoprofile.clinical.screening.wording import listed, shown
from immunoprofile.clinical.units import analysis_unit, lab_value, significant
from immunoprofile.errors import UnitError
from immunoprofile.io.dates import days_between

_SEVERE_NYHA = ("III", "IV")
_MILD_NYHA = ("I", "II")
_ARABIC = {"1": "I", "2": "II", "3": "III", "4": "IV"}


def heart_failure(case: Case, criterion: Criterion) -> Verdict:
    """X4a: heart failure of NYHA class III or IV."""
    name = "attestations.heart_failure"
    said = statement(case, criterion, name)
    limit = "NYHA I or II"
    if said.truth is None:
        return Verdict("UNKNOWN", said.why, limit=limit, missing=(name,), evidence=said.evidence)
    if not said.truth:
        return Verdict("PASS", f"no heart failure (stated on {said.date})", "N", date=said.date, limit=limit,
                       evidence=said.evidence)  # fmt: skip
    stated = said.detail.upper().removeprefix("NYHA").removeprefix("CLASS").strip()
    nyha = _ARABIC.get(stated, stated)
    if nyha not in (*_MILD_NYHA, *_SEVERE_NYHA):
        why = f"heart failure stated on {said.date}, NYHA class {said.detail or 'missing'}: detail is I, II, III or IV"
        return Verdict("UNKNOWN", why, said.detail, date=said.date, limit=limit, missing=(name,),
                       evidence=said.evidence)  # fmt: skip
    state = when_present(nyha in _SEVERE_NYHA)
    return Verdict(state, f"heart failure NYHA {nyha} (stated on {said.date})", nyha, date=said.date, limit=limit,
                   evidence=said.evidence)  # fmt: skip


def renal(case: Case, criterion: Criterion) -> Verdict:
    """X4b: creatinine clearance at or below the limit; of simultaneous results the lowest decides."""
    limit = case.rules.number("x4b_crcl_ml_min") or 0.0
    name = "labs.CREAT"
    found = case.find(criterion, name)
    shown_limit = f"> {shown(limit)} mL/min"
    if found.why:
        return Verdict("UNKNOWN", found.why, unit="mL/min", limit=shown_limit, missing=(name,),
                       evidence=tuple(_lab_evidence(name, one) for one in found.latest))  # fmt: skip
    readings = [_clearance(case, one, limit) for one in found.latest]
    truth = any_of([one.truth for one in readings])
    decisive = [one for one in readings if one.truth is truth]
    first = min(decisive, key=lambda one: math.inf if math.isnan(one.value) else one.value)
    return Verdict(
        when_present(truth), listed(one.said for one in decisive),
        value="" if math.isnan(first.value) else f"{first.value:.10g}", unit="mL/min", date=first.date,
        limit=shown_limit, missing=tuple(dict.fromkeys(part for one in decisive for part in one.missing)),
        evidence=tuple(piece for one in readings for piece in one.evidence),
    )  # fmt: skip


class _Read:
    """A number that meets a limit: above it or not, or unknown."""

    def __init__(
        self, truth: Truth, said: str, *, value: float = math.nan, date: str = "", missing: tuple[str, ...] = (),
        evidence: tuple[Evidence, ...] = (),
    ) -> None:  # fmt: skip
        self.truth, self.said, self.value, self.date = truth, said, value, date
        self.missing, self.evidence = missing, evidence


def _clearance(case: Case, record: Record, limit: float) -> _Read:
    name = "labs.CREAT"
    evidence: tuple[Evidence, ...] = (_lab_evidence(name, record),)
    value, why = plausible_value(case, record, "CREAT")
    if why:
        return _Read(None, why, date=record.date, missing=(name,), evidence=evidence)
    row = next(one for one in case.clearances if _is_of(one, record, value))
    evidence += _body_evidence(case, row)
    if row["reason"]:
        missing = _missing_for_clearance(case, row)
        return _Read(None, f"creatinine of {record.date}: {row['reason']}", date=record.date, missing=missing,
                     evidence=evidence)  # fmt: skip
    clearance = float(row["crcl"])
    unstable = "; unreliable: creatinine changed by more than 50 % within 48 h" if row["unstable"] else ""
    excluded = significant(clearance) <= limit
    ends = [significant(float(row[end])) <= limit for end in ("crcl_low", "crcl_high")]
    said = f"creatinine clearance {shown(clearance, limit)} mL/min on {record.date}, limit {shown(limit)}{unstable}"
    if set(ends) != {excluded} and not _age_is_near(case, record):
        span = f"{row['crcl_low']:.2f} to {row['crcl_high']:.2f} mL/min"
        ages = f"age {row['age_y_low']:g} to {row['age_y_high']:g} y"
        why = f"creatinine clearance is {span}, {ages}, limit {shown(limit)}"
        missing = ("subjects.age_y", "subjects.birth_year")
        return _Read(None, f"{why}{unstable}", value=clearance, date=record.date, missing=missing, evidence=evidence)
    return _Read(excluded, said, value=clearance, date=record.date, evidence=evidence)


def _is_of(row: Any, record: Record, value: float) -> bool:
    return bool(
        row["collected_dtc"] == record.date
        and row["lab_id"] == record.text("lab_id")
        and math.isclose(row["creatinine_umol_l"], value)
    )


def _age_is_near(case: Case, record: Record) -> bool:
    """The age at consent stands for that at the draw."""
    days = days_between(case.subject.get("consent_dtc"), record.date)
    within = case.rules.number("x4b_age_within_d") or 0.0
    return case.column("age_y").value is not None and days is not None and abs(days) <= within


def _body_evidence(case: Case, row: Any) -> tuple[Evidence, ...]:
    weight = Evidence("visits.weight_kg", row["weight_kg"], "kg", row["weight_dtc"], "visits")
    ages = [one for one in (case.column("age_y"), case.column("birth_year")) if one.value is not None]
    return (*([] if math.isnan(row["weight_kg"]) else [weight]), case.column("sex"), *ages)


def _missing_for_clearance(case: Case, row: Any) -> tuple[str, ...]:
    missing = ["visits.weight_kg"] if math.isnan(row["weight_kg"]) else []
    missing += ["subjects.sex"] if row["sex"] not in ("M", "F") else []
    if not missing or math.isnan(row["age_y"]):
        missing.append("subjects.age_y")
    return tuple(missing)


def transaminases(case: Case, criterion: Criterion) -> Verdict:
    """SX7b: ALT or AST above its multiple of the upper limit of normal of its own laboratory."""
    return hepatic(case, criterion, tests=("ALT", "AST"))


def hepatic(case: Case, criterion: Criterion, *, tests: tuple[str, ...] = ("ALT", "AST", "TBIL")) -> Verdict:
    """X4c: ALT, AST or bilirubin above its multiple of the upper limit of normal of its own laboratory."""
    readings = []
    for test in tests:
        limit = case.rules.number(f"x4c_{test.lower()}_uln") or 0.0
        readings.append(_ratio(case, criterion, test, limit))
    truth = any_of([one.truth for one in readings])
    decisive = [one for one in readings if one.truth is truth]
    first = decisive[0]
    return Verdict(
        when_present(truth), listed(one.said for one in decisive),
        value="" if math.isnan(first.value) else f"{first.value:.10g}", unit="x ULN", date=first.date,
        limit="; ".join(f"{test} <= {shown(case.rules.number(f'x4c_{test.lower()}_uln') or 0.0)} x ULN"
                        for test in tests),
        missing=tuple(one for part in decisive for one in part.missing) if truth is None else (),
        evidence=tuple(piece for one in readings for piece in one.evidence),
    )  # fmt: skip


def _ratio(case: Case, criterion: Criterion, test: str, limit: float) -> _Read:
    """The latest result of a test over its upper limit of normal; of simultaneous ones the highest decides."""
    name = f"labs.{test}"
    found = case.find(criterion, name)
    evidence = tuple(_lab_evidence(name, one) for one in found.latest)
    if found.why:
        return _Read(None, found.why, missing=(name,), evidence=evidence)
    single = [_single_ratio(case, one, test, limit) for one in found.latest]
    truth = any_of([one.truth for one in single])
    decisive = [one for one in single if one.truth is truth]
    first = max(decisive, key=lambda one: -math.inf if math.isnan(one.value) else one.value)
    missing = (name,) if truth is None else ()
    return _Read(truth, listed(one.said for one in decisive), value=first.value, date=first.date, missing=missing,
                 evidence=evidence)  # fmt: skip


def _single_ratio(case: Case, record: Record, test: str, limit: float) -> _Read:
    value, why = plausible_value(case, record, test)
    if why:
        return _Read(None, why, date=record.date)
    unit = record.text("unit")
    uln = lab_value(record.cells["uln"], unit, test)
    if math.isnan(uln):
        return _Read(None, f"{record.place}: {test} has no uln; enter the upper limit of normal of its own laboratory",
                     date=record.date)  # fmt: skip
    low, high = case.rules.plausible[test]["uln"]
    if not low <= uln <= high:
        why = f"{record.place}: uln {shown(uln)} {analysis_unit(test)} of {test} cannot be, check number and unit"
        return _Read(None, f"{why} ({low:g} to {high:g})", date=record.date)
    ratio = significant(value / uln)
    said = f"{test} {shown(ratio, limit)} x ULN on {record.date}, limit {shown(limit)}"
    return _Read(ratio > limit, said, value=ratio, date=record.date)


def plausible_value(case: Case, record: Record, test: str) -> tuple[float, str]:
    """A laboratory value in the unit of analysis, or why it cannot be used."""
    try:
        value = lab_value(record.cells["value"], record.text("unit"), test)
    except UnitError as error:
        return math.nan, f"{record.place}: {error.what}; {error.todo}"
    if math.isnan(value):
        return math.nan, f"{record.place}: the value of {test} is missing"
    low, high = case.rules.plausible[test]["value"]
    if low <= value <= high:
        return value, ""
    stated = f"{record.cells['value']:g} {record.text('unit')}"
    return math.nan, (
        f"{record.place}: {test} {stated} cannot be ({low:g} to {high:g} {analysis_unit(test)}); check number and unit"
    )


def _lab_evidence(name: str, record: Record) -> Evidence:
    value = record.cells["value"]
    more: dict[str, Any] = {"lab_id": record.text("lab_id")} if record.text("lab_id") else {}
    uln = record.cells["uln"]
    if not math.isnan(uln):
        more["uln"] = uln
    return Evidence(name, None if math.isnan(value) else value, record.text("unit"), record.date, record.place, more)
