"""What a rule says of a course, and how its parts are put together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from immunoprofile.virology.courses import Course, Sample
from immunoprofile.virology.rulebook import Rule

Result = Literal["TRUE", "FALSE", "NOT_EVALUABLE", "NOT_ASSESSED"]

_DIGITS = 10
"""Differences of logarithms are compared after rounding to so many decimals: 12,400 to 1,240 is exactly 1.0 log10."""


@dataclass(frozen=True)
class Verdict:
    """Result of one rule on one course.

    Attributes
    ----------
    result
        TRUE, FALSE, NOT_EVALUABLE, NOT_ASSESSED.
    reason
        Why, in words.
    lower, upper
        Days from the first ganciclovir: it happened in (lower, upper]; equal: at that result; upper infinite: not until
        lower; both NaN: nothing is known.
    date, confirmed
        Date of the result that the rule points at, and of the one that confirms it.
    evidence
        The results that were used.
    """

    result: Result
    reason: str
    lower: float = math.nan
    upper: float = math.nan
    date: str = ""
    confirmed: str = ""
    evidence: tuple[Sample, ...] = ()

    @property
    def true(self) -> bool:
        """The rule is met."""
        return self.result == "TRUE"


Predicate = Callable[[Course, Rule, Mapping[str, Verdict]], Verdict]
"""Judges a course whose required inputs are there; it may look at the verdicts of the rules before it."""


def at(sample: Sample, result: Result, reason: str, *evidence: Sample) -> Verdict:
    """A verdict that rests on one result."""
    return Verdict(result, reason, sample.day, sample.day, sample.date, evidence=evidence or (sample,))


def unknown(reason: str, *evidence: Sample) -> Verdict:
    """Not evaluable."""
    return Verdict("NOT_EVALUABLE", reason, evidence=evidence)


def compared(difference: float) -> float:
    """A log10 difference without the noise of floating-point arithmetic."""
    return round(difference, _DIGITS)


def fall(baseline: Sample, later: Sample) -> tuple[float, float]:
    """Bounds of the fall in log10 between two results; NaN is open, equal bounds are exact."""
    return compared(baseline.lower - later.upper), compared(baseline.upper - later.lower)
