"""Medians and quantiles of the events of a file: numpy's answers, bit by bit, with fewer selections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from immunoprofile import event_loops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_FEW = 2048
"""Below this number of values, numpy's selection takes no longer."""


def at_ranks(values: NDArray[np.float64], ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values of ascending ranks, as ``numpy.sort(values)[ranks]``, but that zero has no sign.

    Parameters
    ----------
    values
        At least one, in any order; what is no number is sorted last.
    ranks
        Ascending, 0 to the number of values less one.
    """
    found = np.empty(len(ranks))
    enough = len(values) >= _FEW and event_loops.loaded()
    if not (enough and event_loops.loops().ranked(np.ascontiguousarray(values), ranks, found)):
        # Many places cost numpy more than all of them.
        many = len(ranks) > 16
        found = (np.sort(values) if many else np.partition(values, ranks))[ranks]
    return found + 0.0


def median(values: NDArray[np.float64]) -> float:
    """Median of finite values, at least one, as ``numpy.median``."""
    n = len(values)
    lower, upper = at_ranks(values, np.array([(n - 1) // 2, n // 2]))
    return float((lower + upper) / 2) if n % 2 == 0 else float(upper)


def medians(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median over the first axis of finite values, at least one row, as ``numpy.median``."""
    ordered = np.sort(rows, axis=0)
    n = len(rows)
    upper = ordered[n // 2]
    return np.asarray(upper if n % 2 else (ordered[n // 2 - 1] + upper) / 2, dtype=np.float64)


def quantiles(values: NDArray[np.float64], shares: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles of finite values by linear interpolation, as ``numpy.quantile``; NaN where one is no finite number.

    Parameters
    ----------
    values
        At least one, in any order.
    shares
        Ascending, each 0 to 1.
    """
    last = len(values) - 1
    at = np.asarray(shares, dtype=np.float64) * last
    lower = np.floor(at).astype(np.int64)
    if not np.isfinite(values).all():
        return np.full(len(at), np.nan)
    ranks = np.sort(np.concatenate([lower, np.minimum(lower + 1, last)]))
    found = at_ranks(values, ranks)
    upper = found[np.searchsorted(ranks, np.minimum(lower + 1, last))]
    return interpolated(found[np.searchsorted(ranks, lower)], upper, at - lower)


def quantiles_of_blocks(
    blocks: NDArray[np.float64], rest: NDArray[np.float64], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`quantiles` near both ends of finite values that are sorted in part.

    Parameters
    ----------
    blocks
        Blocks x values, each block ascending.
    rest
        The other values, in any order.
    shares
        Two, above 0 and below 1: one for either end.
    """
    last = blocks.size + rest.size - 1
    at = shares * last
    lower = np.floor(at).astype(np.int64)
    low = _least(blocks, rest, int(lower[0]), 1)
    high = -_least(blocks[:, ::-1], rest, int(last - lower[1]) - 1, -1)[::-1]
    found = np.array([low, high]) + 0.0
    return interpolated(found[:, 0], found[:, 1], at - lower)


def _least(blocks: NDArray[np.float64], rest: NDArray[np.float64], rank: int, sign: int) -> NDArray[np.float64]:
    """Of the values times a sign, which ascend in each block, those of a rank and of the next one."""
    width = blocks.shape[1]
    wanted = min(rank + 2, blocks.size + rest.size)
    taken = min(width, -(-wanted // len(blocks)) + 8)
    while True:
        values = sign * np.concatenate([blocks[:, :taken].ravel(), rest])
        if len(values) >= wanted:
            found = np.partition(values, (wanted - 2, wanted - 1))[wanted - 2 : wanted]
            # What was not taken is not smaller.
            if taken == width or found[1] <= (sign * blocks[:, taken]).min():
                return found
        taken = min(width, 2 * taken)


def interpolated(
    below: NDArray[np.float64], above: NDArray[np.float64], part: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values a part of the way from one to the other, as numpy has them."""
    gap = above - below
    # From the nearer end, as numpy has it, so that equal neighbours give their own value.
    return np.asarray(np.where(part >= 0.5, above - gap * (1 - part), below + gap * part), dtype=np.float64)


def medians_of_groups(
    columns: NDArray[np.float64],
    words: NDArray[np.uint64],
    places: Sequence[int],
    counts: Sequence[int],
    within: Sequence[int] | None = None,
) -> NDArray[np.float64]:
    """Median of each column over the events of each group, as ``numpy.median``.

    Parameters
    ----------
    columns
        Columns x events.
    words
        Words x events: one bit for each group that an event is in.
    places
        Place of each group: bit ``place % 64`` of word ``place // 64``.
    counts
        Number of events of each group.
    within
        Number of an earlier group that holds all events of a group, or -1; by default none is known.

    Returns
    -------
    numpy.ndarray
        Groups x columns; NaN for a group without events, or with a value that is NaN.
    """
    found = np.full((len(places), len(columns)), np.nan)
    sure = np.zeros(len(columns), dtype=bool)
    if event_loops.loaded():
        columns = np.ascontiguousarray(columns)
        groups = (np.array(one, dtype=np.int64) for one in (places, counts, within or [-1] * len(places)))
        event_loops.loops().medians_of_groups(columns, words, *groups, found, sure)
    left = np.flatnonzero(~sure)
    for number, place in enumerate(places if left.size else ()):
        inside = np.flatnonzero(words[place // 64] & np.uint64(1 << place % 64))
        if inside.size:
            found[number, left] = _medians_of_rows(columns[left][:, inside])
    return found + 0.0


def _medians_of_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of each row; the rows are reordered."""
    n = rows.shape[1]
    middle = n // 2
    rows.partition(middle, axis=1)
    upper = rows[:, middle]
    medians = upper.copy() if n % 2 else (rows[:, :middle].max(axis=1) + upper) / 2
    # NaN are sorted last, so that one of them is the largest.
    medians[np.isnan(rows[:, middle:].max(axis=1))] = np.nan
    return medians
