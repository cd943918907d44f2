"""Gate editor and review board in Chromium: first picture, estimate while dragging, exact count, what a page receives.

python -m benchmarks.gate_editor [--events 1000000 5000000] [--moves 40] [--samples 60 500]

All events of the file are in the plot: a polygon on two compensated logicle channels. The kernel's side runs in this
process and the page in headless Chromium, so that a round trip holds everything except the socket of Jupyter. A board
reads the plots of its samples from files, as it does in the results of a run. Each number stands beside the limit that
was set; those of time hold on a machine on which nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from immunoprofile.gate import Strategy, gate_sample
from immunoprofile.widget import edit, review
from tests.widget.files import sample, strategy
from tests.widget.page import EditorPage, WidgetPage
from tests.widget.stand_in import stand_in

MB = 1e6
Row = tuple[str, float, str, float]
"""What was measured, the number, its unit, and the limit (infinite: none was set)."""
NONE = float("inf")


def all_events() -> Strategy:
    """The Treg gate on all events of a file."""
    own = strategy()
    return replace(own, gates=(replace(own["treg"], parent="root"),))


def editor_rows(browser: Any, n: int, moves: int) -> list[Row]:
    """One file with ``n`` events in the editor."""
    gates = all_events()
    file = sample(n)
    gated = gate_sample(file, gates)
    start, used = time.perf_counter(), time.process_time()
    editor = edit(gated, gates, "treg")
    opening, opening_used = time.perf_counter() - start, time.process_time() - used
    start = time.perf_counter()
    page = EditorPage(browser, editor)
    page.exact()
    shown = time.perf_counter() - start
    painted = page.page.evaluate("window.stats.find(one => one.kind === 'paint').ms") / 1000
    first = len(json.dumps([editor.spec, editor.state])) + len(editor.raster)
    page.page.evaluate("window.stats.length = 0")
    for number in range(moves):
        page.drag(page.handle("corner 2 of 5"), 8 if number % 2 else -8, 5 if number % 2 else -5, steps=6)
        page.exact()
    stats = page.page.evaluate("window.stats")
    corners = [list(corner) for corner in editor.gates[0].vertices]
    processor = []
    for _ in range(moves):
        corners[1][0] += 0.001
        begun = time.process_time()
        editor.session.change({"kind": "polygon", "vertices": corners})
        processor.append(1000 * (time.process_time() - begun))
    page.tell()
    assert page.exact() == gate_sample(file, editor.strategy).n("treg")
    assert (page.errors, page.asked) == ([], [])
    page.page.close()
    preview = sorted(one["ms"] for one in stats if one["kind"] == "preview")
    answer = sorted(one["ms"] for one in stats if one["kind"] == "answer")
    million = n <= 1_000_000
    return [
        ("kernel opens", opening, "s", NONE),
        ("kernel opens, processor time", opening_used, "s", NONE),
        ("module until it has painted, in the page", painted, "s", NONE),
        ("first paint: kernel and module", opening + painted, "s", 1.0 if million else NONE),
        ("exact count stands, with a browser's page opened for it", opening + shown, "s", NONE),
        ("estimate, median", statistics.median(preview), "ms", 16.0),
        ("estimate, p95", preview[int(0.95 * (len(preview) - 1))], "ms", NONE),
        ("exact count, median", statistics.median(answer), "ms", 100.0 if million else 400.0),
        ("exact count, p95", answer[int(0.95 * (len(answer) - 1))], "ms", NONE),
        ("exact count, processor time of the kernel, median", statistics.median(processor), "ms", NONE),
        ("sent to the page", first / MB, "MB", NONE),
    ]


def board_rows(browser: Any, samples: int, folder: Path) -> list[Row]:
    """A board of so many samples, three visits each."""
    subjects = [f"S-{number}" for number in range(1, -(-samples // 3) + 1)]
    study = stand_in(subjects=subjects, events=5000, folder=folder)
    start, used = time.perf_counter(), time.process_time()
    board = review(study, study.gates, "treg/treg")  # type: ignore[arg-type]
    opening, opening_used = time.perf_counter() - start, time.process_time() - used
    start = time.perf_counter()
    page = WidgetPage(browser, board, "board")
    page.page.wait_for_function(  # every plot in view has its picture
        """() => { const seen = [...document.querySelectorAll('.rb-tile canvas')].filter(c => {
             const b = c.getBoundingClientRect(); return b.bottom > 0 && b.top < innerHeight; });
           return seen.length && window.stats.some(one => one.kind === 'tiles' && one.count >= seen.length) }"""
    )
    shown = time.perf_counter() - start
    first = len(json.dumps([board.spec, board.state])) + page.kernel.sent
    page.page.evaluate(
        """async () => { const grid = document.querySelector('.rb-grid');
        for (let y = 0; y <= grid.scrollHeight; y += 400) { grid.scrollTop = y;
          await new Promise(done => setTimeout(done, 60)) } }"""
    )
    page.page.wait_for_function(
        "n => window.stats.some(one => one.kind === 'tiles' && one.count === n)", arg=3 * len(subjects)
    )
    whole = len(json.dumps([board.spec, board.state])) + page.kernel.sent
    assert (page.errors, page.asked) == ([], [])
    page.page.close()
    return [
        ("kernel opens", opening, "s", NONE),
        ("kernel opens, processor time", opening_used, "s", NONE),
        ("page until all in view are painted, with the page itself", shown, "s", NONE),
        ("first paint: both", opening + shown, "s", 2.0),
        ("sent until then", first / MB, "MB", NONE),
        ("sent after scrolling through all", whole / MB, "MB", 5.0 if samples <= 60 else NONE),
    ]


def shown(what: str, rows: list[Row]) -> None:
    """Lines of a table of Markdown."""
    for name, value, unit, limit in rows:
        told = "-" if limit == NONE else f"{'within' if value < limit else 'OVER'} {limit:g} {unit}"
        print(f"| {what} | {name} | {value:,.3g} {unit} | {told} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="*", default=[1_000_000, 5_000_000])
    parser.add_argument("--moves", type=int, default=40)
    parser.add_argument("--samples", type=int, nargs="*", default=[60, 500])
    options = parser.parse_args()
    found = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
    edit(gate_sample(sample(1000), all_events()), all_events(), "treg")  # what is compiled or imported once
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("| what | measured | number | limit |\n|---|---|---|---|")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        browser.new_page().close()
        for n in options.events:
            shown(f"editor, {n:,} events", editor_rows(browser, n, options.moves))
        for n in options.samples:
            with tempfile.TemporaryDirectory() as folder:
                shown(f"board, {n} samples", board_rows(browser, n, Path(folder)))
        browser.close()


if __name__ == "__main__":
    main()
