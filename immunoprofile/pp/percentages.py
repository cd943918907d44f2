"""Percentages of the parent with their counting intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.pp.proportions import percentage, wilson
from immunoprofile.schema import COUNTS, LOW_EVENTS, PARENT_COUNTS, PCT_LOWER, PCT_UPPER

if TYPE_CHECKING:
    from anndata import AnnData

REPORTABLE_EVENTS = 100
"""Below this a result carries the flag LOW_EVENTS; it is never excluded for being small."""


def percentages(adata: AnnData, *, confidence: float = 0.95) -> None:
    """Percentage of the parent from the counts, with the Wilson interval.

    Parameters
    ----------
    adata
        Visits x populations with the layers ``counts`` and ``parent_counts``.
    confidence
        Coverage of the interval.

    Returns
    -------
    None; writes

    ``adata.X``
        per cent of the parent (0-100), NaN where not measured or the parent is empty.
    ``adata.layers['pct_parent_lower']``, ``adata.layers['pct_parent_upper']``
        Wilson limits in per cent: counting only.
    ``adata.layers['low_events']``
        1 where 0 < counts < 100, 0 otherwise, NaN where not measured.

    Raises
    ------
    AnalysisError
        A count is negative or larger than that of its parent; the first ten are listed.
    """
    counts = np.asarray(adata.layers[COUNTS], dtype=np.float64)
    parents = np.asarray(adata.layers[PARENT_COUNTS], dtype=np.float64)
    wrong = np.argwhere((counts < 0) | (counts > parents))
    if len(wrong):
        listed = "; ".join(
            f"{adata.obs_names[row]} {adata.var_names[column]}: {counts[row, column]:g} of {parents[row, column]:g}"
            for row, column in wrong[:10]
        )
        raise AnalysisError(
            f"{len(wrong)} counts do not fit their parent ({listed})",
            where="layers counts and parent_counts",
            todo="both must come from the same tube and the same gating run",
        )
    limits = wilson(counts, parents, confidence=confidence)
    adata.X = percentage(counts, parents)
    adata.layers[PCT_LOWER] = np.where(np.isnan(counts), np.nan, limits.lower)
    adata.layers[PCT_UPPER] = np.where(np.isnan(counts), np.nan, limits.upper)
    low = np.where((counts > 0) & (counts < REPORTABLE_EVENTS), 1.0, 0.0)
    adata.layers[LOW_EVENTS] = np.where(np.isnan(counts), np.nan, low)
