"""The tables of a gating template: cells with their rows and columns, corners of polygons, and numbers in cells."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from immunoprofile.errors import Problems
from immunoprofile.io.inputs import read_plain, reason


def read_lines(path: Path, problems: Problems) -> list[str]:
    """Lines of a text file; what is wrong with it goes to ``problems``."""
    try:
        return read_plain(path).decode("utf-8-sig").splitlines()
    except OSError as error:
        problems.add(path.name, f"cannot be read: {reason(error)}")
        return []
    except UnicodeDecodeError as error:
        problems.add(path.name, f"is not UTF-8 text ({error.reason} at byte {error.start})")
        return []


def parse_rows(
    lines: Sequence[str], where: str, columns: Sequence[str], required: Sequence[str], problems: Problems
) -> list[dict[str, str]]:
    """Rows of a table by column, stripped; what is wrong with it goes to ``problems``.

    Every row has every required column: where one is missing there are none.
    """
    try:
        reader = csv.DictReader(list(lines))
        found = [name.strip() for name in reader.fieldnames or ()]
        table = list(reader)
    except csv.Error as error:
        problems.add(where, f"cannot be read as a table: {error}")
        return []
    if twice := sorted({name for name in found if found.count(name) > 1}):
        problems.add(where, "a column stands twice", column=", ".join(twice))
    for name in required:
        if name not in found:
            problems.add(where, "a column is missing", column=name)
    for name in found:
        if name not in columns:
            problems.add(where, "unknown column", column=name, allowed=", ".join(columns))
    if not set(required) <= set(found):
        return []
    rows = []
    for number, row in enumerate(table, 1):
        if None in row or None in row.values():
            problems.add(where, "the row has another number of cells than the header", row=number)
            continue
        rows.append({name.strip(): value.strip() for name, value in row.items()})
    return rows


def read_vertices(path: Path, problems: Problems) -> dict[str, list[tuple[float, float]]]:
    """Corners of polygons by population, in their order; empty where there is no such file."""
    if not path.exists():
        return {}
    columns = ("population", "order", "x", "y")
    rows = parse_rows(read_lines(path, problems), path.name, columns, columns, problems)
    if problems:
        return {}
    found: dict[str, list[tuple[float, float, float]]] = {}
    for number, row in enumerate(rows, 1):
        values = [number_in(row, name, number, path.name, problems) for name in ("order", "x", "y")]
        order, x, y = values
        if order is None or x is None or y is None:
            if all(row[name] for name in ("order", "x", "y")):
                continue
            problems.add(path.name, "order, x and y must all be given", row=number)
            continue
        found.setdefault(row["population"], []).append((order, x, y))
    for name, corners in found.items():
        if len({order for order, _, _ in corners}) != len(corners):
            problems.add(path.name, "an order stands twice", column="order", value=name)
    return {name: [(x, y) for _, x, y in sorted(corners)] for name, corners in found.items()}


def number_in(row: dict[str, str], column: str, number: int, where: str, problems: Problems) -> float | None:
    """Number in a cell; None where it is empty or, named in ``problems``, no finite number."""
    text = row.get(column, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        problems.add(where, "not a number", row=number, column=column, value=text)
        return None
    if value != value or value in (float("inf"), float("-inf")):
        problems.add(where, "not a finite number", row=number, column=column, value=text, allowed="empty for no limit")
        return None
    return value


def quoted(cell: str) -> str:
    """A cell as CSV has it."""
    return '"' + cell.replace('"', '""') + '"' if re.search(r'[",\n]', cell) else cell
