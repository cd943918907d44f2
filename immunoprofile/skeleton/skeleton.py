"""A study folder from FCS files: what the files tell is written, what only a person knows is listed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import ImmunoprofileError
from immunoprofile.gate.template import VERTICES_SUFFIX
from immunoprofile.io.config import CONFIG_NAME, load_plain_yaml
from immunoprofile.io.files import replacing, sha256_of
from immunoprofile.io.only_writer import only_writer, outside_results
from immunoprofile.io.table_files import WORKBOOK_NAME
from immunoprofile.io.tables import write_study_table
from immunoprofile.io.workbook_writer import write_workbook
from immunoprofile.schema import SAMPLES, SUBJECTS, VISITS
from immunoprofile.skeleton.proposals import Proposal, propose
from immunoprofile.skeleton.tables import Tables, propose_tables
from immunoprofile.skeleton.texts import study_yaml, template
from immunoprofile.skeleton.tubes import read_events
from immunoprofile.skeleton.workspace import TubeOfWorkspace, files_of_workspace, tubes_of_workspace

if TYPE_CHECKING:
    import pandas as pd

FILES = "fcs"
"""Folder of the FCS files inside a new study."""
GATES = "gating"


@dataclass
class Skeleton:
    """A study folder that was begun.

    Attributes
    ----------
    folder
        The study folder.
    written, kept
        Files that were written; files that were there and are not what would be written now, left as they are.
    notes
        What was proposed from what.
    left_out
        FCS files that could not be read, and names, keywords and panels that disagree.
    without
        Scales and gates that could not be proposed, and why.
    todo
        What only a person can fill, in the order in which it is best done.
    files
        How many FCS files the samples table holds, and how they came into the folder.
    """

    folder: Path
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    todo: list[str] = field(default_factory=list)
    files: str = ""

    def text(self) -> str:
        """The outcome in words, as the command line prints it."""
        lines = [self.files, f"written: {', '.join(self.written) or 'nothing, all was there'}"]
        lines += [f"kept as it is, and other than what the files say now: {name}" for name in self.kept]
        lines += self.notes
        lines += [f"not proposed: {line}" for line in self.without]
        if self.left_out:
            lines.append(f"{len(self.left_out)} to look at:")
            lines += [f"  - {line}" for line in self.left_out]
        lines.append("what only a person knows:")
        lines += [f"  {number}. {line}" for number, line in enumerate(self.todo, 1)]
        lines.append(f"then: immunoprofile check {self.folder}")
        return "\n".join(lines)


def study_skeleton(
    out: str | Path,
    *,
    fcs: str | Path,
    workspace: str | Path | None = None,
    pattern: str | Sequence[str] = (),
    specimen: str = "",
    xlsx: bool = False,
) -> Skeleton:
    """Begin a study folder from the FCS files below a folder.

    Headers and names give the tables, panels the tubes, events the scales of each tube and first gates at valleys of
    their densities. Nothing that exists is overwritten.

    Parameters
    ----------
    out
        Study folder; made when absent.
    fcs
        Folder with the FCS files, searched with its sub-folders. Files outside ``out`` are linked into ``out/fcs``
        (hard links, no second copy on the disk), or copied where the disk has no such links.
    workspace
        FlowJo workspace (``.wsp``) whose gates become those of the tubes, each file with the gates of its own sample.
        Its groups name the tubes where they part the files; its keywords, also those that people edited, tell subjects
        and visits.
    pattern
        How names are built, as for `io.propose_manifest`; default: what the names themselves show.
    specimen
        Specimen of all files (`schema.SPECIMEN_TYPES`); it stands in no FCS file.
    xlsx
        Write the tables as one workbook ``study.xlsx`` with a sheet for each and drop-downs, in place of CSV.

    Returns
    -------
    Skeleton
        What was written, kept and left to a person.

    Raises
    ------
    ImmunoprofileError
        No FCS file can be read, a pattern or specimen is not understood, the study folder has tables in the other
        form, holds results or cannot be written, or another process is at work in it.
    GateError
        The workspace cannot be read.

    Examples
    --------
    >>> begun = ip.study_skeleton("study", fcs="fcs")  # doctest: +SKIP
    >>> print(begun.text())  # doctest: +SKIP
    """
    out, source = Path(out), Path(fcs)
    if not source.is_dir():
        raise ImmunoprofileError("the folder of the FCS files does not exist", where=str(source),
                                 todo="name it with --fcs")  # fmt: skip
    allowed = SAMPLES.column("specimen_type").allowed
    if specimen and specimen not in allowed:
        raise ImmunoprofileError(f"{specimen!r} is no specimen", where="specimen", todo=f"one of {', '.join(allowed)}")
    other_form = out / ("subjects.csv" if xlsx else WORKBOOK_NAME)
    if other_form.exists():
        raise ImmunoprofileError(
            f"the study has its tables in the other form ({other_form.name})", where=str(out),
            todo=f"run init {'without' if xlsx else 'with'} --xlsx, or into another folder",
        )  # fmt: skip
    known = files_of_workspace(Path(workspace), source) if workspace is not None else None
    tables = propose_tables(source, [pattern] if isinstance(pattern, str) else pattern, specimen, known)
    given = tubes_of_workspace(known, tables.tubes) if known is not None else {}
    begun = Skeleton(out, notes=tables.notes)
    begun.left_out = [str(problem) for problem in tables.problems]
    inside = source.resolve().is_relative_to(out.resolve())
    prefix = source.resolve().relative_to(out.resolve()).as_posix() if inside else FILES
    paths = [where if prefix == "." else f"{prefix}/{where}" for where in tables.samples["fcs_path"]]
    samples = tables.samples.assign(fcs_path=paths)
    with tempfile.TemporaryDirectory() as place:
        fresh = Path(place)
        first = _write_gates(fresh / GATES, source, tables, given, begun)
        if workspace is not None:
            shutil.copyfile(workspace, fresh / GATES / Path(workspace).name)
        _write_tables(fresh, tables, samples, xlsx=xlsx)
        text = study_yaml(_study_id(out), tables.schedule, _words(tables, given), first)
        load_plain_yaml(text)
        (fresh / CONFIG_NAME).write_text(text, encoding="utf-8", newline="\n")
        outside_results(out, itself=True)
        with only_writer(out, "init"):
            for path in sorted(p for p in fresh.rglob("*") if p.is_file()):
                _place(path, out, path.relative_to(fresh).as_posix(), begun)
            names = tables.samples["fcs_path"].tolist()
            how = "in the study folder" if inside else _bring_in(source, out / FILES, names, begun)
    tubes = ", ".join(f"{tube} ({len(files)})" for tube, files in tables.tubes.items())
    begun.files = (
        f"{len(samples)} files {how}; {len(tables.subjects)} subjects, {len(tables.schedule)} visits, tubes: {tubes}"
    )
    begun.todo = _todo(tables, specimen, "study.xlsx" if xlsx else "", given)
    return begun


def _study_id(out: Path) -> str:
    name = "".join(mark if mark.isascii() and (mark.isalnum() or mark in "_-") else "-" for mark in out.resolve().name)
    return name.strip("-").upper() or "STUDY"


def _words(tables: Tables, given: dict[str, TubeOfWorkspace]) -> dict[str, tuple[str, str]]:
    return {
        tube: (given[tube].strategy if tube in given else tube, markers) for tube, markers in tables.markers.items()
    }


def _write_gates(folder: Path, source: Path, tables: Tables, given: dict[str, TubeOfWorkspace], begun: Skeleton) -> str:
    """Write the template of every tube that the workspace does not gate; the population of the first endpoint."""
    folder.mkdir(parents=True)
    first = ""
    missing: dict[str, list[str]] = {}
    for tube, files in tables.tubes.items():
        if tube in given:
            first = first or given[tube].population
            begun.notes += given[tube].notes
            continue
        events = read_events([source / where for where in files])
        if events is None:
            begun.left_out.append(f"tube {tube}: none of its files could be read; its template has no gates")
            empty, _ = template(tube, "", {}, Proposal(), compensated=True)
            (folder / f"{tube}.csv").write_text(empty, encoding="utf-8", newline="\n")
            continue
        proposal = propose(events)
        header, corners = template(tube, events.cytometer, events.channels, proposal, compensated=events.compensated)
        (folder / f"{tube}.csv").write_text(header, encoding="utf-8", newline="\n")
        if corners:
            (folder / f"{tube}{VERTICES_SUFFIX}").write_text(corners, encoding="utf-8", newline="\n")
        begun.left_out += [f"tube {tube}: {name}: {what}" for name, what in events.lost]
        for what in proposal.missing:
            missing.setdefault(what, []).append(tube)
        names = ", ".join(gate.population for gate in proposal.gates) or "no gate"
        begun.notes.append(f"tube {tube}: scales of {len(proposal.scales)} channels, proposed gates: {names}")
        if proposal.gates:
            first = first or proposal.gates[-1].population
    begun.without += [f"{what} ({', '.join(names)})" for what, names in missing.items()]
    return first or "cells"


def _write_tables(folder: Path, tables: Tables, samples: pd.DataFrame, *, xlsx: bool) -> None:
    held = {"subjects": tables.subjects, "visits": tables.visits, "samples": samples}
    if xlsx:
        write_workbook(folder / WORKBOOK_NAME, held)
        return
    for spec in (SUBJECTS, VISITS, SAMPLES):
        write_study_table(folder, spec, held[spec.name])


def _place(path: Path, out: Path, name: str, begun: Skeleton) -> None:
    """Put one file into the study; one that is there stays, and is named when it differs."""
    target = out / name
    if target.exists():
        if sha256_of(target) != sha256_of(path):
            begun.kept.append(name)
        return
    with replacing(target) as temporary:
        shutil.copyfile(path, temporary)
    begun.written.append(name)


def _bring_in(source: Path, folder: Path, names: Sequence[str], begun: Skeleton) -> str:
    """Link the FCS files into the study, or copy them; how that was done, in words."""
    ways = set()
    for name in names:
        target = folder / name
        if target.exists():
            if sha256_of(target) != sha256_of(source / name):
                begun.kept.append(f"{FILES}/{name}")
            continue
        with replacing(target) as temporary:
            try:
                os.link(source / name, temporary)
                ways.add("linked")
            except OSError:  # another disk, or a file system without hard links
                shutil.copyfile(source / name, temporary)
                ways.add("copied")
    return f"{' and '.join(sorted(ways)) or 'already'} in {FILES}/"


def _todo(tables: Tables, specimen: str, book: str, given: dict[str, TubeOfWorkspace]) -> list[str]:
    def where(table: str) -> str:
        return f"{book}, sheet {table}" if book else f"{table}.csv"

    more = "" if len(tables.schedule) > 1 else "; further visits, if there are"
    return [
        *([] if specimen else [f"{where('samples')}, specimen_type: {', '.join(_specimens())} (init --specimen says it "
                               "for all)"]),
        f"{where('samples')}, collected_dtc: when the blood was drawn; acquired_dtc has the dates of the files",
        f"{where('visits')}, start_dtc: the dates of the visits{more}",
        "study.yaml, arms, and arm in " + where("subjects") + "; first_dose_dtc there gives study days",
        f"study.yaml, visits: names, order and days ({', '.join(visit.name for visit in tables.schedule)})",
        "study.yaml, endpoints and primary_visit: what the study declared",
        "study.yaml, tubes: staining_protocol, and counts: true for the tube that gives cells/uL",
        *(["gating/: look at every proposed gate in the plots of a first run, move it, raise its version"]
          if len(given) < len(tables.tubes) else []),
        *([f"populations.csv: which name of the workspace is which id; see immunoprofile populations --gates {GATES}"]
          if given else []),
        "cmv_dna, labs, dosing and further tables, where the study has them",
    ]  # fmt: skip


def _specimens() -> tuple[str, ...]:
    return SAMPLES.column("specimen_type").allowed
