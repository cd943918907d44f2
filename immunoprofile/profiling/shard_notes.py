"""What the shares of a study say of themselves in a results folder that is not joined yet."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from immunoprofile.io.files import write_json
from immunoprofile.io.inputs import read_plain
from immunoprofile.io.only_writer import RESULTS_MARKS

_FOLDER: Final = f"{RESULTS_MARKS[1]}/shards"
JOIN: Final = "give 'immunoprofile run STUDY --join' with the same --out when all shards have ended"
TAKE_UP: Final = "'immunoprofile run' without --join, with the same --out, takes up what is there, whatever gated it"


@dataclass(frozen=True)
class ShardNote:
    """A share of the files.

    Attributes
    ----------
    number, of
        Which share of how many.
    files
        How many files it has.
    ended
        Whether all of them are done.
    """

    number: int
    of: int
    files: int
    ended: bool = False


def keep_note(out: Path, note: ShardNote) -> None:
    """Write what a share says of itself."""
    write_json(out / _FOLDER / f"{note.number}-of-{note.of}.json", asdict(note))


def notes_of(out: Path) -> tuple[ShardNote, ...]:
    """Notes of a folder by number; a damaged one is a share that has not ended."""
    found = []
    for path in sorted((out / _FOLDER).glob("*-of-*.json")):
        number, _, of = path.stem.partition("-of-")
        if not (number.isascii() and of.isascii() and number.isdigit() and of.isdigit()):
            continue
        try:
            content = json.loads(read_plain(path))
            files, ended = int(content["files"]), content["ended"] is True
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            files, ended = 0, False
        found.append(ShardNote(int(number), int(of), files, ended=ended))
    return tuple(sorted(found, key=lambda note: (note.of, note.number)))


def in_words(notes: tuple[ShardNote, ...]) -> str:
    """What became of the shares: ``shards 1, 2 of 4 have ended, 3 has not, 4 was never begun``."""
    parts = []
    for of in sorted({note.of for note in notes}):
        own = {note.number: note for note in notes if note.of == of}
        states = {
            "ended": [number for number, note in own.items() if note.ended],
            "begun and not ended": [number for number, note in own.items() if not note.ended],
            "not begun": [number for number in range(1, of + 1) if number not in own],
        }
        told = "; ".join(f"{state}: {_spans(numbers)}" for state, numbers in states.items() if numbers)
        parts.append(f"shards of {of} ({told})")
    return " and ".join(parts)


def _spans(numbers: list[int]) -> str:
    """Numbers in words, runs of them as ``3-7``."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
