"""The outline of an FCS file: header and keywords as they stand, for what does not need the events.

`immunoprofile.io.fcs` reads events; this module is for what must keep or judge the bytes themselves (de-identification)
or needs the keywords of many files (the manifest). Both take the text apart with `fcs_text`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from immunoprofile.errors import FcsError
from immunoprofile.io.fcs_repair import EXPORT_AGAIN, Repairs
from immunoprofile.io.fcs_text import Keyword, Text, channel_count, read_header, read_text
from immunoprofile.io.files import open_regular

REQUIRED = ("DATATYPE", "BYTEORD")


@dataclass(frozen=True)
class Outline:
    """Header and keywords of the first data set of an FCS file.

    Attributes
    ----------
    path, size
        The file and its length in bytes.
    version
        The six bytes that it begins with, for example ``FCS3.1``.
    content
        Keywords of the primary and the supplemental text, and the byte that separates them.
    data
        First and last byte of the events by the header; (0, 0) where the header leaves them to the text.
    channels
        Number of channels ($PAR).
    """

    path: Path
    size: int
    version: bytes
    content: Text
    data: tuple[int, int]
    channels: int

    @property
    def keywords(self) -> tuple[Keyword, ...]:
        """The keywords that count, see `fcs_text.Text`."""
        return self.content.keywords

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {keyword.bare: keyword.text for keyword in self.keywords}

    def get(self, bare: str, default: str = "") -> str:
        """Value of a keyword by its bare upper-case name, without surrounding blanks."""
        return self._texts.get(bare, default)

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
        digits = text.lstrip("0") or "0"
        if not (text.isascii() and text.isdigit()) or len(digits) > 18:
            found = f"holds {text[:40]!r}, no whole number" if text else "is missing"
            raise FcsError(f"keyword ${bare} {found}", where=self.path.name, todo=EXPORT_AGAIN)
        return int(digits)


def read_outline(path: Path) -> Outline:
    """Read header and keywords; the events are not touched.

    Raises
    ------
    FcsError
        The file is missing, is no regular file or no FCS file, is cut off, or its text cannot be taken apart.
    """
    with open_regular(path) as handle:
        size = path.stat().st_size
        header = read_header(handle, 0, size, path.name)
        text = read_text(handle, 0, size, header, Repairs(path.name))
    table = text.table
    if missing := [f"${name}" for name in REQUIRED if not table.get(name.lower())]:
        raise FcsError(f"the text lacks {', '.join(missing)}", where=path.name, todo=EXPORT_AGAIN)
    data = (0, 0) if header.data is None else (header.data.start, header.data.stop)
    return Outline(path, size, b"FCS" + header.version.encode(), text, data, channel_count(table, path.name))
