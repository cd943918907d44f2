"""Gating strategies as immutable values: gates, strategies of a tube, and the set of a study.

Nothing here evaluates a gate or knows FlowKit; an edit returns a new value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from immunoprofile.errors import GateError, Problem, Problems
from immunoprofile.gate.content_hash import content_sha256
from immunoprofile.gate.data_units import Units, in_data_units, on_scale
from immunoprofile.gate.gates import (
    BOOLEAN_KINDS,
    ROOT,
    Dimension,
    Ellipsoid,
    Gate,
    GateKind,
    Matrix,
    Operand,
    Ratio,
    describe,
)
from immunoprofile.gate.known import KnownSample, LimitValues
from immunoprofile.gate.methods import CUT_SHIFT, MOST_CUT_SHIFT
from immunoprofile.gate.overrides import Override
from immunoprofile.gate.reference import Reference
from immunoprofile.gate.scales import Scale
from immunoprofile.schema import SAMPLE_ID

__all__ = [
    "BOOLEAN_KINDS",
    "ROOT",
    "Dimension",
    "Ellipsoid",
    "Gate",
    "GateKind",
    "GateSet",
    "Matrix",
    "Operand",
    "Ratio",
    "Strategy",
]


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
    matrices
        (name, matrix) pairs that dimensions refer to.
    custom
        (sample id, gate) pairs: gates that replace the one of the same population for one sample.
    units
        How a template states the limits: ``scale`` or ``data``. The gates here are on their scales either way.
    samples
        Samples of the document that the gates came with, by which `matching.match` finds the gates of a file.
    default_scale
        Name of the scale of a channel that has no gate and is not in ``marker_scales``, in the cells object; empty is
        the first logicle, else the first scale that is not linear.
    marker_scales
        (marker or $PnN, name of its scale) pairs of channels without a gate.
    references
        Densities of the sample on which a template was drawn, for methods that compare with it.
    limits
        In which values the limits are; `file_units.in_units_of` brings them to those of a file.
    cut_shift
        How far a cut may well lie off (standard uncertainty), as a share of its scale, see `cut_shifts`.
    """

    tube: str
    gates: tuple[Gate, ...]
    scales: tuple[tuple[str, Scale], ...] = ()
    channels: tuple[tuple[str, str], ...] = ()
    beads: str = ""
    version: str = ""
    panel: str = ""
    instrument: str = ""
    matrices: tuple[tuple[str, Matrix], ...] = ()
    custom: tuple[tuple[str, Gate], ...] = ()
    units: Units = "scale"
    samples: tuple[KnownSample, ...] = ()
    limits: LimitValues = "file"
    default_scale: str = ""
    marker_scales: tuple[tuple[str, str], ...] = ()
    references: tuple[Reference, ...] = ()
    cut_shift: float = CUT_SHIFT

    def __post_init__(self) -> None:
        problems = Problems()
        if not re.match(SAMPLE_ID, self.tube):
            problems.add(
                "tube", "is no name that a file can have", value=self.tube, allowed="letters, digits, . _ and -"
            )
        if not 0 <= self.cut_shift <= MOST_CUT_SHIFT:
            problems.add("cut_shift", "is no share of a scale that a cut may lie off", value=self.cut_shift,
                         allowed=f"0 to {MOST_CUT_SHIFT:g}")  # fmt: skip
        known = {ROOT}
        names = [gate.population for gate in self.gates]
        for gate in self.gates:
            self._check_gate(gate, known, names, problems)
            known.add(gate.population)
        self._check_quadrants(problems)
        self._check_names(problems)
        if not problems:
            self._check_custom(problems)
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
        for fault, value in gate.faults():
            problems.add(where, fault, value=value)
        scales, matrices = dict(self.scales), dict(self.matrices)
        for dimension in gate.dimensions:
            name = dimension.marker
            if dimension.scale is not None and dimension.scale not in scales:
                problems.add(where, f"scale of {name} is unknown", value=dimension.scale, allowed=", ".join(scales))
            if dimension.matrix and dimension.matrix not in matrices:
                problems.add(where, f"matrix of {name} is unknown", value=dimension.matrix, allowed=", ".join(matrices))
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

    def _check_quadrants(self, problems: Problems) -> None:
        for name, quadrants in self.quadrants.items():
            where = f"quadrant gate {name}"
            if name in self or name == ROOT:
                problems.add(where, "has the name of a population", allowed="another name")
            if len({gate.parent for gate in quadrants}) > 1:
                problems.add(where, "its quadrants have different parents")
            axes: dict[str, list[tuple[Gate, Dimension]]] = {}
            for gate in quadrants:
                for dimension in gate.dimensions:
                    axes.setdefault(dimension.marker, []).append((gate, dimension))
            for marker, uses in axes.items():
                if len({(d.scale, d.compensated, d.matrix) for _, d in uses}) > 1:
                    problems.add(where, f"its quadrants see {marker} on different scales or compensations")
                dividers = {limit for _, d in uses for limit in (d.minimum, d.maximum) if limit is not None}
                for gate, d in uses:
                    crossing = [v for v in sorted(dividers) if _inside(v, d)]
                    if crossing:
                        fault = f"quadrant {gate.population} reaches over a divider of {marker}; use rectangles"
                        problems.add(where, fault, value=crossing[0])
            if len({d.matrix for uses in axes.values() for _, d in uses if d.compensated}) > 1:
                problems.add(where, "its dimensions are compensated with different matrices")

    def _check_names(self, problems: Problems) -> None:
        for kind, pairs in (("scale", self.scales), ("matrix", self.matrices)):
            found = [name for name, _ in pairs]
            for name in sorted({name for name in found if found.count(name) > 1}):
                problems.add(f"{kind} {name}", "stands twice")
        known = {name for name, _ in self.scales}
        for marker, scale in (("channels without a gate", self.default_scale), *self.marker_scales):
            if scale and scale not in known:
                problems.add(f"scale of {marker}", "is unknown", value=scale, allowed=", ".join(sorted(known)))
        for name, matrix in self.matrices:
            for fault in matrix.faults():
                problems.add(f"matrix {name}", fault)
        ratios: dict[str, Ratio] = {}
        for gate in self.gates:
            for dimension in gate.dimensions:
                if dimension.ratio is None:
                    continue
                if ratios.setdefault(dimension.marker, dimension.ratio) != dimension.ratio:
                    problems.add(f"gate {gate.population}", "its ratio has the name of another", value=dimension.marker)
                if dimension.marker in dict(self.scales):
                    problems.add(f"gate {gate.population}", "its ratio has the name of a scale", value=dimension.marker)

    def _check_custom(self, problems: Problems) -> None:
        own_gates: dict[str, list[Gate]] = {}
        for sample, gate in self.custom:
            own_gates.setdefault(sample, []).append(gate)
        known = set(self.populations)
        for sample, own in own_gates.items():
            for gate in own:
                where = f"sample {sample}, gate {gate.population}"
                if gate.population not in known:
                    problems.add(where, "is not in the strategy", allowed=", ".join(self.populations))
                    continue
                if [g.population for g in own].count(gate.population) > 1:
                    problems.add(where, "stands twice")
                old = self[gate.population]
                if (old.kind, old.parent, old.quadrant_of) != (gate.kind, gate.parent, gate.quadrant_of):
                    problems.add(where, "is of another kind, or at another place, than the gate that it replaces")
                if [d.marker for d in old.dimensions] != [d.marker for d in gate.dimensions]:
                    problems.add(where, "has other dimensions than the gate that it replaces")
            if not problems:
                try:
                    self.for_sample(sample)
                except GateError as error:
                    for problem in error.problems:
                        problems.add(f"sample {sample}, {problem.where}", problem.what, value=problem.value)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Made once: what is kept for the next file of the same gates is found by it, several times a file."""
        return hash(tuple(getattr(self, field.name) for field in fields(self)))

    def __getstate__(self) -> dict[str, Any]:
        # The hash of a text is another one in another process.
        return {name: value for name, value in vars(self).items() if name != "_hash"}

    @property
    def populations(self) -> tuple[str, ...]:
        """Ids of all populations in order."""
        return tuple(gate.population for gate in self.gates)

    @property
    def markers(self) -> tuple[str, ...]:
        """Markers and channels that the gates need, in order of first use."""
        return tuple(dict.fromkeys(c for gate in self.gates for d in gate.dimensions for c in d.channels))

    @property
    def quadrants(self) -> dict[str, tuple[Gate, ...]]:
        """Quadrants by the id of their quadrant gate, in order."""
        found: dict[str, list[Gate]] = {}
        for gate in self.gates:
            if gate.kind == "quadrant":
                found.setdefault(gate.quadrant_of, []).append(gate)
        return {name: tuple(gates) for name, gates in found.items()}

    @property
    def custom_samples(self) -> tuple[str, ...]:
        """Ids of the samples that have gates of their own, in order of first use."""
        return tuple(dict.fromkeys(sample for sample, _ in self.custom))

    def for_sample(self, sample_id: str) -> Strategy:
        """The strategy of one sample: its own gates put in, and no others kept."""
        if not self.custom and not self.samples:
            return self
        own = {gate.population: gate for sample, gate in self.custom if sample == sample_id}
        return replace(
            self,
            gates=tuple(own.get(gate.population, gate) for gate in self.gates),
            custom=(),
            samples=tuple(known for known in self.samples if known.sample_id == sample_id),
        )

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

    def with_matrix(self, name: str, matrix: Matrix) -> Strategy:
        """The same strategy with a matrix in place of the spillover of the file or of the study."""

        def own(gate: Gate) -> Gate:
            axes = (replace(d, matrix=name) if d.compensated and not d.matrix else d for d in gate.dimensions)
            return replace(gate, dimensions=tuple(axes))

        return replace(
            self,
            gates=tuple(own(gate) for gate in self.gates),
            custom=tuple((sample, own(gate)) for sample, gate in self.custom),
            matrices=(*self.matrices, (name, matrix)),
        )

    def with_units(self, units: Units) -> Strategy:
        """The same strategy, to be written with its limits in other units.

        For ``data`` each place on a scale becomes the next one that a linear value has: a limit keeps its events, one
        by one, and a corner moves by the rounding of the scale (about 1e-16 of it) at most.

        Raises
        ------
        ValueError
            No linear value reaches a place.
        """
        if units == "scale":
            return replace(self, units=units)
        scales = dict(self.scales)

        def reached(dimension: Dimension, place: float) -> float:
            scale = scales[dimension.scale] if dimension.scale is not None else None
            return on_scale(scale, in_data_units(scale, place))

        return replace(
            self,
            gates=tuple(gate.moved(reached) for gate in self.gates),
            custom=tuple((sample, gate.moved(reached)) for sample, gate in self.custom),
            units=units,
        )

    @cached_property
    def sha256(self) -> str:
        """Hash of the meaning: equal gates have equal hashes, however they were written."""
        return content_sha256({one.name: getattr(self, one.name) for one in fields(self)})

    @property
    def usual_scale(self) -> str:
        """Name of the scale of a channel for which nothing is declared; empty where there is none."""
        kinds = [(name, scale.kind) for name, scale in self.scales]
        logicle = [name for name, kind in kinds if kind == "logicle"]
        return self.default_scale or next(iter([*logicle, *(name for name, kind in kinds if kind != "linear")]), "")

    def tree(self) -> str:
        """The gates as an indented text, one line a population."""
        lines = [ROOT]

        def descend(population: str, depth: int) -> None:
            for child in self.children(population):
                lines.append(f"{'   ' * depth}{child}  [{describe(self[child])}]")
                descend(child, depth + 1)

        descend(ROOT, 1)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Strategy({self.tube!r}, {len(self.gates)} gates, version {self.version or '-'})\n{self.tree()}"

    def _repr_html_(self) -> str:
        from immunoprofile.gate.tree_view import strategy_view

        return strategy_view(self)


def _inside(value: float, dimension: Dimension) -> bool:
    low, high = dimension.minimum, dimension.maximum
    return (low is None or low < value) and (high is None or value < high)


@dataclass(frozen=True)
class GateSet(Mapping[str, Strategy]):
    """The strategies of a study, by tube.

    Attributes
    ----------
    strategies
        One a tube.
    problems
        What the document holds and these gates do not, each named with its reason; empty when all was read.
    ungated
        Samples of the document without gates that can be read: their files are not gated by the gates of others.
    overrides
        Gates of single samples that a person drew anew, oldest first (`record_override.override`).
    """

    strategies: tuple[Strategy, ...]
    problems: tuple[Problem, ...] = ()
    ungated: tuple[KnownSample, ...] = ()
    overrides: tuple[Override, ...] = ()

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
        changed = tuple(strategy if old.tube == strategy.tube else old for old in self.strategies)
        return replace(self, strategies=changed)

    def __repr__(self) -> str:
        missing = f"\n\nnot read: {len(self.problems)}, see .problems" if self.problems else ""
        drawn = f"\n\ndrawn anew for single samples: {len(self.overrides)}, see .overrides" if self.overrides else ""
        return "\n\n".join(repr(strategy) for strategy in self.strategies) + missing + drawn

    def _repr_html_(self) -> str:
        from immunoprofile.gate.tree_view import gate_set_view

        return gate_set_view(self)
