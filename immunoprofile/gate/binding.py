"""Bind a strategy to the channels of a file: markers of the template become channel names ($PnN)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from immunoprofile.errors import GateError, Problems
from immunoprofile.gate.strategy import Strategy
from immunoprofile.io.markers import find_marker

if TYPE_CHECKING:
    from immunoprofile.io.fcs import Sample


def find_channels(strategy: Strategy, sample: Sample, problems: Problems) -> dict[str, str]:
    """Channel ($PnN) of every marker that the strategy needs; what is missing or ambiguous goes to ``problems``."""
    found: dict[str, str] = {}
    names = [channel.pnn for channel in sample.channels]
    for marker in strategy.markers:
        hits = find_marker(marker, sample.markers, sample.labels)
        if len(hits) == 1:
            found[marker] = names[hits[0]]
            if names.count(found[marker]) > 1:
                problems.add(sample.name, f"the channel of {marker} has a name that stands twice in the file",
                             value=found[marker])  # fmt: skip
        elif not hits:
            has = ", ".join(sample.markers)
            problems.add(
                sample.name, f"marker {marker} of tube {strategy.tube} is missing", allowed=f"the file has {has}"
            )
        else:
            candidates = ", ".join(names[hit] for hit in hits)
            problems.add(sample.name, f"marker {marker} is ambiguous", allowed=f"one of {candidates}")
    return found


def rename(strategy: Strategy, channels: Mapping[str, str]) -> Strategy:
    """The strategy with its markers replaced by channel names."""
    gates = tuple(
        replace(gate, dimensions=tuple(replace(d, marker=channels.get(d.marker, d.marker)) for d in gate.dimensions))
        for gate in strategy.gates
    )
    return replace(
        strategy, gates=gates, channels=tuple((channel, channel) for channel in dict.fromkeys(channels.values()))
    )


def bind(strategy: Strategy, sample: Sample) -> Strategy:
    """The strategy with the channel names of a file in place of its markers.

    Raises
    ------
    GateError
        Markers that the file lacks or has twice, all at once.
    """
    problems = Problems()
    channels = find_channels(strategy, sample, problems)
    if problems:
        raise GateError(
            "the file does not fit the gating template",
            problems.found,
            where=sample.name,
            todo="check the panel, or name the channel in the template",
        )
    return rename(strategy, channels)
