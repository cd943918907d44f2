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
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar

from immunoprofile.workers.crew import FORKS, Crew
from immunoprofile.workers.flow import flow
from immunoprofile.workers.one_thread import ONE_THREAD
from immunoprofile.workers.parent import end_with_parent
from immunoprofile.workers.shared import Shared, call

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

MANY_FILES: Final = 100 if FORKS else 400
"""Files to gate from which on several jobs are processes: to load what they need takes as long as some fifty files,
once or for each of them, and then none waits for the interpreter, which a thread holds for two thirds of its time."""
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


class Processes:
    """Processes of this machine that end with this one.

    They have loaded what a run calls when they are there. With a context they stay until its end, else as long as one
    call of `results`.

    Parameters
    ----------
    jobs
        Number of processes; 1 works in this one.
    """

    elsewhere: ClassVar[bool] = False

    def __init__(self, jobs: int = 1) -> None:
        self.jobs = max(1, jobs)
        self._crew: Crew | None = None
        self._stays = False

    def __repr__(self) -> str:
        return f"Processes({self.jobs})"

    def __enter__(self) -> Self:
        self._stays = True
        return self

    def __exit__(self, *_: object) -> None:
        self._stays = False
        self._end()

    @property
    def begun(self) -> bool:
        """Whether they are there or being started, so that even few tasks are done by them."""
        return self._crew is not None and not self._crew.ended

    def begin(self) -> None:
        """Start them, without waiting for them; only within a context, and where they can load beforehand (Linux)."""
        if FORKS and self._stays and self.jobs > 1 and not self.begun:
            self._crew = Crew(self.jobs)

    def _end(self) -> None:
        if self._crew is not None:
            self._crew.close()
            self._crew = None

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
        elif FORKS:
            if not self.begun:
                self._crew = Crew(self.jobs)
            assert self._crew is not None
            try:
                yield from self._crew.results(function, items, shared, name)
            finally:
                if not self._stays:
                    self._end()
        else:
            yield from _by_loky(self.jobs, function, items, shared)


def _by_loky(
    jobs: int, function: Callable[[Item], Result], items: Iterable[Item], shared: Sequence[Any]
) -> Iterator[Result]:
    """Results by processes that each load for themselves, where none can be forked safely."""
    from joblib.externals.loky import ProcessPoolExecutor

    with tempfile.TemporaryDirectory(prefix="immunoprofile-") as folder, _quiet_helpers():
        common = Shared(Path(folder) / "shared.pickle", (function, *shared))
        pool = ProcessPoolExecutor(jobs, initializer=end_with_parent, env=ONE_THREAD)
        done = False
        try:
            yield from flow(
                lambda item: pool.submit(call, common.place, common.pack(item)),
                items, room=lambda: 2 * jobs, ordered=False,
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
