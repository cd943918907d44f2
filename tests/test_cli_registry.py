"""The command that lists populations."""

from __future__ import annotations

from typer.testing import CliRunner

from immunoprofile.cli import app
from immunoprofile.resources import populations
from tests.gate.workspaces import axis, linear, population, rectangle, sample, workspace


def test_every_id_is_listed_with_its_definition():
    result = CliRunner().invoke(app, ["populations"])
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.output.splitlines()}
    assert set(lines) == set(populations())
    assert "CD3+CD4+CD25hiCD127lo" in lines["treg"]
    assert "CL:0000792" in lines["treg"]


def test_names_of_a_workspace_with_the_rows_to_write(tmp_path):
    cells = population("NK cells (CD56+)", rectangle(axis("FITC-A", 500)))
    (tmp_path / "lab.wsp").write_bytes(workspace(sample(1, "a.fcs", cells, scales=linear("FITC-A"))))
    result = CliRunner().invoke(app, ["populations", "--gates", str(tmp_path / "lab.wsp")])
    assert result.exit_code == 0, result.output
    assert "lab,NK cells (CD56+),nk" in result.output
