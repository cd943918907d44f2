"""The corticosteroid dose before screening: dose by weight, window, and days that cannot be known."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clinical.eligibility.eligible_study import (
    Rows,
    add_statement,
    changed,
    drop,
    judge,
    state,
    woman,
)

# --- I3 -------------------------------------------------------------------------------------------


def steroid(**cells: Any) -> Rows:
    return changed("conmeds", **cells)


@pytest.mark.parametrize(
    ("cells", "expected", "value"),
    [
        ({"drug": "methylprednisolone", "dose": 40.0}, "PASS", 0.8333333),  # 50 mg prednisone over 60 kg
        ({"drug": "methylprednisolone", "dose": 48.0}, "FAIL", 1.0),  # exactly 60 mg prednisone over 60 kg
        ({"drug": "methylprednisolone", "dose": 47.99}, "PASS", 0.9997917),
        ({"dose": 60.0}, "FAIL", 1.0),
        ({"dose": 59.99}, "PASS", 0.9998333),
        ({"dose": 30.0, "freq": "BID"}, "FAIL", 1.0),
        ({"drug": "dexamethasone", "dose": 9.0}, "FAIL", 1.0),  # 9 / 0.75 x 5 = 60 mg
    ],
)
def test_corticosteroid(cells: dict[str, Any], expected: str, value: float) -> None:
    row = judge(steroid(**cells), "I3")
    assert row["state"] == expected
    assert float(row["value"]) == pytest.approx(value, rel=1e-6)
    assert row["unit"] == "mg/kg/d"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2024-03-01", "2024-03-08", "FAIL"),  # the 7th day before the first dose
        ("2024-03-01", "2024-03-07", "UNKNOWN"),  # the 8th: no record in the window, and the statement says Y
        ("2024-03-14", "2024-03-20", "FAIL"),  # the day before
        ("2024-03-15", "2024-03-20", "UNKNOWN"),  # the day itself is not before it
    ],
)
def test_window_of_corticosteroids(start: str, end: str, expected: str) -> None:
    rows = steroid(dose=120.0, start_dtc=start, end_dtc=end, ongoing=None)
    assert state(rows, "I3") == expected
    assert state(add_statement(rows, "systemic_corticosteroid", "N"), "I3") == (
        "FAIL" if expected == "FAIL" else "PASS"
    )


@pytest.mark.parametrize(
    ("cells", "missing"),
    [
        ({"freq": "PRN"}, "conmeds.corticosteroid"),
        ({"freq": None}, "conmeds.corticosteroid"),
        ({"dose": None}, "conmeds.corticosteroid"),
        ({"unit": None}, "conmeds.corticosteroid"),
        ({"unit": "tablets"}, "conmeds.corticosteroid"),
        ({"route": None}, "conmeds.corticosteroid"),
        ({"start_dtc": None}, "conmeds.corticosteroid"),
        ({"ongoing": None}, "conmeds.corticosteroid"),
        ({"drug": "prednisone and budesonide"}, "conmeds.corticosteroid"),
    ],
)
def test_unknown_corticosteroid(cells: dict[str, Any], missing: str) -> None:
    row = judge(steroid(**cells), "I3")
    assert (row["state"], row["missing"]) == ("UNKNOWN", missing)


def test_what_is_known_may_fail_whatever_the_rest_is() -> None:
    rows = steroid(dose=60.0)
    rows["conmeds"].append(rows["conmeds"][0] | {"drug": "hydrocortisone", "freq": "PRN"})
    row = judge(rows, "I3")
    assert row["state"] == "FAIL"
    assert "at least 1 mg/kg/d" in row["explanation"]


def test_no_corticosteroid_needs_a_statement() -> None:
    rows = drop(woman(), "conmeds")
    assert state(add_statement(rows, "systemic_corticosteroid", "N"), "I3") == "PASS"
    row = judge(add_statement(rows, "systemic_corticosteroid", "Y"), "I3")
    assert (row["state"], row["missing"]) == ("UNKNOWN", "conmeds.corticosteroid")
    row = judge(drop(rows, "attestations", "systemic_corticosteroid"), "I3")
    assert (row["state"], row["missing"]) == (
        "UNKNOWN", "conmeds.corticosteroid; attestations.systemic_corticosteroid",
    )  # fmt: skip


def test_topical_steroids_are_no_systemic_ones() -> None:
    rows = steroid(drug="betamethasone", dose=500.0, route="TOPICAL")
    assert state(rows, "I3") == "UNKNOWN"
    assert state(add_statement(rows, "systemic_corticosteroid", "N"), "I3") == "PASS"


@pytest.mark.parametrize(
    ("date", "expected"),
    [("2024-02-14", "PASS"), ("2024-02-06", "UNKNOWN"), ("2024-03-16", "UNKNOWN"), (None, "UNKNOWN")],
)
def test_weight_of_the_days_before(date: str | None, expected: str) -> None:
    # 30 d before 15 March is 14 February; for 8 March, the first day of the window, it is 7 February.
    row = judge(changed("visits", start_dtc=date), "I3")
    assert row["state"] == expected
    assert row["missing"] == ("" if expected == "PASS" else "visits.weight_kg")
