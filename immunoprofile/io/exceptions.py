"""Rows of exceptions.csv: what was left out, or needs a look, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from immunoprofile import schema
from immunoprofile.io.records import value_of

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Notice:
    """Something to tell of a file: one row of exceptions.csv.

    Attributes
    ----------
    code
        Short name in capitals.
    message
        What was found, in one sentence.
    action
        What a person can do.
    severity
        ``error`` (something was left out), ``warning`` (used, but look) or ``note``.
    """

    code: str
    message: str
    action: str = ""
    severity: Severity = "warning"

    def row(self, stage: str, **place: object) -> dict[str, Any]:
        """Row with `schema.EXCEPTION_COLUMNS`; ``place`` fills subject, visit, sample and file."""
        row: dict[str, Any] = dict.fromkeys(schema.EXCEPTION_COLUMNS, "")
        row |= {"stage": stage, "severity": self.severity, "code": self.code}
        return row | {"message": self.message, "action": self.action} | place


class Exceptions:
    """Collects rows of exceptions.csv."""

    def __init__(self, stage: str = "intake") -> None:
        self.stage = stage
        self.rows: list[dict[str, Any]] = []

    def add(self, severity: str, code: str, message: str, **place: Any) -> None:
        """Note one exception; ``place`` fills the other columns of `schema.EXCEPTION_COLUMNS`."""
        row = {"stage": self.stage, "severity": severity, "code": code, "message": message, **place}
        unknown = set(row) - set(schema.EXCEPTION_COLUMNS)
        if unknown:
            raise KeyError(", ".join(sorted(unknown)))
        self.rows.append({name: "" if value_of(value) is None else str(value) for name, value in row.items()})

    def table(self) -> pd.DataFrame:
        """The rows as a table of text, empty cells where nothing applies."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(schema.EXCEPTION_COLUMNS)).fillna("")
