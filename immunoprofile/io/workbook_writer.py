"""The workbook of a study: a sheet per table, drop-downs for allowed values, and a sheet that explains them."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.io.files import replacing
from immunoprofile.io.records import value_of
from immunoprofile.schema import LAB_UNITS, TABLES, Column, TableSpec

if TYPE_CHECKING:
    import pandas as pd
    from openpyxl import Workbook

ROWS_WITH_LISTS: Final = 2000
"""Rows below the header that get drop-downs."""
_FIXED = datetime(2000, 1, 1)
"""Creation date of every workbook."""
_FIRST_OF_ZIP = (1980, 1, 1, 0, 0, 0)
_WIDEST, _NARROWEST = 40, 12
_READ_ME = (
    "One sheet per table of the study; 'columns' explains every column with its unit and allowed values.",
    "Fill the sheets subjects, visits and samples first. A sheet that you do not need may stay empty or be deleted.",
    "Dates as 2024-03-31 or as dates of the spreadsheet. An empty cell means unknown; never write 0 for it.",
    "Save the workbook and run: immunoprofile check on the study folder.",
)


def write_workbook(path: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write ``study.xlsx``.

    Parameters
    ----------
    path
        The file; replaced as a whole.
    tables
        Tables with rows, by name; every other table of a study gets a sheet with its column names.
    """
    from openpyxl import Workbook as New

    book = New()
    book.properties.created = book.properties.modified = _FIXED
    _read_me(book)
    lists = book.create_sheet("lists")
    lists.sheet_state = "hidden"
    for name, spec in TABLES.items():
        _table(book, lists, spec, tables.get(name))
    _columns(book)
    written = io.BytesIO()
    book.save(written)
    with replacing(path) as temporary:
        _without_clock(written, temporary)


def _without_clock(written: io.BytesIO, path: Path) -> None:
    """The same archive without the times at which it was written: the same tables give the same bytes."""
    with zipfile.ZipFile(written) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                fixed = _FIXED.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
                content = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + fixed, content)
            entry = zipfile.ZipInfo(name, date_time=_FIRST_OF_ZIP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(entry, content)


def _read_me(book: Workbook) -> None:
    sheet = book.active
    assert sheet is not None
    sheet.title = "read me"
    for number, line in enumerate(_READ_ME, 1):
        sheet.cell(number, 1, line)
    sheet.column_dimensions["A"].width = 110


def _table(book: Workbook, lists: Any, spec: TableSpec, table: pd.DataFrame | None) -> None:
    from openpyxl.styles import Font, PatternFill
    from openpyxl.utils import get_column_letter

    sheet = book.create_sheet(spec.name)
    sheet.freeze_panes = "A2"
    for number, column in enumerate(spec.columns, 1):
        letter = get_column_letter(number)
        head = sheet.cell(1, number, column.name)
        head.font = Font(bold=column.required)
        if column.required:
            head.fill = PatternFill("solid", fgColor="DDEBF7")
        sheet.column_dimensions[letter].width = min(_WIDEST, max(_NARROWEST, len(column.name) + 2))
        # Ids keep their zeros only in cells that are text.
        sheet.column_dimensions[letter].number_format = "@" if column.kind == "str" else "General"
        _drop_down(book, sheet, lists, spec, column, letter)
    if table is None:
        return
    for row, entry in enumerate(table.to_dict("records"), 2):
        for number, column in enumerate(spec.columns, 1):
            value = _cell(entry.get(column.name), column)
            if value is not None:
                cell = sheet.cell(row, number, value)
                if isinstance(value, str):
                    cell.number_format = "@"
                    cell.data_type = "s"  # also a text that begins with =


def _cell(value: object, column: Column) -> str | int | float | None:
    if value_of(value) is None:
        return None
    if column.kind == "bool":
        return "Y" if value else "N"
    if column.kind == "int":
        return int(str(value))
    return float(str(value)) if column.kind == "float" else str(value)


def _drop_down(book: Workbook, sheet: Any, lists: Any, spec: TableSpec, column: Column, letter: str) -> None:
    from openpyxl.worksheet.datavalidation import DataValidation

    allowed = _allowed(spec, column)
    if not allowed:
        return
    place = lists.max_column + 1 if lists.cell(1, 1).value is not None else 1
    lists.cell(1, place, f"{spec.name}.{column.name}")
    for number, value in enumerate(allowed, 2):
        lists.cell(number, place, value)
    from openpyxl.utils import get_column_letter

    at = get_column_letter(place)
    check = DataValidation(
        type="list", formula1=f"lists!${at}$2:${at}${len(allowed) + 1}", allow_blank=True, showErrorMessage=True,
        errorTitle=column.name, error="one of the list", promptTitle=column.name, prompt=column.meaning[:250],
        showInputMessage=True,
    )  # fmt: skip
    sheet.add_data_validation(check)
    check.add(f"{letter}2:{letter}{ROWS_WITH_LISTS + 1}")


def _allowed(spec: TableSpec, column: Column) -> tuple[str, ...]:
    if column.kind == "bool":
        return ("Y", "N")
    if spec.name == "labs" and column.name == "unit":
        return tuple(dict.fromkeys(unit for _, units in LAB_UNITS.values() for unit in units))
    return column.allowed


def _columns(book: Workbook) -> None:
    """What each column means, with its unit: the page of the documentation inside the workbook."""
    from openpyxl.styles import Font

    sheet = book.create_sheet("columns")
    head = ("table", "column", "must be there", "values", "unit", "allowed", "meaning")
    kinds = {"str": "text", "float": "number", "int": "whole number", "bool": "Y or N", "date": "date (2024-03-31)"}
    for number, name in enumerate(head, 1):
        sheet.cell(1, number, name).font = Font(bold=True)
    row = 1
    for spec in TABLES.values():
        for column in spec.columns:
            row += 1
            must = "yes" if column.required else ""
            unit = column.unit or ("see column unit" if column.name == "value" else "")
            cells = (spec.name, column.name, must, kinds[column.kind], unit, ", ".join(_allowed(spec, column)),
                     column.meaning)  # fmt: skip
            for number, value in enumerate(cells, 1):
                sheet.cell(row, number, value)
    sheet.freeze_panes = "A2"
    for letter, width in zip("ABCDEFG", (22, 26, 14, 18, 16, 40, 90), strict=True):
        sheet.column_dimensions[letter].width = width
