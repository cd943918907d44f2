"""Gate many files into a folder: streamed, resumable, the same bytes for any number of threads."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from immunoprofile import schema
from immunoprofile._version import __version__
from immunoprofile.errors import ImmunoprofileError, ResultsError
from immunoprofile.gate.batch import Panels, count_file, gate_file, gating_exception, in_order, worth_compiling
from immunoprofile.gate.cells import cells_of
from immunoprofile.gate.matching import Matcher
from immunoprofile.gate.strategy import GateSet, Strategy
from immunoprofile.io.files import remove_leftovers, replacing, sha256_of, write_json

if TYPE_CHECKING:
    import pandas as pd

COUNTS = "counts.csv"
EXCEPTIONS = "exceptions.csv"
PARTIAL = ".partial"
"""Folder of what is known of each file while a batch runs."""


@dataclass(frozen=True)
class BatchSummary:
    """What a batch wrote.

    Attributes
    ----------
    counts
        Table of the counts, `schema.COUNT_COLUMNS`, in the order of the files.
    gated, resumed
        Number of files with counts; how many of all were known from a batch that was killed.
    exceptions
        Rows of ``exceptions.csv``, one for each file that could not be gated.
    """

    counts: Path
    gated: int
    resumed: int
    exceptions: tuple[Mapping[str, Any], ...]


def batch_to_folder(
    files: Iterable[str | Path],
    gates: GateSet | Strategy,
    out: str | Path,
    *,
    jobs: int = 1,
    comp_source: str | None = None,
    cells: bool = False,
    progress: bool = False,
) -> BatchSummary:
    """Gate files without a study and write their counts, file by file.

    Writes ``counts.csv``, ``exceptions.csv``, with ``cells`` also ``cells/<content hash>.h5ad`` (see `cells.cells_of`)
    into ``out``. What is known of each file is kept in ``out/.partial`` until all are done: the same call goes on
    where a killed one stopped and ends with the same bytes. Memory does not grow with the number of files beyond their
    names.

    Parameters
    ----------
    files
        FCS files, of one or several tubes. A file that is named twice is gated once and has its rows twice.
    gates, comp_source
        As for `batch.batch`.
    out
        Folder to write; made when absent. Other files in it stay.
    jobs
        Number of threads; the bytes do not depend on it.
    cells
        Also write all events of each file, in the same pass.
    progress
        Show a progress bar.

    Raises
    ------
    ResultsError
        ``out`` is a file.
    """
    from tqdm import tqdm

    from immunoprofile.io.progress import hidden

    out, paths = Path(out), [Path(file) for file in files]
    if out.exists() and not out.is_dir():
        raise ResultsError("is a file, not a folder", where=str(out), todo="choose another folder for the results")
    (out / PARTIAL).mkdir(parents=True, exist_ok=True)
    for folder in (out, out / PARTIAL, out / "cells"):
        remove_leftovers(folder)
    worker = _Worker(Matcher(gates, paths), out, comp_source, cells=cells, compiled=worth_compiling(paths))
    outcomes = in_order(worker.process, dict.fromkeys(paths), jobs=jobs)
    total = len(set(paths))
    resumed = sum(tqdm(outcomes, total=total, desc="gating", unit="file", disable=hidden(wanted=progress)))
    if cells:
        worker.place_cells(paths)
    gated = _join(out / COUNTS, schema.COUNT_COLUMNS, worker.rows(paths))
    exceptions = tuple(record["exception"] for record in worker.records(paths) if record["exception"] is not None)
    listed = ([row[name] for name in schema.EXCEPTION_COLUMNS] for row in exceptions)
    _join(out / EXCEPTIONS, schema.EXCEPTION_COLUMNS, iter([list(listed)] if exceptions else []))
    shutil.rmtree(out / PARTIAL, ignore_errors=True)
    return BatchSummary(out / COUNTS, gated, resumed, exceptions)


class _Worker:
    """Gates one file after another and keeps a record of each."""

    def __init__(self, gates: Matcher, out: Path, comp_source: str | None, *, cells: bool, compiled: bool) -> None:
        self._gates = gates
        self._compiled = compiled
        self._out = out
        self._comp_source = comp_source
        self._cells = cells
        self._panels: Panels = {}
        self._options = [__version__, gates.sha256, comp_source, cells]

    def process(self, path: Path) -> bool:
        """Gate a file unless a record of the same content, gates and options is there; returns whether there was."""
        kept = self._record_path(path)
        if kept.is_file() and self._is_valid(kept, path):
            return True
        digest, rows, exception = "", [], None
        try:
            counts = self._counts(path)
            digest, rows = str(counts["sample_id"].iat[0]), _lines(counts)
        except ImmunoprofileError as error:
            digest, exception = _digest(path), gating_exception(error, file=path.as_posix())
        # Written last: what it stands for is complete.
        write_json(kept, {"key": self._key(path, digest), "sha256": digest, "rows": rows, "exception": exception})
        return False

    def records(self, paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
        """Records of files, in their order."""
        for path in paths:
            record: dict[str, Any] = json.loads(self._record_path(path).read_text(encoding="utf-8"))
            yield record

    def rows(self, paths: Iterable[Path]) -> Iterator[list[list[str]]]:
        """Rows of counts.csv of each gated file, in the order of the files."""
        return (record["rows"] for record in self.records(paths) if record["exception"] is None)

    def place_cells(self, paths: Iterable[Path]) -> None:
        """Give the cells of each file their name; of files with the same content the first in order is kept."""
        placed = set()
        for path, record in zip(paths, self.records(paths), strict=True):
            made = self._cells_path(path)
            if record["exception"] is None and made.is_file() and record["sha256"] not in placed:
                target = self._out / "cells" / f"{record['sha256']}.h5ad"
                target.parent.mkdir(exist_ok=True)
                made.replace(target)
            placed.add(record["sha256"])

    def _counts(self, path: Path) -> pd.DataFrame:
        if not self._cells:
            return count_file(
                path, self._gates, comp_source=self._comp_source, panels=self._panels, compiled=self._compiled
            )
        gated = gate_file(path, self._gates, comp_source=self._comp_source, compiled=self._compiled)
        sha256 = gated.sample.sha256
        with replacing(self._cells_path(path)) as temporary:
            cells_of(gated, sha256).write_h5ad(temporary, compression="gzip")
        counts = gated.counts()
        counts.insert(0, "file", path.as_posix())
        counts.insert(0, "sample_id", sha256)
        return counts

    def _is_valid(self, kept: Path, path: Path) -> bool:
        try:
            record = json.loads(kept.read_text(encoding="utf-8"))
        except ValueError:
            return False
        if record.get("key") != self._key(path, _digest(path)):
            return False
        if not self._cells or record["exception"] is not None:
            return True
        placed = self._out / "cells" / f"{record['sha256']}.h5ad"
        return self._cells_path(path).is_file() or placed.is_file()

    def _key(self, path: Path, digest: str) -> str:
        refused = str(self._gates.refused.get(path, ""))
        return hashlib.sha256(json.dumps([digest, refused, *self._options]).encode()).hexdigest()

    def _record_path(self, path: Path) -> Path:
        return self._out / PARTIAL / f"{_name(path)}.json"

    def _cells_path(self, path: Path) -> Path:
        return self._out / PARTIAL / f"{_name(path)}.h5ad"


def _name(path: Path) -> str:
    """Name of the record of a file, by its path: two files may have the same name or the same content."""
    return hashlib.sha256(path.as_posix().encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _digest(path: Path) -> str:
    """Content hash; empty when the file cannot be read."""
    try:
        return sha256_of(path)
    except OSError:
        return ""


def _lines(counts: pd.DataFrame) -> list[list[str]]:
    """Cells of the table as `io.files.write_table` would write them."""
    text = counts[list(schema.COUNT_COLUMNS)].to_csv(index=False, header=False, lineterminator="\n")
    return list(csv.reader(io.StringIO(text, newline="")))


def _join(target: Path, columns: Iterable[str], parts: Iterator[list[list[str]]]) -> int:
    """Write the rows of all parts under a head; returns the number of parts."""
    number = 0
    with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        for rows in parts:
            writer.writerows(rows)
            number += 1
    return number
