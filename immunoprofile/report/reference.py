"""Reference ranges beside the values of a visit: the table of the study, the subject's sex, the specimen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from immunoprofile.resources import reference_flag, reference_ranges

if TYPE_CHECKING:
    from immunoprofile.report.source import Measure, Source, Value

NONE_APPLIES = "–"
_LETTERS = {"LOW": " L", "HIGH": " H"}


def reference(source: Source, row: int | None, population: str, measure: Measure, value: Value) -> str:
    """Limits with their unit, and L or H where the value is outside limits that may say so.

    A range applies to its own sex, specimen and measure; another is never taken in its place. A dash where
    none applies. Ranges marked as orientation (few reference subjects, or another method) never produce L or H.
    """
    name = source.config.reference_ranges
    if not name or row is None:
        return NONE_APPLIES
    table = reference_ranges(name)
    wanted: list[str] = [measure]
    if measure == "pct_parent" and source.var(population, "parent") == "lymphocytes":
        wanted.append("pct_lymphocytes")
    sex = source.subject(source.obs(row, "usubjid"))["sex"]
    fitting = table[
        (table["population"] == population)
        & table["measure"].isin(wanted)
        & table["sex"].isin([sex, "any"])
        & (table["specimen"] == source.obs(row, "specimen_type"))
    ]
    if fitting.empty:
        return NONE_APPLIES
    limits = fitting.iloc[0]
    low, high, orientation = float(limits["low"]), float(limits["high"]), bool(limits["orientation"])
    unit = "/µL" if measure == "abs" else " %"
    number = value.number if value.state == "ok" else float("nan")
    letter = _LETTERS.get(reference_flag(number, low, high, orientation=orientation), "")
    return f"{low:g} to {high:g}{unit}{' (orientation)' if orientation else ''}{letter}"
