"""The analyses that a study declares, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import UNS_ASSOCIATE, UNS_CHANGE, UNS_COMPARE, UNS_STUDY
from immunoprofile.tl._frame import statistic_row, statistic_table
from immunoprofile.tl.ancova import compare
from immunoprofile.tl.association import associate, join_cmv
from immunoprofile.tl.paired import change

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

_ANALYSES: tuple[tuple[str, str, Callable[..., None]], ...] = (
    (UNS_CHANGE, "S1", change),
    (UNS_COMPARE, "S3", compare),
    (UNS_ASSOCIATE, "S8", associate),
)


def declared(adata: AnnData) -> None:
    """Run what the study declares: change within arms, arms compared, association with CMV-DNA, and the joined table.

    Endpoints, the primary visit and the reference arm come from ``uns['study']``. An analysis that the data do not
    allow (one arm, one visit, no CMV-DNA) is not left out in silence: its table holds one row whose ``note`` gives the
    reason.

    Parameters
    ----------
    adata
        Visits x populations.

    Returns
    -------
    None; writes

    ``adata.uns['change']``, ``adata.uns['compare']``, ``adata.uns['associate']``
        DataFrames with ``schema.STATISTIC_COLUMNS``, see :func:`change`, :func:`compare`, :func:`associate`.
    ``adata.uns['cmv_change']``
        see :func:`join_cmv`.
    """
    visit = adata.uns.get(UNS_STUDY, {}).get("primary_visit", "")
    for key, method_id, analyse in _ANALYSES:
        try:
            analyse(adata)
        except AnalysisError as refused:
            row = statistic_row(method_id=method_id, visit=visit, note=f"refused: {refused}")
            adata.uns[key] = statistic_table([row])
    join_cmv(adata)
