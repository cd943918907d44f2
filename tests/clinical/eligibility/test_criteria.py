"""Every criterion at its boundaries, calculated by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from immunoprofile.clinical import cockcroft_gault, eligibility
from tests.clinical.eligibility.eligible_study import (
    DRAW,
    Rows,
    add_statement,
    add_test,
    drop,
    judge,
    row_of,
    state,
    study,
    woman,
)


def changed(table: str, key: str = "", **cells: Any) -> Rows:
    """The eligible woman with some cells of one row changed."""
    rows = woman()
    row_of(rows, table, key).update(cells)
    return rows


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
    row = judge(changed("labs", "ALT", unit="ukat/L"), "X4c")
    assert row["state"] == "UNKNOWN"
    assert "labs row 2: 'ukat/L' is no unit of ALT; one of: U/L, IU/L" in row["explanation"]


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
