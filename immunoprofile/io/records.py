"""Rows of a table with clean cells: the one place that knows how pandas writes a missing value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from immunoprofile import schema

if TYPE_CHECKING:
    import pandas as pd

BLANK: Final[Mapping[str, Any]] = {"text": "", "number": math.nan, "flag": None}
"""What stands for a missing cell of each kind."""
_YES: Final = frozenset({"true", "y", "yes", "1", "1.0"})
_NO: Final = frozenset({"false", "n", "no", "0", "0.0"})


def records(table: pd.DataFrame, name: str = "") -> list[dict[str, Any]]:
    """Rows of a table as plain values.

    Parameters
    ----------
    table
        Any table.
    name
        Which table of the schema it is (:func:`immunoprofile.schema.cell_kinds`). Columns that the schema knows and the
        table lacks are added as missing. Empty for a table that the schema does not know.

    Returns
    -------
    list of dict
        Column -> cell. A cell of text is ``str`` (missing: empty), a number is ``float`` (missing: NaN), yes or no is
        ``bool`` (missing: None). Columns that the schema does not know have the kind of their dtype.

    Raises
    ------
    ValueError
        The schema has no table ``name``.
    """
    kinds = schema.cell_kinds(name) if name else {}
    # Of a table of the results folder the schema names what is not text.
    other = "text" if name in schema.RESULT_TABLES else ""
    columns = {str(column): cells(table[column], kinds.get(str(column), other)) for column in table.columns}
    columns |= {column: [BLANK[kind]] * len(table) for column, kind in kinds.items() if column not in columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def numbered(table: pd.DataFrame, name: str = "") -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row of `records` with its number in the file (the index of a study's table), from 1."""
    for number, row in zip(table.index.tolist(), records(table, name), strict=True):
        yield int(number), row


def value_of(value: Any) -> Any:
    """One cell of any kind; None when it is missing."""
    import pandas as pd

    return None if pd.isna(value) else value


def text_of(value: object) -> str:
    """One cell of text without blanks around it; empty when it is missing."""
    return value.strip() if isinstance(value, str) else ""


def cells(column: Iterable[Any], kind: str = "") -> list[Any]:
    """Cells of a column as plain values; without a kind (``text``, ``number``, ``flag``) that of its dtype."""
    import pandas as pd

    if not isinstance(column, pd.Series):
        column = pd.Series(list(column), dtype=object)

    if not kind:
        dtype = column.dtype
        kind = "flag" if pd.api.types.is_bool_dtype(dtype) else "number" if _is_number(dtype) else "text"
    if kind == "number":
        if column.dtype == float:
            return column.to_numpy().tolist()
        numbers = column if _is_number(column.dtype) else pd.to_numeric(column.astype(object), errors="coerce")
        return [float(one) for one in numbers.to_numpy(dtype=float, na_value=math.nan)]
    if kind == "text" and column.dtype == object and (words := _plain_words(column.to_numpy())) is not None:
        return words
    plain = column.astype(object).to_numpy()
    missing = column.isna().to_numpy()
    if kind == "flag":
        return [None if lost else _flag(one) for one, lost in zip(plain, missing, strict=True)]
    return ["" if lost else str(one) for one, lost in zip(plain, missing, strict=True)]


def _plain_words(values: Iterable[object]) -> list[str] | None:
    """Cells of a column that holds words, None and NaN; None where it holds anything else."""
    found = []
    for one in values:
        if type(one) is str:
            found.append(one)
        elif one is None or (type(one) is float and math.isnan(one)):
            found.append("")
        else:
            return None
    return found


def _is_number(dtype: Any) -> bool:
    import pandas as pd

    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)


def _flag(value: object) -> bool | None:
    words = str(value).strip().casefold()
    return True if words in _YES else False if words in _NO else None
