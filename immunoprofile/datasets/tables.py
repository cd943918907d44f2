"""The tables of the synthetic study as rows, in the columns of the schema; the sample table is made with the files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from immunoprofile import schema
from immunoprofile.datasets import parameters as par
from immunoprofile.datasets import warts as wart_names
from immunoprofile.datasets.cohort import Cohort, FloatArray, generator
from immunoprofile.datasets.laboratory import BLOOD_COUNT, report, simulate_laboratory
from immunoprofile.datasets.people import Person, baseline_creatinine, courses
from immunoprofile.datasets.warts import Wart, cmv_text, find

Row = dict[str, object]

_ATTESTED_ABSENT: Final = (
    "other_active_infection", "bacteremia", "hbv_infection", "hcv_infection", "hiv_infection", "syphilis",
    "ebv_viremia", "il2_hypersensitivity", "heart_failure_nyha_3_4", "severe_comorbidity_blood",
    "severe_comorbidity_gastrointestinal", "severe_comorbidity_endocrine", "severe_comorbidity_pulmonary",
    "severe_comorbidity_neurologic", "malignancy", "uncontrolled_psychiatric_disorder",
)  # fmt: skip
UNSCHEDULED_DAY: Final = 10


def date(moment: datetime) -> str:
    """Day as ISO text."""
    return f"{moment:%Y-%m-%d}"


def minute(moment: datetime) -> str:
    """Day and time as ISO text."""
    return f"{moment:%Y-%m-%dT%H:%M}"


def write_table(folder: Path, name: str, rows: Iterable[Row]) -> None:
    """Write a table with all columns of the schema; None and what a row does not name stay empty.

    Raises
    ------
    ValueError
        A row names a column that the schema does not have.
    """
    columns = schema.TABLES[name].column_names
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="raise", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


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


def _cmv(persons: list[Person], warts: tuple[Wart, ...], cohort: Cohort) -> Iterator[Row]:
    laboratory_ways = any(wart.name == wart_names.CMV_NOTATION for wart in warts)
    for i, person in enumerate(persons):
        for j, visit in enumerate(par.VISIT_NAMES):
            kind = str(cohort.virology.kind[i, j])
            if kind == "MISSED" or not _came(warts, i, visit):
                continue
            value = float(cohort.virology.value[i, j])
            yield {
                "usubjid": person.usubjid, "visit": visit, "collected_dtc": minute(person.draws[j]),
                "result_raw": cmv_text(
                    kind, value, seed=cohort.seed, subject=i, visit=j, laboratory_ways=laboratory_ways
                ),
                "unit": par.CMV_UNIT, "assay_id": par.CMV_ASSAY, "specimen": par.CMV_SPECIMEN,
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


def _dosing(persons: list[Person], cohort: Cohort, results: dict[str, FloatArray]) -> dict[str, list[Row]]:
    doses: dict[str, list[Row]] = {}
    for i, person in enumerate(persons):
        rows = courses(person, baseline_creatinine(results, i), generator(cohort.seed, 11, i))
        doses[person.usubjid] = [
            {
                "usubjid": person.usubjid, "drug": row.drug, "dose": row.dose, "unit": row.unit, "freq": row.freq,
                "route": row.route, "start_dtc": minute(row.start), "end_dtc": minute(row.end),
                "doses_planned": row.planned, "doses_given": row.given,
            }
            for row in rows
        ]  # fmt: skip
    return doses


def _conmeds(persons: list[Person]) -> Iterator[Row]:
    for person in persons:
        since = date(person.day_one - timedelta(days=90))
        common: Row = {"usubjid": person.usubjid, "indication": person.diagnosis, "unit": "mg", "route": "PO",
                       "start_dtc": since, "ongoing": "Y"}  # fmt: skip
        yield common | {"drug": "prednisone", "atc": "H02AB07", "dose": person.prednisone_mg, "freq": "QD"}
        yield common | {"drug": "hydroxychloroquine", "atc": "P01BA02", "dose": 200.0, "freq": "BID"}
        if person.mycophenolate:
            yield common | {"drug": "mycophenolate mofetil", "atc": "L04AA06", "dose": 500.0, "freq": "BID"}


def _attestations(persons: list[Person]) -> Iterator[Row]:
    for person in persons:
        items = _ATTESTED_ABSENT if person.male else (*_ATTESTED_ABSENT, "pregnant_or_breastfeeding")
        for item in items:
            yield {"usubjid": person.usubjid, "item": item, "answer": "N", "author": f"INV{person.site}",
                   "dtc": date(person.day_one - timedelta(days=2))}  # fmt: skip


def _aes(persons: list[Person], cohort: Cohort) -> Iterator[Row]:
    for i, person in enumerate(persons):
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


def _functional(persons: list[Person], warts: tuple[Wart, ...], cohort: Cohort, flow: tuple[str, ...]) -> Iterator[Row]:
    for i, person in enumerate(persons):
        for visit in flow:
            j = par.VISIT_NAMES.index(visit)
            if _came(warts, i, visit):
                value = 100 * float(cohort.share["nk_cd107a"][i, j])
                yield {
                    "usubjid": person.usubjid, "visit": visit, "collected_dtc": minute(person.draws[j]),
                    "assay": "degranulation", "population": "nk", "stimulus": "K562", "readout": "CD107a",
                    "value": round(value, 1), "unit": "%",
                }  # fmt: skip


def _queries(persons: list[Person], warts: tuple[Wart, ...]) -> Iterator[Row]:
    for wart in warts:
        if wart.name == wart_names.MISSING_VISIT:
            person = persons[wart.subject]
            yield {"record": f"{person.usubjid} {wart.visit}", "question": "Why did the visit not take place?",
                   "owner": f"SITE{person.site}", "closed": "N"}  # fmt: skip


def write_tables(
    folder: Path, cohort: Cohort, persons: list[Person], *, warts: tuple[Wart, ...], flow: tuple[str, ...]
) -> None:
    """Write every table of the study except ``samples``."""
    results = simulate_laboratory(cohort, [person.male for person in persons])
    doses = _dosing(persons, cohort, results)
    tables: dict[str, Iterable[Row]] = {
        "subjects": _subjects(persons, doses),
        "visits": _visits(persons, warts, cohort),
        "cmv_dna": _cmv(persons, warts, cohort),
        "labs": _labs(persons, warts, results),
        "dosing": [row for person in persons for row in doses[person.usubjid]],
        "conmeds": _conmeds(persons),
        "attestations": _attestations(persons),
        "aes": _aes(persons, cohort),
        "functional": _functional(persons, warts, cohort, flow),
        "queries": _queries(persons, warts),
    }
    for name, rows in tables.items():
        write_table(folder, name, rows)
