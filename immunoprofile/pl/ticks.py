"""Ticks of an axis with plain numbers, the same whoever draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

_STEPS: Final = (1, 2, 2.5, 5, 10)


def plain_ticks(
    low: float, high: float, *, most: int, whole: bool = False, steps: Sequence[float] | None = None
) -> tuple[tuple[float, str], ...]:
    """Round numbers between two limits, with their words; at least two, as far as round numbers allow.

    Parameters
    ----------
    low, high
        Limits of the axis.
    most
        Intervals between ticks at most.
    whole
        Whole numbers only.
    steps
        Numbers from 1 to 10 that a step may be, times a power of ten; default those of matplotlib.
    """
    from matplotlib.ticker import MaxNLocator

    options = {} if steps is None else {"steps": steps}
    found = MaxNLocator(nbins=most, integer=whole, min_n_ticks=2, **options).tick_values(low, high)
    edge = 1e-9 * (high - low)
    inside = [float(one) for one in found if low - edge <= one <= high + edge]
    return tuple(zip(inside, number_words(inside), strict=True))


def axis_ticks(low: float, high: float, points: float, *, size: float, upward: bool) -> tuple[tuple[float, str], ...]:
    """Round numbers, as many as words of ``size`` have room on ``points`` of an axis."""
    room = math.floor(points / (size * (2 if upward else 3)))
    return plain_ticks(low, high, most=min(max(room, 1), 9), steps=_STEPS)


def number_words(values: Sequence[float]) -> list[str]:
    """Numbers with the same decimals, as many as tell them apart; a minus sign, not a hyphen."""
    step = min((abs(b - a) for a, b in pairwise(values)), default=1.0)
    decimals = next((d for d in range(12) if all(abs(round(one, d) - one) <= 1e-6 * step for one in values)), 12)
    return [f"{one + 0.0:.{decimals}f}".replace("-", "−") for one in values]


def log_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Plain numbers on a logarithmic axis, always at least two."""
    steps = (1, 10) if high / low > 2000 else (1, 3, 10) if high / low > 60 else (1, 2, 5, 10)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = sorted({step * 10.0**power for power in exponents for step in steps[:-1]})
    ticks = [tick for tick in ticks if low <= tick <= high]
    if len(ticks) < 2:
        ticks = [round(value, 1 if value < 10 else 0) for value in (low * 1.15, math.sqrt(low * high), high / 1.15)]
    return tuple((tick, f"{tick:,.0f}" if tick >= 1 else f"{tick:g}") for tick in ticks)
