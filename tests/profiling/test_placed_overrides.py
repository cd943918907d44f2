"""A gate that placement moved is drawn anew for one sample: before is the placed gate, and a run replays it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile.cli import EXIT_ERROR
from immunoprofile.errors import GateError
from immunoprofile.gate.ledger import LEDGER, read_ledger
from immunoprofile.placement import gates_of
from tests.io.fcs_files import SPILL, events, spill_text, write
from tests.profiling.test_gate_overrides import n, run
from tests.small_study import TEMPLATE, write_study
from tests.test_cli import invoke

PLACED = (
    TEMPLATE.replace("parent,gate,dim_1", "parent,gate,method,arguments,dim_1")
    .replace("lymphocytes,root,rectangle,", "lymphocytes,root,rectangle,fixed,,")
    .replace("t,lymphocytes,rectangle,CD3,0.45", "t,lymphocytes,rectangle,mindensity,events=100,CD3,0.50")
    .replace("nk,lymphocytes,rectangle,", "nk,lymphocytes,rectangle,fixed,,")
)


def two_peaks(study: Path, name: str, *, seed: int, gain: float = 1.0) -> None:
    """A file with CD3- and CD3+ events, all of them brighter by a factor."""
    rng = np.random.default_rng(seed)
    values = events(3000, seed=seed)
    bright = rng.random(3000) < 0.4
    cd3 = gain * np.where(bright, np.exp(rng.normal(9.5, 0.4, 3000)), rng.normal(150, 120, 3000))
    values[:, 2:5] = np.column_stack([cd3, np.exp(rng.normal(6, 1.5, (3000, 2)))]) @ SPILL
    write(study / "fcs" / f"{name}.fcs", values, **{"$SPILLOVER": spill_text()})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two clear peaks of CD3, brighter in the second subject, below a template that places the cut between them."""
    study = write_study(tmp_path / "study")
    for seed, (name, gain) in enumerate((("S-1_BL", 1.0), ("S-1_D14", 1.0), ("S-2_BL", 1.4)), 1):
        two_peaks(study, name, seed=seed, gain=gain)
    (study / "gating").mkdir()
    (study / "gating" / "t.csv").write_text(PLACED, encoding="utf-8")
    return tmp_path


def draw(folder: Path, sample: str = "S-1_D14", by: float | None = 0.2, reason: str = "dim CD3") -> ip.gate.Strategy:
    """Draw the gate of a sample anew, or take it back; the gates that were placed for it."""
    study, gates = ip.read_study(folder / "study"), ip.gate.load(folder / "study" / "gating")
    placed = gates_of(gates, study, sample)
    to = None if by is None else placed["t"].moved(lambda axis, place: place + by)
    ip.gate.override(gates, "t/t", to=to, sample=sample, reason=reason, author="R7", study=study, placed=placed)
    return placed


def test_before_is_the_placed_gate_and_the_run_replays_it(folder: Path) -> None:
    plain = run(folder, "before")
    placed = draw(folder)
    template = ip.gate.load(folder / "study" / "gating")["t"]
    (row,) = read_ledger(folder / "study").overrides
    assert row.before == placed["t"] != template["t"]
    told = plain.tables["placement"].set_index(["sample_id", "population"]).loc[("S-1_D14", "t"), "value"]
    assert row.before.dimensions[0].minimum == pytest.approx(told, abs=1e-8)
    made = run(folder, "after")
    counted = made.counts.set_index(["sample_id", "population"])
    assert row.n_before == n(plain, "S-1_D14") != n(made, "S-1_D14") == row.n_after
    assert row.n_parent == counted.loc[("S-1_D14", "t"), "n_parent"]
    for other in ("S-1_BL", "S-2_BL"):
        assert n(made, other) == n(plain, other)
    # where the gates lie is told as before; the override stands beside
    assert made.tables["placement"].equals(plain.tables["placement"])
    assert not made.exceptions["code"].eq("OVERRIDE_OF_ANOTHER_GATE").any()
    # replayed: another folder, and the folder of the run without it, hold the same bytes
    again, over = run(folder, "again"), run(folder, "before")
    assert again.provenance["outputs"] == made.provenance["outputs"] == over.provenance["outputs"]
    draw(folder, by=None, reason="was a mistake")
    back = run(folder, "after")
    assert n(back, "S-1_D14") == row.n_before
    assert read_ledger(folder / "study").overrides[1].n_after == row.n_before


def test_who_does_not_say_where_the_gates_lie_is_told_how(folder: Path) -> None:
    study, gates = ip.read_study(folder / "study"), ip.gate.load(folder / "study" / "gating")
    asked = {"to": gates["t"]["t"], "sample": "S-1_D14", "reason": "r", "author": "R7", "study": study}
    with pytest.raises(GateError, match=re.escape("placed=ip.placement.gates_of(gates, study, sample)")):
        ip.gate.override(gates, "t/t", **asked)
    other = replace(gates["t"], tube="u")
    with pytest.raises(GateError, match="are no gates of tube t"):
        ip.gate.override(gates, "t/t", placed=other, **asked)
    with pytest.raises(GateError, match="is no sample, control or replicate of the study"):
        gates_of(gates, study, "S-9")
    assert not (study.folder / LEDGER).exists()


def test_where_placement_moved_since_is_told(folder: Path) -> None:
    draw(folder)
    assert not run(folder).exceptions["code"].eq("OVERRIDE_OF_ANOTHER_GATE").any()
    template = folder / "study" / "gating" / "t.csv"
    template.write_text(PLACED.replace("mindensity,events=100,", "mindensity,events=100;adjust=3,"), encoding="utf-8")
    made = run(folder)
    (warned,) = made.exceptions[made.exceptions["code"] == "OVERRIDE_OF_ANOTHER_GATE"].to_dict("records")
    assert warned["sample_id"] == "S-1_D14"
    assert n(made, "S-1_D14") == read_ledger(folder / "study").overrides[0].n_after


def test_cells_and_gated_files_have_the_placed_gates(folder: Path) -> None:
    """What is read back of a run counts what the run counted, also where a rectangle became a polygon."""
    study, gates = ip.read_study(folder / "study"), ip.gate.load(folder / "study" / "gating")
    placed = gates_of(gates, study, "S-2_BL")
    low = placed["t"].dimensions[0].minimum
    assert low is not None
    corners = ((low, 0.0), (1.0, 0.0), (1.0, 0.6), (low, 0.6))
    axes = tuple(replace(axis, minimum=None, maximum=None) for axis in placed["t"].dimensions)
    drawn = replace(placed["t"], kind="polygon", dimensions=axes, vertices=corners)
    ip.gate.override(gates, "t/t", to=drawn, sample="S-2_BL", reason="r", author="R7", study=study, placed=placed)
    run(folder)
    made = ip.read_results(folder / "results", study=folder / "study")
    for sample in ("S-1_BL", "S-1_D14", "S-2_BL"):
        counts = made.counts[made.counts["sample_id"] == sample].set_index("population")["n"]
        assert made.gated(sample).counts().set_index("population")["n"].to_dict() == counts.to_dict()
    cells = made.cells("t", per_visit=None)
    assert (cells.obs["sample_id"] == "S-2_BL").sum() == n(made, "S-2_BL")


def test_check_names_a_changed_ledger(folder: Path) -> None:
    draw(folder)
    run(folder)
    assert invoke("check", folder / "study", "--results", folder / "results").exit_code == 0
    path = folder / "study" / LEDGER
    content = path.read_bytes()
    path.write_bytes(content.replace(b"dim CD3", b"dim CD4"))
    outcome = invoke("check", folder / "study")
    assert outcome.exit_code == EXIT_ERROR
    assert "row 1" in outcome.output
    path.write_bytes(b"")
    assert invoke("check", folder / "study").exit_code == EXIT_ERROR
    path.unlink()
    outcome = invoke("check", folder / "study", "--results", folder / "results")
    assert outcome.exit_code == EXIT_ERROR
    assert "overrides" in outcome.output
