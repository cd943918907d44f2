"""Gating thumbnails: density of the parent, gate outlines and percentages, baseline beside visit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.pl import style

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from immunoprofile.gate.raster import GateRaster


@dataclass(frozen=True, eq=False)
class Panel:
    """One thumbnail: a raster, the percentage of the parent in each gate (0-100), and a word on its quality."""

    raster: GateRaster
    percentages: Mapping[str, float]
    remark: str = ""


_SIDE: Final = 1.0
_GAP_X: Final = 0.5
_GAP_Y: Final = 0.64
_GATE_COLORS: Final = (style.VERMILLION, style.BLUE, style.BLACK, style.PURPLE, style.GREEN)


def gating(
    rasters: Sequence[GateRaster],
    *,
    baseline: Sequence[GateRaster | None] | None = None,
    percentages: Mapping[str, float] | None = None,
    baseline_percentages: Mapping[str, float] | None = None,
    displays: Mapping[str, str] | None = None,
    labels: tuple[str, str] = ("baseline", "visit"),
) -> Figure:
    """Thumbnails of gating plots, the baseline above the visit on identical axes.

    Parameters
    ----------
    rasters
        Gating plots of the visit, for instance ``profile.rasters(sample_id)``.
    baseline
        The same plots at baseline, in the same order, None where there is none; default no baseline row.
    percentages, baseline_percentages
        Population -> per cent of its parent (0-100), printed at the gate. A raster cannot give them exactly, so
        that they come from the counts.
    displays
        Population id -> name for people.
    labels
        Names of the two rows.

    Returns
    -------
    Figure
        Colour is log density, scaled to the densest bin of each plot. ``n`` is the number of events of the parent.

    Raises
    ------
    NotAvailableError
        There is no raster, or ``baseline`` has another length.
    """
    now = [Panel(raster, percentages or {}) for raster in rasters]
    before: list[Panel | None] | None = None
    if baseline is not None:
        if len(baseline) != len(rasters):
            what = f"{len(baseline)} baseline plots for {len(rasters)} plots of the visit"
            raise NotAvailableError(what, where="pl.gating", todo="give one (or None) for each")
        before = [None if raster is None else Panel(raster, baseline_percentages or {}) for raster in baseline]
    return gating_figure(now, before, displays=displays or {}, labels=labels)


def gating_figure(
    now: Sequence[Panel | None],
    before: Sequence[Panel | None] | None,
    *,
    displays: Mapping[str, str],
    labels: tuple[str, str],
) -> Figure:
    """Thumbnails from panels; a None is drawn as "not done"."""
    if not any(now) and not (before and any(before)):
        raise NotAvailableError("there is no gating plot", where="pl.gating", todo="gate the files first")
    rows = [(labels[1], now)] if before is None else [(labels[0], before), (labels[1], now)]
    columns = len(now)
    across = columns * _SIDE + (columns - 1) * _GAP_X
    down = len(rows) * _SIDE + (len(rows) - 1) * _GAP_Y
    left, right, top, bottom = 0.58, 0.08, 0.34, 0.34
    with style.look():
        # One set of axes for all thumbnails: twelve of them would take ten times as long to draw.
        scale = min(7.4 / (left + across + right), 1.25)
        wide = (left + across + right) * scale
        high = (top + down + bottom) * scale
        figure = style.new_figure(wide, high)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(-left, across + right)
        axes.set_ylim(-bottom, down + top)
        for row, (label, panels) in enumerate(rows):
            y0 = down - _SIDE - row * (_SIDE + _GAP_Y)
            axes.text(-left + 0.1, y0 + 0.5, label, rotation=90, ha="center", va="center", fontweight="bold")
            for column, panel in enumerate(panels):
                x0 = column * (_SIDE + _GAP_X)
                partner = now[column] if panel is None or before is None else before[column] if row else now[column]
                draw_panel(
                    axes,
                    panel,
                    partner,
                    x0=x0,
                    y0=y0,
                    displays=displays,
                    top_row=row == 0,
                    labels_below=row + 1 < len(rows) and rows[row + 1][1][column] is not None,
                )
        return figure


def draw_panel(
    axes: Axes,
    panel: Panel | None,
    partner: Panel | None,
    *,
    x0: float,
    y0: float,
    displays: Mapping[str, str],
    top_row: bool,
    labels_below: bool = False,
) -> None:
    """One thumbnail of side 1 with its lower left corner at (``x0``, ``y0``); ``partner`` shares its axes.

    ``labels_below``: the thumbnail below has the numbers of the x axis, which is the same.
    """
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle((x0, y0), 1, 1, facecolor="white", edgecolor=style.GREY, linewidth=0.7, zorder=1, clip_on=False)
    )
    if panel is None:
        axes.text(x0 + 0.5, y0 + 0.5, "not done", ha="center", va="center", color=style.GREY)
        return
    raster = panel.raster
    other = raster if partner is None else partner.raster
    x_low, x_high = _common(raster.x_range, other.x_range)
    y_low, y_high = _common(raster.y_range, other.y_range)

    def place(x: float, y: float) -> tuple[float, float]:
        return x0 + (x - x_low) / (x_high - x_low), y0 + (y - y_low) / (y_high - y_low)

    (left, low), (right, high) = (
        place(raster.x_range[0], raster.y_range[0]),
        place(raster.x_range[1], raster.y_range[1]),
    )
    axes.imshow(
        _density(raster.counts), extent=(left, right, low, high), origin="lower", interpolation="none", aspect="auto",
        zorder=2,
    )  # fmt: skip
    tall = raster.parent if raster.parent != "root" else "all events"
    axes.text(
        x0, y0 + 1.03, f"{displays.get(raster.parent, tall)}\nn = {raster.n_parent:,}", fontsize=5.6, va="bottom",
        fontweight="bold" if top_row else "normal", linespacing=1.1,
    )  # fmt: skip
    axes.text(x0 + 0.5, y0 - 0.19, raster.x_marker, ha="center", va="center", fontsize=6.3)
    axes.text(x0 - 0.29, y0 + 0.5, raster.y_marker, ha="center", va="center", rotation=90, fontsize=6.3)
    # All ticks are one line with gaps: a page with hundreds of small lines takes long to print.
    marks: list[tuple[float, float]] = []
    for position, label in _ticks(raster.x_ticks, x_low, x_high):
        x = place(position, y_low)[0]
        marks += [(x, y0), (x, y0 - 0.02), (math.nan, math.nan)]
        if not labels_below:
            axes.text(x, y0 - 0.035, label, ha="center", va="top", fontsize=4.8)
    for position, label in _ticks(raster.y_ticks, y_low, y_high):
        y = place(x_low, position)[1]
        marks += [(x0, y), (x0 - 0.02, y), (math.nan, math.nan)]
        axes.text(x0 - 0.03, y, label, ha="right", va="center", fontsize=4.8)
    axes.plot(*zip(*marks, strict=True), color=style.GREY, linewidth=0.5, clip_on=False)
    taken: list[tuple[float, float]] = []
    for number, outline in enumerate(raster.outlines):
        points = [
            place(min(max(x, x_low), x_high), min(max(y, y_low), y_high))
            for x, y in zip(outline.x, outline.y, strict=True)
        ]
        color = _GATE_COLORS[number % len(_GATE_COLORS)]
        axes.plot([p[0] for p in points], [p[1] for p in points], color=color, linewidth=0.9, zorder=4, clip_on=False)
        _label(axes, outline.population, panel, points, (x0, y0), taken, color)
    if panel.remark:
        axes.text(
            x0 + 0.5, y0 + 0.5, panel.remark, ha="center", va="center", fontsize=7, fontweight="bold", zorder=7,
            bbox={"facecolor": "white", "edgecolor": style.INK, "linewidth": 0.6, "pad": 1.5},
        )  # fmt: skip


def _label(
    axes: Axes,
    population: str,
    panel: Panel,
    points: Sequence[tuple[float, float]],
    corner: tuple[float, float],
    taken: list[tuple[float, float]],
    color: str,
) -> None:
    percent = panel.percentages.get(population, math.nan)
    value = "" if math.isnan(percent) else f" {percent:.2f} %" if percent < 1 else f" {percent:.1f} %"
    words = f"{population}{value}"
    # About 0.065 of a side per letter at this size; kept inside the thumbnail and off the labels already there.
    half = 0.0325 * len(words)
    x = sum(p[0] for p in points) / len(points)
    x = min(max(x, corner[0] + half + 0.02), corner[0] + 1 - half - 0.02) if half < 0.47 else corner[0] + 0.5
    y = min(max(p[1] for p in points) - 0.055, corner[1] + 0.945)
    y = max(y, corner[1] + 0.055)
    while any(abs(y - other[1]) < 0.095 and abs(x - other[0]) < half + 0.25 for other in taken) and y > corner[1] + 0.1:
        y -= 0.1
    taken.append((x, y))
    axes.text(
        x, y, words, ha="center", va="center", fontsize=5.0, color=color, fontweight="bold", zorder=6,
        bbox={"facecolor": "white", "alpha": 0.82, "edgecolor": "none", "pad": 0.7},
    )  # fmt: skip


def _common(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    return min(first[0], second[0]), max(first[1], second[1])


def _ticks(ticks: Sequence[tuple[float, str]], low: float, high: float) -> list[tuple[float, str]]:
    shown: list[tuple[float, str]] = []
    for position, label in ticks:
        if low <= position <= high and (not shown or position - shown[-1][0] >= 0.22 * (high - low)):
            shown.append((position, label))
    return shown


def _density(counts: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Log density as colours from white (no event) to dark blue, RGB uint8."""
    import numpy as np

    level = np.log1p(counts.astype(np.float64))
    level /= max(float(level.max()), 1e-9)
    # A single hue that darkens evenly: readable in grey and with every colour vision.
    stops = np.array([[1.0, 1.0, 1.0], [0.78, 0.86, 0.92], [0.42, 0.64, 0.80], [0.10, 0.36, 0.58], [0.02, 0.13, 0.29]])
    at = np.linspace(0.0, 1.0, len(stops))
    rgb = np.stack([np.interp(level, at, stops[:, channel]) for channel in range(3)], axis=-1)
    return np.asarray(np.round(rgb * 255), dtype=np.uint8)
