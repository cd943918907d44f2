"""Files that are never half written, hashes, and paths that stay inside their folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from immunoprofile.errors import FcsError, ImmunoprofileError

if TYPE_CHECKING:
    import pandas as pd

_CHUNK = 1 << 20
_LONGEST_SHOWN = 200
_LEFTOVER = re.compile(r"\..+\.\d+\.tmp(\.[^.]*)?$")
"""Names that `replacing` gives."""
# Names that Windows takes for devices, whatever suffix follows.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])[ ]*(?:\..*)?$", re.IGNORECASE)


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes; what is no regular file is refused, since a pipe or device need never end.

    Raises
    ------
    FcsError
        The file is missing, or is a folder, pipe, socket or device.
    """
    if not path.exists():
        raise FcsError("file is missing", where=str(path), todo="check its path (fcs_path in samples.csv)")
    if not path.is_file():
        raise FcsError(f"is {_irregular(path)}, not a regular file", where=str(path), todo="name the FCS file itself")
    with path.open("rb") as handle:
        yield handle


def _irregular(path: Path) -> str:
    kinds = ((path.is_dir, "a folder"), (path.is_fifo, "a pipe"), (path.is_socket, "a socket"))
    return next((name for test, name in kinds if test()), "a device")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits.

    Raises
    ------
    OSError
        The file is missing, cannot be read, or is no regular file, which need never end.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, f"is {_irregular(path)}, not a regular file", str(path))
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block ends without an error.

    The temporary name keeps the suffix, since some writers choose the format by it. It carries the
    process id, so that two processes never write the same one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what `replacing` began in a folder, not below it, and a killed process never finished."""
    for path in folder.glob(".*"):
        if _LEFTOVER.match(path.name) and path.is_file():
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, all or nothing."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys, all or nothing."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV: missing values empty, floats with the 17 digits that re-read to the same bits."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")


def inside(folder: Path, relative: str) -> Path:
    """Path of a file that a table names, refused when it leaves the folder.

    Parameters
    ----------
    folder
        The study or results folder.
    relative
        Path relative to it, with slashes of either kind.

    Raises
    ------
    ImmunoprofileError
        The path is absolute, names a drive, a stream or a device, holds control characters or parts that end in a dot
        or blank (Windows drops these, so that ``.. `` is ``..``), or leads out of the folder, also through a link.
    """
    parts = PurePosixPath(relative.replace("\\", "/"))
    if parts.is_absolute() or not parts.parts or any(_leads_away(part) for part in parts.parts):
        msg = f"path {relative[:_LONGEST_SHOWN]!r} leaves the folder"
        raise ImmunoprofileError(
            msg, where=str(folder), todo="use a plain path relative to the folder, without '..' and ':'"
        )
    path = folder.joinpath(*parts.parts)
    try:
        within = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:
        # A ring of links, a name that is too long or cannot be encoded.
        msg = f"path {relative[:_LONGEST_SHOWN]!r} cannot be followed"
        raise ImmunoprofileError(msg, where=str(folder), todo="use the plain path of the file") from error
    if not within:
        msg = f"path {relative!r} leaves the folder through a link"
        raise ImmunoprofileError(msg, where=str(folder), todo="copy the file into the folder")
    return path


def _leads_away(part: str) -> bool:
    """Whether a part of a path is more than the name of a file or folder, on any system."""
    plain = part.endswith((".", " ")) or ":" in part or any(ord(mark) < 32 or ord(mark) == 127 for mark in part)
    return plain or len(part.encode("utf-8", "surrogatepass")) > 255 or _DEVICE.match(part) is not None
