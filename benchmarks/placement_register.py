"""Registration of the two dimensions of a gate, judged and not shipped: a bounded smooth map onto the template sample.

The density of the template sample inside the parent (64 x 64 bins, smoothed) is met by that of the sample after a
displacement, which is bilinear between the knots of a grid, at most ``BOUND`` of the scale, and refined from one
common shift over 2 x 2 to 4 x 4 knots by coordinate search. What is maximised is the sum of the roots of the product
of both densities, less a penalty on differences between neighbouring knots. Events are moved back by the displacement
and meet the gate of the template, which is the same as a gate with moved corners. Numbers: docs/gate-placement.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from immunoprofile.gate.strategy import Strategy

BOUND = 0.10
BINS = 64
STIFF = 0.5
MOST = 6_000
"""Events that the search looks at; the map is then applied to all."""
_LOW, _HIGH = -0.3, 1.2


def density(points: np.ndarray) -> np.ndarray:
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=BINS, range=[[_LOW, _HIGH]] * 2)
    smooth = gaussian_filter(counts, 1.5)
    return np.sqrt(smooth / max(smooth.sum(), 1e-12))


def displaced(points: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Points moved back by a displacement, 2 x k x k values on the knots."""
    size = knots.shape[1] - 1
    place = np.clip((points.T - _LOW) / (_HIGH - _LOW), 0, 1) * size
    return points - np.column_stack([map_coordinates(one, place, order=1, mode="nearest") for one in knots])


def score(points: np.ndarray, knots: np.ndarray, reference: np.ndarray) -> float:
    rough = sum(float(np.square(np.diff(knots, axis=axis)).sum()) for axis in (1, 2))
    return float((density(displaced(points, knots)) * reference).sum()) - STIFF * rough


def register(points: np.ndarray, reference_points: np.ndarray) -> np.ndarray:
    """Displacement on 4 x 4 knots."""
    rng = np.random.default_rng(0)
    few = points if len(points) <= MOST else points[rng.choice(len(points), MOST, replace=False)]
    reference = density(reference_points)
    knots = np.zeros((2, 2, 2))
    best = score(few, knots, reference)
    for size, steps in ((1, (0.04, 0.02, 0.01, 0.005)), (2, (0.02, 0.01, 0.005)), (4, (0.02, 0.01, 0.005))):
        if size > 2:
            grid = np.linspace(0, 1, size)
            where = np.array(np.meshgrid(grid, grid, indexing="ij"))
            knots = np.array([map_coordinates(one, where, order=1) for one in knots])
        parts = [np.s_[axis, :, :] for axis in (0, 1)] if size == 1 else [
            np.s_[axis, row, column] for axis in (0, 1) for row in range(size) for column in range(size)]  # fmt: skip
        for step in steps:
            for part in parts:
                for sign in (step, -step):
                    tried = knots.copy()
                    tried[part] = np.clip(tried[part] + sign, -BOUND, BOUND)
                    if (reached := score(few, tried, reference)) > best + 1e-6:
                        best, knots = reached, tried
                        break
    return knots


def registered_masks(
    strategy: Strategy, values: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Memberships with every gate of two scaled dimensions or more met after registration of its first two.

    Parameters
    ----------
    strategy
        Rectangles of the template.
    values, reference
        Marker -> values of the sample and of the template sample, on the scales of the gates.
    """
    inside = {"root": np.ones(len(next(iter(values.values()))), dtype=bool)}
    known = {"root": np.ones(len(next(iter(reference.values()))), dtype=bool)}
    for gate in strategy.gates:
        own = {d.marker: values[d.marker] for d in gate.dimensions}
        scaled = [d.marker for d in gate.dimensions if d.scale is not None][:2]
        if len(scaled) == 2 and inside[gate.parent].sum() >= 500 and known[gate.parent].sum() >= 500:
            points = np.column_stack([values[m] for m in scaled])
            theirs = np.column_stack([reference[m] for m in scaled])[known[gate.parent]]
            moved = displaced(points, register(points[inside[gate.parent]], theirs))
            own |= {marker: moved[:, n] for n, marker in enumerate(scaled)}
        for members, columns in ((inside, own), (known, reference)):
            found = members[gate.parent].copy()
            for d in gate.dimensions:
                found &= columns[d.marker] >= (-np.inf if d.minimum is None else d.minimum)
                found &= columns[d.marker] < (np.inf if d.maximum is None else d.maximum)
            members[gate.population] = found
    return inside
