"""Read the tables of a study folder and check every value, telling all problems at once.

Values are read as text and given their type here, so that a problem can name the row and the text that stands in the
file. The rules come from `immunoprofile.schema`; pandera applies them.
"""

from __future__ import annotations

import difflib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from immunoprofile import schema
from immunoprofile.errors import Problems
from immunoprofile.io.config import TableForm
from immunoprofile.io.date_forms import settle_dates
from immunoprofile.io.delimited import read_delimited
from immunoprofile.io.formula_cells import is_formula, unguarded_table
from immunoprofile.io.number_marks import PLAIN_NUMBER, settle_numbers
from immunoprofile.io.records import cells as clean_cells
from immunoprofile.io.table_cells import LONGEST_SHOWN, Cells, frame, named_columns
from immunoprofile.schema import Column, TableSpec

if TYPE_CHECKING:
    import pandera.pandas as pa

    from immunoprofile.io.exceptions import Exceptions
    from immunoprofile.io.table_files import TableFile

_LARGEST_WHOLE = 2**53
"""Larger whole numbers are not exact once they went through a spreadsheet."""
_TRUE = {"y", "yes", "true", "1"}
_FALSE = {"n", "no", "false", "0"}
_MISSING_TEXT = {"", "na", "n/a", "nan", "null", "none"}


def read_table(
    file: TableFile | None, spec: TableSpec, form: TableForm | None, problems: Problems, notes: Exceptions
) -> tuple[pd.DataFrame, list[str]]:
    """Read and check one table.

    Parameters
    ----------
    file
        From `table_files.find_tables`; None when the study does not have the table.
    spec
        What the table must look like.
    form
        What ``study.yaml`` says of the file: separator, decimal mark, form of dates, encoding.
    problems
        Takes every problem of the file.
    notes
        Takes a note ``TABLE_READ_AS`` when the file has another form than the documented one.

    Returns
    -------
    pandas.DataFrame
        All columns of the specification in its order, typed; absent optional columns are all missing. The index is
        the row below the header, as problems name it; rows without any content are not there.
    list of str
        Columns of the file that the specification does not know.
    """
    form = form or TableForm()
    cells = None if file is None else _read_cells(file, spec, form, problems)
    if file is None or cells is None:
        return _empty(spec), []
    cells.table = unguarded_table(cells.table)
    where = file.where
    missing = [column.name for column in spec.columns if column.required and column.name not in cells.table.columns]
    for name in missing:
        near = difflib.get_close_matches(name, list(cells.table.columns), n=1)
        problems.add(where, "a column is missing", column=name, value=near[0] if near else "")
    unknown = [name for name in cells.table.columns if name not in spec.column_names]
    _blank_missing_words(cells.table, spec)
    bad_numbers = settle_numbers(cells, spec, form.decimal, where, problems)
    bad_dates = settle_dates(cells, spec, form.dates, where, problems)
    if cells.remarks:
        notes.add("note", "TABLE_READ_AS", f"{where} was read with {'; '.join(cells.remarks)}", table=spec.name,
                  file=file.path.name)  # fmt: skip
    bad_cells = bad_numbers | bad_dates
    raw = cells.table
    table = pd.DataFrame(index=raw.index)
    whole = raw.reindex(columns=list(spec.column_names))
    for column in spec.columns:
        text = raw[column.name] if column.name in raw.columns else pd.Series(np.nan, index=raw.index, dtype=object)
        text = _spelled(text, column, whole)
        table[column.name] = _typed(text, column, where, problems, bad_cells)
        if column.kind == "str":
            _note_formulas(table[column.name], spec, where, notes)
    _apply_rules(table, spec, where, {*missing}, problems, bad_cells)
    return table, unknown


def _note_formulas(column: pd.Series[Any], spec: TableSpec, where: str, notes: Exceptions) -> None:
    """Name the cells that a spreadsheet would run."""
    for row, value in column.items():
        if is_formula(value):
            notes.add("warning", "FORMULA_CELL",
                      f"{where}, column {column.name}: a spreadsheet would take the cell for a formula "
                      f"({value[:LONGEST_SHOWN]})", table=spec.name, row=row,
                      action="correct the cell; results show it as text, with an apostrophe before it")  # fmt: skip


def _spelled(text: pd.Series[Any], column: Column, raw: pd.DataFrame) -> pd.Series[Any]:
    """Cells of a column in the spelling of the package, where it has one."""
    if column.spelling is None:
        return text
    rows = raw.astype(object).where(raw.notna(), "").to_dict("records")
    spelled = [column.spelling({str(k): str(v) for k, v in row.items()}) if row.get(column.name) else None
               for row in rows]  # fmt: skip
    return pd.Series(spelled, index=text.index, dtype=object).where(text.notna(), np.nan)


def _read_cells(file: TableFile, spec: TableSpec, form: TableForm, problems: Problems) -> Cells | None:
    """All cells as text, NaN where empty."""
    if file.workbook is not None:
        return file.workbook.read(file.sheet, spec, file.where, problems)
    if file.path.suffix == ".parquet":
        return _read_parquet(file, problems)
    return read_delimited(file.content, file.where, spec.column_names, form, problems)


def _read_parquet(file: TableFile, problems: Problems) -> Cells | None:
    where = file.where
    try:
        stored = pd.read_parquet(io.BytesIO(file.content))
        texts = [stored[name].map(_as_text, na_action="ignore") for name in stored]
        rows = [list(row) for row in zip(*(clean_cells(text, "text") for text in texts), strict=True)]
    except (ValueError, OSError, TypeError, OverflowError, NotImplementedError) as error:
        problems.add(where, f"cannot be read as a table: {str(error)[:LONGEST_SHOWN]}")
        return None
    before = len(problems)
    names = named_columns([str(name) for name in stored.columns], (), where, problems)
    return frame(names, list(enumerate(rows, 1)), where, problems) if len(problems) == before else None


def _blank_missing_words(table: pd.DataFrame, spec: TableSpec) -> None:
    """Cells that say NA are empty, unless the word is a value of the column (``none`` for comp_source)."""
    allowed = {column.name: set(column.allowed) for column in spec.columns}
    for name in table.columns:
        words = table[name].map(lambda value: isinstance(value, str) and value.casefold() in _MISSING_TEXT)
        table[name] = table[name].mask(words & ~table[name].isin(allowed.get(name, set())))


def _as_text(value: Any) -> str:
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d" if value == value.normalize() else "%Y-%m-%dT%H:%M")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _typed(
    text: pd.Series[Any], column: Column, where: str, problems: Problems, bad_cells: set[tuple[int, str]]
) -> pd.Series[Any]:
    """Values of a column in their type; what cannot be converted is a problem and becomes missing."""

    def convert(row: int, value: str) -> Any:
        try:
            if column.kind in ("float", "int") and not PLAIN_NUMBER.fullmatch(value):
                raise ValueError
            if column.kind == "float":
                number = float(value)
                if not np.isfinite(number):
                    raise ValueError
                return number
            if column.kind == "int":
                number = float(value)
                if not number.is_integer() or abs(number) > _LARGEST_WHOLE:
                    raise ValueError
                return int(number)
        except ValueError:
            expected = "a number" if column.kind == "float" else "a whole number"
        else:
            plain = value.casefold()
            if plain in _TRUE | _FALSE:
                return plain in _TRUE
            expected = "Y or N"
        unit = f" in {column.unit}" if column.unit else ""
        problems.add(where, "wrong value", row=row, column=column.name, value=value, allowed=expected + unit)
        bad_cells.add((row, column.name))
        return None

    if column.kind in ("str", "date"):
        return text.astype(object).where(text.notna(), np.nan)
    values = [None if pd.isna(value) else convert(int(str(row)), str(value)) for row, value in text.items()]
    dtype = {"float": "float64", "int": "Int64", "bool": "boolean"}[column.kind]
    return pd.Series(values, index=text.index, dtype=dtype)


def _empty(spec: TableSpec) -> pd.DataFrame:
    dtypes = {"float": "float64", "int": "Int64", "bool": "boolean"}
    return pd.DataFrame({c.name: pd.Series(dtype=dtypes.get(c.kind, "object")) for c in spec.columns})


def pandera_schema(spec: TableSpec) -> pa.DataFrameSchema:
    """The pandera schema of a table, for typed values."""
    import pandera.pandas as pa

    def checks(column: Column) -> list[pa.Check]:
        found = []
        if column.allowed:
            found.append(pa.Check.isin(list(column.allowed), error=f"one of {', '.join(column.allowed)}"))
        if column.kind == "date":
            found.append(
                pa.Check(_is_iso_date, element_wise=True, error="ISO 8601, for example 2024-03-31 or 2024-03-31T08:15")
            )
        unit = f" {column.unit}" if column.unit else ""
        if column.minimum is not None:
            found.append(pa.Check.ge(column.minimum, error=f"at least {column.minimum:g}{unit}"))
        if column.maximum is not None:
            found.append(pa.Check.le(column.maximum, error=f"at most {column.maximum:g}{unit}"))
        return found

    return pa.DataFrameSchema(
        {column.name: pa.Column(None, checks=checks(column), nullable=column.nullable) for column in spec.columns},
        name=spec.name,
    )


def _is_iso_date(value: object) -> bool:
    text = str(value)
    if not re.match(schema.ISO_DATE, text):
        return False
    try:
        np.datetime64(text)
    except ValueError:
        return False
    return True


def _apply_rules(
    table: pd.DataFrame,
    spec: TableSpec,
    where: str,
    missing: set[str],
    problems: Problems,
    bad_cells: set[tuple[int, str]],
) -> None:
    from pandera.errors import SchemaErrors

    try:
        pandera_schema(spec).validate(table, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        for case in cases.sort_values(["index", "column"], kind="stable").to_dict("records"):
            name, row = str(case["column"]), case["index"]
            if name in missing or (row, name) in bad_cells or pd.isna(row):
                continue
            if case["check"] == "not_nullable":
                problems.add(where, "a value is missing", row=int(row), column=name, allowed=_remedy(spec, name))
            else:
                problems.add(where, "wrong value", row=int(row), column=name, value=case["failure_case"],
                             allowed=str(case["check"]))  # fmt: skip
    if spec.key and not missing & set(spec.key):
        seen: dict[tuple[str, ...], int] = {}
        keys = zip(*(clean_cells(table[name], "text") for name in spec.key), strict=True)
        for row, key in zip(table.index.tolist(), keys, strict=True):
            first = seen.setdefault(key, row)
            if first != row and any(key):
                problems.add(where, f"repeats row {first}", row=row, column=", ".join(spec.key), value=" ".join(key))


def _remedy(spec: TableSpec, name: str) -> str:
    """What belongs into an empty cell."""
    column = next(column for column in spec.columns if column.name == name)
    if column.allowed:
        return f"one of {', '.join(column.allowed)}"
    return f"{column.meaning}, as ISO 8601 (2024-03-31)" if column.kind == "date" else column.meaning


def write_study_table(folder: Path, spec: TableSpec, table: pd.DataFrame) -> Path:
    """Write one table as CSV with the columns of its specification; booleans as Y and N."""
    from immunoprofile.io.files import write_table

    out = table.reindex(columns=list(spec.column_names))
    for column in spec.columns:
        if column.kind == "bool":
            out[column.name] = out[column.name].map({True: "Y", False: "N"}, na_action="ignore")
        elif column.kind == "int":
            out[column.name] = out[column.name].astype("Int64")
    path = folder / f"{spec.name}.csv"
    write_table(path, out)
    return path
