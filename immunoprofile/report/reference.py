"""Reference ranges beside the values of a visit: the table of the study, the subject's sex, the specimen."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from immunoprofile.resources import reference_flag, reference_ranges

if TYPE_CHECKING:
    from immunoprofile.report.source import Source
    from immunoprofile.report.value import Measure, Value

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
    wanted: list[str] = [measure]
    if measure == "pct_parent" and source.var(population, "parent") == "lymphocytes":
        wanted.append("pct_lymphocytes")
    sex = source.subject(source.obs(row, "usubjid"))["sex"]
    limits = next(
        (one for one in _limits(name).get((population, source.obs(row, "specimen_type")), ())
         if one["measure"] in wanted and one["sex"] in (sex, "any")),
        None,
    )  # fmt: skip
    if limits is None:
        return NONE_APPLIES
    low, high, orientation = float(limits["low"]), float(limits["high"]), bool(limits["orientation"])
    unit = "/µL" if measure == "abs" else " %"
    number = value.number if value.state == "ok" else float("nan")
    letter = _LETTERS.get(reference_flag(number, low, high, orientation=orientation), "")
    return f"{low:g} to {high:g}{unit}{' (orientation)' if orientation else ''}{letter}"


@cache
def _limits(name: str) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """(population, specimen) -> rows of a table of reference ranges, in its order."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in reference_ranges(name).to_dict("records"):
        found.setdefault((row["population"], row["specimen"]), []).append({str(k): v for k, v in row.items()})
    return found
