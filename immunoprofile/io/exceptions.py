"""Rows of exceptions.csv: what was left out, or needs a look, and why."""

from __future__ import annotations

from typing import Any

import pandas as pd

from immunoprofile import schema


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
        self.rows.append({name: "" if pd.isna(value) else str(value) for name, value in row.items()})

    def table(self) -> pd.DataFrame:
        """The rows as a table of text, empty cells where nothing applies."""
        return pd.DataFrame(self.rows, columns=list(schema.EXCEPTION_COLUMNS)).fillna("")
