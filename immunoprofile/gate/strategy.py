"""Gating strategies as immutable values: gates, strategies of a tube, and the set of a study.

Nothing here evaluates a gate or knows FlowKit; an edit returns a new value.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal

from immunoprofile.errors import GateError, Problems
from immunoprofile.gate.scales import Scale
from immunoprofile.schema import SAMPLE_ID

ROOT = "root"
"""Parent of the first gates: all recorded events."""

GateKind = Literal["rectangle", "polygon", "and", "or", "not"]
BOOLEAN_KINDS: tuple[GateKind, ...] = ("and", "or", "not")


@dataclass(frozen=True)
class Dimension:
    """One axis of a gate.

    Attributes
    ----------
    marker
        Marker, scatter channel or ``Time``; a channel name ($PnN) where the strategy came from GatingML.
    minimum, maximum
        Limits on the scale of the axis: minimum inclusive, maximum exclusive; None is open. Unused by polygons.
    scale
        Name of a scale of the strategy; None is linear.
    compensated
        Whether the spillover of the file is removed first.
    """

    marker: str
    minimum: float | None = None
    maximum: float | None = None
    scale: str | None = None
    compensated: bool = False


@dataclass(frozen=True)
class Operand:
    """A population that a Boolean gate refers to, or its complement."""

    population: str
    complement: bool = False


@dataclass(frozen=True)
class Gate:
    """One population: how it is cut out of its parent.

    Attributes
    ----------
    population
        Id, unique in the strategy.
    parent
        Id of the parent, or ``root``.
    kind
        ``rectangle`` (1 to 3 dimensions), ``polygon`` (2 dimensions), ``and``, ``or``, ``not``.
    dimensions
        Axes; the first two are those of the plot.
    vertices
        Corners of a polygon on the scales of its dimensions.
    operands
        Populations that a Boolean gate combines.
    method
        How the limits were placed; ``fixed`` is the value of the template.
    group_by, fallback, note
        Columns of the template that placement methods and people use.
    label
        Name that the gate came with, where that is no population id.
    """

    population: str
    parent: str
    kind: GateKind
    dimensions: tuple[Dimension, ...] = ()
    vertices: tuple[tuple[float, float], ...] = ()
    operands: tuple[Operand, ...] = ()
    method: str = "fixed"
    group_by: str = ""
    fallback: str = ""
    note: str = ""
    label: str = ""


@dataclass(frozen=True)
class Strategy:
    """All gates of one tube, parents before children.

    Attributes
    ----------
    tube
        Tube that the strategy gates.
    gates
        The gates in order of evaluation.
    scales
        (name, scale) pairs.
    channels
        (marker, $PnN) pairs of the instrument that the template was made for; a file may differ.
    beads
        Population of counting beads that absolute counts use, or empty.
    version, panel, instrument
        What the template says of itself.
    """

    tube: str
    gates: tuple[Gate, ...]
    scales: tuple[tuple[str, Scale], ...] = ()
    channels: tuple[tuple[str, str], ...] = ()
    beads: str = ""
    version: str = ""
    panel: str = ""
    instrument: str = ""

    def __post_init__(self) -> None:
        problems = Problems()
        if not re.match(SAMPLE_ID, self.tube):
            problems.add(
                "tube", "is no name that a file can have", value=self.tube, allowed="letters, digits, . _ and -"
            )
        known = {ROOT}
        names = [gate.population for gate in self.gates]
        for gate in self.gates:
            self._check_gate(gate, known, names, problems)
            known.add(gate.population)
        if problems:
            raise GateError("the gating strategy is not valid", problems.found, where=self.tube)

    def _check_gate(self, gate: Gate, known: set[str], names: list[str], problems: Problems) -> None:
        where = f"gate {gate.population}"
        if gate.population in known:
            problems.add(where, "stands twice")
        if gate.parent not in known:
            late = gate.parent in names
            problems.add(
                where,
                "its parent comes later, or the gates form a cycle" if late else "its parent is unknown",
                value=gate.parent,
                allowed="a population above it, or root",
            )
        for dimension in gate.dimensions:
            if dimension.scale is not None and dimension.scale not in dict(self.scales):
                problems.add(
                    where,
                    f"scale of {dimension.marker} is unknown",
                    value=dimension.scale,
                    allowed=", ".join(dict(self.scales)),
                )
            low, high = dimension.minimum, dimension.maximum
            if low is not None and high is not None and not low < high:
                problems.add(where, f"minimum of {dimension.marker} is not below its maximum", value=f"{low} .. {high}")
        if gate.kind == "rectangle":
            if not gate.dimensions:
                problems.add(where, "a rectangle needs at least one dimension")
            elif all(d.minimum is None and d.maximum is None for d in gate.dimensions):
                problems.add(where, "a rectangle needs at least one limit")
        elif gate.kind == "polygon":
            if len(gate.dimensions) != 2:
                problems.add(where, "a polygon needs two dimensions", value=len(gate.dimensions))
            if len(gate.vertices) < 3:
                problems.add(where, "a polygon needs at least three vertices", value=len(gate.vertices))
        else:
            if not gate.operands or (gate.kind == "not" and len(gate.operands) != 1):
                problems.add(where, f"a gate '{gate.kind}' needs {'one operand' if gate.kind == 'not' else 'operands'}")
            for operand in gate.operands:
                if operand.population == gate.parent:
                    # Also, FlowKit loses a gate whose operand is its parent when it re-reads GatingML.
                    problems.add(
                        where,
                        "an operand is its parent, whose events are all that it sees; leave it out",
                        value=operand.population,
                    )
                elif operand.population not in known - {ROOT}:
                    problems.add(where, "an operand is not a population above it", value=operand.population)

    @property
    def populations(self) -> tuple[str, ...]:
        """Ids of all populations in order."""
        return tuple(gate.population for gate in self.gates)

    @property
    def markers(self) -> tuple[str, ...]:
        """Markers and channels that the gates need, in order of first use."""
        return tuple(dict.fromkeys(d.marker for gate in self.gates for d in gate.dimensions))

    def __getitem__(self, population: str) -> Gate:
        for gate in self.gates:
            if gate.population == population:
                return gate
        raise KeyError(population)

    def __contains__(self, population: object) -> bool:
        return population in self.populations

    def __len__(self) -> int:
        return len(self.gates)

    def path(self, population: str) -> tuple[str, ...]:
        """Populations from ``root`` down to the parent of a population."""
        parents: list[str] = []
        parent = self[population].parent
        while parent != ROOT:
            parents.append(parent)
            parent = self[parent].parent
        return (ROOT, *reversed(parents))

    def children(self, population: str) -> tuple[str, ...]:
        """Populations directly below one."""
        return tuple(gate.population for gate in self.gates if gate.parent == population)

    def with_gate(self, gate: Gate) -> Strategy:
        """The same strategy with one gate replaced."""
        self[gate.population]
        return replace(self, gates=tuple(gate if old.population == gate.population else old for old in self.gates))

    @property
    def sha256(self) -> str:
        """Hash of the meaning: equal gates have equal hashes, however they were written."""
        content = asdict(self)
        for gate in content["gates"]:
            del gate["note"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def tree(self) -> str:
        """The gates as an indented text, one line a population."""
        lines = [ROOT]

        def descend(population: str, depth: int) -> None:
            for child in self.children(population):
                gate = self[child]
                axes = " x ".join(dimension.marker for dimension in gate.dimensions) or " ".join(
                    [gate.kind, *(f"{'not ' if o.complement else ''}{o.population}" for o in gate.operands)]
                )
                lines.append(f"{'   ' * depth}{child}  [{axes}]")
                descend(child, depth + 1)

        descend(ROOT, 1)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Strategy({self.tube!r}, {len(self.gates)} gates, version {self.version or '-'})\n{self.tree()}"


@dataclass(frozen=True)
class GateSet(Mapping[str, Strategy]):
    """The strategies of a study, by tube."""

    strategies: tuple[Strategy, ...]

    def __post_init__(self) -> None:
        tubes = [strategy.tube for strategy in self.strategies]
        twice = sorted({tube for tube in tubes if tubes.count(tube) > 1})
        if twice:
            problems = Problems()
            for tube in twice:
                problems.add(f"tube {tube}", "has several strategies")
            raise GateError("one strategy per tube", problems.found)

    def __getitem__(self, tube: str) -> Strategy:
        for strategy in self.strategies:
            if strategy.tube == tube:
                return strategy
        raise KeyError(tube)

    def __iter__(self) -> Iterator[str]:
        return iter(strategy.tube for strategy in self.strategies)

    def __len__(self) -> int:
        return len(self.strategies)

    def with_strategy(self, strategy: Strategy) -> GateSet:
        """The same set with the strategy of one tube replaced."""
        self[strategy.tube]
        return GateSet(tuple(strategy if old.tube == strategy.tube else old for old in self.strategies))

    def __repr__(self) -> str:
        return "\n\n".join(repr(strategy) for strategy in self.strategies)
