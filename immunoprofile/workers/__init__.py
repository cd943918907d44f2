"""Where the tasks of a run are done: threads, processes, or the machines of a cluster.

One loop gives the tasks out (`flow`); a task is one file or one page, and does not know where it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from immunoprofile.workers.here import MANY_FILES, Processes, Threads, in_order

Item = TypeVar("Item")
Result = TypeVar("Result")

__all__ = ["MANY_FILES", "Processes", "Threads", "Workers", "in_order"]


class Workers(Protocol):
    """Where tasks are done.

    Attributes
    ----------
    elsewhere
        Whether that may be another machine, which may not see what this one sees.
    """

    elsewhere: ClassVar[bool]

    def results(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        shared: Sequence[Any] = (),
        name: Callable[[Item], str] = str,
        warm: bool = False,
    ) -> Iterator[Result]:
        """Results of a function, in any order; a few tasks ahead of the workers, so that not all are in memory.

        When the caller stops or a task fails, those that have not begun are not begun any more.

        Parameters
        ----------
        function
            Called with each item. Where it runs in another process, it and its item are sent there.
        items
            Taken as they are needed.
        shared
            Objects that many items hold. Another process gets them once, and not with each item.
        name
            An item in words, for messages.
        warm
            Let the first task of each other machine end before more begin there: what it compiles and keeps is there
            for the others.
        """
        ...
