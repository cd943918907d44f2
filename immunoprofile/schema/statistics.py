"""Statistics on the visits object: their keys in ``uns`` (and file names in ``statistics/``) and their columns."""

from __future__ import annotations

from typing import Final

UNS_CHANGE: Final = "change"
UNS_COMPARE: Final = "compare"
UNS_ASSOCIATE: Final = "associate"
UNS_CMV_CHANGE: Final = "cmv_change"
STATISTICS: Final = (UNS_CHANGE, UNS_COMPARE, UNS_ASSOCIATE, UNS_CMV_CHANGE)
"""Tables of the analyses that a study declares, as they are called in ``uns`` and in ``statistics/``."""

CMV_CHANGE_COLUMNS: Final = (
    "usubjid", "arm", "visit", "population", "measure", "baseline", "value", "fold_change", "cmv_kind", "cmv_drop",
    "cmv_drop_lower", "cmv_drop_upper",
)  # fmt: skip

STATISTIC_COLUMNS: Final = (
    "method_id", "method", "population", "measure", "contrast", "visit", "arm", "scale", "n", "n_reference",
    "estimate", "lower", "upper", "p_value", "effect_kind", "effect", "effect_lower", "effect_upper",
    "median_baseline", "median_visit", "conf_level", "adjusted", "note",
)  # fmt: skip
"""A row of any statistic. ``estimate`` is on the analysis scale, ``effect`` back-transformed (fold change, odds
ratio)."""
