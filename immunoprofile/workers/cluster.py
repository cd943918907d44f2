"""Tasks on the machines of a dask.distributed cluster, by paths on a file system that all of them see."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, TypeVar

from immunoprofile.errors import ClusterError
from immunoprofile.workers.agreement import Seen, disagreements, look, marked, software
from immunoprofile.workers.flow import flow
from immunoprofile.workers.one_thread import hold_to_one_thread
from immunoprofile.workers.shared import SAME, SEE, Place, Shared, call

if TYPE_CHECKING:
    from distributed import Client, Future

WAIT: Final = 60.0
"""Seconds without any worker after which a run gives up."""
AHEAD: Final = 3
"""Tasks a thread that are begun or wait at the scheduler: enough that no worker waits for the next."""
_REFRESH: Final = 3.0
"""Seconds for which the number of workers is believed."""
_ANSWER: Final = 20.0
"""Seconds within which a scheduler answers a plain question."""
_NAMED: Final = 3

AGAIN: Final = "give the same command again; it goes on where it stopped"

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_task(place: Place, packed: bytes) -> Any:
    """One task, on a worker."""
    hold_to_one_thread()
    try:
        return call(place, packed)
    finally:
        hold_to_one_thread()  # what the task has loaded


class Cluster:
    """Workers of a dask.distributed cluster.

    Parameters
    ----------
    client
        A connected ``distributed.Client``; it is not closed.
    folder
        Folder for what tasks have in common, which all workers see.
    wait
        Seconds without any worker after which an error is raised.
    """

    elsewhere: ClassVar[bool] = True

    def __init__(self, client: Client, folder: Path, *, wait: float = WAIT) -> None:
        self._client = client
        self._folder = folder
        self._wait = wait
        self._threads: dict[str, int] = {}
        self._asked = 0.0
        self._with_workers = time.monotonic()

    def results(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        shared: Sequence[Any] = (),
        name: Callable[[Item], str] = str,
        warm: bool = False,
    ) -> Iterator[Result]:
        """See `Workers.results`.

        Raises
        ------
        ClusterError
            The scheduler or all workers were lost, or a task lost too many workers. What the tasks raise is raised.
        """
        path = self._folder / f"shared-{secrets.token_hex(8)}.pickle"
        common = Shared(path, (function, *shared), needs=software())
        call_id = secrets.token_hex(8)
        self._with_workers = time.monotonic()  # nobody looked since the last call, which may be hours ago
        begun: dict[Future, Item] = {}
        fetched: dict[Future, Any] = {}
        first = list({_host(one): one for one in self._workers()}.values()) if warm else []
        number = 0

        def submit(item: Item) -> Future:
            nonlocal number
            pinned = {"workers": [first[number]], "allow_other_workers": True} if number < len(first) else {}
            number += 1
            # The name is new: an earlier result of the same call must not be taken, since files change.
            key = f"immunoprofile-{call_id}-{number}"
            try:
                future = self._client.submit(run_task, common.place, common.pack(item), key=key, pure=False, **pinned)
            except (OSError, RuntimeError) as error:
                self._lost(error)
            begun[future] = item
            return future

        def take(future: Future) -> Any:
            if future not in fetched:
                fetched.update(self._fetch([one for one in begun if one.status == "finished" and one not in fetched]))
            item = begun.pop(future)
            return fetched.pop(future) if future in fetched else self._take(future, name, item)

        def room() -> int:
            if number < len(first):
                return len(first)
            if number == len(first):
                return 1  # what the first task of each machine compiles is there for the others
            return max(2, AHEAD * sum(self._workers().values()))

        try:
            yield from flow(
                submit, items, room=room, ordered=False, look=self._look, drop=self._drop,
                take=take,
            )  # fmt: skip
        finally:
            path.unlink(missing_ok=True)

    def _fetch(self, futures: list[Future]) -> dict[Future, Any]:
        """Results of tasks that are done, asked for at once; those that are not got are asked for one by one."""
        from distributed import CancelledError

        async def gathered() -> dict[Any, Any]:
            keys = {one.key: one for one in futures}
            return dict(await self._client.gather(keys, errors="skip", asynchronous=True))

        try:
            found = self._client.sync(gathered, callback_timeout=_ANSWER / 4)
        except (OSError, CancelledError):  # a worker was lost with them, or the scheduler
            return {}
        return {one: found[one.key] for one in futures if one.key in found}

    def _take(self, future: Future, name: Callable[[Any], str], item: Any) -> Any:
        from distributed import CancelledError
        from distributed.scheduler import KilledWorker

        try:
            return self._result(future)
        except KilledWorker as error:
            raise ClusterError(
                f"the worker that had this task was lost {error.allowed_failures + 1} times; the last was "
                f"{error.last_worker.address}",
                where=name(item),
                todo="look at the memory of the workers and at their log; leave the file out with exclude_flag of "
                f"samples.csv if it is the cause; then {AGAIN}",
            ) from error
        except CancelledError as error:
            self._lost(error)
        finally:
            with suppress(Exception):
                future.release()

    def _result(self, future: Future) -> Any:
        """The result of a task that was done; it may be lost with its worker on the way, and is then made again."""
        while True:
            try:
                return future.result(timeout=_ANSWER / 4)
            except OSError:  # TimeoutError is one
                if future.status == "error":  # the task raised it
                    raise
            self._look()

    def _look(self) -> None:
        """Raise when nothing can be expected any more."""
        self._asked = 0.0
        self._workers()

    def _workers(self) -> dict[str, int]:
        """Address -> threads of each worker, at most a few seconds old."""
        now = time.monotonic()
        if now - self._asked < _REFRESH:
            return self._threads
        if self._client.status != "running":
            self._lost(None)
        try:
            self._threads = dict(self._client.sync(self._client.scheduler.ncores, callback_timeout=_ANSWER))
        except (OSError, RuntimeError, AttributeError) as error:  # AttributeError: it was closed meanwhile
            self._lost(error)
        self._asked = now
        if self._threads:
            self._with_workers = now
        elif now - self._with_workers > self._wait:
            raise ClusterError(f"no worker was left for {self._wait:g} s", where=_address(self._client),
                               todo=f"start workers, then {AGAIN}")  # fmt: skip
        return self._threads

    def _lost(self, error: BaseException | None) -> NoReturn:
        raise ClusterError("the scheduler was lost while the run was at work", where=_address(self._client),
                           todo=f"start it and its workers anew, then {AGAIN}") from error  # fmt: skip

    def _drop(self, futures: list[Future]) -> None:
        if futures and self._client.status == "running":
            with suppress(OSError, RuntimeError):
                self._client.cancel(futures, asynchronous=False)


def agree(client: Client, out: Path, *, hashed: Sequence[Path], there: Sequence[Path], wait: float = WAIT) -> None:
    """Hold every worker against this process, before anything is begun.

    Workers that come later are held against it by their software, when they get their first task.

    Parameters
    ----------
    client
        Connected client.
    out
        Results folder, absolute.
    hashed
        Files whose content a worker must see as it is here.
    there
        Files that a worker must see.
    wait
        Seconds to wait for the first worker.

    Raises
    ------
    ClusterError
        No worker came; or workers have other software or do not see the folders, all named.
    """
    try:
        client.wait_for_workers(1, timeout=wait)
    except TimeoutError as error:
        raise ClusterError(
            f"no worker came within {wait:g} s", where=_address(client),
            todo="start workers for it, or wait longer with --wait SECONDS; the same command then goes on",
        ) from error  # fmt: skip
    with marked(out) as mark:
        arguments = ([str(path) for path in (mark, *hashed)], [str(path) for path in there], str(out))
        own = look(*arguments)
        try:
            found = client.run(look, *arguments, on_error="return")
        except (OSError, RuntimeError) as error:
            raise ClusterError("cannot be asked what its workers have", where=_address(client), todo=AGAIN) from error
    lines, todo = [], SEE
    for address, seen in sorted(found.items()):
        if isinstance(seen, OSError):  # gone meanwhile; who comes in its place is asked with its first task
            continue
        told = disagreements(seen, own) if isinstance(seen, Seen) else [_unusable(seen)]
        if told:
            name = f"{seen.name}, {address}" if isinstance(seen, Seen) else f"worker {address}"
            lines.append(f"{name}: {'; '.join(told[:_NAMED])}")
            if not isinstance(seen, Seen) or dict(seen.software) != dict(own.software):
                todo = SAME
    if lines:
        more = f"; and {len(lines) - _NAMED} other workers" if len(lines) > _NAMED else ""
        raise ClusterError(f"{'; '.join(lines[:_NAMED])}{more}", where=_address(client), todo=todo)


def _unusable(error: BaseException) -> str:
    if isinstance(error, ImportError) or "ModuleNotFoundError" in str(error):  # dask tells it in its words
        return f"it has no immunoprofile of this version ({error})"
    return f"it cannot be asked ({type(error).__name__}: {error})"


def _address(client: Client) -> str:
    scheduler = client.scheduler
    return "scheduler" if scheduler is None else f"scheduler {scheduler.address}"


def _host(address: str) -> str:
    return address.partition("://")[2].rpartition(":")[0]
