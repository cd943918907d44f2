"""Quality of a visit: flags, automatic comments, exceptions and the checks of every tube."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from immunoprofile import schema
from immunoprofile.report import wording
from immunoprofile.report.content import Beside, Block, Bullets, Cell, Column, Fold, Table, Text, columns, row
from immunoprofile.report.language import Said
from immunoprofile.report.visit_results import ExceptionRow
from immunoprofile.resources.checks import check_title

if TYPE_CHECKING:
    from immunoprofile.report.view import VisitView


@dataclass(frozen=True)
class CheckCell:
    """Outcome of a check in one tube, or for the whole visit."""

    state: str
    value: str
    flag: str

    @property
    def state_text(self) -> str:
        """State for people."""
        return self.state.replace("_", " ").lower() if self.state == "NOT_EVALUABLE" else self.state


@dataclass(frozen=True)
class CheckRow:
    """A quality check with its outcome at each place; None where it was not made.

    Values carry their unit; ``limits`` end with it. ``remark`` holds the flags that were raised, with their places
    when these differ.
    """

    check: str
    limits: str
    cells: tuple[CheckCell | None, ...]
    unit: str = ""
    remark: str = ""

    @property
    def passed(self) -> bool:
        """Whether it passed wherever it was made."""
        return all(cell is None or cell.state == "PASS" for cell in self.cells)


def check_places(view: VisitView) -> tuple[str, ...]:
    """Tubes that were judged, then the whole visit."""
    made = {one["tube"] or "visit" for one in view.judged}
    return tuple(place for place in [*view.source.config.tubes, "visit"] if place in made)


def check_rows(view: VisitView) -> tuple[CheckRow, ...]:
    """Checks of a visit with one cell a place, those with a FAIL or WARN first."""
    found: dict[tuple[str, str, str], dict[str, CheckCell]] = {}
    for one in view.judged:
        unit, limits = one["unit"], one["limits"]
        key = (_check_name(view, one["check"]), wording.limit_words(limits, unit), unit)
        value = wording.measured(one["value"], unit)
        place = one["tube"] or "visit"
        cell = CheckCell(one["state"], value, one["flag"])
        # Of two acquisitions of one tube the worse outcome is shown; both stand in quality.csv.
        former = found.setdefault(key, {}).get(place)
        if former is None or _SEVERITY[cell.state] < _SEVERITY[former.state]:
            found[key][place] = cell
    places = check_places(view)
    rows = [
        CheckRow(name, limits, tuple(cells.get(place) for place in places), unit, _flagged(cells))
        for (name, limits, unit), cells in found.items()
    ]
    rows.sort(key=lambda one: min(_SEVERITY[cell.state] for cell in one.cells if cell is not None))
    return tuple(rows)


def _flagged(cells: dict[str, CheckCell]) -> str:
    """Flags of a check; with the places of each when they are not those of all its outcomes that did not pass."""
    codes: dict[str, list[str]] = {}
    for place, cell in cells.items():
        if cell.flag:
            codes.setdefault(cell.flag, []).append(place)
    raised = {place for place, cell in cells.items() if cell.state != "PASS"}
    if len(codes) == 1 and set(next(iter(codes.values()))) == raised:
        return next(iter(codes))
    return "; ".join(f"{code} ({', '.join(where)})" for code, where in codes.items())


_SEVERITY: Final = {"FAIL": 0, "WARN": 1, "NOT_EVALUABLE": 2, "PASS": 3}


def flags_and_comments(view: VisitView) -> tuple[Block, ...]:
    """Flags with their meaning beside the automatic comments."""
    flagged: Block = Text("None.")
    if view.flags:
        rows = tuple((Cell(code, look="code"), Cell(flag_meaning(code))) for code in view.flags)
        flagged = Table(columns("Flag", "Meaning"), rows, "Flags", style="flags")
    said = tuple(f"{one.rule} {one.sentence}" for one in view.comments)
    remarks: Block = Bullets(said, "Automatic comments", coded=True) if said else Text("None.")
    sides = ((flagged,) if view.flags else (Text("Flags", heading=True), flagged),
             (remarks,) if said else (Text("Automatic comments", heading=True), remarks))  # fmt: skip
    return (Beside(sides),)


def exceptions(view: VisitView) -> tuple[Block, ...]:
    """Exceptions that touch the visit."""
    return (exception_table(view.exceptions, "Exceptions of this visit"),) if view.exceptions else ()


def exception_table(rows: tuple[ExceptionRow, ...], title: str = "", *, of_all: bool = False) -> Table:
    """Exceptions; those ``of_all`` visits with subject and visit."""
    place = columns("Subject", "Visit") if of_all else ()
    made = (
        row(
            *((one.subject or "study", one.visit or "all") if of_all else ()), one.severity,
            Cell(one.code, look="code"), one.stage, one.message, one.action,
        )
        for one in rows
    )  # fmt: skip
    heads = (*place, *columns("Severity", "Code", "Stage", "What", "What was done"))
    return Table(heads, tuple(made), title, style="exceptions", heads=1 if of_all else 0)


def checks(view: VisitView) -> tuple[Block, ...]:
    """Every check with its outcome at each place."""
    if not view.checks:
        return (Text("Checks", heading=True), Text("No check: nothing was measured."))
    failed = [one for one in view.checks if not one.passed]
    passed = [one for one in view.checks if one.passed]
    blocks: list[Block] = [Text("Checks", heading=True)]
    blocks.append(_check_table(view, failed) if failed else Text("Every check passed."))
    if passed:
        blocks.append(Fold(Said("{n} checks passed", n=len(passed)), (_check_table(view, passed),)))
    return tuple(blocks)


def _check_table(view: VisitView, rows_of: list[CheckRow]) -> Table:
    flagged = any(one.remark for one in rows_of)
    places = [place if place == "visit" else Said("{tube} tube", tube=place) for place in check_places(view)]
    head = (*columns("Check", *places), Column("Limits", look="limits"))
    rows = []
    for one in rows_of:
        cells = [Cell(one.check), *map(_outcome, one.cells)]
        cells.append(Cell(wording.short_limits(one.limits or one.unit), look="limits"))
        if flagged:
            cells.append(Cell(one.remark, look="limits"))
        rows.append(tuple(cells))
    return Table(
        (*head, Column("Remark", look="remark")) if flagged else head, tuple(rows), "", "✓ passed.",
        "checks" if flagged else "checks passed",
    )  # fmt: skip


def _check_name(view: VisitView, check: str) -> str:
    """Name of a check, with the population that it is about by its name."""
    name, _, of = check.partition(" ")
    return check_title(name) + (f": {view.source.display(of)}" if of else "")


def _outcome(cell: CheckCell | None) -> Cell:
    if cell is None:
        return Cell("")
    if cell.state == "PASS":
        return Cell(f"✓ {cell.value}")
    return Cell(f"{cell.state_text} {cell.value}".rstrip(), mark=f"state {cell.state}")


def flag_meaning(code: str) -> str:
    """Text of a flag."""
    return schema.FLAGS.get(code, "not in the vocabulary")
