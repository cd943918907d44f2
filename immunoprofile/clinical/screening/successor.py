"""Criteria that only the successor trial has: age and weight within limits, consent, treatment before."""

from __future__ import annotations

from datetime import timedelta

from immunoprofile.clinical.body import age_at
from immunoprofile.clinical.screening.kleene import Truth, all_of, any_of, when_met, when_present
from immunoprofile.clinical.screening.records import Case, Evidence, Verdict, statement
from immunoprofile.clinical.screening.rules import Criterion
from immunoprofile.clinical.screening.wording import listed, shown
from immunoprofile.clinical.tables import day_of
from immunoprofile.clinical.units import significant
from immunoprofile.io.dates import days_between

_WEIGHT = "visits.weight_kg"


def age_between(case: Case, criterion: Criterion) -> Verdict:
    """S3: age within both limits; every age that the records leave open must be.

    The age at consent is that at the reference date when they are as near as for the clearance (x4b_age_within_d).
    """
    least, most = (case.rules.number(f"s3_{end}_age_y") or 0.0 for end in ("min", "max"))
    limit = f"{shown(least)} to {shown(most)} y"
    ages = tuple(one for one in (case.column("age_y"), case.column("birth_year")) if one.value is not None)
    age = age_at(case.subject, case.reference)
    if age.reason:
        needed = ("subjects.age_y",) if day_of(case.reference) else ("subjects.screening_dtc",)
        return Verdict("UNKNOWN", age.reason, unit="y", limit=limit, missing=needed, evidence=ages)
    apart = days_between(case.subject.get("consent_dtc"), case.reference)
    near = apart is not None and abs(apart) <= (case.rules.number("x4b_age_within_d") or 0.0)
    stated = case.subject["age_y"]
    low, high = (stated, stated) if near and stated >= 0 else (age.low, age.high)
    inside = {least <= one <= most for one in (low, high)}
    truth: Truth = inside.pop() if len(inside) == 1 else None
    said = f"age {low:g} y" if low == high else f"age {low:g} to {high:g} y"
    missing = ("subjects.age_y", "subjects.birth_year") if truth is None else ()
    return Verdict(when_met(truth), f"{said} on {case.reference[:10]}, limit {limit}", f"{age.value:g}", "y",
                   case.reference, limit, missing, ages)  # fmt: skip


def weight_between(case: Case, criterion: Criterion) -> Verdict:
    """S4: the latest weight within both limits."""
    least, most = (case.rules.number(f"s4_{end}_kg") or 0.0 for end in ("min", "max"))
    limit = f"{shown(least)} to {shown(most)} kg"
    found = case.find(criterion, _WEIGHT)
    weighed = [one for one in found.within if one.cells["weight_kg"] > 0]
    if found.why or not weighed:
        why = found.why or "no visit in the window has a weight"
        return Verdict("UNKNOWN", why, unit="kg", limit=limit, missing=(_WEIGHT,))
    day = weighed[-1].date[:10]
    last = [one for one in weighed if one.date[:10] == day]
    values = [one.cells["weight_kg"] for one in last]
    truth = all_of([least <= significant(value) <= most for value in values])
    evidence = tuple(
        Evidence(_WEIGHT, value, "kg", one.date, one.place) for value, one in zip(values, last, strict=True)
    )
    words = " and ".join(f"{shown(value)} kg" for value in dict.fromkeys(values))
    return Verdict(when_met(truth), f"{words} on {day}, limit {limit}", f"{values[0]:g}", "kg", day, limit,
                   evidence=evidence)  # fmt: skip


def consented(case: Case, criterion: Criterion) -> Verdict:
    """S6: consent on or before the reference date."""
    given = case.column("consent_dtc")
    days = days_between(given.value, case.reference)
    limit = "on or before the reference date"
    if given.value is None or days is None:
        why = "no date of consent" if given.value is None else f"consent {given.value}: the day is not known"
        return Verdict("UNKNOWN", why, limit=limit, missing=(given.name,), evidence=(given,))
    said = f"consent on {given.value}, reference date {case.reference[:10]}"
    return Verdict(when_met(days >= 0), said, str(given.value), date=str(given.value), limit=limit, evidence=(given,))


def treated_before(case: Case, criterion: Criterion) -> Verdict:
    """SX3 to SX5: a drug or procedure of conmeds in the days before, or a statement; neither of them is unknown."""
    record, stated = criterion.inputs
    window, last = criterion.lookback(record), day_of(case.reference)
    limit = "none before" if window is None else f"none within {window} d"
    if last is None:
        return Verdict("UNKNOWN", "there is no reference date", limit=limit, missing=(record, stated))
    first = "" if window is None else (last - timedelta(days=window)).isoformat()
    found: list[tuple[Truth, str, Evidence]] = []
    for row in case.confounders:
        truth = row.given_between(first, last.isoformat()) if row.agent in criterion.agents else False
        if truth is not False:
            drug, start, end = (row.cells[name] for name in ("drug", "start_dtc", "end_dtc"))
            unknown = "" if truth else ": whether it is such a drug within the window is not known"
            words = f"{drug}, {start or 'start unknown'} to {end or 'no end'}{unknown}"
            found.append((truth, words, Evidence(record, drug, "", start, f"conmeds row {row.row}")))
    answer = statement(case, criterion, stated)
    truth = any_of([*(one[0] for one in found), answer.truth])
    said = [one[1] for one in found if one[0] is truth]
    if answer.truth is truth:
        said.append(answer.why if truth is None else f"{stated.partition('.')[2]} stated {'Y' if truth else 'N'}")
    missing = (*((record,) if any(one[0] is None for one in found) else ()),
               *((stated,) if answer.truth is None else ())) if truth is None else ()  # fmt: skip
    evidence = (*(one[2] for one in found), *answer.evidence)
    return Verdict(when_present(truth), listed(said), value="" if truth is None else "Y" if truth else "N",
                   date=answer.date, limit=limit, missing=missing, evidence=evidence)  # fmt: skip
