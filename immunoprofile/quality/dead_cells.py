"""Dead cells: right of the valley of a viability dye, with a template's value where there is no valley."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from immunoprofile.density import ADJUST, mindensity

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_EVENTS = 500


@dataclass(frozen=True, eq=False)
class DeadCells:
    """Cut of a viability dye.

    Attributes
    ----------
    assessable, reason
        Without a valley ``reason`` says why; without a fallback as well the cut is not assessable.
    method
        ``valley``, ``fallback`` (to be looked at) or ``none``.
    cut
        Place of the cut on the transformed scale; NaN when not assessable.
    search, fallback
        Range in which a valley counts, and the template's value (None: there is none).
    bad_events
        Events above the cut, one value an event.
    """

    assessable: bool
    reason: str
    method: Literal["valley", "fallback", "none"]
    cut: float
    search: tuple[float, float]
    fallback: float | None
    bad_events: NDArray[np.bool_]

    @property
    def pct_events(self) -> float:
        """Per cent of the events above the cut; NaN when not assessable."""
        return 100.0 * float(np.mean(self.bad_events)) if self.assessable else float("nan")

    @property
    def record(self) -> dict[str, object]:
        """Provenance: method, parameters, cut and the reason of a fallback."""
        return {
            "method": self.method,
            "cut": self.cut,
            "search": list(self.search),
            "template_value": self.fallback,
            "bandwidth_adjust": ADJUST,
            "fallback_reason": self.reason,
        }


def dead_cells(
    values: NDArray[np.float64],
    *,
    search: tuple[float, float],
    fallback: float | None = None,
    fit_on: NDArray[np.bool_] | None = None,
) -> DeadCells:
    """Place the cut between living and dead cells.

    The cut is the deepest valley inside ``search`` of a kernel density with twice the usual bandwidth, between the two
    highest peaks where they enclose one. Without a valley the fallback holds, never the edge of the range.

    Parameters
    ----------
    values
        Viability dye, compensated and transformed, one value an event; the dead are bright.
    search
        Lowest and highest place of a cut.
    fallback
        Cut of the template.
    fit_on
        Events that the density is made of; by default all.

    Returns
    -------
    DeadCells
    """
    used = values if fit_on is None else values[fit_on]
    cut, reason = None, ""
    if not np.all(np.isfinite(values)):
        reason = "the dye holds values that are no numbers"
    elif used.size < FEWEST_EVENTS:
        reason = f"fewer than {FEWEST_EVENTS} events"
    else:
        cut = mindensity(used, search)
        reason = "" if cut is not None else f"no valley between {search[0]:g} and {search[1]:g}"
    method: Literal["valley", "fallback", "none"] = "valley"
    if cut is None:
        method = "none" if fallback is None else "fallback"
        cut = float("nan") if fallback is None else fallback
    return DeadCells(
        assessable=method != "none",
        reason=reason,
        method=method,
        cut=cut,
        search=search,
        fallback=fallback,
        bad_events=np.asarray(values > cut, dtype=np.bool_),
    )
