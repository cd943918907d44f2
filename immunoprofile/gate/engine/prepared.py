"""Events whose features are computed once, to count in gate after gate: what an editor does with every move.

The memberships are the arbiter's (`exact`), which are those of FlowKit and of a run over the whole file: they do not
depend on the selection of events.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.gate.engine.evaluate import evaluate
from immunoprofile.gate.engine.exact import Values, inside_of
from immunoprofile.gate.engine.resolve import Axis, Matrix, Node, NotPlannedError, matrices, resolve
from immunoprofile.gate.strategy import ROOT, Dimension, Gate, Strategy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from immunoprofile.compensation import Spillover
    from immunoprofile.io.fcs import Sample


_ROOM = 1e-6
"""Part of the bounding box of a polygon by which it is widened: rounding cannot reach farther."""


class _KeptValues(Values):
    """The same, and the points of shapes are kept as well; what is only shown goes through the table of its scale."""

    def __init__(self, events: NDArray[np.float64], known: Mapping[str, Matrix]) -> None:
        super().__init__(events, known)
        self._points: dict[tuple[Axis, ...], NDArray[np.float64]] = {}

    def points(self, axes: Sequence[Axis]) -> NDArray[np.float64]:
        key = tuple(replace(axis, minimum=None, maximum=None) for axis in axes)
        if key not in self._points:
            self._points = {key: super().points(axes)}  # only the last: two columns of a large file
        return self._points[key]

    def shown(self, axis: Axis) -> NDArray[np.float64]:
        """Every event on an axis for a figure: within 1e-12 of `of`, for a part of its time where there are many."""
        if axis.scale is None or (axis.feature, axis.scale) in self._scaled:
            return self.of(axis)
        return axis.scale.shown(np.ascontiguousarray(self._linear(axis.feature)))


def probe(axes: Sequence[Dimension]) -> Gate:
    """A gate whose axes are these, to learn what is read on them; its shape means nothing."""
    return Gate("probe", ROOT, "rectangle", tuple(replace(d, minimum=0.0, maximum=None) for d in axes))


class PreparedEvents:
    """Some events of one file in which gates are evaluated again and again.

    Parameters
    ----------
    sample
        The file; its events may be any selection.
    strategy
        Bound to the channels of the file; its scales and matrices are those of the gates.
    spillover
        Matrix of the file, or None.
    """

    def __init__(self, sample: Sample, strategy: Strategy, spillover: Spillover | None) -> None:
        self._sample = sample
        self._strategy = replace(strategy, custom=(), samples=(), beads="")
        self._spillover = spillover
        self._known: dict[str, Matrix] = {}
        events = sample.events
        self._values = _KeptValues(events if len(events) != 1 else np.repeat(events, 2, axis=0), self._known)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return self._sample.n_events

    def on_axes(self, axes: Sequence[Dimension]) -> list[NDArray[np.float64]]:
        """Every event on axes of one gate, naming channels of the file, on their scales: for figures (1e-12)."""
        nodes = self._nodes((probe(axes),))
        with np.errstate(all="ignore"):
            return [self._values.shown(replace(axis, minimum=None))[: self.n_events] for axis in nodes[0].axes]

    def prepare(self, axes: Sequence[Dimension]) -> None:
        """Compute now what the first gate on these axes needs; where the arbiter is not planned there is nothing."""
        try:
            (node,) = self._nodes((probe(axes),))
        except NotPlannedError:
            return
        with np.errstate(all="ignore"):
            if len(node.axes) == 2:
                self._values.points(node.axes)
            else:
                self._values.of(node.axes[0])

    def _nodes(self, gates: Sequence[Gate]) -> tuple[Node, ...]:
        strategy = self._alone(gates)
        names = tuple(channel.pnn for channel in self._sample.channels)
        nodes = resolve(strategy, names, has_spillover=self._spillover is not None)
        self._known.update(matrices(nodes, strategy, names, self._spillover))
        return nodes

    def _alone(self, gates: Sequence[Gate]) -> Strategy:
        return replace(self._strategy, gates=tuple(replace(gate, parent=ROOT) for gate in gates))

    def inside(self, gates: Sequence[Gate]) -> dict[str, NDArray[np.bool_]]:
        """Which events are in the shape of each gate, whatever its parent: population -> one value an event.

        Parameters
        ----------
        gates
            Naming channels of the file; no Boolean ones. Quadrants of one gate are asked for together.
        """
        try:
            nodes = self._nodes(gates)
        except NotPlannedError:
            return dict(evaluate(self._alone(gates), self._sample, self._spillover).masks)
        with np.errstate(all="ignore"):
            return {node.population: np.asarray(self._inside(node)[: self.n_events], dtype=bool) for node in nodes}

    def _inside(self, node: Node) -> NDArray[np.bool_]:
        """As `inside_of`; a polygon is asked of the events near its bounding box, since all others are outside."""
        if node.kind != "polygon":
            return inside_of(node, self._values, ())
        from flowutils import gating

        points = self._values.points(node.axes)
        corners = np.array(node.vertices, dtype=np.float64)
        low, high = corners.min(axis=0), corners.max(axis=0)
        room = _ROOM * (high - low)
        near = np.ones(len(points), dtype=bool)
        for axis in (0, 1):
            near &= points[:, axis] >= low[axis] - room[axis]
            near &= points[:, axis] <= high[axis] + room[axis]
        found = np.zeros(len(points), dtype=bool)
        if near.any():
            found[near] = gating.points_in_polygon(corners, np.asfortranarray(points[near]))
        return ~found if node.complement else found

    def count(self, gates: Sequence[Gate]) -> dict[str, int]:
        """Number of events in the shape of each gate; see `inside`."""
        return {population: int(np.count_nonzero(mask)) for population, mask in self.inside(gates).items()}
