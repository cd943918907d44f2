"""Which files, and which of their data sets, a batch gates; and the rows of exceptions.csv that belong to the list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from immunoprofile.io.exceptions import Notice

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import GateSet, Strategy

STAGE = "gating"


@dataclass(frozen=True)
class Source:
    """One data set of one file.

    Attributes
    ----------
    path
        The file.
    dataset
        Which of its data sets, counted from 1; None where nobody said.
    """

    path: Path
    dataset: int | None = None

    @property
    def file(self) -> str:
        """How tables name the file."""
        return self.path.as_posix()

    def sample_id(self, sha256: str) -> str:
        """Content hash of the file, and the number of the data set where one was chosen."""
        return sha256 if self.dataset is None else f"{sha256}-{self.dataset}"


def sources(files: Iterable[str | Path], dataset: int | None = None) -> list[Source]:
    """Files as a person names them: ``tube.lmd[2]`` is the second data set of ``tube.lmd``.

    Parameters
    ----------
    files
        Names of files. One that exists as it is written is taken as it is.
    dataset
        Data set of all files whose name does not say one.
    """
    return [_source(Path(file), dataset) for file in files]


def _source(path: Path, dataset: int | None) -> Source:
    named = re.fullmatch(r"(.+)\[([1-9]\d{0,3})\]", path.name)
    if named is None or path.exists():
        return Source(path, dataset)
    return Source(path.with_name(named.group(1)), int(named.group(2)))


def distinct(given: Iterable[Source]) -> tuple[list[Source], list[dict[str, Any]]]:
    """Each data set once, in the order given, and a row for each that was named again, whatever way its path takes."""
    first: dict[tuple[Path, int | None], Source] = {}
    rows = []
    for source in given:
        other = first.setdefault((source.path.resolve(), source.dataset), source)
        if other is not source:
            message = f"given twice (also as {other.file}); gated and counted once"
            rows.append(Notice("FILE_TWICE", message, "name each file once").row(STAGE, file=source.file))
    return list(first.values()), rows


def same_content(gated: Iterable[tuple[Source, str]]) -> Iterator[dict[str, Any]]:
    """A row for each file whose content stands in an earlier one; ``gated`` are data sets with their sample ids."""
    first: dict[str, Source] = {}
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
