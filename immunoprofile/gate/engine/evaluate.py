"""Evaluate a bound strategy on a file in memory: kernel, arbiter, or FlowKit where neither can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.gate.engine.exact import WORD_BITS, word_count, words_of
from immunoprofile.gate.engine.resolve import Matrix, Node, NotPlannedError, matrices, resolve
from immunoprofile.gate.engine.result import EngineRecord, Evaluation, Memberships

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from immunoprofile.compensation import Spillover
    from immunoprofile.gate.strategy import Strategy
    from immunoprofile.io.fcs import Sample

ARBITER_EVENTS = 1 << 16
"""Events that the arbiter takes at once, which bounds its memory."""

WIDE_CHUNK = 1 << 16


def evaluate(strategy: Strategy, sample: Sample, spillover: Spillover | None, *, compiled: bool = True) -> Evaluation:
    """Which events of a file are in which population.

    Parameters
    ----------
    strategy
        Bound to the channels of the file, gates of single samples put in.
    sample
        The file.
    spillover
        Matrix that was chosen for the file, or None.
    compiled
        False leaves all events to the arbiter: the answer is the same, and nothing is compiled or loaded, which for a
        few small files costs more than it saves.

    Returns
    -------
    Evaluation
        The same memberships as FlowKit's, event for event.

    Raises
    ------
    Exception
        What FlowKit raises on a strategy that neither it nor the engine can evaluate.
    """
    names = tuple(channel.pnn for channel in sample.channels)
    try:
        nodes = resolve(strategy, names, has_spillover=spillover is not None)
        known = matrices(nodes, strategy, names, spillover)
    except NotPlannedError as unplanned:
        return _by_flowkit(strategy, sample, spillover, str(unplanned))
    reason = "few events: nothing was compiled"
    if compiled:
        try:
            words, counts, decided = _by_kernel(sample, nodes, known)
            return evaluation_of(strategy, words, counts, EngineRecord("kernel", decided))
        except NotPlannedError as unplanned:
            reason = str(unplanned)
    words = exact_words(sample.events, nodes, known)
    counts = count_bits(words, len(nodes))
    record = EngineRecord("exact", sample.n_events, reason)
    return evaluation_of(strategy, words, counts, record)


def evaluation_of(
    strategy: Strategy, words: NDArray[np.uint64], counts: NDArray[np.int64], record: EngineRecord
) -> Evaluation:
    """Result with the populations of a strategy for the bits."""
    populations = strategy.populations
    return Evaluation(
        Memberships(populations, words), dict(zip(populations, (int(c) for c in counts), strict=True)), record
    )


def _by_flowkit(strategy: Strategy, sample: Sample, spillover: Spillover | None, reason: str) -> Evaluation:
    from immunoprofile.gate import _flowkit

    masks = _flowkit.memberships(strategy, sample, spillover)
    ordered = {population: masks[population] for population in strategy.populations}
    words = Memberships.of(ordered, sample.n_events).words
    return evaluation_of(strategy, words, count_bits(words, len(ordered)), EngineRecord("flowkit", 0, reason))


def _by_kernel(
    sample: Sample, nodes: tuple[Node, ...], known: Mapping[str, Matrix]
) -> tuple[NDArray[np.uint64], NDArray[np.int64], int]:
    from immunoprofile.gate.engine.bound import bind_plan
    from immunoprofile.gate.engine.columns import WIDE

    bound = bind_plan(nodes, known)
    n, width = sample.events.shape
    # The kernel walks event by event; a file in memory is kept channel by channel. Small ones are turned once, for
    # their gates and the moved ones.
    events = sample.by_event if n <= WIDE_CHUNK else sample.events
    words = np.empty((word_count(len(nodes)), n), dtype=np.uint64)
    counts = np.zeros(len(nodes), dtype=np.int64)
    ones = np.ones(width)
    decided = 0
    for start in range(0, n, WIDE_CHUNK):
        part = np.ascontiguousarray(events[start : start + WIDE_CHUNK])
        out = np.empty((len(words), len(part)), dtype=np.uint64)
        near = bound.run(out, counts, wide=part, source=WIDE, n_events=len(part), multiply=ones, divide=ones)
        correct(out, counts, near, part[near], nodes, known)
        words[:, start : start + len(part)] = out
        decided += len(near)
    return words, counts, decided


def correct(
    words: NDArray[np.uint64],
    counts: NDArray[np.int64],
    positions: NDArray[np.int64],
    events: NDArray[np.float64],
    nodes: tuple[Node, ...],
    known: Mapping[str, Matrix],
) -> None:
    """Put the answer of the arbiter in the place of the kernel's; ``events`` are those at ``positions``."""
    if not len(positions):
        return
    counts -= count_bits(words[:, positions], len(nodes))
    answer = exact_words(events, nodes, known)
    words[:, positions] = answer
    counts += count_bits(answer, len(nodes))


def exact_words(
    events: NDArray[np.float64], nodes: tuple[Node, ...], known: Mapping[str, Matrix]
) -> NDArray[np.uint64]:
    """`exact.words_of` of any number of events, in parts."""
    words = np.empty((word_count(len(nodes)), len(events)), dtype=np.uint64)
    for start in range(0, len(events), ARBITER_EVENTS):
        part = events[start : start + ARBITER_EVENTS]
        words[:, start : start + len(part)] = words_of(part, nodes, known)
    return words


def count_bits(words: NDArray[np.uint64], nodes: int) -> NDArray[np.int64]:
    """Events with the bit of each node."""
    return np.array(
        [
            np.count_nonzero(words[node // WORD_BITS] & (np.uint64(1) << np.uint64(node % WORD_BITS)))
            for node in range(nodes)
        ],
        dtype=np.int64,
    )
