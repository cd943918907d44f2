"""Copies of FCS files without the keywords that carry persons; the events stay as they are, byte for byte."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import FcsError, ImmunoprofileError
from immunoprofile.io import keywords as kw
from immunoprofile.io.fcs_outline import Outline, read_outline
from immunoprofile.io.fcs_text import HEADER_BYTES, Keyword
from immunoprofile.io.fcs_write import NO_CHECKSUM, head_of
from immunoprofile.io.files import replacing, sha256_of
from immunoprofile.io.one_pass import changed
from immunoprofile.io.only_writer import export_folder

if TYPE_CHECKING:
    import flowio

_log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_SHORTEST_ECHO = 5
"""FCS 3.1, 3.7: eight zeros where no checksum was computed."""


@dataclass(frozen=True)
class Deidentified:
    """What became of one file. Values that were taken out are not repeated; names of private keywords are.

    Attributes
    ----------
    source
        The file as it was given.
    path
        The copy.
    sha256
        Content hash of the copy: its identity.
    kept
        Keywords that stand in the copy with their value.
    dropped
        Keywords that were left out.
    shifted
        Dates that were moved.
    free_text
        Kept keywords whose text nobody can judge by its form (channel labels, cytometer), with their values: look at
        them before the file leaves the house.
    echoes
        Kept keywords whose text holds the value of a dropped one: most likely a name in a channel label.
    dates_kept
        True when dates stayed as they were.
    verified
        ``events`` when both files were read again and hold equal events, ``bytes`` when no reader knows the data type
        and equality of the stored bytes was checked.
    """

    source: Path
    path: Path
    sha256: str
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    shifted: tuple[str, ...]
    free_text: Mapping[str, str]
    echoes: tuple[str, ...]
    dates_kept: bool
    verified: str


def deidentify(
    files: Iterable[str | Path],
    *,
    out: str | Path,
    date_shift_days: int | None = None,
    keep: Iterable[str] = (),
    rename: Mapping[str, str] | None = None,
) -> list[Path]:
    """Copy FCS files without the keywords that carry persons.

    Only keywords that the analysis needs stay (docs/privacy.md lists them). The events are copied byte for byte; the
    analysis segment, supplemental text and anything behind the events are left out. A copy takes its place only after
    it was read again and held the same events.

    Parameters
    ----------
    files
        The files.
    out
        Folder for the copies.
    date_shift_days
        Move every date by so many days; by default dates stay. Dates whose form is not understood are then dropped.
    keep
        Further keywords to keep as they are, for example ``["$CYTSN"]``.
    rename
        Name of the copy per name of the file. Others are called by the first 16 digits of their own content hash,
        since file names often hold initials or numbers of patients.

    Returns
    -------
    list of Path
        The copies in the order of ``files``; `deidentify_file` also reports what was dropped.

    Raises
    ------
    FcsError
        A file cannot be taken apart without doubt (named); files before it are done.
    ImmunoprofileError
        A name of a copy is taken, or is no plain file name; ``out`` is a results or study folder, or another process
        is at work in it.

    Examples
    --------
    >>> ip.io.deidentify(["tube.fcs"], out="shared", date_shift_days=-31)  # doctest: +SKIP
    """
    keep = tuple(keep)
    with export_folder(Path(out), "deidentify"):
        return [
            deidentify_file(path, out=out, date_shift_days=date_shift_days, keep=keep, rename=rename).path
            for path in files
        ]


def deidentify_file(
    path: str | Path,
    *,
    out: str | Path,
    date_shift_days: int | None = None,
    keep: Iterable[str] = (),
    rename: Mapping[str, str] | None = None,
) -> Deidentified:
    """Copy one FCS file without the keywords that carry persons; parameters and errors of `deidentify`.

    Returns
    -------
    Deidentified
        The copy and what became of each keyword.
    """
    path, out = Path(path), Path(out)
    outline = read_outline(path)
    if outline.whole("NEXTDATA", 0) != 0:
        raise FcsError(
            "file holds several data sets, or says so ($NEXTDATA)", where=path.name,
            todo="export each data set as a file of its own",
        )  # fmt: skip
    first, length, total = _events_place(outline)
    kept, report = _select(outline, date_shift_days, {_bare(name) for name in keep})
    head = _head(outline, kept, total=total, length=length)
    wanted = (rename or {}).get(path.name)
    sha256 = _hash(path, head, first=first, length=length)
    final = out / (_plain_name(wanted, path) if wanted else f"{sha256[:16]}.fcs")
    _refuse_taken(final, path, sha256)
    with replacing(final) as temporary:
        with temporary.open("wb") as target:
            target.write(head)
            digest = hashlib.sha256()
            for chunk in _chunks(path, first=first, length=length):
                digest.update(chunk)
                target.write(chunk)
            target.write(NO_CHECKSUM)
        if sha256_of(temporary) != sha256:  # its name is made of it
            raise changed(path.name)
        verified = _verify(path, outline, temporary, digest.hexdigest())
    report = replace(report, path=final, sha256=sha256, verified=verified)
    for name in report.echoes:
        _log.warning("%s: %s repeats the value of a dropped keyword", final.name, name)
    return report


def _bare(name: str) -> str:
    return name.replace("$", "").strip().upper()


def _plain_name(name: str, source: Path) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,150}", name) or name.endswith((".", " ")):
        raise ImmunoprofileError(
            f"{name!r} is no plain file name", where=source.name, todo="use letters, digits, '.', '-' and '_'"
        )
    return name


def _refuse_taken(final: Path, source: Path, sha256: str) -> None:
    if final.exists() and (final.samefile(source) or sha256_of(final) != sha256):
        raise ImmunoprofileError(
            f"{final.name} exists and is another file", where=str(final.parent), todo="choose an empty folder"
        )


def _events_place(outline: Outline) -> tuple[int, int, int]:
    """First byte of the events, their length in bytes, and their number."""
    name = outline.path.name
    datatype = outline.get("DATATYPE").upper()
    if outline.get("MODE", "L").upper() != "L":
        raise FcsError("the file is no list of events ($MODE)", where=name, todo="leave it out")
    stated = outline.whole("BEGINDATA", 0), outline.whole("ENDDATA", 0)
    places = [place for place in dict.fromkeys((outline.data, stated)) if place[0] >= HEADER_BYTES]
    if datatype == "A":
        lengths = {(a, b - a + 1) for a, b in places if a <= b < outline.size}
        if len(lengths) != 1:
            raise FcsError("header and text disagree on where the events are", where=name, todo="export it again")
        return (*lengths.pop(), outline.whole("TOT"))
    bits = [_width(outline, number, datatype) for number in range(1, outline.channels + 1)]
    total = outline.whole("TOT", -1)
    if total < 0:
        total = _count(places, sum(bits), name)
    length = math.ceil(total * sum(bits) / 8)
    # One byte too many is a common slip in the last byte and loses nothing.
    fits = {a for a, b in places if b - a + 1 in (length, length + 1) and a + length <= outline.size}
    if length == 0 and not fits:
        return HEADER_BYTES, 0, total
    if len(fits) != 1:
        raise FcsError(
            f"{total:,} events need {length:,} bytes, but header and text do not agree on such a place", where=name,
            todo="export the file again from the cytometer",
        )  # fmt: skip
    return fits.pop(), length, total


def _width(outline: Outline, number: int, datatype: str) -> int:
    own = outline.get(f"P{number}DATATYPE", datatype).upper()
    return {"F": 32, "D": 64}.get(own) or outline.whole(f"P{number}B")


def _count(places: list[tuple[int, int]], bits: int, name: str) -> int:
    counts = {(b - a + 1) * 8 // bits for a, b in places if b > a and (b - a + 1) * 8 % bits == 0} if bits else set()
    if len(counts) != 1:
        raise FcsError("the number of events ($TOT) is not known", where=name, todo="export the file again")
    return counts.pop()


def _select(outline: Outline, shift: int | None, keep: set[str]) -> tuple[list[Keyword], Deidentified]:
    channels = outline.channels
    names = {outline.get(f"P{n}{part}") for n in range(1, channels + 1) for part in "NS"}
    kept: list[Keyword] = []
    dropped: list[Keyword] = list(outline.content.repeated)
    shifted: list[str] = []
    free: dict[str, str] = {}
    dates = False
    for keyword in outline.keywords:
        bare = keyword.bare
        if bare in kw.OFFSETS:
            continue
        kind = kw.classify(bare, keyword.text or keyword.value[:1].decode("latin-1"))  # a blank label stays
        number = kw.channel_of(bare)
        if number is not None and not 1 <= number <= channels:
            kind = "drop"
        if bare in ("SPILL", "SPILLOVER") and not all(
            n in names or n.isdigit() for n in kw.spillover_names(keyword.text)
        ):
            kind = "drop"
        if kind == "drop" and bare in keep:
            kind = "label"
        if kind == "drop":
            rule = kw.rule_of(bare)
            inside = number is None or 1 <= number <= channels
            if rule is not None and rule.kind == "layout" and inside and keyword.text:
                raise FcsError(f"keyword ${bare} is not as the standard has it", where=outline.path.name,
                               todo="export the file again from the cytometer")  # fmt: skip
            dropped.append(keyword)
            continue
        if kind == "date" and shift is not None and bare not in keep:
            moved = kw.shift_date(keyword.text, shift)
            if moved is None:
                dropped.append(keyword)
                continue
            keyword = replace(keyword, value=moved.encode("ascii"))
            shifted.append(keyword.name)
        dates |= kind == "date" and keyword.name not in shifted
        if kind == "label":
            free[keyword.name] = keyword.text
        kept.append(keyword)
    report = Deidentified(
        source=outline.path,
        path=outline.path,
        sha256="",
        kept=tuple(keyword.name for keyword in kept),
        dropped=tuple(keyword.name for keyword in dropped),
        shifted=tuple(shifted),
        free_text=free,
        echoes=_echoes(free, dropped),
        dates_kept=dates,
        verified="",
    )
    return kept, report


def _echoes(free: Mapping[str, str], dropped: list[Keyword]) -> tuple[str, ...]:
    """Free text that holds a dropped value: long enough not to be found by chance, no number and no channel name.

    Private keywords with a number are settings of a channel or a laser and repeat channel names.
    """
    known = {text.casefold() for text in free.values()}
    values = {keyword.text.casefold() for keyword in dropped if not re.search(r"\d", keyword.bare)}
    words = {v for v in values - known if len(v) >= _SHORTEST_ECHO and not re.fullmatch(r"[\d\s.,:+-]*", v)}
    # Pieces of the text are looked up, since trying every word on every text takes minutes in a hostile file.
    lengths = {len(word) for word in words}
    return tuple(name for name, text in free.items() if any(p in words for p in _pieces(text.casefold(), lengths)))


def _pieces(text: str, lengths: set[int]) -> Iterator[str]:
    return (text[start : start + n] for n in lengths if n <= len(text) for start in range(len(text) - n + 1))


def _head(outline: Outline, kept: list[Keyword], *, total: int, length: int) -> bytes:
    """Header and text of the copy, with the offsets that fit them."""
    pairs = [
        (f"${keyword.bare}" if keyword.bare in ("PAR", "TOT", "MODE", "DATATYPE", "BYTEORD") else keyword.name,
         keyword.value)
        for keyword in kept
    ]  # fmt: skip
    if not any(name == "$TOT" for name, _ in pairs):
        pairs.append(("$TOT", str(total).encode("ascii")))
    return head_of(outline.version, pairs, length=length, delimiter=outline.content.delimiter)


def _chunks(path: Path, *, first: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as handle:
        handle.seek(first)
        left = length
        while left:
            chunk = handle.read(min(_CHUNK, left))
            if not chunk:
                raise FcsError("the file ends within its events", where=path.name, todo="copy the file again")
            left -= len(chunk)
            yield chunk


def _hash(path: Path, head: bytes, *, first: int, length: int) -> str:
    """Content hash of the copy before it is written: its name may be made of it."""
    digest = hashlib.sha256(head)
    for chunk in _chunks(path, first=first, length=length):
        digest.update(chunk)
    digest.update(NO_CHECKSUM)
    return digest.hexdigest()


def _verify(path: Path, outline: Outline, copy: Path, digest: str) -> str:
    """Read the copy again: same layout and names, same bytes and, where FlowIO reads it, same events."""
    again = read_outline(copy)
    first, length, _ = _events_place(again)
    check = hashlib.sha256()
    for chunk in _chunks(copy, first=first, length=length):
        check.update(chunk)
    numbers = range(1, outline.channels + 1)
    layout = ("PAR", "MODE", "DATATYPE", "BYTEORD", *(f"P{n}{part}" for n in numbers for part in "BREGNS"))
    wrong = [f"${name}" for name in layout if outline.get(name) != again.get(name)]
    if check.hexdigest() != digest or wrong:
        what = f"its keywords {', '.join(wrong)} cannot be carried over" if wrong else "the copy has other bytes"
        raise FcsError(what, where=path.name, todo="report this file")
    before, after = _flowio(path), _flowio(copy)
    if before is None or after is None:
        if before is not None:
            raise FcsError("the copy cannot be read again", where=path.name, todo="report this file")
        return "bytes"
    if _bytes(before) != _bytes(after):
        raise FcsError("the copy does not hold the same events", where=path.name, todo="report this file")
    return "events"


def _bytes(flow: flowio.FlowData) -> bytes:
    events = flow.events
    return events.tobytes() if hasattr(events, "tobytes") else repr(events).encode()


def _flowio(path: Path) -> flowio.FlowData | None:
    """The file as FlowIO reads it; None when it does not."""
    import struct

    import flowio
    from flowio.exceptions import FCSParsingError, FlowIOException

    for options in ({}, {"ignore_offset_error": True}, {"use_header_offsets": True}):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                flow = flowio.FlowData(path, **options)
        except (FCSParsingError, FlowIOException):
            continue
        except (
            ValueError,
            KeyError,
            EOFError,
            IndexError,
            TypeError,
            OverflowError,
            NotImplementedError,
            struct.error,
        ):
            return None
        else:
            return flow if flow.events is not None else None
    return None
