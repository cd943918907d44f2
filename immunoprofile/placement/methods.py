"""Methods that place a whole gate: what each name of a template does with the events inside the parent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from immunoprofile.gate.methods import (
    EARLIER_BATCH,
    METHODS,
    TEMPLATE,
    arguments_in_words,
    arguments_of,
    axes_of,
    fallbacks_of,
    seen_in,
)
from immunoprofile.placement.cuts import Cut, Found, Limit, Placed
from immunoprofile.placement.limits import LIMIT_METHODS, Axis, Control
from immunoprofile.quality.doublets import singlet_gate

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import Dimension, Gate
    from immunoprofile.placement.cuts import Arguments
    from immunoprofile.placement.events import PlacedEvents
    from immunoprofile.placement.landmarks import Curve, Shift


class FindControl(Protocol):
    """Finds the control without the marker of an axis."""

    def __call__(self, gate: Gate, dimension: Dimension, placed: Mapping[str, Gate], *, earlier: bool) -> Control | str:
        """The control inside the gates placed above, of an earlier batch if asked; or why there is none."""


@dataclass(frozen=True, eq=False)
class Inside:
    """What a method sees: one sample inside the placed parent of a gate.

    Attributes
    ----------
    gate
        The gate of the template.
    events
        The sample, with all gates above in place.
    placed
        Gates placed above, by population.
    references
        (parent, marker) -> density in the template sample.
    spans
        Name of a scale -> its length.
    control
        Finds the control without a marker; None where there are no controls.
    """

    gate: Gate
    events: PlacedEvents
    placed: Mapping[str, Gate]
    references: Mapping[tuple[str, str], Curve]
    spans: Mapping[str, float]
    control: FindControl | None = None

    def axis(self, dimension: Dimension, *, earlier: bool = False) -> Axis:
        """One axis of the gate."""
        find, events, parent = self.control, self.events, seen_in(self.gate)
        reference = self.references.get((parent, dimension.marker))
        span = self._span(dimension)

        def shift(adjust: float, bound: float) -> Shift:
            if reference is None:
                raise ValueError(f"no density of {dimension.marker} in {parent} was stored")
            return events.shift(parent, dimension, reference, adjust=adjust, bound=bound, span=span)

        return Axis(
            dimension.marker,
            events.finite(parent, dimension),
            span,
            reference,
            None if find is None else lambda: find(self.gate, dimension, self.placed, earlier=earlier),
            curve=lambda adjust: events.curve(parent, dimension, adjust),
            shift=shift,
        )

    def _span(self, dimension: Dimension) -> float:
        """Length of the scale; of a linear axis the range of its channel."""
        if dimension.scale is not None:
            return self.spans[dimension.scale]
        channel = self.events.values.channel[dimension.marker]
        return next(c.pnr for c in self.events.values.sample.channels if c.pnn == channel)


_BOTH: tuple[Limit, ...] = ("min", "max")

GateMethod = Callable[[Inside], Placed]


def arguments_of_axis(gate: Gate) -> Arguments:
    """Arguments with which densities of a gate are compared, whatever method places it."""
    return {**METHODS["landmark"].defaults, **arguments_of(gate)}


def estimate(inside: Inside) -> Placed:
    """Place one gate by the method of its template row."""
    return GATE_METHODS[inside.gate.method](inside)


def chosen_axes(gate: Gate) -> tuple[int, ...]:
    """Positions of the axes that are placed: those that ``axes`` names, else all that are on a scale."""
    named = axes_of(arguments_of(gate))
    return tuple(n for n, d in enumerate(gate.dimensions) if (d.marker in named if named else d.scale is not None))


def _as_it_is(inside: Inside) -> Placed:
    return Placed(inside.gate)


def _again(inside: Inside) -> Placed:
    """The placed limits or corners of another gate of the tree."""
    return Placed(again(inside.gate, inside.placed))


def again(gate: Gate, placed: Mapping[str, Gate]) -> Gate:
    """A gate of method ``ref`` with the limits or corners of the gate that it names, from the gates above it."""
    other = placed[str(arguments_of(gate)["of"])]
    dimensions = tuple(
        replace(own, minimum=found.minimum, maximum=found.maximum)
        for own, found in zip(gate.dimensions, other.dimensions, strict=True)
    )
    return replace(gate, dimensions=dimensions, vertices=other.vertices)


def _limit_by_limit(inside: Inside) -> Placed:
    """Each limit of the chosen axes by itself."""
    gate = inside.gate
    cuts: list[Cut] = []
    dimensions = list(gate.dimensions)
    for position in chosen_axes(gate):
        for limit in _BOTH:
            axis = dimensions[position]
            place = axis.minimum if limit == "min" else axis.maximum
            if place is not None:
                cut = _cut(inside, gate.dimensions[position], limit, place)
                cuts.append(cut)
                moved = replace(axis, minimum=cut.value) if limit == "min" else replace(axis, maximum=cut.value)
                dimensions[position] = moved
        low, high = dimensions[position].minimum, dimensions[position].maximum
        if low is not None and high is not None and not low < high:
            # Two limits that crossed are no gate: the template stands in for both.
            reason = f"its limits on {dimensions[position].marker} would cross"
            dimensions[position] = gate.dimensions[position]
            cuts[-2:] = [
                replace(cut, method=TEMPLATE, value=cut.template, reason=reason, review=True) for cut in cuts[-2:]
            ]
    return Placed(replace(gate, dimensions=tuple(dimensions)), tuple(cuts))


def _corners(inside: Inside) -> Placed:
    """Corners, moved on each chosen axis by its landmark."""
    gate = inside.gate
    cuts = tuple(_cut(inside, gate.dimensions[n], "corners", 0.0) for n in chosen_axes(gate))
    shift = {cut.marker: cut.value for cut in cuts}
    return Placed(gate.moved(lambda d, place: place + shift.get(d.marker, 0.0)), cuts)


def _cut(inside: Inside, dimension: Dimension, limit: Limit, place: float) -> Cut:
    """One cut by the method of the gate, else by its fallbacks, else the template's."""
    gate = inside.gate
    arguments = arguments_of(gate)
    asked = str(arguments["by"]) if gate.method == "quad" else "landmark" if gate.method == "polygon" else gate.method
    record = Cut(
        gate.population, seen_in(gate), dimension.marker, limit, gate.method, gate.method,
        arguments_in_words(gate.arguments), place, place, source=inside.events.name,
    )  # fmt: skip
    reasons: list[str] = []
    for name in (asked, *fallbacks_of(gate)):
        if name == TEMPLATE:
            break
        method = asked if name == EARLIER_BATCH else name
        axis = inside.axis(dimension, earlier=name == EARLIER_BATCH)
        own: Arguments = {**METHODS[method].defaults, **(arguments if name in (asked, EARLIER_BATCH) else {})}
        if limit == "corners":
            own["gap"] = "left"  # the sides of a polygon may cross a population on one axis
        own["shift"] = arguments["shift"]  # the template's bound holds for every fallback
        found = _bounded(LIMIT_METHODS[method](axis, place, own), place, own["shift"], axis.span)
        if found.place is None:
            reasons.append(f"{name}: {found.reason}")
            continue
        return replace(
            record,
            method=gate.method if name == asked else name,
            value=found.place,
            confidence=found.confidence,
            n_events=axis.values.size if found.n_events is None else found.n_events,
            source=found.source or inside.events.name,
            reason="; ".join(reasons),
            note=found.note,
            review=bool(reasons) and name != EARLIER_BATCH,
        )
    n = inside.events.inside(seen_in(gate), dimension).size
    return replace(record, method=TEMPLATE, n_events=n, reason="; ".join(reasons), review=True)


def _bounded(found: Found, place: float, shift: float, span: float) -> Found:
    """An answer beyond the bound is none: the edge of a range was never seen in the data."""
    if found.place is None or abs(found.place - place) <= shift * span:
        return found
    away = (found.place - place) / span
    return replace(found, place=None, reason=f"its cut lies {away:+.1%} of the scale from the template, "
                                             f"{shift:.0%} is allowed")  # fmt: skip


def _singlets(inside: Inside) -> Placed:
    """Band around the robust line of height on area inside the parent."""
    gate = inside.gate
    arguments = arguments_of(gate)
    area, height = (inside.events.inside(gate.parent, d) for d in gate.dimensions)
    record = Cut(
        gate.population, gate.parent, " x ".join(d.marker for d in gate.dimensions), "gate", gate.method, gate.method,
        arguments_in_words(gate.arguments), 0.0, 0.0, n_events=area.size, source=inside.events.name,
    )  # fmt: skip
    if area.size < float(arguments["events"]):
        reason = f"singlet: {area.size} events inside the parent, {arguments['events']:g} are needed"
        return Placed(gate, (replace(record, method=TEMPLATE, reason=reason, review=True),))
    found = singlet_gate(area, height, band=float(arguments["band"]))
    if not found.assessable:
        return Placed(gate, (replace(record, method=TEMPLATE, reason=f"singlet: {found.reason}", review=True),))
    vertices = tuple((float(x), float(y)) for x, y in found.polygon)
    note = f"height = {found.intercept:.6g} + {found.slope:.6g} x area, robust SD {found.scale:.6g}"
    inside_share = 1.0 - found.pct_events / 100.0
    return Placed(replace(gate, vertices=vertices), (replace(record, confidence=inside_share, note=note),))


GATE_METHODS: dict[str, GateMethod] = {
    "fixed": _as_it_is,
    "boolean": _as_it_is,
    "ref": _again,
    "mindensity": _limit_by_limit,
    "tailgate": _limit_by_limit,
    "fmo_quantile": _limit_by_limit,
    "landmark": _limit_by_limit,
    "quad": _limit_by_limit,
    "polygon": _corners,
    "singlet": _singlets,
}
"""Estimators by the name that a template uses (`gate.methods.METHODS`)."""
