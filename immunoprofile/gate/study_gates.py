"""The gates of a study: which strategies serve each tube, under the ids that the study gives their populations.

Templates and GatingML documents serve the tube that ``study.yaml`` names them for. A workspace names files: each file
of the study gets the gates of its own sample, and a tube has as many trees of gates as its samples have.
"""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from immunoprofile.errors import GateError, ImmunoprofileError, Problems
from immunoprofile.gate.ledger import LEDGER, Ledger, read_ledger, study_ids
from immunoprofile.gate.mapping import MAPPING_TABLE, apply_mapping, renamed, sources_of
from immunoprofile.gate.matching import Match, Matcher, match
from immunoprofile.gate.names import population_id, tube_name
from immunoprofile.gate.overrides_in_force import in_force, misfits, overridden
from immunoprofile.gate.strategy import ROOT, GateSet, Strategy
from immunoprofile.io.fcs import read_fcs_head
from immunoprofile.io.records import records

if TYPE_CHECKING:
    from immunoprofile.gate.overrides import Override
    from immunoprofile.io.config import StudyConfig
    from immunoprofile.io.fcs import Sample
    from immunoprofile.study import Study

GATED_ROLES = ("sample", "control", "replicate")
"""Roles whose files have the whole panel; FMO controls and single stains lack markers on purpose."""

Value = TypeVar("Value")

_BEADS = "beads"


@dataclass(frozen=True, eq=False)
class StudyGates(Mapping[str, Strategy]):
    """The gates of a study by tube.

    ``gates[tube]`` is a strategy with all populations that any file of the tube may have; `match` gives the gates of
    one file.

    Attributes
    ----------
    whole
        One strategy a tube.
    trees
        Tube -> the strategies that its files have; of templates one.
    ledger
        Gates of single samples that people drew anew.
    """

    whole: GateSet
    trees: Mapping[str, tuple[Strategy, ...]]
    _by_tree: Mapping[tuple[str, str], Strategy]
    _matcher: Matcher
    _ids: Mapping[tuple[str, str], Mapping[str, str]]
    """(Tube, tree) -> path of names in the document -> id."""
    ledger: Ledger = field(default_factory=Ledger)
    _hashes: dict[str, str] = field(default_factory=dict, repr=False)

    def __getitem__(self, tube: str) -> Strategy:
        return self.whole[tube]

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole)

    def __len__(self) -> int:
        return len(self.whole)

    def sha256(self, tube: str) -> str:
        """Hash of all gates of a tube: those of a template, or of every tree with the gates of single samples."""
        if tube not in self._hashes:  # of a workspace with many samples it takes a while
            self._hashes[tube] = self._hash(tube)
        return self._hashes[tube]

    def _hash(self, tube: str) -> str:
        trees = self.trees[tube]
        if len(trees) == 1 and trees[0].sha256 == self.whole[tube].sha256:
            return self.whole[tube].sha256
        return hashlib.sha256("\n".join(sorted(tree.sha256 for tree in trees)).encode()).hexdigest()

    def in_force(self, sample_id: str, tube: str) -> tuple[Override, ...]:
        """Overrides that are in force for a sample, one a gate."""
        return in_force(self.ledger.overrides, sample_id, tube)

    def sha256_of_sample(self, sample_id: str, tube: str, placed: Strategy | None = None) -> str:
        """Hash of the gates of a tube, or of those placed for one sample, with the overrides of the sample."""
        plain = self.sha256(tube) if placed is None else placed.sha256
        own = self.in_force(sample_id, tube)
        content = "\n".join([plain, *(repr(one.after) for one in own)])
        return hashlib.sha256(content.encode()).hexdigest() if own else plain

    def match(self, sample: Sample, tube: str, path: Path | None = None, *, sample_id: str = "") -> Match:
        """The gates of one file of a tube, see `matching.match`, with the overrides of its sample.

        Raises
        ------
        GateError
            Which sample of a workspace the file is cannot be told, or the workspace has no gates for it.
        """
        found = self._match(sample, tube, path)
        return replace(found, strategy=overridden(found.strategy, self.in_force(sample_id, tube)))

    def _match(self, sample: Sample, tube: str, path: Path | None) -> Match:
        if not self.trees[tube][0].samples:
            return match(sample, self.whole[tube], path=path)
        found = self._matcher.match(sample, path)
        tree = self._by_tree.get((tube, found.strategy.tube))
        if tree is None:
            problems = Problems()
            problems.add(sample.name, f"is a file of tube {tube}, and its gates are those of {found.strategy.tube}")
            raise GateError("the file is not of its tube", problems.found, where=sample.name,
                            todo="correct tube_id in samples.csv, or the sample in the workspace")  # fmt: skip
        own = tree.for_sample("" if found.sample is None else found.sample.sample_id)
        known = found.sample
        if known is not None:
            ids = self._ids[tube, tree.tube]
            counts = tuple(replace(one, population=ids.get(one.gate_path, "")) for one in known.counts)
            known = replace(known, counts=counts)
        return replace(found, strategy=replace(own, tube=tube), sample=known)


def study_gates(gates: GateSet, study: Study) -> StudyGates:
    """Strategies of the tubes of a study.

    The overrides of the study (`ledger`) are read with them, and held against them.

    A tube takes the strategy that ``tubes.<tube>.gates`` names: by its name, by the name of its document (``Trial
    gates.xml``), or, where it only repeats the name of the only tube, the one that was loaded. Gates of a workspace
    are found by the files of the tube. ``populations.csv`` of the study gives populations their ids.

    Raises
    ------
    GateError
        A tube has no gates; a row of ``populations.csv`` or of the ledger cannot be followed; all at once. The ledger
        is not as it was written.
    """
    problems = Problems()
    ledger = read_ledger(study.folder)
    drawn = [one for one in gates.overrides if one not in ledger.overrides]
    gates = replace(gates, overrides=())  # the ledger names samples of the study, not files
    config = study.config
    paths = {tube: _paths(study, tube) for tube in config.tubes}
    matcher = Matcher(gates, [path for found in paths.values() for path in found])
    trees: dict[str, tuple[Strategy, ...]] = {}
    for tube in config.tubes:
        named = _named(tube, gates, config)
        if named is not None and not named.samples:
            trees[tube] = (named,)
        elif matcher.knows_samples and paths[tube]:
            trees[tube] = _by_files(tube, gates, matcher, paths[tube], problems)
        elif named is not None:
            trees[tube] = (named,)
        else:
            loaded = ", ".join(gates) or "none loaded"
            problems.add(f"tube {tube}", "has no gates", column=f"tubes.{tube}.gates", value=config.tubes[tube].gates,
                         allowed=loaded)  # fmt: skip
    if problems:
        raise GateError("the gates do not fit the study", problems.found, where=config.study_id)
    rows = records(study.populations, "populations")
    _check_tubes(rows, config, problems)
    used: set[int] = set()
    whole: list[Strategy] = []
    mapped: dict[str, tuple[Strategy, ...]] = {}
    by_tree: dict[tuple[str, str], Strategy] = {}
    ids: dict[tuple[str, str], dict[str, str]] = {}
    for tube, found in trees.items():
        aligned = _with_common_ids(found)
        again, rows_used = apply_mapping(aligned, rows, tube, problems)
        used |= rows_used
        if problems:
            continue
        again = tuple(_with_beads(strategy) for strategy in again)
        mapped[tube] = again
        whole.append(_union(tube, again))
        by_tree |= {(tube, tree.tube): tree for tree in again}
        for old, new in zip(found, again, strict=True):
            ids[tube, old.tube] = dict(zip(_places(old), new.populations, strict=True))
    _name_unused(rows, used, trees, problems)
    if problems:
        raise GateError("the gates do not fit the study", problems.found, where=config.study_id)
    _check_overrides(ledger, drawn, {strategy.tube: strategy for strategy in whole}, study, problems)
    if problems:
        raise GateError("overrides cannot be followed", problems.found, where=config.study_id)
    return StudyGates(replace(gates, strategies=tuple(whole)), mapped, by_tree, matcher, ids, ledger)


def _check_overrides(
    ledger: Ledger, drawn: Sequence[Override], gates: Mapping[str, Strategy], study: Study, problems: Problems
) -> None:
    """Rows of the ledger that are about nothing in the study, or do not fit its gates; overrides without a row."""
    tubes = dict(zip(study.samples["sample_id"].astype(str), study.samples["tube_id"].astype(str), strict=True))
    of_study = study_ids(ledger)
    last = {id(one) for sample in tubes for one in in_force(ledger.overrides, sample)}
    for number, one in enumerate(ledger.overrides, 1):
        if of_study[number - 1] != study.config.study_id:
            problems.add(LEDGER, "is of another study", row=number, column="study_id", value=of_study[number - 1])
        if one.tube not in gates:
            problems.add(LEDGER, "there is no such tube", row=number, column="tube", value=one.tube,
                         allowed=", ".join(gates))  # fmt: skip
        elif tubes.get(one.sample) != one.tube:
            near = difflib.get_close_matches(
                one.sample, [name for name, tube in tubes.items() if tube == one.tube], n=1
            )
            problems.add(LEDGER, f"is no sample of tube {one.tube}", row=number, column="sample", value=one.sample,
                         allowed=f"did you mean {near[0]}?" if near else "")  # fmt: skip
        elif id(one) in last:  # what was taken back or drawn again need not fit any more
            for column, fault, value in misfits(one, gates[one.tube]):
                problems.add(LEDGER, fault, row=number, column=column, value=value)
    for one in drawn:
        problems.add(f"override of {one.place}, sample {one.sample}", "is not in the ledger of the study",
                     allowed="gate.override(..., study=study), which records it")  # fmt: skip


def _paths(study: Study, tube: str) -> list[Path]:
    samples = study.samples
    rows = samples[(samples["tube_id"] == tube) & samples["role"].isin(GATED_ROLES)]
    return [study.fcs_path(str(sample_id)) for sample_id in rows["sample_id"]]


def _named(tube: str, gates: GateSet, config: StudyConfig) -> Strategy | None:
    """The strategy that study.yaml names for a tube; the only one where it names none but the only tube."""
    wanted = config.tubes[tube].gates
    for name in (wanted, tube_name(Path(wanted).stem), tube_name(wanted)):
        if name in gates:
            return gates[name]
    unnamed = wanted == tube and len(gates) == len(config.tubes) == 1
    return next(iter(gates.values())) if unnamed else None


def _by_files(
    tube: str, gates: GateSet, matcher: Matcher, paths: Sequence[Path], problems: Problems
) -> tuple[Strategy, ...]:
    """Trees that the files of a tube have, the most frequent first; a file that has none is told when it is gated."""
    seen: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for path in paths:
        try:
            seen[matcher.match(read_fcs_head(path).empty, path).strategy.tube] += 1
        except ImmunoprofileError as error:
            reasons.setdefault(" ".join(str(error).split()), path.name)
    if not seen:
        reason, name = next(iter(reasons.items()))
        problems.add(f"tube {tube}", f"no file of it has gates in the workspace; {name}: {reason}")
    return tuple(gates[name] for name, _ in seen.most_common())


def _with_common_ids(trees: Sequence[Strategy]) -> tuple[Strategy, ...]:
    """Trees in which the population at one place has one id: ids are made of names, and names repeat."""
    if len(trees) < 2:
        return tuple(trees)
    known: dict[tuple[str, ...], str] = {}
    result = []
    for tree in trees:
        ids: dict[str, str] = {}
        labels = {gate.population: gate.label or gate.population for gate in tree.gates}
        for gate in tree.gates:
            place = (*(labels[name] for name in tree.path(gate.population)[1:]), labels[gate.population])
            if place in known and known[place] in ids.values():
                place = (*place, gate.population)  # two gates of one name at one place
            if place not in known:
                taken = {ROOT, *known.values()}
                free = gate.population not in taken
                known[place] = gate.population if free else population_id(labels[gate.population], taken)
            ids[gate.population] = known[place]
        result.append(renamed(tree, {a: b for a, b in ids.items() if a != b}, keep_names=True))
    return tuple(result)


def _places(strategy: Strategy) -> list[str]:
    """Path of names of each population, as the document has it."""
    labels = {gate.population: gate.label or gate.population for gate in strategy.gates}
    return ["/".join(labels[name] for name in (*strategy.path(p)[1:], p)) for p in strategy.populations]


def _with_beads(strategy: Strategy) -> Strategy:
    """A population that the study calls beads is that of the counting beads."""
    return replace(strategy, beads=_BEADS) if not strategy.beads and _BEADS in strategy else strategy


def _union(tube: str, trees: Sequence[Strategy]) -> Strategy:
    """A strategy with every population of the trees; where they differ, as the most frequent tree has it."""
    first = trees[0]
    gates = list(first.gates)
    scales, matrices = dict(first.scales), dict(first.matrices)
    channels = dict(first.channels)
    for tree in trees[1:]:
        scale_of = _free_names(dict(tree.scales), scales)
        matrix_of = _free_names(dict(tree.matrices), matrices)
        known = {gate.population for gate in gates}
        for gate in tree.gates:
            if gate.population in known or gate.parent not in {ROOT, *known}:
                continue
            axes = tuple(
                replace(d, scale=scale_of.get(d.scale or ""), matrix=matrix_of.get(d.matrix, ""))
                for d in gate.dimensions
            )
            gates.append(replace(gate, dimensions=axes))
            known.add(gate.population)
        channels = dict(tree.channels) | channels
    own = () if len(trees) > 1 else first.custom
    return replace(
        first,
        tube=tube,
        gates=tuple(gates),
        scales=tuple(scales.items()),
        matrices=tuple(matrices.items()),
        channels=tuple(channels.items()),
        custom=own,
        samples=tuple(known for tree in trees for known in tree.samples),
        beads=next((tree.beads for tree in trees if tree.beads), ""),
    )


def _free_names(new: Mapping[str, Value], into: dict[str, Value]) -> dict[str, str]:
    """Add values to others by name; those whose name means something else there get another one."""
    names = {}
    for name, value in new.items():
        free, number = name, 2
        while free in into and into[free] != value:
            free, number = f"{name}.{number}", number + 1
        into[free] = value
        names[name] = free
    return names


def _check_tubes(rows: Sequence[Mapping[str, str]], config: StudyConfig, problems: Problems) -> None:
    for number, row in enumerate(rows, 1):
        if row["tube"] and row["tube"] not in config.tubes:
            problems.add(MAPPING_TABLE, "is no tube of study.yaml", row=number, column="tube", value=row["tube"],
                         allowed=", ".join(config.tubes))  # fmt: skip


def _name_unused(
    rows: Sequence[Mapping[str, str]],
    used: set[int],
    trees: Mapping[str, Sequence[Strategy]],
    problems: Problems,
) -> None:
    """Rows whose population no gates have, with the names that come near."""
    for number, row in enumerate(rows, 1):
        if number in used or problems:
            continue
        tubes = [row["tube"]] if row["tube"] else list(trees)
        names = [name for tube in tubes for tree in trees.get(tube, ()) for name in sources_of(tree).values()]
        near = difflib.get_close_matches(row["source"], names, n=3, cutoff=0.5) or sorted(set(names))[:12]
        problems.add(MAPPING_TABLE, "is no population of the gates", row=number, column="source", value=row["source"],
                     allowed=", ".join(dict.fromkeys(near)))  # fmt: skip
