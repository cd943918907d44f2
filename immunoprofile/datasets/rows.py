"""Rows of the tables of the synthetic study: dates as text, and tables with all columns of the schema."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from immunoprofile import schema

Row = dict[str, object]


def date(moment: datetime) -> str:
    """Day as ISO text."""
    return f"{moment:%Y-%m-%d}"


def minute(moment: datetime) -> str:
    """Day and time as ISO text."""
    return f"{moment:%Y-%m-%dT%H:%M}"


def write_table(folder: Path, name: str, rows: Iterable[Row]) -> None:
    """Write a table with all columns of the schema; None and what a row does not name stay empty.

    Raises
    ------
    ValueError
        A row names a column that the schema does not have.
    """
    columns = schema.TABLES[name].column_names
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="raise", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
