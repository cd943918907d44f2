"""Files laid over each other on the plot of one gate: histograms of a threshold, contours of a gate on two channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.pl import style
from immunoprofile.pl.sketch import NO_SYMBOL, Key, Legend, Line, Sketch
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pl.style import LineStyle

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from immunoprofile.gate.evaluate import GatedSample
    from immunoprofile.gate.gates import Dimension, Gate
    from immunoprofile.gate.parent_events import FileEvents, Limits

_BARS: Final = 160
_WIDE: Final = style.WIDTH * 0.75
_HIGH: Final = {1: 1.9, 2: 2.9}
"""Inches that a plot of so many channels is high."""
_ABOVE, _BEFORE, _AXIS, _LINE = 0.1, 0.72, 0.46, 0.165
"""Inches above the plot, left of it, below it for the axis, and of a line of the legend."""
_LOOKS: Final = tuple(
    zip(
        (style.BLUE, style.VERMILLION, style.GREEN, style.PURPLE, style.BLACK, style.ORANGE),
        ("-", "--", "-.", ":", (0, (6.0, 1.5, 1.0, 1.5)), (0, (8.0, 2.0))),
        strict=True,
    )
)
"""Colour and dashes of each file: none is told by colour alone."""


def overlay(files: Mapping[str, GatedSample], population: str, *, title: str = "") -> Figure:
    """Some files on the plot of one gate, with the gate of each and its percentage.

    Parameters
    ----------
    files
        Label -> gated file (``profile.gated(sample_id)``, ``ip.gate.gate_sample(...)``): visits of a subject, an FMO
        control beside its sample. Six at most.
    population
        Whose gate is drawn. Its parent's events are shown.
    title
        Above the figure.

    Returns
    -------
    Figure
        One channel: a curve for each file, as high as its densest place, limits as vertical lines. Two channels: lines
        that hold 10, 30, 50, 70 and 90 % of the events. Gates that are the same in all files are drawn once.

    Raises
    ------
    NotAvailableError
        There is no file, or more than six, or the population has no plot.
    GateError
        A file lacks a channel of the plot.

    Examples
    --------
    >>> files = {visit: profile.gated(f"S-1_{visit}_treg") for visit in ("BL", "D14")}  # doctest: +SKIP
    >>> ip.pl.overlay(files | {"FMO CD25": fmo}, "treg")  # doctest: +SKIP
    """
    return sketch_figure(overlay_sketch(files, population, title=title))


def overlay_sketch(files: Mapping[str, GatedSample], population: str, *, title: str = "") -> Sketch:
    """What :func:`overlay` draws."""
    from immunoprofile.gate.parent_events import FileEvents
    from immunoprofile.gate.raster import plot_axis

    if not 1 <= len(files) <= len(_LOOKS):
        raise NotAvailableError(f"{len(files)} files", where="pl.overlay", todo=f"give 1 to {len(_LOOKS)} of them")
    first = next(iter(files.values()))
    for label, gated in files.items():
        if population not in gated.strategy:
            known = ", ".join(gated.strategy.populations)
            raise NotAvailableError(
                f"{label} has no population {population}", where="pl.overlay", todo=f"one of {known}"
            )
    dimensions = _axes(first.strategy[population])
    if not dimensions:
        raise NotAvailableError(f"{population} has no plot of its own", where="pl.overlay", todo="name another one")
    events = {label: FileEvents(one, one.strategy[population].parent, label) for label, one in files.items()}
    values = {label: one.values(dimensions) for label, one in events.items()}
    described = [plot_axis(d, first, values[next(iter(files))][place]) for place, d in enumerate(dimensions)]
    extent = [limits for limits, _ in described]
    said = {label: _words(label, one, population) for label, one in files.items()}
    high = _HIGH[len(dimensions)]
    foot = _AXIS + _LINE * (len(files) + bool(title)) + 0.12
    height = _ABOVE + high + foot
    made = Sketch(_WIDE, height, f"Files laid over each other on the gate of {population}: {'; '.join(said.values())}.")
    panel = made.panel(_BEFORE / _WIDE, foot / height, (_WIDE - _BEFORE - 0.1) / _WIDE, high / height)
    names = [_axis_words(d, events[next(iter(files))]) for d in dimensions]
    panel.x.limits, panel.x.ticks, panel.x.label = extent[0], tuple(described[0][1]), names[0]
    panel.x.power = panel.y.power = True
    if len(dimensions) == 2:
        panel.y.limits, panel.y.ticks, panel.y.label = extent[1], tuple(described[1][1]), names[1]
    else:
        panel.y.limits, panel.y.label = (0.0, 1.08), "events, highest = 1"
    keys = []
    for (label, own), (color, dashes) in zip(values.items(), _LOOKS, strict=False):
        if len(dimensions) == 1:
            panel.add(_curve(own[0], extent[0], color=color, dashes=dashes))
        else:
            panel.add(*(Line(x, y, color, 0.9, dashes) for x, y in contour_lines(own, extent)))
        keys.append(Key(said[label], color, symbol=NO_SYMBOL, dash=dashes))
    drawn: list[Gate] = []
    for one, (color, dashes) in zip(files.values(), _LOOKS, strict=False):
        gate = one.strategy[population]
        if gate not in drawn:
            same = all(other.strategy[population] == gate for other in files.values())
            look = (style.INK, "-") if same else (color, dashes)
            panel.add(*(Line(x, y, look[0], 1.7, look[1]) for x, y in gate_lines(gate, panel.x.limits, panel.y.limits)))
            drawn.append(gate)
    top = foot - _AXIS
    if title:
        made.write(_BEFORE / _WIDE, top / height, title, bold=True, upward="top")
        top -= _LINE
    made.legends.append(Legend(tuple(keys), (_BEFORE - 0.1) / _WIDE, (top + 0.09) / height, "upper left"))
    return made


def _axes(gate: Gate) -> tuple[Dimension, ...]:
    found = tuple(d.without_limits for d in gate.dimensions[:2] if d.ratio is None)
    return found if len(found) == len(gate.dimensions[:2]) else ()


def _words(label: str, gated: GatedSample, population: str) -> str:
    parent = gated.strategy[population].parent
    n, of = gated.n(population), gated.n(parent)
    share = f"{100 * n / of:.2f} %" if of else "no events"
    return f"{label}: {population} {share} ({n:,} of {of:,} {'events' if parent == 'root' else parent})"


def _axis_words(dimension: Dimension, events: FileEvents) -> str:
    channel = events.gated.sample.channels[events.gated.sample.position(dimension.marker)]
    return dimension.marker if channel.pnn == dimension.marker else f"{dimension.marker} ({channel.pnn})"


def _curve(values: NDArray[np.float64], extent: Limits, *, color: str, dashes: LineStyle) -> Line:
    import numpy as np
    from scipy.ndimage import gaussian_filter1d

    counts, edges = np.histogram(np.clip(np.asarray(values), *extent), bins=_BARS, range=extent)
    smooth = gaussian_filter1d(counts.astype(float), 1.5, mode="nearest")
    top = max(float(smooth.max(initial=0.0)), 1e-12)
    return Line(((edges[1:] + edges[:-1]) / 2).tolist(), (smooth / top).tolist(), color, dash=dashes)


def contour_lines(
    values: Sequence[NDArray[np.float64]], extent: Sequence[Limits]
) -> list[tuple[list[float], list[float]]]:
    """Lines of equal density on a plot, x and y of each; 10 to 90 % of the events lie inside them."""
    import numpy as np
    from matplotlib.figure import Figure

    from immunoprofile.gate.parent_events import contour_grid

    grid = contour_grid(values, extent)
    if grid is None:
        return []
    x, y, density, levels = grid
    drawn = Figure().subplots().contour(x, y, density, levels=levels)
    lines = (np.asarray(line, dtype=np.float64) for level in drawn.allsegs for line in level if len(line) > 2)
    return [(line[:, 0].tolist(), line[:, 1].tolist()) for line in lines]


def gate_lines(gate: Gate, across: Limits, upward: Limits) -> list[tuple[list[float], list[float]]]:
    """Outline of a gate on axes with these limits, x and y of each line; open sides end at the frame."""
    from immunoprofile.gate.gates import ellipse_corners

    corners = gate.vertices if gate.ellipsoid is None else ellipse_corners(gate.ellipsoid)
    if corners:
        closed = [*corners, corners[0]]
        return [([float(x) for x, _ in closed], [float(y) for _, y in closed])]
    limits = [(d.minimum, d.maximum) for d in gate.dimensions[:2]]
    if len(limits) == 1:
        return [([place, place], list(upward)) for place in limits[0] if place is not None]
    (x0, x1), (y0, y1) = (
        [end if place is None else place for place, end in zip(pair, frame, strict=True)]
        for pair, frame in zip(limits, (across, upward), strict=True)
    )
    return [([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0])]
