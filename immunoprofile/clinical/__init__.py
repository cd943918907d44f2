"""Clinical data: laboratory safety, doses, concomitant drugs, eligibility."""

from immunoprofile.clinical.renal import cockcroft_gault, creatinine_clearance
from immunoprofile.clinical.screening import Eligibility, eligibility, load_rules
from immunoprofile.clinical.steroids import prednisone_equivalents, steroid_records

__all__ = [
    "Eligibility",
    "cockcroft_gault",
    "creatinine_clearance",
    "eligibility",
    "load_rules",
    "prednisone_equivalents",
    "steroid_records",
]
