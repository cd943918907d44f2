"""Peak memory of gating 50 and 1,000 small files into a folder: it must not grow with the number of files.

``python -m benchmarks.batch_memory [--files 50 1000] [--events 20000] [--jobs 2] [--cells] [--folder DIR]``. Each
number of files is gated in a process of its own, since the peak of a process never falls. The files are copies of one
made file, each with a byte of its own behind the data, so that every one has another content hash.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PNN = ("FSC-A", "FSC-H", "SSC-A", "FITC-A", "PE-A", "APC-A", "BV421-A", "Time")


def make_file(path: Path, events: int) -> None:
    """One file of lymphocyte-like noise, seeded."""
    import flowio

    rng = np.random.default_rng(7)
    values = np.empty((events, len(PNN)), dtype=np.float32)
    values[:, :3] = rng.normal(90_000, 15_000, (events, 3))
    values[:, 3:7] = np.exp(rng.normal(6, 1.5, (events, 4)))
    values[:, 7] = np.sort(rng.uniform(0, 6000, events))
    labels = ["", "", "", "CD3", "CD4", "CD8", "CD19", ""]
    ranges = {f"p{place}r": "262144" for place in range(1, len(PNN) + 1)}
    with path.open("wb") as handle:
        flowio.create_fcs(handle, values.ravel().tolist(), list(PNN), labels, {"$TIMESTEP": "0.01", **ranges})


def copies(source: Path, folder: Path, number: int) -> list[Path]:
    """Copies of different content."""
    content = source.read_bytes()
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{place:04d}.fcs" for place in range(number)]
    for place, path in enumerate(paths):
        path.write_bytes(content + f"{place:04d}".encode())
    return paths


def gate_them(folder: Path, out: Path, *, jobs: int, cells: bool) -> None:
    """Gate all files of a folder and print the peak memory of this process and the time."""
    from immunoprofile.gate import Dimension, Gate, Scale, Strategy
    from immunoprofile.gate.batch_folder import Extras, batch_to_folder

    logicle = Scale.of("logicle", {"T": 262144.0, "W": 0.5, "M": 4.5, "A": 0.0})
    scatter = (Dimension("FSC-A", 40_000.0, 200_000.0), Dimension("SSC-A", 10_000.0, 200_000.0))
    gates = (
        Gate("cells", "root", "rectangle", scatter),
        Gate("t", "cells", "rectangle", (Dimension("CD3", 0.3, None, scale="log"),)),
        Gate("cd4", "t", "rectangle", (Dimension("CD4", 0.3, None, scale="log"),)),
        Gate("cd8", "t", "rectangle", (Dimension("CD8", 0.3, None, scale="log"),)),
    )
    begun = time.perf_counter()
    files = sorted(folder.glob("*.fcs"))
    summary = batch_to_folder(
        files, Strategy("t", gates, (("log", logicle),)), out, jobs=jobs, extras=Extras(cells=cells)
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)
    print(f"{summary.gated:>6} files, {jobs} jobs: peak {peak:7.1f} MiB, {time.perf_counter() - begun:6.1f} s")


def main() -> None:
    """Read the options and print one line for each number of files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=int, nargs="+", default=[50, 1000])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cells", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the files are made; default: a temporary folder")
    parser.add_argument("--gate", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.gate:
        gate_them(*options.gate, jobs=options.jobs, cells=options.cells)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        top = Path(scratch)
        make_file(top / "one.fcs", options.events)
        for number in options.files:
            copies(top / "one.fcs", top / "fcs", number)
            command = [sys.executable, "-m", "benchmarks.batch_memory", "--jobs", str(options.jobs)]
            command += ["--cells"] * options.cells
            command += ["--gate", str(top / "fcs"), str(top / f"out{number}")]
            subprocess.run(command, check=True, env=os.environ.copy())


if __name__ == "__main__":
    main()
