"""Named clinical cases of the synthetic study: patients whom the rules of eligibility, virology and safety must tell.

A case replaces what the model drew for one patient: results of CMV-DNA, neutrophils, creatinine, doses, screening. The
lymphocytes and the effect of IL-2 on them stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from immunoprofile.datasets import parameters as par
from immunoprofile.datasets.cohort import Cohort

INDETERMINATE: Final = "indeterminate"
INELIGIBLE: Final = "ineligible"
REFRACTORY: Final = "refractory"
CLEARED_WITH_BLIP: Final = "cleared_with_blip"
REBOUND: Final = "rebound"
LATE_ONSET: Final = "late_onset"
NEUTROPENIA: Final = "neutropenia_grade_3"
UNDERDOSED: Final = "underdosed_renal"

Reported = tuple[str, float]
"""Kind of a CMV-DNA result (QUANT, BLQ, TND) and its IU/mL (NaN unless QUANT)."""

_BLQ: Final[Reported] = ("BLQ", float("nan"))
_TND: Final[Reported] = ("TND", float("nan"))
_TRUE_BELOW: Final = {"BLQ": 110.0, "TND": 20.0}
"""IU/mL that stand in the truth for a result below the LLOQ: between LOD and LLOQ, and well below the LOD."""


def _quant(value: float) -> Reported:
    return "QUANT", value


@dataclass(frozen=True)
class CmvCourse:
    """CMV-DNA of a case: results at visits of the schedule, and between them (days from the first ganciclovir)."""

    scheduled: Mapping[str, Reported]
    unscheduled: Mapping[int, Reported] = field(default_factory=dict)
    genotype: str = ""
    """Resistance mutations found in the last result before W6."""


CMV_COURSES: Final[Mapping[str, CmvCourse]] = MappingProxyType(
    {
        # more than 1 log10 above the peak of week 1 after two weeks of label doses, and a mutation that explains it
        REFRACTORY: CmvCourse(
            {"BL": _quant(3200), "D7": _quant(5100), "D14": _quant(9800), "D21": _quant(41000), "D28": _quant(88000),
             "W6": _quant(61000), "W8": _quant(45000)},
            genotype="UL97 A594V",
        ),
        # one result above the LLOQ between two in which nothing was detected, the second within 7 days
        CLEARED_WITH_BLIP: CmvCourse(
            {"BL": _quant(6400), "D7": _quant(1900), "D14": _quant(310), "D21": _TND, "D28": _TND, "W6": _TND,
             "W8": _TND},
            {35: _quant(172)},
        ),
        # cleared, then quantified again and again at least 5 days apart
        REBOUND: CmvCourse(
            {"BL": _quant(8900), "D7": _quant(2400), "D14": _quant(420), "D21": _BLQ, "D28": _TND, "W6": _quant(690),
             "W8": _quant(3300)},
            {48: _quant(1450)},
        ),
        # cleared under treatment; returns more than 28 days after the last dose, still under surveillance
        LATE_ONSET: CmvCourse(
            {"BL": _quant(5200), "D7": _quant(1300), "D14": _quant(190), "D21": _TND, "D28": _TND, "W6": _TND,
             "W8": _TND},
            {76: _quant(640), 83: _quant(2100)},
        ),
    }
)  # fmt: skip

NEUTROPHILS: Final = {"D7": 1650.0, "D14": 760.0, "D21": 1280.0, "D28": 2050.0}
"""Cells/uL of the patient with neutropenia: grade 3 (0.5 to 1.0 x 10^9/L) at D14, recovering."""
UNDERDOSED_CLEARANCE: Final = 95.0
"""mL/min at baseline of the patient who gets half of the label dose."""
UNDERDOSED_SHARE: Final = 0.5
PULSE: Final = ("methylprednisolone", "H02AB04", 500.0, 33, 35)
"""Steroid pulse before the rebound: drug, ATC code, mg a day, first and last day from the first ganciclovir."""


@dataclass(frozen=True)
class Verdict:
    """What an engine must say of a patient: its table, the rule, criterion, term or flag, and the state."""

    table: str
    rule: str
    state: str


@dataclass(frozen=True)
class Case:
    """A named case: who it is (row of the subject), what must be said of it, and what was done to the tables."""

    name: str
    subject: int
    expected: tuple[Verdict, ...]
    note: str

    def rows(self, usubjid: list[str]) -> list[dict[str, str]]:
        """Rows of ``cases.csv`` of the hidden truth, one an expected verdict."""
        return [
            {"case": self.name, "usubjid": usubjid[self.subject], "table": one.table, "rule": one.rule,
             "expected": one.state, "note": self.note}
            for one in self.expected
        ]  # fmt: skip


def _virology(*rules: tuple[str, str]) -> tuple[Verdict, ...]:
    return tuple(Verdict("virology_rules", rule, state) for rule, state in rules)


# In the order in which a smaller study leaves the last ones out. Rows 0 and 3 can have the missing visit: their cases
# need only the baseline. Rows 8 and on stay without a case.
CASES: Final[tuple[Case, ...]] = (
    Case(
        INDETERMINATE, 0,
        (Verdict("eligibility", "X2f", "UNKNOWN"), Verdict("eligibility", "overall", "INDETERMINATE")),
        "EBV-DNA of screening is not in the tables",
    ),
    Case(
        REFRACTORY, 1,
        _virology(("refractory_2019", "TRUE"), ("resistant", "TRUE"), ("clearance_2", "FALSE")),
        "CMV-DNA rises 1.2 log10 above the peak of week 1 under label doses; UL97 mutation",
    ),
    Case(
        NEUTROPENIA, 2, (Verdict("safety", "Neutrophil count decreased", "3"),),
        "neutrophils below 1.0 x 10^9/L at D14, recovered at D28",
    ),
    Case(
        INELIGIBLE, 3,
        (Verdict("eligibility", "X2b", "FAIL"), Verdict("eligibility", "overall", "INELIGIBLE")),
        "HBsAg positive and HBV-DNA detected at screening: enrolled against the protocol",
    ),
    Case(
        CLEARED_WITH_BLIP, 4, _virology(("clearance_2", "TRUE"), ("blip", "TRUE"), ("rebound", "FALSE")),
        "172 IU/mL once on day 35, not detected before and after",
    ),
    Case(
        REBOUND, 5,
        (*_virology(("clearance_2", "TRUE"), ("rebound", "TRUE"), ("late_onset", "FALSE")),
         Verdict("flags", "STEROID_PULSE", "TRUE")),
        "cleared at D21; quantified from W6 on, after methylprednisolone 500 mg a day on days 33 to 35",
    ),
    Case(
        LATE_ONSET, 6, _virology(("clearance_2", "TRUE"), ("recurrence", "TRUE"), ("late_onset", "TRUE")),
        "CMV-DNA returns on day 76, 35 days after the last valganciclovir",
    ),
    Case(
        UNDERDOSED, 7, (Verdict("flags", "GCV_UNDERDOSED", "TRUE"),),
        "half of the label dose at a creatinine clearance of 95 mL/min",
    ),
)  # fmt: skip


def place_cases(subjects: int) -> tuple[Case, ...]:
    """Cases of a study: those whose patient exists."""
    return tuple(case for case in CASES if case.subject < subjects)


def case_of(cases: tuple[Case, ...], subject: int) -> str:
    """Name of the case of a subject row; empty without one."""
    return next((case.name for case in cases if case.subject == subject), "")


def with_cases(cohort: Cohort, cases: tuple[Case, ...]) -> Cohort:
    """Put CMV-DNA and neutrophils of the cases into a cohort; everything else is that of the cohort.

    The half-life of a patient with a course of CMV-DNA of its own is NaN, for the course does not follow the model.
    """
    virology = cohort.virology
    true, kind, value = virology.true_log10.copy(), virology.kind.copy(), virology.value.copy()
    half_life, hump, rebound = virology.half_life_d.copy(), virology.hump.copy(), virology.rebound.copy()
    per_ul = dict(cohort.per_ul)
    for case in cases:
        row = case.subject
        if course := CMV_COURSES.get(case.name):
            for visit, (result, iu_ml) in course.scheduled.items():
                column = par.VISIT_NAMES.index(visit)
                kind[row, column], value[row, column] = result, iu_ml
                true[row, column] = np.log10(_TRUE_BELOW.get(result, iu_ml))
            half_life[row], hump[row], rebound[row] = np.nan, False, case.name == REBOUND
        if case.name == NEUTROPENIA:
            neutrophils, leukocytes = per_ul["neutrophils"].copy(), per_ul["leukocytes"].copy()
            for visit, cells in NEUTROPHILS.items():
                column = par.VISIT_NAMES.index(visit)
                leukocytes[row, column] += cells - neutrophils[row, column]
                neutrophils[row, column] = cells
            per_ul |= {"neutrophils": neutrophils, "leukocytes": leukocytes}
    changed = replace(
        virology, true_log10=true, kind=kind, value=value, half_life_d=half_life, hump=hump, rebound=rebound
    )
    return replace(cohort, per_ul=per_ul, virology=changed)
