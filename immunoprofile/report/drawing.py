"""Figures of the reports: a model in, pictures with a text for those who cannot see them out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from immunoprofile.pl.composition import QUADRANTS, RATIO_NAMES, differentiation_figure, ratios_figure
from immunoprofile.pl.heat_map import completeness_figure
from immunoprofile.pl.patient_timeline import DAY_ZERO, Timeline, timeline_alt, timeline_figure
from immunoprofile.pl.style import alt_text as figure_alt
from immunoprofile.pl.style import to_data_uri
from immunoprofile.pl.thumbnails import gating_figure
from immunoprofile.pl.trajectories import arm_figure
from immunoprofile.report import wording

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from immunoprofile.report.cohort_model import CohortModel
    from immunoprofile.report.visit_model import VisitModel

_COURSE_HEIGHT: Final = 4.5
_LINE_HEIGHT: Final = 0.16
_LEAST_HEIGHT: Final = 2.5
"""Inches that the course would have on a page one without findings and queries, that a line of them takes, and below
which the course cannot be read."""
_LINE: Final = 110
_BOLD_LINE: Final = 85
_QUERY_LINE: Final = 75
"""Letters in a printed line of the findings, of the sentence above them, and of the question of a query."""


@dataclass(frozen=True)
class Picture:
    """A figure inside the page: address of its data and the text that stands for it."""

    source: str
    alt: str


def _picture(figure: Figure, alt: str) -> Picture:
    return Picture(to_data_uri(figure), alt)


def visit_pictures(model: VisitModel) -> dict[str, Picture]:
    """Figures of a visit report; one without data is left out."""
    found: dict[str, Picture] = {}
    if model.series or model.cmv or model.lab_course:
        view = _timeline(model)
        figure = timeline_figure(view, height=_course_height(model), legend=False)
        found["timeline"] = _picture(figure, timeline_alt(view))
    if model.panels_now:
        labels = (model.baseline_visit, model.visit)
        figure = gating_figure(
            model.panels_now, model.panels_before or None, displays=dict(model.displays), labels=labels
        )
        found["gating"] = _picture(figure, _gating_alt(model))
    if model.ratios:
        figure = ratios_figure(model.ratio_visits, model.ratio_days, dict(model.ratios))
        last = "; ".join(
            f"{RATIO_NAMES.get(name, name)} {wording.plain(values[-1]) or 'not done'}" for name, values in model.ratios
        )
        found["ratios"] = _picture(figure, f"Ratios over time; at this visit: {last}.")
    if model.quadrants:
        stack = dict(model.quadrants)
        names = _quadrant_visits(model, len(stack.pop("visits")))
        figure = differentiation_figure(names, stack)
        last = ", ".join(
            f"{QUADRANTS[name][0]} {wording.percent(values[-1]) or 'not done'}" for name, values in stack.items()
        )
        found["differentiation"] = _picture(figure, f"CD8 differentiation at this visit, % of CD8: {last}.")
    return found


def _quadrant_visits(model: VisitModel, count: int) -> list[str]:
    names = list(dict.fromkeys([model.baseline_visit, model.previous_visit, model.visit]))
    return [name for name in names if name != "none"][-count:]


def _timeline(model: VisitModel) -> Timeline:
    return Timeline(
        model.subject, model.series, model.cmv, model.lab_course, model.bars, model.undrawn, model.series_measure,
        model.schedule, "day 0" if model.blinded else DAY_ZERO,
    )  # fmt: skip


def _course_height(model: VisitModel) -> float:
    """Inches that are left for the course on page one, where the queries and the review block must stand as well."""
    lines = sum(math.ceil(len(words) / _LINE) for words in model.findings)
    lines += math.ceil(len(model.summary.sentence) / _BOLD_LINE)
    lines += sum(math.ceil(len(query.question) / _QUERY_LINE) for query in model.queries)
    lines += len(model.reviews)
    return max(_COURSE_HEIGHT - _LINE_HEIGHT * lines, _LEAST_HEIGHT)


def _gating_alt(model: VisitModel) -> str:
    parts = [
        f"{name} {wording.percent(value)}"
        for panel in model.panels_now
        if panel is not None
        for name, value in panel.percentages.items()
        if not math.isnan(value)
    ]
    return f"Gating plots at {model.baseline_visit} and {model.visit} on identical axes. {', '.join(parts)} of parent."


def cohort_pictures(model: CohortModel) -> dict[str, Picture]:
    """Figures of the cohort page; the gating strategy of a tube is ``gating_<tube>``."""
    from immunoprofile.pl.cmv_curves import cmv_figure
    from immunoprofile.pl.forest_plot import forest

    found: dict[str, Picture] = {}
    labels = dict(model.arm_labels)
    if model.states_visits and model.tubes:
        figure = completeness_figure(model.subjects, model.states_visits, model.tubes, dict(model.states))
        found["completeness"] = _picture(
            figure, "Heat map of quality by subject, visit and tube; the table below gives the counts."
        )
    if model.trajectories:
        figure = arm_figure(
            [group for _, group in model.trajectories], model.cmv, measure=[kind for kind, _ in model.trajectories],
            arms=model.arms, labels=labels,
        )  # fmt: skip
        found["trajectories"] = _picture(
            figure, "Course of the endpoints and of CMV-DNA, subjects thin and medians of the arms thick."
        )
    if any(one.days for one in model.cmv):
        figure = cmv_figure(model.cmv, arms=model.arms, labels=labels)
        found["cmv"] = _picture(figure, "CMV-DNA of every subject over time with the LLOQ; censored results are open.")
    if model.clearance:
        from immunoprofile.pl.clearance_curves import clearance_alt, clearance_figure

        figure = clearance_figure(model.clearance, rule=model.clearance_rule, order=model.arms)
        found["clearance"] = _picture(figure, clearance_alt(model.clearance, model.clearance_rule))
    if model.association:
        from immunoprofile.pl.association_panels import association_alt, association_figure

        found["association"] = _picture(association_figure(model.association), association_alt(model.association))
    if model.paired:
        from immunoprofile.pl.paired_panels import paired_alt, paired_figure

        found["paired"] = _picture(paired_figure(model.paired, arms=model.arms), paired_alt(model.paired))
    if model.strategies:
        from immunoprofile.pl.gating_hierarchy import strategy_figure

        for example in model.strategies:
            figure = strategy_figure(example, displays=dict(model.displays))
            found[f"gating_{example.tube}"] = _picture(figure, figure_alt(figure))
    if model.compare_table is not None and len(model.compare_table):
        figure = forest(model.compare_table, displays=dict(model.displays))
        found["forest"] = _picture(figure, figure_alt(figure))
    return found
