"""Logic of three values: true, false and unknown (None), and what it makes of the states of criteria.

Kleene's strong logic: a combination is unknown exactly when the unknown parts could still decide it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Truth = bool | None
State = Literal["PASS", "FAIL", "UNKNOWN", "NOT_APPLICABLE"]
Overall = Literal["ELIGIBLE", "INELIGIBLE", "INDETERMINATE"]


def all_of(truths: Iterable[Truth]) -> Truth:
    """False when any is false, else unknown when any is unknown, else true (true for none)."""
    found = list(truths)
    return False if False in found else None if None in found else True


def any_of(truths: Iterable[Truth]) -> Truth:
    """True when any is true, else unknown when any is unknown, else false (false for none)."""
    found = list(truths)
    return True if True in found else None if None in found else False


def negated(truth: Truth) -> Truth:
    """True for false, false for true; unknown stays unknown."""
    return None if truth is None else not truth


def when_met(truth: Truth) -> State:
    """State of an inclusion whose condition is true, false or unknown."""
    return "UNKNOWN" if truth is None else "PASS" if truth else "FAIL"


def when_present(truth: Truth) -> State:
    """State of an exclusion whose condition is true, false or unknown."""
    return when_met(negated(truth))


def composite(states: Iterable[State]) -> State:
    """State of a criterion made of others: FAIL if any fails, else UNKNOWN if any is unknown, else PASS.

    NOT_APPLICABLE counts as a pass; when nothing applies, neither does the composite.

    Raises
    ------
    ValueError
        There is no part: a criterion that nobody judged does not pass.
    """
    found = list(states)
    if not found:
        raise ValueError("a composite needs at least one part")
    if "FAIL" in found:
        return "FAIL"
    if "UNKNOWN" in found:
        return "UNKNOWN"
    return "PASS" if "PASS" in found else "NOT_APPLICABLE"


def overall(states: Iterable[State]) -> Overall:
    """INELIGIBLE if any criterion fails, else INDETERMINATE if any is unknown, else ELIGIBLE.

    Raises
    ------
    ValueError
        There is no criterion.
    """
    joined = composite(states)
    return "INELIGIBLE" if joined == "FAIL" else "INDETERMINATE" if joined == "UNKNOWN" else "ELIGIBLE"
