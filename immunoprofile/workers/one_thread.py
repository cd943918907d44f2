"""One thread a task in other processes: many tasks run beside each other there."""

from __future__ import annotations

import os
import sys
import threading
from typing import Final

ONE_THREAD: Final = dict.fromkeys(
    ("MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)
"""Environment in which a process keeps to one thread a task; read when the libraries are loaded."""

_seen = threading.local()


def hold_to_one_thread() -> None:
    """Let linear algebra, OpenMP and numba keep to one thread, those that are loaded and those that will be.

    The nanny of a worker sets the first two for the process that it starts, and knows nothing of numba. Cheap when
    nothing was imported since the last call of the same thread.
    """
    if getattr(_seen, "modules", 0) == len(sys.modules):
        return
    from threadpoolctl import threadpool_limits

    loaded = "numba" in sys.modules
    # What numba has begun with more threads cannot be told another number by the environment any more: it would refuse
    # to compile.
    os.environ.update({name: one for name, one in ONE_THREAD.items() if not (loaded and name.startswith("NUMBA"))})
    if loaded:
        import numba

        if numba.get_num_threads() > 1:
            numba.set_num_threads(1)
    threadpool_limits(1)  # after numba, which loads OpenMP; holds until it is told to restore
    _seen.modules = len(sys.modules)
