"""Gating templates: one readable table per tube, one row a population.

A template is a CSV file. Lines that begin with ``#`` before the table are its header in YAML; corners of polygons
stand in ``<name>.vertices.csv`` beside it. docs/gating-templates.md explains each column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from immunoprofile.errors import GateError, Problems
from immunoprofile.gate.data_units import Units, beyond_reach, in_data_units, on_scale
from immunoprofile.gate.methods import (
    CUT_SHIFT,
    METHODS,
    MOST_CUT_SHIFT,
    arguments_in_words,
    placement_faults,
    read_arguments,
)
from immunoprofile.gate.reference import REFERENCE_SUFFIX, read_references, write_references
from immunoprofile.gate.scales import SCALE_PARAMETERS, Scale
from immunoprofile.gate.strategy import BOOLEAN_KINDS, ROOT, Dimension, Gate, GateKind, Operand, Strategy
from immunoprofile.gate.template_tables import number_in, parse_rows, quoted, read_lines, read_vertices
from immunoprofile.io.config import load_plain_yaml
from immunoprofile.io.files import write_text
from immunoprofile.io.markers import is_scatter, is_time
from immunoprofile.schema import POPULATION_ID

VERTICES_SUFFIX = ".vertices.csv"
BESIDE = (VERTICES_SUFFIX, REFERENCE_SUFFIX)
"""Ends of the names of the tables that stand beside a template."""
MAX_DIMENSIONS = 3
_LARGEST_PARAMETER = 1e12
KINDS: tuple[GateKind, ...] = ("rectangle", "polygon", *BOOLEAN_KINDS)

COLUMNS = (
    "population", "parent", "gate", "method", "arguments",
    *(f"{part}_{number}" for number in range(1, MAX_DIMENSIONS + 1) for part in ("dim", "min", "max")),
    "operands", "group_by", "fallback", "note",
)  # fmt: skip
_REQUIRED = ("population", "parent", "gate")


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tube: str
    version: str = ""
    panel: str = ""
    instrument: str = ""
    channels: dict[str, str | list[str]] = Field(default_factory=dict)
    scales: dict[str, dict[str, Any]] = Field(default_factory=dict)
    default_scale: str | None = None
    marker_scales: dict[str, str] = Field(default_factory=dict)
    compensated: bool = True
    beads: str = ""
    units: Units = "scale"
    cut_shift: float = Field(default=CUT_SHIFT, ge=0.0, le=MOST_CUT_SHIFT)


def read_template(path: str | Path) -> Strategy:
    """Read a template and its vertices.

    Parameters
    ----------
    path
        The CSV file; ``<name>.vertices.csv`` beside it holds the corners of its polygons.

    Raises
    ------
    GateError
        With all problems of header, table and vertices at once: what, in which row and column, what is allowed.
    """
    path = Path(path)
    problems = Problems()
    if not path.exists():
        problems.add(path.name, "file is missing")
        raise GateError("the template cannot be read", problems.found, where=str(path.parent))
    lines = read_lines(path, problems)
    top = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header = _parse_header(lines[:top], path, problems)
    rows = parse_rows(lines[top:], path.name, COLUMNS, _REQUIRED, problems)
    corners = read_vertices(path.with_name(path.stem + VERTICES_SUFFIX), problems)
    references = read_references(path.with_name(path.stem + REFERENCE_SUFFIX), problems)
    if problems or header is None:
        raise GateError(
            "the template cannot be read", problems.found, where=path.name, todo="see docs/gating-templates.md"
        )
    scales = _parse_scales(header, path.name, problems)
    gates = tuple(_parse_gate(row, number, header, corners, path.name, problems) for number, row in enumerate(rows, 1))
    gates = tuple(_placed(gate, dict(scales), header.units, path.name, problems) for gate in gates)
    _check_placement(gates, path.name, problems)
    for name in sorted(set(corners) - {gate.population for gate in gates if gate.kind == "polygon"}):
        problems.add(
            path.stem + VERTICES_SUFFIX, "vertices of a population that is no polygon of the template", value=name
        )
    for gate in gates:
        if gate.kind == "polygon" and not gate.vertices:
            problems.add(
                path.stem + VERTICES_SUFFIX, "a polygon needs at least three vertices in this file beside the "
                "template, and has none", column="population", value=gate.population,
            )  # fmt: skip
    if header.beads and header.beads not in {gate.population for gate in gates}:
        problems.add(path.name, "beads is not a population of the template", column="beads", value=header.beads)
    if problems:
        raise GateError(
            "the template is not valid", problems.found, where=path.name, todo="see docs/gating-templates.md"
        )
    gated = {dimension.marker for gate in gates for dimension in gate.dimensions}
    strategy = Strategy(
        tube=header.tube,
        gates=gates,
        scales=scales,
        marker_scales=tuple(pair for pair in header.marker_scales.items() if pair[0] not in gated),
        channels=_pairs(header.channels),
        beads=header.beads,
        version=header.version,
        panel=header.panel,
        instrument=header.instrument,
        units=header.units,
        references=references,
        cut_shift=header.cut_shift,
    )
    # What goes without saying is not kept: the same gates have the same hash, however much of it was written.
    default = header.default_scale or ""
    return strategy if default == strategy.usual_scale else replace(strategy, default_scale=default)


def _parse_header(lines: Sequence[str], path: Path, problems: Problems) -> _Header | None:
    text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)
    try:
        content = load_plain_yaml(text) or {}
        if not isinstance(content, dict):
            problems.add(path.name, "the header is no YAML of names and values")
            return None
        content.setdefault("tube", path.stem)
        return _Header.model_validate(content)
    except ValidationError as error:
        for item in error.errors():
            problems.add(f"{path.name}, header", item["msg"], column=".".join(str(part) for part in item["loc"]))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problems.add(path.name, f"the header is no YAML: {str(error)[:500]}")
    return None


def _parse_scales(header: _Header, where: str, problems: Problems) -> tuple[tuple[str, Scale], ...]:
    scales = []
    for name, content in header.scales.items():
        kind = content.get("kind")
        letters = SCALE_PARAMETERS.get(str(kind))
        if letters is None:
            problems.add(where, "unknown kind of scale", column=f"scales.{name}", value=kind,
                         allowed=", ".join(SCALE_PARAMETERS))  # fmt: skip
            continue
        if set(content) != {"kind", *letters}:
            problems.add(where, f"a {kind} scale needs {', '.join(letters)}", column=f"scales.{name}")
            continue
        values = [content[letter] for letter in letters]
        if not all(isinstance(value, int | float) and abs(value) < _LARGEST_PARAMETER for value in values):
            problems.add(where, "the parameters of a scale are numbers", column=f"scales.{name}", value=values)
            continue
        scales.append((name, Scale.of(str(kind), dict(zip(letters, values, strict=True)))))
    known = {*header.scales}
    for column, wanted in (("default_scale", header.default_scale), *header.marker_scales.items()):
        if wanted is not None and wanted not in known:
            problems.add(where, "unknown scale", column=column, value=wanted, allowed=", ".join(known))
    return tuple(scales)


def _parse_gate(
    row: dict[str, str],
    number: int,
    header: _Header,
    corners: dict[str, list[tuple[float, float]]],
    where: str,
    problems: Problems,
) -> Gate:
    population, kind = row["population"], row["gate"]
    if not re.match(POPULATION_ID, population):
        problems.add(where, "not a valid population id", row=number, column="population", value=population,
                     allowed="lower-case letters, digits and _, beginning with a letter")  # fmt: skip
    if kind not in KINDS:
        problems.add(where, "unknown gate", row=number, column="gate", value=kind, allowed=", ".join(KINDS))
    method = row.get("method") or "fixed"
    arguments, faults = read_arguments(row.get("arguments", ""), METHODS[method]) if method in METHODS else ((), [])
    for fault, value, allowed in faults:
        problems.add(where, fault, row=number, column="arguments", value=value, allowed=allowed)
    dimensions = []
    for position in range(1, MAX_DIMENSIONS + 1):
        minimum = number_in(row, f"min_{position}", number, where, problems)
        maximum = number_in(row, f"max_{position}", number, where, problems)
        marker = row.get(f"dim_{position}", "")
        if marker:
            dimensions.append(_dimension(marker, minimum, maximum, header))
        elif minimum is not None or maximum is not None:
            problems.add(where, "a limit without a dimension", row=number, column=f"dim_{position}")
    if kind in BOOLEAN_KINDS and dimensions:
        problems.add(where, f"a gate '{kind}' has operands, not dimensions", row=number, column="dim_1")
    operands = tuple(
        Operand(name.removeprefix("not ").strip(), complement=name.startswith("not "))
        for name in (part.strip() for part in row.get("operands", "").split(";"))
        if name
    )
    if operands and kind not in BOOLEAN_KINDS:
        problems.add(where, f"a {kind} has dimensions, not operands", row=number, column="operands")
    return Gate(
        population=population,
        parent=row["parent"] or ROOT,
        kind=kind,  # type: ignore[arg-type]
        dimensions=tuple(dimensions),
        vertices=tuple(corners.get(population, ())) if kind == "polygon" else (),
        operands=operands,
        method=method,
        arguments=arguments,
        group_by=row.get("group_by", ""),
        fallback=row.get("fallback", ""),
        note=row.get("note", ""),
    )


def _placed(gate: Gate, scales: dict[str, Scale], units: Units, where: str, problems: Problems) -> Gate:
    """A gate with its limits and corners on the scales of its dimensions."""
    where = f"{where}, population {gate.population}"

    def placed(dimension: Dimension, value: float) -> float:
        scale = scales.get(dimension.scale or "")
        if scale is None:
            return value
        if units == "data":
            try:
                return on_scale(scale, value)
            except ValueError as error:
                problems.add(where, str(error), column=dimension.marker, value=value)
        elif beyond_reach(scale, value):
            problems.add(
                where,
                f"no event lies there: the {scale.kind} scale ends near {scale.top:g}",
                column=dimension.marker,
                value=value,
                allowed="a place on the scale; for limits in units of the data write 'units: data' into the header",
            )
        return value

    return gate.moved(placed)


def _check_placement(gates: Sequence[Gate], where: str, problems: Problems) -> None:
    """Methods, arguments, groups and fallbacks of all rows, by row and column."""
    above: dict[str, Gate] = {}
    for number, gate in enumerate(gates, 1):
        for column, fault, value, allowed in placement_faults(gate, above):
            problems.add(where, fault, row=number, column=column, value=value, allowed=allowed)
        above[gate.population] = gate


def _dimension(marker: str, minimum: float | None, maximum: float | None, header: _Header) -> Dimension:
    if is_time(marker) or is_scatter(marker):
        return Dimension(marker, minimum, maximum)
    scale = header.marker_scales.get(marker, header.default_scale)
    return Dimension(marker, minimum, maximum, scale=scale, compensated=header.compensated)


def write_template(strategy: Strategy, path: str | Path) -> Path:
    """Write a strategy as template and vertices; re-reading gives an equal strategy.

    Raises
    ------
    GateError
        The strategy holds something that a template cannot say (for example two scales for one marker).
    """
    path = Path(path)
    _refuse_what_no_column_says(strategy, path.name)
    if strategy.units == "data":
        strategy = strategy.with_units("data")
    fluorescence = [
        d for gate in strategy.gates for d in gate.dimensions if not (is_time(d.marker) or is_scatter(d.marker))
    ]
    scale_of = {d.marker: d.scale for d in fluorescence}
    header: dict[str, Any] = {"tube": strategy.tube}
    header |= {key: value for key in ("version", "panel", "instrument", "beads") if (value := getattr(strategy, key))}
    if strategy.units != "scale":
        header["units"] = strategy.units
    if strategy.channels:
        header["channels"] = _channels_of(strategy)
    if strategy.scales:
        header["scales"] = {name: {"kind": scale.kind, **scale.by_letter} for name, scale in strategy.scales}
        of_gates = {marker: scale for marker, scale in scale_of.items() if scale is not None}
        header["marker_scales"] = {**of_gates, **dict(strategy.marker_scales)}
    if strategy.default_scale:
        header["default_scale"] = strategy.default_scale
    if any(not d.compensated for d in fluorescence):
        header["compensated"] = False
    if strategy.cut_shift != CUT_SHIFT:
        header["cut_shift"] = strategy.cut_shift
    text = "".join(f"# {line}\n" for line in yaml.safe_dump(header, sort_keys=False, allow_unicode=True).splitlines())
    rows = [",".join(COLUMNS)]
    stated = [_stated(gate, strategy) for gate in strategy.gates]
    rows += [",".join(quoted(cell) for cell in _row(gate)) for gate in stated]
    write_text(path, text + "\n".join(rows) + "\n")
    corners = ["population,order,x,y"]
    corners += [
        f"{gate.population},{order},{x!r},{y!r}" for gate in stated for order, (x, y) in enumerate(gate.vertices, 1)
    ]
    vertices_path = path.with_name(path.stem + VERTICES_SUFFIX)
    if len(corners) > 1:
        write_text(vertices_path, "\n".join(corners) + "\n")
    else:  # of an earlier template of this name
        vertices_path.unlink(missing_ok=True)
    write_references(strategy.references, path.with_name(path.stem + REFERENCE_SUFFIX))
    if read_template(path) != strategy:
        problems = Problems()
        problems.add(path.name, "the template does not re-read to the same strategy")
        raise GateError(
            "the strategy cannot be written as a template", problems.found, todo="save it as GatingML (.xml)"
        )
    return path


def _pairs(channels: Mapping[str, str | list[str]]) -> tuple[tuple[str, str], ...]:
    """(marker, $PnN) pairs; a marker may have a channel on each of several cytometers."""
    lists = {marker: [said] if isinstance(said, str) else said for marker, said in channels.items()}
    return tuple((marker, channel) for marker, names in lists.items() for channel in names)


def _channels_of(strategy: Strategy) -> dict[str, str | list[str]]:
    found: dict[str, list[str]] = {}
    for marker, channel in strategy.channels:
        found.setdefault(marker, []).append(channel)
    return {marker: stated[0] if len(stated) == 1 else stated for marker, stated in found.items()}


def _refuse_what_no_column_says(strategy: Strategy, where: str) -> None:
    problems = Problems()
    for gate in strategy.gates:
        if gate.kind not in KINDS:
            problems.add(f"gate {gate.population}", f"a template has no {gate.kind}")
        if gate.complement:
            problems.add(f"gate {gate.population}", "a template has no complement of a gate; use a gate 'not'")
        if gate.label:
            problems.add(f"gate {gate.population}", "a template has no name beside the population id", value=gate.label)
        if len(gate.dimensions) > MAX_DIMENSIONS:
            problems.add(f"gate {gate.population}", f"a template has {MAX_DIMENSIONS} dimensions",
                         value=len(gate.dimensions))  # fmt: skip
        for dimension in gate.dimensions:
            if dimension.ratio is not None:
                problems.add(f"gate {gate.population}", "a template has no ratios", value=dimension.marker)
    for name, _ in strategy.matrices:
        problems.add(f"matrix {name}", "a template has no matrices")
    for sample in strategy.custom_samples:
        problems.add(f"sample {sample}", "a template has no gates of single samples")
    if problems:
        raise GateError(
            "the strategy cannot be written as a template",
            problems.found,
            where=where,
            todo="save it as GatingML (.xml) or .json",
        )


def _stated(gate: Gate, strategy: Strategy) -> Gate:
    """A gate with its limits and corners in the units of the template."""
    if strategy.units == "scale":
        return gate
    scales = dict(strategy.scales)
    return gate.moved(lambda d, place: in_data_units(scales[d.scale] if d.scale is not None else None, place))


def _row(gate: Gate) -> list[str]:
    cells = [gate.population, gate.parent, gate.kind, gate.method, arguments_in_words(gate.arguments)]
    for position in range(MAX_DIMENSIONS):
        if position < len(gate.dimensions):
            dimension = gate.dimensions[position]
            limits = ("" if value is None else repr(value) for value in (dimension.minimum, dimension.maximum))
            cells += [dimension.marker, *limits]
        else:
            cells += ["", "", ""]
    operands = "; ".join(f"{'not ' if o.complement else ''}{o.population}" for o in gate.operands)
    return [*cells, operands, gate.group_by, gate.fallback, gate.note]
