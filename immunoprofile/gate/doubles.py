"""Doubles in their order, and the first one on which a scale reaches a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.gate.scales import Scale

_HALVINGS = 65
"""The order of the doubles has 64 bits."""


def order_of(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Integers in the order of the doubles; neighbours differ by one."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    return np.where(bits < 0, np.int64(-(2**63)) - bits, bits)


def double_of(order: NDArray[np.int64]) -> NDArray[np.float64]:
    """The way back of `order_of`."""
    return np.ascontiguousarray(np.where(order < 0, np.int64(-(2**63)) - order, order)).view(np.float64)


def first_reaching(scale: Scale, limits: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    """Smallest doubles between two on which a rising scale is at least the limits, by bisection.

    Parameters
    ----------
    scale
        Where it gives NaN, as a logarithm does of negatives, it counts as below every limit.
    limits
        On the scale, shape (n,).
    start, end
        Linear values; the first is taken where all between them reach the limit.

    Returns
    -------
    ndarray
        Shape (n,); inf where the end does not reach the limit.
    """
    low, high = order_of(np.full(limits.shape, start)), order_of(np.full(limits.shape, end))
    with np.errstate(all="ignore"):
        everywhere = scale.apply(double_of(low)) >= limits
        somewhere = scale.apply(double_of(high)) >= limits
        for _ in range(_HALVINGS):
            middle = (low >> 1) + (high >> 1) + (low & high & 1)
            reached = scale.apply(double_of(middle)) >= limits
            high, low = np.where(reached, middle, high), np.where(reached, low, middle)
            if (high - 1 <= low).all():
                break
    return np.where(everywhere, start, np.where(somewhere, double_of(high), np.inf))
