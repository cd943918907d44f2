"""Spillover matrices: where they come from, whether they are sane, and what they do to the events.

A spillover matrix S has one row a fluorochrome and one column a detector; the detectors see ``true @ S``, so the
compensated values are ``raw @ inv(S)`` (Bagwell and Adams 1993). Compensation happens once and is named: what is
doubtful becomes a `Finding` that a person answers in ``samples.csv``, never a guess. See docs/compensation.md.
"""

from __future__ import annotations

from immunoprofile.compensation.applied import already_compensated
from immunoprofile.compensation.choice import Choice, asked_about, choose, decide, matrix_notices
from immunoprofile.compensation.controls import from_controls
from immunoprofile.compensation.files import read_spillover, write_spillover
from immunoprofile.compensation.findings import check
from immunoprofile.compensation.keywords import KEYWORDS, from_keywords, subtracted_at_acquisition
from immunoprofile.compensation.matrix import Spillover, compensate
from immunoprofile.resources.checks import Finding

__all__ = [
    "KEYWORDS",
    "Choice",
    "Finding",
    "Spillover",
    "already_compensated",
    "asked_about",
    "check",
    "choose",
    "compensate",
    "decide",
    "from_controls",
    "from_keywords",
    "matrix_notices",
    "read_spillover",
    "subtracted_at_acquisition",
    "write_spillover",
]
