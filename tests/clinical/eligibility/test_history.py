"""Statements, tumours, pregnancy and age."""

from __future__ import annotations

from typing import Any

import pytest

from immunoprofile.clinical import eligibility
from tests.clinical.eligibility.eligible_study import (
    Rows,
    add_statement,
    add_test,
    changed,
    drop,
    judge,
    row_of,
    state,
    study,
    woman,
)

# --- X3, X4a, X4d, X6: statements -------------------------------------------------------------------

STATEMENTS = [
    ("X2g", "other_active_infection", 14),
    ("X3", "il2_hypersensitivity", None),
    ("X4d", "severe_comorbidity_blood", 14),
    ("X4d", "severe_comorbidity_gastrointestinal", 14),
    ("X4d", "severe_comorbidity_endocrine", 14),
    ("X4d", "severe_comorbidity_pulmonary", 14),
    ("X4d", "severe_comorbidity_neurologic", 14),
    ("X6", "uncontrolled_psychiatric_disorder", 14),
]


@pytest.mark.parametrize(("criterion", "item", "lookback"), STATEMENTS)
def test_statements(criterion: str, item: str, lookback: int | None) -> None:
    name = f"attestations.{item}"
    assert state(add_statement(woman(), item, "Y"), criterion) == "FAIL"
    assert judge(add_statement(woman(), item, "U"), criterion)["missing"] == name
    assert judge(drop(woman(), "attestations", item), criterion)["missing"] == name
    assert state(add_statement(woman(), item, "N", dtc="2024-03-01"), criterion) == "PASS"
    older = "UNKNOWN" if lookback else "PASS"
    assert state(add_statement(woman(), item, "N", dtc="2024-02-29"), criterion) == older
    assert state(add_statement(woman(), item, "N", dtc="2024-03-16"), criterion) == "UNKNOWN"
    assert state(add_statement(woman(), item, "N", dtc=None), criterion) == "UNKNOWN"


def test_the_latest_statement_counts_and_contradictions_are_unknown() -> None:
    rows = woman()
    first = row_of(rows, "attestations", "il2_hypersensitivity")
    rows["attestations"].append(first | {"answer": "Y", "dtc": "2024-03-11"})
    assert state(rows, "X3") == "PASS"
    rows["attestations"][-1]["dtc"] = "2024-03-13"
    assert state(rows, "X3") == "FAIL"
    rows["attestations"][-1]["dtc"] = "2024-03-12T09:00"
    row = judge(rows, "X3")
    assert row["state"] == "UNKNOWN"
    assert "contradict each other" in row["explanation"]


@pytest.mark.parametrize(
    ("answer", "detail", "expected"),
    [("N", None, "PASS"), ("Y", "I", "PASS"), ("Y", "NYHA II", "PASS"), ("Y", "III", "FAIL"), ("Y", "3", "FAIL"),
     ("Y", "class iv", "FAIL"), ("Y", "2", "PASS"), ("Y", None, "UNKNOWN"), ("Y", "severe", "UNKNOWN"),
     ("U", "III", "UNKNOWN")],
)  # fmt: skip
def test_heart_failure(answer: str, detail: str | None, expected: str) -> None:
    rows = add_statement(woman(), "heart_failure", answer, detail=detail)
    assert state(rows, "X4a") == state(rows, "X4") == expected


# --- X5 -------------------------------------------------------------------------------------------


def tumour(**cells: Any) -> Rows:
    rows = add_statement(woman(), "malignancy", "Y")
    entry = {"usubjid": "S-1", "category": "MALIGNANCY", "term": "carcinoma", "subtype": "solid", "active": False,
             "last_active_dtc": "2018-06-30"}  # fmt: skip
    rows["medical_history"] = [entry | cells]
    return rows


def test_malignancy_without_exceptions() -> None:
    assert state(add_statement(woman(), "malignancy", "Y"), "X5") == "FAIL"
    assert state(tumour(), "X5") == state(tumour(last_active_dtc=None, subtype=None), "X5") == "FAIL"
    assert state(drop(woman(), "attestations", "malignancy"), "X5") == "UNKNOWN"
    assert state(add_statement(woman(), "malignancy", "U"), "X5") == "UNKNOWN"
    assert state(add_statement(tumour(), "malignancy", "N"), "X5") == "FAIL"  # the record contradicts the statement


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"last_active_dtc": "2019-03-15"}, "FAIL"),  # five years ago to the day
        ({"last_active_dtc": "2019-03-14"}, "PASS"),
        ({"last_active_dtc": "2019-03"}, "UNKNOWN"),
        ({"last_active_dtc": "2019-02"}, "PASS"),
        ({"last_active_dtc": "2020"}, "FAIL"),
        ({"last_active_dtc": None}, "UNKNOWN"),
        ({"active": None, "last_active_dtc": "2010"}, "UNKNOWN"),
        ({"active": None, "last_active_dtc": "2023"}, "FAIL"),
        ({"active": True, "last_active_dtc": "2010"}, "FAIL"),
    ],
)
def test_malignancy_within_years(cells: dict[str, Any], expected: str) -> None:
    assert state(tumour(**cells), "X5", parameters={"x5_years": 5}) == expected


def test_spared_malignancies() -> None:
    spare = {"x5_ignored_subtypes": ["non_melanoma_skin", "cervical_in_situ"]}
    assert state(tumour(subtype="non-melanoma skin"), "X5", parameters=spare) == "PASS"
    assert state(tumour(subtype="solid"), "X5", parameters=spare) == "FAIL"
    assert state(tumour(subtype=None), "X5", parameters=spare) == "UNKNOWN"
    assert state(add_statement(woman(), "malignancy", "Y"), "X5", parameters=spare) == "UNKNOWN"
    both = tumour(subtype="cervical_in_situ")
    both["medical_history"].append(both["medical_history"][0] | {"subtype": "solid"})
    assert state(both, "X5", parameters=spare) == "FAIL"


# --- X7 and A1 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sex", "hcg", "feeding", "potential", "expected"),
    [
        ("F", "NEG", "N", "Y", "PASS"),
        ("F", "POS", "N", "Y", "FAIL"),
        ("F", "NEG", "Y", "Y", "FAIL"),
        ("F", "POS", "N", "N", "FAIL"),
        ("F", None, "Y", "N", "FAIL"),
        ("F", None, "N", "Y", "UNKNOWN"),
        ("F", None, "N", None, "UNKNOWN"),
        ("F", "NEG", None, "Y", "UNKNOWN"),
        ("F", "IND", "N", "Y", "UNKNOWN"),
        ("F", None, None, "N", "NOT_APPLICABLE"),
        ("M", None, None, None, "NOT_APPLICABLE"),
        (None, "NEG", "N", "N", "UNKNOWN"),
    ],
)
def test_pregnancy(sex: str | None, hcg: str | None, feeding: str | None, potential: str | None, expected: str) -> None:
    rows = drop(changed("subjects", sex=sex), "screening_tests", "HCG")
    if hcg:
        add_test(rows, "HCG", hcg)
    for item, answer in (("breastfeeding", feeding), ("childbearing_potential", potential)):
        drop(rows, "attestations", item)
        if answer:
            add_statement(rows, item, answer)
    assert state(rows, "X7") == expected


def test_window_of_hcg() -> None:
    assert state(changed("screening_tests", "HCG", collected_dtc="2024-03-08"), "X7") == "PASS"
    assert state(changed("screening_tests", "HCG", collected_dtc="2024-03-07"), "X7") == "UNKNOWN"


@pytest.mark.parametrize(("age", "expected"), [(18, "PASS"), (17, "UNKNOWN"), (16, "FAIL")])
def test_age_only_warns(age: int, expected: str) -> None:
    # 17 at consent may be 18 five days later.
    rows = changed("subjects", age_y=age)
    result = eligibility(study(rows, parameters={"a1_min_age_y": 18}))
    row = result.criteria.set_index("criterion").loc["A1"]
    assert (row["kind"], row["state"]) == ("CHECK", expected)
    overall = result.overall.iloc[0]
    assert overall["state"] == ("INDETERMINATE" if age < 18 else "ELIGIBLE")  # X4b needs an adult, A1 takes no part
    assert ("A1" in overall["warnings"]) == (expected != "PASS")
    assert "A1" not in overall["failed"] + overall["unknown"]
