"""Worker processes that are forked from a server which loads the libraries while its parent goes on (Linux)."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar

from immunoprofile.errors import ImmunoprofileError
from immunoprofile.workers.flow import flow
from immunoprofile.workers.one_thread import ONE_THREAD
from immunoprofile.workers.server import command
from immunoprofile.workers.shared import Shared

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_NO_THREADS: Final = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Environment in which what pandas loads begins no thread, so that the server can fork."""
LOADS: Final = (
    "immunoprofile.workers.own_process:settle",
    "immunoprofile.profiling.gate_files",
    "immunoprofile.gate.engine.kernels",
    "immunoprofile.event_kernels",
    "immunoprofile.density_kernels",
    "immunoprofile.profiling.warm_up:warm_up",
    "immunoprofile.report.pages",
    "immunoprofile.report.drawing",
    "anndata",
    "scipy.integrate",
    "scipy.ndimage",
    "scipy.optimize",
    "matplotlib.ticker",
    "immunoprofile.workers.own_process:live_on",
)
"""What a run calls in its workers, with the compiled loops and the libraries that it loads when it needs them there."""
FORKS: Final = sys.platform == "linux"
"""Whether a process of one thread may fork safely: libraries of macOS may have threads nobody sees."""
_END: Final = 5.0
"""Seconds within which idle workers end when they are told so."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Crew:
    """Workers that stay until they are ended, and end with this process, however it ends.

    Parameters
    ----------
    jobs
        Number of workers. They are at work as soon as their server has loaded `LOADS`; this call does not wait.
    """

    def __init__(self, jobs: int) -> None:
        # Temporary files of the workers are in it too: nobody else removes them when they are killed. Where this
        # process is killed, the server removes it.
        self._folder = tempfile.TemporaryDirectory(prefix="immunoprofile-", ignore_cleanup_errors=True)
        self.ended = False
        try:
            self._start(jobs, self._folder.name)
        except OSError as error:
            self._folder.cleanup()
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.EAGAIN):
                raise
            raise ImmunoprofileError(
                f"this machine does not give so many processes ({error.strerror})", where=f"{jobs} jobs",
                todo="use fewer jobs",
            ) from error  # fmt: skip
        self._free: SimpleQueue[Connection[bytes, bytes]] = SimpleQueue()
        for one in self._own:
            self._free.put(one)
        self._answered = False

    def _start(self, jobs: int, folder: str) -> None:
        pairs = [Pipe() for _ in range(jobs)]
        self._own: list[Connection[bytes, bytes]] = [pair[0] for pair in pairs]
        theirs = [pair[1] for pair in pairs]
        alive, self._alive = os.pipe()
        ends = [one.fileno() for one in theirs]
        places = {"parent": os.getpid(), "alive": alive, "ends": ends, "loads": LOADS, "folder": folder}
        try:
            # In a group of its own, so that it and its workers can be ended at once.
            self._server = subprocess.Popen(
                command(places), pass_fds=[alive, *ends], stdin=subprocess.DEVNULL, process_group=0,
                env=os.environ | ONE_THREAD | _NO_THREADS | {"TMPDIR": folder},
            )  # fmt: skip
        except BaseException:
            os.close(self._alive)
            raise
        finally:
            os.close(alive)
            for one in theirs:
                one.close()

    def results(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        shared: Sequence[Any],
        name: Callable[[Item], str],
    ) -> Iterator[Result]:
        """See `Workers.results`; as they come. Where it is not gone through to its end, the workers are ended."""
        jobs, done = len(self._own), False
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder, ThreadPoolExecutor(jobs) as pool:
            common = Shared(Path(folder) / "shared.pickle", (function, *shared))

            def submit(item: Item) -> Any:
                task = pickle.dumps((common.place, common.pack(item)), protocol=pickle.HIGHEST_PROTOCOL)
                return pool.submit(self._ask, task, lambda: name(item))

            try:
                yield from flow(submit, items, room=lambda: 2 * jobs, ordered=False, take=_taken)
                done = True
            finally:
                if not done:
                    self.kill()

    def _ask(self, task: bytes, name: Callable[[], str]) -> bytes:
        connection = self._free.get()
        try:
            connection.send_bytes(task)
            answer = connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise ImmunoprofileError(
                "the process that worked on it was ended from outside, perhaps because memory ran out",
                where=name(),
                todo="use fewer jobs; the same command goes on where it stopped",
            ) from error
        finally:
            self._free.put(connection)
        self._answered = True
        return answer

    def close(self) -> None:
        """End the workers, which have nothing to do."""
        if self.ended:
            return
        if self._answered:  # else the server may still load
            for connection in self._own:
                connection.close()
            with suppress(subprocess.TimeoutExpired):
                self._server.wait(_END)
        self.kill()

    def kill(self) -> None:
        """End the workers, whatever they do."""
        if self.ended:
            return
        self.ended = True
        if self._server.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        os.close(self._alive)
        self._folder.cleanup()


def _taken(future: Any) -> Any:
    good, found = pickle.loads(future.result())
    if not good:
        raise found
    return found
