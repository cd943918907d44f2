"""Key populations of a visit: page one, and all measures in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from immunoprofile.report import key_table
from immunoprofile.report.content import Block, Cell, Column, Table, Text, columns
from immunoprofile.report.content import Row as TableRow
from immunoprofile.report.noise import Verdict

if TYPE_CHECKING:
    from immunoprofile.report.key_table import Line, Row
    from immunoprofile.report.view import VisitView

_LOOKS: Final = {"suppressed": "grey", "missing": "missing"}
_SHORT: Final = {"suppressed": "FAIL", "missing": "not done"}


def page_one(view: VisitView) -> tuple[Block, ...]:
    """The percentages of the key populations with their cells/uL, and the verdict on the declared measure."""
    rows: list[TableRow] = []
    for one in view.rows:
        counts = {line.confirmed: line for line in one.lines if line.scale == "abs"}
        for line in (line for line in one.lines if line.scale == "pct_parent"):
            name = f"{one.display}, FoxP3+" if line.confirmed else one.display
            verdict = line.verdict if line.confirmed else one.main.verdict
            rows.append((
                Cell(name), Cell(line.measure), _before(view, line.previous), _earlier(line.now), Cell(line.interval),
                _earlier(counts[line.confirmed].now), _chip(verdict),
            ))  # fmt: skip
    before, base = view.previous_visit or "none", view.baseline_visit or "none"
    heads = columns(
        "Population", "Measure", f"#Previous ({before})", f"#Now ({view.visit})", "#95 % interval", "#Now, cells/µL",
        "Verdict",
    )  # fmt: skip
    caption = (
        "Per cent of the parent named in the second column, with 95 % interval of counting only; cells/µL now. "
        f"Verdict on the change of the declared measure (else the percentage) from baseline ({base}). All measures, "
        "references and events: next page."
    )
    return (Table(heads, tuple(rows), "", caption, "six"),)


def full_table(view: VisitView) -> tuple[Block, ...]:
    """All measures of the key populations, with references and events."""
    rows: list[TableRow] = []
    breaks = []
    for one in view.rows:
        breaks.append(len(rows))
        rows += [_line(view, one, line) for line in one.lines]
    base, before = view.baseline_visit or "none", view.previous_visit or "none"
    head = (
        Column("Population", look="pop"),
        *columns("Measure, unit", f"#Baseline ({base})", f"#Previous ({before})", f"#Now ({view.visit})",
                 "#95 % interval*", "#Change from baseline", "#Change from previous", "#n events", "Reference",
                 "Verdict"),
    )  # fmt: skip
    absent = key_table.shown_populations(view.source)[1]
    caption = (
        "* Intervals hold counting noise only, for cells/µL from beads also pipetting, never biology. Verdict on the "
        f"change from baseline ({base}): more than noise, within noise or not assessable. REFRANGE_NA: no reference "
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
        Cell(line.interval, hint=line.interval_kind),
        Cell(line.from_baseline),
        Cell(line.from_previous),
    )
    if line.now.state != "ok":
        now = (Cell(line.now.words, look=_LOOKS[line.now.state], columns=4), None, None, None)
    measure = f"FoxP3+: {line.measure}" if line.confirmed else line.measure
    reason = line.verdict.reason if line.now.state == "ok" else ""
    return (
        name, Cell(measure, look="measure"), _earlier(line.baseline), _before(view, line.previous), *now,
        Cell(line.events), Cell(line.reference, look="ref"), _chip(line.verdict, reason),
    )  # fmt: skip


def _chip(verdict: Verdict, reason: str = "") -> Cell:
    return Cell(f"{verdict.symbol} {verdict.text}", verdict.fold, mark=verdict.level, note=reason)


def _before(view: VisitView, cell: key_table.Cell) -> Cell:
    return _earlier(cell) if view.previous_visit else Cell("none")


def _earlier(cell: key_table.Cell) -> Cell:
    if cell.state == "ok":
        return Cell(cell.words, cell.number)
    return Cell(_SHORT[cell.state], look=_LOOKS[cell.state], hint=cell.words)
