"""Who the simulated patients are: demography, dates, doses and other drugs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import numpy as np

from immunoprofile.datasets import parameters as par
from immunoprofile.datasets.cohort import Cohort, FloatArray, generator
from immunoprofile.datasets.laboratory import CREATININE_UMOL_PER_MG_DL

FIRST_ENROLMENT: Final = datetime(2021, 3, 1)
ENROLMENT_INTERVAL_D: Final = 7
DOSE_HOUR: Final = 10
INDUCTION_DAYS: Final = 14
MAINTENANCE_LAST_DAY: Final = 42
BASELINE_FROM_BORDER: Final = 5.0
VISIT_FROM_BORDER: Final = 3.0
"""mL/min between a clearance and a limit of the label at which the dose changes: weight varies from visit to visit, and
laboratories round creatinine."""
LOWEST_CLEARANCE: Final = 45.0
"""mL/min at baseline: with what creatinine varies from day to day it stays above the limit of the trial, 30."""

# creatinine clearance (mL/min) from -> dose and interval; ganciclovir label table, intravenous induction
_GCV_INDUCTION: Final = ((70.0, 5.0, "Q12H", 28), (50.0, 2.5, "Q12H", 28), (25.0, 2.5, "QD", 14), (0.0, 1.25, "QD", 14))
# valganciclovir maintenance (half of the oral induction bands)
_VGCV_MAINTENANCE: Final = (
    (60.0, 900.0, "QD", 28), (40.0, 450.0, "QD", 28), (25.0, 450.0, "QOD", 14), (0.0, 450.0, "BIW", 8),
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """A patient."""

    usubjid: str
    site: str
    arm: str
    male: bool
    age_y: int
    weight_kg: float
    height_cm: float
    diagnosis: str
    criteria: str
    prednisone_mg: float
    mycophenolate: bool
    day_one: datetime
    draws: tuple[datetime, ...]
    """When blood is drawn at each visit of the schedule."""

    @property
    def treated(self) -> bool:
        """Whether the patient gets IL-2."""
        return self.arm == par.TREATED

    @property
    def first_dose(self) -> datetime:
        """First administration of either study drug."""
        return self.day_one.replace(hour=DOSE_HOUR)

    def hours_since_il2(self, draw: datetime) -> float | None:
        """Hours between the last IL-2 dose and a draw; None before the first dose and without IL-2."""
        if not self.treated or draw <= self.first_dose:
            return None
        last = self.first_dose + timedelta(days=par.IL2_LAST_DAY - 1)
        while last > draw:
            last -= timedelta(days=1)
        return round((draw - last).total_seconds() / 3600, 1)

    def creatinine_clearance(self, creatinine_umol_l: float) -> float:
        """Cockcroft-Gault, mL/min."""
        sex = 1.0 if self.male else 0.85
        mg_dl = creatinine_umol_l / CREATININE_UMOL_PER_MG_DL
        return (140 - self.age_y) * self.weight_kg * sex / (72 * mg_dl)


@dataclass(frozen=True)
class Course:
    """One row of the table of doses."""

    drug: str
    dose: float
    unit: str
    freq: str
    route: str
    start: datetime
    end: datetime
    planned: int
    given: int


def _draws(day_one: datetime, rng: np.random.Generator) -> tuple[datetime, ...]:
    moved = rng.choice([-1, 0, 0, 0, 1], size=len(par.VISIT_DAYS))
    minutes = rng.integers(0, 25, size=len(par.VISIT_DAYS))
    moved[0] = 0
    return tuple(
        day_one + timedelta(days=int(day - 1 + shift), hours=8, minutes=int(minute))
        for day, shift, minute in zip(par.VISIT_DAYS, moved, minutes, strict=True)
    )


def people(cohort: Cohort) -> list[Person]:
    """Patients of a cohort, enrolled one a week."""
    rng = generator(cohort.seed, 9)
    persons = []
    for i, usubjid in enumerate(cohort.usubjid):
        male = bool(rng.random() < 0.25)
        height = float(np.round(rng.normal(172 if male else 160, 6), 0))
        weight = float(np.round(np.clip(rng.normal(66 if male else 56, 7), 45, 80), 1))
        lupus = bool(rng.random() < 0.8)
        # stays below 1 mg/kg/d, the limit of the trial
        prednisone = float(min(5 * np.round(weight * rng.uniform(0.2, 0.8) / 5), 5 * (0.95 * weight // 5)))
        day_one = FIRST_ENROLMENT + timedelta(days=ENROLMENT_INTERVAL_D * i)
        persons.append(
            Person(
                usubjid, usubjid.split("-")[1], str(cohort.arm[i]), male, int(rng.integers(20, 61)), weight, height,
                "systemic lupus erythematosus" if lupus else "ANCA-associated vasculitis",
                "EULAR/ACR 2019" if lupus else "ACR/EULAR 2022", prednisone, bool(rng.random() < 0.3), day_one,
                _draws(day_one, rng),
            )
        )  # fmt: skip
    return persons


def steady_creatinine(
    creatinine: FloatArray, persons: list[Person], clearances: Mapping[int, float] = MappingProxyType({})
) -> FloatArray:
    """Creatinine (umol/L, subjects x visits) of patients whose label dose stays that of baseline.

    At baseline the clearance is at least ``LOWEST_CLEARANCE``, for the trial admits nobody with severe renal disease,
    and away from the limits of the label; ``clearances`` (subject row -> mL/min) gives patients another one. The visits
    keep their ratio to baseline, but a result whose clearance could need another dose is replaced by that of baseline:
    changes of dose are not simulated.
    """
    out = creatinine.copy()
    borders = np.array(sorted({band[0] for band in (*_GCV_INDUCTION, *_VGCV_MAINTENANCE)}))
    for i, person in enumerate(persons):
        baseline = person.creatinine_clearance(float(out[i, 0]))
        wanted = clearances.get(i, max(baseline, LOWEST_CLEARANCE))
        border = float(borders[np.abs(borders - wanted).argmin()])
        if abs(wanted - border) < BASELINE_FROM_BORDER:
            wanted = border + np.copysign(BASELINE_FROM_BORDER, wanted - border)
        out[i] *= baseline / wanted
        visits = np.array([person.creatinine_clearance(float(value)) for value in out[i]])
        moved = np.searchsorted(borders, visits, side="right") != np.searchsorted(borders, wanted, side="right")
        near = np.abs(visits[:, None] - borders).min(axis=1) < VISIT_FROM_BORDER
        out[i, moved | near] = out[i, 0]
    return out


def courses(
    person: Person, creatinine_umol_l: float, rng: np.random.Generator, *, share_of_label: float = 1.0
) -> list[Course]:
    """Doses of a patient: IL-2 for two weeks in its arm, ganciclovir induction, valganciclovir maintenance.

    ``share_of_label`` is what a patient gets of the label dose of the antivirals.
    """
    clearance = person.creatinine_clearance(creatinine_umol_l)
    start = person.first_dose

    def missed() -> int:
        return int(rng.binomial(2, 0.3))

    rows = []
    if person.treated:
        end = start + timedelta(days=par.IL2_LAST_DAY - 1)
        rows.append(Course("IL2", 1.0, "MIU", "QD", "SC", start, end, 14, 14))
    _, dose, freq, planned = next(band for band in _GCV_INDUCTION if clearance >= band[0])
    end = start + timedelta(days=INDUCTION_DAYS - 1, hours=12 if freq == "Q12H" else 0)
    rows.append(Course("GCV", dose * share_of_label, "mg/kg", freq, "IV", start, end, planned, planned - missed()))
    _, dose, freq, planned = next(band for band in _VGCV_MAINTENANCE if clearance >= band[0])
    oral = start + timedelta(days=INDUCTION_DAYS)
    end = start + timedelta(days=MAINTENANCE_LAST_DAY - 1)
    rows.append(Course("VGCV", dose * share_of_label, "mg", freq, "PO", oral, end, planned, planned - missed()))
    return rows


def baseline_creatinine(results: dict[str, FloatArray], subject: int) -> float:
    """Creatinine at baseline, umol/L."""
    return float(results["CREAT"][subject, 0])
