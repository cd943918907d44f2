"""Rows of the tables of the study, one function a table."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import pandas as pd

from immunoprofile import schema
from tests.fake_profile.trial import Patient

Rows = list[dict[str, Any]]
_LLOQ = math.log10(137)


def subject_row(patient: Patient, rng: np.random.Generator) -> dict[str, Any]:
    day = patient.day
    return {
        "usubjid": patient.subject, "arm": patient.arm, "age_y": int(rng.integers(22, 62)),
        "sex": "F" if rng.random() < 0.7 else "M",
        "first_il2_dtc": day(0) if patient.arm == "IL2_GCV" else None, "first_gcv_dtc": day(-1),
        "randomised_dtc": day(0), "first_dose_dtc": day(-1), "dx": "SLE", "death_dtc": None,
    }  # fmt: skip


def dosing_rows(patient: Patient) -> Rows:
    columns = ("drug", "dose", "unit", "freq", "route", "start_dtc", "end_dtc")
    doses = [
        ("GCV", 5.0, "mg/kg", "Q12H", "IV", patient.day(-1), patient.day(20)),
        ("VGCV", 900.0, "mg", "QD", "PO", patient.day(21), None),
    ]
    if patient.arm == "IL2_GCV":
        doses.append(("IL2", 1.0, "MIU", "QD", "SC", patient.day(0), patient.day(13)))
    return [{"usubjid": patient.subject} | dict(zip(columns, dose, strict=True)) for dose in doses]


def conmeds_row(patient: Patient) -> dict[str, Any]:
    return {
        "usubjid": patient.subject, "drug": "prednisone", "dose": 15.0, "unit": "mg", "freq": "QD",
        "start_dtc": patient.day(-60), "end_dtc": None, "ongoing": "Y",
    }  # fmt: skip


def cmv_rows(patient: Patient, rng: np.random.Generator) -> Rows:
    """CMV-DNA that falls by half in 3.5 or 5 days, results below the limit among it."""
    log10 = 3.9 + rng.normal(0, 0.5)
    half = 3.5 if patient.arm == "IL2_GCV" else 5.0
    base_day = -2
    visits = {base_day: "BL", 6: "D7", 13: "D14", 20: "UNS.01", 27: "D28", 41: "UNS.02", 55: "W8"}
    rows = []
    for offset, visit in visits.items():
        load = log10 - max(offset, 0) * 0.30103 / half + rng.normal(0, 0.15)
        kind = "QUANT" if load >= _LLOQ else "BLQ" if load > 1.2 else "TND"
        quant, later = kind == "QUANT", offset > 0
        raw = f"{10**load:.0f}" if quant else "<137" if kind == "BLQ" else "未检出"
        rows.append(
            {
                "usubjid": patient.subject, "visit": visit, "collected_dtc": patient.day(offset + 1),
                "virology_day": offset + 2, "assay_id": "cobas", "specimen": "plasma", "unit": "IU/mL",
                "result_raw": raw, "kind": kind, "value": 10**load if quant else math.nan,
                "log10_value": load if quant else math.nan, "log10_lower": load if quant else math.nan,
                "log10_upper": load if quant else _LLOQ, "lloq": 137.0, "lod": 91.0, "uloq": 9.1e6,
                "is_baseline": offset == base_day, "log10_drop": log10 - load if quant and later else math.nan,
                "log10_drop_lower": (log10 - load if quant else log10 - _LLOQ) if later else math.nan,
                "log10_drop_upper": log10 - load if quant and later else math.nan,
            }
        )  # fmt: skip
    return rows


def visit_row(patient: Patient, visit: str, study_day: int) -> dict[str, Any]:
    missed = patient.missed(visit)
    return {
        "usubjid": patient.subject, "visit": visit, "start_dtc": patient.day(study_day - 1),
        "occurred": "N" if missed else "Y", "reason_not_done": "MISSED" if missed else None, "weight_kg": 58.0,
    }  # fmt: skip


def lab_rows(patient: Patient, visit: str, study_day: int, rng: np.random.Generator, *, hostile: str) -> Rows:
    tests = (
        ("WBC", 3.4, "10^9/L", 4.0, 10.0), ("ANC", 1.9, "10^9/L", 2.0, 7.0), ("ALC", 0.85, "10^9/L", 1.1, 3.2),
        ("HGB", 108.0, "g/L", 115.0, 150.0), ("PLT", 180.0, "10^9/L", 125.0, 350.0),
        ("CREAT", 71.0, "umol/L", 45.0, 90.0), ("ALT", 33.0, "U/L", 7.0, 40.0),
    )  # fmt: skip
    return [
        {
            "usubjid": patient.subject, "visit": visit, "collected_dtc": patient.day(study_day - 1), "test": test,
            "value": round(value * math.exp(rng.normal(0, 0.12)), 2), "unit": unit, "lln": lln, "uln": uln,
            "lab_id": "LAB1" + hostile,
        }
        for test, value, unit, lln, uln in tests
    ]  # fmt: skip


def unscheduled_lab() -> dict[str, Any]:
    return {
        "usubjid": "IL2CMV-01-003", "visit": "UNS.01", "collected_dtc": "2025-03-31", "test": "PLT", "value": 66.0,
        "unit": "10^9/L", "lln": 125.0, "uln": 350.0, "lab_id": "LAB1",
    }  # fmt: skip


def sample_row(patient: Patient, visit: str, study_day: int, tube: str) -> dict[str, Any]:
    sample_id = f"S{patient.number + 1:03d}-{visit}-{tube}"
    path, drawn = f"fcs/site01/{sample_id}.fcs", patient.day(study_day - 1)
    rerun = patient.number == 8 and visit == "D14" and tube == "effector"
    return {
        "sample_id": sample_id, "usubjid": patient.subject, "visit": visit, "tube_id": tube,
        "panel_id": f"{tube}-v1", "role": "sample", "attempt": 2 if rerun else 1, "supersedes": None,
        "specimen_type": "WB_EDTA", "collected_dtc": drawn + "T08:30", "stained_dtc": drawn + "T11:00",
        "acquired_dtc": drawn + "T14:00", "instrument": "Lyric", "fcs_path": path,
        "sha256": hashlib.sha256(path.encode()).hexdigest(), "comp_source": "keyword",
        "beads_per_tube": math.nan if patient.no_beads(visit) or tube != "count" else 49650.0,
    }  # fmt: skip


def exceptions(hostile: str) -> pd.DataFrame:
    cut, rerun = "fcs/site01/S004-D7-effector.fcs", "fcs/site01/S009-D14-effector.fcs"
    rows = [
        ("intake", "warning", "VISIT_NOT_DONE", "visits", 14, "IL2CMV-01-003", "D28", None, None,
         "visit D28 did not take place: MISSED", "no row in visits.h5ad"),
        ("intake", "note", "UNSCHEDULED", "labs", 351, "IL2CMV-01-003", "UNS.01", None, None,
         "blood count outside the schedule", "kept as UNS.01"),
        ("gating", "error", "FCS_TRUNCATED", "samples", 48, "IL2CMV-01-004", "D7", "S004-D7-effector", cut,
         "data segment ends early" + hostile, "tube left out"),
        ("gating", "note", "RERUN", "samples", 120, "IL2CMV-01-009", "D14", "S009-D14-effector", rerun,
         "attempt 2 used, attempt 1 kept", "listed"),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(schema.EXCEPTION_COLUMNS))


def queries(hostile: str) -> pd.DataFrame:
    rows = [
        ("IL2CMV-01-001" + hostile + " D14", "Was the IL-2 dose given at 07:00?" + hostile, "site 01", None, "N"),
        ("S002-D14-treg", "Clog seen at the cytometer?", "lab", None, "N"),
        ("IL2CMV-01-002 BL", "Old question", "lab", "yes", "Y"),
    ]
    return pd.DataFrame(rows, columns=["record", "question", "owner", "answer", "closed"])
