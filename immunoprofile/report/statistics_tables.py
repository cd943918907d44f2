"""Statistics in words: estimand, n, effect and interval first; p-values after them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from immunoprofile import schema
from immunoprofile.pl.forest_plot import null_value
from immunoprofile.pl.series import number, text
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
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    tested = {text(row["contrast"]): number(row.get("p_value")) for row in rows
              if text(row.get("method")) == schema.PERMUTATION_METHOD}  # fmt: skip
    return tuple(_effect(row, displays, parents or {}, tested.get(text(row.get("contrast")), math.nan)) for row in rows)


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
    value, low, high = (number(row.get(name)) for name in ("effect", "effect_lower", "effect_upper"))
    kind = text(row.get("effect_kind"))
    level = number(row.get("conf_level"))
    n, reference = number(row.get("n")), number(row.get("n_reference"))
    counts = wording.count(n) + (f" vs {wording.count(reference)}" if not math.isnan(reference) else "")
    null = null_value(kind)
    if math.isnan(value):
        conclusion = "not estimated" if math.isnan(number(row.get("p_value"))) else "test without an estimate"
    elif kind in schema.DESCRIPTIVE_EFFECTS:
        conclusion = ""
    elif text(row.get("method")) == schema.PERMUTATION_METHOD:
        conclusion = "test without an interval"
    elif math.isnan(low) or math.isnan(high) or low <= null <= high or level < LEAST_LEVEL:
        conclusion = "cannot conclude"
    elif min(n, math.inf if math.isnan(reference) else reference) < FEWEST:
        conclusion = f"cannot conclude (fewer than {FEWEST} subjects)"
    elif kind == "time ratio" and not permuted < SIGNIFICANT:  # NaN: without the exact test nothing is concluded
        conclusion = "cannot conclude (permutation test)"
    elif number(row.get("p_adjusted")) >= SIGNIFICANT:
        conclusion = "cannot conclude after correction"
    else:
        conclusion = _DIRECTIONS.get(kind.partition(" ")[0], ("higher", "lower"))[int(value < null)]
    percent = 95.0 if math.isnan(level) else 100 * level
    shown = not (math.isnan(low) or math.isnan(high) or level < SHOWN_LEVEL)
    interval = f"{_limit(low)} to {_limit(high)}" if shown else ""
    measure = text(row.get("measure"))
    population = text(row.get("population"))
    return Effect(
        displays.get(population, population), population, measure_words(population, measure, parents),
        text(row.get("contrast")),
        text(row.get("visit")), text(row.get("arm")), counts, kind, "" if math.isnan(value) else _limit(value),
        interval,
        wording.p_value(number(row.get("p_value"))), conclusion,
        _medians(row, ""), _medians(row, "_reference"), text(row.get("method_id")), text(row.get("method")),
        text(row.get("note")), value, percent if shown else math.nan,
        wording.p_value(number(row.get("p_adjusted"))), _adjustment(row), text(row.get("exclusions")),
    )  # fmt: skip


def _medians(row: Mapping[str, Any], whose: str) -> str:
    before, after = number(row.get(f"median_baseline{whose}")), number(row.get(f"median_visit{whose}"))
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
    name, family = text(row.get("adjusted")), text(row.get("family"))
    if name in ("", "none"):
        return ""
    words = schema.FAMILY_WORDS.get(family, "")
    return f"{name} within {family}" + (f" ({words})" if words else "") if family else name


def methods(tables: Sequence[pd.DataFrame]) -> tuple[str, ...]:
    """Methods that were really called, with their scale and adjustment, each once."""
    found: dict[str, None] = {}
    for table in tables:
        for row in table.to_dict("records"):
            words = f"{text(row.get('method_id'))}: {text(row.get('method'))}"
            extra = [
                f"scale {text(row.get('scale'))}" if text(row.get("scale")) else "",
                f"adjustment {text(row.get('adjusted'))}" if text(row.get("adjusted")) else "",
            ]
            extra = [part for part in extra if part]
            found.setdefault(words + (f" ({', '.join(extra)})" if extra else ""), None)
    return tuple(found)
