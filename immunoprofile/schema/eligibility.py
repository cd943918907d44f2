"""Eligibility: states, the statements that criteria read, and the tables that are written."""

from __future__ import annotations

from typing import Final

ELIGIBILITY_STATES: Final = ("PASS", "FAIL", "UNKNOWN", "NOT_APPLICABLE")
"""State of a criterion. An inclusion passes when it is met, an exclusion when it is absent."""

OVERALL_STATES: Final = ("ELIGIBLE", "INELIGIBLE", "INDETERMINATE")

CRITERION_KINDS: Final = ("INCLUSION", "EXCLUSION", "CHECK")
"""A CHECK warns; it never takes part in the overall state."""

ELIGIBILITY_PROFILES: Final = ("seed", "registry", "successor")

ATTESTATION_ITEMS: Final[dict[str, str]] = {
    "systemic_corticosteroid": "I3, S5: takes a systemic corticosteroid; N says that there is none",
    "bacteremia": "X2a: bacteremia",
    "syphilis_treated": "X2e: syphilis was treated",
    "other_active_infection": "X2g, SX2e: tuberculosis, fungal or any other active infection",
    "il2_hypersensitivity": "X3: allergy to IL-2 or its excipients",
    "heart_failure": "X4a, SX7a: heart failure; Y needs the NYHA class in the column detail",
    "severe_comorbidity_blood": "X4d: severe disease of the blood",
    "severe_comorbidity_gastrointestinal": "X4d: severe gastrointestinal disease",
    "severe_comorbidity_endocrine": "X4d: severe endocrine disease",
    "severe_comorbidity_pulmonary": "X4d: severe lung disease",
    "severe_comorbidity_neurologic": "X4d: severe neurologic disease",
    "malignancy": "X5, SX10: malignancy, now or ever; Y needs its row in medical_history when exceptions are allowed",
    "uncontrolled_psychiatric_disorder": "X6: uncontrolled psychiatric or emotional disorder",
    "childbearing_potential": "X7, SX11: may become pregnant; N for postmenopausal or sterile",
    "breastfeeding": "X7, SX11: breastfeeding",
    "il2_regimen_not_possible": "SX1: cannot follow the IL-2 regimen",
    "tuberculosis": "SX2e: active tuberculosis",
    "pneumocystis": "SX2e: pneumocystis infection",
    "cmv_vaccine_6_months": "SX3: CMV vaccine in the last 6 months; N says that there was none",
    "immunoglobulin_or_leflunomide_6_months": "SX4: intravenous immunoglobulin or leflunomide in the last 6 months",
    "plasmapheresis": "SX5: plasmapheresis, ever; N says that there was none",
    "severe_neuropsychiatric_sle": "SX6: active severe neuropsychiatric lupus",
    "severe_chronic_liver": "SX7c: severe chronic disease of the liver",
    "severe_chronic_kidney": "SX7c: severe chronic disease of the kidney",
    "severe_chronic_lung": "SX7c: severe chronic disease of the lung",
    "severe_chronic_heart": "SX7c: severe chronic disease of the heart",
    "respiratory_failure": "SX8: respiratory failure",
    "acute_heart_failure": "SX8: heart failure",
    "toxic_shock": "SX8: toxic shock",
    "other_autoimmune_disease": "SX9: another autoimmune disease",
    "mental_disorder_hinders": "SX12: mental disorder that hinders compliance",
    "chronic_illness_hinders": "SX12: other chronic illness that hinders compliance",
    "drug_abuse_hinders": "SX12: drug abuse that hinders compliance",
}
"""Statements of ``attestations.csv`` that criteria read, with the criterion."""

ELIGIBILITY_COLUMNS: Final = (
    "usubjid", "profile", "criterion", "kind", "parent", "text", "state", "value", "unit", "date", "limit",
    "explanation", "inputs", "missing", "rule_version", "override", "override_by", "override_reason", "override_dtc",
)  # fmt: skip
"""One row per subject and criterion in ``eligibility.csv``. ``state`` is computed; ``override`` stands beside it."""

ELIGIBILITY_OVERALL_COLUMNS: Final = (
    "usubjid", "profile", "state", "reference_date", "reference", "failed", "unknown", "missing", "warnings",
    "overrides", "rule_version",
)  # fmt: skip
"""One row per subject in ``eligibility_overall.csv``; lists are joined by ``; ``."""
