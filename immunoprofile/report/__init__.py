"""Reports: one self-contained HTML page per visit and one for the cohort, and PDF where WeasyPrint is installed.

`restate` says what moved between two results.
"""

from __future__ import annotations

from immunoprofile.report.render import Report
from immunoprofile.report.restatement import Restatement, restate
from immunoprofile.report.write import cohort, visit, write_all, write_restatement

__all__ = ["Report", "Restatement", "cohort", "restate", "visit", "write_all", "write_restatement"]
