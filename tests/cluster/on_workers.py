"""What tests let workers do."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from immunoprofile.errors import ImmunoprofileError


def threads() -> dict[str, Any]:
    """How many threads the libraries of this process use."""
    import numba
    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((4, 4)) @ np.ones((4, 4))
    assert numba.njit(lambda number: number + 1)(1) == 2  # it refuses to compile when the number of threads is changed
    pools = {info["filepath"]: info["num_threads"] for info in threadpool_info()}
    return {"numba": numba.config.NUMBA_NUM_THREADS, "used": numba.get_num_threads(), "pools": pools}


def of_task(_: int) -> tuple[int, dict[str, Any]]:
    """Process and threads of a task."""
    time.sleep(0.05)
    return os.getpid(), threads()


def hide(folder: str) -> None:
    """Let this process see nothing below a folder, as where a disk is not mounted."""
    opened, looked = io.open, os.stat

    def below(path: object) -> bool:
        return isinstance(path, str | os.PathLike) and Path(os.fspath(path)).is_relative_to(folder)

    def not_there(path: object) -> FileNotFoundError:
        return FileNotFoundError(2, "No such file or directory", str(path))

    def blind_open(path: Any, *args: Any, **options: Any) -> Any:
        if below(path):
            raise not_there(path)
        return opened(path, *args, **options)

    def blind_stat(path: Any, *args: Any, **options: Any) -> Any:
        if below(path):
            raise not_there(path)
        return looked(path, *args, **options)

    io.open, os.stat = blind_open, blind_stat  # type: ignore[assignment]


def other_software(name: str, version: str) -> None:
    """Let this process say that it has another version."""
    from immunoprofile.workers import agreement

    own = agreement.versions
    agreement.versions = lambda: own() | {name: version}  # type: ignore[assignment]


def other_files() -> None:
    """Let this process say that its package has other files."""
    from immunoprofile.workers import agreement

    agreement.package_digest = lambda: "0" * 64  # type: ignore[assignment]


def end_itself(item: int) -> int:
    """A task that takes its worker down where it is asked to."""
    if item == 3:
        os._exit(9)
    return item


def fail(item: int) -> int:
    """A task that counts how often it was tried, in a file, and fails."""
    place, number = str(item).rsplit(":", 1) if isinstance(item, str) else ("", item)
    with Path(place).open("a", encoding="utf-8") as log:
        log.write(number)
    if number == "2":
        msg = "a real error"
        raise ValueError(msg)
    time.sleep(0.1)  # the others are not done before the error is told
    return int(number)


def simulated(item: bytes) -> int:
    """A task that only measures what it was sent."""
    return len(item)


def span(_: int) -> tuple[float, float]:
    """When a task began and ended, by the clock of the machine."""
    begin = time.time()
    time.sleep(0.1)
    return begin, time.time()


def where(_: int) -> tuple[int, int]:
    """Process of a task, and the one that started it."""
    time.sleep(0.05)
    return os.getpid(), os.getppid()


def slow(_: int) -> int:
    """A task that takes a while; its process."""
    time.sleep(0.2)
    return os.getpid()


def never_ready() -> None:
    """A library that takes for ever to load."""
    time.sleep(3600)


def write_and_wait() -> None:
    """A library that needs a temporary file and a long time."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "something").touch()
        time.sleep(3600)


noted: list[int] = []
"""Threads of this process when it was told to note them."""


def note_threads() -> None:
    """Note the threads of this process, those of libraries as well."""
    noted.append(len(list(Path("/proc/self/task").iterdir())))


def loaded(_: int) -> tuple[int, bool, int]:
    """Threads that the process that forked this one had, whether the compiler is loaded, and that process."""
    time.sleep(0.05)
    return noted[0], "numba" in sys.modules, os.getppid()


def begin_a_thread() -> None:
    """A library that begins a thread when it is loaded."""
    threading.Thread(target=threading.Event().wait, daemon=True, name="of a library").start()


def has_that_thread(_: int) -> tuple[int, bool]:
    """Process of a task, and whether it has the thread of `begin_a_thread`."""
    time.sleep(0.05)
    return os.getpid(), any(one.name == "of a library" for one in threading.enumerate())


REFUSED = ImmunoprofileError("it is refused", where="there", todo="do something else")


def refuse(_: int) -> None:
    """A task that raises an error of ours."""
    raise REFUSED


class CannotBeSentError(Exception):
    """An error that holds what no other process can have."""

    def __init__(self) -> None:
        super().__init__("it holds a lock")
        self.lock = threading.Lock()


def raise_what_cannot_be_sent(_: int) -> None:
    """A task whose error cannot be sent."""
    raise CannotBeSentError
