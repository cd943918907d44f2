"""Read an FCS file into a `Sample`: events, channels, keywords, binary layout and identity.

The file is parsed here from its bytes (`fcs_text`, `fcs_channels`, `fcs_layout`, `fcs_data`), since FlowIO keeps events
as Python numbers and cannot recover what real cytometers write; the tests compare with FlowIO wherever it reads a file.
What can be repaired without doubt is repaired and named in `Sample.repairs`; everything else is refused with a reason.
"""

from __future__ import annotations

import io
import logging
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import FcsError
from immunoprofile.io.clock import Clock, clock_of
from immunoprofile.io.fcs_channels import Amplifiers, ChannelText, read_channels
from immunoprofile.io.fcs_data import read_stored, scale_in_place
from immunoprofile.io.fcs_datasets import DataSet, data_sets
from immunoprofile.io.fcs_layout import Layout, Scale, byte_order, check_mode, locate
from immunoprofile.io.fcs_repair import NOTICE_MASKED, NOTICE_NOT_FINITE, REPAIR_LOG_ON_FLOAT, Repairs
from immunoprofile.io.files import open_regular
from immunoprofile.io.markers import find_marker, is_scatter, marker_of_channel, marker_type
from immunoprofile.io.one_pass import NotedReading, OnePass, ReadsInto, changed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Channel:
    """One measured channel.

    Attributes
    ----------
    pnn, pns
        Short (``$PnN``) and long (``$PnS``) name as the file has them.
    marker
        Canonical marker (``CD8``, ``FSC-A``, ``Time``); Time also where only ``$PnTYPE`` says so.
    pnr
        Range ``$PnR`` in channel units.
    gain
        Amplifier gain ``$PnG`` that the events were divided by (1 for Time).
    decades, log0
        ``$PnE``; decades > 0 means that the file stores log values, which were made linear on reading.
    """

    pnn: str
    pns: str
    marker: str
    pnr: float
    gain: float = 1.0
    decades: float = 0.0
    log0: float = 0.0

    @property
    def kind(self) -> str:
        """``scatter``, ``time``, ``viability``, ``functional`` or ``lineage``."""
        return marker_type(self.marker)


@dataclass(frozen=True, eq=False)
class Sample:
    """One acquisition: all its events, never fewer.

    Attributes
    ----------
    name
        File name, or the name given to data that came from elsewhere.
    events
        float64 array, events x channels, on the linear scale: log amplifiers and gains undone, Time in seconds where
        the file says what a tick is, else in ticks (`clock`). Raw: not compensated.
    channels
        One `Channel` per column of ``events``.
    keywords
        Keywords of the file, lower case, without ``$``.
    version
        FCS version, for example ``3.1``.
    sha256
        Content hash of the file: its identity.
    repairs
        Names of the repairs that reading needed; empty for a correct file.
    layout
        Where and how the file stores the events; None for data that did not come from a file.
    """

    name: str
    events: NDArray[np.float64]
    channels: tuple[Channel, ...]
    keywords: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    sha256: str = ""
    repairs: tuple[str, ...] = ()
    layout: Layout | None = None

    @property
    def n_events(self) -> int:
        """Number of recorded events."""
        return int(self.events.shape[0])

    @cached_property
    def by_event(self) -> NDArray[np.float64]:
        """The same events with the values of one event next to each other, for what walks event by event."""
        return np.ascontiguousarray(self.events)

    @cached_property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """(``$PnN``, ``$PnS``) of each channel."""
        return tuple((channel.pnn, channel.pns) for channel in self.channels)

    @cached_property
    def markers(self) -> tuple[str, ...]:
        """Canonical marker of each channel."""
        return tuple(channel.marker for channel in self.channels)

    def position(self, marker: str) -> int:
        """Column of a marker.

        Raises
        ------
        FcsError
            No channel, or several, carry the marker; the candidates are named.
        """
        hits = find_marker(marker, self.markers, self.labels)
        if len(hits) == 1:
            return hits[0]
        names = ", ".join(f"{channel.pnn} ({channel.marker})" for channel in self.channels)
        if not hits:
            msg = f"no channel carries {marker}"
            raise FcsError(msg, where=self.name, todo=f"the file has: {names}")
        found = ", ".join(self.channels[hit].pnn for hit in hits)
        msg = f"{marker} is carried by several channels: {found}"
        raise FcsError(msg, where=self.name, todo="name the channel ($PnN) instead of the marker in the template")

    def values(self, marker: str) -> NDArray[np.float64]:
        """Raw values of one channel, one per event."""
        return self.events[:, self.position(marker)]

    def panel(self) -> pd.DataFrame:
        """One row a channel: ``channel`` ($PnN), ``label`` ($PnS), ``marker``, ``kind``, ``range``."""
        import pandas as pd

        rows = [(c.pnn, c.pns, c.marker, c.kind, c.pnr) for c in self.channels]
        return pd.DataFrame(rows, columns=["channel", "label", "marker", "kind", "range"])

    @property
    def clock(self) -> Clock | None:
        """Time channel, and whether it stands in seconds or in ticks; None without one, or with several."""
        return clock_of(self)

    def __repr__(self) -> str:
        return f"Sample({self.name!r}, {self.n_events:,} events, {len(self.channels)} channels, FCS {self.version})"

    def _repr_html_(self) -> str:
        from immunoprofile.io.sample_view import sample_view

        return sample_view(self)


@dataclass(frozen=True, eq=False)
class FcsHead:
    """What a file says of its events, and where they are; the events themselves were not read.

    Attributes
    ----------
    empty
        The file as a `Sample` without events and without hash, to bind gates to its channels.
    layout
        Binary layout with the scales of the channels.
    noted
        The bytes that were read, to tell whether they are still there when the events are read.
    """

    empty: Sample
    layout: Layout
    noted: NotedReading


def read_fcs_head(path: str | Path, *, dataset: int | None = None, amplifiers: Amplifiers | None = None) -> FcsHead:
    """Read keywords, channels and binary layout of one data set, to stream its events later.

    Parameters
    ----------
    path
        The file.
    dataset, amplifiers
        As for `read_fcs`.

    Raises
    ------
    FcsError
        As for `read_fcs`.
    """
    path = Path(path)
    with opened(path) as handle:
        noted = NotedReading(handle, path.name)
        one = data_sets(noted, noted.size, path.name).chosen(dataset)
        layout, described = _described(noted, one, amplifiers)
    for repair in one.repairs.texts:
        _log.warning("%s: %s", one.repairs.where, repair)
    empty = Sample(
        name=one.repairs.where,
        events=np.empty((0, len(described)), dtype=np.float64),
        channels=tuple(_channel(entry, entry.stored.scale) for entry in described),
        keywords=one.keywords,
        version=one.header.version,
        repairs=one.repairs.texts,
        layout=layout,
    )
    return FcsHead(empty, layout, noted)


def read_fcs(
    path: str | Path, *, strict: bool = False, dataset: int | None = None, amplifiers: Amplifiers | None = None
) -> Sample:
    """Read one data set of an FCS file (list mode; FCS 2.0, 3.0, 3.1, 3.2).

    Parameters
    ----------
    path
        The file.
    strict
        Refuse every file that needs a repair, instead of naming the repairs.
    dataset
        Which data set of a file that holds several (``.lmd``), counted from 1. Needed only for these.
    amplifiers
        What floating point data hold whose ``$PnE`` names a log amplifier, which the standard forbids: ``linear`` or
        ``log`` by ``$PnN``, ``*`` for all others. What nobody states is taken as linear, and told.

    Returns
    -------
    Sample
        With all recorded events. Repairs that reading needed are logged as warnings and named in ``repairs``.

    Raises
    ------
    FcsError
        The file is missing, no FCS file, cut off, or contradicts itself; it holds several data sets and ``dataset``
        does not say which; it needs repairs and ``strict`` is set. The message says which.

    Examples
    --------
    >>> sample = ip.read_fcs("tube.fcs")  # doctest: +SKIP
    >>> sample.panel()  # doctest: +SKIP
    """
    path = Path(path)
    with opened(path) as handle:
        return _read(handle, path.name, strict=strict, dataset=dataset, amplifiers=amplifiers)


def read_fcs_datasets(
    path: str | Path, *, strict: bool = False, amplifiers: Amplifiers | None = None
) -> tuple[Sample, ...]:
    """Read all data sets of an FCS file, in the order of the file.

    Parameters
    ----------
    path
        The file, for example the ``.lmd`` of a Navios, which holds one acquisition at two
        resolutions.
    strict, amplifiers
        As for `read_fcs`.

    Returns
    -------
    tuple of Sample
        Mostly one. Of several, each name ends in its number: ``tube.lmd[2]``; their ``sha256`` is that of the file.
        A data set that cannot be read is left out, and told in ``repairs`` of the others.

    Raises
    ------
    FcsError
        As for `read_fcs`; none can be read, or one cannot and ``strict`` is set.

    Examples
    --------
    >>> linear, fine = read_fcs_datasets("tube.lmd")  # doctest: +SKIP
    """
    path = Path(path)
    with opened(path) as handle:
        return _read_all(handle, path.name, strict=strict, amplifiers=amplifiers)


def read_fcs_bytes(content: bytes, *, name: str = "memory", strict: bool = False) -> tuple[Sample, ...]:
    """Read all data sets of an FCS file that is already in memory (an upload, a test); else as `read_fcs_datasets`."""
    return _read_all(io.BytesIO(content), name, strict=strict, amplifiers=None)


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """Open an FCS file; whatever the system says meanwhile is an `FcsError` that names it."""
    try:
        with open_regular(path) as handle:
            yield handle
    except OSError as error:
        reason = f"file cannot be read: {error.strerror or error}"
        raise FcsError(reason, where=path.name, todo="check the disk and the rights of the file") from error


def _read(handle: ReadsInto, name: str, *, strict: bool, dataset: int | None, amplifiers: Amplifiers | None) -> Sample:
    noted = NotedReading(handle, name)
    one = data_sets(noted, noted.size, name).chosen(dataset)
    return _sample(handle, noted, one, strict=strict, amplifiers=amplifiers)


def _read_all(handle: ReadsInto, name: str, *, strict: bool, amplifiers: Amplifiers | None) -> tuple[Sample, ...]:
    """All data sets that can be read; the others are told with them, and refuse the file when it is read strictly."""
    noted = NotedReading(handle, name)
    found = data_sets(noted, noted.size, name)
    read: list[Sample] = []
    for number, one in list(found.sound.items()):
        try:
            read.append(_sample(handle, noted, one, strict=strict, amplifiers=amplifiers))
        except FcsError as error:
            found.broken[number] = error
    if found.broken and (strict or not read):
        raise next(iter(found.broken.values()))
    if len({sample.sha256 for sample in read}) > 1:
        raise changed(name)
    if not found.broken:
        return tuple(read)
    told = Repairs(name)
    found.tell_broken(told)
    _log.warning("%s: %s", name, told.texts[0])
    return tuple(replace(sample, repairs=(*sample.repairs, *told.texts)) for sample in read)


def _sample(
    handle: ReadsInto, noted: NotedReading, one: DataSet, *, strict: bool, amplifiers: Amplifiers | None
) -> Sample:
    repairs = one.repairs
    layout, described = _described(noted, one, amplifiers)
    if strict:
        repairs.refuse()
    masked = np.zeros(len(described), dtype=np.int64)
    passing = OnePass(handle, noted)
    events = read_stored(passing, layout, repairs.where, masked)
    sha256 = passing.sha256()
    _note_masked(masked, described, repairs)
    layout = _settled(layout, events, described, repairs)
    scale_in_place(events, layout.scales)
    _note_not_finite(events, described, repairs)
    if strict:
        repairs.refuse()
    for repair in repairs.texts:
        _log.warning("%s: %s", repairs.where, repair)
    return Sample(
        name=repairs.where,
        events=events,
        channels=tuple(_channel(entry, stored.scale) for entry, stored in zip(described, layout.channels, strict=True)),
        keywords=one.keywords,
        version=one.header.version,
        sha256=sha256,
        repairs=repairs.texts,
        layout=layout,
    )


def _described(
    noted: NotedReading, one: DataSet, amplifiers: Amplifiers | None
) -> tuple[Layout, tuple[ChannelText, ...]]:
    """Layout and channels as the keywords have them; what the data change is left to `_settled`."""
    repairs, keywords = one.repairs, one.keywords
    check_mode(keywords, one.header.version, repairs)
    datatype, described = read_channels(keywords, one.header.version, repairs, amplifiers)
    bits = [entry.stored.bits for entry in described]
    order = byte_order(keywords, bits, repairs)
    offset, length, n_events, event_bits = locate(
        noted, one.header, keywords, bits, base=one.base, size=noted.size, repairs=repairs
    )
    layout = Layout(offset, length, n_events, event_bits, datatype, order, tuple(entry.stored for entry in described))
    return layout, described


def _settled(
    layout: Layout, events: NDArray[np.float64], described: tuple[ChannelText, ...], repairs: Repairs
) -> Layout:
    """What only the data tell: a range that the file does not give, and what a disputed channel looks like.

    No value of an event depends on it.
    """
    channels = list(layout.channels)
    for column, (stored, entry) in enumerate(zip(layout.channels, described, strict=True)):
        values = events[:, column]
        if np.isnan(stored.scale.range):
            largest = float(np.max(values, initial=1.0, where=np.isfinite(values)))
            channels[column] = replace(stored, scale=replace(stored.scale, range=largest))
        elif entry.disputed and len(values):
            repairs.note(REPAIR_LOG_ON_FLOAT, f"{entry.pnn} {_looks_like(values, stored.scale.range)}")
    return replace(layout, channels=tuple(channels))


def _looks_like(values: NDArray[np.float64], reach: float) -> str:
    """What speaks for which reading of floating point data under a log amplifier."""
    outside = float(np.mean((values < 0) | (values >= reach)))
    if outside:
        return f"has {100 * outside:.3g} % of its values outside its range, which an amplifier has not"
    if np.all(values == np.floor(values)):
        return "holds whole numbers below its range only, as an amplifier gives them"
    return "holds fractions within its range"


def _note_masked(masked: NDArray[np.int64], described: tuple[ChannelText, ...], repairs: Repairs) -> None:
    for count, entry in zip(masked.tolist(), described, strict=True):
        if count:
            repairs.note(NOTICE_MASKED, f"{entry.pnn}: {count:,}")


def _note_not_finite(events: NDArray[np.float64], described: tuple[ChannelText, ...], repairs: Repairs) -> None:
    for column, entry in enumerate(described):
        count = len(events) - int(np.count_nonzero(np.isfinite(events[:, column])))
        if count:
            repairs.note(NOTICE_NOT_FINITE, f"{entry.pnn}: {count}")


def _channel(entry: ChannelText, scale: Scale) -> Channel:
    return Channel(
        pnn=entry.pnn,
        pns=entry.pns,
        marker="Time" if entry.is_clock else marker_of_channel(entry.pnn, entry.pns),
        pnr=scale.range,
        gain=scale.gain,
        decades=scale.decades,
        log0=scale.log0,
    )


def neighbours(columns: Sequence[int]) -> slice | list[int]:
    """Columns as a slice where they follow each other, so that taking them copies nothing; else as they are."""
    first, last = (columns[0], columns[-1]) if columns else (0, -1)
    return slice(first, last + 1) if list(columns) == list(range(first, last + 1)) else list(columns)


def fluorescence_positions(sample: Sample) -> list[int]:
    """Columns that are neither scatter nor Time."""
    return [i for i, c in enumerate(sample.channels) if c.kind != "time" and not is_scatter(c.pnn)]
