"""CMV-DNA curves with the limit of quantification, one panel an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import cells
from immunoprofile.pl import panels, style
from immunoprofile.pl.series import CmvSeries, anchors_of, cmv_of_table, cmv_of_visits, study_arms
from immunoprofile.pl.sketch import Sketch
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pl.ticks import axis_ticks

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.figure import Figure


def cmv(
    visits: AnnData, *, virology: pd.DataFrame | None = None, subject: str | None = None, by_arm: bool = True
) -> Figure:
    """CMV-DNA of every subject on the log10 scale, one panel an arm.

    Parameters
    ----------
    visits
        Visits object.
    virology
        Table of all results, also unscheduled ones; default the results at flow visits from ``obs``.
    subject
        One subject; default all.
    by_arm
        False puts all subjects into one panel (blinded).

    Returns
    -------
    Figure
        Results below the LLOQ and "not detected" are open downward triangles at the LLOQ line: they are
        censored there, the height is no measurement. The number of subjects stands in each title.

    Raises
    ------
    NotAvailableError
        There is no CMV-DNA result.
    """
    if virology is None:
        found = cmv_of_visits(visits, subject=subject)
    else:
        arms = dict(zip(visits.obs["usubjid"].astype(str), cells(visits.obs["arm"], "text"), strict=True))
        found = [
            one for one in cmv_of_table(virology, anchors_of(visits), arms) if subject is None or one.subject == subject
        ]
    order = study_arms(visits) if by_arm else ()
    present = {one.arm for one in found}
    return cmv_figure(found, arms=order, shown=[arm for arm in order if arm in present])


def cmv_figure(
    series: Sequence[CmvSeries],
    *,
    arms: Sequence[str] = (),
    shown: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Figure:
    """CMV-DNA curves from plain values: see :func:`cmv_sketch`."""
    return sketch_figure(cmv_sketch(series, arms=arms, shown=shown, labels=labels))


def cmv_sketch(
    series: Sequence[CmvSeries],
    *,
    arms: Sequence[str] = (),
    shown: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Sketch:
    """CMV-DNA curves from plain values; one panel an arm, or one for all without ``arms``.

    ``arms`` are all of the study in its order, ``shown`` those that get a panel (default all).
    """
    series = [one for one in series if one.days]
    if not series:
        raise NotAvailableError("there is no CMV-DNA result", where="pl.cmv", todo="add cmv_dna to the study tables")
    groups = (
        {arm: [one for one in series if one.arm == arm] for arm in (arms if shown is None else shown)}
        if arms
        else {"": series}
    )
    marks = style.arm_marks(arms) if arms else None
    names = labels or {}
    every = [height for one in series for height in one.heights] + [one.lloq for one in series if one.lloq == one.lloq]
    days = [day for one in series for day in one.days]
    made = Sketch(style.WIDTH, 2.75, _alt(groups, names))
    made.grid(1, len(groups), left=0.09, right=0.985, top=0.9, bottom=0.235, between=0.16)
    for panel, (arm, group) in zip(made.panels, groups.items(), strict=True):
        panels.draw_cmv(panel, group, marks, limits=(min(every) - 0.35, max(every) + 0.35))
        panel.title = f"{names.get(arm, arm) or 'all subjects'}: n = {len(group)} subjects"
        panel.x.limits = (min(days) - 2, max(days) + 2)
        panel.x.ticks = axis_ticks(*panel.x.limits, panel.points[0], size=panel.x.size, upward=False)
        panel.x.label = "days since first IL-2 or randomisation (day 0)"
        if panel is not made.panels[0]:
            panel.y.label = ""
    made.note(f"{panels.CMV_LEGEND}.")
    return made


def _alt(groups: Mapping[str, Sequence[CmvSeries]], names: Mapping[str, str]) -> str:
    """Results of every panel in words."""
    parts = []
    for arm, group in groups.items():
        kinds = [kind for one in group for kind in one.kinds]
        words = f"{names.get(arm, arm) or 'all subjects'}: {len(group)} subjects, {len(kinds)} results"
        parts.append(f"{words}, {sum(kind != 'QUANT' for kind in kinds)} of them known only as a bound")
    return f"CMV-DNA over time with the limit of quantification. {'; '.join(parts)}."
