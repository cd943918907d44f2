"""One placed cut: the density inside the parent, the template sample, and both cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from immunoprofile.density import ADJUST
from immunoprofile.errors import NotAvailableError
from immunoprofile.gate.methods import seen_in
from immunoprofile.pl.sketch import NO_SYMBOL, Area, Key, Legend, Line, Marks, Sketch
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pl.style import GREY, INK, PALE, VERMILLION
from immunoprofile.pl.ticks import axis_ticks
from immunoprofile.placement.place import curves_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from immunoprofile.gate.strategy import Gate
    from immunoprofile.placement import Cut, Placement

_MOST_POINTS: Final = 3_000
"""Events that are drawn one by one; of more, every so manieth."""


_WIDE, _TALL = 4.6, 3.0
_BELOW: Final = 0.84
"""Inches of the figure, and those below the plot for its axis and the legend."""


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
        The gate was not placed on this axis. A gate that is placed as a whole (`singlet`) has the name of both,
        ``FSC-A x FSC-H``, and is drawn on both.
    """
    return sketch_figure(placement_sketch(placed, population, marker))


def placement_sketch(placed: Placement, population: str, marker: str) -> Sketch:
    """What :func:`placement` draws."""
    cuts = [cut for cut in placed.cuts if (cut.population, cut.marker) == (population, marker)]
    if not cuts:
        known = ", ".join(dict.fromkeys(f"{cut.population} ({cut.marker})" for cut in placed.cuts))
        raise NotAvailableError(
            f"{population} was not placed on {marker}", where="pl.placement", todo=f"choose one of {known or 'none'}"
        )
    gate = placed.strategy[population]
    if cuts[0].limit == "gate":
        return _plane(placed, gate, cuts[0])
    dimension = next(d for d in gate.dimensions if d.marker == marker)
    curve = placed.events.curve(seen_in(gate), dimension, ADJUST)
    reference = curves_of(placed.strategy.references).get((seen_in(gate), marker))
    said = cuts[0].method if cuts[0].method == cuts[0].asked else f"{cuts[0].method} instead of {cuts[0].asked}"
    alt = f"Density of {marker} in {seen_in(gate)} with the cut of the template and the placed cut of {population}."
    made = Sketch(_WIDE, _TALL, alt)
    panel = made.panel(0.34 / _WIDE, _BELOW / _TALL, (_WIDE - 0.44) / _WIDE, (_TALL - _BELOW - 0.28) / _TALL)
    panel.title = f"{population}: {said}, confidence {cuts[0].confidence:.2f}"
    heights = (curve.heights / curve.heights.max()).tolist()
    places = curve.places.tolist()
    panel.add(Area(places, [0.0] * len(places), heights, PALE))
    keys = [Key(placed.events.name, PALE)]
    if reference is not None:
        template_heights = (reference.heights / reference.heights.max()).tolist()
        panel.add(Line(reference.places.tolist(), template_heights, GREY, dash="--"))
        keys.append(Key("template sample", GREY, symbol=NO_SYMBOL, dash="--"))
    for cut in cuts:
        corners = _corner_places(placed, cut)
        values = corners or (cut.value,)
        templates = tuple(value - cut.shift for value in corners) or (cut.template,)
        for template, value in zip(templates, values, strict=True):
            panel.upright(template, color=INK, width=1.4, dash=":")
            panel.upright(value, color=VERMILLION, width=1.4)
    keys += [Key("template", INK, symbol=NO_SYMBOL, dash=":"), Key("placed", VERMILLION, symbol=NO_SYMBOL)]
    scale = None if dimension.scale is None else placed.events.scales[dimension.scale]
    panel.x.limits, panel.x.label = (places[0], places[-1]), f"{marker}, linear intensity"
    if scale is not None:
        panel.x.power = True
        panel.x.ticks = tuple((place, words) for place, words in scale.ticks() if places[0] <= place <= places[-1])
    else:
        panel.x.ticks = axis_ticks(*panel.x.limits, panel.points[0], size=panel.x.size, upward=False)
    panel.y.limits, panel.y.label = (0.0, 1.1), f"events in {seen_in(gate)}"
    # Below the plot: inside it would hide the density, or a cut.
    made.legends.append(Legend(tuple(keys), 0.25 / _WIDE, 0.46 / _TALL, "upper left", columns=2, size=7.0))
    return made


def _plane(placed: Placement, gate: Gate, cut: Cut) -> Sketch:
    """A gate that was placed as a whole, over the events of its parent on its two axes."""
    parent = seen_in(gate)
    columns = [placed.events.inside(parent, dimension) for dimension in gate.dimensions[:2]]
    known = np.isfinite(columns).all(axis=0)
    step = -(-int(np.count_nonzero(known)) // _MOST_POINTS) or 1
    x, y = (column[known][::step].tolist() for column in columns)
    names = [dimension.marker for dimension in gate.dimensions[:2]]
    alt = f"{names[1]} against {names[0]} of the events in {parent} with the placed gate {gate.population}."
    made = Sketch(_WIDE, _TALL, alt)
    panel = made.panel(0.8 / _WIDE, _BELOW / _TALL, (_WIDE - 0.9) / _WIDE, (_TALL - _BELOW - 0.28) / _TALL)
    said = cut.method if cut.method == cut.asked else f"{cut.method} instead of {cut.asked}"
    panel.title = f"{gate.population}: {said}"
    panel.add(Marks(x, y, "o", size=1.0, face=GREY, edge="none", edge_width=0.0))
    if gate.vertices:
        corners = [*gate.vertices, gate.vertices[0]]
        panel.add(Line([one for one, _ in corners], [two for _, two in corners], VERMILLION))
    for axis, values, name in ((panel.x, x, names[0]), (panel.y, y, names[1])):
        axis.limits = (min(values, default=0.0), max(values, default=1.0))
        axis.label = name
    panel.x.ticks = axis_ticks(*panel.x.limits, panel.points[0], size=panel.x.size, upward=False)
    panel.y.ticks = axis_ticks(*panel.y.limits, panel.points[1], size=panel.y.size, upward=True)
    keys = (Key(placed.events.name, GREY), Key("placed", VERMILLION, symbol=NO_SYMBOL))
    made.legends.append(Legend(keys, 0.25 / _WIDE, 0.46 / _TALL, "upper left", columns=2, size=7.0))
    return made


def _corner_places(placed: Placement, cut: Cut) -> tuple[float, ...]:
    """Lowest and highest placed corner of a polygon on the axis of a cut."""
    if cut.limit != "corners":
        return ()
    gate = placed.strategy[cut.population]
    column = [d.marker for d in gate.dimensions].index(cut.marker)
    corners = np.array(gate.vertices)[:, column]
    return float(corners.min()), float(corners.max())
