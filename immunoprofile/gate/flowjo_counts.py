"""Our counts beside those that FlowJo stored in a workspace, population by population."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import GateError, ImmunoprofileError, Problems
from immunoprofile.gate.evaluate import GatedSample, gate_sample
from immunoprofile.gate.workspace import Workspace, open_workspace
from immunoprofile.gate.workspace_samples import Node, WorkspaceSample
from immunoprofile.io.fcs import read_fcs
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
        A folder, looked through with its subfolders, or the FCS files themselves. A file belongs to the sample that has
        its name, or that was made from a file of this name.

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
    files = _files(fcs)
    rows = [row for sample in opened.samples for row in _rows(opened, sample, files)]
    table = pd.DataFrame(rows, columns=list(RECONCILE_COLUMNS))
    return table.astype({"n_flowjo": "Int64", "n": "Int64", "difference": "Int64", "difference_pct": "float64"})


def needs_a_look(table: pd.DataFrame) -> bool:
    """Whether a row of `reconcile` is neither equal nor within the tolerance."""
    return bool((~table["verdict"].isin(RECONCILED)).any())


def _files(fcs: str | Path | Iterable[str | Path]) -> dict[str, list[Path]]:
    """Files by name, in a defined order."""
    if isinstance(fcs, str | Path):
        folder = Path(fcs)
        listed = sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else [folder]
        listed = [p for p in listed if p.suffix.casefold() in (".fcs", ".lmd")]
    else:
        listed = [Path(one) for one in fcs]
    found: dict[str, list[Path]] = {}
    for path in listed:
        found.setdefault(path.name.casefold(), []).append(path)
    return found


def _rows(workspace: Workspace, sample: WorkspaceSample, files: Mapping[str, list[Path]]) -> list[dict[str, object]]:
    path, reason = _file_of(sample, files)
    gated: GatedSample | None = None
    verdict = VERDICT_NO_FILE if path is None else VERDICT_UNREADABLE
    if path is not None and sample.tube:
        strategy = workspace.gates[sample.tube].for_sample(sample.name)
        try:
            gated = gate_sample(read_fcs(path), strategy)
        except ImmunoprofileError as error:
            reason = " ".join(str(error).split())
    by_path = {node.path: node for node in sample.nodes}
    rows = []
    for node in sample.nodes:
        row: dict[str, object] = dict.fromkeys(RECONCILE_COLUMNS)
        row |= {
            "sample": sample.name,
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
            row |= _compared(node, int(gated.masks[population].sum()), binned=_binned(node, by_path))
        rows.append(row)
    return rows


def _file_of(sample: WorkspaceSample, files: Mapping[str, list[Path]]) -> tuple[Path | None, str]:
    for name in (sample.name, f"{sample.name}.fcs", sample.file):
        found = files.get(name.casefold(), [])
        if len(found) == 1:
            return found[0], ""
        if found:
            return None, f"several files are called {name}: {', '.join(path.as_posix() for path in found)}"
    return None, f"no file is called {sample.name}" + (f" or {sample.file}" if sample.file else "")


def _binned(node: Node, by_path: Mapping[tuple[str, ...], Node]) -> bool:
    """Whether a polygon or an ellipse has a part in a population."""
    needed = [node]
    seen = set()
    while needed:
        one = needed.pop()
        if one.path in seen:
            continue
        seen.add(one.path)
        if one.shape in _BINNED:
            return True
        needed += [by_path[path] for path in one.depends if path in by_path]
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
