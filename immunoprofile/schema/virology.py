"""Tables of the CMV-DNA series."""

from __future__ import annotations

from typing import Final

VIROLOGY_COLUMNS: Final = (
    "usubjid", "visit", "collected_dtc", "virology_day", "assay_id", "specimen", "unit", "result_raw", "kind", "value",
    "log10_value", "log10_lower", "log10_upper", "lloq", "lod", "uloq", "is_baseline", "log10_drop",
    "log10_drop_lower", "log10_drop_upper",
)  # fmt: skip
"""Bounds on the log10 scale; a missing bound is open. ``log10_drop`` is a point only when both results are QUANT."""
