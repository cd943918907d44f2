"""Sections of the visit report, in the order of the page."""

from __future__ import annotations

from typing import Final

from immunoprofile.report import (
    batch_controls,
    glossary,
    placement,
    provenance,
    rare_populations,
    visit_figures,
    visit_functional,
    visit_key,
    visit_quality,
    visit_safety,
    visit_summary,
    visit_virology,
)
from immunoprofile.report.content import Section, review_place

VISIT_SECTIONS: Final = (
    Section("key-populations", visit_key.heading, (visit_key.page_one,)),
    Section("course", "Course", (visit_figures.course,)),
    Section("queries", "Open queries", (visit_summary.queries,)),
    Section("review", "Review", (review_place,)),
    Section("full-table", "Key populations in full", (visit_key.full_table,)),
    Section("gating", "Gating", (visit_figures.gating,)),
    Section(
        "quality", "Quality",
        (visit_quality.flags_and_comments, batch_controls.of_visit, visit_quality.exceptions, visit_quality.checks),
    ),
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
    Section("ratios", "Ratios", (visit_figures.ratios,)),
    Section("differentiation", "CD8 differentiation", (visit_figures.differentiation,)),
    Section("rare-populations", "Rare populations", (rare_populations.of_visit,)),
    Section("glossary", "Glossary", (glossary.visit,)),
    Section("provenance", "Provenance", (placement.of_visit, provenance.of_visit)),
)  # fmt: skip
"""Page one: key populations to review. Then all measures, gating and quality. Then the boxes, and the appendix."""
