"""Sections of the cohort report, in the order of the page."""

from __future__ import annotations

from typing import Final

from immunoprofile.report import (
    batch_controls,
    cohort_clinical,
    cohort_eligibility,
    cohort_figures,
    cohort_reconcile,
    cohort_statistics,
    cohort_tables,
    gates_to_know,
    glossary,
    provenance,
)
from immunoprofile.report.content import Section, review_place

COHORT_SECTIONS: Final = (
    Section("disposition", "Disposition", (cohort_tables.disposition,)),
    Section("pages", "Subjects and visits", (cohort_tables.pages,)),
    Section("eligibility", "Eligibility", (cohort_eligibility.matrix,), empty="Not available: no subject was judged."),
    Section("baseline", "Baseline", (cohort_tables.baseline,)),
    Section("completeness", "Completeness and quality", (cohort_tables.completeness, cohort_statistics.confounding)),
    Section("controls", "Controls and precision", (batch_controls.of_cohort,)),
    Section(
        "immune-change", "Immune change",
        (cohort_figures.trajectories, gates_to_know.of_cohort, cohort_statistics.between_arms),
    ),
    Section(
        "virology",
        "CMV-DNA",
        (
            cohort_figures.cmv, cohort_statistics.clearance, cohort_statistics.responders, cohort_clinical.kinetics,
            cohort_clinical.rule_agreement, cohort_clinical.rule_definitions,
        ),
    ),
    Section(
        "association", "Association with CMV-DNA",
        (cohort_statistics.associations, cohort_clinical.immune_beside_virus),
    ),
    Section(
        "safety", "Safety", (cohort_clinical.worst_grades, cohort_clinical.adverse_events, cohort_clinical.exposure)
    ),
    Section("sensitivity", "Sensitivity", (cohort_statistics.sensitivity,), empty="No sensitivity analysis was run."),
    Section("exceptions", "Exceptions", (cohort_tables.exceptions,)),
    Section("within-arms", "Change within each arm", (cohort_statistics.within_arms,)),
    Section("limits", "Limits", (cohort_clinical.limits,)),
    Section("review", "Review", (review_place,)),
    Section("gating", "Gating strategy", (cohort_figures.gating, cohort_reconcile.stored_counts)),
    Section("methods", "Methods", (cohort_statistics.methods_text,)),
    Section("glossary", "Glossary", (glossary.cohort,)),
    Section("provenance", "Provenance", (provenance.of_cohort,)),
)  # fmt: skip
"""Estimates and intervals of comparisons first; changes within arms, which mislead most, after everything else."""
