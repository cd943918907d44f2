"""FlowKit's home, with `_flowkit_scales`: our strategies as FlowKit's, their evaluation, and GatingML.

Importing this module imports FlowKit, which takes seconds; other modules import it inside functions.
Facts about FlowKit that this module works around stand in docs/flowkit.md.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

import flowio
import flowkit as fk
import numpy as np

from immunoprofile.errors import GateError, Problems
from immunoprofile.gate import cytobank, gatingml
from immunoprofile.gate._flowkit_scales import transform_of
from immunoprofile.gate.from_flowkit import from_flowkit, rows
from immunoprofile.gate.names import FCS_SPILLOVER, UNCOMPENSATED
from immunoprofile.gate.scales import flowkit_arguments
from immunoprofile.gate.strategy import ROOT, Dimension, Gate, Matrix, Ratio, Strategy
from immunoprofile.io import guarded_xml
from immunoprofile.io.markers import is_scatter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.compensation import Spillover
    from immunoprofile.io.fcs import Sample

SPILLOVER_ID = "spillover"
"""Name of the matrix that is handed over with a strategy."""

MAX_GATES, MAX_LEVELS, MAX_ELEMENTS = 500, 50, 100_000
"""Largest GatingML: FlowKit's time grows with the square of the gates and with the cube of their levels; real documents
have tens of gates."""


MAX_PROBLEMS = 20
"""Faults of one document that are told."""

MEND_GATINGML = "export it again as GatingML 2.0, or correct the gates that are named"


class _InMemory(flowio.FlowData):  # type: ignore[misc]
    """FlowIO's view of events that were read already, so that FlowKit neither reads nor scales them again.

    Which channels count as fluorescence is decided here: FlowKit takes every label that does not begin with ``FSC-``,
    ``SSC-`` or ``Time`` for one, and then refuses a spillover matrix that does not name it.
    """

    def __init__(self, sample: Sample, compensated: set[str] | None) -> None:
        self.name = sample.name
        self.version = sample.version
        self.event_count = sample.n_events
        self.null_channels: list[str] = []
        self.text = dict(sample.keywords)
        self.pnn_labels = [channel.pnn for channel in sample.channels]
        self.pns_labels = [channel.pns for channel in sample.channels]
        self.channels = {
            number: {"pnn": c.pnn, "pns": c.pns, "pne": (c.decades, c.log0), "png": c.gain, "pnr": c.pnr}
            for number, c in enumerate(sample.channels, 1)
        }
        self.scatter_indices = [i for i, name in enumerate(self.pnn_labels) if is_scatter(name)]
        self.time_index = next((i for i, channel in enumerate(sample.channels) if channel.kind == "time"), None)
        self.fluoro_indices = [
            i
            for i, name in enumerate(self.pnn_labels)
            if not is_scatter(name) and i != self.time_index and (compensated is None or name in compensated)
        ]
        self._events = sample.events

    def as_array(self, preprocess: bool = True) -> NDArray[np.float64]:  # noqa: FBT001, FBT002
        return self._events


def flowkit_sample(
    sample: Sample, spillover: Spillover | None = None, *, strategy: Strategy | None = None
) -> fk.Sample:
    """FlowKit's sample over the same events (not a copy; FlowKit only reads them).

    Only the channels of the spillover and of the matrices of a strategy count as fluorescence, when there are any.
    """
    matrices = [set(matrix.detectors) for _, matrix in strategy.matrices] if strategy is not None else []
    named = [*matrices, *([set(spillover.channels)] if spillover is not None else [])]
    compensated = set[str]().union(*named) if named else None
    return fk.Sample(_InMemory(sample, compensated), sample_id=sample.name, subsample=1)


def to_flowkit(
    strategy: Strategy,
    *,
    spillover: Spillover | None = None,
    compensation: str = FCS_SPILLOVER,
    names: Literal["population", "label"] = "population",
) -> fk.GatingStrategy:
    """FlowKit's strategy for gates that name channels.

    Parameters
    ----------
    strategy
        Its dimensions must name channels ($PnN), see `binding.bind`.
    spillover
        Matrix to put into the strategy; gates that are compensated without a matrix of their own then refer to it.
    compensation
        Without a spillover: what those gates refer to, ``FCS`` or ``uncompensated``.
    names
        Whether gates are called by their population or by the name that they came with.

    Raises
    ------
    GateError
        Names that FlowKit cannot tell apart: a matrix with a reserved name, a label with a slash.
    """
    problems = Problems()
    result = fk.GatingStrategy()
    if spillover is not None:
        compensation = SPILLOVER_ID
        while compensation in dict(strategy.matrices):
            compensation += "_"
        result.add_comp_matrix(compensation, _matrix(Matrix(spillover.channels, rows(spillover.matrix))))
    for name, matrix in strategy.matrices:
        if name in (FCS_SPILLOVER, UNCOMPENSATED):
            problems.add(f"matrix {name}", "has a name that means something else", allowed="another name")
        result.add_comp_matrix(name, _matrix(matrix))
    for name, scale in strategy.scales:
        result.add_transform(name, transform_of(scale.kind, flowkit_arguments(scale)))
    for name, ratio in _ratios(strategy).items():
        result.add_transform(
            name, fk.transforms.RatioTransform([ratio.numerator, ratio.denominator], ratio.a, ratio.b, ratio.c)
        )
    called = {gate.population: (names == "label" and gate.label) or gate.population for gate in strategy.gates}
    for gate in strategy.gates:
        if "/" in called[gate.population] or called[gate.population] in (".", ".."):
            problems.add(f"gate {gate.population}", "FlowKit cannot hold its name", value=called[gate.population])
    if problems:
        raise GateError("the strategy cannot be handed to FlowKit", problems.found, where=strategy.tube)
    done: set[str] = set()
    samples = [None, *strategy.custom_samples]
    for sample_id in samples:
        version = strategy if sample_id is None else strategy.for_sample(sample_id)
        own = {gate.population for sample, gate in strategy.custom if sample == sample_id}
        done.clear()
        for gate in version.gates:
            quadrants = version.quadrants.get(gate.quadrant_of, ())
            if gate.quadrant_of in done or (
                sample_id and not own & {gate.population, *(q.population for q in quadrants)}
            ):
                continue
            path = flowkit_path(version, gate.population, called)
            if quadrants:
                done.add(gate.quadrant_of)
                item = _quadrant_gate(gate.quadrant_of, quadrants, called, compensation)
                result.add_gate(item, gate_path=path[:-1], sample_id=sample_id)
            else:
                result.add_gate(_gate(gate, version, called, compensation), gate_path=path, sample_id=sample_id)
    return result


def flowkit_path(strategy: Strategy, population: str, called: Mapping[str, str]) -> tuple[str, ...]:
    """Names above a population in FlowKit's tree, where quadrant gates stand between quadrants and their parent."""
    path: list[str] = []
    gate = strategy[population]
    while True:
        if gate.quadrant_of:
            path.append(gate.quadrant_of)
        if gate.parent == ROOT:
            return (ROOT, *reversed(path))
        path.append(called[gate.parent])
        gate = strategy[gate.parent]


def _matrix(matrix: Matrix) -> Any:
    names = list(matrix.detectors)
    if matrix.spectral:
        return fk.SpectralMatrix(matrix.array, names, names[: len(matrix.values)])
    return fk.Matrix(matrix.array, names, fluorochromes=list(matrix.fluorochromes) or names)


def _ratios(strategy: Strategy) -> dict[str, Ratio]:
    gates = (*strategy.gates, *(gate for _, gate in strategy.custom))
    return {d.marker: d.ratio for gate in gates for d in gate.dimensions if d.ratio is not None}


def _reference(dimension: Dimension, compensation: str) -> str:
    return (dimension.matrix or compensation) if dimension.compensated else UNCOMPENSATED


def _quadrant_gate(name: str, quadrants: tuple[Gate, ...], called: Mapping[str, str], compensation: str) -> Any:
    axes: dict[str, Dimension] = {}
    values: dict[str, set[float]] = {}
    for dimension in (d for quadrant in quadrants for d in quadrant.dimensions):
        axes.setdefault(dimension.marker, dimension)
        limits = (dimension.minimum, dimension.maximum)
        values.setdefault(dimension.marker, set()).update(limit for limit in limits if limit is not None)
    ids = {marker: f"{name}_d{number}" for number, marker in enumerate(axes, 1)}
    dividers = [
        fk.QuadrantDivider(ids[marker], marker, _reference(d, compensation), sorted(values[marker]), d.scale)
        for marker, d in axes.items()
    ]
    cells = [
        fk.gates.Quadrant(
            called[quadrant.population],
            [ids[d.marker] for d in quadrant.dimensions],
            [(d.minimum, d.maximum) for d in quadrant.dimensions],
        )
        for quadrant in quadrants
    ]
    return fk.gates.QuadrantGate(name, dividers, cells)


def _gate(gate: Gate, strategy: Strategy, called: Mapping[str, str], compensation: str) -> Any:
    name = called[gate.population]
    axes = [_axis(d, compensation, limits=gate.kind == "rectangle") for d in gate.dimensions]
    if gate.kind == "rectangle":
        return fk.gates.RectangleGate(name, axes, use_complement=gate.complement)
    if gate.kind == "polygon":
        corners = [list(corner) for corner in gate.vertices]
        return fk.gates.PolygonGate(name, axes, corners, use_complement=gate.complement)
    if gate.ellipsoid is not None:
        shape = gate.ellipsoid
        covariance = [list(row) for row in shape.covariance]
        return fk.gates.EllipsoidGate(name, axes, list(shape.mean), covariance, shape.distance_square)
    references = [
        {
            "ref": called[o.population],
            "path": flowkit_path(strategy, o.population, called),
            "complement": o.complement,
        }
        for o in gate.operands
    ]
    return fk.gates.BooleanGate(name, gate.kind, references)


def _axis(dimension: Dimension, compensation: str, *, limits: bool) -> Any:
    low, high = (dimension.minimum, dimension.maximum) if limits else (None, None)
    reference = _reference(dimension, compensation)
    if dimension.ratio is None:
        return fk.Dimension(dimension.marker, reference, dimension.scale, range_min=low, range_max=high)
    axis = fk.RatioDimension(dimension.marker, reference, dimension.scale)
    # The constructor leaves an open limit out, and evaluation then fails; gates of samples are compared by ``id``.
    axis.min, axis.max, axis.id = low, high, dimension.marker
    return axis


def memberships(strategy: Strategy, sample: Sample, spillover: Spillover | None) -> dict[str, NDArray[np.bool_]]:
    """Which events are in which population, evaluated by FlowKit.

    Parameters
    ----------
    strategy
        Bound to the channels of the file.
    sample
        The file.
    spillover
        Matrix to remove first, or None.

    Returns
    -------
    dict
        Population -> bool array with one value per recorded event.
    """
    if sample.n_events == 0:
        return {population: np.zeros(0, dtype=bool) for population in strategy.populations}
    target = to_flowkit(replace(strategy, custom=()), spillover=spillover, compensation=UNCOMPENSATED)
    with warnings.catch_warnings():
        # FlowKit fills its report by row; pandas warns about the way it concatenates, not about the data.
        warnings.simplefilter("ignore", FutureWarning)
        events = flowkit_sample(sample, spillover, strategy=strategy)
        results = target.gate_sample(events, cache_events=True)
    called = {population: population for population in strategy.populations}
    return {
        population: np.asarray(
            results.get_gate_membership(population, flowkit_path(strategy, population, called)), dtype=bool
        )
        for population in strategy.populations
    }


def parse_gatingml(content: bytes, where: str, tube: str) -> Strategy:
    """Read GatingML 2.0 as a strategy whose dimensions name channels.

    Parameters
    ----------
    content
        The document.
    where
        What to call it in errors.
    tube
        Tube of the strategy.

    Raises
    ------
    GateError
        The document is no GatingML, declares XML entities, has gates that refer to what is not there, or that a
        strategy cannot say.
    """
    root = gatingml.parse(content, where, tube)
    problems = Problems()
    if reason := _too_large(root):
        problems.add(where, reason)
        raise GateError("GatingML was refused", problems.found, where=tube)
    gatingml.check_references(root, where, problems)
    if problems:
        raise GateError("GatingML could not be read", problems.found, where=where, todo="correct the document")
    # FlowKit gets the tree that was looked through, written anew: its parser sees nothing that ours did not
    document = BytesIO(ElementTree.tostring(root, encoding="utf-8"))
    words = gatingml.own_words(root)
    try:
        strategy = from_flowkit(fk.parse_gating_xml(document), tube)
        return cytobank.named(strategy, root) if words is None else gatingml.restore(strategy, words)
    except GateError:
        raise
    except Exception as error:  # FlowKit and lxml raise many kinds; all mean that the document is unusable
        _invalid(document.getvalue(), content, problems)
        if not problems:
            problems.add(where, f"FlowKit cannot read it: {error}")
        raise GateError("GatingML could not be read", problems.found, where=where, todo=MEND_GATINGML) from error


def _invalid(document: bytes, original: bytes, problems: Problems) -> None:
    """What makes a document no GatingML 2.0, with the gate and its line."""
    from flowkit._resources import etree, gml_schema  # FlowKit's own parser and schema, so that both judge alike

    tree = etree.parse(BytesIO(document))
    if gml_schema.validate(tree):
        return
    told = []
    for entry in gml_schema.error_log:
        prefixes = {key: value for key, value in tree.getroot().nsmap.items() if key}
        found = tree.xpath(entry.path, namespaces=prefixes) if entry.path else []
        place = _place(found[0], original) if found else "document"
        told.append((place, re.sub(r"\{[^}]*\}", "", entry.message).rstrip(".")))
    for place, what in list(dict.fromkeys(told))[:MAX_PROBLEMS]:
        problems.add(place, what)


def _place(element: Any, original: bytes) -> str:
    """Gate that holds an element, and the line where its id stands in the document as it was written."""
    while element.getparent() is not None and element.getparent().getparent() is not None:
        element = element.getparent()
    name = guarded_xml.attribute(element, "id")
    if name is None:
        return guarded_xml.local(str(element.tag))
    found = re.search(rb"""\bid\s*=\s*["']""" + re.escape(name.encode()) + rb"""["']""", original)
    if found is None:
        return f"gate {name}"
    line = original[: found.start()].count(b"\n") + 1
    return f"gate {name} (line {line})"


def parse_workspace(document: bytes) -> Strategy:
    """Gates of a FlowJo workspace that holds one sample, see `workspace`.

    Raises
    ------
    GateError
        FlowKit or a strategy cannot hold what it says.
    """
    problems = Problems()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)  # settings of scales that give no numbers are found below
            samples = fk.parse_wsp(BytesIO(document))["samples"]
            return from_flowkit(next(iter(samples.values()))["gating_strategy"], "workspace")
    except GateError:
        raise
    except Exception as error:  # FlowKit raises many kinds; all mean that this part is unusable
        problems.add("FlowKit", f"{type(error).__name__}: {error}")
        raise GateError("the workspace cannot be read", problems.found) from error


def _too_large(root: ElementTree.Element) -> str:
    """Why a document would keep FlowKit busy for too long; empty when it would not."""
    if sum(1 for _ in root.iter()) > MAX_ELEMENTS:
        return f"has more than {MAX_ELEMENTS} elements"
    parents = {
        guarded_xml.attribute(element, "id"): guarded_xml.attribute(element, "parent_id")
        for element in root
        if guarded_xml.local(element.tag).endswith("Gate")
    }
    if len(parents) > MAX_GATES:
        return f"has more than {MAX_GATES} gates"
    for name in parents:
        level, above = 0, name
        while above is not None and level <= MAX_LEVELS:
            level, above = level + 1, parents.get(above)
        if level > MAX_LEVELS:
            return f"gate {name} has more than {MAX_LEVELS} levels above it, or is above itself"
    return ""
