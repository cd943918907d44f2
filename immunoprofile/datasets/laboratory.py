"""Safety laboratory of the synthetic trial: blood counts that agree with the cells, chemistry, limits of normal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from immunoprofile.datasets import parameters as par
from immunoprofile.datasets.cohort import Cohort, FloatArray, generator

ANALYSER_SD: Final = 0.04
"""Log-SD of a count of the haematology analyser."""
CREATININE_UMOL_PER_MG_DL: Final = 88.42
TWO_UNIT_SITE: Final = "02"
"""This site reports haemoglobin in g/dL and creatinine in mg/dL."""

# test -> unit, limits of normal of women and of men (adults, Chinese health standards WS/T 405-2012 and 404; to be
# confirmed by the laboratory of a real study)
_LIMITS: Final[dict[str, tuple[str, tuple[float, float], tuple[float, float]]]] = {
    "WBC": ("10^9/L", (3.5, 9.5), (3.5, 9.5)),
    "ANC": ("10^9/L", (1.8, 6.3), (1.8, 6.3)),
    "ALC": ("10^9/L", (1.1, 3.2), (1.1, 3.2)),
    "LYMPH_PCT": ("%", (20.0, 50.0), (20.0, 50.0)),
    "HGB": ("g/L", (115.0, 150.0), (130.0, 175.0)),
    "PLT": ("10^9/L", (125.0, 350.0), (125.0, 350.0)),
    "EOS": ("10^9/L", (0.02, 0.52), (0.02, 0.52)),
    "CREAT": ("umol/L", (41.0, 73.0), (57.0, 97.0)),
    "ALT": ("U/L", (7.0, 40.0), (9.0, 50.0)),
    "AST": ("U/L", (13.0, 35.0), (15.0, 40.0)),
    "TBIL": ("umol/L", (3.4, 20.5), (3.4, 20.5)),
}
BLOOD_COUNT: Final = ("WBC", "ANC", "ALC", "LYMPH_PCT", "HGB", "PLT", "EOS")
_DECIMALS: Final = {
    "WBC": 2, "ANC": 2, "ALC": 2, "LYMPH_PCT": 1, "HGB": 0, "PLT": 0, "EOS": 2, "CREAT": 0, "ALT": 0, "AST": 0,
    "TBIL": 1,
}  # fmt: skip


@dataclass(frozen=True)
class LabResult:
    """One result with its unit and limits."""

    test: str
    value: float
    unit: str
    lln: float
    uln: float


def simulate_laboratory(cohort: Cohort, male: list[bool]) -> dict[str, FloatArray]:
    """Results in the units of ``_LIMITS``, subjects x visits.

    White cells, neutrophils, lymphocytes and eosinophils follow the true cells with analyser noise; ganciclovir lowers
    platelets a little; liver and kidney stay where the trial admits patients.
    """
    rng = generator(cohort.seed, 8)
    n, v = cohort.n_subjects, len(par.VISIT_DAYS)
    men = np.array(male)[:, None]
    course = np.array([par.gcv_course(day) for day in par.VISIT_DAYS])

    def measured(cells: FloatArray) -> FloatArray:
        out: FloatArray = cells / 1000 * np.exp(ANALYSER_SD * rng.standard_normal(cells.shape))
        return out

    def around(median: float | FloatArray, between: float, within: float) -> FloatArray:
        logs = between * rng.standard_normal((n, 1)) + within * rng.standard_normal((n, v))
        out: FloatArray = median * np.exp(logs)
        return out

    results = {
        "ALC": measured(cohort.per_ul["lymphocytes"]),
        "ANC": measured(cohort.per_ul["neutrophils"]),
        "EOS": measured(cohort.per_ul["eosinophils"]),
    }
    results["WBC"] = results["ALC"] + results["ANC"] + results["EOS"] + measured(cohort.per_ul["monocytes"])
    results["LYMPH_PCT"] = 100 * results["ALC"] / results["WBC"]
    results["HGB"] = around(np.where(men, 128.0, 114.0), 0.10, 0.03)
    results["PLT"] = around(185.0, 0.28, 0.08) * 0.88**course
    results["CREAT"] = np.clip(around(np.where(men, 76.0, 60.0), 0.18, 0.06), 35, 130)
    results["ALT"] = np.clip(around(24.0, 0.35, 0.15), 7, 110)
    results["AST"] = np.clip(around(23.0, 0.28, 0.12), 10, 95)
    results["TBIL"] = np.clip(around(9.5, 0.28, 0.12), 3.0, 20.0)
    return results


def report(results: dict[str, FloatArray], subject: int, visit: int, *, male: bool, site: str) -> list[LabResult]:
    """Results of one draw, rounded, in the units of the site, with its limits of normal."""
    rows = []
    for test, (unit, women, men) in _LIMITS.items():
        low, high = men if male else women
        value, decimals = float(results[test][subject, visit]), _DECIMALS[test]
        if site == TWO_UNIT_SITE and test == "HGB":
            unit, value, low, high, decimals = "g/dL", value / 10, low / 10, high / 10, 1
        if site == TWO_UNIT_SITE and test == "CREAT":
            factor = CREATININE_UMOL_PER_MG_DL
            unit, decimals = "mg/dL", 2
            value, low, high = value / factor, round(low / factor, 2), round(high / factor, 2)
        rows.append(LabResult(test, round(value, decimals), unit, round(low, 2), round(high, 2)))
    return rows
