"""Whether a results folder holds what a run would make again: told by hashes of content, never by times."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from immunoprofile.gate.study_gates import GATED_ROLES
from immunoprofile.io.data_cuts import FOLDER as CUTS
from immunoprofile.io.files import sha256_of
from immunoprofile.io.records import records
from immunoprofile.io.software import software_digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from immunoprofile.gate.strategy import GateSet
    from immunoprofile.study import Study


def content_of(study: Study, gates: GateSet) -> str:
    """SHA-256 over all that results are made of, but for the FCS files that are gated, which have hashes of their own.

    These are the software, the tables of the study as they are in memory, the gates, the ledger of overrides and the
    data cuts of the study folder, and the registered files that are not gated.
    """
    content = {
        "software": software_digest(),
        "config": study.config.model_dump_json(),
        "tables": {name: _cells(table) for name, table in study.tables.items()},
        "exceptions": _cells(study.exceptions),
        "inputs": dict(study.inputs),
        "logo": study.logo.hex(),
        "gates": asdict(gates),
        "beside": {
            path.relative_to(study.folder).as_posix(): _sha256(path)
            for folder in ("gating", CUTS)
            for path in sorted((study.folder / folder).rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        },
        "not gated": {name: _sha256(path) for name, path in _files(study, gated=False).items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def same_files(study: Study, inputs: Mapping[str, str]) -> bool:
    """Whether the FCS files that are gated are those of a provenance, byte by byte."""
    return all(inputs.get(name) == _sha256(path) for name, path in _files(study, gated=True).items())


def _files(study: Study, *, gated: bool) -> dict[str, Path]:
    """Registered FCS files by the name that the registry gives them."""
    return {
        row["fcs_path"]: study.fcs_path(row["sample_id"])
        for row in records(study.samples, "samples")
        if (row["role"] in GATED_ROLES and not row["exclude_flag"]) is gated
    }


def _sha256(path: Path) -> str:
    """Content hash; empty where the file cannot be read, as a run notes it."""
    try:
        return sha256_of(path)
    except OSError:
        return ""


def _cells(table: pd.DataFrame) -> list[Any]:
    """A table with its kinds of columns and its row numbers, to the last bit."""
    kinds = [(str(name), str(kind)) for name, kind in table.dtypes.items()]
    return [kinds, table.index.tolist(), [table.iloc[:, place].tolist() for place in range(table.shape[1])]]
