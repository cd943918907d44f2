"""A whole run of this build against that of another commit: wall, processor time and memory of each stage.

    python -m benchmarks.whole_run [--against b29c9cf] [--rounds 5] [--jobs 1 2] [--subjects 10] [--events N] [--cold]

The other commit is checked out beside (``git worktree``) and simulates the study that both run, each in processes of
its own with the same Python and libraries, in turn, so that a busy machine slows both. Figures are medians over the
rounds, ratios the medians of the ratios of the rounds. Processor time counts worker processes. ``--cold`` gives every
process an empty home, no byte code and no compiled kernel, as in a fresh clone; else one run of each build goes before
and is not counted. ``again`` is a second run of the unchanged study.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Runs in the process of either build: the class that times stages is the same in both.
DRIVER = """
import json, os, sys, time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

began = time.perf_counter()
from immunoprofile.cli import app, shell
from immunoprofile.cli.shell import Stages

found = {}


def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def cpu():
    times, living = os.times(), []
    for one in psutil.Process().children(recursive=True):  # workers count when they have ended, and before
        with suppress(psutil.NoSuchProcess):
            living.append(one.cpu_times())
    own = times.user + times.system + times.children_user + times.children_system
    return own + sum(one.user + one.system for one in living)


@contextmanager
def stage(self, name):
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    wall, used = time.perf_counter(), cpu()
    with own(self, name):  # what the build itself does about a stage
        yield
    found[name] = (time.perf_counter() - wall, cpu() - used, memory("VmHWM"))


own, Stages.stage = Stages.stage, stage
code = 0
try:
    app(sys.argv[2:], standalone_mode=False)
except SystemExit as end:
    code = end.code
found["whole process"] = (time.perf_counter() - began, cpu(), memory("VmHWM"))
Path(sys.argv[1]).write_text(json.dumps(found))
sys.exit(code if code not in (3, None) else 0)
"""

Times = dict[str, tuple[float, float, float]]
"""Stage -> wall seconds, processor seconds, peak MiB."""


@contextmanager
def checked_out(commit: str, place: Path) -> Iterator[Path]:
    """A worktree of a commit, taken away afterwards."""
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(place), commit], check=True)
    try:
        yield place
    finally:
        subprocess.run([*git, "remove", "--force", str(place)], check=True)


def call(build: Path, words: list[str], place: Path, home: Path | None = None) -> Times:
    """One command of a build in a process of its own; ``home`` takes everything that is kept between runs."""
    environment = {**os.environ, "PYTHONPATH": str(build)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a warm run has the byte code of the one before
    if home is not None:
        home.mkdir()
        kept = {"HOME": "", "XDG_CACHE_HOME": "cache", "NUMBA_CACHE_DIR": "numba", "PYTHONPYCACHEPREFIX": "pyc"}
        environment |= {name: str(home / folder) for name, folder in kept.items()}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", DRIVER, str(place), *words, "--quiet"], cwd=build,
                          env=environment, capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} in {build} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found: Times = {name: tuple(values) for name, values in json.loads(place.read_text()).items()}
    return found


def rounds(
    builds: dict[str, Path], study: Path, work: Path, jobs: int, number: int, *, cold: bool
) -> list[dict[str, Times]]:
    """Times of both builds, round by round."""
    found = []
    for k in range(0 if cold else -1, number):  # round -1 compiles, and is not counted
        both: dict[str, Times] = {}
        for name, build in builds.items():
            place = work / f"{name}-{jobs}-{k}"
            words = ["run", str(study), "--out", str(place), "--gates", str(build / "gating"), "--jobs", str(jobs)]
            both[name] = call(build, words, work / "times.json", work / f"home-{name}-{jobs}-{k}" if cold else None)
            if name == "this":
                again = call(build, words, work / "times.json")
                both[name]["again"] = again["whole process"]
        if k >= 0:
            found.append(both)
            print(json.dumps(both), file=sys.stderr, flush=True)
    return found


def table(found: list[dict[str, Times]]) -> str:
    """Medians and ratios as Markdown."""
    lines = ["| stage | wall s: other | this | ratio | CPU s: other | this | ratio | peak MiB: other | this |",
             "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for stage in found[0]["this"]:
        cells = [stage]
        for kind in range(3):
            this = [one["this"][stage][kind] for one in found]
            other = [one["other"][stage][kind] for one in found if stage in one["other"]]
            digits = 0 if kind == 2 else 2
            cells += [
                f"{statistics.median(other):.{digits}f}" if other else "",
                f"{statistics.median(this):.{digits}f}",
            ]
            if kind < 2:
                both = zip(other, this, strict=True) if other else []
                ratios = [a / b for a, b in both if b > 0]
                cells.append(f"{statistics.median(ratios):.1f}" if ratios else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Print one table for each number of jobs."""
    parser = argparse.ArgumentParser(description="A whole run of this build against that of another commit")
    parser.add_argument("--against", default="b29c9cf", help="commit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with checked_out(options.against, work / "other") as other:
            builds, study = {"other": other, "this": ROOT}, work / "study"
            words = ["simulate", str(study), "--subjects", str(options.subjects), "--events", str(options.events)]
            call(other, words, work / "times.json")
            for jobs in options.jobs:
                found = rounds(builds, study, work, jobs, options.rounds, cold=options.cold)
                heading = f"jobs: {jobs}, {'cold' if options.cold else 'warm'}, rounds: {options.rounds}"
                print(f"\n{heading}\n\n{table(found)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
