"""Bytes of a file that are hashed as they are parsed: the hash that is recorded is that of what was read."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol

from immunoprofile.errors import FcsError

_CHUNK: Final = 1 << 20
HASHED_BESIDE: Final = 1 << 22
"""From this size of a file on, bytes are hashed by a thread of its own: below, starting it takes longer."""


class Readable(Protocol):
    """What the readers of FCS files ask of an open file."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place."""
        ...

    def read(self, size: int = -1, /) -> bytes:
        """Bytes from there."""
        ...


class ReadsInto(Readable, Protocol):
    """An open file that fills memory of the caller."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill it; returns the number of bytes."""
        ...


class NotedReading:
    """Gives out bytes of a file, anywhere, and keeps them, so that `OnePass` can tell whether they are still there.

    For the parts that are read here and there before the events: header, keywords.

    Parameters
    ----------
    handle
        The open file.
    where
        Name of the file in messages.
    """

    def __init__(self, handle: Readable, where: str) -> None:
        self.where = where
        self.size = handle.seek(0, os.SEEK_END)
        self.notes: list[tuple[int, bytes]] = []
        self._handle = handle

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place."""
        return self._handle.seek(offset, whence)

    def read(self, size: int = -1, /) -> bytes:
        """Bytes from there; they are kept."""
        place = self._handle.seek(0, os.SEEK_CUR)
        content = self._handle.read(size)
        self.notes.append((place, content))
        return content


class OnePass:
    """Gives out the bytes of a file from the first to the last, and hashes all of them on the way.

    Parameters
    ----------
    handle
        The open file.
    noted
        What was read of it before. Other bytes at the same places, or another size, mean that the file was changed
        meanwhile.
    memories
        How many pieces of memory the caller fills in turn (`readinto`): so many reads may wait to be hashed, that the
        caller need not wait for each.
    """

    def __init__(self, handle: ReadsInto, noted: NotedReading, *, memories: int = 1) -> None:
        self._handle, self._noted, self._memories = handle, noted, memories
        self._digest = hashlib.sha256()
        # One thread hashes what was read while the caller works on it.
        self._pool = ThreadPoolExecutor(1) if noted.size >= HASHED_BESIDE else None
        self._hashing: deque[Future[None]] = deque()
        handle.seek(0, os.SEEK_END)  # a buffer of what was read before is dropped by this, not by going back
        self._at = handle.seek(0)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go forward to a place; what lies between is hashed too."""
        if whence or offset < self._at:
            msg = f"{self._noted.where}: byte {offset} lies behind, at {self._at}"
            raise ValueError(msg)
        while self._at < offset and self._passed(self._handle.read(min(offset - self._at, _CHUNK))):
            pass
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Bytes from the place that was reached."""
        content = self._handle.read(size)
        self._passed(content)
        return content

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill memory from the place that was reached; returns the number of bytes."""
        self._wait(self._memories - 1)
        got = self._handle.readinto(buffer) or 0
        self._passed(buffer[:got])
        return got

    def sha256(self) -> str:
        """Pass over the rest; the hash of the whole file.

        Raises
        ------
        FcsError
            The file was changed since its header was read.
        """
        while self._passed(self._handle.read(_CHUNK)):
            pass
        if self._at != self._noted.size:
            raise changed(self._noted.where)
        self._wait(0)
        if self._pool is not None:
            self._pool.shutdown()
        return self._digest.hexdigest()

    def _wait(self, most: int) -> None:
        """Wait until no more reads than these are to be hashed: the memory of the others may be filled anew."""
        while len(self._hashing) > most:
            self._hashing.popleft().result()

    def _passed(self, content: bytes | memoryview) -> int:
        begin, end = self._at, self._at + len(content)
        for place, before in self._noted.notes:
            low, high = max(place, begin), min(place + len(before), end)
            if low < high and content[low - begin : high - begin] != before[low - place : high - place]:
                raise changed(self._noted.where)
        if self._pool is None:
            self._digest.update(content)
        elif len(content):
            self._wait(self._memories - 1)
            self._hashing.append(self._pool.submit(self._digest.update, content))
        self._at = end
        return len(content)


def changed(where: str) -> FcsError:
    """The error that says that a file is written while it is read."""
    return FcsError("was changed while it was read", where=where,
                    todo="wait until it is written or copied, then give the same command again")  # fmt: skip
