"""Speed and memory of the gating engine against FlowKit.

    python -m benchmarks.engine [--events N ...] [--rounds N] [--files N --each N]

Synthetic blood of 12 parameters (big endian single precision, a full 8 x 8 spillover) under a tree of 25 gates. FlowKit
and the engine are measured in turn in one process, so that a busy machine slows both; ratios are medians of the ratios
of the rounds. Memory is the rise of the peak of a fresh process. The floor reads the bytes, swaps them and takes one
maximum. Engine calls are warm: compiled, and planned for the panel. ``gate.batch`` is the call that users make, with
its defaults: it hashes the files, asks whether the matrix was applied already, and makes the table.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from immunoprofile.compensation import from_keywords
from immunoprofile.gate.batch import batch
from immunoprofile.gate.binding import bind
from immunoprofile.gate.engine import Evaluation, evaluate_file
from immunoprofile.gate.gates import Dimension, Ellipsoid, Gate, Operand
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.strategy import Strategy
from immunoprofile.io.fcs import read_fcs_head

CHANNELS = ("FSC-A", "FSC-H", "SSC-A", "BV421-A", "BV510-A", "BV605-A", "BV711-A", "FITC-A", "PE-A", "PE-Cy7-A",
            "APC-A", "Time")  # fmt: skip
DYES = CHANNELS[3:11]

# share, FSC, SSC, log10 of CD3, viability, CD4, CD8, CD16, CD56, CD25, CD127
POPULATIONS = (
    (0.25, 75e3, 25e3, (4.2, 1.8, 4.4, 1.8, 1.8, 1.8, 2.4, 3.9)),  # helper T
    (0.03, 75e3, 25e3, (4.1, 1.8, 4.3, 1.8, 1.8, 1.8, 4.0, 2.6)),  # regulatory T
    (0.14, 74e3, 26e3, (4.2, 1.8, 1.8, 4.5, 1.8, 2.0, 2.0, 3.6)),  # cytotoxic T
    (0.09, 78e3, 29e3, (2.0, 1.8, 1.8, 2.6, 4.1, 3.8, 2.0, 2.2)),  # NK
    (0.08, 72e3, 24e3, (2.0, 1.8, 1.8, 1.8, 1.8, 1.8, 2.4, 2.0)),  # B
    (0.17, 125e3, 90e3, (2.1, 2.2, 3.2, 2.0, 3.2, 2.2, 2.2, 2.2)),  # myeloid
    (0.09, 60e3, 40e3, (2.8, 4.4, 2.8, 2.8, 2.8, 2.8, 2.6, 2.6)),  # dead
    (0.15, 22e3, 15e3, (1.8, 2.4, 1.8, 1.8, 1.8, 1.8, 1.8, 1.8)),  # debris
)


def spillover() -> np.ndarray:
    """A full matrix of the strength of a real panel: neighbours spill up to a third, others little."""
    rng = np.random.default_rng(7)
    distance = np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
    matrix = np.round(np.clip(rng.gamma(0.7, 0.08, (8, 8)) * np.exp(-distance / 3), 0, 0.4), 4)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def write(path: Path, n: int, seed: int) -> Path:
    """One file of synthetic blood."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(len(POPULATIONS), n, p=np.array([p[0] for p in POPULATIONS]))
    table = np.empty((n, len(CHANNELS)), dtype=np.float32)
    forward = np.array([p[1] for p in POPULATIONS])[kind] * np.exp(rng.normal(0, 0.13, n))
    table[:, 0], table[:, 1] = forward, forward * 0.82 * np.exp(rng.normal(0, 0.035, n))
    table[:, 2] = np.array([p[2] for p in POPULATIONS])[kind] * np.exp(rng.normal(0, 0.22, n))
    light = 10 ** (np.array([p[3] for p in POPULATIONS])[kind] + rng.normal(0, 0.24, (n, 8))) @ spillover()
    table[:, 3:11] = np.clip(light + rng.normal(0, 45, (n, 8)), -2000, 262143)
    table[:, 11] = np.floor(np.sort(rng.random(n)) * 60000)
    values = ",".join(["8", *DYES, *(f"{value:.4f}" for value in spillover().ravel())])
    words = {"BEGINANALYSIS": "0", "ENDANALYSIS": "0", "BEGINSTEXT": "0", "ENDSTEXT": "0", "NEXTDATA": "0", "MODE": "L",
             "DATATYPE": "F", "BYTEORD": "4,3,2,1", "PAR": str(len(CHANNELS)), "TOT": str(n), "TIMESTEP": "0.01",
             "FIL": path.name, "SPILLOVER": values}  # fmt: skip
    for number, name in enumerate(CHANNELS, 1):
        words |= {f"P{number}N": name, f"P{number}B": "32", f"P{number}R": "262144", f"P{number}E": "0,0"}
    begin = 8192
    data = table.astype(">f4").tobytes()
    words |= {"BEGINDATA": str(begin), "ENDDATA": str(begin + len(data) - 1)}
    text = "/" + "".join(f"${key}/{value}/" for key, value in words.items())
    last = begin + len(data) - 1
    places = (256, 255 + len(text), begin if last < 10**8 else 0, last if last < 10**8 else 0, 0, 0)
    header = "FCS3.1    " + "".join(f"{place:>8}" for place in places)
    path.write_bytes((header.ljust(256) + text).ljust(begin).encode() + data)
    return path


def strategy() -> Strategy:
    """25 gates: 4 polygons of scatter and light, an ellipse, quadrants, Boolean gates, ranges."""
    logicle = Scale.of("logicle", {"T": 262144, "W": 0.5, "M": 4.5, "A": 0})
    viability = Scale.of("logicle", {"T": 262144, "W": 0.8, "M": 4.5, "A": 0})
    asinh = Scale.of("asinh", {"T": 262144, "M": 4.5, "A": 0})

    def light(channel: str, low: float | None = None, high: float | None = None, scale: str = "lgcl") -> Dimension:
        return Dimension(channel, low, high, scale, compensated=True)

    def box(name: str, parent: str, *axes: Dimension) -> Gate:
        return Gate(name, parent, "rectangle", axes)

    def area(name: str, parent: str, first: Dimension, second: Dimension, *corners: tuple[float, float]) -> Gate:
        return Gate(name, parent, "polygon", (first, second), vertices=corners)

    def cell(name: str, cd4: tuple[float | None, float | None], cd8: tuple[float | None, float | None]) -> Gate:
        return Gate(name, "cd3", "quadrant", (light("BV605-A", *cd4), light("BV711-A", *cd8)), quadrant_of="cd4_cd8")

    def both(name: str, parent: str, kind: str, *operands: Operand) -> Gate:
        return Gate(name, parent, kind, operands=operands)  # type: ignore[arg-type]

    fsc, fsc_h, ssc = (Dimension(name) for name in CHANNELS[:3])
    ellipse = Ellipsoid((0.72, 0.78), ((0.002, 0.0004), (0.0004, 0.0022)), 4.0)
    gates = (
        box("time", "root", Dimension("Time", 10.0, 590.0)),
        area("singlets", "time", fsc, fsc_h, (12e3, 7e3), (12e3, 13e3), (120e3, 108e3), (200e3, 178e3), (240e3, 182e3),
             (130e3, 90e3), (60e3, 41e3)),
        area("lymphocytes", "singlets", fsc, ssc, (45e3, 8e3), (42e3, 20e3), (52e3, 42e3), (75e3, 50e3), (105e3, 46e3),
             (118e3, 30e3), (105e3, 14e3), (70e3, 8e3)),
        area("monocytes", "singlets", fsc, ssc, (90e3, 50e3), (95e3, 105e3), (130e3, 131e3), (173e3, 105e3),
             (157e3, 52e3), (110e3, 42e3)),
        box("live", "lymphocytes", light("BV510-A", None, 0.52, "viability")),
        box("cd3", "live", light("BV421-A", 0.5)),
        box("not_cd3", "live", light("BV421-A", None, 0.5)),
        cell("cd4n_cd8n", (None, 0.52), (None, 0.55)),
        cell("cd4p_cd8n", (0.52, None), (None, 0.55)),
        cell("cd4n_cd8p", (None, 0.52), (0.55, None)),
        cell("cd4p_cd8p", (0.52, None), (0.55, None)),
        box("cd8", "cd3", light("BV605-A", None, 0.5), light("BV711-A", 0.58)),
        box("cd4", "cd3", light("BV605-A", 0.55), light("BV711-A", None, 0.55)),
        area("treg", "cd4", light("PE-Cy7-A"), light("APC-A"), (0.56, 0.12), (0.57, 0.47), (0.66, 0.58), (0.8, 0.62),
             (0.95, 0.62), (0.95, 0.12)),
        both("conventional", "cd4", "not", Operand("treg")),
        both("double_negative", "cd3", "and", Operand("cd4", complement=True), Operand("cd8", complement=True)),
        box("nkt", "cd3", light("PE-A", 0.52), light("BV421-A", 0.55)),
        box("cd8_cd127", "cd8", light("APC-A", 0.5)),
        box("nk", "live", light("BV421-A", None, 0.48), light("PE-A", 0.5)),
        box("nk_cd16", "nk", light("FITC-A", 0.52)),
        area("nk_bright", "nk", light("PE-A"), light("FITC-A"), (0.7, 0.1), (0.7, 0.45), (0.76, 0.58), (1.0, 0.58),
             (1.0, 0.1)),
        Gate("cd8_core", "live", "ellipsoid", (light("BV421-A"), light("BV711-A")), ellipsoid=ellipse),
        box("cd25_high", "cd4", light("PE-Cy7-A", 0.62, None, "asinh")),
        both("t_or_nk", "live", "or", Operand("cd3"), Operand("nk")),
        box("cd4_cd25", "cd4", light("PE-Cy7-A", 0.5)),
    )  # fmt: skip
    scales = (("lgcl", logicle), ("viability", viability), ("asinh", asinh))
    return Strategy("bench", gates, scales=scales, channels=tuple((name, name) for name in CHANNELS))


def engine(path: Path, panels: dict[str, Strategy], jobs: int = 1) -> Evaluation:
    """A file as `immunoprofile.gate.batch` counts it, without its hash."""
    head = read_fcs_head(path)
    if not panels:
        panels["blood"] = bind(strategy(), head.empty)
    return evaluate_file(path, head, panels["blood"], from_keywords(head.empty), jobs=jobs)


def floor(path: Path) -> int:
    """Read the bytes, swap them, pass over them once."""
    return int(np.fromfile(path, dtype=np.uint32, offset=8192).byteswap(inplace=True).max())


def variants(paths: list[Path]) -> dict[str, Callable[[], object]]:
    """What is compared, by name; FlowKit's first entry is the reference of all ratios."""
    import flowkit as fk

    from immunoprofile.gate import _flowkit

    target = _flowkit.to_flowkit(strategy())
    panels: dict[str, Strategy] = {}
    several = ThreadPoolExecutor(2)

    def session() -> object:
        found = fk.Session(target, fcs_samples=[fk.Sample(path, sample_id=path.name) for path in paths])
        found.analyze_samples(use_mp=False)
        return found

    def one_by_one(*, cache: bool) -> None:
        for path in paths:
            target.clear_cache()
            target.gate_sample(fk.Sample(path, sample_id=path.name), cache_events=cache)
        target.clear_cache()

    result: dict[str, Callable[[], object]] = {
        "FlowKit Session.analyze_samples": session,
        "FlowKit gate_sample": lambda: one_by_one(cache=False),
        "FlowKit gate_sample, cache_events": lambda: one_by_one(cache=True),
        "engine, 1 job": lambda: [engine(path, panels) for path in paths],
    }
    if len(paths) == 1:
        result["engine, 2 jobs"] = lambda: engine(paths[0], panels, jobs=2)
    else:
        result["engine, 2 jobs"] = lambda: list(several.map(lambda path: engine(path, panels), paths))
        result["gate.batch, 2 jobs"] = lambda: batch(paths, strategy(), jobs=2)
    result["gate.batch"] = lambda: batch(paths, strategy())
    result["floor"] = lambda: [floor(path) for path in paths]
    return result


def agree(path: Path) -> int:
    """Memberships that differ from FlowKit's, over all events and gates."""
    import flowkit as fk

    from immunoprofile.gate import _flowkit

    gates = strategy()
    found = engine(path, {})
    called = {population: population for population in gates.populations}
    results = _flowkit.to_flowkit(gates).gate_sample(fk.Sample(path))
    return sum(
        int(np.count_nonzero(found.masks[p] != results.get_gate_membership(p, _flowkit.flowkit_path(gates, p, called))))
        for p in gates.populations
    )


def measure(paths: list[Path], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and CPU seconds of each variant, round by round."""
    chosen = variants(paths)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    for call in list(chosen.values())[3:]:
        call()
    for _ in range(rounds):
        for name, call in chosen.items():
            repeats = 1 if name.startswith("FlowKit") else 5
            best: list[tuple[float, float]] = []
            for _ in range(repeats):
                gc.collect()
                cpu, wall = time.process_time(), time.perf_counter()
                call()
                best.append((time.perf_counter() - wall, time.process_time() - cpu))
            times[name].append((statistics.median(b[0] for b in best), statistics.median(b[1] for b in best)))
    return times


def memory(field: str) -> float:
    """Memory of this process in MiB: ``VmRSS`` now, ``VmHWM`` at its peak (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def peak(paths: list[Path], name: str) -> float:
    """Rise of the peak memory of a fresh process over one call of a variant, MiB."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.engine", "--peak", name, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def table(title: str, paths: list[Path], rounds: int) -> None:
    times = measure(paths, rounds)
    reference = [wall for wall, _ in times["FlowKit Session.analyze_samples"]]
    cached = [wall for wall, _ in times["FlowKit gate_sample, cache_events"]]
    lowest = [wall for wall, _ in times["floor"]]
    size = sum(path.stat().st_size for path in paths) / 2**20
    print(f"\n{title} ({size:.0f} MiB, {rounds} rounds, medians)")
    print(f"{'':36}{'wall ms':>10}{'CPU ms':>10}{'Session /':>11}{'cached /':>10}{'/ floor':>9}{'peak MiB':>10}")
    for name, found in times.items():
        wall = [w for w, _ in found]

        def ratio(of: list[float], wall: list[float] = wall) -> float:
            return statistics.median(a / b for a, b in zip(of, wall, strict=True))

        print(f"{name:36}{statistics.median(wall) * 1e3:>10.1f}{statistics.median(c for _, c in found) * 1e3:>10.1f}"
              f"{ratio(reference):>11.1f}{ratio(cached):>10.1f}{1 / ratio(lowest):>9.1f}"
              f"{peak(paths, name):>10.1f}")  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="*", default=[100_000, 500_000, 2_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=30)
    parser.add_argument("--each", type=int, default=100_000, help="events of each of the files")
    parser.add_argument("--peak", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.peak:
        name, *names = arguments.peak
        paths = [Path(path) for path in names]
        call = variants(paths)[name]
        if not name.startswith("FlowKit"):
            with tempfile.TemporaryDirectory() as folder:
                engine(write(Path(folder) / "warm.fcs", 1000, 1), {})
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew from what is in use now
        before = memory("VmRSS")
        kept = call()
        print(json.dumps(memory("VmHWM") - before))
        del kept
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for n in arguments.events:
            path = write(Path(folder) / f"blood_{n}.fcs", n, n)
            print(f"memberships that differ from FlowKit's, {n:,} events: {agree(path)}")
            table(f"{n:,} events", [path], arguments.rounds)
        if arguments.files:
            paths = [write(Path(folder) / f"batch_{i}.fcs", arguments.each, 1000 + i) for i in range(arguments.files)]
            table(f"{arguments.files} files x {arguments.each:,} events", paths, arguments.rounds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
