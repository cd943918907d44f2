"""Findings about one file: a value, its limits and what it means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from immunoprofile.resources import load_yaml

Limit = Sequence[float | None]


@dataclass(frozen=True)
class Finding:
    """One check of one file: value with its unit, limits as text, state (PASS, WARN, FAIL, NOT_EVALUABLE) and flag."""

    check: str
    value: float
    unit: str
    limits: str
    state: str
    flag: str
    note: str = ""


def find(
    name: str,
    value: float,
    *,
    limits: Mapping[str, Mapping[str, Limit]] | None = None,
    missing: str = "NOT_ASSESSABLE",
    note: str = "",
) -> Finding:
    """Judge one value.

    Parameters
    ----------
    name
        Check, as in resources/quality_checks.yaml.
    value
        NaN is not evaluable, never a pass.
    limits
        Limits of a study: check -> ``pass`` and ``warn``, each (lowest, highest).
    missing
        Flag of a value that is not evaluable.
    note
        What a person should read beside the value.
    """
    entry = _checks()[name]
    own = (limits or {}).get(name, {})
    passes = own.get("pass", entry["pass"])
    warns = own.get("warn", entry["warn"])
    if math.isnan(value):
        state, flag = "NOT_EVALUABLE", missing
    elif _within(value, passes):
        state, flag = "PASS", ""
    else:
        state, flag = ("WARN" if _within(value, warns) else entry["worst"]), entry["flag"]
    text = f"pass {_words(passes)}"
    if list(warns) != list(passes):
        text += f", warn {_words(warns)}"
    return Finding(name, value, entry["unit"], text, state, flag, note)


@cache
def _checks() -> dict[str, dict[str, Any]]:
    # Read once: parsing the table takes longer than many of the checks.
    checks: dict[str, dict[str, Any]] = load_yaml("quality_checks.yaml")["checks"]
    return checks


def _within(value: float, limit: Limit) -> bool:
    low, high = limit
    return (low is None or value >= low) and (high is None or value <= high)


def _words(limit: Limit) -> str:
    low, high = limit
    if low is None:
        return "any" if high is None else f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
