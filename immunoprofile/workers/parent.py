"""Worker processes that end when the process that started them ends, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import select
import shutil
import signal
import threading
import time
from multiprocessing import connection
from typing import Any

_LOOK = 0.5
"""Seconds between two looks at the parent."""


def end_with_parent() -> None:
    """Let this process end as soon as its parent is gone: a killed parent cannot tell it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent answers
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent,), daemon=True, name="end with parent").start()


def end_with_process(parent: int, alive: int, folder: str = "") -> None:
    """The same where this process was not started by multiprocessing (POSIX).

    Parameters
    ----------
    parent
        Process that started this one.
    alive
        Reading end of a pipe that ends with the process for which the work is done.
    folder
        Folder to remove then.
    """
    threading.Thread(target=_watch_process, args=(parent, alive, folder), daemon=True, name="end with parent").start()


def _watch(parent: Any) -> None:
    if getattr(parent, "_sentinel", None) is not None:
        connection.wait([parent.sentinel])
    else:
        # On POSIX a process whose parent has ended gets another one.
        while os.getppid() == parent.pid:
            time.sleep(_LOOK)
    os._exit(1)


def remove(folder: str) -> None:
    """Remove a folder, which may be gone already."""
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _watch_process(parent: int, alive: int, folder: str) -> None:
    # The pipe tells at once, unless a process that was forked from there holds it open as well.
    while os.getppid() == parent and not select.select([alive], [], [], _LOOK)[0]:
        pass
    remove(folder)
    os._exit(1)
