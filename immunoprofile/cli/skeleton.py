"""The command that begins a study from FCS files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from immunoprofile.cli.shell import EXIT_LEFT_OUT, app
from immunoprofile.errors import ImmunoprofileError


@app.command()
def init(
    folder: Annotated[
        Path | None, typer.Argument(help="Study folder to write; with --out, the folder of the FCS files.")
    ] = None,
    fcs: Annotated[Path | None, typer.Option(help="Folder with the FCS files.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Study folder to write.")] = None,
    workspace: Annotated[Path | None, typer.Option(help="FlowJo workspace (.wsp) whose gates are taken.")] = None,
    pattern: Annotated[
        list[str] | None, typer.Option(help="How names are built, for example '{subject}_{visit}_{tube}.fcs'.")
    ] = None,
    specimen: Annotated[str, typer.Option(help="Specimen of all files, for example WB_EDTA.")] = "",
    xlsx: Annotated[bool, typer.Option("--xlsx", help="Tables as one Excel workbook.")] = False,  # noqa: FBT002
) -> None:
    """Begin a study folder from FCS files: tables, tubes, scales and proposed gates; nothing is overwritten.

    init STUDY --fcs DIR, or init DIR --out STUDY. What only a person knows is listed at the end.
    """
    from immunoprofile.skeleton import study_skeleton

    study = out or folder
    files = fcs or (folder if out is not None else None)
    if study is None or files is None:
        raise ImmunoprofileError("the study folder or the folder of the FCS files is not named", where="init",
                                 todo="immunoprofile init STUDY --fcs DIR")  # fmt: skip
    begun = study_skeleton(study, fcs=files, workspace=workspace, pattern=pattern or (), specimen=specimen, xlsx=xlsx)
    typer.echo(begun.text())
    if begun.left_out:
        raise typer.Exit(EXIT_LEFT_OUT)
