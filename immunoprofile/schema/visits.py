"""The visits object: layers, obs, var, obsm and uns keys."""

from __future__ import annotations

from typing import Final

# X is the percentage of the parent (0-100), float64, NaN where not measured.

MOST_ARMS: Final = 8
"""Arms of a study: so many can be told apart in a figure by colour, symbol and line."""

COUNTS: Final = "counts"
PARENT_COUNTS: Final = "parent_counts"
PCT_LYMPHOCYTES: Final = "pct_lymphocytes"
PCT_LEUKOCYTES: Final = "pct_leukocytes"
PCT_LOWER: Final = "pct_parent_lower"
PCT_UPPER: Final = "pct_parent_upper"
ABS: Final = "abs"
ABS_CV: Final = "abs_cv"
ABS_LOWER: Final = "abs_lower"
ABS_UPPER: Final = "abs_upper"
ABS_BEAD: Final = "abs_bead"
ABS_DUAL: Final = "abs_dual"
LOW_EVENTS: Final = "low_events"
ANCHOR_COUNTS: Final = "anchor_counts"
BACKGROUND: Final = "background_counts"
BACKGROUND_PARENT: Final = "background_parent_counts"
GATE_CV: Final = "gate_cv"
GATE_CV_ABS: Final = "gate_cv_abs"
GATE_FROZEN: Final = "gate_frozen"

VISIT_LAYERS: Final[dict[str, str]] = {
    COUNTS: "events in the gate of the reporting tube",
    PARENT_COUNTS: "events in the parent of that gate",
    PCT_LYMPHOCYTES: "per cent of lymphocytes of the same tube (0-100)",
    PCT_LEUKOCYTES: "per cent of CD45+ leukocytes of the same tube (0-100)",
    PCT_LOWER: "lower limit of the Wilson 95 % interval of X (counting only)",
    PCT_UPPER: "upper limit of the Wilson 95 % interval of X (counting only)",
    ABS: "cells/uL by the method chosen for the subject (obs: abs_method)",
    ABS_CV: "coefficient of variation of abs, per cent (counting, pipetting, beads, blood count)",
    ABS_LOWER: "lower 95 % limit of abs, cells/uL",
    ABS_UPPER: "upper 95 % limit of abs, cells/uL",
    ABS_BEAD: "cells/uL from counting beads, bridged to the other tubes",
    ABS_DUAL: "cells/uL from the blood count (dual platform), bridged to the other tubes",
    ANCHOR_COUNTS: "events of var['abs_anchor'] in the tube of the population (denominator of the bridge)",
    LOW_EVENTS: "1 where 0 < counts < 100, 0 otherwise, NaN where not measured",
    BACKGROUND: "events of the FMO control of the batch in the gate of the sample; NaN where none was measured",
    BACKGROUND_PARENT: "events of that control in the parent of the gate",
    GATE_CV: "relative SD of X when the cuts of its gates lie elsewhere, per cent; NaN where not known",
    GATE_CV_ABS: "the same of abs, with the cuts of the count tube",
    GATE_FROZEN: "1 where every visit of the subject has the same cuts, 0 where one belongs to the sample or its batch",
}

RATIOS: Final = "ratios"
LOG2_RATIOS: Final = "log2_ratios"
DELTA_BASELINE: Final = "delta_baseline"
LOG2FC_BASELINE: Final = "log2fc_baseline"
LOG2FC_BASELINE_ABS: Final = "log2fc_baseline_abs"
GATE_SD_BASELINE: Final = "gate_sd_baseline"
GATE_SD_BASELINE_ABS: Final = "gate_sd_baseline_abs"
MDFI: Final = "mdfi"
INTENSITY_PREFIX: Final = "intensity_"
"""Of obsm entries with the statistics of intensities that a study asks for: ``intensity_geomean``."""
FUNCTIONAL_READOUTS: Final = "functional"

VISIT_OBSM: Final[dict[str, str]] = {
    RATIOS: "DataFrame, one column a ratio, raw",
    LOG2_RATIOS: "DataFrame, the same on the log2 scale",
    DELTA_BASELINE: "DataFrame, columns = populations: X minus X at baseline, percentage points",
    LOG2FC_BASELINE: "DataFrame, columns = populations: log2 of X over X at baseline",
    LOG2FC_BASELINE_ABS: "DataFrame, columns = populations: log2 of abs over abs at baseline",
    GATE_SD_BASELINE: "DataFrame, columns = populations: SD of ln(X over X at baseline) when the cuts lie elsewhere",
    GATE_SD_BASELINE_ABS: "DataFrame, columns = populations: the same of abs",
    MDFI: "DataFrame, columns = <population>_<marker>: median of the linear compensated intensity",
    FUNCTIONAL_READOUTS: "DataFrame, one column a readout of a functional assay; units in uns['functional_readouts']",
}

GATE_COUNTS: Final = "gate_counts"
GATE_PARENT_COUNTS: Final = "gate_parent_counts"
GATE_ANCHOR_COUNTS: Final = "gate_anchor_counts"

VISIT_GATINGS: Final[dict[str, str]] = {
    GATE_COUNTS: "events in each of 32 gatings with all cuts moved, see docs/gate-placement.md; NaN where not known",
    GATE_PARENT_COUNTS: "the same of the parent",
    GATE_ANCHOR_COUNTS: "the same of var['abs_anchor'] in the tube of the population",
}
"""Arrays of obsm, visits x populations x gatings, which analyses are repeated on."""

VISIT_OBS: Final[dict[str, str]] = {
    "usubjid": "subject",
    "visit": "ordered categorical, order of the schedule",
    "visitnum": "number of the visit",
    "study_day": "Int64, day on the immunology anchor; there is no day 0",
    "virology_day": "Int64, days since the first ganciclovir (day 0 is the day of the first dose)",
    "arm": "arm code",
    "specimen_type": "specimen of the tubes",
    "collected_dtc": "ISO text",
    "baseline_flag": "boolean, the baseline row of the subject",
    "cmv_confounded": "bool, a drug that changes CMV-DNA by itself touches a CMV verdict of the subject",
    "per_protocol": "boolean, eligible, arm as planned, at least 80 % of the planned doses; missing where not known",
    "qc_status": "PASS, WARN, FAIL or NOT_EVALUABLE",
    "flags": "flag codes joined by a blank",
    "abs_method": "bead, volumetric, dual_lymph, dual_wbc or none",
    "n_beads": "counting beads of the count tube within the stable time",
    "beads_per_tube": "beads in the count tube",
    "blood_volume_ul": "original blood in the count tube, uL",
    "acquired_volume_ul": "volume that a volumetric cytometer drew from the count tube, uL",
    "dilution": "pre-dilution factor of the count tube",
    "hours_since_last_il2": "h",
    "hours_since_last_steroid": "h",
    "cmv_kind": "kind of the CMV-DNA result of the visit",
    "cmv_raw": "CMV-DNA result as the laboratory wrote it",
    "cmv_unit": "IU/mL or copies/mL",
    "cmv_series": "assay and specimen of the result; series are never mixed",
    "cmv_log10": "log10 of a QUANT result, else missing",
    "cmv_lower": "lower bound on the log10 scale, missing = open",
    "cmv_upper": "upper bound on the log10 scale, missing = open",
    "cmv_drop": "log10 fall from baseline, a point only when both are QUANT",
    "cmv_drop_lower": "lower bound of the fall, missing = open",
    "cmv_drop_upper": "upper bound of the fall, missing = open",
    "cbc_hours": "hours between the draw and its blood count",
    "cbc_ambiguous": "several blood counts are equally near and disagree; none was taken",
    "alc": "absolute lymphocyte count of the blood count of that draw, cells/uL",
    "wbc": "white blood cells of the blood count of that draw, cells/uL",
}

VISIT_VAR: Final[dict[str, str]] = {
    "display": "name for people",
    "parent": "population that X refers to",
    "tube": "reporting tube",
    "marker_string": "definition in marker notation, from the gates in force",
    "definition_note": "how that differs from what the id usually means, empty where it does not",
    "cl_id": "Cell Ontology id",
    "cl_match": "exact, broad or none",
    "panel_id": "panel of the reporting tube",
    "abs_anchor": "nearest ancestor (or itself) that the count tube reports: cells/uL come from it",
    "is_key": "one of the endpoints declared by the study",
    "ref_low": "lower reference limit of X, NaN where none applies",
    "ref_high": "upper reference limit of X",
}

# uns keys of the visits object
UNS_VERSION: Final = "immunoprofile"
UNS_SCHEDULE: Final = "visit_schedule"
UNS_TEMPLATES: Final = "gating_templates"
UNS_QUALITY: Final = "quality"
UNS_PROVENANCE: Final = "provenance"
UNS_RANGES: Final = "reference_ranges"
UNS_STUDY: Final = "study"
UNS_READOUTS: Final = "functional_readouts"
READOUT_COLUMNS: Final = ("id", "display", "population", "assay", "stimulus", "readout", "unit")
"""Readouts of functional assays, one row each."""
UNS_TRUTH: Final = "truth"
"""True effects of a simulated cohort."""
