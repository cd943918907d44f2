"""A scale as a table over the upper half of single precision numbers, in place of its evaluation.

The first 16 bits of a single precision number (sign, exponent, 7 bits of the fraction) give 128 steps an octave. Each
step knows between which values the scale lies on it, and a straight line with a bound of its error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.gate.engine.thresholds import NOISE, floor_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.gate.scales import Scale

STEPS = 1 << 16
REACH = 2.0**30
"""Beyond this linear value the table is not filled: the arbiter decides."""

_SMALL = 2.0**-10
_SINGLE = 2.0**-22
"""Error of a number that was rounded to single precision, with room to spare, as a share of it."""


@dataclass(frozen=True, eq=False)
class Lookup:
    """Table of a scale, by step.

    Attributes
    ----------
    low, high
        Smallest and largest value of the scale on a step; NaN where the table does not know.
    undefined
        Steps on which the scale surely gives NaN (logarithm of negatives).
    lines
        Steps x (linear value, scale there, slope, bound of the error); the bound is infinite where nothing is known.
    rising
        Known steps by their smallest value.
    lowest, highest
        Of the steps that rise, the smallest value from each one on, and the largest up to it.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    undefined: NDArray[np.bool_]
    lines: NDArray[np.float64]
    rising: NDArray[np.int64] = field(init=False)
    lowest: NDArray[np.float64] = field(init=False)
    highest: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        """Put the known steps in order, so that an axis finds those of its extent."""
        known = np.flatnonzero(~np.isnan(self.low))
        rising = known[np.argsort(self.low[known], kind="stable")]
        object.__setattr__(self, "rising", rising)
        object.__setattr__(self, "lowest", self.low[rising])
        object.__setattr__(self, "highest", np.maximum.accumulate(self.high[rising]))


@lru_cache(maxsize=16)
def lookup(scale: Scale, margin: float) -> Lookup:
    """Table of a scale for linear values that are known to within ``margin``."""
    floor = floor_of(scale)
    bits = np.arange(STEPS, dtype=np.uint32) << np.uint32(16)
    with np.errstate(all="ignore"):
        near = bits.view(np.float32).astype(np.float64)
        far = (bits + np.uint32(1 << 16)).view(np.float32).astype(np.float64)
    # The first step above the last of a sign is infinity or NaN: such steps stay unknown
    left, right = np.minimum(near, far), np.maximum(near, far)
    with np.errstate(invalid="ignore"):
        used = (np.abs(near) < REACH) & (np.abs(far) <= REACH)
        small = used & (np.abs(near) < _SMALL)
    if np.isinf(floor):
        # So near to zero a scale is a straight line; one step for all of them
        left[small], right[small] = -_SMALL, _SMALL
    low, high = np.full(STEPS, np.nan), np.full(STEPS, np.nan)
    lines = np.zeros((STEPS, 4))
    lines[:, 3] = np.inf
    chosen = used & ~small if np.isinf(floor) else used
    steps = np.flatnonzero(chosen)
    low[steps], high[steps], lines[steps] = _fill(scale, left[steps], right[steps], margin)
    if np.isinf(floor):
        low[small], high[small], lines[small] = _fill(scale, np.array([-_SMALL]), np.array([_SMALL]), margin)
    undefined = np.zeros(STEPS, dtype=bool) if np.isinf(floor) else used & (right + margin + _SINGLE < floor)
    return Lookup(low, high, undefined, lines)


def _fill(
    scale: Scale, left: NDArray[np.float64], right: NDArray[np.float64], margin: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    with np.errstate(all="ignore"):
        room = margin + np.maximum(np.abs(left), np.abs(right)) * _SINGLE
        start, end = scale.apply(left), scale.apply(right)
        first, last = scale.apply(left - room), scale.apply(right + room)
        noise = NOISE * np.maximum(1.0, np.maximum(np.abs(first), np.abs(last)))
        slope = (end - start) / (right - left)
        error = np.zeros(len(left))
        for share in (0.25, 0.5, 0.75):
            points = left + share * (right - left)
            error = np.maximum(error, np.abs(scale.apply(points) - (start + slope * (points - left))))
        step = np.maximum(scale.apply(left + room) - first, last - scale.apply(right - room))
        bound = 2 * error + 1.1 * step + noise
        lines = np.column_stack([left, start, slope, bound])
        known = np.isfinite(first) & np.isfinite(last) & np.isfinite(lines).all(axis=1)
    lines[~known] = (0.0, 0.0, 0.0, np.inf)
    return np.where(known, first - noise, np.nan), np.where(known, last + noise, np.nan), lines
