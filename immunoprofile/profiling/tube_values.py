"""Percentages and concentrations of a single file, for controls and replicates that are no visit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from immunoprofile.pp.concentration import MINIMUM_BEADS, bead_concentration, volumetric_concentration
from immunoprofile.resources import populations

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import Strategy
    from immunoprofile.profiling.outcome import Outcome

BLOOD = ("leukocytes", "lymphocytes")
"""What is one of these, or below it, has a concentration in blood."""
UNITS = {"pct_parent": "%", "abs": "cells/uL"}


class TubeValue(NamedTuple):
    """A number of one file.

    Attributes
    ----------
    value
        Per cent of the parent, or cells/uL.
    n, n_parent
        Events of the population and of its parent.
    counting
        Variance of the natural logarithm from counting; half an event in place of none.
    """

    value: float
    n: int
    n_parent: int
    counting: float


def tube_values(
    outcome: Outcome, row: Mapping[Any, Any], strategy: Strategy, *, counts: bool
) -> dict[tuple[str, str], TubeValue]:
    """(population, measure) -> value of one gated file; what cannot be measured is left out.

    Parameters
    ----------
    outcome
        What the run kept of the file.
    row
        Its row of the samples table.
    strategy
        The gates of its tube.
    counts
        Absolute counts come from this tube.
    """
    known = populations()
    beads = outcome.count(strategy.beads) if counts and strategy.beads else None
    found: dict[tuple[str, str], TubeValue] = {}
    for name, _, _, _, n, n_parent in outcome.counts:
        if name == strategy.beads or (name in known and known[name].technical):
            continue
        if n_parent > 0:
            share = max(1 / max(n, 0.5) - 1 / n_parent, 0.0)
            found[name, "pct_parent"] = TubeValue(100.0 * n / n_parent, n, n_parent, share)
        in_blood = bool({name, *strategy.path(name)} & set(BLOOD))
        if not (counts and in_blood and str(row["specimen_type"]).startswith("WB")):
            continue
        dilution = 1.0 if math.isnan(row["dilution"]) else row["dilution"]
        if beads is not None and beads >= MINIMUM_BEADS:
            value = float(
                bead_concentration(
                    n, beads, beads_per_tube=row["beads_per_tube"], volume_ul=row["blood_volume_ul"], dilution=dilution
                ).value
            )
            if math.isfinite(value):
                found[name, "abs"] = TubeValue(value, n, n_parent, 1 / max(n, 0.5) + 1 / beads)
        elif math.isnan(row["beads_per_tube"]):
            value = float(volumetric_concentration(n, row["acquired_volume_ul"], dilution=dilution).value)
            if math.isfinite(value):
                found[name, "abs"] = TubeValue(value, n, n_parent, 1 / max(n, 0.5))
    return found
