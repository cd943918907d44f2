"""The one loop that gives tasks out and takes their results: a few ahead of the workers, never all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

LOOK: Final = 1.0
"""Seconds without a result after which the workers are looked at."""

Item = TypeVar("Item")


def flow(
    submit: Callable[[Item], Any],
    items: Iterable[Item],
    *,
    room: Callable[[], int],
    ordered: bool,
    take: Callable[[Any], Any] = lambda future: future.result(),
    look: Callable[[], None] = lambda: None,
    drop: Callable[[list[Any]], None] | None = None,
) -> Iterator[Any]:
    """Results of tasks; memory does not grow with their number.

    When the caller stops, or a task fails, the tasks that have not begun are not begun any more.

    Parameters
    ----------
    submit
        Gives an item to a worker; returns a future (``add_done_callback``, ``cancel``).
    items
        Taken as they are needed.
    room
        How many tasks may be begun or wait with their result; asked after each.
    ordered
        Give the results in the order of the items, else as they come.
    take
        The result of a future that is done; raises what the task raised.
    look
        Called when nothing was done for a while; raises when nothing can be expected any more.
    drop
        Gives futures up; by default each is cancelled.
    """
    done: SimpleQueue[Any] = SimpleQueue()
    waiting: dict[Any, None] = {}  # in the order of the items
    finished: set[Any] = set()

    def next_done() -> Any:
        first = next(iter(waiting))
        while ordered and first not in finished:
            finished.add(_one(done, look))
        future = first if ordered else _one(done, look)
        finished.discard(future)
        del waiting[future]
        return take(future)

    try:
        for item in items:
            future = submit(item)
            waiting[future] = None
            future.add_done_callback(done.put)
            while waiting and len(waiting) >= room():
                yield next_done()
        while waiting:
            yield next_done()
    finally:
        if drop is not None:
            drop(list(waiting))
        else:
            for future in waiting:
                future.cancel()


def _one(done: SimpleQueue[Any], look: Callable[[], None]) -> Any:
    while True:
        with suppress(Empty):
            return done.get(timeout=LOOK)
        look()
