"""One skeleton for arms compared at visits: the subjects of a contrast, a pure scorer, one row of statistics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from immunoprofile.errors import AnalysisError
from immunoprofile.tl._effects import UNKNOWN, complete_covariates, difference, effect_row, joined, left_out
from immunoprofile.tl._frame import (
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def arms_compared(
    adata: AnnData,
    populations: Iterable[str] | None,
    measure: Measure | None,
    scale: Scale | None,
    reference: str | None,
) -> tuple[list[Endpoint], list[tuple[str, str]]]:
    """Endpoints of a comparison, and its pairs of arm and reference.

    Raises
    ------
    AnalysisError
        Populations or arms do not fit the object, or there is one arm only.
    """
    chosen = endpoints(adata, populations, measure, scale)
    reference_arm, others = arm_order(adata, reference)
    if not others:
        raise AnalysisError("there is one arm only", where="obs arm", todo="use tl.change")
    return chosen, [(arm, reference_arm) for arm in others]


class Score(NamedTuple):
    """What a scorer says of a contrast.

    Attributes
    ----------
    effect
        Estimate, lower and upper limit, p-value on the analysis scale.
    method
        Name of what was done.
    notes
        Remarks in their order; empty ones are left out.
    conf_level
        Confidence that the interval in fact has, where it is not the one asked for.
    """

    effect: tuple[float, float, float, float]
    method: str
    notes: tuple[str, ...]
    conf_level: float | None = None


@dataclass(frozen=True)
class Contrast:
    """An endpoint at one visit: subjects of an arm, and of a reference (empty: the change inside the arm).

    Attributes
    ----------
    matched
        Pairs of baseline and visit of all arms.
    values
        Every row of the object on the analysis scale.
    covariates
        Columns of ``obs`` that the subjects must have.
    """

    adata: AnnData
    endpoint: Endpoint
    matched: Pairs
    visit: str
    arm: str
    reference: str
    values: Floats
    covariates: tuple[str, ...] = ()

    @cached_property
    def either(self) -> NDArray[np.bool_]:
        """Pairs that belong to the arm or the reference."""
        return np.isin(self.matched.arms, [self.arm, self.reference])

    @cached_property
    def measured(self) -> NDArray[np.bool_]:
        """Those with a usable value at both visits."""
        start, end = self.values[self.matched.baseline], self.values[self.matched.visit]
        return np.asarray(self.either & ~np.isnan(start) & ~np.isnan(end))

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """Those with all covariates as well."""
        return self.measured & complete_covariates(self.adata, self.matched.baseline, self.covariates)

    @property
    def start(self) -> Floats:
        """Baseline of the subjects used."""
        return self.values[self.matched.baseline[self.used]]

    @property
    def end(self) -> Floats:
        """Value at the visit of the subjects used."""
        return self.values[self.matched.visit[self.used]]

    @property
    def changes(self) -> Floats:
        """Change of the subjects used; rounding noise of the two values is no change."""
        return difference(self.end, self.start)

    @property
    def labels(self) -> NDArray[np.str_]:
        """Arm of the subjects used."""
        return self.matched.arms[self.used]

    @property
    def rows(self) -> NDArray[np.intp]:
        """Rows of the object that take part, baselines first."""
        return np.concatenate([self.matched.baseline[self.used], self.matched.visit[self.used]])

    def methods_note(self) -> str:
        """Says when cells/uL come from several methods."""
        return methods_note(self.adata, self.endpoint, self.matched.visit[self.used])

    def zero_note(self, *, refuse: bool = False) -> str:
        """Says in how many rows no event was counted (``refuse``: an error when in most)."""
        return zero_note(self.adata, self.endpoint, self.rows, refuse=refuse)

    def row(self, score: Score, *, method_id: str, confidence: float) -> dict[str, Any]:
        """The row of statistics of a score."""
        natural = natural_values(self.adata, self.endpoint)
        starts, visits = self.matched.baseline[self.used], self.matched.visit[self.used]
        against = f"{self.arm} - {self.reference}, " if self.reference else ""
        numbers = medians(natural, starts, visits, self.labels == self.arm)
        if not self.reference:
            numbers = {name: number for name, number in numbers.items() if not name.endswith("_reference")}
        if score.conf_level is not None:
            numbers["conf_level"] = score.conf_level
        arms = (self.arm, self.reference) if self.reference else (self.arm,)
        return effect_row(
            self.endpoint,
            score.effect,
            confidence=confidence,
            method_id=method_id,
            method=score.method,
            contrast=f"{against}{self.visit} - {baseline_name(self.adata, starts)}",
            visit=self.visit,
            arm=self.arm,
            exclusions=joined(
                *self.matched.exclusions(*arms),
                left_out(int((self.either & ~self.measured).sum()), "without a usable value"),
                left_out(int((self.measured & ~self.used).sum()), "without covariates"),
            ),
            note=joined(*score.notes),
            **numbers,
        )


def medians(
    natural: Floats, starts: NDArray[np.intp], visits: NDArray[np.intp], in_arm: NDArray[np.bool_]
) -> dict[str, Any]:
    """Columns ``n`` and ``median_...`` of arm and reference, from rows at baseline (-1: none) and at the visit."""
    columns: dict[str, Any] = {}
    for suffix, own in (("", in_arm), ("_reference", ~in_arm)):
        first = starts[own]
        columns |= {
            f"n{suffix}": int(own.sum()),
            f"median_baseline{suffix}": median(natural[first[first >= 0]]),
            f"median_visit{suffix}": median(natural[visits[own]]),
        }
    return columns


def at_visits(
    adata: AnnData,
    chosen: Sequence[Endpoint],
    arms: Sequence[tuple[str, str]],
    score: Callable[[Contrast], Score],
    *,
    visit: str | Sequence[str] | None,
    method_id: str,
    confidence: float,
    include_failed: bool,
    covariates: Sequence[str] = (),
) -> pd.DataFrame:
    """Table of statistics: a scorer on every visit, endpoint and pair of arm and reference.

    Raises
    ------
    AnalysisError
        A visit does not fit the object, or what the scorer raises.
    """
    rows = []
    for name in wanted_visits(adata, visit):
        matched = pairs(adata, name)
        for endpoint in chosen:
            values = analysis_values(adata, endpoint, include_failed=include_failed)
            for arm, reference in arms:
                one = Contrast(adata, endpoint, matched, name, arm, reference, values, tuple(covariates))
                rows.append(one.row(score(one), method_id=method_id, confidence=confidence))
    return statistic_table(rows)


def refused_score(error: AnalysisError, method: str, *notes: str) -> Score:
    """Score of a contrast that has no answer."""
    return Score(UNKNOWN, method, (*notes, f"refused: {error.what}"))
