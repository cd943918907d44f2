"""Figures of a visit report: what they are drawn from, cut at the day of the visit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from immunoprofile.io.dates import days_since
from immunoprofile.io.records import cells
from immunoprofile.pl.composition import QUADRANTS
from immunoprofile.pl.patient_timeline import DAY_ZERO, LabSeries, Timeline, lab_courses
from immunoprofile.pl.series import (
    Bar,
    CmvSeries,
    Measure,
    Series,
    axis_day,
    cmv_of_table,
    treatment_bars,
    undated_treatment,
)
from immunoprofile.pl.thumbnails import Panel
from immunoprofile.report import visit_key
from immunoprofile.report.content import Block, Image, Text
from immunoprofile.report.key_table import CONFIRMED, WITHOUT_CD25, shown_populations
from immunoprofile.report.language import Said

if TYPE_CHECKING:
    from immunoprofile.report.view import VisitView

COURSE_TESTS: Final = ("ANC", "PLT", "CREAT")
"""Laboratory tests of the course on page one: what ganciclovir harms, and what its dose depends on."""
MOST_PLOTS: Final = 8
"""Plots of one tube: with more of them those nearest to the root are left out."""


@dataclass(frozen=True, eq=False)
class GatingPanels:
    """Plots of one tube at the visit, in gating order, and the same plots at baseline."""

    tube: str
    now: tuple[Panel | None, ...]
    before: tuple[Panel | None, ...]
    displays: tuple[tuple[str, str], ...]
    labels: tuple[str, str]


@dataclass(frozen=True)
class RatioCourse:
    """Ratios until the visit."""

    visits: tuple[str, ...]
    days: tuple[float, ...]
    values: tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True)
class Differentiation:
    """Quadrants of CD8 at baseline, the previous visit and this one."""

    visits: tuple[str, ...]
    stack: tuple[tuple[str, tuple[float, ...]], ...]


def course(view: VisitView) -> tuple[Block, ...]:
    """Treatment, CMV-DNA, cells and laboratory until the visit."""
    drawn = timeline(view)
    if not (drawn.series or drawn.cmv or drawn.labs):
        return (Text("No value to draw."),)
    undated = any(math.isnan(axis_day(view.source.obs(row, "study_day"))) for row in rows_until(view))
    caption = (
        "Open triangle: censored, down at the LLOQ (below it or not detected), up at the ULOQ. Error bars: 95 %, "
        "counting only (cells/µL: also pipetting, beads, blood count). ✕: failed tube. Laboratory: number = CTCAE "
        "grade from 1 (version: "
        "see the grades), ? = not decided, light line = a grade begins. n = 1, data up to this visit."
        + (f" Not drawn: {'; '.join(drawn.undrawn)}." if drawn.undrawn else "")
        + (" Study days are not known: visits stand at their planned days." if undated else "")
    )
    return (Image("timeline", drawn, caption, style="timeline"),)


def timeline(view: VisitView) -> Timeline:
    """What the course is drawn from."""
    return Timeline(
        view.subject, series(view), cmv(view), lab_course(view), bars(view), undrawn(view), schedule(view),
        "day 0" if view.source.blinded else DAY_ZERO,
    )  # fmt: skip


def gating(view: VisitView) -> tuple[Block, ...]:
    """One figure a tube: the way to the numbers that come from it, the baseline above the visit."""
    found = gating_panels(view)
    if not found:
        return (Text("No gating plot: nothing was gated at this visit."),)
    caption = (
        "Identical axes at both visits; per cent of the parent named above each plot, n its events. A gate has the "
        "colour of its name; a name without room on the plot stands above it. Colour is log density, single dots are "
        "few events. Fluorescence in arbitrary units. Each population has its number from one tube only."
    )
    images = tuple(
        Image(f"gating_{one.tube}", one, title=_tube_title(view, one.tube), style="wide gates") for one in found
    )
    return (*images, Text(caption, small=True), *visit_key.failures(view))


def _tube_title(view: VisitView, tube: str) -> str:
    own = [one.display for one in view.rows if one.main.tubes[0] == tube]
    if not own:
        return Said("Tube {tube}", tube=tube)
    return Said("Tube {tube}: numbers of {populations}", tube=tube, populations=", ".join(own))


def ratios(view: VisitView) -> tuple[Block, ...]:
    """Ratios over time."""
    found = ratio_course(view)
    if not found.values:
        return (Text("Not available: a part of every ratio is missing."),)
    return (Image("ratios", found),)


def differentiation(view: VisitView) -> tuple[Block, ...]:
    """CD8 by CCR7 and CD45RA."""
    found = quadrants(view)
    if not found.stack:
        return (Text("Not available: CCR7 and CD45RA were not measured on CD8 at this visit."),)
    return (Image("differentiation", found, "Per cent of CD8+ T cells by CCR7 and CD45RA. n = 1 subject."),)


def rows_until(view: VisitView) -> list[int]:
    """Rows of the subject until the visit, in the order of time."""
    found = [(view.source.course_day(row), row) for row in view.source.rows_of(view.subject)]
    return [row for day, row in sorted(found) if day <= view.until]


def series(view: VisitView) -> tuple[Series, ...]:
    """Three populations, each in the measure that the study declares, else in cells/uL where the visit has them."""
    source, rows = view.source, rows_until(view)
    declared = {one.population: one.measure for one in reversed(source.config.endpoints) if source.has(one.population)}
    wanted = list(dict.fromkeys([*reversed(declared), *shown_populations(source)[0]]))[:3]
    found = []
    for population in wanted:
        measure = declared.get(population, "abs")
        # Cells/uL that this visit does not have would leave it out of its own figure.
        if measure == "abs" and _absent(view, population, "abs") and not _absent(view, population, "pct_parent"):
            measure = "pct_parent"
        found.append(_series(view, population, rows, measure))
    return tuple(one for one in found if any(not math.isnan(value) for value in one.values))


def _absent(view: VisitView, population: str, measure: Measure) -> bool:
    return view.source.value(view.row, population, measure).state == "missing"


def _series(view: VisitView, population: str, rows: list[int], measure: Measure) -> Series:
    source = view.source
    values = [source.value(row, population, measure) for row in rows]
    return Series(
        population,
        source.display(population),
        view.subject,
        "",
        tuple(source.obs(row, "visit") for row in rows),
        tuple(source.course_day(row) for row in rows),
        tuple(value.number for value in values),
        tuple(value.lower for value in values),
        tuple(value.upper for value in values),
        tuple(value.state == "suppressed" for value in values),
        measure=measure,
    )


def cmv(view: VisitView) -> tuple[CmvSeries, ...]:
    """CMV-DNA of the subject until the visit."""
    found = []
    for one in cmv_of_table(view.source.virology_of(view.subject), view.source.anchors, {}):
        keep = [place for place, day in enumerate(one.days) if day <= view.until]
        days, heights = (tuple(values[place] for place in keep) for values in (one.days, one.heights))
        found.append(replace(one, days=days, heights=heights, kinds=tuple(one.kinds[place] for place in keep)))
    return tuple(one for one in found if one.days)


def bars(view: VisitView) -> tuple[Bar, ...]:
    """Treatment until the visit; nothing when blinded."""
    source = view.source
    if source.blinded:
        return ()
    study, anchor = source.study_of(view.subject), source.anchors.get(view.subject)
    return tuple(treatment_bars(study.dosing, study.conmeds, view.subject, anchor, until=view.until))


def undrawn(view: VisitView) -> tuple[str, ...]:
    """Treatments without a place on the time axis; nothing when blinded."""
    source = view.source
    if source.blinded:
        return ()
    study, anchor = source.study_of(view.subject), source.anchors.get(view.subject)
    undated = undated_treatment(study.dosing, study.conmeds, view.subject, anchor)
    return (f"start not known to the day: {', '.join(undated)}",) if undated else ()


def lab_course(view: VisitView) -> tuple[LabSeries, ...]:
    """Safety laboratory of the subject until the visit with its CTCAE grades; empty when the run has none."""
    anchor = view.source.anchors.get(view.subject)
    rows = [row for row in view.table("safety") or [] if days_since(anchor, row["collected_dtc"]) <= view.until]
    return tuple(lab_courses(rows, anchor, tests=COURSE_TESTS)[0])


def schedule(view: VisitView) -> tuple[tuple[str, float], ...]:
    """Flow visits on the time axis: until the visit, and at least until the primary one."""
    source = view.source
    last = max(view.until, source.planned_days[source.config.primary_visit])
    return tuple((name, source.planned_days[name]) for name in source.flow_visits if source.planned_days[name] <= last)


def gating_panels(view: VisitView) -> tuple[GatingPanels, ...]:
    """Plots of every tube on the way to the key populations whose numbers come from it, in gating order."""
    base = view.baseline_visit
    earlier = base not in ("", view.visit)
    found = []
    for tube in view.tubes:
        now = _panels(view, view.visit, tube)
        before = _panels(view, base, tube) if earlier else {}
        keys = _on_the_way(view, tube, {**before, **now})
        if not any(key in now for key in keys):
            continue
        names = {name for key in keys for name in (key[0], *key[3])}
        displays = tuple((name, view.source.display(name)) for name in sorted(names) if view.source.has(name))
        shown, then = (tuple(panels.get(key) for key in keys) for panels in (now, before))
        found.append(GatingPanels(tube, shown, then if before else (), displays, (base or "none", view.visit)))
    return tuple(found)


Key = tuple[str, str, str, tuple[str, ...]]


def _panels(view: VisitView, visit: str, tube: str) -> dict[Key, Panel]:
    """Plots of a tube by parent, axes and gates; a population whose number is from another tube has none here."""
    source = view.source
    sample_id = source.samples.get((view.subject, visit), {}).get(tube)
    if sample_id is None:
        return {}
    numbers = source.percentages(sample_id)
    elsewhere = {one.population: one.main.tubes[0] for one in view.rows if one.main.tubes[0] != tube}
    remark = "FAIL" if source.states.get((view.subject, visit, tube)) == "FAIL" else ""
    found: dict[Key, Panel] = {}
    for raster in source.rasters.of(sample_id):
        gates = tuple(outline.population for outline in raster.outlines)
        shown = {} if remark else {name: numbers.get(name, math.nan) for name in gates if name not in elsewhere}
        notes = {name: f" (number: tube {elsewhere[name]})" for name in gates if name in elsewhere}
        found[raster.parent, raster.x_marker, raster.y_marker, gates] = Panel(raster, shown, remark, notes)
    return found


def _on_the_way(view: VisitView, tube: str, panels: dict[Key, Panel]) -> list[Key]:
    """Plots that cut out key populations of the tube or their ancestors; every plot of a tube without any."""
    wanted = [one.population for one in view.rows if one.main.tubes[0] == tube]
    wanted += [CONFIRMED, WITHOUT_CD25] if "treg" in wanted else []
    parents = view.source.parents_of(view.tubes[tube])
    line = set(wanted)
    for name in wanted:
        while (name := parents.get(name, "")) not in ("", "root"):
            line.add(name)
    # A Boolean population is on no plot: the gates that it is made of are those of its parent that lead nowhere else.
    drawn = {name for key in panels for name in key[3]}
    unseen = {parents.get(name) for name in line if name not in drawn}
    leads = drawn & {parent for parent in parents.values()}
    chosen = [key for key in panels if line & {*key[3]} or (key[0] in unseen and not leads & {*key[3]})]
    return (chosen or list(panels))[-MOST_PLOTS:]


def ratio_course(view: VisitView) -> RatioCourse:
    """Ratios until the visit; those that were never measured are left out."""
    source = view.source
    table: Any = source.obsm.get("ratios")
    rows = rows_until(view) if view.row is not None else []
    if table is None or not rows:
        return RatioCourse((), (), ())
    # A ratio of cells of a failed tube is as wrong as they are.
    failed = [any(source.states.get((view.subject, source.obs(row, "visit"), tube)) == "FAIL"
                  for tube in source.config.tubes) for row in rows]  # fmt: skip
    found = []
    for name in table.columns:
        own = cells(np.asarray(table[name])[rows], "number")
        values = tuple(math.nan if lost else value for value, lost in zip(own, failed, strict=True))
        if any(not math.isnan(value) for value in values):
            found.append((str(name), values))
    visits = tuple(source.obs(row, "visit") for row in rows)
    days = tuple(source.course_day(row) for row in rows)
    return RatioCourse(visits, days, tuple(found[:6]))


def quadrants(view: VisitView) -> Differentiation:
    """CD8 differentiation at baseline, the previous visit and this one; empty where it is not measured."""
    source = view.source
    if view.row is None or not all(source.has(name) for name in QUADRANTS):
        return Differentiation((), ())
    rows = list(dict.fromkeys(row for row in (view.baseline_row, view.previous_row, view.row) if row is not None))
    stack = tuple((name, tuple(source.value(row, name, "pct_parent").number for row in rows)) for name in QUADRANTS)
    if all(math.isnan(value) for _, values in stack for value in values):
        return Differentiation((), ())
    return Differentiation(tuple(source.obs(row, "visit") for row in rows), stack)
