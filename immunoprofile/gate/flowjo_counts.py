"""Our counts beside those that FlowJo stored in a workspace, population by population."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import GateError, ImmunoprofileError, Problems
from immunoprofile.gate.evaluate import GatedSample, gate_sample
from immunoprofile.gate.matching import Match, Matcher
from immunoprofile.gate.workspace import open_workspace
from immunoprofile.gate.workspace_samples import Node, WorkspaceSample
from immunoprofile.io.fcs import read_fcs, read_fcs_head
from immunoprofile.schema.reconciliation import (
    RECONCILE_COLUMNS,
    RECONCILED,
    VERDICT_CLOSE,
    VERDICT_DIFFERENT,
    VERDICT_EQUAL,
    VERDICT_NO_COUNT,
    VERDICT_NO_FILE,
    VERDICT_UNREADABLE,
    VERDICT_UNSUPPORTED,
)

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.gate.strategy import GateSet

TOLERANCE_PCT = 1.0
"""FlowJo looks up polygons and ellipses in bins of a plot, so that events at their edges may differ."""

_BINNED = ("polygon", "ellipse")


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
        verdict is ``equal``; ``within 1 %`` for populations with a polygon or an ellipse on their way, which FlowJo
        bins; ``different`` otherwise; ``not supported``, ``no count``, ``no file`` or ``unreadable`` where nothing can
        be compared, with the reason beside it.

    Raises
    ------
    GateError
        No FlowJo 10 workspace, or one without gates that can be read.
    """
    import pandas as pd

    path = Path(workspace)
    if not path.is_file():
        problems = Problems()
        problems.add(str(path), "file is missing")
        raise GateError("the workspace cannot be read", problems.found)
    opened = open_workspace(path.read_bytes(), path.name)
    files = _Files(opened.gates, _listed(fcs))
    rows = [row for sample in opened.samples for row in _rows(sample, files)]
    table = pd.DataFrame(rows, columns=list(RECONCILE_COLUMNS))
    return table.astype({"n_flowjo": "Int64", "n": "Int64", "difference": "Int64", "difference_pct": "float64"})


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


def _rows(sample: WorkspaceSample, files: _Files) -> list[dict[str, object]]:
    path, match, reason = files.of(sample)
    gated: GatedSample | None = None
    verdict = VERDICT_NO_FILE if path is None else VERDICT_UNREADABLE
    if path is not None and match is not None:
        try:
            gated = gate_sample(read_fcs(path), match)
        except ImmunoprofileError as error:
            reason = " ".join(str(error).split())
    by_name = {node.name: node for node in sample.nodes}
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
        elif gated is not None:
            row |= _compared(node, int(gated.masks[population].sum()), binned=_binned(node, by_name))
        rows.append(row)
    return rows


def _binned(node: Node, by_name: Mapping[str, Node]) -> bool:
    """Whether a polygon or an ellipse has a part in a population."""
    needed = [node]
    seen: set[str] = set()
    while needed:
        one = needed.pop()
        if one.name in seen:
            continue
        seen.add(one.name)
        if one.shape in _BINNED:
            return True
        needed += [by_name[name] for name in one.depends if name in by_name]
        needed += [one.parent] if one.parent is not None else []
    return False


def _compared(node: Node, n: int, *, binned: bool) -> dict[str, object]:
    if node.count is None:
        return {"n": n, "verdict": VERDICT_NO_COUNT, "reason": "FlowJo stored no count"}
    difference = n - node.count
    percentage = 100.0 * difference / node.count if node.count else (0.0 if difference == 0 else float("inf"))
    if difference == 0:
        verdict, reason = VERDICT_EQUAL, ""
    elif binned and abs(percentage) <= TOLERANCE_PCT:
        verdict, reason = VERDICT_CLOSE, "FlowJo bins polygons and ellipses"
    else:
        verdict = VERDICT_DIFFERENT
        reason = f"more than {TOLERANCE_PCT:g} % apart" if binned else "rectangles must be exact"
    return {
        "n": n,
        "difference": difference,
        "difference_pct": percentage,
        "verdict": verdict,
        "reason": reason,
    }
