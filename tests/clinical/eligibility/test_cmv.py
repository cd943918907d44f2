"""CMV-DNA at screening: detectable, and above or below the limit of a profile."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clinical.eligibility.eligible_study import (
    DRAW,
    Rows,
    changed,
    judge,
    row_of,
    state,
    woman,
)

# --- I2 and X1 ------------------------------------------------------------------------------------


def cmv(result: str, *, assay: str = "copies", date: str = DRAW) -> Rows:
    unit = "copies/mL" if assay in ("copies", "coarse") else "IU/mL"
    return changed("cmv_dna", result_raw=result, assay_id=assay, unit=unit, collected_dtc=date)


@pytest.mark.parametrize(
    ("result", "assay", "seed", "x1", "registry"),
    [
        ("5000", "copies", "PASS", "PASS", "PASS"),
        ("1000", "copies", "PASS", "PASS", "FAIL"),  # above 1000, strictly
        ("1000.001", "copies", "PASS", "PASS", "PASS"),
        ("820", "iu", "PASS", "PASS", "FAIL"),  # 820 / 0.82 = 1000 copies; in floats 1000.0000000000001
        ("821", "iu", "PASS", "PASS", "PASS"),
        ("5000", "iu_only", "PASS", "PASS", "UNKNOWN"),  # no factor: units are never mixed
        ("not detected", "copies", "FAIL", "FAIL", "FAIL"),
        ("not detected", "iu_only", "FAIL", "FAIL", "FAIL"),
        ("<500", "copies", "UNKNOWN", "UNKNOWN", "FAIL"),  # below 500 copies is not above 1000
        ("<2000", "coarse", "UNKNOWN", "UNKNOWN", "UNKNOWN"),
        ("<137", "iu_only", "UNKNOWN", "UNKNOWN", "UNKNOWN"),
        (">10,000,000", "copies", "PASS", "PASS", "PASS"),
        (">9,100,000", "iu_only", "PASS", "PASS", "UNKNOWN"),
    ],
)
def test_cmv_dna(result: str, assay: str, seed: str, x1: str, registry: str) -> None:
    rows = cmv(result, assay=assay)
    assert state(rows, "I2") == seed
    assert state(rows, "X1") == x1
    assert state(rows, "I2", profile="registry") == registry
    assert state(rows, "X1", profile="registry") == x1


@pytest.mark.parametrize(("setting", "expected"), [("pass", "PASS"), ("fail", "FAIL"), ("unknown", "UNKNOWN")])
def test_the_investigator_decides_on_results_below_the_limit(setting: str, expected: str) -> None:
    for criterion in ("I2", "X1"):
        row = judge(cmv("<500"), criterion, parameters={"i2_blq_counts": setting})
        assert row["state"] == expected
        assert f"i2_blq_counts={setting}" in row["rule_version"]
        assert row["missing"] == ("study.yaml i2_blq_counts" if setting == "unknown" else "")


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2024-03-08", "PASS"),  # 7 days before the first dose
        ("2024-03-07T23:59", "UNKNOWN"),  # 8 days
        ("2024-03-15", "PASS"),  # the day itself, no time of day
        ("2024-03-15T10:00", "PASS"),
        ("2024-03-15T10:01", "UNKNOWN"),  # after the dose
        ("2024-03-16", "UNKNOWN"),
        ("2024-03", "UNKNOWN"),  # may lie in the window, may not
        (None, "UNKNOWN"),
    ],
)
def test_window_of_cmv_dna(date: str | None, expected: str) -> None:
    rows = changed("cmv_dna", collected_dtc=date)
    assert state(rows, "I2") == state(rows, "X1") == expected


def test_the_latest_valid_result_counts() -> None:
    rows = woman()
    old = row_of(rows, "cmv_dna")
    for date, result, expected in (
        ("2024-03-15T08:00", "not detected", "FAIL"),
        ("2024-03-15T08:00", "haemolysed", "PASS"),  # the laboratory gave no answer: the result of the day before
        ("2024-03-15T08:00", "about 500", "UNKNOWN"),  # an answer that cannot be read
        ("2024-03-13", "not detected", "PASS"),  # older
        ("2024-03-14", "not detected", "FAIL"),  # of the same day, one without time: both must be positive
        ("2024-03-16", "not detected", "PASS"),  # after the first dose
        ("2024-03", "not detected", "UNKNOWN"),  # perhaps the latest
    ):
        rows["cmv_dna"] = [old, old | {"collected_dtc": date, "result_raw": result}]
        assert state(rows, "I2") == state(rows, "X1") == expected, (date, result)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"result_raw": "haemolysed"}, "no valid CMV-DNA result"),
        ({"assay_id": "other"}, "unknown assay 'other'; register it in study.yaml"),
        ({"unit": "IU/mL"}, "units are never mixed"),
        ({"specimen": "whole_blood"}, "registered for plasma"),
        ({"result_raw": "<100"}, "neither the LLOQ"),
        ({"result_raw": None}, "cmv_dna row 1: the result is missing"),
    ],
)
def test_cmv_results_that_cannot_be_used(cells: dict[str, Any], words: str) -> None:
    for profile in ("seed", "registry"):
        row = judge(changed("cmv_dna", **cells), "I2", profile=profile)
        assert (row["state"], row["missing"]) == ("UNKNOWN", "cmv_dna.result_raw")
        assert words in row["explanation"]
