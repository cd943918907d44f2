"""Sections of the visit report, in the order of the page."""

from __future__ import annotations

from typing import Final

from immunoprofile.report import visit_functional, visit_safety, visit_virology
from immunoprofile.report.content import Block, Macro, Section
from immunoprofile.report.view import VisitView


def _drawn(name: str) -> tuple[Block, ...]:
    return (Macro(name),)


def _key_table(view: VisitView) -> tuple[Block, ...]:
    return _drawn("key_table")


def _course(view: VisitView) -> tuple[Block, ...]:
    return _drawn("course")


def _queries(view: VisitView) -> tuple[Block, ...]:
    return _drawn("queries")


def _review(view: VisitView) -> tuple[Block, ...]:
    return _drawn("review")


def _quality(view: VisitView) -> tuple[Block, ...]:
    return _drawn("quality")


def _gating(view: VisitView) -> tuple[Block, ...]:
    return _drawn("gating")


def _ratios(view: VisitView) -> tuple[Block, ...]:
    return _drawn("ratios")


def _differentiation(view: VisitView) -> tuple[Block, ...]:
    return _drawn("differentiation")


def _provenance(view: VisitView) -> tuple[Block, ...]:
    return _drawn("visit_provenance")


VISIT_SECTIONS: Final = (
    Section("key-populations", "Key populations", (_key_table,)),
    Section("course", "Course", (_course,)),
    Section("queries", "Open queries", (_queries,)),
    Section("review", "Review", (_review,)),
    Section("quality", "Quality", (_quality,)),
    Section("gating", "Gating", (_gating,)),
    Section(
        "virology",
        "Virology",
        (visit_virology.status, visit_virology.results, visit_virology.rules, visit_virology.kinetics),
    ),
    Section(
        "safety",
        "Safety",
        (visit_safety.grades, visit_safety.renal_and_doses, visit_safety.laboratory),
    ),
    Section(
        "functional",
        "Functional readouts",
        (visit_functional.readouts,),
        empty="Not available: the study has no functional assay.",
    ),
    Section("ratios", "Ratios", (_ratios,)),
    Section("differentiation", "CD8 differentiation", (_differentiation,)),
    Section("provenance", "Provenance", (_provenance,)),
)
"""Page one: key populations to review. Page two: quality and gating. Then the boxes, and the appendix."""
