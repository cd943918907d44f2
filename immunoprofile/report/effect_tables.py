"""Tables of effects for print: what every row says stands once below the table, so that a row is one line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from immunoprofile.report.content import Cell, Column, Table
from immunoprofile.report.language import Said
from immunoprofile.report.statistics_tables import Effect

_READING: Final = (
    'p-values are two-sided. "cannot conclude": the interval holds "no difference", is of too little confidence, or '
    "the corrected p-value is 0.05 or more."
)
_BY_CHANCE: Final = 'p-values are not adjusted; with several of them some exclude "no difference" by chance.'


def contrast_words(one: Effect, labels: Mapping[str, str]) -> tuple[str, str]:
    """Arms that are compared, by their names, and what of them is.

    Examples
    --------
    >>> from immunoprofile.report.statistics_tables import effects
    >>> import pandas as pd
    >>> row = {"population": "nk", "contrast": "A - B, D14 - BL", "arm": "A"}
    >>> contrast_words(effects(pd.DataFrame([row]), {})[0], {"A": "IL-2", "B": "Control"})
    ('IL-2 against Control', 'change from BL to D14')
    """
    codes, _, days = one.contrast.partition(", ")
    arm, _, reference = codes.partition(" - ")
    if reference and arm in labels and reference in labels:
        arms = f"{labels[arm]} against {labels[reference]}"
    elif codes in labels:
        arms = labels[codes]
    else:
        arms, days = labels.get(one.arm, ""), one.contrast
    after, _, before = days.partition(" - ")
    return arms, f"change from {before} to {after}" if before and " " not in after + before else days


def remark_parts(one: Effect) -> tuple[str, ...]:
    """Sentences of the remark of a row: exclusions first."""
    return tuple(part for words in (one.exclusions, one.note) for part in words.split("; ") if part)


def effect_table(title: str, shown: Sequence[Effect], labels: Mapping[str, str]) -> Table:
    """Table of effects that is as narrow as its rows allow.

    Parameters
    ----------
    title
        Title of the table.
    shown
        Its rows, at least one.
    labels
        Code of an arm -> its name.

    Returns
    -------
    Table
        Endpoint, arms, contrast, day, method and kind of effect are columns where they vary, else they stand in the
        caption, as do remarks that all rows share.
    """
    said = _said(shown, labels)
    varies = [head for head, words in said.items() if len(set(words)) > 1] or ["Endpoint"]
    made = [(Column(head), [Cell(words or "–") for words in said[head]]) for head in varies]
    made.append((Column("n", numeric=True), [Cell(one.n) for one in shown]))
    made += _median_cells(shown)
    made += [*_effect_cells(shown), _interval_cells(shown)]
    tested = any(one.p for one in shown)
    if tested:
        made.append((Column("p", numeric=True), [Cell(one.p) for one in shown]))
    if any(one.p_adjusted for one in shown):
        made.append((Column("p adjusted", numeric=True), [Cell(one.p_adjusted) for one in shown]))
    made.append((Column("Reading"), [Cell(one.conclusion or "describes one arm") for one in shown]))

    parts = [remark_parts(one) for one in shown]
    shared = [part for part in parts[0] if len(shown) > 1 and all(part in other for other in parts[1:])]
    remarks = ["; ".join(part for part in own if part not in shared) for own in parts]
    if any(remarks):
        made.append((Column("Remark"), [Cell(words) for words in remarks]))
    caption = [f"{head}: {words[0]}." for head, words in said.items() if head not in varies and words[0]]
    caption += [f"{'; '.join(shared)}."] if shared else []
    caption += [*_methods(shown, said["Method"]), *_correction(shown), *((_READING,) if tested else ())]
    rows = zip(*(cells for _, cells in made), strict=True)
    return Table(tuple(column for column, _ in made), tuple(rows), title, " ".join(caption), style="effects")


def _said(shown: Sequence[Effect], labels: Mapping[str, str]) -> dict[str, list[str]]:
    """What each row says about itself, by head of column."""
    several = len({one.measure for one in shown}) > 1 or len({(one.population, one.measure) for one in shown}) == 1
    contrasts = [contrast_words(one, labels) for one in shown]
    arms, days = ([words[part] for words in contrasts] for part in (0, 1))
    if len(set(arms)) > 1 and len(set(days)) > 1:
        arms, days = [""] * len(shown), [", ".join(part for part in words if part) for words in contrasts]
    return {
        "Endpoint": [f"{one.population}, {one.measure}" if several else one.population for one in shown],
        "Measure": [""] * len(shown) if several else [one.measure for one in shown],
        "Arms": arms,
        "Contrast": days,
        "Day": [one.visit if one.visit.startswith("day ") else "" for one in shown],
        "Method": _method_words(shown),
    }


def _method_words(shown: Sequence[Effect]) -> list[str]:
    """Id of the method where ids tell the rows apart, else the method."""
    pairs = {(one.method_id, one.method) for one in shown}
    by_id = len({method_id for method_id, _ in pairs}) == len(pairs) > 1
    return [one.method_id if by_id else f"{one.method_id}: {one.method}" for one in shown]


def _methods(shown: Sequence[Effect], said: Sequence[str]) -> list[str]:
    """What the ids mean, where rows show ids alone."""
    pairs = dict.fromkeys((one.method_id, one.method) for one in shown)
    return [f"{'; '.join(f'{method_id}: {words}' for method_id, words in pairs)}."] if said[0] == shown[0].method_id \
        else []  # fmt: skip


_Made = tuple[Column, list[Cell]]


def _median_cells(shown: Sequence[Effect]) -> list[_Made]:
    found = []
    if any(one.medians for one in shown):
        found.append((Column("Median, arm", numeric=True), [Cell(one.medians) for one in shown]))
    if any(one.medians_reference for one in shown):
        found.append((Column("Median, reference", numeric=True), [Cell(one.medians_reference) for one in shown]))
    return found


def _effect_cells(shown: Sequence[Effect]) -> list[_Made]:
    kinds = {one.kind for one in shown if one.effect}
    numbers = [Cell(one.effect or "none", one.value) for one in shown]
    if len(kinds) == 1:
        kind = next(iter(kinds))
        return [(Column(kind[:1].upper() + kind[1:], numeric=True), numbers)]
    return [(Column("Effect"), [Cell(one.kind) for one in shown]), (Column("Estimate", numeric=True), numbers)]


def _interval_cells(shown: Sequence[Effect]) -> _Made:
    levels = {one.level for one in shown if not math.isnan(one.level)}
    if len(levels) == 1:
        head = Said("{level} % interval", level=f"{next(iter(levels)):.4g}")
        return Column(head, numeric=True), [Cell(one.interval or "none") for one in shown]
    return Column("Interval", numeric=True), [Cell(one.interval_at_level or "none") for one in shown]


def _correction(shown: Sequence[Effect]) -> list[str]:
    adjusted = [words for words in dict.fromkeys(one.adjustment for one in shown) if words]
    if adjusted:
        return [f"p adjusted: {', '.join(adjusted)}."]
    return [_BY_CHANCE] if sum(bool(one.p) for one in shown) > 1 else []
