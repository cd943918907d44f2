"""Files that are never half written, hashes, and paths that stay inside their folder."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import socket
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from immunoprofile.errors import FcsError, ImmunoprofileError, OutputError
from immunoprofile.io.formula_cells import guarded_table

if TYPE_CHECKING:
    import pandas as pd

_CHUNK = 1 << 20
_LONGEST_SHOWN = 200
_LEFTOVER = re.compile(r"\..+\.\d+\.tmp(\.[^.]*)?$")
"""Names that `replacing` gives."""
_NO_ROOM = {errno.ENOSPC, errno.EFBIG, *(getattr(errno, name) for name in ("EDQUOT",) if hasattr(errno, name))}
_begun: set[Path] = set()
"""Temporary files that this process is writing."""
# Names that Windows takes for devices, whatever suffix follows.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])[ ]*(?:\..*)?$", re.IGNORECASE)


@contextmanager
def open_regular(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading bytes; what is no regular file is refused, since a pipe or device need never end.

    Raises
    ------
    FcsError
        The file is missing, or is a folder, pipe, socket or device.
    """
    if not path.exists():
        raise FcsError("file is missing", where=str(path), todo="check its path (fcs_path in samples.csv)")
    if not path.is_file():
        raise FcsError(f"is {irregular(path)}, not a regular file", where=str(path), todo="name the FCS file itself")
    with path.open("rb") as handle:
        yield handle


def irregular(path: Path) -> str:
    """What a path is that is no regular file."""
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
        raise OSError(errno.EINVAL, f"is {irregular(path)}, not a regular file", str(path))
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block ends without an error.

    The temporary name keeps the suffix, since some writers choose the format by it. It carries numbers of the machine
    and of the process, so that two processes never write the same one, on whatever machines.

    Raises
    ------
    OutputError
        The file cannot be written; nothing of it is left.
    """
    temporary = path.with_name(f".{path.stem}.{_machine()}{os.getpid()}.tmp{path.suffix}")
    _begun.add(temporary)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        if not _is_of_writing(error, temporary, path):
            raise
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
        _begun.discard(temporary)


@cache
def _machine() -> int:
    """A number of this machine: in containers processes of several machines have the same small numbers."""
    return zlib.crc32(socket.gethostname().encode())


def cannot_write(path: Path, error: OSError | RuntimeError) -> OutputError:
    """The error that names a file or folder that the system refuses to write, with what to do."""
    number = _number(error)
    if number in _NO_ROOM:
        return OutputError("no room is left to write it", where=str(path),
                           todo="free some space, then give the same command again")  # fmt: skip
    if number in (errno.ENOTDIR, errno.EEXIST):
        inside_file = next((str(part) for part in path.parents if part.is_file()), str(path.parent))
        return OutputError(f"cannot be made: {inside_file} is a file, not a folder", where=str(path),
                           todo="choose another folder to write to")  # fmt: skip
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError("may not be written", where=str(path),
                           todo="choose another folder to write to, or change its permissions")  # fmt: skip
    text = (error.strerror if isinstance(error, OSError) else "") or str(error)
    return OutputError(f"cannot be written: {text[:_LONGEST_SHOWN]}", where=str(path),
                       todo="choose another folder to write to")  # fmt: skip


def _number(error: OSError | RuntimeError) -> int | None:
    """Error number; HDF5 has it in its text only."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = re.search(r"errno = (\d+)", str(error))
    return int(found[1]) if found else None


def _is_of_writing(error: OSError | RuntimeError, temporary: Path, path: Path) -> bool:
    """Whether an error inside `replacing` comes from the file that is written, and not from one that is read."""
    if not isinstance(error, OSError):
        return _number(error) is not None
    named = None if error.filename is None else Path(os.fsdecode(error.filename))
    return named is None or named in (temporary, path) or named in path.parents


def abandon() -> None:
    """Delete the temporary files of this process, when it is about to end without unwinding."""
    for path in list(_begun):
        with suppress(OSError):
            path.unlink()


def remove_leftovers(folder: Path) -> None:
    """Delete what `replacing` began in a folder, not below it, and a killed process never finished.

    The caller holds the folder (`io.only_writer`), so that no other process is writing in it; what threads of this one
    are writing is left alone.
    """
    for path in folder.glob(".*"):
        if is_leftover(path) and path.is_file() and path not in _begun:
            path.unlink(missing_ok=True)


def remove_files(paths: Iterable[Path]) -> None:
    """Delete files of an earlier call, where they are.

    Raises
    ------
    OutputError
        One may not be deleted.
    """
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error


def is_leftover(path: Path) -> bool:
    """Whether a file is one that `replacing` began: no result, and gone or renamed soon."""
    return _LEFTOVER.match(path.name) is not None


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes, all or nothing."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_durably(path: Path, content: bytes) -> None:
    """Write bytes, all or nothing, and bring them and their name to the disk before this returns."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        sync(temporary)
    sync(path.parent)


def sync(path: Path) -> None:
    """Bring a file, or the names of a folder, to the disk, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot sync a folder
            os.fsync(handle)
    finally:
        os.close(handle)


def write_arrays(path: Path, **arrays: Any) -> None:
    """Write arrays as compressed ``.npz``, all or nothing; equal arrays give equal bytes."""
    import numpy as np

    # Made in memory: a zip file that could not be finished complains once more when it is collected. The strongest
    # compression takes three times as long and saves a tenth.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            stored = io.BytesIO()
            np.lib.format.write_array(stored, np.asanyarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), stored.getvalue(), zipfile.ZIP_DEFLATED, 1)
    write_bytes(path, buffer.getvalue())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, all or nothing."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys, all or nothing."""
    write_text(path, json_text(content))


def json_text(content: Any) -> str:
    """What `write_json` writes: one spelling for each content."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV: missing values empty, floats with the 17 digits that re-read to the same bits.

    A cell that a spreadsheet would run is written so that it shows it as text (`io.formula_cells`).
    """
    write_text(path, guarded_table(table).to_csv(index=False, lineterminator="\n"))


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
        # From Python 3.13 on resolve() follows a ring of links in silence; stat() does not.
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            path.stat()
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
