"""The hash of what gates mean: equal gates have equal hashes, however they were written."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.gate.gates import Dimension, Gate
from immunoprofile.gate.methods import CUT_SHIFT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from immunoprofile.gate.reference import Reference

_WITHOUT: Final[dict[type, dict[str, object]]] = {
    Gate: {"complement": False, "ellipsoid": None, "quadrant_of": "", "arguments": ()},
    Dimension: {"ratio": None, "matrix": ""},
}
"""Values at which a field is left out: a new field does not change the hash of gates that have nothing in it."""
_STRATEGY_WITHOUT: Final[dict[str, object]] = {
    "matrices": (), "custom": (), "samples": (), "limits": "file", "default_scale": "", "marker_scales": (),
    "references": (), "cut_shift": CUT_SHIFT,
}  # fmt: skip


def content_sha256(strategy: Mapping[str, Any]) -> str:
    """Hash of the meaning of a strategy: notes, and the units in which a person reads its limits, are none of it.

    Parameters
    ----------
    strategy
        Its fields by name.
    """
    parts = {name: value for name, value in strategy.items() if name != "units"}
    parts["custom"] = tuple(sorted(parts["custom"], key=lambda pair: (pair[0], pair[1].population)))
    text = {
        name: _references(value) if name == "references" else _text(value)
        for name, value in parts.items()
        if not (name in _STRATEGY_WITHOUT and value == _STRATEGY_WITHOUT[name])
    }
    whole = ", ".join(f'"{name}": {text[name]}' for name in sorted(text))
    return hashlib.sha256(f"{{{whole}}}".encode()).hexdigest()


@lru_cache(maxsize=64)
def _references(references: tuple[Reference, ...]) -> str:
    """Made once for all gates that were placed from one template: they are the longest part."""
    return _text(references)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=_by_field)


def _by_field(one: Any) -> dict[str, Any]:
    found = {field.name: getattr(one, field.name) for field in fields(one)}
    if isinstance(one, Gate):
        del found["note"]
    for name, default in _WITHOUT.get(type(one), {}).items():
        if found[name] == default:
            del found[name]
    return found
