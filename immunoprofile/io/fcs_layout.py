"""Where the events of a data set lie and how one value becomes a number: the binary layout of DATA.

Rules: FCS 3.1 sections 3.2.18-3.2.20 and 3.3 (also 2.0 and 3.0), and ``$PnDATATYPE`` of FCS 3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import FcsError
from immunoprofile.io.fcs_repair import (
    COPY_AGAIN,
    EXPORT_AGAIN,
    REPAIR_BIT_PACKED,
    REPAIR_DATA_PADDING,
    REPAIR_MODE_MISSING,
    REPAIR_OFFSET_BY_ONE,
    REPAIR_OFFSET_DISCREPANCY,
    REPAIR_OFFSET_MISSING,
    REPAIR_TOT_MISSING,
    Repairs,
)
from immunoprofile.io.fcs_text import HEADER_BYTES, Header, Span, integer, read_at, span_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from immunoprofile.io.one_pass import Readable

_NATIVE = {"I": (8, 16, 32, 64), "F": (32,), "D": (64,)}
# The largest number that a header field of eight digits holds; beyond it the header says 0.
_HEADER_LIMIT = 99_999_999


@dataclass(frozen=True)
class Scale:
    """How a stored value of one channel becomes linear: logarithm first, then time step, then gain.

    Attributes
    ----------
    decades, log0
        ``$PnE``; with decades > 0 the linear value is ``10 ** (decades * stored / range) * log0``.
    range
        ``$PnR``; NaN where the file gives none.
    gain
        ``$PnG``, by which the value is divided (1 for Time).
    timestep
        ``$TIMESTEP``, by which Time is multiplied (1 elsewhere).
    """

    decades: float = 0.0
    log0: float = 0.0
    range: float = math.nan
    gain: float = 1.0
    timestep: float = 1.0

    @property
    def is_identity(self) -> bool:
        """Whether the stored value is the linear value."""
        return self.decades == 0 and self.gain == 1 and self.timestep == 1


@dataclass(frozen=True)
class StoredChannel:
    """One channel as the file stores it.

    Attributes
    ----------
    datatype
        ``I`` unsigned integer, ``F`` single or ``D`` double precision.
    bits, offset
        Width of the value and its first bit, counted from the begin of the event.
    mask
        Bits of an integer that count, as a number to AND with; None when all count.
    scale
        From the stored to the linear value.
    """

    datatype: str
    bits: int
    offset: int
    mask: int | None
    scale: Scale


@dataclass(frozen=True)
class Layout:
    """Binary layout of the events of one data set, complete enough to read them without this package.

    Attributes
    ----------
    data_offset, length
        First byte of the events in the file and their number of bytes.
    n_events
        Number of events.
    event_bits
        Distance from one event to the next in bits (a multiple of 8 unless channels are packed bit by bit).
    datatype
        ``$DATATYPE``: ``I``, ``F`` or ``D``; a channel of FCS 3.2 may have another one.
    byte_order
        ``<`` little endian, ``>`` big endian, or the ranks of the bytes (``3412``) for mixed orders.
    channels
        One `StoredChannel` per column of the events.
    """

    data_offset: int
    length: int
    n_events: int
    event_bits: int
    datatype: str
    byte_order: str
    channels: tuple[StoredChannel, ...]

    @property
    def event_size(self) -> int:
        """Bytes of one event (rounded up when events are packed bit by bit)."""
        return -(-self.event_bits // 8)

    @property
    def bits(self) -> tuple[int, ...]:
        """Width of each channel in bits."""
        return tuple(channel.bits for channel in self.channels)

    @property
    def offsets(self) -> tuple[int, ...]:
        """First bit of each channel within an event."""
        return tuple(channel.offset for channel in self.channels)

    @property
    def masks(self) -> tuple[int | None, ...]:
        """Integer mask of each channel."""
        return tuple(channel.mask for channel in self.channels)

    @property
    def scales(self) -> tuple[Scale, ...]:
        """Scale of each channel."""
        return tuple(channel.scale for channel in self.channels)

    @property
    def columnar(self) -> bool:
        """Whether ``np.frombuffer`` with `dtype` reads the events: native widths on whole bytes, plain byte order."""
        return (
            self.byte_order in ("<", ">")
            and self.event_bits % 8 == 0
            and all(c.offset % 8 == 0 and c.bits in _NATIVE[c.datatype] for c in self.channels)
        )

    def dtype(self) -> np.dtype[np.void]:
        """Numpy type of one event, with fields ``c0``, ``c1`` ... at their offsets.

        Raises
        ------
        ValueError
            The layout is not `columnar`.
        """
        if not self.columnar:
            raise ValueError("the events are not stored in native columns")
        kinds = {"I": "u", "F": "f", "D": "f"}
        return np.dtype(
            {
                "names": [f"c{number}" for number in range(len(self.channels))],
                "formats": [f"{self.byte_order}{kinds[c.datatype]}{c.bits // 8}" for c in self.channels],
                "offsets": [c.offset // 8 for c in self.channels],
                "itemsize": self.event_bits // 8,
            }
        )


def check_mode(keywords: Mapping[str, str], version: str, repairs: Repairs) -> None:
    """Refuse what is no list of events (histograms); FCS 3.2 knows lists only and need not say so."""
    mode = keywords.get("mode", "").upper()
    if not mode:
        if version == "3.2":
            return
        repairs.note(REPAIR_MODE_MISSING)
    elif mode != "L":
        what = f"$MODE {mode} is no list of events (histograms cannot be gated)"
        raise FcsError(what, where=repairs.where, todo="export the file in list mode")


def byte_order(keywords: Mapping[str, str], bits: Sequence[int], repairs: Repairs) -> str:
    """``<``, ``>`` or the ranks of the bytes of a mixed order, from ``$BYTEORD``."""
    text = keywords.get("byteord", "")
    ranks = [integer(part) for part in text.split(",")]
    known = [rank for rank in ranks if rank is not None]
    if len(known) == len(ranks) and sorted(known) == list(range(1, len(known) + 1)) and len(known) <= 8:
        if known == sorted(known):
            return "<"
        if known == sorted(known, reverse=True):
            return ">"
        if all(width in (8, 8 * len(known)) for width in bits):
            return "".join(str(rank) for rank in known)
        what = f"$BYTEORD {text} does not fit channels of {', '.join(map(str, sorted(set(bits))))} bits"
        raise FcsError(what, where=repairs.where, todo=EXPORT_AGAIN)
    what = f"$BYTEORD {text!r} is no order of bytes" if text else "keyword $BYTEORD is missing"
    raise FcsError(what, where=repairs.where, todo=EXPORT_AGAIN)


def locate(
    handle: Readable,
    header: Header,
    keywords: Mapping[str, str],
    bits: Sequence[int],
    *,
    base: int,
    size: int,
    repairs: Repairs,
) -> tuple[int, int, int, int]:
    """Find the events: the place that header or text give and that fits the number of events.

    Parameters
    ----------
    handle
        The open file (only filler behind the events is read).
    header, keywords
        Header and keywords of the data set.
    bits
        Width of each channel.
    base, size
        First byte of the data set; bytes of the file that it may use.
    repairs
        Takes the repairs that were needed.

    Returns
    -------
    tuple of int
        First byte in the file, number of bytes, number of events, bits from one event to the next.

    Raises
    ------
    FcsError
        The data are cut off, or no stated place holds the stated number of events.
    """
    where = repairs.where
    event_bits = sum(bits)
    tot = integer(keywords.get("tot"))
    places = _places(header, keywords, repairs)
    if tot is None or tot < 0:
        return _counted(places, keywords, bits, base=base, size=size, version=header.version, repairs=repairs)
    if tot == 0 and all(place.length <= 1 for _, place in places):
        return base, 0, 0, event_bits
    if not places:
        raise FcsError("neither header nor text says where the data are", where=where, todo=EXPORT_AGAIN)
    # Packed channels: events follow each other bit by bit, or each begins on a new byte; the length tells which.
    strides = {event_bits, -(-event_bits // 8) * 8}
    fits: list[tuple[int, int, int, str, Span]] = []
    for rank, (source, place) in enumerate(places):
        for stride in strides:
            needed = -(-tot * stride // 8)
            slip = place.length - needed
            inside = base + place.start + needed <= size
            before, behind = place.start + needed <= header.text.start + 1, place.start >= header.text.stop
            clear = behind or (before and place.start >= HEADER_BYTES)
            if inside and clear and slip >= -1 and (slip <= 1 or base + place.stop < size):
                kind = 0 if slip == 0 else 1 if abs(slip) == 1 else 2
                fits.append((kind, rank, stride, source, place))
    if not fits:
        raise _misfit(places, tot, event_bits, base=base, size=size, where=where)
    kind, _, stride, source, place = min(fits, key=lambda fit: fit[:3])
    needed = -(-tot * stride // 8)
    if kind == 1:
        repairs.note(REPAIR_OFFSET_BY_ONE)
    if kind == 2:
        _check_filler(handle, place, needed, base=base, tot=tot, stride=stride, repairs=repairs)
    if len(places) > 1:
        other = next(other for name, other in places if name != source)
        repairs.note(
            REPAIR_OFFSET_DISCREPANCY,
            f"{source} {place.start} to {place.stop} used, not {other.start} to {other.stop}",
        )
    if event_bits % 8 or any(width % 8 for width in bits):
        repairs.note(REPAIR_BIT_PACKED)
    return base + place.start, needed, tot, stride


def _places(header: Header, keywords: Mapping[str, str], repairs: Repairs) -> list[tuple[str, Span]]:
    """Where the data may be: (source, span), the one to prefer first, the other only when it differs."""
    text = span_of(integer(keywords.get("begindata")), integer(keywords.get("enddata")))
    if header.version == "2.0":
        # FCS 2.0 knows the header only; some writers repeat the offsets in the text.
        if header.data is None and text is not None:
            repairs.note(REPAIR_OFFSET_MISSING)
        return [("header", header.data)] if header.data is not None else [("text", text)] if text is not None else []
    if text is None:
        if header.data is None:
            return []
        repairs.note(REPAIR_OFFSET_MISSING)
        return [("header", header.data)]
    if header.data is None:
        if text.stop <= _HEADER_LIMIT and text.length > 1:
            repairs.note(REPAIR_OFFSET_MISSING)
        return [("text", text)]
    return [("header", text)] if text == header.data else [("text", text), ("header", header.data)]


def _counted(
    places: list[tuple[str, Span]],
    keywords: Mapping[str, str],
    bits: Sequence[int],
    *,
    base: int,
    size: int,
    version: str,
    repairs: Repairs,
) -> tuple[int, int, int, int]:
    """Count the events from the length of the data, where ``$TOT`` is missing (FCS 2.0 does not require it)."""
    event_bits = sum(bits)
    where = repairs.where
    if len(places) != 1:
        what = f"$TOT is {keywords.get('tot', 'missing')!r} and the place of the data is not certain either"
        raise FcsError(what, where=where, todo=EXPORT_AGAIN)
    place = places[0][1]
    if place.length <= 0 or place.start < HEADER_BYTES:
        what = f"$TOT is missing, and the data are said to be at bytes {place.start} to {place.stop}"
        raise FcsError(what, where=where, todo=EXPORT_AGAIN)
    if base + place.stop > size:
        what = f"file is cut off: it promises {base + place.stop + 1:,} bytes, the file has {size:,}"
        raise FcsError(what, where=where, todo=COPY_AGAIN)
    surplus = place.length * 8 % event_bits if event_bits % 8 == 0 else -1
    if surplus not in (0, 8):
        what = f"$TOT is missing, and {place.length:,} bytes of data are no whole number of events"
        raise FcsError(what, where=where, todo=EXPORT_AGAIN)
    if surplus == 8 or base + place.stop >= size:
        repairs.note(REPAIR_OFFSET_BY_ONE)
    n_events = place.length * 8 // event_bits
    if base + place.start + n_events * event_bits // 8 > size:
        what = f"$TOT is missing, and the data end at byte {base + place.stop:,} of {size:,}"
        raise FcsError(what, where=where, todo=COPY_AGAIN)
    if version != "2.0" or "tot" in keywords:
        repairs.note(REPAIR_TOT_MISSING, f"{n_events} events")
    return base + place.start, n_events * event_bits // 8, n_events, event_bits


def _check_filler(
    handle: Readable, place: Span, needed: int, *, base: int, tot: int, stride: int, repairs: Repairs
) -> None:
    """Accept a data section that is longer than its events only when the rest can be no event."""
    surplus = place.length - needed
    if surplus * 8 >= stride:
        filler = read_at(handle, base + place.start + needed, min(surplus, 1 << 20))
        if surplus > 1 << 20 or filler.strip(b"\x00 "):
            room = (needed + surplus) * 8 // stride
            what = f"$TOT says {tot:,} events, the data section has room for {room:,}"
            raise FcsError(what, where=repairs.where, todo=EXPORT_AGAIN)
    repairs.note(REPAIR_DATA_PADDING, f"{surplus} bytes")


def _misfit(places: list[tuple[str, Span]], tot: int, event_bits: int, *, base: int, size: int, where: str) -> FcsError:
    """Why no place holds the events: cut off, or a contradiction."""
    needed = -(-tot * event_bits // 8)
    ends = [base + place.start + needed for _, place in places if abs(place.length - needed) <= 1]
    if ends and min(ends) > size:
        source = "header" if any(name == "header" for name, _ in places) else "text"
        what = f"file is cut off: the {source} promises {min(ends):,} bytes, the file has {size:,}"
        return FcsError(what, where=where, todo=COPY_AGAIN)
    found = " and ".join(f"bytes {place.start} to {place.stop} ({name})" for name, place in places)
    what = f"{tot:,} events need {needed:,} bytes of data, but the data are said to be at {found} of {size - base:,}"
    return FcsError(what, where=where, todo=EXPORT_AGAIN)
