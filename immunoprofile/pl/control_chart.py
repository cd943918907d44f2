"""Levey-Jennings charts of control aliquots: every run against the target of its lot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import records
from immunoprofile.pl import style
from immunoprofile.pp.control_rules import REJECTING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STATES: Final = {
    "PASS": (style.BLUE, "o", "no rule broken"),
    "WARN": (style.ORANGE, "D", "look (1-2s, EWMA)"),
    "FAIL": (style.VERMILLION, "X", "failed"),
    "NOT_EVALUABLE": (style.GREY, "o", "not judged: no target, or a run of it"),
}
_MOST_LABELS: Final = 12
_SEPARATE: Final = ("panel_id", "control_lot", "instrument")
Chart = tuple[str, str]
"""Population and measure."""


def levey_jennings(
    table: pd.DataFrame,
    tube: str,
    *,
    populations: Sequence[str] | None = None,
    displays: Mapping[str, str] | None = None,
) -> Figure:
    """Levey-Jennings charts of the controls of a tube, one panel a population and measure.

    Parameters
    ----------
    table
        ``controls.csv``: ``profile.tables["controls"]``.
    tube
        Tube whose controls are drawn.
    populations
        Which populations; by default those that hold the reports of a batch, else the first six.
    displays
        Population -> name for people.

    Returns
    -------
    Figure
        Runs in order of acquisition. Line: target; bands: 1, 2 and 3 SD (darker is nearer); dashes: exponentially
        weighted mean. Open circles were not judged. A dotted line stands where lot, panel or instrument changes.

    Raises
    ------
    NotAvailableError
        The tube has no control, or none of these populations.
    """
    rows = [row for row in records(table, "controls") if row["tube"] == tube]
    charts = list(dict.fromkeys((row["population"], row["measure"]) for row in rows))
    if populations is not None:
        charts = [chart for chart in charts if chart[0] in populations]
    else:
        held = {(row["population"], row["measure"]) for row in rows if row["holds"]}
        charts = [chart for chart in charts if chart in held] or charts[:6]
    if not charts:
        known = ", ".join(dict.fromkeys(f"{row['tube']}" for row in records(table, "controls")))
        raise NotAvailableError(
            f"no control of tube {tube} to draw",
            where="pl.levey_jennings",
            todo=f"tubes with controls: {known or 'none'}",
        )
    return control_figure(rows, charts, displays=displays or {})


def control_figure(
    rows: Sequence[Mapping[str, Any]], charts: Sequence[Chart], *, displays: Mapping[str, str]
) -> Figure:
    """Charts of the rows of one tube, see `levey_jennings`."""
    columns = min(2, len(charts))
    lines = math.ceil(len(charts) / columns)
    with style.look():
        height = 1.95 * lines + 0.45
        figure = style.new_figure(style.WIDTH, height, chart_alt(rows, charts, displays))
        axes = figure.subplots(lines, columns, squeeze=False)
        for place, (population, measure) in enumerate(charts):
            own = [row for row in rows if (row["population"], row["measure"]) == (population, measure)]
            own.sort(key=lambda row: (row["acquired_dtc"], row["batch_id"], row["samples"]))
            panel = axes[place // columns, place % columns]
            style.title(panel, displays.get(population, population))
            _draw(panel, own)
        for place in range(len(charts), lines * columns):
            axes[place // columns, place % columns].set_visible(False)
        _legend(figure, {str(row["state"]) for row in rows}, 1 - 0.02 / height)
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / height))
    return figure


def chart_alt(rows: Sequence[Mapping[str, Any]], charts: Sequence[Chart], displays: Mapping[str, str]) -> str:
    """What the charts show, for those who cannot see them."""
    parts = []
    for population, measure in charts:
        own = [row for row in rows if (row["population"], row["measure"]) == (population, measure)]
        failed = [f"{row['batch_id']} ({row['rules']})" for row in own if row["state"] == "FAIL"]
        unknown = sum(row["state"] == "NOT_EVALUABLE" for row in own)
        words = f"{displays.get(population, population)}, {len(own)} runs"
        words += f", failed: {', '.join(failed)}" if failed else ", none failed" if unknown < len(own) else ""
        parts.append(words + (f", {unknown} not judged" if unknown else ""))
    return f"Levey-Jennings charts of the controls. {'; '.join(parts)}."


def _draw(axes: Axes, own: Sequence[Mapping[str, Any]]) -> None:
    x = np.arange(len(own))
    value, target, sd, ewma = (
        np.array([row[name] for row in own], dtype=float) for name in ("value", "target", "sd", "ewma")
    )
    cuts = [n for n in range(1, len(own)) if any(own[n][name] != own[n - 1][name] for name in _SEPARATE)]
    for begin, end in zip([0, *cuts], [*cuts, len(own)], strict=True):
        part = slice(begin, end)
        ends = np.concatenate(([begin - 0.5], x[part], [end - 0.5]))
        middle, width = (np.concatenate(([one[begin]], one[part], [one[end - 1]])) for one in (target, sd))
        if np.isfinite(middle).any():
            for times, shade in ((3, "#EEF3F7"), (2, "#DCE7EF"), (1, "#C6D9E6")):
                axes.fill_between(
                    ends, middle - times * width, middle + times * width, color=shade, linewidth=0, zorder=0
                )
            axes.plot(ends, middle, color=style.INK, linewidth=0.9, zorder=1)
            level = target[part] + ewma[part] * sd[part]
            axes.plot(x[part], level, color=style.PURPLE, linestyle="--", linewidth=1.0, zorder=2)
        axes.plot(x[part], value[part], color=style.GREY, linewidth=0.7, zorder=2)
    for cut in cuts:
        axes.axvline(cut - 0.5, color=style.INK, linestyle=":", linewidth=0.9)
    for state, (color, marker, _) in _STATES.items():
        at = [n for n, row in enumerate(own) if row["state"] == state]
        face = "white" if state == "NOT_EVALUABLE" else color
        axes.plot(x[at], value[at], linestyle="", marker=marker, color=color, markerfacecolor=face, zorder=3)
    before: list[str] = []
    for n, row in enumerate(own):
        broken = [rule for rule in str(row["rules"]).split("; ") if rule in REJECTING]
        if broken and broken != before:  # a lasting shift is named once
            axes.annotate("\n".join(broken), (x[n], value[n]), xytext=(0, 6), textcoords="offset points", ha="center",
                          va="bottom", fontsize=6.5)  # fmt: skip
        before = broken
    every = max(1, math.ceil(len(own) / _MOST_LABELS))
    axes.set_xticks(
        x[::every], [str(row["batch_id"]) or "–" for row in own][::every], rotation=45 if len(own) > 6 else 0
    )
    axes.set_xlim(-0.5, len(own) - 0.5)
    axes.margins(y=0.25)
    axes.set_ylabel("cells/µL" if own and own[0]["measure"] == "abs" else "% of parent")


def _legend(figure: Figure, states: set[str], y: float) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="", label=words,
               markerfacecolor="white" if state == "NOT_EVALUABLE" else color)
        for state, (color, marker, words) in _STATES.items() if state in states
    ]  # fmt: skip
    handles.append(Line2D([], [], color=style.INK, label="target, bands 1 to 3 SD"))
    handles.append(Line2D([], [], color=style.PURPLE, linestyle="--", label="EWMA"))
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.03, y), ncols=len(handles), fontsize=6.8,
                  handlelength=1.8, columnspacing=1.0)  # fmt: skip
