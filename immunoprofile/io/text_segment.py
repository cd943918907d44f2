"""The outline of an FCS file, byte for byte: header offsets, keywords as they stand, and where the events are.

`immunoprofile.io.fcs` reads events; this module is for what must keep or judge the bytes themselves (de-identification)
or needs the keywords of many files without their events (the manifest). Layout: FCS 3.1 standard (Spidlen et al. 2010,
doi:10.1002/cyto.a.20825), sections 3.1 and 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from immunoprofile.errors import FcsError

HEADER_BYTES = 58
REQUIRED = ("PAR", "DATATYPE", "MODE", "BYTEORD")
_MOST_TEXT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Keyword:
    """One keyword as it stands in the file.

    Attributes
    ----------
    name
        As written, with ``$`` where the file has it.
    value
        The bytes of the value; no encoding is assumed.
    """

    name: str
    value: bytes

    @property
    def bare(self) -> str:
        """Upper case, without ``$``: how keywords are compared."""
        return self.name.replace("$", "").strip().upper()

    @property
    def text(self) -> str:
        """The value as UTF-8, or as Latin-1 where it is no UTF-8."""
        return as_text(self.value)


@dataclass(frozen=True)
class Outline:
    """Header and keywords of an FCS file.

    Attributes
    ----------
    path, size
        The file and its length in bytes.
    version
        The six bytes that it begins with, for example ``FCS3.1``.
    delimiter
        The byte that separates keywords and values.
    keywords
        All keywords of the primary and the supplemental text, in their order; of repeated names the last.
    data
        First and last byte of the events by the header; (0, 0) where the header leaves them to the text.
    """

    path: Path
    size: int
    version: bytes
    delimiter: bytes
    keywords: tuple[Keyword, ...]
    data: tuple[int, int]

    def get(self, bare: str, default: str = "") -> str:
        """Value of a keyword by its bare upper-case name, without surrounding blanks."""
        return next((keyword.text.strip() for keyword in self.keywords if keyword.bare == bare), default)

    def whole(self, bare: str, default: int | None = None) -> int:
        """Value of a keyword as a whole number.

        Raises
        ------
        FcsError
            It is no whole number of at least 0, or missing and there is no default.
        """
        text = self.get(bare)
        if not text and default is not None:
            return default
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            found = f"holds {text!r}, no whole number" if text else "is missing"
            raise FcsError(f"keyword ${bare} {found}", where=self.path.name, todo="export the file again")
        return int(text)


def as_text(value: bytes) -> str:
    """Text of a keyword: UTF-8 (FCS 3.1), or Latin-1 for older files."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def read_outline(path: Path) -> Outline:
    """Read header and keywords; the events are not touched.

    Raises
    ------
    FcsError
        The file is missing, is no FCS file, is cut off, or its text cannot be taken apart.
    """
    if not path.is_file():
        raise FcsError("file is missing", where=path.name, todo="check the path")
    size = path.stat().st_size
    with path.open("rb") as handle:
        header = handle.read(HEADER_BYTES)
        if not header.startswith(b"FCS") or len(header) < HEADER_BYTES:
            raise FcsError("not an FCS file, or cut off inside its header", where=path.name, todo="leave it out")
        first, last, data_first, data_last = (_offset(header[i : i + 8], path) for i in (10, 18, 26, 34))
        primary = _segment(handle, (first, last), size, path)
        keywords = _best(primary, path)
        outline = Outline(path, size, header[:6], primary[:1], tuple(_last_of_each(keywords)), (data_first, data_last))
        extra = outline.whole("BEGINSTEXT", 0), outline.whole("ENDSTEXT", 0)
        if extra[1] > extra[0] > 0 and extra != (first, last):
            more = _pairs(_segment(handle, extra, size, path), empty_values=False)
            keywords = [*keywords, *more]
    return Outline(path, size, header[:6], primary[:1], tuple(_last_of_each(keywords)), (data_first, data_last))


def _offset(field: bytes, path: Path) -> int:
    text = field.strip(b" \x00")
    if not text:
        return 0
    if not text.isdigit():
        raise FcsError("the header does not hold byte offsets", where=path.name, todo="export the file again")
    return int(text)


def _segment(handle: BinaryIO, place: tuple[int, int], size: int, path: Path) -> bytes:
    first, last = place
    if not HEADER_BYTES <= first < last < size or last - first > _MOST_TEXT_BYTES:
        raise FcsError(
            f"the text is said to stand at bytes {first} to {last} of {size}", where=path.name,
            todo="copy the file again from the cytometer",
        )  # fmt: skip
    handle.seek(first)
    return handle.read(last - first + 1)


def _best(segment: bytes, path: Path) -> list[Keyword]:
    """Take the text apart by the standard; where that fails, as written by software that leaves values empty."""
    for empty_values in (False, True):
        found = _pairs(segment, empty_values=empty_values)
        names = {keyword.bare for keyword in found}
        if names.issuperset(REQUIRED):
            return found
    missing = ", ".join(f"${name}" for name in REQUIRED if name not in names)
    raise FcsError(f"the text lacks {missing}", where=path.name, todo="export the file again from the cytometer")


def _pairs(segment: bytes, *, empty_values: bool) -> list[Keyword]:
    """Keywords of a text segment. A doubled delimiter stands for itself (FCS 3.1), unless values may be empty."""
    mark = segment[:1]
    body = segment[1:].rstrip(b" \x00\r\n") if mark not in b" \x00\r\n" else segment[1:]
    if empty_values:
        parts = body.removesuffix(mark).split(mark)
    else:
        one = re.escape(mark)
        parts = [part.replace(mark * 2, mark) for part in re.findall(rb"(?:[^%b]++|%b%b)++" % (one, one, one), body)]
    return [Keyword(as_text(name).strip(), value) for name, value in zip(parts[::2], parts[1::2], strict=False)]


def _last_of_each(keywords: Iterable[Keyword]) -> list[Keyword]:
    found: dict[str, Keyword] = {}
    for keyword in keywords:
        found[keyword.bare] = keyword
    return list(found.values())
