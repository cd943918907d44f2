"""Signal stability over the acquisition, of the PeacoQC kind (Emmaneel et al., Cytometry A 2022;101:325).

Each channel's density peaks are followed through overlapping bins of events; bins in which a peak has left its place
are flagged. Written from the published method; what differs from the reference by default is named in
:func:`signal_stability`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from immunoprofile.quality._density import densities
from immunoprofile.quality._spline import smooth
from immunoprofile.quality._tree import largest_leaf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAD_LIMIT = 6.0
MAD_TO_SD = 1.4826
SPAR = 0.5
MIN_RUN = 5
TREE_FROM = 150
PEAK_SHARE = 1 / 3
COMMON_BINS = 0.10
CLUSTER_BINS = 0.50
LEAST_EVENTS = 150
MAX_BINS = 500
DRIFT_BOX = 50
DRIFT_SHARE = 0.75


@dataclass(frozen=True, eq=False)
class Stability:
    """Signal stability of one file.

    Attributes
    ----------
    assessable, reason
        False with the reason when there is nothing to judge; that is never a pass.
    channels
        Names of the channels that were followed.
    order
        Positions of the events in the order in which they were judged.
    events_per_bin
        Length of a bin; bins begin every half of it.
    starts
        First event of each bin, in that order.
    trajectories
        bins x (channel, peak): place of each followed peak on the transformed scale.
    trajectory_channel
        Position in ``channels`` of each column of ``trajectories``.
    medians
        bins x channels: median of the bin.
    tree_used
        Whether there were enough bins for the isolation tree.
    bad_tree, bad_mad, bad_run, bad_bins
        One value a bin: set apart by the tree; a peak away from its place; a good run that is too short; any of them.
    bad_channels
        bins x channels: whose peak left its place (MAD).
    bad_events
        One value an event, in the order of the file.
    pct_tree, pct_mad, pct_run, pct_events
        Per cent of the events flagged by each step alone (each counts what the steps before left), and by all.
    drifting
        Channels whose smoothed median sits at its running maximum or minimum most of the time; only reported.
    """

    assessable: bool
    reason: str
    channels: tuple[str, ...]
    order: NDArray[np.int64]
    events_per_bin: int
    starts: NDArray[np.int64]
    trajectories: NDArray[np.float64]
    trajectory_channel: NDArray[np.int64]
    medians: NDArray[np.float64]
    tree_used: bool
    bad_tree: NDArray[np.bool_]
    bad_mad: NDArray[np.bool_]
    bad_run: NDArray[np.bool_]
    bad_channels: NDArray[np.bool_]
    bad_events: NDArray[np.bool_]
    pct_tree: float
    pct_mad: float
    pct_run: float
    drifting: tuple[str, ...]

    @property
    def bad_bins(self) -> NDArray[np.bool_]:
        """Bins flagged by any step."""
        return self.bad_tree | self.bad_mad | self.bad_run

    @property
    def pct_events(self) -> float:
        """Per cent of the events flagged; NaN when not assessable."""
        return 100.0 * float(np.mean(self.bad_events)) if self.assessable else float("nan")


def bin_size(events: int) -> int:
    """Events of a bin, so that there are about 500 half-overlapping bins or fewer."""
    rough = -(-2 * events // MAX_BINS)
    return max(LEAST_EVENTS, MAX_BINS * (rough // MAX_BINS) + MAX_BINS)


def signal_stability(
    values: NDArray[np.float64],
    channels: Sequence[str],
    *,
    time: NDArray[np.float64] | None = None,
    order: Literal["time", "file"] = "time",
    force_tree: int = TREE_FROM,
    mad_limit: float = MAD_LIMIT,
) -> Stability:
    """Flag the bins of an acquisition whose signal is not where it is in the rest.

    Parameters
    ----------
    values
        events x channels, compensated and transformed, without Time.
    channels
        Name of each column.
    time
        Time of each event, for ``order="time"``.
    order
        ``time`` sorts the events by Time first (stable); ``file`` takes them as they stand, as the reference does.
    force_tree
        The isolation tree runs from so many bins.
    mad_limit
        Distance from the median, in robust standard deviations, that a smoothed peak may have.

    Returns
    -------
    Stability
    """
    n = len(values)
    positions = np.arange(n) if order == "file" or time is None else np.argsort(time, kind="stable")
    size = bin_size(n)
    starts = np.arange(0, n, size - -(-size // 2))
    sorted_values = values[positions]
    columns, owners = [], []
    medians = np.empty((len(starts), len(channels)))
    for channel in range(len(channels)):
        column = np.ascontiguousarray(sorted_values[:, channel])
        peaks, medians[:, channel] = _peaks(column, starts, size)
        found = _follow(peaks)
        columns.append(found)
        owners += [channel] * found.shape[1]
    trajectories = np.column_stack(columns)
    owner = np.array(owners)

    tree_used = len(starts) >= force_tree
    kept = largest_leaf(trajectories) if tree_used else np.ones(len(starts), dtype=bool)
    away = _away(trajectories[kept], mad_limit)
    bad_mad = np.zeros(len(starts), dtype=bool)
    bad_mad[kept] = away.any(axis=1)
    bad_channels = np.zeros((len(starts), len(channels)), dtype=bool)
    for column_number, channel in enumerate(owner):
        bad_channels[kept, channel] |= away[:, column_number]
    bad = ~kept | bad_mad
    bad_run = _short_runs(~bad, MIN_RUN)
    steps = [~kept, bad, bad | bad_run]
    masks = [_events(step, starts, size, n) for step in steps]
    shares = [100.0 * float(mask.mean()) for mask in masks]
    bad_events = np.zeros(n, dtype=bool)
    bad_events[positions] = masks[-1]
    return Stability(
        True, "", tuple(channels), positions, size, starts, trajectories, owner, medians, tree_used, ~kept, bad_mad,
        bad_run, bad_channels, bad_events, shares[0], shares[1] - shares[0], shares[2] - shares[1],
        _drifting(medians, channels),
    )  # fmt: skip


def _peaks(
    column: NDArray[np.float64], starts: NDArray[np.int64], size: int
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Places of the peaks of each bin, and its median."""
    whole = starts + size <= len(column)
    windows = np.lib.stride_tricks.sliding_window_view(column, size)[starts[whole]] if whole.any() else None
    peaks: list[NDArray[np.float64]] = []
    medians: list[float] = []
    if windows is not None:
        peaks += _peaks_of(windows)
        medians += list(np.median(windows, axis=1))
    for start in starts[~whole]:
        tail = column[start:]
        peaks += _peaks_of(tail[None])
        medians.append(float(np.median(tail)))
    return peaks, np.array(medians)


def _peaks_of(rows: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    first, step, height = densities(rows)
    top = height.max(axis=1)
    middle = height[:, 1:-1]
    is_peak = (middle > height[:, :-2]) & (middle > height[:, 2:]) & (middle > PEAK_SHARE * top[:, None])
    found = []
    for row, flags in enumerate(is_peak):
        at = np.flatnonzero(flags) + 1
        if not at.size:
            at = np.array([int(np.argmax(height[row]))])
        found.append(first[row] + at * step[row])
    return found


def _follow(peaks: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Trajectories of one channel: bins x peaks that are there in at least half of the bins."""
    counts = np.array([len(found) for found in peaks])
    common = [k for k in range(1, counts.max() + 1) if np.mean(counts == k) > COMMON_BINS]
    k = max(common) if common else int(np.bincount(counts).argmax())
    reference = np.median(np.array([found for found in peaks if len(found) == k]), axis=0)
    out = np.full((len(peaks), k), np.nan)
    for row, found in enumerate(peaks):
        distance = np.abs(found[:, None] - reference[None])
        nearest = distance.argmin(axis=1)
        for cluster in np.unique(nearest):
            own = np.flatnonzero(nearest == cluster)
            out[row, cluster] = found[own[distance[own, cluster].argmin()]]
    present = np.isfinite(out)
    out = out[:, present.mean(axis=0) >= CLUSTER_BINS]
    centre = np.nanmedian(out, axis=0) if out.shape[1] else np.empty(0)
    return np.where(np.isfinite(out), out, centre)


def _away(trajectories: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    smoothed = smooth(trajectories, spar=SPAR)
    centre = np.median(smoothed, axis=0)
    spread = MAD_TO_SD * np.median(np.abs(smoothed - centre), axis=0)
    return np.asarray(np.abs(smoothed - centre) > limit * spread, dtype=np.bool_)


def _short_runs(good: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Good bins in runs shorter than ``least``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    short = np.zeros_like(good)
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        short[begin:end] = end - begin < least
    return short


def _events(bad: NDArray[np.bool_], starts: NDArray[np.int64], size: int, n: int) -> NDArray[np.bool_]:
    """Events that lie in a bad bin."""
    change = np.zeros(n + 1, dtype=np.int64)
    np.add.at(change, starts[bad], 1)
    np.add.at(change, np.minimum(starts[bad] + size, n), -1)
    return np.asarray(np.cumsum(change[:-1]) > 0, dtype=np.bool_)


def _drifting(medians: NDArray[np.float64], channels: Sequence[str]) -> tuple[str, ...]:
    if len(medians) < 2 * DRIFT_BOX:
        return ()
    cumulated = np.cumsum(np.vstack([np.zeros(medians.shape[1]), medians]), axis=0)
    boxed = (cumulated[DRIFT_BOX:] - cumulated[:-DRIFT_BOX]) / DRIFT_BOX
    rising = np.mean(boxed >= np.maximum.accumulate(boxed, axis=0), axis=0) > DRIFT_SHARE
    falling = np.mean(boxed <= np.minimum.accumulate(boxed, axis=0), axis=0) > DRIFT_SHARE
    return tuple(channel for channel, drifts in zip(channels, rising | falling, strict=True) if drifts)
