"""What a reportlet of the cohort sees: the source, its arms and their subjects."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from immunoprofile import schema
from immunoprofile.io.records import records
from immunoprofile.pl.series import CmvSeries, cmv_of_table
from immunoprofile.report import wording
from immunoprofile.report.gates_to_know import GatesToKnow
from immunoprofile.report.language import Said
from immunoprofile.report.source import Source
from immunoprofile.report.statistics_tables import Effect, effects

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.report.value import Measure

SMALLEST_GROUP: Final = 3
"""Counts of fewer subjects of a subgroup are not printed: a person could be recognised. Arms are no subgroups."""


@dataclass(frozen=True, eq=False)
class CohortView:
    """The cohort: by arm, or all together in blinded mode."""

    source: Source

    @property
    def blinded(self) -> bool:
        """Arms, doses, dates and comparisons are left out."""
        return self.source.blinded

    @cached_property
    def members(self) -> dict[str, list[str]]:
        """Arm -> its subjects; one group of the empty name in blinded mode."""
        if self.blinded:
            return {"": self.source.subjects}
        own = {row["usubjid"]: row["arm"] for row in self.source.records["subjects"]}
        return {
            arm.code: [name for name in self.source.subjects if own[name] == arm.code]
            for arm in self.source.config.arms
        }

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Codes of the arms; none in blinded mode."""
        return () if self.blinded else tuple(arm.code for arm in self.source.config.arms)

    @cached_property
    def why_no_comparison(self) -> str:
        """Why there are no two arms to compare, in a sentence; empty where there are."""
        if len(self.source.subjects) == 1:
            return "One subject: nothing can be compared; see the pages of its visits."
        if not self.blinded and sum(bool(names) for names in self.members.values()) < 2:
            return "One arm: there is nothing to compare it with; see Change within each arm."
        return ""

    @cached_property
    def has_cmv(self) -> bool:
        """Whether the study has a CMV-DNA result, dated or not."""
        return len(self.source.profile.virology) > 0

    @cached_property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """Arm and its name."""
        return tuple((arm, self.source.config.arm_labels.get(arm, arm)) for arm in self.arms)

    @cached_property
    def arm_of(self) -> dict[str, str]:
        """Subject -> arm; an empty name in blinded mode."""
        return {name: arm for arm, names in self.members.items() for name in names}

    @cached_property
    def cmv(self) -> tuple[CmvSeries, ...]:
        """CMV-DNA of every subject with a result."""
        table = self.source.profile.virology
        return tuple(one for one in cmv_of_table(table, self.source.anchors, self.arm_of) if one.days)

    @cached_property
    def clearance_rule(self) -> str:
        """Rule of the curves of time to clearance; empty when blinded or not computed."""
        times, curves = self.statistics(schema.UNS_CLEARANCE), self.statistics(schema.UNS_CLEARANCE_CURVES)
        if times is None or curves is None or not len(times) or not len(curves):
            return ""
        return str(curves["rule_id"].iloc[0])

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Heads of columns by arm, with n."""
        labels = self.source.config.arm_labels
        return tuple(
            Said("{arm} (n = {n})", arm=labels.get(arm, arm) or "All subjects", n=len(names))
            for arm, names in self.members.items()
        )

    @cached_property
    def displays(self) -> dict[str, str]:
        """Population or readout -> name for people."""
        found = {str(name): self.source.display(str(name)) for name in self.source.visits.var_names}
        readouts = self.source.visits.uns.get(schema.UNS_READOUTS)
        if readouts is not None:
            found |= dict(zip(readouts["id"].astype(str), readouts["display"].astype(str), strict=True))
        found |= {one.readout: one.label for one in self.source.config.functional_endpoints if one.label}
        return found

    @cached_property
    def parents(self) -> dict[str, str]:
        """Population -> name of what its percentage is of."""
        source = self.source
        found = {str(name): source.var(str(name), "parent") for name in source.visits.var_names}
        return {name: source.display(parent) for name, parent in found.items() if parent}

    @cached_property
    def gates(self) -> GatesToKnow:
        """Which numbers hang on gates that a reader has to know of."""
        return GatesToKnow(self.source)

    @cached_property
    def marked_displays(self) -> dict[str, str]:
        """The same names, with the mark of `gates` behind declared endpoints."""
        declared = {one.population: one.measure for one in self.source.config.endpoints}
        return self.displays | {
            name: f"{self.displays[name]}{self.gates.mark(name, measure)}"
            for name, measure in declared.items()
            if name in self.displays
        }

    def effects(self, key: str) -> tuple[Effect, ...]:
        """Rows of a table of statistics for print; none when it was not computed or in blinded mode."""
        found = effects(self.statistics(key), self.displays, self.parents)
        return tuple(
            replace(one, population=f"{one.population}{self.gates.mark(one.population_id, _measure(one))}")
            for one in found
        )

    def statistics(self, key: str) -> pd.DataFrame | None:
        """A table of statistics; None when it was not computed, and always in blinded mode."""
        return None if self.blinded else self.source.visits.uns.get(key)

    def table(self, name: str) -> list[dict[str, Any]] | None:
        """Rows of a table of the results folder; None when the run has no such table."""
        table = self.source.profile.tables.get(name)
        return None if table is None else records(table, name)


def _measure(one: Effect) -> Measure:
    return "abs" if one.measure == wording.MICRO else "pct_parent"


def spread(values: list[float], decimals: int, unit: str) -> str:
    """Median (smallest to largest) with n; a group that is too small is not shown."""
    present = [value for value in values if not math.isnan(value)]
    if not present:
        return "none recorded"
    if len(present) < SMALLEST_GROUP:
        return f"not shown (n < {SMALLEST_GROUP})"
    low, middle, high = min(present), statistics.median(present), max(present)
    return f"{middle:,.{decimals}f} ({low:,.{decimals}f} to {high:,.{decimals}f}) {unit}, n = {len(present)}"


def subgroup(count: float) -> str:
    """Number of subjects of a subgroup: one or two are not told apart, none is none."""
    return "1 or 2" if 0 < count < SMALLEST_GROUP else f"{count:.0f}"
