"""Data cuts of a study: ``locks/<cut>.json``, what was frozen and when, a chain of files that hold their own hash."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from immunoprofile.errors import Problems, StudyError
from immunoprofile.io.files import write_durably
from immunoprofile.io.inputs import read_plain, reason
from immunoprofile.io.only_writer import only_writer
from immunoprofile.io.sealed_json import SEAL, read_sealed, sealed, spelled

FOLDER: Final = "locks"
"""Folder of the cuts in a study folder."""
State = Literal["open", "closed"]
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_ENTRIES: Final = frozenset({"cut", "n", "study_id", "state", "time", "previous", "frozen", SEAL})
NEW_CUT: Final = "begin a new cut with 'immunoprofile lock STUDY NEW_CUT --open', or bring back what was there"


@dataclass(frozen=True)
class DataCut:
    """A data cut.

    Attributes
    ----------
    name
        Its name.
    n
        Its number in the study, from 1.
    study_id
        Study.
    state
        ``closed`` freezes the study; ``open`` lets it change until it is closed.
    time
        When it was written, ISO 8601 in UTC.
    previous
        Hash of the cut before it; empty for the first.
    frozen
        What was frozen (`profiling.locking.frozen`); empty while it is open.
    sha256
        Hash of all of this.
    """

    name: str
    n: int
    study_id: str
    state: State
    time: str
    previous: str = ""
    frozen: Mapping[str, Any] | None = None
    sha256: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """What results keep of the cut that they were made of."""
        return {"cut": self.name, "state": self.state, "sha256": self.sha256}


def cuts_of(folder: Path) -> list[DataCut]:
    """The cuts of a study, oldest first.

    Raises
    ------
    StudyError
        Every cut that is not as it was written, or that is missing between others.
    """
    problems = Problems()
    found = [cut for path in sorted((folder / FOLDER).glob("*.json")) if (cut := _read(path, problems)) is not None]
    cuts = sorted(found, key=lambda cut: cut.n)
    for position, cut in enumerate(cuts if not problems else (), 1):
        before = cuts[position - 2].sha256 if position > 1 else ""
        if (cut.n, cut.previous) != (position, before):
            problems.add(
                f"{FOLDER}/{cut.name}.json", "does not follow the cut before it: one is missing or was changed"
            )
        if cut.state == "open" and position < len(cuts):
            problems.add(f"{FOLDER}/{cut.name}.json", "is open, and another cut follows it")
    if problems:
        raise StudyError("the cuts of the study are not as they were written", problems.found, where=str(folder),
                         todo="bring back the files of the folder locks")  # fmt: skip
    return cuts


def _read(path: Path, problems: Problems) -> DataCut | None:
    where = f"{FOLDER}/{path.name}"
    try:
        line, end, rest = read_plain(path).partition(b"\n")
        if not end or rest:
            raise ValueError("was changed: is not one line")
        content = read_sealed(line)
        if content.keys() != _ENTRIES or content["cut"] != path.stem or content["state"] not in ("open", "closed"):
            raise ValueError("is no cut of this name")
        return DataCut(
            content["cut"], int(content["n"]), str(content["study_id"]), content["state"], str(content["time"]),
            str(content["previous"]), content["frozen"], content[SEAL],
        )  # fmt: skip
    except OSError as error:
        problems.add(where, f"cannot be read: {reason(error)}")
    except (ValueError, TypeError) as error:
        problems.add(where, str(error))
    return None


def write_cut(folder: Path, cut: DataCut) -> DataCut:
    """Write a cut; the name of a closed one is not given twice.

    Returns
    -------
    DataCut
        With its hash.

    Raises
    ------
    StudyError
        The name is none that a file can have, or stands for a closed cut; another cut is open.
    ResultsError
        Another process is locking the study.
    OutputError
        It cannot be written.
    """
    with only_writer(folder / FOLDER, "lock"):
        return _write(folder, cut)


def _write(folder: Path, cut: DataCut) -> DataCut:
    cuts = cuts_of(folder)
    problems = Problems()
    last = cuts[-1] if cuts else None
    if not _NAME.match(cut.name):
        problems.add("cut", "is no name of a cut", value=cut.name, allowed="letters, digits, . _ and -, at most 64")
    for old in cuts:
        # On some systems names that differ in their case are one file.
        if old.name.casefold() == cut.name.casefold() and old.state == "closed":
            problems.add("cut", "is closed; a new cut needs another name", value=cut.name)
    if last is not None and last.state == "open" and last.name != cut.name:
        problems.add("cut", f"cut {last.name} is open; close it first", value=cut.name)
    if problems:
        raise StudyError("the study cannot be locked", problems.found, where=str(folder))
    closed = [old for old in cuts if old.state == "closed"]
    content = sealed({
        "cut": cut.name, "n": len(closed) + 1, "study_id": cut.study_id, "state": cut.state, "time": cut.time,
        "previous": closed[-1].sha256 if closed else "", "frozen": None if cut.frozen is None else dict(cut.frozen),
    })  # fmt: skip
    write_durably(folder / FOLDER / f"{cut.name}.json", (spelled(content) + "\n").encode())
    return cuts_of(folder)[-1]


def locked_by(folder: Path) -> DataCut | None:
    """The closed cut that is in force; None where there is none, or a new one is open."""
    cuts = cuts_of(folder)
    return cuts[-1] if cuts and cuts[-1].state == "closed" else None


def refuse_when_locked(folder: Path, what: str) -> None:
    """Refuse a change of a study that is locked.

    Raises
    ------
    StudyError
        A closed cut is in force.
    """
    cut = locked_by(folder)
    if cut is not None:
        raise StudyError(f"{what}: the study is locked by cut {cut.name} of {cut.time}", (), where=str(folder),
                         todo="begin a new cut with 'immunoprofile lock STUDY NEW_CUT --open'")  # fmt: skip
