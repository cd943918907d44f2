"""What was asked and tested before enrolment: statements of the investigator, infection serology, pregnancy test."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from immunoprofile.datasets import cases as case_names
from immunoprofile.datasets.cases import Case, case_of
from immunoprofile.datasets.people import Person
from immunoprofile.datasets.rows import Row, date

TESTED_BEFORE_D: Final = 3
STATED_BEFORE_D: Final = 2
MENOPAUSE_Y: Final = 52
"""From this age on the women of this study cannot become pregnant (own choice)."""
EBV_LLOQ: Final = 400.0

_ABSENT: Final = (
    "other_active_infection", "bacteremia", "il2_hypersensitivity", "heart_failure", "severe_comorbidity_blood",
    "severe_comorbidity_gastrointestinal", "severe_comorbidity_endocrine", "severe_comorbidity_pulmonary",
    "severe_comorbidity_neurologic", "malignancy", "uncontrolled_psychiatric_disorder",
)  # fmt: skip
_TESTS: Final = ("HBSAG", "ANTI_HBC", "ANTI_HCV", "HIV_AGAB", "TREPONEMAL")


def attestations(persons: list[Person]) -> Iterator[Row]:
    """Statements: nothing that excludes is there, a corticosteroid is taken."""
    for person in persons:
        answers = dict.fromkeys(_ABSENT, "N") | {"systemic_corticosteroid": "Y"}
        if not person.male:
            answers |= {"breastfeeding": "N", "childbearing_potential": "Y" if _can_be_pregnant(person) else "N"}
        for item, answer in answers.items():
            yield {"usubjid": person.usubjid, "item": item, "answer": answer, "author": f"INV{person.site}",
                   "dtc": date(person.day_one - timedelta(days=STATED_BEFORE_D))}  # fmt: skip


def screening_tests(persons: list[Person], cases: tuple[Case, ...]) -> Iterator[Row]:
    """Tests for hepatitis B and C, HIV, syphilis and EBV, and hCG of women who can become pregnant: all negative."""
    for i, person in enumerate(persons):
        common: Row = {"usubjid": person.usubjid, "lab_id": f"LAB{person.site}", "specimen": "serum", "result": "NEG",
                       "collected_dtc": date(person.day_one - timedelta(days=TESTED_BEFORE_D))}  # fmt: skip
        case = case_of(cases, i)
        for test in _TESTS:
            carrier = case == case_names.INELIGIBLE and test in ("HBSAG", "ANTI_HBC")
            yield common | {"test": test, "result": "POS" if carrier else "NEG"}
        if case == case_names.INELIGIBLE:
            yield common | {"test": "HBV_DNA", "result": "POS", "value": 2150.0, "unit": "IU/mL", "lloq": 20.0}
        if case != case_names.INDETERMINATE:
            yield common | {"test": "EBV_DNA", "specimen": "plasma", "unit": "IU/mL", "lloq": EBV_LLOQ}
        if _can_be_pregnant(person):
            yield common | {"test": "HCG"}


def _can_be_pregnant(person: Person) -> bool:
    return not person.male and person.age_y < MENOPAUSE_Y
