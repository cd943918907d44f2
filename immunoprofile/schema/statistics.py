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
    "method_id", "method", "population", "measure", "contrast", "visit", "arm", "scale", "status", "n", "n_reference",
    "estimate", "lower", "upper", "p_value", "p_adjusted", "family", "effect_kind", "effect", "effect_lower",
    "effect_upper", "median_baseline", "median_visit", "conf_level", "adjusted", "exclusions", "note",
)  # fmt: skip
"""A row of any statistic.

``estimate`` is on the analysis scale, ``effect`` back-transformed (fold change, odds ratio). ``status`` is one of
STATISTIC_STATES. ``p_adjusted`` is the p-value after the correction that ``adjusted`` names (``none``, ``Holm``,
``Benjamini-Hochberg``) within the rows of the same ``family``. ``exclusions`` says how many were left out and why;
``note`` holds everything else that a reader must know.
"""

STATISTIC_TEXT: Final = (
    "method_id", "method", "population", "measure", "contrast", "visit", "arm", "scale", "status", "family",
    "effect_kind", "adjusted", "exclusions", "note",
)  # fmt: skip
"""Columns of words; nothing to say is empty text, never missing."""

STATISTIC_COUNTS: Final = ("n", "n_reference")
"""Columns of whole numbers (Int64, may be missing); the others are numbers."""

ESTIMATED: Final = "ESTIMATED"
NOT_ESTIMABLE: Final = "NOT_ESTIMABLE"
STATISTIC_STATES: Final = (ESTIMATED, NOT_ESTIMABLE)
"""ESTIMATED: the row has an estimate or a p-value. NOT_ESTIMABLE: it has neither, and ``note`` gives the reason."""
