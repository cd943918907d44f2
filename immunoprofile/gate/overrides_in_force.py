"""Overrides put into a strategy: what is in force for a sample, and which numbers hang on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from immunoprofile.gate.overrides import Override
from immunoprofile.gate.strategy import GateSet, Strategy


def in_force(overrides: Iterable[Override], sample: str, tube: str | None = None) -> tuple[Override, ...]:
    """The last override of each gate of a sample, in order; those that were taken back are gone."""
    last: dict[tuple[str, str], Override] = {}
    for one in overrides:
        if one.sample == sample and tube in (None, one.tube):
            last.pop((one.tube, one.population), None)
            if one.after is not None:
                last[one.tube, one.population] = one
    return tuple(last.values())


def overridden(strategy: Strategy, overrides: Iterable[Override]) -> Strategy:
    """A strategy with the gates that were drawn for one sample in place of its own.

    Raises
    ------
    GateError
        A gate cannot stand in the strategy.
    KeyError
        A population is not in the strategy.
    """
    own = {one.population: one.after for one in overrides if one.after is not None}
    if not own:
        return strategy
    for population in own:
        strategy[population]
    return replace(strategy, gates=tuple(own.get(gate.population, gate) for gate in strategy.gates))


def misfits(override: Override, strategy: Strategy) -> Iterator[tuple[str, str, object]]:
    """Why an override cannot be followed in a strategy: (column, fault, value)."""
    if override.population not in strategy:
        yield "population", f"is not gated in tube {override.tube}", override.population
        return
    yield from override.faults()
    gate, scales = strategy[override.population], dict(strategy.scales)
    if override.before.parent != gate.parent:
        yield "population", f"has another parent now: {gate.parent}", override.before.parent
    for name, scale in override.scales:
        if scales.get(name) != scale:
            yield "scales", f"scale {name} is another one now than when the gate was drawn; draw it again", ""
    known = dict(override.scales)
    for dimension in () if override.after is None else override.after.dimensions:
        if dimension.scale is not None and dimension.scale not in known:
            yield "scales", f"scale {dimension.scale} is not recorded with the gate", ""


def hanging_on(strategy: Strategy, populations: Iterable[str]) -> tuple[str, ...]:
    """Populations whose events depend on the gates of these: they themselves, what is below, what refers to them."""
    found = set(populations)
    for gate in strategy.gates:  # parents and operands come first
        if gate.parent in found or any(operand.population in found for operand in gate.operands):
            found.add(gate.population)
    return tuple(name for name in strategy.populations if name in found)


def for_names(gates: GateSet, strategy: Strategy, names: Sequence[str]) -> Strategy:
    """The strategy of a file with the overrides of a set that name it."""
    own = [one for name in dict.fromkeys(names) for one in in_force(gates.overrides, name, strategy.tube)]
    return overridden(strategy, own)
