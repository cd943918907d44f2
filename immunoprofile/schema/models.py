"""Models of repeated measures: keys of their tables in ``uns`` (and file names in ``statistics/``)."""

from __future__ import annotations

from typing import Final

UNS_CHANGE_T: Final = "change_t"
UNS_COMPARE_RANKS: Final = "compare_ranks"
UNS_MMRM: Final = "mmrm"
UNS_COMPARE_SLOPES: Final = "compare_slopes"
UNS_ASSOCIATE_LAGGED: Final = "associate_lagged"
UNS_ASSOCIATE_CENSORED: Final = "associate_censored"
UNS_COMPARE_GATINGS: Final = "compare_gatings"
UNS_TIPPING_POINT: Final = "tipping_point"

MODEL_TABLES: Final = (
    UNS_CHANGE_T, UNS_COMPARE_RANKS, UNS_MMRM, UNS_COMPARE_SLOPES, UNS_ASSOCIATE_LAGGED,
    UNS_ASSOCIATE_CENSORED, UNS_TIPPING_POINT,
)  # fmt: skip
"""Tables with STATISTIC_COLUMNS that the models write, one a function of ``tl``."""
