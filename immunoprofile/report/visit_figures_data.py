"""What the figures of a visit report are drawn from, cut at the day of the visit."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from immunoprofile.io.dates import days_since
from immunoprofile.io.records import cells
from immunoprofile.pl.composition import QUADRANTS
from immunoprofile.pl.patient_timeline import LabSeries, lab_courses
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
from immunoprofile.report.key_table import shown_populations
from immunoprofile.report.source import Source

COURSE_TESTS: Final = ("ANC", "PLT", "CREAT")
"""Laboratory tests of the course on page one: what ganciclovir harms, and what its dose depends on."""
THUMBNAILS: Final = 6
_WANTED: Final = (
    ("lymphocytes",), ("nk",), ("cd8", "cd4"), ("treg",), ("nk_bright", "nk_dim"), ("cd8_act",), ("treg_foxp3",),
    ("t",), ("cd8_naive",),
)  # fmt: skip
"""Gates worth a thumbnail, the most telling first; a plot that shows several stands once."""


def rows_until(source: Source, subject: str, cutoff: float) -> list[int]:
    """Rows of a subject up to a day, in the order of time."""
    found = []
    for (owner, _), row in source.rows.items():
        day = axis_day(source.obs(row, "study_day"))
        if owner == subject and not math.isnan(day) and day <= cutoff:
            found.append((day, row))
    return [row for _, row in sorted(found)]


def series(source: Source, subject: str, *, cutoff: float) -> tuple[tuple[Series, ...], Measure]:
    """Three populations of a subject: cells/uL, or percentages where the subject has no cells/uL at all."""
    populations = [endpoint.population for endpoint in source.config.endpoints if source.has(endpoint.population)]
    populations = list(dict.fromkeys([*populations, *shown_populations(source)[0]]))[:3]
    rows = rows_until(source, subject, cutoff)
    measures: tuple[Measure, ...] = ("abs", "pct_parent")
    for measure in measures:
        found = tuple(_series(source, subject, population, rows, measure) for population in populations)
        if any(not math.isnan(value) for one in found for value in one.values):
            return found, measure
    return (), "pct_parent"


def _series(source: Source, subject: str, population: str, rows: list[int], measure: Measure) -> Series:
    values = [source.value(row, population, measure) for row in rows]
    return Series(
        population,
        source.display(population),
        subject,
        "",
        tuple(source.obs(row, "visit") for row in rows),
        tuple(axis_day(source.obs(row, "study_day")) for row in rows),
        tuple(value.number for value in values),
        tuple(value.lower for value in values),
        tuple(value.upper for value in values),
        tuple(value.state == "suppressed" for value in values),
    )


def cmv(source: Source, subject: str, *, cutoff: float) -> tuple[CmvSeries, ...]:
    """CMV-DNA of a subject up to a day."""
    table = source.profile.virology
    own = table[table["usubjid"].astype(str) == subject]
    found = []
    for one in cmv_of_table(own, source.anchors, {}):
        keep = [place for place, day in enumerate(one.days) if day <= cutoff]
        found.append(
            CmvSeries(
                one.subject, "", tuple(one.days[place] for place in keep), tuple(one.heights[place] for place in keep),
                tuple(one.kinds[place] for place in keep), one.lloq, one.unit,
            )
        )  # fmt: skip
    return tuple(one for one in found if one.days)


def bars(source: Source, subject: str, *, cutoff: float) -> tuple[Bar, ...]:
    """Treatment up to a day; nothing when blinded."""
    if source.blinded:
        return ()
    study = source.profile.study
    return tuple(treatment_bars(study.dosing, study.conmeds, subject, source.anchors.get(subject), until=cutoff))


def undrawn(source: Source, subject: str) -> tuple[str, ...]:
    """Treatments without a place on the time axis; nothing when blinded."""
    if source.blinded:
        return ()
    study = source.profile.study
    undated = undated_treatment(study.dosing, study.conmeds, subject, source.anchors.get(subject))
    return (f"start not known to the day: {', '.join(undated)}",) if undated else ()


def lab_course(source: Source, subject: str, *, cutoff: float) -> tuple[LabSeries, ...]:
    """Safety laboratory of a subject up to a day with its CTCAE grades; empty when the run has none."""
    anchor = source.anchors.get(subject)
    graded = (source.results_of("safety") or {}).get(subject, [])
    rows = [row for row in graded if days_since(anchor, row["collected_dtc"]) <= cutoff]
    return tuple(lab_courses(rows, anchor, tests=COURSE_TESTS)[0])


def schedule(source: Source, *, cutoff: float) -> tuple[tuple[str, float], ...]:
    """Flow visits on the time axis: up to the visit, and at least up to the primary one."""
    last = max(cutoff, source.planned_days[source.config.primary_visit])
    return tuple((name, source.planned_days[name]) for name in source.flow_visits if source.planned_days[name] <= last)


def gating_panels(
    source: Source, subject: str, visit: str
) -> tuple[tuple[Panel | None, ...], tuple[Panel | None, ...], tuple[tuple[str, str], ...]]:
    """Thumbnails of the visit and the same plots at baseline."""
    now = _panels(source, subject, visit)
    base_row = source.baselines.get(subject)
    base_visit = source.obs(base_row, "visit")
    before = _panels(source, subject, base_visit) if base_visit and base_visit != visit else {}
    keys = _choose({**before, **now})
    if not any(key in now for key in keys):
        return (), (), ()
    names = {name for key in keys for name in (key[1], *key[4])}
    displays = tuple((name, source.display(name)) for name in sorted(names) if source.has(name))
    shown = tuple(now.get(key) for key in keys)
    earlier = tuple(before.get(key) for key in keys) if before else ()
    return shown, earlier, displays


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


def ratio_series(
    source: Source, subject: str, visit: str
) -> tuple[tuple[str, ...], tuple[float, ...], tuple[tuple[str, tuple[float, ...]], ...]]:
    """Ratios up to the visit; those that were never measured are left out."""
    table: Any = source.visits.obsm.get("ratios")
    rows = rows_until(source, subject, source.visit_day(subject, visit)) if (subject, visit) in source.rows else []
    if table is None or not rows:
        return (), (), ()
    found = []
    for name in table.columns:
        values = tuple(cells(np.asarray(table[name])[rows], "number"))
        # A ratio of cells of a failed tube is as wrong as they are.
        values = tuple(
            math.nan if _failed(source, row) else value for row, value in zip(rows, values, strict=True)
        )  # fmt: skip
        if any(not math.isnan(value) for value in values):
            found.append((str(name), values))
    visits = tuple(source.obs(row, "visit") for row in rows)
    days = tuple(axis_day(source.obs(row, "study_day")) for row in rows)
    return visits, days, tuple(found[:6])


def _failed(source: Source, row: int) -> bool:
    subject, visit = source.obs(row, "usubjid"), source.obs(row, "visit")
    return any(source.states.get((subject, visit, tube)) == "FAIL" for tube in source.config.tubes)


def quadrants(source: Source, subject: str, visit: str) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """CD8 differentiation at baseline, the previous visit and this one; empty where it is not measured."""
    if (subject, visit) not in source.rows or not all(source.has(name) for name in QUADRANTS):
        return ()
    wanted = [source.baselines.get(subject), source.previous_row(subject, visit), source.rows[subject, visit]]
    rows = list(dict.fromkeys(row for row in wanted if row is not None))
    stack = {name: tuple(source.value(row, name, "pct_parent").number for row in rows) for name in QUADRANTS}
    if all(math.isnan(value) for values in stack.values() for value in values):
        return ()
    labels = ("visits", tuple(float(row) for row in rows))
    return (labels, *stack.items())
