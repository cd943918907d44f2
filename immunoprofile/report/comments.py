"""Automatic comments: sentences by rule, each with its id. They describe, they never recommend an action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from immunoprofile.report import wording

if TYPE_CHECKING:
    from immunoprofile.report.view import VisitView

CMV_CHANGE: Final = 0.5
"""Change of CMV-DNA in log10 that is called significant: threefold, above the noise between runs of one laboratory."""


@dataclass(frozen=True)
class Comment:
    """A sentence with the id of the rule that wrote it."""

    rule: str
    sentence: str


def build_comments(view: VisitView) -> tuple[Comment, ...]:
    """Comments of a visit, in a fixed order."""
    found = []
    for row in view.rows:
        code = row.population.upper().replace("_", "-")
        verdict = row.main.verdict
        measure = row.main.measure
        if verdict.level == "MORE_THAN_NOISE":
            way, word = ("UP", "rose") if verdict.fold > 1 else ("DOWN", "fell")
            sentence = (
                f"{row.display} ({measure}) {word} {wording.fold(verdict.fold)} from baseline, outside "
                f"{wording.fold(verdict.down)} to {wording.fold(verdict.up)} expected from noise."
            )
            if row.population == "treg" and not any(line.confirmed for line in row.lines):
                sentence += " FoxP3 was not stained: a CD25 shift cannot be excluded."
            if row.population == "nk_bright":
                sentence += " CD56 density also changes with activation, and CD16 is shed."
            found.append(Comment(f"C-{code}-{way}", sentence))
        elif verdict.level == "NOT_ASSESSABLE" and "disagrees" in verdict.reason:
            found.append(
                Comment(
                    "C-TREG-FOXP3",
                    f"{row.display} ({measure}) changed {wording.fold(verdict.fold)} by the held gate; "
                    f"{verdict.reason}. The change is not assessable.",
                )
            )
    for state in ("suppressed", "missing"):
        reasons: dict[str, list[str]] = {}
        for row in view.rows:
            cell = row.lines[0].now
            if cell.state == state:
                reasons.setdefault(cell.words, []).append(row.display)
        for reason, names in reasons.items():
            rule = "C-TUBE-FAIL" if state == "suppressed" else "C-NOT-DONE"
            found.append(Comment(rule, f"{', '.join(names)}: {reason}."))
    if view.row is not None:
        if "LOW_EVENTS" in view.flags:
            found.append(
                Comment("C-LOW-EVENTS", "Fewer than 100 events in a gate (†): read the interval, not the value.")
            )
        if "RECENT_IL2" in view.flags:
            found.append(
                Comment(
                    "C-RECENT-IL2",
                    "Drawn less than 18 h after IL-2, or at an unknown time: lymphocytes leave the blood for hours.",
                )
            )
    current = next((row for row in reversed(view.virology) if row.of_this_visit), None)
    if current is not None and current.kind in ("BLQ", "TND"):
        found.append(
            Comment(
                f"C-CMV-{current.kind}",
                f"CMV-DNA {current.kind_text}; the change from baseline is a bound, not a value.",
            )
        )
    elif current is not None and current.kind == "QUANT":
        fall = current.drop
        if fall >= CMV_CHANGE:
            found.append(Comment("C-CMV-DOWN", f"CMV-DNA fell by {fall:.2f} log10 from baseline."))
        elif fall <= -CMV_CHANGE:
            found.append(Comment("C-CMV-UP", f"CMV-DNA rose by {-fall:.2f} log10 from baseline."))
    return tuple(found)
