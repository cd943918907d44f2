"""GatingML that Cytobank exported: names, and gates that were tailored to single files, from its ``custom_info``.

Cytobank writes two kinds of gates: drawn ones, and Boolean ones for its populations ("gate sets"). Their ids are made
up; what people called them, and for which file a version of a gate is, stands beside them.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from immunoprofile.errors import GateError, Problems
from immunoprofile.gate.gates import Gate
from immunoprofile.gate.names import population_id
from immunoprofile.io.guarded_xml import attribute, local

if TYPE_CHECKING:
    from xml.etree import ElementTree as Xml

    from immunoprofile.gate.strategy import Strategy

DRAWN = "{} (gate)"
"""Label of a drawn gate, whose population usually has the same name."""


@dataclass(frozen=True)
class _Told:
    """What Cytobank says of one gate of a document.

    Attributes
    ----------
    name
        As people called it.
    number
        Its number in the experiment, the same for all versions of a tailored gate; empty for a population.
    file
        FCS file that this version is for; empty for all others.
    parts
        Ids of its quadrants, or its own id.
    """

    name: str
    number: str
    file: str
    parts: tuple[str, ...]


def named(strategy: Strategy, root: Xml.Element) -> Strategy:
    """A strategy with the names of Cytobank, and with tailored gates as gates of single samples.

    Parameters
    ----------
    strategy
        As FlowKit read the document.
    root
        The document; without Cytobank's words the strategy stays as it is.

    Raises
    ------
    GateError
        A tailored gate has another shape or other axes than the one for all files.
    """
    told = {attribute(e, "id") or "": one for e in root if (one := _told(e)) is not None}
    if not told:
        return strategy
    ids = {gate.label or gate.population: gate.population for gate in strategy.gates}
    replaced, custom = _tailored(strategy, told, ids)
    gates = [gate for gate in strategy.gates if gate.population not in replaced]
    labels = _labels(told, ids)
    taken: set[str] = {"root"}
    final: dict[str, str] = {}
    for gate in sorted(gates, key=lambda gate: labels.get(gate.population, ("", True))[1]):
        label = labels[gate.population][0] if gate.population in labels else gate.label or gate.population
        final[gate.population] = population_id(label, taken)
        taken.add(final[gate.population])

    def renamed(gate: Gate) -> Gate:
        label = labels[gate.population][0] if gate.population in labels else gate.label or gate.population
        population = final[gate.population]
        operands = (replace(o, population=final[replaced.get(o.population, o.population)]) for o in gate.operands)
        return replace(
            gate,
            population=population,
            parent=final.get(replaced.get(gate.parent, gate.parent), gate.parent),
            label=label if label != population else "",
            operands=tuple(operands),
        )

    return replace(
        strategy,
        gates=tuple(renamed(gate) for gate in gates),
        custom=tuple((file, renamed(gate)) for file, gate in custom),
    )


def _told(element: Xml.Element) -> _Told | None:
    infos = [e for info in element if local(info.tag) == "custom_info" for e in info]
    words = next((e for e in infos if local(e.tag) == "cytobank"), None)
    if words is None or not local(element.tag).endswith("Gate"):
        return None
    found = {local(e.tag): (e.text or "").strip() for e in words}
    quadrants = tuple(attribute(e, "id") or "" for e in element if local(e.tag) == "Quadrant")
    own = attribute(element, "id") or ""
    return _Told(
        found.get("name", ""), found.get("gate_id", ""), found.get("fcs_file_filename", ""), quadrants or (own,)
    )


def _tailored(
    strategy: Strategy, told: dict[str, _Told], ids: dict[str, str]
) -> tuple[dict[str, str], list[tuple[str, Gate]]]:
    """Version of a gate -> the gate for all files; and the versions, by file, in its place."""
    versions: dict[str, list[_Told]] = {}
    for one in told.values():
        if one.number:
            versions.setdefault(one.number, []).append(one)
    replaced: dict[str, str] = {}
    custom: list[tuple[str, Gate]] = []
    problems = Problems()
    for found in versions.values():
        common = next((one for one in found if not one.file), found[0])
        for one in found:
            if one is common or not one.file:
                continue
            if len(one.parts) != len(common.parts):
                problems.add(f"gate {one.name} of {one.file}", "has another shape than the gate for all files")
                continue
            for part, of_all in zip(one.parts, common.parts, strict=True):
                gate, place = strategy[ids[part]], strategy[ids[of_all]]
                replaced[gate.population] = place.population
                own = replace(gate, population=place.population, parent=place.parent, quadrant_of=place.quadrant_of)
                custom.append((one.file, own))
    if problems:
        raise GateError("tailored gates of Cytobank cannot be read", problems.found, where=strategy.tube)
    return replaced, custom


def _labels(told: dict[str, _Told], ids: dict[str, str]) -> dict[str, tuple[str, bool]]:
    """Population -> its name, and whether it is a drawn gate."""
    found: dict[str, tuple[str, bool]] = {}
    for one in told.values():
        for part in one.parts:
            name = (_decoded(part) if len(one.parts) > 1 else "") or one.name
            if part in ids and name:
                found[ids[part]] = (DRAWN.format(name), True) if one.number else (name, False)
    return found


def _decoded(name: str) -> str:
    """Name that the id of a quadrant carries after its last underscore, in base64 with dots for the padding."""
    text = name.rpartition("_")[2].replace(".", "=")
    try:
        return base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return ""
