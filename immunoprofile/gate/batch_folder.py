"""Gate many files into a folder: streamed, resumable, the same bytes for any number of threads."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from immunoprofile import schema
from immunoprofile.compensation import Spillover
from immunoprofile.errors import GateError, ImmunoprofileError, OutputError, Problem, ResultsError
from immunoprofile.gate.batch import (
    CompSource,
    Counted,
    Panels,
    count_file,
    counted_of,
    gate_file,
    gating_exception,
    worth_compiling,
)
from immunoprofile.gate.cells import cells_of
from immunoprofile.gate.intensities import INTENSITY_COLUMNS, check_statistics, intensity_table
from immunoprofile.gate.matching import Matcher
from immunoprofile.gate.sources import distinct, left_out_gates, same_content
from immunoprofile.gate.strategy import GateSet, Strategy
from immunoprofile.gate.write_fcs import write_fcs
from immunoprofile.io.fcs_source import FcsSource, named_source
from immunoprofile.io.files import cannot_write, remove_leftovers, replacing, sha256_of, write_json
from immunoprofile.io.formula_cells import guarded, guarded_table
from immunoprofile.io.h5ad import write_h5ad
from immunoprofile.io.only_writer import export_folder
from immunoprofile.io.software import software_digest
from immunoprofile.workers import in_order

if TYPE_CHECKING:
    import pandas as pd

COUNTS = "counts.csv"
EXCEPTIONS = "exceptions.csv"
INTENSITIES = "intensities.csv"
PARTIAL = ".batch"
"""Folder of what is known of each file while a batch runs."""
_SAMPLE_ID = re.compile(r"[0-9a-f]{64}")
"""Begin of the names of cells: hash of the content, and a data set."""


@dataclass(frozen=True)
class Extras:
    """What a batch writes of each file besides its counts.

    Attributes
    ----------
    cells
        All events as ``cells/<content hash>.h5ad``, see `cells.cells_of`.
    fcs
        Its events with a channel a population as ``fcs/<name>.fcs``, see `write_fcs.write_fcs`.
    population
        Only the events of this population go into ``fcs``.
    statistics
        Statistics of intensities (`intensities.INTENSITY_STATISTICS`) of every population and channel, joined as
        ``intensities.csv``.
    """

    cells: bool = False
    fcs: bool = False
    population: str | None = None
    statistics: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.cells or self.fcs or bool(self.statistics)


NOTHING_ELSE = Extras()


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
        Rows of ``exceptions.csv``: files that could not be gated, and what is to be told of the others.
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
    comp_source: CompSource = None,
    dataset: int | None = None,
    amplifiers: tuple[tuple[str, str], ...] = (),
    extras: Extras = NOTHING_ELSE,
    progress: bool = False,
) -> BatchSummary:
    """Gate files without a study and write their counts, file by file.

    Writes ``counts.csv``, ``exceptions.csv`` and what ``extras`` asks for into ``out``. What is known of each file is
    kept in ``out/.batch`` until all are done: the same call goes on where a killed one stopped and ends with the same
    bytes. Memory does not grow with the number of files beyond their names.

    Parameters
    ----------
    files
        FCS files, of one or several tubes. A file that is named twice is gated once, and that is told.
    gates, comp_source, dataset, amplifiers
        As for `batch.batch`.
    out
        Folder to write; made when absent. Other files in it stay.
    jobs
        Number of threads; the bytes do not depend on it.
    extras
        What else to write of each file, in the same pass.
    progress
        Show a progress bar.

    Raises
    ------
    ResultsError
        ``out`` is a file, a results or study folder, or another process is at work in it.
    OutputError
        The results cannot be written: no room, no permission.
    GateError
        A statistic is not known.
    """
    out = Path(out)
    check_statistics(extras.statistics)
    found, repeated = distinct(named_source(file, dataset=dataset, amplifiers=amplifiers) for file in files)
    if out.exists() and not out.is_dir():
        raise ResultsError("is a file, not a folder", where=str(out), todo="choose another folder for the results")
    with export_folder(out, "gate"):
        return _batch(found, repeated, gates, out, jobs, comp_source, extras, progress=progress)


def _batch(
    found: Sequence[FcsSource],
    repeated: Sequence[Mapping[str, Any]],
    gates: GateSet | Strategy,
    out: Path,
    jobs: int,
    comp_source: CompSource,
    extras: Extras,
    *,
    progress: bool,
) -> BatchSummary:
    from tqdm import tqdm

    from immunoprofile.io.progress import hidden

    try:
        (out / PARTIAL).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out / PARTIAL, error) from error
    for folder in (out, out / PARTIAL, out / "cells", out / "fcs"):
        remove_leftovers(folder)
    matcher = Matcher(gates, [source.path for source in found])
    compiled = worth_compiling(source.path for source in found)
    worker = _Worker(matcher, out, comp_source, extras=extras, names=_names(found), compiled=compiled)
    outcomes = in_order(worker.process, found, jobs=jobs)
    resumed = sum(tqdm(outcomes, total=len(found), desc="gating", unit="file", disable=hidden(wanted=progress)))
    worker.place_cells(found)
    if extras.statistics:
        parts = (record["intensities"] for record in worker.records(found) if record["gated"])
        _join(out / INTENSITIES, ("sample_id", "file", *INTENSITY_COLUMNS), parts)
    gated = _join(out / COUNTS, schema.COUNT_COLUMNS, worker.rows(found))
    exceptions = [*left_out_gates(gates), *worker.exceptions(found), *repeated, *worker.same_content(found)]
    listed = [[str(guarded(row[name])) for name in schema.EXCEPTION_COLUMNS] for row in exceptions]
    _join(out / EXCEPTIONS, schema.EXCEPTION_COLUMNS, iter([listed] if listed else []))
    shutil.rmtree(out / PARTIAL, ignore_errors=True)
    return BatchSummary(out / COUNTS, gated, resumed, tuple(exceptions))


class _Worker:
    """Gates one file after another and keeps a record of each."""

    def __init__(
        self,
        gates: Matcher,
        out: Path,
        comp_source: CompSource,
        *,
        extras: Extras,
        names: Mapping[FcsSource, str],
        compiled: bool,
    ) -> None:
        self._gates = gates
        self._compiled = compiled
        self._out = out
        self._comp_source = comp_source
        self._extras = extras
        self._names = names
        self._panels: Panels = {}
        self._options = [software_digest(), gates.sha256, _declared(comp_source), list(astuple(extras))]

    def process(self, source: FcsSource) -> bool:
        """Gate a file unless a record of the same content, gates and options is there; returns whether there was."""
        kept = self._record_path(source)
        if kept.is_file() and self._is_valid(kept, source):
            return True
        record: dict[str, Any] = {"gated": True}
        try:
            counted, intensities = self._counts(source)
            record |= {"intensities": intensities, "sample_id": counted.sample_id, "rows": _lines(counted.table)}
            record |= {"exceptions": counted.rows(source)}
            record |= {"files": {path.suffix: sha256_of(path) for path in self._made(source)}}
        except OutputError:
            raise  # no fault of the file
        except ImmunoprofileError as error:
            digest, error = source.refused(error)
            record = {"gated": False, "sample_id": source.sample_id(digest), "rows": []}
            record |= {"exceptions": [gating_exception(error, file=source.file)]}
        # Written last: what it stands for is complete.
        record |= {"key": self._key(source, record["sample_id"])}
        write_json(kept, {"sha256": _sha256(record), "record": record})
        return False

    def records(self, found: Iterable[FcsSource]) -> Iterator[dict[str, Any]]:
        """Records of files, in their order."""
        for source in found:
            record = _read_record(self._record_path(source))
            if record is None:
                raise ResultsError("was changed while the batch was at work", where=str(self._record_path(source)),
                                   todo="give the same command again")  # fmt: skip
            yield record

    def rows(self, found: Iterable[FcsSource]) -> Iterator[list[list[str]]]:
        """Rows of counts.csv of each gated file, in the order of the files."""
        return (record["rows"] for record in self.records(found) if record["gated"])

    def exceptions(self, found: Iterable[FcsSource]) -> list[dict[str, Any]]:
        """Rows of exceptions.csv of each file, in the order of the files."""
        return [row for record in self.records(found) for row in record["exceptions"]]

    def same_content(self, found: Sequence[FcsSource]) -> list[dict[str, Any]]:
        """Rows of exceptions.csv of gated files whose content stands in an earlier one."""
        pairs = zip(found, self.records(found), strict=True)
        return list(same_content((source, record["sample_id"]) for source, record in pairs if record["gated"]))

    def place_cells(self, found: Sequence[FcsSource]) -> None:
        """Give the cells of each file their name; of files with the same content the first in order is kept.

        Cells that an earlier batch left, of other files or other gates, go.
        """
        placed = set()
        for source, record in zip(found, self.records(found), strict=True):
            made = self._cells_path(source)
            if record["gated"] and made.is_file() and record["sample_id"] not in placed:
                target = self._out / "cells" / f"{record['sample_id']}.h5ad"
                target.parent.mkdir(exist_ok=True)
                made.replace(target)
            placed.add(record["sample_id"])
        for path in (self._out / "cells").glob("*.h5ad"):
            if _SAMPLE_ID.match(path.stem) and not (self._extras.cells and path.stem in placed):
                path.unlink()

    def _counts(self, source: FcsSource) -> tuple[Counted, list[list[str]]]:
        """Counts of a file and the rows of its intensities; writes the rest of what is asked for."""
        if not self._extras:
            counted = count_file(
                source, self._gates, comp_source=self._comp_source, panels=self._panels, compiled=self._compiled
            )
            return counted, []
        gated = gate_file(source, self._gates, comp_source=self._comp_source, compiled=self._compiled)
        sample_id = source.sample_id(gated.sample.sha256)
        if self._extras.cells:
            write_h5ad(cells_of(gated, sample_id), self._cells_path(source))
        if self._extras.fcs:
            if source.dataset not in (None, 1):
                problem = Problem(source.file, f"data set {source.dataset}; only the first is written")
                raise GateError("events cannot be handed back as FCS", [problem], todo="gate it without --write-fcs")
            write_fcs(gated, source.path, self._fcs_path(source), population=self._extras.population)
        rows: list[list[str]] = []
        if self._extras.statistics:
            table = intensity_table(gated, self._extras.statistics)
            rows = [[sample_id, source.file, *line] for line in _lines(table, INTENSITY_COLUMNS)]
        sha256 = gated.sample.sha256
        return counted_of(source, gated.strategy, gated.evaluation, sha256, gated.notices), rows

    def _is_valid(self, kept: Path, source: FcsSource) -> bool:
        record = _read_record(kept)
        if record is None or record["key"] != self._key(source, source.sample_id(_digest(source.path))):
            return False
        if not record["gated"]:
            return True
        placed = self._out / "cells" / f"{record['sample_id']}.h5ad"
        made = [placed if path.suffix == ".h5ad" and not path.is_file() else path for path in self._made(source)]
        return all(path.is_file() and sha256_of(path) == record["files"].get(path.suffix) for path in made)

    def _made(self, source: FcsSource) -> list[Path]:
        """Files that are written of a file."""
        cells = [self._cells_path(source)] if self._extras.cells else []
        return cells + ([self._fcs_path(source)] if self._extras.fcs else [])

    def _key(self, source: FcsSource, sample_id: str) -> str:
        refused = str(self._gates.refused.get(source.path, ""))
        content = [sample_id, source.dataset, source.amplifiers, refused, *self._options]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _record_path(self, source: FcsSource) -> Path:
        return self._out / PARTIAL / f"{_name(source)}.json"

    def _fcs_path(self, source: FcsSource) -> Path:
        return self._out / "fcs" / f"{self._names[source]}.fcs"

    def _cells_path(self, source: FcsSource) -> Path:
        return self._out / PARTIAL / f"{_name(source)}.h5ad"


def _names(found: Sequence[FcsSource]) -> dict[FcsSource, str]:
    """Name of the copy of each file; files with one name get a number, in their order."""
    stems = [source.path.stem.casefold() for source in found]
    names, seen = {}, Counter[str]()
    for source, stem in zip(found, stems, strict=True):
        seen[stem] += 1
        names[source] = source.path.stem if stems.count(stem) == 1 else f"{source.path.stem}-{seen[stem]}"
    return names


def _name(source: FcsSource) -> str:
    """Name of the record of a file, by its path: two files may have the same name or the same content."""
    text = source.file if source.dataset is None else f"{source.file}[{source.dataset}]"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _read_record(path: Path) -> dict[str, Any] | None:
    """Record of a file; None when it is damaged."""
    try:
        stored = json.loads(path.read_bytes())
        record: dict[str, Any] = stored["record"]
        return record if stored["sha256"] == _sha256(record) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _sha256(record: Any) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _declared(comp_source: CompSource) -> object:
    """What is declared of compensation, for the hash of the options."""
    if not isinstance(comp_source, Spillover):
        return comp_source
    return [comp_source.source, comp_source.channels, comp_source.matrix.tolist()]


def _digest(path: Path) -> str:
    """Content hash; empty when the file cannot be read."""
    try:
        return sha256_of(path)
    except OSError:
        return ""


def _lines(table: pd.DataFrame, columns: Sequence[str] = schema.COUNT_COLUMNS) -> list[list[str]]:
    """Cells of the table as `io.files.write_table` would write them."""
    text = guarded_table(table[list(columns)]).to_csv(index=False, header=False, lineterminator="\n")
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
