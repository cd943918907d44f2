"""CMV-DNA: results as the laboratory wrote them, what they prove, and the fall from baseline."""

from immunoprofile.virology.assays import known_assays
from immunoprofile.virology.results import (
    CmvResult,
    ResultTextError,
    drop_bounds,
    drop_text,
    parse_result,
    to_copies,
    to_iu,
)
from immunoprofile.virology.series import VIROLOGY_FLAGS_COLUMN, cmv_results
from immunoprofile.virology.tobit import TobitFit, censored_regression

__all__ = [
    "VIROLOGY_FLAGS_COLUMN",
    "CmvResult",
    "ResultTextError",
    "TobitFit",
    "censored_regression",
    "cmv_results",
    "drop_bounds",
    "drop_text",
    "known_assays",
    "parse_result",
    "to_copies",
    "to_iu",
]
