"""Key populations of a visit: page one, and all measures in full."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from immunoprofile.report import batch_controls, drawn_gates, key_table
from immunoprofile.report.content import Block, Bullets, Cell, Column, Table, Text, columns
from immunoprofile.report.content import Row as TableRow
from immunoprofile.report.language import Said
from immunoprofile.report.noise import Verdict

if TYPE_CHECKING:
    from immunoprofile.report.key_table import Line, Row
    from immunoprofile.report.view import VisitView

_LOOKS: Final = {"suppressed": "grey", "missing": "missing"}
_SHORT: Final = {"suppressed": "FAIL", "missing": "not done"}


def heading(view: VisitView) -> str:
    """Heading with the number of rows."""
    return Said("Key populations ({n} rows)", n=len(_shown(view)))


def page_one(view: VisitView) -> tuple[Block, ...]:
    """Each key population in the measure that its verdict is about: baseline, previous, now; then what failed."""
    rows = tuple(_short_row(view, one, line) for one, line in _shown(view))
    base = view.baseline_visit or "none"
    heads = columns(
        "Population", "Measure", *_visit_heads(view),
        "#95 % interval", "Reference", "#Change from baseline", "Verdict",
    )  # fmt: skip
    caption = (
        f"Verdict: change from baseline ({base}) to now, in the measure of the row (of the declared endpoint, else the "
        "percentage). Interval: counting only; gate: SD when cuts lie elsewhere. Second line: the other measure. L, H: "
        "below, above the reference range; –: none applies. All measures and events: Key populations in full."
    )
    return (Table(heads, rows, "", caption, "six"), *batch_controls.page_one(view), *failures(view),
            *drawn_gates.listed(view))  # fmt: skip


def failures(view: VisitView) -> tuple[Block, ...]:
    """Every tube that failed: what, its value and limits, and how a person decides otherwise."""
    source = view.source
    failed = [tube for tube in view.tubes if source.states.get((view.subject, view.visit, tube)) == "FAIL"]
    items = [f"Tube {tube}: {source.fail_reason(view.subject, view.visit, tube)}." for tube in failed]
    if not items:
        return ()
    how = (
        "Numbers struck through enter no statistic. To decide otherwise: a row with the reason in overrides.csv of the "
        "study, then run again."
    )
    return (Bullets((*items, how), "FAIL"),)


def _shown(view: VisitView) -> list[tuple[Row, Line]]:
    """Line of each population that the verdict is about, and the same of its confirmed cells."""
    return [(one, line) for one in view.rows for line in one.lines if line.scale == one.main.scale]


def _short_row(view: VisitView, one: Row, line: Line) -> TableRow:
    other = next((own for own in one.lines if own.scale != line.scale and own.confirmed == line.confirmed), None)
    beside = ""
    if other is not None and other.now.state == "ok":
        beside = other.now.words if other.scale == "abs" else f"{other.now.words} {other.measure.removeprefix('% ')}"
        beside = f"{beside} cells/µL" if other.scale == "abs" else beside
    name = f"{one.display}, {key_table.SHORT[line.confirmed]}" if line.confirmed else one.display
    outside = line.reference[-2:] in (" L", " H")
    return (
        Cell(name), Cell(line.measure, note=tube_words(line)), _earlier(line.baseline), _before(view, line.previous),
        replace(_earlier(line.now), note=beside), Cell(line.interval, note=line.gate),
        Cell(line.reference, look="ref outside" if outside else "ref"), Cell(line.from_baseline), _chip(line.verdict),
    )  # fmt: skip


def tube_words(line: Line) -> str:
    """Tubes of a number."""
    return f"tube {line.tubes[0]}" + "".join(f", counted in {tube}" for tube in line.tubes[1:])


def _visit_heads(view: VisitView) -> tuple[str, str, str]:
    base, before = view.baseline_visit or "none", view.previous_visit or "none"
    return (
        Said("#Baseline ({visit})", visit=base),
        Said("#Previous ({visit})", visit=before),
        Said("#Now ({visit})", visit=view.visit),
    )


def full_table(view: VisitView) -> tuple[Block, ...]:
    """All measures of the key populations, with references and events."""
    rows: list[TableRow] = []
    breaks = []
    for one in view.rows:
        breaks.append(len(rows))
        rows += [_line(view, one, line) for line in one.lines]
    base = view.baseline_visit or "none"
    head = (
        Column("Population", look="pop"),
        *columns("Measure, unit", *_visit_heads(view),
                 "#95 % interval*", "#Change from baseline", "#Change from previous", "#n events", "Reference",
                 "Verdict"),
    )  # fmt: skip
    absent = key_table.shown_populations(view.source)[1]
    caption = (
        "* Intervals hold counting noise only, for cells/µL from beads also pipetting, never biology; gate: relative "
        "SD of the value when all cuts lie elsewhere by what the template declares (cut_shift). Verdict on the "
        f"change from baseline ({base}): more than noise, within noise or not assessable. –: no reference "
        "range applies. points: percentage points; ×: ratio of the two values. † fewer than 100 events. Bold: endpoint "
        "declared by the study. Reference: range of the table that the study names for sex and specimen; L or H "
        "outside it; orientation ranges never give L or H."
        + (f" Not in the panels of this study: {', '.join(absent)}." if absent else "")
    )
    table = Table(head, tuple(rows), "", caption, "key", heads=2, breaks=tuple(breaks))
    return (table, *(Text(f"{one.display}: {one.remark}.", small=True) for one in view.rows if one.remark))


def _line(view: VisitView, one: Row, line: Line) -> TableRow:
    first = line is one.lines[0]
    name = Cell(one.display, note=one.definition, rows=len(one.lines)) if first else None
    now: TableRow = (
        Cell(line.now.words, line.now.number, look="now"),
        Cell(line.interval, hint=line.interval_kind, note=line.gate),
        Cell(line.from_baseline),
        Cell(line.from_previous),
    )
    if line.now.state != "ok":
        now = (
            Cell(line.now.words, look=_LOOKS[line.now.state], columns=4, struck=line.now.withheld), None, None, None,
        )  # fmt: skip
    measure = f"{key_table.SHORT[line.confirmed]}: {line.measure}" if line.confirmed else line.measure
    head = Cell(measure, look="measure", note=tube_words(line))
    reason = line.verdict.reason if line.now.state == "ok" else ""
    return (
        name, head, _earlier(line.baseline), _before(view, line.previous), *now,
        Cell(line.events), Cell(line.reference, look="ref"), _chip(line.verdict, reason),
    )  # fmt: skip


def _chip(verdict: Verdict, reason: str = "") -> Cell:
    return Cell(f"{verdict.symbol} {verdict.text}", verdict.fold, mark=verdict.level, note=reason)


def _before(view: VisitView, cell: key_table.Cell) -> Cell:
    return _earlier(cell) if view.previous_visit else Cell("none")


def _earlier(cell: key_table.Cell) -> Cell:
    if cell.state == "ok":
        return Cell(cell.words, cell.number)
    return Cell(_SHORT[cell.state], look=_LOOKS[cell.state], hint=cell.words, struck=cell.withheld)
