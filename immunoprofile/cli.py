"""Command line: a thin shell over the same functions that Python users call.

Exit codes: 0 all went well; 1 nothing was done, the message says why; 2 the command line was wrong; 3 done, but
something was left out (see ``exceptions.csv``).
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from immunoprofile._version import __version__
from immunoprofile.errors import ImmunoprofileError

if TYPE_CHECKING:
    from immunoprofile.profiling import Profile

EXIT_ERROR = 1
EXIT_LEFT_OUT = 3

app = typer.Typer(
    name="immunoprofile",
    help="Immune monitoring in clinical trials: from FCS files to a per-visit immune report. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

OutOption = Annotated[Path, typer.Option("--out", help="Folder to write; made when absent.")]
SubjectsOption = Annotated[int, typer.Option(min=2, help="Number of simulated subjects, in two arms.")]
EventsOption = Annotated[int, typer.Option(min=1000, help="Events in each FCS file.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed: the same seed gives the same bytes.")]
EffectOption = Annotated[Literal["il2", "none"], typer.Option(help="none switches the effect of IL-2 off.")]
GatesOption = Annotated[
    Path | None,
    typer.Option(
        "--gates",
        help="Templates (folder or .csv), GatingML (.xml), FlowJo (.wsp); default: gating/ of the study, or shipped.",
    ),
]
JobsOption = Annotated[int, typer.Option(min=1, help="Files and reports to work on at the same time.")]
CellsOption = Annotated[bool, typer.Option("--cells", help="Also write all events of each sample (cells/*.h5ad).")]
PdfOption = Annotated[bool, typer.Option("--pdf", help="Also write PDF (needs the pdf extra).")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,  # noqa: FBT002
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


class _Stages:
    """Times of the stages of a command, printed as they end and kept for run.log."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._start = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self._say(name, time.perf_counter() - begun)

    def total(self) -> None:
        self._say("total", time.perf_counter() - self._start)

    def _say(self, name: str, seconds: float) -> None:
        self.lines.append(f"{name:<22}{seconds:8.1f} s")
        typer.echo(self.lines[-1])


@app.command()
def demo(
    out: OutOption = Path("demo"),
    subjects: SubjectsOption = 10,
    events: EventsOption = 20_000,
    seed: SeedOption = 2020,
    effect: EffectOption = "il2",
    jobs: JobsOption = 2,
    quiet: QuietOption = False,  # noqa: FBT002
) -> None:
    """Simulate a small trial, gate it, and write its reports.

    The simulated study holds deliberate faults, among them a truncated file: it is listed in exceptions.csv and the
    exit code is 3, as it would be for a real study.
    """
    stages = _Stages()
    study_folder = out / "study"
    settings = {"subjects": subjects, "events": events, "seed": seed, "effect": effect, "version": __version__}
    with stages.stage("simulate"):
        _simulate_once(study_folder, out / "simulation.json", settings, progress=not quiet)
    _run(study_folder, out / "results", None, jobs=jobs, cells=False, pdf=False, progress=not quiet, stages=stages)


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Study folder to write.")],
    subjects: SubjectsOption = 10,
    events: EventsOption = 20_000,
    seed: SeedOption = 2020,
    effect: EffectOption = "il2",
    quiet: QuietOption = False,  # noqa: FBT002
) -> None:
    """Write a simulated study folder: tables and FCS files of the IL-2 and CMV trial."""
    from immunoprofile import datasets

    folder = datasets.il2_cmv(out, subjects=subjects, events=events, seed=seed, effect=effect, progress=not quiet)
    typer.echo(f"study folder: {folder}")


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Study folder, or results folder.")],
    gates: GatesOption = None,
    quiet: QuietOption = False,  # noqa: FBT002
) -> None:
    """Check a study folder (tables, files, panels), or that a results folder is as it was written."""
    from immunoprofile.profiling.results import PROVENANCE, verify

    if (folder / PROVENANCE).is_file():
        changed = verify(folder)
        for line in changed:
            typer.echo(line)
        if changed:
            raise typer.Exit(EXIT_ERROR)
        typer.echo("all files are as they were written")
        return
    import pandas as pd

    from immunoprofile import gate
    from immunoprofile.profiling.preflight import check_files, prepare
    from immunoprofile.study import read_study

    study = read_study(folder)
    source = _gates_of(folder, gates)
    prepare(study, gate.load(source))
    typer.echo(repr(study))
    typer.echo(f"gates: {source}")
    exceptions = pd.concat([study.exceptions, check_files(study, progress=not quiet)], ignore_index=True)
    _tell_exceptions(exceptions)
    for row in exceptions[exceptions["severity"] == "warning"].to_dict("records"):
        where = " ".join(str(row[name]) for name in ("table", "file", "usubjid", "visit") if row[name])
        typer.echo(f"warning: {where}: {row['message']}")
    if (exceptions["severity"] == "error").any():
        raise typer.Exit(EXIT_LEFT_OUT)


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="Study folder.")],
    out: OutOption = Path("results"),
    gates: GatesOption = None,
    jobs: JobsOption = 1,
    cells: CellsOption = False,  # noqa: FBT002
    pdf: PdfOption = False,  # noqa: FBT002
    quiet: QuietOption = False,  # noqa: FBT002
) -> None:
    """Gate a whole study, compare it over time, and write its reports."""
    _run(study, out, gates, jobs=jobs, cells=cells, pdf=pdf, progress=not quiet, stages=_Stages())


@app.command(name="gate")
def gate_files(
    files: Annotated[list[Path], typer.Argument(help="FCS files, of one or several tubes.")],
    out: OutOption,
    gates: GatesOption = None,
    jobs: JobsOption = 1,
    cells: CellsOption = False,  # noqa: FBT002
    quiet: QuietOption = False,  # noqa: FBT002
) -> None:
    """Gate files without a study; the template of each file is found by its panel."""
    import pandas as pd

    from immunoprofile import gate, schema
    from immunoprofile.gate.batch import batch, write_cells
    from immunoprofile.io.files import write_table

    strategies = gate.load(gates or gate.shipped_folder())
    exceptions: list[dict[str, Any]] = []
    counts = batch(files, strategies, jobs=jobs, progress=not quiet, exceptions=exceptions)
    write_table(out / "counts.csv", counts)
    write_table(out / "exceptions.csv", pd.DataFrame(exceptions, columns=list(schema.EXCEPTION_COLUMNS)))
    if cells:
        failed = {row["file"] for row in exceptions}
        write_cells([file for file in files if file.as_posix() not in failed], strategies, out / "cells")
    typer.echo(f"{counts['file'].nunique()} of {len(files)} files gated: {out / 'counts.csv'}")
    _leave_out(exceptions)


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
    from immunoprofile.io.fcs import read_fcs
    from immunoprofile.io.files import replacing, write_table
    from immunoprofile.quality import assess

    tables, exceptions = [], []
    for path in tqdm(files, desc="quality", unit="file", disable=quiet):
        try:
            sample = read_fcs(path)
            checked = assess(sample, comp=compensation.from_keywords(sample))
        except ImmunoprofileError as error:
            row = dict.fromkeys(schema.EXCEPTION_COLUMNS, "")
            place = {"stage": "quality", "severity": "error", "code": "FILE_UNREADABLE", "file": path.as_posix()}
            exceptions.append(row | place | {"message": error.what, "action": error.todo})
            continue
        tables.append(checked.table().assign(file=path.as_posix(), name=f"{path.stem} {sample.sha256[:6]}"))
        with replacing(out / f"{path.stem}-{sample.sha256[:12]}.svg") as temporary:
            temporary.write_bytes(pl.to_svg(pl.file_quality(checked)))
    write_table(out / "exceptions.csv", pd.DataFrame(exceptions, columns=list(schema.EXCEPTION_COLUMNS)))
    if tables:
        joined = pd.concat(tables, ignore_index=True)
        write_table(out / "quality.csv", joined)
        with replacing(out / "overview.svg") as temporary:
            temporary.write_bytes(pl.to_svg(pl.quality_overview(joined)))
        found = joined["state"].value_counts()
        typer.echo(f"{len(tables)} files checked: {', '.join(f'{n} {state}' for state, n in found.items())}")
    _leave_out(exceptions)


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

    failed: list[dict[str, Any]] = []
    for path in files:
        try:
            done = deidentify_file(path, out=out, date_shift_days=shift_days, keep=keep or ())
        except ImmunoprofileError as error:
            failed.append({"file": path.as_posix(), "message": error.what})
            continue
        typer.echo(f"{path} -> {done.path} ({len(done.dropped)} keywords taken out)")
        for name in done.echoes:
            typer.echo(f"  look at {name}: it repeats a value that was taken out", err=True)
        if done.dates_kept:
            typer.echo("  dates were kept; --shift-days moves them", err=True)
    _leave_out(failed)


@app.command()
def reconcile(
    workspace: Annotated[Path, typer.Argument(help="FlowJo workspace (.wsp).")],
    fcs: Annotated[Path, typer.Option(help="Folder with its FCS files.")],
    out: Annotated[Path | None, typer.Option("--out", help="Table (.csv) to write.")] = None,
) -> None:
    """Compare our counts with those that a FlowJo workspace holds, population by population."""
    from immunoprofile.gate.flowjo_counts import needs_a_look, reconcile
    from immunoprofile.io.files import write_table

    table = reconcile(workspace, fcs)
    typer.echo(table.drop(columns=["file"]).to_string(index=False, na_rep="-"))
    if out is not None:
        write_table(out, table)
    if needs_a_look(table):
        raise typer.Exit(EXIT_LEFT_OUT)


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
    _analyse(profile)
    written = write_all(
        profile, results, subject=subject, visit=visit, jobs=jobs, pdf=pdf, blinded=blinded, progress=not quiet
    )
    seal(results, {name: value for name, value in profile.provenance.items() if name != "outputs"})
    typer.echo(f"{len(written)} files written below {results / 'reports'}")


def _leave_out(rows: Sequence[Mapping[str, Any]]) -> None:
    """Tell what was left out and end with the exit code that says so."""
    for row in rows:
        typer.echo(f"left out: {row['file']}: {row['message']}", err=True)
    if rows:
        raise typer.Exit(EXIT_LEFT_OUT)


def _gates_of(study: Path, gates: Path | None) -> Path:
    """The gates that were named, else those of the study, else the shipped ones."""
    from immunoprofile import gate

    own = study / "gating"
    return gates or (own if own.is_dir() else gate.shipped_folder())


def _simulate_once(folder: Path, record: Path, settings: dict[str, Any], *, progress: bool) -> None:
    """Simulate the study of the demo, or take the one that is there when it was made with the same settings."""
    from immunoprofile import datasets
    from immunoprofile.io.files import write_json

    if record.is_file() and folder.is_dir():
        if json.loads(record.read_text(encoding="utf-8")) == settings:
            typer.echo(f"using the simulated study in {folder}")
            return
        raise ImmunoprofileError(
            "holds a demo with other settings",
            where=str(folder.parent),
            todo="choose another --out, or delete the folder",
        )
    options = {name: value for name, value in settings.items() if name != "version"}
    datasets.il2_cmv(folder, **options, progress=progress)
    write_json(record, settings)


def _run(
    study_folder: Path,
    out: Path,
    gates: Path | None,
    *,
    jobs: int,
    cells: bool,
    pdf: bool,
    progress: bool,
    stages: _Stages,
) -> None:
    from immunoprofile import gate
    from immunoprofile.io.files import write_text
    from immunoprofile.profiling import profile, seal
    from immunoprofile.profiling.results import RUN_LOG
    from immunoprofile.study import read_study

    with stages.stage("read the study"):
        study = read_study(study_folder)
        source = _gates_of(study_folder, gates)
        strategies = gate.load(source)
    typer.echo(f"gates: {source}")
    with stages.stage("gate the files"):
        result = profile(study, strategies, out=out, jobs=jobs, cells=cells, progress=progress)
    with stages.stage("statistics"):
        _analyse(result)
    with stages.stage("reports"):
        from immunoprofile.report import write_all

        write_all(result, out, jobs=jobs, pdf=pdf, progress=progress)
    with stages.stage("hashes"):
        seal(out, {name: value for name, value in result.provenance.items() if name != "outputs"})
    stages.total()
    write_text(out / RUN_LOG, "\n".join(stages.lines) + "\n")
    typer.echo(repr(result))
    _tell_exceptions(result.exceptions)
    typer.echo(f"visits (AnnData): {out / 'visits.h5ad'}")
    typer.echo(f"cohort page:      {out / 'reports' / 'cohort.html'}")
    if (result.exceptions["severity"] == "error").any():
        raise typer.Exit(EXIT_LEFT_OUT)


def _analyse(profile: Profile) -> None:
    """The analyses that the study declares, as CSV beside the results, and the overview of all checks as a figure."""
    from immunoprofile import get, pl, schema, tl
    from immunoprofile.io.files import replacing, write_table

    tl.declared(profile.visits)
    for key in schema.STATISTICS:
        write_table(profile.folder / "statistics" / f"{key}.csv", get.statistics(profile.visits, key))
    of_samples = profile.quality[profile.quality["sample_id"] != ""]
    if len(of_samples):
        with replacing(profile.folder / "quality" / "overview.svg") as temporary:
            temporary.write_bytes(pl.to_svg(pl.quality_overview(of_samples)))


def _tell_exceptions(exceptions: Any) -> None:
    errors = exceptions[exceptions["severity"] == "error"]
    warnings = int((exceptions["severity"] == "warning").sum())
    for row in errors.itertuples():
        where = " ".join(part for part in (row.file or row.sample_id, row.usubjid, row.visit) if part)
        typer.echo(f"left out: {where}: {row.message}", err=True)
    if warnings:
        typer.echo(f"{warnings} warnings in exceptions.csv")


def main() -> None:
    """Entry point: run the command and tell an error of ours in one paragraph instead of a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        app()
    except ImmunoprofileError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_ERROR)


if __name__ == "__main__":
    main()
