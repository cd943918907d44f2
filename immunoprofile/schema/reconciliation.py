"""Table of `gate.reconcile`: our counts beside those of a FlowJo workspace."""

from __future__ import annotations

RECONCILE_COLUMNS = (
    "sample", "file", "population", "gate_path", "gate", "n_flowjo", "n", "difference", "difference_pct", "verdict",
    "reason",
)  # fmt: skip

STUDY_RECONCILE_COLUMNS = (
    "sample_id", "file", "tube", "population", "gate_path", "gate", "n_flowjo", "n", "difference", "difference_pct",
    "verdict", "reason",
)  # fmt: skip
"""Columns of the same table of a study, ``reconcile.csv``."""

VERDICT_EQUAL = "equal"
VERDICT_CLOSE = "within 1 %"
VERDICT_FEW = "within 5 events"
VERDICT_SHARE = "same fraction"
VERDICT_DIFFERENT = "different"
VERDICT_UNSUPPORTED = "not supported"
VERDICT_NO_COUNT = "no count"
VERDICT_NO_FILE = "no file"
VERDICT_UNREADABLE = "unreadable"

RECONCILED = (VERDICT_EQUAL, VERDICT_CLOSE, VERDICT_FEW, VERDICT_SHARE)
"""Verdicts that need no person."""
