"""Effects with their intervals, one line an effect."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.pl import style
from immunoprofile.pl.series import number, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.figure import Figure

_RATIO_WORDS: Final = ("fold", "ratio", "odds")


def null_value(effect_kind: str) -> float:
    """Value of an effect that means no difference: 1 for a ratio (fold change, odds ratio), 0 for a difference."""
    return 1.0 if any(word in effect_kind.casefold() for word in _RATIO_WORDS) else 0.0


def forest(table: pd.DataFrame, *, displays: Mapping[str, str] | None = None) -> Figure:
    """Forest plot of a statistics table, for instance ``visits.uns["compare"]``.

    Parameters
    ----------
    table
        Rows with the columns of ``schema.STATISTIC_COLUMNS``. Rows without an effect (refused analyses) are listed
        as such and get no mark.
    displays
        Population id -> name for people.

    Returns
    -------
    Figure
        Effect, interval and n of each row. A filled square says that the interval excludes "no difference",
        an open one that nothing can be concluded. Ratios are on a log axis.

    Raises
    ------
    NotAvailableError
        The table is empty.
    """
    if len(table) == 0:
        raise NotAvailableError("the statistics table is empty", where="pl.forest", todo="run tl.compare(visits) first")
    rows = table.to_dict("records")
    kinds = {text(row["effect_kind"]) for row in rows}
    ratio = all(null_value(kind) == 1.0 for kind in kinds)
    null = 1.0 if ratio else 0.0
    names = displays or {}
    ends = [number(row[key]) for row in rows for key in ("effect", "effect_lower", "effect_upper")]
    ends = [value for value in ends if math.isfinite(value) and (value > 0 or not ratio)] + [null]
    with style.look():
        height = 0.85 + 0.27 * len(rows)
        figure = style.new_figure(7.4, height)
        axes = figure.add_axes((0.36, 0.52 / height, 0.32, 1 - 0.82 / height))
        axes.axvline(null, color=style.GREY, linewidth=0.9)
        for place, row in enumerate(rows):
            name = names.get(text(row["population"]), text(row["population"]))
            measure = {"abs": "cells/µL", "pct_parent": "% of parent"}.get(text(row["measure"]), text(row["measure"]))
            _put(figure, axes, 0.008, place, f"{name}, {measure}, {text(row['visit'])}")
            value, low, high = (number(row[key]) for key in ("effect", "effect_lower", "effect_upper"))
            if not math.isfinite(value):
                _put(figure, axes, 0.70, place, "not estimated", style.GREY)
                continue
            excludes = math.isfinite(low) and math.isfinite(high) and not low <= null <= high
            axes.plot([low, high], [place, place], color=style.INK, linewidth=1.3)
            axes.plot([value], [place], marker="s", color=style.INK, markerfacecolor=style.INK if excludes else "white")
            _put(figure, axes, 0.70, place, f"{value:.2f} ({low:.2f} to {high:.2f})")
            _put(figure, axes, 0.895, place, " vs ".join(_counts(row)))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        if ratio:
            axes.set_xscale("log")
            low, high = min(ends) / 1.2, max(ends) * 1.2
            axes.set_xlim(low, high)
            from matplotlib.ticker import NullFormatter, NullLocator

            ticks = [value for value in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= value <= high]
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(" / ".join(sorted(kind for kind in kinds if kind)) + (" (log scale)" if ratio else ""))
        for x, head in ((0.008, "population, measure, visit"), (0.70, "effect (95 % interval)"), (0.895, "n")):
            figure.text(x, 1 - 0.1 / height, head, fontsize=7.5, fontweight="bold", va="top")
        style.note(figure, "Filled: the interval excludes no difference. Open: cannot conclude.")
        return figure


def _counts(row: Mapping[object, object]) -> list[str]:
    counts = [number(row["n"]), number(row["n_reference"])]
    return [f"{count:.0f}" for count in counts if not math.isnan(count)]


def _put(figure: Figure, axes: object, x: float, place: int, words: str, color: str = style.INK) -> None:
    from matplotlib.transforms import blended_transform_factory

    transform = blended_transform_factory(figure.transFigure, axes.transData)  # type: ignore[attr-defined]
    figure.text(x, place, words, transform=transform, va="center", fontsize=7.5, color=color)
