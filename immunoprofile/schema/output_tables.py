"""Tables that a run writes for every study: exceptions, counts, quality."""

from __future__ import annotations

from typing import Final

EXCEPTION_COLUMNS: Final = (
    "stage", "severity", "code", "table", "row", "usubjid", "visit", "sample_id", "file", "message", "action",
)  # fmt: skip
"""``severity`` is ``error`` (something was left out), ``warning`` (used, but look) or ``note``."""

COUNT_COLUMNS: Final = (
    "sample_id", "file", "tube", "population", "parent", "gate_path", "n", "n_parent", "pct_parent",
)  # fmt: skip

QUALITY_COLUMNS: Final = ("usubjid", "visit", "tube", "sample_id", "check", "value", "unit", "limits", "state", "flag")
"""One row per check of a sample or visit; ``state`` is one of QUALITY_STATES."""

QUALITY_STATES: Final = ("PASS", "WARN", "FAIL", "NOT_EVALUABLE")
