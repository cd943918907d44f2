"""What moved cuts do to percentages, cells/uL and their change from baseline.

A baseline and a later visit of one subject have the same gates: a cut that lies elsewhere moves both, and what remains
in the change is what it does to one more than to the other. So the change is taken in each of the 32 gatings
(`gate.cut_shifts`) as a whole, and its spread is that of these differences. Two visits with cuts of their own (placed
on the sample or its batch, or drawn by hand) have two errors instead, and both count in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.pp.baseline import baseline_rows, positive_absolute
from immunoprofile.schema import (
    ABS,
    ANCHOR_COUNTS,
    COUNTS,
    GATE_ANCHOR_COUNTS,
    GATE_COUNTS,
    GATE_CV,
    GATE_CV_ABS,
    GATE_FROZEN,
    GATE_PARENT_COUNTS,
    GATE_SD_BASELINE,
    GATE_SD_BASELINE_ABS,
    PARENT_COUNTS,
    UNS_STUDY,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_DENOMINATORS = {"dual_lymph": "lymphocytes", "dual_wbc": "leukocytes"}


def log_shifts(shifted: ArrayLike, counted: ArrayLike) -> Floats:
    """Natural logarithm of counts under moved cuts over the count as gated; no events count as half an event.

    Parameters
    ----------
    shifted
        Counts, the last axis the gatings.
    counted
        The count as gated, one axis less.
    """
    plain = np.asarray(counted, dtype=np.float64)[..., None]
    moved = np.asarray(shifted, dtype=np.float64)
    found: Floats = np.log(np.where(moved == 0, 0.5, moved)) - np.log(np.where(plain == 0, 0.5, plain))
    return found


def spread(logs: Floats) -> Floats:
    """Root of the mean square over the gatings: the SD of a logarithm around the value as gated."""
    return np.asarray(np.sqrt(np.mean(np.asarray(logs, dtype=np.float64) ** 2, axis=-1)))


def change_spread(now: Floats, then: Floats, *, frozen: ArrayLike) -> Floats:
    """SD of the logarithm of a change between two visits.

    Parameters
    ----------
    now, then
        From `log_shifts`, the last axis the gatings.
    frozen
        Whether both visits have the same cuts. Where they do not, each has an error of its own, and the change is held
        to spread by no less than both of them together.
    """
    together = spread(np.asarray(now) - np.asarray(then))
    apart = np.hypot(spread(now), spread(then))
    return np.where(np.asarray(frozen, dtype=bool), together, np.maximum(together, apart))


def has_gatings(adata: AnnData) -> bool:
    """Whether the object holds counts under moved cuts of the populations that it has now."""
    names = (GATE_COUNTS, GATE_PARENT_COUNTS, GATE_ANCHOR_COUNTS)
    return all(name in adata.obsm and np.shape(adata.obsm[name])[:2] == adata.shape for name in names)


def gatings(adata: AnnData, name: str) -> Floats:
    """An array of the object, visits x populations x gatings.

    Raises
    ------
    AnalysisError
        The object does not hold it, or has other populations than it was made for.
    """
    if name not in adata.obsm:
        raise AnalysisError("there are no counts under moved cuts", where=f"obsm[{name!r}]",
                            todo="run the study again: its results hold them")  # fmt: skip
    found = np.asarray(adata.obsm[name], dtype=np.float64)
    if found.shape[:2] != adata.shape:
        raise AnalysisError("the populations were chosen anew after the counts under moved cuts were made",
                            where=f"obsm[{name!r}]", todo="take them of the whole object")  # fmt: skip
    return found


def log_percentages(adata: AnnData) -> Floats:
    """Logarithm of X in each gating over X, visits x populations x gatings; NaN where not known."""
    counts, parents = (np.asarray(adata.layers[name], dtype=np.float64) for name in (COUNTS, PARENT_COUNTS))
    events = log_shifts(gatings(adata, GATE_COUNTS), counts)
    found = events - log_shifts(gatings(adata, GATE_PARENT_COUNTS), parents)
    return np.where((parents > 0)[..., None], found, np.nan)


def log_absolute(adata: AnnData) -> Floats:
    """Logarithm of cells/uL in each gating over cells/uL; NaN where not known.

    Cells/uL hang on the cuts of the population and its anchor in their tube, and on those of the anchor in the count
    tube; from the blood count also on those of its denominator there. Beads are far from any cut.
    """
    from immunoprofile.io.records import cells

    counts = np.asarray(adata.layers[COUNTS], dtype=np.float64)
    anchors = np.asarray(adata.layers[ANCHOR_COUNTS], dtype=np.float64)
    events = log_shifts(gatings(adata, GATE_COUNTS), counts)
    share = events - log_shifts(gatings(adata, GATE_ANCHOR_COUNTS), anchors)
    tube = str(adata.uns.get(UNS_STUDY, {}).get("count_tube", ""))
    counted = adata.var["tube"].astype(str).to_numpy() == tube
    methods = adata.obs["abs_method"].astype(str).to_numpy()
    direct = np.where(counted[None, :, None], events, np.nan)
    for method, name in _DENOMINATORS.items():
        rows = methods == method
        known = name in adata.var_names and counted[adata.var_names.get_loc(name)]
        total = events[:, adata.var_names.get_loc(name), :] if known else np.full(events[:, 0, :].shape, np.nan)
        direct[rows] -= total[rows][:, None, :]
    names = cells(adata.var["abs_anchor"], "text")
    found = np.full(events.shape, np.nan)
    for column, anchor in enumerate(names):
        if counted[column]:
            found[:, column] = direct[:, column]
        elif anchor:
            found[:, column] = direct[:, adata.var_names.get_loc(anchor)] + share[:, column]
    measured = ~np.isnan(np.asarray(adata.layers[ABS], dtype=np.float64))
    return np.where(measured[..., None], found, np.nan)


def frozen_cuts(adata: AnnData, *, absolute: bool = False) -> NDArray[np.bool_]:
    """Where all cuts are the same at every visit of the subject; for cells/uL also those of the anchor."""
    from immunoprofile.io.records import cells

    own: NDArray[np.bool_] = np.asarray(np.asarray(adata.layers[GATE_FROZEN], dtype=np.float64) == 1)
    if not absolute:
        return own
    names = cells(adata.var["abs_anchor"], "text")
    columns = [adata.var_names.get_loc(name) if name else n for n, name in enumerate(names)]
    return np.asarray(own & own[:, columns])


def gate_spread(adata: AnnData) -> None:
    """Spread of every percentage and cells/uL, and of their change from baseline, under moved cuts.

    Parameters
    ----------
    adata
        Visits x populations after :func:`absolute`, with the arrays ``obsm['gate_counts']``,
        ``['gate_parent_counts']``, ``['gate_anchor_counts']`` and ``layers['gate_frozen']`` that a run writes.

    Returns
    -------
    None; writes

    ``adata.layers['gate_cv']``, ``adata.layers['gate_cv_abs']``
        relative SD in per cent (100 times that of the natural logarithm); NaN where not known.
    ``adata.obsm['gate_sd_baseline']``, ``adata.obsm['gate_sd_baseline_abs']``
        DataFrames, columns = populations: SD of the natural logarithm of the change from baseline, see
        :func:`change_spread`; 0 in the baseline row, NaN without baseline.

    Raises
    ------
    AnalysisError
        There are no counts under moved cuts.

    Notes
    -----
    The SD holds what the declared shift does and nothing else: neither counting nor biology.
    """
    import pandas as pd

    references = baseline_rows(adata)
    known = (references >= 0)[:, None]
    itself = (references == np.arange(adata.n_obs))[:, None]
    for logs, absolute, layer, key in (
        (log_percentages(adata), False, GATE_CV, GATE_SD_BASELINE),
        (log_absolute(adata), True, GATE_CV_ABS, GATE_SD_BASELINE_ABS),
    ):
        frozen = frozen_cuts(adata, absolute=absolute)
        adata.layers[layer] = 100 * spread(logs)
        found = change_spread(logs, logs[references], frozen=frozen & frozen[references])
        found = np.where(known, np.where(itself & ~np.isnan(found), 0.0, found), np.nan)
        adata.obsm[key] = pd.DataFrame(found, index=adata.obs_names, columns=list(adata.var_names))


def under_gatings(adata: AnnData) -> Iterator[AnnData]:
    """The object in each gating: its counts, percentages and cells/uL, everything else as it was.

    Parameters
    ----------
    adata
        As for :func:`gate_spread`.

    Raises
    ------
    AnalysisError
        There are no counts under moved cuts.
    """
    import anndata

    names = {COUNTS: GATE_COUNTS, PARENT_COUNTS: GATE_PARENT_COUNTS, ANCHOR_COUNTS: GATE_ANCHOR_COUNTS}
    moved = {name: gatings(adata, source) for name, source in names.items()}
    if ABS in adata.layers:
        bridged = ANCHOR_COUNTS in adata.layers and "abs_method" in adata.obs
        logs = log_absolute(adata) if bridged else np.full(moved[COUNTS].shape, np.nan)
        # The logarithm begins at half an event where none was counted, and so does the concentration.
        absolute = positive_absolute(adata)[..., None] * np.exp(logs)
        moved[ABS] = np.where(moved[COUNTS] == 0, np.where(np.isnan(absolute), np.nan, 0.0), absolute)
    for gating in range(moved[COUNTS].shape[2]):
        layers = {name: values[:, :, gating] for name, values in moved.items()}
        parents = layers[PARENT_COUNTS]
        with np.errstate(invalid="ignore", divide="ignore"):
            percentages = np.where(parents > 0, 100 * layers[COUNTS] / parents, np.nan)
        yield anndata.AnnData(percentages, obs=adata.obs, var=adata.var, uns=adata.uns, layers=layers)
