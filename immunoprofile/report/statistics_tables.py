"""Statistics in words: estimand, n, effect and interval first; p-values after them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from immunoprofile import schema
from immunoprofile.io.records import records
from immunoprofile.pl.forest_plot import null_value
from immunoprofile.report import wording

if TYPE_CHECKING:
    import pandas as pd

MEASURES = {"abs": wording.MICRO, "pct_parent": "% of parent", "functional": "functional readout"}


@dataclass(frozen=True)
class Effect:
    """One row of a table of effects."""

    population: str
    population_id: str
    measure: str
    contrast: str
    visit: str
    arm: str
    n: str
    kind: str
    effect: str
    interval: str
    p: str
    conclusion: str
    medians: str
    """Of the arm, at baseline and at the visit."""
    medians_reference: str
    method_id: str
    method: str
    note: str
    value: float
    level: float
    """Confidence of the interval, per cent; NaN where none is shown."""
    p_adjusted: str
    adjustment: str
    exclusions: str

    @property
    def interval_at_level(self) -> str:
        """Interval with its confidence; empty where none is shown."""
        return f"{self.interval} ({self.level:.4g} %)" if self.interval else ""


_DIRECTIONS: Final = {"time": ("later", "earlier"), "hazard": ("earlier", "later")}
"""What a time or hazard ratio above and below 1 means for clearance; of all others "higher" and "lower" say it."""
_REFUSAL: Final = re.compile(r"(?<=refused: )(?:[^;:]*: )?([^;]*?) -> [^;]*?(?=;|\.?$)")
"""An error as a note holds it: place, what, and what to call instead."""
SIGNIFICANT: Final = 0.05
LEAST_LEVEL: Final = 0.95
"""An interval of less confidence (few subjects cannot give more) never concludes."""
FEWEST: Final = 3
"""A group of fewer subjects never concludes, whatever its interval."""
SHOWN_LEVEL: Final = 0.8
"""Below this the interval of three subjects or fewer says next to nothing, and is not printed."""


def effects(
    table: pd.DataFrame | None, displays: Mapping[str, str], parents: Mapping[str, str] | None = None
) -> tuple[Effect, ...]:
    """Rows of a statistics table (``schema.STATISTIC_COLUMNS``) for print; nothing for no table.

    ``displays``: population -> its name; ``parents``: population -> name of its parent, for "% of ...".
    """
    if table is None:
        return ()
    rows = records(table, schema.STATISTICS)
    tested = {row["contrast"]: row["p_value"] for row in rows
              if row["method"] == schema.PERMUTATION_METHOD}  # fmt: skip
    return tuple(_effect(row, displays, parents or {}, tested.get(row["contrast"], math.nan)) for row in rows)


def measure_words(population: str, measure: str, parents: Mapping[str, str]) -> str:
    """Measure with its unit; a percentage with what it is a percentage of, where that is known.

    Examples
    --------
    >>> measure_words("treg", "pct_parent", {"treg": "CD4+ T cells"}), measure_words("treg", "abs", {})
    ('% of CD4+ T cells', 'cells/µL')
    """
    if measure == "pct_parent" and population in parents:
        return f"% of {parents[population]}"
    return MEASURES.get(measure, measure)


def _effect(row: Mapping[str, Any], displays: Mapping[str, str], parents: Mapping[str, str], permuted: float) -> Effect:
    """Row for print. ``permuted``: p of a permutation test of the same contrast, NaN without one."""
    value, low, high = (row[name] for name in ("effect", "effect_lower", "effect_upper"))
    kind = row["effect_kind"]
    level = row["conf_level"]
    n, reference = row["n"], row["n_reference"]
    counts = wording.count(n) + (f" vs {wording.count(reference)}" if not math.isnan(reference) else "")
    null = null_value(kind)
    if math.isnan(value):
        conclusion = "not estimated" if math.isnan(row["p_value"]) else "test without an estimate"
    elif kind in schema.DESCRIPTIVE_EFFECTS:
        conclusion = ""
    elif row["method"] == schema.PERMUTATION_METHOD:
        conclusion = "test without an interval"
    elif math.isnan(low) or math.isnan(high) or low <= null <= high or level < LEAST_LEVEL:
        conclusion = "cannot conclude"
    elif min(n, math.inf if math.isnan(reference) else reference) < FEWEST:
        conclusion = f"cannot conclude (fewer than {FEWEST} subjects)"
    elif kind == "time ratio" and not permuted < SIGNIFICANT:  # NaN: without the exact test nothing is concluded
        conclusion = "cannot conclude (permutation test)"
    elif row["p_adjusted"] >= SIGNIFICANT:
        conclusion = "cannot conclude after correction"
    else:
        conclusion = _DIRECTIONS.get(kind.partition(" ")[0], ("higher", "lower"))[int(value < null)]
    percent = 95.0 if math.isnan(level) else 100 * level
    shown = not (math.isnan(low) or math.isnan(high) or level < SHOWN_LEVEL)
    interval = f"{_limit(low)} to {_limit(high)}" if shown else ""
    measure = row["measure"]
    population = row["population"]
    return Effect(
        displays.get(population, population), population, measure_words(population, measure, parents),
        row["contrast"],
        row["visit"], row["arm"], counts, kind, "" if math.isnan(value) else _limit(value),
        interval,
        wording.p_value(row["p_value"]), conclusion,
        _medians(row, ""), _medians(row, "_reference"), row["method_id"], row["method"],
        said_plainly(row["note"]), value, percent if shown else math.nan,
        wording.p_value(row["p_adjusted"]), _adjustment(row), row["exclusions"],
    )  # fmt: skip


def said_plainly(note: str) -> str:
    """A note without the places and functions that a refusal names for people who program.

    Examples
    --------
    >>> said_plainly("refused: obs arm: there is one arm only -> use tl.change; residual df 7")
    'refused: there is one arm only; residual df 7'
    """
    return _REFUSAL.sub(r"\1", note)


def _medians(row: Mapping[str, Any], whose: str) -> str:
    before, after = row[f"median_baseline{whose}"], row[f"median_visit{whose}"]
    return "" if math.isnan(before) or math.isnan(after) else f"{_median(before)} → {_median(after)}"


def _median(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _limit(value: float) -> str:
    """Two decimals, and two significant digits below 0.1: a ratio of 0.0008 is not 0."""
    if math.isinf(value):
        return "no limit"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def _adjustment(row: Mapping[str, Any]) -> str:
    """Correction and family; nothing where the p-value stands alone."""
    name, family = row["adjusted"], row["family"]
    if name in ("", "none"):
        return ""
    words = schema.FAMILY_WORDS.get(family, "")
    return f"{name} within {family}" + (f" ({words})" if words else "") if family else name


def methods(tables: Sequence[pd.DataFrame]) -> tuple[str, ...]:
    """Methods that were really called, with their scale and adjustment, each once."""
    found: dict[str, None] = {}
    for table in tables:
        for row in records(table, schema.STATISTICS):
            words = f"{row['method_id']}: {row['method']}"
            extra = [
                f"scale {row['scale']}" if row["scale"] else "",
                f"adjustment {row['adjusted']}" if row["adjusted"] else "",
            ]
            extra = [part for part in extra if part]
            found.setdefault(words + (f" ({', '.join(extra)})" if extra else ""), None)
    return tuple(found)
