"""Limits in the units of the data (what FlowJo and our axes show) and their places on a scale, exact both ways."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from immunoprofile.gate.doubles import double_of, first_reaching, order_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.gate.scales import Scale

Units = Literal["scale", "data"]

UNITS: tuple[Units, ...] = ("scale", "data")
"""How a template may state its limits: as places on the scale of the dimension, or as linear intensities."""

_LARGEST = 1e15
"""Linear values beyond it are no intensities of a cytometer."""

_NEIGHBOURS = 4096
"""Doubles around the crossing that are tried: a scale carries rounding errors of some units in the last place."""

_BEYOND = 2.0
"""Times the top of a scale: a logicle scale needs 10^4.5 times its T to reach it, so nothing lies there."""


def on_scale(scale: Scale | None, value: float) -> float:
    """Place of a linear value on a scale, the very number that an event of that value gets.

    Parameters
    ----------
    scale
        None for a dimension without a scale.
    value
        Linear intensity.

    Raises
    ------
    ValueError
        The scale has no place for the value, for example a logarithm for a negative one.
    """
    if scale is None:
        return value
    with np.errstate(all="ignore"):
        try:
            place = float(scale.apply(np.array([value]))[0])
        except (ValueError, ArithmeticError, RuntimeError) as error:
            raise ValueError(f"a {scale.kind} scale has no place for {value:g}: {error}") from error
    if not np.isfinite(place):
        raise ValueError(f"a {scale.kind} scale has no place for {value:g}")
    return place


@lru_cache(maxsize=4096)
def in_data_units(scale: Scale | None, place: float) -> float:
    """Linear value whose limit holds the same events: ``scale(x) >= place`` just where ``scale(x) >= scale(value)``.

    A scale is computed with rounding, so that not every double is the place of some value. The value returned lies at
    the first place from ``place`` on that a value has, which is ``place`` itself when it was made from a linear value.
    Of all values there it is the one with the fewest digits: a limit that was typed as 1000 is 1000 again.

    Parameters
    ----------
    scale
        None for a dimension without a scale.
    place
        On the scale.

    Raises
    ------
    ValueError
        No value lies at or above it.
    """
    if scale is None:
        return place
    start = _first_at_least(scale, place)
    if math.isinf(start):
        raise ValueError(f"no linear value reaches {place!r} of a {scale.kind} scale")
    around = double_of(order_of(np.array([start])) + np.arange(-_NEIGHBOURS, _NEIGHBOURS + 1))
    places = _places(scale, around)
    reached = np.where(places >= place, places, np.inf)
    first = float(reached.min())
    hits = around[reached == first]
    found = float(hits[np.argmin(np.abs(hits - start))])
    for short in (0.0, *(float(f"{found:.{digits}g}") for digits in range(1, 17))):
        if _places(scale, np.array([short]))[0] == first:
            return short
    return found


def about_in_data_units(scale: Scale | None, place: float) -> float:
    """Linear value at a place, for a figure or a message: correct to the precision of the scale itself."""
    if scale is None:
        return place
    found = _first_at_least(scale, place)
    return math.nan if math.isinf(found) else found


def beyond_reach(scale: Scale | None, place: float) -> bool:
    """Whether no event can come near a place: then it is likely a linear value that was taken for a place."""
    return scale is not None and abs(place) > _BEYOND * scale.top


def _first_at_least(scale: Scale, place: float) -> float:
    """First double whose place is not below the one wanted; infinite where there is none."""
    return float(first_reaching(scale, np.array([place]), -_LARGEST, _LARGEST)[0])


def _places(scale: Scale, values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        return scale.apply(values)
