"""A bound strategy on the columns of one file: what every gate reads, as FlowKit would read it.

The rules are FlowKit's: one matrix a gate, which also reaches its uncompensated dimensions; ratios of recorded values;
all quadrants of a gate read what its dividers read. What FlowKit refuses, or does in a way that is not rebuilt here,
raises `NotPlannedError`, and FlowKit itself answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile.gate.gates import BOOLEAN_KINDS, Dimension, Gate
from immunoprofile.gate.strategy import ROOT, Strategy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from immunoprofile.compensation import Spillover
    from immunoprofile.gate.scales import Scale

FILE_MATRIX = ""
"""Name of the matrix that was chosen for the file."""


class NotPlannedError(Exception):
    """The engine leaves a strategy to FlowKit; the text says why."""


@dataclass(frozen=True)
class Feature:
    """A linear value of an event: a channel as recorded or compensated, or a ratio of two recorded channels.

    Attributes
    ----------
    column
        Column of the file; of a ratio, that of the numerator.
    matrix
        Matrix that is removed first; None leaves the channel as recorded.
    denominator
        Column of the denominator of a ratio; -1 where it is none.
    abc
        Coefficients of a ratio: a * ((numerator - b) / (denominator - c)).
    """

    column: int
    matrix: str | None = None
    denominator: int = -1
    abc: tuple[float, float, float] = (1.0, 0.0, 0.0)

    @property
    def is_ratio(self) -> bool:
        """Whether the value is a ratio."""
        return self.denominator >= 0


@dataclass(frozen=True)
class Axis:
    """A feature on the scale of a gate, with the limits of a range gate (minimum inclusive, maximum exclusive)."""

    feature: Feature
    scale: Scale | None
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Node:
    """One population.

    Attributes
    ----------
    kind
        ``range`` (rectangles and quadrants), ``polygon``, ``ellipsoid``, ``and``, ``or`` or ``not``.
    parent
        Position of the parent; -1 is all events.
    operands
        (position, complement) of what a Boolean gate combines.
    """

    population: str
    kind: str
    parent: int
    axes: tuple[Axis, ...] = ()
    complement: bool = False
    vertices: tuple[tuple[float, float], ...] = ()
    mean: tuple[float, ...] = ()
    covariance: tuple[tuple[float, ...], ...] = ()
    distance_square: float = 0.0
    operands: tuple[tuple[int, bool], ...] = ()


class Nodes(tuple[Node, ...]):
    """Nodes of a strategy, parents and operands first; what files of the same gates ask of them is found once."""

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return super().__hash__()

    def __reduce__(self) -> tuple[Any, ...]:
        # The hash of a text is another one in another process.
        return Nodes, (tuple(self),)

    @cached_property
    def used_matrices(self) -> tuple[str, ...]:
        """Names of the matrices that the gates read through, in order of first use."""
        names = (axis.feature.matrix for node in self for axis in node.axes)
        return tuple(dict.fromkeys(name for name in names if name is not None))


@dataclass(frozen=True, eq=False)
class Matrix:
    """A spillover matrix and the columns of the file that it refers to."""

    columns: tuple[int, ...]
    values: NDArray[np.float64]


@lru_cache(maxsize=64)
def resolve(strategy: Strategy, names: tuple[str, ...], *, has_spillover: bool) -> Nodes:
    """Nodes of a strategy, parents and operands before the gates that need them.

    Parameters
    ----------
    strategy
        Bound to the channels of the file, without gates of single samples.
    names
        ``$PnN`` of the columns of the file.
    has_spillover
        Whether a matrix was chosen for the file; without one, its compensated dimensions are read as recorded.

    Raises
    ------
    NotPlannedError
        FlowKit has to answer.
    """
    if strategy.custom:
        raise NotPlannedError("gates of single samples were not put in")
    columns = {name: column for column, name in reversed(list(enumerate(names)))}
    named = {name for name, _ in strategy.matrices}
    scales = dict(strategy.scales)
    place = {gate.population: position for position, gate in enumerate(strategy.gates)}
    quadrants: dict[tuple[str, str], list[Dimension]] = {}
    for gate in strategy.gates:
        if gate.kind == "quadrant":
            quadrants.setdefault((gate.parent, gate.quadrant_of), []).extend(gate.dimensions)
    nodes = []
    for gate in strategy.gates:
        parent = -1 if gate.parent == ROOT else place[gate.parent]
        if gate.kind in BOOLEAN_KINDS:
            if gate.complement:
                raise NotPlannedError(f"gate {gate.population}: complement of a Boolean gate")
            operands = tuple((place[operand.population], operand.complement) for operand in gate.operands)
            nodes.append(Node(gate.population, gate.kind, parent, operands=operands))
            continue
        read = quadrants[gate.parent, gate.quadrant_of] if gate.kind == "quadrant" else list(gate.dimensions)
        matrix = _matrix_of(gate, read, named, has_spillover=has_spillover)
        axes = tuple(_axis(gate, dimension, matrix, columns, scales) for dimension in gate.dimensions)
        nodes.append(_node(gate, parent, axes))
    return Nodes(nodes)


def _matrix_of(gate: Gate, read: Sequence[Dimension], named: set[str], *, has_spillover: bool) -> str | None:
    wanted = {d.matrix for d in read if d.compensated and (d.matrix != FILE_MATRIX or has_spillover)}
    if len(wanted) > 1:
        raise NotPlannedError(f"gate {gate.population}: dimensions of two matrices")
    if unknown := wanted - named - {FILE_MATRIX}:
        raise NotPlannedError(f"gate {gate.population}: matrix {', '.join(unknown)} is not in the strategy")
    return next(iter(wanted), None)


def _axis(
    gate: Gate, dimension: Dimension, matrix: str | None, columns: Mapping[str, int], scales: Mapping[str, Scale]
) -> Axis:
    scale = None if dimension.scale is None else scales[dimension.scale]
    if dimension.ratio is not None:
        ratio = dimension.ratio
        if ratio.numerator not in columns or ratio.denominator not in columns:
            raise NotPlannedError(f"gate {gate.population}: a channel of ratio {dimension.marker} is not in the file")
        abc = (ratio.a, ratio.b, ratio.c)
        feature = Feature(columns[ratio.numerator], None, columns[ratio.denominator], abc)
    elif dimension.marker not in columns:
        raise NotPlannedError(f"gate {gate.population}: channel {dimension.marker} is not in the file")
    else:
        feature = Feature(columns[dimension.marker], matrix)
    return Axis(feature, scale, dimension.minimum, dimension.maximum)


def _node(gate: Gate, parent: int, axes: tuple[Axis, ...]) -> Node:
    read = [axis.feature for axis in axes]
    if len({feature.column for feature in read if not feature.is_ratio}) < sum(not f.is_ratio for f in read):
        raise NotPlannedError(f"gate {gate.population}: a channel stands twice")
    if sum(feature.is_ratio for feature in read) > 1:
        raise NotPlannedError(f"gate {gate.population}: several ratios")
    if gate.kind in ("rectangle", "quadrant"):
        return Node(gate.population, "range", parent, axes, complement=gate.complement)
    if gate.kind == "polygon":
        return Node(gate.population, "polygon", parent, axes, complement=gate.complement, vertices=gate.vertices)
    if gate.kind == "ellipsoid" and gate.ellipsoid is not None and not gate.complement:
        shape = gate.ellipsoid
        return Node(gate.population, "ellipsoid", parent, axes, mean=tuple(shape.mean),
                    covariance=tuple(tuple(row) for row in shape.covariance),
                    distance_square=shape.distance_square)  # fmt: skip
    raise NotPlannedError(f"gate {gate.population}: kind {gate.kind} with complement={gate.complement}")


def matrices(
    nodes: Nodes, strategy: Strategy, names: tuple[str, ...], spillover: Spillover | None
) -> dict[str, Matrix]:
    """The matrices that the gates use, on the columns of the file.

    Raises
    ------
    NotPlannedError
        FlowKit has to answer: a matrix does not fit the file.
    """
    known = {name: (matrix.detectors, matrix.array) for name, matrix in strategy.matrices}
    if spillover is not None:
        known[FILE_MATRIX] = (spillover.channels, spillover.matrix)
    found: dict[str, Matrix] = {}
    for used in nodes.used_matrices:
        channels, array = known[used]
        values = np.array(array, dtype=np.float64)
        if values.shape != (len(channels), len(channels)):
            raise NotPlannedError("a matrix is not square")
        for name in channels:
            # FlowKit refuses a matrix that names a scatter channel; files that carry one are evaluated here
            if names.count(name) != 1:
                raise NotPlannedError(f"channel {name} of a matrix is not once in the file")
        found[used] = Matrix(tuple(names.index(name) for name in channels), values)
    return found
