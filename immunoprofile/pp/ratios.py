"""Ratios of two populations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.pp.absolute import cells_per_event
from immunoprofile.schema import ABS, COUNTS, LOG2_RATIOS, RATIOS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ratio:
    """A ratio of two populations that do not overlap."""

    name: str
    numerator: str
    denominator: str


RATIO_DEFINITIONS = (
    Ratio("cd4_cd8", "cd4", "cd8"),
    Ratio("cd8_treg", "cd8", "treg"),
    Ratio("nk_treg", "nk", "treg"),
    Ratio("cd8act_treg", "cd8_act", "treg"),
    Ratio("treg_tconv", "treg", "tconv"),
    Ratio("nkbright_nkdim", "nk_bright", "nk_dim"),
)
"""The ratios of the package."""


def ratios(adata: AnnData, *, definitions: Sequence[Ratio] = RATIO_DEFINITIONS) -> None:
    """Ratios, raw and log2: from the counts of one tube, else from cells/uL of both.

    Parameters
    ----------
    adata
        Visits x populations with the layers ``counts`` and, for populations of two tubes, ``abs``.
    definitions
        What to divide; a population that the object lacks gives a column of NaN.

    Returns
    -------
    None; writes

    ``adata.obsm['ratios']``
        one column a ratio; NaN where the denominator is zero or a part is not measured.
    ``adata.obsm['log2_ratios']``
        log2 of the same; a numerator of zero events counts as half an event.

    Raises
    ------
    AnalysisError
        Two definitions have the same name.
    """
    import pandas as pd

    names = [ratio.name for ratio in definitions]
    if len(set(names)) != len(names):
        raise AnalysisError("a ratio is defined twice", where="pp.ratios")
    raw, logs = {}, {}
    for ratio in definitions:
        raw[ratio.name], logs[ratio.name] = _one(adata, ratio)
    adata.obsm[RATIOS] = pd.DataFrame(raw, index=adata.obs_names, columns=names, dtype="float64")
    adata.obsm[LOG2_RATIOS] = pd.DataFrame(logs, index=adata.obs_names, columns=names, dtype="float64")


def _one(adata: AnnData, ratio: Ratio) -> tuple[Floats, Floats]:
    nothing = np.full(adata.n_obs, np.nan)
    if ratio.numerator not in adata.var_names or ratio.denominator not in adata.var_names:
        return nothing, nothing
    top, bottom = (adata.var_names.get_loc(name) for name in (ratio.numerator, ratio.denominator))
    one_tube = adata.var["tube"].iloc[top] == adata.var["tube"].iloc[bottom]
    if not one_tube and ABS not in adata.layers:
        return nothing, nothing
    values = np.asarray(adata.layers[COUNTS if one_tube else ABS], dtype=np.float64)
    half_event = np.full(adata.n_obs, 0.5) if one_tube else 0.5 * cells_per_event(adata)[:, top]
    a, b = values[:, top], np.where(values[:, bottom] > 0, values[:, bottom], np.nan)
    return a / b, np.log2(np.where(a == 0, half_event, a) / b)
