"""Values of few events left out of an analysis: a sensitivity analysis, since nothing is excluded for being small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.pp.percentages import REPORTABLE_EVENTS
from immunoprofile.pp.rare_populations import SHOWN_EVENTS
from immunoprofile.schema import ABS, COUNTS, PARENT_COUNTS, VISIT_GATINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

FEW_EVENTS = f"values of fewer than {SHOWN_EVENTS} events, or of a parent of fewer than {REPORTABLE_EVENTS}"


def leave_few_events(work: AnnData, populations: Iterable[str]) -> int:
    """Take out values that rest on fewer than 30 events, or on a parent of fewer than 100.

    Parameters
    ----------
    work
        Visits x populations. ``X``, ``counts``, ``abs`` and the counts under moved cuts become NaN there.
    populations
        What the analysis is about.

    Returns
    -------
    int
        Values of these populations that were taken out.
    """
    counts, parents = (np.asarray(work.layers[name], dtype=np.float64) for name in (COUNTS, PARENT_COUNTS))
    few = (counts < SHOWN_EVENTS) | (parents < REPORTABLE_EVENTS)
    own = work.var_names.isin(list(populations))
    taken = int((few & ~np.isnan(np.asarray(work.X, dtype=np.float64)))[:, own].sum())
    work.X = np.where(few, np.nan, np.asarray(work.X, dtype=np.float64))
    for name in (COUNTS, ABS):
        if name in work.layers:
            work.layers[name] = np.where(few, np.nan, np.asarray(work.layers[name], dtype=np.float64))
    for name in VISIT_GATINGS:
        if name in work.obsm:
            work.obsm[name] = np.where(few[..., None], np.nan, np.asarray(work.obsm[name], dtype=np.float64))
    return taken
