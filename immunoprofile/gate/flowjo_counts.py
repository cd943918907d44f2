"""Our counts beside those that FlowJo stored in a workspace, population by population."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import GateError, ImmunoprofileError, Problems
from immunoprofile.gate.evaluate import GatedSample, gate_sample
from immunoprofile.gate.known import KnownSample, StoredCount
from immunoprofile.gate.matching import Match, Matcher
from immunoprofile.gate.workspace import open_workspace
from immunoprofile.gate.workspace_samples import WorkspaceSample
from immunoprofile.io.fcs import read_fcs, read_fcs_head
from immunoprofile.schema.reconciliation import (
    RECONCILE_COLUMNS,
    RECONCILED,
    VERDICT_CLOSE,
    VERDICT_DIFFERENT,
    VERDICT_EQUAL,
    VERDICT_FEW,
    VERDICT_NO_COUNT,
    VERDICT_NO_FILE,
    VERDICT_SHARE,
    VERDICT_UNREADABLE,
    VERDICT_UNSUPPORTED,
)

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.gate.strategy import GateSet

_log = logging.getLogger(__name__)

TOLERANCE_PCT = 1.0
"""FlowJo looks up polygons and ellipses in bins of a plot, so that events at their edges may differ."""

TOLERANCE_EVENTS = 5
"""The same for small populations, of which a single event is more than one per cent."""

SAMPLING_SD = 3.3
"""Standard deviations of sampling within which the fraction of a thinned file is that of the whole (0.1 %)."""


@dataclass(frozen=True)
class Reconciliation:
    """Our counts beside FlowJo's.

    Attributes
    ----------
    table
        As `reconcile` returns it.
    notes
        What holds for a whole file: its number of events is not that of the workspace, another doubt.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]


def reconcile(workspace: str | Path, fcs: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """Compare our counts with those that a FlowJo workspace holds.

    Parameters
    ----------
    workspace
        The workspace (``.wsp``).
    fcs
        A folder, looked through with its subfolders, or the FCS files themselves. Which file is which sample is found
        as for a run over the same files (`matching.match`).

    Returns
    -------
    pandas.DataFrame
        `schema.reconciliation.RECONCILE_COLUMNS`, one row a sample and population of the workspace, in its order. The
        verdict is ``equal``; ``within 1 %`` or ``within 5 events`` for populations with a polygon or an ellipse on
        their way, which FlowJo bins; ``same fraction`` where the file has another number of events than the workspace
        and the fraction agrees to the precision of such a sample; ``different`` otherwise; ``not supported``,
        ``no count``, ``no file`` or ``unreadable`` where nothing can be compared, with the reason beside it. What holds
        for a whole file is logged.

    Raises
    ------
    GateError
        No FlowJo 10 workspace, or one without gates that can be read.
    """
    done = compare(workspace, fcs)
    for note in done.notes:
        _log.warning("%s", note)
    return done.table


def compare(workspace: str | Path, fcs: str | Path | Iterable[str | Path]) -> Reconciliation:
    """As `reconcile`, with what holds for whole files as notes."""
    import pandas as pd

    path = Path(workspace)
    if not path.is_file():
        problems = Problems()
        problems.add(str(path), "file is missing")
        raise GateError("the workspace cannot be read", problems.found)
    opened = open_workspace(path.read_bytes(), path.name)
    files = _Files(opened.gates, _listed(fcs))
    notes: list[str] = []
    rows = [row for sample in opened.samples for row in _rows(sample, files, notes)]
    table = pd.DataFrame(rows, columns=list(RECONCILE_COLUMNS))
    types = {"n_flowjo": "Int64", "n": "Int64", "difference": "Int64", "difference_pct": "float64"}
    return Reconciliation(table.astype(types), tuple(notes))


def needs_a_look(table: pd.DataFrame) -> bool:
    """Whether a row of `reconcile` is neither equal nor within the tolerance."""
    return bool((~table["verdict"].isin(RECONCILED)).any())


def _listed(fcs: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files in a defined order."""
    if not isinstance(fcs, str | Path):
        return [Path(one) for one in fcs]
    folder = Path(fcs)
    found = sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else [folder]
    return [p for p in found if p.suffix.casefold() in (".fcs", ".lmd")]


class _Files:
    """Which file is which sample, as a run over the same files would have it, and why the others are not."""

    def __init__(self, gates: GateSet, paths: Iterable[Path]) -> None:
        self._found: dict[str, list[tuple[Path, Match]]] = {}
        self._refused: list[tuple[Path, str]] = []
        paths = list(paths)
        matcher = Matcher(gates, paths)
        for path in paths:
            try:
                match = matcher.match(read_fcs_head(path).empty, path)
            except ImmunoprofileError as error:
                self._refused.append((path, " ".join(str(error).split())))
                continue
            if match.sample is not None:
                self._found.setdefault(match.sample.sample_id, []).append((path, match))

    def of(self, sample: WorkspaceSample) -> tuple[Path | None, Match | None, str]:
        """File of a sample (of copies the first), its gates, and why there is none."""
        if found := self._found.get(sample.key):
            return *found[0], ""
        names = {name.casefold() for name in (sample.name, f"{sample.name}.fcs", sample.known.file) if name}
        reasons = [reason for path, reason in self._refused if path.name.casefold() in names]
        told = f" or {sample.known.file}" if sample.known.file else ""
        return None, None, "; ".join(reasons) or f"no file is called {sample.name}{told}, or is it by its keywords"


def _rows(sample: WorkspaceSample, files: _Files, notes: list[str]) -> list[dict[str, object]]:
    path, match, reason = files.of(sample)
    gated: GatedSample | None = None
    verdict = VERDICT_NO_FILE if path is None else VERDICT_UNREADABLE
    if path is not None and match is not None:
        try:
            gated = gate_sample(read_fcs(path), match)
        except ImmunoprofileError as error:
            reason = " ".join(str(error).split())
    thinned = None
    if gated is not None and path is not None:
        thinned = _Thinned.of(sample.known, gated)
        fractions = ": fractions are compared" if thinned is not None else ""
        notes += [f"{path.as_posix()}: {problem}{fractions}" for problem in gated.problems]
    lost = {} if gated is None else {problem.where: problem.what for problem in gated.problems}
    stored = {one.gate_path: one for one in sample.known.counts}
    rows = []
    for node in sample.nodes:
        row: dict[str, object] = dict.fromkeys(RECONCILE_COLUMNS)
        row |= {
            "sample": sample.key,
            "file": "" if path is None else path.as_posix(),
            "population": node.path[-1],
            "gate_path": node.name,
            "gate": node.shape,
            "n_flowjo": node.count,
            "verdict": verdict,
            "reason": reason,
        }
        population = sample.populations.get(node.path)
        if node.missing or population is None:
            row |= {"verdict": VERDICT_UNSUPPORTED, "reason": node.missing or "its sample could not be read"}
        elif gated is not None and population not in gated.strategy:
            row |= {"verdict": VERDICT_UNSUPPORTED, "reason": lost.get(f"gate {population}", "left out")}
        elif gated is not None:
            row |= _compared(stored[node.name], gated.n(population), thinned)
        rows.append(row)
    return rows


def stored_counts(gated: GatedSample, known: KnownSample) -> list[dict[str, object]]:
    """Our counts of a file beside those of its sample, for populations that have an id.

    Returns
    -------
    list of dict
        ``population`` (id), ``gate_path`` and ``gate`` of the workspace, ``n_flowjo``, ``n``, ``difference``,
        ``difference_pct``, ``verdict``, ``reason``; as the columns of `reconcile`.
    """
    thinned = _Thinned.of(known, gated)
    rows: list[dict[str, object]] = []
    for stored in known.counts:
        row: dict[str, object] = {"population": stored.population, "gate_path": stored.gate_path, "gate": stored.shape}
        row |= {"n_flowjo": stored.n, "n": None, "difference": None, "difference_pct": None, "reason": ""}
        if stored.population in gated.strategy:
            row |= _compared(stored, gated.n(stored.population), thinned)
        else:
            reason = dict(known.left_out).get(stored.gate_path, "left out for this file")
            row |= {"verdict": VERDICT_UNSUPPORTED, "reason": reason}
        rows.append(row)
    return rows


@dataclass(frozen=True)
class _Thinned:
    """A file with another number of events than FlowJo had."""

    here: int
    there: int

    @classmethod
    def of(cls, known: KnownSample, gated: GatedSample) -> _Thinned | None:
        total = known.keyword("tot")
        there = int(total) if total.isdigit() else 0
        here = gated.sample.n_events
        return cls(here, there) if there and here and there != here else None

    def agree(self, n: int, count: int) -> bool:
        """Whether two fractions are as near as those of a sample and its whole (hypergeometric), within two events."""
        smaller, larger = sorted((self.here, self.there))
        share = (count if self.there == larger else n) / larger
        sd = math.sqrt(share * (1 - share) / smaller * (1 - smaller / larger)) if 0 <= share <= 1 else 0.0
        return abs(n / self.here - count / self.there) <= SAMPLING_SD * sd + 2 / smaller


def _compared(stored: StoredCount, n: int, thinned: _Thinned | None) -> dict[str, object]:
    count, binned = stored.n, stored.binned
    if count is None:
        return {"n": n, "verdict": VERDICT_NO_COUNT, "reason": "FlowJo stored no count"}
    if thinned is not None:
        here, there = 100.0 * n / thinned.here, 100.0 * count / thinned.there
        same = thinned.agree(n, count)
        verdict = VERDICT_SHARE if same else VERDICT_DIFFERENT
        return {"n": n, "verdict": verdict, "reason": f"{here:.4g} % of all events, in FlowJo {there:.4g} %"}
    difference = n - count
    percentage = 100.0 * difference / count if count else (0.0 if difference == 0 else float("inf"))
    if difference == 0:
        verdict, reason = VERDICT_EQUAL, ""
    elif binned and abs(percentage) <= TOLERANCE_PCT:
        verdict, reason = VERDICT_CLOSE, "FlowJo bins polygons and ellipses"
    elif binned and abs(difference) <= TOLERANCE_EVENTS:
        verdict, reason = VERDICT_FEW, "FlowJo bins polygons and ellipses"
    else:
        verdict = VERDICT_DIFFERENT
        apart = f"more than {TOLERANCE_PCT:g} % and {TOLERANCE_EVENTS} events apart"
        reason = apart if binned else "rectangles must be exact"
    return {
        "n": n,
        "difference": difference,
        "difference_pct": percentage,
        "verdict": verdict,
        "reason": reason,
    }
