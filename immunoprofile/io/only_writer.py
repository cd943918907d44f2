"""One writer for a folder of results: a lock that names who holds it and that no killed process leaves behind."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from immunoprofile.errors import ResultsError
from immunoprofile.io.files import cannot_write

LOCK: Final = ".lock"
"""Name of the lock in the folder that it holds. It is there while something writes, and after a process was killed."""
_SHARES: Final = f"{LOCK}-"
"""Begin of the names of the locks of shares: each is held by one of several that work in the folder together."""
RESULTS_MARKS: Final = ("provenance.json", ".partial")
"""Names of which one is in every results folder, from the begin of its first run on."""
_FAR: Final = 1 << 30
"""Byte that Windows locks: beyond the content, which others must be able to read."""

_ELSEWHERE: Final = "choose another folder to write to"
_MOMENT: Final = 2.0
"""Seconds for which a lock may be held by another that only looks whether somebody holds it."""
_PAUSE: Final = 0.02
"""Seconds between two looks at a lock that another holds."""
_FLAGS: Final = sum(getattr(os, name, 0) for name in ("O_BINARY", "O_NOFOLLOW", "O_NONBLOCK"))
"""What a link leads to is not written over, and a pipe is not waited for."""
_held: set[Path] = set()


@contextmanager
def only_writer(folder: Path, work: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold a folder for writing until the block ends.

    The lock belongs to the operating system, which gives it back when a process ends, however it ends. The file holds
    host, process and time for people; a file that a killed process of this machine left stops nobody. What a process of
    another machine left cannot be told from one that is at work, and is refused.

    Parameters
    ----------
    folder
        Folder to write; made when absent.
    work
        What is done, for the message of others, for example ``run``.
    wait
        Seconds to wait for another that is at work before it is refused.

    Raises
    ------
    ResultsError
        Another process, or another thread of this one, is at work in the folder, or in a share of it; who and since
        when is said.
    OutputError
        The folder cannot be made or written.
    """
    with _held_lock(folder / LOCK, work, wait):
        for path in sorted(folder.glob(f"{_SHARES}*")):
            _nobody_holds(path, _MOMENT)
        yield


@contextmanager
def share_of(folder: Path, work: str, share: str) -> Iterator[None]:
    """Hold a share of a folder until the block ends: others may hold other shares, and nobody the whole.

    Parameters
    ----------
    folder, work
        As for `only_writer`.
    share
        Name of the share, which nobody else may hold.

    Raises
    ------
    ResultsError, OutputError
        As `only_writer`.
    """
    with _held_lock(folder / f"{_SHARES}{share}", work, _MOMENT):
        # First the own lock, then a look at that of the whole; there it is the other way round: one sees the other.
        if (folder / LOCK).exists():
            _nobody_holds(folder / LOCK, _MOMENT)
        yield


def is_lock(name: str) -> bool:
    """Whether a name in a folder is that of its lock, or of the lock of a share."""
    return name == LOCK or name.startswith(_SHARES)


@contextmanager
def _held_lock(path: Path, work: str, wait: float) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _take_within(path, wait)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        mine = {"host": socket.gethostname(), "pid": os.getpid(), "started": _now(), "work": work}
        try:
            os.ftruncate(handle, 0)
            os.write(handle, (json.dumps(mine, sort_keys=True) + "\n").encode())
        except OSError as error:
            raise cannot_write(path, error) from error
        _held.add(path)
        yield
    finally:
        _held.discard(path)
        _give_back(path, handle)


def _nobody_holds(path: Path, wait: float) -> None:
    """Refuse a lock that somebody holds; one that a killed process left is taken away."""
    try:
        _give_back(path, _take_within(path, wait))
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def export_folder(folder: Path, work: str) -> Iterator[None]:
    """Hold a folder for tables and files that are no results of a run, until the block ends.

    Parameters
    ----------
    folder, work
        As for `only_writer`.

    Raises
    ------
    ResultsError
        As `only_writer`; the folder is a results folder or lies in one, of which nothing would be true any more, or is
        a study folder, whose tables have the same names.
    OutputError
        As `only_writer`.
    """
    outside_results(folder, itself=True)
    if (folder / "study.yaml").exists():
        raise ResultsError("is a study folder", where=str(folder), todo=_ELSEWHERE)
    with only_writer(folder, work):
        yield


def outside_results(folder: Path, *, itself: bool = False) -> None:
    """Refuse a folder inside a results folder; with ``itself`` also one that is a results folder.

    Raises
    ------
    ResultsError
        Files there would be named as not written by the run.
    """
    place = folder.resolve()
    for above in [place, *place.parents] if itself else place.parents:
        if any((above / name).exists() for name in RESULTS_MARKS):
            what = "holds" if above == place else f"lies in {above}, which holds"
            raise ResultsError(f"{what} the results of a study", where=str(folder), todo=_ELSEWHERE)


def give_all_back() -> None:
    """Remove the locks of this process, when it is about to end without unwinding."""
    for path in list(_held):
        with suppress(OSError):
            path.unlink()


def _take_within(path: Path, wait: float) -> int:
    until = time.monotonic() + wait
    while True:
        try:
            return _take(path)
        except ResultsError:
            if time.monotonic() >= until:
                raise
        time.sleep(_PAUSE)


def _take(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o666)
        locked = False
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):  # reading a pipe need not end
                raise ResultsError("is no plain file", where=str(path), todo="delete it")
            got = _lock(handle)
            other = _content(handle)
            here = other.get("host", socket.gethostname()) == socket.gethostname()
            if got is False or (got is None and _alive(other)) or not here:
                raise ResultsError(_at_work(other), where=str(path.parent), todo=_remedy(path, here=here))
            # Whoever held it before may have deleted the file meanwhile: then the lock is on a file without a name.
            with suppress(FileNotFoundError):
                locked = os.path.samestat(os.fstat(handle), path.stat())
            if locked:
                return handle
        finally:
            if not locked:
                os.close(handle)


def _lock(handle: int) -> bool | None:
    """Whether the lock was got; None where the system or the file system has no locks."""
    if sys.platform == "win32":
        import msvcrt

        try:
            os.lseek(handle, _FAR, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
        except OSError:
            return False
        return True
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _give_back(path: Path, handle: int) -> None:
    if sys.platform == "win32":  # a file that is open cannot be deleted there
        os.close(handle)
        with suppress(OSError):
            path.unlink()
        return
    with suppress(OSError):
        path.unlink()
    os.close(handle)


def _content(handle: int) -> dict[str, Any]:
    try:
        found = json.loads(os.read(handle, 4096) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _alive(other: dict[str, Any]) -> bool:
    """Whether the process of a lock lives, where only its number tells."""
    pid = other.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _at_work(other: dict[str, Any]) -> str:
    who = f"process {other.get('pid', '?')} on {other.get('host', '?')}, since {other.get('started', '?')}"
    return f"another '{other.get('work', 'run')}' is at work in this folder ({who})"


def _remedy(path: Path, *, here: bool) -> str:
    wait = "wait until it has ended, or choose another folder"
    return wait if here else f"{wait}; if it is known to have ended on the other machine, delete {path}"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
