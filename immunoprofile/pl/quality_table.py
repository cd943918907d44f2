"""Samples x checks: the state of every quality check of every file at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import cells
from immunoprofile.pl import style
from immunoprofile.pl.heat_map import draw_state, state_key
from immunoprofile.pl.sketch import Sketch
from immunoprofile.pl.sketch_figure import sketch_figure

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
    return sketch_figure(overview_sketch(table))


def overview_sketch(table: pd.DataFrame) -> Sketch:
    """What :func:`quality_overview` draws."""
    return _sketch(*_states_of(table))


def _states_of(table: pd.DataFrame) -> tuple[list[str], list[str], dict[tuple[str, str], str]]:
    """Samples, checks, and the worst state of each pair."""
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
    return list(samples), list(checks), states


def _sketch(samples: list[str], checks: list[str], states: dict[tuple[str, str], str]) -> Sketch:
    row = 0.17
    head = 0.15 + 0.052 * max(len(check) for check in checks)
    left = min(0.3 + 0.066 * max(len(sample) for sample in samples), 3.2)
    column = min(0.42, max(0.2, (7.4 - left - 0.5) / len(checks)))
    width = max(left + column * len(checks) + 0.55, 5.2)
    height = head + row * len(samples) + 0.42
    made = Sketch(width, height, _alt(samples, checks, states))
    panel = made.panel(left / width, 0.36 / height, column * len(checks) / width, row * len(samples) / height)
    for y, sample in enumerate(samples):
        for x, check in enumerate(checks):
            state = states.get((sample, check), "MISSING")
            draw_state(panel, state, x, y, "white", 0.8, 6.5 if len(samples) <= _MOST_WITH_SYMBOLS else 0)
    panel.x.limits, panel.y.limits = (0.0, float(len(checks))), (float(len(samples)), 0.0)
    panel.y.ticks = tuple((y + 0.5, _short(sample)) for y, sample in enumerate(samples))
    panel.x.ticks = tuple((x + 0.5, check.replace("_", " ")) for x, check in enumerate(checks))
    panel.x.side, panel.x.turn, panel.y.size = "top", 55.0, 6.5
    panel.x.length = panel.y.length = 0.0
    panel.x.pad = panel.y.pad = 2.0
    panel.spines = ()
    across = 0.15
    for state in style.STATE_MARKS:
        words = {"NOT_EVALUABLE": "not evaluable", "MISSING": "not made"}.get(state, state)
        state_key(made, state, across / width, 0.13 / height)
        made.write((across + 0.12) / width, 0.13 / height, words, size=7, upward="center")
        across += 0.42 + 0.075 * len(words)
    return made


def _alt(samples: list[str], checks: list[str], states: dict[tuple[str, str], str]) -> str:
    counts = {state: sum(found == state for found in states.values()) for state in _WORST}
    words = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"Quality of {len(samples)} samples by {len(checks)} checks: {words}."


def _short(name: str, most: int = 44) -> str:
    return name if len(name) <= most else f"…{name[-most + 1 :]}"
