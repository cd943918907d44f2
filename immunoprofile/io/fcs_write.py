"""Write FCS files: header and text with offsets that fit, and copies with further channels or chosen events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import FcsError
from immunoprofile.io import keywords as kw
from immunoprofile.io.fcs import opened, read_fcs
from immunoprofile.io.fcs_data import read_stored
from immunoprofile.io.fcs_outline import read_outline
from immunoprofile.io.fcs_repair import EXPORT_AGAIN
from immunoprofile.io.fcs_text import HEADER_BYTES
from immunoprofile.io.files import open_regular, replacing
from immunoprofile.io.one_pass import NotedReading, OnePass, changed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from immunoprofile.io.fcs_layout import Layout

NO_CHECKSUM = b"0" * 8
"""What stands behind the last segment of a file without a checksum."""

_LARGEST_HEADER_OFFSET = 99_999_999
_DELIMITERS = (b"|", b"/", b"\\", b"!", b"~", b"^", b"\x0c", b"\x1e")
_MADE_ANEW = {*kw.OFFSETS, "PAR", "TOT", "MODE", "DATATYPE", "BYTEORD", "FIL"}


def head_of(version: bytes, pairs: Sequence[tuple[str, bytes]], *, length: int, delimiter: bytes = b"|") -> bytes:
    """Header and text segment of a file whose events follow at once.

    Parameters
    ----------
    version
        The six bytes that the file begins with, for example ``FCS3.1``.
    pairs
        Keywords with their values, without those of the offsets; a blank value becomes one blank, which FCS asks for.
    length
        Number of bytes of the events.
    delimiter
        Byte between keywords; another one is taken where it stands in a keyword or value, and doubled where all do.
    """
    pairs = [(name, value if value.strip() else b" ") for name, value in pairs]
    fixed = b"".join(name.encode("utf-8") + value for name, value in pairs)
    free = next((mark for mark in (delimiter, *_DELIMITERS) if mark not in fixed and mark.strip()), None)
    double = free is None
    mark = free or delimiter

    def entry(name: str, value: bytes) -> bytes:
        parts = (name.encode("utf-8"), value)
        if double:
            parts = (parts[0].replace(mark, mark * 2), parts[1].replace(mark, mark * 2))
        return mark.join((*parts, b""))

    begin, end = 0, 0
    while True:
        offsets = dict.fromkeys(kw.OFFSETS, 0) | {"BEGINDATA": begin, "ENDDATA": end}
        text = mark + b"".join(entry(f"${name}", str(n).encode("ascii")) for name, n in offsets.items())
        text += b"".join(entry(name, value) for name, value in pairs)
        found = HEADER_BYTES + len(text)
        if (begin, end) == (found, found + length - 1):
            break
        begin, end = found, found + length - 1
    in_header = (begin, end) if end <= _LARGEST_HEADER_OFFSET else (0, 0)
    fields = (HEADER_BYTES, HEADER_BYTES + len(text) - 1, *in_header, 0, 0)
    return version + b"    " + b"".join(b"%8d" % field for field in fields) + text


@dataclass(frozen=True, eq=False)
class NewChannel:
    """A channel of zeros and ones to write beside the recorded ones.

    Attributes
    ----------
    pnn, pns
        Its names.
    values
        bool, one an event of the file.
    """

    pnn: str
    pns: str
    values: NDArray[np.bool_]


def write_copy(
    source: Path,
    target: Path,
    *,
    channels: Sequence[NewChannel] = (),
    rows: NDArray[np.bool_] | None = None,
    keywords: Mapping[str, str | None] | None = None,
    sha256: str = "",
) -> Path:
    """Copy the first data set of an FCS file as FCS 3.1, with further channels, or with chosen events only.

    The stored values are the same bits: amplifier, gain, range and time step keep their keywords. Integers of any width
    are written with 32 bits (64 where one is wider), which changes no value. Analysis segments, further data sets and
    checksums are not copied.

    Parameters
    ----------
    source
        File to copy.
    target
        File to write; it appears when it is complete and has been read again.
    channels
        Channels to add, of zeros and ones.
    rows
        Events to keep, bool, one an event; None keeps all.
    keywords
        Keywords to set (with ``$`` where the standard has it) in place of those of the file; None leaves one out.
    sha256
        Content hash of the file that ``channels`` and ``rows`` were made from; empty takes the file as it is.

    Raises
    ------
    FcsError
        The file was changed, cannot be read, stores integers that no double holds, or mixes kinds of numbers with
        amplifiers; a new channel has the name of another; the copy does not read back to the same events.
    """
    sample = read_fcs(source)
    if sha256 and sample.sha256 != sha256:
        raise changed(source.name)
    outline = read_outline(source)
    layout = sample.layout
    assert layout is not None
    with opened(source) as handle:
        passing = OnePass(handle, NotedReading(handle, source.name))
        stored = read_stored(passing, layout, source.name)
        if passing.sha256() != sample.sha256:
            raise changed(source.name)
    kind, width = _kind_of(layout, source.name)
    names = [channel.pnn for channel in sample.channels]
    for new in channels:
        if new.pnn in names:
            raise FcsError(f"a channel is called {new.pnn} already", where=source.name,
                           todo="give the population another id")  # fmt: skip
        names.append(new.pnn)
    added = [new.values.astype(np.float64) for new in channels]
    table = np.column_stack([stored, *added]) if added else stored
    kept = np.ones(len(table), dtype=bool) if rows is None else rows
    content = np.ascontiguousarray(table[kept].astype(f"<{'u' if kind == 'I' else 'f'}{width // 8}")).tobytes()
    fresh: dict[str, str | None] = {
        "$PAR": str(len(names)), "$TOT": str(int(kept.sum())), "$MODE": "L", "$DATATYPE": kind,
        "$BYTEORD": "1,2,3,4" if width <= 32 else "1,2,3,4,5,6,7,8", "$FIL": target.name,
    }  # fmt: skip
    fresh |= keywords or {}
    for number, channel in enumerate(sample.channels, 1):
        fresh[f"$P{number}B"] = str(width)
        fresh.setdefault(f"$P{number}N", channel.pnn)
        if not outline.get(f"P{number}E"):
            fresh[f"$P{number}E"] = "0,0"
    for number, new in enumerate(channels, len(sample.channels) + 1):
        fresh |= {f"$P{number}N": new.pnn, f"$P{number}S": new.pns, f"$P{number}B": str(width), f"$P{number}R": "2",
                  f"$P{number}E": "0,0"}  # fmt: skip
    set_anew = {name.replace("$", "").upper() for name in fresh} | _MADE_ANEW
    pairs = [
        (keyword.name, keyword.value)
        for keyword in outline.keywords
        if keyword.bare not in set_anew and not keyword.bare.endswith("DATATYPE")
    ]
    pairs += [(name, value.encode("utf-8")) for name, value in fresh.items() if value is not None]
    with replacing(target) as temporary:
        head = head_of(b"FCS3.1", pairs, length=len(content), delimiter=outline.content.delimiter)
        temporary.write_bytes(head + content + NO_CHECKSUM)
        _read_again(temporary, table[kept], source.name)
    return target


def _kind_of(layout: Layout, where: str) -> tuple[str, int]:
    """$DATATYPE and width that hold every stored value of the file exactly."""
    kinds = {channel.datatype for channel in layout.channels}
    widest = max(channel.bits for channel in layout.channels)
    if kinds == {"F"}:
        return "F", 32
    if kinds == {"I"} and widest <= 52:
        return ("I", 32) if widest <= 32 else ("I", 64)
    if "I" in kinds and widest > 52 and any(c.datatype == "I" and c.bits > 52 for c in layout.channels):
        raise FcsError("stores integers of more than 52 bits, which are read rounded", where=where, todo=EXPORT_AGAIN)
    if "I" in kinds and any(channel.scale.decades for channel in layout.channels):
        raise FcsError("mixes integers with amplifiers and floating point numbers", where=where, todo=EXPORT_AGAIN)
    return "D", 64


def _read_again(path: Path, stored: NDArray[np.float64], where: str) -> None:
    again = read_fcs(path)
    assert again.layout is not None
    with open_regular(path) as handle:
        same = read_stored(handle, again.layout, where)
    if same.shape != stored.shape or not np.array_equal(same, stored, equal_nan=True):
        raise FcsError("the copy does not read back to the same events", where=where, todo="report this file")
