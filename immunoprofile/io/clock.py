"""The Time channel of an FCS file: which channel it is, what one of its ticks is, and whether it can be believed.

Sources: ``$TIMESTEP`` (FCS 3.0 and later) is seconds of one tick, and ``$PnG`` does not apply to Time; ``$PnTYPE`` Time
(FCS 3.2) names the channel; ``TIMETICKS`` of CellQuest is milliseconds of one tick, which agrees with ``$BTIM`` and
``$ETIM`` in all real files that were looked at; MACSQuant calls the channel ``HDR-T``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.io.fcs_repair import REPAIR_TIMESTEP, Repairs
from immunoprofile.io.fcs_text import decimal
from immunoprofile.io.markers import is_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from immunoprofile.io.fcs import Sample

_DAY_S = 86_400.0
MUCH_LONGER, SLACK_S = 3.0, 10.0
"""A clock that runs so many times, and so many seconds, longer than ``$BTIM`` to ``$ETIM`` is not believed; files that
were joined, or whose clock ran before, reach 2.4 times."""
NEAR = 0.1
"""Stored values that end so near to the seconds from ``$BTIM`` to ``$ETIM`` may be seconds already."""
TURN = 0.5
"""Part of the whole span by which a clock falls when it begins anew."""


@dataclass(frozen=True)
class Clock:
    """The Time channel.

    Attributes
    ----------
    column
        Its column of the events.
    step
        Seconds of one tick as the file has them, by which the events were multiplied; None where the file does not
        say: then the events hold ticks.
    source
        ``$TIMESTEP``, ``TIMETICKS``, or empty.
    """

    column: int
    step: float | None
    source: str

    @property
    def unit(self) -> str:
        """``s`` or ``ticks``: what the events hold."""
        return "ticks" if self.step is None else "s"


def names_clock(keywords: Mapping[str, str], n: int) -> bool:
    """Whether channel ``n`` (from 1) is the clock: by its name, or by ``$PnTYPE``."""
    return is_time(keywords.get(f"p{n}n", "")) or keywords.get(f"p{n}type", "").strip().casefold() == "time"


def time_step(keywords: Mapping[str, str], repairs: Repairs | None = None) -> tuple[float | None, str]:
    """Seconds of one tick and the keyword that says so; (None, "") where none does.

    Parameters
    ----------
    keywords
        Keywords of the data set, lower case, without ``$``.
    repairs
        Takes a keyword that holds no positive number.
    """
    for name, key, factor in (("$TIMESTEP", "timestep", 1.0), ("TIMETICKS", "timeticks", 0.001)):
        text = keywords.get(key, "")
        step = decimal(text)
        if step is not None and 1e-12 <= step * factor <= 1e6:
            return step * factor, name
        if key in keywords and repairs is not None:
            repairs.note(REPAIR_TIMESTEP, f"{name} {text!r}")
    return None, ""


def clock_of(sample: Sample) -> Clock | None:
    """The clock of a file; None without one, or with several."""
    columns = [column for column, channel in enumerate(sample.channels) if channel.kind == "time"]
    if len(columns) != 1:
        return None
    if sample.layout is None:
        return Clock(columns[0], 1.0, "the events as they were given")
    return Clock(columns[0], *time_step(sample.keywords))


def wall_seconds(keywords: Mapping[str, str]) -> float | None:
    """Seconds from ``$BTIM`` to ``$ETIM``, over midnight where needed; None where they are missing or the same."""
    begin, end = (_seconds(keywords.get(key, "")) for key in ("btim", "etim"))
    if begin is None or end is None:
        return None
    return (end - begin) % _DAY_S or None


def _seconds(text: str) -> float | None:
    """Time of day: hh:mm:ss, with sixtieths (FCS 3.0, a colon) or hundredths (FCS 3.1, a point) of a second."""
    found = re.match(r"\s*(\d{1,2}):(\d{2}):(\d{2})(?:(:\d{2})|(\.\d+))?\s*$", text)
    if found is None:
        return None
    part = int(found[4][1:]) / 60 if found[4] else float(found[5] or 0)
    return int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3]) + part


def clock_doubts(sample: Sample) -> tuple[str, ...]:
    """What speaks against the clock of a file, in sentences; empty when nothing does or there is none.

    An unknown step with what ``$BTIM`` and ``$ETIM`` make of it, a clock that runs much longer than they allow, stored
    values that look like seconds already, and a clock that begins anew when it is full.
    """
    clock = clock_of(sample)
    if clock is None:
        return ()
    values = sample.events[:, clock.column]
    values = values[np.isfinite(values)]
    span = float(np.ptp(values)) if values.size else 0.0
    wall = wall_seconds(sample.keywords)
    from_to = "" if wall is None else f"$BTIM to $ETIM is {wall:g} s"
    found = []
    if clock.step is None:
        rate = f"; {from_to}, about {wall / span:.3g} s a tick" if wall is not None and span > 0 else ""
        last = f", last {values.max():g}" if values.size else ""
        found.append(f"the file gives no time step ($TIMESTEP, TIMETICKS): Time stands in ticks{last}{rate}")
    elif wall is not None and span > MUCH_LONGER * wall + SLACK_S:
        found.append(f"the clock runs for {span:g} s by {clock.source} {clock.step:g}, and {from_to}")
    elif wall is not None and clock.step != 1 and span < wall / 2 and abs(span / clock.step - wall) <= NEAR * wall:
        stored = span / clock.step
        found.append(f"the clock runs for {span:g} s by {clock.source} {clock.step:g}, and {from_to}, which the stored "
                     f"values ({stored:g}) meet: they may be seconds already")  # fmt: skip
    if turns := _turns(values, span):
        found.append(f"the clock falls back to its begin {turns} times: Time is not the time since the begin")
    return tuple(found)


def _turns(values: NDArray[np.float64], span: float) -> int:
    """How often a clock that otherwise rises begins anew; 0 where events are in no order of time."""
    steps = np.diff(values)
    falls = steps < 0
    turns = int(np.count_nonzero(steps < -TURN * span)) if span > 0 else 0
    return turns if turns and int(np.count_nonzero(falls)) <= turns + 0.01 * len(values) else 0
