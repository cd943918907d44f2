"""Density peaks of the bins of an acquisition, followed from bin to bin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile import event_loops
from immunoprofile.density import densities
from immunoprofile.order_statistics import quantiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

PEAK_SHARE = 1 / 3
"""A peak is a local maximum above this share of the highest."""
COMMON_BINS = 0.10
CLUSTER_BINS = 0.50
_OUTER_SHARE = 0.005


@dataclass(frozen=True, eq=False)
class Peaks:
    """Peaks of all bins: their bin (ascending), their place, and how many each bin has (at least one)."""

    row: NDArray[np.int64]
    place: NDArray[np.float64]
    counts: NDArray[np.int64]


def peaks_of_bins(
    column: NDArray[np.float64], starts: NDArray[np.int64], size: int
) -> tuple[Peaks, NDArray[np.float64]]:
    """Peaks of each bin of one channel, and the median of each bin; bins that the end cuts short are shorter."""
    whole = int(np.searchsorted(starts, len(column) - size, side="right"))
    column = np.ascontiguousarray(column)
    rows: list[NDArray[np.int64]] = []
    places: list[NDArray[np.float64]] = []
    medians: list[NDArray[np.float64]] = []
    blocks = [_ascending(column, starts[:whole], size)] if whole else []
    blocks += [np.sort(column[start:])[None] for start in starts[whole:]]
    done = 0
    for ordered in blocks:
        row, place = _peaks(ordered)
        rows.append(row + done)
        places.append(place)
        length = ordered.shape[1]
        medians.append((ordered[:, (length - 1) // 2] + ordered[:, length // 2]) / 2)
        done += len(ordered)
    row = np.concatenate(rows)
    return Peaks(row, np.concatenate(places), np.bincount(row, minlength=len(starts))), np.concatenate(medians)


def _ascending(column: NDArray[np.float64], starts: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Windows of a column, each ascending: bins x size."""
    step = size // 2
    halved = len(starts) if not size % 2 and event_loops.loaded() else 0
    while halved and (starts[halved - 1] % step or starts[halved - 1] + size > len(column) // step * step):
        halved -= 1
    windows = np.lib.stride_tricks.sliding_window_view(column, size)[starts[halved:]]
    windows = np.sort(windows, axis=1)
    if not halved:
        return windows
    # Bins overlap by half: each half is sorted once, and a bin is merged from two.
    halves = np.sort(column[: len(column) // step * step].reshape(-1, step), axis=1).ravel()
    out = np.empty((len(starts), size))
    event_loops.loops().merged_windows(halves, starts[:halved], size, out)
    out[halved:] = windows
    return out


def _peaks(ordered: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    first, step, height = densities(ordered)
    row, at = _tops(height)
    return row, first[row] + at * step[row]


def _tops(height: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and place of the local maxima above a share of the highest of their row; at least one a row."""
    if event_loops.loaded():
        row, at = np.empty((2, height.size), dtype=np.int64)
        found = event_loops.loops().tops_of_rows(height, PEAK_SHARE, row, at)
        return row[:found], at[:found]
    middle = height[:, 1:-1]
    is_peak = np.zeros(height.shape, dtype=bool)
    is_peak[:, 1:-1] = middle > height[:, :-2]
    is_peak[:, 1:-1] &= middle > height[:, 2:]
    is_peak &= height > PEAK_SHARE * height.max(axis=1)[:, None]
    without = np.flatnonzero(~is_peak.any(axis=1))
    is_peak[without, height[without].argmax(axis=1)] = True
    row, at = np.nonzero(is_peak)
    return row, at


def follow(peaks: Peaks) -> NDArray[np.float64]:
    """Trajectories of one channel.

    The reference places are the medians over the bins with exactly K peaks, K being the largest number of peaks that
    more than a tenth of the bins has. Every peak belongs to the nearest of them, and of two the nearer one stays.

    Returns
    -------
    numpy.ndarray
        Bins x peaks; peaks missing in more than half of the bins are left out, other gaps hold the median.
    """
    bins = len(peaks.counts)
    number, often = np.unique(peaks.counts, return_counts=True)
    common = number[often > COMMON_BINS * bins]
    k = int(common.max()) if common.size else int(number[often.argmax()])
    typical = np.repeat(peaks.counts == k, peaks.counts)
    reference = np.median(peaks.place[typical].reshape(-1, k), axis=0)
    distance = np.abs(peaks.place[:, None] - reference)
    cluster = distance.argmin(axis=1)
    # The nearest is written last and stays.
    farthest_first = np.argsort(-distance[np.arange(len(cluster)), cluster], kind="stable")
    followed = np.full((bins, k), np.nan)
    followed[peaks.row[farthest_first], cluster[farthest_first]] = peaks.place[farthest_first]
    followed = followed[:, np.isfinite(followed).mean(axis=0) >= CLUSTER_BINS]
    centre = np.array([np.median(column[np.isfinite(column)]) for column in followed.T])
    return np.where(np.isfinite(followed), followed, centre) if followed.size else followed


def bin_means(column: NDArray[np.float64], starts: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Mean of each whole bin; the outermost 0.5 % of all values are drawn in, so that no single event matters."""
    low, high = quantiles(column, [_OUTER_SHARE, 1 - _OUTER_SHARE])
    total = np.concatenate([[0.0], np.cumsum(np.clip(column, low, high))])
    return np.asarray((total[starts + size] - total[starts]) / size, dtype=np.float64)


def steadied(series: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Running median of each column; the window shrinks at both ends."""
    half = window // 2
    padded = np.pad(series, ((half, half), (0, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=0)
    out = np.median(windows, axis=-1)
    for at in [*range(min(half, len(series))), *range(max(len(series) - half, 0), len(series))]:
        out[at] = np.median(series[max(at - half, 0) : at + half + 1], axis=0)
    return np.asarray(out, dtype=np.float64)
