"""Flow rate over the acquisition: clogs, air and refills show as stretches with another event rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.order_statistics import median

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.io.fcs import Sample

SHORTEST_BIN_S = 0.1
EVENTS_PER_BIN = 100
"""Bins are widened until the median bin holds about this many events: with fewer, even a standstill is within 6 robust
standard deviations of a Poisson count."""
Z_LIMIT = 6.0
TIMES_USUAL = 4.0
"""A rate so many times lower or higher than the usual one is bad however much the rate wanders."""
SHORTEST_GAP_S = 1.0
GAP_EXPECTED = 1e-3
"""A pause is a gap from this length on, and when a steady flow would show so few of its length in the whole file."""
MAD_TO_SD = 1.4826
_MIN_BINS = 20
FEWEST_TIMES = 20
"""Distinct times below which a clock says nothing on the rate: what is between two ticks cannot be seen."""
TICKS_PER_BIN = 3
"""A bin of a coarse clock holds at least so many whole ticks."""
_FINE = 9.5
"""A bin so many ticks wide has as good as the same number of them wherever its edges lie."""


@dataclass(frozen=True, eq=False)
class FlowRate:
    """Event rate of one file over its acquisition time.

    Attributes
    ----------
    assessable
        False without a usable Time channel or with too few events; that is never a pass.
    reason
        Why it is not assessable.
    edges
        Bin edges in seconds, length bins + 1; of a coarse clock they lie on its ticks and are unevenly spaced.
    rate
        Events per second in each bin.
    bad_bins
        Bins whose rate is further than 6 robust standard deviations from the usual one.
    bad_events
        Events in such bins, one value per recorded event, in the order of the file.
    gaps
        Begin and end, in seconds, of pauses without any event that a steady flow would not show.
    backwards
        How often Time falls from one recorded event to the next; events may be in disorder.
    coarse
        The clock has fewer than 20 distinct times: nothing can be cut out by time.
    """

    assessable: bool
    reason: str
    edges: NDArray[np.float64]
    rate: NDArray[np.float64]
    bad_bins: NDArray[np.bool_]
    bad_events: NDArray[np.bool_]
    gaps: tuple[tuple[float, float], ...] = ()
    backwards: int = 0
    coarse: bool = False

    @property
    def pct_backwards(self) -> float:
        """Per cent of the steps from event to event at which Time falls; NaN when not assessable."""
        return 100.0 * self.backwards / max(len(self.bad_events) - 1, 1) if self.assessable else float("nan")

    @property
    def pct_time(self) -> float:
        """Per cent of the acquisition time with an unstable rate; NaN when not assessable."""
        if not self.assessable:
            return float("nan")
        width = np.diff(self.edges)
        if np.allclose(width, width[0]):
            return 100.0 * float(np.mean(self.bad_bins))
        return 100.0 * float(width[self.bad_bins].sum() / width.sum())

    @property
    def pct_events(self) -> float:
        """Per cent of the events acquired at an unstable rate; NaN when not assessable."""
        return 100.0 * float(np.mean(self.bad_events)) if self.assessable else float("nan")


def flow_rate(sample: Sample) -> FlowRate:
    """Judge the flow rate of a file.

    Events are counted in bins of at least 0.1 s; a bin is bad when its count differs from the usual one by more than
    6 robust standard deviations (1.4826 MAD, at least the Poisson one), or when it is a quarter or four times of it and
    that is no chance of counting. Medians are taken over events, not over time.

    Where the clock is coarse, a bin holds at least three whole ticks, and the first and the last tick, during which the
    acquisition began and ended, are not judged. A file with fewer than 20 distinct times is not assessable.

    Parameters
    ----------
    sample
        The file; Time in seconds.

    Returns
    -------
    FlowRate
    """
    time, reason = time_of(sample)
    if time is None:
        return _not_assessable(sample, reason)
    span = float(np.ptp(time))
    moments = moments_of(time)
    if moments.size < FEWEST_TIMES:
        reason = f"the clock has {moments.size} distinct times, fewer than {FEWEST_TIMES}"
        return replace(_not_assessable(sample, reason), coarse=True)
    if time.size < _MIN_BINS * EVENTS_PER_BIN:
        return _not_assessable(sample, f"fewer than {_MIN_BINS * EVENTS_PER_BIN} events")
    width = max(SHORTEST_BIN_S, span * EVENTS_PER_BIN / time.size)
    tick = median(np.diff(moments))
    if width >= _FINE * tick:
        bins = max(_MIN_BINS, int(np.floor(span / width)))
        edges = np.linspace(float(time.min()), float(time.max()), bins + 1)
        which = _bin_of(time, edges)
        counts = np.bincount(which, minlength=bins).astype(np.float64)
        seconds = np.diff(edges)
    else:
        edges, which, counts, seconds = _whole_ticks(time, moments, width)
    bad = _unsteady(counts, seconds)
    usual = _median_of_events(counts / seconds, counts)
    return FlowRate(
        assessable=True,
        reason="",
        edges=edges,
        rate=counts / seconds,
        bad_bins=bad,
        bad_events=bad[which],
        gaps=_gaps(moments, time.size, usual),
        backwards=int(np.count_nonzero(np.diff(time) < 0)),
    )


def _unsteady(counts: NDArray[np.float64], seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Bins whose count is not that of the usual rate."""
    # The usual rate is the one at which the median event was acquired: a standstill takes long and holds few events, so
    # the median of the bins could be the standstill.
    if np.allclose(seconds, seconds[0]):
        usual = np.full(counts.size, _median_of_events(counts, counts))
    else:
        usual = _median_of_events(counts / seconds, counts) * seconds
    deviation = np.abs(counts - usual)
    poisson = np.sqrt(np.maximum(usual, 1.0))
    # Bins of unequal length are compared in units of their counting error.
    relative = deviation / poisson
    spread = np.maximum(MAD_TO_SD * _median_of_events(relative, counts), 1.0)
    bad = relative > Z_LIMIT * spread
    # Where the rate wanders, the spread is wide; a standstill or a burst is one nevertheless.
    extreme = (counts < usual / TIMES_USUAL) | (counts > usual * TIMES_USUAL)
    return np.asarray(bad | (extreme & (relative > Z_LIMIT)), dtype=np.bool_)


def _whole_ticks(
    time: NDArray[np.float64], moments: NDArray[np.float64], width: float
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Bins of whole ticks: edges, bin of each event, and the events and seconds of the ticks that were seen whole.

    An event that is stamped with a moment was recorded between it and the next one.
    """
    starts, place = [1], 1
    last = moments.size - 1
    while place < last:
        place = max(int(np.searchsorted(moments, moments[starts[-1]] + width, side="left")), starts[-1] + TICKS_PER_BIN)
        if place >= last:
            break
        starts.append(place)
    # What is left at the end is no bin of its own unless it is as long as the others.
    if len(starts) > 1 and (last - starts[-1] < TICKS_PER_BIN or moments[last] - moments[starts[-1]] < 0.999 * width):
        starts.pop()
    inner = moments[[*starts, last]]
    bins = len(starts)
    which = _bin_of(time, inner)
    whole = (time >= inner[0]) & (time < inner[-1])
    counts = np.bincount(which[whole], minlength=bins).astype(np.float64)
    edges = inner.copy()
    edges[0], edges[-1] = moments[0], moments[-1]
    return edges, which, counts, np.diff(inner)


def _bin_of(time: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """Bin of each event; the first and the last bin take what lies outside."""
    inner = edges[1:-1]
    if np.all(time[1:] >= time[:-1]):
        # Few edges are sought among the times, not each time among the edges.
        first = np.concatenate([[0], np.searchsorted(time, inner, side="left"), [time.size]])
        return np.repeat(np.arange(len(edges) - 1), np.diff(first))
    return np.searchsorted(inner, time, side="right")


def moments_of(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distinct times, ascending; most files hold their events in this order."""
    steps = np.diff(time)
    if not time.size or not np.all(steps >= 0):
        return np.unique(time)
    return np.asarray(time[np.concatenate([[True], steps > 0])], dtype=np.float64)


def _gaps(moments: NDArray[np.float64], events: int, rate: float) -> tuple[tuple[float, float], ...]:
    """Pauses that are too long for chance at this rate, and longer than the clock is coarse."""
    pauses = np.diff(moments)
    if not pauses.size or rate <= 0:
        return ()
    longest = (np.log(events) - np.log(GAP_EXPECTED)) / rate
    limit = max(longest, SHORTEST_GAP_S, 3 * median(pauses))
    return tuple((float(moments[at]), float(moments[at + 1])) for at in np.flatnonzero(pauses > limit))


def time_of(sample: Sample) -> tuple[NDArray[np.float64] | None, str]:
    """Time of each event in seconds, or None with the reason why there is none that can be used."""
    positions = [i for i, channel in enumerate(sample.channels) if channel.kind == "time"]
    if len(positions) != 1:
        return None, "no Time channel" if not positions else "several Time channels"
    time = sample.events[:, positions[0]]
    if not np.all(np.isfinite(time)):
        return None, "Time holds values that are no numbers"
    if not time.size or float(np.ptp(time)) <= 0:
        return None, "Time does not advance"
    return time, ""


def _median_of_events(values: NDArray[np.float64], events: NDArray[np.float64]) -> float:
    """Median of a value of the bins where every bin counts as often as it holds events."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(events[order])
    return float(values[order[np.searchsorted(reached, reached[-1] / 2)]])


def _not_assessable(sample: Sample, reason: str) -> FlowRate:
    nothing = np.zeros(0)
    return FlowRate(
        assessable=False,
        reason=reason,
        edges=nothing,
        rate=nothing,
        bad_bins=np.zeros(0, dtype=bool),
        bad_events=np.zeros(sample.n_events, dtype=bool),
    )
