"""Files that look like tables and are none are named with the nearest known name; problems of a column are one line."""

# ruff: noqa: E501

from __future__ import annotations

import pytest

import immunoprofile as ip
from immunoprofile.errors import Problem, StudyError, grouped
from tests.small_study import TABLES, write_study


def unread(study):
    rows = study.exceptions[study.exceptions["code"] == "UNREAD_TABLE"]
    return dict(zip(rows["file"], rows["action"], strict=True))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("CMV_DNA.csv", "cmv_dna.csv"), ("lab.csv", "labs.csv"), ("doses.csv", "dosing.csv"), ("Labs 2024-05.xlsx", "labs.xlsx"),
        ("viral load.tsv", "cmv_dna.tsv"), ("conmed.csv", "conmeds.csv"), ("adverse_events.csv", "aes.csv"),
        ("cmv_dna.xls", "cmv_dna.xlsx"), ("labs.ods", "labs.xlsx"), ("DOSING.txt", "dosing.txt"), ("weather.csv", "sub-folder"),
    ],
)  # fmt: skip
def test_file_that_was_not_read(tmp_path, name, near):
    folder = write_study(tmp_path, cmv_dna=None, labs=None)
    (folder / name).write_text(TABLES["labs"])
    found = unread(ip.read_study(folder))
    assert list(found) == [name]
    assert near in found[name], found[name]


def test_files_that_are_no_tables_are_left_alone(tmp_path):
    folder = write_study(tmp_path)
    for name in ("notes.txt", "protocol.pdf", ".hidden.csv", "~$labs.xlsx", "run.fcs"):
        (folder / name).write_text("x")
    (folder / "truth").mkdir()
    (folder / "truth" / "lab.csv").write_text("x")
    assert unread(ip.read_study(folder)) == {}


def test_required_table_under_another_name(tmp_path):
    folder = write_study(tmp_path)
    (folder / "samples.csv").rename(folder / "Manifest.csv")
    with pytest.raises(StudyError) as caught:
        ip.read_study(folder)
    assert "samples.csv: file is missing (found 'Manifest.csv'); allowed: rename it to samples" in str(caught.value)


def test_rows_of_a_column_are_one_line(tmp_path):
    rows = "".join(f"S-1,BL,2024-03-01T07:{n % 60:02}:{n // 60:02},WBC,low{n % 2},10^9/L,,,L1\n" for n in range(304))
    with pytest.raises(StudyError) as caught:
        ip.read_study(write_study(tmp_path, labs=TABLES["labs"].splitlines()[0] + "\n" + rows))
    assert len(caught.value.problems) == 304
    assert str(caught.value).splitlines()[1:] == [
        "  1. labs.csv, 304 rows (1, 2, 3 ...), column value: wrong value (found 'low0', 'low1'); allowed: a number"
    ]
    assert len(caught.value.listed().splitlines()) == 305
    assert "row 304, column value: wrong value (found 'low1')" in caught.value.listed()


def test_problems_are_joined_only_when_they_are_the_same():
    same = [Problem("a.csv", "wrong", row=n, column="x", value=str(n)) for n in range(1, 6)]
    other = [Problem("a.csv", "wrong", row=1, column="y"), Problem("b.csv", "wrong", row=1, column="x")]
    without_row = [Problem("samples.csv", "acquired twice", value=name) for name in ("one", "two")]
    lines = grouped([*same, *other, *without_row])
    assert len(lines) == 5
    assert lines[0] == "a.csv, 5 rows (1, 2, 3 ...), column x: wrong (found '1', '2', '3' and 2 other values)"
