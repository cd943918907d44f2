"""Limits in the units of a file as it is read here: FlowJo's clock, channels with a gain, clocks outside the standard.

FlowJo keeps limits in the values that it showed. Of Time these are ticks times a factor that it stores as the gain of
the scale; of a channel with ``$PnG`` they are the stored values, which the FCS standard divides by the gain. A limit is
brought over by its scale: a scale of which the top is multiplied by a factor has every value times that factor at the
same place, so that ranges, polygons and ellipses come over together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import GateError, Problem, Problems
from immunoprofile.gate.binding import find_channels
from immunoprofile.gate.gates import Dimension, Gate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from immunoprofile.gate.known import KnownSample
    from immunoprofile.gate.strategy import Strategy
    from immunoprofile.io.fcs import Channel, Sample

NEAR = 1.25
"""Largest ratio of the top of a scale and the last tick, or the range of a channel, that are taken for the same: FlowJo
writes whole seconds, and readings that could be confused are ten times apart or more."""

GAIN_NEAR = 1.01
"""The same for the ranges of a channel, which are the same number where they mean the same."""


@dataclass(frozen=True)
class Unit:
    """How the limits on one channel come over.

    Attributes
    ----------
    factor
        Our value of one unit of the document; None where it cannot be told.
    reason
        Why it cannot be told, or is not certain.
    """

    factor: float | None
    reason: str = ""


def in_units_of(sample: Sample, strategy: Strategy) -> tuple[Strategy, tuple[Problem, ...]]:
    """The gates of one file with their limits in the units in which its events are read.

    Parameters
    ----------
    sample
        The file with its events: the last tick tells how FlowJo counted the time.
    strategy
        Its gates, as `matching.match` gives them; they are left as they are when they come from no workspace.

    Returns
    -------
    tuple
        The strategy; and what could not be honoured: Time gates whose unit cannot be told are left out, with what
        depends on them.

    Raises
    ------
    GateError
        A gated channel has a gain, and the workspace does not show whether its limits are divided by it; or no gate is
        left.
    """
    if strategy.limits == "file":
        return strategy, ()
    if strategy.limits == "fcs":
        return _as_standard(sample, strategy), ()
    known = strategy.samples[0] if len(strategy.samples) == 1 else None
    channels = find_channels(strategy, sample, Problems())
    by_name = {channel.pnn: channel for channel in sample.channels}
    units: dict[str, Unit] = {}
    gained = Problems()
    for marker, name in channels.items():
        channel = by_name[name]
        if channel.kind == "time":
            units[marker] = _time_unit(sample, name, known)
        elif channel.gain != 1:
            units[marker] = _gain_unit(channel, known)
            if units[marker].factor is None:
                gained.add(f"channel {name}", units[marker].reason)
    gained.found += _unequal_gains(strategy, channels, by_name)
    if gained:
        raise GateError("gates of the workspace are in units that cannot be had for the file", gained.found,
                        where=sample.name, todo="export the file without $PnG, or gate it with a template")  # fmt: skip
    unknown = {marker: unit.reason for marker, unit in units.items() if unit.factor is None}
    kept, problems = _without(strategy, unknown)
    problems += tuple(Problem(sample.name, unit.reason) for unit in units.values() if unit.factor and unit.reason)
    if not kept.gates:
        raise GateError("all gates need the time in FlowJo's units, which cannot be told", problems,
                        where=sample.name, todo="draw the time gate anew in FlowJo with the file open")  # fmt: skip
    factors = {marker: unit.factor for marker, unit in units.items() if unit.factor not in (None, 1.0)}
    done = replace(kept, samples=(), limits="file")
    return _scaled(done, {m: f for m, f in factors.items() if f is not None}), problems


def needs_events(sample: Sample, strategy: Strategy) -> bool:
    """Whether the units of the gates of a file cannot be told without its events."""
    if strategy.limits != "flowjo":
        return False
    clocks = {channel.pnn for channel in sample.channels if channel.kind == "time"}
    return bool(clocks & set(find_channels(strategy, sample, Problems()).values()))


def _as_standard(sample: Sample, strategy: Strategy) -> Strategy:
    """Limits of the FCS standard, which knows no step of a clock but ``$TIMESTEP``, in the seconds of a file."""
    clock, found = sample.clock, replace(strategy, limits="file")
    if clock is None or clock.step is None or clock.source != "TIMETICKS":
        return found
    name = sample.channels[clock.column].pnn
    channels = find_channels(strategy, sample, Problems())
    return _scaled(found, {marker: clock.step for marker, channel in channels.items() if channel == name})


def _time_unit(sample: Sample, name: str, known: KnownSample | None) -> Unit:
    """What one unit of FlowJo's Time axis is in the values of a file."""
    column = [channel.pnn for channel in sample.channels].index(name)
    step = sample.layout.channels[column].scale.timestep if sample.layout is not None else 1.0
    values = sample.events[:, column]
    values = values[np.isfinite(values)]
    last = float(values.max()) / step if values.size else 0.0
    axis = known.axis(name) if known is not None else None
    if known is None and step != 1:
        return Unit(1.0, "the file is no sample of the workspace: Time gates are taken in seconds of its $TIMESTEP")
    if axis is None:
        return Unit(None, "the file is no sample of the workspace and has no $TIMESTEP")
    if axis.gain is not None and axis.gain > 0 and axis.gain != 1:
        # Beside a file that was thinned or cut, a gain that is nearly the step is seconds of a tick all the same.
        if _near(axis.top, last * axis.gain) or (step != 1 and _near(axis.gain, step)):
            return Unit(step / axis.gain)
    else:
        if step != 1 and _near(axis.top, last * step):
            return Unit(1.0)
        if _near(axis.top, last):
            return Unit(step)
    source = sample.clock.source if sample.clock is not None and sample.clock.source else "$TIMESTEP"
    seconds = f"{source} {step:g}" if step != 1 else "no $TIMESTEP"
    return Unit(None, f"FlowJo's Time scale ends at {_said(axis.top)} with gain {_said(axis.gain)}, which fits neither "
                      f"the last tick of the file ({last:g}) nor its seconds ({seconds})")  # fmt: skip


def _gain_unit(channel: Channel, known: KnownSample | None) -> Unit:
    """What one unit of FlowJo's axis is in the values of a channel that was divided by its gain."""
    gain = f"{channel.pnn} has $PnG {channel.gain:g}"
    axis = known.axis(channel.pnn) if known is not None else None
    if axis is None:
        return Unit(None, f"{gain}, and the file is no sample of the workspace that shows whether FlowJo divided by it")
    pnr = axis.pnr or channel.pnr
    whole, divided = _near(axis.top, pnr, GAIN_NEAR), _near(axis.top, pnr / channel.gain, GAIN_NEAR)
    if whole and not divided:
        return Unit(1.0 / channel.gain)
    if divided and not whole:
        return Unit(1.0)
    return Unit(None, f"{gain}, and FlowJo's scale ends at {_said(axis.top)}, neither at its range {pnr:g} nor at "
                      f"{pnr / channel.gain:g}")  # fmt: skip


def _unequal_gains(strategy: Strategy, channels: Mapping[str, str], by_name: Mapping[str, Channel]) -> list[Problem]:
    """Compensated channels with a gain: a matrix holds for divided and for stored values only where all gains agree."""
    names = {
        channels[c] for gate in strategy.gates for d in gate.dimensions if d.compensated for c in d.channels
        if c in channels
    }  # fmt: skip
    gains = {by_name[name].gain for name in names}
    if len(gains) < 2:
        return []
    told = ", ".join(f"{name} {by_name[name].gain:g}" for name in sorted(names))
    return [Problem("compensated channels", f"have different $PnG, for which FlowJo's matrix does not hold: {told}")]


def _near(one: float | None, other: float, ratio: float = NEAR) -> bool:
    return one is not None and one > 0 and other > 0 and 1 / ratio <= one / other <= ratio


def _said(value: float | None) -> str:
    return "no number" if value is None else f"{value:g}"


def _without(strategy: Strategy, unknown: Mapping[str, str]) -> tuple[Strategy, tuple[Problem, ...]]:
    """The strategy without the gates on some axes and without what depends on them; all are named."""
    gone: dict[str, str] = {}
    for gate in strategy.gates:  # parents and operands come first
        on_axis = [d.marker for d in gate.dimensions if d.marker in unknown]
        needed = [name for name in (gate.parent, *(o.population for o in gate.operands)) if name in gone]
        if on_axis:
            gone[gate.population] = unknown[on_axis[0]]
        elif needed:
            gone[gate.population] = f"depends on {needed[0]}, which is left out"
    if not gone:
        return strategy, ()
    problems = tuple(Problem(f"gate {name}", f"left out: {reason}") for name, reason in gone.items())
    kept = tuple(gate for gate in strategy.gates if gate.population not in gone)
    return _unchecked(strategy, kept), problems


def _unchecked(strategy: Strategy, gates: tuple[Gate, ...]) -> Strategy:
    beads = strategy.beads if any(gate.population == strategy.beads for gate in gates) else ""
    return replace(strategy, gates=gates, beads=beads)


def _scaled(strategy: Strategy, factors: Mapping[str, float]) -> Strategy:
    """The strategy with the limits on some axes multiplied by a factor, through their scales."""
    if not factors:
        return strategy
    scales = dict(strategy.scales)
    made = {}

    def axis(d: Dimension) -> Dimension:
        if d.scale is None or d.marker not in factors:
            return d
        name = f"{d.scale} of {d.marker} in the units of the file"
        made[name] = scales[d.scale].times(factors[d.marker])
        return replace(d, scale=name)

    def moved(d: Dimension, place: float) -> float:
        return place * factors[d.marker] if d.scale is None and d.marker in factors else place

    gates = []
    for gate in strategy.gates:
        own = gate.moved(moved)
        gates.append(replace(own, dimensions=tuple(axis(d) for d in own.dimensions)))
    return replace(strategy, gates=tuple(gates), scales=(*strategy.scales, *made.items()))
