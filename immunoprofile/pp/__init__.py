"""Arithmetic on the visits object: percentages, cells/uL, ratios, change from baseline, and the verdict on a sample."""

from immunoprofile.pp.absolute import absolute
from immunoprofile.pp.baseline import baseline_change
from immunoprofile.pp.concentration import (
    Concentration,
    analyser_alc,
    bead_concentration,
    bridge,
    cells_per_ul,
    dual_platform,
    volumetric_concentration,
)
from immunoprofile.pp.files import file_findings
from immunoprofile.pp.flags import join_flags, split_flags, update_flags
from immunoprofile.pp.gate_spread import gate_spread
from immunoprofile.pp.overrides import apply_overrides
from immunoprofile.pp.percentages import percentages
from immunoprofile.pp.proportions import (
    Interval,
    clopper_pearson,
    detection_limit,
    events_for_cv,
    events_for_fold_change,
    jeffreys,
    percentage,
    poisson_cv,
    poisson_interval,
    ratio_interval,
    wilson,
)
from immunoprofile.pp.rare_populations import (
    background_p,
    limit_of_blank,
    limit_of_detection,
    parent_events_for_count,
    parent_events_for_detection,
    reporting_class,
)
from immunoprofile.pp.ratios import RATIO_DEFINITIONS, Ratio, ratios
from immunoprofile.pp.verdict import summarise, verdict
from immunoprofile.resources.checks import Check, quality_checks

__all__ = [
    "RATIO_DEFINITIONS",
    "Check",
    "Concentration",
    "Interval",
    "Ratio",
    "absolute",
    "analyser_alc",
    "apply_overrides",
    "background_p",
    "baseline_change",
    "bead_concentration",
    "bridge",
    "cells_per_ul",
    "clopper_pearson",
    "detection_limit",
    "dual_platform",
    "events_for_cv",
    "events_for_fold_change",
    "file_findings",
    "gate_spread",
    "jeffreys",
    "join_flags",
    "limit_of_blank",
    "limit_of_detection",
    "parent_events_for_count",
    "parent_events_for_detection",
    "percentage",
    "percentages",
    "poisson_cv",
    "poisson_interval",
    "quality_checks",
    "ratio_interval",
    "ratios",
    "reporting_class",
    "split_flags",
    "summarise",
    "update_flags",
    "verdict",
    "volumetric_concentration",
    "wilson",
]
