"""Where a committed edit goes: the ledger for one sample or a subject, the template."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile.errors import GateError
from immunoprofile.gate import GateSet, gate_sample
from tests.widget.files import sample, strategy

pytest.importorskip("anywidget")

SHAPE = {"kind": "polygon", "vertices": [[0.1 + 0.2, 0.1], [0.45, 0.48123], [0.7, 1 / 3], [0.9, 0.2]]}
_numbers = itertools.count()


def moved(population: str = "treg", shape: Any = None) -> Any:
    file = replace(sample(), sha256=f"commit {next(_numbers)}")
    editor = ip.widget.edit(file, GateSet((strategy(),)), f"treg/{population}")
    editor.change(shape or SHAPE)
    return editor


def test_override_of_one_sample_holds_the_very_gate() -> None:
    editor = moved()
    gates = editor.commit(reason="dim CD127", author="R7")
    (found,) = gates.overrides
    assert (found.sample, found.place, found.reason, found.author) == ("D14.fcs", "treg/treg", "dim CD127", "R7")
    assert np.array(found.after.vertices).tobytes() == np.array(SHAPE["vertices"]).tobytes()
    assert found.before == strategy()["treg"] and gates["treg"] == strategy()
    assert "committed to the sample" in editor.state["closed"]


def test_template_gets_the_next_version_and_the_reason() -> None:
    gates = moved().commit(reason="new lot", to="template")
    assert gates["treg"].version == "4" and gates["treg"]["treg"].note == "new lot" and gates.overrides == ()
    named = moved().commit(reason="new lot", to="template", version="2026-A")
    assert named["treg"].version == "2026-A"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"reason": " "}, "needs a reason"),
        ({"reason": "r", "to": "everyone"}, "is no place for a gate"),
        ({"reason": "r", "to": "subject", "author": "R7"}, "said by the study"),
        ({"reason": "r"}, "author"),
    ],
)
def test_what_cannot_be_committed_leaves_the_edit_open(options: dict[str, Any], told: str) -> None:
    editor = moved()
    with pytest.raises(GateError, match=told):
        editor.commit(**options)
    assert not editor.session.closed
    editor.undo()
    with pytest.raises(GateError, match="nothing was changed"):
        editor.commit(reason="r", author="R7")


def test_quadrants_go_into_the_template_only() -> None:
    editor = moved("quads", {"kind": "quadrant", "dividers": [[0.47], [0.52]]})
    with pytest.raises(GateError, match="share their dividers"):
        editor.commit(reason="r", author="R7")
    assert editor.commit(reason="r", to="template")["treg"].version == "4"


def test_new_quadrants_go_into_the_template_at_once_and_nowhere_else() -> None:
    file = replace(sample(), sha256=f"commit {next(_numbers)}")
    editor = ip.widget.edit(file, GateSet((strategy(),)), "treg/odd", parent="cd3", axes=("CD4", "CD127"))
    editor.change({"kind": "quadrant", "dividers": [[0.47], [0.52]]})
    counts = editor.counts
    for to in ("sample", "subject"):
        with pytest.raises(GateError, match="a new population is for all samples"):
            editor.commit(reason="r", to=to, author="R7")
    changed = editor.commit(reason="CD4 by CD127", to="template")["treg"]
    assert changed.version == "4" and changed.populations == (*strategy().populations, *counts)
    assert [gate.note for gate in changed.quadrants["odd"]] == ["CD4 by CD127"] * 4
    whole = gate_sample(sample(), changed)
    assert {name: whole.n(name) for name in counts} == counts and len(counts) == 4
    again = ip.widget.edit(sample(), changed, "odd")
    assert again.counts == counts and again.state["shape"]["kind"] == "quadrant"


def test_ledger_of_the_study_has_every_sample_of_the_subject(tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(repository / "data" / "demo", folder)
    study = ip.read_study(folder)
    gates = ip.gate.load(ip.gate.shipped_folder())
    rows = study.samples[(study.samples["tube_id"] == "treg") & (study.samples["role"] == "sample")]
    usubjid = str(rows["usubjid"].iloc[0])
    own = [str(name) for name in rows[rows["usubjid"] == usubjid]["sample_id"]]
    editor = ip.widget.edit(study.fcs_path(own[0]), gates, "treg/treg", sample_id=own[0])
    corners = [list(corner) for corner in editor.gate.vertices]
    corners[1][0] -= 0.02
    editor.change({"kind": "polygon", "vertices": corners})
    counted = editor.counts["treg"]
    changed = editor.commit(reason="dim CD25", to="subject", author="R7", study=study)
    assert [one.sample for one in changed.overrides] == own
    lines = (folder / "gating" / "overrides.jsonl").read_text(encoding="utf-8").splitlines()
    recorded = [json.loads(line) for line in lines]
    assert sum("dim CD25" in line for line in lines) == len(own)
    first = next(one for one in changed.overrides if one.sample == own[0])
    assert first.n_after == counted and first.n_before is not None
    assert np.array(first.after.vertices).tobytes() == np.array(corners).tobytes()
    assert recorded
