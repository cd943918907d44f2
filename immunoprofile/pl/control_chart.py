"""Levey-Jennings charts of control aliquots: every run against the target of its lot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import records
from immunoprofile.pl.letters import width_of
from immunoprofile.pl.sketch import (
    NO_LINE,
    NO_SYMBOL,
    TICK_SIZE,
    Area,
    Key,
    Legend,
    Line,
    Marks,
    Panel,
    Sketch,
    Words,
)
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pl.style import BLUE, GREY, INK, ORANGE, PURPLE, VERMILLION, WIDTH
from immunoprofile.pl.ticks import axis_ticks
from immunoprofile.pp.control_rules import REJECTING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_STATES: Final = {
    "PASS": (BLUE, "o", "no rule broken"),
    "WARN": (ORANGE, "D", "look (1-2s, EWMA)"),
    "FAIL": (VERMILLION, "X", "failed"),
    "NOT_EVALUABLE": (GREY, "o", "not judged: no target, or a run of it"),
}
_BANDS: Final = ((3, "#EEF3F7"), (2, "#DCE7EF"), (1, "#C6D9E6"))
"""Standard deviations of each band and its shade, the widest first."""
_MOST_LABELS: Final = 12
_TURN: Final = 45.0
_HEAD, _TITLE, _HIGH, _TICKS = 0.32, 0.24, 1.25, 0.34
_BEFORE, _BETWEEN, _AFTER = 0.62, 0.72, 0.1
"""Inches: legend, title of a chart, its height, and the words below it; left of the charts, between, right of them."""
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
    return sketch_figure(control_sketch(rows, charts, displays=displays or {}))


def control_sketch(
    rows: Sequence[Mapping[str, Any]], charts: Sequence[Chart], *, displays: Mapping[str, str]
) -> Sketch:
    """Charts of the rows of one tube, see `levey_jennings`."""
    columns = min(2, len(charts))
    owned = [_runs(rows, chart) for chart in charts]
    # Names of batches that have no room side by side are turned, and hang below the axis.
    wide = (WIDTH - _BEFORE - _AFTER - (columns - 1) * _BETWEEN) / columns
    hang = max((_hang(_ticks(own), len(own), 72 * wide) for own in owned), default=0.0)
    tall = _TITLE + _HIGH + _TICKS + hang
    height = _HEAD + math.ceil(len(charts) / columns) * tall
    made = Sketch(WIDTH, height, chart_alt(rows, charts, displays))
    for place, ((population, measure), own) in enumerate(zip(charts, owned, strict=True)):
        row, column = divmod(place, columns)
        top = _HEAD + row * tall + _TITLE
        left = _BEFORE + column * (wide + _BETWEEN)
        panel = made.panel(left / WIDTH, 1 - (top + _HIGH) / height, wide / WIDTH, _HIGH / height)
        panel.title = displays.get(population, population)
        panel.y.label = "cells/µL" if measure == "abs" else "% of parent"
        _draw(panel, own, turned=hang > 0)
    keys = tuple(
        Key(words, color, symbol=marker, dash=NO_LINE, face="white" if state == "NOT_EVALUABLE" else color)
        for state, (color, marker, words) in _STATES.items()
        if state in {str(row["state"]) for row in rows}
    )
    keys += (Key("target, bands 1 to 3 SD", INK, symbol=NO_SYMBOL), Key("EWMA", PURPLE, symbol=NO_SYMBOL, dash="--"))
    made.legends.append(
        Legend(keys, 0.03, 1 - 0.02 / height, "upper left", columns=len(keys), handle=1.8, between=1.0, size=6.8)
    )
    return made


def _runs(rows: Sequence[Mapping[str, Any]], chart: Chart) -> list[Mapping[str, Any]]:
    """Runs of a chart in the order of acquisition."""
    own = [row for row in rows if (row["population"], row["measure"]) == chart]
    return sorted(own, key=lambda row: (row["acquired_dtc"], row["batch_id"], row["samples"]))


def _ticks(own: Sequence[Mapping[str, Any]]) -> tuple[tuple[float, str], ...]:
    """Places and names of batches, not more than can be told apart."""
    every = max(1, math.ceil(len(own) / _MOST_LABELS))
    return tuple((float(n), str(row["batch_id"]) or "–") for n, row in enumerate(own))[::every]


def _hang(ticks: Sequence[tuple[float, str]], runs: int, points: float) -> float:
    """Inches that turned names hang below the axis; 0 where they have room side by side."""
    widest = max((width_of(words, TICK_SIZE) for _, words in ticks), default=0.0)
    step = ticks[1][0] - ticks[0][0] if len(ticks) > 1 else 1.0
    return 0.0 if widest + 4 <= points * step / max(runs, 1) else math.sin(math.radians(_TURN)) * widest / 72


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


def _draw(panel: Panel, own: Sequence[Mapping[str, Any]], *, turned: bool) -> None:
    value, target, sd, ewma = ([float(row[name]) for row in own] for name in ("value", "target", "sd", "ewma"))
    cuts = [n for n in range(1, len(own)) if any(own[n][name] != own[n - 1][name] for name in _SEPARATE)]
    heights = [*value]
    for begin, end in zip([0, *cuts], [*cuts, len(own)], strict=True):
        x = [float(n) for n in range(begin, end)]
        ends = [begin - 0.5, *x, end - 0.5]
        middle, width = ([one[begin], *one[begin:end], one[end - 1]] for one in (target, sd))
        if any(map(math.isfinite, middle)):
            for times, shade in _BANDS:
                low, high = ([m + side * times * w for m, w in zip(middle, width, strict=True)] for side in (-1, 1))
                heights += low + high
                _band(panel, ends, low, high, shade)
            panel.add(Line(ends, middle, INK, 0.9, order=1))
            level = [target[n] + ewma[n] * sd[n] for n in range(begin, end)]
            panel.add(Line(x, level, PURPLE, 1.0, "--"))
        panel.add(Line(x, value[begin:end], GREY, 0.7))
    for cut in cuts:
        panel.upright(cut - 0.5, color=INK, width=0.9, dash=":")
    for state, (color, marker, _) in _STATES.items():
        at = [n for n, row in enumerate(own) if row["state"] == state]
        face = "white" if state == "NOT_EVALUABLE" else color
        panel.add(Marks([float(n) for n in at], [value[n] for n in at], marker, face=face, edge=color, order=3))
    before: list[str] = []
    for n, row in enumerate(own):
        broken = [rule for rule in str(row["rules"]).split("; ") if rule in REJECTING]
        if broken and broken != before:  # a lasting shift is named once
            panel.add(Words(n, value[n], "\n".join(broken), size=6.5, across="center", upward="bottom", dy=6))
        before = broken
    panel.x.limits, panel.x.ticks = (-0.5, len(own) - 0.5), _ticks(own)
    panel.x.turn = -_TURN if turned else 0.0
    known = [one for one in heights if math.isfinite(one)] or [0.0, 1.0]
    room = 0.25 * (max(known) - min(known)) or 0.5
    panel.y.limits = (min(known) - room, max(known) + room)
    panel.y.ticks = axis_ticks(*panel.y.limits, panel.points[1], size=panel.y.size, upward=True)


def _band(panel: Panel, x: Sequence[float], low: Sequence[float], high: Sequence[float], shade: str) -> None:
    """An area, or several where the target is not known in between."""
    known = [math.isfinite(a + b) for a, b in zip(low, high, strict=True)]
    begin = None
    for n, here in enumerate([*known, False]):
        if here and begin is None:
            begin = n
        elif not here and begin is not None:
            panel.add(Area(x[begin:n], low[begin:n], high[begin:n], shade, order=0))
            begin = None
