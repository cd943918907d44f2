"""The record of placement as a table, and what of it belongs into exceptions.csv."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from immunoprofile import schema
from immunoprofile.io.exceptions import Exceptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from immunoprofile.gate.scales import Scale
    from immunoprofile.gate.strategy import Strategy
    from immunoprofile.placement.cuts import Cut

NOTHING_PLACED = pd.DataFrame(columns=list(schema.PLACEMENT_COLUMNS))
_DIGITS = 8
_INTENSITY_DIGITS = 4


class Rows:
    """Collects the rows of placement.csv."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []

    def add(self, sample_id: str, strategy: Strategy, cuts: Sequence[Cut]) -> None:
        """Rows of one sample, in the order of its gates."""
        scales = dict(strategy.scales)
        order = {population: n for n, population in enumerate(strategy.populations)}
        for cut in sorted(cuts, key=lambda cut: order[cut.population]):
            gate = strategy[cut.population]
            scale = next((scales.get(d.scale or "") for d in gate.dimensions if d.marker == cut.marker), None)
            is_limit = cut.limit in ("min", "max")
            places = (cut.template, cut.value) if is_limit else (np.nan, np.nan)
            intensities = [_intensity(scale, place) for place in places]
            self._rows.append(
                (
                    sample_id, strategy.tube, cut.population, cut.parent, cut.marker, cut.limit, cut.asked, cut.method,
                    cut.arguments, gate.group_by or "subject", cut.source,
                    *(round(place, _DIGITS) for place in places), *intensities, round(cut.shift, _DIGITS),
                    round(cut.later_shift, _DIGITS), round(cut.confidence, 4), cut.n_events, cut.review, cut.held,
                    cut.reason, cut.note,
                )
            )  # fmt: skip

    def table(self) -> pd.DataFrame:
        """`schema.PLACEMENT_COLUMNS`."""
        return pd.DataFrame(self._rows, columns=list(schema.PLACEMENT_COLUMNS))


def note_cuts(cuts: Sequence[Cut], **where: Any) -> list[Mapping[str, str]]:
    """Rows of exceptions.csv: cuts that kept the template, and those of a fallback, with their reasons."""
    notes = Exceptions("placement")
    kept: dict[str, list[str]] = {}
    instead: dict[str, list[str]] = {}
    for cut in cuts:
        name = f"{cut.population} ({cut.marker})"
        if cut.method == "template":
            kept.setdefault(cut.reason, []).append(name)
        elif cut.reason:
            instead.setdefault(f"{cut.method} instead of {cut.asked}: {cut.reason}", []).append(name)
    for reason, names in kept.items():
        notes.add("warning", "GATE_NOT_PLACED", f"the template value holds: {reason}; {_listed(names)}", **where,
                  action="look at the gate; an override records what you decide")  # fmt: skip
    for reason, names in instead.items():
        notes.add("warning", "GATE_FALLBACK", f"{reason}; {_listed(names)}", **where, action="look at the gate")
    return list(notes.rows)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _intensity(scale: Scale | None, place: float) -> float:
    """Linear intensity of a place, to four digits: what people read.

    From a table, since a record has thousands of places and `gate.data_units` searches 2 ms for each.
    """
    if np.isnan(place):
        return float("nan")
    if scale is None:
        return float(f"{place:.{_INTENSITY_DIGITS}g}")
    linear, places = _table_of(scale)
    return float(f"{np.interp(place, places, linear):.{_INTENSITY_DIGITS}g}")


@lru_cache(maxsize=16)
def _table_of(scale: Scale) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Linear values, dense around zero, and their places."""
    p = scale.by_letter
    top = 10.0 * (p.get("T") or p.get("max_value") or p["offset"] * 10 ** p["decades"])
    # asinh spacing: 20,001 points are a thousandth apart in relative terms
    linear = np.sinh(np.linspace(-np.arcsinh(top), np.arcsinh(top), 20_001))
    with np.errstate(all="ignore"):
        places = scale.apply(linear)
    known = np.isfinite(places)
    return linear[known], places[known]
