"""Files grouped into tubes by their panels, and the events of a few of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from immunoprofile.compensation import compensate, from_keywords
from immunoprofile.errors import CompensationError, FcsError
from immunoprofile.io.fcs import Channel, Sample, read_fcs
from immunoprofile.io.fcs_outline import Outline, read_outline
from immunoprofile.io.markers import is_scatter, is_time, marker_of_channel
from immunoprofile.skeleton.keywords import told_by_keywords

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_FILES: Final = 6
"""Files of a tube whose events are looked at, spread evenly over the list."""
MOST_EVENTS: Final = 20_000
"""Events taken of each of them, spread evenly over the file."""

Panel = frozenset[str]


@dataclass(frozen=True)
class Head:
    """What the keywords of a file tell.

    Attributes
    ----------
    where
        Path below the folder, with slashes.
    panel
        Markers of the channels that are neither scatter nor Time.
    channels
        Short names ($PnN) of all channels.
    tube_name
        Keyword TUBE NAME, as far as it can be the name of a tube.
    cytometer
        Keyword $CYT.
    told
        Column of the samples table -> keyword that tells it by its name, and its value.
    """

    where: str
    panel: Panel
    channels: frozenset[str]
    tube_name: str
    cytometer: str
    told: dict[str, tuple[str, str]] = field(default_factory=dict)


def read_head(path: Path, where: str) -> Head:
    """Keywords of one file; FcsError where it cannot be taken apart."""
    outline = read_outline(path)
    markers = [marker for marker in _markers(outline) if not (is_time(marker) or is_scatter(marker))]
    channels = frozenset(outline.get(f"P{n}N") for n in range(1, outline.channels + 1))
    words = {keyword.bare: keyword.text for keyword in outline.keywords}
    tube = plain_name(outline.get("TUBE NAME"))
    return Head(where, frozenset(markers), channels, tube, outline.get("CYT"), told_by_keywords(words))


def _markers(outline: Outline) -> list[str]:
    numbers = range(1, outline.channels + 1)
    return [marker_of_channel(outline.get(f"P{n}N"), outline.get(f"P{n}S")) for n in numbers]


def plain_name(text: str) -> str:
    """A name that a tube and the file of its template can have."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:40]


def name_tubes(
    heads: Sequence[Head], named: Sequence[str | None], *, controls: Set[str] = frozenset()
) -> dict[str, str]:
    """Path -> tube: as the name of the file says, else by the panel.

    A panel is called as the other files of it are, else after TUBE NAME where that tells panels apart, else tube1,
    tube2 ... in the order of the files. A control (its path is among ``controls``) is labelled with its own marker
    only: it belongs to the tube with which it shares most channels.
    """
    of_samples = [head for head in heads if head.where not in controls]
    if of_samples and len(of_samples) < len(heads):
        known = [name for head, name in zip(heads, named, strict=True) if head.where not in controls]
        tubes = name_tubes(of_samples, known)
        for head, name in zip(heads, named, strict=True):
            if head.where in controls:
                nearest = max(of_samples, key=lambda other: len(other.channels & head.channels))
                tubes[head.where] = name if name in tubes.values() and name is not None else tubes[nearest.where]
        return tubes
    panels = list(dict.fromkeys(head.panel for head in heads))
    called = {
        panel: Counter(name for head, name in zip(heads, named, strict=True) if head.panel == panel and name)
        for panel in panels
    }
    keywords = {panel: {head.tube_name for head in heads if head.panel == panel} for panel in panels}
    single = {panel: next(iter(names)) for panel, names in keywords.items() if len(names) == 1 and "" not in names}
    told = len(single) == len(panels) and len(set(single.values())) == len(panels)
    names: dict[Panel, str] = {}
    for number, panel in enumerate(panels, 1):
        if called[panel]:
            names[panel] = called[panel].most_common(1)[0][0]
        else:
            names[panel] = single[panel] if told else f"tube{number}"
    return {head.where: name or names[head.panel] for head, name in zip(heads, named, strict=True)}


@dataclass(frozen=True, eq=False)
class Events:
    """Events of some files of a tube, joined.

    Attributes
    ----------
    names
        How gates call the channels: the marker, or the channel name where a marker stands on several.
    values
        Events x channels, linear, compensated where the files carry a matrix.
    channels
        Name -> ``$PnN``, of the names that all files have on the same channel.
    ranges
        Name -> largest linear value that the channel can have: ``$PnR``, or the end of its decades.
    compensated
        Whether a matrix was applied to every file.
    files
        How many files were read.
    cytometer
        ``$CYT`` of the first file.
    lost
        Files that could not be read, with the reason.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    channels: dict[str, str]
    ranges: dict[str, float]
    compensated: bool
    files: int
    cytometer: str
    lost: tuple[tuple[str, str], ...]

    def column(self, name: str) -> NDArray[np.float64]:
        """Values of one channel."""
        return self.values[:, self.names.index(name)]


def read_events(paths: Sequence[Path]) -> Events | None:
    """Events of up to `MOST_FILES` files of one tube; None when none of them can be read."""
    chosen = [paths[n] for n in np.unique(np.linspace(0, len(paths) - 1, MOST_FILES).round().astype(int))]
    lost: list[tuple[str, str]] = []
    parts: list[tuple[Sample, NDArray[np.float64], bool]] = []
    for path in chosen:
        try:
            sample = read_fcs(path)
        except FcsError as error:
            lost.append((path.name, error.what))
            continue
        events, applied = _compensated(sample)
        step = max(1, -(-len(events) // MOST_EVENTS))
        parts.append((sample, events[::step], applied))
    if not parts:
        return None
    first = parts[0][0]
    names = _names(first)
    joined = []
    for sample, events, _ in parts:
        here = _names(sample)
        if set(names) <= set(here):
            joined.append(events[:, [here.index(name) for name in names]])
    values = np.concatenate(joined)
    return Events(
        names=tuple(names),
        values=values[np.isfinite(values).all(axis=1)],
        channels=_same_channels([sample for sample, _, _ in parts]),
        ranges={name: _top(channel) for name, channel in zip(names, first.channels, strict=True)},
        compensated=all(applied for _, _, applied in parts),
        files=len(joined),
        cytometer=str(first.keywords.get("cyt", "")),
        lost=tuple(lost),
    )


def _top(channel: Channel) -> float:
    if channel.decades > 0:
        return float((channel.log0 or 1.0) * 10.0**channel.decades)
    return float(channel.pnr / (channel.gain or 1.0))


def _same_channels(samples: Sequence[Sample]) -> dict[str, str]:
    maps = [dict(zip(_names(sample), (c.pnn for c in sample.channels), strict=True)) for sample in samples]
    return {name: pnn for name, pnn in maps[0].items() if all(one.get(name) == pnn for one in maps)}


def _compensated(sample: Sample) -> tuple[NDArray[np.float64], bool]:
    try:
        matrix = from_keywords(sample)
        return (compensate(sample, matrix), True) if matrix is not None else (sample.events, False)
    except CompensationError:
        return sample.events, False  # the run names the matrix that cannot be used


def _names(sample: Sample) -> list[str]:
    markers = [channel.marker for channel in sample.channels]
    often = Counter(marker.casefold() for marker in markers)
    return [
        channel.marker if channel.marker and often[channel.marker.casefold()] == 1 else channel.pnn
        for channel in sample.channels
    ]
