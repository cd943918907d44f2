"""Medians and quantiles of the events of a file: numpy's answers, bit by bit, with fewer selections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def medians_of_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of each row, as ``numpy.median(rows, axis=1)``; the rows are reordered.

    Parameters
    ----------
    rows
        Rows x n values, n at least 1; a row with NaN has the median NaN.
    """
    n = rows.shape[1]
    middle = n // 2
    rows.partition(middle, axis=1)
    upper = rows[:, middle]
    medians = upper.copy() if n % 2 else (rows[:, :middle].max(axis=1) + upper) / 2
    # NaN are sorted last, so that one of them is the largest.
    medians[np.isnan(rows[:, middle:].max(axis=1))] = np.nan
    return medians


def quantiles_of_sorted(ordered: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles of ascending finite values by linear interpolation, as ``numpy.quantile(ordered, shares)``.

    Parameters
    ----------
    ordered
        At least one value.
    shares
        Each 0 to 1.
    """
    at = shares * (len(ordered) - 1)
    lower = np.floor(at).astype(np.int64)
    below, above = ordered[lower], ordered[np.minimum(lower + 1, len(ordered) - 1)]
    part, gap = at - lower, above - below
    # From the nearer end, as numpy has it, so that equal neighbours give their own value.
    return np.asarray(np.where(part >= 0.5, above - gap * (1 - part), below + gap * part), dtype=np.float64)
