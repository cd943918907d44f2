"""Eligibility of study folders: what study.yaml may change, bad input, overrides, and the file of criteria itself."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from immunoprofile import schema
from immunoprofile.clinical import eligibility, load_rules
from immunoprofile.clinical.screening import reference_date
from immunoprofile.clinical.screening.evaluate import PREDICATES
from immunoprofile.errors import StudyError
from immunoprofile.io.config import EligibilitySettings
from immunoprofile.study import read_study
from tests.clinical.eligibility.eligible_study import add_test, judge, row_of, state, study, woman
from tests.small_study import STUDY_YAML, write_study


def test_columns_and_order() -> None:
    other = {name: [row | {"usubjid": "R-1"} for row in table] for name, table in woman().items()}
    result = eligibility(study(woman(), other))
    assert tuple(result.criteria.columns) == schema.ELIGIBILITY_COLUMNS
    assert tuple(result.overall.columns) == schema.ELIGIBILITY_OVERALL_COLUMNS
    assert result.overall["usubjid"].tolist() == ["R-1", "S-1"]
    ids = list(load_rules("seed").criteria)
    assert list(zip(result.criteria["usubjid"], result.criteria["criterion"], strict=True)) == [
        (usubjid, one) for usubjid in ("R-1", "S-1") for one in ids
    ]
    assert result.criteria.notna().all(axis=None)
    assert set(result.criteria["state"]) <= set(schema.ELIGIBILITY_STATES)
    assert set(result.overall["state"]) <= set(schema.OVERALL_STATES)


def test_the_criteria_are_those_of_the_trial_and_each_has_its_predicate() -> None:
    rules = load_rules("seed")
    x2 = [f"X2{letter}" for letter in "abcdefg"]
    x4 = [f"X4{letter}" for letter in "abcd"]
    assert list(rules.criteria) == ["I1", "I2", "I3", "X1", "X2", *x2, "X3", "X4", *x4, "X5", "X6", "X7", "A1"]
    assert [one.id for one in rules.parts("X2")] == x2
    assert [one.id for one in rules.parts("X4")] == x4
    every = [*rules.criteria.values(), *load_rules("successor").criteria.values()]
    assert {one.predicate for one in every} == {*PREDICATES, ""}
    for name, one in rules.criteria.items():
        assert one.kind == {"I": "INCLUSION", "X": "EXCLUSION", "A": "CHECK"}[name[0]]
        assert one.text
        assert one.version
        if one.predicate:
            assert {entry.need for entry in one.inputs.values()} <= {"required", "alternative", "optional"}
            assert (inspect.getdoc(PREDICATES[one.predicate]) or "").strip()


def test_inputs_are_columns_tests_and_statements_of_the_schema() -> None:
    every = [*load_rules("seed").criteria.values(), *load_rules("successor").criteria.values()]
    for one in every:
        for name in one.inputs:
            table, _, key = name.partition(".")
            spec = schema.TABLES[table]
            known = {
                "labs": schema.LAB_TESTS, "screening_tests": schema.SCREENING_TESTS,
                "attestations": tuple(schema.ATTESTATION_ITEMS), "medical_history": schema.HISTORY_CATEGORIES,
                "conmeds": ("corticosteroid", "cmv_vaccine", "immunoglobulin_or_leflunomide", "plasmapheresis"),
            }.get(table, spec.column_names)  # fmt: skip
            assert key in known, name
    read = {name for one in every for name in one.inputs}
    assert {f"attestations.{item}" for item in schema.ATTESTATION_ITEMS} <= read
    assert {f"screening_tests.{test}" for test in schema.SCREENING_TESTS} <= read


@pytest.mark.parametrize(
    ("cells", "expected", "column"),
    [
        ({}, "2024-03-15T10:00", "first_dose_dtc"),
        ({"first_dose_dtc": None, "first_gcv_dtc": "2024-03-16"}, "2024-03-16", "first_dose_dtc"),
        ({"screening_dtc": "2024-03-12"}, "2024-03-12", "screening_dtc"),
        ({"first_dose_dtc": None, "randomised_dtc": "2024-03-14"}, "2024-03-14", "randomised_dtc"),
        ({"first_dose_dtc": None}, "", ""),
    ],
)
def test_reference_date(cells: dict[str, Any], expected: str, column: str) -> None:
    rows = woman()
    row_of(rows, "subjects").update(cells)
    assert reference_date(row_of(rows, "subjects")) == (expected, column)
    overall = eligibility(study(rows)).overall.iloc[0]
    assert (overall["reference_date"], overall["reference"]) == (expected, column)


def test_records_after_a_stated_screening_date_do_not_count() -> None:
    rows = woman()
    row_of(rows, "subjects")["screening_dtc"] = "2024-03-13"
    states = eligibility(study(rows)).criteria.set_index("criterion")["state"]
    assert states[["I2", "X1", "X2b", "X4b", "X4c"]].tolist() == ["UNKNOWN"] * 5  # drawn on the 14th
    assert states[["I1", "X3", "X6"]].tolist() == ["PASS"] * 3


@pytest.mark.parametrize("date", [None, "2024-03"])
def test_without_a_reference_date_nothing_dated_passes(date: str | None) -> None:
    rows = woman()
    row_of(rows, "subjects")["first_dose_dtc"] = date
    result = eligibility(study(rows, parameters={"a1_min_age_y": 18}))
    states = result.criteria.set_index("criterion")["state"]
    assert states[states == "PASS"].index.tolist() == ["I1"]
    assert result.overall.loc[0, "state"] == "INDETERMINATE"


def test_no_subjects() -> None:
    result = eligibility(study())
    assert len(result.criteria) == len(result.overall) == 0
    assert tuple(result.criteria.columns) == schema.ELIGIBILITY_COLUMNS


# --- study.yaml -------------------------------------------------------------------------------------


def test_everything_wrong_in_study_yaml_is_told_at_once() -> None:
    settings = EligibilitySettings(
        parameters={"i2_blq_count": "pass", "i2_blq_counts": "yes", "x5_years": -1, "x4b_crcl_ml_min": None,
                    "x5_ignored_subtypes": "solid", "x4c_alt_uln": True},
        lookback_d={"X4b": {"labs.ALT": 7, "labs.CREAT": -1}, "X9": {"labs.CREAT": 7}, "I1": {"subjects.dx": 3}},
    )  # fmt: skip
    with pytest.raises(StudyError) as caught:
        load_rules("seed", settings)
    text = str(caught.value)
    assert len(caught.value.problems) == 10
    assert "did you mean i2_blq_counts?" in text
    assert "eligibility.parameters.i2_blq_counts: wrong value (found 'yes'); allowed: unknown, pass, fail" in text
    assert "eligibility.lookback_d.X4b.labs.ALT: no dated input of that criterion" in text


def test_unknown_profile() -> None:
    with pytest.raises(StudyError, match="allowed: seed, registry, successor"):
        load_rules("predecessor")


def test_parameters_of_study_yaml(tmp_path: Path) -> None:
    text = STUDY_YAML + (
        "eligibility_profile: registry\n"
        "eligibility:\n"
        "  parameters: {i2_blq_counts: fail, x5_years: 5, i1_diagnoses: [gout]}\n"
        "  lookback_d: {X4c: {labs.ALT: 28}}\n"
    )
    small = read_study(write_study(tmp_path / "study", config=text))
    small.write(tmp_path / "again")
    again = read_study(tmp_path / "again", require_files=False)
    assert again.config == small.config
    rules = load_rules(again.config.eligibility_profile, again.config.eligibility)
    assert (rules.parameters["i2_blq_counts"], rules.number("x5_years")) == ("fail", 5.0)
    assert (rules.parameters["i1_diagnoses"], rules.number("i2_above_copies_ml")) == (["gout"], 1000.0)
    assert rules.criteria["X4c"].lookback("labs.ALT") == 28
    assert rules.criteria["X4c"].lookback("labs.AST") == 14
    assert rules.criteria["X1"].version == "1 (i2_blq_counts=fail)"
    overall = eligibility(again).overall
    assert overall["profile"].tolist() == ["registry", "registry"]
    assert "1 (x5_years=5)" in overall.loc[0, "rule_version"]


# --- tables as a site writes them ---------------------------------------------------------------------

SCREENING = """\
usubjid,collected_dtc,test,result,specimen,lab_id
S-1,2024-02-28,HBSAG,NEG,serum,L1
S-1,2024-02-28,HCG,,urine,L1
S-9,2024-02-28,HCG,NEG,urine,L1
"""


def test_a_folder_written_by_a_site(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "study",
        screening_tests=SCREENING,
        attestations="usubjid,item,answer,dtc\nS-1,breastfeeding,N,2024-02-28\n",
        medical_history="usubjid,category,term,active,last_active_dtc\nS-2,MALIGNANCY,melanoma,N,2009\n",
        eligibility_overrides="usubjid,criterion,state,reason,author,dtc\nS-2,X5,PASS,cured,INV1,2024-03-01\n",
    )
    small = read_study(folder)
    assert "UNKNOWN_SUBJECT" in set(small.exceptions["code"])  # S-9 is listed, not lost
    result = eligibility(small)
    table = result.criteria.set_index(["usubjid", "criterion"])
    assert table.loc[("S-1", "X7"), "state"] == "UNKNOWN"
    assert "the result of HCG is awaited" in table.loc[("S-1", "X7"), "explanation"]
    assert table.loc[("S-2", "X5"), ["state", "override", "override_by"]].tolist() == ["FAIL", "PASS", "INV1"]
    assert result.overall["state"].tolist() == ["INDETERMINATE", "INELIGIBLE"]
    small.write(tmp_path / "again")
    again = eligibility(read_study(tmp_path / "again", require_files=False))
    pd.testing.assert_frame_equal(again.criteria, result.criteria)


def test_bad_cells_are_named_when_the_folder_is_read(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "study",
        screening_tests=SCREENING.replace("HBSAG,NEG", "HBSAG,negative"),
        labs="usubjid,visit,collected_dtc,test,value,unit\nS-1,BL,2024-03-01,ALT,30,nkat/L\n",
        eligibility_overrides="usubjid,criterion,state,reason,author,dtc\nS-1,X5,UNKNOWN,,INV1,2024-03-01\n",
    )
    with pytest.raises(StudyError) as caught:
        read_study(folder)
    text = str(caught.value)
    assert "screening_tests.csv, row 1, column result: wrong value (found 'negative')" in text
    assert "labs.csv, row 1, column unit: unknown unit of ALT (found 'nkat/L'); allowed: U/L, IU/L, ukat/L" in text
    assert "eligibility_overrides.csv, row 1, column reason: a value is missing" in text
    assert "eligibility_overrides.csv, row 1, column state: wrong value (found 'UNKNOWN')" in text


def test_creatinine_in_the_wrong_unit_is_named() -> None:
    rows = woman()
    row_of(rows, "labs", "CREAT").update(value=0.9, unit="umol/L")
    assert judge(rows, "X4b")["explanation"] == (
        "X4b UNKNOWN: labs row 1: CREAT 0.9 umol/L cannot be (15 to 3000 umol/L); check number and unit"
    )


def test_a_record_out_of_its_window_is_named() -> None:
    rows = woman()
    row_of(rows, "labs", "CREAT")["collected_dtc"] = "2024-03-01"
    assert judge(rows, "X4b")["explanation"] == (
        "X4b UNKNOWN: no CREAT in labs in the 7 days before 2024-03-15 (there is one of 2024-03-01)"
    )


def test_overrides_that_cannot_be_used_are_told_at_once() -> None:
    rows = woman()
    good = {"usubjid": "S-1", "criterion": "X5", "state": "PASS", "reason": "r", "author": "a", "dtc": "2024-03-14"}
    rows["eligibility_overrides"] = [
        good, good, good | {"criterion": "A1"}, good | {"criterion": "X99", "usubjid": "S-7"},
        good | {"criterion": "X6", "reason": None, "author": " ", "state": "UNKNOWN", "dtc": None},
    ]  # fmt: skip
    with pytest.raises(StudyError) as caught:
        eligibility(study(rows))
    found = {(one.row, one.column) for one in caught.value.problems}
    assert found == {
        (2, "criterion"), (3, "criterion"), (4, "usubjid"), (4, "criterion"), (5, "state"), (5, "reason"),
        (5, "author"), (5, "dtc"),
    }  # fmt: skip


def test_contradicting_simultaneous_results() -> None:
    rows = add_test(woman(), "HIV_AGAB", "NEG")
    rows["screening_tests"].append(row_of(rows, "screening_tests", "HIV_AGAB") | {"result": "POS", "lab_id": "L2"})
    assert state(rows, "X2d") == "FAIL"
    rows["screening_tests"][-1]["result"] = None
    assert state(rows, "X2d") == "UNKNOWN"
