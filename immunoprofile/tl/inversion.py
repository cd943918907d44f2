"""Interval of a test: the values that it does not reject."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from immunoprofile.errors import AnalysisError

if TYPE_CHECKING:
    from collections.abc import Callable

    from immunoprofile.tl.courses import CoursePermutation

PRECISION: Final = 0.002
"""Bounds are found to this share of the half width that was expected."""

LONGEST_SEARCH: Final = 12
"""Doublings of the distance, and steps inside a bracket."""

WHERE: Final = "interval by inverting the test"


def not_rejected(
    test: Callable[[float], CoursePermutation], at_zero: CoursePermutation, estimate: float, half: float
) -> tuple[float, float]:
    """Values that a permutation test does not reject, on both sides of the estimate.

    Parameters
    ----------
    test
        Test of a value: its correlation is positive below the estimate, negative above.
    at_zero
        Test of zero, whose p-value is printed: zero lies in the interval exactly where this test does not reject.
    estimate
        Value at which the correlation is about zero.
    half
        Expected half width, at which the search begins.

    Returns
    -------
    tuple
        Lower and upper bound; infinite where values however far from the estimate are not rejected.

    Raises
    ------
    AnalysisError
        The test cannot be made of a value that the search needs.

    Notes
    -----
    Values are tested one by one; in between, the correlation over what it leaves is close to a straight line, so that
    false position takes few steps (Dowell and Jarratt 1971, BIT 11:168).
    """
    if not (math.isfinite(estimate) and math.isfinite(half) and half > 0):
        raise AnalysisError("the estimate has no error", where=WHERE)
    return tuple(_bound(test, at_zero, estimate, half, side) for side in (-1, 1))  # type: ignore[return-value]


def _bound(
    test: Callable[[float], CoursePermutation], at_zero: CoursePermutation, estimate: float, half: float, side: int
) -> float:
    """The bound below (-1) or above (1) the estimate."""

    def excess(found: CoursePermutation) -> float:
        """More than zero where a value on this side is rejected."""
        return -side * reach(found.correlation) - reach(found.quantile)

    zero = excess(at_zero)
    inside, inner = estimate, -reach(at_zero.quantile)
    if zero > 0:
        outside, outer = 0.0, zero
    else:
        if side * estimate < 0:
            inside, inner = 0.0, zero
        step = half
        outside = estimate + side * max(step, abs(inside - estimate) * 1.5)
        for _ in range(LONGEST_SEARCH):
            outer = excess(test(outside))
            if outer > 0:
                break
            inside, inner, step = outside, outer, 2 * step
            outside = inside + side * step
        else:
            return side * math.inf
    return _false_position(lambda value: excess(test(value)), (inside, inner), (outside, outer), PRECISION * half)


def _false_position(
    excess: Callable[[float], float], inside: tuple[float, float], outside: tuple[float, float], precision: float
) -> float:
    """Where the excess passes zero, from a value inside (excess at most zero) and one outside."""
    (a, low), (b, high), before, kept = inside, outside, math.nan, 0
    for _ in range(LONGEST_SEARCH):
        value = b - high * (b - a) / (high - low)
        if abs(value - before) < precision:
            return value
        found = excess(value)
        # an end that stays twice counts half (the Illinois rule): the other end moves too
        if found > 0:
            (b, high), low, kept = (value, found), low / 2 if kept > 0 else low, 1
        else:
            (a, low), high, kept = (value, found), high / 2 if kept < 0 else high, -1
        before = value
    return b - high * (b - a) / (high - low)


def reach(correlation: float) -> float:
    """A correlation over the root of what it leaves unexplained: of a slope it is a straight line."""
    return correlation / math.sqrt(max(1 - correlation**2, 1e-12))
