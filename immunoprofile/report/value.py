"""A number of one visit as a page shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from immunoprofile.report.moved_cuts import Shifts

Measure = Literal["abs", "pct_parent"]
State = Literal["ok", "missing", "suppressed"]


@dataclass(frozen=True)
class Value:
    """A value of one visit, or why there is none."""

    number: float
    lower: float = math.nan
    upper: float = math.nan
    events: float = math.nan
    positive: float = math.nan
    """The value with half an event in place of none, for logarithms."""
    variance: float = math.nan
    """Variance of its natural logarithm from counting (cells/uL from beads: also pipetting)."""
    state: State = "ok"
    reason: str = ""
    withheld: float = math.nan
    """What stands there in a tube that failed: shown struck through, used nowhere."""
    shifts: Shifts | None = None
    """The value under moved cuts; None where it is not known."""
