"""Gating plots: density of the parent, gate outlines and percentages, baseline above visit."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.pl import style
from immunoprofile.pl.gate_labels import SIZE, Box, Points, Wanted, clipped, place_labels, plain_name
from immunoprofile.pl.sketch import Box as Rectangle
from immunoprofile.pl.sketch import Ground, Line, Picture, Sketch, Words
from immunoprofile.pl.sketch import Panel as Sheet
from immunoprofile.pl.sketch_figure import sketch_figure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from immunoprofile.gate.raster import GateRaster


@dataclass(frozen=True, eq=False)
class Panel:
    """One plot: a raster and the percentage of the parent in each gate (0-100).

    ``remark`` is a word on its quality, above the plot; ``remarks`` follow the name of a gate.
    """

    raster: GateRaster
    percentages: Mapping[str, float]
    remark: str = ""
    remarks: Mapping[str, str] = field(default_factory=dict)


ACROSS: Final = 4
"""Plots side by side: more of them go on in the next row, so that each keeps a size at which it can be judged."""
SIDE: Final = 1.27
"""Inches of the side of a plot; the page shows at least 180 pixels of it."""
GAP_X: Final = 0.41
_LEFT: Final = 0.5
_BELOW: Final = 0.3
_RIGHT: Final = 0.05
"""Sides of a plot: between two plots, left of the first, below each for its axis, and right of the last."""
_LINE: Final = 0.082
"""Height of a line above a plot, in sides of it."""
_FOLDS: Final = (16, 11, 8)
"""Letters of a line of a label on a plot: the widest that has room."""
_WIDEST: Final = 25
"""Letters of such a line."""
_GATE_COLORS: Final = (style.VERMILLION, style.BLUE, style.BLACK, style.PURPLE, style.GREEN)
_FEW: Final = 0.18
"""Bins with less of the log density than this are drawn as single dots."""


def gating(
    rasters: Sequence[GateRaster],
    *,
    baseline: Sequence[GateRaster | None] | None = None,
    percentages: Mapping[str, float] | None = None,
    baseline_percentages: Mapping[str, float] | None = None,
    displays: Mapping[str, str] | None = None,
    labels: tuple[str, str] = ("baseline", "visit"),
) -> Figure:
    """Gating plots, the baseline above the visit on identical axes, at most four side by side.

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
    """Gating plots from panels, at most four side by side; a None is drawn as "not done"."""
    return sketch_figure(gating_sketch(now, before, displays=displays, labels=labels))


def gating_sketch(
    now: Sequence[Panel | None],
    before: Sequence[Panel | None] | None,
    *,
    displays: Mapping[str, str],
    labels: tuple[str, str],
) -> Sketch:
    """What :func:`gating_figure` draws."""
    if not any(now) and not (before and any(before)):
        raise NotAvailableError("there is no gating plot", where="pl.gating", todo="gate the files first")
    drawn: list[tuple[str, list[Drawn | None]]] = []
    for start in range(0, len(now), ACROSS):
        part = now[start : start + ACROSS]
        earlier = None if before is None else before[start : start + ACROSS]
        if earlier is not None:
            drawn.append((labels[0], _row(earlier, part, displays)))
        drawn.append((labels[1], _row(part, [None] * len(part) if earlier is None else earlier, displays)))
    heads = [max((one.head for one in row if one is not None), default=0.1) for _, row in drawn]
    across = _LEFT + ACROSS + (ACROSS - 1) * GAP_X + _RIGHT
    down = sum(head + 1 + _BELOW for head in heads)
    scale = style.WIDTH / across
    made, sheet = plot_sheet(across, down, scale, _alt(now, before, displays, labels))
    top = down
    for (label, row), head in zip(drawn, heads, strict=True):
        y0 = top - head - 1
        sheet.add(Words(0.09, y0 + 0.5, label, bold=True, across="center", upward="center", turn=90))
        for column, one in enumerate(row):
            draw_panel(sheet, one, x0=_LEFT + column * (1 + GAP_X), y0=y0)
        top = y0 - _BELOW
    return made


def _alt(
    now: Sequence[Panel | None],
    before: Sequence[Panel | None] | None,
    displays: Mapping[str, str],
    labels: tuple[str, str],
) -> str:
    """Percentages on every plot in words."""
    parts = []
    for label, panels in ((labels[0], before or ()), (labels[1], now)):
        shown = [panel for panel in panels if panel is not None]
        shares = {
            one.population: panel.percentages.get(one.population, math.nan)
            for panel in shown
            for one in panel.raster.outlines
        }
        words = [f"{_name(name, displays)} {share:.2f} %" for name, share in shares.items() if not math.isnan(share)]
        remarks = dict.fromkeys(panel.remark for panel in shown if panel.remark)
        if panels:
            parts.append(f"{label or 'plots'}: {', '.join([*remarks, *words]) or 'no percentage is known'}")
    axes = " on identical axes" if before else ""
    return f"Gating plots{axes}. Per cent of the parent, {'; '.join(parts)}."


def plot_sheet(across: float, down: float, scale: float, alt: str = "") -> tuple[Sketch, Sheet]:
    """A figure whose only axes are as wide and high as so many sides of a plot, of ``scale`` inches each."""
    # One set of axes for all plots: twelve of them would take ten times as long to draw.
    made = Sketch(across * scale, down * scale, alt)
    sheet = made.panel(0, 0, 1, 1)
    sheet.bare = True
    sheet.x.limits, sheet.y.limits = (0.0, across), (0.0, down)
    return made, sheet


def _row(
    panels: Sequence[Panel | None], partners: Sequence[Panel | None], displays: Mapping[str, str]
) -> list[Drawn | None]:
    return [
        None if panel is None else prepare(panel, partner, displays)
        for panel, partner in zip(panels, partners, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A plot with its labels placed: everything in sides of it."""

    panel: Panel
    title: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    outlines: tuple[Points, ...]
    words: tuple[str, ...]
    places: tuple[Box | None, ...]

    @property
    def beside(self) -> list[tuple[int, str]]:
        """Labels without a place on the plot: number of the gate and the lines that are written above it."""
        lost = [number for number, place in enumerate(self.places) if place is None]
        return [(number, line) for number in lost for line in textwrap.wrap(self.words[number], _WIDEST)]

    @property
    def head(self) -> float:
        """Height of the lines above the plot."""
        return (2 + bool(self.panel.remark) + len(self.beside)) * _LINE + 0.08


def prepare(panel: Panel, partner: Panel | None, displays: Mapping[str, str]) -> Drawn:
    """A plot with its labels placed; ``partner`` shares its axes."""
    raster = panel.raster
    other = raster if partner is None else partner.raster
    x_range, y_range = _common(raster.x_range, other.x_range), _common(raster.y_range, other.y_range)

    words = tuple(_label(one.population, panel, displays) for one in raster.outlines)
    outlines, places = _labelled(raster, x_range, y_range, words)
    name = "all events" if raster.parent == "root" else _name(raster.parent, displays)
    x_ticks = max(raster, other, key=lambda one: one.x_range[1]).x_ticks  # one axis, one set of ticks
    y_ticks = max(raster, other, key=lambda one: one.y_range[1]).y_ticks
    return Drawn(panel, name, x_range, y_range, x_ticks, y_ticks, outlines, words, places)


@lru_cache(maxsize=64)
def _labelled(
    raster: GateRaster, x_range: tuple[float, float], y_range: tuple[float, float], words: tuple[str, ...]
) -> tuple[tuple[Points, ...], tuple[Box | None, ...]]:
    """Outlines on the plot and places of their labels; plots of a baseline stand on every page of a subject."""

    def place(x: float, y: float) -> tuple[float, float]:
        return (x - x_range[0]) / (x_range[1] - x_range[0]), (y - y_range[0]) / (y_range[1] - y_range[0])

    outlines = tuple(
        clipped(
            tuple(
                place(_reach(x, raster.x_range, x_range), _reach(y, raster.y_range, y_range))
                for x, y in zip(one.x, one.y, strict=True)
            )
        )
        for one in raster.outlines
    )
    wanted = [
        Wanted(tuple(_folded(text, width) for width in _FOLDS), line)
        for text, line in zip(words, outlines, strict=True)
    ]
    return outlines, tuple(place_labels(wanted, outlines, _crowd(raster, x_range, y_range), side=SIDE))


def draw_panel(sheet: Sheet, drawn: Drawn | None, *, x0: float, y0: float) -> None:
    """One plot of side 1 with its lower left corner at (``x0``, ``y0``)."""
    sheet.add(Rectangle(x0, y0, 1, 1, edge=style.GREY, width=0.7, order=3, clip=False))
    if drawn is None:
        sheet.add(Words(x0 + 0.5, y0 + 0.5, "not done", color=style.GREY, across="center", upward="center"))
        return
    raster = drawn.panel.raster
    (x_low, x_high), (y_low, y_high) = drawn.x_range, drawn.y_range

    def place(x: float, y: float) -> tuple[float, float]:
        return x0 + (x - x_low) / (x_high - x_low), y0 + (y - y_low) / (y_high - y_low)

    left, low = place(raster.x_range[0], raster.y_range[0])
    right, high = place(raster.x_range[1], raster.y_range[1])
    sheet.add(Picture(_density(raster), _palette(), (left, right), (low, high)))
    _draw_head(sheet, drawn, x0, y0 + 1.03)
    sheet.add(
        Words(x0 + 0.5, y0 - 0.175, raster.x_marker, size=6.8, across="center", upward="center"),
        Words(x0 - 0.285, y0 + 0.5, raster.y_marker, size=6.8, across="center", upward="center", turn=90),
    )
    # All ticks are one line with gaps: a page with hundreds of small lines takes long to print.
    marks: list[tuple[float, float]] = []
    for position, label in _ticks(drawn.x_ticks, x_low, x_high):
        x = place(position, y_low)[0]
        marks += [(x, y0), (x, y0 - 0.02), (math.nan, math.nan)]
        sheet.add(Words(x, y0 - 0.035, label, size=5.2, across="center", upward="top", power=True))
    for position, label in _ticks(drawn.y_ticks, y_low, y_high):
        y = place(x_low, position)[1]
        marks += [(x0, y), (x0 - 0.02, y), (math.nan, math.nan)]
        sheet.add(Words(x0 - 0.03, y, label, size=5.2, across="right", upward="center", power=True))
    sheet.add(Line([x for x, _ in marks], [y for _, y in marks], color=style.GREY, width=0.5, clip=False))
    for number, (points, box) in enumerate(zip(drawn.outlines, drawn.places, strict=True)):
        color = _GATE_COLORS[number % len(_GATE_COLORS)]
        sheet.add(
            Line([x0 + x for x, _ in points], [y0 + y for _, y in points], color=color, width=1.0, order=4, clip=False)
        )
        if box is not None:
            sheet.add(
                Words(
                    x0 + box.x, y0 + box.y, box.words, size=SIZE, color=color, bold=True, across="center",
                    upward="center", spacing=1.05, ground=Ground(alpha=0.82, pad=0.7), order=6,
                )
            )  # fmt: skip


def _draw_head(sheet: Sheet, drawn: Drawn, x0: float, y: float) -> None:
    """Lines above a plot, from below: gates without room for their label, what failed, n, and whose events they are."""
    lines = [(line, _GATE_COLORS[number % len(_GATE_COLORS)], SIZE, True) for number, line in reversed(drawn.beside)]
    if drawn.panel.remark:
        lines.append((drawn.panel.remark, style.VERMILLION, SIZE, True))
    lines += [
        (f"n = {drawn.panel.raster.n_parent:,}", style.INK, SIZE, False),
        (drawn.title, style.INK, 6.8, True),
    ]
    for number, (words, color, size, bold) in enumerate(lines):
        sheet.add(Words(x0, y + number * _LINE, words, size=size, color=color, bold=bold, upward="bottom"))


def _label(population: str, panel: Panel, displays: Mapping[str, str]) -> str:
    """Name of a gate and its percentage."""
    percent = panel.percentages.get(population, math.nan)
    value = "" if math.isnan(percent) else f"\n{percent:.2f} %" if percent < 1 else f"\n{percent:.1f} %"
    return f"{_name(population, displays)}{value}{panel.remarks.get(population, '')}"


def _name(population: str, displays: Mapping[str, str]) -> str:
    known = displays.get(population, population)
    return plain_name(population) if known == population else known


def _folded(words: str, width: int) -> str:
    """A name in lines of at most so many letters, its number below."""
    name, _, value = words.partition("\n")
    return "\n".join([*textwrap.wrap(name, width), value]).rstrip("\n")


def _common(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    return min(first[0], second[0]), max(first[1], second[1])


def _reach(value: float, own: tuple[float, float], axis: tuple[float, float]) -> float:
    """A coordinate of an outline: one that ends with its raster goes on to the end of an axis that is longer."""
    return axis[0] if value == own[0] else axis[1] if value == own[1] else value


def _ticks(ticks: Sequence[tuple[float, str]], low: float, high: float) -> list[tuple[float, str]]:
    shown: list[tuple[float, str]] = []
    for position, label in ticks:
        if low <= position <= high and (not shown or position - shown[-1][0] >= 0.16 * (high - low)):
            shown.append((position, label))
    return shown


def _crowd(raster: GateRaster, x_range: tuple[float, float], y_range: tuple[float, float]) -> NDArray[np.float64]:
    """Log density, 0 to 1, on a plot whose axes may be longer than those of the raster."""
    import numpy as np

    level = np.log1p(raster.counts.astype(np.float64))
    level /= max(float(level.max()), 1e-9)
    if (raster.x_range, raster.y_range) == (x_range, y_range):
        return level
    rows, columns = level.shape
    made = np.zeros((rows, columns))

    def bins(own: tuple[float, float], all_of: tuple[float, float], count: int) -> NDArray[np.int64]:
        middle = own[0] + (np.arange(count) + 0.5) / count * (own[1] - own[0])
        return np.clip(((middle - all_of[0]) / (all_of[1] - all_of[0]) * count).astype(np.int64), 0, count - 1)

    y, x = bins(raster.y_range, y_range, rows), bins(raster.x_range, x_range, columns)
    np.maximum.at(made, (y[:, None], x[None, :]), level)
    return made


@lru_cache(maxsize=64)
def _density(raster: GateRaster) -> NDArray[np.uint8]:
    """Log density as places in :func:`_palette`, from 0 (none) to 255; where events are few, a dot for each bin."""
    import numpy as np

    counts = raster.counts
    level = np.log1p(counts.astype(np.float64))
    level /= max(float(level.max()), 1e-9)
    few = (counts > 0) & ((level < _FEW) | (counts == 1))
    # Three pixels a bin: a lone event is a small dark dot, as on the screen of a cytometer.
    coarse = np.round(255 * np.where(few, 0.0, level)).astype(np.uint8)
    fine = coarse.repeat(3, axis=1).repeat(3, axis=0)
    fine[1::3, 1::3][few] = round(255 * 0.8)
    fine.setflags(write=False)
    return fine


@cache
def _palette() -> NDArray[np.uint8]:
    """Colours from white to dark blue, 256 x 3."""
    import numpy as np

    # A single hue that darkens evenly: readable in grey and with every colour vision.
    stops = np.array([[1.0, 1.0, 1.0], [0.78, 0.86, 0.92], [0.42, 0.64, 0.80], [0.10, 0.36, 0.58], [0.02, 0.13, 0.29]])
    at, levels = np.linspace(0.0, 1.0, len(stops)), np.linspace(0.0, 1.0, 256)
    rgb = np.stack([np.interp(levels, at, stops[:, channel]) for channel in range(3)], axis=-1)
    return np.asarray(np.round(rgb * 255), dtype=np.uint8)
