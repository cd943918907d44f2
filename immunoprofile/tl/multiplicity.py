"""S7: p-values corrected for the number of questions, within families that were declared beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import ESTIMATED, STATISTIC_COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Correction = Literal["Holm", "Benjamini-Hochberg"]
CORRECTIONS: Final[tuple[str, ...]] = get_args(Correction)


@dataclass(frozen=True)
class Family:
    """Questions that are corrected together.

    Attributes
    ----------
    name
        Name of the family, as it stands in the column ``family``.
    correction
        ``Holm`` (no false positive among the declared endpoints) or ``Benjamini-Hochberg`` (share of false positives).
    tables
        Keys of ``uns`` whose rows belong to it.
    measure, visit, contrast
        Only rows of this measure, visit, contrast; empty takes all.
    """

    name: str
    correction: Correction
    tables: tuple[str, ...]
    measure: str = ""
    visit: str = ""
    contrast: str = ""

    def __post_init__(self) -> None:
        if self.correction not in CORRECTIONS:
            raise AnalysisError(f"correction {self.correction!r} is not known", where=f"family {self.name}",
                                todo=f"one of: {', '.join(CORRECTIONS)}")  # fmt: skip


def adjust(p_values: ArrayLike, *, correction: Correction) -> Floats:
    """P-values of one family after the correction.

    Parameters
    ----------
    p_values
        One number a question, 0 to 1; NaN where there is none: it stays NaN and does not count.
    correction
        ``Holm`` or ``Benjamini-Hochberg``.

    Raises
    ------
    AnalysisError
        Unknown correction, or a number that is no probability.

    Notes
    -----
    Holm 1979, Scand J Stat 6:65; Benjamini and Hochberg 1995, J R Stat Soc B 57:289.
    """
    if correction not in CORRECTIONS:
        raise AnalysisError(f"correction {correction!r} is not known", todo=f"one of: {', '.join(CORRECTIONS)}")
    p = np.asarray(p_values, dtype=np.float64)
    known = ~np.isnan(p)
    if np.any((p[known] < 0) | (p[known] > 1)):
        raise AnalysisError("p-values are not between 0 and 1", where="adjust")
    adjusted = np.full(p.shape, np.nan)
    if known.any():
        adjusted[known] = _holm(p[known]) if correction == "Holm" else _benjamini_hochberg(p[known])
    return adjusted


def _benjamini_hochberg(p: Floats) -> Floats:
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p, method="bh"))


def _holm(p: Floats) -> Floats:
    # own lines: multipletests of statsmodels 0.15 takes 80 ms for three numbers
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def adjust_families(adata: AnnData, families: Sequence[Family]) -> None:
    """Correct the p-values of the statistics in the object, each family by itself.

    Parameters
    ----------
    adata
        Object whose ``uns`` holds tables of statistics.
    families
        Families; a row that would belong to two is refused. Rows that are not ESTIMATED or have no p-value leave the
        family before the correction, and every row of the family says how many did.

    Returns
    -------
    None; writes

    ``adata.uns[<table>]``
        columns ``family``, ``adjusted`` (name of the correction), ``p_adjusted``; what earlier calls wrote there for
        the same tables is replaced, and ``exclusions`` gains what left the family.

    Raises
    ------
    AnalysisError
        A row belongs to two families, a name stands twice, or a table is no table of statistics.
    """
    names = [family.name for family in families]
    if len(set(names)) != len(names):
        raise AnalysisError("a family stands twice", where=", ".join(sorted(names)))
    tables = {key: _table(adata, key) for family in families for key in family.tables if key in adata.uns}
    for table in tables.values():
        table["exclusions"] = [_without_family(words) for words in table["exclusions"]]
        table["family"], table["adjusted"], table["p_adjusted"] = "", "none", np.nan
    for family in families:
        places = [(key, row) for key in family.tables if key in tables for row in _rows(tables[key], family)]
        _adjust_one(tables, places, family)
    for key, table in tables.items():
        adata.uns[key] = table


def _table(adata: AnnData, key: str) -> pd.DataFrame:
    table: pd.DataFrame = adata.uns[key]
    if missing := [name for name in STATISTIC_COLUMNS if name not in table]:
        raise AnalysisError(f"no table of statistics (no column {', '.join(missing)})", where=f"uns[{key!r}]")
    return table.reset_index(drop=True).copy()


def _rows(table: pd.DataFrame, family: Family) -> list[int]:
    chosen = np.ones(len(table), dtype=bool)
    for name in ("measure", "visit", "contrast"):
        if wanted := getattr(family, name):
            chosen &= (table[name] == wanted).to_numpy()
    return [int(row) for row in np.flatnonzero(chosen)]


def _adjust_one(tables: dict[str, pd.DataFrame], places: list[tuple[str, int]], family: Family) -> None:
    for key, row in places:
        if other := str(tables[key]["family"].iloc[row]):
            raise AnalysisError(f"row {row + 1} belongs to the families {other} and {family.name}",
                                where=f"uns[{key!r}]", todo="declare families that do not overlap")  # fmt: skip
        tables[key].loc[row, "family"] = family.name
    p_values = np.array([tables[key]["p_value"].iloc[row] for key, row in places], dtype=np.float64)
    estimated = np.array([tables[key]["status"].iloc[row] == ESTIMATED for key, row in places], dtype=bool)
    inside = estimated & ~np.isnan(p_values)
    adjusted = adjust(np.where(inside, p_values, np.nan), correction=family.correction)
    left = int((~inside).sum())
    words = f"{_MARK}{left} of {len(places)} rows left {family.name}: not estimable"
    for (key, row), member, value in zip(places, inside, adjusted, strict=True):
        if member:
            tables[key].loc[row, ["p_adjusted", "adjusted"]] = [float(value), family.correction]
        if left:
            before = str(tables[key]["exclusions"].iloc[row])
            tables[key].loc[row, "exclusions"] = f"{before}; {words}" if before else words


_MARK: Final = "family: "


def _without_family(words: str) -> str:
    return "; ".join(part for part in str(words).split("; ") if part and not part.startswith(_MARK))
