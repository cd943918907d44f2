"""Tables in Excel workbooks: what a cell holds, and what of it a person would see otherwise.

A spreadsheet stores one thing and shows another: a share of 0.25 as 25 %, the number 1 as 001, the 4.6 of a result as
the fourth of June. Where the two differ the cell is a problem that says so; nothing is taken over in silence.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.io.date_forms import EPOCHS, from_serial, iso_text
from immunoprofile.io.table_cells import LONGEST_SHOWN, Cells, frame, named_columns

if TYPE_CHECKING:
    from immunoprofile.errors import Problems
    from immunoprofile.schema import Column, TableSpec

LARGEST_UNPACKED: Final = 400 * 2**20
"""Bytes that a workbook may unfold to: 30 times what a table of 100,000 rows needs."""
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_READING_FAILS = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OSError,
    SyntaxError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)
_ZEROS = re.compile("0+")
_SHOWS_THE_NUMBER = re.compile(r"(general|@|[#,0]*0?(\.[0#]+)?(e[+]0+)?)(;.*)?", re.IGNORECASE)
_FIRST_SERIAL, _LAST_SERIAL = 10_000, 99_999
_FIRST_YEAR = 1901
_MOST_ROWS_ABOVE = 20


class Workbook:
    """An opened workbook.

    Attributes
    ----------
    sheets
        Names of the sheets that hold something, in their order.
    """

    def __init__(self, book: Any, formulas: Any | None) -> None:
        self._book = book
        self._formulas = formulas
        self._sheets = {str(sheet.title): sheet for sheet in book.worksheets if _filled(sheet)}
        self.sheets: tuple[str, ...] = tuple(self._sheets)

    def read(self, sheet: str, spec: TableSpec, where: str, problems: Problems) -> Cells | None:
        """Cells of one sheet as text; None when it is no table."""
        values = self._sheets[sheet]
        formulas = None if self._formulas is None else self._formulas[sheet]
        return _Sheet(values, formulas, self._book.epoch, spec, where, problems).read()


def open_workbook(content: bytes, where: str, problems: Problems) -> Workbook | None:
    """Open a workbook; None, and a problem, when that cannot be done."""
    import openpyxl

    if content.startswith(_OLD_EXCEL):
        problems.add(
            where,
            "is protected by a password, or an old Excel file under a new name",
            allowed="save it without password as Excel workbook (.xlsx)",
        )
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            unfolds = sum(entry.file_size for entry in packed.infolist())
            if unfolds > LARGEST_UNPACKED:
                problems.add(where, f"unfolds to {unfolds:,} bytes", allowed=f"at most {LARGEST_UNPACKED:,}")
                return None
            sheets = [name for name in packed.namelist() if name.startswith("xl/worksheets/")]
            has_formulas = any(re.search(rb"<(\w+:)?f[ >/]", packed.read(name)) for name in sheets)
        book = openpyxl.load_workbook(io.BytesIO(content), data_only=True)
        formulas = openpyxl.load_workbook(io.BytesIO(content)) if has_formulas else None
        return Workbook(book, formulas)
    except _READING_FAILS as error:
        problems.add(
            where,
            f"cannot be read as an Excel workbook: {str(error)[:LONGEST_SHOWN]}",
            allowed="open it in a spreadsheet program and save it anew as .xlsx, or as CSV UTF-8",
        )
        return None


def _filled(sheet: Any) -> bool:
    # The cells that exist; a sheet formatted to its last row has a million rows and few cells.
    return any(cell.value is not None for cell in sheet._cells.values())


class _Sheet:
    """One sheet on its way to a table."""

    def __init__(
        self, sheet: Any, formulas: Any, epoch: datetime, spec: TableSpec, where: str, problems: Problems
    ) -> None:
        self.sheet, self.formulas, self.spec, self.where, self.problems = sheet, formulas, spec, where, problems
        self.epoch = EPOCHS["excel-1904"] if epoch.year == 1904 else EPOCHS["excel-1900"]
        self.exact: set[tuple[int, str]] = set()
        self.serial = self.computed = ""

    def read(self) -> Cells | None:
        filled = {place: cell for place, cell in self.sheet._cells.items() if cell.value not in (None, "")}
        formula = (
            set()
            if self.formulas is None
            else {place for place, cell in self.formulas._cells.items() if cell.data_type == "f"}
        )
        places = set(filled) | formula
        top, left = min(row for row, _ in places), min(column for _, column in places)
        bottom, right = max(row for row, _ in places), max(column for _, column in places)
        header = [_plain(filled.get((top, column))) for column in range(left, right + 1)]
        if self._title_above(filled, header, top) or self._merged(top, bottom, left, right):
            return None
        before = len(self.problems)
        names = named_columns(header, (), self.where, self.problems)
        if len(self.problems) > before:
            return None
        known = {column.name: column for column in self.spec.columns}
        texts: dict[int, list[str]] = {}
        for row, column in sorted(places):
            if row == top:
                continue
            line = texts.setdefault(row - top, [""] * len(names))
            name = names[column - left]
            cell = filled.get((row, column))
            line[column - left] = self._text(cell, known.get(name), row - top, name, (row, column) in formula)
        cells = frame(names, sorted(texts.items()), self.where, self.problems)
        cells.documented, cells.stored, cells.exact = False, True, self.exact
        cells.remarks = self._remarks(texts, top)
        return cells

    def _remarks(self, texts: dict[int, list[str]], top: int) -> list[str]:
        hidden = sum(self.sheet.row_dimensions[row + top].hidden for row in texts)
        return [
            *([f"rows that are hidden in the sheet are read too ({hidden})"] if hidden else []),
            *([f"day numbers of Excel as dates ({self.serial})"] if self.serial else []),
            *([f"formulas with the value that was last computed ({self.computed})"] if self.computed else []),
        ]

    def _title_above(self, filled: dict[tuple[int, int], Any], header: list[str], top: int) -> bool:
        known = set(self.spec.column_names)
        if known & set(header):
            return False
        for row in range(top + 1, top + _MOST_ROWS_ABOVE):
            here = {_plain(cell) for (number, _), cell in filled.items() if number == row}
            if len(known & here) > 1:
                self.problems.add(
                    self.where,
                    f"the column names stand in line {row} of the sheet",
                    allowed="the column names in the first line: delete the lines above",
                )
                return True
        return False

    def _merged(self, top: int, bottom: int, left: int, right: int) -> bool:
        found = [
            str(area)
            for area in self.sheet.merged_cells.ranges
            if area.min_row <= bottom and area.max_row >= top and area.min_col <= right and area.max_col >= left
        ]
        if found:
            self.problems.add(
                self.where,
                "merged cells: only the first of them holds the value",
                value=", ".join(sorted(found)[:4]),
                allowed="unmerge them and fill every cell",
            )
        return bool(found)

    def _wrong(self, what: str, row: int, name: str, value: object, allowed: str) -> str:
        self.problems.add(self.where, what, row=row, column=name, value=value, allowed=allowed)
        return ""

    def _text(self, cell: Any, column: Column | None, row: int, name: str, formula: bool) -> str:  # noqa: FBT001
        """The value of a cell as text; empty after a problem."""
        if cell is None:
            return (
                self._wrong(
                    "a formula that was never computed",
                    row,
                    name,
                    "",
                    "open the workbook in Excel and save it, or paste the values",
                )
                if formula
                else ""
            )
        value = cell.value
        if column is None:
            return _plain(cell)
        if cell.data_type == "e":
            return self._wrong("an error of the spreadsheet", row, name, value, "the value, or an empty cell")
        if cell.font is not None and cell.font.strike:
            return self._wrong("a crossed-out cell", row, name, value, "delete what does not count, or remove the line")
        if formula:
            self.computed = self.computed or f"{name}, row {row}: {value}"
        if isinstance(value, bool):
            return "Y" if value else "N"
        if isinstance(value, datetime | date | time | timedelta):
            return self._date(value, column, row, name)
        if isinstance(value, int | float):
            return self._number(value, str(cell.number_format or "General"), column, row, name)
        return str(value)

    def _date(self, value: object, column: Column, row: int, name: str) -> str:
        if column.kind != "date":
            shown = value.isoformat() if isinstance(value, date | time) else str(value)
            return self._wrong(
                "the spreadsheet made a date of this cell",
                row,
                name,
                shown,
                "the value as it was, in a cell formatted as text",
            )
        if not isinstance(value, date) or value.year < _FIRST_YEAR:
            return self._wrong("a time of day without a date", row, name, value, "ISO 8601, for example 2024-03-31")
        if not isinstance(value, datetime):
            return value.isoformat()
        # Times are fractions of a day: 08:15 is stored as 08:14:59.999997.
        when = (value + timedelta(milliseconds=500)).replace(microsecond=0)
        return when.date().isoformat() if when.time() == time() else iso_text(when)

    def _number(self, value: float, shown_as: str, column: Column, row: int, name: str) -> str:
        if "%" in shown_as:
            return self._wrong(
                "a cell in percent format stores the hundredth part of what it shows",
                row,
                name,
                f"{value:.15g} stored, {value * 100:.15g} % shown",
                "a plain number in the unit of the column",
            )
        self.exact.add((row, name))
        text = str(int(value)) if float(value).is_integer() else repr(value)
        if column.kind == "date" and _FIRST_SERIAL <= value <= _LAST_SERIAL:
            iso = from_serial(value, self.epoch)
            self.serial = self.serial or f"{text} is {iso}"
            return iso
        if column.kind == "str" and not column.holds_number:
            if _ZEROS.fullmatch(shown_as) and text.isdigit():
                return text.zfill(len(shown_as))
            if not _SHOWS_THE_NUMBER.fullmatch(shown_as):
                return self._wrong(
                    "a number that the spreadsheet shows otherwise than it is stored",
                    row,
                    name,
                    value,
                    f"what is shown, in a cell formatted as text (format {shown_as!r})",
                )
        return text


def _plain(cell: Any) -> str:
    """A cell of a header or of a column that is not used."""
    value = None if cell is None else cell.value
    return "" if value is None else str(value).strip()


def sheet_of(sheets: Sequence[str], table: str) -> str | None:
    """The sheet that carries the name of a table, whatever its case."""
    return next((name for name in sheets if name.strip().casefold() == table.casefold()), None)
