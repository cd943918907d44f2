"""Infections that exclude: serology, EBV, cultures and what was not tested."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clinical.eligibility.eligible_study import (
    add_statement,
    add_test,
    changed,
    drop,
    judge,
    state,
    woman,
)

# --- X2 -------------------------------------------------------------------------------------------

INFECTIONS: list[tuple[str, dict[str, str | None], str, str]] = [
    # criterion, results, state, missing
    ("X2b", {}, "PASS", ""),
    ("X2b", {"HBSAG": "POS"}, "FAIL", ""),
    ("X2b", {"HBSAG": None}, "UNKNOWN", "HBSAG"),
    ("X2b", {"HBSAG": "IND"}, "UNKNOWN", "HBSAG"),
    ("X2b", {"HBSAG": None, "HBV_DNA": "POS"}, "FAIL", ""),
    ("X2b", {"HBV_DNA": "BLQ"}, "FAIL", ""),
    ("X2b", {"HBV_DNA": None}, "UNKNOWN", "HBV_DNA"),
    ("X2b", {"ANTI_HBC": "POS"}, "UNKNOWN", "HBV_DNA"),
    ("X2b", {"ANTI_HBC": "POS", "HBV_DNA": "NEG"}, "PASS", ""),
    ("X2b", {"ANTI_HBC": "POS", "HBV_DNA": "POS"}, "FAIL", ""),
    ("X2b", {"ANTI_HBC": None}, "UNKNOWN", "ANTI_HBC; screening_tests.HBV_DNA"),
    ("X2b", {"ANTI_HBC": None, "HBV_DNA": "NEG"}, "PASS", ""),
    ("X2c", {}, "PASS", ""),
    ("X2c", {"HCV_RNA": "NEG"}, "PASS", ""),
    ("X2c", {"HCV_RNA": "POS"}, "FAIL", ""),
    ("X2c", {"ANTI_HCV": "POS"}, "UNKNOWN", "HCV_RNA"),
    ("X2c", {"ANTI_HCV": "POS", "HCV_RNA": "POS"}, "FAIL", ""),
    ("X2c", {"ANTI_HCV": "POS", "HCV_RNA": "NEG"}, "PASS", ""),
    ("X2c", {"ANTI_HCV": None, "HCV_RNA": "NEG"}, "UNKNOWN", "ANTI_HCV"),
    ("X2d", {}, "PASS", ""),
    ("X2d", {"HIV_AGAB": "POS"}, "FAIL", ""),
    ("X2d", {"HIV_RNA": "POS"}, "FAIL", ""),
    ("X2d", {"HIV_AGAB": None}, "UNKNOWN", "HIV_AGAB"),
    ("X2d", {"HIV_AGAB": None, "HIV_RNA": "NEG"}, "UNKNOWN", "HIV_AGAB"),
    ("X2e", {}, "PASS", ""),
    ("X2e", {"RPR": "POS"}, "PASS", ""),
    ("X2e", {"TREPONEMAL": None}, "UNKNOWN", "TREPONEMAL"),
    ("X2e", {"TREPONEMAL": "POS"}, "UNKNOWN", "RPR"),
    ("X2e", {"TREPONEMAL": "POS", "RPR": "POS"}, "FAIL", ""),
    ("X2e", {"TREPONEMAL": "POS", "RPR": "NEG"}, "UNKNOWN", "attestations.syphilis_treated"),
    ("X2f", {}, "PASS", ""),
    ("X2f", {"EBV_DNA": "BLQ"}, "PASS", ""),
    ("X2f", {"EBV_DNA": None}, "UNKNOWN", "EBV_DNA"),
    ("X2f", {"EBV_DNA": "POS"}, "UNKNOWN", "EBV_DNA"),
]


@pytest.mark.parametrize(("criterion", "results", "expected", "missing"), INFECTIONS)
def test_infections(criterion: str, results: dict[str, str | None], expected: str, missing: str) -> None:
    rows = woman()
    for test, result in results.items():
        add_test(rows, test, result)
    row = judge(rows, criterion)
    wanted = missing if not missing or "." in missing.split(";")[0] else f"screening_tests.{missing}"
    assert (row["state"], row["missing"]) == (expected, wanted), row["explanation"]
    assert judge(rows, "X2")["state"] == expected


@pytest.mark.parametrize(
    ("criterion", "test"),
    [("X2b", "HBSAG"), ("X2b", "ANTI_HBC"), ("X2c", "ANTI_HCV"), ("X2d", "HIV_AGAB"), ("X2e", "TREPONEMAL"),
     ("X2f", "EBV_DNA")],
)  # fmt: skip
def test_a_test_that_was_not_done_or_is_too_old(criterion: str, test: str) -> None:
    for date, expected in (("2024-03-01", "PASS"), ("2024-02-29", "UNKNOWN"), ("2024-03-16", "UNKNOWN")):
        assert state(changed("screening_tests", test, collected_dtc=date), criterion) == expected
    assert state(changed("screening_tests", test, result="INVALID"), criterion) == "UNKNOWN"
    rows = drop(woman(), "screening_tests", test)
    assert state(rows, criterion) == state(rows, "X2") == "UNKNOWN"
    longer = {criterion: {f"screening_tests.{test}": 15}}
    assert state(changed("screening_tests", test, collected_dtc="2024-02-29"), criterion, lookback_d=longer) == "PASS"


@pytest.mark.parametrize(("answer", "expected"), [("Y", "PASS"), ("N", "UNKNOWN"), ("U", "UNKNOWN")])
def test_treated_syphilis(answer: str, expected: str) -> None:
    rows = add_test(add_test(woman(), "TREPONEMAL", "POS"), "RPR", "NEG")
    assert state(add_statement(rows, "syphilis_treated", answer, dtc="2019-05-01"), "X2e") == expected


@pytest.mark.parametrize(("value", "expected"), [(400.0, "PASS"), (400.1, "FAIL"), (399.9, "PASS"), (None, "UNKNOWN")])
def test_ebv_against_the_limit_of_quantification(value: float | None, expected: str) -> None:
    rows = add_test(woman(), "EBV_DNA", "POS", value=value, unit="IU/mL", lloq=400.0)
    assert state(rows, "X2f") == expected


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"value": 1000.0}, "PASS"),
        ({"value": 1001.0}, "FAIL"),
        ({"value": 5000.0, "unit": "copies/mL"}, "UNKNOWN"),
        ({"value": 5000.0, "unit": None}, "UNKNOWN"),
        ({"value": 5000.0, "specimen": "whole_blood"}, "UNKNOWN"),
        ({"value": 5000.0, "specimen": None}, "UNKNOWN"),
        ({"result": "BLQ", "lloq": 1000.0}, "PASS"),
        ({"result": "BLQ", "lloq": 2000.0}, "UNKNOWN"),
        ({"result": "BLQ", "lloq": None}, "UNKNOWN"),
    ],
)
def test_ebv_against_the_limit_of_the_study(cells: dict[str, Any], expected: str) -> None:
    rows = add_test(woman(), "EBV_DNA", **({"result": "POS", "unit": "IU/mL", "lloq": 400.0} | cells))
    assert state(rows, "X2f", parameters={"x2f_above": 1000}) == expected


@pytest.mark.parametrize(
    ("culture", "answer", "expected"),
    [
        (None, "N", "PASS"),
        (None, "Y", "FAIL"),
        (None, None, "UNKNOWN"),
        (None, "U", "UNKNOWN"),
        ({"result": "NEG"}, None, "PASS"),
        ({"result": "NEG"}, "Y", "FAIL"),
        ({"result": "NEG"}, "U", "UNKNOWN"),  # the investigator leaves it open
        ({"result": "POS"}, "N", "FAIL"),
        ({"result": "POS", "adjudication": "PATHOGEN"}, None, "FAIL"),
        ({"result": "POS", "adjudication": "CONTAMINANT"}, None, "PASS"),
        ({"result": None}, "N", "UNKNOWN"),  # awaited
        ({"result": None}, "Y", "FAIL"),
        ({"result": "POS", "collected_dtc": "2024-03-01"}, "N", "FAIL"),  # 14 d
        ({"result": "POS", "collected_dtc": "2024-02-29"}, "N", "PASS"),  # 15 d
        ({"result": "POS", "collected_dtc": "2024-02-29"}, None, "UNKNOWN"),
        ({"result": "POS", "collected_dtc": "2024-03"}, "N", "UNKNOWN"),  # in the window or not
    ],
)
def test_bacteremia(culture: dict[str, Any] | None, answer: str | None, expected: str) -> None:
    rows = drop(woman(), "attestations", "bacteremia")
    if culture is not None:
        add_test(rows, "BLOOD_CULTURE", **culture)
    if answer is not None:
        add_statement(rows, "bacteremia", answer)
    assert state(rows, "X2a") == expected


def test_a_later_negative_culture_does_not_undo_a_positive_one() -> None:
    rows = add_test(woman(), "BLOOD_CULTURE", "POS", collected_dtc="2024-03-05")
    assert state(add_test(rows, "BLOOD_CULTURE", "NEG"), "X2a") == "FAIL"
