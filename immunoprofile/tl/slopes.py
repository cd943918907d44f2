"""S6: courses of subjects over time, by a linear mixed model with random intercepts and slopes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import UNS_COMPARE_SLOPES
from immunoprofile.tl._effects import UNKNOWN, effect_row, joined, left_out
from immunoprofile.tl._enough import require_rows, require_subjects
from immunoprofile.tl._frame import (
    Endpoint,
    Measure,
    Scale,
    analysis_values,
    methods_note,
    statistic_table,
    wanted_visits,
)
from immunoprofile.tl._two_arms import arms_compared
from immunoprofile.tl.linear_mixed import WHERE, LinearMixed, fit_linear_mixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RandomEffects = Literal["slope", "intercept"]

DAYS_PER_WEEK = 7


@dataclass(frozen=True)
class _Options:
    random: RandomEffects
    confidence: float


def compare_slopes(
    adata: AnnData,
    *,
    populations: Iterable[str] | None = None,
    measure: Measure | None = None,
    visits: Sequence[str] | None = None,
    scale: Scale | None = None,
    reference: str | None = None,
    random: RandomEffects = "slope",
    confidence: float = 0.95,
    include_failed: bool = False,
) -> None:
    """Slopes of time compared between arms: value ~ week + arm + arm x week, with an own course of each subject.

    Parameters
    ----------
    adata
        Visits x populations with percentages (and cells/uL) and ``obs['study_day']``.
    populations, measure, scale
        As in :func:`change`.
    visits
        Visits that take part, with the baseline; default all. A straight line fits the time on treatment at best: name
        those visits.
    reference
        Reference arm; default is that of the study.
    random
        ``slope``: each subject has its own level and slope (``note`` says where the data show no such difference);
        ``intercept``: its own level only, which makes the interval of the slope too narrow when slopes differ.
    confidence
        Coverage of the interval.
    include_failed
        Keep rows whose quality failed.

    Returns
    -------
    None; writes

    ``adata.uns['compare_slopes']``
        DataFrame with ``schema.STATISTIC_COLUMNS``, one row an endpoint x arm against the reference: ``estimate`` is
        the difference of the slopes a week on the analysis scale, ``effect`` back-transformed (ratio of the weekly fold
        changes or odds). ``note`` has the slope of the reference, random effects and degrees of freedom. A refused
        analysis says why.

    Raises
    ------
    AnalysisError
        Populations, visits or arms do not fit the object.

    Notes
    -----
    Laird and Ware 1982, Biometrics 38:963; REML. Degrees of freedom are the subjects less the fixed
    effects, which is conservative.
    """
    chosen, arms = arms_compared(adata, populations, measure, scale, reference)
    if random not in ("slope", "intercept"):
        raise AnalysisError(f"random {random!r} is not known", todo="one of: slope, intercept")
    if "study_day" not in adata.obs:
        raise AnalysisError("there is no time", where="obs study_day")
    names = None if visits is None else wanted_visits(adata, visits)
    rows = []
    for endpoint in chosen:
        values = analysis_values(adata, endpoint, include_failed=include_failed)
        for pair in arms:
            rows.append(_row(adata, endpoint, values, (names, *pair), _Options(random, confidence)))
    adata.uns[UNS_COMPARE_SLOPES] = statistic_table(rows)


def _row(
    adata: AnnData,
    endpoint: Endpoint,
    values: Floats,
    place: tuple[list[str] | None, str, str],
    options: _Options,
) -> dict[str, Any]:
    names, arm, reference = place
    labels = adata.obs["arm"].astype(str).to_numpy(dtype=str)
    weeks = adata.obs["study_day"].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan) / DAYS_PER_WEEK
    wanted = np.isin(labels, [arm, reference])
    if names is not None:
        wanted &= np.isin(adata.obs["visit"].astype(str).to_numpy(dtype=str), names)
    used = wanted & ~np.isnan(values) & ~np.isnan(weeks)
    subject = adata.obs["usubjid"].astype(str).to_numpy(dtype=str)
    treated = (labels == arm)[used].astype(np.float64)
    effect, notes = UNKNOWN, []
    try:
        fit, remark = _fit(subject[used], weeks[used], treated, values[used], options)
        df = fit.subjects - len(fit.names)
        effect = fit.term("arm:week", df=df, confidence=options.confidence)
        slope = float(fit.coefficients[fit.names.index("week")])
        notes += [f"{reference}: slope {slope:.4g} a week", remark,
                  f"{fit.subjects} subjects, {fit.n} rows, df {df} (subjects less fixed effects)"]  # fmt: skip
    except AnalysisError as refused:
        notes.append(f"refused: {refused.what}")
    notes.append(methods_note(adata, endpoint, np.flatnonzero(used)))
    return effect_row(
        endpoint,
        effect,
        confidence=options.confidence,
        method_id="S6",
        method="linear mixed model, REML, value ~ week + arm + arm x week",
        contrast=f"{arm} - {reference}, slope of time",
        visit="all" if names is None else ", ".join(names),
        arm=arm,
        n=len(set(subject[used & (labels == arm)])),
        n_reference=len(set(subject[used & (labels == reference)])),
        effect_kind=f"{endpoint.effect_kind} a week",
        exclusions=left_out(int((wanted & ~used).sum()), "rows without a usable value or a day"),
        note=joined(*notes),
    )


def _fit(
    subject: NDArray[np.str_], weeks: Floats, treated: Floats, outcome: Floats, options: _Options
) -> tuple[LinearMixed, str]:
    names = ("intercept", "arm", "week", "arm:week")
    require_subjects(len(np.unique(subject)), len(names), where=WHERE)
    require_rows(len(subject), 2, where=WHERE)
    ones = np.ones(len(weeks))
    centred = weeks - weeks.mean()
    design = np.column_stack([ones, treated, centred, treated * centred])
    random = np.column_stack([ones, centred]) if options.random == "slope" else ones[:, None]
    fit = fit_linear_mixed(subject, design, outcome, names=names, random=random)
    words = "random intercept and slope" if options.random == "slope" else "random intercept"
    return fit, words + (", one of no variance" if fit.on_border else "")
