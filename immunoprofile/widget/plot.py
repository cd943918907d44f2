"""What a page is told of a plot: axes with ticks and a way back to data units, count rasters, contours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile.gate.parent_events import FileEvents, Limits, count_raster
from immunoprofile.gate.raster import plot_axis
from immunoprofile.pl.overlays import contour_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.gate.scales import Scale
    from immunoprofile.gate.strategy import Dimension
    from immunoprofile.io.fcs import Channel

BINS, FINE_BINS, LINE_BINS = 256, 512, 1024
"""Cells along an axis of a plot, of a plot of a rare population, and of a histogram."""

RARE = 0.02
"""Share of the parent below which a population is rare: the approximate count of the page then needs smaller cells."""

NODES = 513
"""Places for which a page knows the linear value; between them it interpolates for its read-out only."""


@dataclass(frozen=True, eq=False)
class Plot:
    """One plot of a parent.

    Attributes
    ----------
    axes
        One (a histogram) or two.
    extent
        Limits of the axes on their scales.
    bins
        Cells along each axis.
    counts
        uint32, rows from low to high y.
    described
        Axes as the page wants them.
    """

    axes: tuple[Dimension, ...]
    extent: tuple[Limits, ...]
    bins: int
    counts: NDArray[np.uint32]
    described: tuple[dict[str, Any], ...]

    @property
    def payload(self) -> bytes:
        """Counts as little-endian unsigned integers of 4 bytes."""
        return _payload(self.counts)


def plot_of(
    events: FileEvents, axes: Sequence[Dimension], places: Sequence[Sequence[float]] = (), *, rare: bool = False
) -> Plot:
    """The plot of the events of a population.

    Parameters
    ----------
    events
        Which events.
    axes
        One or two dimensions without limits.
    places
        Per axis, what has to be on the plot: limits and corners of gates.
    rare
        Whether the cells have to be small.
    """
    values = events.values(axes)
    extent, described = [], []
    for position, (axis, found) in enumerate(zip(axes, values, strict=True)):
        limits, ticks = plot_axis(axis, events.gated, found)
        limits = _with_data(limits, found, axis, places[position] if position < len(places) else ())
        extent.append(limits)
        described.append(_described(axis, limits, ticks, events))
    bins = LINE_BINS if len(axes) == 1 else FINE_BINS if rare else BINS
    counts = count_raster(values, extent, bins)
    return Plot(tuple(axes), tuple(extent), bins, counts, tuple(described))


def _with_data(limits: Limits, values: NDArray[np.float64], axis: Dimension, places: Sequence[float]) -> Limits:
    """Limits that hold 999 of 1000 events below and what was drawn, with a little room."""
    low, high = limits
    known = values[np.isfinite(values)]
    if len(known) and axis.scale is not None:
        low = min(low, float(np.quantile(known, 0.001)))
    room = 0.02 * (high - low)
    low = min([low, *(place - room for place in places)])
    high = max([high, *(place + room for place in places)])
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def _described(
    axis: Dimension, limits: Limits, ticks: Sequence[tuple[float, str]], events: FileEvents
) -> dict[str, Any]:
    gated = events.gated
    channel = gated.sample.channels[gated.sample.position(axis.marker)]
    scale = dict(gated.strategy.scales).get(axis.scale or "")
    compensated = axis.compensated and gated.spillover is not None
    words = [scale.kind if scale is not None else "linear", *(["compensated"] * compensated)]
    span = limits[1] - limits[0]
    shown = [
        [place, plain_tick(label)]
        for place, label in ticks
        if limits[0] - 1e-9 * span <= place <= limits[1] + 1e-9 * span
    ]
    return {
        "marker": axis.marker,
        "label": channel_words(channel),
        "words": ", ".join(words),
        "extent": list(limits),
        "ticks": shown,
        "linear": None if scale is None else linear_values(scale, np.linspace(*limits, NODES)),
    }


def channel_words(channel: Channel) -> str:
    """Marker and channel, or the channel alone where it carries none."""
    return f"{channel.marker} ({channel.pnn})" if channel.marker != channel.pnn else channel.pnn


def plain_tick(label: str) -> str:
    """A tick as plain text: ``$-10^3$`` is ``-10³``."""
    raised = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
    text = label.strip("$")
    base, _, power = text.partition("^")
    return base.replace("-", "−") + power.translate(raised)


def linear_values(scale: Scale, places: NDArray[np.float64]) -> list[float]:
    """Linear values at places on a scale, by the scale itself read backwards: for a read-out, to about four digits.

    `data_units.in_data_units` gives the exact one of a single place, at the cost of a search.
    """
    p = scale.by_letter
    top = p["max_value"] if scale.kind == "biex" else p.get("T") or p["offset"] * 10 ** p["decades"]
    reach = 20.0 * top
    steps = np.sinh(np.linspace(0.0, np.arcsinh(reach), 8192))
    line = np.concatenate([-steps[:0:-1], steps])
    with np.errstate(all="ignore"):
        found = _places(scale, line)
    rising = np.isfinite(found)
    return [float(value) for value in np.interp(places, found[rising], line[rising])]


def _places(scale: Scale, line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places of linear values; NaN where a logarithm has none."""
    try:
        return scale.apply(line)
    except (ValueError, ArithmeticError, RuntimeError):
        positive = line > 0
        found = np.full(line.shape, np.nan)
        found[positive] = scale.apply(line[positive])
        return found


def contours(values: Sequence[NDArray[np.float64]], extent: Sequence[Limits]) -> list[list[float]]:
    """Lines of equal density, each a list of x, y, x, y ...; 10 to 90 % of the events on the plot lie inside them."""
    return [
        [float(f"{value:.5g}") for point in zip(x, y, strict=True) for value in point]
        for x, y in contour_lines(values, extent)
    ]


def layer(
    values: Sequence[NDArray[np.float64]], extent: Sequence[Limits], bins: int
) -> tuple[list[list[float]], bytes]:
    """Events on the axes of a plot as its page draws them: contours, none on one axis, and the counts of its cells."""
    lines = contours(values, extent) if len(values) == 2 else []
    return lines, _payload(count_raster(values, extent, bins))


def part_of(events: FileEvents, plot: Plot, extent: Sequence[Limits]) -> tuple[list[list[float]], bytes]:
    """The events of a part of a plot in as many cells as the whole has, for a page that zoomed in; see `layer`."""
    values = events.values(plot.axes)
    inside = np.logical_and.reduce(
        [(one >= low) & (one < high) for one, (low, high) in zip(values, extent, strict=True)]
    )
    return layer([one[inside] for one in values], extent, plot.bins)


def _payload(counts: NDArray[np.uint32]) -> bytes:
    return counts.astype("<u4").tobytes()
