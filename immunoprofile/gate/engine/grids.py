"""Shapes of two dimensions as a grid of cells that lie inside, outside, or on the edge.

Only events in edge cells need the exact test. A cell is the box between the smallest and largest value that an event
with its code can have, errors included, so that "inside" and "outside" are never wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numba
import numpy as np

from immunoprofile.gate.engine.lookup import Lookup
from immunoprofile.gate.engine.resolve import NotPlannedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CELLS = 253
"""Cells along an axis; codes 0 and 254 are outside, 255 is unknown."""

OUTSIDE, BEYOND, UNKNOWN = 0, CELLS + 1, CELLS + 2
CODES = CELLS + 3
AT_EDGE = 2


@dataclass(frozen=True, eq=False)
class Cells:
    """How one axis of a shape becomes codes.

    Attributes
    ----------
    low, high
        Extent of each code on the scale; ``low > high`` where no value has the code.
    factor, offset
        Code of a linear value where no table is needed: ``int(value * factor + offset)``, kept in 0 .. 254.
    codes
        Code of each step of the `Lookup` of the scale, or empty.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    factor: float
    offset: float
    codes: NDArray[np.uint8]


def straight_cells(low: float, high: float, *, add: float, divide: float, margin: float) -> Cells:
    """Cells of an axis whose scale is ``(value + add) / divide``; ``margin`` is the error of the linear values."""
    room = 2 * margin / abs(divide)
    reach = max(high - low, 1e-9 * max(abs(low), abs(high)), 1e-300)
    start, width = low - room - 1e-3 * reach, (high - low) + 2 * (room + 1e-3 * reach)
    scale = CELLS / width
    factor, offset = scale / divide, (add / divide - start) * scale + 1.0
    if not np.isfinite([factor, offset]).all() or divide <= 0:
        raise NotPlannedError("a shape is too small or too large for a grid")
    # Rounding of value * factor + offset, in cells
    rounding = 1e-6 + 8e-16 * (abs(offset) + abs(add) * factor + CELLS)
    if rounding > 0.25:
        raise NotPlannedError("a shape is too far from zero for a grid")
    ends = start + (np.arange(CELLS + 1) + np.array([-rounding])) / scale
    tops = start + (np.arange(CELLS + 1) + np.array([rounding])) / scale
    lows, highs = _no_extent()
    lows[1:BEYOND], highs[1:BEYOND] = ends[:-1] - room, tops[1:] + room
    return Cells(lows, highs, factor, offset, np.zeros(0, dtype=np.uint8))


@lru_cache(maxsize=64)
def table_cells(low: float, high: float, table: Lookup) -> Cells:
    """Cells of an axis on a scale that has a table."""
    width = max(high - low, 1e-12)
    first, last = int(np.searchsorted(table.highest, low)), int(np.searchsorted(table.lowest, high, side="right"))
    near = table.rising[first:last]
    near = near[(table.high[near] >= low) & (table.low[near] <= high)]
    place = np.floor(((table.low[near] + table.high[near]) / 2 - low) / width * CELLS)
    inside = (np.clip(place, 0, CELLS - 1) + 1).astype(np.uint8)
    codes = np.where(np.isnan(table.low) & ~table.undefined, UNKNOWN, OUTSIDE).astype(np.uint8)
    codes[near] = inside
    lows, highs = _no_extent()
    np.minimum.at(lows, inside, table.low[near])
    np.maximum.at(highs, inside, table.high[near])
    return Cells(lows, highs, 0.0, 0.0, codes)


def _no_extent() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.full(CODES, np.inf), np.full(CODES, -np.inf)


def polygon_grid(vertices: NDArray[np.float64], first: Cells, second: Cells) -> NDArray[np.uint8]:
    """Grid of a polygon (even-odd rule), codes of the first axis x codes of the second: 0 outside, 1 inside, 2 edge."""
    grid = np.zeros((CODES, CODES), dtype=np.uint8)
    grid[UNKNOWN, :] = grid[:, UNKNOWN] = AT_EDGE
    _fill_polygon(vertices, first.low, first.high, second.low, second.high, grid)
    return grid


def ellipse_grid(
    mean: Sequence[float], inverse: NDArray[np.float64], distance_square: float, first: Cells, second: Cells
) -> NDArray[np.uint8]:
    """Grid of an ellipse: the quadratic form at the middle of a cell and how far it changes up to its borders."""
    grid = np.zeros((CODES, CODES), dtype=np.uint8)
    used = slice(1, BEYOND)
    with np.errstate(all="ignore"):
        x = ((first.low + first.high) / 2 - mean[0])[used, None]
        y = ((second.low + second.high) / 2 - mean[1])[None, used]
        half_x = ((first.high - first.low) / 2)[used, None]
        half_y = ((second.high - second.low) / 2)[None, used]
        mixed = inverse[0, 1] + inverse[1, 0]
        form = inverse[0, 0] * x * x + mixed * x * y + inverse[1, 1] * y * y
        size = abs(inverse[0, 0]) * x * x + abs(mixed * x * y) + abs(inverse[1, 1]) * y * y
        change = np.abs(2 * inverse[0, 0] * x + mixed * y) * half_x + np.abs(2 * inverse[1, 1] * y + mixed * x) * half_y
        change = change + abs(inverse[0, 0]) * half_x**2 + abs(mixed) * half_x * half_y + abs(inverse[1, 1]) * half_y**2
        change = change * (1 + 1e-9) + 1e-9 * size + 1e-300
        inside, outside = form + change < distance_square, form - change > distance_square
    grid[used, used] = np.where(inside, 1, np.where(outside, 0, AT_EDGE))
    grid[UNKNOWN, :] = grid[:, UNKNOWN] = AT_EDGE
    return grid


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _fill_polygon(vertices, low_x, high_x, low_y, high_y, grid):  # type: ignore[no-untyped-def]
    """Mark cells that an edge touches, then fill the others from the winding number of their middle."""
    count = len(vertices)
    for k in range(count):
        ax, ay = vertices[k, 0], vertices[k, 1]
        bx, by = vertices[(k + 1) % count, 0], vertices[(k + 1) % count, 1]
        middle_x, middle_y, half_x, half_y = (ax + bx) / 2, (ay + by) / 2, abs(bx - ax) / 2, abs(by - ay) / 2
        along_x, along_y = (bx - ax) / 2, (by - ay) / 2
        for i in range(1, CELLS + 1):
            if low_x[i] > high_x[i] or low_x[i] > max(ax, bx) or high_x[i] < min(ax, bx):
                continue
            cell_x, reach_x = (low_x[i] + high_x[i]) / 2, (high_x[i] - low_x[i]) / 2 * (1 + 1e-9)
            for j in range(1, CELLS + 1):
                if low_y[j] > high_y[j] or low_y[j] > max(ay, by) or high_y[j] < min(ay, by):
                    continue
                cell_y, reach_y = (low_y[j] + high_y[j]) / 2, (high_y[j] - low_y[j]) / 2 * (1 + 1e-9)
                dx, dy = cell_x - middle_x, cell_y - middle_y
                # Separating axis of a box and a segment; the third axis is across the segment
                across = abs(dx * along_y - dy * along_x)
                size = reach_x * half_y + reach_y * half_x
                if across <= size * (1 + 1e-9) + 1e-12 * (abs(dx) * half_y + abs(dy) * half_x):
                    grid[i, j] = 2
    for i in range(1, CELLS + 1):
        if low_x[i] > high_x[i]:
            continue
        x = (low_x[i] + high_x[i]) / 2
        known = False
        state = 0
        for j in range(1, CELLS + 1):
            if grid[i, j] == 2 or low_y[j] > high_y[j]:
                known = False
                continue
            if not known:
                y = (low_y[j] + high_y[j]) / 2
                winding = 0
                for k in range(count):
                    ax, ay = vertices[k, 0], vertices[k, 1]
                    bx, by = vertices[(k + 1) % count, 0], vertices[(k + 1) % count, 1]
                    left = (bx - ax) * (y - ay) - (x - ax) * (by - ay)
                    if ay <= y < by and left > 0:
                        winding += 1
                    elif by <= y < ay and left < 0:
                        winding -= 1
                state, known = winding % 2, True
            if state != 0:
                grid[i, j] = 1
