"""A study of forty small files and few pages, and workers of all kinds for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import immunoprofile as ip
from immunoprofile.profiling.sealing import RUN_LOG
from tests import folders
from tests.io.fcs_files import events, spill_text, write
from tests.small_study import STUDY_YAML, TABLES, write_gates, write_study

ROOT = Path(__file__).resolve().parents[2]
CONTROLS = 37
FILES = 3 + CONTROLS
_PLAN = "plan: {analyses: [{key: change, method: S1}]}\n"
_CONTENTS = 5


def make(folder: Path) -> Path:
    """Study and gates; the controls are links to a few files."""
    rows = TABLES["samples"].splitlines()
    table = [f"{rows[0]},batch_id,control_lot", *(f"{row},," for row in rows[1:])]
    table += [f"C{n:02d},,,t,control,WB_EDTA,,fcs/C{n:02d}.fcs,B{n:02d},L1" for n in range(CONTROLS)]
    write_study(folder / "study", config=STUDY_YAML + _PLAN, samples="\n".join(table) + "\n")
    for n in range(CONTROLS):
        path = folder / "study" / "fcs" / f"C{n:02d}.fcs"
        if n < _CONTENTS:
            write(path, events(2000, seed=100 + n), **{"$SPILLOVER": spill_text()})
        else:
            os.link(path.with_name(f"C{n % _CONTENTS:02d}.fcs"), path)
    write_gates(folder / "gates")
    return folder


def run(folder: Path, out: Path, **options: Any) -> ip.Profile:
    """One call, as the command line makes it."""
    return ip.run_study(ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=out, **options)


def content(out: Path) -> dict[str, bytes]:
    """Every file of a results folder but the log of times."""
    return {name: data for name, data in folders.content(out).items() if name != RUN_LOG}


def gated(out: Path) -> set[str]:
    """Samples with a record."""
    return {path.stem for path in (out / "records").glob("*.json")}


@contextmanager
def when(condition: Callable[[], bool], act: Callable[[], None]) -> Iterator[list[bool]]:
    """Do something as soon as a condition holds while the block runs; gives a list that holds True when it was done."""
    done: list[bool] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            if condition():
                act()
                done.append(True)
                return
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield done
    finally:
        over.set()
        watcher.join()


def kill(pid: int) -> None:
    """Kill a process without warning."""
    os.kill(pid, signal.SIGKILL)


def environment(first: Path | None = None) -> dict[str, str]:
    """Environment of a process that finds this package, or first what is in a folder."""
    paths = [str(first)] if first else []
    return os.environ | {"PYTHONPATH": os.pathsep.join([*paths, str(ROOT)])}


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A scheduler in a process of its own, and the file that names it."""
    path = folder / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
               "--no-dashboard", "--scheduler-file", str(path)]  # fmt: skip
    with started(command, folder) as process:
        until(path.is_file)
        yield process, path


@contextmanager
def worker(file: Path, folder: Path, *options: str, first: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with its nanny."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1",
               "--no-dashboard", "--local-directory", str(folder), "--memory-limit", "0", *options]  # fmt: skip
    with started(command, folder, first) as process:
        yield process


@contextmanager
def started(command: list[str], folder: Path, first: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block, with all that it has started."""
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(first), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            msg = "waited in vain"
            raise TimeoutError(msg)
        time.sleep(0.01)


def content_samples(content: dict[str, bytes]) -> set[str]:
    """Samples of the content of results."""
    return {Path(name).stem for name in content if name.startswith("records/") and name.endswith(".json")}
