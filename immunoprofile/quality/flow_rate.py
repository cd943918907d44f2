"""Flow rate over the acquisition: clogs, air and refills show as stretches with another event rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.io.markers import is_time

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
        Bin edges in seconds, length bins + 1.
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
    """

    assessable: bool
    reason: str
    edges: NDArray[np.float64]
    rate: NDArray[np.float64]
    bad_bins: NDArray[np.bool_]
    bad_events: NDArray[np.bool_]
    gaps: tuple[tuple[float, float], ...] = ()
    backwards: int = 0

    @property
    def pct_backwards(self) -> float:
        """Per cent of the steps from event to event at which Time falls; NaN when not assessable."""
        return 100.0 * self.backwards / max(len(self.bad_events) - 1, 1) if self.assessable else float("nan")

    @property
    def pct_time(self) -> float:
        """Per cent of the acquisition time with an unstable rate; NaN when not assessable."""
        return 100.0 * float(np.mean(self.bad_bins)) if self.assessable else float("nan")

    @property
    def pct_events(self) -> float:
        """Per cent of the events acquired at an unstable rate; NaN when not assessable."""
        return 100.0 * float(np.mean(self.bad_events)) if self.assessable else float("nan")


def flow_rate(sample: Sample) -> FlowRate:
    """Judge the flow rate of a file.

    Events are counted in bins of at least 0.1 s; a bin is bad when its count differs from the usual one by more than
    6 robust standard deviations (1.4826 MAD, at least the Poisson one), or when it is a quarter or four times of it and
    that is no chance of counting. Medians are taken over events, not over time.

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
    if time.size < _MIN_BINS * EVENTS_PER_BIN:
        return _not_assessable(sample, f"fewer than {_MIN_BINS * EVENTS_PER_BIN} events")
    width = max(SHORTEST_BIN_S, span * EVENTS_PER_BIN / time.size)
    bins = max(_MIN_BINS, int(np.floor(span / width)))
    edges = np.linspace(float(time.min()), float(time.max()), bins + 1)
    which = np.clip(np.searchsorted(edges, time, side="right") - 1, 0, bins - 1)
    counts = np.bincount(which, minlength=bins).astype(np.float64)
    # The usual rate is the one at which the median event was acquired: a standstill takes long and holds few events, so
    # the median of the bins could be the standstill.
    usual = _median_of_events(counts, counts)
    deviation = np.abs(counts - usual)
    spread = max(MAD_TO_SD * _median_of_events(deviation, counts), np.sqrt(max(usual, 1.0)))
    bad = deviation > Z_LIMIT * spread
    # Where the rate wanders, the spread is wide; a standstill or a burst is one nevertheless.
    extreme = (counts < usual / TIMES_USUAL) | (counts > usual * TIMES_USUAL)
    bad |= extreme & (deviation > Z_LIMIT * np.sqrt(max(usual, 1.0)))
    return FlowRate(
        assessable=True,
        reason="",
        edges=edges,
        rate=counts / np.diff(edges),
        bad_bins=bad,
        bad_events=bad[which],
        gaps=_gaps(time, usual / float(edges[1] - edges[0])),
        backwards=int(np.count_nonzero(np.diff(time) < 0)),
    )


def _gaps(time: NDArray[np.float64], rate: float) -> tuple[tuple[float, float], ...]:
    """Pauses that are too long for chance at this rate, and longer than the clock is coarse."""
    moments = np.unique(time)
    pauses = np.diff(moments)
    if not pauses.size or rate <= 0:
        return ()
    longest = (np.log(time.size) - np.log(GAP_EXPECTED)) / rate
    limit = max(longest, SHORTEST_GAP_S, 3 * float(np.median(pauses)))
    return tuple((float(moments[at]), float(moments[at + 1])) for at in np.flatnonzero(pauses > limit))


def time_of(sample: Sample) -> tuple[NDArray[np.float64] | None, str]:
    """Time of each event in seconds, or None with the reason why there is none that can be used."""
    positions = [i for i, channel in enumerate(sample.channels) if is_time(channel.pnn)]
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
