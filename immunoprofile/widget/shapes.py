"""What a page draws of gates, and the gates that a drawn shape means; places are on the scales of the axes.

A shape is plain JSON, so that every float comes back to the bit (the shortest text of a double is read as that
double, by Python and by browsers alike):

    {"kind": "polygon", "vertices": [[x, y], ...]}
    {"kind": "rectangle", "limits": [[low, high], ...]}         null is an open side; one pair an axis of the plot
    {"kind": "quadrant", "dividers": [[x, ...], [y, ...]],       shared by all quadrants of a gate; cells say between
     "cells": {population: [[low, high], ...]}}                  which dividers each lies (positions, null is open)
    {"kind": "ellipsoid", "outline": [[x, y], ...]}              shown, not edited
    {"kind": "empty"}                                            a population that is not drawn yet
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from immunoprofile.errors import GateError, Problem
from immunoprofile.gate.gates import BOOLEAN_KINDS, Dimension, Gate, ellipse_corners
from immunoprofile.gate.names import population_id
from immunoprofile.gate.strategy import Strategy
from immunoprofile.schema import POPULATION_ID

Shape = dict[str, Any]

CORNERS = 48
"""Corners of the polygon that stands for an ellipse: its area is 0.3 % smaller."""

DRAWN_KINDS = ("polygon", "rectangle", "quadrant")
"""Kinds of a population that is drawn anew; a quadrant gate makes four."""

Cells = dict[str, list[list[int | None]]]
"""Quadrant -> for each axis between which dividers it lies, by position; null is open."""

_LOW, _HIGH = (None, 0), (0, None)
_CORNERS = ((_LOW, _HIGH), (_HIGH, _HIGH), (_HIGH, _LOW), (_LOW, _LOW))
"""The quadrants of a cross as in `Cells`: from the upper left one clockwise, as Q1 to Q4."""


def edited_gates(strategy: Strategy, population: str) -> tuple[Gate, ...]:
    """The gates that one edit moves: one, or all quadrants of a quadrant gate.

    Raises
    ------
    GateError
        The population cannot be drawn: it combines others, or shows a ratio.
    """
    if population in strategy.quadrants:
        return strategy.quadrants[population]
    try:
        gate = strategy[population]
    except KeyError:
        known = ", ".join(strategy.populations) or "none yet"
        fault = Problem(population, "is no population of the strategy", allowed=known)
        raise GateError("there is no such population", [fault], where=strategy.tube,
                        todo="name one of them, or say parent= and axes= to draw a new one") from None  # fmt: skip
    if gate.kind in BOOLEAN_KINDS:
        others = ", ".join(operand.population for operand in gate.operands)
        raise GateError("the population combines others and has no shape of its own", (), where=population,
                        todo=f"edit {others}")  # fmt: skip
    if any(dimension.ratio is not None for dimension in gate.dimensions):
        raise GateError("a gate on a ratio of channels cannot be drawn", (), where=population,
                        todo="change its limits with ip.gate.change")  # fmt: skip
    return strategy.quadrants[gate.quadrant_of] if gate.kind == "quadrant" else (gate,)


def axes_of(gates: Sequence[Gate]) -> tuple[Dimension, ...]:
    """The one or two axes of the plot of these gates, without limits."""
    found: dict[str, Dimension] = {}
    for gate in gates:
        for d in gate.dimensions:
            found.setdefault(d.marker, d.without_limits)
    return tuple(found.values())[:2]


def hidden_limits(gates: Sequence[Gate]) -> tuple[str, ...]:
    """Axes of the gates that the plot does not show; their limits hold and are not edited."""
    shown = {axis.marker for axis in axes_of(gates)}
    return tuple(dict.fromkeys(d.marker for gate in gates for d in gate.dimensions if d.marker not in shown))


def shape_of(gates: Sequence[Gate]) -> Shape:
    """The shape that stands for gates on their plot."""
    if not gates:
        return {"kind": "empty"}
    first = gates[0]
    if first.kind == "polygon":
        return {"kind": "polygon", "vertices": [[float(x), float(y)] for x, y in first.vertices]}
    if first.kind == "quadrant":
        dividers = [_dividers(gates, axis.marker) for axis in axes_of(gates)]
        return {"kind": "quadrant", "dividers": dividers, "cells": _cells(gates, dividers)}
    if first.ellipsoid is not None:
        return {"kind": "ellipsoid", "outline": [list(corner) for corner in ellipse_corners(first.ellipsoid, CORNERS)]}
    limits = [[_said(d.minimum), _said(d.maximum)] for d in first.dimensions[:2]]
    return {"kind": "rectangle", "limits": limits}


def can_become_polygon(gates: Sequence[Gate]) -> bool:
    """Whether the gate is a closed shape on two axes that a polygon can stand for."""
    if len(gates) != 1 or len(gates[0].dimensions) != 2:
        return False
    gate = gates[0]
    if gate.kind == "rectangle":
        return all(_said(limit) is not None for d in gate.dimensions for limit in (d.minimum, d.maximum))
    return gate.kind == "ellipsoid"


def as_polygon(gate: Gate) -> Gate:
    """A polygon in place of an ellipse or a closed rectangle; see `can_become_polygon`."""
    axes = tuple(d.without_limits for d in gate.dimensions)
    if gate.ellipsoid is not None:
        corners = list(ellipse_corners(gate.ellipsoid, CORNERS))
    else:
        (x0, x1), (y0, y1) = ((float(d.minimum or 0.0), float(d.maximum or 0.0)) for d in gate.dimensions)
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return replace(gate, kind="polygon", dimensions=axes, vertices=tuple(corners), ellipsoid=None)


def reshaped(
    gates: Sequence[Gate], shape: Mapping[str, Any], *, pattern: Gate | None = None, taken: Collection[str] = ()
) -> tuple[Gate, ...]:
    """The gates in the shape that a page sent; what it did not touch keeps its bits.

    Parameters
    ----------
    gates
        As `edited_gates` gives them.
    shape
        See the module.
    pattern
        Of a gate that is drawn anew its axes and parent: it may become any of `DRAWN_KINDS`.
    taken
        Names that new quadrants cannot have.

    Raises
    ------
    GateError
        The shape is none that these gates can have; the message can be shown to the person who drew it.
    """
    fresh = pattern is not None
    first = pattern if pattern is not None and gates[0].kind == "quadrant" else gates[0]
    kind = shape.get("kind")
    try:
        if kind == "polygon" and (first.kind == "polygon" or fresh):
            axes = tuple(d.without_limits for d in first.dimensions)
            corners = tuple((_number(x), _number(y)) for x, y in shape["vertices"])
            made: tuple[Gate, ...] = (replace(first, kind="polygon", dimensions=axes, vertices=corners),)
        elif kind == "rectangle" and (first.kind == "rectangle" or fresh):
            made = (_with_limits(replace(first, kind="rectangle", vertices=()), shape["limits"]),)
        elif kind == "quadrant" and pattern is not None:
            made = _new_quadrants(pattern, gates, shape, taken)
        elif kind == "quadrant" and first.kind == "quadrant":
            made = _with_dividers(gates, shape["dividers"])
        else:
            raise GateError(f"a {first.kind} cannot become a {kind}", (), where=first.population)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise GateError(f"the page sent a shape that cannot be read: {error}", (), where=first.population) from error
    # Without the values found: they are places on a scale, which a page shows in data units.
    faults = [Problem(gate.population, fault) for gate in made for fault, _ in gate.faults()]
    if faults:
        raise GateError("the shape is no gate yet", faults, where=first.population)
    return made


def new_cells(pattern: Gate, taken: Collection[str]) -> Cells:
    """The four quadrants that a cross on these axes makes, named by both markers; none on a single axis.

    Names are ``cd25_neg_cd127_pos``; of axes without light (scatter, Time) ``low`` and ``high``. One that is taken gets
    a number.
    """
    if len(pattern.dimensions) != 2:
        return {}
    known, found = {pattern.population, *taken}, {}
    for corner in _CORNERS:
        words = []
        for d, ends in zip(pattern.dimensions, corner, strict=True):
            low, high = ("low", "high") if d.without_light else ("neg", "pos")
            marker = re.sub("[^a-z0-9]+", "_", d.marker.casefold()).strip("_")
            words.append(f"{marker}_{high if ends == _HIGH else low}")
        name = population_id("_".join(words), known)
        known.add(name)
        found[name] = [list(ends) for ends in corner]
    return found


def crosses_itself(vertices: Sequence[tuple[float, float]]) -> bool:
    """Whether two sides of a polygon cross: the overlap then counts as outside (even-odd rule of GatingML)."""
    n = len(vertices)

    def side(p: tuple[float, float], q: tuple[float, float], r: tuple[float, float]) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    for i in range(n):
        a, b = vertices[i], vertices[(i + 1) % n]
        for j in range(i + 2, n):
            if i == 0 and j == n - 1:
                continue
            c, d = vertices[j], vertices[(j + 1) % n]
            if side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0:
                return True
    return False


def _said(limit: float | None) -> float | None:
    return None if limit is None or not math.isfinite(limit) else float(limit)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return float(value)


def _limit(value: object, old: float | None) -> float | None:
    """A limit of the page; an open side that was infinite stays so."""
    if value is None:
        return old if _said(old) is None else None
    return _number(value)


def _with_limits(gate: Gate, limits: Sequence[Sequence[object]]) -> Gate:
    shown = min(2, len(gate.dimensions))
    if len(limits) != shown:
        raise ValueError(f"{len(limits)} pairs of limits for {shown} axes")
    dimensions = list(gate.dimensions)
    for position, (low, high) in enumerate(limits):
        d = dimensions[position]
        dimensions[position] = replace(d, minimum=_limit(low, d.minimum), maximum=_limit(high, d.maximum))
    return replace(gate, dimensions=tuple(dimensions))


def _dividers(gates: Sequence[Gate], marker: str) -> list[float]:
    ends = {
        limit
        for gate in gates
        for d in gate.dimensions
        if d.marker == marker
        for limit in (_said(d.minimum), _said(d.maximum))
        if limit is not None
    }
    return sorted(ends)


def _cells(gates: Sequence[Gate], dividers: Sequence[Sequence[float]]) -> Cells:
    found = {}
    for gate in gates:
        own = {d.marker: d for d in gate.dimensions}
        ends = []
        for axis, places in zip(axes_of(gates), dividers, strict=True):
            d = own.get(axis.marker)
            limits = (None, None) if d is None else (_said(d.minimum), _said(d.maximum))
            ends.append([None if limit is None else list(places).index(limit) for limit in limits])
        found[gate.population] = ends
    return found


def _new_quadrants(
    pattern: Gate, gates: Sequence[Gate], shape: Mapping[str, Any], taken: Collection[str]
) -> tuple[Gate, ...]:
    """The quadrants of a cross, named as the shape says, else as they are named already, else by their markers."""
    where = pattern.population
    if len(pattern.dimensions) != 2:
        raise GateError("quadrants need two axes", (), where=where, todo="choose a second axis, or draw a threshold")
    cross = [[_number(place) for place in places] for places in shape["dividers"]]
    if [len(places) for places in cross] != [1, 1]:
        raise ValueError("a new quadrant gate has one divider on each of its two axes")
    now = shape_of(gates)
    cells = shape.get("cells") or (now["cells"] if now["kind"] == "quadrant" else new_cells(pattern, taken))
    called = {tuple(tuple(pair) for pair in ends): str(name) for name, ends in cells.items()}
    if len(cells) != len(_CORNERS) or set(called) != set(_CORNERS):
        raise ValueError("cells must name each of the four quadrants once")
    _check_names([called[corner] for corner in _CORNERS], where, taken)
    made = []
    for corner in _CORNERS:
        dimensions = tuple(
            replace(d, minimum=place if ends == _HIGH else None, maximum=place if ends == _LOW else None)
            for d, ends, (place,) in zip(pattern.dimensions, corner, cross, strict=True)
        )
        made.append(Gate(called[corner], pattern.parent, "quadrant", dimensions, quadrant_of=where))
    return tuple(made)


def _check_names(names: Sequence[str], where: str, taken: Collection[str]) -> None:
    faults = []
    for name in names:
        if not re.match(POPULATION_ID, name):
            faults.append(Problem(where, "is no name of a population", value=name,
                                  allowed="lower-case letters, digits and _, a letter first"))  # fmt: skip
        elif name in taken:
            faults.append(Problem(where, "the strategy has a population of this name already", value=name))
        elif name == where:
            faults.append(Problem(where, "a quadrant cannot have the name of its quadrant gate", value=name))
    if faults:
        raise GateError("the quadrants cannot have these names", faults, where=where)


def _with_dividers(gates: Sequence[Gate], dividers: Sequence[Sequence[object]]) -> tuple[Gate, ...]:
    moves: dict[tuple[str, float], float] = {}
    for axis, new in zip(axes_of(gates), dividers, strict=True):
        old = _dividers(gates, axis.marker)
        placed = [_number(value) for value in new]
        if len(placed) != len(old) or any(a >= b for a, b in itertools.pairwise(placed)):
            raise ValueError(f"dividers of {axis.marker} must stay {len(old)}, in ascending order")
        moves |= {(axis.marker, before): after for before, after in zip(old, placed, strict=True)}
    return tuple(gate.moved(lambda d, place: moves.get((d.marker, place), place)) for gate in gates)
