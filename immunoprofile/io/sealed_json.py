"""JSON in one spelling that holds its own hash: a changed byte is found without anything beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

SEAL: Final = "sha256"
"""Entry that holds the hash of all others."""


def spelled(content: Mapping[str, Any]) -> str:
    """The one spelling of a content, on one line: another spelling is another content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A content as JSON has it (lists for tuples), with its hash in `SEAL`."""
    plain: dict[str, Any] = json.loads(spelled({name: value for name, value in content.items() if name != SEAL}))
    return {**plain, SEAL: hashlib.sha256(spelled(plain).encode()).hexdigest()}


def read_sealed(line: bytes) -> dict[str, Any]:
    """A content that `sealed` made and `spelled` wrote.

    Raises
    ------
    ValueError
        It has another spelling, or its hash does not fit: a byte of it was changed.
    """
    try:
        content = json.loads(line.decode("ascii"))
        if not isinstance(content, dict) or spelled(content).encode() != line:
            raise ValueError("was changed")
        if sealed(content) != content:
            raise ValueError("was changed: its hash does not fit")
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError("was changed: is no JSON") from error
    return content
