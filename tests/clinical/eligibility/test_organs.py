"""Kidney and liver: clearance at its limit, liver tests against the limit of normal."""

from __future__ import annotations

from typing import Any

import pytest

from immunoprofile.clinical import cockcroft_gault
from tests.clinical.eligibility.eligible_study import (
    DRAW,
    Rows,
    changed,
    drop,
    judge,
    row_of,
    state,
    woman,
)

# --- X4b ------------------------------------------------------------------------------------------


def renal(*, age: int, sex: str, weight: float, creatinine: float, unit: str = "mg/dL", **subject: Any) -> Rows:
    rows = changed("subjects", age_y=age, sex=sex, **subject)
    row_of(rows, "visits")["weight_kg"] = weight
    row_of(rows, "labs", "CREAT").update(value=creatinine, unit=unit)
    return rows


@pytest.mark.parametrize(
    ("age", "sex", "weight", "creatinine", "unit", "expected", "value"),
    [
        (60, "M", 72.0, 1.0, "mg/dL", "PASS", 80.0),  # (140 - 60) x 72 / (72 x 1.0)
        (60, "F", 72.0, 1.0, "mg/dL", "PASS", 68.0),  # the same x 0.85
        (45, "F", 55.0, 180.0, "umol/L", "PASS", 30.3006),  # 180 / 88.42 = 2.0357 mg/dL
        (68, "M", 60.0, 2.0, "mg/dL", "FAIL", 30.0),  # (140 - 68) x 60 / (72 x 2) = 30: fails
        (68, "M", 60.02, 2.0, "mg/dL", "PASS", 30.01),
        (68, "M", 59.98, 2.0, "mg/dL", "FAIL", 29.99),
        (68, "M", 60.0, 176.84, "umol/L", "FAIL", 30.0),  # 2 mg/dL x 88.42
        (68, "M", 60.0, 176.83, "umol/L", "PASS", 30.0017),
    ],
)
def test_creatinine_clearance(
    age: int, sex: str, weight: float, creatinine: float, unit: str, expected: str, value: float
) -> None:
    rows = renal(age=age, sex=sex, weight=weight, creatinine=creatinine, unit=unit)
    row = judge(rows, "X4b")
    assert row["state"] == expected
    assert float(row["value"]) == pytest.approx(value, rel=1e-5)
    assert float(row["value"]) == pytest.approx(cockcroft_gault(age, weight, creatinine, sex=sex, unit=unit), rel=1e-9)
    assert (row["unit"], row["limit"], row["date"]) == ("mL/min", "> 30 mL/min", DRAW)


def test_the_explanation_can_be_read() -> None:
    rows = renal(age=68, sex="M", weight=56.8, creatinine=2.0)
    assert judge(rows, "X4b")["explanation"] == (
        f"X4b FAIL: creatinine clearance 28.4 mL/min on {DRAW}, limit 30"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("table", "cells", "missing"),
    [
        ("labs", {"value": None}, "labs.CREAT"),
        ("labs", {"unit": "mg/L"}, "labs.CREAT"),
        ("labs", {"unit": None}, "labs.CREAT"),
        ("labs", {"value": 0.9, "unit": "umol/L"}, "labs.CREAT"),  # mg/dL labelled umol/L
        ("labs", {"value": 80.0, "unit": "mg/dL"}, "labs.CREAT"),  # umol/L labelled mg/dL
        ("labs", {"collected_dtc": "2024-03-07"}, "labs.CREAT"),  # 8 d
        ("visits", {"weight_kg": None}, "visits.weight_kg"),
        ("visits", {"start_dtc": "2024-03-16"}, "visits.weight_kg"),  # not known at the first dose
        ("subjects", {"sex": None}, "subjects.sex"),
        ("subjects", {"age_y": None}, "subjects.age_y"),
        ("subjects", {"age_y": 17}, "subjects.age_y"),
    ],
)
def test_clearance_without_an_input(table: str, cells: dict[str, Any], missing: str) -> None:
    row = judge(changed(table, "CREAT" if table == "labs" else "", **cells), "X4b")
    assert (row["state"], row["missing"]) == ("UNKNOWN", missing), row["explanation"]


def test_window_of_creatinine() -> None:
    assert state(changed("labs", "CREAT", collected_dtc="2024-03-08"), "X4b") == "PASS"
    rows = renal(age=68, sex="M", weight=60.02, creatinine=2.0)
    rows["labs"].append(row_of(rows, "labs", "CREAT") | {"value": 2.1, "lab_id": "L2"})
    assert state(rows, "X4b") == "FAIL"  # simultaneous: the lower clearance decides
    rows["labs"][-1]["collected_dtc"] = "2024-03-13"
    assert state(rows, "X4b") == "PASS"


def test_an_age_that_decides_must_be_known() -> None:
    # 45 y give 30.30 mL/min, 46 y give 29.98.
    near = {"age": 45, "sex": "F", "weight": 55.0, "creatinine": 180.0, "unit": "umol/L"}
    assert state(renal(**near, consent_dtc="2024-03-10"), "X4b") == "PASS"  # type: ignore[arg-type]
    row = judge(renal(**near, consent_dtc="2023-10-10"), "X4b")  # type: ignore[arg-type]
    assert row["state"] == "UNKNOWN"
    assert "29.98 to 30.30 mL/min, age 45 to 46 y" in row["explanation"]
    # Born 1979, so 45 only from a birthday in 2024: with 45 at consent the age is exact.
    assert state(renal(**near, consent_dtc="2024-01-10", birth_year=1979), "X4b") == "PASS"  # type: ignore[arg-type]
    rows = renal(**near, birth_year=1978)  # type: ignore[arg-type]
    row_of(rows, "subjects")["age_y"] = None
    assert state(rows, "X4b") == "UNKNOWN"


def test_unstable_creatinine_is_told() -> None:
    rows = woman()
    rows["labs"].append(row_of(rows, "labs", "CREAT") | {"collected_dtc": "2024-03-12T08:00", "value": 45.0})
    assert "unreliable: creatinine changed by more than 50 % within 48 h" in judge(rows, "X4b")["explanation"]


# --- X4c ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "value", "uln", "expected"),
    [
        ("ALT", 120.0, 40.0, "PASS"),  # exactly 3 x ULN
        ("ALT", 120.01, 40.0, "FAIL"),
        ("ALT", 119.99, 40.0, "PASS"),
        ("AST", 105.3, 35.1, "PASS"),  # 105.3 / 35.1 = 3, in floats 2.9999999999999996
        ("AST", 105.9, 35.3, "PASS"),  # 3, in floats 3.0000000000000004
        ("AST", 106.0, 35.3, "FAIL"),
        ("TBIL", 20.0, 20.0, "PASS"),  # exactly ULN
        ("TBIL", 20.01, 20.0, "FAIL"),
        ("ALT", 121.0, None, "UNKNOWN"),
        ("ALT", None, 40.0, "UNKNOWN"),
        ("ALT", 30.0, 0.67, "UNKNOWN"),  # the limit in ukat/L
        ("TBIL", 0.8, 1.2, "UNKNOWN"),  # mg/dL labelled umol/L
    ],
)
def test_liver(test: str, value: float | None, uln: float | None, expected: str) -> None:
    row = judge(changed("labs", test, value=value, uln=uln), "X4c")
    assert (row["state"], row["missing"]) == (expected, f"labs.{test}" if expected == "UNKNOWN" else "")


def test_liver_units() -> None:
    assert state(changed("labs", "TBIL", value=1.2, uln=1.2, unit="mg/dL"), "X4c") == "PASS"
    assert state(changed("labs", "TBIL", value=1.21, uln=1.2, unit="mg/dL"), "X4c") == "FAIL"
    assert state(changed("labs", "ALT", value=2.01, uln=0.67, unit="ukat/L"), "X4c") == "PASS"
    assert state(changed("labs", "ALT", value=2.02, uln=0.67, unit="ukat/L"), "X4c") == "FAIL"
    row = judge(changed("labs", "ALT", unit="nkat/L"), "X4c")
    assert row["state"] == "UNKNOWN"
    assert "labs row 2: 'nkat/L' is no unit of ALT; one of: U/L, IU/L, ukat/L" in row["explanation"]


def test_one_that_fails_decides_whatever_is_missing() -> None:
    rows = drop(changed("labs", "AST", value=200.0), "labs", "ALT")
    row = judge(rows, "X4c")
    assert (row["state"], row["missing"]) == ("FAIL", "")
    assert row["explanation"] == f"X4c FAIL: AST 5 x ULN on {DRAW}, limit 3"
    assert state(drop(woman(), "labs", "ALT"), "X4c") == "UNKNOWN"


def test_the_limit_of_normal_is_that_of_the_same_result() -> None:
    rows = changed("labs", "ALT", uln=None)
    rows["labs"].append(row_of(rows, "labs", "ALT") | {"uln": 40.0, "collected_dtc": "2024-03-10", "lab_id": "L2"})
    row = judge(rows, "X4c")
    assert row["state"] == "UNKNOWN"
    assert "labs row 2: ALT has no uln" in row["explanation"]
