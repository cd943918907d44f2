"""What a FlowJo workspace tells of one sample: its populations and counts, scales, matrix and keywords."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree as Xml

import numpy as np

from immunoprofile.compensation import KEYWORDS
from immunoprofile.errors import Problems
from immunoprofile.gate.known import KEPT_KEYWORDS, KnownSample, ShownAxis, StoredCount
from immunoprofile.gate.strategy import Matrix, Strategy
from immunoprofile.io.guarded_xml import attribute, local

MAX_GATES, MAX_SAMPLES = 500, 5000
"""Of one sample, and of one workspace; real ones have tens of gates and hundreds of samples."""

MATRIX_ABSOLUTE, MATRIX_RELATIVE = 1e-9, 2e-7
"""FlowJo stores single precision and ten decimals: a matrix this near to the keyword of the file is the file's own."""

BOOLEAN_NODES = {"AndNode": "and", "OrNode": "or", "NotNode": "not"}
SHAPES = {"RectangleGate": "rectangle", "PolygonGate": "polygon", "EllipsoidGate": "ellipse"}
BINNED = ("polygon", "ellipse")
"""Shapes that FlowJo looks up in bins of a plot."""
_PARTS = ("DataSet", "spilloverMatrix", "Transformations", "Keywords")


@dataclass
class Node:
    """One population of a sample as the workspace tells it.

    Attributes
    ----------
    path
        Names from the first gate down to this one.
    shape
        ``rectangle``, ``polygon``, ``ellipse``, ``and``, ``or``, ``not``, or the name that FlowJo gives it.
    count
        Events that FlowJo counted; None where it stored none.
    depends
        Paths, as one text each, of the populations that a Boolean gate combines.
    missing
        Why the population is not among the gates; empty when it is.
    """

    path: tuple[str, ...]
    shape: str
    count: int | None
    key: str
    parent: Node | None
    element: Xml.Element
    depends: tuple[str, ...] = ()
    missing: str = ""

    @property
    def name(self) -> str:
        """Path as one text."""
        return "/".join(self.path)


@dataclass
class WorkspaceSample:
    """One sample of a workspace.

    Attributes
    ----------
    name
        Name in the workspace.
    sample_id
        Its number in the workspace.
    key
        Under which its gates are kept: the name, with a number where others have the same.
    uri
        Address of the FCS file that it was made from.
    nodes
        Its populations.
    n_events
        Events that FlowJo counted in the file; None where it stored none.
    tube
        Tube of the strategy that holds its gates; empty when none could be read.
    populations
        Path of names -> id of the population.
    known
        What tells its file.
    fault
        Why gates that can be read one by one cannot be read together; empty when they can.
    """

    name: str
    sample_id: str
    key: str
    uri: str
    nodes: list[Node]
    element: Xml.Element
    n_events: int | None
    tube: str = ""
    strategy: Strategy | None = None
    populations: dict[tuple[str, ...], str] = field(default_factory=dict)
    known: KnownSample = field(default_factory=lambda: KnownSample("", ""))
    fault: str = ""


def read_samples(root: Xml.Element, where: str, problems: Problems) -> Iterator[WorkspaceSample]:
    """Samples of a workspace with their populations."""
    found = [e for part in root if local(part.tag) == "SampleList" for e in part if local(e.tag) == "Sample"]
    if len(found) > MAX_SAMPLES:
        problems.add(where, f"has more than {MAX_SAMPLES} samples")
        return
    taken: set[str] = set()
    for number, element in enumerate(found, 1):
        node = next((part for part in element if local(part.tag) == "SampleNode"), None)
        name = node.get("name") if node is not None else None
        if node is None or not name:
            problems.add(where, f"sample {number} has no name")
            continue
        uri = next((part.get("uri") or "" for part in element if local(part.tag) == "DataSet"), "")
        nodes: list[Node] = []
        _walk(node, None, nodes)
        if len(nodes) > MAX_GATES:
            problems.add(f"sample {name}", f"has more than {MAX_GATES} gates")
            continue
        key, copy = name, 2
        while key in taken:
            key, copy = f"{name} ({copy})", copy + 1
        taken.add(key)
        yield WorkspaceSample(name, node.get("sampleID") or "", key, uri, nodes, element, _count(node))


def _count(element: Xml.Element) -> int | None:
    text = element.get("count") or ""
    return int(text) if re.fullmatch(r"[0-9]{1,12}", text) else None


def _walk(element: Xml.Element, parent: Node | None, found: list[Node]) -> None:
    for part in (child for inner in element if local(inner.tag) == "Subpopulations" for child in inner):
        tag = local(part.tag)
        if tag != "Population" and not tag.endswith("Node"):
            continue
        path = (*(parent.path if parent else ()), part.get("name") or "")
        gate = next((g for holder in part if local(holder.tag) == "Gate" for g in holder), None)
        shape = BOOLEAN_NODES.get(tag) or (tag if gate is None else SHAPES.get(local(gate.tag), local(gate.tag)))
        # Not those of Boolean gates below it
        listed = [e for holder in part if local(holder.tag) == "Dependents" for e in holder]
        dependents = [e for e in listed if local(e.tag) == "Dependent"] if tag in BOOLEAN_NODES else []
        depends = tuple(e.get("name") or "" for e in dependents)
        node = Node(path, shape, _count(part), f"k{len(found) + 1}", parent, part, depends)
        if any(other.path == path for other in found):
            node.missing = "its name stands twice at one place"
        elif any(other.name == node.name for other in found):
            node.missing = "its name has a slash, and its path reads like that of another gate"
        found.append(node)
        _walk(part, node, found)


def _binned(node: Node, by_name: Mapping[str, Node]) -> bool:
    """Whether a polygon or an ellipse has a part in a population."""
    needed = [node]
    seen: set[str] = set()
    while needed:
        one = needed.pop()
        if one.name in seen:
            continue
        seen.add(one.name)
        if one.shape in BINNED:
            return True
        needed += [by_name[name] for name in one.depends if name in by_name]
        needed += [one.parent] if one.parent is not None else []
    return False


class Parts:
    """What a sample brings besides its gates, and small workspaces made of it."""

    def __init__(self, sample: WorkspaceSample) -> None:
        kept = {tag: [part for part in sample.element if local(part.tag) == tag] for tag in _PARTS}
        self.matrices = kept["spilloverMatrix"]
        self.shown = [scale for holder in kept["Transformations"] for scale in holder]
        # A linear scale without limits says nothing but "linear", which is what a gate without a scale is.
        self.scales = [scale for scale in self.shown if not _is_bare(scale)]
        keywords = [word for holder in kept["Keywords"] for word in holder]
        self.keywords = {(w.get("name") or "").upper().lstrip("$"): w.get("value") or "" for w in keywords}
        names = [value.strip() for name, value in self.keywords.items() if re.fullmatch(r"P\d+N", name)]
        self.recorded = {name.replace("/", "_") for name in names} | set(names)
        self.unslashed = {name.replace("/", "_"): name for name in names}
        self.prefix = next((m.get("prefix") or "" for m in self.matrices), "")
        self.suffix = next((m.get("suffix") or "" for m in self.matrices), "")

    def channel(self, name: str) -> str:
        """Channel that a gate means: its name without what marks compensated values."""
        return name.removeprefix(self.prefix).removesuffix(self.suffix)

    def channels_of(self, node: Node) -> list[str]:
        """Channels of a gate."""
        return [self.channel(name) for name in axes_of(node)]

    def compensated(self, node: Node) -> bool:
        """Whether a gate sees compensated values."""
        return any(self.channel(name) != name for name in axes_of(node))

    def records(self, name: str) -> bool:
        """Whether a name is that of a recorded channel, in a sample that marks its compensated ones."""
        return bool(self.prefix or self.suffix) and self.channel(name) == name

    def scale_of(self, channel: str) -> Xml.Element | None:
        """The scale that a gate on a channel gets."""
        return next((scale for scale in self.scales if _channel_of(scale) == channel), None)

    def known(self, sample: WorkspaceSample) -> KnownSample:
        """What tells the file of the sample, and the units of its axes."""
        words = {name.lower(): value for name, value in self.keywords.items()}
        by_name = {node.name: node for node in sample.nodes}
        if sample.n_events is not None:
            words.setdefault("tot", str(sample.n_events))
        channels = dict.fromkeys(c for node in sample.nodes for c in self.channels_of(node))
        left_out = [(node.name, node.missing) for node in sample.nodes if node.missing]
        left_out += [("", sample.fault)] if sample.fault else []
        return KnownSample(
            sample_id=sample.key,
            name=sample.name,
            uri=sample.uri,
            keywords=tuple((name, words[name]) for name in KEPT_KEYWORDS if words.get(name)),
            axes=tuple(self._axis(self.unslashed.get(channel, channel)) for channel in channels),
            left_out=tuple(left_out),
            counts=tuple(
                StoredCount(node.name, node.shape, node.count, _binned(node, by_name)) for node in sample.nodes
            ),
        )

    def _axis(self, channel: str) -> ShownAxis:
        named = (channel, channel.replace("/", "_"))
        scale = next((one for one in self.shown if _channel_of(one) in named), None)
        number = next(
            (k[1:-1] for k, v in self.keywords.items() if re.fullmatch(r"P\d+N", k) and v.strip() == channel), ""
        )
        pnr = finite(self.keywords.get(f"P{number}R"))
        if scale is None:
            return ShownAxis(channel, pnr=pnr)
        top = finite(attribute(scale, "maxRange")) or finite(attribute(scale, "T"))
        return ShownAxis(channel, finite(attribute(scale, "gain")), top, pnr)

    def drop_matrix(self) -> None:
        """Go on without the matrix."""
        self.matrices = []

    def drop_scale(self, scale: Xml.Element) -> str:
        """Go on without one scale; its channel."""
        self.scales = [one for one in self.scales if one is not scale]
        return _channel_of(scale)

    def document(self, nodes: list[Node], *, scale: Xml.Element | None = None, matrix: bool = True) -> bytes:
        """A workspace of this sample with some of its gates, each under its key."""
        root = Xml.Element("Workspace", {"flowJoVersion": "10.0"})
        Xml.SubElement(root, "Groups")
        sample = Xml.SubElement(Xml.SubElement(root, "SampleList"), "Sample")
        Xml.SubElement(sample, "DataSet", {"sampleID": "1"})
        if matrix and scale is None:
            sample.extend(self.matrices[:1] if len(self.matrices) < 2 else self.matrices)
        holder = Xml.SubElement(sample, "Transformations")
        holder.extend([scale] if scale is not None else self.scales if nodes else [])
        Xml.SubElement(sample, "Keywords")
        top = Xml.SubElement(sample, "SampleNode", {"name": "s", "sampleID": "1"})
        keys = {node.name: node for node in nodes if not node.missing}
        holders: dict[str, Xml.Element] = {}
        for node in nodes:
            if node.missing:
                continue
            outer = top if node.parent is None else holders[node.parent.key]
            inner = next((part for part in outer if part.tag == "Subpopulations"), None)
            if inner is None:
                inner = Xml.SubElement(outer, "Subpopulations")
            element = Xml.SubElement(inner, local(node.element.tag), {"name": node.key, "owningGroup": ""})
            holders[node.key] = element
            element.extend(part for part in node.element if local(part.tag) == "Gate")
            if node.depends:
                listed = Xml.SubElement(element, "Dependents")
                for name in node.depends:
                    Xml.SubElement(listed, "Dependent", {"name": "/".join(_keys(keys[name]))})
        # FlowKit looks the namespace up by its address, in the root and only when something uses it
        root.set("{http://www.isac-net.org/std/Gating-ML/v2.0/gating}id", "w")
        root.set("{http://www.isac-net.org/std/Gating-ML/v2.0/datatypes}id", "w")
        root.set("{http://www.isac-net.org/std/Gating-ML/v2.0/transformations}id", "w")
        return bytes(Xml.tostring(root, encoding="utf-8"))

    def own_matrix(self, matrix: Matrix) -> bool:
        """Whether a matrix is the one that the keywords of the file carry."""
        text = next((self.keywords[k.upper()] for k in KEYWORDS if self.keywords.get(k.upper())), "")
        fields = [item.strip() for item in text.split(",")]
        size = len(matrix.detectors)
        if matrix.spectral or fields[0] != str(size) or len(fields) != 1 + size + size * size:
            return False
        names = [name.replace("/", "_") for name in fields[1 : size + 1]]
        if sorted(names) != sorted(name.replace("/", "_") for name in matrix.detectors):
            return False
        try:
            values = np.array([float(value) for value in fields[size + 1 :]]).reshape(size, size)
        except ValueError:
            return False
        order = [names.index(name.replace("/", "_")) for name in matrix.detectors]
        return bool(np.allclose(values[np.ix_(order, order)], matrix.array, rtol=MATRIX_RELATIVE, atol=MATRIX_ABSOLUTE))


_SETTINGS = {
    "linear": ("minRange", "maxRange"),
    "log": ("offset", "decades"),
    "logicle": ("T", "W", "M", "A"),
    "biex": ("neg", "width", "pos", "maxRange"),
    "fasinh": ("T", "M", "A"),
}


def scale_fault(scale: Xml.Element) -> str:
    """What a scale of a workspace lacks; empty where nothing is missing."""
    missing = [name for name in _SETTINGS.get(local(scale.tag), ()) if finite(attribute(scale, name)) is None]
    return f"its {local(scale.tag)} states no number for {', '.join(missing)}" if missing else ""


def _is_bare(scale: Xml.Element) -> bool:
    """Whether a linear scale states no limits."""
    limits = (attribute(scale, "minRange"), attribute(scale, "maxRange"))
    return local(scale.tag) == "linear" and any(finite(limit) is None for limit in limits)


def _channel_of(scale: Xml.Element) -> str:
    return next((attribute(part, "name") or "" for part in scale if local(part.tag) == "parameter"), "")


def finite(text: str | None) -> float | None:
    """A number of a document; None where there is none."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def axes_of(node: Node) -> list[str]:
    """Channels of a gate as the workspace names them."""
    gates = [gate for holder in node.element if local(holder.tag) == "Gate" for gate in holder]
    return [
        attribute(part, "name") or ""
        for gate in gates
        for axis in gate
        if local(axis.tag) in ("dimension", "divider")
        for part in axis
        if local(part.tag) == "fcs-dimension"
    ]


def _keys(node: Node) -> list[str]:
    return [*(_keys(node.parent) if node.parent else []), node.key]
