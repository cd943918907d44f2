"""Tables of the CMV-DNA series: results, rules, kinetics, times to clearance, and columns of the visits."""

from __future__ import annotations

from typing import Final

VIROLOGY_COLUMNS: Final = (
    "usubjid", "visit", "collected_dtc", "virology_day", "assay_id", "specimen", "unit", "result_raw", "kind", "value",
    "log10_value", "log10_lower", "log10_upper", "lloq", "lod", "uloq", "is_baseline", "log10_drop",
    "log10_drop_lower", "log10_drop_upper",
)  # fmt: skip
"""Bounds on the log10 scale; a missing bound is open. ``log10_drop`` is a point only when both results are QUANT."""

CMV_RULE_RESULTS: Final = ("TRUE", "FALSE", "NOT_EVALUABLE", "NOT_ASSESSED")

CMV_RULE_COLUMNS: Final = (
    "usubjid", "rule_id", "version", "result", "date", "lower_day", "upper_day", "evidence", "reason",
    "confirmed_date", "confounders",
)  # fmt: skip
"""One row a subject and rule (virology_rules.csv). What the rule names happened in (lower_day, upper_day], days since
the first ganciclovir; equal days: at that result; an infinite upper day: not until lower_day. ``confounders``: agents
that change CMV-DNA by themselves and were, or may have been, active from the first result of the series to the last one
that the verdict rests on, joined by a blank."""

CMV_AGREEMENT_COLUMNS: Final = (
    "concept", "rule", "other_rule", "both", "only_rule", "only_other", "neither", "n_not_evaluable", "agree_pct",
    "differ",
)  # fmt: skip
"""One row per pair of definitions of one thing (virology_agreement.csv): subjects for whom both are TRUE, one alone is,
or neither is; those for whom either is not known; the subjects on whom they differ, joined by a blank."""

DOSE_ADEQUACY_COLUMNS: Final = ("usubjid", "from_day", "to_day", "drug", "appropriately_dosed")
"""What the rules need of a table of dose adequacy; days are included on both sides and count from the first
ganciclovir; ``appropriately_dosed`` is TRUE, FALSE or UNKNOWN."""

CONFOUNDED_COLUMNS: Final = ("usubjid", "agent", "drug", "from_date", "until_date", "effect")
"""What the rules need of a table of drugs that change CMV-DNA; dates are included, an empty one is open."""

CMV_CLEARANCE_COLUMNS: Final = (
    "usubjid", "rule_id", "lower_day", "upper_day", "observed", "competing", "competing_day", "reason",
)  # fmt: skip
"""One row a subject and clearance rule: cleared in (lower_day, upper_day], infinite when right-censored, both missing
when the subject cannot enter (reason). ``competing`` is DEATH or RESCUE, on ``competing_day``."""

CMV_KINETICS: Final[dict[str, str]] = {
    "usubjid": "subject",
    "series": "assay and specimen",
    "unit": "unit of the linear scale; log10 is that of the same unit",
    "censoring": "limit at which results that were not detected are censored: lloq, or lod as sensitivity analysis",
    "n": "valid results from baseline on, one a day",
    "n_quant": "of these QUANT",
    "pct_below_lloq": "per cent of these below the LLOQ",
    "slope": "log10 per day, censored regression from day 0 to the sample that confirms clearance or week 4",
    "slope_lower": "lower limit of its 95 % interval",
    "slope_upper": "upper limit of its 95 % interval",
    "slope_intercept": "log10 at day 0 by the regression",
    "slope_sigma": "residual SD, log10",
    "slope_n": "results in the regression",
    "slope_last_day": "day of the last of them",
    "slope_status": "ESTIMATED, NO_INTERVAL (results on a line) or NOT_ESTIMABLE",
    "slope_reason": "why not",
    "half_life_d": "days, where the interval of a falling slope excludes 0; otherwise not estimable (missing)",
    "half_life_lower_d": "days",
    "half_life_upper_d": "days",
    "doubling_time_d": "days, where the interval of a rising slope excludes 0",
    "doubling_time_lower_d": "days",
    "doubling_time_upper_d": "days",
    "peak_slope": "log10 per day, the same from the peak of days 0 to 7 on",
    "peak_slope_lower": "lower limit of its 95 % interval",
    "peak_slope_upper": "upper limit of its 95 % interval",
    "peak_slope_n": "results in the regression",
    "peak_slope_from_day": "day of that peak",
    "peak_slope_status": "as slope_status",
    "peak_slope_reason": "why not",
    "peak_kind": "kind of the highest result from baseline on",
    "peak_log10": "log10 of the highest result, missing unless QUANT",
    "peak_log10_lower": "lower bound of it, missing = open",
    "peak_log10_upper": "upper bound of it, missing = open",
    "time_to_peak_d": "days from the first ganciclovir to it",
    "d7_kind": "kind of the valid result nearest to day 7 (4 to 10)",
    "d7_day": "its day",
    "d7_log10": "log10 of it, missing unless QUANT",
    "d7_log10_upper": "upper bound of it",
    "d14_kind": "kind of the valid result nearest to day 14 (12 to 17)",
    "d14_day": "its day",
    "d14_log10": "log10 of it, missing unless QUANT",
    "d14_log10_upper": "upper bound of it",
    "d28_kind": "kind of the valid result nearest to day 28 (25 to 31)",
    "d28_day": "its day",
    "d28_log10": "log10 of it, missing unless QUANT",
    "d28_log10_upper": "upper bound of it",
    "auc_log10": "log10 x d, trapezoid, results below the LLOQ at it",
    "auc_excess": "log10 x d above the LLOQ",
    "auc_linear": "unit x d, results below the LLOQ at it",
    "auc_time_averaged_log10": "auc_log10 over its duration",
    "auc_duration_d": "days from day 0 to the last result of the area (week 4 at the latest)",
    "auc_pct_censored": "per cent of the results of the area that are below the LLOQ or above the range",
    "auc_status": "COMPLETE, INCOMPLETE (a gap above 14 days within day 0 to 28) or NOT_ESTIMABLE",
    "auc_reason": "why not",
}
"""Columns of virology_kinetics.csv, one row a subject."""

CMV_VISIT_OBS: Final[dict[str, str]] = {
    "cmv_clearance": "until the visit: NOT_CLEARED, BELOW_LLOQ (not confirmed), CLEARED, RETURNED or NOT_EVALUABLE",
    "cmv_status": "until the visit: REFRACTORY, RETURNED, CLEARED, PROBABLE_REFRACTORY, FAILURE, RESPONDING, "
    "NOT_RESPONDING or NOT_EVALUABLE",
    "cmv_rules_true": "CMV rules that are TRUE by results until the visit, joined by a blank",
    "cmv_flags": "CMV_BLQ, CMV_TND, BLIP, ASSAY_CHANGED of the results of the visit and CMV_CONFOUNDED until it, "
    "joined by a blank",
}
"""Columns of the visits object that come from the rules; BLIP alone knows the result after the visit."""
