"""Gates that a person drew anew, on reports: which numbers hang on them, by whom and why; the head of the ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.report import wording
from immunoprofile.report.content import Block, Bullets
from immunoprofile.report.language import Said

if TYPE_CHECKING:
    from immunoprofile.report.source import Source
    from immunoprofile.report.value import Measure
    from immunoprofile.report.view import VisitView

MARK: Final = "‡"
"""Behind each number that hangs on a gate that was drawn anew."""
NO_LEDGER: Final = "no gate was drawn anew in this study"


def in_force(source: Source, subject: str, visit: str) -> list[dict[str, Any]]:
    """Rows of gate_overrides.csv in force for the acquisitions that were used at a visit."""
    used = set(source.samples.get((subject, visit), {}).values())
    own = source.results_of("gate_overrides", subject) or ()
    return [row for row in own if row["in_force"] and row["sample_id"] in used]


def mark(source: Source, row: int | None, population: str, measure: Measure) -> str:
    """`MARK` for a number that hangs on a gate that was drawn anew, else nothing."""
    if row is None:
        return ""
    drawn = in_force(source, source.obs(row, "usubjid"), source.obs(row, "visit"))
    if not drawn:
        return ""
    hanging = {(one["tube"], name) for one in drawn for name in one["affects"].split("; ")}
    return MARK if hanging & gates_behind(source, population, measure) else ""


def gates_behind(source: Source, population: str, measure: Measure) -> set[tuple[str, str]]:
    """(Tube, population) on which a number rests: itself, and for cells/uL what the count tube gives."""
    names = {(source.var(population, "tube"), population)}
    if measure == "abs":
        count_tube = source.config.count_tube or ""
        anchor = source.var(population, "abs_anchor")
        names |= {(count_tube, name) for name in (anchor, "beads", "lymphocytes", "leukocytes") if name}
    return names


def listed(view: VisitView) -> tuple[Block, ...]:
    """The overrides behind the marked numbers of a visit, its baseline and the visit before it; blinded without why."""
    items = []
    for visit in dict.fromkeys((view.visit, view.previous_visit, view.baseline_visit)):
        for one in in_force(view.source, view.subject, visit):
            names = [view.source.display(name) for name in one["affects"].split("; ")]
            counts = [f"{wording.count(one[name])}" for name in ("n_before", "n_after", "n_parent")]
            known = not any(math.isnan(one[name]) for name in ("n_before", "n_after", "n_parent"))
            events = f" {counts[0]} → {counts[1]} of {counts[2]} events;" if known else ""
            when = "" if view.source.blinded else f" on {one['time'][:10]}"
            why = "reason hidden in blinded mode" if view.source.blinded else one["reason"]
            items.append(
                f"{visit}, {one['tube']}/{one['population']}: drawn anew by {one['author']}{when}: {why};{events} "
                f"hanging on it: {', '.join(names)}."
            )
    return (Bullets(tuple(items), Said("{mark} Gates drawn anew by a person", mark=MARK)),) if items else ()


def record_words(provenance: Mapping[str, Any]) -> str:
    """Head of the ledger and data cut, for the review block: outside of what the id of a report covers.

    Another row of the ledger about another sample changes nothing that was reviewed.
    """
    ledger, cut = (provenance.get(name) or {} for name in ("ledger", "cut"))
    rows = int(ledger.get("rows", 0))
    many = f"{rows} row{'s' if rows != 1 else ''}"
    words = f"ledger of overrides: {many}, head {ledger.get('head')}" if rows else NO_LEDGER
    return f"{words}; data cut {cut['cut']} ({cut['state']}), sha256 {cut['sha256']}" if cut else words
