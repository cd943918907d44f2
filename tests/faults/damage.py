"""Results folders and records that were damaged: every reader answers with a named error, never with another one.

    python -m tests.faults.damage --cases 100000       the long mode; prints what was seen
    python -m tests.faults.damage --first 4711 --cases 1

Case N is the same on every machine. A file of a small results folder is cut, overwritten, mixed with another, or, where
it is JSON, given other values and types, for a part of the cases with a seal that fits; then what reads it is called.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import immunoprofile as ip
from immunoprofile import schema
from immunoprofile.errors import ImmunoprofileError
from immunoprofile.gate.raster import read_rasters
from immunoprofile.profiling import records, sealing, stored_files
from immunoprofile.profiling.one_file import read_flags
from immunoprofile.profiling.stored_files import StoredFiles
from immunoprofile.report import complete
from tests.faults import small_run

_WHOLE = (
    b"",
    b"[]",
    b"null",
    b"{}",
    b"0",
    b"\n",
    b"\x00" * 64,
    b"PK\x03\x04",
    b"\x89HDF\r\n\x1a\n",
    b"\xff\xfe",
    b"a,b\n1\n",
)
_VALUES: tuple[Any, ...] = (
    None,
    [],
    {},
    0,
    -1,
    "",
    "x",
    True,
    [[]],
    {"a": 1},
    "../../etc/passwd",
    1e999,
    ["0" * 64],
    "0" * 64,
)


class Folder:
    """A results folder that can be damaged and restored.

    Parameters
    ----------
    place
        Folder to work in.
    """

    def __init__(self, place: Path) -> None:
        small_run.make(place)
        self.out = place / "out"
        small_run.run(place, self.out)
        self.content = small_run.content(self.out)
        self.keys = {
            path.stem: json.loads(path.read_bytes())["record"]["key"] for path in (self.out / "records").glob("*.json")
        }
        self.core = sorted(
            name for name in self.content
            if "/" not in name or name.startswith(("study/", "gating/templates/", "statistics/"))
        )  # fmt: skip
        # As they are while reports are made.
        self.gated = sealing.gated_of(sealing.read_provenance(self.out))
        self.partial = place / "partial"
        shutil.copytree(self.out, self.partial)
        sealing.reopen(self.partial, "SMALL")
        sealing.keep_gated(self.partial, self.gated)
        made = complete.Made(self.partial, "key")
        made.add([self.partial / "reports" / "cohort.html"])
        self.notes = {path: path.read_bytes() for path in (self.partial / sealing.PARTIAL).iterdir()}

    def restore(self, path: Path, content: bytes) -> None:
        """Put the content of a file back."""
        path.write_bytes(content)


def damaged(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """Another content, made of one and a bit of another."""
    kind = chance.randrange(7)
    place, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    if kind == 0:
        return content[:place]
    if kind == 1:
        return chance.choice(_WHOLE)
    if kind == 2:
        return content[:place] + chance.randbytes(chance.randrange(1, 9)) + content[place:]
    if kind == 3:
        return content[:place] + content[end:]
    if kind == 4:
        return content[:place] + other[: end - place] + content[end:]
    if kind == 5:
        return content + content[place:end]
    changed = bytearray(content or b"x")
    for _ in range(chance.randrange(1, 20)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def other_json(content: Any, chance: random.Random) -> Any:
    """The same JSON with something at a random place changed, removed or added."""
    if isinstance(content, dict) and content and chance.random() < 0.8:
        key = chance.choice(sorted(content))
        changed = dict(content)
        if chance.random() < 0.2:
            del changed[key]
        elif chance.random() < 0.1:
            changed[chance.choice(("", "x", "../x", "/etc"))] = chance.choice(_VALUES)
        else:
            changed[key] = other_json(content[key], chance)
        return changed
    if isinstance(content, list) and content and chance.random() < 0.8:
        place = chance.randrange(len(content))
        return [*content[:place], other_json(content[place], chance), *content[place + 1 :]]
    return chance.choice(_VALUES)


def sealed_json(content: bytes, seal: str, chance: random.Random) -> bytes:
    """Changed JSON whose seal fits."""
    changed = other_json(json.loads(content), chance)
    if isinstance(changed, dict):
        if seal == "record":
            text = json.dumps(changed.get("record"), sort_keys=True)
            changed["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        else:
            changed["seal"] = sealing._seal_of(changed)
    return json.dumps(changed).encode()


def case(folder: Folder, number: int) -> str:
    """One damaged file and its reader: ``refused`` or ``read``; other exceptions pass through."""
    chance = random.Random(f"damage {number}")
    kind = chance.choices(
        ("results", "provenance", "sealed provenance", "record", "sealed record", "note", "content"),
        (35, 10, 10, 15, 15, 5, 10),
    )[0]
    other = folder.content[chance.choice(sorted(folder.content))]
    if kind == "note":
        path = chance.choice(sorted(folder.notes))
        content = folder.notes[path]
        broken = sealed_json(content, "seal", chance) if path.suffix == ".json" and chance.random() < 0.5 else None
        return _read(path, content, damaged(content, other, chance) if broken is None else broken, folder, _read_notes)
    if "record" in kind:
        name = chance.choice(sorted(n for n in folder.content if n.startswith("records/") and n.endswith(".json")))
        content = folder.content[name]
        broken = sealed_json(content, "record", chance) if kind == "sealed record" else damaged(content, other, chance)
        return _read(folder.out / name, content, broken, folder, lambda one: _read_record(one, Path(name).stem))
    if "provenance" in kind:
        name = sealing.PROVENANCE
        content = folder.content[name]
        broken = sealed_json(content, "seal", chance) if "sealed" in kind else damaged(content, other, chance)
        return _read(folder.out / name, content, broken, folder, _read_all if number % 20 == 0 else _verify)
    if kind == "results":
        name = chance.choice(folder.core)
        content = folder.content[name]
        return _read(folder.out / name, content, damaged(content, other, chance), folder, _read_all)
    readable = [name for name in sorted(folder.content) if name.endswith((".csv", ".npz")) and "study/" not in name]
    name = chance.choice(readable)
    content = folder.content[name]
    return _read(folder.out / name, content, damaged(content, other, chance), folder, lambda one: _parse(one, name))


def _read(path: Path, content: bytes, broken: bytes, folder: Folder, reader: Callable[[Folder], None]) -> str:
    try:
        path.write_bytes(broken)
        reader(folder)
    except ImmunoprofileError as error:
        assert str(error)
        return "refused"
    finally:
        folder.restore(path, content)
    return "read"


def _read_all(folder: Folder) -> None:
    ip.read_results(folder.out)


def _verify(folder: Folder) -> None:
    if sealing.verify(folder.out):
        sealing.gated_of(sealing.read_provenance(folder.out))


def _read_record(folder: Folder, sample_id: str) -> None:
    outcome = records.read_record(folder.out, sample_id, folder.keys[sample_id])
    if outcome is not None:
        _ = (outcome.gated, outcome.count("t"), sorted(outcome.files))


def _read_notes(folder: Folder) -> None:
    sealing.kept_gated(folder.partial)
    complete.Made(folder.partial, "key").has([folder.partial / "reports" / "cohort.html"])
    sealing.read_provenance(folder.partial)


def _parse(folder: Folder, name: str) -> None:
    """A content that no run wrote, as if it had been sealed."""
    with StoredFiles(folder.out, None).reading(name) as path:
        if name.startswith("rasters/"):
            read_rasters(path)
        elif name.startswith("records/"):
            records.read_panel(folder.out, path.stem)
        elif name.endswith(".npz"):
            read_flags(path)
        elif name.startswith("statistics/"):
            stored_files.read_statistics(path)
        elif name.startswith("gating/"):
            ip.gate.load(path.parent)
        elif path.stem in schema.RESULT_TABLES:
            stored_files.read_result_table(path, schema.RESULT_TABLES[path.stem])
        elif path.stem == "quality":
            stored_files.read_quality(path)
        else:
            stored_files.read_numbers(path)


def main() -> None:
    """The long mode."""
    parser = argparse.ArgumentParser(description="Damage results and records, and read them.")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    small_run.quietly()
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Folder(Path(name))
        begun = time.process_time()
        for number in range(options.first, options.first + options.cases):
            try:
                seen[case(folder, number)] += 1
            except Exception:  # noqa: BLE001 (any other exception is what is looked for)
                seen["DEFECT"] += 1
                if seen["DEFECT"] <= 20:
                    print(f"case {number}:\n{traceback.format_exc()}", flush=True)
            if number % 5000 == 4999:
                print(f"{number + 1}: {dict(seen)}, {time.process_time() - begun:.0f} s of processor time", flush=True)
    print(dict(seen))
    sys.exit(seen["DEFECT"] > 0)


if __name__ == "__main__":
    main()
