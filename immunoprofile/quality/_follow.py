"""Density peaks of the bins of an acquisition, followed from bin to bin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile import event_loops
from immunoprofile.density import tops
from immunoprofile.order_statistics import median, medians, quantiles, quantiles_of_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PEAK_SHARE = 1 / 3
"""A peak is a local maximum above this share of the highest."""
COMMON_BINS = 0.10
CLUSTER_BINS = 0.50
_OUTER = np.array([0.005, 0.995])


@dataclass(frozen=True, eq=False)
class Peaks:
    """Peaks of all bins: their bin (ascending), their place, and how many each bin has (at least one)."""

    row: NDArray[np.int64]
    place: NDArray[np.float64]
    counts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Bins:
    """What the bins of one channel show.

    Attributes
    ----------
    peaks
        Their density peaks.
    medians
        Median of each.
    ends
        Values of the whole channel that 0.5 % lie below and above.
    """

    peaks: Peaks
    medians: NDArray[np.float64]
    ends: NDArray[np.float64]


def bins_of(column: NDArray[np.float64], starts: NDArray[np.int64], size: int) -> Bins:
    """Bins of one channel; those that the end cuts short are shorter."""
    whole = int(np.searchsorted(starts, len(column) - size, side="right"))
    column = np.ascontiguousarray(column)
    rows: list[NDArray[np.int64]] = []
    places: list[NDArray[np.float64]] = []
    middles: list[NDArray[np.float64]] = []
    blocks, halves = [], None
    if whole:
        ordered, halves = _ascending(column, starts[:whole], size)
        blocks.append(ordered)
    blocks += [np.sort(column[start:])[None] for start in starts[whole:]]
    done = 0
    for ordered in blocks:
        row, place = tops(ordered, PEAK_SHARE)
        rows.append(row + done)
        places.append(place)
        length = ordered.shape[1]
        middles.append((ordered[:, (length - 1) // 2] + ordered[:, length // 2]) / 2)
        done += len(ordered)
    row = np.concatenate(rows)
    peaks = Peaks(row, np.concatenate(places), np.bincount(row, minlength=len(starts)))
    if halves is None:
        ends = quantiles(column, _OUTER)
    else:
        ends = quantiles_of_blocks(halves, column[halves.size :], _OUTER)
    return Bins(peaks, np.concatenate(middles), ends)


def _ascending(
    column: NDArray[np.float64], starts: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Windows of a column, each ascending: bins x size; the halves that they were made of, where they were."""
    step = size // 2
    halved = len(starts) if not size % 2 and event_loops.loaded() else 0
    while halved and (starts[halved - 1] % step or starts[halved - 1] + size > len(column) // step * step):
        halved -= 1
    windows = np.lib.stride_tricks.sliding_window_view(column, size)[starts[halved:]]
    windows = np.sort(windows, axis=1)
    if not halved:
        return windows, None
    # Bins overlap by half: each half is sorted once, and a bin is merged from two.
    halves = np.sort(column[: len(column) // step * step].reshape(-1, step), axis=1)
    out = np.empty((len(starts), size))
    event_loops.loops().merged_windows(halves.ravel(), starts[:halved], size, out)
    out[halved:] = windows
    return out, halves


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
    often = np.bincount(peaks.counts)
    common = np.flatnonzero(often > COMMON_BINS * bins)
    k = int(common[-1]) if common.size else int(often.argmax())
    typical = np.repeat(peaks.counts == k, peaks.counts)
    reference = medians(peaks.place[typical].reshape(-1, k))
    distance = np.abs(peaks.place[:, None] - reference)
    cluster = distance.argmin(axis=1)
    # The nearest is written last and stays.
    farthest_first = np.argsort(-distance[np.arange(len(cluster)), cluster], kind="stable")
    followed = np.full((bins, k), np.nan)
    followed[peaks.row[farthest_first], cluster[farthest_first]] = peaks.place[farthest_first]
    followed = followed[:, np.isfinite(followed).mean(axis=0) >= CLUSTER_BINS]
    known = np.isfinite(followed)
    if known.all():
        return followed
    centre = np.array([median(column[here]) for column, here in zip(followed.T, known.T, strict=True)])
    return np.where(known, followed, centre)


def bin_means(
    columns: Sequence[NDArray[np.float64]], ends: NDArray[np.float64], starts: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """Mean of each whole bin; what lies beyond the ends is drawn in, so that no single event matters.

    Parameters
    ----------
    columns
        Values of each channel.
    ends
        Channels x 2: `Bins.ends`.
    starts, size
        First event of each bin, and their number.

    Returns
    -------
    numpy.ndarray
        Bins x channels.
    """
    edges = np.unique(np.concatenate([starts, starts + size]))
    total = np.empty((len(columns), len(edges)))
    for column, (low, high), line in zip(columns, ends, total, strict=True):
        if event_loops.loaded():
            event_loops.loops().running_total(np.ascontiguousarray(column), low, high, edges, line)
        else:
            line[:] = np.concatenate([[0.0], np.cumsum(np.clip(column, low, high))])[edges]
    first, last = np.searchsorted(edges, starts), np.searchsorted(edges, starts + size)
    return np.asarray((total[:, last] - total[:, first]).T / size, dtype=np.float64)


def steadied(series: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Running median of each column; the window shrinks at both ends."""
    half = window // 2
    out = np.empty_like(series)
    if len(series) >= window:
        out[half : len(series) - half] = medians(np.lib.stride_tricks.sliding_window_view(series, window, axis=0).T).T
    for at in [*range(min(half, len(series))), *range(max(len(series) - half, 0), len(series))]:
        out[at] = medians(series[max(at - half, 0) : at + half + 1])
    return out
