"""Panels that several figures share: CMV-DNA, treatment bars, the day axis and the n below it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from immunoprofile.pl.series import CENSORED_KINDS, Bar, CmvSeries, Measure, Series
from immunoprofile.pl.sketch import Box, Errors, Line, Marks, Panel, Words
from immunoprofile.pl.style import BLUE, GREY, INK, PALE, PURPLE, Mark, population_mark
from immunoprofile.pl.ticks import axis_ticks, log_ticks, plain_ticks

_BAR_LOOK: Final = {"il2": (PURPLE, "////"), "antiviral": (BLUE, ""), "steroid": (PALE, "")}
CMV_LEGEND: Final = (
    "filled: quantified; open triangle: censored, down at the LLOQ (below it or not detected), "
    "up at the ULOQ (above it)"
)
_CMV_SYMBOLS: Final = {"": ("QUANT",), "v": CENSORED_KINDS, "^": ("ALQ",)}
"""Open symbol of a kind of result; empty: the symbol of the arm, filled."""


def day_axis(
    panel: Panel, days: Mapping[str, float], *, first: float = 0.0, last: float | None = None, label: str = ""
) -> None:
    """Axis in days since the anchor with the visit names in a second line; crowded names are left out.

    ``label`` says what day 0 is.
    """
    places = sorted((day, visit) for visit, day in days.items() if not math.isnan(day))
    low = min([place[0] for place in places] + [first])
    high = max([place[0] for place in places] + ([] if last is None else [last]), default=28.0)
    span = max(high - low, 1.0)
    panel.x.limits = (low - 0.04 * span, high + 0.05 * span)
    shown: list[tuple[float, str]] = []
    for day, visit in places:
        if not shown or day - shown[-1][0] >= 0.055 * span:
            shown.append((day, visit))
    panel.x.ticks = tuple((day, f"{day:g}\n{visit}") for day, visit in shown)
    panel.x.length, panel.x.pad = 2.5, 2.0
    if label:
        panel.x.label, panel.x.label_pad = f"days since {label}, visit below", 2.0


def draw_bars(panel: Panel, bars: Sequence[Bar]) -> None:
    """Treatment bars, one line a drug and dose, labelled at the left."""
    rows = list(dict.fromkeys(bar.label for bar in bars))
    for bar in bars:
        color, hatch = _BAR_LOOK[bar.kind]
        # A single dose has no length: it is drawn half a day long, so that it can be seen.
        length, row = max(bar.end - bar.start, 0.5), rows.index(bar.label)
        edge = "white" if bar.kind != "steroid" else GREY
        panel.add(Box(bar.start, row - 0.31, length, 0.62, color, edge, 0.4, hatch))
    panel.y.ticks = tuple(enumerate(rows))
    panel.y.limits = (len(rows) - 0.5, -0.5)
    panel.y.length = 0.0
    panel.spines = ()


def draw_cmv(
    panel: Panel,
    series: Sequence[CmvSeries],
    marks: Mapping[str, Mark] | None = None,
    *,
    limits: tuple[float, float] | None = None,
) -> None:
    """CMV-DNA curves: quantified results filled, censored ones open and pointing at their side.

    The LLOQ is a dashed line. Results that are not valid have no height and must not be in ``series``. ``marks``
    gives the look of an arm; without it one neutral look is used. ``limits`` of the axis are by default those of the
    results.
    """
    neutral = Mark(INK, "o")
    thin = len(series) > 1
    for one in series:
        mark = marks.get(one.arm, neutral) if marks else neutral
        width, alpha = (0.8, 0.6) if thin else (1.3, 1.0)
        panel.add(Line(one.days, one.heights, mark.color, width, mark.line, alpha))
        for look, kinds in _CMV_SYMBOLS.items():
            points = [
                (day, height)
                for day, height, kind in zip(one.days, one.heights, one.kinds, strict=True)
                if kind in kinds
            ]
            if points:
                size = (5.5 if look else 4.0) if thin else 6.0
                face = "white" if look else mark.color
                x, y = zip(*points, strict=True)
                panel.add(Marks(x, y, look or mark.marker, size, face, mark.color, order=2.4))
    lloqs = sorted({one.lloq for one in series if not math.isnan(one.lloq)})
    for lloq in lloqs:
        panel.level(lloq, color=GREY, width=0.8, dash=(0, (4, 3)), order=1)
        words = f"LLOQ {10**lloq:,.0f}"
        panel.add(Words(0.0, lloq, words, size=6.5, color=GREY, upward="bottom", x_in="panel", dx=2, dy=2.5))
    unit = next((one.unit for one in series if one.unit), "")
    panel.y.label = f"CMV-DNA\nlog10 {unit}".rstrip()
    heights = [height for one in series for height in one.heights] + lloqs
    if limits is not None or heights:
        panel.y.limits = limits or (min(heights) - 0.35, max(heights) + 0.45)
    panel.y.ticks = plain_ticks(*panel.y.limits, most=5, whole=True)


def draw_series(panel: Panel, one: Series, mark: Mark, *, thin: bool = False, log: bool = True) -> None:
    """One curve with its 95 % counting limits; values of a failed tube are crosses outside the line.

    On a log axis a count of zero has no place: it is drawn as an open triangle at the lower edge.
    """
    failed = one.failed or (False,) * len(one.values)
    values = [math.nan if bad or (log and value <= 0) else value for value, bad in zip(one.values, failed, strict=True)]
    width, size, alpha, order = (0.7, 2.6, 0.45, 2.0) if thin else (1.5, 5.0, 1.0, 4.0)
    if not thin and one.lower and one.upper:
        low = [value - max(value - limit, 0.0) for value, limit in zip(values, one.lower, strict=True)]
        high = [value + max(limit - value, 0.0) for value, limit in zip(values, one.upper, strict=True)]
        panel.add(Errors(one.days, low, high, mark.color))
    panel.add(
        Line(one.days, values, mark.color, width, mark.line, alpha, order),
        Marks(one.days, values, mark.marker, size, mark.color, mark.color, alpha=alpha, order=order),
    )
    for day, value, bad in zip(one.days, one.values, failed, strict=True):
        if bad:
            panel.add(Words(day, 0.04, "✕", size=7, color=GREY, across="center", upward="bottom", y_in="panel"))
        elif log and value <= 0:
            panel.add(Marks((day,), (0.03,), "v", face="white", edge=mark.color, clip=False, y_in="panel"))


def draw_cells(panel: Panel, series: Sequence[Series], measure: Measure) -> None:
    """Populations of one subject in one panel, named at the right end; labels keep apart where curves meet."""
    values: list[float] = []
    ends: list[tuple[float, str, str]] = []
    for position, one in enumerate(series):
        mark = population_mark(one.population, position)
        draw_series(panel, one, mark, log=measure == "abs")
        failed = one.failed or (False,) * len(one.values)
        good = [value for value, bad in zip(one.values, failed, strict=True) if not (math.isnan(value) or bad)]
        values += good
        if good:
            ends.append((good[-1], one.display, mark.color))
    if measure == "abs":
        log_axis(panel, values)
        panel.y.label = "cells/µL\n(log scale)"
    else:
        panel.y.label = "% of parent"
        up_from_zero(panel, max(values, default=1.0) * 1.15)
    if not values:
        nothing(panel, "no value")
        return
    # Labels at the right end; where curves end close together they are pushed apart.
    low, high = panel.y.limits

    def place(value: float) -> float:
        if panel.y.log:
            return math.log(max(value, low) / low) / math.log(high / low)
        return (value - low) / (high - low)

    floor = 0.02
    for value, label, color in sorted(ends):
        floor = max(place(value), floor)
        panel.add(
            Words(1.0, floor, label, size=7.5, bold=True, upward="center", x_in="panel", y_in="panel", dx=4),
            Marks((1.004,), (floor,), "_", edge=color, clip=False, x_in="panel", y_in="panel"),
        )
        floor += 0.11


def nothing(panel: Panel, message: str) -> None:
    """Panel without data: the reason in its middle."""
    panel.y.ticks = ()
    panel.add(Words(0.5, 0.5, message, color=GREY, across="center", upward="center", x_in="panel", y_in="panel"))


def up_from_zero(panel: Panel, most: float) -> None:
    """Linear y axis from zero to ``most``, of which no value may be known."""
    panel.y.limits = (0.0, most if most > 0 else 1.0)
    panel.y.ticks = axis_ticks(*panel.y.limits, panel.points[1], size=panel.y.size, upward=True)


def log_axis(panel: Panel, values: Sequence[float]) -> None:
    """Logarithmic y axis with plain numbers that always has at least two of them; without a value it stays linear."""
    present = [value for value in values if value > 0]
    if present:
        panel.y.log = True
        panel.y.limits = (min(present) / 1.35, max(present) * 1.35)
        panel.y.ticks = log_ticks(*panel.y.limits)


def medians(series: Sequence[Series]) -> dict[str, tuple[float, float, int]]:
    """Visit -> (median day, median value, n) over the subjects that have a value."""
    collected: dict[str, list[tuple[float, float]]] = {}
    for one in series:
        failed = one.failed or (False,) * len(one.values)
        for visit, day, value, bad in zip(one.visits, one.days, one.values, failed, strict=True):
            if not math.isnan(value) and not bad:
                collected.setdefault(visit, []).append((day, value))
    return {
        visit: (
            statistics.median(point[0] for point in points),
            statistics.median(point[1] for point in points),
            len(points),
        )
        for visit, points in collected.items()
    }


def n_below(panel: Panel, rows: Mapping[str, Mapping[float, int]], colors: Mapping[str, Any]) -> None:
    """Lines of n under the day axis: one line an arm, one number a visit."""
    for position, (name, counts) in enumerate(rows.items()):
        offset = -25.5 - 8.5 * position
        color = colors.get(name, GREY)
        head = f"n {name}" if name else "n"
        panel.add(
            Words(0.0, 0.0, head, size=6.2, color=color, across="right", upward="top", x_in="panel", y_in="panel",
                  dx=-3, dy=offset)
        )  # fmt: skip
        for day, count in counts.items():
            panel.add(
                Words(day, 0.0, str(count), size=6.2, color=color, across="center", upward="top", y_in="panel",
                      dy=offset)
            )  # fmt: skip
