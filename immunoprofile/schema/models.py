"""Models of repeated measures: keys of their tables in ``uns`` (and file names in ``statistics/``)."""

from __future__ import annotations

from typing import Final

UNS_CHANGE_T: Final = "change_t"
UNS_COMPARE_RANKS: Final = "compare_ranks"
UNS_MMRM: Final = "mmrm"
UNS_TRAJECTORY: Final = "trajectory"
UNS_LAGGED: Final = "lagged"
UNS_CMV_MODEL: Final = "cmv_model"
UNS_TIPPING: Final = "tipping"

MODEL_TABLES: Final = (
    UNS_CHANGE_T, UNS_COMPARE_RANKS, UNS_MMRM, UNS_TRAJECTORY, UNS_LAGGED, UNS_CMV_MODEL, UNS_TIPPING,
)  # fmt: skip
"""Tables with STATISTIC_COLUMNS that the models write, one a function of ``tl``."""
