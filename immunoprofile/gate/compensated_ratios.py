"""Ratios of compensated channels, which the engine (like FlowKit) does not know: it is given them as channels.

GatingML lets a dimension with a ratio name a compensation; it is then a ratio of compensated values. FlowKit takes the
recorded ones whatever the dimension says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile import compensation
from immunoprofile.gate.gates import Dimension
from immunoprofile.io.exceptions import Notice

if TYPE_CHECKING:
    from immunoprofile.compensation import Spillover
    from immunoprofile.gate.strategy import Strategy
    from immunoprofile.io.fcs import Sample


def compensated_ratios(strategy: Strategy) -> tuple[Dimension, ...]:
    """Dimensions that show a ratio and ask for compensation."""
    dimensions = [d for gate in strategy.gates for d in gate.dimensions]
    return tuple(dict.fromkeys(d for d in dimensions if d.ratio is not None and d.compensated))


def ratio_notices(strategy: Strategy) -> list[Notice]:
    """What to tell of them."""
    told = ", ".join(dict.fromkeys(d.marker for d in compensated_ratios(strategy)))
    if not told:
        return []
    message = f"ratio {told} is taken of compensated values, as the gates say; FlowKit takes the recorded ones"
    todo = 'for recorded values say compensation-ref="uncompensated"'
    return [Notice("RATIO_COMPENSATED", message, todo, "note")]


def as_channels(sample: Sample, bound: Strategy, spillover: Spillover | None) -> tuple[Sample, Strategy]:
    """A file with the compensated values of its ratios as channels of their own, and gates that look at these.

    Parameters
    ----------
    sample
        The file.
    bound
        Its gates, naming its channels.
    spillover
        Matrix of the file, for dimensions that name no other; None where nothing is removed.

    Returns
    -------
    tuple
        Both as they are when no gate asks for a compensated ratio.
    """
    asked = compensated_ratios(bound)
    if not asked:
        return sample, bound
    names = [channel.pnn for channel in sample.channels]
    made: dict[tuple[str, str], str] = {}
    columns, channels = [], []
    for matrix in dict.fromkeys(d.matrix for d in asked):
        values = _compensated(sample, bound, matrix, spillover)
        for name in dict.fromkeys(c for d in asked if d.matrix == matrix for c in d.channels):
            position = names.index(name)
            new = _free(f"{name} compensated", {*names, *made.values()})
            made[matrix, name] = new
            columns.append(values[:, position])
            channels.append(replace(sample.channels[position], pnn=new, pns="", marker=new))
    wider = replace(
        sample,
        events=np.column_stack([sample.events, *columns]),
        channels=(*sample.channels, *channels),
        layout=None,
    )
    return wider, _looking_at(bound, made)


def _compensated(
    sample: Sample, bound: Strategy, matrix: str, spillover: Spillover | None
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    if matrix:
        return dict(bound.matrices)[matrix].compensate(sample)
    return compensation.compensate(sample, spillover)


def _looking_at(bound: Strategy, made: Mapping[tuple[str, str], str]) -> Strategy:
    def axis(d: Dimension) -> Dimension:
        if d.ratio is None or not d.compensated:
            return d
        one, other = (made[d.matrix, name] for name in d.channels)
        marker = f"{d.marker} of compensated values"
        ratio = replace(d.ratio, numerator=one, denominator=other)
        return replace(d, marker=marker, ratio=ratio, compensated=False, matrix="")

    gates = tuple(replace(gate, dimensions=tuple(axis(d) for d in gate.dimensions)) for gate in bound.gates)
    return replace(bound, gates=gates)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
