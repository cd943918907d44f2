"""GatingML 2.0 written so that every reader gets the gates that were meant, and checked before it is read.

FlowKit reads the documents; its own export loses complements, moves quadrants and writes names that no parser takes,
so the writer is ours. What GatingML cannot say (original names, order, notes) stands in one ``custom_info`` element
that other readers pass over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any
from xml.etree import ElementTree as Xml

from immunoprofile.errors import GateError, Problems
from immunoprofile.gate import other_documents
from immunoprofile.gate.gates import parents_first
from immunoprofile.gate.known import KnownSample, limits_of
from immunoprofile.gate.methods import CUT_SHIFT, METHODS, arguments_in_words, cut_shift_in, read_arguments
from immunoprofile.gate.names import FCS_SPILLOVER, UNCOMPENSATED, population_id
from immunoprofile.gate.scales import FLOWJO_KINDS
from immunoprofile.gate.strategy import BOOLEAN_KINDS, ROOT, Dimension, Gate, Operand, Strategy
from immunoprofile.io import guarded_xml
from immunoprofile.io.guarded_xml import attribute, local

GATING = "http://www.isac-net.org/std/Gating-ML/v2.0/gating"
TYPES = "http://www.isac-net.org/std/Gating-ML/v2.0/datatypes"
TRANSFORMS = "http://www.isac-net.org/std/Gating-ML/v2.0/transformations"
OWN = "urn:immunoprofile:gating:1"

_PREFIXES = {"gating": GATING, "data-type": TYPES, "transforms": TRANSFORMS, "immunoprofile": OWN}
_TRANSFORM_TAGS = {"logicle": "logicle", "hyperlog": "hyperlog", "asinh": "fasinh", "log": "flog", "linear": "flin"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_PLAIN = ("method", "group_by", "fallback", "note", "label")
_HEADER = ("beads", "version", "panel", "instrument")


def document(strategy: Strategy, samples: Mapping[str, str] | None = None) -> bytes:
    """A strategy whose dimensions name channels as a GatingML document; equal strategies give equal bytes.

    Parameters
    ----------
    strategy
        The gates; those of single samples are left out.
    samples
        Sample id -> name of the document that holds the gates of that sample.

    Raises
    ------
    GateError
        Scales of FlowJo, which GatingML does not have, or a matrix with a reserved name.
    """
    problems = Problems()
    for name, scale in strategy.scales:
        if scale.kind in FLOWJO_KINDS:
            fault = f"GatingML has no {scale.kind}, and another scale would move the gates"
            problems.add(f"scale {name}", fault, allowed="save the gates as .json")
    for name, _ in strategy.matrices:
        if name in (FCS_SPILLOVER, UNCOMPENSATED):
            problems.add(f"matrix {name}", "has a name that means something else", allowed="another name")
    if problems:
        raise GateError("GatingML cannot say this", problems.found, where=strategy.tube)
    return _Writer(strategy).document(samples or {})


class _Writer:
    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.taken: set[str] = {ROOT, FCS_SPILLOVER, UNCOMPENSATED}
        self.populations = {name: self._id(name) for name in strategy.populations}
        self.quadrants = {name: self._id(name) for name in strategy.quadrants}
        self.helpers = {
            gate.population: self._id(f"{gate.population}_inside") for gate in strategy.gates if gate.complement
        }
        self.matrices = {name: self._id(name) for name, _ in strategy.matrices}
        self.scales = {name: self._id(name) for name, _ in strategy.scales}
        self.ratios = {d.marker: d.ratio for gate in strategy.gates for d in gate.dimensions if d.ratio is not None}
        self.ratio_ids = {name: self._id(name) for name in self.ratios}
        self.root = Xml.Element(f"{{{GATING}}}Gating-ML")

    def _id(self, name: str) -> str:
        """The name itself where it is an XML name that nothing else has, else one made from it."""
        result = name if _NAME.match(name) and name not in self.taken else population_id(name, self.taken)
        self.taken.add(result)
        return result

    def document(self, samples: Mapping[str, str]) -> bytes:
        for name, scale in self.strategy.scales:
            outer = _add(self.root, TRANSFORMS, "transformation", TRANSFORMS, id=self.scales[name])
            _add(outer, TRANSFORMS, _TRANSFORM_TAGS[scale.kind], TRANSFORMS, **dict(scale.parameters))
        for name, ratio in self.ratios.items():
            outer = _add(self.root, TRANSFORMS, "transformation", TRANSFORMS, id=self.ratio_ids[name])
            inner = _add(outer, TRANSFORMS, "fratio", TRANSFORMS, A=ratio.a, B=ratio.b, C=ratio.c)
            for channel in (ratio.numerator, ratio.denominator):
                _add(inner, TYPES, "fcs-dimension", TYPES, name=channel)
        for name, matrix in self.strategy.matrices:
            outer = _add(self.root, TRANSFORMS, "spectrumMatrix", TRANSFORMS, id=self.matrices[name])
            fluorochromes = matrix.fluorochromes or matrix.detectors[: len(matrix.values)]
            for tag, names in (("fluorochromes", fluorochromes), ("detectors", matrix.detectors)):
                inner = _add(outer, TRANSFORMS, tag, TRANSFORMS)
                for channel in names:
                    _add(inner, TYPES, "fcs-dimension", TYPES, name=channel)
            for row in matrix.values:
                inner = _add(outer, TRANSFORMS, "spectrum", TRANSFORMS)
                for value in row:
                    _add(inner, TRANSFORMS, "coefficient", TRANSFORMS, value=value)
        done: set[str] = set()
        for gate in self.strategy.gates:
            if not gate.quadrant_of:
                self._gate(gate)
            elif gate.quadrant_of not in done:
                done.add(gate.quadrant_of)
                self._quadrant_gate(gate.quadrant_of)
        self._own_words(samples)
        for prefix, address in _PREFIXES.items():
            Xml.register_namespace(prefix, address)
        Xml.indent(self.root)
        return bytes(Xml.tostring(self.root, encoding="utf-8", xml_declaration=True)) + b"\n"

    def _open(self, tag: str, name: str, parent: str) -> Xml.Element:
        attributes = {"id": name} | ({} if parent == ROOT else {"parent_id": self.populations[parent]})
        return _add(self.root, GATING, tag, GATING, **attributes)

    def _gate(self, gate: Gate) -> None:
        name = self.populations[gate.population]
        if gate.kind in BOOLEAN_KINDS:
            element = _add(self._open("BooleanGate", name, gate.parent), GATING, gate.kind, GATING)
            operands = gate.operands * 2 if gate.kind != "not" and len(gate.operands) == 1 else gate.operands
            for operand in operands:
                extra = {"use-as-complement": "true"} if operand.complement else {}
                _add(element, GATING, "gateReference", GATING, ref=self.populations[operand.population], **extra)
            return
        # GatingML gates have no complement: the gate is written inside out and a 'not' refers to it
        own = self.helpers.get(gate.population, name)
        tags = {"rectangle": "RectangleGate", "polygon": "PolygonGate", "ellipsoid": "EllipsoidGate"}
        element = self._open(tags[gate.kind], own, gate.parent)
        for dimension in gate.dimensions:
            limits = {"min": dimension.minimum, "max": dimension.maximum} if gate.kind == "rectangle" else {}
            self._axis(element, "dimension", dimension, limits)
        for corner in gate.vertices:
            _values(_add(element, GATING, "vertex", GATING), "coordinate", corner)
        if gate.ellipsoid is not None:
            _values(_add(element, GATING, "mean", GATING), "coordinate", gate.ellipsoid.mean)
            covariance = _add(element, GATING, "covarianceMatrix", GATING)
            for row in gate.ellipsoid.covariance:
                _values(_add(covariance, GATING, "row", GATING), "entry", row)
            _values(element, "distanceSquare", (gate.ellipsoid.distance_square,))
        if own != name:
            element = _add(self._open("BooleanGate", name, gate.parent), GATING, "not", GATING)
            _add(element, GATING, "gateReference", GATING, ref=own)

    def _axis(
        self, element: Xml.Element, tag: str, dimension: Dimension, extra: Mapping[str, str | float | None]
    ) -> Xml.Element:
        reference = UNCOMPENSATED
        if dimension.compensated:
            reference = self.matrices[dimension.matrix] if dimension.matrix else FCS_SPILLOVER
        scale = {} if dimension.scale is None else {"transformation-ref": self.scales[dimension.scale]}
        found = {key: value for key, value in extra.items() if value is not None}
        axis = _add(element, GATING, tag, GATING, **{"compensation-ref": reference}, **scale, **found)
        if dimension.ratio is None:
            _add(axis, TYPES, "fcs-dimension", TYPES, name=dimension.marker)
        else:
            _add(axis, TYPES, "new-dimension", TYPES, **{"transformation-ref": self.ratio_ids[dimension.marker]})
        return axis

    def _quadrant_gate(self, name: str) -> None:
        quadrants = self.strategy.quadrants[name]
        element = self._open("QuadrantGate", self.quadrants[name], quadrants[0].parent)
        axes: dict[str, Dimension] = {}
        values: dict[str, set[float]] = {}
        for dimension in (d for quadrant in quadrants for d in quadrant.dimensions):
            axes.setdefault(dimension.marker, dimension)
            limits = (dimension.minimum, dimension.maximum)
            values.setdefault(dimension.marker, set()).update(limit for limit in limits if limit is not None)
        ids = {marker: self._id(f"{self.quadrants[name]}_divider_{n}") for n, marker in enumerate(axes, 1)}
        for marker, dimension in axes.items():
            divider = self._axis(element, "divider", dimension, {"id": ids[marker]})
            for value in sorted(values[marker]):
                _add(divider, GATING, "value", GATING).text = _said(value)
        for quadrant in quadrants:
            cell = _add(element, GATING, "Quadrant", GATING, id=self.populations[quadrant.population])
            for d in quadrant.dimensions:
                inside = _within(d.minimum, d.maximum)
                _add(cell, GATING, "position", GATING, divider_ref=ids[d.marker], location=inside)

    def _own_words(self, samples: Mapping[str, str]) -> None:
        """What GatingML has no place for; ids that were made are told with the names that they stand for."""
        strategy = self.strategy
        info = _add(self.root, TYPES, "custom_info", TYPES)
        header = {key: getattr(strategy, key) for key in _HEADER if getattr(strategy, key)}
        header |= {"limits": strategy.limits} if strategy.limits != "file" else {}
        header |= {"cut_shift": repr(strategy.cut_shift)} if strategy.cut_shift != CUT_SHIFT else {}
        own = _add(info, OWN, "strategy", "", **header)
        for gate in strategy.gates:
            words = {key: getattr(gate, key) for key in _PLAIN if getattr(gate, key) not in ("", "fixed")}
            if gate.arguments:
                words["arguments"] = arguments_in_words(gate.arguments)
            if gate.kind in BOOLEAN_KINDS and gate.kind != "not" and len(gate.operands) == 1:
                words["operands"] = "one"
            if gate.complement:
                words["inside"] = self.helpers[gate.population]
            _add(own, OWN, "gate", "", id=self.populations[gate.population], population=gate.population, **words)
        for kind, names in (
            ("quadrants", self.quadrants),
            ("scale", self.scales),
            ("matrix", self.matrices),
            ("ratio", self.ratio_ids),
        ):
            for name, made in names.items():
                if made != name:
                    _add(own, OWN, kind, "", id=made, name=name)
        for sample, file in samples.items():
            _add(own, OWN, "sample", "", id=sample, file=file)
        for known in strategy.samples:
            _add(own, OWN, "known", "", id=known.sample_id).text = json.dumps(asdict(known), sort_keys=True)


def _add(parent: Xml.Element, space: str, tag: str, attribute_space: str, **attributes: Any) -> Xml.Element:
    prefix = f"{{{attribute_space}}}" if attribute_space else ""
    return Xml.SubElement(parent, f"{{{space}}}{tag}", {f"{prefix}{key}": _said(v) for key, v in attributes.items()})


def _values(parent: Xml.Element, tag: str, values: Iterable[float]) -> None:
    for value in values:
        _add(parent, GATING, tag, TYPES, value=value)


def _said(value: str | float) -> str:
    """A number so that it reads back to the same bits, infinities as XML writes them."""
    if isinstance(value, str):
        return value
    return repr(float(value)).replace("inf", "INF")


def _within(low: float | None, high: float | None) -> float:
    """A point of [low, high)."""
    if low is not None:
        return low
    assert high is not None
    return high - max(1.0, abs(high))


def own_words(root: Xml.Element) -> Xml.Element | None:
    """The element of a document in which `document` put what GatingML cannot say."""
    return next((found for found in root.iter(f"{{{OWN}}}strategy")), None)


def samples_of(content: bytes) -> dict[str, str]:
    """Sample id -> name of the document that holds its gates, of a document that `document` wrote."""
    if OWN.encode() not in content:
        return {}
    words = own_words(guarded_xml.parse(content))
    if words is None:
        return {}
    return {e.get("id", ""): e.get("file", "") for e in words if local(e.tag) == "sample"}


def restore(strategy: Strategy, words: Xml.Element) -> Strategy:
    """A strategy as it was before it was written: names, order, notes and complements."""
    told: dict[str, dict[str, dict[str, str]]] = {}
    for element in words:
        told.setdefault(local(element.tag), {}).setdefault(element.get("id", ""), dict(element.attrib))
    gates = told.get("gate", {})
    names = {
        g.population: gates.get(g.label or g.population, {}).get("population", g.population) for g in strategy.gates
    }
    kept = {kind: {made: one["name"] for made, one in told.get(kind, {}).items()} for kind in
            ("quadrants", "scale", "matrix", "ratio")}  # fmt: skip
    by_document_id = {g.label or g.population: g for g in strategy.gates}
    helpers = {one["inside"]: made for made, one in gates.items() if "inside" in one}

    def axis(d: Dimension) -> Dimension:
        scale = None if d.scale is None else kept["scale"].get(d.scale, d.scale)
        marker = d.marker if d.ratio is None else kept["ratio"].get(d.marker, d.marker)
        return replace(d, scale=scale, matrix=kept["matrix"].get(d.matrix, d.matrix), marker=marker)

    found: list[Gate] = []
    for gate in strategy.gates:
        made = gate.label or gate.population
        if made in helpers:
            continue
        word = gates.get(made, {})
        shape = by_document_id.get(word.get("inside", ""))
        outside = shape is not None and gate.kind == "not"
        operands = tuple(Operand(names[o.population], o.complement) for o in gate.operands)
        whole = replace(shape, complement=True) if shape is not None and outside else gate
        found.append(
            replace(
                whole,
                population=names[gate.population],
                parent=names.get(gate.parent, gate.parent),
                dimensions=tuple(axis(d) for d in whole.dimensions),
                operands=() if outside else operands[:1] if word.get("operands") == "one" else operands,
                quadrant_of=kept["quadrants"].get(gate.quadrant_of, gate.quadrant_of),
                method=word.get("method", gate.method),
                arguments=_arguments(word),
                group_by=word.get("group_by", ""),
                fallback=word.get("fallback", ""),
                note=word.get("note", ""),
                label=word.get("label", "") if word else gate.label,
            )
        )
    order = {one.get("population", made): number for number, (made, one) in enumerate(gates.items())}
    found.sort(key=lambda gate: order.get(gate.population, len(order)))
    return replace(
        strategy,
        gates=tuple(parents_first(found)),
        scales=tuple((kept["scale"].get(name, name), scale) for name, scale in strategy.scales),
        matrices=tuple((kept["matrix"].get(name, name), matrix) for name, matrix in strategy.matrices),
        beads=words.get("beads", ""),
        version=words.get("version", ""),
        panel=words.get("panel", ""),
        instrument=words.get("instrument", ""),
        limits=limits_of(words.get("limits")),
        cut_shift=cut_shift_in(words.get("cut_shift")),
        samples=tuple(_known(element) for element in words if local(element.tag) == "known"),
    )


def _known(element: Xml.Element) -> KnownSample:
    try:
        return KnownSample.from_content(json.loads(element.text or ""))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        problems = Problems()
        problems.add(f"sample {element.get('id')}", "what is known of it cannot be read")
        raise GateError("GatingML could not be read", problems.found) from error


def _arguments(word: Mapping[str, str]) -> tuple[tuple[str, float | str], ...]:
    """Arguments of a placement method; of one that is not known here, none."""
    method = METHODS.get(word.get("method", ""))
    return read_arguments(word.get("arguments", ""), method)[0] if method else ()


def meaning(strategy: Strategy) -> dict[str, Any]:
    """What the gates do, in a form that can be compared whatever their order: gates by population, scales by name."""
    dimensions = [d for gate in (*strategy.gates, *(g for _, g in strategy.custom)) for d in gate.dimensions]
    scales, matrices = {d.scale for d in dimensions}, {d.matrix for d in dimensions}

    def said(g: Gate) -> tuple[object, ...]:
        shape = (frozenset(g.dimensions) if g.kind == "quadrant" else g.dimensions, g.vertices, g.ellipsoid)
        return (g.parent, g.kind, shape, frozenset(g.operands), g.complement, g.quadrant_of, g.label)

    return {
        "scales": {name: scale for name, scale in strategy.scales if name in scales},
        "matrices": {name: matrix for name, matrix in strategy.matrices if name in matrices},
        "samples": (strategy.samples, strategy.limits),
        "gates": {g.population: said(g) for g in strategy.gates},
        "custom": {(s, g.population): said(g) for s, g in strategy.custom if said(g) != said(strategy[g.population])},
    }


def check_references(root: Xml.Element, where: str, problems: Problems) -> None:
    """Find the gates of a document that refer to what is not there, by name."""
    gates = [element for element in root if local(element.tag).endswith("Gate")]
    known: list[str] = []
    for element in gates:
        name = attribute(element, "id")
        if not name:
            problems.add(where, f"a {local(element.tag)} has no id")
            continue
        known.append(name)
        known += [attribute(e, "id") or "" for e in element if local(e.tag) == "Quadrant"]
    for name in sorted({name for name in known if known.count(name) > 1}):
        problems.add(f"gate {name}", "stands twice", allowed="one gate a name: rename one")
    defined = {attribute(e, "id") for e in root if local(e.tag) in ("transformation", "spectrumMatrix")}
    for element in gates:
        gate = f"gate {attribute(element, 'id')}"
        parent = attribute(element, "parent_id")
        if parent is not None and parent not in known:
            problems.add(gate, "its parent is unknown", value=parent, allowed=f"a gate of the document: {_some(known)}")
        for part in element.iter():
            kind = local(part.tag)
            reference = attribute(part, "ref") if kind == "gateReference" else None
            if reference is not None and reference not in known:
                problems.add(gate, "refers to an unknown gate", value=reference, allowed=_some(known))
            scale = attribute(part, "transformation-ref")
            if scale is not None and scale not in defined:
                problems.add(gate, "its scale or ratio is not defined", value=scale)
            if kind in BOOLEAN_KINDS and parent is not None:
                _without_parent(part, parent, gate, problems)
            matrix = attribute(part, "compensation-ref")
            if matrix not in (None, FCS_SPILLOVER, UNCOMPENSATED) and matrix not in defined:
                problems.add(gate, "its compensation matrix is not defined", value=matrix)
            if kind == "fcs-dimension" and not attribute(part, "name"):
                problems.add(gate, "a dimension names no channel")
            if kind in ("dimension", "divider") and not len(part):
                problems.add(gate, "a dimension names no channel")
    _check_cycles(gates, problems)


def _without_parent(part: Xml.Element, parent: str, gate: str, problems: Problems) -> None:
    """Take the parent out of the operands of an ``and``: every gate is within it. FlowKit cannot place such a gate."""
    references = [e for e in part if attribute(e, "ref") == parent]
    others = [e for e in part if e not in references]
    if not references:
        return
    inverted = any(attribute(e, "use-as-complement") in ("true", "1") for e in references)
    if local(part.tag) != "and" or inverted or not others:
        problems.add(gate, "an operand is its parent, whose events are all that it sees; leave it out", value=parent)
        return
    for number, reference in enumerate(references):
        part.remove(reference)
        if number < 2 - len(others):  # the standard asks for two operands
            part.append(others[0])


def _some(names: Iterable[str]) -> str:
    listed = sorted(set(names))
    return ", ".join(listed[:20]) + (", ..." if len(listed) > 20 else "")


def _check_cycles(gates: list[Xml.Element], problems: Problems) -> None:
    """Gates that depend on themselves through parents and operands."""
    needs: dict[str, set[str]] = {}
    for element in gates:
        name = attribute(element, "id") or ""
        needed = {attribute(part, "ref") or "" for part in element.iter() if local(part.tag) == "gateReference"}
        needs[name] = needed | {attribute(element, "parent_id") or ""}
        for part in element:
            if local(part.tag) == "Quadrant":
                needs[attribute(part, "id") or ""] = {name}
    waiting = {name: needed & needs.keys() for name, needed in needs.items()}
    while ready := [name for name, needed in waiting.items() if not needed & waiting.keys()]:
        for name in ready:
            del waiting[name]
    inside = sorted(name for name in waiting if any(name in waiting[other] for other in waiting))
    if inside:
        problems.add(f"gate {inside[0]}", "needs itself through its parents or operands", value=", ".join(inside))


def parse(content: bytes, where: str, tube: str) -> Xml.Element:
    """Root of a GatingML document from anywhere, its references checked.

    Raises
    ------
    GateError
        No XML that is allowed here, or gates that refer to what is not there, all named.
    """
    problems = Problems()
    other_documents.refuse(content, where)
    try:
        return guarded_xml.parse(content)
    except guarded_xml.RefusedXmlError as error:
        problems.add(where, str(error))
        raise GateError("GatingML was refused", problems.found, where=tube) from error
