"""Shift of laboratory grades: baseline grade against the worst grade on treatment, subjects counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import cells, records
from immunoprofile.pl import style
from immunoprofile.pl.series import arm_order, column_arms
from immunoprofile.pl.sketch import Box, Ground, Panel, Sketch, Words, empty_sketch
from immunoprofile.pl.sketch_figure import sketch_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

UNKNOWN: Final = "?"
_WORSE: Final = ("#FFFFFF", "#FCE8DC", "#F6C9AE", "#EBA37C", "#DE7F50", "#D0632F")
"""Fill by how many grades worse than at baseline; one hue that darkens evenly."""


@dataclass(frozen=True)
class ShiftGrid:
    """Subjects of one test and arm by (baseline grade, worst grade); ``?`` is a grade that is not known."""

    test: str
    arm: str
    counts: Mapping[tuple[str, str], int]

    @property
    def n(self) -> int:
        """Subjects in the grid."""
        return sum(self.counts.values())

    @property
    def worse(self) -> int:
        """Subjects whose worst grade is known and above a known baseline grade."""
        return sum(
            count
            for (before, after), count in self.counts.items()
            if UNKNOWN not in (before, after) and int(after) > int(before)
        )


def safety_shift(table: pd.DataFrame, *, labels: Mapping[str, str] | None = None) -> Figure:
    """Baseline grade by worst grade on treatment, one row of the figure a test, arms side by side.

    Parameters
    ----------
    table
        Shift table: ``arm``, ``test`` or ``term``, ``baseline_grade``, ``worst_grade``, and ``n`` or ``n_subjects``;
        for instance ``visits.uns['grade_shifts']`` or ``clinical.safety(study).shift``. A missing grade is unknown, it
        is not grade 0.
    labels
        Arm -> name for people.

    Returns
    -------
    Figure
        The number of subjects stands in each cell; empty cells hold none. The fill darkens with the number of grades
        that the worst is above baseline. Cells with an unknown grade are hatched.

    Raises
    ------
    NotAvailableError
        A column is missing.
    """
    name = next((column for column in ("term", "test") if column in table), None)
    count = next((column for column in ("n_subjects", "n") if column in table), None)
    missing = [column for column in ("arm", "baseline_grade", "worst_grade") if column not in table]
    missing += [] if name else ["test"]
    missing += [] if count else ["n"]
    if name is None or count is None or missing:
        raise NotAvailableError(f"no column {', '.join(missing)}", where="pl.safety_shift table")
    grids = shift_grids(table, name=name, count=count, order=column_arms(table["arm"]) or tuple(labels or ()))
    if not any(grid.n for grid in grids):
        return sketch_figure(empty_sketch("The shift table holds no subject.", what="Shift of laboratory grades"))
    open_ = sum(int(value) for value in cells(table.get("n_incomplete", ()), "number") if not math.isnan(value))
    return sketch_figure(shift_sketch(grids, labels=labels or {}, incomplete=open_))


def shift_grids(table: pd.DataFrame, *, name: str, count: str, order: Sequence[str] = ()) -> list[ShiftGrid]:
    """Grids in the order of the tests in the table, arms in the order of the study (``order``), others by name."""
    found: dict[str, dict[str, dict[tuple[str, str], int]]] = {}
    for row, subjects in zip(records(table, "safety_shift"), cells(table[count], "number"), strict=True):
        if math.isnan(subjects) or subjects == 0:
            continue
        cell = (_grade(row["baseline_grade"]), _grade(row["worst_grade"]))
        own = found.setdefault(row[name], {}).setdefault(row["arm"], {})
        own[cell] = own.get(cell, 0) + int(subjects)
    present = {arm for by_arm in found.values() for arm in by_arm}
    arms = [arm for arm in arm_order(present, order) if arm in present]
    return [ShiftGrid(test, arm, by_arm.get(arm, {})) for test, by_arm in found.items() for arm in arms]


def _grade(grade: float) -> str:
    return UNKNOWN if math.isnan(grade) else f"{grade:.0f}"


def shift_sketch(grids: Sequence[ShiftGrid], *, labels: Mapping[str, str], incomplete: int = 0) -> Sketch:
    """What :func:`safety_shift` draws; ``incomplete`` counts those whose worst grade may be higher."""
    tests, arms = list(dict.fromkeys(grid.test for grid in grids)), list(dict.fromkeys(grid.arm for grid in grids))
    seen = {grade for grid in grids for cell in grid.counts for grade in cell}
    grades = [str(grade) for grade in range(max([4, *(int(one) for one in seen if one != UNKNOWN)]) + 1)]
    grades += [UNKNOWN] * (UNKNOWN in seen)
    side = min(0.24, (style.WIDTH - 2.1) / (len(arms) * (len(grades) + 2)))
    tall, head = side * len(grades), 0.62
    height = len(tests) * (tall + head) + 0.34
    made = Sketch(style.WIDTH, height, shift_alt(grids, labels))
    for place, grid in enumerate(grids):
        row, column = divmod(place, len(arms))
        left = 2.0 + column * side * (len(grades) + 3)
        top = row * (tall + head) + head
        panel = made.panel(left / style.WIDTH, 1 - (top + tall) / height, tall / style.WIDTH, tall / height)
        _draw(panel, grid, grades)
        words = f"{labels.get(grid.arm, grid.arm)}, n = {grid.n}"
        panel.add(Words(0.0, 1.0, words, size=7, upward="bottom", x_in="panel", y_in="panel", dy=15))
        if column == 0:
            panel.y.label, panel.y.label_size = "baseline grade", 7.0
            made.write(0.008, 1 - (top + tall / 2) / height, _folded(grid.test), size=7.5, bold=True, upward="center")
    words = "Columns: worst grade on treatment (CTCAE). Cells: subjects; darker: more grades above baseline; "
    words += "hatched: a grade is not known."
    if incomplete:
        words += f"\nIn {incomplete} of these counts results could not be graded: the worst grade may be higher."
    made.note(words)
    return made


def _folded(words: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(words, 22))


def _draw(panel: Panel, grid: ShiftGrid, grades: Sequence[str]) -> None:
    panel.x.limits, panel.y.limits = (0.0, float(len(grades))), (float(len(grades)), 0.0)
    for row, before in enumerate(grades):
        for column, after in enumerate(grades):
            count = grid.counts.get((before, after), 0)
            unknown = UNKNOWN in (before, after)
            steps = 0 if unknown else max(int(after) - int(before), 0)
            face = _WORSE[min(steps, 5)] if count else "white"
            panel.add(Box(column, row, 1, 1, face, style.PALE, 0.6, "////" if unknown and count else "", clip=False))
            if count:
                ground = Ground(pad=0.5) if unknown else None
                panel.add(Words(column + 0.5, row + 0.52, str(count), size=7, across="center", upward="center",
                                ground=ground))  # fmt: skip
    panel.x.ticks = panel.y.ticks = tuple((place + 0.5, grade) for place, grade in enumerate(grades))
    panel.x.side = "top"
    panel.x.length = panel.y.length = 0.0
    panel.x.pad = panel.y.pad = 1.0
    panel.spines = ()


def shift_alt(grids: Sequence[ShiftGrid], labels: Mapping[str, str]) -> str:
    """What the figure says, in words."""
    parts = []
    for grid in grids:
        shifts = ", ".join(
            f"{before} to {after}: {count}" for (before, after), count in sorted(grid.counts.items()) if before != after
        )
        unknown = sum(count for cell, count in grid.counts.items() if UNKNOWN in cell)
        words = f"{grid.test}, {labels.get(grid.arm, grid.arm)}, n = {grid.n}: {grid.worse} worse than at baseline"
        words += f", {unknown} with an unknown grade" if unknown else ""
        parts.append(f"{words} ({shifts})" if shifts else words)
    return "Shift of laboratory grades from baseline to the worst on treatment. " + "; ".join(parts) + "."
