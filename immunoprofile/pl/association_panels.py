"""Populations against CMV-DNA inside subjects: one panel an endpoint, parallel lines of the common slope."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from immunoprofile import schema
from immunoprofile.io.records import cells, records
from immunoprofile.pl import style
from immunoprofile.pl.sketch import TITLE_SIZE, Line, Marks, Panel, Sketch, Words, empty_sketch
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pl.ticks import axis_ticks

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_AXIS: Final[dict[str, str]] = {
    "abs": "cells/µL (log scale)",
    "pct_parent": "% of parent (logit scale)",
    "functional": "readout (log scale)",
}
_DESCRIBED: Final = ("S8",)


@dataclass(frozen=True)
class AssociationPanel:
    """Points of one endpoint. ``censored`` is -1 below the LLOQ, 1 above the ULOQ, 0 where quantified.

    ``x`` is the population on the analysis scale, ``y`` log10 CMV-DNA (censored: at the limit). ``slope`` is the common
    slope inside subjects, NaN where there is none.
    """

    title: str
    axis: str
    subjects: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    censored: tuple[int, ...]
    slope: float
    words: str
    unit: str = ""

    def lines(self) -> list[tuple[str, tuple[float, float], tuple[float, float]]]:
        """Subject, x and y of the ends of its line, through its means with the common slope; two points at least."""
        found = []
        for name in dict.fromkeys(self.subjects):
            rows = [row for row, owner in enumerate(self.subjects) if owner == name]
            xs, ys = [self.x[row] for row in rows], [self.y[row] for row in rows]
            if len(rows) < 2 or math.isnan(self.slope) or max(xs) == min(xs):
                continue
            middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
            ends = (min(xs), max(xs))
            heights = (middle_y + self.slope * (ends[0] - middle_x), middle_y + self.slope * (ends[1] - middle_x))
            found.append((name, ends, heights))
        return found


def association(
    visits: AnnData,
    populations: Sequence[str] | None = None,
    *,
    table: pd.DataFrame | None = None,
    include_failed: bool = False,
) -> Figure:
    """Populations against log10 CMV-DNA inside subjects, one panel an endpoint of the statistics table.

    Parameters
    ----------
    visits
        Visits object with CMV-DNA in ``obs``.
    populations
        Endpoints to show; default all of the table.
    table
        Rows of method S8 (repeated-measures correlation); default ``visits.uns['associate']``. r, its interval and
        p in the title come from it, the figure computes none of them.
    include_failed
        As it was given to ``tl.associate``.

    Returns
    -------
    Figure
        One colour and symbol a subject. The lines are parallel: they have the common slope inside subjects adjusted for
        visit, the one that r describes, so that a trend over time that all subjects share moves the points and not
        the lines; where r is not estimable there are none. Open triangles: CMV-DNA below the LLOQ (down) or above the
        ULOQ (up), drawn at the limit. Rows without a value or CMV-DNA have no point.
    """
    given = visits.uns.get(schema.UNS_ASSOCIATE) if table is None else table
    what = "Association with CMV-DNA"
    if given is None or len(given) == 0:
        return sketch_figure(empty_sketch("There are no statistics: run tl.associate(visits).", what=what))
    rows = [row for row in records(given, schema.STATISTICS) if row["method_id"] in _DESCRIBED]
    rows = [row for row in rows if populations is None or row["population"] in populations]
    if not rows:
        wanted = "" if populations is None else f" of {', '.join(populations)}"
        return sketch_figure(empty_sketch(f"The table has no repeated-measures correlation{wanted}.", what=what))
    panels = [association_panel(visits, row, include_failed=include_failed) for row in rows]
    return sketch_figure(association_sketch(panels))


def association_panel(visits: AnnData, row: dict[Any, Any], *, include_failed: bool) -> AssociationPanel:
    """What :func:`association` draws of one row of the table."""
    from immunoprofile.tl.association import at_bound, cmv_bounds, first_series

    population, measure = row["population"], row["measure"]
    values = _on_scale(visits, population, measure, include_failed=include_failed)
    lower, upper = cmv_bounds(visits)
    virus, _ = at_bound(lower, upper)
    used = first_series(visits) & ~np.isnan(values) & ~np.isnan(virus)
    owners = visits.obs["usubjid"].astype(str).to_numpy()[used]
    side = np.where(np.isinf(lower), -1, np.where(np.isinf(upper), 1, 0))[used]
    x, y = values[used], virus[used]
    display = population
    if population in visits.var_names and "display" in visits.var:
        display = records(visits.var.loc[[population]], "var")[0]["display"] or population
    slope = math.nan
    if not math.isnan(row["estimate"]):
        arm_visit = visits.obs["arm"].astype(str) + " " + visits.obs["visit"].astype(str)
        slope = common_slope(owners, arm_visit.to_numpy()[used], x, y)
    unit = next(filter(None, cells(visits.obs["cmv_unit"][used], "text")), "") if "cmv_unit" in visits.obs else ""
    return AssociationPanel(
        display, _AXIS.get(measure, measure), tuple(owners.tolist()), tuple(x.tolist()), tuple(y.tolist()),
        tuple(int(one) for one in side), slope, _words(row), unit,
    )  # fmt: skip


def _on_scale(visits: AnnData, population: str, measure: str, *, include_failed: bool) -> Floats:
    from immunoprofile.tl._frame import DEFAULT_SCALE, Endpoint, analysis_values

    kind: Any = measure
    return analysis_values(visits, Endpoint(population, kind, DEFAULT_SCALE[kind]), include_failed=include_failed)


def common_slope(subjects: Any, visits: Any, x: Floats, y: Floats) -> float:
    """Common slope of ``y`` on ``x`` inside subjects after the means of the visits, or arm x visit, are taken out.

    It is the slope that the repeated-measures correlation tests; subjects with one row take no part. NaN where ``x``
    does not vary besides subject and visit.
    """
    from immunoprofile.tl.association import without_means

    owners, names = np.asarray(subjects, dtype=str), np.asarray(visits, dtype=str)
    known, repeats = np.unique(owners, return_counts=True)
    keep = np.isin(owners, known[repeats > 1])
    owners, names, x, y = owners[keep], names[keep], x[keep], y[keep]
    if len(x) == 0:
        return math.nan
    rest_x, rest_y = without_means(owners, names, np.column_stack([x, y]))[0].T
    spread = float(rest_x @ rest_x)
    if spread <= 1e-12 * max(float(np.sum((x - x.mean()) ** 2)), 1e-300):
        return math.nan
    return float(rest_x @ rest_y) / spread


def _words(row: dict[Any, Any]) -> str:
    """r, interval, p and n of the table, or why there are none."""
    r, low, high = (row[key] for key in ("estimate", "lower", "upper"))
    count = row["n"]
    rows = "" if math.isnan(count) else f", {count:.0f} rows"
    if math.isnan(r):
        return f"not estimable{rows}: {row['note'] or 'no reason given'}"
    parts = [f"r = {r:.2f}"]
    if not (math.isnan(low) or math.isnan(high)):
        parts.append(f"{100 * row['conf_level']:.4g} % CI {low:.2f} to {high:.2f}")
    if p := style.p_words(row["p_value"]):
        parts.append(p)
    return ", ".join(parts) + rows


def association_sketch(views: Sequence[AssociationPanel]) -> Sketch:
    """What :func:`association` draws, at most two panels side by side."""
    across = 2
    down = math.ceil(len(views) / across)
    head, tall, below = 0.56, 2.1, 0.45
    height = down * (head + tall + below) + 0.3
    made = Sketch(style.WIDTH, height, association_alt(views))
    names = list(dict.fromkeys(name for view in views for name in view.subjects))
    for position, view in enumerate(views):
        row, column = divmod(position, across)
        top = row * (head + tall + below) + head
        left = (0.6 + 3.75 * column) / style.WIDTH
        _draw(made.panel(left, 1 - (top + tall) / height, 3.0 / style.WIDTH, tall / height), view, names)
    made.note(
        "A colour and symbol a subject. Lines: slope inside subjects adjusted for arm x visit, as r.\n"
        "Open triangle: CMV-DNA censored, down at the LLOQ, up at the ULOQ. An association is no cause."
    )
    return made


def _draw(panel: Panel, view: AssociationPanel, names: Sequence[str]) -> None:
    folded = textwrap.wrap(view.words, 62)
    said = "\n".join(folded if len(folded) <= 2 else [folded[0], f"{folded[1][:58]}..."])
    rise = 9 + 9 * len(said.split("\n"))
    panel.add(
        Words(0.0, 1.0, said, size=6.8, upward="bottom", spacing=1.15, x_in="panel", y_in="panel", dy=4),
        Words(0.0, 1.0, view.title, size=TITLE_SIZE, bold=True, x_in="panel", y_in="panel", dy=rise),
    )
    panel.x.label, panel.x.label_pad = view.axis, 2.0
    panel.y.label = f"CMV-DNA, log10 {view.unit}".rstrip()
    if not view.x:
        panel.add(Words(0.5, 0.5, "no visit has both values", color=style.GREY, across="center", upward="center",
                        x_in="panel", y_in="panel"))  # fmt: skip
        return
    marks = {name: style.subject_mark(position) for position, name in enumerate(names)}
    for owner, x, y, side in zip(view.subjects, view.x, view.y, view.censored, strict=True):
        mark = marks[owner]
        symbol = mark.marker if side == 0 else "v" if side < 0 else "^"
        face = mark.color if side == 0 else "white"
        panel.add(Marks((x,), (y,), symbol, 4.2, face, mark.color, alpha=0.85, order=3))
    lines = view.lines()
    panel.add(*(Line(xs, ys, marks[name].color, 1.0, alpha=0.8) for name, xs, ys in lines))
    panel.x.limits = _with_room([*view.x, *(x for _, xs, _ in lines for x in xs)])
    panel.y.limits = _with_room([*view.y, *(y for _, _, ys in lines for y in ys)])
    panel.x.ticks = _natural_ticks(panel, percent=view.axis == _AXIS["pct_parent"])
    panel.y.ticks = axis_ticks(*panel.y.limits, panel.points[1], size=panel.y.size, upward=True)


def _with_room(values: Sequence[float]) -> tuple[float, float]:
    """Limits of an axis with a twentieth of the span around the values."""
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def _natural_ticks(panel: Panel, *, percent: bool) -> tuple[tuple[float, str], ...]:
    """Ticks in the unit of the measure on its scale of analysis."""
    low, high = panel.x.limits
    steps = [size * 10.0**power for power in range(-3, 5) for size in (1, 2, 5)]
    if percent:
        places = [(math.log(step / (100 - step)), step) for step in steps if step < 100]
    else:
        places = [(math.log2(step), step) for step in steps]
    inside = [(place, step) for place, step in places if low <= place <= high]
    if len(inside) >= 2:
        return tuple((place, f"{step:,.0f}" if step >= 1 else f"{step:g}") for place, step in inside)
    found = axis_ticks(low, high, panel.points[0], size=panel.x.size, upward=False)
    return tuple((at, f"{100 / (1 + math.exp(-at)) if percent else 2.0**at:.3g}") for at, _ in found)


def association_alt(views: Sequence[AssociationPanel]) -> str:
    """What the figure says, in words."""
    parts = [
        f"{view.title} ({view.axis}) with log10 CMV-DNA: {view.words}; {len(view.x)} points of "
        f"{len(set(view.subjects))} subjects, {sum(side != 0 for side in view.censored)} censored"
        for view in views
    ]
    return "Association inside subjects. " + ". ".join(parts) + "."
