"""Populations over time with CMV-DNA and treatment on one time axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import cells
from immunoprofile.pl import panels, style
from immunoprofile.pl.patient_timeline import Timeline, timeline_figure
from immunoprofile.pl.series import (
    Bar,
    CmvSeries,
    Measure,
    PanelMeasure,
    Series,
    anchors_of,
    cmv_of_table,
    cmv_of_visits,
    population_series,
    study_arms,
    treatment_bars,
)
from immunoprofile.pl.sketch import Key, Legend, Line, Marks, Panel, Sketch
from immunoprofile.pl.sketch_figure import sketch_figure

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.figure import Figure


def trajectory(
    visits: AnnData,
    populations: Sequence[str],
    *,
    subject: str | None = None,
    measure: Measure = "abs",
    virology: pd.DataFrame | None = None,
    dosing: pd.DataFrame | None = None,
    conmeds: pd.DataFrame | None = None,
    by_arm: bool = True,
) -> Figure:
    """Populations over time: of one subject, or of all subjects with the median of each arm.

    Parameters
    ----------
    visits
        Visits object (subject-visits x populations).
    populations
        Ids of at least one population, usually three.
    subject
        One subject; default all, thin, with arm medians.
    measure
        ``abs`` (cells/uL, log axis; default) or ``pct_parent`` (per cent of the parent, 0-100).
    virology
        Table of all CMV-DNA results; default those at the flow visits as they stand in ``obs``.
    dosing, conmeds
        Tables of the study; treatment bars are drawn for a single subject when ``dosing`` is given.
    by_arm
        False draws all subjects alike and one median (blinded).

    Returns
    -------
    Figure
        Values below the limit of quantification are open triangles at the limit; intervals are 95 %, counting
        noise only (with pipetting for cells/uL from beads). n stands below the axis.

    Raises
    ------
    NotAvailableError
        A population, the subject or absolute counts are not in the object.

    Examples
    --------
    >>> figure = ip.pl.trajectory(visits, ["treg", "nk", "cd8"])  # doctest: +SKIP
    """
    if not populations:
        raise NotAvailableError("no population was named", where="pl.trajectory", todo='for instance ["treg", "nk"]')
    if subject is not None and subject not in set(visits.obs["usubjid"].astype(str)):
        known = ", ".join(sorted(set(visits.obs["usubjid"].astype(str))))
        raise NotAvailableError(f"no subject {subject!r}", where="pl.trajectory", todo=f"choose of: {known}")
    series = [population_series(visits, name, measure=measure, subject=subject) for name in populations]
    if virology is None:
        cmv = cmv_of_visits(visits, subject=subject)
    else:
        anchors = anchors_of(visits)
        arms = dict(zip(visits.obs["usubjid"].astype(str), cells(visits.obs["arm"], "text"), strict=True))
        cmv = [one for one in cmv_of_table(virology, anchors, arms) if subject in (None, one.subject)]
    if subject is None:
        return arm_figure(series, cmv, measure=measure, arms=study_arms(visits) if by_arm else ())
    bars: list[Bar] = []
    if dosing is not None:
        import pandas as pd

        last = max([day for one in series for row in one for day in row.days] + [0.0])
        medicines = conmeds if conmeds is not None else pd.DataFrame(columns=["usubjid", "drug"])
        bars = treatment_bars(dosing, medicines, subject, anchors_of(visits).get(subject), until=last)
    rows = tuple(row for one in series for row in one)
    return timeline_figure(Timeline(subject, rows, tuple(cmv), (), tuple(bars)))


def arm_figure(
    series: Sequence[Sequence[Series]],
    cmv: Sequence[CmvSeries],
    *,
    measure: PanelMeasure | Sequence[PanelMeasure],
    arms: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> Figure:
    """One panel a population and one of CMV-DNA: see :func:`arm_sketch`."""
    return sketch_figure(arm_sketch(series, cmv, measure=measure, arms=arms, labels=labels))


def arm_sketch(
    series: Sequence[Sequence[Series]],
    cmv: Sequence[CmvSeries],
    *,
    measure: PanelMeasure | Sequence[PanelMeasure],
    arms: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> Sketch:
    """One panel a population, thin lines per subject, thick medians per arm, and CMV-DNA on the same time axis.

    ``measure`` is one for all populations or one each; without ``arms`` all subjects are drawn alike.
    """
    measures = [measure] * len(series) if isinstance(measure, str) else list(measure)
    looks = style.arm_marks(arms)
    present = {one.arm for group in series for one in group}
    marks = {arm: looks[arm] for arm in arms or ("",) if not arms or arm in present}
    days: dict[str, float] = {}
    for group in series:
        for visit, (day, _, _) in panels.medians(group).items():
            days.setdefault(visit, day)
    count = len(series) + 1
    rows = math.ceil(count / 2)
    below = 0.6 + 0.13 * len(marks)
    height = rows * (1.75 + below) + 0.45
    made = Sketch(style.WIDTH, height, _alt(series, cmv, measures, list(marks), labels or {}))
    made.grid(
        rows, 2, left=0.125, right=0.985, top=1 - 0.5 / height, bottom=(below - 0.1) / height,
        above=(below + 0.2) / 1.75, between=0.3,
    )  # fmt: skip
    del made.panels[count:]
    *populations, virus = made.panels
    for panel, group, one_measure in zip(populations, series, measures, strict=True):
        _draw_arm_panel(panel, group, marks, measure=one_measure, pooled=not arms)
        panels.day_axis(panel, days)
    virus.title = "CMV-DNA"
    if any(one.days for one in cmv):
        panels.draw_cmv(virus, cmv, marks)
    else:
        panels.nothing(virus, "CMV-DNA: not done")
    last = max([day for one in cmv for day in one.days], default=0.0)
    first = min([max(day, -14.0) for one in cmv for day in one.days] + [0.0])
    panels.day_axis(virus, days, first=first, last=last)
    if arms:
        keys = tuple(
            Key((labels or {}).get(arm) or arm, mark.color, symbol=mark.marker, dash=mark.line)
            for arm, mark in marks.items()
        )
        made.legends.append(Legend(keys, 0.06, 1 - 0.02 / height, "upper left", columns=len(keys), handle=3.2))
    made.note("x: days since first IL-2 or randomisation, visit below. Thin: subjects; thick: medians.")
    return made


def _alt(
    series: Sequence[Sequence[Series]],
    cmv: Sequence[CmvSeries],
    measures: Sequence[PanelMeasure],
    arms: Sequence[str],
    labels: Mapping[str, str],
) -> str:
    """Medians of every panel in words."""
    parts = []
    for group, measure in zip(series, measures, strict=True):
        unit = {"abs": "cells/µL", "pct_parent": "% of parent"}.get(measure, "readout")
        for arm in arms:
            middle = panels.medians([one for one in group if arm in ("", one.arm)])
            values = ", ".join(f"{visit} {style.amount(value)} (n = {n})" for visit, (_, value, n) in middle.items())
            name = f"{group[0].display if group else 'no population'}, {labels.get(arm, arm) or 'all subjects'}"
            parts.append(f"{name}, {unit}: {values or 'no value'}")
    virus = f"CMV-DNA of {sum(bool(one.days) for one in cmv)} subjects is drawn with its limit of quantification"
    return f"Courses, subjects thin and medians thick. Medians: {'; '.join(parts) or 'none'}. {virus}."


def _draw_arm_panel(
    panel: Panel, group: Sequence[Series], marks: Mapping[str, style.Mark], *, measure: PanelMeasure, pooled: bool
) -> None:
    panel.title = group[0].display if group else ""
    values = [value for one in group for value in one.values if not math.isnan(value)]
    counts: dict[str, dict[float, int]] = {}
    for arm, mark in marks.items():
        members = [one for one in group if pooled or one.arm == arm]
        for one in members:
            panels.draw_series(panel, one, mark, thin=True, log=measure == "abs")
        middle = sorted(panels.medians(members).values())
        x, y = [point[0] for point in middle], [point[1] for point in middle]
        panel.add(
            Line(x, y, mark.color, 2.0, mark.line, order=5),
            Marks(x, y, mark.marker, 5.5, mark.color, "white", 0.6, order=5),
        )
        counts[arm] = {point[0]: point[2] for point in middle}
    if measure == "abs":
        panels.log_axis(panel, values)
        panel.y.label = "cells/µL (log scale)"
    else:
        unit = next((one.unit for one in group if one.unit), "")
        panel.y.label = "% of parent" if measure == "pct_parent" else unit or "functional readout"
        panels.up_from_zero(panel, max([value for value in values if value > 0], default=1.0) * 1.1)
    panels.n_below(panel, counts, {arm: mark.color for arm, mark in marks.items()})
