"""Samples x checks: the state of every quality check of every file at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import cells
from immunoprofile.pl import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MOST_WITH_SYMBOLS = 80
_NAME_COLUMNS = ("sample_id", "file", "name")
_WORST = ("PASS", "NOT_EVALUABLE", "WARN", "FAIL")


def quality_overview(table: pd.DataFrame) -> Figure:
    """Heat map of quality: one line a sample, one column a check, colour and symbol = state.

    Parameters
    ----------
    table
        One row a sample x check with ``check``, ``state`` and one of ``sample_id``, ``file``, ``name``; for instance
        ``quality.csv`` of a results folder, or the tables of :class:`immunoprofile.quality.EventQuality` joined.
        Samples and checks keep the order in which they appear; of several rows of one place the worst is shown.

    Returns
    -------
    Figure
        White with a dash: the check was not made. Up to 80 samples carry symbols.

    Raises
    ------
    NotAvailableError
        The table is empty or lacks a column.
    """
    name = next((column for column in _NAME_COLUMNS if column in table.columns), None)
    if name is None or not {"check", "state"} <= set(table.columns) or table.empty:
        raise NotAvailableError(
            "the table has no rows with check, state and a sample", where="pl.quality_overview",
            todo="give quality.csv, or the tables of quality.assess with a column name",
        )  # fmt: skip
    states: dict[tuple[str, str], str] = {}
    samples: dict[str, None] = {}
    checks: dict[str, None] = {}
    for sample, check, state in zip(
        *(cells(table[column], "text") for column in (name, "check", "state")), strict=True
    ):
        # Checks of a whole visit belong to no sample.
        if not sample or state not in _WORST:
            continue
        place = (sample, check)
        samples[place[0]] = checks[place[1]] = None
        states[place] = max(states.get(place, "PASS"), state, key=_WORST.index)
    if not samples:
        raise NotAvailableError("no check of the table belongs to a sample", where="pl.quality_overview")
    return _draw(list(samples), list(checks), states)


def _draw(samples: list[str], checks: list[str], states: dict[tuple[str, str], str]) -> Figure:
    from matplotlib.collections import PolyCollection

    row = 0.17
    head = 0.15 + 0.052 * max(len(check) for check in checks)
    left = min(0.3 + 0.066 * max(len(sample) for sample in samples), 3.2)
    column = min(0.42, max(0.2, (7.4 - left - 0.5) / len(checks)))
    width = max(left + column * len(checks) + 0.55, 5.2)
    height = head + row * len(samples) + 0.42
    with style.look():
        figure = style.new_figure(width, height)
        axes = figure.add_axes((left / width, 0.36 / height, column * len(checks) / width, row * len(samples) / height))
        boxes, colors = [], []
        for y, sample in enumerate(samples):
            for x, check in enumerate(checks):
                color, symbol = style.STATE_MARKS[states.get((sample, check), "MISSING")]
                boxes.append([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)])
                colors.append(color)
                if len(samples) <= _MOST_WITH_SYMBOLS:
                    axes.text(x + 0.5, y + 0.52, symbol, ha="center", va="center", fontsize=6.5)
        axes.add_collection(PolyCollection(boxes, facecolors=colors, edgecolors="white", linewidths=0.8))
        axes.set_xlim(0, len(checks))
        axes.set_ylim(len(samples), 0)
        axes.set_yticks([y + 0.5 for y in range(len(samples))], [_short(sample) for sample in samples], fontsize=6.5)
        axes.set_xticks(
            [x + 0.5 for x in range(len(checks))], [check.replace("_", " ") for check in checks],
            rotation=55, ha="left", rotation_mode="anchor",
        )  # fmt: skip
        axes.xaxis.tick_top()
        axes.tick_params(length=0, pad=2)
        for spine in axes.spines.values():
            spine.set_visible(False)
        across = 0.15
        for state, (color, symbol) in style.STATE_MARKS.items():
            words = {"NOT_EVALUABLE": "not evaluable", "MISSING": "not made"}.get(state, state)
            figure.text(
                across / width, 0.13 / height, symbol, ha="center", va="center", fontsize=7,
                bbox={"facecolor": color, "edgecolor": style.GREY, "linewidth": 0.5, "pad": 2.0},
            )  # fmt: skip
            figure.text((across + 0.12) / width, 0.13 / height, words, va="center", fontsize=7)
            across += 0.42 + 0.075 * len(words)
        return figure


def _short(name: str, most: int = 44) -> str:
    return name if len(name) <= most else f"…{name[-most + 1 :]}"
