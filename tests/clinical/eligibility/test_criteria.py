"""What every criterion shares: the eligible woman, the diagnosis, and what is kept of a decision."""

from __future__ import annotations

import json
from typing import Any

import pytest

from immunoprofile.clinical import eligibility
from tests.clinical.eligibility.eligible_study import (
    DRAW,
    changed,
    judge,
    state,
    study,
    woman,
)


def test_the_eligible_woman() -> None:
    for profile in ("seed", "registry"):
        result = eligibility(study(woman()), profile=profile)
        states = dict(zip(result.criteria["criterion"], result.criteria["state"], strict=True))
        assert states == dict.fromkeys(states, "PASS") | {"A1": "NOT_APPLICABLE"}
        assert result.overall["state"].tolist() == ["ELIGIBLE"]
        assert result.overall.loc[0, ["failed", "unknown", "missing", "warnings", "overrides"]].tolist() == [""] * 5


# --- I1 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "expected", "missing"),
    [
        ({"dx": "SLE"}, "PASS", ""),
        ({"dx": " systemic  Lupus-erythematosus "}, "PASS", ""),
        ({"dx": "Sjögren’s syndrome"}, "PASS", ""),
        ({"dx": "M32.1"}, "PASS", ""),
        ({"dx": "M81.0"}, "FAIL", ""),
        ({"dx": "osteoporosis"}, "FAIL", ""),
        ({"dx_criteria_met": "N"}, "FAIL", ""),
        ({"dx_criteria_met": "U"}, "UNKNOWN", "subjects.dx_criteria_met"),
        ({"dx_criteria_met": None}, "UNKNOWN", "subjects.dx_criteria_met"),
        ({"dx_criteria_set": None}, "UNKNOWN", "subjects.dx_criteria_set"),
        ({"dx": None}, "UNKNOWN", "subjects.dx"),
        ({"dx": None, "dx_criteria_met": "N"}, "FAIL", ""),
    ],
)
def test_rheumatic_disease(cells: dict[str, Any], expected: str, missing: str) -> None:
    row = judge(changed("subjects", **cells), "I1")
    assert (row["state"], row["missing"]) == (expected, missing)


def test_the_list_of_diagnoses_is_a_parameter() -> None:
    assert state(changed("subjects", dx="gout"), "I1", parameters={"i1_diagnoses": ["gout"]}) == "PASS"


# --- what is kept -----------------------------------------------------------------------------------


def test_inputs_dates_units_and_version_are_kept() -> None:
    row = judge(woman(), "X4b")
    inputs = {one["input"]: one for one in json.loads(row["inputs"])}
    assert inputs["labs.CREAT"] == {
        "input": "labs.CREAT", "value": 70, "unit": "umol/L", "date": DRAW, "place": "labs row 1", "lab_id": "L1",
    }  # fmt: skip
    assert (inputs["visits.weight_kg"]["value"], inputs["visits.weight_kg"]["date"]) == (60, "2024-03-15")
    assert inputs["subjects.age_y"]["value"] == 45
    assert inputs["subjects.sex"]["value"] == "F"
    assert row["rule_version"] == "1"
    row = judge(woman(), "X4b", parameters={"x4b_crcl_ml_min": 60}, lookback_d={"X4b": {"labs.CREAT": 3}})
    assert row["rule_version"] == "1 (x4b_crcl_ml_min=60, labs.CREAT within 3 d)"
