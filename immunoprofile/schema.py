"""Names of tables, columns, layers and keys: the only room that spells them out.

Everything that is read from a study folder, stored in an AnnData object or written to a results
folder is named here once. Other rooms import the names; they never repeat the strings of a table
that they do not own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

SCHEMA_VERSION: Final = "1"

ColumnKind = Literal["str", "float", "int", "bool", "date"]

ISO_DATE: Final = r"^\d{4}(-\d{2}(-\d{2}(T\d{2}:\d{2}(:\d{2})?)?)?)?$"
"""ISO 8601 text date as in SDTM ``--DTC``: partial dates and an optional time of day."""

POPULATION_ID: Final = r"^[a-z][a-z0-9_]*$"
"""Our own population ids. FlowKit exports other names as GatingML that its parser rejects."""


SAMPLE_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""Sample ids name files of the results folder, on every operating system."""


@dataclass(frozen=True)
class Column:
    """One column of a study table.

    Attributes
    ----------
    name
        Column name, snake_case; a unit stands as suffix.
    kind
        Type of the values; ``date`` is ISO 8601 text, ``bool`` is Y/N in the file.
    meaning
        One line for the person who fills the table.
    required
        The column must exist in the file.
    nullable
        Single values may be missing.
    unit
        Unit of the values, where they have one.
    allowed
        Legal values; empty means free.
    minimum, maximum
        Inclusive limits of a number.
    """

    name: str
    kind: ColumnKind
    meaning: str
    required: bool = False
    nullable: bool = True
    unit: str | None = None
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class TableSpec:
    """A study table: its columns, its key and whether a study must have it."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    required: bool = False
    of_subject: bool = True
    """Every row must belong to a subject (and, where it names a visit, to a visit of the schedule)."""

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns in the order of the specification."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Column by name; KeyError when the table has none of that name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def _key(name: str, meaning: str, allowed: tuple[str, ...] = ()) -> Column:
    return Column(name, "str", meaning, required=True, nullable=False, allowed=allowed)


_USUBJID = _key("usubjid", "pseudonymous subject id, STUDY-SITE-SUBJECT")
_VISIT = Column("visit", "str", "visit of the schedule in study.yaml; empty for an unscheduled result")
_COLLECTED = Column("collected_dtc", "date", "when the blood was drawn", required=True)

SPECIMEN_TYPES: Final = ("WB_EDTA", "WB_HEP", "PBMC_FRESH", "PBMC_FROZEN")
ROLES: Final = ("sample", "fmo", "single_stain", "unstained", "control", "replicate")
REASONS_NOT_DONE: Final = ("MISSED", "QC_FAIL", "NOT_DONE", "DROPOUT", "DEATH", "RESCUE")
CMV_KINDS: Final = ("QUANT", "BLQ", "TND", "ALQ", "INVALID")
CMV_UNITS: Final = ("IU/mL", "copies/mL")
CMV_SPECIMENS: Final = ("plasma", "whole_blood", "serum", "PBMC")
LAB_TESTS: Final = (
    "ANC", "WBC", "ALC", "LYMPH_PCT", "HGB", "PLT", "CREAT", "ALT", "AST", "TBIL", "ALP", "BUN", "CRP", "EOS",
)  # fmt: skip
DRUGS: Final = ("IL2", "GCV", "VGCV")
DOSE_UNITS: Final = ("MIU", "mg", "mg/kg")
ROUTES: Final = ("SC", "IV", "PO", "IM")
ATTESTATION_ANSWERS: Final = ("Y", "N", "U")

SUBJECTS = TableSpec(
    "subjects",
    (
        _USUBJID,
        Column("subjid", "str", "subject number within the site"),
        Column("siteid", "str", "site"),
        Column("arm", "str", "planned arm, a code of study.yaml", required=True, nullable=False),
        Column("actual_arm", "str", "arm in fact received"),
        Column("birth_year", "int", "year of birth (never the full date)", minimum=1900, maximum=2100),
        Column("age_y", "int", "age at consent", unit="y", minimum=0, maximum=120),
        Column("sex", "str", "sex", allowed=("M", "F")),
        Column("first_dose_dtc", "date", "first dose of either study drug"),
        Column("first_il2_dtc", "date", "first dose of IL-2"),
        Column("first_gcv_dtc", "date", "first dose of ganciclovir or valganciclovir"),
        Column("last_dose_dtc", "date", "last dose of either study drug"),
        Column("consent_dtc", "date", "informed consent"),
        Column("randomised_dtc", "date", "randomisation"),
        Column("strata", "str", "randomisation stratum"),
        Column("dx", "str", "rheumatic diagnosis"),
        Column("dx_criteria_set", "str", "classification criteria, by name"),
        Column("dx_criteria_met", "str", "criteria met", allowed=("Y", "N", "U")),
        Column("cmv_igg_baseline", "str", "CMV IgG at baseline", allowed=("POS", "NEG", "UNK")),
        Column("death_dtc", "date", "death"),
    ),
    key=("usubjid",),
    required=True,
)

VISITS = TableSpec(
    "visits",
    (
        _USUBJID,
        _key("visit", "visit of the schedule in study.yaml"),
        Column("start_dtc", "date", "when the visit began"),
        Column("end_dtc", "date", "when the visit ended"),
        Column("occurred", "bool", "whether the visit took place", required=True, nullable=False),
        Column("reason_not_done", "str", "why it did not take place", allowed=REASONS_NOT_DONE),
        Column("contact_mode", "str", "on site, telephone ..."),
        Column("weight_kg", "float", "body weight", unit="kg", minimum=20, maximum=400),
        Column("height_cm", "float", "height", unit="cm", minimum=50, maximum=260),
        Column("sbp", "float", "systolic blood pressure", unit="mmHg", minimum=30, maximum=300),
        Column("temp_c", "float", "body temperature", unit="degC", minimum=30, maximum=45),
    ),
    key=("usubjid", "visit"),
    required=True,
)

SAMPLES = TableSpec(
    "samples",
    (
        _key("sample_id", "one acquisition of one tube"),
        Column("usubjid", "str", "pseudonymous subject id; empty for controls that belong to a batch"),
        _VISIT,
        _key("tube_id", "tube of study.yaml"),
        Column("panel_id", "str", "panel and its version"),
        Column("role", "str", "what the acquisition is for", required=True, nullable=False, allowed=ROLES),
        Column("fmo_marker", "str", "marker left out (fmo) or stained alone (single_stain)"),
        Column("batch_id", "str", "staining batch"),
        Column("replicate", "int", "number of the replicate", minimum=1),
        Column("attempt", "int", "1 for the first acquisition, 2 for a re-run ...", minimum=1),
        Column("supersedes", "str", "sample_id of the acquisition that this one replaces"),
        Column("specimen_type", "str", "specimen", required=True, nullable=False, allowed=SPECIMEN_TYPES),
        Column("staining_protocol", "str", "for example lyse_no_wash, washed, permeabilised"),
        Column("site", "str", "laboratory"),
        _COLLECTED,
        Column("stained_dtc", "date", "when the tube was stained"),
        Column("acquired_dtc", "date", "when the tube was run"),
        Column("instrument", "str", "cytometer model"),
        Column("cytometer_sn", "str", "serial number of the cytometer"),
        Column("operator", "str", "pseudonymous operator code"),
        Column("fcs_path", "str", "FCS file, relative to the study folder", required=True, nullable=False),
        Column("sha256", "str", "content hash of the FCS file; checked when given"),
        Column("n_events_recorded", "int", "events that the cytometer reported", minimum=0),
        Column("comp_source", "str", "which compensation is meant", allowed=("keyword", "none", "compensated")),
        Column("beads_per_tube", "float", "counting beads in the tube", unit="beads", minimum=1),
        Column("bead_lot", "str", "lot of the counting beads"),
        Column("bead_expiry", "date", "expiry of the bead lot"),
        Column("blood_volume_ul", "float", "original blood in the tube", unit="uL", minimum=1e-3),
        Column("acquired_volume_ul", "float", "volume drawn by a volumetric cytometer", unit="uL", minimum=1e-3),
        Column("dilution", "float", "pre-dilution factor, >= 1", minimum=1),
        Column("hours_since_last_il2", "float", "hours between the last IL-2 dose and the draw", unit="h", minimum=0),
        Column("hours_since_last_steroid", "float", "hours between the last steroid dose and the draw", unit="h",
               minimum=0),
        Column("exclude_flag", "bool", "excluded by a person"),
        Column("exclude_reason", "str", "why"),
    ),
    key=("sample_id",),
    required=True,
    of_subject=False,
)  # fmt: skip

CMV_DNA = TableSpec(
    "cmv_dna",
    (
        _USUBJID,
        _VISIT,
        _COLLECTED,
        Column("result_raw", "str", "the result as the laboratory wrote it", required=True, nullable=False),
        Column("unit", "str", "unit of the result", required=True, nullable=False, allowed=CMV_UNITS),
        Column("assay_id", "str", "assay of study.yaml", required=True, nullable=False),
        Column("specimen", "str", "specimen", required=True, nullable=False, allowed=CMV_SPECIMENS),
        Column("genotype", "str", "resistance mutations found, for example UL97 A594V"),
    ),
    key=("usubjid", "collected_dtc", "assay_id", "specimen"),
)

LABS = TableSpec(
    "labs",
    (
        _USUBJID,
        _VISIT,
        _COLLECTED,
        _key("test", "laboratory test", LAB_TESTS),
        Column("value", "float", "result", required=True),
        Column("unit", "str", "unit of the result", required=True, nullable=False),
        Column("lln", "float", "lower limit of normal of that laboratory, same unit"),
        Column("uln", "float", "upper limit of normal of that laboratory, same unit"),
        Column("lab_id", "str", "laboratory"),
        Column("differential", "str", "kind of differential", allowed=("analyser", "manual")),
        Column("fasting", "bool", "fasting"),
    ),
    key=("usubjid", "collected_dtc", "test", "lab_id"),
)

DOSING = TableSpec(
    "dosing",
    (
        _USUBJID,
        _key("drug", "study drug", DRUGS),
        Column("dose", "float", "dose per administration", required=True, minimum=0),
        Column("unit", "str", "unit of the dose", required=True, nullable=False, allowed=DOSE_UNITS),
        Column("freq", "str", "for example QD, Q12H, QOD", required=True),
        Column("route", "str", "route", allowed=ROUTES),
        Column("start_dtc", "date", "first administration", required=True, nullable=False),
        Column("end_dtc", "date", "last administration; empty when it goes on"),
        Column("doses_planned", "int", "administrations planned", minimum=0),
        Column("doses_given", "int", "administrations given", minimum=0),
        Column("lot", "str", "lot"),
        Column("reason_change", "str", "why the dose was changed"),
    ),
    key=("usubjid", "drug", "start_dtc"),
)

CONMEDS = TableSpec(
    "conmeds",
    (
        _USUBJID,
        _key("drug", "generic name"),
        Column("atc", "str", "ATC code"),
        Column("indication", "str", "indication"),
        Column("dose", "float", "dose per administration", minimum=0),
        Column("unit", "str", "unit of the dose"),
        Column("freq", "str", "for example QD, BID, PRN"),
        Column("route", "str", "route"),
        Column("start_dtc", "date", "start"),
        Column("end_dtc", "date", "end"),
        Column("ongoing", "bool", "still taken"),
    ),
)

ATTESTATIONS = TableSpec(
    "attestations",
    (
        _USUBJID,
        _key("item", "statement, for example other_active_infection"),
        Column("answer", "str", "yes, no or unknown", required=True, nullable=False, allowed=ATTESTATION_ANSWERS),
        Column("author", "str", "pseudonymous code of the investigator"),
        Column("dtc", "date", "when it was stated"),
    ),
    key=("usubjid", "item", "dtc"),
)

AES = TableSpec(
    "aes",
    (
        _USUBJID,
        _key("term", "adverse event term"),
        Column("grade", "int", "CTCAE grade", minimum=1, maximum=5),
        Column("serious", "bool", "serious"),
        Column("related_il2", "str", "related to IL-2", allowed=ATTESTATION_ANSWERS),
        Column("related_gcv", "str", "related to ganciclovir", allowed=ATTESTATION_ANSWERS),
        Column("start_dtc", "date", "start"),
        Column("end_dtc", "date", "end"),
    ),
)

EVENTS = TableSpec(
    "events",
    (
        _USUBJID,
        _key("paramcd", "for example TTCLEAR, DEATH, RESCUE"),
        Column("start_dtc", "date", "start of the time at risk"),
        Column("left_day", "float", "event after this day", unit="d"),
        Column("right_day", "float", "event on or before this day; empty when censored", unit="d"),
        Column("censored", "bool", "right-censored"),
        Column("description", "str", "what happened"),
    ),
    key=("usubjid", "paramcd"),
)

FUNCTIONAL = TableSpec(
    "functional",
    (
        _USUBJID,
        _VISIT,
        _COLLECTED,
        _key("assay", "functional assay, for example ICS, ELISpot, killing"),
        Column("population", "str", "population that was read out"),
        Column("stimulus", "str", "stimulus"),
        _key("readout", "readout, for example CD107a"),
        Column("value", "float", "result", required=True),
        Column("unit", "str", "unit of the result", required=True, nullable=False),
    ),
    key=("usubjid", "collected_dtc", "assay", "population", "stimulus", "readout"),
)

QUERIES = TableSpec(
    "queries",
    (
        _key("record", "what is asked about: a sample_id, a visit (SUBJECT VISIT) or a table row"),
        _key("question", "the question"),
        Column("owner", "str", "who is to answer"),
        Column("answer", "str", "the answer"),
        Column("closed", "bool", "closed"),
    ),
    of_subject=False,
)

OVERRIDES = TableSpec(
    "overrides",
    (
        _USUBJID,
        _key("visit", "visit of the schedule"),
        Column("tube_id", "str", "tube; empty for a check of the visit"),
        _key("check", "check as it stands in quality.csv"),
        Column("state", "str", "state that is set", required=True, nullable=False, allowed=("PASS", "WARN", "FAIL")),
        Column("reason", "str", "why", required=True, nullable=False),
        Column("author", "str", "pseudonymous code of the person", required=True, nullable=False),
        Column("dtc", "date", "when it was decided", required=True),
    ),
    key=("usubjid", "visit", "tube_id", "check"),
)

TABLES: Final[dict[str, TableSpec]] = {
    spec.name: spec
    for spec in (
        SUBJECTS, VISITS, SAMPLES, CMV_DNA, LABS, DOSING, CONMEDS, ATTESTATIONS, AES, EVENTS, FUNCTIONAL, QUERIES,
        OVERRIDES,
    )
}  # fmt: skip

# Units that a laboratory value may carry, with the factor to the unit of analysis.
LAB_UNITS: Final[dict[str, tuple[str, dict[str, float]]]] = {
    **{
        test: ("10^9/L", {"10^9/L": 1.0, "10^3/uL": 1.0, "K/uL": 1.0, "10^6/L": 1e-3, "cells/uL": 1e-3, "/uL": 1e-3,
                          "/mm3": 1e-3})
        for test in ("ANC", "WBC", "ALC", "PLT", "EOS")
    },
    "LYMPH_PCT": ("%", {"%": 1.0}),
    "HGB": ("g/L", {"g/L": 1.0, "g/dL": 10.0}),
    "CREAT": ("umol/L", {"umol/L": 1.0, "mg/dL": 88.42}),
    "TBIL": ("umol/L", {"umol/L": 1.0, "mg/dL": 17.10}),
    **{test: ("U/L", {"U/L": 1.0, "IU/L": 1.0}) for test in ("ALT", "AST", "ALP")},
    "BUN": ("mmol/L", {"mmol/L": 1.0, "mg/dL": 0.357}),
    "CRP": ("mg/L", {"mg/L": 1.0, "mg/dL": 10.0}),
}  # fmt: skip

# --- tables that a run writes -------------------------------------------------------------------

EXCEPTION_COLUMNS: Final = (
    "stage", "severity", "code", "table", "row", "usubjid", "visit", "sample_id", "file", "message", "action",
)  # fmt: skip
"""``severity`` is ``error`` (something was left out), ``warning`` (used, but look) or ``note``."""

COUNT_COLUMNS: Final = (
    "sample_id", "file", "tube", "population", "parent", "gate_path", "n", "n_parent", "pct_parent",
)  # fmt: skip

QUALITY_COLUMNS: Final = ("usubjid", "visit", "tube", "sample_id", "check", "value", "unit", "limits", "state", "flag")
"""One row per check of a sample or visit; ``state`` is one of QUALITY_STATES."""

QUALITY_STATES: Final = ("PASS", "WARN", "FAIL", "NOT_EVALUABLE")

VIROLOGY_COLUMNS: Final = (
    "usubjid", "visit", "collected_dtc", "virology_day", "assay_id", "specimen", "unit", "result_raw", "kind", "value",
    "log10_value", "log10_lower", "log10_upper", "lloq", "lod", "uloq", "is_baseline", "log10_drop",
    "log10_drop_lower", "log10_drop_upper",
)  # fmt: skip
"""Bounds on the log10 scale; a missing bound is open. ``log10_drop`` is a point only when both results are QUANT."""

# --- AnnData: the visits object -----------------------------------------------------------------
# X is the percentage of the parent (0-100), float64, NaN where not measured.

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

VISIT_LAYERS: Final[dict[str, str]] = {
    COUNTS: "events in the gate of the reporting tube",
    PARENT_COUNTS: "events in the parent of that gate",
    PCT_LYMPHOCYTES: "per cent of lymphocytes of the same tube (0-100)",
    PCT_LEUKOCYTES: "per cent of CD45+ leukocytes of the same tube (0-100)",
    PCT_LOWER: "lower limit of the Wilson 95 % interval of X (counting only)",
    PCT_UPPER: "upper limit of the Wilson 95 % interval of X (counting only)",
    ABS: "cells/uL by the method chosen for the subject (obs: abs_method)",
    ABS_CV: "coefficient of variation of abs, per cent (counting and pipetting)",
    ABS_LOWER: "lower 95 % limit of abs, cells/uL",
    ABS_UPPER: "upper 95 % limit of abs, cells/uL",
    ABS_BEAD: "cells/uL from counting beads, bridged to the other tubes",
    ABS_DUAL: "cells/uL from the blood count (dual platform), bridged to the other tubes",
    ANCHOR_COUNTS: "events of var['abs_anchor'] in the tube of the population (denominator of the bridge)",
    LOW_EVENTS: "1 where 0 < counts < 100, 0 otherwise, NaN where not measured",
}

RATIOS: Final = "ratios"
LOG2_RATIOS: Final = "log2_ratios"
DELTA_BASELINE: Final = "delta_baseline"
LOG2FC_BASELINE: Final = "log2fc_baseline"
LOG2FC_BASELINE_ABS: Final = "log2fc_baseline_abs"
MDFI: Final = "mdfi"

VISIT_OBSM: Final[dict[str, str]] = {
    RATIOS: "DataFrame, one column a ratio, raw",
    LOG2_RATIOS: "DataFrame, the same on the log2 scale",
    DELTA_BASELINE: "DataFrame, columns = populations: X minus X at baseline, percentage points",
    LOG2FC_BASELINE: "DataFrame, columns = populations: log2 of X over X at baseline",
    LOG2FC_BASELINE_ABS: "DataFrame, columns = populations: log2 of abs over abs at baseline",
    MDFI: "DataFrame, columns = <population>_<marker>: median of the linear compensated intensity",
}

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
    "qc_status": "PASS, WARN, FAIL or NOT_EVALUABLE",
    "flags": "flag codes joined by a blank",
    "abs_method": "bead, dual_lymph, dual_wbc or none",
    "n_beads": "counting beads of the count tube within the stable time",
    "beads_per_tube": "beads in the count tube",
    "blood_volume_ul": "original blood in the count tube, uL",
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
    "marker_string": "definition in marker notation",
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
UNS_CHANGE: Final = "change"
UNS_COMPARE: Final = "compare"
UNS_ASSOCIATE: Final = "associate"
UNS_CMV_CHANGE: Final = "cmv_change"
STATISTICS: Final = (UNS_CHANGE, UNS_COMPARE, UNS_ASSOCIATE, UNS_CMV_CHANGE)
"""Tables of the analyses that a study declares, as they are called in ``uns`` and in ``statistics/``."""
UNS_TRUTH: Final = "truth"
"""True effects of a simulated cohort."""

CMV_CHANGE_COLUMNS: Final = (
    "usubjid", "arm", "visit", "population", "measure", "baseline", "value", "fold_change", "cmv_kind", "cmv_drop",
    "cmv_drop_lower", "cmv_drop_upper",
)  # fmt: skip

STATISTIC_COLUMNS: Final = (
    "method_id", "method", "population", "measure", "contrast", "visit", "arm", "scale", "n", "n_reference",
    "estimate", "lower", "upper", "p_value", "effect_kind", "effect", "effect_lower", "effect_upper",
    "median_baseline", "median_visit", "conf_level", "adjusted", "note",
)  # fmt: skip
"""A row of any statistic. ``estimate`` is on the analysis scale, ``effect`` back-transformed (fold change, odds
ratio)."""

# --- AnnData: the cells object ------------------------------------------------------------------
LAYER_RAW: Final = "raw"
LAYER_COMP: Final = "comp"
GATE_PREFIX: Final = "gate_"
MARKER_TYPES: Final = ("scatter", "lineage", "functional", "viability", "time")

FLAGS: Final[dict[str, str]] = {
    "LOW_EVENTS": "fewer than 100 events in the gate",
    "PARENT_LOW": "fewer than 100 events in the parent",
    "LYMPHOSUM_FAIL": "T + B + NK do not add up to the lymphocytes",
    "TSUM_WARN": "CD4 + CD8 do not add up to CD3",
    "VIABILITY_LOW": "few live cells",
    "SINGLETS_LOW": "many doublets",
    "LYMPHOCYTES_LOW": "few lymphocytes were acquired",
    "BEADS_LOW": "few counting beads: the absolute count is imprecise, and below 500 beads it is not given",
    "NO_BEADS": "the counting tube has no bead record",
    "ABS_DISCORDANT": "beads and blood count disagree by more than 20 %",
    "ABS_SUM": "T + B + NK per uL are not 90-110 % of the lymphocytes per uL",
    "ABS_IMPLAUSIBLE": "lymphocytes per uL that blood cannot hold: look at units, bead record and blood count",
    "ABS_METHOD_SWITCHED": "the whole subject uses the blood count because beads are missing at a visit",
    "TUBES_DISAGREE": "two tubes of the visit disagree on one population",
    "NO_CBC": "no blood count within 24 h of the draw",
    "PANEL_MISSING_MARKER": "a marker of the panel is missing",
    "NK_NO_CD14": "NK cells gated on CD16 without CD14 exclusion",
    "TREG_FOXP3_LOW": "fewer than 70 % of the Treg gate are FoxP3+",
    "RECENT_IL2": "less than 18 h since the last IL-2 dose, or its time is unknown",
    "STEROID_PULSE": "methylprednisolone of 250 mg or more on one day",
    "SPECIMEN_MISMATCH": "another specimen type than at baseline",
    "STAIN_LATE": "long time between blood draw and staining",
    "ASSAY_CHANGED": "the CMV assay or specimen changed in the series",
    "CMV_BLQ": "CMV-DNA detected below the limit of quantification",
    "CMV_TND": "CMV-DNA not detected",
    "BLIP": "single positive CMV result between negatives",
    "NOT_EVALUABLE": "could not be judged",
    "REFRANGE_NA": "no reference range applies",
    "GRADE_PROVISIONAL": "graded without a baseline",
    "GCV_UNDERDOSED": "less ganciclovir than the label dose",
    "GCV_HAEM_LIMIT": "blood count at a limit that the ganciclovir label names",
    "UNKNOWN_INPUT": "an input is unknown",
    "OVERRIDE": "a person overrode the rule",
    "SYNTHETIC_DATA": "simulated data",
    "FLOW_RATE": "the flow rate was unstable (clog, air, or refill)",
    "SIGNAL_UNSTABLE": "a signal left its place during the acquisition",
    "FEW_BINS": "the acquisition is short for the check of the signals",
    "SIGNAL_DRIFT": "a signal rises or falls over the whole acquisition",
    "TIME_GAPS": "the acquisition paused",
    "TIME_DISORDERED": "the events are not in the order of their time",
    "MARGINS": "many events at the rail of a detector",
    "DOUBLETS_HIGH": "many doublets by the polygon fitted to the file",
    "VIABILITY_FALLBACK": "the viability cut is that of the template, the file shows no valley",
    "NOT_ASSESSABLE": "a check of the events could not be made",
    "TIME_NOT_ASSESSABLE": "no usable Time channel",
    "CHANNEL_SWAP": "channels seem to have changed places since the baseline tube: look at the panel",
    "SAMPLE_SWAP": "lymphocytes by flow and blood count are far apart: look for a swapped tube",
    "BEADS_EXPIRED": "the bead lot had expired",
    "COMP_ASK": "the events look compensated already: declare comp_source in samples.csv",
    "COMP_MATRIX": "the spillover matrix differs from the reference of the study",
    "COMP_NONE": "no compensation was applied",
    "TUBE_MISSING": "a tube of the visit was not measured or not readable",
    "RERUN": "a tube was run again; the attempt was chosen by the rule of the study",
}
