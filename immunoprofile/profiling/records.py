"""What a run has learnt of each file: ``records/<sample>.json`` of the results folder.

A run that is taken up again, or repeated after a table of the study changed, reads the record instead of gating the
file once more. It believes a record only when the file, the gates, the limits and the software are the same, the record
is whole, and every file that it stands for has the content that it had.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile.io.files import sha256_of, write_arrays, write_text
from immunoprofile.io.software import software_digest
from immunoprofile.profiling.outcome import Outcome
from immunoprofile.quality import PanelQuantiles

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from immunoprofile.profiling.outcome import Request

FOLDER = "records"


def key_of(request: Request, digest: str, *, cells: bool) -> str:
    """Hash of all that an outcome depends on: content of the file, gates, what the study declares, software."""
    limits = {name: {key: list(pair) for key, pair in own.items()} for name, own in request.limits.items()}
    content = [
        software_digest(),
        digest,
        request.gates_sha256,
        request.source.dataset,
        request.source.amplifiers,
        request.comp_source,
        request.sha256,
        request.file,
        cells,
        limits,
        request.statistics,
        request.places,
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def path_of(out: Path, sample_id: str) -> Path:
    """Record of a sample."""
    return out / FOLDER / f"{sample_id}.json"


def write_record(
    out: Path, key: str, outcome: Outcome, panel: PanelQuantiles | None, written: Iterable[Path]
) -> Outcome:
    """Keep the outcome of a file with the hashes of what was written for it.

    Parameters
    ----------
    out
        Results folder.
    key
        From `key_of`.
    outcome
        What the run needs of the file.
    panel
        Its distributions for `findings.channel_swaps`, when it was gated.
    written
        Files of the results folder that belong to it.

    Returns
    -------
    Outcome
        The outcome, with ``files``.
    """
    paths = list(written)
    if panel is not None:
        paths.append(_panel_path(out, outcome.sample_id))
        write_arrays(
            paths[-1],
            name=np.array(panel.name),
            n_events=np.array(panel.n_events),
            channels=np.array(panel.channels, dtype=np.str_),
            markers=np.array(panel.markers, dtype=np.str_),
            quantiles=panel.quantiles,
        )
    files = {path.relative_to(out).as_posix(): sha256_of(path) for path in sorted(paths)}
    outcome = replace(outcome, files=files)
    fields = vars(outcome) | {"findings": [vars(finding) for finding in outcome.findings]}
    record = json.dumps({"key": key, "outcome": fields}, sort_keys=True)
    digest = hashlib.sha256(record.encode()).hexdigest()
    # Written last: what it stands for is complete.
    write_text(path_of(out, outcome.sample_id), f'{{"sha256": "{digest}", "record": {record}}}\n')
    return outcome


def read_record(out: Path, sample_id: str, key: str) -> Outcome | None:
    """Outcome that was kept with the same key; None when there is none, or it or one of its files is not whole."""
    from pydantic import ValidationError

    try:
        stored = json.loads(path_of(out, sample_id).read_bytes())
        record = stored["record"]
        if stored["sha256"] != _sha256(record) or record["key"] != key:
            return None
        outcome: Outcome = _form().validate_json(json.dumps(record["outcome"]))
        if outcome.sample_id != sample_id or not _as_written(out, outcome.files):
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError):
        return None
    return outcome


def read_panel(out: Path, sample_id: str) -> PanelQuantiles | None:
    """Distributions that were kept of a file; None when there are none or they cannot be read."""
    path = _panel_path(out, sample_id)
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            return PanelQuantiles(
                name=str(stored["name"]),
                n_events=int(stored["n_events"]),
                channels=tuple(str(name) for name in stored["channels"]),
                markers=tuple(str(name) for name in stored["markers"]),
                quantiles=np.asarray(stored["quantiles"], dtype=np.float64),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _as_written(out: Path, files: Mapping[str, str]) -> bool:
    return all(sha256_of(out / name) == digest for name, digest in files.items())


def _sha256(record: Any) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


@cache
def _form() -> TypeAdapter[Outcome]:
    from pydantic import TypeAdapter

    return TypeAdapter(Outcome)


def _panel_path(out: Path, sample_id: str) -> Path:
    return out / FOLDER / f"{sample_id}.npz"
