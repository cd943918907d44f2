"""Sensitivity to missed visits: delta-adjusted multiple imputation, and where the conclusion tips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import UNS_TIPPING_POINT
from immunoprofile.tl._effects import UNKNOWN, effect_row, joined, left_out
from immunoprofile.tl._enough import require_subjects
from immunoprofile.tl._frame import (
    Endpoint,
    Measure,
    Scale,
    analysis_values,
    pairs,
    statistic_table,
    wanted_visits,
)
from immunoprofile.tl._two_arms import arms_compared
from immunoprofile.tl.ancova import ancova
from immunoprofile.tl.mmrm import later_visits
from immunoprofile.tl.reml import Reml, fit_reml

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

SIGNIFICANCE = 0.05
DEFAULT_STEPS = 9
DEFAULT_REACH = 2.0
"""By default imputed patients lose up to this multiple of the estimated effect."""

WHERE = "multiple imputation"


class Pooled(NamedTuple):
    """Estimate over imputations, its standard error and degrees of freedom."""

    estimate: float
    standard_error: float
    df: float

    def interval(self, *, confidence: float = 0.95) -> tuple[float, float, float, float]:
        """Estimate, lower and upper limit, two-sided p by the t distribution."""
        from scipy.special import stdtr, stdtrit

        half = float(stdtrit(self.df, 0.5 + confidence / 2)) * self.standard_error
        p_value = 2 * float(stdtr(self.df, -abs(self.estimate) / self.standard_error))
        return self.estimate, self.estimate - half, self.estimate + half, p_value


def pool(estimates: ArrayLike, variances: ArrayLike, *, complete_df: float) -> Pooled:
    """Combine an estimate over imputed data sets.

    Parameters
    ----------
    estimates, variances
        Of each imputed data set; variances are squared standard errors.
    complete_df
        Degrees of freedom that the analysis has when nothing is missing.

    Raises
    ------
    AnalysisError
        Fewer than two imputations.

    Notes
    -----
    Rubin 1987, Multiple Imputation for Nonresponse in Surveys; degrees of freedom of Barnard and Rubin 1999, Biometrika
    86:948. Without variation between imputations they are those of the complete data.
    """
    found, within = np.asarray(estimates, dtype=np.float64), float(np.mean(np.asarray(variances, dtype=np.float64)))
    m = len(found)
    if m < 2:
        raise AnalysisError(f"{m} imputations, at least 2 are needed", where=WHERE)
    between = (1 + 1 / m) * float(found.var(ddof=1))
    total = within + between
    share = between / total
    df = float(complete_df)
    if share > 1e-12:
        seen = (df + 1) / (df + 3) * df * (1 - share)
        df = 1 / (share**2 / (m - 1) + 1 / seen)
    return Pooled(float(found.mean()), math.sqrt(total), df)


@dataclass(frozen=True)
class _Wide:
    """Subjects of two arms with a baseline: values at the visits (NaN where missed)."""

    baseline: Floats
    treated: NDArray[np.bool_]
    values: Floats


@dataclass(frozen=True)
class _Options:
    deltas: tuple[float, ...] | None
    imputations: int
    seed: int
    confidence: float


def tipping_point(
    adata: AnnData,
    *,
    populations: Iterable[str] | None = None,
    measure: Measure | None = None,
    visit: str | None = None,
    scale: Scale | None = None,
    reference: str | None = None,
    deltas: Sequence[float] | None = None,
    imputations: int = 50,
    seed: int = 2020,
    confidence: float = 0.95,
    include_failed: bool = False,
) -> None:
    """Analysis of covariance after multiple imputation, with imputed values of the arm made worse step by step.

    Parameters
    ----------
    adata
        Visits x populations with percentages (and cells/uL).
    populations, measure, scale
        As in :func:`change`.
    visit
        The visit of the comparison; default is the primary visit of the study.
    reference
        Reference arm; default is that of the study.
    deltas
        What is added to the imputed values of the other arm, on the analysis scale. Default: nine steps from 0 to minus
        twice the estimate at 0.
    imputations
        Imputed data sets, at least 2.
    seed
        Of the random draws: the same seed gives the same table, and all deltas share the draws.
    confidence
        Coverage of the interval.
    include_failed
        Keep rows whose quality failed.

    Returns
    -------
    None; writes

    ``adata.uns['tipping_point']``
        DataFrame with ``schema.STATISTIC_COLUMNS``, one row an endpoint x arm x delta; delta 0 is missing at random.
        ``note`` has the number of imputed values and the first delta at which p is no longer below 0.05. A refused
        analysis says why.

    Raises
    ------
    AnalysisError
        Populations, visits or arms do not fit the object; fewer than two imputations.

    Notes
    -----
    Values are drawn from the model of :func:`mmrm` given baseline, arm and the visits that the patient attended, its
    parameters from their approximate posterior (normal effects, inverse Wishart covariance). Carpenter, Roger and
    Kenward 2013, J Biopharm Stat 23:1352.
    """
    chosen, arms = arms_compared(adata, populations, measure, scale, reference)
    if imputations < 2:
        raise AnalysisError(f"{imputations} imputations, at least 2 are needed", where="imputations")
    (name,) = wanted_visits(adata, visit)
    if name not in later_visits(adata):
        raise AnalysisError(f"{name} is no scheduled visit after baseline", where="visit",
                            todo=f"one of: {', '.join(later_visits(adata))}")  # fmt: skip
    chosen_deltas = None if deltas is None else tuple(float(delta) for delta in deltas)
    options = _Options(chosen_deltas, imputations, seed, confidence)
    rows: list[dict[str, Any]] = []
    for endpoint in chosen:
        values = analysis_values(adata, endpoint, include_failed=include_failed)
        for pair in arms:
            rows += _rows(adata, endpoint, values, (name, *pair), options)
    adata.uns[UNS_TIPPING_POINT] = statistic_table(rows)


def _wide(adata: AnnData, values: Floats, names: list[str], arms: tuple[str, str]) -> tuple[_Wide, int]:
    """Values by subject and visit, and how many subjects have no usable baseline."""
    flagged = adata.obs["baseline_flag"].fillna(value=False).to_numpy(dtype=bool)
    subjects = adata.obs["usubjid"].astype(str).to_numpy(dtype=str)
    labels = adata.obs["arm"].astype(str).to_numpy(dtype=str)
    of_arms = np.isin(labels, arms)
    start = {subjects[row]: row for row in np.flatnonzero(flagged & of_arms) if not np.isnan(values[row])}
    order = sorted(start)
    place = {name: index for index, name in enumerate(order)}
    table = np.full((len(order), len(names)), np.nan)
    for column, name in enumerate(names):
        matched = pairs(adata, name)
        for subject, row in zip(matched.subjects, matched.visit, strict=True):
            if subject in place:
                table[place[subject], column] = values[row]
    rows = np.array([start[name] for name in order], dtype=np.intp)
    wide = _Wide(values[rows], labels[rows] == arms[0], table)
    return wide, len(set(subjects[of_arms])) - len(order)


def _design(wide: _Wide) -> Floats:
    """Fixed effects of every subject at every visit (subjects, visits, terms): visit, arm x visit, baseline x visit."""
    subjects, visits = wide.values.shape
    same = np.broadcast_to(np.eye(visits), (subjects, visits, visits))
    start = wide.baseline - wide.baseline.mean()
    return np.concatenate([same, wide.treated[:, None, None] * same, start[:, None, None] * same], axis=2)


def _fit(wide: _Wide) -> Reml:
    design = _design(wide)
    subject, visit = np.nonzero(~np.isnan(wide.values))
    require_subjects(len(np.unique(subject)), design.shape[2], where=WHERE)
    names = [f"x{index}" for index in range(design.shape[2])]
    return fit_reml(subject, visit, design[subject, visit], outcome=wide.values[subject, visit], names=names)


def _draws(wide: _Wide, fit: Reml, options: _Options) -> Floats:
    """Completed values (imputations, subjects, visits)."""
    from scipy.stats import invwishart

    rng = np.random.default_rng(options.seed)
    design, visits = _design(wide), wide.values.shape[1]
    # each visit spends three parameters (its mean, the arm, the baseline) on its residuals
    df = max(fit.subjects - 3, visits + 2)
    missing = np.isnan(wide.values)
    incomplete = np.flatnonzero(missing.any(axis=1))
    completed = np.repeat(wide.values[None], options.imputations, axis=0)
    for number in range(options.imputations):
        drawn = invwishart.rvs(df, df * fit.visit_covariance, random_state=rng)
        covariance = np.asarray(drawn, dtype=np.float64).reshape(visits, visits)
        effects = rng.multivariate_normal(fit.coefficients, fit.covariance)
        noise = rng.standard_normal((len(incomplete), visits))
        for row, deviates in zip(incomplete, noise, strict=True):
            unknown, known = missing[row], ~missing[row]
            mean = design[row] @ effects
            slope = np.linalg.solve(covariance[np.ix_(known, known)], covariance[np.ix_(known, unknown)]).T
            spread = covariance[np.ix_(unknown, unknown)] - slope @ covariance[np.ix_(known, unknown)]
            centre = mean[unknown] + slope @ (wide.values[row, known] - mean[known])
            completed[number, row, unknown] = centre + np.linalg.cholesky(spread) @ deviates[unknown]
    return completed


def _compare(wide: _Wide, outcomes: Floats, shift: NDArray[np.bool_], delta: float) -> Pooled:
    """Pooled ANCOVA at one visit; ``outcomes`` is (imputations, subjects)."""
    labels = np.where(wide.treated, "treated", "reference")
    fits = [
        ancova(outcome + delta * shift - wide.baseline, wide.baseline, labels, reference="reference")
        for outcome in outcomes
    ]
    index = fits[0].names.index("arm[treated]")
    return pool(
        [fit.coefficients[index] for fit in fits], [fit.standard_errors[index] ** 2 for fit in fits],
        complete_df=fits[0].residual_df,
    )  # fmt: skip


def _rows(
    adata: AnnData, endpoint: Endpoint, values: Floats, place: tuple[str, str, str], options: _Options
) -> list[dict[str, Any]]:
    visit, arm, reference = place
    names = later_visits(adata)
    wide, without = _wide(adata, values, names, (arm, reference))
    column = names.index(visit)
    # a visit that nobody of an arm attended has no mean of that arm to draw from
    seen = ~np.isnan(wide.values)
    kept = [c for c in range(len(names)) if min(seen[wide.treated, c].sum(), seen[~wide.treated, c].sum()) >= 2]
    common = {
        "method_id": "S3",
        "method": f"ANCOVA after multiple imputation ({options.imputations}), imputed values shifted by delta",
        "visit": visit,
        "arm": arm,
        "n": int(wide.treated.sum()),
        "n_reference": int((~wide.treated).sum()),
        "exclusions": left_out(without, "without a usable baseline"),
    }
    try:
        if column not in kept:
            raise AnalysisError(f"fewer than two values of {visit} in an arm", where=WHERE)
        wide = _Wide(wide.baseline, wide.treated, wide.values[:, kept])
        missing = np.isnan(wide.values[:, kept.index(column)])
        outcomes = _draws(wide, _fit(wide), options)[:, :, kept.index(column)]
        shift = missing & wide.treated
        plain = _compare(wide, outcomes, shift, 0.0)
        deltas = options.deltas
        if deltas is None:
            deltas = tuple(float(d) for d in np.linspace(0, -DEFAULT_REACH * plain.estimate, DEFAULT_STEPS))
        effects = [_compare(wide, outcomes, shift, delta).interval(confidence=options.confidence) for delta in deltas]
    except AnalysisError as refused:
        contrast = f"{arm} - {reference}, {visit} - baseline"
        return [effect_row(endpoint, UNKNOWN, confidence=options.confidence, contrast=contrast,
                           note=f"refused: {refused.what}", **common)]  # fmt: skip
    note = joined(
        f"{int((missing & wide.treated).sum())} values of {arm} and {int((missing & ~wide.treated).sum())} of "
        f"{reference} imputed",
        _verdict(deltas, [effect[3] for effect in effects]),
    )
    return [
        effect_row(endpoint, effect, confidence=options.confidence, note=note,
                   contrast=f"{arm} - {reference}, {visit} - baseline, delta {delta:.4g}", **common)
        for delta, effect in zip(deltas, effects, strict=True)
    ]  # fmt: skip


def _verdict(deltas: tuple[float, ...], p_values: list[float]) -> str:
    """From the smallest shift outwards, the first at which significance is lost."""
    walk = sorted(zip(deltas, p_values, strict=True), key=lambda pair: abs(pair[0]))
    if not walk or walk[0][1] >= SIGNIFICANCE:
        return "not significant before any shift: nothing to tip"
    lost = next((delta for delta, p_value in walk if p_value >= SIGNIFICANCE), None)
    return f"p below 0.05 up to delta {walk[-1][0]:.4g}" if lost is None else f"tips at delta {lost:.4g}"
