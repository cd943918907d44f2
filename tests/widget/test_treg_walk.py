"""A strategy drawn with the mouse alone on files that nobody here made: all gated, reviewed, and reported."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile import gate as gates_room
from immunoprofile.gate import Scale, Strategy, gate_sample
from immunoprofile.io.fcs import read_fcs
from tests.small_study import STUDY_YAML, TABLES, write_study

pytest.importorskip("anywidget")

from immunoprofile.widget import edit, review
from tests.widget.page import EditorPage, WidgetPage

STEPS: tuple[tuple[str, str, tuple[str, ...], tuple[tuple[float, float], ...]], ...] = (
    ("lymphocytes", "root", ("FSC-H", "SSC-H"), ((0.2, 0.02), (0.75, 0.02), (0.75, 0.5), (0.2, 0.5))),
    ("t", "lymphocytes", ("CD3",), ((0.55, 0.5),)),
    ("cd4", "t", ("CD4",), ((0.55, 0.5),)),
    ("treg", "cd4", ("CD25", "CD45RA"), ((0.6, 0.1), (0.98, 0.1), (0.98, 0.95), (0.65, 0.9))),
)
"""Population, parent, axes, and where the mouse clicks, in shares of the plot from its lower left corner."""


def drawn(browser: Any, file: Path) -> tuple[Strategy, dict[str, int]]:
    """The strategy from an empty template, and what the page said of each population."""
    logicle = Scale.of("logicle", {"T": 10_000.0, "W": 0.5, "M": 4.5, "A": 0.0})
    gates = Strategy("treg", (), scales=(("logicle", logicle),))
    sample = read_fcs(file)
    seen = {}
    for population, parent, axes, clicks in STEPS:
        page = EditorPage(browser, edit(sample, gates, population, parent=parent, axes=axes))
        for click in clicks[:-1]:
            page.page.mouse.click(*page.point(*click))
        (page.page.mouse.dblclick if len(clicks) > 1 else page.page.mouse.click)(*page.point(*clicks[-1]))
        seen[population] = page.exact()
        changed = page.editor.commit(reason="drawn", to="template")
        assert isinstance(changed, Strategy)
        gates = changed
        assert page.errors == [] and page.asked == []
        page.page.close()
    return gates, seen


def written_study(folder: Path, first: Path, second: Path) -> Path:
    """A study of one subject with two visits of the Treg tube."""
    config = STUDY_YAML.replace("t: {panel: T-1, gates: t,", "treg: {panel: TREG, gates: treg,")
    config = config.replace("population: t,", "population: treg,").replace("label: T cells", "label: Treg")
    rows = [line for line in TABLES["samples"].splitlines() if not line.startswith("S-2")]
    samples = "\n".join(row.replace(",t,", ",treg,") for row in rows) + "\n"
    write_study(folder, files=False, config=config, samples=samples)
    (folder / "fcs").mkdir()
    shutil.copy(first, folder / "fcs" / "S-1_BL.fcs")
    shutil.copy(second, folder / "fcs" / "S-1_D14.fcs")
    return folder


@pytest.mark.outside_data
def test_treg_strategy_is_drawn_reviewed_and_reported_with_the_mouse(
    browser: Any, outside_data: Path, tmp_path: Path
) -> None:
    folder = outside_data / "treg_tube_facscalibur_galaxy"
    files = [folder / "check_fcs_headers/test-data/input1.fcs", folder / "edit_fcs_markers/test-data/input.fcs"]
    gates, seen = drawn(browser, files[0])
    sample = read_fcs(files[0])
    assert gates.version == "4" and gates.populations == tuple(step[0] for step in STEPS)
    whole = gate_sample(sample, gates)
    assert {name: whole.n(name) for name in gates.populations} == seen
    assert 0 < seen["treg"] < seen["cd4"] < seen["t"] < seen["lymphocytes"] < sample.n_events

    # Corners are the same to the bit wherever they are written.
    gates_room.save(gates, tmp_path / "treg.csv")
    gates_room.save(gates, tmp_path / "treg.xml")
    again = gates_room.load(tmp_path / "treg.csv")["treg"]
    for one in (again, next(iter(gates_room.load(tmp_path / "treg.xml").values()))):
        before, after = (np.array(g["lymphocytes"].vertices) for g in (gates, one))
        assert before.tobytes() == after.tobytes()
    counts = gates_room.batch(files, again)
    told = counts[counts["sample_id"] == sample.sha256].set_index("population")["n"]
    assert told.to_dict() == seen

    # Gate all files of a study; the second visit is the lymphocytes of the first alone, so that its Treg are known.
    gates_room.write_fcs(whole, files[0], tmp_path / "lymphocytes.fcs", population="lymphocytes")
    written_study(tmp_path / "study", files[0], tmp_path / "lymphocytes.fcs")
    (tmp_path / "study" / "gating").mkdir()
    gates_room.save(again, tmp_path / "study" / "gating" / "treg.csv")
    study, all_gates = ip.read_study(tmp_path / "study"), gates_room.load(tmp_path / "study" / "gating")
    gates_room.check(all_gates, study)
    profile = ip.profile(study, all_gates, out=tmp_path / "results")
    table = profile.counts.pivot(index="population", columns="sample_id", values="n")
    assert table["S-1_BL"].to_dict() == table["S-1_D14"].to_dict() == seen

    # Review them, by clicks.
    record = tmp_path / "review.jsonl"
    board = review(profile, all_gates, "treg/treg", record=record, author="R7")
    page = WidgetPage(browser, board, "board")
    page.page.wait_for_function("window.stats.some(one => one.kind === 'tiles' && one.count === 2)")
    for number, button in ((1, "Accept (A)"), (2, "Flag (F)")):
        page.page.locator(".rb-tile").nth(number - 1).click()
        page.page.locator(".rb-form input").fill("the same cells twice" if number == 2 else "")
        page.page.get_by_role("button", name=button).click()
        page.page.wait_for_function(
            "n => document.querySelectorAll('.rb-tile:not([data-decision=\"\"])').length === n", arg=number
        )
    assert page.page.locator(".rb-told").inner_text() == "2 of 2 decided"
    assert page.errors == [] and page.asked == []
    page.page.close()
    decided = review(profile, all_gates, "treg/treg", record=record).decisions()
    assert decided["decision"].tolist() == ["accept", "flag"]
    assert decided["n"].tolist() == [seen["treg"]] * 2

    # And write the report.
    path = ip.report.visit(profile, "S-1", "D14").to_html(tmp_path / "D14.html")
    words = re.sub(r"<[^>]+>", " ", path.read_text(encoding="utf-8")).replace("\N{NO-BREAK SPACE}", " ")
    share = 100 * seen["treg"] / seen["cd4"]
    assert f"{share:.1f} %" in words or f"{share:.2f} %" in words, share
    assert re.search(r"treg\W+4\b|version\W+4\b", words), "the version of the template"
