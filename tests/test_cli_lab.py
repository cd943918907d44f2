"""`immunoprofile lab`: copies of the notebooks, a study set, JupyterLab started on them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from immunoprofile.cli import app
from immunoprofile.cli import lab as lab_module
from immunoprofile.errors import StudyError

ROOT = Path(__file__).resolve().parent.parent
runner = CliRunner()


def test_notebooks_are_copied_once_and_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    first = runner.invoke(app, ["lab", "--out", str(folder), "--no-start"])
    assert first.exit_code == 0, first.output
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    own = folder / names[0]
    own.write_text("mine", encoding="utf-8")
    again = runner.invoke(app, ["lab", "--out", str(folder), "--no-start"])
    assert f"{len(names)} were there and are kept" in again.output
    assert own.read_text(encoding="utf-8") == "mine"


def test_jupyterlab_starts_on_the_copies_with_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        seen.update(command=command, env=options["env"])
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr(lab_module.subprocess, "run", run)
    study = ROOT / "data" / "demo"
    done = runner.invoke(app, ["lab", str(study), "--out", str(tmp_path / "nb"), "--no-browser"])
    assert done.exit_code == 7, "what JupyterLab said"
    assert seen["command"] == [sys.executable, "-m", "jupyterlab", "--no-browser", str(tmp_path / "nb")]
    assert seen["env"]["IMMUNOPROFILE_STUDY"] == str(study.resolve())


def test_a_folder_that_is_no_study_is_refused(tmp_path: Path) -> None:
    done = runner.invoke(app, ["lab", str(tmp_path), "--no-start"])
    assert isinstance(done.exception, StudyError)
    assert "study.yaml" in str(done.exception)
    assert not (tmp_path / "notebooks").exists()
