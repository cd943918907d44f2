"""Evaluate a bound strategy on a file block by block: no event stays in memory, only one word per event."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import FcsError
from immunoprofile.gate.engine.evaluate import ARBITER_EVENTS, correct, evaluate, evaluation_of
from immunoprofile.gate.engine.exact import word_count
from immunoprofile.gate.engine.resolve import Matrix, Node, NotPlannedError, matrices, resolve
from immunoprofile.gate.engine.result import EngineRecord, Evaluation
from immunoprofile.io.fcs import opened
from immunoprofile.io.fcs_data import read_stored, scale_in_place
from immunoprofile.io.fcs_repair import COPY_AGAIN
from immunoprofile.io.one_pass import OnePass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from immunoprofile.compensation import Spillover
    from immunoprofile.gate.engine.bound import BoundPlan
    from immunoprofile.gate.strategy import Strategy
    from immunoprofile.io.fcs import FcsHead, Sample
    from immunoprofile.io.fcs_data import Survey
    from immunoprofile.io.fcs_layout import Layout
    from immunoprofile.io.one_pass import ReadsInto

CHUNK = 1 << 13
"""Events that are read at once: with a dozen channels they fit the second cache."""
_MEMORIES = 2
"""Chunks in memory: one is hashed while the next is read and gated."""


class EventsNeededError(Exception):
    """The events hold what has to be counted event by event, by reading the file whole."""


def evaluate_file(
    path: str | Path,
    head: FcsHead,
    strategy: Strategy,
    spillover: Spillover | None,
    *,
    jobs: int = 1,
    survey: Survey | None = None,
) -> Evaluation:
    """Which events of a file are in which population, without reading it into memory.

    Parameters
    ----------
    path
        The file.
    head
        What `read_fcs_head` read of it.
    strategy
        Bound to its channels.
    spillover
        Matrix that was chosen for the file, or None.
    jobs
        Threads over parts of the file; the result does not depend on it. One only with ``survey``.
    survey
        Looks at the events as they pass, and takes the hash of the file.

    Returns
    -------
    Evaluation
        The same as `evaluate` gives for the whole file. Strategies and files that cannot be streamed are read whole.

    Raises
    ------
    FcsError
        The file is shorter than its header said when it was opened; with ``survey``, it was changed since.
    EventsNeededError
        The survey wants all events at once.
    """
    from immunoprofile.gate.engine.bound import bind_plan

    path = Path(path)
    names = tuple(channel.pnn for channel in head.empty.channels)
    try:
        nodes = resolve(strategy, names, has_spillover=spillover is not None)
        known = matrices(nodes, strategy, names, spillover)
        bound = bind_plan(nodes, known)
    except NotPlannedError:
        with _opened(path, head, survey) as handle:
            return evaluate(strategy, _whole(handle, head, survey), spillover)
    stream = _Stream(path, head, bound, nodes, known, survey)
    n_events = head.layout.n_events
    words = np.empty((word_count(len(nodes)), n_events), dtype=np.uint64)
    jobs = 1 if survey is not None else max(1, min(jobs, -(-n_events // CHUNK)))
    if jobs == 1:
        parts = [stream.run(words, 0, 1)]
    else:
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            parts = list(pool.map(lambda part: stream.run(words, part, jobs), range(jobs)))
    counts = np.sum([part[0] for part in parts], axis=0)
    return evaluation_of(strategy, words, counts, EngineRecord("kernel", sum(part[1] for part in parts)))


@contextmanager
def _opened(path: Path, head: FcsHead, survey: Survey | None) -> Iterator[ReadsInto]:
    """The file; with a survey it is hashed as it is read, which has to be from its begin to its end."""
    with opened(path) as handle:
        if survey is None:
            yield handle
            return
        passing = OnePass(handle, head.noted, memories=_MEMORIES)
        yield passing
        survey.sha256 = passing.sha256()


def _whole(handle: ReadsInto, head: FcsHead, survey: Survey | None) -> Sample:
    """The file in memory, read as its head says."""
    events = read_stored(handle, head.layout, head.empty.name, None if survey is None else survey.masked)
    if survey is not None and not survey.look(0, events):
        raise EventsNeededError
    scale_in_place(events, head.layout.scales)
    return replace(head.empty, events=events)


_Chunk = tuple[int, "NDArray[np.uint64]", "NDArray[np.int64]", "NDArray[np.float64]"]
"""First event, words, positions of the events that the kernel left open, and these events."""


def _part(words: NDArray[np.uint64], start: int, n: int) -> NDArray[np.uint64]:
    """Where the kernel writes: it wants one piece of memory, which several words of a part are not."""
    return words[:, start : start + n] if len(words) == 1 else np.empty((len(words), n), dtype=np.uint64)


@dataclass(frozen=True, eq=False)
class _Stream:
    path: Path
    head: FcsHead
    bound: BoundPlan
    nodes: tuple[Node, ...]
    known: Mapping[str, Matrix]
    survey: Survey | None

    @property
    def layout(self) -> Layout:
        return self.head.layout

    @property
    def where(self) -> str:
        return self.head.empty.name

    def run(self, words: NDArray[np.uint64], part: int, parts: int) -> tuple[NDArray[np.int64], int]:
        """Evaluate every ``parts``-th chunk; returns counts and the number of events that the arbiter decided."""
        counts = np.zeros(len(self.nodes), dtype=np.int64)
        decided = 0
        single = self.layout.columnar and all((c.datatype, c.bits) == ("F", 32) for c in self.layout.channels)
        single = single and self.layout.event_bits == 32 * len(self.layout.channels)
        single = single and not any(scale.decades for scale in self.layout.scales)
        chunks = self._single(part, parts, words, counts) if single else self._wide(part, parts, words, counts)
        waiting: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        left = 0
        for start, out, near, events in chunks:
            if len(words) > 1:
                words[:, start : start + out.shape[1]] = out
            if len(near):
                waiting.append((near + start, events))
                left += len(near)
            if left >= ARBITER_EVENTS:
                self._decide(words, counts, waiting)
                decided, left, waiting = decided + left, 0, []
        self._decide(words, counts, waiting)
        return counts, decided + left

    def _decide(
        self,
        words: NDArray[np.uint64],
        counts: NDArray[np.int64],
        waiting: list[tuple[NDArray[np.int64], NDArray[np.float64]]],
    ) -> None:
        """Ask the arbiter of the events of several chunks at once: it takes long to begin, not to go on."""
        if waiting:
            positions, events = (np.concatenate(part) for part in zip(*waiting, strict=True))
            correct(words, counts, positions, events, self.nodes, self.known)

    def _single(self, part: int, parts: int, words: NDArray[np.uint64], counts: NDArray[np.int64]) -> Iterator[_Chunk]:
        """Chunks of single precision, as they stand in the file."""
        from immunoprofile.gate.engine.columns import NATIVE, SWAPPED

        layout, scales = self.layout, self.layout.scales
        width = len(layout.channels)
        multiply = np.array([scale.timestep for scale in scales])
        divide = np.array([scale.gain for scale in scales])
        memories = np.empty((_MEMORIES, min(CHUNK, max(layout.n_events, 1)), width), dtype=np.uint32)
        turns = cycle((one, memoryview(one.view(np.uint8).reshape(-1))) for one in memories)  # type: ignore[arg-type]
        swapped = layout.byte_order != ("<" if np.little_endian else ">")
        with _opened(self.path, self.head, self.survey) as handle:
            for start in range(part * CHUNK, layout.n_events, parts * CHUNK):
                n = min(CHUNK, layout.n_events - start)
                buffer, view = next(turns)
                stored = buffer.view(f"{layout.byte_order}f4")
                handle.seek(layout.data_offset + start * width * 4)
                filled = 0
                while filled < n * width * 4:
                    got = handle.readinto(view[filled : n * width * 4])
                    if not got:
                        raise FcsError("the file ended while it was read", where=self.where, todo=COPY_AGAIN)
                    filled += got
                if self.survey is not None and not self.survey.look(start, stored[:n]):
                    raise EventsNeededError
                out = _part(words, start, n)
                near = self.bound.run(
                    out, counts, small=buffer, source=SWAPPED if swapped else NATIVE, n_events=n,
                    multiply=multiply, divide=divide,
                )  # fmt: skip
                with np.errstate(all="ignore"):
                    events = stored[near].astype(np.float64)
                    scale_in_place(events, scales)
                yield start, out, near, events

    def _wide(self, part: int, parts: int, words: NDArray[np.uint64], counts: NDArray[np.int64]) -> Iterator[_Chunk]:
        """Chunks of any other layout, made linear by the reader of files."""
        from immunoprofile.gate.engine.columns import WIDE

        layout, scales, survey = self.layout, self.layout.scales, self.survey
        ones = np.ones(len(layout.channels))
        with _opened(self.path, self.head, self.survey) as handle:
            for start in range(part * CHUNK, layout.n_events, parts * CHUNK):
                n = min(CHUNK, layout.n_events - start)
                # CHUNK is a multiple of eight, so that each chunk begins on a whole byte
                first = start * layout.event_bits // 8
                block = replace(
                    layout,
                    data_offset=layout.data_offset + first,
                    n_events=n,
                    length=-(-n * layout.event_bits // 8),
                )
                events = read_stored(handle, block, self.where, None if survey is None else survey.masked)
                if survey is not None and not survey.look(start, events):
                    raise EventsNeededError
                scale_in_place(events, scales)
                out = _part(words, start, n)
                near = self.bound.run(
                    out, counts, wide=events, source=WIDE, n_events=n, multiply=ones, divide=ones
                )  # fmt: skip
                yield start, out, near, events[near]
