"""Criteria of the successor trial (NCT06971913): who passes, each limit, and what is missing never passes."""

from __future__ import annotations

import copy
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immunoprofile.clinical import eligibility, load_rules
from tests.clinical.eligibility.eligible_study import Rows, add_statement, drop, judge, row_of, study, woman

RULES = load_rules("successor")
LEAVES = [name for name, one in RULES.criteria.items() if one.predicate]


def overall(rows: Rows) -> pd.Series[Any]:
    return eligibility(study(rows), profile="successor").overall.iloc[0]


def state(rows: Rows, criterion: str) -> str:
    return str(judge(rows, criterion, profile="successor")["state"])


def drug(rows: Rows, name: str, start: str | None, end: str | None, **cells: Any) -> Rows:
    rows["conmeds"].append({"usubjid": "S-1", "drug": name, "start_dtc": start, "end_dtc": end, "freq": "QD"} | cells)
    return rows


def test_profiles_are_never_merged() -> None:
    trial, successor = set(load_rules("registry").criteria), set(RULES.criteria)
    assert not trial & successor
    assert all(name.startswith("S") for name in successor)
    assert load_rules("seed").criteria.keys() == trial


def test_who_meets_every_criterion_is_eligible() -> None:
    found = overall(woman())
    assert (found["state"], found["failed"], found["unknown"]) == ("ELIGIBLE", "", "")


@pytest.mark.parametrize(
    ("age", "kilograms", "states"),
    [(18, 45.0, ("PASS", "PASS")), (17, 44.9, ("FAIL", "FAIL")), (65, 80.0, ("PASS", "PASS")),
     (66, 80.1, ("FAIL", "FAIL")), (None, None, ("UNKNOWN", "UNKNOWN"))],
)  # fmt: skip
def test_age_and_weight(age: int | None, kilograms: float | None, states: tuple[str, str]) -> None:
    rows = woman()
    rows["subjects"][0] |= {"age_y": age}
    row_of(rows, "visits")["weight_kg"] = kilograms
    assert (state(rows, "S3"), state(rows, "S4")) == states


def test_a_weight_counts_for_two_weeks_and_a_consent_comes_before() -> None:
    rows = woman()
    row_of(rows, "visits")["start_dtc"] = "2024-02-20"
    assert state(rows, "S4") == "UNKNOWN"
    for consent, expected in (
        ("2024-03-15", "PASS"),
        ("2024-03-16", "FAIL"),
        ("2024-03", "UNKNOWN"),
        (None, "UNKNOWN"),
    ):
        rows["subjects"][0]["consent_dtc"] = consent
        assert state(rows, "S6") == expected, consent


def test_plasma_only_and_no_threshold() -> None:
    rows = woman()
    row = row_of(rows, "cmv_dna")
    row["result_raw"] = "501"
    assert state(rows, "S2") == "PASS"
    row["result_raw"] = "not detected"
    assert state(rows, "S2") == "FAIL"
    row["result_raw"] = "<500"
    assert state(rows, "S2") == "UNKNOWN"  # as i2_blq_counts says
    row |= {"result_raw": "5000", "specimen": "whole_blood"}
    found = judge(rows, "S2", profile="successor")
    assert (found["state"], "no CMV-DNA of plasma" in found["explanation"]) == ("UNKNOWN", True)


@pytest.mark.parametrize(
    ("name", "start", "end", "criterion", "expected"),
    [
        ("IVIG", "2024-01-01", "2024-01-05", "SX4", "FAIL"),
        ("Arava", "2023-01-01", "2023-09-14", "SX4", "FAIL"),  # 183 days before 15 March 2024
        ("Arava", "2023-01-01", "2023-09-13", "SX4", "PASS"),
        ("teriflunomide", "2024-01-01", None, "SX4", "FAIL"),  # whenever it ended, it began within
        ("leflunomide", None, "2024-01-05", "SX4", "UNKNOWN"),
        ("leflunomide", "2022-01-01", None, "SX4", "UNKNOWN"),  # whether it ended before is not known
        ("leflunomide", "2024-03-16", None, "SX4", "PASS"),  # after the reference date
        ("leflunamide", "2024-01-01", "2024-01-05", "SX4", "UNKNOWN"),  # perhaps
        ("CMV vaccine", "2023-12-01", "2023-12-01", "SX3", "FAIL"),
        ("plasma exchange", "2015-06-01", "2015-06-05", "SX5", "FAIL"),  # no window is stated
        ("foscarnet", "2024-01-01", "2024-01-05", "SX4", "PASS"),
    ],
)
def test_treatment_before(name: str, start: str | None, end: str | None, criterion: str, expected: str) -> None:
    assert state(drug(woman(), name, start, end), criterion) == expected


@pytest.mark.parametrize(("criterion", "item"), [
    ("SX3", "cmv_vaccine_6_months"), ("SX4", "immunoglobulin_or_leflunomide_6_months"), ("SX5", "plasmapheresis"),
])  # fmt: skip
def test_no_row_is_no_answer(criterion: str, item: str) -> None:
    assert state(drop(woman(), "attestations", item), criterion) == "UNKNOWN"
    assert state(add_statement(woman(), item, "Y"), criterion) == "FAIL"
    assert state(add_statement(woman(), item, "U"), criterion) == "UNKNOWN"


def test_cancer_of_five_years_ago_and_spared_subtypes() -> None:
    def judged(last: str, subtype: str) -> str:
        rows = add_statement(woman(), "malignancy", "Y")
        rows["medical_history"] = [{"usubjid": "S-1", "category": "MALIGNANCY", "term": "x", "subtype": subtype,
                                    "active": False, "last_active_dtc": last}]  # fmt: skip
        return state(rows, "SX10")

    assert judged("2019-03-16", "solid") == "FAIL"
    assert judged("2019-03-14", "solid") == "PASS"
    assert judged("2023-01-01", "cervical_in_situ") == judged("2023-01-01", "basal_cell") == "PASS"
    assert load_rules("seed").parameters["x5_years"] is None


def test_bilirubin_is_not_asked_for() -> None:
    rows = drop(woman(), "labs", "TBIL")
    assert state(rows, "SX7b") == "PASS"
    row_of(rows, "labs", "AST")["value"] = 120.4
    assert state(rows, "SX7b") == "FAIL"


BLANKS = [("subjects", name) for name in ("dx", "dx_criteria_set", "dx_criteria_met", "sex", "age_y", "consent_dtc")]
BLANKS += [("visits", "weight_kg"), ("cmv_dna", "result_raw"), ("labs", "value"), ("labs", "uln"),
           ("attestations", "answer"), ("screening_tests", "result")]  # fmt: skip


@settings(max_examples=60)
@given(st.sampled_from(BLANKS), st.randoms(use_true_random=False))
def test_taking_an_input_away_never_makes_somebody_eligible(place: tuple[str, str], random: Any) -> None:
    """Blanking: each input in turn; and the order of rows changes nothing."""
    rows = drug(woman(), "IVIG", "2020-01-01", "2020-01-02")
    whole = eligibility(study(rows), profile="successor").criteria.set_index("criterion")["state"]
    blank = copy.deepcopy(rows)
    row = random.choice(blank[place[0]])
    row[place[1]] = None
    less = eligibility(study(blank), profile="successor")
    states = less.criteria.set_index("criterion")["state"]
    changed = [name for name in LEAVES if states[name] != whole[name]]
    assert {states[name] for name in changed} <= {"UNKNOWN"}
    assert less.overall["state"].tolist() == ["INDETERMINATE" if changed else "ELIGIBLE"]
    for table in rows.values():
        random.shuffle(table)
    again = eligibility(study(rows), profile="successor").criteria.set_index("criterion")["state"]
    pd.testing.assert_series_equal(again, whole)
