"""Whether a results folder is what a run left: the mark of a complete run, hashes of its files, its own seal."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from immunoprofile.errors import ResultsError
from immunoprofile.io.files import cannot_write, is_leftover, json_text, remove_leftovers, sha256_of, sync, write_json
from immunoprofile.io.inputs import read_plain, reason
from immunoprofile.io.only_writer import RESULTS_MARKS, is_lock, outside_results
from immunoprofile.profiling.shard_notes import JOIN, TAKE_UP, in_words, notes_of
from immunoprofile.schema import RESULT_TABLES
from immunoprofile.workers.here import in_order

PROVENANCE, PARTIAL = RESULTS_MARKS
"""What a run says of its folder, written last; folder that is there from the beginning of a run to its last seal, with
what only the same run needs."""
VISITS: Final = "visits.h5ad"
RUN_LOG: Final = "run.log"
GATED: Final = "gated.json"
EARLIER: Final = "earlier.json"
_OF_STUDY: Final = "study.json"
"""In the partial folder: which study it is of, while the folder has no provenance."""
FORMAT: Final = 2
"""Of ``provenance.json``: since 2 it says whether the folder is complete, and carries a seal of its own."""

AGAIN: Final = "give the same 'immunoprofile run' again with the same --out; it goes on where it stopped"
_STOPPED_LAST: Final = (
    f"left by a run that was stopped in its last step: {PARTIAL}; the same 'immunoprofile run' with the same --out "
    "takes it away"
)
_CHUNK: Final = 1 << 20
_AT_ONCE: Final = 16
"""Files that are brought to the disk at the same time: each waits for it alone, and the file system writes those that
wait together in one go."""
_EXEMPT: Final = frozenset({PROVENANCE, RUN_LOG})
"""Of the folder itself; files of these names below it are results like others."""
_PLACES: Final = ("cells", "gating", "quality", "rasters", "records", "reports", "statistics", "study")
"""Folders that belong to runs."""
_TABLES: Final = tuple(
    [VISITS] + [f"{name}.csv" for name in ("counts", "quality", "exceptions", "virology", *RESULT_TABLES)]
)
"""Files at the top of the folder that belong to runs."""
_MARKS: Final = frozenset({"format", "complete", "parts", "outputs", "made", "seal"})


def refuse_other_study(folder: Path, study_id: str) -> bool:
    """Refuse a results folder that another study has begun.

    Returns
    -------
    bool
        Whether the folder says of which study it is.

    Raises
    ------
    ResultsError
        It is of another one, or what says so is damaged.
    """
    known = next((path for path in (folder / PROVENANCE, folder / PARTIAL / _OF_STUDY) if path.is_file()), None)
    other = study_id if known is None else _content(known).get("study_id", study_id)
    if other != study_id:
        raise ResultsError(
            f"the folder holds the results of study {other}", where=str(folder), todo="choose another folder"
        )
    return known is not None


def begin(folder: Path, study_id: str, *, source: Path | None = None, shared: bool = False) -> None:
    """Say that a run is at work, before anything of an earlier one is touched.

    Parameters
    ----------
    folder
        Results folder.
    study_id
        The study.
    source
        Its folder.
    shared
        Others may be at work in the folder (`only_writer.share_of`): what they are writing is left alone.

    Raises
    ------
    ResultsError
        The folder holds something else than results of this study, lies in other results, holds the study itself, or
        one of its folders is a link: what an earlier run left is deleted, and must not be something else.
    OutputError
        It cannot be written.
    """
    outside_results(folder)
    if source is not None and source.resolve().is_relative_to(folder.resolve()):
        raise ResultsError(
            f"the study itself ({source}) lies in it, where it would be written over", where=str(folder),
            todo="choose another folder for the results, or copy the study out of it",
        )  # fmt: skip
    for name in (*_PLACES, PARTIAL, "gating/templates"):
        if (folder / name).is_symlink():
            raise ResultsError("is a link to another place", where=str(folder / name),
                               todo="remove the link, or choose another folder for the results")  # fmt: skip
    known = refuse_other_study(folder, study_id)
    if not known and not (folder / PARTIAL).exists() and any(not is_lock(path.name) for path in folder.iterdir()):
        raise ResultsError(
            "the folder is not empty and holds no results",
            where=str(folder),
            todo="choose an empty folder for the results",
        )
    (folder / PARTIAL / GATED).unlink(missing_ok=True)
    reopen(folder, study_id)
    write_json(folder / PARTIAL / _OF_STUDY, {"study_id": study_id})
    for place in () if shared else (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        remove_leftovers(place)


def reopen(folder: Path, study_id: str) -> None:
    """Take the mark of a complete run from a folder of which files are about to be written.

    What the run said of its statistics and pages is kept, so that those that are still true can stay.
    """
    try:
        (folder / PARTIAL).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder / PARTIAL, error) from error
    if (folder / PROVENANCE).exists():
        with suppress(ResultsError):  # what is not complete has nothing to say
            earlier = read_provenance(folder)
            files = {name: sha for name, sha in earlier["outputs"].items() if is_later(name)}
            write_json(folder / PARTIAL / EARLIER, {"made": earlier.get("made", ""), "files": files})
        write_json(folder / PROVENANCE, {"format": FORMAT, "complete": False, "study_id": study_id})
        sync(folder / PROVENANCE)
        sync(folder)


def sweep(folder: Path, kept: Iterable[str]) -> list[str]:
    """Delete what an earlier run left: every file in a place that runs write, but for those of this one.

    Other files at the top of the folder are not touched; `verify` names them.

    Parameters
    ----------
    folder
        Results folder.
    kept
        Paths of the files of this run, relative to the folder.

    Returns
    -------
    list of str
        What was deleted.

    Raises
    ------
    OutputError
        A file cannot be deleted.
    """
    try:
        return _swept(folder, set(kept))
    except OSError as error:
        raise cannot_write(Path(error.filename or folder), error) from error


def _swept(folder: Path, wanted: set[str]) -> list[str]:
    found = [path for place in _PLACES for path in (folder / place).rglob("*")]
    found += [folder / name for name in _TABLES if (folder / name).exists()]
    gone = []
    for path in sorted(found, reverse=True):  # what is in a folder before the folder
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif name not in wanted:
            path.unlink()
            gone.append(name)
    for place in _PLACES:
        if (folder / place).is_dir() and not any((folder / place).iterdir()):
            (folder / place).rmdir()
    return gone[::-1]


@dataclass(frozen=True)
class Gated:
    """Results without statistics and reports.

    Attributes
    ----------
    facts
        Content of the provenance: inputs, gates, versions, parameters.
    files
        Path relative to the results folder -> SHA-256.
    """

    facts: Mapping[str, Any]
    files: Mapping[str, str]


def keep_gated(folder: Path, gated: Gated) -> None:
    """Note what is there before statistics and reports are made, so that these can be taken up again."""
    content = {"facts": dict(gated.facts), "files": dict(gated.files)}
    write_json(folder / PARTIAL / GATED, {**content, "seal": _seal_of(content)})


def kept_gated(folder: Path) -> Gated | None:
    """What `keep_gated` noted; None where nothing, or nothing that is whole, is there."""
    try:
        content = json.loads(read_plain(folder / PARTIAL / GATED))
        whole = content["seal"] == _seal_of(content) and _has_form(
            {**content["facts"], "parts": [], "outputs": content["files"]}
        )
        return Gated(content["facts"], content["files"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def gated_of(provenance: Mapping[str, Any]) -> Gated:
    """The part of sealed results that was there before statistics and reports."""
    outputs = provenance["outputs"]
    return Gated(facts_of(provenance), {name: sha for name, sha in outputs.items() if not is_later(name)})


def is_later(name: str) -> bool:
    """Whether a file of the results folder is made of the others: statistics, reports, the overview of the checks."""
    overview = name.startswith("quality/overview") and name.endswith(".svg")
    return overview or name.startswith(("statistics/", "reports/"))


def facts_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What a provenance says of the run, without what `seal` adds: outputs, marks and its own seal."""
    return {name: value for name, value in provenance.items() if name not in _MARKS}


def seal(
    folder: Path, facts: Mapping[str, Any], files: Mapping[str, str], *, parts: tuple[str, ...], made: str = ""
) -> dict[str, Any]:
    """Write ``provenance.json`` with the hash of every file of the run, the last file that a run writes.

    Files and folders are on the disk, not only with the system, before it is written.

    Parameters
    ----------
    folder
        Results folder.
    facts
        What is known of the run: inputs, gates, versions, parameters.
    files
        Path relative to the folder -> SHA-256 of each file of the run, as it was written.
    parts
        What was made: ``profile``, ``statistics``, ``reports``.
    made
        What statistics and reports were made of (`report.complete`).

    Returns
    -------
    dict
        What was written.

    Raises
    ------
    ResultsError
        A file of the run is not there any more, or was changed while the run was at work.
    """
    names = sorted(files)
    hashes = in_order(lambda name: _synced_sha256(folder / name), names, jobs=_AT_ONCE)
    outputs = dict(zip(names, hashes, strict=True))
    if changed := [name for name, sha in outputs.items() if files[name] != sha]:
        raise ResultsError(
            f"changed while the run was at work: {', '.join(changed[:5])}", where=str(folder), todo=AGAIN
        )
    places = {parent for name in outputs for parent in (folder / name).parents if parent.is_relative_to(folder)}
    deque(in_order(sync, sorted(places), jobs=_AT_ONCE), maxlen=0)
    content = {**facts_of(facts), "format": FORMAT, "complete": True, "parts": list(parts), "outputs": outputs}
    if made:
        content["made"] = made
    content["seal"] = _seal_of(content)
    write_json(folder / PROVENANCE, content)
    sync(folder / PROVENANCE)
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)
    sync(folder)
    return content


def read_provenance(folder: Path) -> dict[str, Any]:
    """What the provenance of a complete folder says.

    Raises
    ------
    ResultsError
        There is none, it is damaged or changed, or the folder is not complete: a run has not ended.
    """
    path = folder / PROVENANCE
    if not path.exists():
        if not (folder / PARTIAL).exists():
            raise ResultsError("no results are here", where=str(folder), todo=AGAIN)
        raise _not_ended(folder, AGAIN)
    content = _content(folder / PROVENANCE)
    if content.get("complete") is False:
        todo = AGAIN if kept_gated(folder) is None else f"{AGAIN}; so does 'immunoprofile report'"
        raise _not_ended(folder, todo)
    if content.get("complete") is not True or content.get("seal") != _seal_of(content) or not _has_form(content):
        raise ResultsError(
            "is damaged, was changed by hand, or comes from an earlier version", where=str(path), todo=AGAIN
        )
    return content


def _not_ended(folder: Path, todo: str) -> ResultsError:
    shards = notes_of(folder)
    if shards and kept_gated(folder) is None:
        what = f"no complete results: {in_words(shards)} are not joined"
        return ResultsError(what, where=str(folder), todo=JOIN if len({note.of for note in shards}) == 1 else TAKE_UP)
    return ResultsError("no complete results: a run has not ended", where=str(folder), todo=todo)


def verify(folder: Path) -> list[str]:
    """What is not as a run left it, one line each: files that are missing, changed, or not of the run.

    A run that was stopped between its last seal and its last step left its notes (``.partial``): one line says what
    takes them away.

    Raises
    ------
    ResultsError
        There is no complete run to compare with (`read_provenance`).
    """
    provenance = read_provenance(folder)
    expected: dict[str, str] = provenance["outputs"]
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    unexpected = {name for name in there - expected.keys() - _EXEMPT if not _passing(folder / name, folder)}
    notes = {name for name in unexpected if name.startswith(f"{PARTIAL}/")}
    respelled = read_plain(folder / PROVENANCE) != json_text(provenance).encode()  # its seal holds the content alone
    lines = [f"changed: {PROVENANCE}, blanks or spelling"] if respelled else []
    lines += differences(folder, expected) + [f"not written by a run: {name}" for name in sorted(unexpected - notes)]
    return lines + ([_STOPPED_LAST] if notes else [])


def stands(folder: Path, expected: Mapping[str, str]) -> bool:
    """Whether a complete folder is as it was written, and the same run would find nothing in it to take away."""
    if any((folder / name).is_symlink() for name in _PLACES):
        return False
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    places = tuple(f"{name}/" for name in (*_PLACES, PARTIAL))
    others = {name for name in there - expected.keys() if name in _TABLES or name.startswith(places)}
    return not others and not any(is_leftover(folder / name) for name in there) and not differences(folder, expected)


def _passing(path: Path, folder: Path) -> bool:
    """Whether a file is no result and gone soon: one that is being written, or a lock."""
    return is_leftover(path) or (path.parent == folder and is_lock(path.name))


def differences(folder: Path, expected: Mapping[str, str]) -> list[str]:
    """Files that are missing or changed, one line each."""
    lines = []
    for name, digest in sorted(expected.items()):
        try:
            found = sha256_of(folder / name)
        except FileNotFoundError:
            lines.append(f"missing: {name}")
        except OSError as error:
            lines.append(f"cannot be read: {name} ({reason(error)})")
        else:
            if found != digest:
                lines.append(f"changed: {name}")
    return lines


def _content(path: Path) -> dict[str, Any]:
    """Content of the provenance, or of the note which study a folder is of; empty when it is damaged."""
    try:
        content = json.loads(read_plain(path))
    except OSError as error:
        raise ResultsError(f"cannot be read: {reason(error)}", where=str(path), todo=AGAIN) from error
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _has_form(content: Mapping[str, Any]) -> bool:
    """Whether a provenance has the entries that are read of it, in their form."""
    named = [content.get(name) for name in ("gates", "compensation", "versions", "engine", "parameters", "seeds")]
    hashes = [content.get(name) for name in ("inputs", "outputs")]
    return (
        isinstance(content.get("study_id"), str)
        and isinstance(content.get("made", ""), str)
        and isinstance(content.get("parts"), list)
        and all(isinstance(entry, dict) for entry in (*named, *hashes))
        and all(isinstance(value, str) for entry in hashes if entry is not None for value in entry.values())
        and all(_stays_inside(name) for name in content["outputs"])
    )


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _seal_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of all that a provenance says, without the seal itself."""
    own = {name: value for name, value in content.items() if name != "seal"}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


def _synced_sha256(path: Path) -> str:
    """Hash of a file that is brought to the disk at the same time."""
    digest = hashlib.sha256()
    try:
        # A file that is open for reading only cannot be synced on Windows.
        with path.open("r+b" if os.name == "nt" else "rb") as handle:
            while chunk := handle.read(_CHUNK):
                digest.update(chunk)
            os.fsync(handle.fileno())
    except OSError as error:
        raise ResultsError(
            f"cannot be read any more while the run ends: {reason(error)}", where=str(path), todo=AGAIN
        ) from error
    return digest.hexdigest()
