"""Whether the matrix that a file carries was applied already before the file was written."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.io.fcs_data import SURVEYED
from immunoprofile.order_statistics import quantiles
from immunoprofile.resources.checks import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from immunoprofile.compensation.matrix import Spillover
    from immunoprofile.io.fcs import Sample

CHECK = "already_compensated"
FLAG = "COMP_ASK"
MAX_EVENTS = SURVEYED
FIRST_LOOK = 5_000
"""Events of a first look; where it leaves a doubt, `MAX_EVENTS` are asked."""
NO_DOUBT, NO_DOUBT_PAIRS = 0.10, 4
"""A first look suffices when at least so many pairs can tell and at most this share of them has lost its light."""
MIN_SPILL = 0.03
"""Smallest coefficient whose trace can be told from errors of a matrix."""
MIN_PAIR_EVENTS = 50
NOISE_FACTOR = 4.0
"""The light that spills must exceed the noise of the detector this many times."""
DOMINANT = 0.7
"""Share of the spilled light in a detector that comes from the one dye of the pair."""
LOW_QUANTILE = 0.10
GONE = 0.5
"""Below this share of the expected light, the light of a pair is gone."""
MIN_PAIRS = 2
ASK, CLEAR = 0.30, 0.75
"""Share of the pairs without their light from which a person is asked, and from which it is clear."""
LIMITS = f"ask from {ASK:g} of the pairs"


@dataclass(frozen=True)
class PairTrace:
    """What one dye leaves in the detector of another.

    Attributes
    ----------
    source, detector
        Channels.
    n
        Events that are bright enough to tell.
    light
        Lower decile of recorded over expected spilled light: about 1 or more in raw events (the detector sees the
        spilled light at least), about 0 where it was subtracted.
    """

    source: str
    detector: str
    n: int
    light: float


_COMPENSATED = re.compile(r"(?:FJ)?Comp[-_ ].+|<.+>", re.IGNORECASE)


def compensated_names(sample: Sample) -> tuple[str, ...]:
    """Channels whose names say that they hold compensated values: ``Comp-``, ``FJComp-`` or ``<...>`` (FlowJo).

    Empty when the channel without that mark is in the file too: then both are there, and the marked ones are copies.
    """
    names = [channel.pnn for channel in sample.channels]
    marked = tuple(name for name in names if _COMPENSATED.fullmatch(name.strip()))
    return () if any(bare_name(name) in names for name in marked) else marked


def bare_name(name: str) -> str:
    """Name of a channel without what programs add to compensated ones."""
    bare = re.sub(r"^(?:FJ)?Comp[-_ ]", "", name.strip(), flags=re.IGNORECASE)
    return bare[1:-1] if bare.startswith("<") and bare.endswith(">") else bare


def pair_traces(sample: Sample, spillover: Spillover, *, most: int = MAX_EVENTS) -> list[PairTrace]:
    """Recorded over expected light for every pair of detectors that can tell.

    Parameters
    ----------
    sample
        Recorded events.
    spillover
        The matrix that comes with them.
    most
        Events to ask, evenly from the file.

    Returns
    -------
    list of PairTrace
        Pairs with a coefficient of at least 0.03 and at least 50 events whose spilled light is above the noise of the
        detector and comes mostly from that one dye.
    """
    columns = spillover.positions(sample)
    below = np.ones(sample.n_events, dtype=bool)
    for column in columns:
        channel = sample.channels[column]
        below &= np.isfinite(sample.events[:, column])
        if channel.pnr > 0:
            below &= sample.events[:, column] < (channel.pnr - 1) / channel.gain
    rows = np.flatnonzero(below)
    if len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(int)]
    if len(rows) < MIN_PAIR_EVENTS:
        return []
    recorded = np.stack([sample.events[:, column].take(rows) for column in columns])
    # if the events are raw, this is the light that each dye gives
    dyes = np.maximum(np.linalg.solve(spillover.matrix.T, recorded), 0)
    traces = []
    for detector, name in enumerate(spillover.channels):
        coefficients = spillover.matrix[:, detector]
        sources = [k for k in np.flatnonzero(coefficients >= MIN_SPILL).tolist() if k != detector]
        if not sources:
            continue
        others = [k for k in np.flatnonzero(coefficients > 0).tolist() if k != detector]
        spilled = dyes[others] * coefficients[others, None]
        total = spilled.sum(axis=0)
        bright = np.flatnonzero(total > NOISE_FACTOR * _noise(recorded[detector], total))
        total = total[bright]
        for source in sources:
            telling = spilled[others.index(source)].take(bright) >= DOMINANT * total
            n = int(np.count_nonzero(telling))
            if n < MIN_PAIR_EVENTS:
                continue
            share = recorded[detector, bright[telling]] / total[telling]
            traces.append(PairTrace(spillover.channels[source], name, n, float(quantiles(share, [LOW_QUANTILE])[0])))
    return traces


def already_compensated(sample: Sample, spillover: Spillover) -> Finding:
    """Whether the events look as if the matrix had been applied before.

    A detector sees at least the light that spills into it. Where most pairs of detectors have events in which that
    light is missing, it was subtracted before, and subtracting it again would push whole populations below zero.

    Parameters
    ----------
    sample
        Recorded events.
    spillover
        The matrix that comes with them.

    Returns
    -------
    Finding
        ``value``: share of the pairs whose light is gone. PASS below 0.3; from there WARN with the flag ``COMP_ASK``:
        a person has to say. ``confidence`` is the distance from an even split, and at least 0.5 from 0.75 on.
        NOT_EVALUABLE when fewer than 2 pairs can tell (few or dim events, little spillover).
    """
    if spillover.is_identity:
        return Finding(CHECK, "NOT_EVALUABLE", math.nan, "share of pairs", LIMITS,
                       "the matrix is the identity: nothing to tell", confidence=math.nan)  # fmt: skip
    # the events that a streamed file keeps as well (`io.fcs_data.Survey`): the same answer either way
    step = max(1, -(-sample.n_events // MAX_EVENTS))
    asked = sample if step == 1 else replace(sample, events=sample.events[::step], layout=None)
    traces = pair_traces(asked, spillover, most=FIRST_LOOK)
    doubt = len(traces) < NO_DOUBT_PAIRS or sum(trace.light < GONE for trace in traces) > NO_DOUBT * len(traces)
    if doubt and asked.n_events > FIRST_LOOK:
        traces = pair_traces(asked, spillover)
    return told_by(traces)


def told_by(traces: Sequence[PairTrace]) -> Finding:
    """What the pairs say, by the rule of :func:`already_compensated`."""
    if len(traces) < MIN_PAIRS:
        text = f"{len(traces)} pairs of detectors have enough spilled light to tell"
        return Finding(CHECK, "NOT_EVALUABLE", math.nan, "share of pairs", LIMITS, text, confidence=math.nan)
    gone = [trace for trace in traces if trace.light < GONE]
    share = len(gone) / len(traces)
    confidence = abs(2 * share - 1)
    if share < ASK:
        return Finding(CHECK, "PASS", share, "share of pairs", LIMITS,
                       f"spilled light is there in {len(traces) - len(gone)} of {len(traces)} pairs",
                       confidence=confidence)  # fmt: skip
    clear = "clearly look" if share >= CLEAR else "may be"
    worst = min(gone, key=lambda trace: trace.light)
    return Finding(
        CHECK, "WARN", share, "share of pairs", LIMITS,
        f"the events {clear} compensated already: the spilled light is missing in {len(gone)} of {len(traces)} pairs "
        f"(least: {worst.source} into {worst.detector})",
        FLAG, confidence,
    )  # fmt: skip


def _noise(values: NDArray[np.float64], total: NDArray[np.float64]) -> float:
    """Spread of the negatives of a detector: lower flank of the events into which least light spills."""
    quiet = values[total <= quantiles(total, [0.25])[0]]
    tenth, quarter = quantiles(quiet, [0.10, 0.25])
    # 0.607 is the distance of these quantiles of a normal distribution in standard deviations
    return max(float(quarter - tenth) / 0.607, 1e-9)
