"""Evaluation of any events with the very calls that FlowKit makes: the arbiter of the engine.

``numpy.linalg.solve`` for the matrix, flowutils for scales and shapes, in arrays of the same order of memory. The
results of ``solve`` and ``dot`` have the same bits for any number of events from two on, so events can be evaluated
in any selection; a single one is doubled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from immunoprofile.gate.engine.resolve import Axis, Feature, Matrix, Node

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

WORD_BITS = 64


def word_count(nodes: int) -> int:
    """Words of 64 bits that hold one bit a node (at least one)."""
    return max(1, -(-nodes // WORD_BITS))


def words_of(events: NDArray[np.float64], nodes: Sequence[Node], matrices: Mapping[str, Matrix]) -> NDArray[np.uint64]:
    """Membership of events in all nodes.

    Parameters
    ----------
    events
        float64, events x columns of the file, linear and not compensated.
    nodes
        Parents and operands first.
    matrices
        Those that the nodes name.

    Returns
    -------
    numpy.ndarray
        uint64, words x events; node ``i`` is bit ``i % 64`` of word ``i // 64``.
    """
    n = len(events)
    words = np.zeros((word_count(len(nodes)), n), dtype=np.uint64)
    if n == 0:
        return words
    values = Values(events if n > 1 else np.repeat(events, 2, axis=0), matrices)
    inside: list[NDArray[np.bool_]] = []
    with np.errstate(all="ignore"):
        for position, node in enumerate(nodes):
            found = inside_of(node, values, inside)
            if node.parent >= 0:
                found = inside[node.parent] & found
            inside.append(found)
            bit = np.uint64(position % WORD_BITS)
            words[position // WORD_BITS] |= found[:n].astype(np.uint64) << bit
    return words


class Values:
    """Features and scaled features of some events, each computed once.

    Parameters
    ----------
    events
        float64, events x columns of the file; of a single event two copies (see the module).
    matrices
        Those that the axes name.
    """

    def __init__(self, events: NDArray[np.float64], matrices: Mapping[str, Matrix]) -> None:
        self.events = events
        self._matrices = matrices
        self._compensated: dict[str, NDArray[np.float64]] = {}
        self._scaled: dict[tuple[Feature, object], NDArray[np.float64]] = {}

    def of(self, axis: Axis) -> NDArray[np.float64]:
        """Every event on an axis, on its scale."""
        key = (axis.feature, axis.scale)
        if key not in self._scaled:
            linear = np.ascontiguousarray(self._linear(axis.feature))
            self._scaled[key] = linear if axis.scale is None else axis.scale.apply(linear)
        return self._scaled[key]

    def points(self, axes: Sequence[Axis]) -> NDArray[np.float64]:
        """Every event on several axes: FlowKit hands over the columns of a DataFrame, one behind the other."""
        return np.asfortranarray(np.column_stack([self.of(axis) for axis in axes]))

    def _linear(self, feature: Feature) -> NDArray[np.float64]:
        if feature.is_ratio:
            a, b, c = feature.abc
            ratio: NDArray[np.float64] = a * (
                (self.events[:, feature.column] - b) / (self.events[:, feature.denominator] - c)
            )
            return ratio
        if feature.matrix is None or feature.column not in self._matrices[feature.matrix].columns:
            return self.events[:, feature.column]
        matrix = self._matrices[feature.matrix]
        if feature.matrix not in self._compensated:
            recorded = self.events[:, list(matrix.columns)]
            solved = np.linalg.solve(matrix.values.T, recorded.T).T
            self._compensated[feature.matrix] = np.asarray(solved, dtype=np.float64)
        return self._compensated[feature.matrix][:, matrix.columns.index(feature.column)]


class AxisValues(Protocol):
    """Events as `inside_of` reads them."""

    @property
    def events(self) -> NDArray[np.float64]:
        """The events; only their number is read."""

    def of(self, axis: Axis) -> NDArray[np.float64]:
        """Their values on an axis, on its scale."""

    def points(self, axes: tuple[Axis, ...]) -> NDArray[np.float64]:
        """Their values on several axes: events x axes, column by column in memory."""


def inside_of(node: Node, values: AxisValues, inside: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Which events are inside a gate, whatever its parent; ``inside`` holds those of the gates before it."""
    from flowutils import gating

    if node.kind in ("and", "or", "not"):
        operands = [~inside[place] if complement else inside[place] for place, complement in node.operands]
        if node.kind == "not":
            return ~operands[0]
        combine = np.logical_and if node.kind == "and" else np.logical_or
        return np.asarray(combine.reduce(operands), dtype=bool)
    if node.kind == "range":
        found = np.ones(len(values.events), dtype=bool)
        for axis in node.axes:
            if axis.minimum is not None:
                found &= values.of(axis) >= axis.minimum
            if axis.maximum is not None:
                found &= values.of(axis) < axis.maximum
    else:
        points = values.points(node.axes)
        if node.kind == "polygon":
            found = gating.points_in_polygon(np.array(node.vertices, dtype=np.float64), points)
        else:
            found = gating.points_in_ellipsoid(
                [list(row) for row in node.covariance], list(node.mean), node.distance_square, points
            )
    return ~found if node.complement else found
