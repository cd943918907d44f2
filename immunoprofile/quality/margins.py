"""Events at the rails of a detector: their true intensity is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from immunoprofile.io.fcs import Channel, Sample

REFERENCE_LOWEST = -111.0
"""Lower end of a digital channel as the reference's FCS reader sets it."""

BEYOND = 1.01
"""Values so much larger than $PnR show that $PnR is not the rail."""


@dataclass(frozen=True, eq=False)
class Margins:
    """Events at a rail.

    Attributes
    ----------
    channels
        Names ($PnN) of the channels looked at.
    lower, upper
        Rail of each channel on the linear scale of ``Sample.events``; NaN where the channel has none.
    low, high
        Events at or beyond each rail, one number a channel.
    bad_events
        Events at any rail, one value an event.
    """

    channels: tuple[str, ...]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    bad_events: NDArray[np.bool_]

    @property
    def pct_events(self) -> float:
        """Per cent of the events at a rail; NaN without events."""
        return 100.0 * float(np.mean(self.bad_events)) if self.bad_events.size else float("nan")


def margins(
    sample: Sample,
    channels: Sequence[str] | None = None,
    *,
    rails: Literal["detector", "reference"] = "detector",
) -> Margins:
    """Flag raw values at or beyond the rails of their detector.

    Parameters
    ----------
    sample
        The file, raw.
    channels
        Names ($PnN); by default all but Time.
    rails
        ``detector``: the upper rail is the largest value that $PnR allows; the lower rail is the smallest value an
        integer converter can store; floating-point files have no lower rail, and where values go far beyond $PnR it
        is not the rail. ``reference``: the rule of the reference implementation (x <= max(min(lowest of the reader,
        0), min x) or x >= min($PnR - 1, max x)), which always flags the extreme events of every channel.

    Returns
    -------
    Margins

    Raises
    ------
    KeyError
        A name is no channel of the file.
    """
    names = [channel.pnn for channel in sample.channels]
    measured = [channel.pnn for channel in sample.channels if channel.kind != "time"]
    wanted = measured if channels is None else list(channels)
    positions = {name: position for position, name in reversed(list(enumerate(names)))}
    if unknown := [name for name in wanted if name not in positions]:
        raise KeyError(f"{sample.name} has no channel {', '.join(unknown)}")
    bad = np.zeros(sample.n_events, dtype=bool)
    lower, upper = np.full(len(wanted), np.nan), np.full(len(wanted), np.nan)
    low, high = np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=np.int64)
    whole_numbers = sample.keywords.get("datatype", "").strip().upper() == "I"
    for number, name in enumerate(wanted):
        values = sample.events[:, positions[name]]
        channel = sample.channels[positions[name]]
        if rails == "detector":
            lower[number], upper[number] = _rails(channel, whole_numbers=whole_numbers)
            if values.size and float(values.max()) > BEYOND * upper[number]:
                # No detector goes beyond its rail: here $PnR is only a number for the axis of a plot.
                upper[number] = np.nan
        elif values.size:
            smallest, largest = float(values.min()), float(values.max())
            lower[number] = max(min(max(REFERENCE_LOWEST, smallest), 0.0), smallest)
            upper[number] = min(channel.pnr - 1, largest)
        for rail, count, beyond in ((lower, low, np.less_equal), (upper, high, np.greater_equal)):
            if not np.isnan(rail[number]):  # a missing rail
                at_rail = beyond(values, rail[number])
                count[number] = np.count_nonzero(at_rail)
                bad |= at_rail
    return Margins(tuple(wanted), lower, upper, low, high, bad)


def _rails(channel: Channel, *, whole_numbers: bool) -> tuple[float, float]:
    """Smallest and largest value that the detector can give, made linear as the events were."""
    if not channel.pnr > 1:
        return float("nan"), float("nan")
    if channel.decades > 0:
        first = channel.log0 or 1.0
        lowest, highest = first, first * 10 ** (channel.decades * (channel.pnr - 1) / channel.pnr)
        # Rounding of the power must not lose the events that sit on the rail.
        highest *= 1 - 1e-9
        lowest *= 1 + 1e-9
    else:
        lowest, highest = 0.0, (channel.pnr - 1) / channel.gain
    return (lowest if whole_numbers else float("nan")), highest
