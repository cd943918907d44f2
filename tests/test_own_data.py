"""The page on one's own data is run as it stands: each command, and each line that it is said to print."""

from __future__ import annotations

import shlex
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import immunoprofile as ip
from immunoprofile.cli import app

FOLDER = "from-the-lab"


def steps(page: Path) -> list[tuple[list[str], list[str]]]:
    """Commands of the page, each with the lines that stand below it."""
    found: list[tuple[list[str], list[str]]] = []
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("    $ immunoprofile "):
            found.append((shlex.split(line.removeprefix("    $ immunoprofile ")), []))
        elif line.startswith("    ") and found:
            found[-1][1].append(line.strip())
    return found


@pytest.mark.slow
@pytest.mark.outside_data
def test_the_walk_of_the_page(repository, outside_data, tmp_path, monkeypatch):
    (tmp_path / FOLDER).symlink_to(outside_data / "itn507_multitube" / "multitube", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    walk = steps(repository / "docs" / "own-data.md")
    assert [words[0] for words, _ in walk] == ["init", "check", "run"]
    for words, lines in walk:
        outcome = CliRunner().invoke(app, words, catch_exceptions=False)
        assert outcome.exit_code == 0, outcome.output
        assert lines, words
        for line in lines:
            assert line in outcome.output, (line, outcome.output)
    # Each patient's blood is in every tube: its T cells agree where CD3 stands on the same dye.
    counts = pd.read_csv(tmp_path / "results" / "counts.csv")
    counts["subject"] = counts["sample_id"].str.split("_").str[0]
    t = counts[counts["population"] == "t"].pivot(index="subject", columns="tube", values="pct_parent")
    same = t[["tube2", "tube5", "tube6"]]
    assert float((same.max(axis=1) - same.min(axis=1)).max()) < 3.5


@pytest.mark.outside_data
def test_a_study_from_a_flowjo_workspace(outside_data, tmp_path):
    """One file of mouse spleen with its workspace: gates are those of the workspace, names are tied by a person."""
    source = outside_data / "wsp_flowjo_mouse_flowsom"
    study = tmp_path / "study"
    begun = ip.study_skeleton(study, fcs=source, workspace=source / "gating.wsp", specimen="PBMC_FRESH")
    assert (study / "gating" / "gating.wsp").read_bytes() == (source / "gating.wsp").read_bytes()
    assert "gates of gating.wsp (gating), 15 populations" in begun.text()
    (study / "populations.csv").write_text("tube,source,population\n,NK cells,nk\n,B cells,b\n")
    checked = CliRunner().invoke(app, ["check", str(study), "--quiet"], catch_exceptions=False)
    assert checked.exit_code == 0, checked.output
    done = CliRunner().invoke(app, ["run", str(study), "--out", str(tmp_path / "r"), "--quiet"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    counts = pd.read_csv(tmp_path / "r" / "counts.csv").set_index("population")["n"]
    # As FlowKit's Workspace counts them, and within 13 events of FlowJo.
    expected = {"singlets": 18_702, "nk": 312, "b": 2460, "t_cells": 10_747, "cd4_t_cells": 7482, "cd8_t_cells": 1407}
    assert {name: int(counts[name]) for name in expected} == expected
