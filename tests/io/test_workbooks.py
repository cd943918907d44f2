"""Tables in Excel workbooks: what is stored, what is shown, and what is refused because the two differ."""

from __future__ import annotations

import datetime as dt
import io
import zipfile

import openpyxl
import pytest
from openpyxl.styles import Font
from openpyxl.utils.datetime import CALENDAR_MAC_1904

import immunoprofile as ip
from immunoprofile.errors import StudyError
from tests.small_study import STUDY_YAML, TABLES, write_study


def rows_of(name):
    lines = [line.replace('"10,000"', "10000").split(",") for line in TABLES[name].splitlines()]
    return [[cell or None for cell in line] for line in lines]


def labs():
    """The labs as a spreadsheet holds them: dates as dates, numbers as numbers."""
    header, *lines = rows_of("labs")
    typed = [[*line[:2], dt.datetime.fromisoformat(line[2]), line[3], float(line[4]), line[5], float(line[6]),
              float(line[7]), *line[8:]] for line in lines]  # fmt: skip
    return [header, *typed]


def save(path, rows, *, sheet="Sheet1", change=None):
    book = openpyxl.Workbook()
    book.active.title = sheet
    for row in rows:
        book.active.append(row)
    if change is not None:
        change(book.active)
    book.save(path)
    return path


def study_with(tmp_path, rows, *, table="labs", change=None, config=None, name=None):
    folder = write_study(tmp_path, config=config, **{table: None})
    save(folder / (name or f"{table}.xlsx"), rows, change=change)
    return folder


def refusal(folder):
    with pytest.raises(StudyError) as caught:
        ip.read_study(folder)
    return caught.value


def test_the_same_study_from_a_workbook(tmp_path):
    plain = ip.read_study(write_study(tmp_path / "a"))
    study = ip.read_study(study_with(tmp_path / "b", labs()))
    assert study.labs.equals(plain.labs)
    assert set(study.inputs) == {"study.yaml", "subjects.csv", "visits.csv", "samples.csv", "cmv_dna.csv", "labs.xlsx"}
    assert set(study.exceptions["code"]) == set(plain.exceptions["code"])


def test_header_below_empty_lines_and_beside_empty_columns(tmp_path):
    def move(sheet):
        sheet.insert_rows(1, 2)
        sheet.insert_cols(1)

    assert ip.read_study(study_with(tmp_path, labs(), change=move)).labs["value"].tolist() == [3.2, 25, 900]


def test_title_above_the_header_is_named(tmp_path):
    folder = study_with(tmp_path, labs(), change=lambda sheet: (sheet.insert_rows(1), sheet.cell(1, 1, "Laboratory A")))
    assert "labs.xlsx: the column names stand in line 2 of the sheet" in str(refusal(folder))


# --- ids --------------------------------------------------------------------------------------------


def test_ids_keep_their_zeros(tmp_path):
    """001 as text, and the number 1 that a format shows as 001."""
    header, *lines = rows_of("subjects")

    def show(sheet):
        sheet.cell(3, 1, 2).number_format = "000"

    lines[0][0], lines[1][0] = "001", None
    folder = study_with(tmp_path, [header, *lines], table="subjects", change=show)
    for name in ("visits", "samples", "cmv_dna", "labs"):
        text = (folder / f"{name}.csv").read_text().replace("S-1,", "001,").replace("S-2,", "002,")
        (folder / f"{name}.csv").write_text(text)
    study = ip.read_study(folder)
    assert study.subjects["usubjid"].tolist() == ["001", "002"]
    assert "UNKNOWN_SUBJECT" not in set(study.exceptions["code"])


def test_a_format_that_adds_letters_is_refused(tmp_path):
    def show(sheet):
        sheet.cell(2, 1, 1).number_format = '"S-"0'

    error = refusal(study_with(tmp_path, rows_of("subjects"), table="subjects", change=show))
    assert "row 1, column usubjid: a number that the spreadsheet shows otherwise than it is stored" in str(error)


# --- dates ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch_1904", [False, True])
def test_dates_of_both_systems(tmp_path, epoch_1904):
    folder = write_study(tmp_path, labs=None)
    book = openpyxl.Workbook()
    if epoch_1904:
        book.epoch = CALENDAR_MAC_1904
    for row in labs():
        book.active.append(row)
    # Midnight, a time that binary fractions miss, and a day number without a format of dates.
    book.active["C2"] = dt.datetime(2024, 3, 1)
    book.active["C3"] = dt.datetime(2024, 3, 1, 8, 15, 0)
    book.active["C4"] = 45371 - (1462 if epoch_1904 else 0)
    book.active["C4"].number_format = "General"
    book.save(folder / "labs.xlsx")
    study = ip.read_study(folder)
    assert study.labs["collected_dtc"].tolist() == ["2024-03-01", "2024-03-01T08:15", "2024-03-20"]
    noted = study.exceptions.set_index("code").loc["TABLE_READ_AS", "message"]
    assert "day numbers of Excel as dates" in noted and "is 2024-03-20" in noted


@pytest.mark.parametrize(
    ("cell", "value", "words"),
    [
        ("E2", dt.datetime(2024, 6, 4), "column value: the spreadsheet made a date of this cell"),
        ("B2", dt.date(2024, 2, 1), "column visit: the spreadsheet made a date of this cell"),
        ("C2", dt.time(8, 30), "column collected_dtc: a time of day without a date"),
        ("C2", dt.timedelta(hours=30), "column collected_dtc"),
        ("E2", "#DIV/0!", "column value: an error of the spreadsheet (found '#DIV/0!')"),
        ("E2", "4,66", None),
        ("E2", "12,400", "column value: a number that can be read in two ways"),
    ],
)
def test_single_cells(tmp_path, cell, value, words):
    def put(sheet):
        sheet[cell] = value

    folder = study_with(tmp_path, labs(), change=put)
    if words is None:
        assert ip.read_study(folder).labs["value"].tolist() == [4.66, 25, 900]
    else:
        told = str(refusal(folder))
        assert f"labs.xlsx, row 1, {words}" in told, told


def test_stored_numbers_have_no_decimal_mark(tmp_path):
    """12.345 stored as a number is 12.345 whatever the country; as text beside it nobody knows."""

    def put(sheet):
        sheet["E2"], sheet["E3"] = 12.345, 1.5e-7

    assert ip.read_study(study_with(tmp_path, labs(), change=put)).labs["value"].tolist() == [12.345, 1.5e-7, 900]


def test_results_in_a_workbook_are_those_of_the_laboratory(tmp_path):
    """12,400 IU/mL is judged by the rules of results as in a CSV, unless the workbook shows decimal commas."""
    rows = rows_of("cmv_dna")
    rows[1][3] = "12,400"
    assert ip.read_study(study_with(tmp_path / "a", rows, table="cmv_dna")).cmv_dna["result_raw"][1] == "12,400"
    rows[2][3] = "<137,5"
    told = str(refusal(study_with(tmp_path / "b", rows, table="cmv_dna")))
    assert "row 1, column result_raw: a number that can be read in two ways (found '12,400')" in told
    rows[1][3] = "12400"
    study = ip.read_study(study_with(tmp_path / "c", rows, table="cmv_dna"))
    assert study.cmv_dna["result_raw"].tolist()[:2] == ["12400", "<137.5"]


def test_percent_format(tmp_path):
    def put(sheet):
        sheet["E3"] = 0.25
        sheet["E3"].number_format = "0%"

    told = str(refusal(study_with(tmp_path, labs(), change=put)))
    assert "row 2, column value: a cell in percent format" in told
    assert "0.25 stored, 25 % shown" in told


# --- what a sheet does with cells -----------------------------------------------------------------


def test_merged_and_crossed_out_cells(tmp_path):
    told = str(refusal(study_with(tmp_path / "a", labs(), change=lambda sheet: sheet.merge_cells("A2:A3"))))
    assert "merged cells: only the first of them holds the value (found 'A2:A3')" in told

    def cross(sheet):
        sheet["E2"].font = Font(strike=True)

    assert "row 1, column value: a crossed-out cell" in str(refusal(study_with(tmp_path / "b", labs(), change=cross)))


def with_stored_value(path, formula, value):
    """What a spreadsheet program stores beside a formula, which openpyxl cannot compute."""
    packed = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name).decode() if name.endswith(".xml") else old.read(name)
            if name.endswith("sheet1.xml"):
                assert f"<f>{formula}</f>" in content
                content = content.replace(f"<f>{formula}</f><v></v>", f"<f>{formula}</f><v>{value}</v>")
                content = content.replace(f"<f>{formula}</f><v />", f"<f>{formula}</f><v>{value}</v>")
            new.writestr(name, content)


def test_formulas(tmp_path):
    def put(sheet):
        sheet["E2"] = "=1.5+1.7"

    folder = study_with(tmp_path, labs(), change=put)
    assert "row 1, column value: a formula that was never computed" in str(refusal(folder))
    with_stored_value(folder / "labs.xlsx", "1.5+1.7", "3.2")
    study = ip.read_study(folder)
    assert study.labs["value"].tolist() == [3.2, 25, 900]
    assert "formulas with the value that was last computed (value, row 1: 3.2)" in " ".join(study.exceptions["message"])


def test_hidden_rows_are_read_and_said(tmp_path):
    def hide(sheet):
        sheet.row_dimensions[3].hidden = True

    study = ip.read_study(study_with(tmp_path, labs(), change=hide))
    assert len(study.labs) == 3
    assert "rows that are hidden in the sheet are read too (1)" in " ".join(study.exceptions["message"])


# --- sheets -----------------------------------------------------------------------------------------


def test_sheet_by_name_and_the_others_are_named(tmp_path):
    folder = study_with(tmp_path, [["nothing"]])
    book = openpyxl.load_workbook(folder / "labs.xlsx")
    book.active.title = "Notes"
    for row in labs():
        (book["LABS"] if "LABS" in book.sheetnames else book.create_sheet("LABS")).append(row)
    book.save(folder / "labs.xlsx")
    study = ip.read_study(folder)
    assert len(study.labs) == 3
    assert study.exceptions.set_index("code").loc["UNREAD_TABLE", "message"] == "only sheet LABS was read, not Notes"
    (folder / "study.yaml").write_text(STUDY_YAML + "tables: {labs: {sheet: Notes}}\n")
    assert "column usubjid: a column is missing" in str(refusal(folder))
    (folder / "study.yaml").write_text(STUDY_YAML + "tables: {labs: {sheet: Export}}\n")
    assert "has no such sheet (found 'Export'); allowed: Notes, LABS" in str(refusal(folder))


def test_one_workbook_for_all_tables(tmp_path):
    plain = ip.read_study(write_study(tmp_path / "a"))
    folder = write_study(tmp_path / "b", **dict.fromkeys(TABLES))
    book = openpyxl.Workbook()
    book.active.title = "read me"
    book.active["A1"] = "help"
    for name in TABLES:
        sheet = book.create_sheet(name)
        for row in rows_of(name):
            sheet.append(row)
    book.create_sheet("dose")["A1"] = "usubjid"
    book.save(folder / "study.xlsx")
    study = ip.read_study(folder)
    for name in ("subjects", "visits", "samples", "labs"):
        assert study.tables[name].equals(plain.tables[name]), name
    assert set(study.inputs) == {"study.yaml", "study.xlsx"}
    noted = study.exceptions.set_index("code").loc["UNREAD_TABLE"]
    assert noted["message"] == "sheet dose is no known table and was not read"
    assert "dosing" in noted["action"]
    book["labs"]["D2"] = "WBX"
    book.save(folder / "study.xlsx")
    assert "study.xlsx, sheet labs, row 1, column test: wrong value (found 'WBX')" in str(refusal(folder))
    (folder / "labs.csv").write_text(TABLES["labs"])
    assert "labs: stands in two files" in str(refusal(folder))


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04" + b"x" * 40, b"\xd0\xcf\x11\xe0" + b"\x00" * 500, b"usubjid,visit\n", b"<html></html>"],
)
def test_what_is_no_workbook(tmp_path, content):
    folder = write_study(tmp_path, labs=None)
    (folder / "labs.xlsx").write_bytes(content)
    error = refusal(folder)
    assert [problem.where for problem in error.problems] == ["labs.xlsx"]


def test_damaged_parts_of_a_workbook(tmp_path):
    folder = study_with(tmp_path, labs())
    whole = (folder / "labs.xlsx").read_bytes()
    with zipfile.ZipFile(io.BytesIO(whole)) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    for broken in parts:
        for change in (lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b.replace(b"<v>", b"<v>x")):
            with zipfile.ZipFile(folder / "labs.xlsx", "w") as book:
                for name, content in parts.items():
                    book.writestr(name, change(content) if name == broken else content)
            try:
                ip.read_study(folder)
            except StudyError as error:
                assert all(problem.where == "labs.xlsx" for problem in error.problems)


def test_a_workbook_that_unfolds_without_end(tmp_path, monkeypatch):
    folder = study_with(tmp_path, labs())
    monkeypatch.setattr("immunoprofile.io.workbook.LARGEST_UNPACKED", 1000)
    assert "unfolds to" in str(refusal(folder))
