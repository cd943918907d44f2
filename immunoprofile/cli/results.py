"""Commands on results folders: report, restate, sdtm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from immunoprofile.cli.shell import JobsOption, OutOption, PdfOption, QuietOption, app


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Results folder.")],
    subject: Annotated[str | None, typer.Option(help="Only this subject.")] = None,
    visit: Annotated[str | None, typer.Option(help="Only this visit.")] = None,
    jobs: JobsOption = 1,
    pdf: PdfOption = False,  # noqa: FBT002
    blinded: Annotated[bool, typer.Option("--blinded", help="Without arm, doses, dates and file names.")] = False,  # noqa: FBT002
    quiet: QuietOption = False,  # noqa: FBT002
) -> None:
    """Write the reports of a results folder again; the FCS files are not needed."""
    from immunoprofile.report.complete import Asked, write_reports
    from immunoprofile.workers import Processes

    asked = Asked(subject, visit, workers=Processes(jobs), pdf=pdf, blinded=blinded, progress=not quiet, again=True)
    written = write_reports(results, asked)
    typer.echo(f"{len(written)} files written below {results / 'reports'}")


EXIT_MOVED = 4
EXIT_UNEXPLAINED = 5


@app.command()
def restate(
    old: Annotated[Path, typer.Argument(help="Results folder that was issued.")],
    new: Annotated[Path, typer.Argument(help="Results folder of the same study, made later.")],
    out: OutOption = Path("restatement"),
) -> None:
    """Say which reported numbers, verdicts and sentences moved between two results, by how much and why.

    Writes restatement.csv and restatement.html. Exit code 0: nothing moved; 4: something moved, each row with its
    cause; 5: something moved for which nothing differs; 1: nothing was compared.
    """
    from immunoprofile.report import restate as compare
    from immunoprofile.report import write_restatement

    found = compare(old, new)
    written = write_restatement(found, out)
    for cause in dict.fromkeys(map(str, found.causes)):
        typer.echo(f"differs: {cause}")
    kinds = found.table["kind"].value_counts()
    told = ", ".join(f"{kinds.get(kind, 0)} {words}" for kind, words in
                     (("words", "verdicts, states and sentences"), ("printed", "cells of pages"),
                      ("number", "numbers of tables"), ("row", "rows")))  # fmt: skip
    typer.echo(f"moved: {told}, of {found.compared} compared; unexplained: {found.unexplained}")
    typer.echo(f"page: {written[1]}")
    if len(found.table):
        raise typer.Exit(EXIT_UNEXPLAINED if found.unexplained else EXIT_MOVED)


@app.command()
def sdtm(
    results: Annotated[Path, typer.Argument(help="Results folder.")],
    out: OutOption,
) -> None:
    """Export a results folder as CDISC SDTM tables (CSV); what no domain can hold is listed in unmapped.csv."""
    from immunoprofile.profiling import read_results
    from immunoprofile.profiling.sdtm_export import export_sdtm

    exported = export_sdtm(read_results(results), out)
    for code, table in exported.domains.items():
        typer.echo(f"{code.lower()}.csv  {len(table)} records")
    typer.echo(f"unmapped.csv  {len(exported.unmapped)} entries: look at them before a submission")
