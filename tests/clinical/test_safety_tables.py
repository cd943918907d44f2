"""Grades of a study, worst grades and shifts, rates of events, flags, the frame of visits."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immunoprofile import read_study, schema
from immunoprofile.clinical import safety, visit_columns
from immunoprofile.errors import NotAvailableError, StudyError
from tests.clinical.trial import SUBJECT, VISIT, conmed, dose, lab, study
from tests.small_study import STUDY_YAML, write_study

D14 = {"visit": "D14", "collected_dtc": "2024-03-14T08:00"}
LATER = VISIT | {"visit": "D14", "start_dtc": "2024-03-14"}


def graded(*labs, test, **tables):
    rows = safety(study(labs=list(labs), visits=[VISIT, LATER], **tables)).grades
    return rows[rows["test"] == test].reset_index(drop=True)


def test_baseline_is_the_last_result_before_the_first_dose():
    rows = graded(
        lab("ALT", 20, uln=40, collected_dtc="2024-02-25", visit=None),
        lab("ALT", 50, uln=40),  # 08:00, the dose is at 10:00
        lab("ALT", 70, uln=40, collected_dtc="2024-03-01T12:00", visit=None),
        lab("ALT", 76, uln=40, **D14),
        test="ALT",
    )
    assert set(rows["baseline"]) == {50}
    assert rows["on_treatment"].tolist() == [False, False, True, True]
    # 70 is 1.4 and 76 is 1.52 of a high baseline
    assert rows["grade"].tolist() == [0, 0, 0, 1]
    assert rows["treatment_emergent"].tolist() == [False, False, False, True]
    assert not rows["grade_provisional"].any()


def test_an_old_baseline_is_none():
    old = lab("ALT", 50, uln=40, collected_dtc="2024-02-01", visit=None)
    rows = graded(old, lab("ALT", 76, uln=40, **D14), test="ALT")
    assert rows["grade_provisional"].all()
    assert rows["baseline"].isna().all()
    assert rows["treatment_emergent"].isna().tolist() == [False, True]


def test_limits_of_another_laboratory_are_never_used():
    rows = graded(lab("ALT", 30, uln=40), lab("ALT", 200, uln=None, lab_id="L2", **D14), lab("ALT", 130, uln=40, **D14),
                  test="ALT")  # fmt: skip
    assert rows["grade"].isna().tolist() == [False, False, True]
    assert rows.loc[2, "uln"] != rows.loc[2, "uln"]
    assert "upper limit of normal" in rows.loc[2, "reason"]


def test_values_in_other_units():
    rows = graded(lab("CREAT", 45 / 88.42, "mg/dL", uln=104 / 88.42), lab("CREAT", 80, uln=104, **D14), test="CREAT")
    assert rows["grade"].tolist() == [0, 2]
    assert rows["unit"].tolist() == ["umol/L", "umol/L"]
    assert rows.loc[1, "criterion_text"] == "above 1.5 to 3 x baseline or ULN"
    assert rows.loc[1, "version"] == "CTCAE v5.0"


def test_worst_and_shift():
    subjects = [SUBJECT, SUBJECT | {"usubjid": "S-2", "arm": "B"}, SUBJECT | {"usubjid": "S-3", "arm": "B"}]
    labs = []
    for usubjid, values in {"S-1": (2.0, 0.9, 1.2), "S-2": (1.6, 1.9, None), "S-3": (1.6, 1.4, 1.7)}.items():
        days = ("2024-03-01T08:00", "2024-03-08", "2024-03-14")
        labs += [lab("ANC", value, lln=1.8, collected_dtc=day, usubjid=usubjid, visit=f"UNS.0{number}")
                 for number, (day, value) in enumerate(zip(days, values, strict=True), 1)]  # fmt: skip
    tables = safety(study(subjects=subjects, labs=labs))
    worst = tables.worst.set_index("usubjid")
    assert worst["baseline_grade"].tolist() == [0, 1, 1]
    assert worst["worst_grade"].tolist() == [3, 0, 2]
    assert worst.loc["S-1", "worst_visit"] == "UNS.02"
    assert worst["n_ungraded"].tolist() == [0, 1, 0]
    # S-2: the result that has no value may have been worse
    assert worst["treatment_emergent"].isna().tolist() == [False, True, False]
    assert worst.loc["S-3", "treatment_emergent"]
    shift = tables.shift[["arm", "baseline_grade", "worst_grade", "n_subjects", "n_incomplete"]]
    assert shift.to_numpy().tolist() == [["A", 0, 3, 1, 0], ["B", 1, 0, 1, 1], ["B", 1, 2, 1, 0]]
    # S19: every subject stands in the table once
    assert shift["n_subjects"].sum() == 3


def test_event_rates():
    aes = [
        {"usubjid": "S-1", "term": "Nausea", "grade": 1, "start_dtc": "2024-02-28"},
        {"usubjid": "S-1", "term": "Nausea", "grade": 2, "start_dtc": "2024-03-01"},
        {"usubjid": "S-1", "term": "Nausea", "grade": 1, "start_dtc": "2024-03-05"},
        {"usubjid": "S-1", "term": "Fever", "grade": 1, "start_dtc": "2024-03"},
    ]
    tables = safety(study(aes=aes, visits=[VISIT, LATER]))
    rates = tables.event_rates.set_index("term")
    # 1 to 14 March are 14 days; two episodes after the first dose
    assert rates.loc["Nausea", ["n_subjects", "n_with_event", "n_events", "exposure_days"]].tolist() == [1, 1, 2, 14]
    assert rates.loc["Nausea", "events_per_100_days"] == pytest.approx(100 * 2 / 14)
    assert rates.loc["Fever", ["n_events", "n_undated"]].tolist() == [0, 1]
    assert "EVENT_UNDATED" in set(tables.exceptions["code"])


def test_a_term_without_criteria_is_named():
    labs = [lab("ALC", 0.4, lln=1.1), lab("ALC", 5.0, lln=1.1, **D14), lab("HGB", 90, lln=115), lab("EGFR", 40, lln=90)]
    tables = safety(study(labs=labs, visits=[VISIT, LATER]), ctcae="6")
    assert set(tables.grades["version"]) == {"CTCAE v6.0"}
    increased = tables.grades[tables.grades["test"] == "ALC"]
    assert increased["term"].tolist() == ["Lymphocyte count increased"] * 2
    assert increased["grade"].tolist() == [0, 2]
    named = tables.exceptions[tables.exceptions["code"] == "NO_CRITERIA"]
    assert named["row"].tolist() == ["1", "4", "2"]
    assert named["message"].iloc[0].startswith("CTCAE v6.0 has no criteria for Lymphocyte count decreased (ALC)")
    once = tables.exceptions[tables.exceptions["code"] == "TERM_NOT_GRADED"]["message"].tolist()
    assert once == ["Lymphocyte count decreased (ALC): 2 results stand without a grade in CTCAE v6.0",
                    "Chronic kidney disease (EGFR): 1 results stand without a grade in CTCAE v6.0"]  # fmt: skip
    with pytest.raises(NotAvailableError, match="one of: 5, 6"):
        safety(study(), ctcae="4.03")


def test_a_clearance_that_is_too_low_for_a_grade_is_told():
    made = study(labs=[lab("CREAT", 700.0, lln=45, uln=84)])
    six, five = (safety(made, ctcae=version) for version in ("6", "5"))
    row = six.grades[six.grades["test"] == "CRCL"].iloc[0]
    assert row["value"] < 10
    assert pd.isna(row["grade"])
    told = six.exceptions[six.exceptions["code"] == "NOT_GRADED"]["message"].tolist()
    assert told == ["Creatinine clearance decreased: CTCAE v6.0 has no grade for so low a value"]
    assert visit_columns(made, six)["n_ungraded"].tolist() == [1]
    assert five.grades[five.grades["test"] == "CRCL"]["grade"].tolist() == [4]
    assert not (five.exceptions["code"] == "NOT_GRADED").any()


RESULTS = st.lists(
    st.tuples(st.sampled_from(schema.LAB_TESTS), st.floats(0.1, 300), st.booleans(), st.sampled_from([None, D14])),
    max_size=12,
)


@settings(max_examples=25)
@given(RESULTS, st.randoms(use_true_random=False))
def test_rows_graded_and_rows_named_are_those_that_version_5_judges(results, random):
    labs = [
        lab(test, value, lln=50.0 if limits else None, uln=90.0 if limits else None, lab_id=f"L{k}", **(visit or {}))
        for k, (test, value, limits, visit) in enumerate(results)
    ]
    made = study(labs=labs, visits=[VISIT, LATER])
    five, six = (safety(made, ctcae=version) for version in ("5", "6"))
    named = six.exceptions[six.exceptions["code"] == "NO_CRITERIA"]
    assert len(six.grades) + len(named) == len(five.grades)
    assert not len(five.exceptions[five.exceptions["code"] == "NO_CRITERIA"])
    random.shuffle(labs)
    again = safety(study(labs=labs, visits=[VISIT, LATER]), ctcae="6")
    pd.testing.assert_frame_equal(again.grades, six.grades)


@pytest.mark.parametrize("text", ['"6"', "6", "6.0", "v6.0"])
def test_the_version_is_a_key_of_the_study(tmp_path, text):
    labs = (
        "usubjid,visit,collected_dtc,test,value,unit,lln,uln,lab_id\nS-1,BL,2024-03-01T07:50,ANC,0.45,G/L,1.8,6.3,L1\n"
    )
    own = read_study(write_study(tmp_path / "six", labs=labs, config=f"{STUDY_YAML}ctcae: {text}\n"))
    assert own.config.ctcae == "6"
    own.write(tmp_path / "copy")
    assert read_study(tmp_path / "copy", require_files=False).config == own.config
    assert safety(own).grades[["grade", "version"]].to_numpy().tolist() == [[3, "CTCAE v6.0"]]
    other = read_study(write_study(tmp_path / "five", labs=labs))
    assert safety(other).grades[["grade", "version"]].to_numpy().tolist() == [[4, "CTCAE v5.0"]]
    with pytest.raises(StudyError, match="ctcae"):
        read_study(write_study(tmp_path / "seven", config=f"{STUDY_YAML}ctcae: 7\n"))


BAD = {
    "labs": [
        lab("ALT", 200, collected_dtc="2024-03-02", visit="UNS.01"),
        lab("CREAT", 90, "mmol/L"),
        lab("ANC", None, lln=1.8),
    ],
    "dosing": [
        dose("GCV", 5.0, unit=None),
        dose("GCV", 5.0, unit="mg/m2", start_dtc="2024-04-01", end_dtc="2024-04-02"),
        dose("IL2", 1.0) | {"drug": "IL7", "start_dtc": "2024-03-02"},
        dose("IL2", 1.0, freq="now and then"),
    ],
    "conmeds": [conmed("prednisone", 10.0, unit=None), conmed("fluocortolone", 10.0)],
}


def test_all_bad_rows_are_named_at_once_and_none_is_lost():
    tables = safety(study(**BAD))
    found = tables.exceptions[tables.exceptions["severity"] == "warning"]
    places = set(zip(found["table"], found["row"], strict=True))
    assert {("labs", "1"), ("labs", "2"), ("labs", "3")} <= places
    assert {("dosing", "1"), ("dosing", "2"), ("dosing", "3"), ("dosing", "4")} <= places
    assert {("conmeds", "1"), ("conmeds", "2")} <= places
    assert (found["action"] != "").all() and (found["message"] != "").all()
    text = " | ".join(found["message"])
    for part in ("no upper limit of normal", "'mmol/L' is no unit of CREAT", "umol/L, mg/dL", "no value",
                 "the dose has no unit", "'mg/m2' does not fit GCV", "drug 'IL7'", "frequency now and then",
                 "unit missing", "no prednisone equivalent for fluocortolone"):  # fmt: skip
        assert part in text or part in " | ".join(found["action"]), part
    assert set(tables.exceptions.columns) == set(schema.EXCEPTION_COLUMNS)
    # Every row is still in its table.
    assert len(tables.courses) == 4
    assert sorted(tables.grades["test"].unique()) == ["ALT", "ANC", "CRCL", "CREAT"]
    assert len(tables.steroid_records) == 2
    assert tables.courses["cumulative"].notna().sum() == 1  # IL-2 of one MIU: its amount is known, its rhythm is not


def test_a_result_without_its_upper_limit_is_told_even_where_the_baseline_grades_it():
    """Baseline 50 of 40 is high: 76 is 1.52 x baseline, grade 1 without any limit of its own day."""
    labs = [lab("ALT", 50, uln=40), lab("ALT", 76, uln=None, **D14), lab("PLT", 70, lln=None, uln=None, **D14)]
    tables = safety(study(labs=labs, visits=[VISIT, LATER]))
    alt = tables.grades[tables.grades["test"] == "ALT"]
    assert alt["grade"].tolist() == [0, 1]
    (told,) = tables.exceptions[tables.exceptions["code"] == "NO_ULN"].to_dict("records")
    assert (told["table"], told["row"], told["usubjid"], told["visit"]) == ("labs", "2", "S-1", "D14")
    assert "ALT has no upper limit of normal" in told["message"]
    assert told["action"].startswith("fill lln and uln")


def test_a_study_folder_tells_the_same_when_it_is_read(tmp_path):
    dosing = """\
usubjid,drug,dose,unit,freq,route,start_dtc,end_dtc
S-1,GCV,5,,Q12H,IV,2024-03-01,2024-03-14
S-1,GCV,5,mg/m2,Q12H,IV,2024-04-01,2024-04-14
S-1,IL7,1,MIU,QD,SC,2024-03-01,2024-03-14
"""
    labs = """\
usubjid,visit,collected_dtc,test,value,unit,lln,uln,lab_id
S-1,BL,2024-03-01T07:50,CREAT,80,mmol/L,,,L1
"""
    with pytest.raises(StudyError) as told:
        read_study(write_study(tmp_path / "study", dosing=dosing, labs=labs))
    found = {(one.where, one.row, one.column) for one in told.value.problems}
    assert found == {("dosing.csv", 1, "unit"), ("dosing.csv", 2, "unit"), ("dosing.csv", 3, "drug"),
                     ("labs.csv", 1, "unit")}  # fmt: skip


def test_flags():
    labs = [
        lab("ANC", 0.5, lln=1.8), lab("PLT", 25, lln=125), lab("HGB", 80, lln=115), lab("CREAT", 70, uln=104),
        lab("ANC", 0.49, lln=1.8, **D14), lab("PLT", 24.9, lln=125, **D14), lab("HGB", 79.9, lln=115, **D14),
        lab("ALT", 30, uln=40, **D14), lab("CREAT", 70, uln=104, **D14),
    ]  # fmt: skip
    tables = safety(study(
        labs=labs, visits=[VISIT, LATER], dosing=[dose("GCV", 2.5)],
        conmeds=[conmed("methylprednisolone", 250.0, route="IV", start_dtc="2024-03-07", end_dtc="2024-03-07"),
                 conmed("basiliximab", 20.0, freq="ONCE", route="IV", start_dtc="2024-02-27", end_dtc=None),
                 conmed("prednisone", 5.0, freq="PRN", start_dtc="2024-03-14", end_dtc="2024-03-14")],
    ))  # fmt: skip
    flags = tables.flags.groupby("visit")["flag"].apply(set)
    assert flags["BL"] == {"GCV_UNDERDOSED", "IMMUNOSUPPRESSANT"}
    assert flags["D14"] == {"GCV_HAEM_LIMIT", "GCV_UNDERDOSED", "GRADE_PROVISIONAL", "IMMUNOSUPPRESSANT",
                            "STEROID_PULSE", "UNKNOWN_INPUT"}  # fmt: skip
    haem = tables.flags[tables.flags["flag"] == "GCV_HAEM_LIMIT"]["detail"]
    assert sorted(haem) == ["ANC 0.49 is below 0.5", "HGB 79.9 is below 80", "PLT 24.9 is below 25"]
    assert set(tables.flags["flag"]) <= set(schema.FLAGS)


def test_what_profiling_joins():
    tables = safety(made := study(
        labs=[lab("ANC", 1.2, lln=1.8), lab("CREAT", 70, uln=104), lab("ALT", 30, uln=40),
              lab("ANC", 0.9, lln=1.8, **D14), lab("ALT", 130, uln=40, **D14), lab("TBIL", 20, uln=None, **D14)],
        visits=[VISIT, LATER, VISIT | {"visit": "D21", "start_dtc": None, "occurred": False}],
        conmeds=[conmed("prednisone", 30.0, end_dtc="2024-03-14")], dosing=[dose("GCV", 5.0)],
    ))  # fmt: skip
    frame = visit_columns(made, tables)
    assert frame.index.tolist() == [("S-1", "BL"), ("S-1", "D14")]
    assert list(frame.columns) == list(schema.CLINICAL_OBS)
    assert frame["anc"].tolist() == [1.2, 0.9]
    assert frame["steroid_ped_mg_kg"].tolist() == [0.5, 0.5]
    assert frame["worst_grade"].tolist() == [2, 3]
    assert frame.loc[("S-1", "D14"), "worst_term"] == "Neutrophil count decreased"
    assert frame["alt_uln"].tolist() == [0.75, 3.25]
    assert frame["n_ungraded"].tolist() == [0, 1]
    assert frame["crcl"].isna().tolist() == [False, True]
    assert frame["gcv_dosed"].tolist() == ["TRUE", "TRUE"]
    assert pd.isna(frame.loc[("S-1", "D14"), "crcl_unstable"])
    # The values do not depend on what a version of CTCAE can grade.
    assert visit_columns(made, safety(made, ctcae="6"))["alt_uln"].tolist() == [0.75, 3.25]
    empty = study(visits=[])
    assert visit_columns(empty, safety(empty)).empty


def test_columns_are_those_of_the_schema():
    tables = safety(study(**BAD))
    expected = {
        "grades": schema.GRADE_COLUMNS, "worst": schema.WORST_COLUMNS, "shift": schema.SHIFT_COLUMNS,
        "event_rates": schema.EVENT_RATE_COLUMNS, "clearance": schema.CLEARANCE_COLUMNS,
        "courses": schema.COURSE_COLUMNS, "exposure": schema.EXPOSURE_COLUMNS, "adequacy": schema.ADEQUACY_COLUMNS,
        "bars": schema.BAR_COLUMNS, "il2_timing": schema.IL2_TIMING_COLUMNS, "steroids": schema.STEROID_COLUMNS,
        "steroid_records": schema.STEROID_RECORD_COLUMNS, "immunosuppressants": schema.IMMUNOSUPPRESSANT_COLUMNS,
        "confounders": schema.CMV_CONFOUNDER_COLUMNS,
        "flags": schema.SAFETY_FLAG_COLUMNS,
    }  # fmt: skip
    assert set(tables.files()) == set(schema.SAFETY_FILES.values())
    assert expected.keys() == schema.SAFETY_FILES.keys()
    nothing = safety(study())
    for name, columns in expected.items():
        assert tuple(getattr(tables, name).columns) == columns
        assert tuple(getattr(nothing, name).columns) == columns
        assert dict(getattr(nothing, name).dtypes.astype(str)).keys() == dict.fromkeys(columns).keys()


def test_the_demo_study(repository):
    demo = read_study(repository / "data" / "demo")
    tables = safety(demo)
    assert tables.exceptions.empty
    assert tables.grades.loc[tables.grades["test"] != "CRCL", "grade"].notna().all()
    assert set(tables.adequacy["appropriately_dosed"]) == {"TRUE"}
    # 28 doses of 5 mg/kg at 57.9 kg, and 14 MIU of IL-2
    assert tables.exposure.set_index(["usubjid", "drug"])["cumulative"]["IL2CMV-01-001", "GCV"] == pytest.approx(8106)
    assert tables.exposure.set_index(["usubjid", "drug"])["cumulative"]["IL2CMV-02-001", "IL2"] == 14
    stated = tables.il2_timing.dropna(subset=["hours_stated"])
    assert len(stated) and (stated["hours_stated"] - stated["hours_computed"]).abs().max() < 0.1
    frame = visit_columns(demo, tables)
    assert not frame.index.duplicated().any()
    assert frame[["anc", "plt", "hgb", "crcl", "worst_grade", "steroid_ped_mg_kg"]].notna().all(axis=None)
