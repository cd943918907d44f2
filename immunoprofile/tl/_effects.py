"""What the models have in common: columns of an effect, covariates of subjects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.tl._frame import NAN, ROUNDING, Endpoint, statistic_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

UNKNOWN = (NAN, NAN, NAN, NAN)
"""Estimate, limits and p of an analysis that was refused."""


def effect_row(
    endpoint: Endpoint, numbers: tuple[float, float, float, float], /, *, confidence: float, **known: Any
) -> dict[str, Any]:
    """A row of statistics from an effect (estimate, lower, upper, p) on the analysis scale of the endpoint."""
    require_confidence(confidence)
    estimate, lower, upper, p_value = numbers
    filled = {
        "population": endpoint.population, "measure": endpoint.measure, "scale": endpoint.scale, "estimate": estimate,
        "lower": lower, "upper": upper, "p_value": p_value, "effect_kind": endpoint.effect_kind,
        "effect": endpoint.back(estimate), "effect_lower": endpoint.back(lower), "effect_upper": endpoint.back(upper),
        "conf_level": NAN if math.isnan(lower) else confidence, "adjusted": "none",
    }  # fmt: skip
    return statistic_row(**(filled | known))


def require_confidence(confidence: float) -> None:
    """Refuse a coverage that is no probability."""
    if not 0 < confidence < 1:
        raise AnalysisError(f"confidence {confidence:g} is not between 0 and 1", where="confidence",
                            todo="0.95 for 95 %")  # fmt: skip


def joined(*parts: str) -> str:
    """Parts of a note that say something."""
    return "; ".join(part for part in parts if part)


def require_columns(adata: AnnData, names: Sequence[str]) -> None:
    """Refuse covariates that are no column of ``obs``."""
    if missing := [name for name in names if name not in adata.obs]:
        raise AnalysisError(f"no column {', '.join(missing)}", where="obs")


def complete_covariates(adata: AnnData, rows: NDArray[np.intp], names: Sequence[str]) -> NDArray[np.bool_]:
    """Which of the rows have all covariates."""
    complete = np.ones(len(rows), dtype=bool)
    for name in names:
        complete &= adata.obs[name].iloc[rows].notna().to_numpy(dtype=bool)
    return complete


def covariate_columns(adata: AnnData, rows: NDArray[np.intp], names: Sequence[str]) -> dict[str, Floats]:
    """Covariates of complete rows as numeric columns: text becomes one indicator for each level after the first.

    Levels are those of the rows given, so that a level nobody has makes no column; what does not vary is left out.
    """
    import pandas as pd

    columns: dict[str, Floats] = {}
    for name in names:
        column = adata.obs[name].iloc[rows]
        if pd.api.types.is_numeric_dtype(column):
            columns[name] = column.to_numpy(dtype=np.float64)
        else:
            text = column.astype("string")
            for level in sorted(text.unique())[1:]:
                columns[f"{name}[{level}]"] = (text == level).to_numpy(dtype=np.float64)
    return {name: column for name, column in columns.items() if len(np.unique(column)) > 1}


def left_out(number: int, why: str) -> str:
    """Phrase for the column ``exclusions``; empty for none."""
    return f"{number} {why}" if number else ""


def difference(end: Floats, start: Floats) -> Floats:
    """Differences of values; what is an error of arithmetic is zero."""
    noise = np.abs(end - start) <= ROUNDING * np.maximum(np.abs(start), np.abs(end))
    return np.where(noise, 0.0, end - start)


def varies(column: Floats, *sources: Floats) -> bool:
    """Whether the spread of numbers is more than an error of arithmetic on them, or on what they were made of."""
    largest = max((float(np.abs(values).max(initial=0.0)) for values in (column, *sources)), default=0.0)
    return len(column) > 0 and bool(np.ptp(column) > len(column) * ROUNDING * largest)


def fitted_without_error(outcome: Floats, residuals: Floats) -> bool:
    """Whether residuals are nothing but rounding: a likelihood then has no peak."""
    spread = float(((outcome - outcome.mean()) ** 2).sum())
    rounding = max(1e-16 * spread, 1e-22 * float(outcome @ outcome))
    return float(residuals @ residuals) <= rounding
