"""FlowJo workspaces (.wsp, FlowJo 10): the gates of their samples, and the counts that FlowJo stored.

Each sample is handed to FlowKit on its own, with every population under a plain key, so that names with slashes,
repeated names, and one gate that FlowKit cannot read do not cost the others. What is left out is named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from xml.etree import ElementTree as Xml

from immunoprofile.errors import GateError, ImmunoprofileError, Problems
from immunoprofile.gate import other_documents
from immunoprofile.gate.known import KnownSample
from immunoprofile.gate.names import population_id, tube_name
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.strategy import Dimension, Gate, GateSet, Matrix, Strategy
from immunoprofile.gate.workspace_samples import (
    BOOLEAN_NODES,
    SHAPES,
    Node,
    Parts,
    WorkspaceSample,
    axes_of,
    read_samples,
    scale_fault,
)
from immunoprofile.io import guarded_xml
from immunoprofile.io.guarded_xml import local

ALL_SAMPLES = "All Samples"


@dataclass(frozen=True)
class Workspace:
    """A workspace: its gates, and its samples with what FlowJo counted."""

    gates: GateSet
    samples: tuple[WorkspaceSample, ...]


def read_workspace(content: bytes, where: str) -> GateSet:
    """Gates of a FlowJo workspace.

    Samples whose gates form the same tree on the same channels share one strategy: each gate is the one that most of
    the samples have, and a sample where it was moved keeps its own (``Strategy.custom``). A strategy is named for the
    smallest group of the workspace that holds all of its samples, else for the workspace. FlowJo's ellipses become
    polygons of 128 corners, as FlowKit makes them. A matrix that equals the spillover keyword of its file stays "the
    spillover of the file", so that new files are compensated with their own.

    Parameters
    ----------
    content
        The workspace.
    where
        Its file name, for errors.

    Returns
    -------
    GateSet
        ``problems`` names every gate, scale and matrix that could not be read, with what depends on it.

    Raises
    ------
    GateError
        No FlowJo 10 workspace, or one without any gate that can be read.
    """
    return open_workspace(content, where).gates


def open_workspace(content: bytes, where: str) -> Workspace:
    """The gates of a workspace together with its samples and stored counts; see `read_workspace`."""
    problems = Problems()
    other_documents.refuse(content, where)
    try:
        root = guarded_xml.parse(content)
    except guarded_xml.RefusedXmlError as error:
        problems.add(where, str(error))
        raise GateError("the workspace was refused", problems.found) from error
    version = (root.get("flowJoVersion") or "").split(".")[0]
    if local(root.tag) != "Workspace" or not version.isdigit() or int(version) < 10:
        problems.add(where, "is no workspace of FlowJo 10 or later", value=root.get("flowJoVersion"))
        raise GateError("the workspace cannot be read", problems.found, todo="save it with FlowJo 10")
    samples = list(read_samples(root, where, problems))
    if problems:
        raise GateError("the workspace cannot be read", problems.found, where=where)
    problems = Problems()
    converter = _Converter()
    for sample in samples:
        converter.convert(sample, problems)
    usable = [sample for sample in samples if sample.strategy is not None]
    if not usable:
        if not problems:
            problems.add(where, "has no sample with gates")
        raise GateError("the workspace has no gates that can be read", problems.found, where=where)
    stem = re.sub(r"\.wsp\Z", "", where, flags=re.IGNORECASE)
    strategies = tuple(_common(group, sample_groups(root), stem, problems) for group in _alike(usable))
    ungated = tuple(sample.known for sample in samples if sample.strategy is None)
    return Workspace(_named_apart(strategies, usable, problems, ungated), tuple(samples))


class _Converter:
    """Turns samples into strategies, and remembers what it tried: samples of one panel repeat their gates."""

    def __init__(self) -> None:
        self.tried: dict[bytes, Strategy | str] = {}
        self.ids: dict[tuple[str, ...], str] = {}

    def convert(self, sample: WorkspaceSample, problems: Problems) -> None:
        parts = Parts(sample)
        if sample.nodes:
            self._convert(sample, parts, problems)
        sample.known = parts.known(sample)

    def _convert(self, sample: WorkspaceSample, parts: Parts, problems: Problems) -> None:
        where = f"sample {sample.key}"
        self._leave_out_unknown(sample, parts)
        strategy = self._whole(sample, parts)
        if strategy is None:
            self._leave_out_faulty(sample, parts)
            strategy = self._whole(sample, parts)
        for node in sample.nodes:
            if node.missing:
                problems.add(f"{where}, gate {node.name}", node.missing)
        if strategy is None:
            if any(not node.missing for node in sample.nodes):
                reason = self._fault(parts.document(sample.nodes))
                sample.fault = f"its gates could not be read together: {reason}"
                problems.add(where, "its gates could not be read together", value=reason)
            return
        sample.strategy = self._with_names(strategy, sample, parts)

    def _whole(self, sample: WorkspaceSample, parts: Parts) -> Strategy | None:
        _leave_out_dependents(sample.nodes)
        if all(node.missing for node in sample.nodes):
            return None
        found = self._try(parts.document(sample.nodes))
        return found if isinstance(found, Strategy) else None

    def _fault(self, document: bytes) -> str:
        found = self._try(document)
        return found if isinstance(found, str) else ""

    def _try(self, document: bytes) -> Strategy | str:
        """The gates of a small workspace, or why it has none."""
        if document not in self.tried:
            from immunoprofile.gate import _flowkit

            try:
                self.tried[document] = _flowkit.parse_workspace(document)
            except GateError as error:
                self.tried[document] = "; ".join(str(problem) for problem in error.problems) or error.what
        return self.tried[document]

    def _leave_out_unknown(self, sample: WorkspaceSample, parts: Parts) -> None:
        for node in sample.nodes:
            if node.missing:
                continue
            if node.shape not in (*SHAPES.values(), *BOOLEAN_NODES.values()):
                node.missing = f"FlowJo's {node.shape} cannot be read"
            unknown = [c for c in parts.channels_of(node) if parts.recorded and c not in parts.recorded]
            if unknown and not node.missing:
                node.missing = f"{', '.join(unknown)} is not recorded in the file (a derived parameter?)"
            unplaced = [c for c in parts.channels_of(node) if parts.scale_of(c) is None]
            if node.shape == "ellipse" and unplaced and not node.missing:
                node.missing = f"an ellipse is kept in bins of a plot, and the scale of {unplaced[0]} states no limits"

    def _leave_out_faulty(self, sample: WorkspaceSample, parts: Parts) -> None:
        """Try scales, matrix and gates one by one."""
        if fault := self._fault(parts.document([], matrix=True)):
            parts.drop_matrix()
            for node in sample.nodes:
                if parts.compensated(node):
                    node.missing = node.missing or f"the compensation matrix cannot be read: {fault}"
        for scale in list(parts.scales):
            fault = scale_fault(scale) or self._fault(parts.document([], scale=scale))
            if not fault:
                continue
            channel = parts.drop_scale(scale)
            for node in sample.nodes:
                if channel in parts.channels_of(node):
                    node.missing = node.missing or f"the scale of {channel} cannot be read: {fault}"
        for node in sample.nodes:
            if not node.missing and node.shape not in BOOLEAN_NODES.values():
                alone = replace(node, parent=None, key="k1")
                if fault := self._fault(parts.document([alone])):
                    node.missing = fault

    def _with_names(self, strategy: Strategy, sample: WorkspaceSample, parts: Parts) -> Strategy:
        """Names of the workspace in place of keys, and the file's own matrix by its meaning."""
        ids: dict[str, str] = {}
        nodes = {node.key: node for node in sample.nodes if not node.missing}
        for node in nodes.values():
            # One path has one id in all samples, so that tables of samples with different trees can be joined by it.
            if node.path not in self.ids:
                self.ids[node.path] = population_id(node.path[-1], {"root", *self.ids.values()})
            ids[node.key] = self.ids[node.path]
            sample.populations[node.path] = ids[node.key]
        own = {name for name, matrix in strategy.matrices if parts.own_matrix(matrix)}

        def axis(d: Dimension, seen: str) -> Dimension:
            marker = parts.unslashed.get(d.marker, d.marker)
            if parts.records(seen):
                # FlowKit compensates it all the same; in FlowJo the name without the mark is the recorded channel.
                return replace(d, marker=marker, compensated=False, matrix="")
            return replace(d, marker=marker, matrix="" if d.matrix in own else d.matrix)

        def named(gate: Gate) -> Gate:
            name = nodes[gate.population].path[-1]
            seen = axes_of(nodes[gate.population]) if gate.dimensions else []
            return replace(
                gate,
                population=ids[gate.population],
                parent=ids.get(gate.parent, gate.parent),
                label=name if name != ids[gate.population] else "",
                operands=tuple(replace(o, population=ids[o.population]) for o in gate.operands),
                dimensions=tuple(axis(d, name) for d, name in zip(gate.dimensions, seen, strict=True)),
            )

        return replace(
            strategy,
            gates=tuple(named(gate) for gate in strategy.gates),
            matrices=tuple((name, matrix) for name, matrix in strategy.matrices if name not in own),
        )


def _leave_out_dependents(nodes: list[Node]) -> None:
    """Mark what stands below, or refers to, a gate that is left out."""
    by_name = {node.name: node for node in nodes if not node.missing}
    changed = True
    while changed:
        changed = False
        for node in nodes:
            if node.missing:
                continue
            above = node.parent
            if above is not None and above.missing:
                node.missing = f"stands below {above.name}, which is left out"
            elif gone := [name for name in node.depends if name not in by_name or by_name[name].missing]:
                node.missing = f"refers to {gone[0]}, which is left out or not there"
            elif node.shape in BOOLEAN_NODES.values() and not node.depends:
                node.missing = "refers to no gate"
            elif above is not None and above.name in node.depends:
                node.missing = f"refers to its parent {above.name}"
            changed = changed or bool(node.missing)


def _alike(samples: list[WorkspaceSample]) -> list[list[WorkspaceSample]]:
    """Samples whose gates form the same tree on the same channels."""
    found: dict[object, list[WorkspaceSample]] = {}
    for sample in samples:
        assert sample.strategy is not None
        tree = frozenset(
            (g.population, g.label, g.parent, g.kind, tuple(d.marker for d in g.dimensions), g.operands)
            for g in sample.strategy.gates
        )
        found.setdefault(tree, []).append(sample)
    return list(found.values())


def _common(samples: list[WorkspaceSample], groups: Mapping[str, set[str]], stem: str, problems: Problems) -> Strategy:
    """One strategy for samples with the same tree."""
    strategies = [sample.strategy for sample in samples if sample.strategy is not None]
    scales: dict[tuple[str, Scale], str] = {}
    matrices: dict[tuple[str, Matrix], str] = {}
    for pairs, kept in ((("scales"), scales), (("matrices"), matrices)):
        counted = Counter(pair for strategy in strategies for pair in getattr(strategy, pairs))
        for name, value in sorted(counted, key=lambda pair: -counted[pair]):
            kept[name, value] = _unused(name, set(kept.values()))

    def renamed(strategy: Strategy) -> tuple[Gate, ...]:
        scale_of = {name: scales[name, value] for name, value in strategy.scales}
        matrix_of = {name: matrices[name, value] for name, value in strategy.matrices} | {"": ""}
        return tuple(
            replace(
                gate,
                dimensions=tuple(
                    replace(d, scale=None if d.scale is None else scale_of[d.scale], matrix=matrix_of[d.matrix])
                    for d in gate.dimensions
                ),
            )
            for gate in strategy.gates
        )

    gates = [{gate.population: gate for gate in renamed(strategy)} for strategy in strategies]
    most = {p: Counter(own[p] for own in gates).most_common(1)[0][0] for p in gates[0]}
    custom = [
        (sample.key, gate)
        for sample, own in zip(samples, gates, strict=True)
        for gate in own.values()
        if gate != most[gate.population]
    ]
    used = [d for gate in (*most.values(), *(gate for _, gate in custom)) for d in gate.dimensions]
    used_scales, used_matrices = {d.scale for d in used}, {d.matrix for d in used}
    ids = {sample.sample_id for sample in samples}
    holding = sorted((len(members), name) for name, members in groups.items() if ids <= members and name != ALL_SAMPLES)
    try:
        return Strategy(
            tube=tube_name(holding[0][1] if holding else stem),
            gates=tuple(most.values()),
            scales=tuple((made, value) for (_, value), made in scales.items() if made in used_scales),
            channels=tuple((c, c) for c in dict.fromkeys(c for d in used for c in d.channels)),
            matrices=tuple((made, value) for (_, value), made in matrices.items() if made in used_matrices),
            custom=tuple(custom),
            samples=tuple(sample.known for sample in samples),
            limits="flowjo",
        )
    except ImmunoprofileError as error:
        problems.add(f"samples {', '.join(sample.name for sample in samples)}", str(error))
        raise


def _unused(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}.{number}", number + 1
    return candidate


def sample_groups(root: Xml.Element) -> dict[str, set[str]]:
    """Group of a workspace -> ids of its samples, with the one that holds all."""
    found: dict[str, set[str]] = {}
    for part in (node for holder in root if local(holder.tag) == "Groups" for node in holder):
        members = {e.get("sampleID") or "" for e in part.iter() if local(e.tag) == "SampleRef"}
        if members and part.get("name"):
            found.setdefault(part.get("name") or "", members)
    return found


def _named_apart(
    strategies: tuple[Strategy, ...],
    samples: list[WorkspaceSample],
    problems: Problems,
    ungated: tuple[KnownSample, ...],
) -> GateSet:
    tubes: list[str] = []
    renamed = []
    for group, strategy in zip(_alike(samples), strategies, strict=True):
        tube, number = strategy.tube, 2
        while tube in tubes:
            tube, number = f"{strategy.tube}_{number}", number + 1
        tubes.append(tube)
        renamed.append(replace(strategy, tube=tube))
        for sample in group:
            sample.tube = tube
    return GateSet(tuple(sorted(renamed, key=lambda one: one.tube)), tuple(problems.found), ungated)
