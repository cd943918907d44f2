"""Panels that several figures share: CMV-DNA, treatment bars, the day axis and the n below it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.pl.series import CENSORED_KINDS, Bar, CmvSeries, Measure, Series
from immunoprofile.pl.style import BLUE, GREY, INK, PALE, PURPLE, Mark, population_mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAR_LOOK: Final = {"il2": (PURPLE, "////"), "antiviral": (BLUE, ""), "steroid": (PALE, "")}
CMV_LEGEND: Final = (
    "filled: quantified; open triangle: censored, down at the LLOQ (below it or not detected), "
    "up at the ULOQ (above it)"
)
_CMV_SYMBOLS: Final = {"": ("QUANT",), "v": CENSORED_KINDS, "^": ("ALQ",)}
"""Open symbol of a kind of result; empty: the symbol of the arm, filled."""


def day_axis(
    axes: Axes, days: Mapping[str, float], *, first: float = 0.0, last: float | None = None, label: str = ""
) -> None:
    """Axis in days since the anchor with the visit names in a second line; crowded names are left out.

    ``label`` says what day 0 is.
    """
    places = sorted((day, visit) for visit, day in days.items() if not math.isnan(day))
    low = min([place[0] for place in places] + [first])
    high = max([place[0] for place in places] + ([] if last is None else [last]), default=28.0)
    span = max(high - low, 1.0)
    axes.set_xlim(low - 0.04 * span, high + 0.05 * span)
    shown: list[tuple[float, str]] = []
    for day, visit in places:
        if not shown or day - shown[-1][0] >= 0.055 * span:
            shown.append((day, visit))
    axes.set_xticks([day for day, _ in shown], [f"{day:g}\n{visit}" for day, visit in shown])
    axes.tick_params(axis="x", length=2.5, pad=2)
    if label:
        axes.set_xlabel(f"days since {label}, visit below", labelpad=2)


def draw_bars(axes: Axes, bars: Sequence[Bar]) -> None:
    """Treatment bars, one line a drug and dose, labelled at the left."""
    rows = list(dict.fromkeys(bar.label for bar in bars))
    for bar in bars:
        color, hatch = _BAR_LOOK[bar.kind]
        # A single dose has no length: it is drawn half a day long, so that it can be seen.
        axes.barh(
            rows.index(bar.label), max(bar.end - bar.start, 0.5), left=bar.start, height=0.62, color=color,
            edgecolor="white" if bar.kind != "steroid" else GREY, hatch=hatch, linewidth=0.4,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", length=0, labelbottom=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def draw_cmv(axes: Axes, series: Sequence[CmvSeries], marks: Mapping[str, Mark] | None = None) -> None:
    """CMV-DNA curves: quantified results filled, censored ones open and pointing at their side.

    The LLOQ is a dashed line. Results that are not valid have no height and must not be in ``series``. ``marks``
    gives the look of an arm; without it one neutral look is used.
    """
    neutral = Mark(INK, "o")
    thin = len(series) > 1
    for one in series:
        mark = marks.get(one.arm, neutral) if marks else neutral
        axes.plot(
            one.days, one.heights, color=mark.color, linestyle=mark.line, linewidth=0.8 if thin else 1.3,
            alpha=0.6 if thin else 1.0, zorder=2,
        )  # fmt: skip
        for look, kinds in _CMV_SYMBOLS.items():
            points = [
                (day, height)
                for day, height, kind in zip(one.days, one.heights, one.kinds, strict=True)
                if kind in kinds
            ]
            if points:
                axes.plot(
                    [point[0] for point in points], [point[1] for point in points], linestyle="none",
                    marker=look or mark.marker, markerfacecolor="white" if look else mark.color,
                    markeredgecolor=mark.color, markersize=(5.5 if look else 4.0) if thin else 6.0, zorder=3,
                )  # fmt: skip
    limits = sorted({one.lloq for one in series if not math.isnan(one.lloq)})
    for limit in limits:
        axes.axhline(limit, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            f"LLOQ {10**limit:,.0f}", (0.0, limit), xycoords=("axes fraction", "data"), xytext=(2, 2.5),
            textcoords="offset points", ha="left", va="bottom", fontsize=6.5, color=GREY,
        )  # fmt: skip
    unit = next((one.unit for one in series if one.unit), "")
    axes.set_ylabel(f"CMV-DNA\nlog10 {unit}".rstrip())
    heights = [height for one in series for height in one.heights] + limits
    if heights:
        axes.set_ylim(min(heights) - 0.35, max(heights) + 0.45)
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=2))


def draw_series(axes: Axes, one: Series, mark: Mark, *, thin: bool = False, log: bool = True) -> None:
    """One curve with its 95 % counting limits; values of a failed tube are crosses outside the line.

    On a log axis a count of zero has no place: it is drawn as an open triangle at the lower edge.
    """
    failed = one.failed or (False,) * len(one.values)
    values = [math.nan if bad or (log and value <= 0) else value for value, bad in zip(one.values, failed, strict=True)]
    axes.plot(
        one.days, values, color=mark.color, linestyle=mark.line, marker=mark.marker, linewidth=0.7 if thin else 1.5,
        markersize=2.6 if thin else 5.0, alpha=0.45 if thin else 1.0, zorder=2 if thin else 4,
    )  # fmt: skip
    if not thin and one.lower and one.upper:
        low = [max(value - limit, 0.0) for value, limit in zip(values, one.lower, strict=True)]
        high = [max(limit - value, 0.0) for value, limit in zip(values, one.upper, strict=True)]
        axes.errorbar(one.days, values, [low, high], fmt="none", ecolor=mark.color, elinewidth=0.9, capsize=1.8)
    for day, value, bad in zip(one.days, one.values, failed, strict=True):
        if bad:
            axes.annotate(
                "✕", (day, 0.04), xycoords=("data", "axes fraction"), ha="center", va="bottom", color=GREY, fontsize=7
            )
        elif log and value <= 0:
            axes.plot(
                [day], [0.03], marker="v", markerfacecolor="white", markeredgecolor=mark.color, linestyle="none",
                transform=axes.get_xaxis_transform(), clip_on=False,
            )  # fmt: skip


def draw_cells(axes: Axes, series: Sequence[Series], measure: Measure) -> None:
    """Populations of one subject in one panel, named at the right end; labels keep apart where curves meet."""
    values: list[float] = []
    ends: list[tuple[float, str, str]] = []
    for position, one in enumerate(series):
        mark = population_mark(one.population, position)
        draw_series(axes, one, mark, log=measure == "abs")
        failed = one.failed or (False,) * len(one.values)
        good = [value for value, bad in zip(one.values, failed, strict=True) if not (math.isnan(value) or bad)]
        values += good
        if good:
            ends.append((good[-1], one.display, mark.color))
    if measure == "abs":
        log_axis(axes, values)
        axes.set_ylabel("cells/µL\n(log scale)")
    else:
        axes.set_ylabel("% of parent")
        axes.set_ylim(0, max(values, default=1.0) * 1.15)
    if not values:
        nothing(axes, "no value")
        return
    # Labels at the right end; where curves end close together they are pushed apart.
    low, high = axes.get_ylim()

    def place(value: float) -> float:
        if measure == "abs":
            return math.log(max(value, low) / low) / math.log(high / low)
        return (value - low) / (high - low)

    floor = 0.02
    for value, label, color in sorted(ends):
        floor = max(place(value), floor)
        axes.annotate(
            label, (1.0, floor), xycoords="axes fraction", xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=7.5, color=INK, fontweight="bold",
        )  # fmt: skip
        axes.plot([1.004], [floor], marker="_", color=color, transform=axes.transAxes, clip_on=False, markersize=5)
        floor += 0.11


def nothing(axes: Axes, message: str) -> None:
    """Panel without data: the reason in its middle."""
    axes.set_yticks([])
    axes.text(0.5, 0.5, message, transform=axes.transAxes, ha="center", va="center", color=GREY)


def log_axis(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic y axis with plain numbers that always has at least two of them."""
    from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

    present = [value for value in values if value > 0]
    axes.set_yscale("log")
    if not present:
        return
    low, high = min(present) / 1.35, max(present) * 1.35
    axes.set_ylim(low, high)
    steps = (1, 10) if high / low > 2000 else (1, 3, 10) if high / low > 60 else (1, 2, 5, 10)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = sorted({step * 10.0**power for power in exponents for step in steps[:-1]})
    ticks = [tick for tick in ticks if low <= tick <= high]
    if len(ticks) < 2:
        ticks = [round(value, 1 if value < 10 else 0) for value in (low * 1.15, math.sqrt(low * high), high / 1.15)]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(ticks, [f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in ticks])


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


def n_below(axes: Axes, rows: Mapping[str, Mapping[float, int]], colors: Mapping[str, Any]) -> None:
    """Lines of n under the day axis: one line an arm, one number a visit."""
    for position, (name, counts) in enumerate(rows.items()):
        offset = -25.5 - 8.5 * position
        axes.annotate(
            f"n {name}" if name else "n", (0.0, 0.0), xycoords="axes fraction", xytext=(-3, offset),
            textcoords="offset points", ha="right", va="top", fontsize=6.2, color=colors.get(name, GREY),
        )  # fmt: skip
        for day, count in counts.items():
            axes.annotate(
                str(count), (day, 0.0), xycoords=("data", "axes fraction"), xytext=(0, offset),
                textcoords="offset points", ha="center", va="top", fontsize=6.2, color=colors.get(name, GREY),
            )  # fmt: skip
