"""What has to be told of a file that was gated: rows of exceptions.csv beside its counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.compensation import Spillover, matrix_notices
from immunoprofile.gate.compensated_ratios import ratio_notices
from immunoprofile.gate.transformed import transformed
from immunoprofile.io.clock import clock_doubts
from immunoprofile.io.exceptions import Notice
from immunoprofile.io.markers import is_scatter, is_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from immunoprofile.compensation import Choice
    from immunoprofile.errors import Problem
    from immunoprofile.gate.engine import Evaluation
    from immunoprofile.gate.strategy import Strategy
    from immunoprofile.io.fcs import Sample


def needs_matrix(strategy: Strategy) -> bool:
    """Whether a gate asks for the spillover matrix of the file; scatter and Time are in none."""
    read = [dimension for gate in strategy.gates for dimension in gate.dimensions]
    asking = (dimension for dimension in read if dimension.compensated and not dimension.matrix)
    return any(not (is_scatter(channel) or is_time(channel)) for d in asking for channel in d.channels)


def notices_of(
    sample: Sample, bound: Strategy, chosen: Choice, evaluation: Evaluation | None, doubts: Sequence[Problem] = ()
) -> tuple[Notice, ...]:
    """What was found about a file and its gates.

    Parameters
    ----------
    sample
        The file; with a share of its events where it was streamed.
    bound
        The strategy, naming the channels of the file.
    chosen
        What was decided about compensation.
    evaluation
        Memberships of the populations; None where the events were not kept.
    doubts
        What of the gates could not be honoured for this file, or may not belong to it.

    Returns
    -------
    tuple of Notice
        Repairs of the file, what `compensation.decide` tells, doubts about its clock, values that look transformed
        already, and events that are no numbers and were counted.
    """
    look = "look at the plots of this file, or export it again"
    found = [Notice("FILE_REPAIRED", repair, look) for repair in sample.repairs]
    found += [
        Notice("GATES_DOUBTFUL", str(doubt), "look at the gates of this file in their program") for doubt in doubts
    ]
    found += chosen.notices
    found += _matrices(bound)
    found += ratio_notices(bound)
    found += _clock(sample, bound)
    found += transformed(sample, bound)
    if evaluation is not None and sample.n_events:
        found.extend(_counted_without_a_number(sample, bound, evaluation))
    return tuple(found)


def _matrices(bound: Strategy) -> Iterator[Notice]:
    """What the checks of a matrix say of those that came with the gates (GatingML, workspaces) and are applied."""
    used = {d.matrix for gate in bound.gates for d in gate.dimensions if d.compensated and d.matrix}
    for name, matrix in bound.matrices:
        if name in used and not matrix.spectral:
            yield from matrix_notices(Spillover(matrix.detectors, matrix.array, source=f"{name}, of the gates"))


def _clock(sample: Sample, bound: Strategy) -> Iterator[Notice]:
    """What speaks against the clock: a warning where a gate uses it, else a note."""
    clock = sample.clock
    if clock is None:
        return
    gated = sample.channels[clock.column].pnn in bound.markers
    for doubt in clock_doubts(sample):
        effect = "; limits of gates on Time were held against these values" if gated else ""
        yield Notice("CLOCK", doubt + effect, "export the file again with $TIMESTEP, or gate without Time",
                     "warning" if gated else "note")  # fmt: skip


def _counted_without_a_number(sample: Sample, bound: Strategy, evaluation: Evaluation) -> Iterator[Notice]:
    """Populations that hold events whose value in one of their channels is no number."""
    names = [channel.pnn for channel in sample.channels]
    bad = {name: ~np.isfinite(sample.events[:, column]) for column, name in enumerate(names)}
    bad = {name: flags for name, flags in bad.items() if flags.any()}
    if not bad:
        return
    read: dict[str, set[str]] = {}
    for gate in bound.gates:
        own = {channel for dimension in gate.dimensions for channel in dimension.channels}
        below = (gate.parent, *(operand.population for operand in gate.operands))
        read[gate.population] = own.union(*(read.get(name, set()) for name in below))
        told = read[gate.population] & bad.keys()
        if not told:
            continue
        flags = np.logical_or.reduce([bad[name] for name in told])
        number = int(np.count_nonzero(flags & evaluation.masks[gate.population]))
        if number:
            yield Notice(
                "NOT_FINITE",
                f"{number:,} events of {gate.population} are no numbers (NaN or infinite) in {', '.join(sorted(told))}",
                "take them out with a gate, or export the file again",
            )
