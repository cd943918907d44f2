"""Findings about one file: a value, its limits and what it means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from immunoprofile.resources import load_yaml

Limit = Sequence[float | None]

# The form of resources/quality_checks.yaml; an entry of that name there takes the place of the one here.
EVENT_CHECKS: Final[dict[str, dict[str, Any]]] = {
    "signal_stability": {
        "unit": "%", "pass": [None, 20], "warn": [None, 70], "worst": "FAIL", "flag": "SIGNAL_UNSTABLE", "tag": "V",
        "meaning": "events acquired while a signal was not at its place", "source": "project; Emmaneel 2022",
    },
    "signal_bins": {
        "unit": "bins", "pass": [150, None], "warn": [0, None], "worst": "WARN", "flag": "FEW_BINS", "tag": "A",
        "meaning": "bins that the signal check could compare", "source": "project",
    },
    "signal_drift": {
        "unit": "channels", "pass": [None, None], "warn": [None, None], "worst": "WARN", "flag": "SIGNAL_DRIFT",
        "tag": "A", "meaning": "channels whose signal rises or falls all the time; only told", "source": "project",
    },
    "time_gaps": {
        "unit": "gaps", "pass": [None, 0], "warn": [None, None], "worst": "WARN", "flag": "TIME_GAPS", "tag": "A",
        "meaning": "pauses without events that a steady flow does not show", "source": "project",
    },
    "time_order": {
        "unit": "%", "pass": [None, 1], "warn": [None, None], "worst": "WARN", "flag": "TIME_DISORDERED", "tag": "A",
        "meaning": "steps from event to event at which Time falls", "source": "project",
    },
    "margins": {
        "unit": "%", "pass": [None, 20], "warn": [None, 70], "worst": "WARN", "flag": "MARGINS", "tag": "A",
        "meaning": "events at a rail of a detector (counting beads may be)", "source": "project",
    },
    "doublets": {
        "unit": "%", "pass": [None, 15], "warn": [None, 25], "worst": "WARN", "flag": "DOUBLETS_HIGH", "tag": "A",
        "meaning": "events outside the singlet polygon fitted to the file", "source": "as singlets",
    },
    "dead_cells": {
        "unit": "%", "pass": [None, 10], "warn": [None, 20], "worst": "WARN", "flag": "VIABILITY_LOW", "tag": "A",
        "meaning": "singlets above the cut of the viability dye", "source": "as viability_fresh",
    },
}  # fmt: skip


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
        Check, as in resources/quality_checks.yaml or `EVENT_CHECKS`.
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
    return {**EVENT_CHECKS, **load_yaml("quality_checks.yaml")["checks"]}


def _within(value: float, limit: Limit) -> bool:
    low, high = limit
    return (low is None or value >= low) and (high is None or value <= high)


def _words(limit: Limit) -> str:
    low, high = limit
    if low is None:
        return "any" if high is None else f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
