"""The command that opens JupyterLab on the notebooks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from immunoprofile.cli.shell import app
from immunoprofile.errors import NotAvailableError, StudyError
from immunoprofile.io.files import write_bytes

STUDY_VARIABLE = "IMMUNOPROFILE_STUDY"
"""Environment variable by which the notebooks find the study."""

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_notebooks() -> list[Path]:
    """The notebooks that ship with the package: inside a wheel, or ``notebooks/`` of a checkout.

    Raises
    ------
    NotAvailableError
        Neither is there, so the installation is broken.
    """
    for folder in (_PACKAGE / "_shipped" / "notebooks", _PACKAGE.parent / "notebooks"):
        found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
        if found:
            return found
    raise NotAvailableError("the notebooks are missing", where=str(_PACKAGE), todo="install the package again")


def copied_notebooks(folder: Path) -> tuple[list[Path], list[Path]]:
    """Copy the notebooks into a folder: those that were written, and those that were there and are left as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    written, kept = [], []
    for notebook in shipped_notebooks():
        target = folder / notebook.name
        if target.exists():
            kept.append(target)
        else:
            write_bytes(target, notebook.read_bytes())
            written.append(target)
    return written, kept


@app.command()
def lab(
    study: Annotated[
        Path | None, typer.Argument(help="Study folder that the notebooks read; without one they simulate a study.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of your copies of the notebooks.")] = Path("notebooks"),
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start JupyterLab, or only copy.")] = True,  # noqa: FBT002
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,  # noqa: FBT002
) -> None:
    """Open JupyterLab on copies of the notebooks, with a study set; notebooks that are there are not overwritten."""
    if study is not None and not (study / "study.yaml").is_file():
        raise StudyError("the folder has no study.yaml", (), where=str(study), todo="immunoprofile init begins a study")
    if start and importlib.util.find_spec("jupyterlab") is None:
        raise NotAvailableError("JupyterLab is not installed", where="lab", todo='pip install "immunoprofile[lab]"')
    written, kept = copied_notebooks(out)
    typer.echo(
        f"notebooks: {len(written)} copied to {out}" + (f", {len(kept)} were there and are kept" if kept else "")
    )
    environment = dict(os.environ)
    if study is not None:
        environment[STUDY_VARIABLE] = str(study.resolve())
        typer.echo(f"study: {study.resolve()}")
    if not start:
        return
    if importlib.util.find_spec("anywidget") is None:
        typer.echo('note: without anywidget there is no gate editor: pip install "immunoprofile[lab]"', err=True)
    command = [sys.executable, "-m", "jupyterlab", *([] if browser else ["--no-browser"]), str(out)]
    raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)
