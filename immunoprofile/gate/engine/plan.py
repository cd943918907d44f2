"""From nodes to the flat tables that the kernel walks through; made once for a strategy and a panel.

Nodes are put into domains: all events, and below it the events of a population under which all compensated gates of a
branch lie, so that most events are never compensated. The order of evaluation takes as many nodes of one domain as
possible in a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.gate.engine.grids import CODES, Cells, ellipse_grid, polygon_grid, straight_cells, table_cells
from immunoprofile.gate.engine.lookup import STEPS, Lookup, lookup
from immunoprofile.gate.engine.resolve import Axis, Feature, Node, NotPlannedError
from immunoprofile.gate.engine.thresholds import pull_back, start_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RANGE, SHAPE, ELLIPSOID, AND, OR, NOT = range(6)
PLAIN, STRAIGHT, TABLE = range(3)
POLYGON, ELLIPSE = range(2)
RECORDED, COMPENSATED, RATIO = range(3)

_KINDS = {"range": RANGE, "polygon": SHAPE, "ellipsoid": ELLIPSOID, "and": AND, "or": OR, "not": NOT}


@dataclass(frozen=True, eq=False)
class Plan:
    """Tables of a strategy for one panel. All are read by the compiled ``gate_events`` of `kernels` by these names.

    Attributes
    ----------
    nodes
        Nodes x (kind, parent, domain, complement, first row in the table of its kind, number of rows).
    order
        Positions of the nodes in order of evaluation.
    segments
        Segments x (domain, first, end in ``order``).
    domains
        Domains x (anchor node or -1, first slot, end slot).
    slots
        Slots x (kind, column, denominator or -1): the features that a domain needs.
    slot_features
        The feature of each slot.
    ratios
        Slots x (a, b, c).
    ranges, range_slots
        Limits of ranges x (surely below, surely at or above the minimum, surely below, surely at or above the maximum);
        the slot of each.
    shapes, grids, corners, forms
        Shapes x (kind, first axis, second axis, first corner, corners, row of forms); their cells; corners of polygons;
        ellipses x (mean, inverse, distance).
    axes, axis_lines
        Axes of shapes x (slot, kind, lookup, row of codes) and x (factor, offset, add, divide, error).
    lines, codes
        Tables of scales and of cells by step.
    operands
        (node, complement) pairs.
    """

    nodes: NDArray[np.int64]
    order: NDArray[np.int64]
    segments: NDArray[np.int64]
    domains: NDArray[np.int64]
    slots: NDArray[np.int64]
    slot_features: tuple[Feature, ...]
    ratios: NDArray[np.float64]
    ranges: NDArray[np.float64]
    range_slots: NDArray[np.int64]
    shapes: NDArray[np.int64]
    grids: NDArray[np.uint8]
    corners: NDArray[np.float64]
    forms: NDArray[np.float64]
    form_axes: NDArray[np.int64]
    axes: NDArray[np.int64]
    axis_lines: NDArray[np.float64]
    lines: NDArray[np.float64]
    codes: NDArray[np.uint8]
    operands: NDArray[np.int64]


@lru_cache(maxsize=32)
def make_plan(
    nodes: tuple[Node, ...], margins: tuple[tuple[str, float], ...], compensated: frozenset[tuple[str, int]]
) -> Plan:
    """Plan of some nodes.

    Parameters
    ----------
    nodes
        Parents and operands first.
    margins
        (matrix, largest error of the fast compensation in linear units) pairs.
    compensated
        (matrix, column) pairs that a matrix changes; other columns of a matrix gate are read as recorded.

    Raises
    ------
    NotPlannedError
        A scale or a shape that the kernel cannot hold.
    """
    domains = _domains(nodes, compensated)
    return _Builder(nodes, dict(margins), compensated, domains).build()


def _is_compensated(feature: Feature, compensated: frozenset[tuple[str, int]]) -> bool:
    return feature.matrix is not None and (feature.matrix, feature.column) in compensated


def _domains(nodes: Sequence[Node], compensated: frozenset[tuple[str, int]]) -> tuple[list[int], list[int]]:
    """Anchors (-1 first) and the domain of each node."""
    wants = {n.parent for n in nodes if any(_is_compensated(axis.feature, compensated) for axis in n.axes)}
    anchors = [-1]
    domain: list[int] = []
    for position, node in enumerate(nodes):
        above = -1 if node.parent < 0 else (node.parent if node.parent in anchors else None)
        domain.append(anchors.index(above) if above is not None else domain[node.parent])
        if position in wants and domain[position] == 0:
            anchors.append(position)
    return anchors, domain


class _Builder:
    """Collects the rows of the tables."""

    def __init__(
        self,
        nodes: Sequence[Node],
        margins: dict[str, float],
        compensated: frozenset[tuple[str, int]],
        domains: tuple[list[int], list[int]],
    ) -> None:
        self.source = nodes
        self.margins = margins
        self.compensated = compensated
        self.anchors, self.domain = domains
        self.slots: dict[tuple[int, Feature], int] = {}
        self.ranges: list[tuple[float, ...]] = []
        self.range_slots: list[int] = []
        self.shapes: list[tuple[int, ...]] = []
        self.grids: list[NDArray[np.uint8]] = []
        self.corners: list[tuple[float, float]] = []
        self.forms: list[NDArray[np.float64]] = []
        self.form_axes: list[list[int]] = []
        self.axes: list[tuple[int, ...]] = []
        self.axis_lines: list[tuple[float, ...]] = []
        self.lines: list[Lookup] = []
        self.codes: list[NDArray[np.uint8]] = []
        self.operands: list[tuple[int, int]] = []

    def build(self) -> Plan:
        self._collect_slots()
        rows = np.array([self._row(i, node) for i, node in enumerate(self.source)], dtype=np.int64).reshape(-1, 6)
        order, segments = self._order()
        keys = list(self.slots)
        kinds = [RATIO if f.is_ratio else COMPENSATED if f.matrix is not None else RECORDED for _, f in keys]
        first = [next((s for s, (d, _) in enumerate(keys) if d == domain), 0) for domain in range(len(self.anchors))]
        count = [sum(d == domain for d, _ in keys) for domain in range(len(self.anchors))]
        widest = max([2, *(len(axes) for axes in self.form_axes)])
        return Plan(
            nodes=rows,
            order=np.array(order, dtype=np.int64),
            segments=np.array(segments, dtype=np.int64).reshape(-1, 3),
            domains=np.array(
                [(a, f, f + n) for a, f, n in zip(self.anchors, first, count, strict=True)], dtype=np.int64
            ),
            slots=np.array(
                [(k, f.column, f.denominator) for k, (_, f) in zip(kinds, keys, strict=True)], dtype=np.int64
            ).reshape(-1, 3),
            slot_features=tuple(f for _, f in keys),
            ratios=np.array([f.abc for _, f in keys], dtype=np.float64).reshape(-1, 3),
            ranges=np.array(self.ranges, dtype=np.float64).reshape(-1, 4),
            range_slots=np.array(self.range_slots, dtype=np.int64),
            shapes=np.array(self.shapes, dtype=np.int64).reshape(-1, 6),
            grids=np.array(self.grids, dtype=np.uint8).reshape(-1, CODES * CODES),
            corners=np.array(self.corners, dtype=np.float64).reshape(-1, 2),
            forms=np.array([_padded(form, widest) for form in self.forms], dtype=np.float64).reshape(
                -1, widest * (widest + 1) + 1
            ),
            form_axes=np.array([axes + [-1] * (widest - len(axes)) for axes in self.form_axes], dtype=np.int64).reshape(
                -1, widest
            ),
            axes=np.array(self.axes, dtype=np.int64).reshape(-1, 4),
            axis_lines=np.array(self.axis_lines, dtype=np.float64).reshape(-1, 5),
            lines=_stacked(tuple(self.lines)),
            codes=np.array(self.codes, dtype=np.uint8).reshape(-1, STEPS),
            operands=np.array(self.operands, dtype=np.int64).reshape(-1, 2),
        )

    def _plain(self, feature: Feature) -> Feature:
        """A channel outside its matrix is read as recorded."""
        if feature.matrix is None or _is_compensated(feature, self.compensated):
            return feature
        return Feature(feature.column)

    def _collect_slots(self) -> None:
        used = {(self.domain[i], self._plain(a.feature)) for i, node in enumerate(self.source) for a in node.axes}
        ordered = sorted(used, key=lambda item: (item[0], item[1].matrix or "", item[1].column, item[1].denominator,
                                                 item[1].abc))  # fmt: skip
        self.slots = {key: place for place, key in enumerate(ordered)}

    def _order(self) -> tuple[list[int], list[tuple[int, int, int]]]:
        """Greedy: all nodes of a domain that can be evaluated, then those of the next."""
        done: set[int] = set()
        order: list[int] = []
        segments: list[tuple[int, int, int]] = []
        domain = 0
        while len(order) < len(self.source):
            start = len(order)
            for position, node in enumerate(self.source):
                needed = {place for place, _ in node.operands} | ({node.parent} if node.parent >= 0 else set())
                if position not in done and self.domain[position] == domain and needed <= done:
                    order.append(position)
                    done.add(position)
            if len(order) > start:
                segments.append((domain, start, len(order)))
            domain = (domain + 1) % len(self.anchors)
        return order, segments

    def _row(self, position: int, node: Node) -> tuple[int, ...]:
        kind = _KINDS[node.kind]
        domain = self.domain[position]
        if kind == RANGE:
            first = len(self.ranges)
            for axis in node.axes:
                self._range(domain, axis)
            rows = len(self.ranges) - first
        elif kind in (AND, OR, NOT):
            first, rows = len(self.operands), len(node.operands)
            self.operands.extend((place, int(complement)) for place, complement in node.operands)
        elif kind == SHAPE or (kind == ELLIPSOID and len(node.axes) == 2):
            kind, first, rows = SHAPE, len(self.shapes), 1
            self._shape(domain, node)
        else:
            first, rows = len(self.forms), 1
            self._form(node, [self._axis(domain, axis, None)[0] for axis in node.axes])
        return kind, node.parent, domain, int(node.complement), first, rows

    def _range(self, domain: int, axis: Axis) -> None:
        if axis.minimum is None and axis.maximum is None:
            return
        if np.isnan([axis.minimum or 0.0, axis.maximum or 0.0]).any():
            raise NotPlannedError("a limit is not a number")
        lowest = start_of(axis.scale) if axis.minimum is None else pull_back(axis.scale, axis.minimum)
        end = pull_back(None, np.inf) if axis.maximum is None else pull_back(axis.scale, axis.maximum)
        self.ranges.append((lowest.low, lowest.high, end.low, end.high))
        self.range_slots.append(self.slots[domain, self._plain(axis.feature)])

    def _axis(self, domain: int, axis: Axis, extent: tuple[float, float] | None) -> tuple[int, Cells | None]:
        """Row of an axis of a shape, and its cells over an extent on the scale."""
        feature = self._plain(axis.feature)
        slot = self.slots[domain, feature]
        margin = 0.0 if feature.matrix is None else self.margins[feature.matrix]
        cells = None
        if axis.scale is None or axis.scale.kind == "linear":
            kind, table, code = PLAIN if axis.scale is None else STRAIGHT, 0, 0
            letters = {"A": 0.0, "T": 1.0} if axis.scale is None else axis.scale.by_letter
            add, divide = letters["A"], letters["T"] + letters["A"]
            if not np.isfinite(divide) or divide <= 0:
                raise NotPlannedError("a linear scale does not rise")
            if extent is not None:
                cells = straight_cells(*extent, add=add, divide=divide, margin=margin)
            line = (cells.factor if cells else 0.0, cells.offset if cells else 0.0, add, divide, margin / divide)
        else:
            known = lookup(axis.scale, margin)
            if not any(known is other for other in self.lines):
                self.lines.append(known)
            kind, table, code = TABLE, next(i for i, other in enumerate(self.lines) if other is known), 0
            if extent is not None:
                cells = table_cells(*extent, known)
                code = len(self.codes)
                self.codes.append(cells.codes)
            line = (0.0, 0.0, 0.0, 1.0, 0.0)
        self.axes.append((slot, kind, table, code))
        self.axis_lines.append(line)
        return len(self.axes) - 1, cells

    def _shape(self, domain: int, node: Node) -> None:
        if node.kind == "polygon":
            corners = np.array(node.vertices, dtype=np.float64)
            lows, highs = corners.min(axis=0), corners.max(axis=0)
        else:
            covariance = np.array(node.covariance, dtype=np.float64)
            if np.linalg.eigvalsh((covariance + covariance.T) / 2).min() <= 0 or not node.distance_square > 0:
                raise NotPlannedError(f"gate {node.population}: the covariance is not positive")
            if not np.allclose(covariance, covariance.T, rtol=1e-9, atol=0):
                raise NotPlannedError(f"gate {node.population}: the covariance is not symmetric")
            reach = np.sqrt(node.distance_square * np.diag(covariance)) * (1 + 1e-6)
            lows, highs = np.array(node.mean) - reach, np.array(node.mean) + reach
        if not np.isfinite([lows, highs]).all():
            raise NotPlannedError(f"gate {node.population}: a corner is not finite")
        sides = [self._axis(domain, a, (float(lows[i]), float(highs[i]))) for i, a in enumerate(node.axes)]
        first, second = sides[0][1], sides[1][1]
        assert first is not None and second is not None
        places = (sides[0][0], sides[1][0])
        if node.kind == "polygon":
            self.shapes.append((POLYGON, *places, len(self.corners), len(corners), 0))
            self.corners.extend((float(x), float(y)) for x, y in corners)
            self.grids.append(polygon_grid(corners, first, second).ravel())
        else:
            self.shapes.append((ELLIPSE, *places, 0, 0, len(self.forms)))
            inverse = self._form(node, list(places))
            self.grids.append(ellipse_grid(node.mean, inverse, node.distance_square, first, second).ravel())

    def _form(self, node: Node, axes: list[int]) -> NDArray[np.float64]:
        try:
            inverse = np.linalg.inv(np.array(node.covariance, dtype=np.float64))
        except np.linalg.LinAlgError as error:
            raise NotPlannedError(f"gate {node.population}: the covariance cannot be inverted") from error
        if inverse.shape != (len(axes), len(axes)) or len(node.mean) != len(axes):
            raise NotPlannedError(f"gate {node.population}: mean, covariance and dimensions do not agree")
        self.forms.append(np.concatenate([[node.distance_square], node.mean, inverse.ravel()]))
        self.form_axes.append(axes)
        return inverse


@lru_cache(maxsize=8)
def _stacked(tables: tuple[Lookup, ...]) -> NDArray[np.float64]:
    """Lines of some tables in one array, which plans of gates on the same scales share: a table has 2 MiB."""
    return np.array([table.lines for table in tables], dtype=np.float64).reshape(-1, STEPS, 4)


def _padded(form: NDArray[np.float64], widest: int) -> NDArray[np.float64]:
    """Distance, mean and inverse of a form, with zeros up to the widest one of the plan."""
    size = round((np.sqrt(4 * len(form) - 3) - 1) / 2)
    result = np.zeros(widest * (widest + 1) + 1)
    result[0] = form[0]
    result[1 : 1 + size] = form[1 : 1 + size]
    square = result[1 + widest :].reshape(widest, widest)
    square[:size, :size] = form[1 + size :].reshape(size, size)
    return result
