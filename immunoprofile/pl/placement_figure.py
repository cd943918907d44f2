"""One placed cut: the density inside the parent, the template sample, and both cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.density import ADJUST
from immunoprofile.errors import NotAvailableError
from immunoprofile.gate.methods import seen_in
from immunoprofile.pl import style
from immunoprofile.placement.place import curves_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from immunoprofile.placement import Cut, Placement


def placement(placed: Placement, population: str, marker: str) -> Figure:
    """How one gate was placed on one axis: density, cut of the template, placed cut.

    Parameters
    ----------
    placed
        From `immunoprofile.placement.place`.
    population, marker
        Which gate, and which of its axes.

    Returns
    -------
    Figure
        Filled: events inside the parent; dashed: the template sample, where it is known. Limits are lines, dotted the
        template's, solid the placed one; of a polygon they stand at its lowest and highest corner.

    Raises
    ------
    NotAvailableError
        The gate was not placed on this axis.
    """
    cuts = [cut for cut in placed.cuts if (cut.population, cut.marker) == (population, marker)]
    if not cuts:
        known = ", ".join(dict.fromkeys(f"{cut.population} ({cut.marker})" for cut in placed.cuts))
        raise NotAvailableError(
            f"{population} was not placed on {marker}", where="pl.placement", todo=f"choose one of {known or 'none'}"
        )
    gate = placed.strategy[population]
    dimension = next(d for d in gate.dimensions if d.marker == marker)
    curve = placed.events.curve(seen_in(gate), dimension, ADJUST)
    reference = curves_of(placed.strategy.references).get((seen_in(gate), marker))
    said = cuts[0].method if cuts[0].method == cuts[0].asked else f"{cuts[0].method} instead of {cuts[0].asked}"
    alt = f"Density of {marker} in {seen_in(gate)} with the cut of the template and the placed cut of {population}."
    with style.look():
        figure = style.new_figure(4.6, 2.7, alt)
        axes = figure.subplots()
        axes.fill_between(curve.places, curve.heights / curve.heights.max(), color=style.PALE, label=placed.events.name)
        if reference is not None:
            heights = reference.heights / reference.heights.max()
            axes.plot(reference.places, heights, color=style.GREY, linestyle="--", label="template sample")
        for number, cut in enumerate(cuts):
            _draw_cut(axes, cut, _corner_places(placed, cut), named=number == 0)
        scale = None if dimension.scale is None else placed.events.scales[dimension.scale]
        if scale is not None:
            positions, labels = zip(*scale.ticks(), strict=True)
            axes.set_xticks(positions, labels)
        axes.set_xlim(curve.places[0], curve.places[-1])
        axes.set_ylim(0, 1.1)
        axes.set_yticks([])
        axes.set_xlabel(f"{marker}, linear intensity")
        axes.set_ylabel(f"events in {seen_in(gate)}")
        style.title(axes, f"{population}: {said}, confidence {cuts[0].confidence:.2f}")
        axes.legend(frameon=False, fontsize="small")
        figure.tight_layout()
    return figure


def _corner_places(placed: Placement, cut: Cut) -> tuple[float, ...]:
    """Lowest and highest placed corner of a polygon on the axis of a cut."""
    if cut.limit != "corners":
        return ()
    gate = placed.strategy[cut.population]
    column = [d.marker for d in gate.dimensions].index(cut.marker)
    corners = np.array(gate.vertices)[:, column]
    return float(corners.min()), float(corners.max())


def _draw_cut(axes: Axes, cut: Cut, corners: tuple[float, ...], *, named: bool) -> None:
    values = corners or (cut.value,)
    templates = tuple(value - cut.shift for value in corners) or (cut.template,)
    for number, (template, value) in enumerate(zip(templates, values, strict=True)):
        first = named and number == 0
        axes.axvline(template, color=style.INK, linestyle=":", label="template" if first else None)
        axes.axvline(value, color=style.VERMILLION, label="placed" if first else None)
