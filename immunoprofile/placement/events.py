"""Events of one sample while its gates are placed: who is in which population so far, and values inside a parent."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile import compensation
from immunoprofile.gate.binding import bind
from immunoprofile.gate.engine.exact import inside_of
from immunoprofile.gate.engine.resolve import Axis, resolve
from immunoprofile.gate.gates import BOOLEAN_KINDS, ROOT
from immunoprofile.gate.notices import needs_matrix
from immunoprofile.placement.landmarks import Curve, Shift, curve_of, shift_between

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.compensation import Spillover
    from immunoprofile.gate.strategy import Dimension, Gate, Strategy
    from immunoprofile.io.fcs import Sample

Bool = np.bool_
_NEAR = 1e-9
"""Distance from a limit, on a scale, below which a value by the table of the scale does not decide."""


class SampleValues:
    """Values of a file on the scales of a template; read-only, shared by all that place gates on it.

    Parameters
    ----------
    name
        Id of the sample.
    sample
        The file.
    strategy
        Template of its tube.
    comp_source
        What the study declares of its compensation.

    Raises
    ------
    GateError
        The file lacks markers of the template.
    CompensationError
        The declared matrix cannot be applied.
    """

    def __init__(
        self, name: str, sample: Sample, strategy: Strategy, comp_source: str | Spillover | None = None
    ) -> None:
        self.name = name
        self.sample = sample
        bound = bind(strategy, sample)
        self.channel = {
            d.marker: b.marker
            for gate, own in zip(strategy.gates, bound.gates, strict=True)
            for d, b in zip(gate.dimensions, own.dimensions, strict=True)
        }
        self.spillover = compensation.decide(sample, comp_source, needed=needs_matrix(strategy)).spillover
        self._column = {channel.pnn: n for n, channel in reversed(list(enumerate(sample.channels)))}

    @cached_property
    def _compensated(self) -> NDArray[np.float64]:
        return compensation.compensate(self.sample, self.spillover)

    def of(self, dimension: Dimension, rows: NDArray[np.intp] | None) -> NDArray[np.float64]:
        """Linear values of some events (None: all) on an axis."""
        events = self._compensated if dimension.compensated else self.sample.events
        column = events[:, self._column[self.channel[dimension.marker]]]
        return np.ascontiguousarray(column) if rows is None else column[rows]


class PlacedEvents:
    """Populations of one sample under gates that are put in one by one, parents first.

    Parameters
    ----------
    values
        The file.
    strategy
        Template; of it the scales are used.
    """

    def __init__(self, values: SampleValues, strategy: Strategy) -> None:
        self.values = values
        self.scales = dict(strategy.scales)
        self._strategy = strategy
        self._gates: dict[str, Gate] = {}
        self._inside: dict[str, NDArray[Bool]] = {}
        self._rows: dict[str, NDArray[np.intp]] = {}
        self._known: dict[tuple[str, str, str | None, bool], NDArray[np.float64]] = {}
        self._curves: dict[tuple[str, str, float], Curve] = {}
        self._shifts: dict[tuple[str, str, float, float], Shift] = {}

    @property
    def name(self) -> str:
        """Id of the sample."""
        return self.values.name

    def __contains__(self, population: object) -> bool:
        return population == ROOT or population in self._gates

    def mask(self, population: str) -> NDArray[Bool]:
        """Membership of all events."""
        if population == ROOT:
            return np.ones(self.values.sample.n_events, dtype=bool)
        if population not in self._inside:
            self._inside[population] = self._members(self._gates[population])
        return self._inside[population]

    def inside(self, parent: str, dimension: Dimension) -> NDArray[np.float64]:
        """Values inside a population on an axis, in the order of the file, within 1e-12 of its scale."""
        key = (parent, dimension.marker, dimension.scale, dimension.compensated)
        if key not in self._known:
            known = self.values.of(dimension, self._rows_of(parent))
            if dimension.scale is not None:
                known = self.scales[dimension.scale].shown(known, by_table=True)
            self._known[key] = known
        return self._known[key]

    def against(self, gate: Gate, dimension: Dimension) -> NDArray[np.float64]:
        """The same for a gate to decide on: exactly on the scale wherever that could make a difference."""
        values = self.inside(gate.parent, dimension)
        if dimension.scale is None:
            return values
        near = np.arange(values.size)
        if gate.kind == "rectangle":
            limits = [d.minimum for d in gate.dimensions] + [d.maximum for d in gate.dimensions]
            close = [np.abs(values - limit) < _NEAR for limit in limits if limit is not None]
            near = np.flatnonzero(np.logical_or.reduce(close))
        elif gate.kind == "polygon":
            near = np.flatnonzero(self._near_an_edge(gate))
        exact = values.copy()
        if near.size:
            rows = self._rows_of(gate.parent)
            linear = self.values.of(dimension, near if rows is None else rows[near])
            exact[near] = self.scales[dimension.scale].apply(linear)
        return exact

    def _near_an_edge(self, gate: Gate) -> NDArray[Bool]:
        """Events of the parent of a polygon that lie so near to the line of an edge that the table may err."""
        x, y = (self.inside(gate.parent, d) for d in gate.dimensions)
        found = np.zeros(x.size, dtype=bool)
        with np.errstate(all="ignore"):
            for (x0, y0), (x1, y1) in zip(gate.vertices, (*gate.vertices[1:], gate.vertices[0]), strict=True):
                across, up = x1 - x0, y1 - y0
                found |= np.abs((x - x0) * up - (y - y0) * across) <= _NEAR * (abs(across) + abs(up))
        return found

    def finite(self, parent: str, dimension: Dimension) -> NDArray[np.float64]:
        """The same without what is no number."""
        values = self.inside(parent, dimension)
        return values[np.isfinite(values)]

    def curve(self, parent: str, dimension: Dimension, adjust: float) -> Curve:
        """Density inside a population; made once for all gates that ask."""
        key = (parent, dimension.marker, adjust)
        if key not in self._curves:
            self._curves[key] = curve_of(self.finite(parent, dimension), adjust=adjust)
        return self._curves[key]

    def shift(
        self, parent: str, dimension: Dimension, reference: Curve, *, adjust: float, bound: float, span: float
    ) -> Shift:
        """Shift against the density in the template sample; found once for all gates that ask."""
        key = (parent, dimension.marker, adjust, bound)
        if key not in self._shifts:
            own = self.curve(parent, dimension, adjust)
            self._shifts[key] = shift_between(own, reference, bound=bound, span=span)
        return self._shifts[key]

    def _rows_of(self, population: str) -> NDArray[np.intp] | None:
        if population == ROOT:
            return None
        if population not in self._rows:
            self._rows[population] = np.flatnonzero(self.mask(population))
        return self._rows[population]

    def add(self, gate: Gate) -> None:
        """Put in a gate whose parent and operands are in. Who is inside is found when somebody asks."""
        self._gates[gate.population] = gate

    def _members(self, gate: Gate) -> NDArray[Bool]:
        found = self.mask(gate.parent).copy()
        if gate.kind in BOOLEAN_KINDS:
            operands = [self.mask(o.population) != o.complement for o in gate.operands]
            if gate.kind == "not":
                found &= ~operands[0]
            else:
                found &= (np.logical_and if gate.kind == "and" else np.logical_or).reduce(operands)
        else:
            rows = self._rows_of(gate.parent)
            chosen = _Chosen(self, gate)
            with np.errstate(all="ignore"):
                hit = inside_of(chosen.node, chosen, ())
            if rows is None:
                found = hit
            else:
                found[:] = False
                found[rows] = hit
        return found


class _Chosen:
    """Events of the parent of a gate as the engine's arbiter reads them."""

    def __init__(self, events: PlacedEvents, gate: Gate) -> None:
        self._events, self._gate = events, gate
        alone = replace(events._strategy, gates=(replace(gate, parent=ROOT),), custom=(), references=(), beads="",
                        marker_scales=(), samples=())  # fmt: skip
        names = tuple(dict.fromkeys(d.marker for d in gate.dimensions))
        self.node = resolve(alone, names, has_spillover=False)[0]
        self._columns = names

    @property
    def events(self) -> NDArray[np.float64]:
        return self._events.inside(self._gate.parent, self._gate.dimensions[0])

    def of(self, axis: Axis) -> NDArray[np.float64]:
        """Values on an axis of the gate; its feature carries the position of the axis."""
        marker = self._columns[axis.feature.column]
        dimension = next(d for d in self._gate.dimensions if d.marker == marker)
        return self._events.against(self._gate, dimension)

    def points(self, axes: tuple[Axis, ...]) -> NDArray[np.float64]:
        """Values on several axes, one behind the other in memory."""
        return np.asfortranarray(np.column_stack([self.of(axis) for axis in axes]))
