"""S4: arms compared at one visit by ranks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import UNS_COMPARE_RANKS
from immunoprofile.tl._effects import UNKNOWN, varies
from immunoprofile.tl._enough import LEAST_IN_AN_ARM, require_subjects
from immunoprofile.tl._frame import NAN, Measure, Scale
from immunoprofile.tl._two_arms import Contrast, Score, arms_compared, at_visits
from immunoprofile.tl.ranks import rank_sum, rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

SMALL_ARM = 10
"""With fewer subjects in an arm the baseline is taken into account by rank ANCOVA."""


class RankAncova(NamedTuple):
    """Quade's test: F statistic, its degrees of freedom, p."""

    statistic: float
    df_arms: int
    df_residual: int
    p_value: float


def rank_ancova(outcome: ArrayLike, baseline: ArrayLike, arm: Sequence[str] | NDArray[np.str_]) -> RankAncova:
    """Rank analysis of covariance: arms compared with the baseline taken into account.

    Parameters
    ----------
    outcome, baseline
        One number a subject, nothing missing; outcome is the value at the visit.
    arm
        Arm of each subject; two or more arms.

    Raises
    ------
    AnalysisError
        One arm, fewer than 3 residual degrees of freedom, or ranks that the baseline explains completely.

    Notes
    -----
    Quade 1967, J Am Stat Assoc 62:1187. Ranks of the outcome (of all subjects, ties share their mean rank) are
    regressed on ranks of the baseline; the residuals are compared between arms by one-way analysis of variance.
    """
    from scipy.special import fdtrc
    from scipy.stats import rankdata

    arms = np.asarray(arm, dtype=str)
    levels, member = np.unique(arms, return_inverse=True)
    if len(levels) < 2:
        raise AnalysisError(f"two arms are needed, found: {', '.join(levels) or 'none'}", where="rank ANCOVA")
    # one parameter more than the arms: the slope on the baseline is estimated as well
    df_residual = require_subjects(len(arms), len(levels) + 1, where="rank ANCOVA") + 1
    y, x = (rankdata(rounded(values)[0]) - (len(arms) + 1) / 2 for values in (outcome, baseline))
    spread = float(x @ x)
    residuals = y - x * (float(x @ y) / spread if spread > 0 else 0.0)
    sizes = np.bincount(member)
    between = float((np.bincount(member, residuals) ** 2 / sizes).sum())
    within = float(residuals @ residuals) - between
    if within <= 1e-12 * max(float(y @ y), 1.0):
        raise AnalysisError("the ranks leave no residual variation", where="rank ANCOVA")
    df_arms = len(levels) - 1
    statistic = (between / df_arms) / (within / df_residual)
    return RankAncova(statistic, df_arms, df_residual, float(fdtrc(df_arms, df_residual, statistic)))


def compare_ranks(
    adata: AnnData,
    *,
    populations: Iterable[str] | None = None,
    measure: Measure | None = None,
    visit: str | Sequence[str] | None = None,
    scale: Scale | None = None,
    reference: str | None = None,
    confidence: float = 0.95,
    include_failed: bool = False,
) -> None:
    """Changes from baseline compared between arms by ranks: Hodges-Lehmann shift with the rank-sum interval and test.

    Parameters
    ----------
    adata
        Visits x populations with percentages (and cells/uL).
    populations, measure, visit, scale, include_failed
        As in :func:`change`.
    reference
        Reference arm; default is that of the study.
    confidence
        Wanted confidence; ``conf_level`` holds what the exact distribution gives.

    Returns
    -------
    None; writes

    ``adata.uns['compare_ranks']``
        DataFrame with ``schema.STATISTIC_COLUMNS``, one row an endpoint x visit x arm against the reference.
        ``estimate`` is the Hodges-Lehmann shift of the changes. With 10 or more subjects in both arms ``p_value`` is of
        the rank sum; with fewer it is of the rank ANCOVA (which uses the baseline), and ``note`` has that of the rank
        sum, to which the interval belongs.

    Raises
    ------
    AnalysisError
        Populations, visits or arms do not fit the object.

    Notes
    -----
    Hollander and Wolfe, Nonparametric Statistical Methods; :func:`rank_ancova`.
    """
    chosen, arms = arms_compared(adata, populations, measure, scale, reference)
    adata.uns[UNS_COMPARE_RANKS] = at_visits(
        adata, chosen, arms, partial(score_ranks, confidence=confidence), visit=visit, method_id="S4",
        confidence=confidence, include_failed=include_failed,
    )  # fmt: skip


def score_ranks(contrast: Contrast, *, confidence: float = 0.95) -> Score:
    """Rank sum, and rank ANCOVA where an arm is small."""
    method = "Wilcoxon rank sum; Hodges-Lehmann"
    changes, in_arm = contrast.changes, contrast.labels == contrast.arm
    remarks = (contrast.methods_note(), contrast.zero_note())
    n, n_reference = int(in_arm.sum()), int((~in_arm).sum())
    if min(n, n_reference) < LEAST_IN_AN_ARM:
        words = f"refused: {n} and {n_reference} subjects, {LEAST_IN_AN_ARM} are needed in each arm"
        return Score(UNKNOWN, method, (words, *remarks), NAN)
    if not varies(changes, contrast.start, contrast.end):
        return Score(UNKNOWN, method, ("refused: the changes do not vary", *remarks), NAN)
    found = rank_sum(changes[in_arm], changes[~in_arm], confidence=confidence)
    effect, words = (found.shift, found.lower, found.upper, found.p_value), ""
    if min(n, n_reference) < SMALL_ARM:
        try:
            quade = rank_ancova(contrast.end, contrast.start, contrast.labels)
            effect = (*effect[:3], quade.p_value)
            method = "rank ANCOVA (Quade); Hodges-Lehmann"
            words = (f"rank sum p {found.p_value:.4g}; F({quade.df_arms}, {quade.df_residual}) "
                     f"{quade.statistic:.4g}")  # fmt: skip
        except AnalysisError as refused:
            words = f"rank sum, because rank ANCOVA is refused: {refused.what}"
    return Score(effect, method, (words, *remarks), found.conf_level)
