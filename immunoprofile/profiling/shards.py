"""Shares of the files of a study: each gated by a call of its own, several at the same time, joined by a last call.

A share is some of the subjects, with all files of each, so that the gates of a subject are placed by one call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import ImmunoprofileError, ResultsError
from immunoprofile.gate.study_gates import GATED_ROLES
from immunoprofile.io.only_writer import share_of
from immunoprofile.io.records import records
from immunoprofile.placement.in_study import place_study
from immunoprofile.profiling.gate_files import gate_all, requests_of, suited
from immunoprofile.profiling.locking import refuse_lost_history
from immunoprofile.profiling.preflight import prepare
from immunoprofile.profiling.records import path_of
from immunoprofile.profiling.sealing import begin, refuse_other_study
from immunoprofile.profiling.shard_notes import TAKE_UP, ShardNote, keep_note, notes_of
from immunoprofile.workers import Processes

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import GateSet
    from immunoprofile.profiling.outcome import Outcome
    from immunoprofile.study import Study


@dataclass(frozen=True)
class Shard:
    """Share ``number`` of ``of``, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def shard_of(text: str) -> Shard:
    """A share as it is written: ``3/8``.

    Raises
    ------
    ImmunoprofileError
        It is not K/N with K from 1 to N.
    """
    found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ImmunoprofileError(f"{text!r} is no share", where="--shard", todo="write K/N, K from 1 to N, as in 3/8")
    return Shard(int(found[1]), int(found[2]))


def samples_of(study: Study, shard: Shard) -> frozenset[str]:
    """Samples that a share gates: those of every N-th subject; a control stands for itself."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in records(study.samples, "samples"):
        if row["role"] in GATED_ROLES and not row["exclude_flag"]:
            subject = "" if row["role"] == "control" else str(row["usubjid"] or "")
            groups.setdefault((subject, "" if subject else str(row["sample_id"])), []).append(str(row["sample_id"]))
    own = sorted(groups)[shard.number - 1 :: shard.of]
    return frozenset(sample for key in own for sample in groups[key])


def gate_shard(
    study: Study,
    gates: GateSet,
    *,
    out: str | Path,
    shard: Shard,
    jobs: int = 1,
    cells: bool = False,
    progress: bool = False,
) -> tuple[Outcome, ...]:
    """Gate a share of the files of a study into a results folder, into which others may gate theirs at the same time.

    The same call takes up what it has gated before. `run_study` of the whole study joins the shares: it gates none of
    their files again.

    Parameters
    ----------
    study, gates, out, jobs, cells, progress
        As for `run_study`.
    shard
        Which share.

    Returns
    -------
    tuple of Outcome
        What was learnt of each file, in the order of the samples.

    Raises
    ------
    GateError, StudyError, ResultsError, OutputError
        As for `run_study`; also where a run of the whole study, or the same share, is at work in ``out``.
    """
    out = Path(out)
    prepared = prepare(study, gates)
    refuse_lost_history(study, prepared.gates, out)
    own = samples_of(study, shard)
    with share_of(out, f"run --shard {shard}", f"{shard.number}-of-{shard.of}"):
        begin(out, study.config.study_id, source=study.folder, shared=True)
        note = ShardNote(shard.number, shard.of, files=len(own))
        keep_note(out, note)
        with Processes(jobs) as processes:
            workers = suited(processes, out, own)
            placement = place_study(study, prepared.gates, workers, only=own, progress=progress)
            requests = [one for one in requests_of(study, prepared.gates, placement.strategies) if one.sample_id in own]
            outcomes = tuple(gate_all(requests, out, workers, cells=cells, progress=progress).values())
        keep_note(out, ShardNote(shard.number, shard.of, files=len(own), ended=True))
    return outcomes


@dataclass(frozen=True)
class Unjoined:
    """A results folder with shares, before they are joined.

    Attributes
    ----------
    notes
        What each share says of itself.
    missing
        Sample -> why no share has gated it.
    stamps
        Sample -> what tells whether its record was written anew.
    """

    notes: tuple[ShardNote, ...]
    missing: Mapping[str, str]
    stamps: Mapping[str, tuple[int, int]]

    def gated_again(self, out: Path) -> list[str]:
        """Samples that a share had gated and the join gated again: their file, gates or limits are others now."""
        return [sample for sample, before in self.stamps.items() if _stamp(path_of(out, sample)) != before]


def unjoined(study: Study, out: Path) -> Unjoined:
    """What the shares of a folder have done, and which files they leave to the call that joins them.

    Raises
    ------
    ResultsError
        No share was gated into the folder, they are shares of different numbers, or of another study.
    """
    refuse_other_study(out, study.config.study_id)
    notes = notes_of(out)
    if not notes:
        raise ResultsError("holds no shards to join", where=str(out),
                           todo="gate them with 'immunoprofile run STUDY --shard K/N' and the same --out")  # fmt: skip
    numbers = sorted({note.of for note in notes})
    if len(numbers) > 1:
        raise ResultsError(
            f"holds shards of different numbers: of {' and of '.join(map(str, numbers))}", where=str(out),
            todo=TAKE_UP,
        )  # fmt: skip
    known = {note.number: note for note in notes}
    missing: dict[str, str] = {}
    stamps: dict[str, tuple[int, int]] = {}
    for number in range(1, numbers[0] + 1):
        note = known.get(number)
        state = "was never begun" if note is None else "has not ended" if not note.ended else "had ended without it"
        for sample in sorted(samples_of(study, Shard(number, numbers[0]))):
            stamp = _stamp(path_of(out, sample))
            if stamp is None:
                missing[sample] = f"shard {number}/{numbers[0]} {state}"
            else:
                stamps[sample] = stamp
    return Unjoined(notes, missing, stamps)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
