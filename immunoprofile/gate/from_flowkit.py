"""FlowKit's strategies as ours. FlowKit itself is not imported: its classes are known by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile.errors import GateError, Problems
from immunoprofile.gate.gates import parents_first
from immunoprofile.gate.names import FCS_SPILLOVER, UNCOMPENSATED, population_id
from immunoprofile.gate.scales import SCALE_PARAMETERS, Scale, ScaleKind, flowkit_argument
from immunoprofile.gate.strategy import ROOT, Dimension, Ellipsoid, Gate, Matrix, Operand, Ratio, Strategy

if TYPE_CHECKING:
    from numpy.typing import NDArray

REDRAW = "remove or redraw these gates"

_KINDS: dict[str, ScaleKind] = {
    "LogicleTransform": "logicle",
    "HyperlogTransform": "hyperlog",
    "AsinhTransform": "asinh",
    "LogTransform": "log",
    "LinearTransform": "linear",
    "WSPBiexTransform": "biex",
    "WSPLogTransform": "flowjo_log",
}


def is_a(item: object, name: str) -> bool:
    """Whether an object is of a class of FlowKit, or of one that was made from it."""
    return any(cls.__name__ == name for cls in type(item).__mro__)


def rows(values: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    """A matrix as a value."""
    return tuple(tuple(float(value) for value in row) for row in values)


def from_flowkit(target: Any, tube: str) -> Strategy:
    """A FlowKit strategy as ours; its dimensions name channels.

    Names that are no population ids get one; the name that they came with is kept in ``Gate.label``. Gates with one
    name at several places get numbered ids.

    Raises
    ------
    GateError
        Gates, scales or matrices that a strategy cannot say, all named.
    """
    reader = _Reader(target)
    strategy = reader.strategy(tube)
    if reader.problems or strategy is None:
        raise GateError("gates that are not supported", reader.problems.found, where=tube, todo=REDRAW)
    return strategy


class _Reader:
    """Reads one FlowKit strategy."""

    def __init__(self, target: Any) -> None:
        self.target = target
        self.problems = Problems()
        self.ids: dict[tuple[str, ...], str] = {(ROOT,): ROOT}
        self.quadrant_ids: dict[tuple[str, ...], str] = {}
        self.items: dict[tuple[str, ...], Any] = {}
        self.custom: list[tuple[str, tuple[str, ...], Any]] = []

    def strategy(self, tube: str) -> Strategy | None:
        self._walk(self.target.get_gate_hierarchy("dict"), (ROOT,))
        for path in self.items:
            if path not in self.quadrant_ids:
                self.ids[path] = population_id(path[-1], set(self.ids.values()))
        for path in self.quadrant_ids:
            self.quadrant_ids[path] = population_id(path[-1], {*self.ids.values(), *self.quadrant_ids.values()})
        gates = [gate for path, item in self.items.items() for gate in self._gates(path, item)]
        order = parents_first(gates)
        custom = [(sample, gate) for sample, path, item in self.custom for gate in self._gates(path, item)]
        for path in self.quadrant_ids:
            custom += [
                (sample, gate)
                for sample, at, item in self.custom
                if at == path
                for name in item.quadrants
                for gate in self._gates((*path, name), item.quadrants[name], owner=item)
            ]
        scales = [(name, self._scale(name, t)) for name, t in self.target.transformations.items()]
        matrices = tuple((name, self._matrix(m)) for name, m in self.target.comp_matrices.items())
        if self.problems:
            return None
        channels = dict.fromkeys(c for gate in gates for d in gate.dimensions for c in d.channels)
        return Strategy(
            tube=tube,
            gates=tuple(order),
            scales=tuple((name, scale) for name, scale in scales if scale is not None),
            channels=tuple((channel, channel) for channel in channels),
            matrices=matrices,
            custom=tuple((sample, gate) for sample, gate in custom if gate not in gates),
            limits="fcs",
        )

    def _walk(self, node: Mapping[str, Any], path: tuple[str, ...]) -> None:
        for child in node.get("children", ()):
            full = (*path, child["name"])
            item = child["gate"]
            self.items[full] = item
            if is_a(item, "QuadrantGate"):
                self.quadrant_ids[full] = ""
            self.custom.extend((sample, full, gate) for sample, gate in child.get("custom_gates", {}).items())
            self._walk(child, full)

    def _gates(self, path: tuple[str, ...], item: Any, *, owner: Any = None) -> list[Gate]:
        if is_a(item, "QuadrantGate"):
            return []
        above = path[:-1]
        population = self.ids[path]
        label = path[-1] if population != path[-1] else ""
        if above in self.quadrant_ids:
            parent = self.ids[above[:-1]]
            dimensions = self._cells(item, owner or self.items[above])
            return [Gate(population, parent, "quadrant", dimensions, label=label, quadrant_of=self.quadrant_ids[above])]
        gate = Gate(population, self.ids[above], "rectangle", label=label)
        if is_a(item, "BooleanGate"):
            operands = self._operands(item, gate)
            return [] if operands is None else [replace(gate, kind=item.type, operands=operands)]
        axes = tuple(self._dimension(d) for d in item.dimensions)
        bare = tuple(d.without_limits for d in axes)
        outside = bool(getattr(item, "use_complement", False))
        if is_a(item, "RectangleGate"):
            return [replace(gate, dimensions=axes, complement=outside)]
        if is_a(item, "PolygonGate"):
            corners = tuple((float(x), float(y)) for x, y in item.vertices)
            return [replace(gate, kind="polygon", dimensions=bare, vertices=corners, complement=outside)]
        if is_a(item, "EllipsoidGate"):
            shape = Ellipsoid(
                tuple(float(value) for value in item.coordinates),
                rows(np.asarray(item.covariance_matrix, dtype=np.float64)),
                float(item.distance_square),
            )
            return [replace(gate, kind="ellipsoid", dimensions=bare, ellipsoid=shape)]
        self.problems.add(f"gate {path[-1]}", f"{type(item).__name__} is not supported")
        return []

    def _operands(self, item: Any, gate: Gate) -> tuple[Operand, ...] | None:
        found = []
        for reference in item.gate_refs:
            path = (*tuple(reference["path"]), reference["ref"])
            if path not in self.ids:
                self.problems.add(f"gate {item.gate_name}", "refers to a gate that is missing", value="/".join(path))
                return None
            operand = Operand(self.ids[path], complement=bool(reference["complement"]))
            # Every gate is within its parent: an 'and' with it says nothing more.
            if item.type == "and" and operand == Operand(gate.parent):
                continue
            found.append(operand)
        return tuple(found)

    def _cells(self, quadrant: Any, owner: Any) -> tuple[Dimension, ...]:
        dividers = {divider.id: divider for divider in owner.dimensions}
        cells = []
        for reference in quadrant.divider_refs:
            divider = dividers[reference]
            low, high = quadrant.get_divider_range(reference)
            cells.append(_dimension(divider.dimension_ref, low, high, divider))
        return tuple(cells)

    def _dimension(self, source: Any) -> Dimension:
        low, high = getattr(source, "min", None), getattr(source, "max", None)
        if not is_a(source, "RatioDimension"):
            return _dimension(source.id, low, high, source)
        transform = self.target.transformations.get(source.ratio_ref)
        axis = _dimension(source.ratio_ref, low, high, source)
        if not is_a(transform, "RatioTransform"):
            self.problems.add(f"ratio {source.ratio_ref}", "is not defined")
            return axis
        one, other = transform.dimensions
        t = transform
        return replace(axis, ratio=Ratio(one, other, float(t.param_a), float(t.param_b), float(t.param_c)))

    def _scale(self, name: str, transform: Any) -> Scale | None:
        if is_a(transform, "RatioTransform"):
            return None
        for name_of_class, kind in _KINDS.items():
            if is_a(transform, name_of_class):
                letters = SCALE_PARAMETERS[kind]
                try:
                    return Scale.of(kind, {name: getattr(transform, flowkit_argument(name)) for name in letters})
                except (TypeError, ValueError) as error:
                    self.problems.add(f"scale {name}", str(error))
                    return None
        self.problems.add(f"scale {name}", f"{type(transform).__name__} is not supported")
        return None

    def _matrix(self, matrix: Any) -> Matrix:
        names = tuple(str(name) for name in getattr(matrix, "fluorochromes", ()))
        detectors = tuple(str(name) for name in matrix.detectors)
        named = () if names == detectors[: len(names)] or not any(names) else names
        return Matrix(detectors, rows(np.atleast_2d(matrix.matrix)), named)


def _dimension(channel: str, low: float | None, high: float | None, source: Any) -> Dimension:
    reference = source.compensation_ref
    compensated = reference not in (None, UNCOMPENSATED)
    return Dimension(
        channel,
        None if low is None else float(low),
        None if high is None else float(high),
        scale=source.transformation_ref,
        compensated=compensated,
        matrix="" if not compensated or reference == FCS_SPILLOVER else str(reference),
    )
