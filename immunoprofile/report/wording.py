"""How numbers and missing values are written in reports: one place, so that all pages agree."""

from __future__ import annotations

import math
from typing import Final

RESEARCH_USE: Final = "Research use only. Not for diagnosis or treatment decisions."
MICRO: Final = "cells/µL"
UNKNOWN: Final = "not recorded"


def percent(value: float) -> str:
    """Percentage with its sign: one decimal, two below 1 %."""
    return "" if math.isnan(value) else f"{value:.2f} %" if abs(value) < 1 and value != 0 else f"{value:.1f} %"


def count(value: float) -> str:
    """Integer with thousands separated."""
    return "" if math.isnan(value) else f"{value:,.0f}"


def log10(value: float) -> str:
    """Two decimals, as all values on the log10 scale."""
    return "" if math.isnan(value) else f"{value:.2f}"


def fold(value: float) -> str:
    """Fold change with its sign of multiplication."""
    return "" if math.isnan(value) else f"×{value:.2f}" if value < 99.95 else f"×{value:.0f}"


def points(value: float) -> str:
    """Difference of two percentages in percentage points."""
    return "" if math.isnan(value) else f"{value:+.2f} points" if abs(value) < 1 else f"{value:+.1f} points"


def p_value(value: float) -> str:
    """P-value with three decimals, never zero."""
    return "" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def plain(value: float) -> str:
    """Any other number, at most four significant digits."""
    return "" if math.isnan(value) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def measured(value: float, unit: str) -> str:
    """Number with its unit; a check without unit is a pure number."""
    if math.isnan(value):
        return ""
    return percent(value) if unit == "%" else f"{plain(value)} {unit}".strip()


def signed(value: float) -> str:
    """Integer with its sign."""
    return "" if math.isnan(value) else f"{value:+,.0f}"
