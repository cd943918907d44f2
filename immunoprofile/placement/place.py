"""Place the gates of a template on a sample, from parents to children."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.gate.methods import METHODS, arguments_of, is_placed, seen_in
from immunoprofile.gate.reference import Reference
from immunoprofile.placement.cuts import Cut
from immunoprofile.placement.events import PlacedEvents, SampleValues
from immunoprofile.placement.landmarks import Curve, curve_of
from immunoprofile.placement.methods import Inside, chosen_axes, estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.compensation import Spillover
    from immunoprofile.gate.strategy import Gate, Strategy
    from immunoprofile.io.fcs import Sample
    from immunoprofile.placement.methods import FindControl

_POINTS = 160
"""Points of a stored density: a peak is some hundredths of a scale wide."""
_PLACE_DIGITS, _HEIGHT_DIGITS = 9, 5


@dataclass(frozen=True, eq=False)
class Placement:
    """Gates of a template placed on one sample.

    Attributes
    ----------
    strategy
        Plain gates: the same populations with placed limits and corners.
    cuts
        Where each came from.
    events
        The sample under these gates.
    """

    strategy: Strategy
    cuts: tuple[Cut, ...]
    events: PlacedEvents

    @property
    def review(self) -> tuple[Cut, ...]:
        """Cuts at which a person should look."""
        return tuple(cut for cut in self.cuts if cut.review)


def place(
    sample: Sample,
    strategy: Strategy,
    *,
    comp_source: str | Spillover | None = None,
    name: str = "",
) -> Placement:
    """Place the gates of a template on one sample by itself.

    Each cut is estimated inside the placed parent, so gates are placed from parents to children. What has no answer
    (one peak, no valley, too few events, a shift beyond the bound) keeps the value of the template and is marked for
    review. In a study, `immunoprofile.profile` places gates on samples before the first dose and on controls, and
    freezes them: gates that follow each sample by itself hide the effect of a drug on their markers.

    Parameters
    ----------
    sample
        The file.
    strategy
        Template with methods, of the tube of the file.
    comp_source
        As for `immunoprofile.gate.gate_sample`.
    name
        Id of the sample in the record; default is the name of the file.

    Returns
    -------
    Placement
        Plain gates, the record of every cut, and the events under the gates.

    Raises
    ------
    GateError
        The file lacks markers of the template.
    CompensationError
        The declared matrix cannot be applied.
    """
    return place_values(SampleValues(name or sample.name, sample, strategy, comp_source), strategy)


def place_values(
    values: SampleValues,
    strategy: Strategy,
    *,
    given: Mapping[str, Gate] | None = None,
    control: FindControl | None = None,
    until: str | None = None,
) -> Placement:
    """Place the gates of a template on the values of one sample.

    Parameters
    ----------
    values
        The sample.
    strategy
        Template with methods.
    given
        Gates that are settled already, by population.
    control
        Finds the control without a marker.
    until
        Last population that is needed; None for all. The gates after it are those of the template, and the events are
        asked for none of them.

    Returns
    -------
    Placement
        Without cuts for gates that were given.
    """
    given = given or {}
    events = PlacedEvents(values, strategy)
    references = curves_of(strategy.references)
    spans = {name: scale.top for name, scale in strategy.scales}
    placed: dict[str, Gate] = {}
    cuts: list[Cut] = []
    for gate in strategy.gates:
        if gate.population in given:
            placed[gate.population] = given[gate.population]
        else:
            found = estimate(Inside(gate, events, placed, references, spans, control))
            placed[gate.population] = found.gate
            cuts += found.cuts
        events.add(placed[gate.population])
        if gate.population == until:
            break
    gates = tuple(placed.get(gate.population, gate) for gate in strategy.gates)
    return Placement(replace(strategy, gates=gates), tuple(cuts), events)


def curves_of(references: tuple[Reference, ...]) -> dict[tuple[str, str], Curve]:
    """Densities of the template sample by parent and marker."""
    return {(one.parent, one.marker): Curve(np.array(one.places), np.array(one.heights)) for one in references}


def compared_axes(strategy: Strategy) -> list[tuple[Gate, int]]:
    """Gates and axes whose densities tell how far a sample has moved: one for each parent and marker."""
    found: dict[tuple[str, str], tuple[Gate, int]] = {}
    for gate in strategy.gates:
        if is_placed(gate) and gate.method != "singlet":
            for n in chosen_axes(gate):
                found.setdefault((seen_in(gate), gate.dimensions[n].marker), (gate, n))
    return list(found.values())


def unreferenced(strategy: Strategy) -> tuple[str, ...]:
    """Gates that are placed by the density of the template sample where none is stored: the template's values hold."""
    stored = {(one.parent, one.marker) for one in strategy.references}
    return tuple(
        gate.population
        for gate in strategy.gates
        if is_placed(gate)
        and any(
            METHODS[name].needs == "reference" for name in (gate.method, str(arguments_of(gate).get("by", "fixed")))
        )
        and any((seen_in(gate), gate.dimensions[n].marker) not in stored for n in chosen_axes(gate))
    )


def with_references(strategy: Strategy, sample: Sample, *, comp_source: str | Spillover | None = None) -> Strategy:
    """The template with the densities of the sample on which it was drawn.

    `landmark` and `polygon` compare other samples with them; `immunoprofile.gate.save` writes them into
    ``<tube>.reference.csv``.

    Parameters
    ----------
    strategy
        The template; its values are taken as they are.
    sample
        The file on which they were drawn.
    comp_source
        As for `immunoprofile.gate.gate_sample`.

    Returns
    -------
    Strategy
        With a density for each parent and marker that a method compares; one where all values are the same, or fewer
        than two are finite, is left out.

    Raises
    ------
    GateError
        The file lacks markers of the template.
    CompensationError
        The declared matrix cannot be applied.
    """
    values = SampleValues(sample.name, sample, strategy, comp_source)
    settled = place_values(values, strategy, given={gate.population: gate for gate in strategy.gates})
    found = []
    for gate, n in compared_axes(strategy):
        inside = settled.events.finite(seen_in(gate), gate.dimensions[n])
        if inside.size < 2 or not np.ptp(inside) > 0:
            continue
        curve = curve_of(inside)
        places = np.linspace(curve.places[0], curve.places[-1], _POINTS)
        heights = np.interp(places, curve.places, curve.heights)
        found.append(
            Reference(
                seen_in(gate),
                gate.dimensions[n].marker,
                _short(places, _PLACE_DIGITS),
                _short(np.maximum(heights, 0.0), _HEIGHT_DIGITS),
            )
        )
    return replace(strategy, references=tuple(found))


def _short(values: NDArray[np.float64], digits: int) -> tuple[float, ...]:
    return tuple(float(f"{value:.{digits}g}") for value in values)
