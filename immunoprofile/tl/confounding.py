"""Can the effect of visits and arms be told from that of the laboratory's batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import CONFOUNDING_COLUMNS, UNS_CONFOUNDING

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

FACTORS = ("visit", "arm")


def batch_confounding(adata: AnnData, *, batch: str = "batch_id") -> None:
    """State how far batches coincide with visits and with arms.

    Fresh blood is stained on the day of the draw, so that batches and visits usually coincide: the analyses go on with
    this warning, and a normalisation by batch must be refused where the state is COMPLETE.

    Parameters
    ----------
    adata
        Visits x populations.
    batch
        Column of ``obs`` with the batch of the tubes of a visit.

    Returns
    -------
    None; writes

    ``adata.uns['confounding']``
        DataFrame with ``schema.CONFOUNDING_COLUMNS``, one row for visit and one for arm. ``state``: SEPARATE (every
        contrast of the factor can be estimated inside batches and they are unrelated), PARTIAL (some contrast is lost,
        or batches hold unlike shares of the levels), COMPLETE (no contrast can be told from batches), NOT_ASSESSABLE
        (batches are not known). ``lost_contrasts`` counts contrasts between levels that batches take with them,
        ``cramers_v`` is 0 (unrelated) to 1.
    """
    import pandas as pd

    rows = [_row(adata, factor, batch) for factor in FACTORS]
    adata.uns[UNS_CONFOUNDING] = pd.DataFrame(rows, columns=list(CONFOUNDING_COLUMNS))


def _row(adata: AnnData, factor: str, batch: str) -> dict[str, Any]:
    empty = {"factor": factor, "state": "NOT_ASSESSABLE", "batches": 0, "levels": 0, "n": 0, "cramers_v": np.nan,
             "lost_contrasts": 0}  # fmt: skip
    pairs = adata.obs[[name for name in (factor, batch) if name in adata.obs]].astype(object)
    pairs = pairs.where(pairs != "")
    if batch not in pairs or pairs[batch].isna().all():  # an empty cell is no batch
        return empty | {"message": "the batches are not known; an effect of the laboratory cannot be ruled out"}
    known = pairs[[factor, batch]].dropna().astype(str)
    levels, batches = sorted(set(known[factor])), sorted(set(known[batch]))
    unknown = adata.n_obs - len(known)
    base = empty | {"batches": len(batches), "levels": len(levels), "n": len(known)}
    words = f"; {unknown} rows without a batch" if unknown else ""
    if len(levels) < 2:
        return base | {"message": f"there is one {factor} only{words}"}
    if len(batches) < 2:
        return base | {"state": "SEPARATE", "cramers_v": 0.0, "message": f"all rows are of one batch{words}"}
    lost = lost_contrasts(known[factor].to_numpy(dtype=str), known[batch].to_numpy(dtype=str))
    strength = cramers_v(known[factor].to_numpy(dtype=str), known[batch].to_numpy(dtype=str))
    state = "COMPLETE" if lost == len(levels) - 1 else "PARTIAL" if lost or strength >= 0.3 else "SEPARATE"
    message = {
        "COMPLETE": f"batches and {factor}s coincide: an effect of the {factor} cannot be told from one of the "
                    "laboratory, and values must not be normalised by batch",
        "PARTIAL": f"batches go with {factor}s in part: {lost} of {len(levels) - 1} contrasts are lost, "
                   f"Cramer's V {strength:.2f}",
        "SEPARATE": f"every contrast of {factor}s exists inside batches",
    }[state]  # fmt: skip
    return base | {"state": state, "cramers_v": strength, "lost_contrasts": lost, "message": message + words}


def lost_contrasts(factor: NDArray[np.str_], batch: NDArray[np.str_]) -> int:
    """Contrasts between levels of a factor that cannot be estimated when batches are in the model.

    Raises
    ------
    AnalysisError
        The columns differ in length or are empty.
    """
    if len(factor) != len(batch) or len(factor) == 0:
        raise AnalysisError("factor and batch need one entry a row", where="confounding")
    levels, batches = np.unique(factor), np.unique(batch)
    of_batch = (batch[:, None] == batches[None, :]).astype(float)
    of_factor = (factor[:, None] == levels[None, :]).astype(float)
    both = int(np.linalg.matrix_rank(np.column_stack([of_batch, of_factor])))
    return len(levels) - 1 - (both - len(batches))


def cramers_v(factor: NDArray[np.str_], batch: NDArray[np.str_]) -> float:
    """Cramer's V of two columns, corrected for chance (Bergsma 2013): 0 unrelated, 1 one gives the other.

    Raises
    ------
    AnalysisError
        One of them has a single level.
    """
    from scipy.stats import chi2_contingency
    from scipy.stats.contingency import crosstab

    counts = crosstab(factor, batch).count
    rows, columns = counts.shape
    if min(rows, columns) < 2:
        raise AnalysisError("a column has one level only", where="Cramer's V")
    n = int(counts.sum())
    phi = float(chi2_contingency(counts, correction=False).statistic) / n
    phi = max(0.0, phi - (rows - 1) * (columns - 1) / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(min(1.0, np.sqrt(phi / least))) if least > 0 else float("nan")
