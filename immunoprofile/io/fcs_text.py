"""HEADER and TEXT of an FCS file: versions, byte offsets and keywords (FCS 2.0 to 3.2, section 3.1 and 3.2).

The only place that takes a text section apart, and that says how much of one is believed: reading events, outlines
(`fcs_outline`), de-identification and manifests all go through it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from immunoprofile.errors import FcsError
from immunoprofile.io.fcs_repair import (
    COPY_AGAIN,
    EXPORT_AGAIN,
    REPAIR_DUPLICATE_KEYWORD,
    REPAIR_EMPTY_VALUE,
    REPAIR_SUPPLEMENTAL_TEXT,
    REPAIR_TEXT_ENCODING,
    REPAIR_TEXT_END,
    REPAIR_TEXT_UNTERMINATED,
    REPAIR_TEXT_UTF16,
    Repairs,
)
from immunoprofile.io.one_pass import Readable

HEADER_BYTES = 58
VERSIONS = ("2.0", "3.0", "3.1", "3.2")

_PADDING = b" \t\r\n\x00"
# Ten times what the largest panels need; keeps the memory of a hostile file bounded.
_MOST_DELIMITERS = 100_000
_MOST_TEXT_BYTES = 1 << 24
# A contradiction in one of these changes the numbers, so no choice between two values is free of doubt.
_STRUCTURAL = re.compile(
    r"par|tot|datatype|byteord|mode|timestep|begindata|enddata|nextdata|p\d+(?:b|r|e|g|n|datatype)"
)


@dataclass(frozen=True)
class Span:
    """First and last byte of a section, both inclusive, counted from the begin of its data set."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.stop - self.start + 1


@dataclass(frozen=True)
class Header:
    """Version and offsets; an offset that is blank or zero is None."""

    version: str
    text: Span
    data: Span | None


@dataclass(frozen=True)
class Keyword:
    """One keyword as it stands in the file.

    Attributes
    ----------
    name
        As written, with ``$`` where the file has it.
    bare
        The name in upper case, without ``$``: how keywords are compared.
    value
        The bytes of the value, doubled delimiters made single; no encoding is assumed.
    text
        The value without surrounding padding, as UTF-8 (FCS 3.1), or as Latin-1 where it is no UTF-8.
    """

    name: str
    bare: str
    value: bytes
    text: str


@dataclass(frozen=True)
class Text:
    """Primary and supplemental text of a data set.

    Attributes
    ----------
    delimiter
        The byte that separates keywords and values.
    keywords
        One of each bare name, in the order of the file: a standard keyword (``$DATE``) goes before a private one of the
        same name (``DATE``), the primary section before the supplemental one, and of equals the last counts.
    repeated
        The others, which have no effect.
    """

    delimiter: bytes
    keywords: tuple[Keyword, ...]
    repeated: tuple[Keyword, ...]

    @property
    def table(self) -> dict[str, str]:
        """Values by lower-case names without ``$``."""
        return {keyword.bare.lower(): keyword.text for keyword in self.keywords}


def integer(text: str | bytes | None) -> int | None:
    """Read a decimal number of at most 18 digits; None for anything else (also for what Python alone would accept).

    Zeros in front do not count: offsets are filled with them up to 20 digits and more.
    """
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    match = re.fullmatch(r"[ \t\x00]*([+-]?)0{0,100}([0-9]{1,18})[ \t\x00]*", text or "")
    return int(match.group(1) + match.group(2)) if match else None


def decimal(text: str | None) -> float | None:
    """Read a finite decimal number; None for anything else (also for what Python alone would accept)."""
    text = (text or "").strip()
    if len(text) > 60 or not re.fullmatch(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def channel_count(keywords: Mapping[str, str], where: str) -> int:
    """Number of channels by ``$PAR``, which every reader takes from here.

    Parameters
    ----------
    keywords
        Keywords of the data set, lower case, without ``$``.
    where
        Name of the file in messages.

    Raises
    ------
    FcsError
        It is missing, no number of at least 1, or more than there are keywords: each channel needs keywords of its
        own, so a wild number never costs time.
    """
    par = integer(keywords.get("par"))
    if par is None or par < 1:
        what = f"$PAR is {keywords['par']!r}, no number of channels" if "par" in keywords else "keyword $PAR is missing"
        raise FcsError(what, where=where, todo=EXPORT_AGAIN)
    if par > len(keywords):
        what = f"$PAR promises {par:,} channels, but the file has only {len(keywords):,} keywords"
        raise FcsError(what, where=where, todo=EXPORT_AGAIN)
    return par


def read_at(handle: Readable, start: int, length: int) -> bytes:
    """Read ``length`` bytes from ``start``; the caller has compared both with the size of the file."""
    handle.seek(start)
    return handle.read(length)


def read_header(handle: Readable, base: int, size: int, where: str) -> Header:
    """Read the 58 bytes of the HEADER.

    Parameters
    ----------
    handle
        The open file.
    base, size
        First byte of the data set, and size of the whole file in bytes.
    where
        Name of the file in messages.

    Raises
    ------
    FcsError
        No FCS file, an unknown version, or no usable offsets of the text.
    """
    raw = read_at(handle, base, HEADER_BYTES)
    if not raw.startswith(b"FCS"):
        reason = "file is empty" if size == 0 else "not an FCS file (it does not begin with 'FCS')"
        raise FcsError(reason, where=where, todo=EXPORT_AGAIN)
    if len(raw) < HEADER_BYTES:
        raise FcsError(f"file is cut off inside its header ({size} bytes)", where=where, todo=COPY_AGAIN)
    version = raw[3:6].decode("latin-1")
    if version not in VERSIONS:
        reason = f"FCS version {version!r} is not known"
        raise FcsError(reason, where=where, todo=f"export it as one of FCS {', '.join(VERSIONS)}")
    start, stop = integer(raw[10:18]), integer(raw[18:26])
    if start is None or stop is None:
        raise FcsError("the header does not hold byte offsets of the text section", where=where, todo=EXPORT_AGAIN)
    if start < HEADER_BYTES or stop <= start:
        what = f"the header places the text section at bytes {start} to {stop}"
        raise FcsError(what, where=where, todo=EXPORT_AGAIN)
    if base + stop >= size:
        # One byte too far is a common slip that loses nothing; the check of the last delimiter follows.
        if base + stop > size:
            what = f"file is cut off: the header promises {base + stop + 1:,} bytes of text, the file has {size:,}"
            raise FcsError(what, where=where, todo=COPY_AGAIN)
        stop = size - base - 1
    if stop - start >= _MOST_TEXT_BYTES:
        what = f"the header gives the text section {stop - start + 1:,} bytes, more than any cytometer writes"
        raise FcsError(what, where=where, todo=EXPORT_AGAIN)
    return Header(version, Span(start, stop), span_of(integer(raw[26:34]), integer(raw[34:42])))


def span_of(start: int | None, stop: int | None) -> Span | None:
    """Offsets as a `Span`; None when they are missing, zero or negative."""
    if start is None or stop is None or start <= 0 or stop <= 0:
        return None
    return Span(start, stop)


def read_text(handle: Readable, base: int, size: int, header: Header, repairs: Repairs) -> Text:
    """Read the keywords of TEXT and of the supplemental TEXT.

    Parameters
    ----------
    handle, base, size
        As in `read_header`.
    header
        The header of this data set.
    repairs
        Takes the repairs that were needed.

    Raises
    ------
    FcsError
        The section does not hold delimited keywords, or it contradicts itself where that would change the events.
    """
    raw = _as_bytes(read_at(handle, base + header.text.start, header.text.length), repairs)
    primary = _chosen(_pairs(raw, repairs), repairs)
    extra = _supplemental(handle, base, size, header, primary, repairs)
    standing = {**{name: keyword for name, keyword in extra[0].items() if name not in primary[0]}, **primary[0]}
    beaten = [keyword for name, keyword in extra[0].items() if name in primary[0]]
    return Text(raw[:1], tuple(standing.values()), (*primary[1], *extra[1], *beaten))


_Chosen = tuple[dict[str, Keyword], list[Keyword]]
"""Keywords by their bare names, and those that another one of the same name displaced."""


def _supplemental(
    handle: Readable, base: int, size: int, header: Header, primary: _Chosen, repairs: Repairs
) -> _Chosen:
    stated = [primary[0].get(name) for name in ("BEGINSTEXT", "ENDSTEXT")]
    begin, end = (None if keyword is None else integer(keyword.text) for keyword in stated)
    place = span_of(begin, end)
    if header.version == "2.0" or place is None or place.length <= 1 or place == header.text:
        return {}, []
    detail = f"bytes {place.start} to {place.stop}"
    if place.start < HEADER_BYTES or base + place.stop >= size or place.length > _MOST_TEXT_BYTES:
        repairs.note(REPAIR_SUPPLEMENTAL_TEXT, detail)
        return {}, []
    more = Repairs(repairs.where)
    raw = read_at(handle, base + place.start, place.length)
    # Some vendors keep an archive of their own there, which begins with the letters PK.
    if not _is_delimiter(raw[:1]):
        repairs.note(REPAIR_SUPPLEMENTAL_TEXT, detail)
        return {}, []
    try:
        extra = _chosen(_pairs(raw, more), more)
    except FcsError:
        repairs.note(REPAIR_SUPPLEMENTAL_TEXT, detail)
        return {}, []
    for name, details in more.found.items():
        repairs.note(name, "supplemental text")
        for detail in details:
            repairs.note(name, detail)
    return extra


def _as_bytes(raw: bytes, repairs: Repairs) -> bytes:
    """UTF-8 bytes of a section that was written as UTF-16; others as they are."""
    half = len(raw) // 2
    codec = ""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        codec = "utf-16"
    elif half and raw[1::2].count(0) > 0.8 * half:
        codec = "utf-16-le"
    elif half and raw[0::2].count(0) > 0.8 * half:
        codec = "utf-16-be"
    if not codec:
        return raw
    try:
        text = raw[: 2 * half].decode(codec)
    except UnicodeDecodeError as error:
        raise FcsError(
            "the text section is neither ASCII nor UTF-8 nor UTF-16", where=repairs.where, todo=EXPORT_AGAIN
        ) from error
    repairs.note(REPAIR_TEXT_UTF16)
    return text.encode("utf-8", "replace")


def _is_delimiter(byte: bytes) -> bool:
    return len(byte) == 1 and byte != b"$" and byte != b"\x00" and not byte.isalnum() and byte[0] < 0x80


def _pairs(raw: bytes, repairs: Repairs) -> list[tuple[bytes, bytes]]:
    """Split a section into keywords and values.

    A doubled delimiter inside a value is one delimiter of the value. The standard says the same of keywords, but
    there it never means that in practice: it is an empty value, which some cytometers write.
    """
    delimiter = raw[:1]
    if not _is_delimiter(delimiter):
        what = f"the text section does not begin with a delimiter (found {delimiter!r})"
        raise FcsError(what, where=repairs.where, todo=EXPORT_AGAIN)
    if raw.count(delimiter) > _MOST_DELIMITERS:
        what = f"the text section holds more than {_MOST_DELIMITERS:,} delimiters"
        raise FcsError(what, where=repairs.where, todo=EXPORT_AGAIN)
    parts = re.split(b"(" + re.escape(delimiter) + b"+)", raw[1:])
    rest = parts[-1].strip(_PADDING)
    pairs: list[tuple[bytes, bytes]] = []
    keyword: bytes | None = None
    held: list[bytes] = []
    last = len(parts) - 2
    for place in range(0, len(parts) - 1, 2):
        held.append(parts[place])
        run = len(parts[place + 1])
        if place + 1 == last and not rest:
            run = 1  # surplus delimiters at the end are padding like blanks
        if keyword is None:
            name = b"".join(held)
            if run % 2:
                keyword, held = name, [delimiter * (run // 2)]
            else:
                pairs.append((name, b""))
                repairs.note(REPAIR_EMPTY_VALUE, _shown(name))
                held = [delimiter * (run // 2 - 1)]
        elif run % 2:
            held.append(delimiter * (run // 2))
            pairs.append((keyword, b"".join(held)))
            keyword, held = None, []
        else:
            held.append(delimiter * (run // 2))
    if keyword is None:
        if rest:
            repairs.note(REPAIR_TEXT_END, f"{len(rest)} bytes")
    elif rest or b"".join(held):
        pairs.append((keyword, b"".join([*held, parts[-1]])))
        repairs.note(REPAIR_TEXT_UNTERMINATED, _shown(keyword))
    else:
        pairs.append((keyword, b""))
        repairs.note(REPAIR_EMPTY_VALUE, _shown(keyword))
    return pairs


def _shown(raw: bytes, longest: int = 40) -> str:
    text = raw.decode("latin-1").strip()
    return text if len(text) <= longest else text[:longest] + "..."


def _chosen(pairs: list[tuple[bytes, bytes]], repairs: Repairs) -> _Chosen:
    standing: dict[str, Keyword] = {}
    repeated: list[Keyword] = []
    for raw_name, value in pairs:
        name, clean = _decoded(raw_name)
        text, readable = _decoded(value)
        keyword = Keyword(name, name.replace("$", "").upper(), value, text)
        if not keyword.bare:
            continue
        if not (clean and readable):
            repairs.note(REPAIR_TEXT_ENCODING, _shown(raw_name))
        other = standing.get(keyword.bare)
        if other is None:
            standing[keyword.bare] = keyword
            continue
        alike = other.name.startswith("$") == name.startswith("$")
        if alike and other.text != keyword.text:
            if _STRUCTURAL.fullmatch(keyword.bare.lower()):
                what = f"keyword {keyword.bare} stands twice, as {other.text!r} and as {keyword.text!r}"
                raise FcsError(what, where=repairs.where, todo=EXPORT_AGAIN)
            repairs.note(REPAIR_DUPLICATE_KEYWORD, keyword.bare)
        wins = alike or name.startswith("$")
        repeated.append(other if wins else keyword)
        if wins:
            standing[keyword.bare] = keyword
    return standing, repeated


def _decoded(raw: bytes) -> tuple[str, bool]:
    """Text without padding, and whether it is UTF-8."""
    raw = raw.strip(_PADDING)
    try:
        return raw.decode("utf-8").strip(), True
    except UnicodeDecodeError:
        return raw.decode("latin-1").strip(), False
