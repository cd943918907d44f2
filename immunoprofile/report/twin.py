"""The machine-readable twin of a report: its model as plain data, and the id of a content."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from immunoprofile.gate.raster import GateRaster

if TYPE_CHECKING:
    import pandas as pd

TWIN_VERSION: Final = "2"
"""Version of the layout of the JSON files."""

_ID_LENGTH: Final = 16


def plain(value: Any) -> Any:
    """Value as JSON can hold it: dataclasses as objects, every number without a value as null.

    An infinite number is the text ``inf`` or ``-inf``: it is a bound that is open, not a value that is missing. The
    counts of a gating plot stand as their hash; the plot itself is on the page.
    """
    kind = type(value)
    # Nearly everything is one of these, and a page has ten thousand of them.
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return value if math.isfinite(value) else _scalar(value)
    if kind is tuple or kind is list:
        return [plain(entry) for entry in value]
    if names := _names(kind):
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, GateRaster):
        return _raster(value)
    if isinstance(value, Mapping):
        return {_key(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return _records(value)
    return _scalar(value)


_FIELDS: dict[type, tuple[str, ...]] = {}
"""Kind of object -> its fields, looked up once."""


def _names(kind: type) -> tuple[str, ...]:
    """Fields of a kind of object that is written field by field; none for others."""
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(one.name for one in fields(kind)) if is_dataclass(kind) and kind is not GateRaster else ()
    return _FIELDS[kind]


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | np.bool_):
        return bool(value) if isinstance(value, np.bool_) else value
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        return None if math.isnan(number) else number if math.isfinite(number) else str(number)
    missing = str(value) in ("<NA>", "NaT")
    return None if missing else str(value)


def _key(key: Any) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): _scalar(value) for name, value in row.items()} for row in table.to_dict("records")]


def _raster(raster: GateRaster) -> dict[str, Any]:
    found = {one.name: getattr(raster, one.name) for one in fields(raster)}
    counts = np.ascontiguousarray(found.pop("counts"))
    return {name: plain(value) for name, value in found.items()} | {
        "counts_sha256": hashlib.sha256(counts.astype("<u4").tobytes()).hexdigest()
    }


def twin(kind: str, model: Any) -> dict[str, Any]:
    """The twin of a report: kind, versions, id, and the model.

    Reviews, and the head of the ledger of overrides, stand outside of what the id covers.
    """
    content = plain(model)
    reviews, record = content.pop("reviews"), content.pop("record")
    content.pop("links", None)  # a further visit of the subject changes nothing in this one
    logo = content.pop("logo")
    content["logo_sha256"] = hashlib.sha256(logo.encode()).hexdigest() if logo else ""
    digest = hashlib.sha256(json.dumps([kind, TWIN_VERSION, content], sort_keys=True, ensure_ascii=True).encode())
    return {
        "schema_version": TWIN_VERSION,
        "report": kind,
        "report_id": digest.hexdigest()[:_ID_LENGTH],
        "reviews": reviews,
        "record": record,
        "content": content,
    }
