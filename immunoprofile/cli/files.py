"""Commands on FCS files without a study: gate, quality, reconcile, manifest, deidentify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from immunoprofile.cli.shell import (
    EXIT_LEFT_OUT,
    CellsOption,
    GatesOption,
    JobsOption,
    OutOption,
    QuietOption,
    app,
    leave_out,
)
from immunoprofile.errors import ImmunoprofileError, OutputError

if TYPE_CHECKING:
    from immunoprofile.compensation import Spillover

CompOption = Annotated[
    str | None,
    typer.Option("--comp", help="keyword, none, compensated, or the file of a matrix; default: that of each file."),
]
DatasetOption = Annotated[
    int | None, typer.Option("--dataset", min=1, help="Data set of files that hold several (.lmd); or name FILE[2].")
]
AmplifierOption = Annotated[
    list[str] | None,
    typer.Option("--amplifier", help="CHANNEL=log or =linear: floating point data whose $PnE names an amplifier."),
]

WriteFcsOption = Annotated[
    bool, typer.Option("--write-fcs", help="Also write each file as FCS with a channel of 0 and 1 a population.")
]
PopulationOption = Annotated[str | None, typer.Option(help="With --write-fcs: only the events of this population.")]
StatisticsOption = Annotated[
    str | None, typer.Option(help="Statistics of intensities for intensities.csv, e.g. median,geomean,rcv,p5.")
]


@app.command(name="gate")
def gate_files(
    files: Annotated[list[Path], typer.Argument(help="FCS files, of one or several tubes.")],
    out: OutOption,
    gates: GatesOption = None,
    jobs: JobsOption = 1,
    cells: CellsOption = False,  # noqa: FBT002
    write_fcs: WriteFcsOption = False,  # noqa: FBT002
    population: PopulationOption = None,
    stats: StatisticsOption = None,
    comp: CompOption = None,
    dataset: DatasetOption = None,
    amplifier: AmplifierOption = None,
    quiet: QuietOption = False,  # noqa: FBT002
) -> None:
    """Gate files without a study; the template of each file is found by its panel.

    What was left out or needs a look stands in exceptions.csv, and the exit code is then 3. When the command is
    stopped, the same one goes on where it stopped and ends with the same bytes.
    """
    from immunoprofile import gate
    from immunoprofile.gate.batch_folder import Extras, batch_to_folder
    from immunoprofile.io.fcs_source import amplifiers_of

    if population is not None and not write_fcs:
        raise typer.BadParameter("goes with --write-fcs", param_hint="--population")
    strategies = gate.load(gates or gate.shipped_folder())
    wanted = tuple(name.strip() for name in (stats or "").split(",") if name.strip())
    extras = Extras(cells=cells, fcs=write_fcs, population=population, statistics=wanted)
    done = batch_to_folder(
        files,
        strategies,
        out,
        jobs=jobs,
        extras=extras,
        comp_source=_declared(comp),
        dataset=dataset,
        amplifiers=amplifiers_of(amplifier or ()),
        progress=not quiet,
    )
    if done.resumed:
        typer.echo(f"{done.resumed} files were known from a run that was stopped")
    typer.echo(f"{done.gated} of {len(files)} files gated: {done.counts}")
    leave_out(done.exceptions)


def _declared(comp: str | None) -> str | Spillover | None:
    """What --comp says: a word, or the file of a matrix."""
    from immunoprofile.compensation import read_spillover

    return comp if comp is None or comp in ("keyword", "none", "compensated") else read_spillover(comp)


@app.command()
def quality(
    files: Annotated[list[Path], typer.Argument(help="FCS files.")],
    out: OutOption,
    quiet: QuietOption = False,  # noqa: FBT002
) -> None:
    """Check the events of files: signal over time, flow rate, margins, doublets; a figure each, and an overview."""
    import pandas as pd
    from tqdm import tqdm

    from immunoprofile import compensation, pl, schema
    from immunoprofile.io.exceptions import Notice
    from immunoprofile.io.fcs_source import named_source
    from immunoprofile.io.files import remove_files, write_bytes, write_table
    from immunoprofile.io.only_writer import export_folder
    from immunoprofile.io.progress import hidden
    from immunoprofile.pl.quality_table import overview_sketch
    from immunoprofile.pl.sketch_svg import sketch_svg
    from immunoprofile.quality import assess

    tables, exceptions = [], []
    with export_folder(out, "quality"):
        # What an earlier call said of other files would stand beside the figures of these.
        remove_files(out / name for name in ("quality.csv", "overview.svg", "exceptions.csv"))
        for path in tqdm(files, desc="quality", unit="file", disable=hidden(wanted=not quiet)):
            try:
                sample = named_source(path).read()
                chosen = compensation.decide(sample, needed=False)
                checked = assess(sample, comp=chosen.spillover)
            except ImmunoprofileError as error:
                unread = Notice("FILE_UNREADABLE", error.what, error.todo, "error")
                exceptions.append(unread.row("quality", file=path.as_posix()))
                continue
            exceptions += [notice.row("quality", file=path.as_posix()) for notice in chosen.notices]
            tables.append(checked.table().assign(file=path.as_posix(), name=f"{path.stem} {sample.sha256[:6]}"))
            write_bytes(out / f"{path.stem}-{sample.sha256[:12]}.svg", pl.to_svg(pl.file_quality(checked)))
        if tables:
            joined = pd.concat(tables, ignore_index=True)
            write_bytes(out / "overview.svg", sketch_svg(overview_sketch(joined)))
            write_table(out / "quality.csv", joined)
            found = joined["state"].value_counts()
            typer.echo(f"{len(tables)} files checked: {', '.join(f'{n} {state}' for state, n in found.items())}")
        write_table(out / "exceptions.csv", pd.DataFrame(exceptions, columns=list(schema.EXCEPTION_COLUMNS)))
    leave_out(exceptions)


@app.command()
def manifest(
    folder: Annotated[Path, typer.Argument(help="Folder with FCS files.")],
    pattern: Annotated[list[str], typer.Option(help="Name of a file, for example '{subject}_{visit}_{tube}.fcs'.")],
    out: Annotated[Path | None, typer.Option("--out", help="samples.csv to write; never overwritten.")] = None,
    study: Annotated[Path | None, typer.Option(help="Study folder whose study.yaml names visits and tubes.")] = None,
) -> None:
    """Propose samples.csv from file names and keywords; what is not known stays empty and is listed."""
    from immunoprofile.io.config import read_config
    from immunoprofile.io.manifest import propose_manifest, write_manifest

    config = None if study is None else read_config(study)
    proposed = propose_manifest(folder, pattern=pattern, config=config, study_folder=study)
    typer.echo(proposed.text())
    if out is not None:
        typer.echo(f"written: {write_manifest(proposed, out)}")
    if proposed.problems:
        raise typer.Exit(EXIT_LEFT_OUT)


@app.command()
def deidentify(
    files: Annotated[list[Path], typer.Argument(help="FCS files.")],
    out: OutOption,
    shift_days: Annotated[int | None, typer.Option(help="Move every date by so many days.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Keyword to keep, for example $CYTSN.")] = None,
) -> None:
    """Copy FCS files without the keywords that carry persons; the events stay as they are."""
    from immunoprofile.io.deidentify import deidentify_file
    from immunoprofile.io.only_writer import export_folder

    failed: list[dict[str, Any]] = []
    with export_folder(out, "deidentify"):
        for path in files:
            try:
                done = deidentify_file(path, out=out, date_shift_days=shift_days, keep=keep or ())
            except OutputError:
                raise  # no fault of the file
            except ImmunoprofileError as error:
                failed.append({"file": path.as_posix(), "message": error.what})
                continue
            typer.echo(f"{path} -> {done.path} ({len(done.dropped)} keywords taken out)")
            for name in done.echoes:
                typer.echo(f"  look at {name}: it repeats a value that was taken out", err=True)
            if done.dates_kept:
                typer.echo("  dates were kept; --shift-days moves them", err=True)
    leave_out(failed)


@app.command()
def reconcile(
    workspace: Annotated[Path, typer.Argument(help="FlowJo workspace (.wsp).")],
    fcs: Annotated[Path, typer.Option(help="Folder with its FCS files.")],
    out: Annotated[Path | None, typer.Option("--out", help="Table (.csv) to write.")] = None,
) -> None:
    """Compare our counts with those that a FlowJo workspace holds, population by population."""
    from immunoprofile.gate.flowjo_counts import compare, needs_a_look
    from immunoprofile.io.files import write_table

    done = compare(workspace, fcs)
    table = done.table
    for note in done.notes:
        typer.echo(note)
    typer.echo(table.drop(columns=["file"]).to_string(index=False, na_rep="-"))
    if out is not None:
        write_table(out, table)
    if needs_a_look(table):
        raise typer.Exit(EXIT_LEFT_OUT)
