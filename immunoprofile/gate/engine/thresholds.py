"""Limits on a scale as limits on the linear values, so that no scale is evaluated for a range.

Scales rise, so ``scale(x) >= y`` is ``x >= t`` for one double ``t``, which bisection on the doubles finds with the very
function that FlowKit applies. That function carries rounding errors: between the points where it passes ``y - d`` and
``y + d`` nothing is decided here, and the arbiter looks at the event itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.gate.doubles import first_reaching
from immunoprofile.gate.engine.resolve import NotPlannedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.gate.scales import Scale

LIMIT = 2.0**40
"""Events with a larger value in a channel that a gate reads are left to the arbiter."""

NOISE = 1e-9
"""Error of a scale, as a share of its value (at least of 1): many times what logicle and hyperlog show, about 1e-13."""

_PROBES = 4000
_VANISHING = 1e-300
_STRAIGHT_LINES = 5


@dataclass(frozen=True)
class Threshold:
    """A limit on the linear values: below ``low`` they are under it, from ``high`` on at or above it.

    In between, which is empty where the answer is exact, the arbiter decides.
    """

    low: float
    high: float


@lru_cache(maxsize=256)
def floor_of(scale: Scale) -> float:
    """Smallest value on which a scale gives a number; below it (logarithm of negatives) it gives NaN.

    Raises
    ------
    NotPlannedError
        The scale does not rise everywhere, or is not defined on an interval that reaches up to `LIMIT`.
    """
    probes, values = _probed(scale)
    known = ~np.isnan(values)
    if not known.any():
        raise NotPlannedError(f"scale {scale.kind} gives no numbers")
    first = int(np.argmax(known))
    finite = values[first:]
    noise = NOISE * np.maximum(1.0, np.abs(finite[1:]))
    with np.errstate(invalid="ignore"):
        falls = finite[1:] < finite[:-1] - np.where(np.isfinite(noise), noise, 0.0)
    if not known[first:].all() or falls.any():
        raise NotPlannedError(f"scale {scale.kind} with these parameters does not rise everywhere")
    if first == 0:
        return -np.inf
    if probes[first] != 0:
        raise NotPlannedError(f"scale {scale.kind} is not defined from zero on")
    return 0.0


@lru_cache(maxsize=256)
def _probed(scale: Scale) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Linear values from the lowest to the largest that are planned for, and their places; NotPlannedError."""
    positive = np.concatenate([[0.0], np.geomspace(1e-6, LIMIT, _PROBES)])
    probes = np.concatenate([-positive[:0:-1], positive])
    try:
        with np.errstate(all="ignore"):
            return probes, scale.apply(probes)
    except (ValueError, ArithmeticError, RuntimeError) as error:
        raise NotPlannedError(f"scale {scale.kind} cannot be evaluated: {error}") from error


@lru_cache(maxsize=4096)
def pull_back(scale: Scale | None, limit: float) -> Threshold:
    """Where a scale reaches a limit.

    Parameters
    ----------
    scale
        None is the linear value itself.
    limit
        On the scale.

    Returns
    -------
    Threshold
        -inf where every number is above the limit, inf where none up to `LIMIT` is.
    """
    if scale is None:
        return Threshold(limit, limit)
    if np.isinf(limit):
        return start_of(scale) if limit < 0 else Threshold(np.inf, np.inf)
    if scale.kind == "linear":
        return _on_straight_line(scale, limit)
    noise = NOISE * max(1.0, abs(limit))
    floor = floor_of(scale)
    probes, values = _probed(scale)
    known = int(np.argmax(~np.isnan(values)))
    limits = np.array([limit - 1.5 * noise, limit + 1.5 * noise])
    # Bisection stays between the probes about the limit: elsewhere a scale may have a hole, as flowutils' logicle
    # without a linear zone next to zero
    before, after = known + np.searchsorted(values[known:], [limit - 2 * noise, limit + 2 * noise]) + (-1, 0)
    if known <= before and after < len(values):
        found = None
        if before + 1 == after:
            found = _by_straight_lines(scale, limits, probes[before : after + 1], values[before : after + 1], noise / 2)
        if found is None:
            found = first_reaching(scale, limits, probes[before], probes[after])
    else:
        found = first_reaching(scale, limits, max(floor, -LIMIT), LIMIT)
    low, high = np.where(found == max(floor, -LIMIT), floor, found)
    return Threshold(start_of(scale).low if low == floor else float(low), float(high))


def _on_straight_line(scale: Scale, limit: float) -> Threshold:
    """The very double from which on a linear scale reaches a limit."""
    floor_of(scale)  # refuses one that falls
    letters = scale.by_letter
    place = limit * (letters["T"] + letters["A"]) - letters["A"]
    room = 1e-12 * (abs(place) + abs(letters["A"]) + abs(letters["T"]))
    ends = np.clip([place - room, place + room], -LIMIT, LIMIT)
    with np.errstate(all="ignore"):
        below, above = scale.apply(ends)
    if not below < limit <= above:
        ends = np.array([-LIMIT, LIMIT])
    (found,) = first_reaching(scale, np.array([limit]), *ends)
    found = -np.inf if found == -LIMIT else float(found)
    return Threshold(found, found)


def _by_straight_lines(
    scale: Scale, limits: NDArray[np.float64], ends: NDArray[np.float64], places: NDArray[np.float64], room: float
) -> NDArray[np.float64] | None:
    """Where a smooth scale passes its limits to within some room, in a tenth of the evaluations of a bisection.

    None where straight lines do not lead there: the scale, evaluated at what was found, must say so.
    """
    last, here = np.full(2, ends[0]), np.full(2, ends[1])
    before, now = np.full(2, places[0]), np.full(2, places[1])
    with np.errstate(all="ignore"):
        for _ in range(_STRAIGHT_LINES):
            if (np.abs(now - limits) < room).all():
                break
            moved = np.where(now == before, here, here + (limits - now) * (here - last) / (now - before))
            last, here, before, now = here, moved, now, scale.apply(moved)
    proven = (np.abs(now - limits) < room).all() and ends[0] <= here[0] < here[1] <= ends[1]
    return here if proven else None


def start_of(scale: Scale | None) -> Threshold:
    """Where a scale begins to give numbers."""
    floor = -np.inf if scale is None else floor_of(scale)
    # Negative numbers that vanish when they are divided by the top of a logarithm count as zero
    return Threshold(floor if np.isinf(floor) else floor - _VANISHING, floor)
