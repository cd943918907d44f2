"""Runs that are killed at random moments, some with a second fault at the same time, and taken up again.

    python -m tests.faults.kills --cases 200 --double 50       the long mode; prints what was seen
    python -m tests.faults.kills --first 17 --cases 1          case 17 once more

Each case forks a process that runs the small study, and kills it without warning: after a random share of its processor
time, or at a random one of its operations on files, which finds the moments between writing and renaming. With a second
fault, another run is started into the same folder, a table of the study is edited, the disk is full, or a file of the
results or of the study is cut. Then the same call is made again. It must end with the bytes of a run that nobody
disturbed, or be refused by a named error.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from immunoprofile.errors import ImmunoprofileError
from immunoprofile.profiling.sealing import verify
from tests.faults import small_run

FAULTS = ("second run", "table edited", "disk full", "file cut", "fcs cut")
_OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.listdir", "shutil.rmtree")
_REFUSED, _FAILED = 7, 8


@dataclass(frozen=True)
class Scene:
    """What the cases share.

    Attributes
    ----------
    folder
        Study, gates and the results of undisturbed runs.
    whole
        Content of these by variant of the study.
    operations, seconds
        Operations on files and processor seconds of one run.
    """

    folder: Path
    whole: dict[str, dict[str, bytes]]
    operations: int
    seconds: float


def prepare(folder: Path) -> Scene:
    """Run each variant of the study once, and measure a run."""
    small_run.make(folder)
    _variant(folder, "edited")
    _variant(folder, "cut")
    whole = {}
    for name in ("study", "edited", "cut"):
        _run_variant(folder, name, folder / f"whole-{name}")
        whole[name] = small_run.content(folder / f"whole-{name}")
    count = folder / "count"

    def counted() -> None:
        seen = [0]
        sys.addaudithook(lambda event, _: seen.__setitem__(0, seen[0] + (event in _OPERATIONS)))
        begun = os.times()
        _run_variant(folder, "study", folder / "counted")
        used = os.times()
        count.write_text(f"{seen[0]} {used.user + used.system - begun.user - begun.system}")

    code = _forked(counted)
    if code != 0:
        msg = "the undisturbed run failed"
        raise RuntimeError(msg)
    operations, seconds = count.read_text().split()
    return Scene(folder, whole, int(operations), float(seconds))


def case(scene: Scene, number: int, fault: str = "") -> str:
    """One kill, and what became of it: ``identical`` or ``refused: ...``; anything else is a defect."""
    chance = random.Random(f"kill {number}")
    out = scene.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    if chance.random() < 0.3:  # a run over the complete results of another variant
        shutil.copytree(scene.folder / "whole-edited", out)
    by_operation = chance.random() < 0.5
    moment = chance.uniform(0, scene.operations if by_operation else scene.seconds)
    _forked(lambda: _killed(scene, out, moment, fault, by_operation=by_operation))
    variant = "study"
    if fault == "second run":
        said = _beside(scene, out)
        if said:
            return said
    elif fault == "table edited":
        variant = "edited"
    elif fault == "fcs cut":
        variant = "cut"
    elif fault == "file cut":
        _cut_one(out, chance)
    code = _forked(lambda: _run_variant(scene.folder, variant, out))
    if code == _REFUSED:
        return "refused"
    if code != 0:
        return f"DEFECT: the run that was taken up ended with {code}"
    if small_run.content(out) != scene.whole[variant]:
        return f"DEFECT: other bytes in {_differing(small_run.content(out), scene.whole[variant])}"
    return "identical" if verify(out) == [] else "DEFECT: not verified"


def _killed(scene: Scene, out: Path, moment: float, fault: str, *, by_operation: bool) -> None:
    if fault == "disk full":
        _small_disk(random.Random(moment).choice((2_000, 20_000, 60_000)))
    if by_operation:
        seen = [0]

        def hook(event: str, _: object) -> None:
            seen[0] += event in _OPERATIONS
            if seen[0] >= moment:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
    else:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process at once, as SIGKILL does
        signal.setitimer(signal.ITIMER_PROF, max(moment, 0.001))
    _run_variant(scene.folder, "study", out)


def _small_disk(size: int) -> None:
    """No file may grow beyond a size, which fails like a full disk."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _beside(scene: Scene, out: Path) -> str:
    """A second run beside one that is at work must be refused by name, and the first must not notice."""
    holding, told = os.pipe()

    def first() -> None:
        from immunoprofile.profiling import gate_files

        gate = gate_files.process

        def slowly(request: object, folder: Path, *, cells: bool) -> object:
            os.write(told, b"x")
            return gate(request, folder, cells=cells)  # type: ignore[arg-type]

        gate_files.process = slowly  # type: ignore[assignment]
        _run_variant(scene.folder, "study", out)

    child = _fork(first)
    os.read(holding, 1)
    second = _forked(lambda: _run_variant(scene.folder, "edited", out))
    code = _waited(child)
    os.close(holding)
    os.close(told)
    if code != 0:
        return f"DEFECT: the first of two runs ended with {code}"
    if second == _REFUSED:
        return "" if small_run.content(out) == scene.whole["study"] else "DEFECT: the first of two runs was disturbed"
    # The second began after the first had ended: then the folder is its own.
    return "" if second == 0 and small_run.content(out) == scene.whole["edited"] else "DEFECT: two runs at once"


def _cut_one(out: Path, chance: random.Random) -> None:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    if files:
        path = chance.choice(files)
        size = path.stat().st_size
        os.truncate(path, chance.choice((0, size // 2, max(size - 1, 0))))


def _variant(folder: Path, name: str) -> None:
    shutil.copytree(folder / "study", folder / name)
    if name == "edited":
        (folder / name / "labs.csv").write_text(small_run.EDITED, encoding="utf-8")
    else:
        path = folder / name / "fcs" / "S-1_D14.fcs"
        os.truncate(path, path.stat().st_size // 3)


def _run_variant(folder: Path, name: str, out: Path) -> None:
    import immunoprofile as ip

    ip.run_study(ip.read_study(folder / name), ip.gate.load(folder / "gates"), out=out, jobs=1)


def _forked(work: Callable[[], None]) -> int:
    return _waited(_fork(work))


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    code = 0
    try:
        small_run.quietly()
        work()
    except ImmunoprofileError:
        code = _REFUSED
    except BaseException:  # noqa: BLE001 (whatever it is, the case is told)
        traceback.print_exc()
        code = _FAILED
    finally:
        os._exit(code)


def _waited(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _differing(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    names = {*found, *expected}
    return sorted(name for name in names if found.get(name) != expected.get(name))[:8]


def main() -> None:
    """The long mode."""
    parser = argparse.ArgumentParser(description="Kill runs at random moments and take them up again.")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--double", type=int, default=50, help="cases with a second fault")
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    small_run.quietly()
    every = max(options.cases // options.double, 1) if options.double else 0
    with tempfile.TemporaryDirectory() as name:
        scene = prepare(Path(name))
        print(f"a run: {scene.operations} operations on files, {scene.seconds:.1f} s of processor time", flush=True)
        seen: Counter[tuple[str, str]] = Counter()
        for number in range(options.first, options.first + options.cases):
            double = every and number % every == 0
            fault = FAULTS[number // every % len(FAULTS)] if double else ""
            said = case(scene, number, fault)
            seen[fault or "kill alone", said.split(":")[0]] += 1
            if said not in ("identical", "refused"):
                print(f"case {number} ({fault or 'kill alone'}): {said}", flush=True)
            if number % 10 == 9:
                print(f"{number + 1}: {dict(Counter(said for _, said in seen.elements()))}", flush=True)
        for (fault, said), count in sorted(seen.items()):
            print(f"{fault}: {count} {said}")
        sys.exit(any(said == "DEFECT" for _, said in seen))


if __name__ == "__main__":
    main()
