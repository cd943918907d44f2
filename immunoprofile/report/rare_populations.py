"""Populations of few events on the page of a visit: what counting and the background of the gate leave of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.pp.percentages import REPORTABLE_EVENTS
from immunoprofile.report import wording
from immunoprofile.report.content import Block, Cell, Row, Table, columns, row
from immunoprofile.resources import populations

if TYPE_CHECKING:
    from immunoprofile.report.view import VisitView

_REPORTED: Final = {"LOW_EVENTS": "30 to 99 events", "BELOW_30": "n < 30", "NONE_FOUND": "none found: at most"}
_FOUND: Final = {"ABOVE": "yes", "NOT_ABOVE": "no", "NO_BACKGROUND": "no background measured", "": ""}
_CAPTION: Final = (
    "Exact 95 % intervals of counting (Garwood, Clopper-Pearson). Nothing is subtracted or left out; percentages of a "
    "tube that failed are struck through. All populations: rare_populations.csv."
)
_BACKGROUND_CAPTION: Final = (
    "Background: events of the FMO control of the batch in the gate of the sample. Limit of blank: most events that it "
    "explains (exact test of two Poisson counts, one-sided 5 %). Limit of detection: expected events that exceed it in "
    "95 %. Parent events: what the population needs at this frequency."
)


def of_visit(view: VisitView) -> tuple[Block, ...]:
    """Populations with fewer than 100 events; nothing where there are none."""
    key = {one.population for one in view.rows}
    known = populations()
    own = [
        one for one in view.table("rare_populations") or ()
        if one["visit"] == view.visit and one["n"] < REPORTABLE_EVENTS
        and (one["population"] in key or (one["population"] in known and known[one["population"]].explored))
    ]  # fmt: skip
    if not own:
        return ()
    counted = columns("Population", "#Events", "#% of the parent", "#Counting CV", "Reported as")
    judged = columns(
        "Population", "#Background", "#Limit of blank, events", "#Limit of detection, events", "Above the background",
        "#Parent events for CV 20 %", "#Parent events for detection",
    )  # fmt: skip
    return (
        Table(counted, tuple(_counted(view, one) for one in own), "Fewer than 100 events", _CAPTION),
        Table(judged, tuple(_judged(view, one) for one in own), "Background, and events that would be needed",
              _BACKGROUND_CAPTION),
    )  # fmt: skip


def _counted(view: VisitView, one: dict[str, Any]) -> Row:
    reported = _REPORTED[one["reporting"]]
    if one["reporting"] == "NONE_FOUND":
        reported = f"{reported} {wording.percent(one['pct_upper'])}".rstrip()
    percent = wording.percent(one["pct_parent"]) or "–"
    failed = view.source.states.get((view.subject, view.visit, one["tube"])) == "FAIL"
    return row(
        Cell(view.source.var(one["population"], "display"),
             note=f"tube {one['tube']}, in {view.source.display(one['parent'])}"),
        Cell(f"{one['n']:,.0f} of {one['n_parent']:,.0f}", one["n"],
             note=f"{one['n_lower']:.1f} to {one['n_upper']:.1f} events"),
        Cell("FAIL" if failed else percent, math.nan if failed else one["pct_parent"],
             look="grey" if failed else "", struck=percent if failed else "",
             note="" if math.isnan(one["pct_lower"])
             else f"{wording.percent(one['pct_lower'])} to {wording.percent(one['pct_upper'])}"),
        _number(one["cv"], wording.percent(one["cv"])), reported,
    )  # fmt: skip


def _judged(view: VisitView, one: dict[str, Any]) -> Row:
    background = Cell("–")
    if one["background_from"]:
        background = Cell(f"{one['background_n']:,.0f} of {one['background_n_parent']:,.0f}", one["background_n"],
                          note=one["background_from"])  # fmt: skip
    p = one["p_background"]
    return row(
        Cell(view.source.var(one["population"], "display"), note=f"tube {one['tube']}"), background,
        _number(one["limit_of_blank"], wording.count(one["limit_of_blank"])),
        _number(one["limit_of_detection"], "" if math.isnan(one["limit_of_detection"])
                else f"{one['limit_of_detection']:,.1f}"),
        Cell(_FOUND[one["detection"]], note="" if math.isnan(p) else f"p {wording.p_value(p)}"),
        _number(one["n_parent_cv20"], wording.count(one["n_parent_cv20"]),
                f"CV 15 %: {wording.count(one['n_parent_cv15'])}, CV 10 %: {wording.count(one['n_parent_cv10'])}"),
        _number(one["n_parent_detection"], "∞" if math.isinf(one["n_parent_detection"])
                else wording.count(one["n_parent_detection"])),
    )  # fmt: skip


def _number(value: float, words: str, note: str = "") -> Cell:
    return Cell(words or "–", value if math.isfinite(value) else math.nan, note=note if words else "")
