"""S1, S2: change from baseline inside an arm."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.schema import UNS_CHANGE, UNS_CHANGE_T
from immunoprofile.tl._effects import UNKNOWN, require_confidence, varies
from immunoprofile.tl._enough import LEAST_RESIDUAL_DF
from immunoprofile.tl._frame import Measure, Scale, arm_names, endpoints
from immunoprofile.tl._two_arms import Contrast, Score, at_visits
from immunoprofile.tl.ranks import hodges_lehmann, signed_rank, smallest_signed_rank_p

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from anndata import AnnData

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
        pseudo-median of the differences on the analysis scale, ``effect`` back-transformed. ``method`` says whether p
        is exact or, with more than 500 pairs, by saddlepoint (:func:`signed_rank`). ``note`` tells zero differences
        that were left out, and when no p below 0.05 is possible.

    Raises
    ------
    AnalysisError
        Populations, visits or baselines do not fit the object.

    Notes
    -----
    A change inside an arm is no effect of treatment: patients enrolled when sick regress to the mean. Compare arms with
    :func:`compare`. Method S1: Hollander and Wolfe, Nonparametric Statistical Methods.
    """
    require_confidence(confidence)
    adata.uns[UNS_CHANGE] = at_visits(
        adata, endpoints(adata, populations, measure, scale), [(arm, "") for arm in arm_names(adata)],
        partial(score_signed_rank, confidence=confidence), visit=visit, method_id="S1", confidence=confidence,
        include_failed=include_failed,
    )  # fmt: skip


def score_signed_rank(contrast: Contrast, *, confidence: float = 0.95) -> Score:
    """Pseudo-median and exact test of the changes inside an arm."""
    differences = contrast.changes
    found, test = hodges_lehmann(differences, confidence=confidence), signed_rank(differences)
    return Score(
        (found.estimate, found.lower, found.upper, test.p_value),
        f"Wilcoxon signed rank, {test.method}; Hodges-Lehmann",
        (_note(len(differences), test.n, test.n_zero), contrast.methods_note(), contrast.zero_note()),
        found.conf_level,
    )  # fmt: skip


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
    adata.uns[UNS_CHANGE_T] = at_visits(
        adata, endpoints(adata, populations, measure, "log2"), [(arm, "") for arm in arm_names(adata)],
        partial(score_t, confidence=confidence), visit=visit, method_id="S2", confidence=confidence,
        include_failed=include_failed,
    )  # fmt: skip


def score_t(contrast: Contrast, *, confidence: float = 0.95) -> Score:
    """Mean change inside an arm with the paired t test."""
    from scipy.stats import ttest_rel

    changes, effect, words = contrast.changes, UNKNOWN, ""
    if (n := len(changes)) - 1 < LEAST_RESIDUAL_DF:
        words = f"refused: {n} subjects leave {n - 1} degrees of freedom, fewer than {LEAST_RESIDUAL_DF}"
    elif not varies(changes, contrast.start, contrast.end):
        words = "refused: the changes do not vary"
    else:
        test = ttest_rel(contrast.end, contrast.start)
        interval = test.confidence_interval(confidence_level=confidence)
        effect = (float(np.mean(changes)), float(interval.low), float(interval.high), float(test.pvalue))
    return Score(effect, "paired t test on log2", (words, contrast.methods_note(), contrast.zero_note()))


def _note(subjects: int, n: int, n_zero: int) -> str:
    if subjects == 0:
        return "no subject with a baseline and a value at this visit"
    notes = []
    if n_zero:
        notes.append(
            f"estimate and interval of all {subjects}, {n_zero} of them without a change; p tests whether the {n} that "
            "changed rose as often and as far as they fell"
        )
    smallest = smallest_signed_rank_p(n)
    if n and smallest >= SIGNIFICANCE:
        notes.append(f"n = {n}: smallest possible p is {smallest:g}, p < {SIGNIFICANCE:g} cannot be reached")
    return "; ".join(notes)
