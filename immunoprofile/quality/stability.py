"""Signal stability over the acquisition, of the PeacoQC kind (Emmaneel et al., Cytometry A 2022;101:325).

Each channel's density peaks are followed through overlapping bins of events; bins in which one has left its place are
flagged. Written from the published method. The rules ``robust`` differ from the ``reference`` in seven points, each
with its reason in docs/quality.md; :mod:`immunoprofile.quality._follow` finds and follows the peaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from immunoprofile.order_statistics import interpolated, medians
from immunoprofile.quality._follow import bin_means, bins_of, follow, steadied
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
LEAST_EVENTS = 150
MAX_BINS = 500
DRIFT_BOX = 50
DRIFT_SHARE = 0.75

NOISE_LIMIT = 3.5
"""Distance from the median, in standard deviations of one bin, that a smoothed value must exceed (robust rules)."""
OWN_LIMIT = 1.5
"""The same for the value before smoothing, in the same direction (robust rules)."""
LONE_BINS = 7
"""Window of the running median over the places of a peak: up to three bins in which a peak is missing and another is
taken for it do not count, four do (robust rules)."""
_NOISE_QUANTILE = 0.75
_NOISE_DIVISOR = 1.1503493803760079 * 2**0.5
"""The 75th percentile of |a - b| of two normal values is 1.15 sqrt(2) standard deviations."""
FEWEST_BINS = 20

Rules = Literal["robust", "reference"]


@dataclass(frozen=True, eq=False)
class Stability:
    """Signal stability of one file.

    Attributes
    ----------
    assessable, reason
        False with the reason when there is nothing to judge; that is never a pass.
    rules
        ``robust`` or ``reference``.
    channels
        Names of the channels that were followed.
    order
        Positions of the events in the order in which they were judged.
    events_per_bin, starts
        Length of a bin, and the first event of each bin in that order; bins overlap by half.
    trajectories, owner
        Bins x features on the transformed scale: places of the followed peaks, then (robust rules) the mean of every
        channel; and the position in ``channels`` of each feature.
    medians
        Bins x channels: median of the bin.
    bad_tree, bad_mad, bad_run
        One value a bin: set apart by the isolation tree; a feature away from its place; a good run that is too short.
    bad_channels
        Bins x channels: whose feature left its place.
    bad_events
        One value an event, in the order of the file.
    tree_used
        Whether there were enough bins for the isolation tree.
    pct_tree, pct_mad, pct_run
        Per cent of the events flagged by each step; a step counts what the steps before it left.
    drifting
        Channels whose smoothed median sits at its running maximum or minimum most of the time; only reported.
    """

    assessable: bool
    reason: str
    rules: Rules
    channels: tuple[str, ...]
    order: NDArray[np.int64]
    events_per_bin: int
    starts: NDArray[np.int64]
    trajectories: NDArray[np.float64]
    owner: NDArray[np.int64]
    medians: NDArray[np.float64]
    bad_tree: NDArray[np.bool_]
    bad_mad: NDArray[np.bool_]
    bad_run: NDArray[np.bool_]
    bad_channels: NDArray[np.bool_]
    bad_events: NDArray[np.bool_]
    tree_used: bool = False
    pct_tree: float = float("nan")
    pct_mad: float = float("nan")
    pct_run: float = float("nan")
    drifting: tuple[str, ...] = ()

    @property
    def bad_bins(self) -> NDArray[np.bool_]:
        """Bins flagged by any step."""
        return self.bad_tree | self.bad_mad | self.bad_run

    @property
    def pct_events(self) -> float:
        """Per cent of the events flagged; NaN when not assessable."""
        return 100.0 * float(np.mean(self.bad_events)) if self.assessable else float("nan")


def bin_size(events: int) -> int:
    """Events of a bin: 500, or the multiple of 500 that leaves at most about 500 half-overlapping bins."""
    rough = -(-2 * events // MAX_BINS)
    return max(LEAST_EVENTS, MAX_BINS * (rough // MAX_BINS) + MAX_BINS)


def signal_stability(
    values: NDArray[np.float64] | Sequence[NDArray[np.float64]],
    channels: Sequence[str],
    *,
    time: NDArray[np.float64] | None = None,
    order: Literal["time", "file"] = "time",
    rules: Rules | None = None,
    force_tree: int = TREE_FROM,
    mad_limit: float = MAD_LIMIT,
) -> Stability:
    """Flag the bins of an acquisition whose signal is not where it is in the rest.

    Parameters
    ----------
    values
        Events x channels, compensated and transformed, without Time; or the columns one by one, at least one, which
        need not lie in one array.
    channels
        Name of each column.
    time
        Time of each event; without it the events are taken as they stand.
    order
        ``time`` sorts the events by Time first (stable); ``file`` takes them as they stand.
    rules
        ``robust`` or ``reference``. By default ``reference`` for ``order="file"``: together they are the published
        method with its numbers; ``robust`` otherwise.
    force_tree
        The isolation tree runs from so many bins (``force_IT`` of the reference).
    mad_limit
        Distance from the median, in robust standard deviations, that a smoothed feature may have.

    Returns
    -------
    Stability
        Not assessable when values are no finite numbers, or (robust rules) with fewer than 20 whole bins.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> values = rng.normal(size=(20_000, 2))
    >>> values[8_000:10_000, 1] += 1
    >>> found = signal_stability(values, ["CD3", "CD4"])
    >>> bool(found.bad_events[8_000:10_000].all()), bool(found.bad_channels[:, 0].any())
    (True, False)
    """
    columns = list(values.T) if isinstance(values, np.ndarray) else list(values)
    n = len(values) if isinstance(values, np.ndarray) else len(columns[0])
    chosen: Rules = rules or ("reference" if order == "file" else "robust")
    width = len(columns)
    sorted_already = order == "file" or time is None or bool(np.all(time[1:] >= time[:-1]))
    positions = np.arange(n) if sorted_already or time is None else np.argsort(time, kind="stable")
    size = bin_size(n)
    step = size - -(-size // 2)
    starts = np.arange(0, n, step)
    if chosen == "robust":
        starts = starts[starts + size <= n]
        if len(starts) and starts[-1] + size < n:
            # The last bin is a whole one as well: a short one is noisier than its limits allow for.
            starts = np.append(starts, n - size)
    reason = ""
    if not width or len(starts) < (FEWEST_BINS if chosen == "robust" else 1):
        reason = f"fewer than {FEWEST_BINS} bins of {size} events" if width else "no channel to follow"
    elif not all(np.isfinite(column).all() for column in columns):
        reason = "the signal holds values that are no numbers"
    if reason:
        return _nothing(reason, chosen, channels, n, size)

    if not sorted_already:
        columns = [column[positions] for column in columns]
    found = [bins_of(column, starts, size) for column in columns]
    medians_of_bins = np.column_stack([one.medians for one in found])
    followed = [follow(one.peaks) for one in found]
    owners = [number for number, places in enumerate(followed) for _ in range(places.shape[1])]
    if chosen == "robust":
        followed.append(bin_means(columns, np.array([one.ends for one in found]), starts, size))
        owners += list(range(width))
    features, owner = np.column_stack(followed), np.array(owners, dtype=np.int64)

    tree_used = len(starts) >= force_tree
    kept = largest_leaf(features) if tree_used else np.ones(len(starts), dtype=bool)
    if chosen == "robust":
        # A fault lasts; single bins that a peak leaves and takes again are for the next step to judge.
        kept |= short_runs(~kept, MIN_RUN)
    if chosen == "reference":
        away = _away_reference(features, kept, mad_limit)
    else:
        peaks_until = features.shape[1] - width
        away = _away(features, kept, mad_limit, peaks_until=peaks_until)
    bad_mad = kept & away.any(axis=1)
    bad_run = short_runs(kept & ~bad_mad, MIN_RUN)
    masks = [_events(flags, starts, size, n) for flags in (~kept, ~kept | bad_mad, ~kept | bad_mad | bad_run)]
    shares = [100.0 * float(mask.mean()) for mask in masks]
    bad_events = np.zeros(n, dtype=bool)
    bad_events[positions] = masks[-1]
    bad_channels = np.column_stack([away[:, owner == number].any(axis=1) for number in range(width)])
    return Stability(
        assessable=True,
        reason="",
        rules=chosen,
        channels=tuple(channels),
        order=positions,
        events_per_bin=size,
        starts=starts,
        trajectories=features,
        owner=owner,
        medians=medians_of_bins,
        bad_tree=~kept,
        bad_mad=bad_mad,
        bad_run=bad_run,
        bad_channels=bad_channels,
        bad_events=bad_events,
        tree_used=tree_used,
        pct_tree=shares[0],
        pct_mad=shares[1] - shares[0],
        pct_run=shares[2] - shares[1],
        drifting=_drifting(medians_of_bins, channels),
    )


def _away_reference(features: NDArray[np.float64], kept: NDArray[np.bool_], limit: float) -> NDArray[np.bool_]:
    """Bins x features: a smoothed peak away from its median over the kept bins."""
    smoothed = features.copy()
    smoothed[kept] = smooth(features[kept], spar=SPAR)
    centre, spread = _centre_and_spread(smoothed[kept])
    return np.asarray(np.abs(smoothed - centre) > limit * spread, dtype=np.bool_)


def _away(
    features: NDArray[np.float64], kept: NDArray[np.bool_], limit: float, *, peaks_until: int
) -> NDArray[np.bool_]:
    """The same by the robust rules; the first ``peaks_until`` features are places of peaks."""
    steady = features[kept].copy()
    steady[:, :peaks_until] = steadied(steady[:, :peaks_until], LONE_BINS)
    smoothed = features.copy()
    smoothed[kept] = smooth(steady, spar=SPAR)
    centre, spread = _centre_and_spread(smoothed[kept])
    noise = _noise(features[kept])
    shift = smoothed - centre
    # The smoothing spreads a jump over its neighbours: a bin must itself lie on the side it is blamed for.
    own = np.sign(shift) * (features - centre) > OWN_LIMIT * noise
    away = (np.abs(shift) > np.maximum(limit * spread, NOISE_LIMIT * noise)) & own
    # Bins that the tree set apart are not smoothed: which channels are to blame is told with twice the limit.
    away[~kept] &= np.abs(shift[~kept]) > 2 * NOISE_LIMIT * noise
    return np.asarray(away, dtype=np.bool_)


def _centre_and_spread(series: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    centre = medians(series)
    return centre, MAD_TO_SD * medians(np.abs(series - centre))


def _noise(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation of one bin from bins that share no event; a filled gap tells nothing of it."""
    change = np.abs(features[2:] - features[:-2])
    change.sort(axis=0)
    first = np.count_nonzero(change <= 0.0, axis=0)
    last = np.maximum(len(change) - first - 1, 0)
    place = _NOISE_QUANTILE * last
    lower = np.floor(place).astype(np.int64)
    known = first < len(change)
    columns = np.flatnonzero(known)
    below, above = (change[(first + rank)[known], columns] for rank in (lower, np.minimum(lower + 1, last)))
    noise = np.zeros(features.shape[1])
    noise[known] = interpolated(below, above, (place - lower)[known]) / _NOISE_DIVISOR
    return noise


def short_runs(flags: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Where ``flags`` is true in runs shorter than ``least``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    short = np.zeros_like(flags)
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        short[begin:end] = end - begin < least
    return short


def _events(bad: NDArray[np.bool_], starts: NDArray[np.int64], size: int, n: int) -> NDArray[np.bool_]:
    """Events that lie in a bad bin."""
    change = np.zeros(n + 1, dtype=np.int64)
    np.add.at(change, starts[bad], 1)
    np.add.at(change, np.minimum(starts[bad] + size, n), -1)
    return np.asarray(np.cumsum(change[:-1]) > 0, dtype=np.bool_)


def _drifting(series: NDArray[np.float64], channels: Sequence[str]) -> tuple[str, ...]:
    if len(series) < 2 * DRIFT_BOX:
        return ()
    cumulated = np.cumsum(np.vstack([np.zeros(series.shape[1]), series]), axis=0)
    boxed = (cumulated[DRIFT_BOX:] - cumulated[:-DRIFT_BOX]) / DRIFT_BOX
    rising = np.mean(boxed >= np.maximum.accumulate(boxed, axis=0), axis=0) > DRIFT_SHARE
    falling = np.mean(boxed <= np.minimum.accumulate(boxed, axis=0), axis=0) > DRIFT_SHARE
    return tuple(channel for channel, drifts in zip(channels, rising | falling, strict=True) if drifts)


def _nothing(reason: str, rules: Rules, channels: Sequence[str], n: int, size: int) -> Stability:
    flags, places = np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64)
    return Stability(
        assessable=False,
        reason=reason,
        rules=rules,
        channels=tuple(channels),
        order=np.arange(n),
        events_per_bin=size,
        starts=places,
        trajectories=np.zeros((0, 0)),
        owner=places,
        medians=np.zeros((0, len(channels))),
        bad_tree=flags,
        bad_mad=flags,
        bad_run=flags,
        bad_channels=np.zeros((0, len(channels)), dtype=bool),
        bad_events=np.zeros(n, dtype=bool),
    )
