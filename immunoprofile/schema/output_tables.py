"""Tables that a run writes for every study: exceptions, counts, quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from immunoprofile.schema.virology import CMV_KINETICS

EXCEPTION_COLUMNS: Final = (
    "stage", "severity", "code", "table", "row", "usubjid", "visit", "sample_id", "file", "message", "action",
)  # fmt: skip
"""``severity`` is ``error`` (something was left out), ``warning`` (used, but look) or ``note``."""

COUNT_COLUMNS: Final = (
    "sample_id", "file", "tube", "population", "label", "parent", "gate_path", "n", "n_parent", "pct_parent",
)  # fmt: skip
"""``population``, ``parent`` and the parts of ``gate_path`` are ids, so that the table joins on itself; ``label`` is
the name with which a population came."""

QUALITY_COLUMNS: Final = ("usubjid", "visit", "tube", "sample_id", "check", "value", "unit", "limits", "state", "flag")
"""One row per check of a sample or visit; ``state`` is one of QUALITY_STATES."""

QUALITY_STATES: Final = ("PASS", "WARN", "FAIL", "NOT_EVALUABLE")


@dataclass(frozen=True)
class ResultTable:
    """A table of the results folder, ``<name>.csv``.

    Attributes
    ----------
    name
        Name of the file and of the table in ``profile.tables``.
    meaning
        One line for the reader of the folder.
    numbers
        Columns that hold numbers (missing = NaN). All others are text (missing = empty).
    flags
        Columns that hold yes or no (``boolean``, missing = NA).
    """

    name: str
    meaning: str
    numbers: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


STUDY_INTENSITY_COLUMNS: Final = (
    "sample_id", "file", "tube", "population", "marker", "statistic", "value", "unit", "n", "left_out_pct",
)  # fmt: skip
"""Statistics of intensities that a study asks for (``intensities.csv``), one row a sample, population and marker."""

PLACEMENT_COLUMNS: Final = (
    "sample_id", "tube", "population", "parent", "marker", "limit", "asked", "method", "arguments", "group_by",
    "source", "template", "value", "template_intensity", "intensity", "shift", "later_shift", "confidence", "n_events",
    "review", "held", "reason", "note",
)  # fmt: skip
"""How every cut of a sample was placed (``placement.csv``), see `placement.cuts.Cut`. ``template``, ``value``,
``shift`` and ``later_shift`` are places on the scale of the axis, intensities are linear. ``held``: a
frozen cut that stayed because no control tells how far the instrument moved."""

GATE_SPREAD_COLUMNS: Final = (
    "sample_id", "tube", "population", "parent", "n", "n_parent", "cut_shift", "n_cuts", "n_low", "n_high", "cv_n",
    "pct_low", "pct_high", "cv_pct", "main_cut", "main_share", "own", "not_moved", "reason",
)  # fmt: skip
"""What moved cuts do to each count (``gate_spread.csv``), one row a sample and population.

``cut_shift`` is the distance as a share of the scale, ``n_cuts`` how many cuts the population hangs on, ``low`` and
``high`` the least and most of 32 gatings; ``cv`` the root of the mean square of the relative change (of the logarithm),
per cent. ``main_cut`` moves the percentage most and makes ``main_share`` (0-1) of its spread. ``own``: a cut belongs to
this sample or batch alone. ``not_moved``: markers whose cuts are not in it; ``reason``: why there is no spread."""

CONTROL_COLUMNS: Final = (
    "tube", "panel_id", "control_lot", "instrument", "batch_id", "acquired_dtc", "samples", "tubes", "population",
    "measure", "value", "unit", "n", "target", "sd", "target_from", "z", "ewma", "rules", "state", "holds",
)  # fmt: skip
"""Control aliquots (``controls.csv``), one row a run, population and measure. ``state`` is one of QUALITY_STATES;
``holds`` says whether a failure holds the reports of the batch."""

CONTROL_BATCH_COLUMNS: Final = (
    "batch_id", "tube", "panel_id", "state", "why", "samples", "visits", "author", "dtc", "reason",
)  # fmt: skip
"""What the control says of each batch and tube (``control_batches.csv``); ``state`` is one of CONTROL_STATES, author,
dtc and reason are those of the release, ``visits`` counts the visits with a tube of the batch."""

CONTROL_STATES: Final[dict[str, str]] = {
    "PASS": "no rule is broken",
    "WARN": "a warning, or a rule broken by a population that holds nothing: look at it",
    "HELD": "a rule is broken: the reports of the batch are held",
    "RELEASED": "a rule is broken, and a person released the batch with a reason",
    "NOT_EVALUABLE": "no target yet: nothing is known",
    "NO_CONTROL": "the batch has no control that was judged: nothing is known",
}

PRECISION_COLUMNS: Final = (
    "population", "tube", "measure", "kind", "groups", "tubes", "dof", "cv", "cv_lower", "cv_upper", "loq_events",
    "loq", "unit", "used", "cv_used", "note",
)  # fmt: skip
"""Precision of each population from replicates (``precision.csv``): CVs in per cent without counting noise, of tubes of
one draw (``tube``) or of draws of an untreated subject (``draw``)."""

RARE_COLUMNS: Final = (
    "usubjid", "visit", "sample_id", "tube", "population", "parent", "n", "n_parent", "pct_parent", "pct_lower",
    "pct_upper", "n_lower", "n_upper", "cv", "reporting", "n_parent_cv10", "n_parent_cv15", "n_parent_cv20",
    "background_n", "background_n_parent", "background_pct", "background_from", "limit_of_blank", "limit_of_detection",
    "p_background", "detection", "n_parent_detection", "note",
)  # fmt: skip
"""What counting says of every population of a visit (``rare_populations.csv``). ``n`` events, percentages 0-100, ``cv``
per cent; ``lower`` and ``upper`` are exact 95 % limits (Clopper-Pearson of the percentage, Garwood of the events).
``reporting`` is one of REPORTING, ``detection`` of DETECTION. ``n_parent_cv10``: parent events that the population
needs at this frequency for a counting CV of 10 %; ``n_parent_detection``: for its detection. ``background_n`` of
``background_n_parent`` events of the control ``background_from`` lie in the gate; limits of blank and detection are
events in this tube, see `pp.limit_of_blank`."""

REPORTING: Final[dict[str, str]] = {
    "REPORTED": "100 events or more",
    "LOW_EVENTS": "30 to 99 events: read the interval",
    "BELOW_30": "1 to 29 events: n < 30, read the interval",
    "NONE_FOUND": "no event: the upper limit says what can be excluded",
}

DETECTION: Final[dict[str, str]] = {
    "ABOVE": "more than the control of the batch explains (one-sided p at most 0.05)",
    "NOT_ABOVE": "not more than the control of the batch explains",
    "NO_BACKGROUND": "no background measured: not known",
}

RESULT_TABLES: Final[dict[str, ResultTable]] = {
    table.name: table
    for table in (
        ResultTable(
            "queries",
            "questions to people: those of the study with their answers, and those that the run raised; copied into "
            "the study folder it is read back",
            flags=("closed",),
        ),
        ResultTable(
            "gate_overrides",
            "gates that a person drew anew for one sample: who, when, why, events before and after, populations that "
            "hang on it",
            numbers=("row", "n_parent", "n_before", "n_after"),
            flags=("in_force",),
        ),
        ResultTable(
            "reconcile", "our counts beside those that a FlowJo workspace holds; empty without one",
            numbers=("n_flowjo", "n", "difference", "difference_pct"),
        ),
        ResultTable(
            "intensities", "statistics of intensities that study.yaml asks for (intensity_statistics); else empty",
            numbers=("value", "n", "left_out_pct"),
        ),
        ResultTable(
            "placement",
            "how each cut of each sample was placed: method, template and placed value, shift, reasons; empty where "
            "all gates are fixed",
            numbers=("template", "value", "template_intensity", "intensity", "shift", "later_shift", "confidence",
                     "n_events"),
            flags=("review", "held"),
        ),
        ResultTable(
            "gate_spread",
            "what each count becomes when its cuts lie elsewhere by what the template declares: least, most, relative "
            "SD, the cut that matters most",
            numbers=("n", "n_parent", "cut_shift", "n_cuts", "n_low", "n_high", "cv_n", "pct_low", "pct_high", "cv_pct",
                     "main_share"),
            flags=("own",),
        ),
        ResultTable(
            "controls",
            "control aliquots: value of each run and population, target of the lot, deviate, rules broken",
            numbers=("tubes", "value", "n", "target", "sd", "z", "ewma"),
            flags=("holds",),
        ),
        ResultTable(
            "control_batches",
            "what the control says of each batch and tube: held, by whom released and why; empty without controls",
            numbers=("visits",),
        ),
        ResultTable(
            "precision",
            "CV and limit of quantification of each population from replicates; empty without them",
            numbers=("groups", "tubes", "dof", "cv", "cv_lower", "cv_upper", "loq_events", "loq", "cv_used"),
            flags=("used",),
        ),
        ResultTable(
            "rare_populations",
            "what counting says of each population of a visit: exact intervals, limits of blank and detection of its "
            "gate, events that would be needed",
            numbers=tuple(
                name
                for name in RARE_COLUMNS
                if name not in ("usubjid", "visit", "sample_id", "tube", "population", "parent", "reporting",
                                "background_from", "detection", "note")
            ),
        ),
        ResultTable("eligibility", "every criterion of every subject: state, value, limit, explanation, inputs"),
        ResultTable("eligibility_overall", "ELIGIBLE, INELIGIBLE or INDETERMINATE, one row a subject"),
        ResultTable(
            "virology_rules", "CMV rules with their verdict, days and evidence", numbers=("lower_day", "upper_day")
        ),
        ResultTable(
            "virology_kinetics",
            "slope, half-life, peak and area of the CMV-DNA course, one row a subject",
            numbers=tuple(
                name
                for name in CMV_KINETICS
                if name not in ("usubjid", "series", "unit", "censoring")
                and not name.endswith(("_status", "_reason", "_kind"))
            ),
        ),
        ResultTable(
            "virology_clearance",
            "time to clearance of each rule as an interval of days",
            numbers=("lower_day", "upper_day", "competing_day"),
            flags=("observed",),
        ),
        ResultTable(
            "virology_agreement",
            "definitions of one thing held against each other, subjects by verdict",
            numbers=("both", "only_rule", "only_other", "neither", "n_not_evaluable", "agree_pct"),
        ),
        ResultTable(
            "safety",
            "CTCAE grade of every laboratory result",
            numbers=("value", "lln", "uln", "baseline", "grade", "baseline_grade"),
            flags=("grade_provisional", "on_treatment", "treatment_emergent"),
        ),
        ResultTable(
            "safety_worst",
            "worst grade on treatment, one row a subject and term",
            numbers=("baseline_grade", "worst_grade", "n_results", "n_ungraded"),
            flags=("grade_provisional", "treatment_emergent"),
        ),
        ResultTable(
            "safety_shift",
            "subjects by baseline grade and worst grade",
            numbers=("baseline_grade", "worst_grade", "n_subjects", "n_incomplete"),
        ),
        ResultTable(
            "safety_events",
            "adverse events over the days of observation, by arm",
            numbers=("n_subjects", "n_with_event", "n_events", "n_undated", "exposure_days", "events_per_100_days"),
        ),
        ResultTable(
            "clearance",
            "creatinine clearance (Cockcroft and Gault) at each creatinine",
            numbers=(
                "creatinine_umol_l", "age_y", "age_y_low", "age_y_high", "weight_kg", "height_cm", "crcl", "crcl_low",
                "crcl_high",
            ),
            flags=("unstable",),
        ),
        ResultTable(
            "dosing_courses",
            "every course of a study drug, with its cumulative dose",
            numbers=(
                "dose", "start_day", "end_day", "virology_start_day", "virology_end_day", "doses_planned",
                "doses_given", "pct_given", "weight_kg", "bsa_m2", "dose_absolute", "dose_per_m2", "cumulative",
            ),
            flags=("before_study",),
        ),
        ResultTable(
            "exposure",
            "cumulative dose, one row a subject and drug",
            numbers=("n_courses", "doses_planned", "doses_given", "pct_given", "cumulative", "cumulative_per_m2"),
        ),
        ResultTable(
            "dose_adequacy",
            "ganciclovir and valganciclovir given, held against the label dose for the clearance",
            numbers=("from_day", "to_day", "crcl", "label_dose", "actual_dose", "adequacy", "pct_given"),
        ),
        ResultTable(
            "dosing_bars",
            "intervals of treatment for figures",
            numbers=("start_day", "end_day", "virology_start_day", "virology_end_day"),
            flags=("ongoing", "before_study"),
        ),
        ResultTable(
            "il2_timing",
            "hours from the last IL-2 dose to each draw",
            numbers=("hours_stated", "hours_computed", "hours_low", "hours_high", "hours"),
            flags=("recent",),
        ),
        ResultTable(
            "steroids",
            "systemic corticosteroids of each day as prednisone",
            numbers=("ped_mg", "weight_kg", "ped_mg_kg", "ped_mg_at_least", "ped_mg_kg_at_least"),
            flags=("pulse",),
        ),
        ResultTable(
            "steroid_records",
            "every corticosteroid of conmeds, and whether it counts",
            numbers=("row", "dose", "mg_per_dose", "ped_mg_per_dose"),
            flags=("ongoing",),
        ),
        ResultTable(
            "immunosuppressants",
            "drugs that change cells or hide epitopes, by visit and population",
            numbers=("days_since_last",),
        ),
        ResultTable(
            "cmv_confounders",
            "drugs and procedures that change CMV-DNA by themselves, and the days on which they count",
            numbers=("row",),
            flags=("certain",),
        ),
        ResultTable("safety_flags", "clinical flags by subject and visit"),
    )
}  # fmt: skip
