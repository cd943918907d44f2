"""What an evaluation gives: one bit per event and population, counts, and which tier answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from immunoprofile.gate.engine.exact import WORD_BITS, word_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

Tier = Literal["kernel", "exact", "flowkit"]


@dataclass(frozen=True)
class EngineRecord:
    """How a file was evaluated; the memberships are the same whatever it says.

    Attributes
    ----------
    tier
        ``kernel``: compiled, near events by the arbiter; ``exact``: all events by the arbiter; ``flowkit``: FlowKit.
    n_arbiter
        Events that the arbiter decided.
    reason
        Why a faster tier could not answer; empty for ``kernel``.
    """

    tier: Tier
    n_arbiter: int = 0
    reason: str = ""


class Memberships(Mapping[str, "NDArray[np.bool_]"]):
    """Population -> bool array with one value per event, made when it is asked for.

    Parameters
    ----------
    populations
        Names, in the order of the bits.
    words
        uint64, words x events; population ``i`` is bit ``i % 64`` of word ``i // 64``.
    """

    def __init__(self, populations: tuple[str, ...], words: NDArray[np.uint64]) -> None:
        self.words = words
        self._place = {population: place for place, population in enumerate(populations)}

    @classmethod
    def of(cls, masks: Mapping[str, NDArray[np.bool_]], n_events: int) -> Memberships:
        """The same from bool arrays."""
        words = np.zeros((word_count(len(masks)), n_events), dtype=np.uint64)
        for place, mask in enumerate(masks.values()):
            words[place // WORD_BITS] |= np.asarray(mask, dtype=np.uint64) << np.uint64(place % WORD_BITS)
        return cls(tuple(masks), words)

    def place(self, population: str) -> int:
        """Place of the bit of a population."""
        return self._place[population]

    def __getitem__(self, population: str) -> NDArray[np.bool_]:
        place = self._place[population]
        bit = np.uint64(1) << np.uint64(place % WORD_BITS)
        return np.asarray(self.words[place // WORD_BITS] & bit, dtype=bool)

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Memberships of one file.

    Attributes
    ----------
    masks
        Population -> bool array.
    counts
        Population -> number of events, in the order of the strategy.
    record
        How it was done.
    """

    masks: Memberships
    counts: Mapping[str, int]
    record: EngineRecord

    @property
    def n_events(self) -> int:
        """Number of recorded events."""
        return int(self.masks.words.shape[1])
