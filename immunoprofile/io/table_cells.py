"""What a table file gives before its values have a type: cells of text, and what was found out about their form."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pandas as pd

    from immunoprofile.errors import Problems
    from immunoprofile.schema import Column

LONGEST_CELL: Final = 32_767
"""What a cell of a spreadsheet can hold."""
LONGEST_SHOWN: Final = 300
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Written:
    """What stands in a cell: its row below the header, its column, and the text."""

    row: int
    column: str
    text: str

    @property
    def place(self) -> tuple[int, str]:
        """Row and column."""
        return self.row, self.column

    def refuse(self, problems: Problems, where: str, what: str, allowed: str) -> None:
        """Add the problem that it is."""
        problems.add(where, what, row=self.row, column=self.column, value=self.text, allowed=allowed)


@dataclass
class Cells:
    """The cells of one table.

    Attributes
    ----------
    table
        Text, NaN where a cell is empty; the index is the row below the header, rows without any content are gone.
    documented
        The file has the form of docs/study-folder.md (CSV with commas and decimal points, or Parquet), so that a
        number such as 12.400 has one meaning.
    stored
        The cells are those of a spreadsheet, which stores numbers apart from text.
    exact
        Row and column of cells that a spreadsheet stores as a number, which has no decimal mark.
    remarks
        How the file was read where it has another form, in words.
    """

    table: pd.DataFrame
    documented: bool = True
    stored: bool = False
    exact: set[tuple[int, str]] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)

    def texts(self, columns: Iterable[Column]) -> Iterator[tuple[int, Column, str]]:
        """Row, column and text of every filled cell of these columns, as far as the table has them."""
        for column in columns:
            if column.name in self.table.columns:
                for row, value in self.table[column.name].items():
                    if isinstance(value, str):
                        yield int(str(row)), column, value

    def empty(self, places: Iterable[tuple[int, str]]) -> None:
        """Empty the cells whose content is a problem."""
        for row, name in places:
            self.table.loc[row, name] = np.nan


def named_columns(header: Sequence[str], rows: Sequence[Sequence[str]], where: str, problems: Problems) -> list[str]:
    """Names of the columns; those without a name are numbered, and a name that stands twice is a problem."""
    names = [name.strip() for name in header]
    width = max([len(names), *(len(row) for row in rows)], default=0)
    names += [""] * (width - len(names))
    names = [name or f"column {number}" for number, name in enumerate(names, 1)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add(where, "a column stands twice", column=name)
    return names


def frame(names: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]], where: str, problems: Problems) -> Cells:
    """Cells from rows of text with their number below the header.

    Blanks around a value go, rows and nameless columns without any content too; cells that no later file can hold
    (HDF5, HTML) are problems.
    """
    import pandas as pd

    filled = [(number, [cell.strip() for cell in row]) for number, row in rows]
    filled = [(number, row + [""] * (len(names) - len(row))) for number, row in filled if any(row)]
    table = pd.DataFrame([row for _, row in filled], columns=list(names), dtype=object)
    table.index = pd.Index([number for number, _ in filled], dtype="int64")
    used = [
        n for n, name in enumerate(names) if not re.fullmatch(r"column \d+", name) or (table.iloc[:, n] != "").any()
    ]
    table = table.iloc[:, used]
    table = table.mask(table == "", np.nan)
    _refuse_unfit(table, where, problems)
    return Cells(table)


def _refuse_unfit(table: pd.DataFrame, where: str, problems: Problems) -> None:
    for name in table.columns:
        for row, value in table[name].items():
            if not isinstance(value, str):
                continue
            if len(value) > LONGEST_CELL:
                problems.add(
                    where,
                    f"a cell of {len(value):,} characters",
                    row=int(str(row)),
                    column=name,
                    allowed=f"at most {LONGEST_CELL:,}",
                )
            elif _CONTROL.search(value):
                problems.add(
                    where,
                    "a cell holds control characters",
                    row=int(str(row)),
                    column=name,
                    value=value[:LONGEST_SHOWN],
                )
            else:
                continue
            table.loc[row, name] = np.nan
