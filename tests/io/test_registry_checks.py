"""A study that was written by hand is held against its files: order, dates, attempts, panels, copies, baselines."""

from __future__ import annotations

import shutil

import pytest

import immunoprofile as ip
from immunoprofile.errors import StudyError
from immunoprofile.profiling.preflight import acquisition_notes
from tests.io.fcs_files import events, write
from tests.small_study import TABLES, write_study

DAYS = {"S-1_BL": "01-MAR-2024", "S-1_D14": "14-MAR-2024", "S-2_BL": "04-MAR-2024"}


def study_with(folder, days=None, **changed):
    """The small study with dates in its files."""
    write_study(folder, **changed)
    for seed, (name, day) in enumerate((DAYS | (days or {})).items(), 1):
        write(folder / "fcs" / f"{name}.fcs", events(300, seed=seed), **{"$DATE": day, "$BTIM": "10:00:00"})
    return folder


def noted(table):
    return [
        (row.code, row.usubjid, row.visit, row.message) for row in table[table["severity"] == "warning"].itertuples()
    ]


def test_files_that_fit_are_not_mentioned(tmp_path):
    study = ip.read_study(study_with(tmp_path))
    assert noted(acquisition_notes(study)) == []
    assert noted(study.exceptions) == []


def test_files_of_two_visits_that_changed_places(tmp_path):
    folder = study_with(tmp_path, {"S-1_BL": "14-MAR-2024", "S-1_D14": "01-MAR-2024"})
    found = noted(acquisition_notes(ip.read_study(folder)))
    assert [row[0] for row in found] == ["ACQUISITION_ORDER", "ACQUIRED_LATE", "ACQUIRED_BEFORE_DRAW"]
    assert found[0][3] == "files of S-1 D14 were acquired on 2024-03-01, before those of BL (2024-03-14)"
    assert found[1][1:] == ("S-1", "BL", "acquired on 2024-03-14 ($DATE), 13 days after the draw")
    assert found[2][1:] == ("S-1", "D14", "acquired on 2024-03-01 ($DATE), before the blood was drawn (2024-03-14)")


def test_frozen_cells_may_be_acquired_late(tmp_path):
    samples = TABLES["samples"].replace("WB_EDTA", "PBMC_FROZEN")
    late = dict.fromkeys(DAYS, "01-DEC-2024")
    assert noted(acquisition_notes(ip.read_study(study_with(tmp_path, late, samples=samples)))) == []


def test_date_of_the_table_against_that_of_the_file(tmp_path):
    samples = TABLES["samples"].replace("fcs_path\n", "fcs_path,acquired_dtc\n").replace(".fcs\n", ".fcs,2024-03-01\n")
    found = noted(acquisition_notes(ip.read_study(study_with(tmp_path, samples=samples))))
    assert [row[:3] for row in found] == [("ACQUIRED_DIFFERS", "S-1", "D14"), ("ACQUIRED_DIFFERS", "S-2", "BL")]


def test_attempts_without_an_order_and_another_panel(tmp_path):
    samples = TABLES["samples"] + "S-1_BL2,S-1,BL,t,sample,WB_EDTA,2024-03-01T08:00,fcs/S-1_BL2.fcs\n"
    folder = study_with(tmp_path, {"S-1_BL2": "01-MAR-2024"}, samples=samples)
    codes = [row[0] for row in noted(acquisition_notes(ip.read_study(folder)))]
    assert codes == ["ATTEMPT_ORDER"]
    assert "was acquired 2 times without an order" in noted(acquisition_notes(ip.read_study(folder)))[0][3]


def test_same_content_under_two_subjects_stops_a_study(tmp_path):
    folder = study_with(tmp_path)
    shutil.copy(folder / "fcs" / "S-1_BL.fcs", folder / "fcs" / "S-2_BL.fcs")
    with pytest.raises(StudyError) as caught:
        ip.read_study(folder)
    (problem,) = caught.value.problems
    assert (problem.where, problem.row, problem.column) == ("samples.csv", 3, "fcs_path")
    assert problem.what == "S-2 BL t has the same content as row 1, S-1 BL t (fcs/S-1_BL.fcs)"
    # The remedy that the message names.
    text = (folder / "samples.csv").read_text().replace("fcs_path\n", "fcs_path,exclude_flag,exclude_reason\n")
    text = text.replace("S-2_BL.fcs\n", "S-2_BL.fcs,Y,copy of S-1\n")
    (folder / "samples.csv").write_text(
        text.replace("S-1_BL.fcs\n", "S-1_BL.fcs,,\n").replace("D14.fcs\n", "D14.fcs,,\n")
    )
    assert len(ip.read_study(folder).samples) == 3


def test_controls_may_be_shared(tmp_path):
    samples = TABLES["samples"].replace("S-2_BL,S-2,BL,t,sample", "S-2_BL,S-2,BL,t,fmo")
    folder = study_with(tmp_path, samples=samples)
    shutil.copy(folder / "fcs" / "S-1_BL.fcs", folder / "fcs" / "S-2_BL.fcs")
    assert ip.read_study(folder).config.study_id == "SMALL"


@pytest.mark.parametrize(
    ("start", "told"), [("2024-02-20", True), ("2024-03-01", False), ("2024-02", True), ("2024-03", False)]
)
def test_visits_out_of_order(tmp_path, start, told):
    visits = TABLES["visits"].replace("D14,2024-03-14", f"D14,{start}")
    study = ip.read_study(study_with(tmp_path, visits=visits))
    rows = study.exceptions[study.exceptions["code"] == "VISIT_ORDER"]
    assert len(rows) == told
    if told:
        assert (
            rows["message"].item()
            == f"S-1: D14 ({start}) lies before BL (2024-03-01), out of the order of the schedule"
        )
        assert (rows["table"].item(), rows["row"].item()) == ("visits", "2")


def test_subject_without_a_baseline_is_one_row(tmp_path):
    samples = "".join(line for line in TABLES["samples"].splitlines(keepends=True) if not line.startswith("S-1_BL"))
    study = ip.read_study(study_with(tmp_path, samples=samples))
    rows = study.exceptions[study.exceptions["code"] == "NO_BASELINE"]
    assert rows["usubjid"].tolist() == ["S-1"]
