"""S1, S2: change from baseline inside an arm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.schema import UNS_CHANGE, UNS_CHANGE_T
from immunoprofile.tl._effects import UNKNOWN, effect_row, joined, left_out, require_confidence
from immunoprofile.tl._enough import LEAST_RESIDUAL_DF
from immunoprofile.tl._frame import (
    Endpoint,
    Measure,
    Pairs,
    Scale,
    analysis_values,
    arm_names,
    baseline_name,
    endpoints,
    median,
    methods_note,
    natural_values,
    pairs,
    statistic_row,
    statistic_table,
    wanted_visits,
    zero_note,
)
from immunoprofile.tl.ranks import hodges_lehmann, signed_rank, smallest_signed_rank_p

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SIGNIFICANCE = 0.05


def change(
    adata: AnnData,
    *,
    populations: Iterable[str] | None = None,
    measure: Measure | None = None,
    visit: str | Sequence[str] | None = None,
    scale: Scale | None = None,
    confidence: float = 0.95,
    include_failed: bool = False,
) -> None:
    """Paired change from baseline within each arm: Hodges-Lehmann estimate, exact interval, exact signed-rank test.

    Parameters
    ----------
    adata
        Visits x populations with percentages (and cells/uL).
    populations, measure
        What to analyse; by default the endpoints of ``uns['study']['endpoints']``, else ``var['is_key']``. ``measure``
        is ``pct_parent`` or ``abs``.
    visit
        One or several visits; default is the primary visit of the study.
    scale
        ``logit`` (default of percentages: the effect is an odds ratio) or ``log2`` (default of cells/uL: fold change).
    confidence
        Wanted confidence; ``conf_level`` holds what the exact distribution gives.
    include_failed
        Keep rows whose quality failed.

    Returns
    -------
    None; writes

    ``adata.uns['change']``
        DataFrame with ``schema.STATISTIC_COLUMNS``, one row an endpoint x visit x arm. ``estimate`` is the
        pseudo-median of the differences on the analysis scale, ``effect`` back-transformed. ``note`` tells zero
        differences that were left out, and when no p below 0.05 is possible.

    Raises
    ------
    AnalysisError
        Populations, visits or baselines do not fit the object.

    Notes
    -----
    A change inside an arm is no effect of treatment: patients enrolled when sick regress to the mean. Compare arms with
    :func:`compare`. Method S1: Hollander and Wolfe, Nonparametric Statistical Methods.
    """
    chosen = endpoints(adata, populations, measure, scale)
    rows = []
    for name in wanted_visits(adata, visit):
        matched = pairs(adata, name)
        for endpoint in chosen:
            for arm in arm_names(adata):
                rows.append(_one(adata, endpoint, matched, (name, arm), confidence, include_failed=include_failed))
    adata.uns[UNS_CHANGE] = statistic_table(rows)


def _one(
    adata: AnnData,
    endpoint: Endpoint,
    matched: Pairs,
    place: tuple[str, str],
    confidence: float,
    *,
    include_failed: bool,
) -> dict[str, Any]:
    visit, arm = place
    values = analysis_values(adata, endpoint, include_failed=include_failed)
    natural = natural_values(adata, endpoint)
    differences = values[matched.visit] - values[matched.baseline]
    used = (matched.arms == arm) & ~np.isnan(differences)
    require_confidence(confidence)
    result = hodges_lehmann(differences[used], confidence=confidence)
    test = signed_rank(differences[used])
    return statistic_row(
        method_id="S1",
        method="Wilcoxon signed rank, exact; Hodges-Lehmann",
        population=endpoint.population,
        measure=endpoint.measure,
        contrast=f"{visit} - {baseline_name(adata, matched.baseline[used])}",
        visit=visit,
        arm=arm,
        scale=endpoint.scale,
        n=int(used.sum()),
        estimate=result.estimate,
        lower=result.lower,
        upper=result.upper,
        p_value=test.p_value,
        effect_kind=endpoint.effect_kind,
        effect=endpoint.back(result.estimate),
        effect_lower=endpoint.back(result.lower),
        effect_upper=endpoint.back(result.upper),
        median_baseline=median(natural[matched.baseline[used]]),
        median_visit=median(natural[matched.visit[used]]),
        conf_level=result.conf_level,
        adjusted="none",
        exclusions=joined(
            *matched.exclusions(arm), left_out(int(((matched.arms == arm) & ~used).sum()), "without a usable value")
        ),
        note=joined(
            _note(int(used.sum()), result.n, result.n_zero),
            methods_note(adata, endpoint, matched.visit[used]),
            zero_note(adata, endpoint, np.concatenate([matched.baseline[used], matched.visit[used]])),
        ),
    )


def change_t(
    adata: AnnData,
    *,
    populations: Iterable[str] | None = None,
    measure: Measure | None = None,
    visit: str | Sequence[str] | None = None,
    confidence: float = 0.95,
    include_failed: bool = False,
) -> None:
    """Paired t test of the change from baseline within each arm, on the log2 scale: mean fold change.

    Parameters
    ----------
    adata, populations, measure, visit, include_failed
        As in :func:`change`. Percentages and cells/uL are both analysed as log2; none found counts as half an event.
    confidence
        Coverage of the interval.

    Returns
    -------
    None; writes

    ``adata.uns['change_t']``
        DataFrame with ``schema.STATISTIC_COLUMNS``, one row an endpoint x visit x arm: ``estimate`` is the mean
        difference of log2, ``effect`` the geometric mean fold change. Refused with fewer than 3 degrees of freedom or
        without variation.

    Raises
    ------
    AnalysisError
        Populations, visits or baselines do not fit the object.
    """
    rows = []
    for name in wanted_visits(adata, visit):
        matched = pairs(adata, name)
        for endpoint in endpoints(adata, populations, measure, "log2"):
            values = analysis_values(adata, endpoint, include_failed=include_failed)
            for arm in arm_names(adata):
                rows.append(_one_t(adata, endpoint, matched, (name, arm), values, confidence))
    adata.uns[UNS_CHANGE_T] = statistic_table(rows)


def _one_t(
    adata: AnnData,
    endpoint: Endpoint,
    matched: Pairs,
    place: tuple[str, str],
    values: Floats,
    confidence: float,
) -> dict[str, Any]:
    from scipy.stats import ttest_rel

    visit, arm = place
    start, end = values[matched.baseline], values[matched.visit]
    in_arm = matched.arms == arm
    used = in_arm & ~np.isnan(start) & ~np.isnan(end)
    n, effect, notes = int(used.sum()), UNKNOWN, []
    if n - 1 < LEAST_RESIDUAL_DF:
        notes.append(f"refused: {n} subjects leave {n - 1} degrees of freedom, fewer than {LEAST_RESIDUAL_DF}")
    elif np.ptp((end - start)[used]) <= 1e-12:
        notes.append("refused: the changes do not vary")
    else:
        test = ttest_rel(end[used], start[used])
        interval = test.confidence_interval(confidence_level=confidence)
        effect = (float(np.mean((end - start)[used])), float(interval.low), float(interval.high), float(test.pvalue))
    natural = natural_values(adata, endpoint)
    return effect_row(
        endpoint,
        effect,
        confidence=confidence,
        method_id="S2",
        method="paired t test on log2",
        contrast=f"{visit} - {baseline_name(adata, matched.baseline[used])}",
        visit=visit,
        arm=arm,
        n=n,
        median_baseline=median(natural[matched.baseline[used]]),
        median_visit=median(natural[matched.visit[used]]),
        exclusions=joined(*matched.exclusions(arm), left_out(int((in_arm & ~used).sum()), "without a usable value")),
        note=joined(
            *notes,
            methods_note(adata, endpoint, matched.visit[used]),
            zero_note(adata, endpoint, np.concatenate([matched.baseline[used], matched.visit[used]])),
        ),
    )


def _note(subjects: int, n: int, n_zero: int) -> str:
    if subjects == 0:
        return "no subject with a baseline and a value at this visit"
    notes = []
    if n_zero:
        notes.append(f"{n_zero} zero difference{'s' if n_zero > 1 else ''} left out")
    smallest = smallest_signed_rank_p(n)
    if n and smallest >= SIGNIFICANCE:
        notes.append(f"n = {n}: smallest possible p is {smallest:g}, p < {SIGNIFICANCE:g} cannot be reached")
    return "; ".join(notes)
