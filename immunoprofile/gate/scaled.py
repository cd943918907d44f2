"""Values of a gated file on the scales of its gates, each transformed once however many ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from immunoprofile.gate.evaluate import GatedSample
    from immunoprofile.gate.gates import Dimension
    from immunoprofile.gate.scales import Scale


class ScaledValues:
    """Columns of one file, linear and on a scale; what was asked for is kept as long as this object.

    Rasters and the checks of the events need the same columns, and a logicle transform costs more than a gate.

    Parameters
    ----------
    gated
        The file with its gates.
    """

    def __init__(self, gated: GatedSample) -> None:
        self.gated = gated
        self._known: dict[tuple[int, Scale, bool, str], NDArray[np.float64]] = {}

    def linear(self, column: int, *, compensated: bool, matrix: str = "") -> NDArray[np.float64]:
        """One channel as recorded, with the spillover removed, or a matrix of the strategy: one value an event."""
        if matrix:
            return dict(self.gated.strategy.matrices)[matrix].compensate(self.gated.sample)[:, column]
        events = self.gated.compensated if compensated else self.gated.sample.events
        return events[:, column]

    def on(self, axis: Dimension) -> NDArray[np.float64]:
        """Every event on the axis of a gate, which is no ratio: on its scale, or linear."""
        column = self.gated.sample.position(axis.marker)
        if axis.scale is None:
            return self.linear(column, compensated=axis.compensated, matrix=axis.matrix)
        scale = dict(self.gated.strategy.scales)[axis.scale]
        return self.scaled(column, scale, compensated=axis.compensated, matrix=axis.matrix)

    def scaled(self, column: int, scale: Scale, *, compensated: bool, matrix: str = "") -> NDArray[np.float64]:
        """The same on a scale."""
        key = (column, scale, compensated, matrix)
        if key not in self._known:
            self._known[key] = scale.shown(self.linear(column, compensated=compensated, matrix=matrix))
        return self._known[key]
