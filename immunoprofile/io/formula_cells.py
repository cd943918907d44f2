"""Cells that a spreadsheet would take for a formula: written so that it shows them as text, and read back.

A spreadsheet runs what begins with ``=``, ``+``, ``-`` or ``@`` when it opens a CSV file, whoever wrote it. Result
tables hold text that other people wrote, so such a cell gets an apostrophe before it, which reading takes off again.
Numbers stay as they are; so does a single sign.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd

_NUMBER: Final = r"[+-]?(?:\d[\d.,]*|[.,]\d+)(?:[eE][+-]?\d+)?\s?%?"
_BEGINS: Final = re.compile(rf"(?!{_NUMBER}\Z)[=+\-@\t\r].", re.DOTALL)
_WRITTEN: Final = re.compile(rf"'*(?!{_NUMBER}\Z)[=+\-@\t\r].", re.DOTALL)
_GUARDED: Final = re.compile(rf"'+(?!{_NUMBER}\Z)[=+\-@\t\r].", re.DOTALL)

_FIRST: Final = frozenset("'=+-@\t\r")


def is_formula(text: object) -> bool:
    """Whether a spreadsheet would take a cell for a formula."""
    return isinstance(text, str) and _BEGINS.match(text) is not None


def guarded(text: object) -> object:
    """A cell as it is written: with an apostrophe before what is a formula, or what `unguarded` would change."""
    return f"'{text}" if isinstance(text, str) and _WRITTEN.match(text) else text


def unguarded(text: object) -> object:
    """A cell as it was before it was written."""
    return text[1:] if isinstance(text, str) and _GUARDED.match(text) else text


def guarded_table(table: pd.DataFrame) -> pd.DataFrame:
    """The same table as it is written."""
    return _mapped(table, guard=True)


def unguarded_table(table: pd.DataFrame) -> pd.DataFrame:
    """The same table as it was before it was written."""
    return _mapped(table, guard=False)


def _mapped(table: pd.DataFrame, *, guard: bool) -> pd.DataFrame:
    """Only columns with such a cell are changed: most tables have none."""
    function, pattern = (guarded, _WRITTEN) if guard else (unguarded, _GUARDED)
    result = table
    for place, name in enumerate(table.columns):
        column = table.iloc[:, place]
        values = column.cat.categories if column.dtype == "category" else column
        if values.dtype.kind not in "OUS" and str(values.dtype) != "string":
            continue
        # Few words stand in many rows, and few begin like one: the others need no look at what follows.
        words = {value for value in values.tolist() if isinstance(value, str)}
        if any(pattern.match(word) for word in words if word[:1] in _FIRST):
            result = result.copy() if result is table else result
            result[name] = column.astype(object).map(function)
    return result
