"""Gate editor in Chromium: time to the first picture, estimate while dragging, exact count after a move.

python -m benchmarks.gate_editor [--events 1000000 5000000] [--moves 40]

The kernel's side runs in this process and the page in headless Chromium, so that a round trip holds everything except
the socket of Jupyter. All times are of this machine, with whatever else ran on it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time

from playwright.sync_api import sync_playwright

from immunoprofile.gate import gate_sample
from immunoprofile.widget import edit
from tests.widget.files import sample, strategy
from tests.widget.page import EditorPage


def measured(browser: object, n: int, moves: int) -> dict[str, float]:
    file = sample(n)
    gated = gate_sample(file, strategy())
    start, used = time.perf_counter(), time.process_time()
    editor = edit(gated, strategy(), "treg")
    opening, opening_used = time.perf_counter() - start, time.process_time() - used
    start = time.perf_counter()
    page = EditorPage(browser, editor)
    page.exact()
    painted = time.perf_counter() - start
    page.page.evaluate("window.stats.length = 0")
    for number in range(moves):
        page.drag(page.handle("corner 2 of 5"), 8 if number % 2 else -8, 5 if number % 2 else -5, steps=6)
        page.exact()
    stats = page.page.evaluate("window.stats")
    corners = [list(corner) for corner in editor.gates[0].vertices]
    processor = []
    for number in range(moves):
        corners[1][0] += 0.01 if number % 2 else -0.01
        start = time.process_time()
        editor.session.change({"kind": "polygon", "vertices": corners})
        processor.append(1000 * (time.process_time() - start))
    page.tell()
    assert page.exact() == gate_sample(file, editor.strategy).n("treg")
    page.page.close()
    preview = sorted(one["ms"] for one in stats if one["kind"] == "preview")
    answer = sorted(one["ms"] for one in stats if one["kind"] == "answer")
    return {
        "events of the parent": editor.session.files[0].n_events,
        "open in the kernel, ms": 1000 * opening,
        "open in the kernel, ms of processor time": 1000 * opening_used,
        "page until painted, ms": 1000 * painted,
        "estimate, median ms": statistics.median(preview),
        "estimate, p95 ms": preview[int(0.95 * (len(preview) - 1))],
        "exact count, median ms": statistics.median(answer),
        "exact count in the kernel, median ms of processor time": statistics.median(processor),
        "exact count, p95 ms": answer[int(0.95 * (len(answer) - 1))],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--moves", type=int, default=40)
    options = parser.parse_args()
    found = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
    edit(gate_sample(sample(1000), strategy()), strategy(), "treg")  # what is compiled or imported once
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        for n in options.events:
            for name, value in measured(browser, n, options.moves).items():
                print(f"{n:,} events: {name}: {value:,.1f}")
        browser.close()


if __name__ == "__main__":
    main()
