"""Compiled loops over the events of a file.

Each has a twin in numpy with the same arithmetic in the same order, so that both give the same bits: a few files are
judged without loading or compiling anything, many several times faster. `loaded` says which is at hand; no caller asks
for one of the two.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np


def loaded() -> bool:
    """Whether the compiler is in this process already, for instance since a run gates with its kernel."""
    return "numba" in sys.modules


def loops() -> Any:
    """The compiled loops of this module by their names."""
    return _compile()


@cache
def _compile() -> Any:
    from types import SimpleNamespace

    import numba

    jit = numba.njit(nogil=True, cache=True, error_model="numpy")
    return SimpleNamespace(**{f.__name__: jit(f) for f in (merge_windows, smooth_rows)})


def merge_windows(halves, column, starts, size, step, out):
    """Ascending windows of a column: out, windows x size.

    ``halves`` is the column with each whole run of ``step`` events ascending: a window of two of them is merged, any
    other is sorted.
    """
    whole = column.size // step * step
    for row in range(starts.size):
        at = starts[row]
        if size == 2 * step and at % step == 0 and at + size <= whole:
            i, j, middle, end = at, at + step, at + step, at + size
            for place in range(size):
                if j >= end or (i < middle and halves[i] <= halves[j]):
                    out[row, place] = halves[i]
                    i += 1
                else:
                    out[row, place] = halves[j]
                    j += 1
        else:
            part = column[at : at + size].copy()
            part.sort()
            out[row, :] = part


def smooth_rows(ordered, low, gap, kernel, reach, start, per, out):
    """`density._smooth_rows`: rows of values spread over a grid, convolved, and read off."""
    count, n = ordered.shape
    grid = out.shape[1]
    right = np.zeros(grid + 1)
    padded = np.zeros(3 * grid)
    smooth = np.zeros(grid)
    for row in range(count):
        right[:] = 0.0
        padded[:] = 0.0
        mass = padded[grid : 2 * grid]
        for i in range(n):
            place = (ordered[row, i] - low[row]) / gap[row]
            left = int(place)
            share = place - left
            mass[left] += 1 - share
            right[left + 1] += share
        for i in range(grid):
            mass[i] = (mass[i] + right[i]) / n
        # Only where it is read off.
        begin = int(start[row])
        end = min(grid, int(start[row] + (grid - 1) * per[row]) + 2)
        here = smooth[begin:end]
        here[:] = kernel[row, 0] * mass[begin:end]
        for tap in range(1, reach[row] + 1):
            weight = kernel[row, tap]
            before = padded[grid + begin - tap : grid + end - tap]
            behind = padded[grid + begin + tap : grid + end + tap]
            for i in range(end - begin):
                here[i] += weight * (before[i] + behind[i])
        for i in range(grid):
            at = start[row] + i * per[row]
            lower = min(int(at), grid - 2)
            part = at - lower
            out[row, i] = smooth[lower] + part * (smooth[lower + 1] - smooth[lower])
