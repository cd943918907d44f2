"""The page on one's own data is run as it stands: each command, and each line that it is said to print."""

from __future__ import annotations

import shlex
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

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
