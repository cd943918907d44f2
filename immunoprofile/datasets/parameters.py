"""What the synthetic trial assumes: population sizes, IL-2 effects, CMV-DNA kinetics, schedule.

Every number is an assumption for demonstration, not a result. Population sizes and effects are chosen in the range of
published low-dose IL-2 trials (Koreth 2011, Saadoun 2011, Hartemann 2013, Todd 2016); what those do not tell is marked
"own choice".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

Scale = Literal["log", "logit"]

STUDY_ID: Final = "IL2CMV"
TREATED: Final = "IL2_GCV"
REFERENCE: Final = "GCV"
IL2_LAST_DAY: Final = 14
"""IL-2 is given on study days 1 to 14."""

# visit, visitnum, planned study day (day 1 = first IL-2 or randomisation)
SCHEDULE: Final[tuple[tuple[str, float, int], ...]] = (
    ("BL", 1.0, 1),
    ("D7", 2.0, 7),
    ("D14", 3.0, 14),
    ("D21", 4.0, 21),
    ("D28", 5.0, 28),
    ("W6", 6.0, 42),
    ("W8", 7.0, 56),
)
VISIT_NAMES: Final = tuple(name for name, _, _ in SCHEDULE)
VISIT_DAYS: Final = tuple(day for _, _, day in SCHEDULE)
_FLOW_PRIORITY: Final = ("BL", "D14", "D28", "D7", "W8", "W6", "D21")
MIN_FLOW_VISITS: Final = 2
MAX_FLOW_VISITS: Final = len(_FLOW_PRIORITY)


def flow_visits(number: int) -> tuple[str, ...]:
    """Visits with flow cytometry for a number of them (2-7); five gives BL, D7, D14, D28 and W8."""
    if not MIN_FLOW_VISITS <= number <= MAX_FLOW_VISITS:
        msg = f"visits must be {MIN_FLOW_VISITS} to {MAX_FLOW_VISITS}, not {number}"
        raise ValueError(msg)
    chosen = set(_FLOW_PRIORITY[:number])
    return tuple(name for name in VISIT_NAMES if name in chosen)


def logit(p: float) -> float:
    """Natural log odds of a proportion (0-1)."""
    return math.log(p / (1 - p))


IL2_DECAY: Final = math.log((logit(0.10) - logit(0.05)) / (logit(0.06) - logit(0.05))) / 28
"""Per day: Treg go from twice the baseline to 1.2 times within 4 weeks after the last dose."""


@dataclass(frozen=True)
class Quantity:
    """One latent quantity of a subject and how the arms move it.

    Attributes
    ----------
    scale
        ``log`` for concentrations (cells/uL), ``logit`` for a share of a parent.
    baseline
        Median at baseline: cells/uL, or per cent of the parent.
    sd
        Log-SD of the subject's random effect. On the logit scale it is divided by 1 - p (delta method), except
        where ``sd_is_logit``.
    il2, gcv
        Factor on the median at the peak in IL2_GCV and in GCV.
    onset
        Share of the IL-2 effect that is there at D7 (1 at D14 unless ``after_peak``).
    at_d14
        Share of the IL-2 effect left at D14, for what peaks at D7.
    decay
        Rate of return after the last IL-2 dose, per day.
    """

    name: str
    scale: Scale
    baseline: float
    sd: float
    il2: float = 1.0
    gcv: float = 1.0
    onset: float = 0.7
    at_d14: float = 1.0
    decay: float = IL2_DECAY
    sd_is_logit: bool = False

    def shift(self, factor: float) -> float:
        """Shift on the analysis scale that multiplies the baseline median by ``factor``."""
        if self.scale == "log":
            return math.log(factor)
        p = self.baseline / 100
        return logit(p * factor) - logit(p)

    @property
    def location(self) -> float:
        """Baseline median on the analysis scale."""
        return math.log(self.baseline) if self.scale == "log" else logit(self.baseline / 100)

    @property
    def scale_sd(self) -> float:
        """SD of the random effect on the analysis scale."""
        return self.sd if self.scale == "log" or self.sd_is_logit else self.sd / (1 - self.baseline / 100)

    def il2_course(self, day: int) -> float:
        """Share of the peak IL-2 effect that is present on a study day (0-1)."""
        if day <= 1:
            return 0.0
        if day <= 7:
            return self.onset * (day - 1) / 6
        if day <= IL2_LAST_DAY:
            return self.onset + (self.at_d14 - self.onset) * (day - 7) / (IL2_LAST_DAY - 7)
        return self.at_d14 * math.exp(-self.decay * (day - IL2_LAST_DAY))


def gcv_course(day: int) -> float:
    """Share of the change common to both arms that is present on a study day (0-1)."""
    if day <= 1:
        return 0.0
    return min(1.0, 0.6 * (day - 1) / 6) if day <= 7 else min(1.0, 0.6 + 0.4 * (day - 7) / 7)


# The lymphocytes are the sum of their parts. "rest" (B, double-negative and double-positive T cells, others) carries
# what the table leaves open, solved so that the median of the sum is 850, x1.35 and x1.10 as the table says.
CONCENTRATIONS: Final = (
    Quantity("cd4", "log", 260.0, 0.55, il2=1.15, gcv=1.05),
    Quantity("cd8", "log", 330.0, 0.50, il2=1.25, gcv=1.10),
    Quantity("nk", "log", 90.0, 0.60, il2=1.70, gcv=1.15),
    Quantity("rest", "log", 139.5, 0.50, il2=1.719, gcv=1.159),
)
"""Cells/uL."""
LYMPHOCYTES: Final = (850.0, 1.35, 1.10)
"""Cells/uL at baseline, factor in IL2_GCV and in GCV at D14: what the sum of the concentrations gives."""

REST_SHARES: Final = {"b": 0.73, "t_dn": 0.12, "t_dp": 0.03, "other": 0.12}
"""Shares of ``rest`` (own choice); ``other`` are lymphocytes that are neither T, B nor NK."""
REST_SHARE_SD: Final = 0.30

PROPORTIONS: Final = (
    Quantity("treg", "logit", 5.0, 0.40, il2=2.0, onset=1.0, sd_is_logit=True),
    Quantity("treg_naive", "logit", 25.0, 0.40, il2=1.3),
    Quantity("treg_ki67", "logit", 12.0, 0.40, il2=2.5, onset=1.0, at_d14=0.5, decay=0.15),
    Quantity("nk_bright", "logit", 9.0, 0.40, il2=2.5),
    Quantity("nk_ki67", "logit", 4.0, 0.40, il2=2.0, onset=1.0, at_d14=0.5, decay=0.15),
    Quantity("cd8_ki67", "logit", 4.0, 0.40, il2=1.4, onset=1.0, at_d14=0.5, decay=0.15),
    Quantity("cd8_act", "logit", 18.0, 0.50, il2=0.8, gcv=0.8),
    Quantity("treg_foxp3", "logit", 91.0, 0.20, sd_is_logit=True),  # own choice from here on
    Quantity("nkt_like", "logit", 6.0, 0.40),
    Quantity("nk_dim", "logit", 90.0, 0.25, sd_is_logit=True),
    Quantity("tconv_cd45ra", "logit", 40.0, 0.30),
    Quantity("nk_cd107a", "logit", 15.0, 0.30, il2=1.3),
)
"""Per cent of the parent; ``nk_dim`` is per cent of the NK cells that are not CD56bright."""

CMV_SPECIFIC: Final = Quantity("cd8_cmv", "logit", 1.5, 0.50, il2=1.4)
"""Per cent of CD8 T cells that make interferon gamma when they meet CMV pp65 (own choice); read by a functional assay,
not in the FCS files."""

PARENT_OF_PROPORTION: Final = {
    "treg": "cd4", "treg_naive": "treg", "treg_ki67": "treg", "treg_foxp3": "treg", "nk_bright": "nk",
    "cd8_act": "cd8", "nkt_like": "t", "nk_cd107a": "nk", "cd8_cmv": "cd8",
}  # fmt: skip

CD8_SUBSETS: Final = {"cd8_naive": 0.22, "cd8_cm": 0.08, "cd8_em": 0.35, "cd8_temra": 0.35}
"""Shares of CD8 T cells in a CMV-seropositive patient (own choice), logistic-normal."""
CD8_SUBSET_SD: Final = 0.35
CD8_SUBSET_RESIDUAL: Final = 0.10

SHARED_SD: Final = 0.42
"""Log-SD of the part of the random effect that all lymphocyte concentrations of a subject share."""
RESIDUAL_SD: Final = 0.20
"""Residual SD of a visit, on the log or logit scale."""
SHARED_RESIDUAL_SD: Final = 0.19
"""Part of it that all concentrations of a draw share (own choice: hydration, cortisol, margination)."""

GRANULOCYTES: Final = (4000.0, 0.35)
"""Neutrophils per uL, median and log-SD (own choice), as MONOCYTES and EOSINOPHILS."""
MONOCYTES: Final = (400.0, 0.30)
EOSINOPHILS: Final = (110.0, 0.50)
GCV_NEUTROPHIL_FACTOR: Final = 0.75
IL2_EOSINOPHIL_FACTOR: Final = 2.5

# CMV-DNA, log10 IU/mL of plasma
CMV_BASELINE: Final = (3.9, 0.6)
CMV_ENTRY_LOG10: Final = 3.0
CMV_ENTRY_IU: Final = 1_010.0
"""Lowest result at baseline, IU/mL: who measures less does not enter."""
CMV_HALF_LIFE_D: Final = {REFERENCE: 4.5, TREATED: 3.5}
CMV_HALF_LIFE_LOG_SD: Final = 0.45
CMV_HUMP_SHARE: Final = 0.15
CMV_HUMP_LOG10: Final = 0.3
CMV_REBOUND_SHARE: Final = 0.08
CMV_REBOUND_START_D: Final = 32
CMV_REBOUND_DOUBLING_D: Final = 4.3
CMV_RESIDUAL_SD: Final = 0.18
CMV_MISSED_SHARE: Final = 0.10
CMV_LLOQ: Final = 137.0
CMV_LOD: Final = 91.0
CMV_ULOQ: Final = 9_100_000.0
CMV_ASSAY: Final = "cap_ctm"
CMV_UNIT: Final = "IU/mL"
CMV_IU_PER_COPY: Final = 0.91
"""One laboratory found 1 IU to be about 1.1 copies with an assay of this kind; an assumption here."""
CMV_SPECIMEN: Final = "plasma"
ACTIVATION_PER_LOG10: Final = 0.30
"""Logit of activated CD8 per log10 of CMV-DNA a week before, beyond the course of the arm (own choice)."""

BEADS_PER_TUBE: Final = 49_650.0
BLOOD_VOLUME_UL: Final = 50.0
PIPETTING_SD: Final = 0.03
"""Log-SD of the blood volume in the counting tube."""
