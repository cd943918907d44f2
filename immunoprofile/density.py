"""Kernel densities of many rows at once, and the cut at their deepest valley, for every room that places one.

The densities stand on the grid and have the bandwidth that R's ``density`` documents.

The description that was followed: bandwidth ``nrd0`` (Silverman 1986, eq. 3.31), Gaussian kernel, the data spread
linearly over a grid of 512 points, convolved, and read off at 512 points that reach 3 bandwidths beyond the data. The
points of the kernel lie 2 / 1023 of the grid's span apart, as in R before 4.4. R convolves by FFT; here the products
are summed, which leaves exact zeros where there are no data, and the same bits whether compiled or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile import event_loops

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ADJUST = 2.0
"""Factor on the bandwidth of `mindensity`: a valley is a feature of the population, not of single events."""
LEAST_HEIGHT = 1e-3
"""Extrema below this share of the highest point are single events."""
POINTS = 512
CUT = 3.0
_BEYOND_CUT = 4.0
"""The grid of the convolution reaches so many bandwidths further than the result, so that nothing wraps around."""
_KERNEL_ENDS = 8.6
"""In standard deviations: from there on the kernel is below the rounding error of its middle."""
_FARTHEST = 1e150
"""Values beyond this lie here: their squares are no numbers."""
_LEAST_SPREAD = 1e-290
"""What is narrower has no spread: parts of it are zero."""
_BLOCK = 128
"""Rows worked on at a time: the buffers stay within the cache and memory stays small."""


def bandwidths(ordered: NDArray[np.float64], adjust: float = 1.0) -> NDArray[np.float64]:
    """Bandwidth ``nrd0`` of each row: 0.9 min(SD, IQR / 1.34) n^-0.2; a row without spread gets a width that is not 0.

    Parameters
    ----------
    ordered
        Rows x n values, each row ascending.
    adjust
        Factor on the bandwidth.
    """
    n = ordered.shape[1]
    sd = ordered.std(axis=1, ddof=1) if n > 1 else np.zeros(len(ordered))
    iqr = _quantile(ordered, 0.75) - _quantile(ordered, 0.25)
    spread = np.minimum(sd, iqr / 1.34)
    for wider in (sd, np.abs(ordered[:, 0]), np.ones(len(ordered))):
        spread = np.where(spread > _LEAST_SPREAD, spread, wider)
    return np.asarray(adjust * 0.9 * spread * n**-0.2, dtype=np.float64)


def _quantile(ordered: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    place = share * (ordered.shape[1] - 1)
    low = int(np.floor(place))
    high = min(low + 1, ordered.shape[1] - 1)
    return np.asarray(ordered[:, low] + (place - low) * (ordered[:, high] - ordered[:, low]), dtype=np.float64)


def densities(
    ordered: NDArray[np.float64], *, adjust: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Density of each row.

    Parameters
    ----------
    ordered
        Rows x n finite values, n at least 1, each row ascending. What lies beyond 1e150 is taken to lie there.
    adjust
        Factor on the bandwidth, above 0.

    Returns
    -------
    first, step, height
        Position of the first point and distance of the points of each row; heights, rows x 512.

    Raises
    ------
    ValueError
        A value is no finite number, or the rows are empty: there is no place for it on a grid.
    """
    pieces = [(grid.first, grid.step, grid.heights(part)) for grid, part in _grids(ordered, adjust)]
    first, step, height = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return first, step, height


def tops(ordered: NDArray[np.float64], share: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Local maxima of the density of each row, without its heights.

    Parameters
    ----------
    ordered
        As for `densities`.
    share
        A maximum counts above this share of the highest point of its row, 0 to 1.

    Returns
    -------
    row, place
        Row (ascending) and position of each; a row without a maximum has its highest point.

    Raises
    ------
    ValueError
        As for `densities`.
    """
    rows, places, done = [], [], 0
    for grid, part in _grids(ordered, 1.0):
        row, at = grid.tops(part, share)
        rows.append(row + done)
        places.append(grid.first[row] + at * grid.step[row])
        done += len(part)
    return np.concatenate(rows), np.concatenate(places)


def _grids(ordered: NDArray[np.float64], adjust: float) -> Iterator[tuple[_Grid, NDArray[np.float64]]]:
    """Rows by parts, with their grids."""
    if not ordered.shape[1] or not np.isfinite(ordered[:, [0, -1]]).all():
        raise ValueError("a density needs finite values, at least one")
    if max(-ordered[:, 0].min(initial=0.0), ordered[:, -1].max(initial=0.0)) > _FARTHEST:
        ordered = np.clip(ordered, -_FARTHEST, _FARTHEST)
    for at in range(0, len(ordered), _BLOCK):
        part = np.ascontiguousarray(ordered[at : at + _BLOCK])
        yield _grid_of(part, adjust), part


@dataclass(frozen=True, eq=False)
class _Grid:
    """Grid and kernel of each row.

    Attributes
    ----------
    first, step
        Position of the first height and distance of the heights.
    low, gap
        The same of the points that the values are spread over.
    kernel, reach
        Rows x taps, and the last tap of each row.
    start, per
        Place of the first height among the points, and distance of the heights, in points.
    """

    first: NDArray[np.float64]
    step: NDArray[np.float64]
    low: NDArray[np.float64]
    gap: NDArray[np.float64]
    kernel: NDArray[np.float64]
    reach: NDArray[np.int64]
    start: NDArray[np.float64]
    per: NDArray[np.float64]

    def heights(self, ordered: NDArray[np.float64]) -> NDArray[np.float64]:
        """Heights, rows x points."""
        if not event_loops.loaded():
            return _smooth_rows(ordered, self.low, self.gap, self.kernel, self.start, self.per)
        height = np.empty((len(ordered), POINTS))
        event_loops.of_densities().smooth_rows(
            ordered, self.low, self.gap, self.kernel, self.reach, self.start, self.per, height
        )
        return height

    def tops(self, ordered: NDArray[np.float64], share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and number of the height of each maximum."""
        if not event_loops.loaded():
            return _tops(self.heights(ordered), share)
        row, at = np.empty((2, len(ordered) * POINTS // 2), dtype=np.int64)
        found = event_loops.of_densities().tops_of_rows(
            ordered, self.low, self.gap, self.kernel, self.reach, self.start, self.per, POINTS, share, row, at
        )
        return row[:found], at[:found]


def _grid_of(ordered: NDArray[np.float64], adjust: float) -> _Grid:
    width = bandwidths(ordered, adjust)
    first, last = ordered[:, 0] - CUT * width, ordered[:, -1] + CUT * width
    low = first - _BEYOND_CUT * width
    span = last + _BEYOND_CUT * width - low
    gap = span / (POINTS - 1)
    # The points of the kernel lie a little closer than those of the grid, as the description has it.
    apart = 2 * span / (2 * POINTS - 1) / width
    reach = np.minimum(np.floor(_KERNEL_ENDS / apart).astype(np.int64) + 1, POINTS - 1)
    # Beyond its own reach a row has nothing, so that its density does not depend on the rows beside it.
    kernel = np.empty((len(ordered), int(reach.max()) + 1))
    if event_loops.loaded():
        event_loops.of_densities().exponents(apart, reach, kernel)
    else:
        tap = np.arange(kernel.shape[1])
        kernel[:] = np.where(tap <= reach[:, None], -0.5 * (tap * apart[:, None]) ** 2, -np.inf)
    np.exp(kernel, out=kernel)
    kernel /= (width * np.sqrt(2 * np.pi))[:, None]
    step = (last - first) / (POINTS - 1)
    start, per = (first - low) / gap, step / gap
    return _Grid(first, step, low, gap, kernel, reach, start, per)


def _tops(height: NDArray[np.float64], share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Local maxima above a share of the highest of each row, or the highest itself."""
    middle = height[:, 1:-1]
    is_peak = np.zeros(height.shape, dtype=bool)
    is_peak[:, 1:-1] = middle > height[:, :-2]
    is_peak[:, 1:-1] &= middle > height[:, 2:]
    is_peak &= height > share * height.max(axis=1)[:, None]
    without = np.flatnonzero(~is_peak.any(axis=1))
    is_peak[without, height[without].argmax(axis=1)] = True
    row, at = np.nonzero(is_peak)
    return row, at


def _smooth_rows(
    ordered: NDArray[np.float64], low: NDArray[np.float64], gap: NDArray[np.float64], kernel: NDArray[np.float64],
    start: NDArray[np.float64], per: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """Spread every value over its two grid points, convolve, read off: what `density_kernels.smooth_rows` compiles."""
    count, n = ordered.shape
    place = (ordered - low[:, None]) / gap[:, None]
    left = place.astype(np.int64)
    share = place - left
    left += (POINTS + 1) * np.arange(count)[:, None]
    cells = (POINTS + 1) * count
    mass = np.bincount(left.ravel(), weights=(1 - share).ravel(), minlength=cells).reshape(count, -1)
    right = np.bincount(left.ravel() + 1, weights=share.ravel(), minlength=cells).reshape(count, -1)
    taps = kernel.shape[1] - 1
    padded = np.zeros((count, POINTS + 2 * taps))
    padded[:, taps : taps + POINTS] = (mass[:, :POINTS] + right[:, :POINTS]) / n
    smooth = kernel[:, :1] * padded[:, taps : taps + POINTS]
    both = np.empty_like(smooth)
    for tap in range(1, taps + 1):
        np.add(padded[:, taps - tap : taps - tap + POINTS], padded[:, taps + tap : taps + tap + POINTS], out=both)
        both *= kernel[:, tap, None]
        smooth += both
    at = start[:, None] + np.arange(POINTS) * per[:, None]
    lower = np.minimum(at.astype(np.int64), POINTS - 2)
    part = at - lower
    below = np.take_along_axis(smooth, lower, axis=1)
    above = np.take_along_axis(smooth, lower + 1, axis=1)
    return np.asarray(below + part * (above - below), dtype=np.float64)


def mindensity(values: NDArray[np.float64], search: tuple[float, float], *, adjust: float = ADJUST) -> float | None:
    """Place a cut at the deepest valley of the density.

    A valley between the two highest peaks goes before the others. The method is known by this name from openCyto
    (Finak et al. 2014, PLoS Comput Biol 10:e1003806); this is an implementation of the description, on the densities
    of this module.

    Parameters
    ----------
    values
        Finite, on the scale of the plot, in any order.
    search
        Lowest and highest place of a cut, on the same scale.
    adjust
        Factor on the bandwidth ``nrd0``; wider smooths small valleys away.

    Returns
    -------
    float or None
        Place on the scale of ``values``; None where the density has fewer than two peaks or no valley inside
        ``search``: a fallback is the caller's choice, the edge of the range is never an answer.
    """
    first, step, heights = densities(np.sort(values)[None], adjust=adjust)
    height = heights[0]
    # Levelled, an empty stretch is one valley.
    level = np.maximum(height, LEAST_HEIGHT * height.max())
    turns = np.concatenate([[0], np.flatnonzero(np.diff(level)) + 1])
    ends = np.concatenate([turns[1:], [POINTS]]) - 1
    run = level[turns]
    is_peak = (run[1:-1] > run[:-2]) & (run[1:-1] > run[2:])
    is_valley = (run[1:-1] < run[:-2]) & (run[1:-1] < run[2:])
    middle = first[0] + step[0] * (turns + ends)[1:-1] / 2
    if np.count_nonzero(is_peak) < 2:
        return None
    peaks = np.flatnonzero(is_peak)
    two = np.sort(peaks[np.argsort(-run[1:-1][peaks], kind="stable")[:2]])
    valleys = np.flatnonzero(is_valley & (middle >= search[0]) & (middle <= search[1]))
    between = valleys[(valleys > two[0]) & (valleys < two[1])]
    candidates = between if between.size else valleys
    return float(middle[candidates[np.argmin(run[1:-1][candidates])]]) if candidates.size else None
