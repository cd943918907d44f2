"""The tables of the synthetic study as rows, in the columns of the schema; the sample table is made with the files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from immunoprofile.datasets import cases as case_names
from immunoprofile.datasets import parameters as par
from immunoprofile.datasets import warts as wart_names
from immunoprofile.datasets.cases import CMV_COURSES, PULSE, UNDERDOSED_CLEARANCE, UNDERDOSED_SHARE, Case, case_of
from immunoprofile.datasets.cohort import Cohort, FloatArray, generator
from immunoprofile.datasets.functional import functional
from immunoprofile.datasets.laboratory import BLOOD_COUNT, report, simulate_laboratory
from immunoprofile.datasets.people import Person, baseline_creatinine, courses, steady_creatinine
from immunoprofile.datasets.rows import Row, date, minute, write_table
from immunoprofile.datasets.screening import attestations, screening_tests
from immunoprofile.datasets.warts import Wart, cmv_text, find

UNSCHEDULED_DAY: Final = 10
GENOTYPED_AT: Final = "D28"
FOLLOW_UP_DAYS: Final = 63
"""Length of the follow-up for events, from the first ganciclovir: the window of W8."""


def _came(warts: tuple[Wart, ...], subject: int, visit: str) -> bool:
    return not find(warts, wart_names.MISSING_VISIT, subject, visit)


def _subjects(persons: list[Person], doses: dict[str, list[Row]]) -> Iterator[Row]:
    for person in persons:
        first = minute(person.first_dose)
        yield {
            "usubjid": person.usubjid, "subjid": person.usubjid.split("-")[2], "siteid": person.site,
            "arm": person.arm, "actual_arm": person.arm, "birth_year": person.day_one.year - person.age_y,
            "age_y": person.age_y, "sex": "M" if person.male else "F", "first_dose_dtc": first,
            "first_il2_dtc": first if person.treated else None, "first_gcv_dtc": first,
            "last_dose_dtc": max(str(row["end_dtc"]) for row in doses[person.usubjid]),
            "consent_dtc": date(person.day_one - timedelta(days=3)), "randomised_dtc": date(person.day_one),
            "dx": person.diagnosis, "dx_criteria_set": person.criteria, "dx_criteria_met": "Y",
            "cmv_igg_baseline": "POS",
        }  # fmt: skip


def _visits(persons: list[Person], warts: tuple[Wart, ...], cohort: Cohort) -> Iterator[Row]:
    for i, person in enumerate(persons):
        rng = generator(cohort.seed, 10, i)
        for j, visit in enumerate(par.VISIT_NAMES):
            weight, pressure, fever = rng.normal(0, 0.6), rng.normal(118, 9), rng.normal(36.7, 0.25)
            if not _came(warts, i, visit):
                yield {"usubjid": person.usubjid, "visit": visit, "occurred": "N", "reason_not_done": "MISSED"}
                continue
            yield {
                "usubjid": person.usubjid, "visit": visit, "start_dtc": date(person.draws[j]),
                "end_dtc": date(person.draws[j]), "occurred": "Y", "contact_mode": "on site",
                "weight_kg": round(person.weight_kg + (weight if j else 0.0), 1),
                "height_cm": person.height_cm if j == 0 else None, "sbp": round(pressure), "temp_c": round(fever, 1),
            }  # fmt: skip


def _cmv(persons: list[Person], warts: tuple[Wart, ...], cohort: Cohort, cases: tuple[Case, ...]) -> Iterator[Row]:
    laboratory_ways = any(wart.name == wart_names.CMV_NOTATION for wart in warts)
    for i, person in enumerate(persons):
        course = CMV_COURSES.get(case_of(cases, i))
        common: Row = {"usubjid": person.usubjid, "unit": par.CMV_UNIT, "assay_id": par.CMV_ASSAY,
                       "specimen": par.CMV_SPECIMEN}  # fmt: skip
        results = []
        for j, visit in enumerate(par.VISIT_NAMES):
            kind = str(cohort.virology.kind[i, j])
            if kind != "MISSED" and _came(warts, i, visit):
                results.append((person.draws[j], visit, j, kind, float(cohort.virology.value[i, j])))
        if course:
            for number, (day, (kind, value)) in enumerate(course.unscheduled.items(), start=len(par.VISIT_NAMES)):
                results.append((person.day_one + timedelta(days=day, hours=9), "", number, kind, value))
        for draw, visit, number, kind, value in sorted(results, key=lambda result: result[0]):
            text = cmv_text(kind, value, seed=cohort.seed, subject=i, visit=number, laboratory_ways=laboratory_ways)
            yield common | {
                "visit": visit, "collected_dtc": minute(draw), "result_raw": text,
                "genotype": course.genotype if course and visit == GENOTYPED_AT else None,
            }  # fmt: skip


def _labs(persons: list[Person], warts: tuple[Wart, ...], results: dict[str, FloatArray]) -> Iterator[Row]:
    for i, person in enumerate(persons):
        draws = [(visit, j, person.draws[j]) for j, visit in enumerate(par.VISIT_NAMES) if _came(warts, i, visit)]
        if find(warts, wart_names.UNSCHEDULED_CBC, i, ""):
            # a blood count between D7 and D14, with the cells of D7
            between = person.day_one + timedelta(days=UNSCHEDULED_DAY - 1, hours=9)
            draws.append(("", par.VISIT_NAMES.index("D7"), between))
        for visit, j, draw in sorted(draws, key=lambda item: item[2]):
            for result in report(results, i, j, male=person.male, site=person.site):
                if not visit and result.test not in BLOOD_COUNT:
                    continue
                yield {
                    "usubjid": person.usubjid, "visit": visit, "collected_dtc": minute(draw), "test": result.test,
                    "value": result.value, "unit": result.unit, "lln": result.lln, "uln": result.uln,
                    "lab_id": f"LAB{person.site}", "differential": "analyser" if result.test in BLOOD_COUNT else None,
                    "fasting": "Y" if visit else None,
                }  # fmt: skip


def _dosing(
    persons: list[Person], cohort: Cohort, results: dict[str, FloatArray], cases: tuple[Case, ...]
) -> dict[str, list[Row]]:
    doses: dict[str, list[Row]] = {}
    for i, person in enumerate(persons):
        share = UNDERDOSED_SHARE if case_of(cases, i) == case_names.UNDERDOSED else 1.0
        rng = generator(cohort.seed, 11, i)
        rows = courses(person, baseline_creatinine(results, i), rng, share_of_label=share)
        doses[person.usubjid] = [
            {
                "usubjid": person.usubjid, "drug": row.drug, "dose": row.dose, "unit": row.unit, "freq": row.freq,
                "route": row.route, "start_dtc": minute(row.start), "end_dtc": minute(row.end),
                "doses_planned": row.planned, "doses_given": row.given,
            }
            for row in rows
        ]  # fmt: skip
    return doses


def _conmeds(persons: list[Person], cases: tuple[Case, ...]) -> Iterator[Row]:
    for i, person in enumerate(persons):
        since = date(person.day_one - timedelta(days=90))
        common: Row = {"usubjid": person.usubjid, "indication": person.diagnosis, "unit": "mg", "route": "PO",
                       "start_dtc": since, "ongoing": "Y"}  # fmt: skip
        yield common | {"drug": "prednisone", "atc": "H02AB07", "dose": person.prednisone_mg, "freq": "QD"}
        yield common | {"drug": "hydroxychloroquine", "atc": "P01BA02", "dose": 200.0, "freq": "BID"}
        if person.mycophenolate:
            yield common | {"drug": "mycophenolate mofetil", "atc": "L04AA06", "dose": 500.0, "freq": "BID"}
        if case_of(cases, i) == case_names.REBOUND:
            drug, atc, dose, first, last = PULSE
            yield common | {
                "drug": drug, "atc": atc, "dose": dose, "freq": "QD", "route": "IV", "ongoing": "N",
                "start_dtc": date(person.day_one + timedelta(days=first)),
                "end_dtc": date(person.day_one + timedelta(days=last)),
            }  # fmt: skip


def _aes(persons: list[Person], cohort: Cohort, cases: tuple[Case, ...]) -> Iterator[Row]:
    for i, person in enumerate(persons):
        if case_of(cases, i) == case_names.NEUTROPENIA:
            found, over = (person.draws[par.VISIT_NAMES.index(visit)] for visit in ("D14", "D28"))
            yield {
                "usubjid": person.usubjid, "term": "Neutrophil count decreased", "grade": 3, "serious": "N",
                "related_il2": "N", "related_gcv": "Y", "start_dtc": date(found), "end_dtc": date(over),
            }  # fmt: skip
        rng = generator(cohort.seed, 12, i)
        terms = ("Injection site reaction", "Fever") if person.treated else ("Nausea",)
        for term, chance in zip(terms, (0.6, 0.25), strict=False):
            if rng.random() < chance:
                start = person.day_one + timedelta(days=int(rng.integers(1, 8)))
                yield {
                    "usubjid": person.usubjid, "term": term, "grade": 1, "serious": "N",
                    "related_il2": "Y" if person.treated else "N", "related_gcv": "N" if person.treated else "Y",
                    "start_dtc": date(start), "end_dtc": date(start + timedelta(days=3)),
                }  # fmt: skip


def _events(persons: list[Person]) -> Iterator[Row]:
    """Nobody died and nobody needed another antiviral; without these rows both would be unknown."""
    for person in persons:
        for paramcd, what in (("DEATH", "alive"), ("RESCUE", "no change of the antiviral for lack of effect")):
            yield {
                "usubjid": person.usubjid, "paramcd": paramcd, "start_dtc": date(person.first_dose),
                "left_day": FOLLOW_UP_DAYS, "censored": "Y", "description": f"{what} at the end of the follow-up",
            }  # fmt: skip


def _queries(persons: list[Person], warts: tuple[Wart, ...], cases: tuple[Case, ...]) -> Iterator[Row]:
    first, second = persons[0], persons[1]
    yield {
        "record": f"{first.usubjid} BL", "question": "Was blood drawn before the first dose?",
        "owner": f"SITE{first.site}", "closed": "Y",
        "answer": f"Yes: drawn at {first.draws[0]:%H:%M}, first dose at {first.first_dose:%H:%M}",
    }  # fmt: skip
    yield {
        "record": f"{second.usubjid} D14", "question": "Is the dose of prednisone at this visit still that of BL?",
        "owner": f"SITE{second.site}", "closed": "N",
    }  # fmt: skip
    for wart in warts:
        if wart.name == wart_names.MISSING_VISIT:
            person = persons[wart.subject]
            yield {"record": f"{person.usubjid} {wart.visit}", "question": "Why did the visit not take place?",
                   "owner": f"SITE{person.site}", "closed": "N"}  # fmt: skip
    for case in cases:
        if case.name == case_names.INDETERMINATE:
            person = persons[case.subject]
            yield {"record": f"{person.usubjid} BL", "question": "Was EBV-DNA measured at screening?",
                   "owner": f"SITE{person.site}", "closed": "N"}  # fmt: skip


def write_tables(
    folder: Path,
    cohort: Cohort,
    persons: list[Person],
    *,
    warts: tuple[Wart, ...],
    cases: tuple[Case, ...],
    flow: tuple[str, ...],
) -> None:
    """Write every table of the study except ``samples``; ``cohort`` has its cases in it."""
    results = simulate_laboratory(cohort, [person.male for person in persons])
    underdosed = {case.subject: UNDERDOSED_CLEARANCE for case in cases if case.name == case_names.UNDERDOSED}
    results["CREAT"] = steady_creatinine(results["CREAT"], persons, underdosed)
    doses = _dosing(persons, cohort, results, cases)
    held = [(i, visit) for i in range(len(persons)) for visit in flow if _came(warts, i, visit)]
    tables: dict[str, Iterable[Row]] = {
        "subjects": _subjects(persons, doses),
        "visits": _visits(persons, warts, cohort),
        "cmv_dna": _cmv(persons, warts, cohort, cases),
        "labs": _labs(persons, warts, results),
        "dosing": [row for person in persons for row in doses[person.usubjid]],
        "conmeds": _conmeds(persons, cases),
        "attestations": attestations(persons),
        "screening_tests": screening_tests(persons, cases),
        "aes": _aes(persons, cohort, cases),
        "events": _events(persons),
        "functional": functional(persons, cohort, held),
        "queries": _queries(persons, warts, cases),
    }
    for name, rows in tables.items():
        write_table(folder, name, rows)
