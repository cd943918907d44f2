"""Counts of one file when the cuts of its gates lie elsewhere: in each of 32 runs all of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile import event_loops
from immunoprofile.gate.compensated_ratios import as_channels
from immunoprofile.gate.cut_shifts import (
    COLUMNS,
    RUNS,
    Cut,
    Moved,
    allot,
    cut_of,
    cuts_of,
    moved_gate,
    signs,
)
from immunoprofile.gate.engine.evaluate import evaluate
from immunoprofile.gate.gates import BOOLEAN_KINDS, ROOT, Gate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.gate.evaluate import GatedSample
    from immunoprofile.gate.strategy import Strategy

    Bits = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class ShiftedCounts:
    """Counts of one file in every run.

    Attributes
    ----------
    counts
        Population -> events in each of `cut_shifts.RUNS` runs; None where it could not be evaluated.
    moved
        Population -> the cuts that it hangs on.
    places
        Cut -> its place in `cut_shifts.COLUMNS`.
    share
        Distance of the shifts, as a share of the scale.
    """

    counts: Mapping[str, tuple[int, ...] | None]
    moved: Mapping[str, Moved]
    places: Mapping[Cut, int]
    share: float


def shifted_counts(
    gated: GatedSample, *, places: Mapping[Cut, int] | None = None, own: frozenset[str] = frozenset()
) -> ShiftedCounts:
    """Counts of a file with all cuts one standard uncertainty off, up or down by the design of `cut_shifts`.

    The shape of a gate depends only on the signs of its own cuts, so that each is evaluated once for every pair of
    signs and the runs are put together from memberships. The answers are those of `gate_sample` with the moved gates.

    Parameters
    ----------
    gated
        The file under its gates; `Strategy.cut_shift` of these is the distance.
    places
        Places of cuts in the design, the same for all files of a study (`cut_shifts.allot_tubes`); None for a file by
        itself. A cut that has none is given a free one.
    own
        Populations whose gate was drawn for this file alone.

    Returns
    -------
    ShiftedCounts
        A population under a cut for which no place is left, or without any cut that is moved, has None: its spread is
        not known, and not zero.
    """
    strategy = gated.strategy
    seen, looking = as_channels(gated.sample, gated.bound, gated.spillover)
    ranges = tuple((channel.pnn, float(channel.pnr)) for channel in seen.channels)
    ways = _ways(strategy, looking, ranges, None if places is None else tuple(places.items()), own)
    # The kernel where the file itself was gated by it, whose plan is kept for the next file of the same gates.
    masks = evaluate(ways.gates, seen, gated.spillover, compiled=gated.engine.tier == "kernel").masks
    shapes = _planes(masks.words) if len(ways.gates) else None
    everything = np.full((RUNS, -(-seen.n_events // 64)), np.iinfo(np.uint64).max, dtype=np.uint64)
    if seen.n_events % 64:
        everything[:, -1] = (1 << seen.n_events % 64) - 1
    found: dict[str, Bits] = {ROOT: everything}
    counts: dict[str, list[int]] = {}
    for gate in strategy.gates:
        above = found[gate.parent]
        if gate.kind in BOOLEAN_KINDS or shapes is None:
            inside, numbers = _narrowed(_combined(gate, found), np.arange(RUNS), above)
        else:
            inside, numbers = _narrowed(shapes, ways.of_runs[gate.population], above)
        found[gate.population], counts[gate.population] = inside, numbers
    evaluated = {
        population: bool(ways.moved[population].cuts) and all(cut in ways.places for cut in ways.moved[population].cuts)
        for population in strategy.populations
    }
    return ShiftedCounts(
        {population: tuple(numbers) if evaluated[population] else None for population, numbers in counts.items()},
        {population: ways.moved[population] for population in strategy.populations},
        ways.places,
        strategy.cut_shift,
    )


def _planes(words: Bits) -> Bits:
    """Each bit of all words of a row put together, 64 to a word and filled up with zeros: (64 x rows) x parts."""
    rows, n = words.shape
    if event_loops.loaded():
        out = np.empty((64 * rows, -(-n // 64)), dtype=np.uint64)
        event_loops.loops().bit_planes(words, out)
        return out
    bits = [word >> np.uint64(bit) & np.uint64(1) for word in words for bit in range(64)]
    packed = np.packbits(np.array(bits, dtype=bool), axis=1, bitorder="little")
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)


def _narrowed(shapes: Bits, chosen: NDArray[np.int64], above: Bits) -> tuple[Bits, list[int]]:
    """Planes of the chosen shapes within those of the parents, and how many events are in each."""
    if event_loops.loaded():
        inside, counts = np.empty_like(above), np.empty(len(chosen), dtype=np.int64)
        event_loops.loops().narrowed(shapes, chosen, above, inside, counts)
        return inside, counts.tolist()
    # Bits after the last event are cut off by the parent.
    inside = shapes[chosen] & above
    return inside, np.bitwise_count(inside).sum(axis=1, dtype=np.int64).tolist()


def _combined(gate: Gate, found: Mapping[str, Bits]) -> Bits:
    """A Boolean gate of memberships."""
    operands = [~found[o.population] if o.complement else found[o.population] for o in gate.operands]
    if gate.kind == "not":
        return ~operands[0]
    return np.asarray((np.bitwise_and if gate.kind == "and" else np.bitwise_or).reduce(operands), dtype=np.uint64)


@dataclass(frozen=True, eq=False)
class _Ways:
    """The shapes of all gates, each in every way in which its own cuts are moved.

    Attributes
    ----------
    gates
        All of them below the root, naming channels.
    of_runs
        Population that is no Boolean gate -> place in ``gates`` of its shape in each run.
    moved, places
        As in `ShiftedCounts`, ``moved`` also of the root.
    """

    gates: Strategy
    of_runs: Mapping[str, NDArray[np.int64]]
    moved: Mapping[str, Moved]
    places: Mapping[Cut, int]


@lru_cache(maxsize=64)
def _ways(
    strategy: Strategy,
    looking: Strategy,
    ranges: tuple[tuple[str, float], ...],
    places: tuple[tuple[Cut, int], ...] | None,
    own: frozenset[str],
) -> _Ways:
    """Ways of the gates, kept for the next file with the same ones.

    Parameters
    ----------
    strategy
        The gates, naming markers.
    looking
        The same, naming channels.
    ranges
        Channels and their ranges.
    places, own
        As in `shifted_counts`.
    """
    moved = cuts_of(strategy, own)
    known = allot(strategy, known=None if places is None else dict(places))
    columns = {cut: signs(COLUMNS[place]) for cut, place in known.items()}
    spans = {name: scale.top for name, scale in strategy.scales}
    reach = dict(ranges)
    gates: list[Gate] = []
    of_runs: dict[str, NDArray[np.int64]] = {}
    for gate, bound in zip(strategy.gates, looking.gates, strict=True):
        if gate.kind in BOOLEAN_KINDS:
            continue
        axes = tuple(n for n in moved[gate.population].axes if cut_of(gate, gate.dimensions[n]) in columns)
        cuts = [columns[cut_of(gate, gate.dimensions[n])] for n in axes]
        ways = [tuple(int(column[run]) for column in cuts) for run in range(RUNS)]
        place = {way: len(gates) + number for number, way in enumerate(dict.fromkeys(ways))}
        of_runs[gate.population] = np.array([place[way] for way in ways], dtype=np.int64)
        # Quadrants of one gate hang on the same cuts, so that their ways have the same numbers.
        for number, way in enumerate(place):
            by = {}
            for n, sign in zip(axes, way, strict=True):
                axis = bound.dimensions[n]
                span = reach[axis.marker] if axis.scale is None else spans[axis.scale]
                by[n] = sign * strategy.cut_shift * span
            gates.append(replace(
                moved_gate(bound, by), population=f"{gate.population}#{number}", parent=ROOT,
                quadrant_of=f"{gate.quadrant_of}#{number}" if gate.quadrant_of else "",
            ))  # fmt: skip
    return _Ways(replace(looking, gates=tuple(gates), custom=(), samples=(), beads=""), of_runs, moved, known)
