"""Commands on a study folder: demo, simulate, check, lock, run, power."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from immunoprofile._version import __version__
from immunoprofile.cli import sharing
from immunoprofile.cli.shell import (
    EXIT_ERROR,
    EXIT_LEFT_OUT,
    AllOption,
    CellsOption,
    EffectOption,
    EventsOption,
    GatesOption,
    JobsOption,
    OutOption,
    PdfOption,
    QuietOption,
    SeedOption,
    Stages,
    SubjectsOption,
    app,
    gates_of,
    grouped_exceptions,
    tell_exceptions,
)
from immunoprofile.errors import ImmunoprofileError, ProblemListError

if TYPE_CHECKING:
    from distributed import Client

    from immunoprofile.profiling import Profile


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
    stages = Stages()
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
    results: Annotated[
        list[Path] | None, typer.Option("--results", help="Results that keep a head of the ledger; several times.")
    ] = None,
    every: AllOption = False,  # noqa: FBT002
    quiet: QuietOption = False,  # noqa: FBT002
) -> None:
    """Check a study folder (tables, files, panels, ledger, cuts), or that a results folder is as it was written.

    A byte that was changed in the ledger of overrides, in results, or in what a cut froze is named. --results also
    holds the ledger of a study against the head that results keep, which names a tail that was cut off. Problems of
    one kind are one line with an example; --all lists each.
    """
    from immunoprofile.profiling.sealing import PARTIAL, PROVENANCE, verify

    if (folder / PROVENANCE).exists() or (folder / PARTIAL).exists():
        changed = verify(folder)
        for line in changed:
            typer.echo(line)
        if changed:
            raise typer.Exit(EXIT_ERROR)
        typer.echo("all files are as they were written")
        return
    _tell_damage(folder, results or [])
    from datetime import UTC, datetime

    import pandas as pd

    from immunoprofile import gate
    from immunoprofile.profiling.preflight import (
        acquisition_notes,
        check_files,
        definition_notes,
        future_dates,
        prepare,
        reference_notes,
    )
    from immunoprofile.study import read_study
    from immunoprofile.tl.plan_check import check_plan

    try:
        study = read_study(folder)
        source = gates_of(folder, gates)
        strategies = gate.load(source)
        prepared = prepare(study, strategies)
        check_plan(study, strategies)
    except ProblemListError as error:
        if not every:
            raise
        typer.echo(f"error: {error.listed()}", err=True)
        raise typer.Exit(EXIT_ERROR) from error
    typer.echo(repr(study))
    typer.echo(f"gates: {source}")
    typer.echo(_record_in_words(prepared.gates.ledger.facts, prepared.cut))
    exceptions = pd.concat(
        [
            study.exceptions,
            prepared.clinical.safety.exceptions,
            definition_notes(prepared.gates),
            reference_notes(prepared.gates),
            future_dates(study, datetime.now(UTC).date()),
            acquisition_notes(study),
            check_files(study, progress=not quiet),
        ],
        ignore_index=True,
    )
    for message in exceptions.loc[exceptions["code"] == "TABLE_READ_AS", "message"]:
        typer.echo(message)
    tell_exceptions(exceptions, warnings_are="below", every=every)
    for places, row in grouped_exceptions(exceptions[exceptions["severity"] == "warning"], every=every):
        where = " ".join(part for part in (row["table"], places) if part)
        todo = f" -> {row['action']}" if row["action"] else ""
        typer.echo(f"warning: {where}: {row['message']}{todo}")
    if (exceptions["severity"] == "error").any():
        raise typer.Exit(EXIT_LEFT_OUT)


def _tell_damage(folder: Path, results: list[Path]) -> None:
    """Name what of ledger, cuts and frozen files was changed, and end with an error."""
    from immunoprofile.profiling.locking import damage

    lines = damage(folder, results)
    for line in lines:
        typer.echo(line)
    if lines:
        raise typer.Exit(EXIT_ERROR)


@app.command()
def lock(
    study: Annotated[Path, typer.Argument(help="Study folder.")],
    cut: Annotated[str, typer.Argument(help="Name of the data cut, for example 2026-11 or final.")],
    gates: GatesOption = None,
    opened: Annotated[  # noqa: FBT002
        bool, typer.Option("--open", help="Begin the cut: the study may change until it is locked under this name.")
    ] = False,
) -> None:
    """Freeze data, gates and rules of a study as a data cut, or begin the next one.

    A locked study refuses other tables, files, gates, overrides, rules and another version of this package, each by
    name; reviews and answers to queries go on. A change needs a new cut; 'immunoprofile restate' then says what moved.
    """
    from immunoprofile import gate
    from immunoprofile.profiling.locking import lock as freeze
    from immunoprofile.study import read_study

    read = read_study(study)
    source = gates_of(study, gates)
    made = freeze(read, gate.check(gate.load(source), read), cut, opened=opened)
    if made.frozen is None:
        typer.echo(f"cut {made.name} is open: the study may change; close it with 'immunoprofile lock {study} {cut}'")
        return
    frozen = made.frozen
    typer.echo(f"cut {made.name} ({made.time}) freezes {len(frozen['files'])} files, gates of "
               f"{', '.join(frozen['gates'])} from {source}, {frozen['ledger']['rows']} overrides, "
               f"{len(frozen['rules'])} files of rules, version {frozen['package']['version']}")  # fmt: skip
    typer.echo(f"sha256 {made.sha256}: keep it outside of the folder")


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="Study folder.")],
    out: OutOption = Path("results"),
    gates: GatesOption = None,
    jobs: JobsOption = 1,
    cells: CellsOption = False,  # noqa: FBT002
    pdf: PdfOption = False,  # noqa: FBT002
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Work on the workers of dask: tcp://host:port, a scheduler file, or local:N."),
    ] = None,
    wait: Annotated[float, typer.Option(min=1, help="Seconds without a worker after which --scheduler gives up.")] = 60,
    shard: Annotated[
        str | None, typer.Option("--shard", help="Gate one share of the files, K/N; several at the same time.")
    ] = None,
    join: Annotated[  # noqa: FBT002
        bool, typer.Option("--join", help="Finish what shards have gated: statistics, reports, seal.")
    ] = False,
    quiet: QuietOption = False,  # noqa: FBT002
) -> None:
    """Gate a whole study, compare it over time, and write its reports.

    On more than one machine: --scheduler gives files and pages to the workers of a dask cluster; without one, each
    machine gates a share (--shard 1/8, --shard 2/8 ...) into the same --out, and --join finishes.
    """
    if shard is not None:
        if scheduler is not None or join:
            raise typer.BadParameter("goes with neither --scheduler nor --join", param_hint="--shard")
        sharing.gate_share(study, out, gates, shard, jobs=jobs, cells=cells, progress=not quiet)
        return
    with sharing.joining(study, out) if join else nullcontext(), sharing.cluster(scheduler) as client:
        _run(study, out, gates, jobs=jobs, cells=cells, pdf=pdf, progress=not quiet, stages=Stages(), client=client,
             wait=wait)  # fmt: skip


@app.command()
def power(
    study: Annotated[Path, typer.Argument(help="Study folder: its endpoints and primary visit are simulated.")],
    n: Annotated[list[int] | None, typer.Option(min=2, help="Subjects per arm; several times.")] = None,
    replicates: Annotated[int, typer.Option(min=10, help="Simulated trials for each number of subjects.")] = 500,
    seed: SeedOption = 2020,
    effect: EffectOption = "il2",
    out: Annotated[Path | None, typer.Option("--out", help="Table (.csv) to write.")] = None,
    quiet: QuietOption = False,  # noqa: FBT002
) -> None:
    """Power of the study's endpoints by simulation, through the functions that analyse the trial."""
    import pandas as pd
    from tqdm import tqdm

    from immunoprofile import tl
    from immunoprofile.io.config import read_config
    from immunoprofile.io.files import write_table
    from immunoprofile.io.progress import hidden

    config = read_config(study)
    counts = n or [5, 10, 15, 20, 25]
    tables = []
    for endpoint in config.endpoints:
        scenario = tl.TrialScenario(endpoint.population, endpoint.measure, visit=config.primary_visit, effect=effect)
        with tqdm(
            total=replicates * len(counts), desc=endpoint.population, unit="trial", disable=hidden(wanted=not quiet)
        ) as bar:
            tables.append(
                tl.power(
                    scenario,
                    n_per_arm=counts,
                    replicates=replicates,
                    seed=seed,
                    progress=lambda done, _, bar=bar: bar.update(done - bar.n),  # type: ignore[misc]
                )
            )
    table = pd.concat(tables, ignore_index=True)
    shown = ["scenario", "n_per_arm", "power", "power_mc_se", "coverage", "not_estimable"]
    typer.echo(table[shown].to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    typer.echo("the effects are those of the synthetic trial: an assumption for planning, not a result")
    if out is not None:
        write_table(out, table)


def _record_in_words(ledger: Mapping[str, Any], cut: Mapping[str, Any]) -> str:
    """The ledger and the data cut of a study."""
    rows = ledger["rows"]
    words = (
        f"ledger of overrides: {rows} row{'s' if rows > 1 else ''}, head {ledger['head']}" if rows else "no overrides"
    )
    return f"{words}; cut {cut['cut']}, {cut['state']}" if cut else f"{words}; not locked"


def _tell_overrides(result: Profile) -> None:
    """Which gates were drawn anew by whom, one line each, and the record that tells of it."""
    table = result.tables["gate_overrides"]
    for row in table[table["in_force"].astype(bool)].to_dict("records"):
        typer.echo(
            f"override: {row['sample_id']}, {row['tube']}/{row['population']} by {row['author']}: {row['reason']}"
        )
    typer.echo(_record_in_words(result.provenance["ledger"], result.provenance.get("cut", {})))


def _simulate_once(folder: Path, record: Path, settings: dict[str, Any], *, progress: bool) -> None:
    """Simulate the study of the demo, or take the one that is there when it was made with the same settings."""
    from immunoprofile import datasets
    from immunoprofile.io.files import write_json
    from immunoprofile.io.inputs import read_plain

    if record.exists():
        try:
            same = json.loads(read_plain(record)) == settings
        except (OSError, ValueError, RecursionError):
            same = False
        if not same:
            raise ImmunoprofileError(
                "holds a demo with other settings",
                where=str(folder.parent),
                todo="choose another --out, or delete the folder",
            )
        if (folder / "study.yaml").is_file():
            typer.echo(f"using the simulated study in {folder}")
            return
    # Written first, so that a demo that was stopped right after the simulation goes on from there.
    write_json(record, settings)
    options = {name: value for name, value in settings.items() if name != "version"}
    datasets.il2_cmv(folder, **options, progress=progress)


def _is_new_work(study: Path, out: Path) -> bool:
    """Whether a study looks, before it is read, as if many of its files were to be gated."""
    from immunoprofile.workers import MANY_FILES

    if any((out / name).exists() for name in ("provenance.json", "records")):
        return False  # how much is left is known when the study is read
    try:
        with (study / "samples.csv").open("rb") as table:
            return sum(1 for _ in table) > MANY_FILES
    except OSError:
        return False  # the error is told by who reads the study


def _run(
    study_folder: Path,
    out: Path,
    gates: Path | None,
    *,
    jobs: int,
    cells: bool,
    pdf: bool,
    progress: bool,
    stages: Stages,
    client: Client | None = None,
    wait: float = 60.0,
) -> None:
    from immunoprofile.workers import Processes

    with Processes(jobs) as processes:
        if client is None and _is_new_work(study_folder, out):
            processes.begin()  # they load while this process loads and reads the study
        from immunoprofile import gate
        from immunoprofile.io.files import write_text
        from immunoprofile.profiling.sealing import RUN_LOG
        from immunoprofile.run import run_with
        from immunoprofile.study import read_study

        with stages.stage("read the study"):
            study = read_study(study_folder)
            source = gates_of(study_folder, gates)
            strategies = gate.load(source)
        typer.echo(f"gates: {source}")
        result = run_with(
            processes, study, strategies, out=out, cells=cells, pdf=pdf, progress=progress, stage=stages.stage,
            client=client, wait=wait,
        )  # fmt: skip
    stages.total()
    write_text(out / RUN_LOG, "\n".join(stages.lines) + "\n")
    typer.echo(repr(result))
    _tell_overrides(result)
    tell_exceptions(result.exceptions)
    typer.echo(f"visits (AnnData): {out / 'visits.h5ad'}")
    typer.echo(f"cohort page:      {out / 'reports' / 'cohort.html'}")
    if (result.exceptions["severity"] == "error").any():
        raise typer.Exit(EXIT_LEFT_OUT)
