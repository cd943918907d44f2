"""Eligibility: states, the statements that criteria read, and the tables that are written."""

from __future__ import annotations

from typing import Final

ELIGIBILITY_STATES: Final = ("PASS", "FAIL", "UNKNOWN", "NOT_APPLICABLE")
"""State of a criterion. An inclusion passes when it is met, an exclusion when it is absent."""

OVERALL_STATES: Final = ("ELIGIBLE", "INELIGIBLE", "INDETERMINATE")

CRITERION_KINDS: Final = ("INCLUSION", "EXCLUSION", "CHECK")
"""A CHECK warns; it never takes part in the overall state."""

ELIGIBILITY_PROFILES: Final = ("seed", "registry")

ATTESTATION_ITEMS: Final[dict[str, str]] = {
    "systemic_corticosteroid": "I3: takes a systemic corticosteroid; N says that there is none",
    "bacteremia": "X2a: bacteremia",
    "syphilis_treated": "X2e: syphilis was treated",
    "other_active_infection": "X2g: tuberculosis, fungal or any other active infection",
    "il2_hypersensitivity": "X3: allergy to IL-2 or its excipients",
    "heart_failure": "X4a: heart failure; Y needs the NYHA class in the column detail",
    "severe_comorbidity_blood": "X4d: severe disease of the blood",
    "severe_comorbidity_gastrointestinal": "X4d: severe gastrointestinal disease",
    "severe_comorbidity_endocrine": "X4d: severe endocrine disease",
    "severe_comorbidity_pulmonary": "X4d: severe lung disease",
    "severe_comorbidity_neurologic": "X4d: severe neurologic disease",
    "malignancy": "X5: malignancy, now or ever; Y needs its row in medical_history when the study allows exceptions",
    "uncontrolled_psychiatric_disorder": "X6: uncontrolled psychiatric or emotional disorder",
    "childbearing_potential": "X7: may become pregnant; N for postmenopausal or sterile",
    "breastfeeding": "X7: breastfeeding",
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
