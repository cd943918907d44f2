"""What a run has learnt of each file, kept until the run ends, so that a killed run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile._version import __version__
from immunoprofile.io.files import replacing, write_text
from immunoprofile.profiling.outcome import Outcome
from immunoprofile.quality import PanelQuantiles
from immunoprofile.resources.checks import Finding

if TYPE_CHECKING:
    from immunoprofile.profiling.outcome import Request

FOLDER = ".partial"
"""Of the results folder; deleted when a run ends."""


def key_of(request: Request, digest: str, *, cells: bool) -> str:
    """Hash of all that an outcome depends on: content of the file, gates, what the study declares, version."""
    limits = {name: {key: list(pair) for key, pair in own.items()} for name, own in request.limits.items()}
    content = [
        __version__,
        digest,
        request.gates_sha256,
        request.comp_source,
        request.sha256,
        request.file,
        cells,
        limits,
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def path_of(out: Path, sample_id: str) -> Path:
    """Checkpoint of a sample."""
    return out / FOLDER / f"{sample_id}.json"


def write_checkpoint(out: Path, key: str, outcome: Outcome, panel: PanelQuantiles | None) -> None:
    """Keep the outcome of a file, and its distributions for `findings.channel_swaps` when it was gated."""
    if panel is not None:
        with replacing(_panel_path(out, outcome.sample_id)) as temporary:
            np.savez(
                temporary,
                name=np.array(panel.name),
                n_events=np.array(panel.n_events),
                channels=np.array(panel.channels, dtype=np.str_),
                markers=np.array(panel.markers, dtype=np.str_),
                quantiles=panel.quantiles,
            )
    # Written last: what it stands for is complete.
    content = {name.name: getattr(outcome, name.name) for name in fields(outcome)}
    content["findings"] = [asdict(finding) for finding in outcome.findings]
    write_text(path_of(out, outcome.sample_id), json.dumps({"key": key, "outcome": content}))


def read_checkpoint(out: Path, sample_id: str, key: str) -> Outcome | None:
    """Outcome that was kept with the same key; None when there is none or it cannot be read."""
    path = path_of(out, sample_id)
    if not path.is_file():
        return None
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    if stored.get("key") != key:
        return None
    content = stored["outcome"]
    for name in ("counts", "medians", "notices"):
        content[name] = tuple(tuple(row) for row in content[name])
    content["findings"] = tuple(Finding(**finding) for finding in content["findings"])
    outcome = Outcome(**content)
    if outcome.gated and read_panel(out, sample_id) is None:
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
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _panel_path(out: Path, sample_id: str) -> Path:
    return out / FOLDER / f"{sample_id}.panel.npz"
