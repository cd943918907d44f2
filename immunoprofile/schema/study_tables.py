"""Tables that a study folder holds, and the units that laboratory values may carry."""

from __future__ import annotations

from typing import Final

from immunoprofile.schema.columns import Column, TableSpec
from immunoprofile.schema.units import CMV_UNITS, cmv_unit, lab_unit


def _key(name: str, meaning: str, allowed: tuple[str, ...] = ()) -> Column:
    return Column(name, "str", meaning, required=True, nullable=False, allowed=allowed)


_USUBJID = _key("usubjid", "pseudonymous subject id, STUDY-SITE-SUBJECT")
_VISIT = Column("visit", "str", "visit of the schedule in study.yaml; empty for an unscheduled result")
_COLLECTED = Column("collected_dtc", "date", "when the blood was drawn", required=True)

SPECIMEN_TYPES: Final = ("WB_EDTA", "WB_HEP", "PBMC_FRESH", "PBMC_FROZEN")
ROLES: Final = ("sample", "fmo", "single_stain", "unstained", "control", "replicate")
REASONS_NOT_DONE: Final = ("MISSED", "QC_FAIL", "NOT_DONE", "DROPOUT", "DEATH", "RESCUE")
CMV_KINDS: Final = ("QUANT", "BLQ", "TND", "ALQ", "INVALID")
CMV_SPECIMENS: Final = ("plasma", "whole_blood", "serum", "PBMC")
LAB_TESTS: Final = (
    "ANC", "WBC", "ALC", "LYMPH_PCT", "HGB", "PLT", "CREAT", "ALT", "AST", "TBIL", "ALP", "BUN", "CRP", "EOS",
    "CD4", "EGFR",
)  # fmt: skip
DRUGS: Final = ("IL2", "GCV", "VGCV")
DOSE_UNITS: Final = ("MIU", "IU", "MIU/m2", "mg", "mg/kg")
DOSE_PHASES: Final = ("INDUCTION", "MAINTENANCE")
ROUTES: Final = ("SC", "IV", "PO", "IM")
ATTESTATION_ANSWERS: Final = ("Y", "N", "U")
SCREENING_TESTS: Final = (
    "HBSAG", "ANTI_HBC", "HBV_DNA", "ANTI_HCV", "HCV_RNA", "HIV_AGAB", "HIV_RNA", "TREPONEMAL", "RPR", "EBV_DNA",
    "BLOOD_CULTURE", "HCG",
)  # fmt: skip
SCREENING_RESULTS: Final = ("POS", "NEG", "BLQ", "IND", "INVALID")
ADJUDICATIONS: Final = ("CONTAMINANT", "PATHOGEN")
HISTORY_CATEGORIES: Final = ("MALIGNANCY", "OTHER")
CONTROL_MEASURES: Final = ("pct_parent", "abs")

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
        Column("screening_dtc", "date", "date for which eligibility is judged; empty: the first dose"),
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
        Column("control_lot", "str", "lot of the control material (role control)"),
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
        Column("dataset", "int", "which data set of a file that holds several (.lmd), from 1", minimum=1),
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
        Column("result_raw", "str", "the result as the laboratory wrote it", required=True, nullable=False,
               holds_number=True),
        Column("unit", "str", "unit of the result; of a logarithm log10 IU/mL or log10 copies/mL", required=True,
               nullable=False, allowed=CMV_UNITS, spelling=lambda row: cmv_unit(row["unit"])),
        Column("assay_id", "str", "assay of study.yaml", required=True, nullable=False),
        Column("specimen", "str", "specimen", required=True, nullable=False, allowed=CMV_SPECIMENS),
        Column("lod", "float", "limit of detection on the report of the laboratory; held against the assay", minimum=0),
        Column("lloq", "float", "lower limit of quantification on that report; held against the assay", minimum=0),
        Column("uloq", "float", "upper limit of quantification on that report; held against the assay", minimum=0),
        Column("genotype", "str", "resistance mutations found, for example UL97 A594V"),
    ),
    key=("usubjid", "collected_dtc", "assay_id", "specimen"),
)  # fmt: skip

LABS = TableSpec(
    "labs",
    (
        _USUBJID,
        _VISIT,
        _COLLECTED,
        _key("test", "laboratory test", LAB_TESTS),
        Column("value", "float", "result", required=True),
        Column(
            "unit",
            "str",
            "unit of the result",
            required=True,
            nullable=False,
            spelling=lambda row: lab_unit(row.get("test", ""), row["unit"]),
        ),
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
        Column("phase", "str", "of ganciclovir and valganciclovir; empty: by the days of treatment",
               allowed=DOSE_PHASES),
        Column("route", "str", "route", allowed=ROUTES),
        Column("start_dtc", "date", "first administration", required=True, nullable=False),
        Column("end_dtc", "date", "last administration; empty when it goes on"),
        Column("doses_planned", "int", "administrations planned", minimum=0),
        Column("doses_given", "int", "administrations given", minimum=0),
        Column("lot", "str", "lot"),
        Column("reason_change", "str", "why the dose was changed"),
    ),
    key=("usubjid", "drug", "start_dtc"),
)  # fmt: skip

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
        Column("detail", "str", "what the item asks for besides; heart_failure: NYHA class I, II, III or IV"),
        Column("author", "str", "pseudonymous code of the investigator"),
        Column("dtc", "date", "when it was stated"),
    ),
    key=("usubjid", "item", "dtc"),
)

SCREENING = TableSpec(
    "screening_tests",
    (
        _USUBJID,
        _COLLECTED,
        _key("test", "test for an infection, blood culture, or pregnancy test", SCREENING_TESTS),
        Column("result", "str", "POS detected, NEG not detected, BLQ detected below the limit of quantification, "
               "IND indeterminate, INVALID no result; empty while it is awaited", required=True,
               allowed=SCREENING_RESULTS),
        Column("value", "float", "number of a quantitative result (EBV_DNA)", minimum=0),
        Column("unit", "str", "unit of the number"),
        Column("lloq", "float", "lower limit of quantification of the assay, same unit", minimum=0),
        Column("specimen", "str", "for example plasma, serum, whole_blood, urine"),
        Column("adjudication", "str", "what a person judged a positive blood culture to be", allowed=ADJUDICATIONS),
        Column("lab_id", "str", "laboratory"),
    ),
    key=("usubjid", "collected_dtc", "test", "specimen", "lab_id"),
)  # fmt: skip

MEDICAL_HISTORY = TableSpec(
    "medical_history",
    (
        _USUBJID,
        _key("category", "what the entry is about", HISTORY_CATEGORIES),
        _key("term", "the condition"),
        Column("subtype", "str", "MALIGNANCY: for example non_melanoma_skin, cervical_in_situ, solid, haematological"),
        Column("active", "bool", "still active"),
        Column("last_active_dtc", "date", "last day on which it was active or treated"),
    ),
)

ELIGIBILITY_OVERRIDES = TableSpec(
    "eligibility_overrides",
    (
        _USUBJID,
        _key("criterion", "criterion as it stands in eligibility.csv, for example X4b"),
        Column("state", "str", "what the investigator decided; the computed state stays", required=True,
               nullable=False, allowed=("PASS", "FAIL")),
        Column("reason", "str", "why", required=True, nullable=False),
        Column("author", "str", "pseudonymous code of the investigator", required=True, nullable=False),
        Column("dtc", "date", "when it was decided", required=True, nullable=False),
    ),
    key=("usubjid", "criterion"),
)  # fmt: skip

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

REVIEWS = TableSpec(
    "reviews",
    (
        Column("usubjid", "str", "subject of the report; empty for the cohort report"),
        _key("visit", "visit of the report, or COHORT"),
        _key("report_id", "id of the report that was reviewed, as printed on it"),
        Column("decision", "str", "what the reviewer decided", required=True, nullable=False,
               allowed=("accept", "query")),
        Column("reviewer", "str", "pseudonymous code of the reviewer", required=True, nullable=False),
        Column("dtc", "date", "when it was reviewed", required=True, nullable=False),
        Column("comment", "str", "remark"),
    ),
    of_subject=False,
)  # fmt: skip

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

CONTROL_TARGETS = TableSpec(
    "control_targets",
    (
        Column("control_lot", "str", "lot of the control material, as in samples; empty: controls without a lot"),
        _key("tube_id", "tube of study.yaml"),
        _key("population", "population id"),
        Column("measure", "str", "what the target is of", required=True, nullable=False, allowed=CONTROL_MEASURES),
        Column("mean", "float", "value expected, % of the parent or cells/uL", required=True, nullable=False,
               minimum=0),
        Column("sd", "float", "SD of one control tube over many runs, same unit", required=True, nullable=False,
               minimum=1e-9),
        Column("sd_within", "float", "SD of control tubes of one run, same unit; empty: not known", minimum=0),
        Column("source", "str", "where both come from, for example the certificate of the lot"),
    ),
    key=("control_lot", "tube_id", "population", "measure"),
    of_subject=False,
)  # fmt: skip

CONTROL_RELEASES = TableSpec(
    "control_releases",
    (
        _key("batch_id", "batch whose control failed"),
        _key("tube_id", "tube of that control"),
        Column("reason", "str", "why the reports of the batch may be used all the same", required=True, nullable=False),
        Column("author", "str", "pseudonymous code of the person", required=True, nullable=False),
        Column("dtc", "date", "when it was released; after the control was acquired", required=True, nullable=False),
    ),
    key=("batch_id", "tube_id"),
    of_subject=False,
)

POPULATIONS = TableSpec(
    "populations",
    (
        Column("tube", "str", "tube of study.yaml whose gates are meant; empty: every tube that has the name"),
        _key("source", "name of the population in the workspace or GatingML document, or the end of its path "
             "(NK cells/CD69+) where the name stands at several places"),
        _key("population", "id that reports, statistics and endpoints use for it"),
    ),
    key=("tube", "source"),
)  # fmt: skip

TABLES: Final[dict[str, TableSpec]] = {
    spec.name: spec
    for spec in (
        SUBJECTS, VISITS, SAMPLES, CMV_DNA, LABS, DOSING, CONMEDS, ATTESTATIONS, SCREENING, MEDICAL_HISTORY, AES,
        EVENTS, FUNCTIONAL, QUERIES, REVIEWS, OVERRIDES, ELIGIBILITY_OVERRIDES, CONTROL_TARGETS, CONTROL_RELEASES,
        POPULATIONS,
    )
}  # fmt: skip
