"""Overrides of gates as immutable values: which gate of which sample, before and after, by whom and why."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from immunoprofile.gate.gates import BOOLEAN_KINDS, Gate, describe
from immunoprofile.gate.scales import Scale

SHAPES = ("rectangle", "polygon", "ellipsoid")
"""Kinds of gates that can be moved for one sample."""


@dataclass(frozen=True)
class Override:
    """One gate of one sample, drawn anew by a person.

    Attributes
    ----------
    tube, population
        Which gate.
    sample
        Id of the sample in the study; without a study the name of its file.
    before
        The gate that was in force for the sample.
    after
        The gate that is in force from then on; None takes back earlier overrides, so that the gate of the strategy is
        in force again.
    reason, author
        Why, and the code of the person.
    scales
        (name, scale) pairs of the dimensions of both gates: a place on a scale means nothing without it.
    time
        When it was recorded, ISO 8601 in UTC; empty until then.
    n_parent, n_before, n_after
        Events of the parent and of the population before and after, in the file of the sample; None until recorded.
    fcs_sha256
        Content of the file in which they were counted.
    """

    tube: str
    population: str
    sample: str
    before: Gate
    after: Gate | None
    reason: str
    author: str
    scales: tuple[tuple[str, Scale], ...] = ()
    time: str = ""
    n_parent: int | None = None
    n_before: int | None = None
    n_after: int | None = None
    fcs_sha256: str = ""

    @property
    def place(self) -> str:
        """``tube/population``."""
        return f"{self.tube}/{self.population}"

    def faults(self) -> Iterator[tuple[str, str, object]]:
        """What is wrong with it by itself: (column, fault, value)."""
        for column in ("reason", "author", "sample"):
            if not getattr(self, column).strip():
                yield column, "is empty: an override needs who, why and for which sample", ""
        old, new = self.before, self.after
        if old.kind not in SHAPES:
            kind = "combines other gates; override those" if old.kind in BOOLEAN_KINDS else "shares its dividers"
            yield "population", f"a gate '{old.kind}' cannot be overridden by itself: it {kind}", old.population
            return
        if new is None:
            return
        if new.kind not in SHAPES:
            yield "after", "is of a kind that cannot stand for it", new.kind
        if (new.population, new.parent) != (old.population, old.parent):
            place = f"{new.population} below {new.parent}"
            yield "after", f"is the gate of another place than {old.population} below {old.parent}", place
        if [_axis(d) for d in new.dimensions] != [_axis(d) for d in old.dimensions]:
            yield "after", "has other dimensions, scales or compensation than the gate that it replaces", describe(new)
        for fault, value in new.faults():
            yield "after", fault, value
        for dimension in new.dimensions:
            if any(limit is not None and not math.isfinite(limit) for limit in (dimension.minimum, dimension.maximum)):
                yield "after", f"a limit of {dimension.marker} is not finite; leave an open side empty", ""


def _axis(dimension: object) -> tuple[object, ...]:
    names = ("marker", "scale", "compensated", "ratio", "matrix")
    return tuple(getattr(dimension, name) for name in names)
