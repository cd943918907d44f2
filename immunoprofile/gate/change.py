"""Move one limit or one corner of a gate in data units, and see what it does to the counts: the editor in two lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from immunoprofile.errors import GateError, Problems
from immunoprofile.gate.data_units import on_scale
from immunoprofile.gate.evaluate import gate_sample
from immunoprofile.gate.gates import Gate
from immunoprofile.gate.strategy import GateSet, Strategy

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.io.fcs import Sample

Gates = TypeVar("Gates", Strategy, GateSet)
Value = float | None


def change(
    gates: Gates,
    population: str,
    *,
    limits: Mapping[str, tuple[Value, Value]] | None = None,
    corners: Mapping[int, tuple[float, float]] | None = None,
    note: str = "",
) -> Gates:
    """The gates with limits or corners of one gate moved; nothing is written.

    Parameters
    ----------
    gates
        A strategy, or a set of them.
    population
        ``tube/population``; of one strategy the population alone will do.
    limits
        Marker -> (minimum, maximum) of a rectangle, in data units (linear intensities; scatter as recorded, Time in
        seconds); None is open. Axes that are not named stay as they are.
    corners
        Number of the corner, counted from 1 -> (x, y) of a polygon, in data units. Other corners keep their bits.
    note
        Why; it becomes the note of the gate.

    Returns
    -------
    Strategy or GateSet
        As ``gates``; `counts_before_after` shows what it does.

    Raises
    ------
    GateError
        There is no such gate, limit or corner; a scale has no place for a value; the gate is none any more. All that is
        wrong at once.

    Examples
    --------
    >>> gates = ip.gate.change(gates, "treg/cd4", limits={"CD4": (1500, None)})  # doctest: +SKIP
    >>> gates = ip.gate.change(gates, "treg/treg", corners={2: (900, 2200)})  # doctest: +SKIP
    """
    tube, _, name = population.rpartition("/")
    if isinstance(gates, Strategy):
        return _changed(gates, tube, name, limits or {}, corners or {}, note)
    having = [one for one in gates if name in gates[one]] if not tube else [tube] * (tube in gates)
    if len(having) != 1:
        problems = Problems()
        known = ", ".join(f"{one}/{name}" for one in having) or ", ".join(f"{one}/..." for one in gates)
        problems.add("population", "is in several tubes" if having else "there is no such gate", value=population,
                     allowed=known)  # fmt: skip
        raise GateError("the gate cannot be changed", problems.found)
    strategy = _changed(gates[having[0]], "", name, limits or {}, corners or {}, note)
    return gates.with_strategy(strategy)


def _changed(
    strategy: Strategy,
    tube: str,
    name: str,
    limits: Mapping[str, tuple[Value, Value]],
    corners: Mapping[int, tuple[float, float]],
    note: str,
) -> Strategy:
    problems = Problems()
    if tube not in ("", strategy.tube):
        problems.add("population", f"is looked for in tube {strategy.tube}", value=f"{tube}/{name}")
    if name not in strategy:
        problems.add("population", "there is no such gate", value=name, allowed=", ".join(strategy.populations))
    if not limits and not corners:
        problems.add(name, "neither limits= nor corners= says what to move")
    if problems:
        raise GateError("the gate cannot be changed", problems.found, where=strategy.tube)
    gate = strategy[name]
    gate = _with_corners(_with_limits(gate, limits, strategy, problems), corners, strategy, problems)
    if not problems:
        for fault, value in gate.faults():
            problems.add(name, fault, value=value)
    if problems:
        raise GateError("the gate cannot be changed", problems.found, where=strategy.tube)
    return strategy.with_gate(replace(gate, note=note or gate.note))


def _place(strategy: Strategy, gate: Gate, axis: int, value: float, problems: Problems) -> float:
    """Place of a value on the scale of an axis: that of an event with this very intensity."""
    d = gate.dimensions[axis]
    try:
        return on_scale(dict(strategy.scales).get(d.scale or ""), float(value))
    except ValueError as error:
        problems.add(gate.population, str(error), column=d.marker, value=value)
        return float(value)


def _with_limits(gate: Gate, limits: Mapping[str, tuple[Value, Value]], strategy: Strategy, problems: Problems) -> Gate:
    if limits and gate.kind != "rectangle":
        problems.add(gate.population, f"is a {gate.kind} and has no limits", allowed="corners= of a polygon")
        return gate
    dimensions = list(gate.dimensions)
    known = {d.marker: axis for axis, d in enumerate(dimensions)}
    for marker, pair in limits.items():
        if marker not in known:
            problems.add(gate.population, "has no such axis", value=marker, allowed=", ".join(known))
            continue
        axis = known[marker]
        low, high = (None if one is None else _place(strategy, gate, axis, one, problems) for one in pair)
        dimensions[axis] = replace(dimensions[axis], minimum=low, maximum=high)
    return replace(gate, dimensions=tuple(dimensions))


def _with_corners(
    gate: Gate, corners: Mapping[int, tuple[float, float]], strategy: Strategy, problems: Problems
) -> Gate:
    if corners and gate.kind != "polygon":
        problems.add(gate.population, f"is a {gate.kind} and has no corners", allowed="limits= of a rectangle")
        return gate
    vertices = list(gate.vertices)
    for number, (x, y) in corners.items():
        if not 1 <= number <= len(vertices):
            problems.add(gate.population, "has no such corner", value=number, allowed=f"1 to {len(vertices)}")
            continue
        vertices[number - 1] = (_place(strategy, gate, 0, x, problems), _place(strategy, gate, 1, y, problems))
    return replace(gate, vertices=tuple(vertices))


def counts_before_after(samples: Iterable[Sample], before: Strategy, after: Strategy) -> pd.DataFrame:
    """What a change of gates does to the counts of files, one row for each file and population of ``after``.

    Parameters
    ----------
    samples
        Files, as `read_fcs` gives them.
    before, after
        Two strategies of one tube.

    Returns
    -------
    pandas.DataFrame
        ``file population n_before n_after difference pct_before pct_after``; per cent of the parent. A population that
        ``before`` does not have has no value there.
    """
    import pandas as pd

    tables = []
    for sample in samples:
        old, new = (
            gate_sample(sample, strategy).counts().set_index("population")[["n", "pct_parent"]]
            for strategy in (before, after)
        )
        both = new.join(old, rsuffix="_before", how="left")
        tables.append(
            pd.DataFrame(
                {
                    "file": sample.name,
                    "population": both.index,
                    "n_before": both["n_before"].astype("Int64").array,
                    "n_after": both["n"].astype("Int64").array,
                    "difference": (both["n"].astype("Int64") - both["n_before"].astype("Int64")).array,
                    "pct_before": both["pct_parent_before"].array,
                    "pct_after": both["pct_parent"].array,
                }
            )
        )
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
