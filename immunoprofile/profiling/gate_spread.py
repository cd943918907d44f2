"""Counts under moved cuts of every file: what is kept of one, the table of all, and the arrays of the visits object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from immunoprofile import schema
from immunoprofile.gate.cut_shifts import COLUMNS, RUNS, signs
from immunoprofile.gate.gates import ROOT
from immunoprofile.gate.shifted_counts import shifted_counts
from immunoprofile.io.records import cells
from immunoprofile.pp.gate_spread import log_shifts, spread
from immunoprofile.profiling.outcome import Chosen, Outcome, Request, Shifted

if TYPE_CHECKING:
    from anndata import AnnData

    from immunoprofile.gate.evaluate import GatedSample
    from immunoprofile.gate.shifted_counts import ShiftedCounts
    from immunoprofile.gate.strategy import Strategy

_DIGITS = 4
_DESIGN = np.stack([signs(column) for column in COLUMNS])
"""Up or down by place of a cut and run."""


def shifted_rows(gated: GatedSample, request: Request) -> tuple[Shifted, ...]:
    """Every population of a file under moved cuts."""
    found = shifted_counts(gated, places=dict(request.places), own=_drawn_for_it(gated, request))
    rows = []
    for gate in gated.strategy.gates:
        moved, counts = found.moved[gate.population], found.counts[gate.population]
        main, share = ("", 0.0) if counts is None else _main_cut(gated, found, gate.population, gate.parent)
        rows.append(Shifted(gate.population, found.share, counts or (), len(moved.cuts), ", ".join(moved.left_out),
                            moved.own, main, share))  # fmt: skip
    return tuple(rows)


def _drawn_for_it(gated: GatedSample, request: Request) -> frozenset[str]:
    """Populations whose gate a person drew for this file: by an override, or in a workspace."""
    drawn = {one.population for one in request.gates.in_force(request.sample_id, request.tube) if one.after is not None}
    if request.placed is None:
        shared = {gate.population: gate for gate in request.gates[request.tube].gates}
        drawn |= {gate.population for gate in gated.strategy.gates if gate != shared.get(gate.population)}
    return frozenset(drawn)


def _main_cut(gated: GatedSample, found: ShiftedCounts, population: str, parent: str) -> tuple[str, float]:
    """The cut with the largest effect on the percentage of the parent, and its share of the mean square."""
    logs = log_shifts(found.counts[population] or (), gated.n(population))
    above = None if parent == ROOT else found.counts[parent]
    if above is not None:
        logs = logs - log_shifts(above, gated.n(parent))
    total = float(np.mean(logs**2))
    if not total > 0:
        return "", 0.0
    cuts = found.moved[population].cuts
    means = np.mean(logs * _DESIGN[[found.places[cut] for cut in cuts]], axis=1)
    effects = {cut: effect**2 for cut, effect in zip(cuts, means.tolist(), strict=True)}
    cut, effect = max(effects.items(), key=lambda one: one[1])
    return f"{cut[1]} in {cut[0]}", round(effect / total, _DIGITS)


def gate_spread_table(outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """`schema.GATE_SPREAD_COLUMNS`, one row a sample and population."""
    rows: list[tuple[Any, ...]] = []
    for outcome in sorted(outcomes.values(), key=lambda one: one.sample_id):
        counted = {row[0]: (row[2], row[4], row[5]) for row in outcome.counts}
        numbers_of = _numbers(outcome.shifted, counted)
        for row in outcome.shifted:
            parent, n, n_parent = counted[row.population]
            numbers = numbers_of.get(row.population, (np.nan,) * 6)
            rows.append(
                (outcome.sample_id, outcome.tube, row.population, parent, n, n_parent, row.share, row.n_cuts, *numbers,
                 row.main_cut, row.main_share if row.main_cut else np.nan, row.own, row.not_moved, _reason(row))
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(schema.GATE_SPREAD_COLUMNS))


def _numbers(rows: Sequence[Shifted], counted: Mapping[str, tuple[str, int, int]]) -> dict[str, tuple[float, ...]]:
    """Least, most and relative SD of the count and of the percentage, of each population that has counts."""
    known = {row.population: row for row in rows if row.counts}
    if not known:
        return {}
    n, n_parent = (np.array([counted[name][place] for name in known]) for place in (1, 2))
    counts = np.array([row.counts for row in known.values()], dtype=np.float64)
    above = (known.get(counted[name][0]) for name in known)
    # A parent under no moved cut has its one count in every gating.
    of_parents = [(total,) * RUNS if row is None else row.counts for row, total in zip(above, n_parent, strict=True)]
    parents = np.array(of_parents, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        percentages = np.where(parents > 0, 100 * counts / parents, np.nan)
    events = log_shifts(counts, n)
    share = events - log_shifts(parents, n_parent)
    # Of the percentages that are known; NaN where none is.
    columns = (counts.min(axis=1), counts.max(axis=1), np.fmin.reduce(percentages, axis=1),
               np.fmax.reduce(percentages, axis=1))  # fmt: skip
    found = zip(*(column.tolist() for column in columns), spread(events).tolist(), spread(share).tolist(), strict=True)
    return {
        name: (least, most, _cv(of_count), low, high, _cv(of_share) if total else np.nan)
        for name, total, (least, most, low, high, of_count, of_share) in zip(known, n_parent, found, strict=True)
    }


def _cv(spread_of_logs: float) -> float:
    return round(100 * spread_of_logs, _DIGITS)


def _reason(row: Shifted) -> str:
    if row.counts:
        return ""
    if row.n_cuts:
        return f"hangs on {row.n_cuts} cuts, {len(COLUMNS)} can be moved apart"
    return "none of its cuts is on a scale" if row.not_moved else "hangs on no cut that is moved"


def add_gatings(visits: AnnData, gates: Mapping[str, Strategy], chosen: Chosen) -> None:
    """Write counts under moved cuts into the visits object, for `pp.gate_spread` and analyses.

    Parameters
    ----------
    visits
        Visits x populations.
    gates
        Gates of the study by tube.
    chosen
        The attempt used for each tube.

    Returns
    -------
    None; writes

    ``visits.obsm['gate_counts']``, ``['gate_parent_counts']``, ``['gate_anchor_counts']``
        float64, visits x populations x gatings; NaN where not known.
    ``visits.layers['gate_frozen']``
        1 where all cuts are those of the subject or the template, 0 where one belongs to the sample or its batch.
    """
    shape = (*visits.shape, RUNS)
    arrays = {name: np.full(shape, np.nan) for name in schema.VISIT_GATINGS}
    frozen = np.full(visits.shape, np.nan)
    tubes, anchors = visits.var["tube"].astype(str), cells(visits.var["abs_anchor"], "text")
    known = {outcome.sample_id: {row.population: row for row in outcome.shifted} for outcome in chosen.values()}
    places = zip(visits.obs["usubjid"].astype(str), visits.obs["visit"].astype(str), strict=True)
    for i, (usubjid, visit) in enumerate(places):
        for j, (population, tube) in enumerate(zip(map(str, visits.var_names), tubes, strict=True)):
            outcome = chosen.get((usubjid, visit, tube))
            if outcome is None or population not in known[outcome.sample_id]:
                continue
            rows = known[outcome.sample_id]
            frozen[i, j] = float(not rows[population].own)
            if not rows[population].counts:
                continue
            parent = gates[tube][population].parent
            arrays[schema.GATE_COUNTS][i, j] = rows[population].counts
            arrays[schema.GATE_PARENT_COUNTS][i, j] = _constant_or_moved(outcome, rows, parent)
            if anchors[j]:
                arrays[schema.GATE_ANCHOR_COUNTS][i, j] = _constant_or_moved(outcome, rows, anchors[j])
    for name, values in arrays.items():
        visits.obsm[name] = values
    visits.layers[schema.GATE_FROZEN] = frozen


def _constant_or_moved(outcome: Outcome, rows: Mapping[str, Shifted], population: str) -> Any:
    """Counts of a parent in every gating; its one count where no cut above it is moved."""
    if population == ROOT:
        return float(outcome.n_events)
    row = rows.get(population)
    if row is not None and row.counts:
        return row.counts
    counted = outcome.count(population)
    return np.nan if counted is None or row is None or row.n_cuts else float(counted)
