"""Counts of one file when the cuts of its gates lie elsewhere: in each of 32 runs all of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

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
from immunoprofile.gate.engine import evaluate
from immunoprofile.gate.gates import BOOLEAN_KINDS, ROOT, Gate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.gate.evaluate import GatedSample

    Bits = NDArray[np.uint8]

_SET_BITS = np.array([byte.bit_count() for byte in range(256)], dtype=np.uint8)


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
    moved = cuts_of(strategy, own)
    known = allot(strategy, known=places)
    masks = _Masks(gated, moved, {cut: signs(COLUMNS[place]) for cut, place in known.items()})
    counts: dict[str, list[int]] = {population: [] for population in strategy.populations}
    for run in range(RUNS):
        found: dict[str, Bits] = {ROOT: masks.everything}
        for gate in strategy.gates:
            boolean = gate.kind in BOOLEAN_KINDS
            inside = _combined(gate, found) if boolean else masks.of(gate.population, run)
            # Bits after the last event are cut off by the parent.
            found[gate.population] = inside & found[gate.parent]
            counts[gate.population].append(int(_SET_BITS[found[gate.population]].sum(dtype=np.int64)))
    evaluated = {
        population: bool(moved[population].cuts) and all(cut in known for cut in moved[population].cuts)
        for population in strategy.populations
    }
    return ShiftedCounts(
        {population: tuple(numbers) if evaluated[population] else None for population, numbers in counts.items()},
        {population: moved[population] for population in strategy.populations},
        known,
        strategy.cut_shift,
    )


def _combined(gate: Gate, found: Mapping[str, Bits]) -> Bits:
    """A Boolean gate of memberships."""
    operands = [~found[o.population] if o.complement else found[o.population] for o in gate.operands]
    if gate.kind == "not":
        return ~operands[0]
    return np.asarray((np.bitwise_and if gate.kind == "and" else np.bitwise_or).reduce(operands), dtype=np.uint8)


class _Masks:
    """Events in the shape of each gate for each way in which its own cuts are moved, one bit an event."""

    def __init__(self, gated: GatedSample, moved: Mapping[str, Moved], columns: Mapping[Cut, NDArray[np.int8]]) -> None:
        seen, looking = as_channels(gated.sample, gated.bound, gated.spillover)
        self.everything: Bits = np.packbits(np.ones(gated.sample.n_events, dtype=bool))
        self._ranges = {channel.pnn: float(channel.pnr) for channel in seen.channels}
        self._spans = {name: scale.top for name, scale in gated.strategy.scales}
        self._share = gated.strategy.cut_shift
        self._ways: dict[str, tuple[tuple[int, ...], ...]] = {}
        gates: list[Gate] = []
        keys: list[tuple[str, tuple[int, ...]]] = []
        for gate, bound in zip(gated.strategy.gates, looking.gates, strict=True):
            if gate.kind in BOOLEAN_KINDS:
                continue
            axes = tuple(n for n in moved[gate.population].axes if cut_of(gate, gate.dimensions[n]) in columns)
            own = [columns[cut_of(gate, gate.dimensions[n])] for n in axes]
            ways = tuple(tuple(int(column[run]) for column in own) for run in range(RUNS))
            self._ways[gate.population] = ways
            # Quadrants of one gate hang on the same cuts, so that their ways have the same numbers.
            for number, way in enumerate(dict.fromkeys(ways)):
                alone = replace(
                    self._moved(bound, dict(zip(axes, way, strict=True))), population=f"{gate.population}#{number}",
                    parent=ROOT, quadrant_of=f"{gate.quadrant_of}#{number}" if gate.quadrant_of else "",
                )  # fmt: skip
                gates.append(alone)
                keys.append((gate.population, way))
        ways_of_all = replace(looking, gates=tuple(gates), custom=(), samples=(), beads="")
        # The kernel where the file itself was gated by it, whose plan is kept for the next file of the same gates.
        compiled = gated.engine.tier == "kernel"
        masks = evaluate(ways_of_all, seen, gated.spillover, compiled=compiled).masks
        self._kept = {key: np.packbits(masks[gate.population]) for key, gate in zip(keys, gates, strict=True)}

    def of(self, population: str, run: int) -> Bits:
        """Events in the shape of a gate in a run, whatever its parent."""
        return self._kept[population, self._ways[population][run]]

    def _moved(self, bound: Gate, way: Mapping[int, int]) -> Gate:
        """A gate naming channels with its axes moved by the share of their scale."""
        by = {}
        for n, sign in way.items():
            axis = bound.dimensions[n]
            span = self._ranges[axis.marker] if axis.scale is None else self._spans[axis.scale]
            by[n] = sign * self._share * span
        return moved_gate(bound, by)
