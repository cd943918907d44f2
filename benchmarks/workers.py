"""Files and pages by one and by two processes that are there already: what a second core is worth.

    python -m benchmarks.workers STUDY [--rounds 5]

STUDY is a study (``immunoprofile simulate``), gated by the shipped templates. One file and one page go before, so that
the processes have loaded and compiled what they need; then files, and pages of all visits, are timed in turn by one and
by two. Seconds by the clock, medians; the ratio is that of the rounds.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import immunoprofile as ip
from immunoprofile.gate.study_gates import study_gates
from immunoprofile.profiling.gate_files import gate_all, requests_of
from immunoprofile.profiling.results import Profile
from immunoprofile.report.pages import pages_of, write_pages
from immunoprofile.report.source import Source
from immunoprofile.workers import Processes
from immunoprofile.workers.crew import Crew


class Begun(Processes):
    """Processes that are there whatever their number; one is a process of its own too."""

    def begin(self) -> None:
        if not self.begun:
            self._crew = Crew(self.jobs)

    def results(self, function, items, *, shared=(), name=str, warm=False):  # type: ignore[no-untyped-def]
        assert self._crew is not None
        return self._crew.results(function, items, shared, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    study, gates = ip.read_study(options.study), ip.gate.load(ip.gate.shipped_folder())
    requests = requests_of(study, study_gates(gates, study))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ip.run_study(study, gates, out=folder / "results")
        source = Source(Profile.read(folder / "results", study=study))
        pages = [page for page in pages_of(source, folder / "pages") if page.subject]
        with Begun(1) as one, Begun(2) as two:
            crews = {1: one, 2: two}
            for jobs, crew in crews.items():
                crew.begin()
                gate_all(requests[: 8 * jobs], folder / f"warm{jobs}", crew, cells=False, progress=False)
                write_pages(source, pages[: 8 * jobs], workers=crew)
            times: dict[str, dict[int, list[float]]] = {"files": {1: [], 2: []}, "pages": {1: [], 2: []}}
            for _ in range(options.rounds):
                for jobs, crew in crews.items():
                    out = folder / "out"
                    shutil.rmtree(out, ignore_errors=True)
                    begun = time.perf_counter()
                    gate_all(requests, out, crew, cells=False, progress=False)
                    times["files"][jobs].append(time.perf_counter() - begun)
                    begun = time.perf_counter()
                    write_pages(source, pages, workers=crew)
                    times["pages"][jobs].append(time.perf_counter() - begun)
    for what, found in times.items():
        number = len(requests) if what == "files" else len(pages)
        ratio = statistics.median(a / b for a, b in zip(found[1], found[2], strict=True))
        one_s, two_s = (statistics.median(found[jobs]) for jobs in (1, 2))
        print(f"{number} {what}: one process {one_s:.2f} s, two {two_s:.2f} s, {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
