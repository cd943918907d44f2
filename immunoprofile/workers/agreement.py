"""What a worker must have in common with the machine that gives it work: software, and folders under the same paths."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from immunoprofile.io.files import cannot_write, sha256_of
from immunoprofile.io.inputs import reason
from immunoprofile.io.software import package_digest, versions

CONTENT = "files of the package"
"""Name of the hash of the package among the versions."""


@dataclass(frozen=True)
class Seen:
    """What a process says of itself.

    Attributes
    ----------
    host, pid
        Which process.
    software
        Name -> version, with the hash of the package.
    content
        Path -> SHA-256, or why it cannot be read.
    missing
        Paths at which no file is.
    unwritable
        Why the folder of the results cannot be written; empty when it can.
    """

    host: str
    pid: int
    software: Mapping[str, str]
    content: Mapping[str, str]
    missing: tuple[str, ...]
    unwritable: str

    @property
    def name(self) -> str:
        """The process in words."""
        return f"worker on {self.host} (process {self.pid})"


def software() -> dict[str, str]:
    """Versions that results rest on, and the hash of the files of the package."""
    return {**versions(), CONTENT: package_digest()}


def differing(theirs: Mapping[str, str], own: Mapping[str, str]) -> list[str]:
    """What of the software of a worker is not that of the process that gives it work, in words."""
    lines = [f"{name} {theirs.get(name, 'unknown')} (here {own[name]})" for name in own if name != CONTENT
             and theirs.get(name) != own[name]]  # fmt: skip
    if not lines and theirs.get(CONTENT) != own[CONTENT]:
        lines.append(f"immunoprofile {own['immunoprofile']} with other files than here")
    return lines


def look(hashed: Sequence[str], there: Sequence[str], folder: str) -> Seen:
    """What this process has and sees; a file is written into ``folder`` and taken away again."""
    unwritable = ""
    mark = Path(folder) / _mark()
    try:
        mark.write_text("x", encoding="utf-8")
        mark.unlink()
    except OSError as error:
        unwritable = reason(error)
    return Seen(
        socket.gethostname(), os.getpid(), software(), {path: _content(path) for path in hashed},
        tuple(path for path in there if not Path(path).is_file()), unwritable,
    )  # fmt: skip


def disagreements(seen: Seen, own: Seen) -> list[str]:
    """What a worker lacks to do the work of this process, one line each."""
    lines = [f"it has {line}" for line in differing(seen.software, own.software)]
    for path, digest in own.content.items():
        theirs = seen.content.get(path, "")
        if theirs != digest:
            other = "another file than here" if len(theirs) == len(digest) else theirs
            lines.append(f"it does not see {Path(path).parent}: {other}")
    lines += [f"it does not see {path}" for path in seen.missing if path not in own.missing]
    if seen.unwritable and not lines:
        lines.append(f"it cannot write the results: {seen.unwritable}")
    return lines


@contextmanager
def marked(folder: Path) -> Iterator[Path]:
    """A file with content that no other folder holds, by which a folder is told from one of the same name elsewhere.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    mark = folder / _mark()
    try:
        mark.write_text(secrets.token_hex(16), encoding="utf-8")
    except OSError as error:
        raise cannot_write(mark, error) from error
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def _mark() -> str:
    return f".agree-{secrets.token_hex(8)}.0.tmp"  # a name that a later run takes away, should this one be killed


def _content(path: str) -> str:
    try:
        return sha256_of(Path(path))
    except OSError as error:
        return reason(error)
