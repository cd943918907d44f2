"""Where the label of a gate can stand on its plot: off every outline and every other label, near its gate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
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
    lines = np.vstack([_along(points) for points in outlines]) if outlines else np.zeros((0, 2))
    area = _summed(crowd)
    found: list[Box | None] = [None] * len(wanted)
    # Small gates have the fewest places.
    for place in sorted(range(len(wanted)), key=lambda place: _extent(wanted[place].outline)):
        one = wanted[place]
        taken = [box for box in found if box is not None]
        for words in one.words:
            found[place] = _best(words, one.outline, unit, lines, taken, outlines, area)
            if found[place] is not None:
                break
    return found


def _best(
    words: str, outline: Points, unit: float, lines: NDArray[np.float64], taken: Sequence[Box],
    outlines: Sequence[Points], area: NDArray[np.float64],
) -> Box | None:  # fmt: skip
    gap = _CLEAR / unit
    wide, high = (0.5 * (length + 2 * _PAD) / unit for length in text_size(words))
    if wide + gap >= 0.5 or high + gap >= 0.5:
        return None
    xs, ys = (np.linspace(half + gap, 1 - half - gap, _STEPS) for half in (wide, high))
    x, y = (grid.ravel() for grid in np.meshgrid(xs, ys))
    free = np.ones(x.size, dtype=bool)
    if len(lines):
        # A box meets a point where both its width and its height do; for all places at once that is a product.
        near_x = (np.abs(xs[:, None] - lines[:, 0]) < wide + gap).astype(np.float32)
        near_y = (np.abs(ys[:, None] - lines[:, 1]) < high + gap).astype(np.float32)
        free &= (near_y @ near_x.T == 0).ravel()
    for box in taken:
        free &= ~((np.abs(x - box.x) < wide + box.half_wide + gap) & (np.abs(y - box.y) < high + box.half_high + gap))
    if not free.any():
        return None
    own = np.array(outline)
    (left, low), (right, top) = own.min(axis=0), own.max(axis=0)
    away = np.hypot(x - np.clip(x, left, right), y - np.clip(y, low, top))
    cost = away + _OUTSIDE * (away > 0) + _CROWD * _hidden(x, y, wide, high, area)
    # The upper part of a gate is where a label is looked for.
    cost += 0.1 * np.abs(y - top) + 0.05 * np.abs(x - (left + right) / 2)
    for other in outlines:
        if other != outline and not _holds(np.array(other), own):
            # Inside another gate it would be read as the name of that one.
            free &= ~_inside(x, y, np.array(other))
    if not free.any():
        return None
    cost[~free] = np.inf
    best = int(np.argmin(cost))
    return Box(words, float(x[best]), float(y[best]), wide, high)


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


def _holds(outer: NDArray[np.float64], inner: NDArray[np.float64]) -> bool:
    return bool((outer.min(axis=0) <= inner.min(axis=0)).all() and (outer.max(axis=0) >= inner.max(axis=0)).all())


def _inside(x: NDArray[np.float64], y: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    (left, low), (right, top) = corners.min(axis=0), corners.max(axis=0)
    inside: NDArray[np.bool_] = (x > left) & (x < right) & (y > low) & (y < top)
    return inside


def _summed(crowd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the crowd below and left of every border between bins."""
    rows, columns = crowd.shape
    area = np.zeros((rows + 1, columns + 1))
    area[1:, 1:] = crowd.cumsum(axis=0).cumsum(axis=1)
    return area


def _hidden(
    x: NDArray[np.float64], y: NDArray[np.float64], wide: float, high: float, area: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean crowd below a box, from the summed area."""
    rows, columns = (size - 1 for size in area.shape)
    left, right = (np.clip(np.round((x + side * wide) * columns), 0, columns).astype(int) for side in (-1, 1))
    low, top = (np.clip(np.round((y + side * high) * rows), 0, rows).astype(int) for side in (-1, 1))
    total = area[top, right] - area[low, right] - area[top, left] + area[low, left]
    return np.asarray(total / np.maximum((right - left) * (top - low), 1))


def _extent(points: Points) -> float:
    corners = np.array(points)
    return float(np.prod(corners.max(axis=0) - corners.min(axis=0)))


def _along(points: Points, step: float = 0.008) -> NDArray[np.float64]:
    """Points along an outline, so close that no box fits between two of them."""
    corners = np.array(points)
    found = [corners]
    for start, end in pairwise(corners):
        count = int(np.ceil(np.hypot(*(end - start)) / step))
        found.append(start + np.linspace(0, 1, count + 1)[:, None] * (end - start))
    return np.vstack(found)


def text_size(words: str, size: float = SIZE, *, bold: bool = True) -> tuple[float, float]:
    """Width and height of words in points, one or more lines."""
    lines = words.split("\n")
    return max(width_of(line, size, bold=bold) for line in lines), 1.22 * size * len(lines)
