"""Clinical data: laboratory safety, doses, concomitant drugs, eligibility."""

from immunoprofile.clinical.renal import cockcroft_gault, creatinine_clearance
from immunoprofile.clinical.steroids import prednisone_equivalents, steroid_records

__all__ = [
    "cockcroft_gault",
    "creatinine_clearance",
    "prednisone_equivalents",
    "steroid_records",
]
