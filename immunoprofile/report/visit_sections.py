"""Sections of the visit report, in the order of the page."""

from __future__ import annotations

from typing import Final

from immunoprofile.report import visit_functional, visit_safety, visit_virology
from immunoprofile.report.content import Section, drawn, review_place

VISIT_SECTIONS: Final = (
    Section("key-populations", "Key populations", (drawn("page_one"),)),
    Section("course", "Course", (drawn("course"),)),
    Section("queries", "Open queries", (drawn("queries"),)),
    Section("review", "Review", (review_place,)),
    Section("full-table", "Key populations in full", (drawn("key_table"),)),
    Section("gating", "Gating", (drawn("gating"),)),
    Section("quality", "Quality", (drawn("quality"),)),
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
    Section("ratios", "Ratios", (drawn("ratios"),)),
    Section("differentiation", "CD8 differentiation", (drawn("differentiation"),)),
    Section("provenance", "Provenance", (drawn("visit_provenance"),)),
)
"""Page one: key populations to review. Then all measures, gating and quality. Then the boxes, and the appendix."""
