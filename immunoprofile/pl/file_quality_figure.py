"""Quality of the events of one file: signals and flow rate over time, doublets, margins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile.pl import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from immunoprofile.quality import EventQuality

_CHECKS = {
    "stability": "signal",
    "flow_rate": "flow rate",
    "margins": "margins",
    "doublets": "doublets",
    "dead": "dead",
}
"""Names of the checks of events for people."""
_MOST_CHANNELS = 24
_WIDTH = 7.4
_ROW = 0.4
_LOWER = 2.05
_HEAD = 0.62
_BETWEEN = 0.62
_FOOT = 0.74
_LEFT, _RIGHT = 1.2, 0.15


def file_quality(quality: EventQuality) -> Figure:
    """Signal of every channel over time with flagged stretches, flow rate, doublets and margins of one file.

    Parameters
    ----------
    quality
        Result of :func:`immunoprofile.quality.assess`.

    Returns
    -------
    Figure
        Flagged stretches are hatched, and the bins of the channel at fault are crosses: nothing is told by colour
        alone. At most 24 channels are drawn, those at fault first.
    """
    chosen = _channels(quality)
    top = _ROW * max(len(chosen), 1)
    rate = 0.75
    height = _HEAD + top + 0.12 + rate + _BETWEEN + _LOWER + _FOOT
    with style.look():
        figure = style.new_figure(_WIDTH, height, f"Quality of the events of {quality.name}. {_told(quality)}.")

        def axes_at(left: float, above: float, width: float, tall: float) -> Axes:
            return figure.add_axes((left / _WIDTH, 1 - (above + tall) / height, width / _WIDTH, tall / height))

        wide = _WIDTH - _LEFT - _RIGHT
        first, last = _span(quality)
        for row, channel in enumerate(chosen):
            axes = axes_at(_LEFT, _HEAD + row * _ROW, wide, _ROW * 0.86)
            _draw_signal(axes, quality, channel)
            axes.set_xlim(first, last)
        if not chosen:
            _say(axes_at(_LEFT, _HEAD, wide, top), f"signal not assessable: {quality.stability.reason}")
        axes = axes_at(_LEFT, _HEAD + top + 0.12, wide, rate)
        _draw_rate(axes, quality)
        axes.set_xlim(first, last)
        below = _HEAD + top + 0.12 + rate + _BETWEEN
        _draw_doublets(axes_at(_LEFT - 0.45, below, 2.55, _LOWER), quality)
        _draw_margins(axes_at(_LEFT + 3.35, below, wide - 3.45, _LOWER), quality)
        _draw_head(figure, quality, height, hidden=len(quality.stability.channels) - len(chosen) if chosen else 0)
        return figure


def _channels(quality: EventQuality) -> list[int]:
    found = quality.stability
    if not found.assessable:
        return []
    at_fault = [bool(flags.any()) for flags in found.bad_channels.T]
    order = sorted(range(len(found.channels)), key=lambda channel: (not at_fault[channel], channel))
    return sorted(order[:_MOST_CHANNELS])


def _span(quality: EventQuality) -> tuple[float, float]:
    ends = [quality.rate.edges[[0, -1]]] if quality.rate.edges.size else []
    if quality.bin_time.size:
        ends.append(np.array([quality.bin_time[0, 0], quality.bin_time[-1, 1]]))
    if not ends:
        return 0.0, 1.0
    values = np.concatenate(ends)
    return float(values.min()), float(values.max())


def _stretches(
    flags: NDArray[np.bool_], begin: NDArray[np.float64], end: NDArray[np.float64]
) -> list[tuple[float, float]]:
    """Begin and end of each run of flagged bins."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(float(begin[a]), float(end[b - 1])) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _shade(axes: Axes, stretches: list[tuple[float, float]]) -> None:
    for begin, end in stretches:
        axes.axvspan(begin, end, facecolor=style.PALE, edgecolor=style.GREY, hatch="////", linewidth=0, zorder=0)


def _draw_signal(axes: Axes, quality: EventQuality, channel: int) -> None:
    found = quality.stability
    begin, end = quality.bin_time[:, 0], quality.bin_time[:, 1]
    middle = (begin + end) / 2
    values = found.medians[:, channel]
    _shade(axes, _stretches(found.bad_bins, begin, end))
    axes.plot(middle, values, color=style.BLUE, linewidth=0.8)
    wrong = found.bad_channels[:, channel] & found.bad_bins
    axes.plot(middle[wrong], values[wrong], linestyle="none", marker="x", color=style.VERMILLION, markersize=3.2)
    low, high = float(values.min()), float(values.max())
    # A steady signal stays a quiet line: the axis is at least a twentieth of the scale high.
    room = max(0.6 * (high - low), 0.025)
    centre = (low + high) / 2
    axes.set_ylim(centre - room, centre + room)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0, labelbottom=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(style.PALE)
    label, name = quality.labels[channel], found.channels[channel]
    text = name if label == name else f"{label}\n{name}"
    axes.set_ylabel(
        _short(text), rotation=0, ha="right", va="center", fontsize=6.5,
        fontweight="bold" if wrong.any() else "normal", labelpad=4,
    )  # fmt: skip


def _short(text: str, most: int = 19) -> str:
    return "\n".join(line if len(line) <= most else f"{line[: most - 1]}…" for line in text.split("\n"))


def _draw_rate(axes: Axes, quality: EventQuality) -> None:
    rate = quality.rate
    if not rate.assessable:
        _say(axes, f"flow rate not assessable: {rate.reason}")
        return
    _shade(axes, _stretches(rate.bad_bins, rate.edges[:-1], rate.edges[1:]))
    axes.stairs(rate.rate, rate.edges, color=style.INK, linewidth=0.7)
    for begin, end in rate.gaps:
        axes.plot([(begin + end) / 2], [0.0], marker="v", color=style.VERMILLION, markersize=4, clip_on=False)
    axes.set_ylim(0, 1.15 * float(rate.rate.max()))
    axes.set_ylabel("flow rate\nevents/s", rotation=0, ha="right", va="center", fontsize=6.5, labelpad=22)
    axes.locator_params(axis="y", nbins=2)
    axes.set_xlabel("time, s", labelpad=1)


def _draw_doublets(axes: Axes, quality: EventQuality) -> None:
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter

    gate = quality.singlets
    style.title(axes, "Doublets")
    if not gate.assessable:
        _say(axes, f"not assessable:\n{gate.reason}")
        return
    x, y = quality.raster_edges
    axes.pcolormesh(
        x, y, np.ma.masked_equal(quality.raster.T, 0), cmap="cividis", norm=LogNorm(vmin=1), rasterized=True
    )
    ring = np.vstack([gate.polygon, gate.polygon[:1]])
    axes.plot(ring[:, 0], ring[:, 1], color=style.VERMILLION, linewidth=1.2)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
    axes.set_xlabel(f"{gate.area}, thousand")
    axes.set_ylabel(f"{gate.height}, thousand", labelpad=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}"))
    axes.locator_params(nbins=5)
    axes.text(
        0.03, 0.97, f"{gate.pct_events:.1f} % outside", transform=axes.transAxes, va="top", fontsize=7,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85},
    )  # fmt: skip


def _draw_margins(axes: Axes, quality: EventQuality) -> None:
    rails = quality.rails
    style.title(axes, "Events at the rails of a detector")
    events = max(quality.n_events, 1)
    low, high = 100 * rails.low / events, 100 * rails.high / events
    # Many channels: those with most events, so that each name can be read.
    most = np.sort(np.argsort(-(low + high), kind="stable")[:16])
    marker = dict(zip(quality.stability.channels, quality.labels, strict=True))
    names = [_short(marker.get(rails.channels[at], rails.channels[at]), 14) for at in most]
    places = np.arange(len(most))
    axes.barh(places, high[most], height=0.7, color=style.BLUE, label="upper")
    axes.barh(places, low[most], height=0.7, left=high[most], color=style.ORANGE, hatch="////", edgecolor="white",
              label="lower", linewidth=0)  # fmt: skip
    axes.set_yticks(places, names, fontsize=6.2)
    axes.set_ylim(len(most) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, max(1.0, 1.1 * float((low + high).max(initial=0.0))))
    axes.set_xlabel("per cent of events")
    if not (low + high).any():
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color=style.GREY)
    if np.any(rails.low):
        axes.legend(loc="lower right", fontsize=6.5)


def _draw_head(figure: Figure, quality: EventQuality, height: float, *, hidden: int) -> None:
    figure.text(0.01, 1 - 0.06 / height, quality.name, va="top", fontsize=9.5, fontweight="bold")
    figure.text(0.01, 1 - 0.25 / height, _told(quality), va="top", fontsize=7.5)
    notes = [
        f"{row.check.replace('_', ' ')} {_finding(row)}" for row in quality.findings if row.state in ("WARN", "FAIL")
    ]
    figure.text(
        0.01,
        1 - 0.41 / height,
        _clip("Warnings: " + "; ".join(notes) if notes else "No warning.", 125),
        va="top",
        fontsize=7,
        color=style.GREY,
    )
    text = "Line: median of each bin on the plot scale. Hatched: flagged stretch; cross: channel that left its place."
    if quality.rate.gaps:
        text += "\nTriangle: pause without events."
    if hidden:
        text += f" {hidden} quiet channels are not drawn."
    style.note(figure, text)


def _told(quality: EventQuality) -> str:
    """How many events there are and which share was flagged for what."""
    told = [f"{_CHECKS[name]} {_percent(share)}" for name, share in quality.pct.items()]
    return f"{quality.n_events:,} events; flagged: {', '.join(told)}"


def _finding(row: Any) -> str:
    value = f"{row.value:.3g} {row.unit}"
    return f"{value}: {_clip(row.text, 40)}" if row.text else value


def _clip(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _percent(share: float) -> str:
    return "not assessable" if np.isnan(share) else f"{share:.1f} %"


def _say(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.02, 0.5, text, transform=axes.transAxes, va="center", fontsize=7.5, color=style.GREY)
