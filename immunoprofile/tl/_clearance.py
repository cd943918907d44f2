"""The table of times to clearance as the analyses need it, and rows of analyses that were refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.io.records import cells
from immunoprofile.schema import (
    CURVE_COLUMNS,
    NOT_ESTIMABLE,
    TIME_TO_CLEARANCE_COLUMNS,
    UNS_CLEARANCE,
    UNS_CLEARANCE_CURVES,
)
from immunoprofile.tl._frame import statistic_row

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DEFAULT_RULE = "clearance_2"
CLEARED = "cleared"


@dataclass(frozen=True)
class Clearance:
    """Times to clearance of one rule, sorted by subject; days since the first ganciclovir, not below 0.

    ``cause`` is ``cleared``, the competing event, or empty (censored). ``lower`` and ``upper`` bound the clearance
    (``upper`` infinite when it was not seen); ``day`` is the day of the first sample of clearance, of the competing
    event, or of the last valid result. ``exclusions`` says who was left out and why.
    """

    rule: str
    subjects: NDArray[np.str_]
    arms: NDArray[np.str_]
    lower: Floats
    upper: Floats
    day: Floats
    cause: NDArray[np.str_]
    exclusions: str

    @property
    def cleared(self) -> NDArray[np.bool_]:
        """Subjects whose clearance was seen."""
        return np.asarray(self.cause == CLEARED)

    def among(self, chosen: NDArray[np.bool_]) -> Clearance:
        """Some of the subjects."""
        return Clearance(self.rule, self.subjects[chosen], self.arms[chosen], self.lower[chosen], self.upper[chosen],
                         self.day[chosen], self.cause[chosen], self.exclusions)  # fmt: skip


def clearance_times(adata: AnnData, rule: str | None) -> Clearance:
    """Times to clearance by a rule (default: the only one of the table, else ``clearance_2``).

    Raises
    ------
    AnalysisError
        There is no table, it lacks columns or the rule, or a row contradicts itself.
    """
    table, chosen = _table(adata, rule)
    arms = arms_of(adata, table)
    lower = table["lower_day"].to_numpy(dtype=np.float64, na_value=np.nan)
    upper = table["upper_day"].to_numpy(dtype=np.float64, na_value=np.nan)
    observed = np.array([bool(one) for one in cells(table["observed"], "flag")], dtype=bool)
    competing = _competing(table["competing"])
    subjects = table["usubjid"].to_numpy(dtype=str)
    broken = observed & ~np.isnan(lower) & ~((lower <= upper) & np.isfinite(upper))
    broken |= observed & (competing != "")
    if broken.any():
        raise AnalysisError("a clearance without an interval, or beside a competing event",
                            where=f"uns['clearance'] of {', '.join(subjects[broken])}")  # fmt: skip
    unknown = np.isnan(lower)
    before = observed & ~unknown & (upper <= 0)
    no_arm = arms == ""
    left_out = []
    reasons = np.array(cells(table["reason"], "text"), dtype=str)
    for reason in sorted(set(reasons[unknown])):
        number = int((unknown & (reasons == reason)).sum())
        left_out.append(f"{number} not evaluable" + (f" ({reason})" if reason else ""))
    if before.any():
        left_out.append(f"{int(before.sum())} cleared before the first ganciclovir")
    if (no_arm & ~unknown & ~before).any():
        left_out.append(f"{int((no_arm & ~unknown & ~before).sum())} without an arm")
    keep = ~unknown & ~before & ~no_arm
    lower = np.maximum(lower[keep], 0.0)
    ended = _ends(table, competing)[keep]
    upper, observed, competing = upper[keep], observed[keep], competing[keep]
    ended = np.where(np.isfinite(ended), np.maximum(ended, lower), lower)
    return Clearance(
        chosen,
        subjects[keep],
        arms[keep],
        lower,
        np.where(observed, upper, np.inf),
        np.where(observed, upper, ended),
        np.where(observed, CLEARED, competing),
        "; ".join(left_out),
    )


def _table(adata: AnnData, rule: str | None) -> tuple[pd.DataFrame, str]:
    if UNS_CLEARANCE not in adata.uns:
        raise AnalysisError("there is no table of times to clearance", where=f"uns[{UNS_CLEARANCE!r}]",
                            todo="evaluate the CMV-DNA series first")  # fmt: skip
    table: pd.DataFrame = adata.uns[UNS_CLEARANCE]
    if missing := [name for name in TIME_TO_CLEARANCE_COLUMNS if name not in table]:
        raise AnalysisError(f"no column {', '.join(missing)}", where=f"uns[{UNS_CLEARANCE!r}]")
    rules = sorted(set(table["rule_id"].astype(str)))
    chosen = rule or (rules[0] if len(rules) == 1 else DEFAULT_RULE)
    if chosen not in rules:
        raise AnalysisError(f"no row of rule {chosen}", where=f"uns[{UNS_CLEARANCE!r}]",
                            todo=f"one of: {', '.join(rules) or 'none, the table is empty'}")  # fmt: skip
    own = table[table["rule_id"].astype(str) == chosen]
    own = own.assign(usubjid=own["usubjid"].astype(str)).sort_values("usubjid", kind="stable")
    if own["usubjid"].duplicated().any():
        twice = own["usubjid"][own["usubjid"].duplicated()].iloc[0]
        raise AnalysisError(f"subject {twice} has two rows of {chosen}", where=f"uns[{UNS_CLEARANCE!r}]")
    return own.reset_index(drop=True), chosen


def arms_of(adata: AnnData, table: pd.DataFrame) -> NDArray[np.str_]:
    """Arm of each row of a table of subjects: its own column, else that of ``obs``; empty when neither knows."""
    if "arm" in table:
        return np.array(cells(table["arm"], "text"), dtype=str)
    known = adata.obs.dropna(subset="arm").drop_duplicates("usubjid")
    by_subject = dict(zip(known["usubjid"].astype(str), known["arm"].astype(str), strict=True))
    return np.array([by_subject.get(str(name), "") for name in table["usubjid"]], dtype=str)


def _ends(table: pd.DataFrame, competing: NDArray[np.str_]) -> Floats:
    """Day of the competing event, missing where there is none or its day is not known."""
    name = "competing_day" if "competing_day" in table else "upper_day"
    return np.where(competing != "", table[name].to_numpy(dtype=np.float64, na_value=np.nan), np.nan)


def _competing(column: pd.Series[Any]) -> NDArray[np.str_]:
    """Competing events as text; a flag of that name has no name of the event."""
    words = {True: "competing event", False: ""}
    return np.array(["" if value is None or value != value else words.get(value, str(value)) for value in column],
                    dtype=str)  # fmt: skip


def refused_row(method_id: str, method: str, reason: AnalysisError, **known: Any) -> dict[str, Any]:
    """Row of an analysis that has no answer, with the reason in ``note``."""
    note = "; ".join(part for part in (f"refused: {reason.what}", str(known.pop("note", ""))) if part)
    return statistic_row(method_id=method_id, method=method, status=NOT_ESTIMABLE, adjusted="none", note=note, **known)


def ratio_row(
    method_id: str, method: str, kind: str, term: tuple[float, float, float, float], confidence: float,
    known: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Row of a log ratio with its interval, back-transformed."""
    estimate, lower, upper, p_value = term
    return statistic_row(
        method_id=method_id, method=method, estimate=estimate, lower=lower, upper=upper, p_value=p_value,
        effect_kind=kind, effect=exp(estimate), effect_lower=exp(lower), effect_upper=exp(upper),
        conf_level=confidence, adjusted="none", **known,
    )  # fmt: skip


def exp(value: float) -> float:
    """Exponential that ends at infinity."""
    return math.exp(value) if value < 700 else math.inf


def put_curves(adata: AnnData, method_id: str, rows: list[dict[str, Any]]) -> None:
    """Replace the curves of one method in ``uns['clearance_curves']``."""
    import pandas as pd

    words = [name for name in CURVE_COLUMNS if name in ("method_id", "method", "rule_id", "arm", "event")]
    table = pd.DataFrame(rows, columns=list(CURVE_COLUMNS))
    table = table.astype({name: "object" if name in words else "float64" for name in CURVE_COLUMNS})
    if UNS_CLEARANCE_CURVES in adata.uns:
        before = adata.uns[UNS_CLEARANCE_CURVES]
        others = before[before["method_id"] != method_id]
        table = pd.concat([part for part in (others, table) if len(part)] or [table], ignore_index=True)
        table = table.sort_values("method_id", kind="stable", ignore_index=True)
    adata.uns[UNS_CLEARANCE_CURVES] = table
