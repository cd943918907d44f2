"""The shift that brings one density onto another: how far a sample lies from the sample of the template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.density import ADJUST, POINTS, densities

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = 2000
"""Steps of a shift in the whole scale: a twentieth of a per cent."""
_NEGLIGIBLE = 1e-6
"""Share of the highest point below which a curve has ended."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A density on equally spaced places.

    Attributes
    ----------
    places, heights
        Ascending places on the scale of the axis, and the density there.
    """

    places: NDArray[np.float64]
    heights: NDArray[np.float64]


def curve_of(values: NDArray[np.float64], *, adjust: float = ADJUST) -> Curve:
    """Density of some finite values (`density.densities`)."""
    first, step, heights = densities(np.sort(values)[None], adjust=adjust)
    return Curve(first[0] + step[0] * np.arange(POINTS), heights[0])


@dataclass(frozen=True)
class Shift:
    """How far a density lies from another.

    Attributes
    ----------
    shift
        To be added to a place on the reference.
    agreement
        Sum over both densities of the root of their product after the shift, 0 to 1 (Bhattacharyya's coefficient).
    at_edge
        Whether the best shift is the farthest one that was allowed: then there is none.
    """

    shift: float
    agreement: float
    at_edge: bool


def shift_between(own: Curve, reference: Curve, *, bound: float, span: float) -> Shift:
    """Shift of a density against a reference: where the square roots of both correlate best.

    The square root keeps a small population from being outvoted by a large one.

    Parameters
    ----------
    own, reference
        Densities on one scale.
    bound
        Farthest shift, on that scale.
    span
        Length of the scale, which sets the steps.
    """
    step = span / STEPS
    reach = max(1, round(bound / step))
    low, high = _extent(own), _extent(reference)
    begin = min(low[0], high[0]) - (reach + 2) * step
    size = int(np.ceil((max(low[1], high[1]) - begin) / step)) + reach + 3
    grid = np.asarray(begin + step * np.arange(size), dtype=np.float64)
    here, there = _root(own, grid), _root(reference, grid)
    lags = np.arange(-reach - 1, reach + 2)
    padded = np.pad(there, reach + 1)
    # Lag l moves the reference l steps up: its value at grid point i stands at padded[i + reach + 1 - l].
    agreement = np.correlate(padded, here, "valid")[::-1]
    inside = agreement[1:-1]
    best = int(np.argmax(inside)) + 1
    left, middle, right = agreement[best - 1 : best + 2]
    bend = left - 2 * middle + right
    fine = 0.5 * (left - right) / bend if bend < 0 else 0.0
    at_edge = best in (1, len(lags) - 2) and not (left < middle > right)
    return Shift(float((lags[best] + fine) * step), float(min(1.0, middle)), at_edge)


def _extent(curve: Curve) -> tuple[float, float]:
    there = np.flatnonzero(curve.heights > _NEGLIGIBLE * curve.heights.max())
    return float(curve.places[there[0]]), float(curve.places[there[-1]])


def _root(curve: Curve, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square root of a density on a grid, of length one."""
    heights = np.interp(grid, curve.places, curve.heights, left=0.0, right=0.0)
    root = np.sqrt(heights)
    return np.asarray(root / np.sqrt(heights.sum()), dtype=np.float64)
