"""Hand-written tables of the clinical half for the made-up profile: what a report must show, number by number."""

from __future__ import annotations

from typing import Any

import pandas as pd

from immunoprofile import schema

FIRST = "IL2CMV-01-001"
SECOND = "IL2CMV-01-002"


def _frame(name: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> pd.DataFrame:
    spec = schema.RESULT_TABLES[name]
    frame = pd.DataFrame([{column: row.get(column, "") for column in columns} for row in rows], columns=list(columns))
    for column in spec.numbers:
        frame[column] = pd.to_numeric(frame[column].replace("", None)).astype("float64")
    for column in spec.flags:
        frame[column] = frame[column].replace("", None).astype("boolean")
    return frame


def _eligibility(subjects: list[str]) -> pd.DataFrame:
    criteria = {
        "I1": ("INCLUSION", "rheumatic disease by classification criteria"),
        "I2": ("INCLUSION", "CMV-DNA positive"),
        "X2f": ("EXCLUSION", "EBV infection"),
    }
    rows = []
    for number, subject in enumerate(subjects):
        for criterion, (kind, text) in criteria.items():
            state = "UNKNOWN" if criterion == "X2f" and number == 0 else "PASS"
            row = {"usubjid": subject, "profile": "seed", "criterion": criterion, "kind": kind, "text": text}
            overridden = {"override": "PASS", "override_by": "PI01"} if criterion == "X2f" and number == 1 else {}
            rows.append({**row, "state": "FAIL" if overridden else state, "rule_version": "1", **overridden})
    return _frame("eligibility", schema.ELIGIBILITY_COLUMNS, rows)


def make_tables(subjects: list[str], labs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tables of a results folder; ``labs`` gives the dates of the visits.

    Subject 1 at D14: neutrophils went from grade 0 to 3, platelets cannot be graded, clearance 87.7 mL/min, half of the
    label dose, 15 mg prednisone. Everything else is grade 0.
    """
    rows = []
    for lab in labs.to_dict("records"):
        special = lab["usubjid"] == subjects[0] and lab["visit"] == "D14"
        base = {name: lab[name] for name in ("usubjid", "visit", "collected_dtc", "lab_id", "test", "value", "unit")}
        base |= {"version": "CTCAE v5.0", "direction": "low", "on_treatment": lab["visit"] != "BL"}
        base |= {"grade": 0, "baseline_grade": 0, "grade_provisional": False, "treatment_emergent": False}
        base |= {"term": f"{lab['test']} changed"}
        if special and lab["test"] == "ANC":
            base |= {"term": "Neutrophil count decreased", "grade": 3, "treatment_emergent": True}
            base |= {"criterion_text": "below 1.0 to 0.5"}
        if special and lab["test"] == "PLT":
            base |= {"term": "Platelet count decreased", "grade": "", "reason": "no lower limit of normal"}
        rows.append(base)
    day = str(labs[(labs["usubjid"] == subjects[0]) & (labs["visit"] == "D14")]["collected_dtc"].iloc[0])
    lab_id = str(labs["lab_id"].iloc[0])
    first = subjects[0]
    return {
        "safety": _frame("safety", schema.GRADE_COLUMNS, rows),
        "clearance": _frame("clearance", schema.CLEARANCE_COLUMNS, [
            {"usubjid": first, "visit": "D14", "collected_dtc": day, "lab_id": lab_id, "crcl": 87.7336,
             "crcl_low": 87.7336, "crcl_high": 87.7336, "weight_kg": 57.9, "weight_kind": "actual", "unstable": False},
        ]),
        "dose_adequacy": _frame("dose_adequacy", schema.ADEQUACY_COLUMNS, [
            {"usubjid": first, "from_day": 0, "to_day": 20, "from_date": "2025-03-02", "to_date": "2025-03-22",
             "drug": "GCV", "phase": "INDUCTION", "crcl": 87.7, "label_dose": 10.0, "actual_dose": 5.0,
             "dose_unit": "mg/kg/24 h", "adequacy": 0.5, "adequacy_state": "UNDER", "pct_given": 100.0,
             "appropriately_dosed": "FALSE"},
        ]),
        "steroids": _frame("steroids", schema.STEROID_COLUMNS, [
            {"usubjid": first, "date": day, "ped_mg": 15.0, "ped_mg_kg": 0.259067, "ped_mg_at_least": 15.0,
             "ped_mg_kg_at_least": 0.259067, "pulse": False, "drugs": "prednisone"},
        ]),
        "safety_flags": _frame("safety_flags", schema.SAFETY_FLAG_COLUMNS, [
            {"usubjid": first, "visit": "D14", "date": day, "flag": "GCV_HAEM_LIMIT", "detail": "ANC 0.4 10^9/L"},
        ]),
        "virology_rules": _frame("virology_rules", schema.CMV_RULE_COLUMNS, []),
        "virology_kinetics": _frame("virology_kinetics", tuple(schema.CMV_KINETICS), []),
        "eligibility": _eligibility(subjects),
        "eligibility_overall": _frame("eligibility_overall", schema.ELIGIBILITY_OVERALL_COLUMNS, [
            {"usubjid": subject, "profile": "seed", "state": "INDETERMINATE" if number == 0 else "ELIGIBLE",
             "unknown": "X2f" if number == 0 else "", "rule_version": "1"}
            for number, subject in enumerate(subjects)
        ]),
        "safety_shift": _frame("safety_shift", schema.SHIFT_COLUMNS, [
            {"arm": arm, "term": "Neutrophil count decreased", "direction": "low", "baseline_grade": 0,
             "worst_grade": grade, "n_subjects": n, "n_incomplete": 0, "version": "CTCAE v5.0"}
            for arm, grade, n in (("GCV", 0, 4), ("GCV", 2, 1), ("IL2_GCV", 0, 5))
        ]),
        "safety_events": _frame("safety_events", schema.EVENT_RATE_COLUMNS, [
            {"arm": "IL2_GCV", "term": "Injection site reaction", "n_subjects": 5, "n_with_event": 4, "n_events": 6,
             "n_undated": 0, "exposure_days": 280, "events_per_100_days": 2.142857},
            {"arm": "GCV", "term": "Nausea", "n_subjects": 5, "n_with_event": 1, "n_events": 1, "n_undated": 0,
             "exposure_days": 280, "events_per_100_days": 0.357143},
        ]),
        "exposure": _frame("exposure", schema.EXPOSURE_COLUMNS, [
            {"usubjid": subject, "arm": "IL2_GCV" if number % 2 == 0 else "GCV", "drug": "GCV", "doses_planned": 28,
             "doses_given": 28 - number, "pct_given": 100 * (28 - number) / 28, "cumulative": 8000.0 + number,
             "cumulative_unit": "mg"}
            for number, subject in enumerate(subjects)
        ]),
    }  # fmt: skip
