"""Files laid over each other on the plot of one gate: histograms of a threshold, contours of a gate on two channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.pl import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from immunoprofile.gate.evaluate import GatedSample
    from immunoprofile.gate.gates import Dimension, Gate
    from immunoprofile.gate.parent_events import FileEvents, Limits

_BARS: Final = 160
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
    with style.look():
        figure = style.new_figure(style.WIDTH * 0.75, 3.9 if len(dimensions) == 2 else 2.9)
        figure.set_layout_engine("constrained")
        axes = figure.add_subplot()
        for (label, own), (color, dashes) in zip(values.items(), _LOOKS, strict=False):
            words = _words(label, files[label], population)
            if len(dimensions) == 1:
                _curve(axes, own[0], extent[0], color=color, dashes=dashes, words=words)
            else:
                _contours(axes, own, extent, color=color, dashes=dashes, words=words)
        axes.set_xlim(extent[0])
        axes.set_xlabel(_axis_words(dimensions[0], events[next(iter(files))]))
        axes.set_xticks(*zip(*described[0][1], strict=True))
        if len(dimensions) == 2:
            axes.set_ylim(extent[1])
            axes.set_ylabel(_axis_words(dimensions[1], events[next(iter(files))]))
            axes.set_yticks(*zip(*described[1][1], strict=True))
        else:
            axes.set_ylim(0, 1.08)
            axes.set_yticks([])
            axes.set_ylabel("events, highest = 1")
        drawn: list[Gate] = []
        for (_, one), (color, dashes) in zip(files.items(), _LOOKS, strict=False):
            gate = one.strategy[population]
            if gate in drawn:
                continue
            same = all(other.strategy[population] == gate for other in files.values())
            draw_gate(axes, gate, color=style.INK if same else color, dashes="-" if same else dashes)
            drawn.append(gate)
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=1, title=title or None, alignment="left")
        return figure


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


def _curve(axes: Axes, values: object, extent: Limits, *, color: str, dashes: object, words: str) -> None:
    import numpy as np
    from scipy.ndimage import gaussian_filter1d

    counts, edges = np.histogram(np.clip(np.asarray(values), *extent), bins=_BARS, range=extent)
    smooth = gaussian_filter1d(counts.astype(float), 1.5, mode="nearest")
    top = max(float(smooth.max(initial=0.0)), 1e-12)
    middle = (edges[1:] + edges[:-1]) / 2
    axes.plot(middle, smooth / top if counts.any() else smooth, color=color, linestyle=dashes, label=words)


def _contours(axes: Axes, values: object, extent: list[Limits], *, color: str, dashes: object, words: str) -> None:
    from immunoprofile.gate.parent_events import contour_grid

    grid = contour_grid(values, extent)  # type: ignore[arg-type]
    if grid is not None:
        x, y, density, levels = grid
        axes.contour(x, y, density, levels=levels, colors=[color], linestyles=[dashes], linewidths=0.9)
    axes.plot([], [], color=color, linestyle=dashes, label=words)


def draw_gate(axes: Axes, gate: Gate, *, color: str, dashes: object) -> None:
    """Outline of a gate on axes that have their final limits; open sides end at the frame."""
    import numpy as np

    from immunoprofile.gate.gates import ellipse_corners

    look = {"color": color, "linestyle": dashes, "linewidth": 1.7}
    corners = gate.vertices if gate.ellipsoid is None else ellipse_corners(gate.ellipsoid)
    if corners:
        closed = np.array([*corners, corners[0]])
        axes.plot(closed[:, 0], closed[:, 1], **look)  # type: ignore[arg-type]
        return
    ends = [axes.get_xlim(), axes.get_ylim()]
    limits = [(d.minimum, d.maximum) for d in gate.dimensions[:2]]
    if len(limits) == 1:
        for place in limits[0]:
            if place is not None:
                axes.axvline(place, **look)  # type: ignore[arg-type]
        return
    (x0, x1), (y0, y1) = (
        [end if place is None else place for place, end in zip(pair, frame, strict=True)]
        for pair, frame in zip(limits, ends, strict=True)
    )
    axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], **look)  # type: ignore[arg-type]
