"""The notebooks run from top to bottom, as a reader would run them, on a small simulated study."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Errors that a cell may print without raising.
LEAKS = (
    "Traceback (most recent call last)",
    "FutureWarning",
    "SettingWithCopyWarning",
    "RuntimeWarning",
    "TqdmWarning",
)


def test_there_are_notebooks() -> None:
    subjects = ("01_first_look", "02_gate_and_review", "03_longitudinal", "04_reports", "05_explore")
    assert [path.stem for path in NOTEBOOKS] == list(subjects)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_says_that_it_is_simulated_and_for_research(path: Path) -> None:
    first = nbformat.read(path, as_version=4).cells[0].source
    assert "**simulated**" in first
    assert "Research use only. Not for diagnosis or treatment decisions." in first


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMMUNOPROFILE_STUDY", raising=False)
    # The kernel must see this checkout, wherever it was started, and keep its own state out of the home folder.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # a kernel chooses its own, as in JupyterLab
    work = tmp_path / "work"
    work.mkdir()
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(work)}}).execute()

    text = [
        output.get("text", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream"
    ]
    for line in text:
        assert not any(leak in line for leak in LEAKS), line
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if {"image/png", "image/svg+xml"} & set(output.get("data", {}))
    ]
    assert len(pictures) >= 4, "a figure of the notebook did not show"
