"""What people wrote is judged before the first file is gated; what could not be told then is listed."""

# ruff: noqa: E501

from __future__ import annotations

import pytest

import immunoprofile as ip
from immunoprofile.errors import StudyError
from immunoprofile.profiling.decisions import known_checks
from immunoprofile.profiling.preflight import check_files, prepare
from tests.small_study import STUDY_YAML, TABLES, write_gates, write_study

OVERRIDES = "usubjid,visit,tube_id,check,state,reason,author,dtc\n"
REVIEWS = "usubjid,visit,report_id,decision,reviewer,dtc,comment\n"
QUERIES = "record,question,owner,answer,closed\n"
GOOD = {
    "overrides": OVERRIDES
    + "S-1,D14,t,margins,PASS,looked at,R7,2024-03-21\nS-1,D14,,events t,PASS,looked at,R7,2024-03-21\n",
    "reviews": REVIEWS
    + "S-1,D14,0123456789abcdef,accept,R7,2024-03-21,\n,COHORT,0123456789abcdef,query,R7,2024-03-22,x\n",
    "queries": QUERIES
    + "S-1_BL,a?,site,,N\nS-1 D14,b?,site,,N\nS-2,c?,site,,N\nlabs row 2,d?,site,,N\nlabs.csv row 3,e?,site,,N\n",
}


@pytest.fixture
def folder(tmp_path):
    write_study(tmp_path / "study", **GOOD)
    write_gates(tmp_path / "gates")
    return tmp_path


def gates(folder):
    return ip.gate.load(folder / "gates")


def test_rows_that_fit_are_taken(folder):
    prepare(ip.read_study(folder / "study"), gates(folder))


@pytest.mark.parametrize(
    ("table", "row", "said"),
    [
        ("overrides", "S-1,D14,t,margin,PASS,x,R7,2024-03-21", "row 1, column check: there is no such check (found 'margin'); "
         "allowed: did you mean margins?"),
        ("overrides", "S-1,D14,q,margins,PASS,x,R7,2024-03-21", "column tube_id: there is no such tube (found 'q'); allowed: t"),
        ("overrides", "S-2,D14,t,margins,PASS,x,R7,2024-03-21", "subject S-2 has no sample of this visit"),
        ("overrides", "S-9,D14,t,margins,PASS,x,R7,2024-03-21", "overrides.csv, row 1, column usubjid: no such subject"),
        ("overrides", "S-1,D14,t,margins,PASS,x,R7,2024-03-21\nS-1,D14,t,margins,FAIL,x,R7,2024-03-21",
         "row 2, column usubjid, visit, tube_id, check: repeats row 1"),
        ("overrides", "S-1,D14,,events nk,PASS,x,R7,2024-03-21", "there is no such check (found 'events nk')"),
        ("reviews", "S-1,D41,0123456789abcdef,accept,R7,2024-03-21,", "there is no such visit (found 'D41')"),
        ("reviews", ",D14,0123456789abcdef,accept,R7,2024-03-21,", "the cohort report has no subject"),
        ("reviews", "S-1,COHORT,0123456789abcdef,accept,R7,2024-03-21,", "the cohort report has no subject"),
        ("reviews", "S-1,D14,page one,accept,R7,2024-03-21,", "is no id of a report (found 'page one')"),
        ("reviews", "S-9,D14,0123456789abcdef,accept,R7,2024-03-21,", "reviews.csv, row 1, column usubjid: no such subject"),
        ("queries", "S-1_BLL,why?,site,,N", "names nothing in the study (found 'S-1_BLL'); allowed: did you mean S-1_BL?"),
        ("queries", "lab row 2,why?,site,,N", "names nothing in the study"),
    ],
)  # fmt: skip
def test_a_row_about_nothing_is_refused_before_a_file_is_gated(tmp_path, table, row, said):
    heads = {"overrides": OVERRIDES, "reviews": REVIEWS, "queries": QUERIES}
    write_study(tmp_path / "study", **{table: heads[table] + row + "\n"})
    write_gates(tmp_path / "gates")
    with pytest.raises(StudyError) as refused:
        ip.profile(ip.read_study(tmp_path / "study"), gates(tmp_path), out=tmp_path / "out")
    assert said in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_all_wrong_rows_are_told_at_once(tmp_path):
    write_study(
        tmp_path / "study",
        overrides=OVERRIDES + "S-1,D14,t,margin,PASS,x,R7,2024-03-21\n",
        queries=QUERIES + "nobody,why?,site,,N\n",
    )
    write_gates(tmp_path / "gates")
    with pytest.raises(StudyError) as refused:
        prepare(ip.read_study(tmp_path / "study"), gates(tmp_path))
    assert len(refused.value.problems) == 2


def test_an_override_of_a_check_that_was_not_made_is_listed(tmp_path):
    """The check exists, the file cannot be read: after hours of gating nobody is sent home."""
    row = "S-1,D14,t,margins,PASS,looked at,R7,2024-03-21\n"
    write_study(tmp_path / "study", overrides=OVERRIDES + row)
    write_gates(tmp_path / "gates")
    (tmp_path / "study" / "fcs" / "S-1_D14.fcs").write_bytes(b"FCS3.1 no more")
    profile = ip.profile(ip.read_study(tmp_path / "study"), gates(tmp_path), out=tmp_path / "out")
    listed = profile.exceptions[profile.exceptions["code"] == "OVERRIDE_NOT_USED"]
    assert listed["message"].tolist() == ["the check margins of tube t was not made; the override was left out"]
    assert listed["severity"].tolist() == ["error"]


def test_every_check_of_a_run_can_be_overridden(folder):
    study = ip.read_study(folder / "study")
    profile = ip.profile(study, gates(folder), out=folder / "out")
    assert set(profile.quality["check"]) <= set(known_checks(study))
    assert profile.quality.loc[profile.quality["check"] == "margins", "computed_state"].notna().all()


def test_a_missing_file_refuses_the_run_or_leaves_out_its_sample(tmp_path):
    write_gates(tmp_path / "gates")
    write_study(tmp_path / "study")
    (tmp_path / "study" / "fcs" / "S-1_D14.fcs").unlink()
    with pytest.raises(StudyError, match=r"FCS file is missing.*on_missing_file: exclude"):
        ip.read_study(tmp_path / "study")
    (tmp_path / "study" / "study.yaml").write_text(STUDY_YAML + "on_missing_file: exclude\n")
    table = TABLES["samples"].replace("fcs_path\n", "fcs_path,sha256\n").replace(".fcs\n", f".fcs,{'0' * 64}\n")
    study = ip.read_study(tmp_path / "study")
    assert check_files(study)[["sample_id", "message"]].to_numpy().tolist() == [["S-1_D14", "file is missing"]]
    profile = ip.profile(study, gates(tmp_path), out=tmp_path / "out")
    left_out = profile.exceptions[profile.exceptions["severity"] == "error"]
    assert left_out[["sample_id", "code", "message"]].to_numpy().tolist() == [
        ["S-1_D14", "FILE_UNREADABLE", "file is missing"]
    ]
    assert set(profile.counts["sample_id"]) == {"S-1_BL", "S-2_BL"}
    (tmp_path / "study" / "samples.csv").write_text(table)
    found = check_files(ip.read_study(tmp_path / "study"))
    assert found["code"].tolist() == ["CONTENT_CHANGED", "FILE_UNREADABLE", "CONTENT_CHANGED"]
