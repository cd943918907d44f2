"""What the commands share: the application, options, exit codes, times of stages, what was left out."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import typer.core

from immunoprofile._version import __version__
from immunoprofile.errors import ImmunoprofileError
from immunoprofile.workers import own_process

EXIT_ERROR = 1
EXIT_LEFT_OUT = 3


class Commands(typer.core.TyperGroup):
    """The commands; a file that ends too early is an error with a name, which Typer takes for the end of the input."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise ImmunoprofileError(
                f"a file ends too early ({str(error) or 'no more data'})",
                todo="look at the file, then give the command again",
            ) from error


app = typer.Typer(
    name="immunoprofile",
    cls=Commands,
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
    own_process.settle()
    if version:
        typer.echo(__version__)
        raise typer.Exit


class Stages:
    """Times of the stages of a command, printed as they end and kept for run.log."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._start = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done inside, and print it."""
        begun = time.perf_counter()
        own_process.live_on()
        yield
        self._say(name, time.perf_counter() - begun)

    def total(self) -> None:
        """Print the time since the command began."""
        self._say("total", time.perf_counter() - self._start)

    def _say(self, name: str, seconds: float) -> None:
        self.lines.append(f"{name:<22}{seconds:8.1f} s")
        typer.echo(self.lines[-1])


_HEADS = {"error": "left out", "warning": "look at", "note": "note"}


def leave_out(rows: Sequence[Mapping[str, Any]]) -> None:
    """Tell what was left out or needs a look, and end with the exit code that says so; notes are told and no more."""
    for row in rows:
        place = f"{row['file']}: " if row["file"] else ""
        todo = f" -> {row['action']}" if row.get("action") else ""
        typer.echo(f"{_HEADS[row.get('severity', 'error')]}: {place}{row['message']}{todo}", err=True)
    if any(row.get("severity") != "note" for row in rows):
        raise typer.Exit(EXIT_LEFT_OUT)


AllOption = Annotated[bool, typer.Option("--all", help="List each row instead of one line for all of a kind.")]
_PLACES_SHOWN = 3


def grouped_exceptions(rows: Any, *, every: bool = False) -> list[tuple[str, Mapping[str, Any]]]:
    """Rows of exceptions with the places that they are about, one for all that differ in numbers only.

    Parameters
    ----------
    rows
        Rows of exceptions.csv.
    every
        Each row for itself.

    Returns
    -------
    list of (str, dict)
        Places in words, and the first row of the kind.
    """
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for number, row in enumerate(rows.to_dict("records")):
        kind = (row["code"], row["table"], re.sub(r"\d+", "#", row["message"]), number if every else 0)
        groups.setdefault(kind, []).append(row)
    return [(_places(group), group[0]) for group in groups.values()]


def _places(group: Sequence[Mapping[str, Any]]) -> str:
    def place(row: Mapping[str, Any]) -> str:
        words = " ".join(str(part) for part in (row["file"] or row["sample_id"], row["usubjid"], row["visit"]) if part)
        return ", ".join(part for part in (words, f"row {row['row']}" if row["row"] else "") if part)

    places = list(dict.fromkeys(text for row in group if (text := place(row))))
    shown = "; ".join(places[:_PLACES_SHOWN])
    more = len(places) - _PLACES_SHOWN
    shown += f" and {more} more" if more > 0 else ""
    return f"({len(group)} times) {shown}".rstrip() if len(group) > 1 else shown


def tell_exceptions(exceptions: Any, *, warnings_are: str = "in exceptions.csv", every: bool = False) -> None:
    """Print what was left out, one line for all rows of a kind, and how many warnings there are and where."""
    errors = exceptions[exceptions["severity"] == "error"]
    warnings = int((exceptions["severity"] == "warning").sum())
    for where, row in grouped_exceptions(errors, every=every):
        head = "held" if row["code"] == "CONTROL_FAILED" else "left out"
        typer.echo(f"{head}: {where}: {row['message']}", err=True)
    if warnings:
        typer.echo(f"{warnings} {'warning' if warnings == 1 else 'warnings'} {warnings_are}")


def gates_of(study: Path, gates: Path | None) -> Path:
    """The gates that were named, else those of the study, else the shipped ones."""
    from immunoprofile import gate

    own = study / "gating"
    return gates or (own if gate.holds_gates(own) else gate.shipped_folder())
