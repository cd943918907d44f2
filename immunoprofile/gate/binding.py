"""Bind a strategy to the channels of a file: markers of the template become channel names ($PnN)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from immunoprofile.compensation.applied import bare_name
from immunoprofile.errors import GateError, Problem, Problems
from immunoprofile.gate.strategy import Dimension, Gate, Strategy
from immunoprofile.io.markers import find_marker, is_dye, same_marker

if TYPE_CHECKING:
    from immunoprofile.io.fcs import Sample


def find_channels(strategy: Strategy, sample: Sample, problems: Problems) -> dict[str, str]:
    """Channel ($PnN) of every marker that the strategy needs; what is missing or ambiguous goes to ``problems``."""
    found: dict[str, str] = {}
    names = [channel.pnn for channel in sample.channels]
    unmixed, stated = _unmixed(strategy), stated_channels(strategy)
    for marker in strategy.markers:
        said = _said_of(marker, stated)
        hits = _by_statement(marker, said, sample) if said else _by_label(marker, strategy, sample, unmixed)
        if len(hits) == 1:
            found[marker] = names[hits[0]]
            if names.count(found[marker]) > 1:
                problems.add(sample.name, f"the channel of {marker} has a name that stands twice in the file",
                             value=found[marker])  # fmt: skip
        elif hits:
            candidates = ", ".join(names[hit] for hit in hits)
            problems.add(sample.name, f"marker {marker} is ambiguous", allowed=f"one of {candidates}")
        elif said:
            what = f"the template of tube {strategy.tube} has {marker} on {' or '.join(said)}"
            there = ", ".join(names)
            problems.add(sample.name, f"{what}, which the file does not have",
                         allowed=f"in 'channels' of the template: one of {there}")  # fmt: skip
        else:
            has = ", ".join(sample.markers)
            problems.add(
                sample.name, f"marker {marker} of tube {strategy.tube} is missing", allowed=f"the file has {has}"
            )
    return found


def _by_statement(marker: str, said: tuple[str, ...], sample: Sample) -> list[int]:
    """Columns of the channels that the template names; of several that are there, those whose label agrees."""
    names = [channel.pnn for channel in sample.channels]
    hits = [n for n, name in enumerate(names) if name in said]
    hits = hits or [n for n, name in enumerate(names) if bare_name(name) in said]
    labelled = [n for n in hits if same_marker(sample.channels[n].marker, marker)]
    return labelled if len(hits) > 1 and labelled else hits


def _by_label(marker: str, strategy: Strategy, sample: Sample, unmixed: Mapping[str, str]) -> list[int]:
    """Columns that carry a marker by their label or name, or have the name of the channel that the gates ask for."""
    names = [channel.pnn for channel in sample.channels]
    if marker in names and (marker, marker) in strategy.channels:  # it came with names of channels
        return [names.index(marker)]
    hits = find_marker(marker, sample.markers, sample.labels)
    if not hits and marker in unmixed:
        return find_marker(unmixed[marker], sample.markers, sample.labels)
    # FlowJo writes "_" where a channel has "/", and "Comp-" before channels that it exports compensated
    return hits or [n for n, name in enumerate(names) if marker in (name.replace("/", "_"), bare_name(name))]


def _said_of(marker: str, stated: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Channels that are stated for a marker, however it is spelled; empty for none."""
    same = (channels for name, channels in stated.items() if same_marker(name, marker))
    return stated.get(marker) or next(same, ())


def stated_channels(strategy: Strategy) -> dict[str, tuple[str, ...]]:
    """Channels ($PnN) that a template names for a marker; several where cytometers differ.

    Gates that came with names of channels (GatingML, workspaces) state nothing.
    """
    found: dict[str, list[str]] = {}
    for marker, channel in strategy.channels:
        if marker != channel:
            found.setdefault(marker, []).append(channel)
    return {marker: tuple(channels) for marker, channels in found.items()}


def label_doubts(strategy: Strategy, sample: Sample) -> tuple[Problem, ...]:
    """Labels ($PnS) of a file that contradict the channels that the template names; those of the template hold.

    A channel without a label, or with the name of its dye or its own name for one, contradicts nothing.
    """
    stated = stated_channels(strategy)
    found = find_channels(strategy, sample, Problems())
    by_name = {channel.pnn: channel for channel in sample.channels}
    doubts = Problems()
    for marker in (marker for marker in strategy.markers if marker in found and _said_of(marker, stated)):
        channel = by_name[found[marker]]
        label = channel.pns.strip()
        if label and label != channel.pnn and not is_dye(label) and not same_marker(channel.marker, marker):
            doubts.add(sample.name, f"{channel.pnn} is {marker} by the template, and its label says {label}")
        for other in sample.channels:
            if other is not channel and other.pns.strip() and same_marker(other.marker, marker):
                told = f"the label of {other.pnn} says {other.pns.strip()}"
                doubts.add(sample.name, f"{marker} is {channel.pnn} by the template, and {told}")
    return tuple(doubts.found)


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
        if name in used and matrix.in_per_cent:
            problems.add(f"matrix {name}", "is in per cent (its diagonal is 100): values would be 100 times too small",
                         allowed="shares, with 1 on the diagonal")  # fmt: skip


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
    return _renamed(strategy, tuple(channels.items()))


@lru_cache(maxsize=64)
def _renamed(strategy: Strategy, channels: tuple[tuple[str, str], ...]) -> Strategy:
    """`rename`, kept for the next file of the same panel: what is made of the gates is found again by them."""
    return rename(strategy, dict(channels))
