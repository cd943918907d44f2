"""Functional readouts of a visit (degranulation, cytokines, killing), in the same columns as the populations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from immunoprofile import schema
from immunoprofile.io.records import cells, records
from immunoprofile.pp.precision import DEFAULT_CV
from immunoprofile.report import noise, wording
from immunoprofile.report.content import Block, Cell, Table, Text, columns, row
from immunoprofile.report.noise import Verdict

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.report.view import VisitView


def readouts(view: VisitView) -> tuple[Block, ...]:
    """Every readout of the study at baseline, at the previous visit and now; nothing when the study has none."""
    known: pd.DataFrame | None = view.source.visits.uns.get(schema.UNS_READOUTS)
    values: pd.DataFrame | None = view.source.obsm.get(schema.FUNCTIONAL_READOUTS)
    if known is None or values is None or not len(known):
        return ()
    if view.row is None:
        return (Text("Functional readouts: not done, nothing was measured at this visit."),)
    rows = tuple(_readout(view, one, values) for one in records(known, "functional_readouts"))
    caption = (
        f"Change: ratio of now to baseline. Verdict by a reference change value with CV {DEFAULT_CV:.2f} "
        "(default, no replicates of this assay in the study). A readout of 0 is a result; its ratio cannot be judged."
    )
    heads = ("Readout", "Unit", "#Baseline", "#Previous", "#Now", "#Change from baseline", "Verdict")
    return (Table(columns(*heads), rows, "", caption),)


def _readout(view: VisitView, one: dict[Any, Any], values: pd.DataFrame) -> tuple[Cell, ...]:
    places = (view.baseline_row, view.previous_row, view.row)
    column = cells(values[one["id"]], "number")
    then, before, now = (math.nan if place is None else column[place] for place in places)
    verdict = Verdict("BASELINE") if places[0] == places[2] else noise.judge(now, then)
    change = wording.fold(now / then) if then > 0 and now >= 0 and places[0] != places[2] else ""
    return row(
        _name(view, one), one["unit"], *(_cell(value) for value in (then, before, now)),
        Cell(change, now / then if change else math.nan), Cell(f"{verdict.symbol} {verdict.text}", mark=verdict.level),
    )  # fmt: skip


def _cell(value: float) -> Cell:
    return Cell(wording.plain(value) or "not done", value)


def _name(view: VisitView, one: dict[Any, Any]) -> str:
    population = one["population"]
    of = f" of {view.source.display(population)}" if population else ""
    details = ", ".join(part for part in (one["assay"], one["stimulus"]) if part)
    return f"{one['readout']}{of} ({details})"
