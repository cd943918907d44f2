"""A study on local worker processes that are killed, against the same study without a scheduler; and 50,000 tasks.

    python -m benchmarks.cluster                                  2,000 files, 4 workers, two of them killed, 3 times
    python -m benchmarks.cluster --files 200 --times 1 --tasks 5000      a small one
    python -m benchmarks.cluster --only queue                     the simulated tasks alone

Each run is a process of its own with an empty cache of compiled code. While it works, two of its workers are killed
with kill -9 after a random number of files and pages, and the memory of the command (with the scheduler, which a local
cluster has in the same process) is noted. The results must have the bytes of a run without scheduler. Then tasks that
do nothing go through the same queue: memory, futures that are alive, processor and wall time a task. From these and the
processor time of a file the time of 50,000 files on 64 workers is reckoned.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import pickle
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import immunoprofile as ip
from benchmarks.scale import study
from immunoprofile.gate.study_gates import study_gates
from immunoprofile.profiling.gate_files import _Gate, requests_of
from immunoprofile.profiling.one_file import process
from immunoprofile.profiling.sealing import RUN_LOG, verify
from immunoprofile.workers.cluster import Cluster
from immunoprofile.workers.schedulers import connected
from immunoprofile.workers.shared import Shared
from tests.cluster import on_workers
from tests.small_study import write_gates

_PAYLOAD = 2000
"""Bytes of a simulated task."""
_TARGET_FILES, _TARGET_WORKERS = 50_000, 64


def one_run(folder: Path, out: Path, *, workers: int, kills: int, seed: int) -> dict[str, Any]:
    """One run of the study; without workers it is the reference."""
    begun, used = time.perf_counter(), time.process_time()
    found, gates = ip.read_study(folder / "study"), ip.gate.load(folder / "gates")
    if not workers:
        ip.run_study(found, gates, out=out, jobs=os.cpu_count() or 1)
        return {"wall_s": time.perf_counter() - begun}
    total = 2 * len(found.samples)
    with connected(f"local:{workers}") as client, _Watch(out) as watch:
        client.wait_for_workers(workers, timeout=300)
        chance = random.Random(seed)
        moments = sorted(chance.sample(range(total // 20, total * 19 // 20), kills))
        killer = threading.Thread(target=_kill, args=(client, watch, moments, chance))
        killer.start()
        ip.run_study(found, gates, out=out, client=client)
        watch.over.set()
        killer.join()
    # Of the first half, which are files, and the second, pages; what is loaded between both is left out.
    spans = {"files": (0.1, 0.45), "pages": (0.6, 0.95)}
    return {
        "killed_after": watch.killed, "of": total, "wall_s": time.perf_counter() - begun,
        "cpu_s_of_command_and_scheduler": time.process_time() - used, "peak_mib": watch.peak(),
        **{f"kib_a_task_{name}": watch.slope(total * low, total * high) for name, (low, high) in spans.items()},
    }  # fmt: skip


class _Watch:
    """Notes how much is done and the memory of this process, until the block ends."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.over = threading.Event()
        self.killed: list[int] = []
        self.notes: list[tuple[int, float]] = []
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._thread.join()

    def done(self) -> int:
        records = sum(1 for _ in (self.out / "records").glob("*.json"))
        return records + sum(1 for _ in (self.out / "reports").rglob("*.html"))

    def peak(self) -> float:
        return max(mib for _, mib in self.notes)

    def slope(self, low: float, high: float) -> float:
        """KiB of memory that each task adds, by least squares, between two numbers of tasks that are done."""
        own = [(done, 1024 * mib) for done, mib in self.notes if low <= done <= high]
        return (
            round(statistics.linear_regression(*zip(*own, strict=True)).slope, 2) if len({n for n, _ in own}) > 1 else 0
        )

    def _work(self) -> None:
        while not self.over.wait(0.3):
            self.notes.append((self.done(), _resident()))


def _kill(client: Any, watch: _Watch, moments: list[int], chance: random.Random) -> None:
    for moment in moments:
        while watch.done() < moment:
            if watch.over.wait(0.01):
                return
        pids = sorted(client.run(os.getpid, on_error="ignore").values())
        os.kill(chance.choice(pids), signal.SIGKILL)
        watch.killed.append(moment)


def _resident() -> float:
    """Memory of this process, MiB."""
    with Path("/proc/self/statm").open(encoding="ascii") as handle:
        return int(handle.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def queue(tasks: int, workers: int, folder: Path) -> dict[str, Any]:
    """Tasks that do nothing, through the queue of a run."""
    with connected(f"local:{workers}") as client:
        client.wait_for_workers(workers, timeout=300)
        place = Cluster(client, folder)
        assert list(place.results(on_workers.simulated, [b"x"] * 200)) == [1] * 200  # what is loaded by the first
        most, memory, done = 0, [], 0
        begun, used = time.perf_counter(), time.process_time()
        for size in place.results(on_workers.simulated, (bytes(_PAYLOAD) for _ in range(tasks))):
            assert size == _PAYLOAD
            done += 1
            most = max(most, len(client.futures))
            if done % max(1, tasks // 20) == 0:
                memory.append(round(_resident(), 1))
        wall, cpu = time.perf_counter() - begun, time.process_time() - used
        left = len(client.futures)
    assert done == tasks
    return {"tasks": tasks, "most_futures": most, "futures_left": left, "memory_mib": memory,
            "wall_ms_a_task": 1000 * wall / tasks, "cpu_ms_a_task": 1000 * cpu / tasks}  # fmt: skip


def sizes(folder: Path, scratch: Path, files: int = 40) -> dict[str, Any]:
    """Bytes that go to a worker once and with each task and come back, and what a file costs, warm, by itself."""
    found = ip.read_study(folder / "study")
    gates = study_gates(ip.gate.load(folder / "gates"), found)
    requests = requests_of(found, gates)
    alike = {id(one): one for own in requests for one in (own.gates, own.limits, own.places, own.documents)}
    shared = Shared(scratch / "shared.pickle", (_Gate(scratch, cells=False), *alike.values()))
    outcomes = [process(request, scratch / "warm", cells=False) for request in requests[:3]]
    begun = time.process_time()
    outcomes += [process(request, scratch / "measured", cells=False) for request in requests[3 : 3 + files]]
    cpu = time.process_time() - begun
    return {
        "shared_bytes": shared.size,
        "bytes_a_task": statistics.median(len(shared.pack(request)) for request in requests[:200]),
        "bytes_with_all_in_each": statistics.median(len(pickle.dumps(request)) for request in requests[:20]),
        "bytes_of_a_result": statistics.median(len(pickle.dumps(outcome)) for outcome in outcomes),
        "cpu_ms_a_file": 1000 * cpu / files,
    }


def extrapolate(a_task: float, a_file: float) -> str:
    """Seconds of 50,000 files on 64 workers, by processor ms of the scheduler and command a task and a file."""
    given_out, gated = _TARGET_FILES * a_task / 1000, _TARGET_FILES * a_file / 1000 / _TARGET_WORKERS
    return (
        f"{_TARGET_FILES} files, {_TARGET_WORKERS} workers: giving out {_TARGET_FILES} x {a_task:.2f} ms = "
        f"{given_out:.0f} s; gating {_TARGET_FILES} x {a_file:.1f} ms / {_TARGET_WORKERS} = {gated:.0f} s; the larger "
        f"of both, {max(given_out, gated):.0f} s, is the least; workers wait for tasks above "
        f"{a_file / a_task:.0f} workers"
    )


def _content(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*"))
            if path.is_file() and path.name != RUN_LOG}  # fmt: skip


def _apart(*arguments: object, cache: Path) -> dict[str, Any]:
    """A part of the campaign in a process of its own, with an empty cache of compiled code."""
    cache.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cluster", *map(str, arguments)], stdout=subprocess.PIPE, text=True,
        check=True, env=os.environ | {"NUMBA_CACHE_DIR": str(cache)},
    )  # fmt: skip
    return dict(json.loads(done.stdout.splitlines()[-1]))


def campaign(options: argparse.Namespace) -> None:
    """All of it."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        study(place / "study", options.files // 2)
        write_gates(place / "gates")
        if options.only in ("", "runs"):
            one = ("--one", place, "--out")
            print("reference", _apart(*one, place / "whole", "--workers", 0, cache=place / "cache"), flush=True)
            whole = _content(place / "whole")
            for number in range(options.times):
                seed = random.SystemRandom().getrandbits(32)
                out = place / f"out{number}"
                found = _apart(*one, out, "--workers", options.workers, "--kills", options.kills, "--seed", seed,
                               cache=place / f"cache{number}")  # fmt: skip
                same = _content(out) == whole and verify(out) == []
                print(f"run {number + 1} (seed {seed})", "same bytes" if same else "OTHER BYTES", found, flush=True)
                if not same:
                    raise SystemExit(1)
        if options.only in ("", "queue"):
            (place / "queue").mkdir()
            queued = queue(options.tasks, options.workers, place / "queue")
            print("queue", queued, flush=True)
            measured = sizes(place, place / "queue")
            print("sizes", measured)
            print(extrapolate(queued["cpu_ms_a_task"], measured["cpu_ms_a_file"]))


def main() -> None:
    """Run the campaign, or one run of it."""
    parser = argparse.ArgumentParser(description="Kill workers of a local cluster, and compare the results.")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=_TARGET_FILES)
    parser.add_argument("--only", choices=("", "runs", "queue"), default="")
    parser.add_argument("--one", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    if options.one:
        print(json.dumps(one_run(options.one, options.out, workers=options.workers, kills=options.kills,
                                 seed=options.seed)))  # fmt: skip
        return
    campaign(options)


if __name__ == "__main__":
    main()
