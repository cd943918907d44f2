"""The ledger of overrides: ``gating/overrides.jsonl`` of a study, a chain of hashes that names every changed byte.

One row a line, in one spelling (`io.sealed_json`); each row holds the hash of the row before it and its own.
Rows that were changed, removed, put in or put in another order are named by the chain. A tail that was cut off at the
end of a row is not: it takes the *head* (hash of the last row), which every report, the provenance of results and the
locks of a study keep (docs/overrides.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from immunoprofile.errors import GateError, Problems
from immunoprofile.gate.overrides import Override
from immunoprofile.gate.stored import override_content, override_from
from immunoprofile.io.files import write_durably
from immunoprofile.io.inputs import read_plain, reason
from immunoprofile.io.only_writer import only_writer
from immunoprofile.io.sealed_json import SEAL, read_sealed, sealed, spelled

LEDGER: Final = "gating/overrides.jsonl"
"""Place of the ledger in a study folder, and of its copy in a results folder."""
_NAMES: Final = frozenset({"n", "override", "previous", SEAL, "study_id"})
_WAIT: Final = 30.0
"""Seconds to wait for another that writes into the ledger."""
TODO: Final = "bring back the file as it was; the results of a run hold a copy"


@dataclass(frozen=True)
class Ledger:
    """The overrides of a study.

    Attributes
    ----------
    overrides
        The rows, oldest first.
    hashes
        Hash of each row.
    content
        The bytes that were read; empty where a study has no ledger.
    """

    overrides: tuple[Override, ...] = ()
    hashes: tuple[str, ...] = ()
    content: bytes = b""

    def __len__(self) -> int:
        return len(self.overrides)

    @property
    def head(self) -> str:
        """Hash of the last row; empty without rows."""
        return self.hashes[-1] if self.hashes else ""

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def facts(self) -> dict[str, Any]:
        """Number of rows and head, as they are kept elsewhere."""
        return {"rows": len(self), "head": self.head}

    def begins_with(self, facts: Mapping[str, Any]) -> bool:
        """Whether the rows that were there when ``facts`` were kept are there still."""
        rows = int(facts["rows"])
        return rows == 0 or (rows <= len(self) and self.hashes[rows - 1] == str(facts["head"]))


def read_ledger(folder: Path) -> Ledger:
    """The ledger of a study, or of a results folder; empty where there is none.

    Parameters
    ----------
    folder
        The study or results folder.

    Raises
    ------
    GateError
        Every row that is not as it was written.
    """
    path = folder / LEDGER
    try:
        content = read_plain(path)
    except FileNotFoundError:
        return Ledger()
    except OSError as error:
        problems = Problems()
        problems.add(LEDGER, f"cannot be read: {reason(error)}")
        raise GateError("the ledger of overrides cannot be read", problems.found, where=str(folder)) from error
    return parse_ledger(content, str(folder))


def parse_ledger(content: bytes, where: str) -> Ledger:
    """The rows of a ledger.

    Raises
    ------
    GateError
        Every row that is not as it was written.
    """
    problems = Problems()
    *lines, rest = content.split(b"\n")
    if rest or not content:
        problems.add(LEDGER, "its last row is cut off" if content else "is empty", row=len(lines) + 1)
    overrides: list[Override] = []
    hashes: list[str] = []
    for number, line in enumerate(lines, 1):
        row = _row(line, number, problems)
        if row is None:
            hashes.append("")  # nothing is known of it: the next row cannot follow it
            continue
        found, own = row
        if found["previous"] != (hashes[-1] if hashes else ""):
            problems.add(LEDGER, "does not follow the row before it: one is missing, was put in, or was changed",
                         row=number)  # fmt: skip
        hashes.append(found[SEAL])
        overrides.append(own)
    if problems:
        raise GateError("the ledger of overrides is not as it was written", problems.found, where=where, todo=TODO)
    return Ledger(tuple(overrides), tuple(hashes), content)


def _row(line: bytes, number: int, problems: Problems) -> tuple[dict[str, Any], Override] | None:
    try:
        found = read_sealed(line)
    except ValueError as error:
        problems.add(LEDGER, str(error), row=number)
        return None
    try:
        if found.keys() != _NAMES or not all(isinstance(found[name], str) for name in ("previous", "study_id")):
            raise ValueError("other entries")
        override = override_from(found["override"])
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        problems.add(LEDGER, f"is no row of a ledger: {str(error)[:200]}", row=number)
        return None
    if found["n"] != number:
        problems.add(LEDGER, "is at another place than it was written", row=number, value=found["n"])
    return found, override


def append(folder: Path, overrides: Iterable[Override], study_id: str) -> Ledger:
    """Add rows to the ledger of a study; what others add at the same time stays.

    The file is written beside itself, brought to the disk and renamed, so that a killed process leaves whole rows.

    Parameters
    ----------
    folder
        Study folder.
    overrides
        What to add.
    study_id
        Of the study, kept in each row: the ledger of one study is not that of another.

    Returns
    -------
    Ledger
        With the new rows.

    Raises
    ------
    GateError
        The ledger is not as it was written; nothing was added.
    ResultsError
        Others wrote for half a minute.
    OutputError
        It cannot be written.
    """
    with only_writer((folder / LEDGER).parent, "override", wait=_WAIT):
        ledger = read_ledger(folder)
        lines, head = [], ledger.head
        for number, override in enumerate(overrides, len(ledger) + 1):
            entries = {"n": number, "study_id": study_id, "override": override_content(override), "previous": head}
            row = sealed(entries)
            head = row[SEAL]
            lines.append(spelled(row) + "\n")
        if not lines:
            return ledger
        content = ledger.content + "".join(lines).encode()
        grown = parse_ledger(content, str(folder))  # what cannot be read back is not written
        write_durably(folder / LEDGER, content)
    return grown


def study_ids(ledger: Ledger) -> list[str]:
    """Study that each row names."""
    return [read_sealed(line)["study_id"] for line in ledger.content.splitlines()]
