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
