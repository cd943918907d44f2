"""Gate one file: bind the template to its channels, compensate, evaluate, count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile import compensation, schema
from immunoprofile.gate.binding import bind, label_doubts
from immunoprofile.gate.compensated_ratios import as_channels
from immunoprofile.gate.file_units import in_units_of
from immunoprofile.gate.matching import Match, match
from immunoprofile.gate.notices import needs_matrix, notices_of
from immunoprofile.gate.strategy import ROOT, GateSet, Strategy
from immunoprofile.io.fcs import Sample, fluorescence_positions, neighbours
from immunoprofile.order_statistics import medians_of_groups

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from immunoprofile.compensation import Finding, Spillover
    from immunoprofile.errors import Problem
    from immunoprofile.gate.engine import EngineRecord, Evaluation
    from immunoprofile.io.exceptions import Notice


@dataclass(frozen=True, eq=False)
class GatedSample:
    """One file with its gates evaluated.

    Attributes
    ----------
    sample
        The file.
    strategy
        The template, naming markers.
    bound
        The same strategy, naming the channels of this file.
    spillover
        Matrix that was removed, or None.
    comp_source
        ``keyword``, ``none`` or ``compensated``.
    evaluation
        Memberships and counts of the populations, and how they were found.
    comp_finding
        Whether the events look compensated already, where a matrix was applied that nobody declared.
    match
        How the gates of the file were found.
    problems
        What a person should know before trusting the counts: what of the gates could not be honoured for this file.
    notices
        The same, and what else belongs into exceptions.csv about this file, see `notices.notices_of`.
    """

    sample: Sample
    strategy: Strategy
    bound: Strategy
    spillover: Spillover | None
    comp_source: str
    evaluation: Evaluation
    comp_finding: Finding | None = None
    match: Match | None = None
    problems: tuple[Problem, ...] = ()
    notices: tuple[Notice, ...] = ()

    @property
    def masks(self) -> Mapping[str, NDArray[np.bool_]]:
        """Population -> bool array, one value per recorded event; made anew each time one is asked for."""
        return self.evaluation.masks

    @property
    def engine(self) -> EngineRecord:
        """Which tier of the engine answered."""
        return self.evaluation.record

    @cached_property
    def compensated(self) -> NDArray[np.float64]:
        """Events with the spillover removed, linear, events x channels."""
        return compensation.compensate(self.sample, self.spillover)

    def mask(self, population: str) -> NDArray[np.bool_]:
        """Membership of a population; ``root`` is every event."""
        if population == ROOT:
            return np.ones(self.sample.n_events, dtype=bool)
        return self.masks[population]

    def n(self, population: str) -> int:
        """Number of events of a population; of ``root``, of all."""
        return self.sample.n_events if population == ROOT else self.evaluation.counts[population]

    def counts(self) -> pd.DataFrame:
        """Counts, one row a population: ``tube population label parent gate_path n n_parent pct_parent``.

        The percentage of an empty parent is NaN.
        """
        return count_table(self.strategy, self.evaluation)

    def medians(self) -> dict[tuple[str, str], float]:
        """Median linear compensated intensity by (population, marker); populations without events are left out."""
        columns = fluorescence_positions(self.sample)
        markers = [self.sample.channels[column].marker for column in columns]
        masks, counts = self.evaluation.masks, self.evaluation.counts
        number: dict[str, int] = {ROOT: -1}
        within: list[int] = []
        for gate in self.strategy.gates:
            if counts[gate.population]:
                number[gate.population] = len(within)
                within.append(number[gate.parent])
        known = list(number)[1:]
        places, sizes = [masks.place(name) for name in known], [counts[name] for name in known]
        medians = medians_of_groups(self.compensated.T[neighbours(columns)], masks.words, places, sizes, within)
        return {
            (population, marker): value
            for population, row in zip(known, medians.tolist(), strict=True)
            for marker, value in zip(markers, row, strict=True)
        }

    def __repr__(self) -> str:
        return f"GatedSample({self.sample.name!r}, {self.sample.n_events:,} events, tube {self.strategy.tube!r})"

    def _repr_html_(self) -> str:
        from immunoprofile.gate.tree_view import gated_view

        return gated_view(self)


def count_table(strategy: Strategy, evaluation: Evaluation) -> pd.DataFrame:
    """Counts of one file, one row a population: ``tube population label parent gate_path n n_parent pct_parent``.

    The percentage of an empty parent is NaN.
    """
    import pandas as pd

    return pd.DataFrame(count_rows(strategy, evaluation), columns=list(schema.COUNT_COLUMNS[2:]))


def count_rows(strategy: Strategy, evaluation: Evaluation) -> list[tuple[str, str, str, str, str, int, int, float]]:
    """The same as rows."""
    paths, rows = {ROOT: ROOT}, []
    for gate in strategy.gates:
        paths[gate.population] = f"{paths[gate.parent]}/{gate.population}"
        n_parent = evaluation.n_events if gate.parent == ROOT else evaluation.counts[gate.parent]
        label, n = gate.label or gate.population, evaluation.counts[gate.population]
        percentage = 100.0 * n / n_parent if n_parent else float("nan")
        rows.append(
            (strategy.tube, gate.population, label, gate.parent, paths[gate.population], n, n_parent, percentage)
        )
    return rows


def gate_sample(
    sample: Sample,
    gates: GateSet | Strategy | Match,
    *,
    comp_source: str | Spillover | None = None,
    compiled: bool = True,
) -> GatedSample:
    """Evaluate the gates of one file.

    Parameters
    ----------
    sample
        The file.
    gates
        Template of its tube, or a set of which `matching.match` finds the one for the file, or what was found already.
    comp_source
        What the study declares: ``keyword``, ``none``, ``compensated``, or a matrix; None takes the file's matrix when
        it has one.
    compiled
        False for a few small files: the same answer without loading or compiling the kernel.

    Raises
    ------
    GateError
        The file lacks markers that the template needs; which sample of the gates it is cannot be told; the gates are
        in units that cannot be had for this file.
    CompensationError
        The declared matrix cannot be applied.
    """
    from immunoprofile.gate.engine import evaluate

    found = gates if isinstance(gates, Match) else match(sample, gates)
    own, doubts = in_units_of(sample, found.strategy)
    doubts = (*found.problems, *doubts, *label_doubts(own, sample))
    bound = bind(own, sample)
    chosen = compensation.decide(sample, comp_source, needed=needs_matrix(own))
    seen, looking = as_channels(sample, bound, chosen.spillover)
    evaluation = evaluate(looking, seen, chosen.spillover, compiled=compiled)
    return GatedSample(
        sample,
        own,
        bound,
        chosen.spillover,
        chosen.source,
        evaluation,
        chosen.finding,
        match=found,
        problems=doubts,
        notices=notices_of(sample, bound, chosen, evaluation, doubts),
    )


def regated(gated: GatedSample, strategy: Strategy) -> GatedSample:
    """A gated file with gates of other shapes, of the same channels and matrix: for what an editor shows of a move.

    What was said of the file and its gates (`GatedSample.problems`, `GatedSample.notices`) stays that of the first.
    """
    from immunoprofile.gate.engine import evaluate

    bound = bind(strategy, gated.sample)
    seen, looking = as_channels(gated.sample, bound, gated.spillover)
    evaluation = evaluate(looking, seen, gated.spillover, compiled=gated.engine.tier != "exact")
    return replace(gated, strategy=strategy, bound=bound, evaluation=evaluation)
