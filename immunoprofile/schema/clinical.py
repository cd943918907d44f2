"""Tables of laboratory safety, doses and concomitant drugs."""

from __future__ import annotations

from typing import Final

CLEARANCE_COLUMNS: Final = (
    "usubjid", "visit", "collected_dtc", "lab_id", "creatinine_umol_l", "sex", "age_y", "age_y_low", "age_y_high",
    "weight_kg", "weight_dtc", "height_cm", "weight_kind", "crcl", "crcl_low", "crcl_high", "unstable", "reason",
)  # fmt: skip
"""One row per creatinine. ``crcl`` in mL/min, not rounded; low and high span the ages that the study can mean."""

STEROID_COLUMNS: Final = (
    "usubjid", "date", "ped_mg", "weight_kg", "ped_mg_kg", "ped_mg_at_least", "ped_mg_kg_at_least", "pulse", "drugs",
    "reason",
)  # fmt: skip
"""One row per subject and calendar day that a systemic corticosteroid record covers, or may cover. A day without a
record has no row: no record is not zero."""

STEROID_RECORD_COLUMNS: Final = (
    "usubjid", "row", "drug", "steroid", "dose", "unit", "freq", "route", "start_dtc", "end_dtc", "ongoing", "use",
    "mg_per_dose", "ped_mg_per_dose", "reason",
)  # fmt: skip
"""One row per corticosteroid of conmeds; ``use`` is one of STEROID_USES."""

STEROID_USES: Final = ("counted", "unknown", "not_systemic")

GRADE_COLUMNS: Final = (
    "usubjid", "visit", "collected_dtc", "lab_id", "test", "term", "direction", "value", "unit", "lln", "uln",
    "baseline", "baseline_dtc", "grade", "baseline_grade", "grade_provisional", "on_treatment", "treatment_emergent",
    "criterion_text", "version", "reason",
)  # fmt: skip
"""One row per laboratory result and CTCAE term; value and limits in the unit of analysis. ``grade`` is missing where
it cannot be decided, with the ``reason``. ``on_treatment``: drawn after the first dose of either study drug."""

WORST_COLUMNS: Final = (
    "usubjid", "arm", "term", "test", "direction", "baseline_grade", "worst_grade", "worst_visit", "worst_dtc",
    "n_results", "n_ungraded", "grade_provisional", "treatment_emergent", "version",
)  # fmt: skip
"""One row per subject and term. With ``n_ungraded`` above 0 the worst grade may be higher than the one given."""

SHIFT_COLUMNS: Final = (
    "arm", "term", "direction", "baseline_grade", "worst_grade", "n_subjects", "n_incomplete", "version",
)  # fmt: skip
"""Subjects by baseline grade and worst grade on treatment (missing where none could be graded); ``n_incomplete``: of
these, with results that could not be graded, so that their worst grade may be higher."""

EVENT_RATE_COLUMNS: Final = (
    "arm", "term", "n_subjects", "n_with_event", "n_events", "n_undated", "exposure_days", "events_per_100_days",
)  # fmt: skip
"""Adverse events that began on or after the first dose, over the days that each subject was followed from it."""

COURSE_COLUMNS: Final = (
    "usubjid", "arm", "drug", "dose", "unit", "freq", "route", "start_dtc", "end_dtc", "start_day", "end_day",
    "virology_start_day", "virology_end_day", "doses_planned", "doses_given", "pct_given", "weight_kg", "bsa_m2",
    "dose_absolute", "dose_per_m2", "cumulative", "cumulative_unit", "before_study", "reason",
)  # fmt: skip
"""One row per row of dosing. ``start_day`` counts on the immunology anchor (no day 0), ``virology_start_day`` from the
first ganciclovir (day 0). ``dose_absolute`` and ``cumulative`` in MIU (IL-2) or mg, ``dose_per_m2`` in MIU/m2."""

EXPOSURE_COLUMNS: Final = (
    "usubjid", "arm", "drug", "first_dtc", "last_dtc", "n_courses", "doses_planned", "doses_given", "pct_given",
    "cumulative", "cumulative_unit", "cumulative_per_m2", "reason",
)  # fmt: skip
"""One row per subject and drug within the study; ``cumulative`` is missing when a dose count or a weight is."""

ADEQUACY_COLUMNS: Final = (
    "usubjid", "from_day", "to_day", "from_date", "to_date", "drug", "phase", "crcl", "label_dose", "actual_dose",
    "dose_unit", "adequacy", "adequacy_state", "pct_given", "appropriately_dosed", "reason",
)  # fmt: skip
"""Intervals of constant judgement, days since the first ganciclovir (day 0). ``adequacy`` is actual over label dose."""

ADEQUACY_STATES: Final = ("UNDER", "ADEQUATE", "ABOVE", "UNKNOWN")
DOSED: Final = ("TRUE", "FALSE", "UNKNOWN")

BAR_COLUMNS: Final = (
    "usubjid", "drug", "source", "start_dtc", "end_dtc", "start_day", "end_day", "virology_start_day",
    "virology_end_day", "ongoing", "before_study", "text",
)  # fmt: skip
"""Intervals for figures: study drugs and every antiviral of conmeds, those before the study too."""

IL2_TIMING_COLUMNS: Final = (
    "sample_id", "usubjid", "visit", "collected_dtc", "hours_stated", "hours_computed", "hours_low", "hours_high",
    "hours", "recent", "reason",
)  # fmt: skip
"""Hours from the last IL-2 dose to the draw of each tube; ``recent`` is true under 18 h and where it is unknown."""

IMMUNOSUPPRESSANT_COLUMNS: Final = (
    "usubjid", "visit", "date", "agent", "drug", "effect", "population", "active", "days_since_last", "note",
)  # fmt: skip
"""One row per visit, drug and population that it touches; ``active`` is TRUE or UNKNOWN (dates or drug text)."""

CMV_CONFOUNDER_COLUMNS: Final = (
    "usubjid", "agent", "drug", "kind", "row", "start_dtc", "end_dtc", "from_date", "until_date", "certain", "effect",
    "evidence", "note",
)  # fmt: skip
"""One row per row of conmeds and agent that changes CMV-DNA or what is said of it; it counts from ``from_date`` to
``until_date``, empty dates are open. ``kind`` is lowers, antiviral, favours or serology."""

SAFETY_FLAG_COLUMNS: Final = ("usubjid", "visit", "date", "flag", "detail")

CLINICAL_OBS: Final[dict[str, str]] = {
    "steroid_ped_mg": "systemic corticosteroids of the day as prednisone, mg",
    "steroid_ped_mg_kg": "the same per kg of body weight, mg/kg",
    "crcl": "creatinine clearance by Cockcroft and Gault, mL/min",
    "crcl_unstable": "boolean, creatinine changed by more than 50 % within 48 h",
    "anc": "neutrophils, 10^9/L",
    "plt": "platelets, 10^9/L",
    "hgb": "haemoglobin, g/L",
    "alt_uln": "ALT over its upper limit of normal",
    "tbil_uln": "total bilirubin over its upper limit of normal",
    "worst_grade": "Int64, highest CTCAE laboratory grade of the visit, missing when none could be graded",
    "worst_term": "terms with that grade",
    "n_ungraded": "Int64, laboratory results of the visit that could not be graded",
    "gcv_adequacy": "ganciclovir or valganciclovir given over the label dose on that day",
    "gcv_dosed": "TRUE, FALSE or UNKNOWN: label dose by clearance, with at least 80 % of the planned doses given",
    "immunosuppressants": "agents that change cells or hide epitopes, joined by a blank",
    "clinical_flags": "flag codes joined by a blank",
}
"""Columns that the room clinical offers to ``obs`` of the visits object."""

SAFETY_FILES: Final[dict[str, str]] = {
    "grades": "safety.csv",
    "worst": "safety_worst.csv",
    "shift": "safety_shift.csv",
    "event_rates": "safety_events.csv",
    "clearance": "clearance.csv",
    "courses": "dosing_courses.csv",
    "exposure": "exposure.csv",
    "adequacy": "dose_adequacy.csv",
    "bars": "dosing_bars.csv",
    "il2_timing": "il2_timing.csv",
    "steroids": "steroids.csv",
    "steroid_records": "steroid_records.csv",
    "immunosuppressants": "immunosuppressants.csv",
    "confounders": "cmv_confounders.csv",
    "flags": "safety_flags.csv",
}
"""Table of `clinical.SafetyTables` -> its file in the results folder."""
