"""What a FlowJo workspace tells of the files of a new study: their gates, their groups and their keywords."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from immunoprofile.errors import FcsError, GateError, Problems
from immunoprofile.gate.exchange import load
from immunoprofile.gate.matching import Match, Matcher
from immunoprofile.gate.workspace import ALL_SAMPLES, sample_groups
from immunoprofile.gate.workspace_samples import Parts, read_samples
from immunoprofile.io import guarded_xml
from immunoprofile.io.fcs import read_fcs_head
from immunoprofile.io.inputs import read_plain
from immunoprofile.io.manifest import fcs_files

if TYPE_CHECKING:
    from pathlib import Path

    from immunoprofile.gate.strategy import GateSet


@dataclass(frozen=True)
class TubeOfWorkspace:
    """How a workspace gates a tube.

    Attributes
    ----------
    strategy
        Name of its strategy; of several the one that most files have.
    population
        Its last population, for the first endpoint.
    notes
        What a person should know.
    """

    strategy: str
    population: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class FilesOfWorkspace:
    """The files below a folder as a workspace knows them, by their paths below it.

    Attributes
    ----------
    name
        File name of the workspace.
    gates
        Its gates.
    matches
        Gates of each file that has some, and the sample that it is.
    unknown
        Why a file has none.
    keywords
        Keywords of the sample that a file is, with what people edited in FlowJo: upper case, without ``$``.
    groups
        Groups that the sample of a file stands in, without "All Samples".
    """

    name: str
    gates: GateSet
    matches: dict[str, Match] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    keywords: dict[str, Mapping[str, str]] = field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)


def files_of_workspace(workspace: Path, folder: Path) -> FilesOfWorkspace:
    """Find the samples of a workspace that the files below a folder are.

    Raises
    ------
    GateError
        The workspace cannot be read.
    """
    gates = load(workspace)
    root = guarded_xml.parse(read_plain(workspace))
    samples = {one.key: one for one in read_samples(root, workspace.name, Problems())}
    members = {name: ids for name, ids in sample_groups(root).items() if name != ALL_SAMPLES}
    found = FilesOfWorkspace(workspace.name, gates)
    paths = {path.relative_to(folder).as_posix(): path for path in fcs_files(folder, Problems())}
    matcher = Matcher(gates, paths.values())
    for where, path in paths.items():
        try:
            match = matcher.match(read_fcs_head(path).empty, path)
        except (FcsError, GateError) as error:
            found.unknown[where] = error.what
            continue
        found.matches[where] = match
        sample = samples.get(match.sample.sample_id) if match.sample is not None else None
        if sample is not None:
            found.keywords[where] = Parts(sample).keywords
            found.groups[where] = tuple(name for name, ids in members.items() if sample.sample_id in ids)
    return found


def tubes_of_workspace(known: FilesOfWorkspace, tubes: Mapping[str, Sequence[str]]) -> dict[str, TubeOfWorkspace]:
    """Tube -> its strategy in the workspace, for the tubes of which the workspace gates a file."""
    found = {}
    for tube, files in tubes.items():
        chosen = Counter(known.matches[where].strategy.tube for where in files if where in known.matches)
        if not chosen:
            continue
        name = chosen.most_common(1)[0][0]
        gates = known.gates[name].gates
        notes = [f"tube {tube}: gates of {known.name} ({name}), {len(gates)} populations"]
        if len(chosen) > 1:
            trees = ", ".join(f"{one} ({count} files)" for one, count in chosen.most_common())
            notes.append(
                f"tube {tube}: the workspace gates its files in {len(chosen)} ways: {trees}; in a run each file gets "
                "the gates of its own sample, and study.yaml names those that most files have"
            )
        lacking = [f"{where}: {known.unknown[where]}" for where in files if where in known.unknown]
        lacking += [
            f"{where}: gets the gates that most samples have"
            for where in files
            if where in known.matches and known.matches[where].sample is None
        ]
        notes += [f"tube {tube}: not in the workspace: {text}" for text in lacking[:3]]
        notes += [f"tube {tube}: and {len(lacking) - 3} more files"] if len(lacking) > 3 else []
        found[tube] = TubeOfWorkspace(name, gates[-1].population, tuple(notes))
    return found
