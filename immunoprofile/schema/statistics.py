"""Statistics on the visits object: their keys in ``uns`` (and file names in ``statistics/``) and their columns."""

from __future__ import annotations

from typing import Final

UNS_CHANGE: Final = "change"
UNS_COMPARE: Final = "compare"
UNS_COMPARE_FUNCTIONAL: Final = "compare_functional"
UNS_ASSOCIATE: Final = "associate"
UNS_CMV_CHANGE: Final = "cmv_change"

CMV_CHANGE_COLUMNS: Final = (
    "usubjid", "arm", "visit", "population", "measure", "baseline", "value", "fold_change", "cmv_kind", "cmv_drop",
    "cmv_drop_lower", "cmv_drop_upper",
)  # fmt: skip

STATISTIC_COLUMNS: Final = (
    "method_id", "method", "population", "measure", "contrast", "visit", "arm", "scale", "status", "n", "n_reference",
    "estimate", "lower", "upper", "p_value", "p_adjusted", "family", "effect_kind", "effect", "effect_lower",
    "effect_upper", "median_baseline", "median_visit", "median_baseline_reference", "median_visit_reference",
    "conf_level", "adjusted", "exclusions", "note",
)  # fmt: skip
"""A row of any statistic.

``estimate`` is on the analysis scale, ``effect`` back-transformed (fold change, odds ratio). Medians are in per cent
or cells/uL, of the arm and of the reference arm. ``status`` is one of STATISTIC_STATES. ``p_adjusted`` is the p-value
after the correction that ``adjusted`` names (``none``, ``Holm``, ``Benjamini-Hochberg``) within the rows of the same
``family``. ``exclusions`` says how many were left out and why; ``note`` holds everything else that a reader must know.
"""

STATISTIC_TEXT: Final = (
    "method_id", "method", "population", "measure", "contrast", "visit", "arm", "scale", "status", "family",
    "effect_kind", "adjusted", "exclusions", "note",
)  # fmt: skip
"""Columns of words; nothing to say is empty text, never missing."""

STATISTIC_COUNTS: Final = ("n", "n_reference")
"""Columns of whole numbers (Int64, may be missing); the others are numbers."""

ESTIMATED: Final = "ESTIMATED"
NOT_ESTIMABLE: Final = "NOT_ESTIMABLE"
STATISTIC_STATES: Final = (ESTIMATED, NOT_ESTIMABLE)
"""ESTIMATED: the row has an estimate or a p-value. NOT_ESTIMABLE: it has neither, and ``note`` gives the reason."""

NO_RESPONSE: Final = "not evaluable = no response"
"""End of the contrast of rows of responders in which nobody is left out."""

PERMUTATION_METHOD: Final = "permutation test of the Weibull time ratio"
"""``method`` of the exact test beside the likelihood ratio of S13: with few subjects it has the last word."""

FAMILY_WORDS: Final = {
    "F1": "declared endpoints",
    "F2": "every population, % of parent",
    "F3": "every population, cells/µL",
    "F4": "association with CMV-DNA",
    "F5": "change within arms",
    "F6": "responders by rule",
}
"""Families of the default plan: name -> the question that their p-values answer."""

DESCRIPTIVE_EFFECTS: Final = ("median days", "per cent")
"""``effect_kind`` of rows that describe one arm: their interval tells nothing about a difference."""

# Input of analyses of time to clearance, of responders and of safety; other rooms write these into uns.
UNS_CLEARANCE: Final = "clearance"
TIME_TO_CLEARANCE_COLUMNS: Final = ("usubjid", "rule_id", "lower_day", "upper_day", "observed", "competing", "reason")
"""Time to clearance in days since the first ganciclovir, one row a subject and rule.

``observed``: cleared after ``lower_day`` (last result that was not cleared) and not later than ``upper_day`` (first
result of clearance). Else ``lower_day`` is the last valid result, ``competing`` names the event that ended the
observation (death, rescue), or is empty: right-censored. Its day stands in ``competing_day`` where the table has this
column, else in ``upper_day``. ``lower_day`` missing: not evaluable, ``reason`` says why. A column ``arm`` may be there;
without it the arm is that of ``obs``.
"""

UNS_RESPONSES: Final = "responses"
RESPONSE_COLUMNS: Final = ("usubjid", "rule_id", "response", "reason")
"""Verdict of a rule on a subject: ``response`` is True, False or missing (not evaluable, ``reason`` says why). A column
``arm`` as in TIME_TO_CLEARANCE_COLUMNS."""

UNS_WORST_GRADES: Final = "worst_grades"
WORST_GRADE_COLUMNS: Final = (
    "usubjid", "arm", "test", "baseline_grade", "worst_grade", "exposure_days", "version",
)  # fmt: skip
"""Grade of a laboratory test at baseline and the worst on treatment (0 to 5, missing = not known), the days that the
subject was under observation for it, and the version of the criteria (``CTCAE v5.0``)."""

# Results
UNS_CLEARANCE_EXACT: Final = "clearance_exact"
UNS_CLEARANCE_INTERVAL: Final = "clearance_interval"
UNS_CUMULATIVE_INCIDENCE: Final = "cumulative_incidence"
UNS_LANDMARK: Final = "landmark"
UNS_TIME_VARYING: Final = "time_varying"
UNS_RESPONDERS: Final = "responders"
UNS_CLEARANCE_CURVES: Final = "clearance_curves"
CURVE_COLUMNS: Final = (
    "method_id", "method", "rule_id", "arm", "event", "lower_day", "upper_day", "at_risk", "events", "value", "lower",
    "upper",
)  # fmt: skip
"""Curves of time to clearance: survival (Kaplan-Meier, Turnbull) or cumulative incidence, 0 to 1, from ``upper_day``
on. Between ``lower_day`` and ``upper_day`` a Turnbull curve is undefined."""

UNS_GRADE_SHIFTS: Final = "grade_shifts"
GRADE_SHIFT_COLUMNS: Final = ("test", "arm", "baseline_grade", "worst_grade", "n", "n_arm", "per_cent", "version")
UNS_GRADE_RATES: Final = "grade_rates"
RATE_COLUMNS: Final = (
    "test", "arm", "event", "n", "n_evaluable", "exposure_days", "rate", "lower", "upper", "conf_level", "exclusions",
    "version",
)  # fmt: skip
"""``rate`` is subjects with the event per 100 days under observation."""

UNS_CONFOUNDING: Final = "confounding"
CONFOUNDING_COLUMNS: Final = ("factor", "state", "batches", "levels", "n", "cramers_v", "lost_contrasts", "message")
CONFOUNDING_STATES: Final = ("SEPARATE", "PARTIAL", "COMPLETE", "NOT_ASSESSABLE")

UNS_PLAN_RUNS: Final = "plan_runs"
PLAN_RUN_COLUMNS: Final = (
    "key", "method_id", "role", "status", "rows", "not_estimable", "subjects", "parameters", "versions", "exclusions",
    "note",
)  # fmt: skip
"""One row an analysis that was run: ``key`` is its table in ``uns``, ``parameters`` the arguments as JSON."""

UNS_METHODS: Final = "methods"
UNS_WINDOWS: Final = "visit_windows"

POWER_COLUMNS: Final = (
    "scenario", "method_id", "n_per_arm", "replicates", "not_estimable", "power", "power_mc_se", "truth",
    "mean_estimate", "coverage", "coverage_mc_se", "alpha", "seed",
)  # fmt: skip
"""Simulated power: share of the replicates with p < alpha (those without an answer count as not significant), and
share of the answered ones whose interval holds the truth; ``_mc_se`` is the Monte-Carlo standard error."""
