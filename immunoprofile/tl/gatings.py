"""S3 under moved cuts: arms compared again in each of 32 gatings, and the answers put together."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.pp.gate_spread import gatings, under_gatings
from immunoprofile.pp.verdict import failed_rows
from immunoprofile.schema import GATE_COUNTS, UNS_COMPARE_GATINGS
from immunoprofile.tl._effects import require_columns
from immunoprofile.tl._frame import Measure, Scale, analysis_values
from immunoprofile.tl._two_arms import Contrast, Score, arms_compared, at_visits, refused_score
from immunoprofile.tl.ancova import Covariance, ancova_words, fit_contrast
from immunoprofile.tl.tipping import Pooled

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def pool_gatings(
    estimate: float, standard_error: float, residual_df: float, estimates: Floats, errors: Floats
) -> tuple[Pooled, float]:
    """Rubin's sum of the variance within and between gatings, around the estimate of the gates as placed.

    Parameters
    ----------
    estimate, standard_error, residual_df
        Of the gates as placed.
    estimates, errors
        Estimates and standard errors of the gatings.

    Returns
    -------
    Pooled
        Within is the larger of the variance of the gates as placed and the mean of the gatings, between the mean square
        of the estimates around that of the gates as placed. The gatings are a balanced design of a declared distance
        and no random draws (as in :func:`pool`), so there is no correction for their number, and the degrees of freedom
        stay. The interval is never narrower than that of the gates as placed, and the same where nothing moves.
    float
        Share of the variance that lies between the gatings, 0 to 1.

    Notes
    -----
    Rubin 1987, Multiple Imputation for Nonresponse in Surveys, chapter 3; JCGM 100:2008 (GUM) 5.1 for the propagation
    of a declared standard uncertainty.
    """
    within = max(standard_error**2, float(np.mean(errors**2)))
    between = float(np.mean((estimates - estimate) ** 2))
    return Pooled(estimate, math.sqrt(within + between), residual_df), between / (within + between)


def compare_gatings(
    adata: AnnData,
    *,
    populations: Iterable[str] | None = None,
    measure: Measure | None = None,
    visit: str | Sequence[str] | None = None,
    covariates: Sequence[str] = (),
    scale: Scale | None = None,
    reference: str | None = None,
    covariance: Covariance = "classical",
    confidence: float = 0.95,
    include_failed: bool = False,
) -> None:
    """Arms compared at a visit as in :func:`compare`, with what a cut that lies elsewhere in *all* samples would do.

    The cut of a template that is off is off in every sample of the study, which no standard error between subjects can
    show. What is off in one subject by itself is in the scatter between subjects already, and is not added again.

    Parameters
    ----------
    adata
        Visits x populations with counts under moved cuts (``obsm['gate_counts']`` and the others of a run).
    populations, measure, visit, covariates, scale, reference, covariance, confidence, include_failed
        As in :func:`compare`.

    Returns
    -------
    None; writes

    ``adata.uns['compare_gatings']``
        DataFrame with ``schema.STATISTIC_COLUMNS``, one row an endpoint x visit x arm against the reference: the
        estimate of the gates as placed, with an interval of the variance within and between the gatings
        (:func:`pool_gatings`). ``note`` has the least and most effect and p of the gatings, and the share of the
        variance that lies between them. A row without an answer says why.

    Raises
    ------
    AnalysisError
        The object holds no counts under moved cuts, or as in :func:`compare`.
    """
    chosen, arms = arms_compared(adata, populations, measure, scale, reference)
    require_columns(adata, covariates)
    gatings(adata, GATE_COUNTS)
    gated = [one for one in chosen if one.measure != "functional"]
    # A tube that failed did so whatever its cuts are: asked once, not for every gating.
    lost = {one: not include_failed and failed_rows(adata, one.population, measure=one.measure) for one in gated}
    moved = [
        {one: np.where(lost[one], np.nan, analysis_values(gating, one, include_failed=True)) for one in gated}
        for gating in under_gatings(adata)
    ]

    def score(contrast: Contrast) -> Score:
        own = [values[contrast.endpoint] for values in moved] if contrast.endpoint in moved[0] else None
        return _score(contrast, own, covariance=covariance, confidence=confidence)

    adata.uns[UNS_COMPARE_GATINGS] = at_visits(
        adata, chosen, arms, score, visit=visit, method_id="S3", confidence=confidence, include_failed=include_failed,
        covariates=covariates,
    )  # fmt: skip


def _score(contrast: Contrast, moved: list[Floats] | None, *, covariance: Covariance, confidence: float) -> Score:
    method, notes = ancova_words(contrast, covariance), (contrast.zero_note(), contrast.methods_note())
    try:
        if moved is None:
            raise AnalysisError("a functional readout has no gates", where=contrast.endpoint.population)
        method += f", {len(moved)} gatings put together"
        contrast.zero_note(refuse=True)
        _require_known(contrast, moved)
        plain = _fit(contrast, covariance)
        fits = np.array([_fit(replace(contrast, values=values), covariance) for values in moved])
    except AnalysisError as refused:
        return refused_score(refused, method, *notes)
    found, between = pool_gatings(*plain, fits[:, 0], fits[:, 1])
    effects = [contrast.endpoint.back(float(value)) for value in fits[:, 0]]
    p_values = [Pooled(*(float(number) for number in fit)).interval()[3] for fit in fits]
    envelope = (
        f"{contrast.endpoint.effect_kind} of the gatings {min(effects):.3g} to {max(effects):.3g}, "
        f"p {min(p_values):.2g} to {max(p_values):.2g}; {between:.1%} of the variance lies between them"
    )
    return Score(found.interval(confidence=confidence), method, (*notes, envelope, f"residual df {found.df:g}"))


def _fit(contrast: Contrast, covariance: Covariance) -> tuple[float, float, float]:
    """Estimate, standard error and degrees of freedom of one gating."""
    fit = fit_contrast(contrast, covariance)
    place = fit.names.index(f"arm[{contrast.arm}]")
    return float(fit.coefficients[place]), float(fit.standard_errors[place]), float(fit.residual_df)


def _require_known(contrast: Contrast, moved: list[Floats]) -> None:
    """Refuse an endpoint whose value under moved cuts is not known in every row that takes part."""
    lost = int(np.isnan(np.array([values[contrast.rows] for values in moved])).any(axis=0).sum())
    if lost:
        raise AnalysisError(f"what moved cuts do to it is not known in {lost} of {len(contrast.rows)} rows",
                            where=contrast.endpoint.population)  # fmt: skip
