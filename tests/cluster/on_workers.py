"""What tests let workers do."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any


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
    return int(number)


def simulated(item: bytes) -> int:
    """A task that only measures what it was sent."""
    return len(item)


def span(_: int) -> tuple[float, float]:
    """When a task began and ended, by the clock of the machine."""
    begin = time.time()
    time.sleep(0.1)
    return begin, time.time()
