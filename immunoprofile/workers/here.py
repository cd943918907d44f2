"""Tasks on threads and on processes of this machine."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from immunoprofile.workers.flow import flow
from immunoprofile.workers.parent import end_with_parent
from immunoprofile.workers.shared import Shared, call

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

ONE_THREAD: Final = dict.fromkeys(
    ("MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)
"""Environment in which a process keeps to one thread a task; read when the libraries are loaded."""
_QUIET: Final = (
    "ignore::UserWarning:joblib.externals.loky.backend.resource_tracker",
    "ignore::UserWarning:multiprocessing.resource_tracker",
)
"""The helpers that clean up after a killed process talk of it; they read this when they start."""


@dataclass(frozen=True)
class Threads:
    """Threads of this process.

    Attributes
    ----------
    jobs
        Number of threads.
    """

    elsewhere: ClassVar[bool] = False
    jobs: int = 1

    def results(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        shared: Sequence[Any] = (),
        name: Callable[[Item], str] = str,
        warm: bool = False,
    ) -> Iterator[Result]:
        """See `Workers.results`; in the order of the items."""
        return in_order(function, items, jobs=self.jobs)


def in_order(function: Callable[[Item], Result], items: Iterable[Item], *, jobs: int) -> Iterator[Result]:
    """Results of a function on threads, in the order of the items.

    Never more than two items a thread are begun or wait with their result, so that memory does not grow with the
    number of items. When the caller stops, or an item fails, the items that have not begun are not begun any more.
    Meanwhile linear algebra keeps to one thread: many small products wait longer for its threads than they take, and
    sums over several threads round differently from one machine to the next.

    Parameters
    ----------
    function
        Called once for each item.
    items
        Taken as they are needed.
    jobs
        Number of threads; 1 works in the thread of the caller.
    """
    with _loaded_libraries(len(sys.modules)).limit(limits=1, user_api="blas"):
        if jobs <= 1:
            yield from map(function, items)
            return
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            yield from flow(lambda item: pool.submit(function, item), items, room=lambda: 2 * jobs, ordered=True)


@lru_cache(maxsize=1)
def _loaded_libraries(modules: int) -> ThreadpoolController:
    """Libraries that have threads of their own; looking for them takes longer than gating a small file.

    They are looked for again when there are more modules than at the last time.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@dataclass(frozen=True)
class Processes:
    """Processes of this machine that end with this one.

    Attributes
    ----------
    jobs
        Number of processes; 1 works in this one.
    """

    elsewhere: ClassVar[bool] = False
    jobs: int = 1

    def results(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        shared: Sequence[Any] = (),
        name: Callable[[Item], str] = str,
        warm: bool = False,
    ) -> Iterator[Result]:
        """See `Workers.results`; as they come."""
        if self.jobs == 1:
            yield from map(function, items)
            return
        from joblib.externals.loky import ProcessPoolExecutor

        with tempfile.TemporaryDirectory(prefix="immunoprofile-") as folder, _quiet_helpers():
            common = Shared(Path(folder) / "shared.pickle", (function, *shared))
            pool = ProcessPoolExecutor(self.jobs, initializer=end_with_parent, env=ONE_THREAD)
            done = False
            try:
                yield from flow(
                    lambda item: pool.submit(call, common.place, common.pack(item)),
                    items, room=lambda: 2 * self.jobs, ordered=False,
                )  # fmt: skip
                done = True
            finally:
                pool.shutdown(wait=done, kill_workers=not done)


@contextmanager
def _quiet_helpers() -> Iterator[None]:
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (before, *_QUIET)))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PYTHONWARNINGS", None)
        else:
            os.environ["PYTHONWARNINGS"] = before
