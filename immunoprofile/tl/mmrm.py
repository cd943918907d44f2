"""S5: arms compared over all visits by a mixed model for repeated measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.pp.baseline import baseline_rows
from immunoprofile.schema import UNS_MMRM
from immunoprofile.tl._effects import (
    UNKNOWN,
    complete_covariates,
    covariate_columns,
    difference,
    effect_row,
    fitted_without_error,
    joined,
    left_out,
    require_columns,
)
from immunoprofile.tl._enough import LEAST_IN_AN_ARM, require_rows, require_subjects
from immunoprofile.tl._frame import (
    NO_BASELINE,
    OTHER_SPECIMEN,
    Endpoint,
    Measure,
    Scale,
    analysis_values,
    methods_note,
    natural_values,
    pairs,
    statistic_table,
    wanted_visits,
)
from immunoprofile.tl._two_arms import Contrast, arms_compared, medians
from immunoprofile.tl.ancova import score_ancova
from immunoprofile.tl.covariance import STRUCTURES
from immunoprofile.tl.reml import FALLBACK, Reml, fit_reml

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from anndata import AnnData
    from numpy.typing import NDArray

    from immunoprofile.tl.covariance import StructureName

    Floats = NDArray[np.float64]


DF_PER_VISIT = 2
"""Fewest degrees of freedom at a visit (subjects less its mean, arm and baseline) for each visit of the model: with
fewer the covariance of the visits is hardly known, and the comparison at each visit says as much."""


@dataclass(frozen=True)
class _Options:
    covariates: tuple[str, ...]
    baseline_as_outcome: bool
    structures: tuple[StructureName, ...]
    confidence: float
    include_failed: bool


@dataclass(frozen=True)
class _Long:
    """Rows of one model: subject, visit (0 = baseline as an outcome), row of the object, baseline and outcome."""

    subject: NDArray[np.str_]
    visit: NDArray[np.intp]
    row: NDArray[np.intp]
    in_arm: NDArray[np.bool_]
    baseline: Floats
    outcome: Floats

    def take(self, keep: NDArray[np.bool_]) -> _Long:
        return _Long(self.subject[keep], self.visit[keep], self.row[keep], self.in_arm[keep], self.baseline[keep],
                     self.outcome[keep])  # fmt: skip


def mmrm(
    adata: AnnData,
    *,
    populations: Iterable[str] | None = None,
    measure: Measure | None = None,
    visits: Sequence[str] | None = None,
    covariates: Sequence[str] = (),
    scale: Scale | None = None,
    reference: str | None = None,
    baseline_as_outcome: bool = False,
    structures: Sequence[StructureName] = FALLBACK,
    confidence: float = 0.95,
    include_failed: bool = False,
) -> None:
    """Arms compared over all visits: change ~ visit + arm x visit + baseline x visit (+ covariates), by REML.

    Parameters
    ----------
    adata
        Visits x populations with percentages (and cells/uL).
    populations, measure, scale
        As in :func:`change`.
    visits
        Visits after baseline; default all of the schedule (not the unscheduled ones).
    covariates
        Columns of ``obs``, taken from the baseline row; text becomes indicator columns.
    reference
        Reference arm; default is that of the study.
    baseline_as_outcome
        Constrained longitudinal data analysis (cLDA): baseline is an outcome with one mean for both arms, so that
        subjects without a baseline, and those with nothing else, contribute.
    structures
        Covariance of the visits, in the order in which they are tried: by default unstructured, heterogeneous Toeplitz,
        AR(1), compound symmetry.
    confidence
        Coverage of the interval.
    include_failed
        Keep rows whose quality failed.

    Returns
    -------
    None; writes

    ``adata.uns['mmrm']``
        DataFrame with ``schema.STATISTIC_COLUMNS``: for each endpoint and arm one row a visit and one of the mean over
        the visits (``visit`` is ``all``). ``estimate`` is the difference from the reference on the analysis scale.
        ``note`` names the covariance structure, those that were left before it and why, and the degrees of freedom
        (Kenward-Roger). Where the model is refused the rows are those of :func:`compare` at each visit,
        and ``note`` says why.

    Raises
    ------
    AnalysisError
        Populations, visits, arms or covariates do not fit the object.

    Notes
    -----
    Missed visits are left out, which is valid when their reasons lie in what was observed (missing at random); nothing
    is carried forward. With baseline x visit in the model, a value or its change as outcome give the same arm effects.
    Each arm is compared with the reference in a model of its own. Liang and Zeger 2000, Sankhya B 62:134 (cLDA).
    """
    chosen, arms = arms_compared(adata, populations, measure, scale, reference)
    require_columns(adata, covariates)
    if unknown := [name for name in structures if name not in STRUCTURES]:
        raise AnalysisError(f"no covariance structure {', '.join(unknown)}", todo=f"of: {', '.join(STRUCTURES)}")
    names = later_visits(adata) if visits is None else wanted_visits(adata, visits)
    options = _Options(tuple(covariates), baseline_as_outcome, tuple(structures), confidence, include_failed)
    rows = [row for endpoint in chosen for pair in arms for row in _compare(adata, endpoint, names, pair, options)]
    adata.uns[UNS_MMRM] = statistic_table(rows)


def later_visits(adata: AnnData) -> list[str]:
    """Scheduled visits that are nobody's baseline and come after it, in the order of the schedule."""
    references = baseline_rows(adata)
    number = adata.obs["visitnum"].to_numpy(dtype=float)
    name = adata.obs["visit"].astype(str).to_numpy()
    has = references >= 0
    later = has & (number > np.where(has, number[references], np.inf))
    order = {visit: float(number[name == visit].min()) for visit in sorted(set(name[later]))}
    found = [visit for visit in sorted(order, key=order.__getitem__) if not visit.startswith("UNS")]
    if not found:
        raise AnalysisError("no visit after baseline", where="obs visit")
    return found


def _long(adata: AnnData, values: Floats, names: list[str], arms: tuple[str, str], *, with_baseline: bool) -> _Long:
    """All usable and unusable rows of two arms; a missing outcome is NaN."""
    arm, reference = arms
    subject, visit, row, start = [], [], [], []
    for number, name in enumerate(names, 1):
        matched = pairs(adata, name)
        subject += list(matched.subjects)
        visit += [number] * len(matched.subjects)
        row += matched.visit.tolist()
        start += matched.baseline.tolist()
    if with_baseline:
        references = baseline_rows(adata)
        who = adata.obs["usubjid"].astype(str).to_numpy()
        when = adata.obs["visit"].astype(str).to_numpy()
        for index in range(adata.n_obs):
            own = references[index] == index
            alone = references[index] < 0 and when[index] in names
            if own or alone:
                subject.append(who[index])
                visit.append(0 if own else names.index(when[index]) + 1)
                row.append(index)
                start.append(index)
    rows = np.array(row, dtype=np.intp)
    labels = adata.obs["arm"].astype(str).to_numpy(dtype=str)[rows]
    long = _Long(np.array(subject, dtype=str), np.array(visit, dtype=np.intp), rows, labels == arm,
                 values[np.array(start, dtype=np.intp)], values[rows])  # fmt: skip
    long = long.take(np.isin(labels, [arm, reference]))
    order = np.lexsort((long.visit, long.subject))
    return _Long(*(getattr(long, field)[order] for field in _Long.__dataclass_fields__))


def _unpaired(adata: AnnData, names: list[str], arms: tuple[str, str], options: _Options) -> str:
    """Rows that no model sees: without a baseline (unless that is an outcome), or after one of another specimen."""
    reasons = [reason for name in names for arm, reason in pairs(adata, name).unpaired if arm in arms]
    wanted = (OTHER_SPECIMEN,) if options.baseline_as_outcome else (NO_BASELINE, OTHER_SPECIMEN)
    return joined(*(left_out(reasons.count(reason), f"rows {reason}") for reason in wanted))


def _design(adata: AnnData, long: _Long, names: list[str], options: _Options) -> dict[str, Floats]:
    """Columns of the fixed effects: the mean, the arm and the baseline at each visit, then covariates."""
    columns: dict[str, Floats] = {}
    present = [(number, name) for number, name in enumerate(["baseline", *names]) if (long.visit == number).any()]
    centre = float(long.baseline.mean())
    for number, name in present:
        columns[f"visit[{name}]"] = (long.visit == number).astype(np.float64)
    for number, name in present:
        if number:
            columns[f"arm:visit[{name}]"] = ((long.visit == number) & long.in_arm).astype(np.float64)
    if not options.baseline_as_outcome:
        for number, name in present:
            columns[f"baseline:visit[{name}]"] = (long.visit == number) * (long.baseline - centre)
    own = baseline_rows(adata)[long.row]
    rows = np.where(own >= 0, own, long.row)
    return columns | covariate_columns(adata, rows, options.covariates)


def _usable(adata: AnnData, long: _Long, names: list[str], options: _Options) -> tuple[_Long, str]:
    """Rows that enter the model, and what was left out."""
    own = baseline_rows(adata)[long.row]
    complete = complete_covariates(adata, np.where(own >= 0, own, long.row), options.covariates)
    measured = ~np.isnan(long.outcome)
    if not options.baseline_as_outcome:
        measured &= ~np.isnan(long.baseline)
    reasons = [
        left_out(int((~measured).sum()), "rows without a usable value"),
        left_out(int((measured & ~complete).sum()), "rows without covariates"),
    ]
    keep = measured & complete
    for number, name in enumerate(names, 1):
        here = keep & (long.visit == number)
        # a visit at which an arm has fewer values leaves the model: its arm effect would rest on one subject
        if min((here & long.in_arm).sum(), (here & ~long.in_arm).sum()) < LEAST_IN_AN_ARM:
            reasons.append(left_out(int(here.sum()), f"rows of {name}: fewer than {LEAST_IN_AN_ARM} in an arm"))
            keep &= long.visit != number
    if not (keep & (long.visit > 0)).any():
        raise AnalysisError("no visit has two values in both arms", where="MMRM")
    return long.take(keep), joined(*reasons)


def _compare(
    adata: AnnData, endpoint: Endpoint, names: list[str], arms: tuple[str, str], options: _Options
) -> list[dict[str, Any]]:
    values = analysis_values(adata, endpoint, include_failed=options.include_failed)
    everything = _long(adata, values, names, arms, with_baseline=options.baseline_as_outcome)
    exclusions = _unpaired(adata, names, arms, options)
    try:
        long, unusable = _usable(adata, everything, names, options)
        exclusions = joined(exclusions, unusable)
        change = difference(long.outcome, long.baseline)
        _require_spread(long, change)
        outcome = long.outcome if options.baseline_as_outcome else change
        columns = _design(adata, long, names, options)
        inside = sum(":" in name for name in columns) - 1
        at_a_visit = 3 - options.baseline_as_outcome + sum(":" not in name for name in columns) - len(set(long.visit))
        visits = len(set(long.visit))
        left = require_subjects(len(set(long.subject)), at_a_visit, where="MMRM")
        if left < DF_PER_VISIT * visits:
            raise AnalysisError(
                f"{len(set(long.subject))} subjects for {at_a_visit} parameters at a visit leave {left} degrees of "
                f"freedom, fewer than {DF_PER_VISIT} for each of {visits} visits", where="MMRM"
            )  # fmt: skip
        require_rows(len(outcome), inside, where="MMRM")
        fit = fit_reml(
            long.subject, long.visit, np.column_stack(list(columns.values())), outcome=outcome,
            names=tuple(columns), structures=options.structures,
        )  # fmt: skip
    except AnalysisError as refused:
        return _instead(adata, endpoint, names, (arms, exclusions), options, refused.what)
    note = joined(
        f"covariance {STRUCTURES[fit.structure].title}"
        + "".join(f", after {reason}" for reason in fit.tried),
        f"{fit.subjects} subjects, {fit.n} rows",
        methods_note(adata, endpoint, long.row),
    )  # fmt: skip
    present = [(number, name) for number, name in enumerate(names, 1) if (long.visit == number).any()]
    natural, starts = natural_values(adata, endpoint), baseline_rows(adata)
    rows = []
    for number, name in present:
        weights = _weights(fit, [name])
        here = long.visit == number
        rows.append(
            _row(endpoint, fit.contrast(weights, confidence=options.confidence), arms, name, options)
            | medians(natural, starts[long.row[here]], long.row[here], long.in_arm[here])
            | {"exclusions": exclusions, "note": joined(f"df {fit.df(weights):.1f} (Kenward-Roger)", note)}
        )
    all_visits = [name for _, name in present]
    weights = _weights(fit, all_visits)
    _, _, p_joint = fit.joint([_weights(fit, [name]) for name in all_visits])
    rows.append(
        _row(endpoint, fit.contrast(weights, confidence=options.confidence), arms, "all", options)
        | {
            "n": len(set(long.subject[long.in_arm])),
            "n_reference": len(set(long.subject[~long.in_arm])),
            "exclusions": exclusions,
            "note": joined(
                f"df {fit.df(weights):.1f} (Kenward-Roger)",
                f"mean of {', '.join(all_visits)}",
                f"no difference at any visit: p {p_joint:.3g}",
                note,
            ),
        }
    )
    return rows


def _require_spread(long: _Long, change: Floats) -> None:
    """Refuse changes that are the same in all subjects of an arm at a visit, but for rounding."""
    later = long.visit > 0
    change, cell = change[later], 2 * long.visit[later] + long.in_arm[later]
    left = change - (np.bincount(cell, change) / np.maximum(np.bincount(cell), 1))[cell]
    if fitted_without_error(change, left):
        raise AnalysisError("the changes do not vary inside the arms", where="MMRM")


def _weights(fit: Reml, names: list[str]) -> Floats:
    """Mean of the arm effects at these visits."""
    wanted = {f"arm:visit[{name}]" for name in names}
    return np.array([name in wanted for name in fit.names], dtype=np.float64) / len(names)


def _row(
    endpoint: Endpoint,
    effect: tuple[float, float, float, float],
    arms: tuple[str, str],
    visit: str,
    options: _Options,
) -> dict[str, Any]:
    model = "value ~ visit + arm x visit, baseline an outcome (cLDA)" if options.baseline_as_outcome else \
        "change ~ visit + arm x visit + baseline x visit"  # fmt: skip
    return effect_row(
        endpoint,
        effect,
        confidence=options.confidence,
        method_id="S5",
        method=f"MMRM, REML, {model}" + "".join(f" + {name}" for name in options.covariates),
        contrast=f"{arms[0]} - {arms[1]}, {'mean of all visits' if visit == 'all' else visit} - baseline",
        visit=visit,
        arm=arms[0],
    )


def _instead(
    adata: AnnData,
    endpoint: Endpoint,
    names: list[str],
    known: tuple[tuple[str, str], str],
    options: _Options,
    reason: str,
) -> list[dict[str, Any]]:
    """Analysis of covariance at each visit where the mixed model is refused."""
    arms, exclusions = known
    values = analysis_values(adata, endpoint, include_failed=options.include_failed)
    rows = []
    for name in names:
        one = Contrast(adata, endpoint, pairs(adata, name), name, *arms, values, options.covariates)
        row = one.row(score_ancova(one, confidence=options.confidence), method_id="S3", confidence=options.confidence)
        rows.append(row | {"note": joined(f"MMRM refused: {reason}", "this visit alone", row["note"])})
    refused = _row(endpoint, UNKNOWN, arms, "all", options)
    return [*rows, refused | {"exclusions": exclusions, "note": f"MMRM refused: {reason}"}]
