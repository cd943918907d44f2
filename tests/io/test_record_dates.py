"""Dates after the data cut, dates after today, and results far from their visit: named, and nothing is lost."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from immunoprofile.errors import StudyError
from immunoprofile.io.config import StudyConfig, read_config, write_config
from immunoprofile.profiling.preflight import future_dates
from immunoprofile.study import read_study
from tests.small_study import STUDY_YAML, TABLES, write_study


def study(folder: Path, cut: str = "", **changed: str) -> Path:
    config = STUDY_YAML + (f"data_cut: {cut}\n" if cut else "")
    return write_study(folder, files=False, config=config, **changed)


def problems_of(folder: Path) -> list[tuple[str, int | None, str, str]]:
    with pytest.raises(StudyError) as told:
        read_study(folder, require_files=False)
    found = [one for one in told.value.problems if one.what == "after the data cut"]
    assert len(found) == len(told.value.problems)
    assert all("correct the date" in one.allowed for one in found)
    return [(one.where, one.row, one.column, one.value) for one in found]


def test_every_date_after_the_data_cut_is_named_with_its_place(tmp_path: Path) -> None:
    # The study ends on 20 March; the day of the cut is not after it, whatever the time of day.
    assert len(read_study(study(tmp_path / "a", "2024-03-20"), require_files=False).cmv_dna) == 4
    assert problems_of(study(tmp_path / "b", "2024-03-19")) == [
        ("cmv_dna.csv", 3, "collected_dtc", "2024-03-20"), ("labs.csv", 3, "collected_dtc", "2024-03-20T09:00"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "refused"),
    [("2024-03-20", False), ("2024-03-20T23:59", False), ("2024-03-21", True), ("2024-03", False), ("2024-04", True),
     ("2024", False), ("2025", True), ("2031-01-01", True)],
)  # fmt: skip
def test_boundaries_of_the_data_cut(tmp_path: Path, value: str, refused: bool) -> None:
    table = TABLES["cmv_dna"].replace("S-1,,2024-03-20", f"S-1,D14,{value}")
    folder = study(tmp_path / "s", "2024-03-20", cmv_dna=table)
    if refused:
        assert problems_of(folder) == [("cmv_dna.csv", 3, "collected_dtc", value)]
    else:
        assert len(read_study(folder, require_files=False).cmv_dna) == 4


def test_bead_expiry_may_lie_ahead_and_an_end_of_a_course_may_not(tmp_path: Path) -> None:
    header, *rows = TABLES["samples"].splitlines()
    samples = "\n".join([f"{header},bead_expiry", *(f"{row},2030-01-01" for row in rows), ""])
    dosing = "usubjid,drug,dose,unit,freq,route,start_dtc,end_dtc\nS-1,GCV,5,mg/kg,Q12H,IV,2024-03-01,2024-05-01\n"
    folder = study(tmp_path / "s", "2024-03-20", samples=samples, dosing=dosing)
    assert problems_of(folder) == [("dosing.csv", 1, "end_dtc", "2024-05-01")]


def test_without_a_data_cut_a_run_never_asks_the_clock_and_a_check_does(tmp_path: Path) -> None:
    table = TABLES["cmv_dna"].replace("S-1,D14,2024-03-14", "S-1,D14,2031-03-14")
    made = read_study(study(tmp_path / "s", cmv_dna=table), require_files=False)
    assert len(made.cmv_dna) == 4  # nothing is lost
    (far,) = made.exceptions[made.exceptions["code"] == "DATE_FAR_FROM_VISIT"].to_dict("records")
    assert (far["table"], far["row"], far["usubjid"], far["visit"]) == ("cmv_dna", "2", "S-1", "D14")
    # 14 March 2024 to 14 March 2031: 7 years with the leap day of 2028 only
    assert far["message"] == f"collected 2031-03-14, {7 * 365 + 1} days away from its visit"
    assert "data_cut" in far["action"]
    (told,) = future_dates(made, date(2026, 1, 1)).to_dict("records")
    assert (told["code"], told["table"], told["row"], told["severity"]) == ("FUTURE_DATE", "cmv_dna", "2", "warning")
    assert "2031-03-14" in told["message"] and "data_cut" in told["action"]
    assert future_dates(made, date(2031, 3, 14)).empty


@pytest.mark.parametrize(
    ("visit", "drawn", "told"),
    [
        ("D14", "2024-04-11", False),  # 28 days after 14 March
        ("D14", "2024-04-12", True),
        ("D14", "2024-02-15", False),  # 28 days before
        ("D14", "2024-02-14", True),
        ("D14", "2024-04", False),  # not known to the day
        ("", "2025-03-15", False),  # 366 days after the last visit
        ("", "2025-03-16", True),
        ("", "2023-02-28", True),  # 367 days before the first visit
        ("", "2023-03-01", False),
    ],
)
def test_distance_from_the_visit(tmp_path: Path, visit: str, drawn: str, told: bool) -> None:
    table = TABLES["cmv_dna"].replace("S-1,,2024-03-20", f"S-1,{visit},{drawn}")
    found = read_study(study(tmp_path / "s", cmv_dna=table), require_files=False).exceptions
    assert ("DATE_FAR_FROM_VISIT" in set(found["code"])) == told


def test_data_cut_in_study_yaml(tmp_path: Path) -> None:
    for text in ("2024-03-20", "'2024-03-20'"):  # YAML makes a date of the first
        config = read_config(study(tmp_path / text.strip("'"), text))
        assert config.data_cut == "2024-03-20"
        (tmp_path / "again").mkdir(exist_ok=True)
        write_config(config, tmp_path / "again")
        assert read_config(tmp_path / "again") == config
    for wrong in ("2024-03", "20.03.2024", "2024-03-20T10:00:00"):
        with pytest.raises(StudyError, match="data_cut"):
            read_config(study(tmp_path / "wrong", wrong))
    assert StudyConfig.model_fields["data_cut"].default == ""


def test_a_cell_without_a_unit_says_what_belongs_there(tmp_path: Path) -> None:
    dosing = "usubjid,drug,dose,unit,freq,route,start_dtc\nS-1,GCV,5,,Q12H,IV,2024-03-01\n"
    labs = TABLES["labs"].replace("ALC,900,cells/uL", "ALC,900,mmol/L")
    cmv = TABLES["cmv_dna"].replace("5000,IU/mL", "5000,geq/mL")
    with pytest.raises(StudyError) as told:
        read_study(study(tmp_path / "s", dosing=dosing, labs=labs, cmv_dna=cmv), require_files=False)
    found = {(one.where, one.row, one.column): one.allowed for one in told.value.problems}
    assert found == {
        ("cmv_dna.csv", 4, "unit"): "one of IU/mL, copies/mL, log10 IU/mL, log10 copies/mL",
        ("dosing.csv", 1, "unit"): "one of MIU, IU, MIU/m2, mg, mg/kg",
        ("labs.csv", 3, "unit"): "10^9/L, 10^3/uL, K/uL, 10^6/L, cells/uL, /uL, /mm3",
    }
    assert len(told.value.problems) == 3  # each of them once
