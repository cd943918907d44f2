"""Review block: who reviewed which content of a report, and whether its inputs have changed since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from immunoprofile.report.source import Source

COHORT: Final = "COHORT"
"""In the column ``visit`` of ``reviews.csv``: the cohort report."""
_DECISIONS: Final = {"accept": "accepted", "query": "query raised"}


@dataclass(frozen=True)
class Reviewed:
    """A row of ``reviews.csv`` on this report."""

    report_id: str
    decision: str
    reviewer: str
    date: str
    comment: str


@dataclass(frozen=True)
class ReviewLine:
    """What is printed of a review."""

    sentence: str
    superseded: bool


def reviews_of(source: Source, subject: str, visit: str) -> tuple[Reviewed, ...]:
    """Reviews of one visit (or of the cohort: no subject, ``COHORT``), oldest first; blinded without free text."""
    found = [
        Reviewed(
            row["report_id"], row["decision"], row["reviewer"],
            "" if source.blinded else row["dtc"], "" if source.blinded else row["comment"],
        )
        for row in source.of_subject("reviews", subject)
        if row["visit"] == visit
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: one.date))


def judge(reviews: tuple[Reviewed, ...], report_id: str) -> tuple[ReviewLine, ...]:
    """Sentence of each review, held against the id of the report as it is now."""
    return tuple(_line(one, report_id) for one in reviews)


def _line(one: Reviewed, report_id: str) -> ReviewLine:
    when = f" on {one.date}" if one.date else ""
    if one.report_id == report_id:
        remark = f": {one.comment}" if one.comment else ""
        decision = _DECISIONS.get(one.decision, one.decision)
        return ReviewLine(f"Reviewed by {one.reviewer}{when}, {decision}{remark}.", superseded=False)
    words = f"SUPERSEDED: reviewed as {one.report_id}{when} by {one.reviewer}, inputs have changed since."
    return ReviewLine(words, superseded=True)
