"""How a study table is described: its columns, its key, and patterns of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

SCHEMA_VERSION: Final = "1"

ColumnKind = Literal["str", "float", "int", "bool", "date"]

ISO_DATE: Final = r"^\d{4}(-\d{2}(-\d{2}(T\d{2}:\d{2}(:\d{2})?)?)?)?$"
"""ISO 8601 text date as in SDTM ``--DTC``: partial dates and an optional time of day."""

POPULATION_ID: Final = r"^[a-z][a-z0-9_]*$"
"""Our own population ids. FlowKit exports other names as GatingML that its parser rejects."""


SAMPLE_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""Sample ids name files of the results folder, on every operating system."""


@dataclass(frozen=True)
class Column:
    """One column of a study table.

    Attributes
    ----------
    name
        Column name, snake_case; a unit stands as suffix.
    kind
        Type of the values; ``date`` is ISO 8601 text, ``bool`` is Y/N in the file.
    meaning
        One line for the person who fills the table.
    required
        The column must exist in the file.
    nullable
        Single values may be missing.
    unit
        Unit of the values, where they have one.
    allowed
        Legal values; empty means free.
    minimum, maximum
        Inclusive limits of a number.
    spelling
        Spells a filled cell as the package does, from the text of all cells of its row (empty where missing).
    holds_number
        Text in which a number stands (the result as a laboratory wrote it), so that decimal marks matter.
    """

    name: str
    kind: ColumnKind
    meaning: str
    required: bool = False
    nullable: bool = True
    unit: str | None = None
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    spelling: Callable[[Mapping[str, str]], str] | None = None
    holds_number: bool = False


@dataclass(frozen=True)
class TableSpec:
    """A study table: its columns, its key and whether a study must have it."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    required: bool = False
    of_subject: bool = True
    """Every row must belong to a subject (and, where it names a visit, to a visit of the schedule)."""

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns in the order of the specification."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Column by name; KeyError when the table has none of that name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)
