"""Which files, and which of their data sets, a batch gates; and the rows of exceptions.csv that belong to the list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from immunoprofile.io.exceptions import Notice

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import GateSet, Strategy
    from immunoprofile.io.fcs_source import FcsSource

STAGE = "gating"


def distinct(given: Iterable[FcsSource]) -> tuple[list[FcsSource], list[dict[str, Any]]]:
    """Each data set once, in the order given, and a row for each that was named again, whatever way its path takes."""
    first: dict[tuple[Path, int | None], FcsSource] = {}
    rows = []
    for source in given:
        other = first.setdefault((source.path.resolve(), source.dataset), source)
        if other is not source:
            message = f"given twice (also as {other.file}); gated and counted once"
            rows.append(Notice("FILE_TWICE", message, "name each file once").row(STAGE, file=source.file))
    return list(first.values()), rows


def same_content(gated: Iterable[tuple[FcsSource, str]]) -> Iterator[dict[str, Any]]:
    """A row for each file whose content stands in an earlier one; ``gated`` are data sets with their sample ids."""
    first: dict[str, FcsSource] = {}
    for source, sample_id in gated:
        other = first.setdefault(sample_id, source)
        if other is not source:
            message = f"the same content as {other.file}: their rows share a sample_id"
            yield Notice("DUPLICATE_CONTENT", message, "find out which sample the file belongs to").row(
                STAGE, sample_id=sample_id, file=source.file
            )


def left_out_gates(gates: GateSet | Strategy) -> list[dict[str, Any]]:
    """A row for everything that the document of the gates holds and these gates do not."""
    todo = "look at the gate in its program, or go on without it"
    found = getattr(gates, "problems", ())
    return [Notice("GATES_LEFT_OUT", str(problem), todo, "error").row("gates") for problem in found]
