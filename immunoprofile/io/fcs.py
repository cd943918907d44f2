"""Read an FCS file into a `Sample`: events, channels, keywords and identity.

FlowIO parses the file. What it refuses but can be repaired without doubt is repaired and named in
`Sample.repairs`; everything else is refused with a reason.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile.errors import FcsError
from immunoprofile.io.files import sha256_of
from immunoprofile.io.markers import find_marker, is_scatter, is_time, marker_of_channel, marker_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flowio
    import pandas as pd
    from numpy.typing import NDArray

_log = logging.getLogger(__name__)

_HEADER_BYTES = 58


@dataclass(frozen=True)
class Channel:
    """One measured channel.

    Attributes
    ----------
    pnn, pns
        Short (``$PnN``) and long (``$PnS``) name as the file has them.
    marker
        Canonical marker (``CD8``, ``FSC-A``, ``Time``).
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
        float64 array, events x channels, on the linear scale: log amplifiers and gains undone, Time in the unit of
        ``$TIMESTEP`` (seconds). Raw: not compensated.
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
    """

    name: str
    events: NDArray[np.float64]
    channels: tuple[Channel, ...]
    keywords: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    sha256: str = ""
    repairs: tuple[str, ...] = ()

    @property
    def n_events(self) -> int:
        """Number of recorded events."""
        return int(self.events.shape[0])

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """(``$PnN``, ``$PnS``) of each channel."""
        return tuple((channel.pnn, channel.pns) for channel in self.channels)

    @property
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

    def __repr__(self) -> str:
        return f"Sample({self.name!r}, {self.n_events:,} events, {len(self.channels)} channels, FCS {self.version})"


def read_fcs(path: str | Path) -> Sample:
    """Read one FCS file (list mode; FCS 2.0, 3.0, 3.1).

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Sample
        With all recorded events. Repairs that reading needed are logged as warnings and named in ``repairs``.

    Raises
    ------
    FcsError
        The file is missing, no FCS file, cut off, or contradicts itself; the message says which.

    Examples
    --------
    >>> sample = ip.read_fcs("tube.fcs")  # doctest: +SKIP
    >>> sample.panel()  # doctest: +SKIP
    """
    path = Path(path)
    _check_whole(path)
    flow, repairs = _parse(path)
    try:
        events = flow.as_array(preprocess=True)
    except (ValueError, TypeError) as error:
        msg = f"events cannot be arranged as a table: {error}"
        raise FcsError(msg, where=path.name, todo="export the file again from the cytometer") from error
    if events.shape[0] != flow.event_count:
        msg = f"the header promises {flow.event_count} events, the data hold {events.shape[0]}"
        raise FcsError(msg, where=path.name, todo="export the file again from the cytometer")
    for repair in repairs:
        _log.warning("%s: %s", path.name, repair)
    return Sample(
        name=path.name,
        events=events,
        channels=tuple(_channel(flow.channels[number]) for number in sorted(flow.channels)),
        keywords=dict(flow.text),
        version=str(flow.version),
        sha256=sha256_of(path),
        repairs=repairs,
    )


def _channel(entry: Mapping[str, Any]) -> Channel:
    pnn, pns = str(entry["pnn"]).strip(), str(entry["pns"]).strip()
    decades, log0 = entry["pne"]
    return Channel(
        pnn=pnn,
        pns=pns,
        marker=marker_of_channel(pnn, pns),
        pnr=float(entry["pnr"]),
        gain=1.0 if is_time(pnn) else float(entry["png"]),
        decades=float(decades),
        log0=float(log0),
    )


def _check_whole(path: Path) -> None:
    """Refuse what is no complete FCS file before a parser guesses at it."""
    if not path.is_file():
        raise FcsError("file is missing", where=str(path), todo="check fcs_path in samples.csv")
    size = path.stat().st_size
    with path.open("rb") as handle:
        header = handle.read(_HEADER_BYTES)
    if not header.startswith(b"FCS"):
        reason = "file is empty" if size == 0 else "not an FCS file (it does not begin with 'FCS')"
        raise FcsError(reason, where=path.name, todo="export the file again from the cytometer")
    if size < _HEADER_BYTES:
        msg = f"file is cut off inside its header ({size} bytes)"
        raise FcsError(msg, where=path.name, todo="copy the file again from the cytometer")
    try:
        text_stop, data_stop = int(header[18:26]), int(header[34:42])
    except ValueError:
        raise FcsError(
            "the header does not hold byte offsets", where=path.name, todo="export the file again from the cytometer"
        ) from None
    # A last byte given as one past the end is a common slip that loses nothing; hence the tolerance of one.
    needed = max(text_stop + 1, data_stop)
    if size < needed:
        msg = f"file is cut off: the header promises {needed:,} bytes, the file has {size:,}"
        raise FcsError(msg, where=path.name, todo="copy the file again from the cytometer")


def _parse(path: Path) -> tuple[flowio.FlowData, tuple[str, ...]]:
    import flowio
    from flowio.exceptions import DataOffsetDiscrepancyError, FCSParsingError, MultipleDataSetsError

    attempts: tuple[tuple[dict[str, bool], str], ...] = (
        ({}, ""),
        ({"ignore_offset_error": True}, "REPAIR_OFFSET_BY_ONE: the end of the data is given one byte too far"),
        (
            {"use_header_offsets": True},
            "REPAIR_OFFSET_DISCREPANCY: header and text disagree on the data; the offsets of the header were used",
        ),
    )
    reason: Exception | None = None
    for options, repair in attempts:
        try:
            with warnings.catch_warnings():
                # The same facts are told through `repairs`; FlowIO's own words would be said twice.
                warnings.simplefilter("ignore")
                flow = flowio.FlowData(path, **options)
        except MultipleDataSetsError as error:
            raise FcsError(
                "file holds several data sets", where=path.name, todo="export each data set as a file of its own"
            ) from error
        except (FCSParsingError, DataOffsetDiscrepancyError) as error:
            reason = error
        except (ValueError, KeyError, EOFError, IndexError, TypeError, OverflowError, NotImplementedError) as error:
            reason = error
            break
        else:
            if flow.events is None:
                raise FcsError("bit width of the data is not supported", where=path.name)
            return flow, (repair,) if repair else ()
    msg = f"file cannot be read: {reason}"
    raise FcsError(msg, where=path.name, todo="export the file again from the cytometer") from reason


def fluorescence_positions(sample: Sample) -> list[int]:
    """Columns that are neither scatter nor Time."""
    return [i for i, c in enumerate(sample.channels) if not is_time(c.pnn) and not is_scatter(c.pnn)]
