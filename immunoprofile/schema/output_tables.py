"""Tables that a run writes for every study: exceptions, counts, quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

EXCEPTION_COLUMNS: Final = (
    "stage", "severity", "code", "table", "row", "usubjid", "visit", "sample_id", "file", "message", "action",
)  # fmt: skip
"""``severity`` is ``error`` (something was left out), ``warning`` (used, but look) or ``note``."""

COUNT_COLUMNS: Final = (
    "sample_id", "file", "tube", "population", "parent", "gate_path", "n", "n_parent", "pct_parent",
)  # fmt: skip

QUALITY_COLUMNS: Final = ("usubjid", "visit", "tube", "sample_id", "check", "value", "unit", "limits", "state", "flag")
"""One row per check of a sample or visit; ``state`` is one of QUALITY_STATES."""

QUALITY_STATES: Final = ("PASS", "WARN", "FAIL", "NOT_EVALUABLE")


@dataclass(frozen=True)
class ResultTable:
    """A table of the results folder, ``<name>.csv``.

    Attributes
    ----------
    name
        Name of the file and of the table in ``profile.tables``.
    meaning
        One line for the reader of the folder.
    numbers
        Columns that hold numbers (missing = NaN). All others are text (missing = empty).
    flags
        Columns that hold yes or no (``boolean``, missing = NA).
    """

    name: str
    meaning: str
    numbers: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


RESULT_TABLES: Final[dict[str, ResultTable]] = {
    table.name: table
    for table in (
        ResultTable(
            "queries",
            "questions to people: those of the study with their answers, and those that the run raised; copied into "
            "the study folder it is read back",
            flags=("closed",),
        ),
    )
}
