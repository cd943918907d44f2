"""One subject on one time axis: treatment, CMV-DNA, cells per microlitre and the safety laboratory."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.dates import days_since
from immunoprofile.io.records import records
from immunoprofile.pl import panels, style
from immunoprofile.pl.series import (
    Bar,
    CmvSeries,
    Measure,
    Series,
    anchors_of,
    cmv_of_table,
    cmv_of_visits,
    population_series,
    treatment_bars,
    undated_treatment,
)
from immunoprofile.pl.sketch import Line, Marks, Panel, Sketch, Words, empty_sketch
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pl.ticks import plain_ticks

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd
    from anndata import AnnData
    from matplotlib.figure import Figure

    from immunoprofile.clinical.ctcae import Criterion

LAB_TESTS: Final = ("ANC", "PLT", "HGB", "CREAT", "CRCL")
_LAB_NAMES: Final = {"CREAT": "creatinine", "CRCL": "CrCl"}
_UNIT_WORDS: Final = {"10^9/L": "10⁹/L", "umol/L": "µmol/L"}
DAY_ZERO: Final = "first IL-2 or randomisation (day 0)"
_BEFORE: Final = -14.0
"""Days before day 0 that are shown where something was measured then."""
_CMV_HEIGHT: Final = 1.15
_CELLS_HEIGHT: Final = 1.7
_LAB_HEIGHT: Final = 0.52
"""Usual heights of the panels in inches; in a figure of a given height they share it in this proportion."""


@dataclass(frozen=True)
class LabSeries:
    """Results of one laboratory test of one subject.

    ``grades`` are CTCAE grades, None where no grade could be decided. ``limits`` are (grade, value) pairs at which a
    grade begins; one that depends on a limit of normal is there only when all results came with the same limit.
    """

    test: str
    unit: str
    days: tuple[float, ...]
    values: tuple[float, ...]
    grades: tuple[int | None, ...]
    limits: tuple[tuple[int, float], ...]
    version: str = ""
    """Name of the version of CTCAE, as it stands with every grade."""


@dataclass(frozen=True)
class Timeline:
    """What :func:`timeline` draws.

    ``undrawn`` says what has no place on the axis and why; ``schedule`` holds visits and days that the axis shows
    although nothing was measured then; ``day_zero`` is what the days count from.
    """

    subject: str
    series: tuple[Series, ...]
    cmv: tuple[CmvSeries, ...]
    labs: tuple[LabSeries, ...]
    bars: tuple[Bar, ...]
    undrawn: tuple[str, ...] = ()
    schedule: tuple[tuple[str, float], ...] = ()
    day_zero: str = DAY_ZERO


def timeline(
    visits: AnnData,
    subject: str,
    *,
    populations: Sequence[str] = ("treg", "nk", "cd8"),
    virology: pd.DataFrame | None = None,
    grades: pd.DataFrame | None = None,
    dosing: pd.DataFrame | None = None,
    conmeds: pd.DataFrame | None = None,
    tests: Sequence[str] = LAB_TESTS,
    ctcae: str | None = None,
) -> Figure:
    """Treatment, CMV-DNA, cells and safety laboratory of one subject above each other, days since day 0.

    Parameters
    ----------
    visits
        Visits object with cells/uL.
    subject
        The subject.
    populations
        Ids of the populations.
    virology
        Table of all CMV-DNA results; default those at the flow visits as they stand in ``obs``.
    grades
        Graded laboratory results (``schema.GRADE_COLUMNS``), for instance ``clinical.safety(study).grades``; default no
        laboratory panels.
    dosing, conmeds
        Tables of the study for the bars of IL-2, antivirals and systemic corticosteroids; leave them out in a blinded
        figure. Bars are cut at the last day on which something was measured.
    tests
        Laboratory tests to show, in that order.
    ctcae
        Version of CTCAE whose limits are light lines; default that of ``grades``.

    Returns
    -------
    Figure
        CMV-DNA below the LLOQ or not detected: open downward triangle at the LLOQ; above the range of the assay: open
        upward triangle at the ULOQ. A laboratory result of grade 1 or more carries the grade as a number, "?" says
        that none could be decided. What has no day is named below the figure.

    Raises
    ------
    NotAvailableError
        The subject or a population is not in the object, or it holds no absolute counts.
    """
    if subject not in set(visits.obs["usubjid"].astype(str)):
        known = ", ".join(sorted(set(visits.obs["usubjid"].astype(str))))
        raise NotAvailableError(f"no subject {subject!r}", where="pl.timeline", todo=f"choose of: {known}")
    series = [one for name in populations for one in population_series(visits, name, subject=subject)]
    anchor = anchors_of(visits).get(subject)
    undrawn: list[str] = []
    if virology is None:
        cmv = cmv_of_visits(visits, subject=subject)
    else:
        cmv = cmv_of_table(virology.loc[virology["usubjid"].astype(str) == subject], anchors_of(visits), {})
        lost = int((virology["usubjid"].astype(str) == subject).sum()) - sum(len(one.days) for one in cmv)
        if lost:
            undrawn.append(f"{lost} CMV-DNA results that are not valid or have no day or limit")
    labs, lost = lab_series(grades, subject, anchor, tests=tests, ctcae=ctcae)
    if lost:
        undrawn.append(f"{lost} laboratory results without a value or day")
    last = max(_days(series, cmv, labs), default=0.0)
    bars: list[Bar] = []
    if dosing is not None:
        medicines = dosing.iloc[:0] if conmeds is None else conmeds
        bars = treatment_bars(dosing, medicines, subject, anchor, until=last)
        undated = undated_treatment(dosing, medicines, subject, anchor)
        if undated:
            undrawn.append(f"start not known to the day: {', '.join(undated)}")
    return timeline_figure(Timeline(subject, tuple(series), tuple(cmv), tuple(labs), tuple(bars), tuple(undrawn)))


def lab_series(
    grades: pd.DataFrame | None, subject: str, anchor: date | None, *, tests: Sequence[str], ctcae: str | None = None
) -> tuple[list[LabSeries], int]:
    """Laboratory results of a subject by test, and how many have no value or day."""
    if grades is None:
        return [], 0
    own = grades.loc[grades["usubjid"].astype(str) == subject]
    return lab_courses(records(own, "safety"), anchor, tests=tests, ctcae=ctcae)


def lab_courses(
    graded: Sequence[Mapping[Any, Any]], anchor: date | None, *, tests: Sequence[str], ctcae: str | None = None
) -> tuple[list[LabSeries], int]:
    """The same from the rows of one subject (``schema.GRADE_COLUMNS``)."""
    from immunoprofile.clinical.ctcae import ctcae_version

    found, lost = [], 0
    for test in tests:
        rows = [row for row in graded if row["test"] == test]
        # A test with two terms (too low, too high) has two rows a result: the first term is drawn.
        term = rows[0]["term"] if rows else ""
        rows = [row for row in rows if row["term"] == term]
        points = []
        for row in rows:
            day, value = days_since(anchor, row["collected_dtc"]), row["value"]
            if math.isnan(day) or math.isnan(value):
                lost += 1
                continue
            grade = row["grade"]
            points.append((day, value, None if math.isnan(grade) else int(grade)))
        if not points:
            continue
        points.sort(key=lambda point: point[:2])
        references = {name: _only([row[name] for row in rows]) for name in ("lln", "uln", "baseline")}
        limits = grade_limits(test, term, references, ctcae=ctcae or ctcae_version(rows[0]["version"]))
        unit = next((row["unit"] for row in rows if row["unit"]), "")
        found.append(
            LabSeries(
                test, unit, tuple(point[0] for point in points), tuple(point[1] for point in points),
                tuple(point[2] for point in points), limits, str(rows[0]["version"]),
            )
        )  # fmt: skip
    return found, lost


def _only(values: Sequence[float]) -> float:
    """The value when all agree, NaN when one is missing or differs: a limit of another laboratory is no limit."""
    return values[0] if len(set(values)) == 1 else math.nan


def grade_limits(
    test: str, term: str, references: dict[str, float], *, ctcae: str = "5"
) -> tuple[tuple[int, float], ...]:
    """(grade, value) at which each grade of a term begins, with a baseline that was normal.

    A grade whose limits are not all known is left out: with several rules the first to be met begins the grade.
    """
    from immunoprofile.clinical.ctcae import terms_of

    for one in terms_of(test, version=ctcae):
        if one.term == term:
            pairs = [(item.grade, _begins(item, references, low=one.direction == "low")) for item in one.criteria]
            return tuple(sorted(pair for pair in pairs if not math.isnan(pair[1])))
    return ()


def _begins(criterion: Criterion, references: dict[str, float], *, low: bool) -> float:
    ends = [rule.factor * references[rule.reference] if rule.reference else rule.factor for rule in criterion.rules]
    if not ends or any(math.isnan(end) for end in ends):
        return math.nan
    return max(ends) if low != criterion.every else min(ends)


def timeline_figure(view: Timeline, *, height: float | None = None, legend: bool = True) -> Figure:
    """The figure from plain values: see :func:`timeline_sketch`."""
    return sketch_figure(timeline_sketch(view, height=height, legend=legend))


def timeline_sketch(view: Timeline, *, height: float | None = None, legend: bool = True) -> Sketch:
    """What the figure holds, from plain values.

    ``height`` in inches; by default each panel has its usual one, otherwise they share what there is. ``legend``:
    write below the figure what its symbols mean and what is not drawn (:func:`legend_words`).
    """
    every = _days(view.series, view.cmv, view.labs)
    if not every:
        return empty_sketch(f"{view.subject} has no result with a day.", what="Timeline")
    days = dict(view.schedule)
    for one in view.series:
        days.update(zip(one.visits, one.days, strict=True))
    lines = len({bar.label for bar in view.bars})
    words = textwrap.wrap(" ".join(legend_words(view)), 150) if legend else []
    head, gap, foot = 0.06, 0.1 if height is None else 0.07, 0.44 + 0.12 * len(words)
    groups = _by_measure(view.series)
    heights = [_CMV_HEIGHT] + [_CELLS_HEIGHT] * max(len(groups), 1) + [_LAB_HEIGHT] * len(view.labs)
    bars = [(0.17 if height is None else 0.14) * lines] if lines else []
    tight = height is not None
    if height is not None:
        left = height - head - foot - sum(bars) - gap * (len(bars) + len(heights) - 1)
        heights = [left * tall / sum(heights) for tall in heights]
    heights = bars + heights
    # A given height stays as it is: from Python 3.12 on floats add up to another last digit.
    height = head + sum(heights) + gap * (len(heights) - 1) + foot if height is None else height
    made, top = Sketch(style.WIDTH, height, timeline_alt(view)), head
    for tall in heights:
        made.panel(0.19, 1 - (top + tall) / height, 0.66, tall / height)
        top += tall + gap
    drawn = made.panels[1:] if lines else made.panels
    if lines:
        panels.draw_bars(made.panels[0], view.bars)
    courses, laboratory = drawn[: 1 + max(len(groups), 1)], drawn[1 + max(len(groups), 1) :]
    for panel in courses if tight else ():
        panel.y.label_turn, panel.y.label_size, panel.y.size = 0.0, 7.0, 6.2
    if any(one.days for one in view.cmv):
        panels.draw_cmv(courses[0], view.cmv)
    else:
        panels.nothing(courses[0], "CMV-DNA: not done")
    for panel, (measure, group) in zip(courses[1:], groups.items(), strict=False):
        panels.draw_cells(panel, group, measure)
    if not groups:
        panels.nothing(courses[1], "cells: not done")
    for panel, lab in zip(laboratory, view.labs, strict=True):
        _draw_lab(panel, lab, low=tight)
    first, last = min([max(day, _BEFORE) for day in every] + [0.0]), max(every + [bar.end for bar in view.bars])
    for panel in made.panels:
        below = panel is made.panels[-1]
        panels.day_axis(panel, days, first=first, last=last, label=view.day_zero if below else "")
        panel.x.labelled = below
        for day in days.values():
            panel.upright(day, color=style.PALE, width=0.6, order=0)
    made.note("\n".join(words))
    return made


def _by_measure(series: Sequence[Series]) -> dict[Measure, list[Series]]:
    """Series that share an axis: percentages and cells/uL have one each."""
    found: dict[Measure, list[Series]] = {}
    for one in series:
        found.setdefault(one.measure, []).append(one)
    return found


def _days(series: Sequence[Series], cmv: Sequence[CmvSeries], labs: Sequence[LabSeries]) -> list[float]:
    """Every day on which something was measured."""
    found = [one.days for one in series] + [one.days for one in cmv] + [one.days for one in labs]
    return [day for days in found for day in days if not math.isnan(day)]


def legend_words(view: Timeline) -> tuple[str, ...]:
    """Sentences on the symbols that the figure holds, and on what has no place in it."""
    found = [f"CMV-DNA: {panels.CMV_LEGEND}."]
    if view.labs:
        version = ", ".join(dict.fromkeys(one.version for one in view.labs if one.version)) or "CTCAE"
        found.append(
            f"Laboratory: number = {version} grade from 1, ? = not decided; light lines: where a grade begins."
        )
    if view.undrawn:
        found.append(f"Not drawn: {'; '.join(view.undrawn)}.")
    return tuple(found)


def _draw_lab(panel: Panel, lab: LabSeries, *, low: bool) -> None:
    panel.add(
        Line(lab.days, lab.values, width=1.0, order=3), Marks(lab.days, lab.values, "o", 3.0, order=3),
    )  # fmt: skip
    for day, value, grade in zip(lab.days, lab.values, lab.grades, strict=True):
        if grade is None or grade > 0:
            words = "?" if grade is None else str(grade)
            panel.add(
                Words(day, value, words, size=6.2, color=style.VERMILLION, bold=True, across="center",
                      upward="bottom", order=4, dy=3)
            )  # fmt: skip
    least, most = min(lab.values), max(lab.values)
    span = max(most - least, 0.1 * abs(most), 1e-9)
    # The nearest limit on either side is always shown, so that a curve without grades has its distance.
    below = [value for _, value in lab.limits if value < least]
    above = [value for _, value in lab.limits if value > most]
    least, most = least - 0.2 * span, most + 0.45 * span
    least = min(least, max(below) - 0.08 * span) if below else least
    most = max(most, min(above) + 0.08 * span) if above else most
    panel.y.limits = (least, most)
    taken = -1.0
    for grade, value in sorted(lab.limits, key=lambda pair: pair[1]):
        if least <= value <= most:
            panel.level(value, color=style.PALE, width=1.0, dash=(0, (1, 1.2)), order=1)
            place = max((value - least) / (most - least), taken)
            # In a low panel a label at an edge would meet that of the next panel.
            place = min(max(place, 0.15), 0.85) if low else place
            panel.add(
                Words(1.0, place, f"grade {grade}: {style.amount(value)}", size=6.2, color=style.GREY,
                      upward="center", x_in="panel", y_in="panel", dx=4)
            )  # fmt: skip
            taken = place + (0.3 if low else 0.2)
    panel.y.ticks = plain_ticks(least, most, most=2 if low else 3)
    name, unit = _LAB_NAMES.get(lab.test, lab.test), _UNIT_WORDS.get(lab.unit, lab.unit)
    panel.y.label = f"{name}, {unit}" if low else f"{name}\n{unit}"
    panel.y.label_turn, panel.y.label_size = 0.0, 7.0 if low else 7.5
    if low:
        panel.y.size = 6.2


def timeline_alt(view: Timeline) -> str:
    """What the figure says, in words."""
    parts = [f"Timeline of {view.subject}, days since {view.day_zero}"]
    for one in view.series:
        unit = "cells/µL" if one.measure == "abs" else "% of parent"
        pairs = zip(one.visits, one.values, strict=True)
        words = ", ".join(f"{visit} {style.amount(value)}" for visit, value in pairs if not math.isnan(value))
        parts.append(f"{one.display}, {unit}: {words or 'no value'}")
    for virus in view.cmv:
        said = {"BLQ": "below the LLOQ", "TND": "not detected", "ALQ": "above the ULOQ"}
        words = ", ".join(
            f"day {day:g} {said.get(kind) or format(height, '.2f')}"
            for day, height, kind in zip(virus.days, virus.heights, virus.kinds, strict=True)
        )
        parts.append(f"CMV-DNA, log10 {virus.unit}: {words or 'no result'}")
    for lab in view.labs:
        worst = [grade for grade in lab.grades if grade is not None]
        unknown = lab.grades.count(None)
        words = f"{style.amount(min(lab.values))} to {style.amount(max(lab.values))} {lab.unit}, "
        words += f"highest grade {max(worst)}" if worst else "no grade"
        parts.append(f"{_LAB_NAMES.get(lab.test, lab.test)}: {words}{f', {unknown} not graded' if unknown else ''}")
    if view.bars:
        words = ", ".join(f"{bar.label} day {bar.start:g} to {bar.end:g}" for bar in view.bars)
        parts.append(f"treatment: {words}")
    parts += [f"not drawn: {one}" for one in view.undrawn]
    return "; ".join(parts) + "."
