"""Gating engine: the memberships of FlowKit, event for event, without its copies.

Three tiers, each exact: a compiled kernel that walks blocks of columns and leaves events near to any limit undecided;
an arbiter that decides those with the very calls that FlowKit makes; and FlowKit for what neither holds.
See docs/engine.md.
"""

from __future__ import annotations

from immunoprofile.gate.engine.evaluate import evaluate
from immunoprofile.gate.engine.prepared import PreparedEvents
from immunoprofile.gate.engine.result import EngineRecord, Evaluation, Memberships
from immunoprofile.gate.engine.streaming import EventsNeededError, evaluate_file

__all__ = [
    "EngineRecord",
    "Evaluation",
    "EventsNeededError",
    "Memberships",
    "PreparedEvents",
    "evaluate",
    "evaluate_file",
]
