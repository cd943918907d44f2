"""S7: p-values corrected for the number of questions, within families that were declared beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.io.records import cells
from immunoprofile.resources import populations
from immunoprofile.schema import COUNTS, ESTIMATED, NO_RESPONSE, PARENT_COUNTS, STATISTIC_COLUMNS, UNS_STUDY

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
        family before the correction, and every row of the family says how many did. Of two populations that are
        complements (:func:`complements`) the percentages are one result: one of them stands in the family, the other
        carries its corrected p-value and says so. Rows that count the not evaluable as no response belong to none.

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
    twins = complements(adata)
    for family in families:
        places = [(key, row) for key in family.tables if key in tables for row in _rows(tables[key], family)]
        _adjust_one(tables, places, family, twins)
    for key, table in tables.items():
        adata.uns[key] = table


SMALLEST_GAP: Final = 0.01
"""Share of the smaller of two populations that gates of complements may leave out between them."""


def complements(adata: AnnData) -> dict[str, str]:
    """Populations that are what another leaves of their common parent, and that other one.

    Parameters
    ----------
    adata
        Visits x populations with ``layers`` counts and parent counts and ``var`` parent.

    Returns
    -------
    Population -> its complement, which stands for both: a declared endpoint of the study, else the one that the
    registry of populations names first. Their percentages add up to 100 in every row, so that each test of one is a
    test of the other.
    """
    if COUNTS not in adata.layers or "parent" not in adata.var:
        return {}
    counts, totals = (np.asarray(adata.layers[name], dtype=np.float64) for name in (COUNTS, PARENT_COUNTS))
    names = [str(name) for name in adata.var_names]
    parent = np.array(cells(adata.var["parent"], "text"), dtype=str)
    tube = np.array(cells(adata.var["tube"], "text"), dtype=str) if "tube" in adata.var else parent
    declared = adata.uns.get(UNS_STUDY, {}).get("endpoints")
    first = [str(name) for name in declared["population"]] if hasattr(declared, "columns") else []
    order = {name: place for place, name in reversed(list(enumerate([*first, *populations(), *names])))}
    found: dict[str, str] = {}
    for one, other in combinations(range(len(names)), 2):
        if not parent[one] or parent[one] != parent[other] or tube[one] != tube[other]:
            continue
        both = np.isfinite(counts[:, one] + counts[:, other] + totals[:, one])
        if not both.any():
            continue
        a, b, total = (values[both] for values in (counts[:, one], counts[:, other], totals[:, one]))
        if np.all(np.abs(a + b - total) <= SMALLEST_GAP * np.minimum(a, b)):
            kept, left = sorted((names[one], names[other]), key=lambda name: order[name])
            found[left] = kept
    return found


def _table(adata: AnnData, key: str) -> pd.DataFrame:
    table: pd.DataFrame = adata.uns[key]
    if missing := [name for name in STATISTIC_COLUMNS if name not in table]:
        raise AnalysisError(f"no table of statistics (no column {', '.join(missing)})", where=f"uns[{key!r}]")
    return table.reset_index(drop=True).copy()


def _rows(table: pd.DataFrame, family: Family) -> list[int]:
    chosen = ~table["contrast"].astype(str).str.endswith(NO_RESPONSE).to_numpy(dtype=bool)
    for name in ("measure", "visit", "contrast"):
        if wanted := getattr(family, name):
            chosen &= (table[name] == wanted).to_numpy()
    return [int(row) for row in np.flatnonzero(chosen)]


def _adjust_one(
    tables: dict[str, pd.DataFrame], places: list[tuple[str, int]], family: Family, twins: dict[str, str]
) -> None:
    for key, row in places:
        if other := str(tables[key]["family"].iloc[row]):
            raise AnalysisError(f"row {row + 1} belongs to the families {other} and {family.name}",
                                where=f"uns[{key!r}]", todo="declare families that do not overlap")  # fmt: skip
        tables[key].loc[row, "family"] = family.name
    standing = _standing(tables, places, twins)
    p_values = np.array([tables[key]["p_value"].iloc[row] for key, row in places], dtype=np.float64)
    estimated = np.array([tables[key]["status"].iloc[row] == ESTIMATED for key, row in places], dtype=bool)
    own = np.array([place not in standing for place in places], dtype=bool)
    inside = estimated & ~np.isnan(p_values) & own
    adjusted = dict(zip(places, adjust(np.where(inside, p_values, np.nan), correction=family.correction), strict=True))
    left = int((own & ~inside).sum())
    words = f"{_MARK}{left} of {int(own.sum())} rows left {family.name}: not estimable"
    for (key, row), member in zip(places, inside, strict=True):
        twin = standing.get((key, row))
        if twin is not None:
            tables[key].loc[row, "family"] = ""
            stands = tables[twin[0]]["population"].iloc[twin[1]]
            _exclude(tables[key], row, f"{_MARK}complement of {stands}, one result in {family.name}: corrected there")
        elif left:
            _exclude(tables[key], row, words)
        value = float(adjusted[twin or (key, row)])
        if (member or twin is not None) and not np.isnan(value):
            tables[key].loc[row, ["p_adjusted", "adjusted"]] = [value, family.correction]


def _standing(
    tables: dict[str, pd.DataFrame], places: list[tuple[str, int]], twins: dict[str, str]
) -> dict[tuple[str, int], tuple[str, int]]:
    """Rows of percentages whose complement stands in the same family, and the row of that."""
    rows: dict[tuple[str, ...], tuple[str, int]] = {}
    for key, row in places:
        rows[(key, *_question(tables[key], row, str(tables[key]["population"].iloc[row])))] = (key, row)
    found = {}
    for key, row in places:
        name = str(tables[key]["population"].iloc[row])
        partner = rows.get((key, *_question(tables[key], row, twins.get(name, ""))))
        if partner is not None and tables[key]["measure"].iloc[row] == "pct_parent":
            found[key, row] = partner
    return found


def _question(table: pd.DataFrame, row: int, population: str) -> tuple[str, ...]:
    """What a row asks of a population."""
    return (population, *(str(table[name].iloc[row]) for name in ("method_id", "measure", "contrast", "visit", "arm")))


def _exclude(table: pd.DataFrame, row: int, words: str) -> None:
    before = str(table["exclusions"].iloc[row])
    table.loc[row, "exclusions"] = f"{before}; {words}" if before else words


_MARK: Final = "family: "


def _without_family(words: str) -> str:
    return "; ".join(part for part in str(words).split("; ") if part and not part.startswith(_MARK))
