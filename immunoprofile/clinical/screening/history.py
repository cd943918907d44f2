"""I1, X2g, X3, X4d, X5, X6, X7 and the age check: diagnosis, statements of the investigator, history, pregnancy."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import date

from immunoprofile.clinical.body import age_at
from immunoprofile.clinical.courses import day_span
from immunoprofile.clinical.screening.infections import read_test
from immunoprofile.clinical.screening.kleene import Truth, all_of, any_of, negated, when_met, when_present
from immunoprofile.clinical.screening.records import Case, Evidence, Record, Verdict, statement
from immunoprofile.clinical.screening.rules import Criterion
from immunoprofile.clinical.screening.wording import listed, shown
from immunoprofile.clinical.tables import day_of

_ICD10 = re.compile(r"[a-z]\d{2}(\.?\w{1,4})?")
_LAST_FEBRUARY = (2, 28)


def rheumatic_disease(case: Case, criterion: Criterion) -> Verdict:
    """I1 and S1: a listed diagnosis that meets named classification criteria."""
    diagnosis, name, met = (case.column(one) for one in ("dx", "dx_criteria_set", "dx_criteria_met"))
    listed_in = f"{criterion.id.lower()}_diagnoses"
    known = list(case.rules.parameters[listed_in])
    listed_dx: Truth = None if diagnosis.value is None else is_listed(str(diagnosis.value), known)
    fulfilled: Truth = {"Y": True, "N": False}.get(str(met.value))
    truth = all_of([listed_dx, None if name.value is None else True, fulfilled])
    texts = [f"{diagnosis.value or 'diagnosis missing'}, {name.value or 'criteria set missing'}"]
    texts.append({True: "criteria met", False: "criteria not met", None: "criteria met: unknown"}[fulfilled])
    if listed_dx is False:
        texts.append(f"the diagnosis is not in {listed_in} of the study")
    missing = [one.name for one in (diagnosis, name) if one.value is None]
    missing += [met.name] if fulfilled is None else []
    return Verdict(when_met(truth), listed(texts), value=str(diagnosis.value or ""), limit="criteria met",
                   missing=tuple(missing) if truth is None else (), evidence=(diagnosis, name, met))  # fmt: skip


def is_listed(diagnosis: str, known: list[str]) -> bool:
    """Whether a diagnosis is one of a list, by name (case, blanks and accents do not matter) or by ICD-10 code."""
    plain = _plain(diagnosis)
    names = [_plain(one) for one in known]
    if _ICD10.fullmatch(plain):
        return any(plain.startswith(one) for one in names if _ICD10.fullmatch(one))
    return plain in names


def _plain(text: str) -> str:
    """Lower case without accents; one blank for blanks and hyphens."""
    letters = unicodedata.normalize("NFKD", text).casefold().replace("’", "'")
    return re.sub(r"[\s_-]+", " ", "".join(one for one in letters if not unicodedata.combining(one))).strip()


def stated(case: Case, criterion: Criterion) -> Verdict:
    """Statements of the investigator: any Y fails, all N pass."""
    said = [statement(case, criterion, name) for name in criterion.inputs]
    truth = any_of([one.truth for one in said])
    decisive = [one for one in said if one.truth is truth]
    if truth is None:
        because = listed(one.why for one in decisive)
    else:
        items = ", ".join(one.name.partition(".")[2] for one in decisive)
        dates = " and ".join(dict.fromkeys(one.date for one in decisive))
        because = f"{items} stated {'Y' if truth else 'N'} on {dates}"
    return Verdict(
        when_present(truth), because, value="" if truth is None else "Y" if truth else "N",
        date=max(one.date for one in decisive), limit="N",
        missing=tuple(one.name for one in decisive) if truth is None else (),
        evidence=tuple(piece for one in said for piece in one.evidence),
    )  # fmt: skip


def malignancy(case: Case, criterion: Criterion) -> Verdict:
    """X5: a malignancy that is active or was within the years of the study, unless its subtype is spared."""
    name = "attestations.malignancy"
    said = statement(case, criterion, name)
    years = case.rules.number("x5_years")
    spared = [_plain(one) for one in case.rules.parameters["x5_ignored_subtypes"]]
    limit = "none" if years is None else f"none within {shown(years)} y"
    entries = [one for one in case.tables.get("medical_history", ()) if one.text("category") == "MALIGNANCY"]
    judged = [_judge_malignancy(one, case.reference, years, spared) for one in entries]
    answer, why = said.truth, said.why
    if said.truth and entries:
        answer = False  # The entries are the malignancies that the statement is about.
    elif said.truth and (years is not None or spared):
        answer, why = None, "malignancy stated Y without a row in medical_history (subtype, active, last_active_dtc)"
    truth = any_of([*(one[0] for one in judged), answer])
    texts = [one[1] for one in judged if truth is False or one[0] is truth]
    if not entries and said.truth is not None and answer is not None:
        texts.append(f"malignancy stated {'Y' if said.truth else 'N'} on {said.date}")
    if truth is None and answer is None:
        texts.append(why)
    missing = []
    if truth is None:
        missing += [name] if said.truth is None else []
        missing += ["medical_history.MALIGNANCY"] if None in [one[0] for one in judged] or not missing else []
    evidence = tuple(
        Evidence("medical_history.MALIGNANCY", one.text("term"), "", one.text("last_active_dtc"), one.place,
                 {"subtype": one.text("subtype"), "active": one.cells["active"]})
        for one in entries
    )  # fmt: skip
    value = "; ".join(one.text("term") for one in entries) or ("" if said.truth is None else "Y" if said.truth else "N")
    return Verdict(when_present(truth), listed(texts), value=value, date=said.date, limit=limit,
                   missing=tuple(missing), evidence=(*said.evidence, *evidence))  # fmt: skip


def _judge_malignancy(record: Record, reference: str, years: float | None, spared: list[str]) -> tuple[Truth, str]:
    """Whether an entry excludes, and what to say of it."""
    term, subtype = record.text("term"), record.text("subtype")
    spares: Truth = False if not spared else None if not subtype else _plain(subtype) in spared
    recent, when = _within_years(record, reference, years)
    truth = all_of([negated(spares), recent])
    said = f"{term}{f' ({subtype})' if subtype else ''}: {when}"
    if spares:
        said += ", spared by x5_ignored_subtypes"
    elif spares is None and truth is None:
        said += f"; {record.place} has no subtype"
    return truth, said


def _within_years(record: Record, reference: str, years: float | None) -> tuple[Truth, str]:
    """Whether a malignancy is active or was so within the years before the reference date."""
    active = record.cells["active"]
    text = record.text("last_active_dtc")
    if active:
        return True, "active"
    if years is None:
        return True, f"last active {text or 'not known'}, any history excludes"
    low, high = day_span(text)
    today = day_of(reference)
    if low is None or high is None or today is None:
        return None, f"{record.place} has no last_active_dtc"
    ends = [_years_after(one, years) >= today for one in (low, high)]
    said = f"last active {text}"
    if ends[0] != ends[1]:
        return None, f"{said}: the day decides, and is not known"
    if not ends[0] and active is None:
        return None, f"{said}; {record.place} does not say whether it is active"
    return ends[0], said


def _years_after(day: date, years: float) -> date:
    """The day so many years later; a part of a year counts as 365.25 days each year, 29 February becomes the 28th."""
    whole = math.floor(years)
    try:
        moved = day.replace(year=day.year + whole)
    except ValueError:
        moved = date(day.year + whole, *_LAST_FEBRUARY)
    return date.fromordinal(moved.toordinal() + math.floor((years - whole) * 365.25))


def pregnancy(case: Case, criterion: Criterion) -> Verdict:
    """X7: hCG positive or breastfeeding, in women who can be."""
    sex = case.column("sex")
    if sex.value == "M":
        return Verdict("NOT_APPLICABLE", "man", "M", limit="not pregnant, not breastfeeding", evidence=(sex,))
    test = read_test(case, criterion, "screening_tests.HCG")
    feeding = statement(case, criterion, "attestations.breastfeeding")
    potential = statement(case, criterion, "attestations.childbearing_potential")
    evidence = (sex, *test.evidence, *feeding.evidence, *potential.evidence)
    limit = "not pregnant, not breastfeeding"
    stated_feeding = f"breastfeeding stated {'Y' if feeding.truth else 'N'} on {feeding.date}"
    if sex.value != "F":
        return Verdict("UNKNOWN", "sex is missing", limit=limit, missing=("subjects.sex",), evidence=evidence)
    if test.truth or feeding.truth:
        texts = [test.said if test.truth else "", stated_feeding if feeding.truth else ""]
        return Verdict("FAIL", listed(texts), test.result if test.truth else "Y", "",
                       test.date if test.truth else feeding.date, limit, evidence=evidence)  # fmt: skip
    if potential.truth is False:
        said = f"postmenopausal or sterile (childbearing potential stated N on {potential.date})"
        return Verdict("NOT_APPLICABLE", said, "N", date=potential.date, limit=limit, evidence=evidence)
    texts = [test.said, feeding.why if feeding.truth is None else stated_feeding]
    missing = [test.name] if test.truth is None else []
    missing += [feeding.name] if feeding.truth is None else []
    return Verdict(when_present(None if missing else False), listed(texts), test.result, "", test.date, limit,
                   missing=tuple(missing), evidence=evidence)  # fmt: skip


def adult(case: Case, criterion: Criterion) -> Verdict:
    """A1: age at the reference date, a warning only."""
    least = case.rules.number("a1_min_age_y")
    ages = tuple(one for one in (case.column("age_y"), case.column("birth_year")) if one.value is not None)
    if least is None:
        return Verdict("NOT_APPLICABLE", "the study sets no a1_min_age_y", evidence=ages)
    limit = f">= {shown(least)} y"
    age = age_at(case.subject, case.reference)
    if age.reason:
        needed = ("subjects.age_y",) if day_of(case.reference) else ("subjects.screening_dtc",)
        return Verdict("UNKNOWN", age.reason, unit="y", limit=limit, missing=needed, evidence=ages)
    low, high = age.low >= least, age.high >= least
    truth: Truth = low if low == high else None
    said = f"age {age.low:g} y" if age.low == age.high else f"age {age.low:g} to {age.high:g} y"
    missing = ("subjects.age_y", "subjects.birth_year") if truth is None else ()
    return Verdict(when_met(truth), f"{said} on {case.reference[:10]}", f"{age.value:g}", "y", case.reference, limit,
                   missing, ages)  # fmt: skip
