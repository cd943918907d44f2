"""S14, S15: does the immune change go with an earlier clearance of CMV-DNA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import UNS_LANDMARK, UNS_TIME_VARYING
from immunoprofile.tl._clearance import Clearance, clearance_times, ratio_row, refused_row
from immunoprofile.tl._effects import difference
from immunoprofile.tl._enough import LEAST_ROWS_PER_PARAMETER
from immunoprofile.tl._frame import (
    Endpoint,
    Measure,
    Pairs,
    Scale,
    analysis_values,
    endpoints,
    pairs,
    statistic_table,
    wanted_visits,
)
from immunoprofile.tl.survival import cox, cox_time_varying

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_UNITS = {"log2": "doubling", "logit": "logit", "identity": "unit"}
_NOTE = "above 1: cleared earlier; association, not cause"


def landmark(
    adata: AnnData,
    *,
    populations: Iterable[str] | None = None,
    measure: Measure | None = None,
    visit: str | None = None,
    day: float = 14,
    rule: str | None = None,
    scale: Scale | None = None,
    confidence: float = 0.95,
    include_failed: bool = False,
) -> None:
    """Change from baseline to a landmark as predictor of clearance after it (method S14).

    Parameters
    ----------
    adata
        Visits x populations with the table ``uns['clearance']``.
    populations, measure, scale, include_failed
        As in :func:`change`.
    visit
        Visit whose change from baseline is the predictor; default is the primary visit of the study.
    day
        The landmark, days since the first ganciclovir; for a subject whose draw of that visit came later it is the day
        of the draw. Only subjects that were under observation and not known to have cleared by then take part; time
        counts from it.
    rule
        Clearance rule, as in :func:`clearance_exact`.
    confidence
        Coverage of the interval.

    Returns
    -------
    None; writes

    ``adata.uns['landmark']``
        DataFrame with ``schema.STATISTIC_COLUMNS``, one row an endpoint: hazard ratio of clearance per doubling (scale
        log2) or unit of logit of the change, by a Cox model that also holds the arm where at least 3 events stand for
        each term (``note`` says so). NOT_ESTIMABLE with the reason where the events are too few.

    Raises
    ------
    AnalysisError
        There is no such table, rule, population or visit.

    Notes
    -----
    Only what was known at the landmark predicts, so that no subject is counted as a responder for having lived long
    enough to respond (Anderson, Cain and Gelber 1983, J Clin Oncol 1:710).
    """
    chosen = endpoints(adata, populations, measure, scale)
    (name,) = wanted_visits(adata, visit)
    matched = pairs(adata, name)
    times = clearance_times(adata, rule)
    origin = _origins(adata, times, matched, day)
    open_then = times.day > origin
    gone = (int((times.cleared & ~open_then).sum()), int((~times.cleared & ~open_then).sum()))
    words = ("cleared by the landmark", "not under observation after the landmark")
    left_out = [times.exclusions] if times.exclusions else []
    left_out += [f"{number} {word}" for number, word in zip(gone, words, strict=True) if number]
    later, origin = times.among(open_then), origin[open_then]
    rows = []
    for endpoint in chosen:
        values = analysis_values(adata, endpoint, include_failed=include_failed)
        change = _by_subject(later, matched, difference(values[matched.visit], values[matched.baseline]))
        known = _known(later, endpoint, change, left_out) | {"visit": name}
        known["contrast"] = f"change to {name}, clearance after day {day:g}"
        rows.append(_hazard(later, change, origin, confidence, known))
    adata.uns[UNS_LANDMARK] = statistic_table(rows)


def time_varying(
    adata: AnnData,
    *,
    populations: Iterable[str] | None = None,
    measure: Measure | None = None,
    rule: str | None = None,
    scale: Scale | None = None,
    confidence: float = 0.95,
    include_failed: bool = False,
) -> None:
    """The latest value of a population as predictor of clearance at every moment (method S15).

    Parameters
    ----------
    adata
        Visits x populations with the table ``uns['clearance']`` and ``obs['virology_day']``.
    populations, measure, scale, include_failed
        As in :func:`change`.
    rule
        Clearance rule, as in :func:`clearance_exact`.
    confidence
        Coverage of the interval.

    Returns
    -------
    None; writes

    ``adata.uns['time_varying']``
        DataFrame with ``schema.STATISTIC_COLUMNS``, one row an endpoint: hazard ratio of clearance per doubling (scale
        log2) or unit of logit of the latest value, by a counting-process Cox model that also holds the arm where at
        least 3 events stand for each term. A value holds from the day after its draw to the next one. NOT_ESTIMABLE
        with the reason where the events are too few.

    Raises
    ------
    AnalysisError
        There is no such table, rule, population, or no ``obs['virology_day']``.
    """
    chosen = endpoints(adata, populations, measure, scale)
    if "virology_day" not in adata.obs:
        raise AnalysisError("days since the first ganciclovir are not known", where="obs virology_day")
    times = clearance_times(adata, rule)
    rows = []
    for endpoint in chosen:
        values = analysis_values(adata, endpoint, include_failed=include_failed)
        stretches = _stretches(adata, times, values)
        inside = np.isin(times.subjects, stretches["usubjid"].to_numpy(dtype=str))
        left_out = [times.exclusions] if times.exclusions else []
        if not inside.all():
            left_out.append(f"{int((~inside).sum())} without a value before the end of observation")
        known: dict[str, Any] = {
            "population": endpoint.population, "measure": endpoint.measure, "scale": endpoint.scale, "visit": "all",
            "arm": "all", "contrast": "latest value", "n": int(inside.sum()), "exclusions": "; ".join(left_out),
            "note": f"{int(stretches['event'].sum())} cleared; rule {times.rule}; {_NOTE}",
        }  # fmt: skip
        rows.append(_time_varying_row(stretches, endpoint, confidence, known))
    adata.uns[UNS_TIME_VARYING] = statistic_table(rows)


def _origins(adata: AnnData, times: Clearance, matched: Pairs, day: float) -> Floats:
    """Landmark of each subject: the day, or the day of its draw where that is later."""
    drawn = np.full(len(matched.subjects), np.nan)
    if "virology_day" in adata.obs:
        drawn = adata.obs["virology_day"].to_numpy(dtype=np.float64, na_value=np.nan)[matched.visit]
    return np.fmax(_by_subject(times, matched, drawn), day)


def _by_subject(times: Clearance, matched: Pairs, change: Floats) -> Floats:
    by_name = dict(zip(matched.subjects, change.tolist(), strict=True))
    return np.array([by_name.get(name, np.nan) for name in times.subjects.tolist()], dtype=np.float64)


def _known(times: Clearance, endpoint: Endpoint, change: Floats, left_out: list[str]) -> dict[str, Any]:
    missing = int(np.isnan(change).sum())
    words = [*left_out, *([f"{missing} without a change from baseline"] if missing else [])]
    return {
        "population": endpoint.population, "measure": endpoint.measure, "scale": endpoint.scale, "arm": "all",
        "n": int((~np.isnan(change)).sum()), "exclusions": "; ".join(words),
        "note": f"{int(times.cleared[~np.isnan(change)].sum())} cleared; rule {times.rule}; {_NOTE}",
    }  # fmt: skip


def _with_arm(
    columns: dict[str, Any], arms: NDArray[np.str_], cleared: NDArray[np.bool_]
) -> tuple[dict[str, Any], str]:
    """Columns with indicators of the arm where the events bear them, and what was done, in words."""
    levels = sorted(set(arms.tolist()))
    extra = {f"arm[{level}]": arms == level for level in levels[1:]}
    enough = int(cleared.sum()) >= LEAST_ROWS_PER_PARAMETER * (len(columns) + len(extra))
    seen = all(cleared[arms == level].any() for level in levels)
    if extra and enough and seen:
        return columns | extra, "arm in the model"
    return columns, "arm not in the model: too few events" if extra else "one arm"


def _hazard(
    times: Clearance, change: Floats, origin: Floats, confidence: float, known: dict[str, Any]
) -> dict[str, Any]:
    used = ~np.isnan(change)
    own = times.among(used)
    method = "Cox model after the landmark"
    columns, words = _with_arm({"change": change[used]}, own.arms, own.cleared)
    known["note"] = f"{words}; {known['note']}"
    try:
        fit = cox(own.day - origin[used], own.cleared, columns)
    except AnalysisError as refused:
        return refused_row("S14", method, refused, **known)
    kind = f"hazard ratio per {_UNITS[known['scale']]}"
    return ratio_row("S14", method, kind, fit.term("change", confidence=confidence), confidence, known)


def _stretches(adata: AnnData, times: Clearance, values: Floats) -> pd.DataFrame:
    """Rows (start, stop] of each subject with the latest value; a missing one leaves the value before it in force."""
    import pandas as pd

    days = adata.obs["virology_day"].to_numpy(dtype=np.float64, na_value=np.nan)
    subjects = adata.obs["usubjid"].astype(str).to_numpy()
    rows: list[tuple[object, ...]] = []
    for index, name in enumerate(times.subjects.tolist()):
        own = np.flatnonzero((subjects == name) & ~np.isnan(days) & ~np.isnan(values) & (days < times.day[index]))
        own = own[np.argsort(days[own], kind="stable")]
        starts = np.maximum(days[own], 0.0)
        stops = [*starts[1:], times.day[index]][: len(own)]
        for row, start, stop in zip(own, starts, stops, strict=True):
            if stop > start:  # of several draws on one day (or before day 0) the last one holds
                ends = bool(times.cleared[index]) and stop == times.day[index]
                rows.append((name, float(start), float(stop), ends, values[row], times.arms[index]))
    return pd.DataFrame(rows, columns=["usubjid", "start", "stop", "event", "value", "arm"])


def _time_varying_row(
    stretches: pd.DataFrame, endpoint: Endpoint, confidence: float, known: dict[str, Any]
) -> dict[str, Any]:
    method = "Cox model with the latest value"
    try:
        if len(stretches) == 0:
            raise AnalysisError("no subject has a value under observation", where="time-varying Cox model")
        events = stretches["event"].to_numpy(dtype=bool)
        columns, words = _with_arm({"value": stretches["value"]}, stretches["arm"].to_numpy(dtype=str), events)
        known["note"] = f"{words}; {known['note']}"
        extra = {name: np.asarray(column, dtype=float) for name, column in columns.items() if name != "value"}
        fit = cox_time_varying(stretches.assign(**extra), covariates=list(columns))
    except AnalysisError as refused:
        return refused_row("S15", method, refused, **known)
    kind = f"hazard ratio per {_UNITS[endpoint.scale]}"
    return ratio_row("S15", method, kind, fit.term("value", confidence=confidence), confidence, known)
