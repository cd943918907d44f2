"""S9: who leads? Populations and CMV-DNA inside subjects, one shifted against the other by a visit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import UNS_ASSOCIATE_LAGGED
from immunoprofile.tl._effects import effect_row, joined, left_out
from immunoprofile.tl._frame import NAN, Endpoint, Measure, Scale, analysis_values, endpoints, statistic_table
from immunoprofile.tl.association import (
    adjusted_for,
    arm_labels,
    at_bound,
    cmv_bounds,
    first_series,
    repeated_correlation,
)
from immunoprofile.tl.multiplicity import adjust

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def associate_lagged(
    adata: AnnData,
    *,
    populations: Iterable[str] | None = None,
    measure: Measure | None = None,
    scale: Scale | None = None,
    lags: Sequence[int] = (-1, 0, 1),
    confidence: float = 0.95,
    include_failed: bool = False,
) -> None:
    """Repeated-measures correlation of populations with CMV-DNA of an earlier, the same or a later visit.

    Parameters
    ----------
    adata
        Visits x populations with CMV-DNA as for :func:`associate`, and ``obs['visitnum']``.
    populations, measure, scale, confidence, include_failed
        As in :func:`change`.
    lags
        Visits of the schedule by which CMV-DNA comes after the population: 1 takes the population of the visit before
        the CMV-DNA result, -1 that of the visit after it. A subject who missed the neighbouring visit makes no pair.

    Returns
    -------
    None; writes

    ``adata.uns['associate_lagged']``
        DataFrame with ``schema.STATISTIC_COLUMNS``, one row an endpoint x lag: ``estimate`` and ``effect`` are the
        correlation within subjects after the means of arm x visit are taken out; ``p_adjusted`` is corrected by
        Benjamini-Hochberg over the lags of the endpoint (``family``). A refused lag says why.

    Raises
    ------
    AnalysisError
        The object has no CMV-DNA results, or they are in different units; a lag is no whole number or stands twice.

    Notes
    -----
    A lead in time is no cause. Censored results stand at their bound. Unscheduled visits take no part.
    """
    chosen = endpoints(adata, populations, measure, scale)
    shifts = [int(lag) for lag in lags]
    if not shifts or len(set(shifts)) < len(shifts) or shifts != list(lags):
        raise AnalysisError(f"lags {list(lags)} are not different whole numbers", where="lags")
    virus, censored = at_bound(*cmv_bounds(adata))
    virus = np.where(first_series(adata), virus, np.nan)
    earlier = {lag: _partner(adata, lag) for lag in shifts}
    rows: list[dict[str, Any]] = []
    for endpoint in chosen:
        values = analysis_values(adata, endpoint, include_failed=include_failed)
        own = [_row(adata, endpoint, (lag, earlier[lag]), (values, virus, censored), confidence) for lag in shifts]
        corrected = adjust([row["p_value"] for row in own], correction="Benjamini-Hochberg")
        for row, p_adjusted in zip(own, corrected, strict=True):
            row["family"] = f"lags of {endpoint.population} {endpoint.measure}"
            if not math.isnan(p_adjusted):
                row |= {"p_adjusted": float(p_adjusted), "adjusted": "Benjamini-Hochberg"}
        rows += own
    adata.uns[UNS_ASSOCIATE_LAGGED] = statistic_table(rows)


def _partner(adata: AnnData, lag: int) -> NDArray[np.intp]:
    """For every row the row of the same subject ``lag`` visits of the schedule before, -1 where there is none."""
    visit = adata.obs["visit"].astype(str).to_numpy(dtype=str)
    number = adata.obs["visitnum"].to_numpy(dtype=float)
    scheduled = ~np.char.startswith(visit, "UNS")
    names = sorted(set(visit[scheduled]), key=lambda name: (float(number[visit == name].min()), name))
    place = {name: index for index, name in enumerate(names)}
    subjects = adata.obs["usubjid"].astype(str).to_numpy(dtype=str)
    rows: dict[tuple[str, int], int] = {}
    for row in np.flatnonzero(scheduled):
        key = (subjects[row], place[visit[row]])
        if key in rows:
            raise AnalysisError(
                f"subject {subjects[row]} has two rows of visit {visit[row]}", where="obs usubjid, visit"
            )
        rows[key] = int(row)
    return np.array(
        [rows.get((who, place[when] - lag), -1) if when in place else -1
         for who, when in zip(subjects, visit, strict=True)],
        dtype=np.intp,
    )  # fmt: skip


def _row(
    adata: AnnData,
    endpoint: Endpoint,
    shift: tuple[int, NDArray[np.intp]],
    data: tuple[Floats, Floats, NDArray[np.bool_]],
    confidence: float,
) -> dict[str, Any]:
    lag, partner = shift
    values, virus, censored = data
    paired = np.where(partner >= 0, values[partner], np.nan)
    known = ~np.isnan(virus)
    arms, known_arm = arm_labels(adata)
    measured = known & ~np.isnan(paired)
    used = measured & known_arm
    subjects = adata.obs["usubjid"].astype(str).to_numpy(dtype=str)[used]
    visits = adata.obs["visit"].astype(str).to_numpy(dtype=str)[used]
    numbers, n = (NAN, NAN, NAN, NAN), int(used.sum())
    at_limit = int((used & censored).sum())
    notes = []
    try:
        found = repeated_correlation(
            subjects, paired[used], virus[used], adjust=visits, arm=arms[used], confidence=confidence
        )
        numbers, n = (found.r, found.lower, found.upper, found.p_value), found.n
        notes.append(f"{found.subjects} subjects, df {found.df}; {found.words}")
    except AnalysisError as refused:
        notes.append(f"refused: {refused.what}")
    if at_limit:
        notes.append(f"{at_limit} CMV-DNA results censored, taken at their bound")
    apart = f"{abs(lag)} visit{'s' if abs(lag) > 1 else ''}"
    place = "same visit" if lag == 0 else f"population {apart} {'before' if lag > 0 else 'after'} CMV-DNA"
    return effect_row(
        endpoint,
        numbers,
        confidence=confidence,
        method_id="S9",
        method=f"repeated-measures correlation with log10 CMV-DNA, shifted, adjusted for {adjusted_for(arms)}",
        contrast=f"within subjects, {place}",
        visit="all",
        arm="all",
        n=n,
        effect_kind="correlation",
        effect=numbers[0],
        effect_lower=numbers[1],
        effect_upper=numbers[2],
        exclusions=joined(
            left_out(int((known & ~measured).sum()), "CMV-DNA results without a value of the population there"),
            left_out(int((measured & ~known_arm).sum()), "rows without an arm"),
        ),
        note=joined(*notes, "association, not cause"),
    )
