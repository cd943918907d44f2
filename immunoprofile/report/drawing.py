"""Figures of the reports: what they are drawn from in, pictures with a text for those who cannot see them out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.pl.composition import QUADRANTS, RATIO_NAMES, differentiation_sketch, ratios_sketch
from immunoprofile.pl.heat_map import completeness_sketch
from immunoprofile.pl.patient_timeline import Timeline, timeline_alt, timeline_sketch
from immunoprofile.pl.sketch_svg import sketch_uri
from immunoprofile.pl.thumbnails import gating_sketch
from immunoprofile.pl.trajectories import arm_sketch
from immunoprofile.report import batch_controls, cohort_figures, visit_figures, wording
from immunoprofile.report.content import Beside, Block, Fold, Image, Table
from immunoprofile.report.visit_model import VisitModel

if TYPE_CHECKING:
    from immunoprofile.pl.sketch import Sketch
    from immunoprofile.report.cohort_model import CohortModel
    from immunoprofile.report.restatement_page import RestatementModel

_COURSE_HEIGHT: Final = 5.1
_LINE_HEIGHT: Final = 0.15
_LEAST_HEIGHT: Final = 2.1
_WITH_LABORATORY: Final = 2.8
"""Inches that the course would have on a page one without statements and queries, that a line of them takes, below
which the course cannot be read, and below which it cannot with three panels of the laboratory."""
_LINE: Final = 110
_BOLD_LINE: Final = 85
_QUERY_LINE: Final = 75
"""Letters in a printed line of the statements, of the sentence above them, and of the question of a query."""


@dataclass(frozen=True)
class Picture:
    """A figure inside the page: address of its data and the text that stands for it."""

    source: str
    alt: str


def pictures(model: VisitModel | CohortModel | RestatementModel) -> dict[str, Picture]:
    """Every figure of a report by its name."""
    height = _course_height(model) if isinstance(model, VisitModel) else math.nan
    return {
        one.name: _course(one.data, height) if isinstance(one.data, Timeline) else draw(one.data)
        for part in model.parts
        for one in _images(part.blocks)
    }


def _images(blocks: tuple[Block, ...]) -> Iterator[Image]:
    for block in blocks:
        if isinstance(block, Image):
            yield block
        elif isinstance(block, Beside):
            for side in block.sides:
                yield from _images(side)
        elif isinstance(block, Fold):
            yield from _images(block.blocks)


@singledispatch
def draw(data: Any) -> Picture:
    """Picture of what an :class:`~immunoprofile.report.content.Image` holds, chosen by its type."""
    raise TypeError(f"no drawing for {type(data).__name__}")


def _picture(figure: Sketch, alt: str) -> Picture:
    figure.alt = alt  # what the page says of it, its file says too
    return Picture(sketch_uri(figure), alt)


# --- a visit ----------------------------------------------------------------------------------


def _course(data: Timeline, height: float) -> Picture:
    if height >= _WITH_LABORATORY or not data.labs:
        return _picture(timeline_sketch(data, height=height, legend=False), timeline_alt(data))
    # Panels that cannot be read help nobody: the laboratory, which has a section of its own, gives way.
    shown, said = replace(data, labs=()), "no room for the laboratory: see Safety"
    figure = timeline_sketch(shown, height=height, legend=False)
    figure.write(0.99, 0.01, said, size=6.5, across="right", upward="bottom")
    return _picture(figure, f"{timeline_alt(shown).rstrip('.')}; {said}.")


def _course_height(model: VisitModel) -> float:
    """Inches that are left for the course on page one, where the queries and the review block must stand as well."""
    lines = sum(math.ceil(len(words) / _LINE) for words in model.statements)
    lines += math.ceil(len(model.summary.sentence) / _BOLD_LINE)
    asked = next(part for part in model.parts if part.id == "queries").blocks
    words = [row[1].words for table in asked if isinstance(table, Table) for row in table.rows if row[1] is not None]
    lines += sum(math.ceil(len(question) / _QUERY_LINE) for question in words) + len(model.reviews)
    rows = next(part for part in model.parts if part.id == "key-populations").blocks
    lines += sum(len(block.rows) for block in rows if isinstance(block, Table))
    lines += sum(4 for block in rows if not isinstance(block, Table))
    return max(_COURSE_HEIGHT - _LINE_HEIGHT * lines, _LEAST_HEIGHT)


@draw.register
def _(data: visit_figures.GatingPanels) -> Picture:
    figure = gating_sketch(data.now, data.before or None, displays=dict(data.displays), labels=data.labels)
    names = dict(data.displays)
    shown = [panel for panel in data.now if panel is not None]
    parts = [
        f"{names.get(name, name)} {wording.percent(value)}"
        for panel in shown
        for name, value in panel.percentages.items()
        if not math.isnan(value)
    ]
    parts += [f"{names.get(name, name)}{words}" for panel in shown for name, words in panel.remarks.items()]
    failed = " FAIL: no number of this tube is used." if any(panel.remark for panel in shown) else ""
    plots = f"Gating plots of tube {data.tube} at {data.labels[0]} and {data.labels[1]} on identical axes."
    return _picture(figure, f"{plots}{failed} Per cent of the parent: {', '.join(parts) or 'none'}.")


@draw.register
def _(data: visit_figures.RatioCourse) -> Picture:
    figure = ratios_sketch(data.visits, data.days, dict(data.values))
    last = "; ".join(
        f"{RATIO_NAMES.get(name, name)} {wording.plain(values[-1]) or 'not done'}" for name, values in data.values
    )
    return _picture(figure, f"Ratios over time; at this visit: {last}.")


@draw.register
def _(data: visit_figures.Differentiation) -> Picture:
    last = ", ".join(f"{QUADRANTS[name][0]} {wording.percent(values[-1]) or 'not done'}" for name, values in data.stack)
    figure = differentiation_sketch(list(data.visits), dict(data.stack))
    return _picture(figure, f"CD8 differentiation at this visit, % of CD8: {last}.")


# --- the cohort -------------------------------------------------------------------------------


@draw.register
def _(data: cohort_figures.StateGrid) -> Picture:
    figure = completeness_sketch(data.subjects, data.visits, data.tubes, dict(data.states))
    return _picture(figure, "Heat map of quality by subject, visit and tube; the table below gives the counts.")


@draw.register
def _(data: cohort_figures.ArmCourses) -> Picture:
    labels = dict(data.labels)
    if not data.panels:
        from immunoprofile.pl.cmv_curves import cmv_sketch

        figure = cmv_sketch(data.cmv, arms=data.arms, labels=labels)
        return _picture(figure, "CMV-DNA of every subject over time with the LLOQ; censored results are open.")
    groups, measures = [group for _, group in data.panels], [kind for kind, _ in data.panels]
    figure = arm_sketch(groups, data.cmv, measure=measures, arms=data.arms, labels=labels)
    return _picture(figure, "Course of the endpoints and of CMV-DNA, subjects thin and medians of the arms thick.")


@draw.register
def _(data: cohort_figures.Clearance) -> Picture:
    from immunoprofile.pl.clearance_curves import clearance_alt, clearance_sketch

    figure = clearance_sketch(data.curves, rule=data.rule, order=data.arms)
    return _picture(figure, clearance_alt(data.curves, data.rule))


@draw.register
def _(data: cohort_figures.Association) -> Picture:
    from immunoprofile.pl.association_panels import association_sketch

    figure = association_sketch(data.panels)
    return _picture(figure, figure.alt)


@draw.register
def _(data: cohort_figures.Paired) -> Picture:
    from immunoprofile.pl.paired_panels import paired_alt, paired_sketch

    return _picture(paired_sketch(data.panels, arms=data.arms), paired_alt(data.panels))


@draw.register
def _(data: cohort_figures.Strategy) -> Picture:
    from immunoprofile.pl.gating_hierarchy import strategy_sketch

    figure = strategy_sketch(data.example, displays=dict(data.displays))
    return _picture(figure, figure.alt)


@draw.register
def _(data: cohort_figures.Forest) -> Picture:
    from immunoprofile.pl.forest_plot import forest_sketch

    figure = forest_sketch(data.table, displays=dict(data.displays))
    return _picture(figure, figure.alt)


@draw.register
def _(data: batch_controls.ControlChart) -> Picture:
    from immunoprofile.pl.control_chart import control_sketch

    figure = control_sketch(data.rows, data.charts, displays=dict(data.displays))
    return _picture(figure, figure.alt)
