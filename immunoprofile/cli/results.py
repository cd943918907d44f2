"""Commands on a results folder: report, sdtm."""

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

    asked = Asked(subject, visit, jobs=jobs, pdf=pdf, blinded=blinded, progress=not quiet, again=True)
    written = write_reports(results, asked)
    typer.echo(f"{len(written)} files written below {results / 'reports'}")


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
