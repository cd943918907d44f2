"""Rows of a table with clean cells: the one place that knows how pandas writes a missing value."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np

from immunoprofile import schema

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Cells = list[Any] | NDArray[Any]

BLANK: Final[Mapping[str, Any]] = {"text": "", "number": math.nan, "flag": None}
"""What stands for a missing cell of each kind."""
_YES: Final = frozenset({"true", "y", "yes", "1", "1.0"})
_NO: Final = frozenset({"false", "n", "no", "0", "0.0"})
_AT_ONCE: Final = 4096
"""Rows whose cells are made into plain values together."""


class Rows(Sequence[dict[str, Any]]):
    """Rows of a table as plain values (`records`), each made when it is asked for.

    What is kept are columns, which a table of text shares: a dictionary for each row of a large trial takes many times
    the memory of its table.

    Parameters
    ----------
    table, name
        As for `records`.
    """

    def __init__(self, table: pd.DataFrame, name: str = "") -> None:
        kinds = schema.cell_kinds(name) if name else {}
        # Of a table of the results folder the schema names what is not text.
        other = "text" if name in schema.RESULT_TABLES else ""
        self._columns: dict[str, Cells] = {
            str(column): _cells(table[column], kinds.get(str(column), other)) for column in table.columns
        }
        self._absent = {column: BLANK[kind] for column, kind in kinds.items() if column not in self._columns}
        self._places: dict[tuple[str, ...], Mapping[Any, Sequence[int]]] = {}
        self._size = len(table) if self._columns or self._absent else 0

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, place: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, place: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(place, slice):
            return self.at(range(*place.indices(self._size)))
        if not -self._size <= place < self._size:
            raise IndexError(place)
        return {name: _plain(column[place]) for name, column in self._columns.items()} | self._absent

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for begin in range(0, self._size, _AT_ONCE):
            end = min(begin + _AT_ONCE, self._size)
            yield from self._made(
                {name: _listed(column[begin:end]) for name, column in self._columns.items()}, end - begin
            )

    def at(self, places: Iterable[int]) -> list[dict[str, Any]]:
        """Rows at these places, made column by column."""
        chosen = list(places)
        where = np.array(chosen, dtype=np.intp)
        columns = {
            name: column[where].tolist() if isinstance(column, np.ndarray) else [column[place] for place in chosen]
            for name, column in self._columns.items()
        }
        return list(self._made(columns, len(chosen)))

    def _made(self, columns: dict[str, list[Any]], size: int) -> Iterator[dict[str, Any]]:
        columns |= {name: [blank] * size for name, blank in self._absent.items()}
        for row in zip(*columns.values(), strict=True):
            yield dict(zip(columns, row, strict=True))

    def cell(self, place: int, name: str, default: Any = None) -> Any:
        """One cell; ``default`` where the table has no such column."""
        column = self._columns.get(name)
        return self._absent.get(name, default) if column is None else _plain(column[place])

    def column(self, name: str) -> list[Any]:
        """All cells of a column; KeyError for an unknown one."""
        return [self._absent[name]] * self._size if name in self._absent else _listed(self._columns[name])

    def about(self, value: Any, *names: str) -> list[dict[str, Any]]:
        """Rows with this cell in a column (these cells in several), found without reading the others again."""
        return self.at(self.places(*names).get(value, ()))

    def places(self, *names: str) -> Mapping[Any, Sequence[int]]:
        """Places of the rows by the cell of a column (by the cells of several), in the order of the table."""
        if names in self._places:
            return self._places[names]
        keys = self.column(names[0]) if len(names) == 1 else zip(*map(self.column, names), strict=True)
        found: dict[Any, array[int]] = {}
        for place, key in enumerate(keys):
            own = found.get(key)
            if own is None:
                own = found[key] = array("I")
            own.append(place)
        self._places[names] = found
        return found


class Parts:
    """A table by the cells of a column or of several; each part is made when it is asked for.

    A table for each of thousands of visits takes more memory than all of their rows.

    Parameters
    ----------
    table
        Any table.
    names
        Columns of text.
    """

    def __init__(self, table: pd.DataFrame, *names: str) -> None:
        self._table = table
        groups = table.groupby(list(names) if len(names) > 1 else names[0], sort=False, observed=True).indices
        self._places = {
            tuple(map(str, key)) if isinstance(key, tuple) else (str(key),): places for key, places in groups.items()
        }

    def of(self, *cells: str) -> pd.DataFrame:
        """Rows with these cells, in the order of the table; none where there are no such rows."""
        return self._table.iloc[self._places.get(cells, [])]


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
    return list(Rows(table, name))


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

    return _listed(_cells(column if isinstance(column, pd.Series) else pd.Series(list(column), dtype=object), kind))


def _cells(column: pd.Series[Any], kind: str) -> Cells:
    """The same as an array where the column is one of its kind already."""
    import pandas as pd

    if not kind:
        dtype = column.dtype
        kind = "flag" if pd.api.types.is_bool_dtype(dtype) else "number" if _is_number(dtype) else "text"
    if kind == "number":
        if column.dtype == np.float64:
            return column.to_numpy()
        numbers = column if _is_number(column.dtype) else pd.to_numeric(column.astype(object), errors="coerce")
        return np.asarray(numbers.to_numpy(dtype=np.float64, na_value=math.nan))
    if kind == "text" and column.dtype == object and (words := _plain_words(column.to_numpy())) is not None:
        return words
    plain = column.astype(object).to_numpy()
    missing = column.isna().to_numpy()
    if kind == "flag":
        return [None if lost else _flag(one) for one, lost in zip(plain, missing, strict=True)]
    return ["" if lost else str(one) for one, lost in zip(plain, missing, strict=True)]


def _listed(column: Cells) -> list[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else list(column)


def _plain(cell: Any) -> Any:
    return float(cell) if type(cell) is np.float64 else cell


def _plain_words(values: NDArray[np.object_]) -> Cells | None:
    """Cells of a column that holds words, None and NaN; None where it holds anything else."""
    found = []
    whole = True
    for one in values:
        if type(one) is str:
            found.append(one)
        elif one is None or (type(one) is float and math.isnan(one)):
            found.append("")
            whole = False
        else:
            return None
    return values if whole else found


def _is_number(dtype: Any) -> bool:
    import pandas as pd

    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)


def _flag(value: object) -> bool | None:
    words = str(value).strip().casefold()
    return True if words in _YES else False if words in _NO else None
