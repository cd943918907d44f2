"""Whole files of a folder, each read once: what is parsed is what was hashed."""

from __future__ import annotations

import errno
import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from immunoprofile.io.files import irregular

LARGEST_TABLE: Final = 1 << 30
"""Bytes of a table; a study of 1,000 subjects has some 10 MB."""
LARGEST_YAML: Final = 1 << 20
"""Bytes of ``study.yaml``; YAML takes some 10 s for so many."""
LARGEST_DOCUMENT: Final = 1 << 30
"""Bytes of a document of gates: a FlowJo workspace of thousands of samples has some 100 MB."""


def read_plain(path: Path, largest: int = LARGEST_DOCUMENT) -> bytes:
    """All bytes of a regular file.

    Parameters
    ----------
    path
        The file. A link to a regular file is one.
    largest
        Bytes that it may have.

    Raises
    ------
    OSError
        It cannot be read, is no regular file (a pipe, a device, a folder: reading it need not end), or is larger.
        ``strerror`` says which.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, f"is {irregular(path)}, not a regular file", str(path))
    with path.open("rb") as handle:
        # One byte more than allowed tells a file that is too large, also one that grows meanwhile.
        content = handle.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"has more than {largest:,} bytes", str(path))
    return content


class Inputs:
    """Reads whole files of a folder and remembers the hash of the bytes that it gave out.

    Parameters
    ----------
    folder
        The folder; names are relative to it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._hashes: dict[str, str] = {}

    @property
    def hashes(self) -> Mapping[str, str]:
        """SHA-256 of each file that was read, by its path relative to the folder."""
        return dict(sorted(self._hashes.items()))

    def read(self, name: str, largest: int = LARGEST_TABLE) -> bytes:
        """Content of a file of the folder; errors as `read_plain`."""
        content = read_plain(self.folder / name, largest)
        self._hashes[name] = hashlib.sha256(content).hexdigest()
        return content


def reason(error: OSError) -> str:
    """What an error of the system says, without number and path."""
    return error.strerror or str(error)
