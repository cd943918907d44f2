"""How the gates of a visit were placed: the record of placement.csv as a table of the appendix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from immunoprofile.io.records import records
from immunoprofile.report.content import Block, Cell, Row, Table, Text, columns, row

if TYPE_CHECKING:
    from immunoprofile.report.view import VisitView

_LIMIT: Final = {"min": "from", "max": "below", "corners": "corners", "gate": ""}


def of_visit(view: VisitView) -> tuple[Block, ...]:
    """Record of the placed gates of a visit; nothing where all gates are fixed."""
    table = view.source.profile.tables.get("placement")
    samples = set(view.source.samples.get((view.subject, view.visit), {}).values())
    if table is None or table.empty or not samples:
        return ()
    own = records(table[table["sample_id"].isin(samples)], "placement")
    if not own:
        return ()
    heads = columns(
        "Tube", "Gate", "Axis", "Method", "Placed on", "#Template", "#Placed", "#Shift, % of the scale",
        "#Of it by controls", "#Confidence", "To know",
    )  # fmt: skip
    rows = tuple(_row(one) for one in own)
    looked = sum(1 for one in own if one["review"])
    said = (
        "Limits are linear intensities after compensation. A gate of a subject is placed on the first sample before "
        "the first dose and frozen; only the control aliquots of the batches move it later. "
        f"To be looked at: {looked} of {len(own)}."
    )
    return (Text("Placement of gates", heading=True), Text(said, small=True), Table(heads, rows, style="files"))


def _row(one: dict[str, Any]) -> Row:
    method = one["asked"] if one["method"] == one["asked"] else f"{one['method']} instead of {one['asked']}"
    known = "; ".join(part for part in (one["reason"], one["note"]) if part)
    axis = f"{one['marker']} {_LIMIT.get(one['limit'], one['limit'])}".strip()
    return row(
        one["tube"], one["population"], axis, Cell(method, note=one["arguments"]), one["source"],
        _number(one["template_intensity"], "{:,.4g}"), _number(one["intensity"], "{:,.4g}"),
        _number(one["shift"], "{:+.2%}"), _number(one["later_shift"], "{:+.2%}"),
        _number(one["confidence"], "{:.2f}"),
        f"look: {known}" if one["review"] else known,
    )  # fmt: skip


def _number(value: Any, form: str) -> Cell:
    return Cell("–") if value is None or value != value else Cell(form.format(value), number=float(value))
