"""S3: arms compared at one visit by analysis of covariance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import UNS_COMPARE
from immunoprofile.tl._effects import covariate_columns, fitted_without_error, require_columns, varies
from immunoprofile.tl._enough import require_in_each_arm, require_subjects
from immunoprofile.tl._frame import NAN, Measure, Scale
from immunoprofile.tl._two_arms import Contrast, Score, arms_compared, at_visits, refused_score

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Covariance = Literal["classical", "HC3"]


@dataclass(frozen=True)
class Ancova:
    """Least-squares fit of outcome ~ baseline + arm (+ covariates).

    Attributes
    ----------
    names
        Terms: ``intercept``, ``baseline``, the arms other than the reference as ``arm[...]``, covariates.
    coefficients, standard_errors
        By term, on the scale of the outcome.
    residual_df
        Residual degrees of freedom.
    adjusted_means
        Arm -> mean outcome at the mean baseline and mean covariates.
    f_arm, p_arm
        Test that no arm differs.
    """

    names: tuple[str, ...]
    coefficients: Floats
    standard_errors: Floats
    residual_df: int
    adjusted_means: dict[str, float]
    f_arm: float
    p_arm: float

    def term(self, name: str, *, confidence: float = 0.95) -> tuple[float, float, float, float]:
        """Estimate, lower and upper limit, two-sided p of a term, by the t distribution."""
        from scipy.special import stdtr, stdtrit

        index = self.names.index(name)
        estimate, error = float(self.coefficients[index]), float(self.standard_errors[index])
        half = float(stdtrit(self.residual_df, 0.5 + confidence / 2)) * error
        p_value = 2 * float(stdtr(self.residual_df, -abs(estimate) / error)) if error > 0 else NAN
        return estimate, estimate - half, estimate + half, p_value


def ancova(
    outcome: ArrayLike,
    baseline: ArrayLike,
    arm: Sequence[str] | NDArray[np.str_],
    *,
    reference: str,
    covariates: Mapping[str, ArrayLike] | None = None,
    covariance: Covariance = "classical",
) -> Ancova:
    """Analysis of covariance: outcome ~ baseline + arm (+ covariates), least squares.

    Parameters
    ----------
    outcome, baseline
        One number a subject; nothing missing. The outcome is a value or a change from baseline: the arm effects are
        the same.
    arm, reference
        Arm of each subject; effects are differences from the reference.
    covariates
        Further numeric columns.
    covariance
        ``classical``, or ``HC3`` (MacKinnon and White 1985) where the variances may differ.

    Raises
    ------
    AnalysisError
        Fewer than 3 residual degrees of freedom, an arm is missing or has one subject, the columns depend on each
        other, or the outcome is fitted without error.
    """
    if covariance not in ("classical", "HC3"):
        raise AnalysisError(f"covariance {covariance!r} is not known", todo="one of: classical, HC3")
    y, start = np.asarray(outcome, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    arms = np.asarray(arm, dtype=str)
    levels = sorted(set(arms.tolist()))
    if reference not in levels or len(levels) < 2:
        raise AnalysisError(f"two arms are needed, found: {', '.join(levels) or 'none'}", where="arm")
    others = [level for level in levels if level != reference]
    extra = {name: np.asarray(column, dtype=np.float64) for name, column in (covariates or {}).items()}
    names = ("intercept", "baseline", *(f"arm[{level}]" for level in others), *extra)
    design = np.column_stack([np.ones_like(y), start, *((arms == level).astype(float) for level in others),
                              *extra.values()])  # fmt: skip
    require_in_each_arm({level: int((arms == level).sum()) for level in levels}, where="ANCOVA")
    residual_df = require_subjects(len(y), design.shape[1], where="ANCOVA")
    centred = design - np.where(np.arange(design.shape[1]) == 0, 0, design.mean(axis=0))
    if not varies(start) or np.linalg.matrix_rank(centred) < len(names):
        raise AnalysisError("baseline, arm and covariates cannot be told apart", where="ANCOVA")
    q, r = np.linalg.qr(design)
    inverse = np.linalg.inv(r)
    coefficients = inverse @ (q.T @ y)
    residuals = y - design @ coefficients
    if fitted_without_error(y, residuals):
        raise AnalysisError("nothing varies beside baseline and arm: there is no error to judge by", where="ANCOVA")
    bread = inverse @ inverse.T
    if covariance == "HC3":
        leverage = (q**2).sum(axis=1)
        weights = (residuals / np.maximum(1 - leverage, 1e-12)) ** 2
        matrix = bread @ (design.T * weights) @ design @ bread
    else:
        matrix = bread * float(residuals @ residuals) / residual_df
    which = np.array([name.startswith("arm[") for name in names])
    f_arm, p_arm = _wald(coefficients[which], matrix[np.ix_(which, which)], residual_df)
    centre = design.mean(axis=0)
    means = {}
    for level in levels:
        point = np.where(which, [name == f"arm[{level}]" for name in names], centre)
        means[level] = float(point @ coefficients)
    return Ancova(names, coefficients, np.sqrt(np.diag(matrix)), residual_df, means, f_arm, p_arm)


def compare(
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
    """Arms compared at a visit: change from baseline ~ baseline + arm (+ covariates).

    Parameters
    ----------
    adata
        Visits x populations with percentages (and cells/uL).
    populations, measure, visit, scale
        As in :func:`change`. Percentages are analysed as logit of (n + 1/2) / (N + 1), the effect is an odds ratio;
        ``scale='log2'`` gives the fold change of the percentage instead. Cells/uL are analysed as log2.
    covariates
        Columns of ``obs``, taken from the baseline row; text becomes indicator columns. Subjects without them are left
        out and counted in ``exclusions``.
    reference
        Reference arm; default is that of the study.
    covariance
        ``classical`` or ``HC3``.
    confidence
        Coverage of the interval.
    include_failed
        Keep rows whose quality failed.

    Returns
    -------
    None; writes

    ``adata.uns['compare']``
        DataFrame with ``schema.STATISTIC_COLUMNS``, one row an endpoint x visit x arm against the reference.
        ``estimate`` is the difference of the adjusted changes on the analysis scale, ``effect`` back-transformed
        (ratio of the odds or fold changes of the two arms). ``n`` is the arm, ``n_reference`` the reference;
        medians are those of both arms in per cent or cells/uL. Where fewer than 3 residual degrees of freedom are
        left the row holds no effect and says why.

    Raises
    ------
    AnalysisError
        Populations, visits, arms or covariates do not fit the object.
    """
    chosen, arms = arms_compared(adata, populations, measure, scale, reference)
    require_columns(adata, covariates)
    adata.uns[UNS_COMPARE] = at_visits(
        adata, chosen, arms, partial(score_ancova, covariance=covariance, confidence=confidence), visit=visit,
        method_id="S3", confidence=confidence, include_failed=include_failed, covariates=covariates,
    )  # fmt: skip


def score_ancova(contrast: Contrast, *, covariance: Covariance = "classical", confidence: float = 0.95) -> Score:
    """Two arms at one visit; each contrast is fitted by itself, so that a third arm lends no variance."""
    method, notes = ancova_words(contrast, covariance), (contrast.zero_note(), contrast.methods_note())
    try:
        contrast.zero_note(refuse=True)
        fit = fit_contrast(contrast, covariance)
    except AnalysisError as refused:
        return refused_score(refused, method, *notes)
    effect = fit.term(f"arm[{contrast.arm}]", confidence=confidence)
    return Score(effect, method, (*notes, f"residual df {fit.residual_df}"))


def ancova_words(contrast: Contrast, covariance: Covariance) -> str:
    """The model of a contrast in words."""
    terms = "".join(f" + {name}" for name in contrast.covariates)
    return f"ANCOVA, change ~ baseline + arm{terms}" + (", HC3" if covariance == "HC3" else "")


def fit_contrast(contrast: Contrast, covariance: Covariance) -> Ancova:
    """`ancova` of the two arms of a contrast."""
    return ancova(
        contrast.changes, contrast.start, contrast.labels, reference=contrast.reference, covariance=covariance,
        covariates=covariate_columns(contrast.adata, contrast.matched.baseline[contrast.used], contrast.covariates),
    )  # fmt: skip


def _wald(effects: Floats, covariance: Floats, residual_df: int) -> tuple[float, float]:
    from scipy.special import fdtrc

    if np.linalg.matrix_rank(covariance) < len(effects):
        return NAN, NAN
    statistic = float(effects @ np.linalg.solve(covariance, effects)) / len(effects)
    return statistic, float(fdtrc(len(effects), residual_df, statistic))
