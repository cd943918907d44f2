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

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
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
        return style.empty_figure("The shift table holds no subject.", what="Shift of laboratory grades")
    open_ = sum(int(value) for value in cells(table.get("n_incomplete", ()), "number") if not math.isnan(value))
    return shift_figure(grids, labels=labels or {}, incomplete=open_)


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


def shift_figure(grids: Sequence[ShiftGrid], *, labels: Mapping[str, str], incomplete: int = 0) -> Figure:
    """The figure from plain values; ``incomplete`` counts those whose worst grade may be higher."""
    tests, arms = list(dict.fromkeys(grid.test for grid in grids)), list(dict.fromkeys(grid.arm for grid in grids))
    seen = {grade for grid in grids for cell in grid.counts for grade in cell}
    grades = [str(grade) for grade in range(max([4, *(int(one) for one in seen if one != UNKNOWN)]) + 1)]
    grades += [UNKNOWN] * (UNKNOWN in seen)
    side = min(0.24, (style.WIDTH - 2.1) / (len(arms) * (len(grades) + 2)))
    tall, head = side * len(grades), 0.62
    height = len(tests) * (tall + head) + 0.34
    with style.look():
        figure = style.new_figure(style.WIDTH, height, shift_alt(grids, labels))
        for number_, grid in enumerate(grids):
            row, column = divmod(number_, len(arms))
            left = 2.0 + column * side * (len(grades) + 3)
            top = row * (tall + head) + head
            axes = figure.add_axes((left / style.WIDTH, 1 - (top + tall) / height, tall / style.WIDTH, tall / height))
            _draw(axes, grid, grades)
            words = labels.get(grid.arm, grid.arm)
            axes.annotate(f"{words}, n = {grid.n}", (0.0, 1.0), xycoords="axes fraction", xytext=(0, 15),
                          textcoords="offset points", fontsize=7, va="bottom")  # fmt: skip
            if column == 0:
                axes.set_ylabel("baseline grade", fontsize=7)
                folded = _folded(grid.test)
                figure.text(0.008, 1 - (top + tall / 2) / height, folded, va="center", fontsize=7.5, fontweight="bold")
        words = "Columns: worst grade on treatment (CTCAE). Cells: subjects; darker: more grades above baseline; "
        words += "hatched: a grade is not known."
        if incomplete:
            words += f"\nIn {incomplete} of these counts results could not be graded: the worst grade may be higher."
        style.note(figure, words)
        return figure


def _folded(words: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(words, 22))


def _draw(axes: Axes, grid: ShiftGrid, grades: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    for row, before in enumerate(grades):
        for column, after in enumerate(grades):
            count = grid.counts.get((before, after), 0)
            unknown = UNKNOWN in (before, after)
            steps = 0 if unknown else max(int(after) - int(before), 0)
            axes.add_patch(
                Rectangle(
                    (column, row), 1, 1, facecolor=_WORSE[min(steps, 5)] if count else "white",
                    edgecolor=style.PALE, linewidth=0.6, hatch="////" if unknown and count else "",
                )
            )  # fmt: skip
            if count:
                axes.text(
                    column + 0.5, row + 0.52, str(count), ha="center", va="center", fontsize=7,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5} if unknown else None,
                )  # fmt: skip
    axes.set_xlim(0, len(grades))
    axes.set_ylim(len(grades), 0)
    places = [place + 0.5 for place in range(len(grades))]
    axes.set_xticks(places, grades)
    axes.set_yticks(places, grades)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=1)
    for spine in axes.spines.values():
        spine.set_visible(False)


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
