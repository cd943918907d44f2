"""Reports: one self-contained HTML page per visit and one for the cohort, and PDF where WeasyPrint is installed."""

from __future__ import annotations

from immunoprofile.report.render import Report
from immunoprofile.report.write import cohort, visit, write_all

__all__ = ["Report", "cohort", "visit", "write_all"]
