"""The key table of a visit: six populations, two measures each, with the verdict on their change."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Final

from immunoprofile import schema
from immunoprofile.pp.precision import DEFAULT_CV
from immunoprofile.report import batch_controls, drawn_gates, moved_cuts, noise, wording
from immunoprofile.report.noise import Verdict
from immunoprofile.report.reference import NONE_APPLIES, reference
from immunoprofile.report.source import Source
from immunoprofile.report.value import Measure, Value
from immunoprofile.resources import populations

if TYPE_CHECKING:
    from immunoprofile.report.view import VisitView

KEY_POPULATIONS: Final = ("treg", "nk", "nk_bright", "cd8", "cd8_act", "cd4")
CONFIRMED: Final = "treg_foxp3"
"""Cells of the Treg gate that carry FoxP3: a rise of CD25 brings some more of them into the gate."""
WITHOUT_CD25: Final = "foxp3_cd127lo"
"""Treg counted without CD25, which a rise of CD25 does not move."""


@cache
def technical() -> frozenset[str]:
    """Populations that are steps on the way or denominators of the others: no row of a report is about them."""
    return frozenset({"root"} | {name for name, entry in populations().items() if not entry.explored})


@dataclass(frozen=True)
class Cell:
    """A cell of the table: text with unit, ``missing`` and ``suppressed`` cells carry the reason as text."""

    words: str
    state: str = "ok"
    number: float = math.nan
    withheld: str = ""
    """The number of a tube that failed."""


@dataclass(frozen=True)
class Line:
    """One measure of a population."""

    scale: Measure
    confirmed: str
    """Population by which a second definition confirms the cells, where the line is about it."""
    measure: str
    """What is measured with its unit."""
    baseline: Cell
    previous: Cell
    now: Cell
    interval: str
    interval_kind: str
    """What the interval holds; biology is never in it."""
    gate: str
    """Relative SD of the value when the cuts lie elsewhere, which the interval does not hold."""
    from_baseline: str
    from_previous: str
    events: str
    reference: str
    verdict: Verdict
    tubes: tuple[str, ...]
    """Where the number comes from."""
    declared: bool
    """The study declares this measure of the population as an endpoint."""


@dataclass(frozen=True)
class Row:
    """A population of the key table."""

    population: str
    display: str
    definition: str
    lines: tuple[Line, ...]
    remark: str = ""

    @property
    def main(self) -> Line:
        """The declared measure, else the percentage."""
        return next((line for line in self.lines if line.declared), self.lines[0])


def shown_populations(source: Source) -> tuple[list[str], list[str]]:
    """Populations of the key table, and the usual ones that this study does not measure.

    A study with other populations gets its endpoints first and is filled up to six.
    """
    present = [name for name in KEY_POPULATIONS if source.has(name)]
    present += [
        endpoint.population
        for endpoint in source.config.endpoints
        if source.has(endpoint.population) and endpoint.population not in present
    ]
    for name in map(str, source.visits.var_names):
        if len(present) >= len(KEY_POPULATIONS):
            break
        if name not in present and name not in technical() and name not in (CONFIRMED, WITHOUT_CD25):
            present.append(name)
    return present, [name for name in KEY_POPULATIONS if not source.has(name)]


def confirming(source: Source) -> str:
    """Population that confirms the Treg of the held gate by FoxP3; empty where FoxP3 was not stained.

    The one without CD25 where the gates have it with the parent of the Treg, else the FoxP3+ cells inside the gate.
    """
    if source.has(WITHOUT_CD25) and source.var(WITHOUT_CD25, "parent") == source.var("treg", "parent"):
        return WITHOUT_CD25
    return CONFIRMED if source.has(CONFIRMED) else ""


_REMARKS: Final = {
    WITHOUT_CD25: "held CD25/CD127 gate and FoxP3+ CD127lo cells, counted without CD25, are shown together; where they "
    "disagree the change is not assessable",
    CONFIRMED: "held CD25/CD127 gate and FoxP3-confirmed cells are shown together; where they disagree the change is "
    "not assessable; both are cells of the CD25 gate, and a rise of CD25 moves both, FoxP3+ less",
    "": "FoxP3 not stained: a CD25 shift under IL-2 cannot be excluded",
}
"""Confirming population -> what is said below the Treg."""
SHORT: Final = {WITHOUT_CD25: "FoxP3+ CD127lo", CONFIRMED: "FoxP3+"}
"""Confirming population -> what its line is called beside the name of the Treg."""


def build_rows(view: VisitView) -> tuple[Row, ...]:
    """Key table of a visit."""
    source, places = view.source, (view.row, view.baseline_row, view.previous_row)
    rows = []
    for population in shown_populations(source)[0]:
        second = confirming(source) if population == "treg" else ""
        lines = []
        measures: tuple[Measure, ...] = ("pct_parent", "abs")
        for measure in measures:
            values = [source.value(row, population, measure) for row in places]
            line = _line(source, population, measure, values, places)
            if second:
                support = [_confirmed(source, row, second, measure) for row in places]
                other = _line(source, population, measure, support, places, confirmed=second)
                verdict = noise.with_confirmation(line.verdict, other.verdict, what=source.display(second))
                lines += [replace(line, verdict=verdict), other]
            else:
                lines.append(line)
        remark = ""
        if population == "treg":
            remark = _REMARKS[second]
            if source.blinded:
                remark = remark.replace(" under IL-2", "")
        definition = source.definition(population)
        rows.append(Row(population, source.display(population), definition, tuple(lines), remark))
    return tuple(rows)


def _confirmed(source: Source, row: int | None, population: str, measure: Measure) -> Value:
    """Treg that FoxP3 confirms as a percentage of what Treg are a percentage of, or in cells/uL."""
    if measure == "abs" or row is None or population == WITHOUT_CD25:
        return source.value(row, population, measure)
    gate = source.value(row, "treg", measure)
    events, parent = source.layer(schema.COUNTS, row, CONFIRMED), source.layer(schema.PARENT_COUNTS, row, "treg")
    if gate.state != "ok":
        return gate
    if math.isnan(events) or not parent > 0:
        return Value(math.nan, state="missing", reason="not done: FoxP3 not measured")
    from immunoprofile.pp.proportions import wilson

    low, high = wilson(events, parent)
    direct = source.var(CONFIRMED, "parent") == "treg"  # both are counted in the tube of the Treg
    inside = source.moved_cuts.of(row, CONFIRMED, "pct_parent") if direct else None
    return Value(
        100 * events / parent, float(low), float(high), events, 100 * max(events, 0.5) / parent,
        max(1 / max(events, 0.5) - 1 / parent, 0.0), shifts=None if inside is None else inside.within(gate.shifts),
    )  # fmt: skip


def _line(
    source: Source,
    population: str,
    measure: Measure,
    values: list[Value],
    rows: tuple[int | None, int | None, int | None],
    *,
    confirmed: str = "",
) -> Line:
    now, then, before = values
    if measure == "abs":
        name, kind = wording.MICRO, _interval_kind(source, rows[0])
    else:
        parent = source.var(population, "parent")
        name, kind = f"% of {source.display(parent)}", "counting only"
    declared = not confirmed and any(
        endpoint.population == population and endpoint.measure == measure for endpoint in source.config.endpoints
    )
    marks = [drawn_gates.mark(source, row, confirmed or population, measure) for row in rows]
    return Line(
        measure,
        confirmed,
        name,
        _cell(then, measure, marks[1]),
        _cell(before, measure, marks[2]),
        _cell(now, measure, marks[0]),
        _interval(now, measure),
        kind if now.state == "ok" else "",
        moved_cuts.words(now.shifts) if now.state == "ok" else "",
        _change(now, then, measure) if rows[0] != rows[1] else "",
        _change(now, before, measure),
        wording.count(now.events) + ("†" if 0 <= now.events < 100 else "") + marks[0],
        NONE_APPLIES if confirmed else reference(source, rows[0], population, measure, now),
        _verdict(source, now, then, rows, measure, confirmed or population),
        tuple(source.tubes_of(confirmed or population, measure)),
        declared,
    )


def _interval_kind(source: Source, row: int | None) -> str:
    method = source.obs(row, "abs_method")
    others = {
        "bead": "pipetting and beads",
        "volumetric": "volume",
        "dual_lymph": "blood count",
        "dual_wbc": "blood count",
    }
    return f"counting, {others[method]} only" if method in others else "counting only"


def _written(value: float, measure: Measure) -> str:
    return wording.count(value) if measure == "abs" else wording.percent(value)


def _cell(value: Value, measure: Measure, mark: str) -> Cell:
    words = f"{_written(value.number, measure)}{mark}" if value.state == "ok" else value.reason
    return Cell(words, value.state, value.number, _written(value.withheld, measure))


def _interval(value: Value, measure: Measure) -> str:
    if value.state != "ok" or math.isnan(value.lower) or math.isnan(value.upper):
        return ""
    if measure == "abs":
        return f"{wording.count(value.lower)} to {wording.count(value.upper)}"
    return f"{wording.percent(value.lower).removesuffix(' %')} to {wording.percent(value.upper)}"


def _change(now: Value, then: Value, measure: Measure) -> str:
    if now.state != "ok" or then.state != "ok":
        return ""
    difference = now.number - then.number
    words = f"{wording.signed(difference)}/µL" if measure == "abs" else wording.points(difference)
    return f"{words} ({wording.fold(now.positive / then.positive)})" if then.positive > 0 else words


def _verdict(
    source: Source,
    now: Value,
    then: Value,
    rows: tuple[int | None, int | None, int | None],
    measure: Measure,
    population: str,
) -> Verdict:
    if rows[0] is not None and rows[0] == rows[1]:
        return Verdict("BASELINE")
    if rows[1] is None:
        return noise.not_assessable("no baseline visit")
    for value, name in ((now, "this visit"), (then, "baseline")):
        if value.state != "ok":
            return noise.not_assessable(f"{name}: {value.reason}")
    if source.obs(rows[0], "specimen_type") != source.obs(rows[1], "specimen_type"):
        return noise.not_assessable("another specimen type than at baseline")
    if measure == "abs" and source.obs(rows[0], "abs_method") != source.obs(rows[1], "abs_method"):
        return noise.not_assessable("another counting method than at baseline")
    # Replicates of cells/uL were counted with beads; a blood count has another precision.
    by_beads = measure == "pct_parent" or source.obs(rows[0], "abs_method") == "bead"
    cv = batch_controls.noise_of(source, population, measure)[0] if by_beads else DEFAULT_CV
    return noise.judge(
        now.positive, then.positive, variance_now=now.variance, variance_then=then.variance, cv=cv,
        gate_sd=moved_cuts.change_sd(now.shifts, then.shifts),
    )  # fmt: skip
