"""Tidy DataFrames out of the visits object: for plots, spreadsheets and other software."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import NotAvailableError
from immunoprofile.io.records import cells
from immunoprofile.pp.percentages import REPORTABLE_EVENTS
from immunoprofile.pp.rare_populations import rare_table
from immunoprofile.schema import ABS, BACKGROUND, BACKGROUND_PARENT, COUNTS, PARENT_COUNTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from anndata import AnnData

__all__ = ["cmv", "layer_names", "rare_populations", "statistics", "visits"]

PCT_PARENT = "pct_parent"
"""Name that ``X`` has in a tidy table."""

ROW_COLUMNS = ("usubjid", "arm", "visit", "visitnum", "study_day", "virology_day", "qc_status", "flags")
CMV_COLUMNS = (
    "usubjid", "arm", "visit", "visitnum", "virology_day", "cmv_kind", "cmv_raw", "cmv_unit", "cmv_log10", "cmv_lower",
    "cmv_upper", "cmv_drop", "cmv_drop_lower", "cmv_drop_upper",
)  # fmt: skip


def visits(
    adata: AnnData,
    *,
    populations: Iterable[str] | None = None,
    layers: Sequence[str] = (PCT_PARENT, ABS, COUNTS, PARENT_COUNTS),
) -> pd.DataFrame:
    """Long table, one row a subject x visit x population.

    Parameters
    ----------
    adata
        Visits x populations.
    populations
        Which ones, in that order; default all.
    layers
        One column each; ``pct_parent`` is ``X`` (per cent, 0-100), ``abs`` is in cells/uL. The default columns that
        the object does not have are left out.

    Returns
    -------
    DataFrame with the columns of ``obs`` that name the row (``ROW_COLUMNS``), ``population``, ``display``, ``parent``,
    ``tube`` and the layers. NaN is not measured, 0 is measured and none found.

    Raises
    ------
    NotAvailableError
        A population or layer that was asked for is not in the object.
    """
    import pandas as pd

    names = list(adata.var_names) if populations is None else [str(name) for name in _several(populations)]
    _require_populations(adata, names)
    asked = visits.__kwdefaults__ is None or tuple(layers) != tuple(visits.__kwdefaults__["layers"])
    missing = [name for name in layers if name != PCT_PARENT and name not in adata.layers]
    if missing and asked:
        raise NotAvailableError(f"no layer {', '.join(missing)}", where="layers",
                                todo=f"one of: {', '.join([PCT_PARENT, *layer_names(adata)])}")  # fmt: skip
    columns = [adata.var_names.get_loc(name) for name in names]
    table = pd.DataFrame(
        {name: pd.Series(adata.obs[name].array.repeat(len(names))) for name in ROW_COLUMNS if name in adata.obs}
    )
    table["population"] = names * adata.n_obs
    for name in ("display", "parent", "tube"):
        if name in adata.var:
            table[name] = list(adata.var[name].iloc[columns]) * adata.n_obs
    for name in layers:
        if name not in missing:
            values = adata.X if name == PCT_PARENT else adata.layers[name]
            table[name] = np.asarray(values, dtype=np.float64)[:, columns].ravel()
    return table


def rare_populations(
    adata: AnnData, *, populations: Iterable[str] | None = None, below: float = REPORTABLE_EVENTS
) -> pd.DataFrame:
    """What counting says of the populations of few events, one row a visit and population.

    Parameters
    ----------
    adata
        Visits x populations with the layers ``counts`` and ``parent_counts``; of ``background_counts`` and
        ``background_parent_counts``, where it has them, come the limits of blank and detection.
    populations
        Which ones, in that order; default all.
    below
        Counts from this on are left out; ``math.inf`` keeps all.

    Returns
    -------
    DataFrame with ``usubjid``, ``visit``, ``population``, ``parent``, ``tube`` and the numbers of
    ``schema.RARE_COLUMNS``. What was not measured has no row.

    Raises
    ------
    NotAvailableError
        A population that was asked for is not in the object.

    Examples
    --------
    >>> ip.get.rare_populations(profile.visits, populations=["treg_ki67"])  # doctest: +SKIP
    """
    import pandas as pd

    names = list(adata.var_names) if populations is None else [str(name) for name in _several(populations)]
    _require_populations(adata, names)
    columns = [adata.var_names.get_loc(name) for name in names]
    layers = [
        np.asarray(adata.layers[name], dtype=np.float64)[:, columns].ravel()
        if name in adata.layers
        else np.full(adata.n_obs * len(names), np.nan)
        for name in (COUNTS, PARENT_COUNTS, BACKGROUND, BACKGROUND_PARENT)
    ]
    table = pd.DataFrame({name: adata.obs[name].astype(str).repeat(len(names)).array for name in ("usubjid", "visit")})
    table["population"] = names * adata.n_obs
    for name in ("parent", "tube"):
        table[name] = list(adata.var[name].iloc[columns]) * adata.n_obs
    few = layers[0] < below
    return pd.concat([table[few].reset_index(drop=True), rare_table(*(layer[few] for layer in layers))], axis=1)


def _require_populations(adata: AnnData, names: Iterable[str]) -> None:
    if unknown := [name for name in names if name not in adata.var_names]:
        raise NotAvailableError(f"no population {', '.join(unknown)}", where="var_names",
                                todo=f"one of: {', '.join(adata.var_names)}")  # fmt: skip


def layer_names(adata: AnnData) -> list[str]:
    """Names of the layers in their order; without ``X``, which anndata 0.13 lists among them under the name None."""
    return [str(name) for name in adata.layers if name is not None]


def statistics(adata: AnnData, key: str) -> pd.DataFrame:
    """A copy of a table that a function of ``tl`` wrote to ``uns``.

    Parameters
    ----------
    adata
        Visits x populations.
    key
        ``change``, ``compare``, ``associate``, ``cmv_change`` or another key that holds a table.

    Raises
    ------
    NotAvailableError
        There is no such table.
    """
    import pandas as pd

    tables = {name: value for name, value in adata.uns.items() if isinstance(value, pd.DataFrame)}
    if key not in tables:
        raise NotAvailableError(
            f"no table {key!r}",
            where="uns",
            todo=f"run the function of ip.tl that writes it; there is: {', '.join(tables) or 'none'}",
        )
    return tables[key].copy()


def cmv(adata: AnnData) -> pd.DataFrame:
    """CMV-DNA of the visits, one row a visit with a result; bounds on the log10 scale, missing = open.

    Raises
    ------
    NotAvailableError
        The object has no CMV-DNA results.
    """
    if "cmv_kind" not in adata.obs:
        raise NotAvailableError("there are no CMV-DNA results", where="obs cmv_kind")
    columns = [name for name in CMV_COLUMNS if name in adata.obs]
    has_result = np.array(cells(adata.obs["cmv_kind"], "text")) != ""
    table: pd.DataFrame = adata.obs.loc[has_result, columns].reset_index(drop=True)
    return table


def _several(names: Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
