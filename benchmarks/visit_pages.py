"""Processor time of visit pages of this build against another commit, page by page in turn.

    python -m benchmarks.visit_pages RESULTS OTHER_RESULTS [--against b29c9cf] [--pages 20]

``RESULTS`` were made by this build, ``OTHER_RESULTS`` by the other commit, of one study. Both builds run in a process
each and are asked for the same page one after the other, so that a busy machine slows both; the first three pages warm
both up and are not counted. A page is its model, its HTML and its JSON twin, written.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.whole_run import ROOT, checked_out

WARM = 3

# Runs in the process of either build.
WORKER = """
import json, sys, time, warnings
from pathlib import Path

warnings.simplefilter("ignore")
from immunoprofile import read_results
from immunoprofile.report.render import render_visit
from immunoprofile.report.source import Source
from immunoprofile.report.visit_model import build_visit

source, place = Source(read_results(Path(sys.argv[1])), False), Path(sys.argv[2])
print("ready", flush=True)
for line in sys.stdin:
    subject, visit = json.loads(line)
    begun = time.process_time()
    model = build_visit(source, subject, visit)
    known = time.process_time()
    page = render_visit(model)
    drawn = time.process_time()
    page.to_json(place / "page.json")
    page.to_html(place / "page.html")
    ended = time.process_time()
    print(json.dumps([known - begun, drawn - known, ended - drawn, ended - begun]), flush=True)
"""
PARTS = ("facts of the page", "figures, HTML, twin", "written", "all")


def worker(build: Path, results: Path, place: Path) -> subprocess.Popen[str]:
    """A process of a build that draws the pages that it is asked for."""
    environment = {**os.environ, "PYTHONPATH": str(build), "OPENBLAS_NUM_THREADS": "1"}
    made = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(results.resolve()), str(place)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=build, env=environment,
    )  # fmt: skip
    assert made.stdout is not None
    assert made.stdout.readline() == "ready\n"
    return made


def ask(process: subprocess.Popen[str], page: list[str]) -> list[float]:
    """Seconds of each part of a page."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(page) + "\n")
    process.stdin.flush()
    found: list[float] = json.loads(process.stdout.readline())
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Visit pages of this build against those of another commit")
    parser.add_argument("results", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--against", default="b29c9cf", help="commit")
    parser.add_argument("--pages", type=int, default=20)
    chosen = parser.parse_args()
    files = sorted((chosen.results / "reports").glob("*/*.html"))[: chosen.pages + WARM]
    twins = [json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["content"] for path in files]
    pages = [[one["subject"], one["visit"]] for one in twins]
    with tempfile.TemporaryDirectory() as folder, checked_out(chosen.against, Path(folder) / "build") as build:
        places = [Path(folder) / name for name in ("other", "this")]
        for place in places:
            place.mkdir()
        processes = [worker(build, chosen.other, places[0]), worker(ROOT, chosen.results, places[1])]
        try:
            found = [[ask(process, page) for process in processes] for page in pages][WARM:]
        finally:
            for process in processes:
                process.kill()
    print(f"{len(found)} pages, medians in milliseconds of processor time\n")
    print(f"| part | {chosen.against} | this | ratio |\n|---|---|---|---|")
    for place, part in enumerate(PARTS):
        other, this = ([1000 * both[side][place] for both in found] for side in (0, 1))
        ratio = statistics.median(a / b for a, b in zip(other, this, strict=True))
        print(f"| {part} | {statistics.median(other):.0f} | {statistics.median(this):.0f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
