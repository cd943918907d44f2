"""The analyses that a study declares, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from immunoprofile.tl.association import join_cmv
from immunoprofile.tl.plan import run_plan

if TYPE_CHECKING:
    from anndata import AnnData


def declared(adata: AnnData) -> None:
    """Run what the study declares, and join the changes of populations and CMV-DNA.

    The plan, endpoints, the primary visit and the reference arm come from ``uns['study']``. An analysis that the data
    do not allow (one arm, one visit, no CMV-DNA) is not left out in silence: its table holds one row whose ``note``
    gives the reason.

    Parameters
    ----------
    adata
        Visits x populations.

    Returns
    -------
    None; writes

    ``adata.uns['change']``, ``adata.uns['compare']``, ``adata.uns['associate']`` and the other tables of the plan
        DataFrames with ``schema.STATISTIC_COLUMNS``, see :func:`run_plan`.
    ``adata.uns['cmv_change']``
        see :func:`join_cmv`.
    """
    run_plan(adata)
    join_cmv(adata)
