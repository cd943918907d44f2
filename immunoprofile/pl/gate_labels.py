"""Where the label of a gate can stand on its plot: off every outline and every other label, near its gate."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from immunoprofile.pl.letters import width_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE: Final = 6.0
"""Font size of the labels in points."""
_PAD: Final = 1.2
"""Points between the words of a label and the end of its box."""
_CLEAR: Final = 1.3
"""Points that a box keeps from an outline and from another box."""
_STEPS: Final = 29
_OUTSIDE: Final = 0.2
_CROWD: Final = 0.5

Points = tuple[tuple[float, float], ...]
Ends = tuple[float, float, float, float]


@dataclass(frozen=True)
class Wanted:
    """A label that looks for its place: its words, folded wide first, and the outline of its gate."""

    words: tuple[str, ...]
    outline: Points


@dataclass(frozen=True)
class Box:
    """Centre and half sizes of a label, in sides of the plot, with its words as they are folded there."""

    words: str
    x: float
    y: float
    half_wide: float
    half_high: float

    def meets(self, other: Box, gap: float = 0.0) -> bool:
        """Whether two boxes overlap, or come closer than ``gap``."""
        near_x = abs(self.x - other.x) < self.half_wide + other.half_wide + gap
        return near_x and abs(self.y - other.y) < self.half_high + other.half_high + gap


def place_labels(
    wanted: Sequence[Wanted], outlines: Sequence[Points], crowd: NDArray[np.float64], *, side: float
) -> list[Box | None]:
    """A place for each label; None for one that has none on the plot and must be written beside it.

    Parameters
    ----------
    wanted
        The labels.
    outlines
        Every outline on the plot, also of gates without a label.
    crowd
        How many events lie where, 0 to 1, y bins x x bins over the plot: a label stands where few are hidden.
    side
        Side of the plot in inches.
    """
    unit = 72.0 * side
    drawn = tuple(outlines)
    area = _summed(crowd)
    found: list[Box | None] = [None] * len(wanted)
    # Small gates have the fewest places.
    for place in sorted(range(len(wanted)), key=lambda place: _extent(wanted[place].outline)):
        one = wanted[place]
        taken = [box for box in found if box is not None]
        for words in one.words:
            found[place] = _best(words, one.outline, unit, taken, drawn, area)
            if found[place] is not None:
                break
    return found


def _best(
    words: str, outline: Points, unit: float, taken: Sequence[Box], outlines: tuple[Points, ...],
    area: NDArray[np.float64],
) -> Box | None:  # fmt: skip
    gap = _CLEAR / unit
    wide, high = (0.5 * (length + 2 * _PAD) / unit for length in text_size(words))
    if wide + gap >= 0.5 or high + gap >= 0.5:
        return None
    grid = _grid(wide, high, gap, outline, outlines)
    free = grid.free
    for box in taken:
        meets_x = np.abs(grid.x - box.x) < wide + box.half_wide + gap
        meets_y = np.abs(grid.y - box.y) < high + box.half_high + gap
        free = free & ~(meets_y[:, None] & meets_x)
    if not free.any():
        return None
    cost = grid.away + _CROWD * _hidden(grid, area)
    cost += grid.aside
    cost[~free] = np.inf
    row, column = divmod(int(cost.argmin()), _STEPS)
    return Box(words, float(grid.x[column]), float(grid.y[row]), wide, high)


@dataclass(frozen=True, eq=False)
class _Grid:
    """Places of a box of half sizes, rows upward, and what does not depend on events; not to be changed."""

    wide: float
    high: float
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    free: NDArray[np.bool_]
    """Off every outline, and not inside another gate."""
    away: NDArray[np.float64]
    """How far from its gate."""
    aside: NDArray[np.float64]
    """How far from where a label is looked for in it."""


@lru_cache(maxsize=1024)
def _grid(wide: float, high: float, gap: float, outline: Points, outlines: tuple[Points, ...]) -> _Grid:
    """Places of a box of half sizes; the same gates are drawn for every sample, and digits have one width."""
    # What depends on one side only is computed for the side.
    x, y = (np.linspace(half + gap, 1 - half - gap, _STEPS) for half in (wide, high))
    free = np.ones((_STEPS, _STEPS), dtype=bool)
    for lines in map(_along, outlines):
        # A box meets a point where both its width and its height do; for all places at once that is a product.
        near_x = (np.abs(x[:, None] - lines[:, 0]) < wide + gap).astype(np.float32)
        near_y = (np.abs(y[:, None] - lines[:, 1]) < high + gap).astype(np.float32)
        free &= near_y @ near_x.T == 0
    left, low, right, top = _ends(outline)
    away = np.hypot(x - np.minimum(np.maximum(x, left), right), (y - np.minimum(np.maximum(y, low), top))[:, None])
    # The upper part of a gate is where a label is looked for.
    aside = (0.1 * np.abs(y - top))[:, None] + 0.05 * np.abs(x - (left + right) / 2)
    for other in outlines:
        ends = _ends(other)
        if other != outline and not _holds(ends, (left, low, right, top)):
            # Inside another gate it would be read as the name of that one.
            free &= ~(((y > ends[1]) & (y < ends[3]))[:, None] & ((x > ends[0]) & (x < ends[2])))
    return _Grid(wide, high, x, y, free, away + _OUTSIDE * (away > 0), aside)


def plain_name(population: str) -> str:
    """Name of a gate that has none for people, such as a step on the way to others.

    Examples
    --------
    >>> plain_name("cd56_pos"), plain_name("lineage_neg"), plain_name("time_ok")
    ('CD56+', 'lineage−', 'time ok')
    """
    words = [part.upper() if re.fullmatch(r"cd\d+[a-z]?", part) else part for part in population.split("_")]
    return " ".join(words).replace(" pos", "+").replace(" neg", "−")


def clipped(points: Points) -> Points:
    """The part of a closed outline that lies on the plot, closed along its border; the outline where none does."""
    corners = list(points[:-1] if points[0] == points[-1] else points)
    for axis, limit, sign in ((0, 0.0, 1), (0, 1.0, -1), (1, 0.0, 1), (1, 1.0, -1)):
        kept: list[tuple[float, float]] = []
        for before, after in zip([*corners[-1:], *corners[:-1]], corners, strict=True):
            inside = [sign * (one[axis] - limit) >= 0 for one in (before, after)]
            if inside[0] != inside[1]:
                part = (limit - before[axis]) / (after[axis] - before[axis])
                kept.append((before[0] + part * (after[0] - before[0]), before[1] + part * (after[1] - before[1])))
            if inside[1]:
                kept.append(after)
        corners = kept
    # A gate beyond the axes is drawn on their border, where it begins.
    return (
        (*corners, corners[0]) if corners else tuple((min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)) for x, y in points)
    )


@lru_cache(maxsize=1024)
def _ends(points: Points) -> Ends:
    """Left, lower, right and upper end of an outline."""
    across, upward = zip(*points, strict=True)
    return min(across), min(upward), max(across), max(upward)


def _holds(outer: Ends, inner: Ends) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def _summed(crowd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the crowd below and left of every border between bins."""
    rows, columns = crowd.shape
    area = np.zeros((rows + 1, columns + 1))
    area[1:, 1:] = crowd.cumsum(axis=0).cumsum(axis=1)
    return area


def _hidden(grid: _Grid, area: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean crowd below a box at each place of a grid, from the summed area."""
    left, right, low, top, bins = _covered(grid, *area.shape)
    flat = area.ravel()
    total = flat.take(top + right) - flat.take(low + right) - flat.take(top + left) + flat.take(low + left)
    return np.asarray(total / bins)


@lru_cache(maxsize=1024)
def _covered(grid: _Grid, rows: int, columns: int) -> tuple[NDArray[np.intp], ...]:
    """Borders of the bins below a box: columns, where rows begin in a summed area; and how many bins these are."""

    def borders(middle: NDArray[np.float64], count: int) -> NDArray[np.intp]:
        return np.minimum(np.maximum(np.rint(middle * count), 0), count).astype(np.intp)

    left, right = (borders(grid.x + side * grid.wide, columns - 1) for side in (-1, 1))
    low, top = (borders(grid.y + side * grid.high, rows - 1)[:, None] for side in (-1, 1))
    bins = np.maximum((right - left) * (top - low), 1)
    return left, right, columns * low, columns * top, bins


def _extent(points: Points) -> float:
    left, low, right, top = _ends(points)
    return (right - left) * (top - low)


@lru_cache(maxsize=1024)
def _along(points: Points, step: float = 0.008) -> NDArray[np.float64]:
    """Points along an outline, so close that no box fits between two of them; not to be changed."""
    corners = np.array(points)
    found = [corners]
    for (x0, y0), (x1, y1) in pairwise(points):
        count = math.ceil(math.hypot(x1 - x0, y1 - y0) / step)
        share = np.linspace(0, 1, count + 1)
        found.append(np.stack((x0 + share * (x1 - x0), y0 + share * (y1 - y0)), axis=1))
    return np.vstack(found)


def text_size(words: str, size: float = SIZE, *, bold: bool = True) -> tuple[float, float]:
    """Width and height of words in points, one or more lines."""
    lines = words.split("\n")
    return max(width_of(line, size, bold=bold) for line in lines), 1.22 * size * len(lines)
