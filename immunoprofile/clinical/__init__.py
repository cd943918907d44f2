"""Clinical data: laboratory safety, doses, concomitant drugs, eligibility."""

from immunoprofile.clinical.adequacy import adequacy_state, dose_adequacy, label_dose
from immunoprofile.clinical.cmv_confounders import cmv_confounders, confounders_of
from immunoprofile.clinical.ctcae import Grade, ctcae_terms, ctcae_versions, grade_value
from immunoprofile.clinical.doses import dose_courses, dosing_bars, exposure
from immunoprofile.clinical.grades import graded_results, shift_table, worst_grades
from immunoprofile.clinical.il2_timing import il2_timing
from immunoprofile.clinical.immunosuppressants import agents_of, immunosuppressants
from immunoprofile.clinical.renal import cockcroft_gault, creatinine_clearance
from immunoprofile.clinical.safety import SafetyTables, safety, visit_columns
from immunoprofile.clinical.screening import Eligibility, eligibility, load_rules
from immunoprofile.clinical.steroids import prednisone_equivalents, steroid_records
from immunoprofile.clinical.units import lab_value, lab_value_in
from immunoprofile.clinical.visit_days import visit_days

__all__ = [
    "Eligibility",
    "Grade",
    "SafetyTables",
    "adequacy_state",
    "agents_of",
    "cmv_confounders",
    "cockcroft_gault",
    "confounders_of",
    "creatinine_clearance",
    "ctcae_terms",
    "ctcae_versions",
    "dose_adequacy",
    "dose_courses",
    "dosing_bars",
    "eligibility",
    "exposure",
    "grade_value",
    "graded_results",
    "il2_timing",
    "immunosuppressants",
    "lab_value",
    "lab_value_in",
    "label_dose",
    "load_rules",
    "prednisone_equivalents",
    "safety",
    "shift_table",
    "steroid_records",
    "visit_columns",
    "visit_days",
    "worst_grades",
]
