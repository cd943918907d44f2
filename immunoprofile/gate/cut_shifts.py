"""Which cuts of a strategy are moved together, and the 32 ways in which all of them are moved at once.

A cut is known only so well (a standard uncertainty, `Strategy.cut_shift`, as a share of its scale). In each of 32 runs
every cut of a strategy lies one standard uncertainty below or above its place. Which of the two is a column of a
Hadamard matrix of order 32, so that over the runs every cut is up as often as down, and any two cuts of one population
are up together as often as apart. The mean square of the change of a logarithm over the runs is then the sum of the
squares of the effects of the single cuts: what independent errors of the cuts would do to it (balanced repeated
replication: McCarthy 1969, Rev Int Stat Inst 37:239; Plackett and Burman 1946, Biometrika 33:305). One cut after the
other would need two evaluations a cut, and would not see what two of them do together. Every run is moreover one whole
gating of a study, which is what its analyses are repeated on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from immunoprofile.gate.gates import ROOT, Dimension, Gate
from immunoprofile.gate.methods import is_placed, seen_in
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.strategy import Strategy
from immunoprofile.io.markers import is_scatter, is_time

RUNS: Final = 32
"""Gatings with all cuts moved at once."""

COLUMNS: Final = (*range(16, 32), *range(1, 16))
"""Columns of the design in the order in which they are given away: among the first 16, the effect of one cut is not
mixed up with what two others do together (resolution IV)."""

Cut = tuple[str, str]
"""Population in whose events a cut was made, and marker: all limits of a marker inside one parent are moved together,
as one divider serves the populations on both of its sides."""


def signs(column: int) -> NDArray[np.int8]:
    """-1 or 1 for each run: a column of the Hadamard matrix that Sylvester's construction gives."""
    return np.array([1 - 2 * ((run & column).bit_count() % 2) for run in range(RUNS)], dtype=np.int8)


@dataclass(frozen=True)
class Moved:
    """The cuts that a population hangs on.

    Attributes
    ----------
    cuts
        Its own and those of its ancestors and operands, in order.
    left_out
        Markers whose cuts are not moved: on a linear axis that is no scatter a share of the range means nothing.
    own
        Whether a cut belongs to this sample or batch alone, so that another visit of the subject has another error.
    axes
        Positions of the axes of its own gate that are moved.
    """

    cuts: tuple[Cut, ...] = ()
    left_out: tuple[str, ...] = ()
    own: bool = False
    axes: tuple[int, ...] = ()


def cut_of(gate: Gate, dimension: Dimension) -> Cut:
    """The cut that a limit on an axis of a gate belongs to."""
    return seen_in(gate), dimension.marker


def moving_axes(gate: Gate, scales: Mapping[str, Scale]) -> tuple[int, ...]:
    """Positions of the axes of a gate whose limits are moved: scatter, and those on a scale that is not linear.

    Time is no measurement of cells, and a gate of doublets is a band around the file's own line.
    """
    if _is_doublet_gate(gate):
        return ()
    return tuple(
        n for n, d in enumerate(gate.dimensions)
        if _is_cut(gate, d) and (_plain_scatter(d) or (d.scale is not None and scales[d.scale].kind != "linear"))
    )  # fmt: skip


def left_out_axes(gate: Gate, scales: Mapping[str, Scale]) -> tuple[str, ...]:
    """Markers of a gate whose limits could be off and are not moved."""
    if _is_doublet_gate(gate):
        return ()
    moving = set(moving_axes(gate, scales))
    return tuple(d.marker for n, d in enumerate(gate.dimensions) if n not in moving and _is_cut(gate, d))


def _is_cut(gate: Gate, dimension: Dimension) -> bool:
    """Whether a gate cuts cells on an axis: a rectangle may have one without limits, and time is no cell's."""
    limited = gate.kind not in ("rectangle", "quadrant") or (dimension.minimum, dimension.maximum) != (None, None)
    return limited and not is_time(dimension.marker)


def _plain_scatter(dimension: Dimension) -> bool:
    return dimension.ratio is None and is_scatter(dimension.marker)


_PULSE = re.compile(r"[-_ ]?(A|H|W|area|height|width)$", re.IGNORECASE)


def _is_doublet_gate(gate: Gate) -> bool:
    """Area, height or width of one scatter detector against each other."""
    if gate.method == "singlet":
        return True
    names = [_PULSE.sub("", d.marker.strip()).casefold() for d in gate.dimensions if _plain_scatter(d)]
    return len(names) == len(gate.dimensions) == 2 and names[0] == names[1]


def _exempt(strategy: Strategy) -> set[str]:
    """Gates of the counting beads, which are bright in every detector and far from any cut."""
    if not strategy.beads:
        return set()
    found = {strategy.beads, *strategy.path(strategy.beads)[1:]}
    for gate in reversed(strategy.gates):
        if gate.population in found:
            found |= {operand.population for operand in gate.operands}
    return found


def cuts_of(strategy: Strategy, own: frozenset[str] = frozenset()) -> dict[str, Moved]:
    """Population -> the cuts that it hangs on.

    Parameters
    ----------
    strategy
        Gates of one sample.
    own
        Populations whose gate was drawn for this sample; those that a method places on each sample or batch are known
        from the strategy.
    """
    exempt, scales = _exempt(strategy), dict(strategy.scales)
    found: dict[str, Moved] = {ROOT: Moved()}
    for gate in strategy.gates:
        above = [found[gate.parent], *(found[operand.population] for operand in gate.operands)]
        axes = () if gate.population in exempt else moving_axes(gate, scales)
        mine = tuple(cut_of(gate, gate.dimensions[n]) for n in axes)
        not_mine = () if gate.population in exempt else left_out_axes(gate, scales)
        alone = bool(mine) and (gate.population in own or (is_placed(gate) and gate.group_by in ("batch", "sample")))
        found[gate.population] = Moved(
            tuple(dict.fromkeys([*(cut for one in above for cut in one.cuts), *mine])),
            tuple(dict.fromkeys([*(marker for one in above for marker in one.left_out), *not_mine])),
            alone or any(one.own for one in above),
            axes,
        )
    return found


def allot(strategy: Strategy, *, first: int = 0, known: Mapping[Cut, int] | None = None) -> dict[Cut, int]:
    """A place in `COLUMNS` for every cut, so that no two cuts of one population share one.

    Cuts that no population has in common may share a column: they never act together.

    Parameters
    ----------
    strategy
        The gates.
    first
        Places before it are kept for the counting tube: cells/uL hang on the cuts of both tubes.
    known
        Cuts that have a place already.

    Returns
    -------
    dict
        A cut for which no place is left has none: a population under more than 31 cuts is not evaluated.
    """
    found = dict(known or {})
    lineages = [one.cuts for one in cuts_of(strategy).values()]
    for cut in dict.fromkeys(cut for cuts in lineages for cut in cuts):
        if cut in found:
            continue
        together = {other for cuts in lineages if cut in cuts for other in cuts}
        taken = {found[other] for other in together if other in found}
        free = next((place for place in range(first, len(COLUMNS)) if place not in taken), None)
        if free is not None:
            found[cut] = free
    return found


def allot_tubes(strategies: Mapping[str, Strategy], count_tube: str | None) -> dict[str, dict[Cut, int]]:
    """Places for the cuts of all tubes: those of the counting tube come first, the others share none with it."""
    counted = allot(strategies[count_tube]) if count_tube is not None and count_tube in strategies else {}
    first = max(counted.values(), default=-1) + 1
    return {tube: counted if tube == count_tube else allot(strategies[tube], first=first) for tube in strategies}


def moved_gate(gate: Gate, by: Mapping[int, float]) -> Gate:
    """A gate with everything on some axes moved.

    Parameters
    ----------
    gate
        Any kind.
    by
        Position of an axis -> distance on its scale.
    """
    names = {gate.dimensions[n].marker: distance for n, distance in by.items()}
    found = gate.moved(lambda d, place: place + names.get(d.marker, 0.0))
    if gate.ellipsoid is None:
        return found
    mean = tuple(place + by.get(n, 0.0) for n, place in enumerate(gate.ellipsoid.mean))
    return replace(found, ellipsoid=replace(gate.ellipsoid, mean=mean))
