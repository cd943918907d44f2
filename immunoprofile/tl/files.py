"""Tables of statistics as files beside the results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import AnalysisError
from immunoprofile.io.files import write_table, write_text
from immunoprofile.schema import (
    UNS_CLEARANCE_CURVES,
    UNS_CMV_CHANGE,
    UNS_CONFOUNDING,
    UNS_METHODS,
    UNS_PLAN_RUNS,
)

if TYPE_CHECKING:
    from anndata import AnnData

METHODS_FILE = "methods.txt"


def statistics_keys(adata: AnnData) -> tuple[str, ...]:
    """Keys of the tables that a plan wrote: its analyses in their order, then what was written beside them.

    Raises
    ------
    AnalysisError
        No plan was run on this object.
    """
    if UNS_PLAN_RUNS not in adata.uns:
        raise AnalysisError("no plan was run", where=f"uns[{UNS_PLAN_RUNS!r}]", todo="run tl.declared first")
    analyses = [str(key) for key in adata.uns[UNS_PLAN_RUNS]["key"]]
    beside = (UNS_CMV_CHANGE, UNS_CLEARANCE_CURVES, UNS_CONFOUNDING, UNS_PLAN_RUNS)
    return tuple(dict.fromkeys([*analyses, *(key for key in beside if key in adata.uns)]))


def write_statistics(adata: AnnData, folder: Path) -> list[Path]:
    """Write every table of the plan as ``<key>.csv`` and the methods section as ``methods.txt``.

    Parameters
    ----------
    adata
        Object after :func:`immunoprofile.tl.declared`.
    folder
        Folder to write; made when absent.

    Returns
    -------
    list of Path
        Files written.
    """
    written = []
    for key in statistics_keys(adata):
        written.append(folder / f"{key}.csv")
        write_table(written[-1], adata.uns[key])
    written.append(folder / METHODS_FILE)
    write_text(written[-1], f"{adata.uns[UNS_METHODS]}\n")
    return written
