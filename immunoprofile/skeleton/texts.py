"""The files of a new study as text: study.yaml with comments, and the template of a tube."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import yaml

from immunoprofile.gate.template import COLUMNS
from immunoprofile.resources import populations
from immunoprofile.skeleton.names import Visit, is_baseline

if TYPE_CHECKING:
    from immunoprofile.skeleton.proposals import Proposal, ProposedGate

ARM = "ALL"
"""The only arm of a study whose arms nobody entered yet."""

_HEAD = """\
# A first study, written from the files by 'immunoprofile init'. Lines with CHECK hold a proposal; docs/study-folder.md
# explains every key, and 'immunoprofile check' says what is still open.
"""


def _text(value: str) -> str:
    """A value as YAML reads it back, whatever it holds."""
    return json.dumps(value, ensure_ascii=False)


def study_yaml(name: str, visits: Sequence[Visit], tubes: Mapping[str, tuple[str, str]], population: str) -> str:
    """Text of study.yaml.

    Parameters
    ----------
    name
        Id of the study.
    visits
        Visits in their order.
    tubes
        Tube -> name of its gates, and its markers in words.
    population
        Population that stands as the first endpoint, until the study declares its own.
    """
    lines = [_HEAD + f"study_id: {_text(name)}", f"title: {_text(name)}  # CHECK: as reports shall print it"]
    lines += [
        "arms:  # CHECK: one line per arm, the same codes in subjects.csv",
        f"  - {{code: {ARM}, label: all subjects}}",
        f"reference_arm: {ARM}",
        "visits:  # CHECK: order, planned study day (day 1 is the first dose), and which visit is the baseline",
    ]
    known = populations().get(population)
    label = known.display if known is not None else population
    baseline = next((n for n, visit in enumerate(visits) if is_baseline(visit.name)), 0)
    last = 0
    for number, visit in enumerate(visits, 1):
        day = visit.day if visit.day is not None and visit.day > last else (1 if number == 1 else last + 7)
        last = day
        more = ", baseline: true" if number - 1 == baseline else ""
        lines.append(f"  - {{visit: {_text(visit.name)}, visitnum: {number}, day: {day}{more}}}")
    lines += [
        f"primary_visit: {_text(visits[-1].name)}  # CHECK: the visit at which arms are compared first",
        "endpoints:  # CHECK: what the study declared; 'immunoprofile populations' lists the ids",
        f"  - {{population: {population}, measure: pct_parent, label: {_text(label)}}}",
        "tubes:  # CHECK: staining_protocol (lyse_no_wash, washed, permeabilised); counts: true for the counting tube",
    ]
    for tube, (gates, markers) in tubes.items():
        lines.append(f"  {_text(tube)}: {{panel: {_text(tube + '-1')}, gates: {_text(gates)}}}  # {markers}")
    lines += [
        "# assays:  # for cmv_dna.csv: limits as the laboratory states them",
        "#   roche: {name: CAP/CTM CMV, unit: IU/mL, specimen: plasma, lod: 91, lloq: 137, uloq: 9100000}",
    ]
    return "\n".join(lines) + "\n"


def template(
    tube: str, instrument: str, channels: Mapping[str, str], proposal: Proposal, *, compensated: bool
) -> tuple[str, str]:
    """Text of a template and of its vertices (empty where it has no polygon); limits in units of the data."""
    header: dict[str, object] = {"tube": tube, "version": "1", "panel": f"{tube}-1"}
    if instrument:
        header["instrument"] = instrument
    header["units"] = "data"
    if not compensated:
        header["compensated"] = False
    if channels:
        header["channels"] = dict(channels)
    if proposal.scales:
        header["scales"] = {
            _scale_name(name): {"kind": scale.kind, **{k: float(v) for k, v in scale.by_letter.items()}}
            for name, scale in proposal.scales.items()
        }
        header["marker_scales"] = {name: _scale_name(name) for name in proposal.scales}
    text = "".join(
        f"# {line}\n" for line in yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=200).splitlines()
    )
    rows = [",".join(COLUMNS), *(_row(gate) for gate in proposal.gates)]
    corners = [
        f"{gate.population},{order},{x!r},{y!r}"
        for gate in proposal.gates
        for order, (x, y) in enumerate(gate.corners, 1)
    ]
    return text + "\n".join(rows) + "\n", "\n".join(["population,order,x,y", *corners, ""]) if corners else ""


def _scale_name(marker: str) -> str:
    return f"for {marker}"


def _row(gate: ProposedGate) -> str:
    cells = dict.fromkeys(COLUMNS, "")
    cells |= {"population": gate.population, "parent": gate.parent, "method": "fixed", "note": gate.note}
    cells["gate"] = "polygon" if gate.corners else "rectangle"
    for number, limit in enumerate(gate.limits, 1):
        cells[f"dim_{number}"] = limit.name
        cells[f"min_{number}"] = "" if limit.low is None else repr(limit.low)
        cells[f"max_{number}"] = "" if limit.high is None else repr(limit.high)
    return ",".join('"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\n') else cell for cell in cells.values())
