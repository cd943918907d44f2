"""Commands on a results folder: report, sdtm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from immunoprofile.cli.shell import JobsOption, OutOption, PdfOption, QuietOption, app

if TYPE_CHECKING:
    from immunoprofile.profiling import Profile


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
    from immunoprofile.errors import ResultsError
    from immunoprofile.profiling import read_results, seal
    from immunoprofile.profiling.results import verify
    from immunoprofile.report import write_all

    if changed := verify(results):
        raise ResultsError(
            f"the folder is not as it was written: {'; '.join(changed[:5])}",
            where=str(results),
            todo="run the study again",
        )
    profile = read_results(results)
    analyse(profile)
    written = write_all(
        profile, results, subject=subject, visit=visit, jobs=jobs, pdf=pdf, blinded=blinded, progress=not quiet
    )
    seal(results, {name: value for name, value in profile.provenance.items() if name != "outputs"})
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


def analyse(profile: Profile) -> None:
    """The analyses that the study declares, as CSV beside the results, and the overview of all checks as a figure."""
    from immunoprofile import pl, tl
    from immunoprofile.io.files import replacing
    from immunoprofile.tl.files import write_statistics

    tl.declared(profile.visits)
    write_statistics(profile.visits, profile.folder / "statistics")
    of_samples = profile.quality[profile.quality["sample_id"] != ""]
    if len(of_samples):
        with replacing(profile.folder / "quality" / "overview.svg") as temporary:
            temporary.write_bytes(pl.to_svg(pl.quality_overview(of_samples)))
