"""What a placement is: plain gates, and a record of every cut, where it came from and why it lies there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import Gate

Limit = Literal["min", "max", "corners", "gate"]


@dataclass(frozen=True)
class Cut:
    """Record of one cut: a limit of a rectangle, or all corners of a polygon on one axis.

    Attributes
    ----------
    population, parent, marker
        Which gate, inside which events it was estimated, and on which axis; a gate as a whole has no axis.
    limit
        ``min``, ``max``, ``corners``, or ``gate`` where a method places all at once.
    asked, method
        Method of the template, and the one that answered: ``template`` when nothing else did.
    arguments
        Arguments of the method that answered, as a template has them.
    template, value
        Place in the template and of the cut, on the scale of the axis; of corners the shift is ``value``.
    confidence
        0 to 1: depth of a valley, agreement of densities, or the share of a control that is negative; NaN for none.
    n_events
        Events of the parent, or of the control, that the cut was made of.
    source
        Sample that the cut was made of.
    reason
        Why the method of the template did not answer; empty when it did.
    note
        What else is worth knowing.
    review
        Whether a person should look.
    later_shift
        What the control aliquot added to a frozen cut, on the scale.
    frozen
        Whether the cut was placed on another sample, where it is told.
    held
        Whether a frozen cut stayed because nothing tells how far the instrument moved since.
    """

    population: str
    parent: str
    marker: str
    limit: Limit
    asked: str
    method: str
    arguments: str
    template: float
    value: float
    confidence: float = math.nan
    n_events: int = 0
    source: str = ""
    reason: str = ""
    note: str = ""
    review: bool = False
    later_shift: float = 0.0
    frozen: bool = False
    held: bool = False

    @property
    def shift(self) -> float:
        """How far the cut lies from the template, on the scale."""
        return self.value - self.template

    @property
    def key(self) -> tuple[str, str, str]:
        """Which cut of a strategy it is."""
        return self.population, self.marker, self.limit


@dataclass(frozen=True)
class Placed:
    """A gate that was placed, with the records of its cuts."""

    gate: Gate
    cuts: tuple[Cut, ...] = ()


@dataclass(frozen=True)
class Found:
    """What a method for one limit answers.

    Attributes
    ----------
    place
        On the scale; None where it has no answer, with the reason.
    confidence, reason, note
        As for `Cut`.
    n_events, source
        Of a control that took the place of the events of the parent.
    """

    place: float | None
    confidence: float = math.nan
    reason: str = ""
    note: str = ""
    n_events: int | None = None
    source: str = ""


Arguments = dict[str, Any]
