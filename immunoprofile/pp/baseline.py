"""Change from the subject's own baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.pp.absolute import cells_per_event
from immunoprofile.schema import (
    ABS,
    COUNTS,
    DELTA_BASELINE,
    LOG2FC_BASELINE,
    LOG2FC_BASELINE_ABS,
    PARENT_COUNTS,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def baseline_rows(adata: AnnData) -> NDArray[np.intp]:
    """For every row the row number of its subject's baseline, -1 where the subject has none.

    Raises
    ------
    AnalysisError
        A subject has two baseline rows, or there is no column ``baseline_flag``.
    """
    if "baseline_flag" not in adata.obs:
        raise AnalysisError("the baseline visits are not marked", where="obs baseline_flag")
    subjects = adata.obs["usubjid"].astype(str).to_numpy()
    flagged = adata.obs["baseline_flag"].fillna(value=False).to_numpy(dtype=bool)
    found: dict[str, int] = {}
    for row in np.flatnonzero(flagged):
        if subjects[row] in found:
            raise AnalysisError(f"subject {subjects[row]} has two baseline rows", where="obs baseline_flag")
        found[subjects[row]] = int(row)
    return np.array([found.get(subject, -1) for subject in subjects], dtype=np.intp)


def positive_percentages(adata: AnnData) -> Floats:
    """X with half an event in place of none, for logarithms; NaN where not measured."""
    values = np.asarray(adata.X, dtype=np.float64)
    counts = np.asarray(adata.layers[COUNTS], dtype=np.float64)
    parents = np.asarray(adata.layers[PARENT_COUNTS], dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = 100 * 0.5 / parents
    return np.where((counts == 0) & (parents > 0), half, np.where(values > 0, values, np.nan))


def positive_absolute(adata: AnnData) -> Floats:
    """Cells/uL with half an event in place of none, for logarithms; NaN where not measured."""
    values = np.asarray(adata.layers[ABS], dtype=np.float64)
    if not bool(np.any(values == 0)):
        return values
    return np.where(values == 0, 0.5 * cells_per_event(adata), values)


def baseline_change(adata: AnnData) -> None:
    """Change of every population from the subject's baseline row.

    Parameters
    ----------
    adata
        Visits x populations with ``X``, ``obs['baseline_flag']`` and the layers ``counts``, ``parent_counts``, ``abs``.

    Returns
    -------
    None; writes (DataFrames, columns = populations; 0 in the baseline row, NaN without baseline)

    ``adata.obsm['delta_baseline']``
        X minus X at baseline, percentage points.
    ``adata.obsm['log2fc_baseline']``
        log2 of X over X at baseline; no events count as half an event.
    ``adata.obsm['log2fc_baseline_abs']``
        the same for cells/uL; NaN when there is no layer ``abs``.
    """
    import pandas as pd

    rows = baseline_rows(adata)

    def against_baseline(values: Floats) -> Floats:
        reference = np.where((rows >= 0)[:, None], values[rows], np.nan)
        return values - reference

    percent = np.asarray(adata.X, dtype=np.float64)
    log_abs = np.log2(positive_absolute(adata)) if ABS in adata.layers else np.full(adata.shape, np.nan)
    for key, values in (
        (DELTA_BASELINE, percent),
        (LOG2FC_BASELINE, np.log2(positive_percentages(adata))),
        (LOG2FC_BASELINE_ABS, log_abs),
    ):
        adata.obsm[key] = pd.DataFrame(against_baseline(values), index=adata.obs_names, columns=list(adata.var_names))
