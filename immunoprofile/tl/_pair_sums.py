"""Order statistics of the sums of all pairs, without a table of the pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Numbers = NDArray[np.intp]

FEW_PAIRS: Final = 200_000
"""Pairs that are listed and sorted; more (from 632 differences on) are narrowed down to so many first."""


def pair_sums_at(rows: Floats, columns: Floats, places: Sequence[int], *, upper: bool = False) -> list[float]:
    """Sums of all pairs of a row and a column that stand at places of their sorted list.

    Parameters
    ----------
    rows, columns
        Ascending.
    places
        From 0.
    upper
        Only pairs whose column has the number of the row or a larger one (rows and columns being the same values):
        every pair once, each value with itself too.

    Returns
    -------
    list of float
        The same numbers as ``numpy.sort`` of all sums has there (zero without a sign), in memory that grows with rows
        and columns and not with their product.

    Notes
    -----
    Johnson and Mizoguchi, SIAM J Comput 1978;7:147: sums grow along a row, so that a value divides every row at one
    place, and the weighted median of the middles of what is left drops a quarter of it.
    """
    first = np.arange(len(rows)) if upper else np.zeros(len(rows), dtype=np.intp)
    beyond = np.full(len(rows), len(columns))
    return [_at(rows, columns, first, beyond, place) for place in places]


def _at(rows: Floats, columns: Floats, first: Numbers, beyond: Numbers, place: int) -> float:
    """The sum at a place among those of the columns ``first`` to ``beyond`` of each row."""
    while int((left := beyond - first).sum()) > FEW_PAIRS:
        pivot = _middle(rows, columns, first, left)
        below = _divided(rows, columns, first, beyond, pivot, equal=False)
        if place < int((below - first).sum()):
            beyond = below
            continue
        through = _divided(rows, columns, below, beyond, pivot, equal=True)
        not_above = int((through - first).sum())
        if place < not_above:
            return pivot + 0.0
        place -= not_above
        first = through
    numbers = np.repeat(np.arange(len(rows)), left)
    inside = np.arange(len(numbers)) + np.repeat(first - (np.cumsum(left) - left), left)
    return float(np.partition(rows[numbers] + columns[inside], place)[place] + 0.0)


def _middle(rows: Floats, columns: Floats, first: Numbers, left: Numbers) -> float:
    """Median of the middle sums of the rows, each with the weight of what is left of its row."""
    some = np.flatnonzero(left)
    middles = rows[some] + columns[first[some] + left[some] // 2]
    order = np.argsort(middles)
    weights = np.cumsum(left[some][order])
    return float(middles[order[np.searchsorted(weights, weights[-1] / 2)]])


def _divided(rows: Floats, columns: Floats, low: Numbers, high: Numbers, pivot: float, *, equal: bool) -> Numbers:
    """First column of each row, between two, whose sum is not below the pivot (with ``equal``: above it)."""
    low, high = low.copy(), high.copy()
    while (active := np.flatnonzero(low < high)).size:
        middle = (low[active] + high[active]) // 2
        sums = rows[active] + columns[middle]
        before = sums <= pivot if equal else sums < pivot
        low[active[before]] = middle[before] + 1
        high[active[~before]] = middle[~before]
    return low
