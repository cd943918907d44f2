"""Our counts beside those that FlowJo stored in the workspace of the study."""

from __future__ import annotations

from collections import Counter

from immunoprofile.report.cohort_view import CohortView
from immunoprofile.report.content import Block, Cell, Column, Table, Text
from immunoprofile.schema.reconciliation import RECONCILED

SHOWN = 25
"""Rows that are printed; the rest stands in reconcile.csv."""


def stored_counts(view: CohortView) -> tuple[Block, ...]:
    """How many counts agree with the workspace, and each that does not; nothing without a workspace."""
    rows = view.table("reconcile")
    if not rows:
        return ()
    found = Counter(row["verdict"] for row in rows)
    words = ", ".join(f"{number} {verdict}" for verdict, number in found.most_common())
    text = Text(f"Counts stored by FlowJo in the workspace beside ours, {len(rows)} in all: {words} (reconcile.csv).")
    apart = [row for row in rows if row["verdict"] not in RECONCILED]
    if not apart:
        return (text,)
    head = tuple(Column(name) for name in ("Sample", "Population", "FlowJo", "Here", "Verdict", "Reason"))
    lines = tuple(
        (
            Cell(row["sample_id"]), Cell(row["gate_path"]), Cell(_number(row["n_flowjo"])), Cell(_number(row["n"])),
            Cell(row["verdict"]), Cell(row["reason"]),
        )
        for row in apart[:SHOWN]
    )  # fmt: skip
    more = f" {len(apart) - SHOWN} more stand in reconcile.csv." if len(apart) > SHOWN else ""
    return (text, Table(head, lines, "Counts that differ from those of the workspace", f"Events.{more}"))


def _number(value: float) -> str:
    return "–" if value != value else f"{value:,.0f}"
