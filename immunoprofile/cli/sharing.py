"""The work of a study on more than one machine: shares of its files, and the workers of a cluster."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from immunoprofile.cli.shell import EXIT_LEFT_OUT, gates_of

if TYPE_CHECKING:
    from distributed import Client

_NAMED = 5
"""Samples of one kind that are named on the terminal."""


@contextmanager
def cluster(scheduler: str | None) -> Iterator[Client | None]:
    """A client of the cluster that was named; None where none was."""
    if scheduler is None:
        yield None
        return
    from immunoprofile.workers.schedulers import connected

    with connected(scheduler) as client:
        yield client


def gate_share(
    folder: Path, out: Path, gates: Path | None, share: str, *, jobs: int, cells: bool, progress: bool
) -> None:
    """Gate one share of a study and say what became of it."""
    from immunoprofile import gate
    from immunoprofile.profiling.shards import gate_shard, shard_of
    from immunoprofile.study import read_study

    shard = shard_of(share)
    study = read_study(folder)
    source = gates_of(folder, gates)
    typer.echo(f"gates: {source}")
    outcomes = gate_shard(study, gate.load(source), out=out, shard=shard, jobs=jobs, cells=cells, progress=progress)
    left_out = [one for one in outcomes if one.exception is not None]
    for one in left_out:
        typer.echo(f"left out: {one.file}: {(one.exception or {})['message']}", err=True)
    typer.echo(f"shard {shard}: {len(outcomes) - len(left_out)} of {len(outcomes)} files gated")
    # As it must be typed: a join with other gates would gate everything again.
    words = ["immunoprofile", "run", str(folder), "--out", str(out)]
    words += ([] if gates is None else ["--gates", str(gates)]) + (["--cells"] if cells else []) + ["--join"]
    when = f"when all {shard.of} shards have ended" if shard.of > 1 else "then"
    typer.echo(f"{when}: {shlex.join(words)}")
    if left_out:
        raise typer.Exit(EXIT_LEFT_OUT)


@contextmanager
def joining(folder: Path, out: Path) -> Iterator[None]:
    """Say before a run what shards have left to it, and after it what it gated again."""
    from immunoprofile.profiling.shard_notes import in_words
    from immunoprofile.profiling.shards import unjoined
    from immunoprofile.study import read_study

    found = unjoined(read_study(folder), out)
    typer.echo(f"{in_words(found.notes)}: {len(found.stamps)} files are taken up")
    _name("files that no shard gated are left to this call", found.missing)
    try:
        yield
    finally:
        again = dict.fromkeys(found.gated_again(out), "file, gates, limits or software are others now")
        _name("files were gated again", again)


def _name(what: str, samples: Mapping[str, str]) -> None:
    if samples:
        shown = "; ".join(f"{sample} ({why})" for sample, why in list(samples.items())[:_NAMED])
        more = f"; and {len(samples) - _NAMED} more" if len(samples) > _NAMED else ""
        typer.echo(f"{len(samples)} {what}: {shown}{more}")
