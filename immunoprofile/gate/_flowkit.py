"""FlowKit's only home: our strategies as FlowKit's, their evaluation, and GatingML.

Importing this module imports FlowKit, which takes seconds; other modules import it inside functions.
Facts about FlowKit that this module works around stand in docs/flowkit.md.
"""

from __future__ import annotations

import re
import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import flowio
import flowkit as fk
import numpy as np

from immunoprofile.compensation import guarded_xml
from immunoprofile.errors import GateError, Problems
from immunoprofile.gate.scales import SCALE_PARAMETERS, Scale
from immunoprofile.gate.strategy import ROOT, Dimension, Gate, Operand, Strategy
from immunoprofile.io.files import replacing
from immunoprofile.io.markers import is_scatter, is_time

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.compensation import Spillover
    from immunoprofile.io.fcs import Sample

SPILLOVER_ID = "spillover"
"""Name of the file's own matrix in a strategy that was made for one file."""

FCS_SPILLOVER = "FCS"
"""GatingML's name for "the matrix that the file carries", used in templates."""

UNCOMPENSATED = "uncompensated"

MAX_GATES, MAX_LEVELS, MAX_ELEMENTS = 500, 50, 100_000
"""Largest GatingML: FlowKit's time grows with the square of the gates and with the cube of their levels; real documents
have tens of gates."""

_TRANSFORMS = {
    "logicle": fk.transforms.LogicleTransform,
    "hyperlog": fk.transforms.HyperlogTransform,
    "asinh": fk.transforms.AsinhTransform,
    "log": fk.transforms.LogTransform,
    "linear": fk.transforms.LinearTransform,
}


class _InMemory(flowio.FlowData):  # type: ignore[misc]
    """FlowIO's view of events that were read already, so that FlowKit neither reads nor scales them again.

    Which channels count as fluorescence is decided here: FlowKit takes every label that does not begin with ``FSC-``,
    ``SSC-`` or ``Time`` for one, and then refuses a spillover matrix that does not name it.
    """

    def __init__(self, sample: Sample, spillover: Spillover | None) -> None:
        compensated = set(spillover.channels) if spillover is not None else None
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
        self.time_index = next((i for i, name in enumerate(self.pnn_labels) if is_time(name)), None)
        self.fluoro_indices = [
            i
            for i, name in enumerate(self.pnn_labels)
            if not is_scatter(name) and not is_time(name) and (compensated is None or name in compensated)
        ]
        self._events = sample.events

    def as_array(self, preprocess: bool = True) -> NDArray[np.float64]:  # noqa: FBT001, FBT002
        return self._events


def flowkit_sample(sample: Sample, spillover: Spillover | None = None) -> fk.Sample:
    """FlowKit's sample over the same events (not a copy; FlowKit only reads them)."""
    return fk.Sample(_InMemory(sample, spillover), sample_id=sample.name, subsample=1)


def to_flowkit(
    strategy: Strategy, *, spillover: Spillover | None = None, compensation: str = FCS_SPILLOVER
) -> fk.GatingStrategy:
    """FlowKit's strategy for gates that name channels.

    Parameters
    ----------
    strategy
        Its dimensions must name channels ($PnN), see `binding.bind`.
    spillover
        Matrix to put into the strategy; its gates then refer to it.
    compensation
        Without a matrix: what compensated dimensions refer to, ``FCS`` or ``uncompensated``.

    Raises
    ------
    GateError
        A scale has the name of a population, which GatingML cannot tell apart.
    """
    problems = Problems()
    result = fk.GatingStrategy()
    if spillover is not None:
        compensation = SPILLOVER_ID
        names = list(spillover.channels)
        result.add_comp_matrix(SPILLOVER_ID, fk.Matrix(np.array(spillover.matrix), names, fluorochromes=list(names)))
    for name, scale in strategy.scales:
        if name in strategy:
            problems.add(f"scale {name}", "has the name of a population", allowed="another name")
        result.add_transform(name, _TRANSFORMS[scale.kind](**{f"param_{k.lower()}": v for k, v in scale.parameters}))
    if problems:
        raise GateError("the strategy cannot be handed to FlowKit", problems.found, where=strategy.tube)
    for gate in strategy.gates:
        result.add_gate(_to_flowkit_gate(gate, strategy, compensation), gate_path=strategy.path(gate.population))
    return result


def _to_flowkit_gate(gate: Gate, strategy: Strategy, compensation: str) -> Any:
    dimensions = [
        fk.Dimension(
            d.marker,
            compensation_ref=compensation if d.compensated else UNCOMPENSATED,
            transformation_ref=d.scale,
            range_min=d.minimum if gate.kind == "rectangle" else None,
            range_max=d.maximum if gate.kind == "rectangle" else None,
        )
        for d in gate.dimensions
    ]
    if gate.kind == "rectangle":
        return fk.gates.RectangleGate(gate.population, dimensions)
    if gate.kind == "polygon":
        return fk.gates.PolygonGate(gate.population, dimensions, [list(corner) for corner in gate.vertices])
    references = [
        {"ref": o.population, "path": strategy.path(o.population), "complement": o.complement} for o in gate.operands
    ]
    return fk.gates.BooleanGate(gate.population, gate.kind, references)


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
    target = to_flowkit(strategy, spillover=spillover, compensation=UNCOMPENSATED)
    if sample.n_events == 0:
        return {population: np.zeros(0, dtype=bool) for population in strategy.populations}
    with warnings.catch_warnings():
        # FlowKit fills its report by row; pandas warns about the way it concatenates, not about the data.
        warnings.simplefilter("ignore", FutureWarning)
        results = target.gate_sample(flowkit_sample(sample, spillover), cache_events=True)
    return {
        gate.population: np.asarray(
            results.get_gate_membership(gate.population, strategy.path(gate.population)), dtype=bool
        )
        for gate in strategy.gates
    }


def export_gatingml(strategy: Strategy, path: Path, *, spillover: Spillover | None = None) -> None:
    """Write gates that name channels as GatingML 2.0, and read them back before the file takes its place.

    Raises
    ------
    GateError
        The written document does not say the same.
    """
    compensation = FCS_SPILLOVER if spillover is None else SPILLOVER_ID
    with replacing(path) as temporary:
        with temporary.open("wb") as handle:
            fk.export_gatingml(to_flowkit(strategy, spillover=spillover, compensation=compensation), handle)
        again = parse_gatingml(temporary, strategy.tube)
        if meaning(again) != meaning(strategy):
            problems = Problems()
            problems.add(path.name, "the document does not re-read to the same gates")
            raise GateError("GatingML could not be written", problems.found, where=strategy.tube)


def meaning(strategy: Strategy) -> dict[str, Any]:
    """What GatingML can say of a strategy, in a form that can be compared: gates by population, scales by name."""
    used = {d.scale for gate in strategy.gates for d in gate.dimensions}
    return {
        "scales": {name: scale for name, scale in strategy.scales if name in used},
        "gates": {
            g.population: (g.parent, g.kind, g.dimensions, g.vertices, frozenset(g.operands)) for g in strategy.gates
        },
    }


def parse_gatingml(path: Path, tube: str) -> Strategy:
    """Read GatingML 2.0 as a strategy whose dimensions name channels.

    Raises
    ------
    GateError
        The document is no GatingML, declares XML entities, or holds gates that a strategy cannot say.
    """
    problems = Problems()
    try:
        root = guarded_xml.parse(path.read_bytes())
    except guarded_xml.RefusedXmlError as error:
        problems.add(path.name, str(error))
        raise GateError("GatingML was refused", problems.found, where=tube) from error
    if reason := _too_large(root):
        problems.add(path.name, reason)
        raise GateError("GatingML was refused", problems.found, where=tube)
    # FlowKit gets the tree that was looked through, written anew: its parser sees nothing that ours did not
    document = BytesIO(ElementTree.tostring(root, encoding="utf-8"))
    try:
        return from_flowkit(fk.parse_gating_xml(document), tube)
    except GateError:
        raise
    except Exception as error:  # FlowKit and lxml raise many kinds; all mean that the document is unusable
        problems.add(path.name, f"{type(error).__name__}: {error}")
        raise GateError("GatingML could not be read", problems.found, where=tube) from error


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


def from_flowkit(target: fk.GatingStrategy, tube: str) -> Strategy:
    """A FlowKit strategy as ours; its dimensions name channels.

    Quadrant gates become one rectangle per quadrant. Names that are no population ids get one; the name that they came
    with is kept in ``Gate.label``.

    Raises
    ------
    GateError
        Gates that a strategy cannot say (ellipsoids, ratios, complements, gates of single samples), all named.
    """
    problems = Problems()
    ids: dict[tuple[str, ...], str] = {(ROOT,): ROOT}
    gates: list[Gate] = []
    quadrant_gates: dict[tuple[str, ...], Any] = {}
    for name, path in target.get_gate_ids():
        path = tuple(path)
        full = (*path, name)
        if path in quadrant_gates:
            item: Any = quadrant_gates[path].quadrants[name]
            parent_path: tuple[str, ...] = path[:-1]
        else:
            item = target.get_gate(name, path)
            parent_path = path
        if isinstance(item, fk.gates.QuadrantGate):
            quadrant_gates[full] = item
            continue
        ids[full] = _population_id(name, set(ids.values()))
        label = name if ids[full] != name else ""
        gate = _from_flowkit_gate(
            item, ids[full], ids.get(parent_path, ROOT), label, quadrant_gates.get(path), ids, problems
        )
        if gate is not None:
            gates.append(gate)
    if problems:
        raise GateError("gates that are not supported", problems.found, where=tube, todo="remove or redraw these gates")
    scales = tuple((name, _from_flowkit_scale(name, t, problems)) for name, t in target.transformations.items())
    if problems:
        raise GateError("scales that are not supported", problems.found, where=tube)
    channels = dict.fromkeys(d.marker for gate in gates for d in gate.dimensions)
    return Strategy(
        tube=tube,
        gates=tuple(_parents_first(gates)),
        scales=tuple((name, scale) for name, scale in scales if scale is not None),
        channels=tuple((channel, channel) for channel in channels),
    )


def _parents_first(gates: list[Gate]) -> list[Gate]:
    """Order of evaluation: parents and operands before the gates that need them."""
    done: dict[str, Gate] = {}
    waiting = list(gates)
    while waiting:
        ready = [g for g in waiting if g.parent in (ROOT, *done) and all(o.population in done for o in g.operands)]
        if not ready:
            return [*done.values(), *waiting]
        done |= {gate.population: gate for gate in ready}
        waiting = [gate for gate in waiting if gate.population not in done]
    return list(done.values())


def _population_id(name: str, taken: set[str]) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", name.casefold().replace("+", "_pos_").replace("-", "_neg_")).strip("_") or "gate"
    plain = plain if plain[0].isalpha() else f"g_{plain}"
    if re.fullmatch(r"[a-z][a-z0-9_]*", name):
        plain = name
    candidate, number = plain, 2
    while candidate in taken:
        candidate, number = f"{plain}_{number}", number + 1
    return candidate


def _from_flowkit_gate(
    item: Any,
    population: str,
    parent: str,
    label: str,
    quadrants: Any,
    ids: dict[tuple[str, ...], str],
    problems: Problems,
) -> Gate | None:
    if quadrants is not None:
        dividers = {divider.id: divider for divider in quadrants.dimensions}
        dimensions = []
        for reference in item.divider_refs:
            low, high = item.get_divider_range(reference)
            dimensions.append(_dimension(dividers[reference].dimension_ref, low, high, dividers[reference]))
        return Gate(population, parent, "rectangle", tuple(dimensions), label=label)
    if getattr(item, "use_complement", False):
        problems.add(f"gate {item.gate_name}", "complements of a gate are not supported")
        return None
    if isinstance(item, fk.gates.BooleanGate):
        operands = tuple(
            Operand(ids[(*tuple(ref["path"]), ref["ref"])], complement=bool(ref["complement"]))
            for ref in item.gate_refs
        )
        return Gate(population, parent, item.type, operands=operands, label=label)
    if any(isinstance(d, fk.RatioDimension) for d in item.dimensions):
        problems.add(f"gate {item.gate_name}", "ratio dimensions are not supported")
        return None
    if isinstance(item, fk.gates.RectangleGate):
        rectangle = tuple(_dimension(d.id, d.min, d.max, d) for d in item.dimensions)
        return Gate(population, parent, "rectangle", rectangle, label=label)
    if isinstance(item, fk.gates.PolygonGate):
        axes = tuple(_dimension(d.id, None, None, d) for d in item.dimensions)
        corners = tuple((float(x), float(y)) for x, y in item.vertices)
        return Gate(population, parent, "polygon", axes, vertices=corners, label=label)
    problems.add(f"gate {item.gate_name}", f"{type(item).__name__} is not supported")
    return None


def _dimension(channel: str, low: float | None, high: float | None, source: Any) -> Dimension:
    return Dimension(
        channel,
        None if low is None else float(low),
        None if high is None else float(high),
        scale=source.transformation_ref,
        compensated=source.compensation_ref not in (None, UNCOMPENSATED),
    )


def _from_flowkit_scale(name: str, transform: Any, problems: Problems) -> Scale | None:
    for kind, cls in _TRANSFORMS.items():
        if isinstance(transform, cls):
            values = {letter: getattr(transform, f"param_{letter.lower()}") for letter in SCALE_PARAMETERS[kind]}
            return Scale.of(kind, values)
    problems.add(f"scale {name}", f"{type(transform).__name__} is not supported")
    return None
