"""One gate in every sample of a study, on the same axes: what a reviewer looks through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from immunoprofile.errors import NotAvailableError
from immunoprofile.gate.raster import common_axes, plot_of_gate
from immunoprofile.pl import style
from immunoprofile.pl.sketch import Words
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pl.thumbnails import Drawn, Panel, draw_panel, plot_sheet, prepare

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from immunoprofile.profiling import Profile

MOST: Final = 600
"""Plots of one figure; more would make an image that no program shows."""
_GAP_X: Final = 0.44
_BELOW: Final = 0.3
_LEFT: Final = 0.36
_SIDE: Final = 1.25
"""Inches of the side of a plot."""


def gate_grid(
    profile: Profile,
    population: str,
    *,
    samples: Sequence[str] = (),
    columns: int = 6,
    blinded: bool = False,
) -> Figure:
    """The plot of one gate in every sample, by subject and visit.

    Parameters
    ----------
    profile
        From `profile` or `read_results`; FCS files are not needed.
    population
        Whose gate.
    samples
        Ids of the samples to show, in this order; by default those that were used, by subject and visit.
    columns
        Plots side by side. Each keeps its size of 1.25 inches, however many there are: the figure grows downward.
    blinded
        Number the plots instead of naming subject and visit.

    Returns
    -------
    Figure
        All plots have the same axes, so that a shift is seen. A sample that could not be gated stands as "not done".

    Raises
    ------
    NotAvailableError
        No sample has a plot of the gate, or there are more than 600.
    """
    if population in profile.visits.var_names:
        tube = str(profile.visits.var.loc[population, "tube"])
    else:
        known = ", ".join(profile.visits.var_names)
        raise NotAvailableError(f"no tube gates {population}", where="pl.gate_grid", todo=f"one of {known}")
    titles = _titles(profile, tube)
    chosen = list(samples) or list(titles)
    if len(chosen) > MOST:
        raise NotAvailableError(f"{len(chosen)} plots in one figure", where="pl.gate_grid",
                                todo=f"name up to {MOST} with samples=")  # fmt: skip
    rasters = {name: plot_of_gate(profile.rasters(name), population) for name in chosen}
    known_rasters = [one for one in rasters.values() if one is not None]
    if not known_rasters:
        raise NotAvailableError(f"no sample has a plot of {population}", where="pl.gate_grid",
                                todo="gate the files first, or name a population that is drawn")  # fmt: skip
    frame = common_axes(known_rasters)
    own = profile.counts[profile.counts["population"] == population]
    percentages = dict(zip(own["sample_id"], own["pct_parent"], strict=True))
    drawn: list[tuple[str, Drawn | None]] = []
    for number, name in enumerate(chosen, 1):
        title = f"{number}" if blinded else titles.get(name, name)
        raster = rasters[name]
        if raster is None:
            drawn.append((title, None))
            continue
        shown = {population: float(percentages[name])} if name in percentages else {}
        made = prepare(Panel(raster, shown), Panel(frame, {}), {})
        drawn.append((title, replace(made, title=title)))
    shares = [
        f"{title} not done"
        if one is None
        else f"{title} {style.amount(one.panel.percentages.get(population, math.nan))} %"
        for title, one in drawn
    ]
    alt = f"The gate of {population} in {len(drawn)} samples on the same axes. Per cent of the parent: "
    return _laid_out(drawn, max(1, columns), f"{alt}{'; '.join(shares)}.")


def _titles(profile: Profile, tube: str) -> dict[str, str]:
    """Sample -> subject and visit, in the order of the visits object."""
    found = {}
    for _, row in profile.visits.obs.iterrows():
        name = profile.sample_of(str(row["usubjid"]), str(row["visit"]), tube)
        if name is not None:
            found[name] = f"{row['usubjid']} {row['visit']}"
    return found


def _laid_out(drawn: Sequence[tuple[str, Drawn | None]], columns: int, alt: str) -> Figure:
    columns = min(columns, len(drawn))
    rows = [drawn[start : start + columns] for start in range(0, len(drawn), columns)]
    heads = [max([0.3, *(one.head for _, one in row if one is not None)]) for row in rows]
    across = _LEFT + columns + (columns - 1) * _GAP_X + 0.05
    down = sum(head + 1 + _BELOW for head in heads)
    made, sheet = plot_sheet(across, down, _SIDE, alt)
    top = down
    for row, head in zip(rows, heads, strict=True):
        y0 = top - head - 1
        for column, (title, one) in enumerate(row):
            x0 = _LEFT + column * (1 + _GAP_X)
            draw_panel(sheet, one, x0=x0, y0=y0)
            if one is None:
                sheet.add(Words(x0, y0 + 1.05, title, size=6.8, bold=True, upward="bottom"))
        top = y0 - _BELOW
    assert math.isclose(top, 0.0, abs_tol=1e-6)
    return sketch_figure(made)
