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
from immunoprofile.report.content import Block, Image, Text
from immunoprofile.report.key_table import shown_populations
from immunoprofile.report.source import Source

if TYPE_CHECKING:
    from immunoprofile.report.view import VisitView

COURSE_TESTS: Final = ("ANC", "PLT", "CREAT")
"""Laboratory tests of the course on page one: what ganciclovir harms, and what its dose depends on."""
THUMBNAILS: Final = 6
_WANTED: Final = (
    ("lymphocytes",), ("nk",), ("cd8", "cd4"), ("treg",), ("nk_bright", "nk_dim"), ("cd8_act",), ("treg_foxp3",),
    ("t",), ("cd8_naive",),
)  # fmt: skip
"""Gates worth a thumbnail, the most telling first; a plot that shows several stands once."""


@dataclass(frozen=True, eq=False)
class GatingPanels:
    """Thumbnails of the visit and the same plots at baseline."""

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
    caption = (
        "Open triangle: censored, down at the LLOQ (below it or not detected), up at the ULOQ. Error bars: 95 %, "
        "counting only (beads: and pipetting). ✕: failed tube. Laboratory: number = CTCAE grade from 1 (version: "
        "see the grades), ? = not decided, light line = a grade begins. n = 1, data up to this visit."
        + (f" Not drawn: {'; '.join(drawn.undrawn)}." if drawn.undrawn else "")
    )
    return (Image("timeline", drawn, caption, style="timeline"),)


def timeline(view: VisitView) -> Timeline:
    """What the course is drawn from."""
    found, measure = series(view)
    return Timeline(
        view.subject, found, cmv(view), lab_course(view), bars(view), undrawn(view), measure, schedule(view),
        "day 0" if view.source.blinded else DAY_ZERO,
    )  # fmt: skip


def gating(view: VisitView) -> tuple[Block, ...]:
    """Gating plots of the visit below those of the baseline."""
    panels = gating_panels(view)
    if panels is None:
        return (Text("No gating plot: nothing was gated at this visit."),)
    caption = (
        "Identical axes in both rows; percentages are of the parent named above each plot, n its events; colour is log "
        "density. Fluorescence in arbitrary units."
    )
    return (Image("gating", panels, caption, style="wide"),)


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
    found = [(axis_day(view.source.obs(row, "study_day")), row) for row in view.source.rows_of(view.subject)]
    return [row for day, row in sorted(found) if day <= view.until]


def series(view: VisitView) -> tuple[tuple[Series, ...], Measure]:
    """Three populations of a subject: cells/uL, or percentages where the subject has no cells/uL at all."""
    source = view.source
    populations = [endpoint.population for endpoint in source.config.endpoints if source.has(endpoint.population)]
    populations = list(dict.fromkeys([*populations, *shown_populations(source)[0]]))[:3]
    rows = rows_until(view)
    measures: tuple[Measure, ...] = ("abs", "pct_parent")
    for measure in measures:
        found = tuple(_series(view, population, rows, measure) for population in populations)
        if any(not math.isnan(value) for one in found for value in one.values):
            return found, measure
    return (), "pct_parent"


def _series(view: VisitView, population: str, rows: list[int], measure: Measure) -> Series:
    source = view.source
    values = [source.value(row, population, measure) for row in rows]
    return Series(
        population,
        source.display(population),
        view.subject,
        "",
        tuple(source.obs(row, "visit") for row in rows),
        tuple(axis_day(source.obs(row, "study_day")) for row in rows),
        tuple(value.number for value in values),
        tuple(value.lower for value in values),
        tuple(value.upper for value in values),
        tuple(value.state == "suppressed" for value in values),
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
    study, anchor = source.profile.study, source.anchors.get(view.subject)
    return tuple(treatment_bars(study.dosing, study.conmeds, view.subject, anchor, until=view.until))


def undrawn(view: VisitView) -> tuple[str, ...]:
    """Treatments without a place on the time axis; nothing when blinded."""
    source = view.source
    if source.blinded:
        return ()
    study, anchor = source.profile.study, source.anchors.get(view.subject)
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


def gating_panels(view: VisitView) -> GatingPanels | None:
    """Thumbnails of the visit and the same plots at baseline; None without a plot of the visit."""
    now = _panels(view.source, view.subject, view.visit)
    base = view.baseline_visit
    before = _panels(view.source, view.subject, base) if base not in ("", view.visit) else {}
    keys = _choose({**before, **now})
    if not any(key in now for key in keys):
        return None
    names = {name for key in keys for name in (key[1], *key[4])}
    displays = tuple((name, view.source.display(name)) for name in sorted(names) if view.source.has(name))
    shown = tuple(now.get(key) for key in keys)
    earlier = tuple(before.get(key) for key in keys) if before else ()
    return GatingPanels(shown, earlier, displays, (base or "none", view.visit))


Key = tuple[str, str, str, str, tuple[str, ...]]


def _panels(source: Source, subject: str, visit: str) -> dict[Key, Panel]:
    found: dict[Key, Panel] = {}
    for tube, sample_id in source.samples.get((subject, visit), {}).items():
        counts = source.profile.counts
        own = counts[counts["sample_id"] == sample_id]
        percentages: dict[str, float] = {}
        for population, value in zip(cells(own["population"], "text"), cells(own["pct_parent"], "number"), strict=True):
            percentages.setdefault(population, value)
        failed = source.states.get((subject, visit, tube)) == "FAIL"
        for raster in source.profile.rasters(sample_id):
            key = (tube, raster.parent, raster.x_marker, raster.y_marker, tuple(o.population for o in raster.outlines))
            shown = {} if failed else {name: percentages.get(name, math.nan) for name in key[4]}
            found[key] = Panel(raster, shown, "FAIL" if failed else "")
    return found


def _choose(panels: dict[Key, Panel]) -> list[Key]:
    """At most six plots: those with a wanted gate, then any others, in a fixed order."""
    chosen: list[Key] = []
    for group in _WANTED:
        for name in group[:1]:
            key = next((key for key in panels if name in key[4]), None)
            if key is not None and key not in chosen:
                chosen.append(key)
    chosen += [key for key in panels if key not in chosen and key[1] != "root"]
    return chosen[:THUMBNAILS]


def ratio_course(view: VisitView) -> RatioCourse:
    """Ratios until the visit; those that were never measured are left out."""
    source = view.source
    table: Any = source.visits.obsm.get("ratios")
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
    days = tuple(axis_day(source.obs(row, "study_day")) for row in rows)
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
