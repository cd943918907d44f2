"""S4: arms compared at one visit by ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import UNS_COMPARE_RANKS
from immunoprofile.tl._effects import UNKNOWN, effect_row, joined, left_out
from immunoprofile.tl._enough import LEAST_IN_AN_ARM, require_subjects
from immunoprofile.tl._frame import (
    NAN,
    Endpoint,
    Measure,
    Pairs,
    Scale,
    analysis_values,
    arm_order,
    baseline_name,
    endpoints,
    median,
    methods_note,
    natural_values,
    pairs,
    statistic_table,
    wanted_visits,
    zero_note,
)
from immunoprofile.tl.ranks import rank_sum

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

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
    y, x = (rankdata(values) - (len(arms) + 1) / 2 for values in (outcome, baseline))
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
    chosen = endpoints(adata, populations, measure, scale)
    reference_arm, others = arm_order(adata, reference)
    if not others:
        raise AnalysisError("there is one arm only", where="obs arm", todo="use tl.change")
    rows = []
    for name in wanted_visits(adata, visit):
        matched = pairs(adata, name)
        for endpoint in chosen:
            values = analysis_values(adata, endpoint, include_failed=include_failed)
            rows += [_row(adata, endpoint, matched, (name, arm, reference_arm), values, confidence) for arm in others]
    adata.uns[UNS_COMPARE_RANKS] = statistic_table(rows)


def _row(
    adata: AnnData,
    endpoint: Endpoint,
    matched: Pairs,
    place: tuple[str, str, str],
    values: Floats,
    confidence: float,
) -> dict[str, Any]:
    visit, arm, reference = place
    start, end = values[matched.baseline], values[matched.visit]
    natural = natural_values(adata, endpoint)
    either = np.isin(matched.arms, [arm, reference])
    used = either & ~np.isnan(start) & ~np.isnan(end)
    in_arm, in_reference = used & (matched.arms == arm), used & (matched.arms == reference)
    n, n_reference = int(in_arm.sum()), int(in_reference.sum())
    effect, conf_level, notes = UNKNOWN, NAN, []
    method = "Wilcoxon rank sum; Hodges-Lehmann"
    if min(n, n_reference) < LEAST_IN_AN_ARM:
        notes.append(f"refused: {n} and {n_reference} subjects, {LEAST_IN_AN_ARM} are needed in each arm")
    else:
        found = rank_sum((end - start)[in_arm], (end - start)[in_reference], confidence=confidence)
        effect, conf_level = (found.shift, found.lower, found.upper, found.p_value), found.conf_level
        if min(n, n_reference) < SMALL_ARM:
            try:
                quade = rank_ancova(end[used], start[used], matched.arms[used])
                effect = (*effect[:3], quade.p_value)
                method = "rank ANCOVA (Quade); Hodges-Lehmann"
                notes.append(f"rank sum p {found.p_value:.4g}; F({quade.df_arms}, {quade.df_residual}) "
                             f"{quade.statistic:.4g}")  # fmt: skip
            except AnalysisError as refused:
                notes.append(f"rank sum, because rank ANCOVA is refused: {refused.what}")
    rows = np.concatenate([matched.baseline[used], matched.visit[used]])
    notes += [methods_note(adata, endpoint, matched.visit[used]), zero_note(adata, endpoint, rows)]
    return effect_row(
        endpoint,
        effect,
        confidence=confidence,
        method_id="S4",
        method=method,
        contrast=f"{arm} - {reference}, {visit} - {baseline_name(adata, matched.baseline[used])}",
        visit=visit,
        arm=arm,
        n=n,
        n_reference=n_reference,
        median_baseline=median(natural[matched.baseline[in_arm]]),
        median_visit=median(natural[matched.visit[in_arm]]),
        median_baseline_reference=median(natural[matched.baseline[in_reference]]),
        median_visit_reference=median(natural[matched.visit[in_reference]]),
        conf_level=conf_level,
        exclusions=joined(
            *matched.exclusions(arm, reference), left_out(int((either & ~used).sum()), "without a usable value")
        ),
        note=joined(*notes),
    )
