"""A whole strategy drawn with the mouse alone, from an empty template, on files that nobody here made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from immunoprofile import gate as gates_room
from immunoprofile.gate import Scale, Strategy, gate_sample
from immunoprofile.io.fcs import read_fcs

pytest.importorskip("anywidget")

from immunoprofile.widget import edit
from tests.widget.page import EditorPage

STEPS: tuple[tuple[str, str, tuple[str, ...], tuple[tuple[float, float], ...]], ...] = (
    ("lymphocytes", "root", ("FSC-H", "SSC-H"), ((0.2, 0.02), (0.75, 0.02), (0.75, 0.5), (0.2, 0.5))),
    ("t", "lymphocytes", ("CD3",), ((0.55, 0.5),)),
    ("cd4", "t", ("CD4",), ((0.55, 0.5),)),
    ("treg", "cd4", ("CD25", "CD45RA"), ((0.6, 0.1), (0.98, 0.1), (0.98, 0.95), (0.65, 0.9))),
)
"""Population, parent, axes, and where the mouse clicks, in shares of the plot from its lower left corner."""


@pytest.mark.outside_data
def test_treg_strategy_is_drawn_with_the_mouse(browser: Any, outside_data: Path, tmp_path: Path) -> None:
    folder = outside_data / "treg_tube_facscalibur_galaxy"
    files = [folder / "check_fcs_headers/test-data/input1.fcs", folder / "edit_fcs_markers/test-data/input.fcs"]
    logicle = Scale.of("logicle", {"T": 10_000.0, "W": 0.5, "M": 4.5, "A": 0.0})
    gates = Strategy("treg", (), scales=(("logicle", logicle),))
    sample = read_fcs(files[0])
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
    assert gates.version == "4" and gates.populations == tuple(step[0] for step in STEPS)
    whole = gate_sample(sample, gates)
    assert {name: whole.n(name) for name in gates.populations} == seen
    assert 0 < seen["treg"] < seen["cd4"] < seen["t"] < seen["lymphocytes"] < sample.n_events
    gates_room.save(gates, tmp_path / "treg.csv")
    gates_room.save(gates, tmp_path / "treg.xml")
    again = gates_room.load(tmp_path / "treg.csv")["treg"]
    for one in (again, next(iter(gates_room.load(tmp_path / "treg.xml").values()))):
        before, after = (np.array(g["lymphocytes"].vertices) for g in (gates, one))
        assert before.tobytes() == after.tobytes()
    counts = gates_room.batch(files, again)
    told = counts[counts["sample_id"] == sample.sha256].set_index("population")["n"]
    assert told.to_dict() == seen
