"""Files that are never half written, hashes, and paths that stay inside their folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from immunoprofile.errors import ImmunoprofileError

if TYPE_CHECKING:
    import pandas as pd

_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
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
        The path is absolute, names a drive, or leads out of the folder (also through a link).
    """
    parts = PurePosixPath(relative.replace("\\", "/"))
    if not relative.strip() or parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
        msg = f"path {relative!r} leaves the folder"
        raise ImmunoprofileError(msg, where=str(folder), todo="use a path relative to the folder, without '..'")
    path = folder.joinpath(*parts.parts)
    if not path.resolve().is_relative_to(folder.resolve()):
        msg = f"path {relative!r} leaves the folder through a link"
        raise ImmunoprofileError(msg, where=str(folder), todo="copy the file into the folder")
    return path
