"""Effects with their intervals, one line an effect."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import records
from immunoprofile.pl import style
from immunoprofile.pl.sketch import Ground, Line, Marks, Panel, Sketch, Words
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pl.style import GREY, INK, WIDTH
from immunoprofile.pl.ticks import axis_ticks
from immunoprofile.schema import DESCRIPTIVE_EFFECTS, FAMILY_WORDS, STATISTICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.figure import Figure

_LEFT, _WIDE = 0.345, 0.245
"""Place of the axes, in widths of the figure."""
_NAMES, _EFFECTS, _NUMBERS, _P_VALUES = 0.008, 0.605, 0.815, 0.875
"""Where the columns of words begin."""
_SIZE: Final = 7.5
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
        Effect, interval, n and p-value of each row, rows of one ``family`` together. A filled square says that the
        interval excludes "no difference", an open one that nothing can be concluded. Ratios (fold change, odds, time
        and hazard ratio) share a log axis, other effects have a linear axis of their own for each kind. p is the
        adjusted one where the table has it. A row that is not estimable has its reason instead of a mark.

    Raises
    ------
    NotAvailableError
        The table is empty.
    """
    if len(table) == 0:
        raise NotAvailableError("the statistics table is empty", where="pl.forest", todo="run tl.compare(visits) first")
    return sketch_figure(forest_sketch(table, displays=displays or {}))


def forest_sketch(table: pd.DataFrame, *, displays: Mapping[str, str]) -> Sketch:
    """What :func:`forest` draws of a table that is not empty."""
    blocks = _blocks(records(table, STATISTICS))
    lines = sum(len(block) for block in blocks.values())
    head, row_height, below = 0.34, 0.27, 0.5
    height = head + row_height * lines + below * len(blocks) + 0.2
    made = Sketch(WIDTH, height, forest_alt(table, displays))
    top = head
    for kind, block in blocks.items():
        tall = row_height * len(block)
        panel = made.panel(_LEFT, 1 - (top + tall) / height, _WIDE, tall / height)
        _draw_block(panel, block, kind, displays)
        top += tall + below
    for x, words in ((_NAMES, "effect of"), (_EFFECTS, "effect (95 % interval)"), (_NUMBERS, "n"), (_P_VALUES, "p")):
        made.write(x, 1 - 0.1 / height, words, size=_SIZE, bold=True, upward="top")
    words = "Filled: the interval excludes no difference. Open: cannot conclude. "
    made.note(words + "p adj.: adjusted within the family; p raw and intervals: not.")
    return made


_Row = dict[Any, Any]


def _blocks(rows: list[_Row]) -> dict[str, list[_Row | str]]:
    """Rows by the axis that they need (``ratio``, else the kind of effect), each family under its name."""
    kinds: dict[str, dict[str, list[_Row]]] = {}
    for row in rows:
        kind = row["effect_kind"]
        # A row that was refused may not know its kind: it stands with the first axis there is.
        axis = "ratio" if null_value(kind) == 1.0 else kind
        kinds.setdefault(axis, {}).setdefault(row["family"], []).append(row)
    if "" in kinds and len(kinds) > 1:
        first = next(axis for axis in kinds if axis)
        for family, members in kinds.pop("").items():
            kinds[first].setdefault(family, []).extend(members)
    named = any(row["family"] for row in rows)
    found: dict[str, list[_Row | str]] = {}
    for axis, families in kinds.items():
        block: list[_Row | str] = []
        for family, members in families.items():
            block += [_family_head(family, members)] * named
            block += members
        found[axis] = block
    return found


def _family_head(family: str, members: list[_Row]) -> str:
    """What a family is and how its p-values were corrected, for instance ``declared endpoints (F1, Holm)``."""
    if not family:
        return "no family"
    corrections = list(dict.fromkeys(row["adjusted"] for row in members))
    corrected = ", ".join(one for one in corrections if one not in ("", "none")) or "not corrected"
    if family in FAMILY_WORDS:
        return f"{FAMILY_WORDS[family]} ({family}, {corrected})"
    return f"family: {family} ({corrected})"


def _draw_block(panel: Panel, block: Sequence[_Row | str], kind: str, names: Mapping[str, str]) -> None:
    ratio, descriptive = kind == "ratio", kind in DESCRIPTIVE_EFFECTS
    null = 1.0 if ratio else 0.0
    rows = [row for row in block if not isinstance(row, str)]
    _x_axis(panel, rows, null, ratio=ratio, descriptive=descriptive)
    panel.y.limits, panel.spines = (len(block) - 0.5, -0.5), ("bottom",)
    if not descriptive:
        panel.upright(null, color=GREY, width=0.9)
    for place, row in enumerate(block):
        if isinstance(row, str):
            _put(panel, _NAMES, place, row, GREY)
            continue
        _put(panel, _NAMES, place, _label(row, names))
        value, low, high = (row[key] for key in ("effect", "effect_lower", "effect_upper"))
        if not math.isfinite(value):
            reason = _short(row["note"] or "no reason given", 62)
            _put(panel, 0.37, place, f"not estimable: {reason}", GREY)
            continue
        excludes = math.isfinite(low) and math.isfinite(high) and not low <= null <= high and not descriptive
        first, last = panel.x.limits
        if not (math.isnan(low) or math.isnan(high)):
            # A limit that is infinite goes to the edge of the axis.
            panel.add(Line((min(max(low, first), last), max(min(high, last), first)), (place, place), INK, 1.3))
        panel.add(Marks((value,), (place,), "s", face=INK if excludes else "white"))
        limits = "no interval" if math.isnan(low) or math.isnan(high) else f"{low:.2f} to {high:.2f}"
        _put(panel, _EFFECTS, place, f"{value:.2f} ({limits})")
        _put(panel, _NUMBERS, place, " vs ".join(_counts(row)))
        _put(panel, _P_VALUES, place, p_of(row))


def _x_axis(panel: Panel, rows: Sequence[_Row], null: float, *, ratio: bool, descriptive: bool) -> None:
    """Limits, ticks and name of the axis of a block; a ratio has a logarithmic one."""
    said = sorted({row["effect_kind"] for row in rows} - {""})
    panel.x.label = " / ".join(said) + (" (log scale)" if ratio else "")
    ends = [row[key] for row in rows for key in ("effect", "effect_lower", "effect_upper")]
    ends = [value for value in ends if math.isfinite(value) and (value > 0 or not ratio)]
    ends += [] if descriptive and ends else [null]
    low, high = min(ends), max(ends)
    if not ratio:
        room = 0.05 * (high - low) or 1.0
        panel.x.limits = (low - room, high + room)
        panel.x.ticks = axis_ticks(*panel.x.limits, panel.points[0], size=panel.x.size, upward=False)
        return
    panel.x.log, panel.x.limits = True, (low / 1.2, high * 1.2)
    steps = (1, 2, 5) if high * 1.2 / (low / 1.2) < 150 else (1,)
    ticks = [step * 10.0**power for power in range(-4, 5) for step in steps]
    panel.x.ticks = tuple((tick, f"{tick:g}") for tick in ticks if low / 1.2 <= tick <= high * 1.2)


def _label(row: _Row, names: Mapping[str, str]) -> str:
    name = names.get(row["population"], row["population"])
    measure = {"abs": "cells/µL", "pct_parent": "% of parent", "functional": ""}.get(row["measure"], row["measure"])
    return _short(", ".join(part for part in (name, measure, row["visit"]) if part), 44)


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


def p_of(row: _Row) -> str:
    """The p-value of a row in words, and whether it is adjusted."""
    adjusted, raw = row["p_adjusted"], row["p_value"]
    if not math.isnan(adjusted) and row["adjusted"] not in ("", "none"):
        return style.p_words(adjusted).replace("p ", "p adj. ", 1)
    return style.p_words(raw).replace("p ", "p raw ", 1)


def forest_alt(table: pd.DataFrame, names: Mapping[str, str]) -> str:
    """What the figure says, in words."""
    parts = []
    for row in records(table, STATISTICS):
        value, low, high = (row[key] for key in ("effect", "effect_lower", "effect_upper"))
        if math.isfinite(value):
            words = f"{row['effect_kind']} {value:.2f} ({low:.2f} to {high:.2f}), n = {' vs '.join(_counts(row))}"
            words += f", {p_of(row)}" if p_of(row) else ""
        else:
            words = f"not estimable: {row['note'] or 'no reason given'}"
        parts.append(f"{_label(row, names)}: {words}")
    return f"Forest plot. {'; '.join(parts)}."


def _counts(row: Mapping[str, Any]) -> list[str]:
    counts = [row["n"], row["n_reference"]]
    return [f"{count:.0f}" for count in counts if not math.isnan(count)]


def _put(panel: Panel, x: float, place: int, words: str, color: str = INK) -> None:
    """Words in the line of a row, at a share of the width of the figure."""
    panel.add(
        Words(
            (x - _LEFT) / _WIDE, place, words, size=_SIZE, color=color, upward="center", ground=Ground(), x_in="panel"
        )
    )
