"""Tables as people have them: what a file proves is read, what it leaves open is refused with both readings."""

# ruff: noqa: E501

from __future__ import annotations

import pytest

import immunoprofile as ip
from immunoprofile.errors import StudyError
from immunoprofile.io.date_forms import shape_of
from immunoprofile.io.number_marks import in_points, proof_of
from tests.small_study import STUDY_YAML, TABLES, write_study

LABS = TABLES["labs"]
"""WBC 3.2, LYMPH_PCT 25, ALC 900; limits of normal with and without a decimal mark."""


def commas(text: str) -> str:
    """The same table as a spreadsheet saves it where the comma is the decimal mark."""
    return text.replace(",", ";").replace(".", ",")


def problems_of(folder):
    with pytest.raises(StudyError) as caught:
        ip.read_study(folder)
    return caught.value


def notes_of(study, code="TABLE_READ_AS"):
    return " | ".join(study.exceptions.loc[study.exceptions["code"] == code, "message"])


@pytest.mark.parametrize(
    ("text", "proof"),
    [
        ("4,66", "comma"), ("4.66", "point"), ("12", "none"), ("12,400", "open"), ("12.400", "open"), ("-1,234", "open"),
        ("0,125", "comma"), ("0.125", "point"), ("1234,567", "comma"), ("1.234,5", "comma"), ("1,234.5", "point"),
        ("1.234.567", "comma"), ("1,234,567", "point"), ("1 234,5", "comma"), ("1'234.5", "point"), ("1,2E+04", "comma"),
        ("1,2,3", "other"), ("low", "other"), ("4,,6", "other"), ("٣,٤", "other"),
    ],
)  # fmt: skip
def test_what_a_number_proves(text, proof):
    assert proof_of(text) == proof


@pytest.mark.parametrize(
    ("text", "decimal", "plain"),
    [
        ("1.234,5", "comma", "1234.5"), ("12,400", "comma", "12.400"), ("12.400", "comma", "12400"),
        ("1\u202f234,5", "comma", "1234.5"), ("4.66", "comma", None), ("12,400", "point", "12400"), ("4,66", "point", None),
    ],
)  # fmt: skip
def test_numbers_in_points(text, decimal, plain):
    assert in_points(text, decimal) == plain


@pytest.mark.parametrize(
    ("separator", "suffix", "word"), [(";", ".csv", "semicolons"), ("\t", ".csv", "tabs"), ("\t", ".tsv", "tabs"),
                                      ("\t", ".txt", "tabs"), ("|", ".csv", "bars")]
)  # fmt: skip
def test_separators(tmp_path, separator, suffix, word):
    plain = ip.read_study(write_study(tmp_path / "a"))
    folder = write_study(tmp_path / "b", labs=None)
    (folder / f"labs{suffix}").write_bytes(LABS.replace(",", separator).encode())
    study = ip.read_study(folder)
    assert study.labs.equals(plain.labs)
    assert f"columns separated by {word}" in notes_of(study)
    assert f"labs{suffix}" in study.inputs


def test_semicolons_and_decimal_commas(tmp_path):
    plain = ip.read_study(write_study(tmp_path / "a"))
    study = ip.read_study(write_study(tmp_path / "b", labs=commas(LABS)))
    assert study.labs["value"].tolist() == plain.labs["value"].tolist() == [3.2, 25, 900]
    assert study.labs["uln"].tolist() == [9.5, 50, 3200]
    assert "decimal commas (3,2 is 3.2)" in notes_of(study)


def test_line_that_names_the_separator_and_rows_without_content(tmp_path):
    text = "sep=;\r\n" + commas(LABS).replace("\n", ";;\r\n") + ";;;;;;;;;;\r\n\r\n"
    assert len(ip.read_study(write_study(tmp_path, labs=text)).labs) == 3


@pytest.mark.parametrize("cell", ["12,400", "12.400"])
def test_a_number_with_two_readings_is_refused_and_can_be_said(tmp_path, cell):
    labs = commas(LABS).replace("900", cell)
    told = str(problems_of(write_study(tmp_path / "a", labs=labs)))
    assert f"labs.csv, row 3, column value: a number that can be read in two ways (found '{cell}')" in told
    assert "12.4 or 12400" in told or "12400 or 12.4" in told
    assert "decimal: comma" in told
    config = STUDY_YAML + "tables: {labs: {decimal: comma}}\n"
    study = ip.read_study(write_study(tmp_path / "b", labs=labs, config=config))
    assert study.labs["value"].tolist() == [3.2, 25, 12.4 if "," in cell else 12400]
    # The results folder holds the tables in the documented form, and must be read so.
    study.write(tmp_path / "c")
    assert ip.read_study(tmp_path / "c", require_files=False).labs["value"].tolist() == study.labs["value"].tolist()


def test_the_documented_form_keeps_its_meaning(tmp_path):
    """A comma-separated file has decimal points: 12.400 is 12.4 there, as it always was, and "12,400" is refused."""
    study = ip.read_study(write_study(tmp_path / "a", labs=LABS.replace("900", "12.400")))
    assert study.labs["value"].tolist() == [3.2, 25, 12.4]
    assert "TABLE_READ_AS" not in set(study.exceptions["code"])
    told = str(problems_of(write_study(tmp_path / "b", labs=LABS.replace("900", '"12,400"'))))
    assert "can be read in two ways (found '12,400')" in told


def test_result_of_the_laboratory_in_a_table_with_decimal_commas(tmp_path):
    """12,400 IU/mL is 12400 in the documented form; beside decimal commas nobody knows."""
    text = TABLES["cmv_dna"].replace('"10,000"', "10000").replace(",", ";").replace("5000", "12,400")
    assert "column result_raw: a number that can be read in two ways" in str(
        problems_of(write_study(tmp_path / "a", cmv_dna=text))
    )
    study = ip.read_study(write_study(tmp_path / "b", cmv_dna=text.replace("12,400", "4120,5")))
    assert study.cmv_dna["result_raw"].tolist() == ["10000", "<137", "not detected", "4120.5"]


def test_mixed_decimal_marks(tmp_path):
    told = str(problems_of(write_study(tmp_path, labs=commas(LABS).replace("25;%", "25.5;%"))))
    assert "labs.csv: decimal commas and decimal points in one file" in told
    assert "25.5 in row 2" in told


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.replace("3.2", "3,2"), "a decimal comma in a file that is separated by commas? (found '3,2')"),
        (lambda t: t.splitlines()[0].replace(",", ";") + "\n" + "\n".join(t.splitlines()[1:]), "two separators"),
        (lambda t: t.replace("usubjid,visit", "usubjid;visit"), "two separators"),
        (lambda t: t + 'S-2,BL,"2024', "every opening quotation mark closed"),
        (lambda t: t.replace("L1", "L1,more"), "more cells than the header has columns"),
    ],
)
def test_rows_that_do_not_fit_the_header(tmp_path, change, words):
    told = str(problems_of(write_study(tmp_path, labs=change(LABS))))
    assert words in told, told


def test_windows_letters_and_utf16(tmp_path):
    plain = TABLES["visits"].replace("N,MISSED", "N,MISSED").replace("reason_not_done", "reason_not_done,contact_mode")
    plain = plain.replace("Y,\n", "Y,,Gespräch\n").replace("MISSED\n", "MISSED,\n")
    for number, (content, words) in enumerate([
        (plain.encode("cp1252"), "Windows-1252 (for example 'Gespräch')"), (plain.encode("utf-16"), "text in UTF-16"),
    ]):  # fmt: skip
        folder = write_study(tmp_path / str(number))
        (folder / "visits.csv").write_bytes(content)
        study = ip.read_study(folder)
        assert set(study.visits["contact_mode"].dropna()) == {"Gespräch"}
        assert words in notes_of(study)
    folder = write_study(tmp_path / "said", config=STUDY_YAML + "tables: {visits: {encoding: cp1250}}\n")
    (folder / "visits.csv").write_bytes(plain.replace("Gespräch", "rozmowa ł").encode("cp1250"))
    assert "rozmowa ł" in set(ip.read_study(folder).visits["contact_mode"].dropna())
    with pytest.raises(StudyError, match="'klingon' is not an encoding"):
        ip.read_study(write_study(tmp_path / "x", config=STUDY_YAML + "tables: {visits: {encoding: klingon}}\n"))
    with pytest.raises(StudyError, match=r"tables\.lab: is not a table"):
        ip.read_study(write_study(tmp_path / "y", config=STUDY_YAML + "tables: {lab: {decimal: comma}}\n"))


# --- dates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("2024-03-31", "iso"), ("2024-03", "iso"), ("2024/3/31 8:05", "iso"), ("31.03.2024", "parts"), ("3/1/2024", "parts"),
        ("01-MAR-2024", "words"), ("1 March 2024", "words"), ("45352", "serial"), ("45352.5", "serial"), ("01.03.24", "other"),
        ("1-Mxx-2024", "other"), ("2024", "iso"), ("31.03/2024", "other"),
    ],
)  # fmt: skip
def test_shapes_of_dates(text, shape):
    assert shape_of(text) == shape


def with_dates(form: str) -> str:
    """The labs with their three dates (1, 1 and 20 March 2024) in another form."""
    lines = LABS.splitlines()
    for number, day in ((1, 1), (2, 1), (3, 20)):
        cells = lines[number].split(",")
        cells[2] = form.format(d=day, m=3, s=45351 + day)
        lines[number] = ",".join(cells)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "form", ["{d:02}.{m:02}.2024", "{d}/{m}/2024", "{m}/{d}/2024 08:30", "{d:02}MAR2024", "2024/{m}/{d}"]
)
def test_dates_that_the_file_proves(tmp_path, form):
    study = ip.read_study(write_study(tmp_path, labs=with_dates(form)))
    clock = "T08:30" if ":3" in form and "08:30" in form else ""
    assert study.labs["collected_dtc"].tolist() == [f"2024-03-{day:02}{clock}" for day in (1, 1, 20)]
    assert "dates as" in notes_of(study)


def test_order_that_nothing_proves(tmp_path):
    labs = with_dates("{d}/{m}/2024").replace("20/3", "9/3")
    error = problems_of(write_study(tmp_path / "a", labs=labs))
    (problem,) = (p for p in error.problems if "cannot be told apart" in p.what)
    assert (problem.value, problem.row) == ("1/3/2024", 1)
    assert problem.allowed.startswith("2024-03-01 or 2024-01-03")
    said = ip.read_study(
        write_study(tmp_path / "b", labs=labs, config=STUDY_YAML + "tables: {labs: {dates: day-month-year}}\n")
    )
    assert said.labs["collected_dtc"].tolist() == ["2024-03-01", "2024-03-01", "2024-03-09"]


def test_forms_of_dates_are_not_mixed(tmp_path):
    error = problems_of(
        write_study(tmp_path / "a", labs=with_dates("2024-03-{d:02}").replace("2024-03-20", "20.03.2024"))
    )
    (problem,) = error.problems
    assert (problem.row, problem.value) == (3, "20.03.2024")
    assert "two forms in one file" in problem.what
    both = with_dates("{d}/{m}/2024").replace("1/3/2024", "3/13/2024", 1)
    assert "day first and with the month first" in str(problems_of(write_study(tmp_path / "b", labs=both)))


def test_day_numbers_of_excel_in_text(tmp_path):
    labs = with_dates("{s}")
    told = str(problems_of(write_study(tmp_path / "a", labs=labs)))
    assert "2024-03-01 or 2028-03-02" in told
    for system, first in (("excel-1900", "2024-03-01"), ("excel-1904", "2028-03-02")):
        config = STUDY_YAML + f"tables: {{labs: {{dates: {system}}}}}\n"
        study = ip.read_study(write_study(tmp_path / system, labs=labs, config=config))
        assert study.labs["collected_dtc"].iloc[0] == first


def test_a_day_that_does_not_exist(tmp_path):
    told = str(problems_of(write_study(tmp_path, labs=with_dates("{d:02}.{m:02}.2024").replace("20.03", "31.02"))))
    assert "row 3, column collected_dtc: no such date (found '31.02.2024')" in told


# --- words for missing --------------------------------------------------------------------------


def test_a_word_for_missing_that_a_column_means(tmp_path):
    """``none`` is a value of comp_source: it must not become "not said", which takes the matrix of the file."""
    samples = TABLES["samples"].replace("fcs_path\n", "fcs_path,comp_source\n").replace(".fcs\n", ".fcs,none\n", 1)
    samples = samples.replace(".fcs\nS", ".fcs,NA\nS").replace("S-2_BL.fcs\n", "S-2_BL.fcs,\n")
    study = ip.read_study(write_study(tmp_path, samples=samples))
    assert study.samples["comp_source"].fillna("").tolist() == ["none", "", ""]


def test_a_spelling_that_looks_at_a_column_which_is_missing(tmp_path):
    """Found by fuzzing: units of laboratory values are spelled by their test; without that column it was a KeyError."""
    told = str(problems_of(write_study(tmp_path, labs=LABS.replace("collected_dtc,test,", "collected_dtc,tset,"))))
    assert "labs.csv, column test: a column is missing (found 'tset')" in told
