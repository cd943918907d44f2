"""Worker processes that end when the process that started them ends, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection
from typing import Any

_LOOK = 0.5
"""Seconds between two looks at the parent."""
_QUIET = (
    "ignore::UserWarning:joblib.externals.loky.backend.resource_tracker",
    "ignore::UserWarning:multiprocessing.resource_tracker",
)
"""The helpers that clean up after a killed process talk of it; they read this when they start."""


def on_workers(function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]], *, jobs: int) -> Iterator[Any]:
    """Results of a function on processes, in the order of the tasks.

    Tasks are taken as they are needed, some ahead of the workers, so that not all are in memory. When the caller stops
    or a task fails, the workers are ended.

    Parameters
    ----------
    function
        Called with the parts of a task; both are sent to a process.
    tasks
        Arguments of each call.
    jobs
        Number of processes; 1 works in this one.
    """
    if jobs == 1:
        yield from (function(*task) for task in tasks)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    running = Parallel(n_jobs=jobs, backend="loky", return_as="generator", batch_size=1, initializer=end_with_parent)
    done = False
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (before, *_QUIET)))
    try:
        yield from running(delayed(function)(*task) for task in tasks)
        done = True
    finally:
        if before is None:
            os.environ.pop("PYTHONWARNINGS", None)
        else:
            os.environ["PYTHONWARNINGS"] = before
        # Idle workers would wait five minutes for more, with all that they have imported.
        get_reusable_executor().shutdown(wait=done, kill_workers=not done)


def end_with_parent() -> None:
    """Let this process end as soon as its parent is gone: a killed parent cannot tell it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent answers
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent,), daemon=True, name="end with parent").start()


def _watch(parent: Any) -> None:
    if getattr(parent, "_sentinel", None) is not None:
        connection.wait([parent.sentinel])
    else:
        # On POSIX a process whose parent has ended gets another one.
        while os.getppid() == parent.pid:
            time.sleep(_LOOK)
    os._exit(1)
