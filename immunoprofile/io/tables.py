"""Read the tables of a study folder and check every value, telling all problems at once.

Values are read as text and given their type here, so that a problem can name the row and the text that stands in the
file. The rules come from `immunoprofile.schema`; pandera applies them.
"""

from __future__ import annotations

import difflib
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from immunoprofile import schema
from immunoprofile.errors import Problems
from immunoprofile.io.inputs import Inputs, reason
from immunoprofile.schema import Column, TableSpec

if TYPE_CHECKING:
    import pandera.pandas as pa

SUFFIXES = (".csv", ".parquet")
_LARGEST_WHOLE = 2**53
"""Larger whole numbers are not exact once they went through a spreadsheet."""
_LONGEST_CELL = 32_767
"""What a cell of a spreadsheet can hold."""
_LONGEST_REASON = 300
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TRUE = {"y", "yes", "true", "1"}
_FALSE = {"n", "no", "false", "0"}
_MISSING_TEXT = {"", "na", "n/a", "nan", "null", "none"}


def read_table(inputs: Inputs, spec: TableSpec, problems: Problems) -> tuple[pd.DataFrame, list[str]]:
    """Read and check one table.

    Parameters
    ----------
    inputs
        Study folder; the file is ``<table>.csv`` or ``<table>.parquet``. Its hash is that of the bytes parsed here.
    spec
        What the table must look like.
    problems
        Takes every problem of the file.

    Returns
    -------
    pandas.DataFrame
        All columns of the specification in its order, typed; absent optional columns are all missing. The index
        counts rows from 1, as problems do.
    list of str
        Columns of the file that the specification does not know.
    """
    path = find_table(inputs.folder, spec, problems)
    if path is None:
        return _empty(spec), []
    raw = _read_text(inputs, path, problems)
    if raw is None:
        return _empty(spec), []
    missing = [column.name for column in spec.columns if column.required and column.name not in raw.columns]
    for name in missing:
        near = difflib.get_close_matches(name, list(raw.columns), n=1)
        problems.add(path.name, "a column is missing", column=name, value=near[0] if near else "")
    unknown = [name for name in raw.columns if name not in spec.column_names]
    bad_cells: set[tuple[int, str]] = set()
    table = pd.DataFrame(index=raw.index)
    for column in spec.columns:
        text = raw[column.name] if column.name in raw.columns else pd.Series(np.nan, index=raw.index, dtype=object)
        text = _spelled(text, column, raw)
        table[column.name] = _typed(text, column, path.name, problems, bad_cells)
    _apply_rules(table, spec, path.name, {*missing}, problems, bad_cells)
    return table, unknown


def _spelled(text: pd.Series[Any], column: Column, raw: pd.DataFrame) -> pd.Series[Any]:
    """Cells of a column in the spelling of the package, where it has one."""
    if column.spelling is None:
        return text
    rows = raw.astype(object).where(raw.notna(), "").to_dict("records")
    spelled = [column.spelling({str(k): str(v) for k, v in row.items()}) if row.get(column.name) else None
               for row in rows]  # fmt: skip
    return pd.Series(spelled, index=text.index, dtype=object).where(text.notna(), np.nan)


def find_table(folder: Path, spec: TableSpec, problems: Problems) -> Path | None:
    """File of a table; None when there is none."""
    found = [folder / f"{spec.name}{suffix}" for suffix in SUFFIXES if os.path.lexists(folder / f"{spec.name}{suffix}")]
    if len(found) > 1:
        problems.add(
            spec.name, "stands in two files", value=", ".join(path.name for path in found), allowed="one of them"
        )
        return None
    if not found:
        if spec.required:
            problems.add(f"{spec.name}.csv", "file is missing")
        return None
    return found[0]


def _read_text(inputs: Inputs, path: Path, problems: Problems) -> pd.DataFrame | None:
    """All cells as text, NaN where empty, rows counted from 1."""
    try:
        content = inputs.read(path.name)
    except OSError as error:
        problems.add(path.name, f"cannot be read: {reason(error)}")
        return None
    try:
        if path.suffix == ".parquet":
            stored = pd.read_parquet(io.BytesIO(content))
            raw = pd.DataFrame({name: stored[name].map(_as_text, na_action="ignore") for name in stored}, dtype=object)
        else:
            if b"\x00" in content:
                # The parser of pandas ends a cell at such a byte and says nothing.
                problems.add(path.name, "is no plain text (it holds NUL bytes)", allowed="save it as CSV UTF-8")
                return None
            raw = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, encoding="utf-8-sig",
                              skip_blank_lines=False)  # fmt: skip
    except UnicodeDecodeError as error:
        problems.add(
            path.name, f"is not UTF-8 text ({error.reason} at byte {error.start})", allowed="save it as CSV UTF-8"
        )
        return None
    except (ValueError, OSError, TypeError, OverflowError, NotImplementedError) as error:
        problems.add(path.name, f"cannot be read as a table: {str(error)[:_LONGEST_REASON]}")
        return None
    raw.columns = [str(name).strip() for name in raw.columns]
    if len(raw.columns) == 1 and any(mark in raw.columns[0] for mark in ";\t"):
        problems.add(
            path.name, "columns are not separated by commas", value=raw.columns[0], allowed="comma-separated values"
        )
        return None
    twice = sorted({name for name in raw.columns if list(raw.columns).count(name) > 1})
    for name in twice:
        problems.add(path.name, "a column stands twice", column=name)
    if twice:
        return None
    raw.index = pd.RangeIndex(1, len(raw) + 1)
    raw = raw.map(lambda value: value.strip() if isinstance(value, str) else value)
    _refuse_unfit(raw, path.name, problems)
    return raw.mask(raw.map(lambda value: isinstance(value, str) and value.casefold() in _MISSING_TEXT))


def _refuse_unfit(raw: pd.DataFrame, where: str, problems: Problems) -> None:
    """Take out cells that no laboratory writes and that later files (HDF5, HTML) cannot hold."""
    for name in raw.columns:
        for row, value in raw[name].items():
            if not isinstance(value, str):
                continue
            if len(value) > _LONGEST_CELL:
                problems.add(where, f"a cell of {len(value):,} characters", row=int(str(row)), column=name,
                             allowed=f"at most {_LONGEST_CELL:,}")  # fmt: skip
            elif _CONTROL.search(value):
                problems.add(where, "a cell holds control characters", row=int(str(row)), column=name,
                             value=value[:_LONGEST_REASON])  # fmt: skip
            else:
                continue
            raw.loc[row, name] = np.nan


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
    values = [None if pd.isna(value) else convert(row, str(value)) for row, value in enumerate(text, 1)]
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
    import re

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
        for row, values in enumerate(table[list(spec.key)].to_numpy(dtype=object), 1):
            key = tuple("" if pd.isna(value) else str(value) for value in values)
            first = seen.setdefault(key, row)
            if first != row and any(key):
                problems.add(where, f"repeats row {first}", row=row, column=", ".join(spec.key), value=" ".join(key))


def _remedy(spec: TableSpec, name: str) -> str:
    """What belongs into an empty cell."""
    column = next(column for column in spec.columns if column.name == name)
    if column.allowed:
        return f"one of {', '.join(column.allowed)}"
    return f"{column.meaning}, as ISO 8601 (2024-03-31)" if column.kind == "date" else column.meaning


def write_study_table(folder: Path, spec: TableSpec, table: pd.DataFrame) -> None:
    """Write one table as CSV with the columns of its specification; booleans as Y and N."""
    from immunoprofile.io.files import write_table

    out = table.reindex(columns=list(spec.column_names))
    for column in spec.columns:
        if column.kind == "bool":
            out[column.name] = out[column.name].map({True: "Y", False: "N"}, na_action="ignore")
        elif column.kind == "int":
            out[column.name] = out[column.name].astype("Int64")
    write_table(folder / f"{spec.name}.csv", out)
