"""The dozen terms of the pages, p-values and intervals explained once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from immunoprofile.report.content import Block, Fold, Table, columns, row
from immunoprofile.report.language import Said

if TYPE_CHECKING:
    from immunoprofile.report.cohort_view import CohortView
    from immunoprofile.report.view import VisitView

_BOTH: Final = {
    "LLOQ, ULOQ": "lower and upper limit of quantification of the CMV assay; outside them there is no number",
    "Censored": "known only as a bound (below the LLOQ, above the ULOQ); analysed as a bound, never as a number",
    "Reference range": "where 95 % of healthy people of that sex lie in this kind of specimen; outside it is not ill",
    "PASS, WARN, FAIL": "a quality check was met; look at it; a technical fault: the number is not used",
    "CTCAE grade": "severity of a laboratory value, 1 mild to 4 life-threatening",
}
_VISIT: Final = {
    "More than noise": "the change is larger than 95 % of the changes between two draws of an unchanged subject "
    "(biology, assay and counting together), and than what cuts that lie a little elsewhere do to it",
    "Gate": "relative SD of a value when all cuts of its gates lie elsewhere by what the template declares; baseline "
    "and visit have the same cuts, so that much of it cancels in a change",
    "Interval of a value": "95 % interval of counting cells only (with beads: and of pipetting); no biology is in it",
    "Percentage points": "difference of two percentages: from 4 % to 9 % are 5 points and a ratio of 2.25",
    "Baseline": "last draw before the first dose",
    "FoxP3-confirmed": "cells of the Treg gate that carry FoxP3 as well: CD25 alone may rise on other cells",
    "FoxP3+ CD127lo": "Treg counted by FoxP3 and CD127 without CD25, so that a rise of CD25 does not change them",
}
_COHORT: Final = {
    "95 % interval": 'range of effects that the data are compatible with; where it holds "no difference" nothing can '
    "be concluded",
    "p-value": "how often chance alone would give a difference at least this large if there were none; it is not the "
    "probability that there is none",
    "p adjusted": "the same after correction for the number of questions of its family",
    "Cannot conclude": "the data neither show nor exclude a difference; it does not mean that there is none",
    "Fold change, odds ratio": "value over that at baseline, for percentages their odds p/(1 - p); the effect is that "
    "of one arm over that of the other, adjusted for baseline; 1 is no difference",
    "Time ratio": "below 1: clearance comes earlier than in the other arm",
    "Exploratory": "not planned to answer the question of the trial; folded on the screen",
    "Per protocol": "eligible, arm as planned, at least 80 % of the planned doses",
}


def visit(view: VisitView) -> tuple[Block, ...]:
    """Terms of a visit page."""
    return _folded(_VISIT | _BOTH)


def cohort(view: CohortView) -> tuple[Block, ...]:
    """Terms of the cohort page."""
    return _folded(_COHORT | _BOTH)


def _folded(terms: dict[str, str]) -> tuple[Block, ...]:
    rows = tuple(row(term, words) for term, words in terms.items())
    return (Fold(Said("{n} terms", n=len(rows)), (Table(columns("Term", "Meaning"), rows, style="glossary"),)),)
