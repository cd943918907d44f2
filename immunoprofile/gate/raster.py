"""Count rasters of gating plots: what a figure needs of a file, a few kilobytes each, without its events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from immunoprofile import event_loops
from immunoprofile.gate.gates import ellipse_corners
from immunoprofile.gate.scaled import ScaledValues
from immunoprofile.gate.strategy import Dimension, Gate
from immunoprofile.io.files import write_arrays
from immunoprofile.io.markers import find_marker, is_scatter, is_time
from immunoprofile.order_statistics import quantiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.gate.evaluate import GatedSample

BINS = 96
_FAR = 1.5
_SECOND_AXIS = ("SSC-A", "SSC", "FSC-A", "FSC")
"""Axes that a one-dimensional gate is drawn against, in order of preference."""


@dataclass(frozen=True)
class Outline:
    """Closed outline of a population in the coordinates of a plot."""

    population: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class GateRaster:
    """One gating plot: the events of a parent as counts on a grid, with the gates drawn on it.

    Attributes
    ----------
    tube, parent
        Which events are shown.
    n_parent
        Number of events shown; those beyond an axis are counted in its last bins.
    x_marker, y_marker
        Axes.
    x_range, y_range
        Limits of the axes, on their scale.
    counts
        uint32, y bins x x bins.
    x_ticks, y_ticks
        (position on the scale, label in linear units).
    outlines
        The gates of this parent on these axes.
    """

    tube: str
    parent: str
    n_parent: int
    x_marker: str
    y_marker: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    counts: NDArray[np.uint32]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    outlines: tuple[Outline, ...]


@dataclass(frozen=True, eq=False)
class _Axis:
    """An axis of a file: its limits and the bin of every event on it, those beyond an end in the last bin."""

    marker: str
    bins: NDArray[np.uint8]
    limits: tuple[float, float]
    ticks: tuple[tuple[float, str], ...]


class _Placed(NamedTuple):
    """Every event of a file on an axis: values on its scale, limits and ticks."""

    values: NDArray[np.float64]
    limits: tuple[float, float]
    ticks: tuple[tuple[float, str], ...]


def rasterise(gated: GatedSample, *, values: ScaledValues | None = None) -> tuple[GateRaster, ...]:
    """All gating plots of a file, one for each parent and pair of axes, in the order of the template.

    Parameters
    ----------
    gated
        The file with its gates.
    values
        Values of its channels on their scales, where others need them as well; by default computed here.
    """
    values = ScaledValues(gated) if values is None else values
    axes: dict[Dimension, _Axis] = {}
    plots: dict[tuple[str, str, str], list[tuple[Gate, _Axis, _Axis]]] = {}
    for gate in gated.strategy.gates:
        pair = _axes_of(gate, values, axes)
        if pair is not None:
            plots.setdefault((gate.parent, pair[0].marker, pair[1].marker), []).append((gate, *pair))
    rasters = []
    for (parent, x_marker, y_marker), members in plots.items():
        _, x, y = members[0]
        inside = gated.mask(parent)
        rasters.append(
            GateRaster(
                tube=gated.strategy.tube,
                parent=parent,
                n_parent=int(np.count_nonzero(inside)),
                x_marker=x_marker,
                y_marker=y_marker,
                x_range=x.limits,
                y_range=y.limits,
                counts=_grid(x, y, inside),
                x_ticks=x.ticks,
                y_ticks=y.ticks,
                outlines=tuple(_outline(gate, x, y) for gate, _, _ in members),
            )
        )
    return tuple(rasters)


def plot_of_gate(rasters: Iterable[GateRaster], population: str) -> GateRaster | None:
    """The plot of a gate among those of a file, with this gate alone on it; None where it has none."""
    for one in rasters:
        own = tuple(outline for outline in one.outlines if outline.population == population)
        if own:
            return replace(one, outlines=own)
    return None


def common_axes(rasters: Sequence[GateRaster]) -> GateRaster:
    """The first of some plots of one gate, on axes that hold all of them."""

    def span(ranges: list[tuple[float, float]]) -> tuple[float, float]:
        return min(low for low, _ in ranges), max(high for _, high in ranges)

    x_range, y_range = span([r.x_range for r in rasters]), span([r.y_range for r in rasters])
    return replace(rasters[0], x_range=x_range, y_range=y_range)


def plot_values(gated: GatedSample, population: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Every event of a file on the axes of the plot of a population, on their scales; None when it has no plot.

    Values outside the limits of the plot are kept at the limit, as its counts are.
    """
    values = ScaledValues(gated)
    pair = _dimensions_of(gated.strategy[population], gated)
    if pair is None:
        return None
    places = [_placed(dimension, values) for dimension in pair]
    x, y = (np.clip(np.nan_to_num(one.values, nan=one.limits[0]), *one.limits) for one in places)
    return x, y


def _axes_of(gate: Gate, values: ScaledValues, known: dict[Dimension, _Axis]) -> tuple[_Axis, _Axis] | None:
    pair = _dimensions_of(gate, values.gated)
    if pair is None:
        return None
    for dimension in pair:
        if dimension not in known:
            placed = _placed(dimension, values)
            bins = _bins(placed.values, placed.limits)
            known[dimension] = _Axis(dimension.marker, bins, placed.limits, placed.ticks)
    return known[pair[0]], known[pair[1]]


def _dimensions_of(gate: Gate, gated: GatedSample) -> tuple[Dimension, Dimension] | None:
    """The two axes of the plot of a gate, without limits; None when it has none (Boolean gates, ratios)."""
    if not gate.dimensions or any(d.ratio is not None for d in gate.dimensions[:2]):
        return None
    dimensions = list(gate.dimensions[:2])
    if len(dimensions) == 1:
        second = _second_axis(dimensions[0], gated)
        if second is None:
            return None
        dimensions.append(second)
    x, y = (d.without_limits for d in dimensions)
    return x, y


def _second_axis(first: Dimension, gated: GatedSample) -> Dimension | None:
    """What a gate with one axis is drawn against: side or forward scatter, else another axis of the strategy."""
    sample = gated.sample
    own = find_marker(first.marker, sample.markers, sample.labels)
    scatter = [pnn for pnn, _ in sample.labels if is_scatter(pnn)]
    # Instruments call it SS, SSC-H, SS INT LIN ...; side scatter tells more kinds of cells apart.
    scatter.sort(key=lambda name: not name.strip().upper().startswith("SS"))
    for name in (*_SECOND_AXIS, *scatter):
        found = find_marker(name, sample.markers, sample.labels)
        if len(found) == 1 and found != own:
            return Dimension(name)
    others = (d for gate in gated.strategy.gates for d in gate.dimensions if d.ratio is None and not is_time(d.marker))
    return next((d for d in others if find_marker(d.marker, sample.markers, sample.labels) != own), None)


def _placed(dimension: Dimension, values: ScaledValues) -> _Placed:
    found = values.on(dimension)
    return _Placed(found, *plot_axis(dimension, values.gated, found))


def plot_axis(
    dimension: Dimension, gated: GatedSample, values: NDArray[np.float64]
) -> tuple[tuple[float, float], tuple[tuple[float, str], ...]]:
    """Limits of an axis on its scale, and its ticks in linear units.

    Parameters
    ----------
    dimension
        The axis.
    gated
        The file with its gates, all of which begin on the plot.
    values
        The events that are shown, on the scale of the axis.
    """
    if dimension.scale is not None:
        scale = dict(gated.strategy.scales)[dimension.scale]
        ticks = scale.ticks()
        return (min(0.0, ticks[0][0]), 1.02 * scale.top), ticks
    if is_time(dimension.marker):
        top = float(np.max(values, initial=1.0))
        return (0.0, top), tuple((v, f"{v:.0f} s") for v in (0.0, top / 2, top))
    low = 0.0 if is_scatter(dimension.marker) else float(np.min(values, initial=0.0))
    pnr = gated.sample.channels[gated.sample.position(dimension.marker)].pnr
    top = _fitted(values, pnr, _limits_on(dimension, gated))
    return (low, top), _linear_ticks(top)


def _limits_on(dimension: Dimension, gated: GatedSample) -> list[tuple[float, float]]:
    """Where every gate on a linear axis begins and ends; one that is open ends where it begins."""
    found: list[tuple[float, float]] = []
    for gate in gated.strategy.gates:
        for position, own in enumerate(gate.dimensions[:2]):
            if own.marker == dimension.marker and own.scale is None:
                ends = [one for one in (own.minimum, own.maximum) if one is not None and np.isfinite(one)]
                ends += [corner[position] for corner in gate.vertices or ()]
                if ends:
                    found.append((min(ends), max(ends)))
    return found


def _fitted(values: NDArray[np.float64], pnr: float, gates: list[tuple[float, float]]) -> float:
    """End of a linear axis that the data fill: what 999 of 1000 events and the gates need, at most a $PnR that holds.

    Every gate begins on the plot; its end is on it where that is not far beyond the events.

    A file may claim a range of 262,144 for values to 1,024, and have floating point values beyond it.
    """
    known = values[np.isfinite(values)]
    most = float(quantiles(known, [0.999])[0]) if len(known) else 0.0
    ends = [low if high > _FAR * max(most, low) else high for low, high in gates]
    need = 1.05 * max([most, *ends])
    if need <= 0:
        return pnr if pnr > 0 else 1.0
    step = 10.0 ** (np.floor(np.log10(need)) - 1)
    rounded = float(np.ceil(need / step - 1e-9) * step)
    return min(rounded, pnr) if pnr > 0 and pnr >= most else rounded


def _linear_ticks(top: float) -> tuple[tuple[float, str], ...]:
    """Round numbers from 0 to the end of an axis, three to six of them."""
    power = 10.0 ** np.floor(np.log10(top / 4))
    step = float(next(power * part for part in (1, 2, 2.5, 5, 10) if top / (power * part) <= 5))
    values = [step * number for number in range(int(top / step + 1e-9) + 1)]
    return tuple((value, f"{value / 1000:g}k" if top >= 4000 else f"{value:g}") for value in values)


def _bins(values: NDArray[np.float64], limits: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = limits
    if event_loops.loaded():
        out = np.empty(len(values), dtype=np.uint8)
        event_loops.loops().bins_of(np.ascontiguousarray(values), float(low), float(high - low), BINS, out)
        return out
    finite = np.nan_to_num((values - low) / (high - low) * BINS, nan=0.0, posinf=BINS, neginf=0.0)
    return np.clip(finite, 0, BINS - 1).astype(np.uint8)


def _grid(x: _Axis, y: _Axis, inside: NDArray[np.bool_]) -> NDArray[np.uint32]:
    if event_loops.loaded():
        out = np.zeros(BINS * BINS, dtype=np.uint32)
        event_loops.loops().counts_on_grid(x.bins, y.bins, inside, BINS, out)
        return out.reshape(BINS, BINS)
    flat = y.bins[inside].astype(np.int64) * BINS + x.bins[inside]
    return np.bincount(flat, minlength=BINS * BINS).reshape(BINS, BINS).astype(np.uint32)


def _outline(gate: Gate, x: _Axis, y: _Axis) -> Outline:
    if gate.kind == "polygon":
        corners = (*gate.vertices, gate.vertices[0])
        return Outline(gate.population, tuple(c[0] for c in corners), tuple(c[1] for c in corners))

    if gate.ellipsoid is not None:
        corners = ellipse_corners(gate.ellipsoid)
        closed = (*corners, corners[0])
        return Outline(gate.population, tuple(x for x, _ in closed), tuple(y for _, y in closed))

    def limits(position: int, axis: _Axis) -> tuple[float, float]:
        if position >= len(gate.dimensions):
            return axis.limits
        dimension = gate.dimensions[position]
        low = axis.limits[0] if dimension.minimum is None else dimension.minimum
        high = axis.limits[1] if dimension.maximum is None else dimension.maximum
        return max(low, axis.limits[0]), min(high, axis.limits[1])

    (x0, x1), (y0, y1) = limits(0, x), limits(1, y)
    return Outline(gate.population, (x0, x1, x1, x0, x0), (y0, y0, y1, y1, y0))


def write_rasters(rasters: tuple[GateRaster, ...], path: Path) -> None:
    """Store rasters as one compressed file; equal rasters give equal bytes."""
    described = [
        {name: getattr(r, name) for name in ("tube", "parent", "n_parent", "x_marker", "y_marker", "x_range", "y_range",
                                             "x_ticks", "y_ticks")}
        | {"outlines": [{"population": o.population, "x": o.x, "y": o.y} for o in r.outlines]}
        for r in rasters
    ]  # fmt: skip
    counts = np.stack([r.counts for r in rasters]) if rasters else np.zeros((0, BINS, BINS), dtype=np.uint32)
    # Half as wide where they can be: to compress them is most of the work of writing.
    narrow = counts.max(initial=0) <= np.iinfo(np.uint16).max
    write_arrays(
        path,
        counts=counts.astype(np.uint16) if narrow else counts,
        described=np.array(json.dumps(described, sort_keys=True)),
    )


def read_rasters(path: Path) -> tuple[GateRaster, ...]:
    """Rasters that `write_rasters` stored."""
    with np.load(path, allow_pickle=False) as stored:
        counts = stored["counts"].astype(np.uint32)
        described = json.loads(str(stored["described"]))
    return tuple(
        GateRaster(
            tube=d["tube"],
            parent=d["parent"],
            n_parent=d["n_parent"],
            x_marker=d["x_marker"],
            y_marker=d["y_marker"],
            x_range=tuple(d["x_range"]),
            y_range=tuple(d["y_range"]),
            counts=counts[number],
            x_ticks=tuple((position, label) for position, label in d["x_ticks"]),
            y_ticks=tuple((position, label) for position, label in d["y_ticks"]),
            outlines=tuple(Outline(o["population"], tuple(o["x"]), tuple(o["y"])) for o in d["outlines"]),
        )
        for number, d in enumerate(described)
    )
