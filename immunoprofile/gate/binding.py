"""Bind a strategy to the channels of a file: markers of the template become channel names ($PnN)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from immunoprofile.compensation.applied import bare_name
from immunoprofile.errors import GateError, Problems
from immunoprofile.gate.strategy import Dimension, Gate, Strategy
from immunoprofile.io.markers import find_marker

if TYPE_CHECKING:
    from immunoprofile.io.fcs import Sample


def find_channels(strategy: Strategy, sample: Sample, problems: Problems) -> dict[str, str]:
    """Channel ($PnN) of every marker that the strategy needs; what is missing or ambiguous goes to ``problems``."""
    found: dict[str, str] = {}
    names = [channel.pnn for channel in sample.channels]
    unmixed = _unmixed(strategy)
    for marker in strategy.markers:
        hits = find_marker(marker, sample.markers, sample.labels)
        if marker in names and (marker, marker) in strategy.channels:  # it came with names of channels
            hits = [position for position, name in enumerate(names) if name == marker][:1]
        elif not hits and marker in unmixed:
            hits = find_marker(unmixed[marker], sample.markers, sample.labels)
        elif not hits:
            # FlowJo writes "_" where a channel has "/", and "Comp-" before channels that it exports compensated
            hits = [n for n, name in enumerate(names) if marker in (name.replace("/", "_"), bare_name(name))]
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


def _unmixed(strategy: Strategy) -> dict[str, str]:
    """Detector in whose place a matrix puts each fluorochrome that it names."""
    return {
        fluorochrome: detector
        for _, matrix in strategy.matrices
        for fluorochrome, detector in zip(matrix.fluorochromes, matrix.detectors, strict=False)
        if fluorochrome and fluorochrome != detector
    }


def rename(strategy: Strategy, channels: Mapping[str, str]) -> Strategy:
    """The strategy with its markers replaced by channel names."""

    def axis(dimension: Dimension) -> Dimension:
        if dimension.ratio is None:
            return replace(dimension, marker=channels.get(dimension.marker, dimension.marker))
        one, other = (channels.get(name, name) for name in dimension.channels)
        return replace(dimension, ratio=replace(dimension.ratio, numerator=one, denominator=other))

    def gate(old: Gate) -> Gate:
        return replace(old, dimensions=tuple(axis(dimension) for dimension in old.dimensions))

    return replace(
        strategy,
        gates=tuple(gate(old) for old in strategy.gates),
        custom=tuple((sample, gate(old)) for sample, old in strategy.custom),
        channels=tuple((channel, channel) for channel in dict.fromkeys(channels.values())),
    )


def _check_matrices(strategy: Strategy, sample: Sample, problems: Problems) -> None:
    used = {d.matrix for gate in strategy.gates for d in gate.dimensions if d.matrix}
    names = [channel.pnn for channel in sample.channels]
    for name, matrix in strategy.matrices:
        missing = [detector for detector in matrix.detectors if names.count(detector) != 1]
        if name in used and missing:
            has = ", ".join(names)
            problems.add(sample.name, f"matrix {name} names channels that the file does not have once",
                         value=", ".join(missing), allowed=f"the file has {has}")  # fmt: skip


def bind(strategy: Strategy, sample: Sample) -> Strategy:
    """The strategy with the channels of a file in place of its markers.

    Gates of single samples are not looked at: `matching.match` puts in those of the file.

    Raises
    ------
    GateError
        Markers that the file lacks or has twice, all at once.
    """
    problems = Problems()
    channels = find_channels(strategy, sample, problems)
    _check_matrices(strategy, sample, problems)
    if problems:
        raise GateError(
            "the file does not fit the gating template",
            problems.found,
            where=sample.name,
            todo="check the panel, or name the channel in the template",
        )
    return rename(strategy, channels)
