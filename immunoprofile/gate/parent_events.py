"""The events of one parent in one file: values on axes, exact counts of gates, count rasters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import GateError, Problems
from immunoprofile.gate.binding import find_channels, rename
from immunoprofile.gate.engine import PreparedEvents
from immunoprofile.gate.engine.prepared import probe
from immunoprofile.gate.engine.resolve import NotPlannedError
from immunoprofile.gate.scaled import ScaledValues
from immunoprofile.gate.strategy import ROOT, Dimension, Gate, Strategy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.gate.evaluate import GatedSample

Limits = tuple[float, float]


class FileEvents:
    """The events of a population in one file, and any gate counted in them exactly.

    Parameters
    ----------
    gated
        The file with its gates.
    population
        Whose events; ``root`` is all of them.
    label
        What the file is called beside others: ``this file``, ``baseline``, ``FMO``.
    """

    def __init__(self, gated: GatedSample, population: str, label: str = "this file") -> None:
        self.gated = gated
        self.population = population
        self.label = label

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Which events of the file are shown."""
        return self.gated.mask(self.population)

    @cached_property
    def n_events(self) -> int:
        """Number of events of the population."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def prepared(self) -> PreparedEvents:
        """The events, ready to be counted."""
        sample = self.gated.sample
        events = sample.events if self.population == ROOT else sample.events[self.mask]
        return PreparedEvents(replace(sample, events=events, layout=None), self.gated.bound, self.gated.spillover)

    def count(self, gates: Sequence[Gate]) -> dict[str, int]:
        """Number of events of the population inside each gate: what a run over the whole file finds, to the event."""
        strategy = self.gated.strategy
        if all(g.parent == self.population and g.population in strategy and strategy[g.population] == g for g in gates):
            return {gate.population: self.gated.n(gate.population) for gate in gates}  # counted when it was gated
        return self.prepared.count(self._bound(gates))

    def prepare(self, axes: Sequence[Dimension]) -> None:
        """Compute what the first count of a gate on these axes would wait for."""
        self.prepared.prepare(self._bound((probe(axes),))[0].dimensions)

    def inside(self, gates: Sequence[Gate]) -> dict[str, NDArray[np.bool_]]:
        """Which events of the population are inside each gate."""
        return self.prepared.inside(self._bound(gates))

    def values(self, axes: Sequence[Dimension]) -> list[NDArray[np.float64]]:
        """Every event of the population on the axes of a plot, on their scales: for figures, within 1e-12."""
        bound = self._bound((probe(axes),))[0].dimensions
        try:
            return self.prepared.on_axes(bound)
        except NotPlannedError:  # a matrix that only FlowKit applies
            whole = ScaledValues(self.gated)
            return [whole.on(axis)[self.mask] for axis in bound]

    def of(self, population: str) -> FileEvents:
        """The same file with the events of another population."""
        return FileEvents(self.gated, population, self.label)

    def _bound(self, gates: Sequence[Gate]) -> tuple[Gate, ...]:
        """The gates naming channels of the file in place of markers."""
        strategy = replace(
            self.gated.strategy,
            gates=tuple(replace(gate, parent=ROOT) for gate in gates),
            custom=(),
            samples=(),
            beads="",
        )
        return rename(strategy, self._channels(strategy)).gates

    def _channels(self, strategy: Strategy) -> dict[str, str]:
        problems = Problems()
        found = find_channels(strategy, self.gated.sample, problems)
        if problems:
            raise GateError("a channel of the plot is not in the file", problems.found, where=self.gated.sample.name,
                            todo="choose channels that every file shown has")  # fmt: skip
        return found


CONTOUR_SHARES = (0.9, 0.7, 0.5, 0.3, 0.1)
"""Shares of the events inside each line of a contour plot."""

_CONTOUR_BINS = 96


def contour_grid(
    values: Sequence[NDArray[np.float64]], extent: Sequence[Limits]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], list[float]] | None:
    """Smoothed density of events on a plot: x, y, density (y by x) and the levels that hold `CONTOUR_SHARES`.

    None without events.
    """
    from scipy.ndimage import gaussian_filter

    counts = count_raster(values, extent, _CONTOUR_BINS).astype(np.float64)
    if counts.sum() < 1:
        return None
    density = gaussian_filter(counts, 1.6, mode="nearest")
    order = np.sort(density.ravel())[::-1]
    held = np.cumsum(order) / order.sum()
    x, y = (low + (np.arange(_CONTOUR_BINS) + 0.5) * (high - low) / _CONTOUR_BINS for low, high in extent)
    places = (min(int(np.searchsorted(held, share)), order.size - 1) for share in CONTOUR_SHARES)
    return x, y, density, sorted({float(order[place]) for place in places})


def count_raster(values: Sequence[NDArray[np.float64]], extent: Sequence[Limits], bins: int) -> NDArray[np.uint32]:
    """Events a cell, rows from low to high y; on one axis a single row. Events beyond an end are in the last cell.

    What is no number is counted nowhere.
    """
    known = np.ones(len(values[0]), dtype=bool)
    for one in values:
        known &= ~np.isnan(one)
    flat = np.zeros(int(np.count_nonzero(known)), dtype=np.int64)
    for place, (one, (low, high)) in enumerate(zip(values, extent, strict=True)):
        with np.errstate(all="ignore"):
            cells = np.nan_to_num((one[known] - low) * (bins / (high - low)), posinf=bins, neginf=0.0)
        flat += np.clip(cells, 0, bins - 1).astype(np.int64) * bins**place
    rows = bins ** (len(values) - 1)
    return np.bincount(flat, minlength=rows * bins).reshape(rows, bins).astype(np.uint32)
