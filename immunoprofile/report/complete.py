"""Statistics and reports of a results folder, from the gated files to the last seal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.errors import ResultsError
from immunoprofile.io.files import cannot_write, sha256_of, write_bytes
from immunoprofile.io.inputs import read_plain
from immunoprofile.io.only_writer import only_writer
from immunoprofile.io.software import software_digest
from immunoprofile.pl.quality_table import overview_sketch
from immunoprofile.pl.sketch_svg import sketch_svg
from immunoprofile.profiling.results import Profile, add_statistics
from immunoprofile.profiling.sealing import (
    AGAIN,
    EARLIER,
    PARTIAL,
    PROVENANCE,
    Gated,
    differences,
    gated_of,
    keep_gated,
    kept_gated,
    read_provenance,
    reopen,
    seal,
    stands,
    sweep,
    verify,
)
from immunoprofile.profiling.unchanged import content_of, same_files
from immunoprofile.report.beside import parted, written_beside
from immunoprofile.report.pages import pages_of, write_pages
from immunoprofile.report.source import Source
from immunoprofile.tl.declared import declared
from immunoprofile.tl.files import write_statistics
from immunoprofile.workers import Workers

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import GateSet
    from immunoprofile.study import Study

Stage = Callable[[str], AbstractContextManager[None]]
"""Gives a context for the work that it names, for example to time it."""

PARTS: Final = ("profile", "statistics", "reports")
SAMPLES_A_PAGE: Final = 200
"""Samples of one picture of all checks."""
_MADE: Final = "made.jsonl"


@dataclass(frozen=True)
class Asked:
    """Which pages are asked for, and how they are made.

    Attributes
    ----------
    subject, visit
        Only the pages of this subject or visit; None is all, with the cohort.
    workers
        Where pages are made; None is this process.
    pdf
        Also as PDF.
    blinded
        Without arm, doses, dates and file names.
    progress
        Show a progress bar.
    again
        Write also what is there and still true.
    """

    subject: str | None = None
    visit: str | None = None
    workers: Workers | None = None
    pdf: bool = False
    blinded: bool = False
    progress: bool = False
    again: bool = False

    @property
    def everything(self) -> bool:
        """Whether all pages are asked for."""
        return self.subject is None and self.visit is None


def complete(profile: Profile, gated: Gated, asked: Asked, stage: Stage | None = None) -> tuple[Profile, list[Path]]:
    """Make what the gated files of a folder still lack, and seal it: statistics, reports, provenance.

    The caller holds the folder and has taken its mark of completeness. What was made of the same files by the same
    software, and is as it was made, stays: a run that was stopped in the reports goes on there, and one that is
    repeated writes nothing anew.

    Parameters
    ----------
    profile
        The results.
    gated
        The files that they consist of.
    asked
        Which pages.
    stage
        Called with ``statistics``, ``reports`` and ``hashes``.

    Returns
    -------
    Profile
        The results with the provenance that was sealed, and the statistics in ``visits.uns``.
    list of Path
        Files of the pages that were asked for.
    """
    folder, stage = profile.folder, stage or (lambda _: nullcontext())
    keep_gated(folder, gated)
    source = Source(profile, asked.blinded)
    pages = pages_of(source, folder / "reports", subject=asked.subject, visit=asked.visit)
    made = Made(folder, _key(gated, asked))
    missing = [page for page in pages if asked.again or not made.has(page.files(pdf=asked.pdf))]
    early, late = parted(missing, asked.workers)
    with written_beside(source, early, asked.workers, pdf=asked.pdf, progress=asked.progress, wrote=made.add) as finish:
        with stage("statistics"):
            if missing or not made.has_statistics:
                made.add_statistics(analyse(profile))
            else:
                add_statistics(profile.visits, folder)
        with stage("reports"):
            # Where pages are made beside, the processes are at work with them.
            workers = None if early else asked.workers
            write_pages(source, late, workers=workers, pdf=asked.pdf, progress=asked.progress, wrote=made.add)
            finish()
    with stage("hashes"):
        written = [path for page in pages for path in page.files(pdf=asked.pdf)]
        files = {**gated.files, **made.files(written, others=not asked.everything)}
        sweep(folder, files)
        provenance = seal(folder, gated.facts, files, parts=PARTS, made=made.key if asked.everything else "")
    return replace(profile, provenance=provenance), written


def made_already(study: Study, gates: GateSet, folder: Path, asked: Asked, *, cells: bool) -> dict[str, Any] | None:
    """The provenance of a folder that holds what a run of a study would make again, byte by byte; else None.

    Nothing is taken on trust: the hash of all that a run is made of is that of the sealed run, and so are the hashes
    of the FCS files and of every file of the folder. The caller holds the folder.

    Parameters
    ----------
    study, gates
        As they would be given to the run.
    folder
        Results folder.
    asked
        Pages that would be asked for: all.
    cells
        Whether the run would write the events of all samples.
    """
    try:
        provenance = read_provenance(folder)
    except ResultsError:
        return None
    same = (
        provenance["parts"] == list(PARTS)
        and provenance["parameters"].get("cells") is cells
        and provenance.get("made") == _key(gated_of(provenance), asked)
        and provenance.get("content") == content_of(study, gates)
        and same_files(study, provenance["inputs"])
        and stands(folder, provenance["outputs"])
    )
    return provenance if same else None


def write_reports(folder: Path, asked: Asked, profile: Profile | None = None, stage: Stage | None = None) -> list[Path]:
    """Write the reports of a results folder again, with its statistics, and seal it.

    Parameters
    ----------
    folder
        Results folder. What was stopped in statistics or reports is taken up.
    asked
        Which pages.
    profile
        The results, when they were read already; its ``visits.uns`` takes the analyses that the study declares.
    stage
        As for `complete`.

    Returns
    -------
    list of Path
        Files of the pages.

    Raises
    ------
    ResultsError
        The folder holds no results that a run finished gating, a file of it was changed, ``profile`` was read from
        other content, or another run is at work in it.
    OutputError
        The reports cannot be written.
    """
    if not (folder / PROVENANCE).exists() and kept_gated(folder) is None:
        read_provenance(folder)  # says what is not there; nothing is made in a folder of something else
    with only_writer(folder, "report"):
        gated = _gated(folder)
        if profile is None:
            profile = Profile.read(folder, provenance={**gated.facts, "outputs": gated.files})
        elif gated_of(profile.provenance) != gated:
            raise ResultsError(
                "the folder was written again since this profile was read",
                where=str(folder),
                todo="read it again with read_results",
            )
        keep_gated(folder, gated)
        reopen(folder, profile.study.config.study_id)
        return complete(profile, gated, asked, stage)[1]


def _gated(folder: Path) -> Gated:
    """What the folder holds beside statistics and reports, when it is as it was written."""
    try:
        provenance = read_provenance(folder)
    except ResultsError:
        kept = kept_gated(folder)
        if kept is None:
            raise
        gated, changed = kept, differences(folder, kept.files)
    else:
        gated, changed = gated_of(provenance), verify(folder)
    if changed:
        raise ResultsError(f"is not as it was written: {'; '.join(changed[:5])}", where=str(folder), todo=AGAIN)
    return gated


def analyse(profile: Profile) -> list[Path]:
    """The analyses that the study declares, as CSV beside the results, and the overview of all checks as a figure.

    Returns
    -------
    list of Path
        Files written.
    """
    declared(profile.visits)
    written = write_statistics(profile.visits, profile.folder / "statistics")
    return written + _overviews(profile)


def _overviews(profile: Profile) -> list[Path]:
    """The checks of all samples as a picture, or as several where one would be metres long."""
    of_samples = profile.quality[profile.quality["sample_id"] != ""]
    names = list(dict.fromkeys(of_samples["sample_id"]))
    pages = [names[begin : begin + SAMPLES_A_PAGE] for begin in range(0, len(names), SAMPLES_A_PAGE)]
    page_of = {name: number for number, page in enumerate(pages, 1) for name in page}
    written = []
    for number, rows in of_samples.groupby(of_samples["sample_id"].map(page_of), sort=True):
        stem = "overview" if len(pages) == 1 else f"overview-{number:0{len(str(len(pages)))}d}"
        written.append(profile.folder / "quality" / f"{stem}.svg")
        write_bytes(written[-1], sketch_svg(overview_sketch(rows)))
    return written


def _key(gated: Gated, asked: Asked) -> str:
    content = [software_digest(), dict(gated.facts), dict(gated.files), asked.pdf, asked.blinded]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Made:
    """What was made of the gated files of a folder, file by file, kept while the work goes on.

    Parameters
    ----------
    folder
        Results folder.
    key
        Hash of all that statistics and reports depend on. What was made of something else counts as not made.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.key = key
        self._lock = RLock()
        self._folder = folder
        self._path = folder / PARTIAL / _MADE
        self._earlier_key, self._earlier = _earlier(folder)
        found = _noted(self._path, key)
        self._files = found if found is not None else dict(self._earlier) if self._earlier_key == key else {}
        if found is None:
            write_bytes(self._path, _line({"key": key}) + b"".join(map(_line, _rows(self._files))))

    def has(self, paths: list[Path]) -> bool:
        """Whether files were made and are as they were made."""
        return all(self._as_made(path.relative_to(self._folder).as_posix()) for path in paths)

    @property
    def has_statistics(self) -> bool:
        """Whether the statistics were made and are as they were made."""
        own = [name for name in self._files if not name.startswith("reports/")]
        return bool(own) and all(self._as_made(name) for name in own)

    def add(self, paths: list[Path]) -> None:
        """Note files that were made."""
        new = {path.relative_to(self._folder).as_posix(): sha256_of(path) for path in paths}
        with self._lock:  # pages are noted while statistics are made
            self._files |= new
            try:
                with self._path.open("ab") as handle:
                    handle.write(b"".join(map(_line, _rows(new))))
            except OSError as error:
                raise cannot_write(self._path, error) from error

    def add_statistics(self, paths: list[Path]) -> None:
        """Note the statistics, in place of those that were there."""
        with self._lock:
            self._files = {name: sha for name, sha in self._files.items() if name.startswith("reports/")}
            self.add(paths)

    def files(self, pages: list[Path], *, others: bool) -> dict[str, str]:
        """Path -> SHA-256 of the statistics and of pages; with ``others`` also of pages of an earlier run."""
        wanted = {path.relative_to(self._folder).as_posix() for path in pages}
        own = {n: sha for n, sha in self._files.items() if n in wanted or not n.startswith("reports/")}
        return ({n: sha for n, sha in self._earlier.items() if n.startswith("reports/")} if others else {}) | own

    def _as_made(self, name: str) -> bool:
        path = self._folder / name
        return name in self._files and path.is_file() and sha256_of(path) == self._files[name]


def _rows(files: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "sha256": sha} for name, sha in files.items()]


def _line(row: Mapping[str, str]) -> bytes:
    return (json.dumps(row) + "\n").encode()


def _noted(path: Path, key: str) -> dict[str, str] | None:
    """Files that were noted under a key; None where nothing was, or the note is of another key or damaged."""
    try:
        first, *rows = [json.loads(line) for line in read_plain(path).splitlines()]
        return {str(row["name"]): str(row["sha256"]) for row in rows} if first["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _earlier(folder: Path) -> tuple[str, dict[str, str]]:
    """Key and files of the statistics and pages of the run before."""
    try:
        content = json.loads(read_plain(folder / PARTIAL / EARLIER))
        return str(content["made"]), {str(name): str(sha) for name, sha in content["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", {}
