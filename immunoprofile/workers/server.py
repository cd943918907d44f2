"""A process that loads libraries, then forks workers that have them; `crew` starts it.

It is a program of its own: nothing of the process that starts it is copied or run again, neither a script without
``if __name__ == "__main__"`` nor a thread that holds a lock. It has a single thread when it forks.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final

from immunoprofile.errors import ImmunoprofileError
from immunoprofile.workers.parent import end_with_process, remove
from immunoprofile.workers.shared import call

START: Final = """
import json, sys
places, sys.path[:] = json.loads(sys.argv[1]), json.loads(sys.argv[2])
from immunoprofile.workers.server import main
main(**places)
"""
"""Program of the server."""


def main(parent: int, alive: int, ends: Sequence[int], loads: Sequence[str], folder: str = "") -> None:
    """Load modules, then serve each of the connections by a process.

    Parameters
    ----------
    parent
        Process with which this one ends.
    alive
        Reading end of a pipe that the parent holds open.
    ends
        Connections; each asks for one process.
    loads
        Modules to load before, and functions (``module:function``) to call.
    folder
        Temporary folder to remove at the end, which the parent cannot when it is killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C
    for descriptor in (alive, *ends):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - what the workers start must not hold them open
    for name in loads:
        found = resolve_name(name)
        if callable(found):
            found()
    if len(ends) == 1:
        end_with_process(parent, alive, folder)
        _serve(ends[0])
        return
    if _threads() > 1:
        # A library has begun threads, after which a fork may hang: each worker loads for itself.
        for end in ends:
            given = {"parent": os.getpid(), "alive": alive, "ends": [end], "loads": list(loads)}
            subprocess.Popen(command(given), pass_fds=[alive, end], stdin=subprocess.DEVNULL)
    else:
        for end in ends:
            own = os.getpid()
            if os.fork() == 0:
                for other in ends:
                    if other != end:
                        os.close(other)
                end_with_process(own, alive)
                _serve(end)
    for end in ends:
        os.close(end)
    end_with_process(parent, alive, folder)
    for _ in ends:
        os.wait()
    remove(folder)


def command(places: dict[str, Any]) -> list[str]:
    """Command line that calls `main` in a new process, with the path of this one."""
    import json

    try:
        here = [str(Path.cwd())]
    except FileNotFoundError:  # it was deleted, and nothing is loaded from there
        here = []
    path = [one for place in sys.path for one in ([place] if place else here)]
    options = [f"-W{option}" for option in sys.warnoptions]
    return [sys.executable, "-P", *options, "-c", START, json.dumps(places), json.dumps(path)]


def _threads() -> int:
    """Threads of this process, those of libraries as well; more than one where the system does not tell."""
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    except OSError:
        return 2


def _serve(end: int) -> None:
    """Answer the tasks of a connection until it is closed, and end the process."""
    connection: Connection[bytes, bytes] = Connection(end)
    code = 1
    try:
        while True:
            connection.send_bytes(answer(connection.recv_bytes()))
    except EOFError:
        code = 0
    except OSError:  # nobody waits for the answer any more
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what belongs to the server is not taken down here


def answer(task: bytes) -> bytes:
    """Result of a task, or what it raised, as bytes."""
    try:
        return pickle.dumps((True, call(*pickle.loads(task))), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - it is raised where the task was asked for
        if not isinstance(error, ImmunoprofileError):
            error.add_note(f"in process {os.getpid()} on {socket.gethostname()}:\n{traceback.format_exc()}")
        try:
            again = pickle.dumps((False, error), protocol=pickle.HIGHEST_PROTOCOL)
            pickle.loads(again)
        except Exception:  # noqa: BLE001 - an error that cannot be sent is told in words
            told = RuntimeError(f"{type(error).__name__}: {error}")
            told.add_note(traceback.format_exc())
            return pickle.dumps((False, told), protocol=pickle.HIGHEST_PROTOCOL)
        return again
