"""Write a FlowJo workspace: the gates of files, for FlowJo, FlowKit and this package to count the same.

FlowJo keeps limits in the values of the data, one scale a channel, and one matrix a sample. What it has no words for is
refused by name. What was written is read again and compared, event for event, with the gates it was made of.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

import numpy as np

from immunoprofile.errors import GateError, Problem, Problems
from immunoprofile.gate.data_units import in_data_units
from immunoprofile.gate.evaluate import GatedSample, gate_sample
from immunoprofile.gate.matching import Matcher
from immunoprofile.gate.strategy import ROOT, GateSet, Matrix, Strategy
from immunoprofile.gate.workspace import read_workspace
from immunoprofile.io.fcs import read_fcs
from immunoprofile.io.fcs_outline import read_outline
from immunoprofile.io.files import replacing

if TYPE_CHECKING:
    from immunoprofile.gate.gates import Dimension, Gate
    from immunoprofile.gate.scales import Scale
    from immunoprofile.io.fcs import Channel

_ISAC = "http://www.isac-net.org/std/Gating-ML/v2.0/"
_SPACES = {name: f"{_ISAC}{name}" for name in ("gating", "transformations", "datatypes")}
_G, _T, _D = (f"{{{_SPACES[name]}}}" for name in ("gating", "transformations", "datatypes"))
_PREFIX = "Comp-"
_MATRIX = "Acquisition-defined"
_LENGTH = "256"
_NODES = {"and": "AndNode", "or": "OrNode", "not": "NotNode"}
ALL_SAMPLES = "All Samples"


def write_workspace(gates: GateSet | Strategy, path: Path, files: Iterable[str | Path]) -> list[Path]:
    """Write the gates of files as a FlowJo 10 workspace.

    Parameters
    ----------
    gates
        Strategies; each file gets its own as for `matching.match`, and stands in the group of its tube.
    path
        File to write.
    files
        FCS files of the workspace: FlowJo keeps gates by sample. They are gated, since their counts stand in it.

    Returns
    -------
    list of Path
        The workspace.

    Raises
    ------
    GateError
        What FlowJo's format has no words for, for every file at once: ellipsoids (FlowJo keeps them in bins of a plot),
        ratios, ranges of three dimensions, other scales than logicle, biex, its logarithm, arcsinh and linear, two
        scales or matrices for one channel, complements inside Boolean gates, one name twice at one place. Or what was
        written does not read back to the same memberships.
    """
    paths = [Path(file) for file in files]
    problems = Problems()
    if not paths:
        problems.add(
            path.name, "a workspace keeps gates by sample", allowed="files=[...]: the FCS files that it is for"
        )
        raise GateError("gates cannot be saved", problems.found)
    matcher = Matcher(gates, paths)
    gated: list[tuple[Path, GatedSample]] = []
    for file in paths:
        sample = read_fcs(file)
        one = gate_sample(sample, matcher.match(sample, file))
        for problem in _unsayable(one):
            problems.found.append(Problem(f"{file.name}, {problem.where}", problem.what, problem.allowed))
        gated.append((file, one))
    if problems:
        raise GateError("a FlowJo workspace cannot say these gates", problems.found, where=path.name,
                        todo="save them as GatingML (.xml) or .json")  # fmt: skip
    content = _document(gated)
    _read_again(content, path.name, gated)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return [path]


def _unsayable(gated: GatedSample) -> Iterable[Problem]:
    bound = gated.bound
    scales = dict(bound.scales)
    used: dict[str, set[str | None]] = {}
    compensated: set[str] = set()
    matrices = {d.matrix for gate in bound.gates for d in gate.dimensions if d.compensated}
    if len(matrices) > 1:
        yield Problem("gates", "are compensated with different matrices")
    names: set[tuple[str, str]] = set()
    for gate in bound.gates:
        where = f"gate {_name(gate)}"
        if (gate.parent, _name(gate)) in names:
            yield Problem(where, "has the name of another gate at the same place")
        names.add((gate.parent, _name(gate)))
        if gate.kind == "ellipsoid":
            yield Problem(where, "is an ellipsoid, which FlowJo keeps in bins of a plot")
        if gate.kind in ("rectangle", "quadrant") and len(gate.dimensions) > 2:
            yield Problem(where, f"has {len(gate.dimensions)} dimensions", "two; cut the third in a gate of its own")
        if gate.kind in ("and", "or") and any(operand.complement for operand in gate.operands):
            yield Problem(where, "takes the complement of an operand", "a gate 'not' beside it")
        if gate.operands and any("/" in _name(bound[o.population]) for o in gate.operands):
            yield Problem(where, "refers to a gate with a slash in its name")
        for d in gate.dimensions:
            if d.ratio is not None:
                yield Problem(where, "sees a ratio")
                continue
            used.setdefault(d.marker, set()).add(d.scale)
            compensated |= {d.marker} if d.compensated else set()
    matrix = _matrix(gated)
    for channel, names_of in used.items():
        if len(names_of) > 1:
            yield Problem(f"channel {channel}", "is seen on several scales")
        for name in names_of:
            scale = scales.get(name or "")
            if scale is not None and (scale.kind in ("hyperlog", "log") or _offset(scale)):
                yield Problem(f"channel {channel}", f"has a {scale.kind} scale that FlowJo does not have")
        if matrix is not None and channel in matrix.detectors and channel not in compensated:
            yield Problem(f"channel {channel}", "is seen uncompensated beside a matrix that has it")


def _offset(scale: Scale) -> bool:
    return scale.kind == "linear" and scale.by_letter["A"] != 0


def _name(gate: Gate) -> str:
    return gate.label or gate.population


def _matrix(gated: GatedSample) -> Matrix | None:
    """The matrix that the gates of a file see, or None."""
    dimensions = [d for gate in gated.bound.gates for d in gate.dimensions if d.compensated]
    if not dimensions:
        return None
    if dimensions[0].matrix:
        return dict(gated.bound.matrices)[dimensions[0].matrix]
    if gated.spillover is None:
        return None
    rows = tuple(tuple(float(value) for value in row) for row in gated.spillover.matrix)
    return Matrix(gated.spillover.channels, rows)


def _document(gated: Sequence[tuple[Path, GatedSample]]) -> bytes:
    for name, prefix in (("gating", "gating"), ("transformations", "transforms"), ("datatypes", "data-type")):
        Xml.register_namespace(prefix, _SPACES[name])
    root = Xml.Element("Workspace", {"version": "20.0", "flowJoVersion": "10.8.1", "curGroup": ALL_SAMPLES})
    groups = Xml.SubElement(root, "Groups")
    members: dict[str, list[int]] = {ALL_SAMPLES: list(range(1, len(gated) + 1))}
    for number, (_, one) in enumerate(gated, 1):
        members.setdefault(one.strategy.tube, []).append(number)
    for name, numbers in members.items():
        node = Xml.SubElement(groups, "GroupNode", {"name": name, "annotation": "", "owningGroup": name})
        refs = Xml.SubElement(Xml.SubElement(node, "Group", {"name": name}), "SampleRefs")
        for number in numbers:
            Xml.SubElement(refs, "SampleRef", {"sampleID": str(number)})
    listed = Xml.SubElement(root, "SampleList")
    for number, (path, one) in enumerate(gated, 1):
        _add_sample(listed, number, path, one)
    Xml.indent(root)
    content: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _add_sample(listed: Xml.Element, number: int, path: Path, gated: GatedSample) -> None:
    sample = Xml.SubElement(listed, "Sample")
    # Names only: an absolute path of this machine would mean nothing on another one
    Xml.SubElement(sample, "DataSet", {"uri": f"file:{path.parent.name}/{path.name}", "sampleID": str(number)})
    matrix = _matrix(gated)
    if matrix is not None:
        _add_matrix(sample, matrix)
    holder = Xml.SubElement(sample, "Transformations")
    scales = dict(gated.bound.scales)
    channels = {channel.pnn: channel for channel in gated.sample.channels}
    seen: dict[str, Dimension] = {d.marker: d for gate in gated.bound.gates for d in gate.dimensions}
    for name, d in seen.items():
        # Compensated values have a scale of their own in FlowJo; FlowKit looks for that of the recorded ones
        for axis in dict.fromkeys((_axis(d), name.replace("/", "_"))):
            _add_scale(holder, axis, scales.get(d.scale or ""), channels[name], gated)
    words = Xml.SubElement(sample, "Keywords")
    for keyword in read_outline(path).keywords:
        if not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", keyword.text):
            Xml.SubElement(words, "Keyword", {"name": keyword.name, "value": keyword.text})
    top = {"name": path.name, "annotation": "", "owningGroup": "", "sampleID": str(number),
           "count": str(gated.sample.n_events)}  # fmt: skip
    _add_gates(Xml.SubElement(sample, "SampleNode", top), ROOT, gated)


def _add_matrix(sample: Xml.Element, matrix: Matrix) -> None:
    element = Xml.SubElement(sample, f"{_T}spilloverMatrix", {"prefix": _PREFIX, "suffix": "", "name": _MATRIX})
    names = [channel.replace("/", "_") for channel in matrix.detectors]
    listed = Xml.SubElement(element, f"{_D}parameters")
    for name in names:
        Xml.SubElement(listed, f"{_D}parameter", {f"{_D}name": name})
    for name, row in zip(names, matrix.values, strict=True):
        spill = Xml.SubElement(element, f"{_T}spillover", {f"{_D}parameter": name})
        for detector, value in zip(names, row, strict=True):
            Xml.SubElement(spill, f"{_T}coefficient", {f"{_D}parameter": detector, f"{_T}value": repr(value)})


def _axis(d: Dimension) -> str:
    """FlowJo's name of an axis: a slash is an underline, compensated values have a prefix."""
    name = d.marker.replace("/", "_")
    return f"{_PREFIX}{name}" if d.compensated else name


def _add_scale(holder: Xml.Element, axis: str, scale: Scale | None, channel: Channel, gated: GatedSample) -> None:
    if scale is None or scale.kind == "linear":
        top = scale.by_letter["T"] if scale is not None else _linear_top(channel, gated)
        element = Xml.SubElement(holder, f"{_T}linear", {f"{_T}minRange": "0", f"{_T}maxRange": repr(top), "gain": "1"})
    else:
        p = scale.by_letter
        tag, given = {
            "logicle": ("logicle", {"T": p.get("T"), "W": p.get("W"), "M": p.get("M"), "A": p.get("A")}),
            "asinh": ("fasinh", {"T": p.get("T"), "M": p.get("M"), "A": p.get("A"), "maxRange": p.get("T")}),
            "biex": ("biex", {"maxRange": p.get("max_value"), "neg": p.get("negative"), "width": p.get("width"),
                              "pos": p.get("positive")}),
            "flowjo_log": ("log", {"offset": p.get("offset"), "decades": p.get("decades")}),
        }[scale.kind]  # fmt: skip
        element = Xml.SubElement(holder, f"{_T}{tag}", {f"{_T}length": _LENGTH})
        for name, value in given.items():
            element.set(f"{_T}{name}", repr(value))
    Xml.SubElement(element, f"{_D}parameter", {f"{_D}name": axis})


def _linear_top(channel: Channel, gated: GatedSample) -> float:
    """Upper end of an axis without a scale: of Time its last second, else the range of the channel.

    A power of two, where the range is near one, divides every value exactly.
    """
    if channel.kind == "time":
        column = [one.pnn for one in gated.sample.channels].index(channel.pnn)
        values = gated.sample.events[:, column]
        finite = values[np.isfinite(values)]
        return float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    reach = channel.pnr / channel.gain
    if channel.gain != 1 or not reach > 0:
        return reach if reach > 0 else 1.0
    return float(2.0 ** math.ceil(math.log2(reach)))


def _add_gates(above: Xml.Element, parent: str, gated: GatedSample) -> None:
    children = [gate for gate in gated.bound.gates if gate.parent == parent]
    if not children:
        return
    holder = Xml.SubElement(above, "Subpopulations")
    # Boolean gates last: they refer to the others
    for gate in sorted(children, key=lambda gate: bool(gate.operands)):
        head = {"name": _name(gate), "annotation": "", "owningGroup": "", "count": str(gated.n(gate.population))}
        if gate.operands:
            node = Xml.SubElement(holder, _NODES[gate.kind], head)
            listed = Xml.SubElement(node, "Dependents")
            for operand in gate.operands:
                Xml.SubElement(listed, "Dependent", {"name": _path(operand.population, gated.bound)})
        else:
            node = Xml.SubElement(holder, "Population", head)
            _add_shape(Xml.SubElement(node, "Gate"), gate, gated.bound)
        _add_gates(node, gate.population, gated)


def _path(population: str, strategy: Strategy) -> str:
    return "/".join(_name(strategy[name]) for name in (*strategy.path(population)[1:], population))


def _add_shape(holder: Xml.Element, gate: Gate, strategy: Strategy) -> None:
    scales = dict(strategy.scales)

    def value(d: Dimension, place: float) -> str:
        return repr(in_data_units(scales[d.scale] if d.scale is not None else None, place))

    tag = "PolygonGate" if gate.kind == "polygon" else "RectangleGate"
    shape = Xml.SubElement(holder, f"{_G}{tag}", {"eventsInside": str(int(not gate.complement))})
    for d in gate.dimensions:
        axis = Xml.SubElement(shape, f"{_G}dimension")
        if gate.kind != "polygon":
            for name, limit in (("min", d.minimum), ("max", d.maximum)):
                if limit is not None:
                    axis.set(f"{_G}{name}", value(d, limit))
        Xml.SubElement(axis, f"{_D}fcs-dimension", {f"{_D}name": _axis(d)})
    for corner in gate.vertices:
        vertex = Xml.SubElement(shape, f"{_G}vertex")
        for d, place in zip(gate.dimensions, corner, strict=True):
            Xml.SubElement(vertex, f"{_G}coordinate", {f"{_D}value": value(d, place)})


def _read_again(content: bytes, where: str, gated: Sequence[tuple[Path, GatedSample]]) -> None:
    """Gate every file with what was written, and compare the memberships."""
    problems = Problems()
    again = read_workspace(content, where)
    problems.found += again.problems
    matcher = Matcher(again, [path for path, _ in gated])
    for path, one in gated:
        other = gate_sample(one.sample, matcher.match(one.sample, path), comp_source=_declared(one))
        masks = {_path(gate.population, other.strategy): other.mask(gate.population) for gate in other.strategy.gates}
        for gate in one.strategy.gates:
            name = _path(gate.population, one.strategy)
            if name not in masks or not np.array_equal(masks[name], one.mask(gate.population)):
                problems.add(f"{path.name}, gate {name}", "does not read back to the same events")
    if problems:
        raise GateError("the workspace could not be written", problems.found, where=where,
                        todo="save the gates as GatingML (.xml) or .json")  # fmt: skip


def _declared(one: GatedSample) -> str | None:
    return one.comp_source if one.comp_source in ("none", "compensated", "keyword") else None
