"""Methods that place one limit from the values of one axis inside the parent.

Each is a function of an axis, the place of the template, and the arguments of the method; it answers with a place, or
with the reason why there is none. The bound on the distance from the template is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from immunoprofile.density import LEAST_HEIGHT, mindensity
from immunoprofile.placement.cuts import Arguments, Found
from immunoprofile.placement.landmarks import Curve, Shift
from immunoprofile.pp.proportions import clopper_pearson

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAD_TO_SD = 1.4826
UPHILL = 1.5
"""Times the density at the template's cut that the density at a moved cut may have, beside `SLACK`."""
SLACK = 0.03
"""Share of the highest density: below it both cuts lie in the gap."""
EMPTIED = 0.1
"""Part of the template sample's share of cells that must remain on each side of a moved cut ..."""
HELD = 0.03
"""... where that side holds at least this share of them."""


@dataclass(frozen=True, eq=False)
class Control:
    """Values of a control without the marker, inside the same parent.

    Attributes
    ----------
    values
        Finite, on the scale of the axis.
    source
        Its sample.
    moved
        What the control aliquots of its batch and of this one differ by, on the scale.
    note
        Which fallback this control is; empty for the control of the batch.
    """

    values: NDArray[np.float64]
    source: str
    moved: float = 0.0
    note: str = ""


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of a gate as a method sees it.

    Attributes
    ----------
    marker
        Marker of the axis.
    values
        Events inside the placed parent: finite, on the scale of the axis, in any order.
    span
        Length of the scale.
    reference
        Density in the template sample, or None.
    control
        Gives the control without the marker, or the reason why there is none.
    curve, shift
        Density for a factor on the bandwidth; shift against the reference for a factor and a bound.
    """

    marker: str
    values: NDArray[np.float64]
    span: float
    reference: Curve | None = None
    control: Callable[[], Control | str] | None = None
    _: KW_ONLY
    curve: Callable[[float], Curve]
    shift: Callable[[float, float], Shift]


class LimitMethod(Protocol):
    """A method for one limit."""

    def __call__(self, axis: Axis, place: float, arguments: Arguments) -> Found:
        """Place of the limit; ``place`` is that of the template."""


def by_valley(axis: Axis, place: float, arguments: Arguments) -> Found:
    """`density.mindensity` within the bound around the template; confidence is the depth of the valley."""
    if reason := _too_few(axis, arguments):
        return Found(None, reason=reason)
    reach = arguments["shift"] * axis.span
    cut = mindensity(axis.values, (place - reach, place + reach), adjust=arguments["adjust"])
    if cut is None:
        return Found(None, reason=f"one peak, or no valley within {arguments['shift']:.0%} of the scale")
    curve = axis.curve(arguments["adjust"])
    below, above = (curve.heights[side] for side in (curve.places <= cut, curve.places > cut))
    valley = float(np.interp(cut, curve.places, curve.heights))
    lower = min(float(below.max(initial=0.0)), float(above.max(initial=0.0)))
    return Found(cut, confidence=1.0 - valley / lower if lower > 0 else 0.0)


def by_tail(axis: Axis, place: float, arguments: Arguments) -> Found:
    """Where the tail of the reference peak flattens out (tailgate)."""
    if reason := _too_few(axis, arguments):
        return Found(None, reason=reason)
    curve = axis.curve(arguments["adjust"])
    heights = curve.heights if arguments["side"] == "right" else curve.heights[::-1]
    level = np.where(heights < LEAST_HEIGHT * heights.max(), 0.0, heights)
    peaks = np.flatnonzero((level[1:-1] > level[:-2]) & (level[1:-1] >= level[2:])) + 1
    if not peaks.size:
        return Found(None, reason="the density has no peak")
    # On a reversed axis the lowest peak comes last.
    first, last = (0, -1) if arguments["side"] == "right" else (-1, 0)
    chosen = {"tallest": int(np.argmax(level[peaks])), "lowest": first, "highest": last}[arguments["peak"]]
    slope = np.gradient(heights)
    start = int(peaks[chosen])
    beyond = slope[start:]
    turns = np.flatnonzero((beyond[1:-1] <= beyond[:-2]) & (beyond[1:-1] < beyond[2:]))
    if not turns.size:
        return Found(None, reason="the peak has no tail")
    steepest = start + int(turns[0]) + 1
    flat = np.flatnonzero(np.abs(slope[steepest:]) < arguments["flat"] * np.abs(slope).max())
    rises = np.flatnonzero(slope[steepest:] >= 0)
    ends = [int(found[0]) for found in (flat, rises) if found.size]
    if not ends:
        return Found(None, reason="the tail does not flatten out")
    at = steepest + min(ends)
    at = at if arguments["side"] == "right" else len(heights) - 1 - at
    return Found(float(curve.places[at]), confidence=1.0 - float(curve.heights[at] / curve.heights.max()))


def by_control(axis: Axis, place: float, arguments: Arguments) -> Found:
    """Quantile of the control without the marker; median and robust SDs when it has few events."""
    control = "no controls are known here" if axis.control is None else axis.control()
    if isinstance(control, str):
        return Found(None, reason=control)
    values, n = control.values, control.values.size
    if n < arguments["few"]:
        return Found(None, reason=f"the control {control.source} has {n} events inside the parent, "
                                  f"{arguments['few']:g} are needed")  # fmt: skip
    if n >= arguments["events"]:
        cut = float(np.quantile(values, arguments["quantile"]))
        how = f"quantile {arguments['quantile']:g}"
    else:
        middle = float(np.median(values))
        cut = middle + arguments["k"] * MAD_TO_SD * float(np.median(np.abs(values - middle)))
        how = f"median + {arguments['k']:g} robust SD (fewer than {arguments['events']:g} events)"
    positive = int(np.count_nonzero(values >= cut))
    interval = clopper_pearson(positive, n)
    low, high = float(interval.lower), float(interval.upper)
    said = f"{how} of {n:,} events; {positive / n:.2%} of the control positive ({low:.2f} to {high:.2f} %)"
    note = "; ".join(part for part in (said, control.note) if part)
    return Found(cut + control.moved, 1.0 - positive / n, note=note, n_events=n, source=control.source)


def by_landmark(axis: Axis, place: float, arguments: Arguments) -> Found:
    """The template, moved by the shift between the densities of this and the template sample.

    A limit that would be moved out of a gap into a population, or across one, or that would leave hardly any cells on
    one side stays. Corners of a polygon (place 0) may lie anywhere.
    """
    if reason := _too_few(axis, arguments):
        return Found(None, reason=reason)
    if axis.reference is None:
        return Found(None, reason="the template has no density of its sample for this axis")
    found = axis.shift(arguments["adjust"], arguments["shift"] * axis.span)
    if found.at_edge:
        return Found(None, found.agreement, f"no best shift within {arguments['shift']:.0%} of the scale")
    if found.agreement < arguments["agree"]:
        reason = f"agrees by {found.agreement:.2f} with the template sample, {arguments['agree']:g} is needed"
        return Found(None, found.agreement, reason)
    curve = axis.curve(arguments["adjust"])
    before = float(np.interp(place, curve.places, curve.heights) / curve.heights.max())
    after = _highest_between(curve, place, place + found.shift)
    if arguments["gap"] == "kept" and after > UPHILL * before + SLACK:
        # Other shares of the same cells can look like a shift; a cut that leaves a gap for a peak, or passes one, gives
        # it away.
        reason = (
            f"the moved cut would lie among or beyond more cells ({after:.0%} of the peak) than lie at the template's "
            f"({before:.0%})"
        )
        return Found(None, found.agreement, reason)
    if arguments["gap"] == "kept" and (reason := _emptied(curve, place + found.shift, axis.reference, place)):
        return Found(None, found.agreement, reason)
    return Found(place + found.shift, found.agreement)


LIMIT_METHODS: dict[str, LimitMethod] = {
    "mindensity": by_valley,
    "tailgate": by_tail,
    "fmo_quantile": by_control,
    "landmark": by_landmark,
}
"""Estimators of the methods that place limits one by one (`gate.methods`, ``by_limit``)."""


def _emptied(own: Curve, cut: float, reference: Curve, template: float) -> str:
    """Why a moved cut is not believed: hardly any cells are left on a side that holds many in the template sample.

    One large population that moved alone carries the whole density with it, and the cut across the others.
    """
    for side, sign in (("above", 1.0), ("below", -1.0)):
        here, there = (
            float(curve.heights[sign * curve.places >= sign * at].sum() / curve.heights.sum())
            for curve, at in ((own, cut), (reference, template))
        )
        if there >= HELD and here < EMPTIED * there:
            return f"{here:.1%} of the cells would lie {side} the moved cut, {there:.1%} do in the template sample"
    return ""


def _highest_between(curve: Curve, one: float, other: float) -> float:
    """Highest density from one place to another, both included, as share of the highest of all."""
    low, high = min(one, other), max(one, other)
    inside = curve.heights[(curve.places > low) & (curve.places < high)]
    ends = np.interp((low, high), curve.places, curve.heights)
    return float(max(ends.max(), inside.max(initial=0.0)) / curve.heights.max())


def _too_few(axis: Axis, arguments: Arguments) -> str:
    n = axis.values.size
    if n < arguments["events"]:
        return f"{n} events inside the parent, {arguments['events']:g} are needed"
    return "" if float(np.ptp(axis.values)) > 0 else "the values do not differ"
