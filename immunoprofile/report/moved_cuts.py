"""What moved cuts do to the values of a page and to their changes, from the arrays of the visits object."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.pp.gate_spread import (
    change_spread,
    frozen_cuts,
    has_gatings,
    log_absolute,
    log_percentages,
    spread,
)
from immunoprofile.report import wording

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

NOT_KNOWN = "gate: not known"


@dataclass(frozen=True, eq=False)
class Shifts:
    """One value under moved cuts.

    Attributes
    ----------
    logs
        Natural logarithm of the value in each gating over the value.
    frozen
        Whether every visit of the subject has the same cuts.
    """

    logs: NDArray[np.float64]
    frozen: bool

    def within(self, above: Shifts | None) -> Shifts | None:
        """Of a share of a share: population in a parent that is itself a share."""
        return None if above is None else replace(self, logs=self.logs + above.logs)


def words(shifts: Shifts | None) -> str:
    """Relative SD of a value."""
    return NOT_KNOWN if shifts is None else f"gate ±{wording.percent(100 * float(spread(shifts.logs)))}"


def change_sd(now: Shifts | None, then: Shifts | None) -> float:
    """SD of the logarithm of a change when the cuts lie elsewhere in both; NaN where it is not known."""
    if now is None or then is None:
        return math.nan
    return float(change_spread(now.logs, then.logs, frozen=now.frozen and then.frozen))


class MovedCuts:
    """All values of an object under moved cuts, computed once.

    Parameters
    ----------
    visits
        Visits x populations; of results that were made without, nothing is known.
    """

    def __init__(self, visits: AnnData) -> None:
        self._visits = visits
        self._columns = {str(name): column for column, name in enumerate(visits.var_names)}

    def of(self, row: int, population: str, measure: str) -> Shifts | None:
        """One value; None where it is not known."""
        known = self._known.get(measure)
        if known is None:
            return None
        logs, frozen = (array[row, self._columns[population]] for array in known)
        return None if np.isnan(logs).any() else Shifts(logs, bool(frozen))

    @cached_property
    def _known(self) -> Mapping[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]:
        if not has_gatings(self._visits):
            return {}
        return {
            "pct_parent": (log_percentages(self._visits), frozen_cuts(self._visits)),
            "abs": (log_absolute(self._visits), frozen_cuts(self._visits, absolute=True)),
        }
