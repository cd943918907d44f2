"""Which strategy of a FlowJo workspace gates which tube of a new study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from immunoprofile.errors import FcsError, GateError
from immunoprofile.gate.exchange import load
from immunoprofile.gate.matching import match
from immunoprofile.io.fcs import read_fcs

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class TubeOfWorkspace:
    """How a workspace gates a tube.

    Attributes
    ----------
    strategy
        Name of its strategy.
    population
        Its last population, for the first endpoint.
    notes
        What a person should know.
    """

    strategy: str
    population: str
    notes: tuple[str, ...]


def tubes_of_workspace(workspace: Path, folder: Path, tubes: Mapping[str, Sequence[str]]) -> dict[str, TubeOfWorkspace]:
    """Tube -> its strategy in the workspace, for the tubes whose files the workspace knows.

    Raises
    ------
    GateError
        The workspace cannot be read.
    """
    gates = load(workspace)
    found = {}
    for tube, files in tubes.items():
        chosen: Counter[str] = Counter()
        unknown = []
        for where in files:
            try:
                sample = read_fcs(folder / where)
                chosen[match(sample, gates, path=folder / where).strategy.tube] += 1
            except (FcsError, GateError) as error:
                unknown.append(f"{where}: {error.what}")
        if not chosen:
            continue
        name = chosen.most_common(1)[0][0]
        notes = [f"tube {tube}: gates of {workspace.name} ({name}), {len(gates[name].gates)} populations"]
        if len(chosen) > 1:
            others = ", ".join(f"{other} ({count} files)" for other, count in chosen.most_common())
            notes.append(
                f"tube {tube}: the workspace gates its files in several ways: {others}; each file keeps its own"
            )
        notes += [f"tube {tube}: not in the workspace: {text}" for text in unknown[:3]]
        found[tube] = TubeOfWorkspace(name, gates[name].gates[-1].population, tuple(notes))
    return found
