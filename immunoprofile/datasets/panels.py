"""The three tubes of the synthetic trial: channels, fluorochromes, spillover and what each cell type carries.

Intensities are medians on the linear scale of an 18-bit cytometer (0 to 262,144) and SDs of log10. They are own
choices, set so that a gate that knows every label still errs (F1 of Treg and CD56bright NK between .90 and .97).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FULL_SCALE: Final = 262_144
SCATTER: Final = ("FSC-A", "FSC-H", "SSC-A")
TIME: Final = "Time"
TIMESTEP_S: Final = 0.01

RELATIVE_EVENTS: Final = {"count": 1, "treg": 2, "effector": 1}
"""Events of a tube per event asked for: the parents of the Treg subsets are a few hundred cells, so the washed and
enriched Treg tube is run longer, as laboratories do."""

Level = tuple[float, float]
"""Median on the linear scale and SD of log10."""

# Share of the light of one fluorochrome that falls into the detector of another.
_SPILLOVER: Final[dict[tuple[str, str], float]] = {
    ("FITC", "PE"): 0.12, ("FITC", "PerCP"): 0.02, ("FITC", "PerCP-Cy5-5"): 0.015, ("FITC", "PE-CF594"): 0.03,
    ("PE", "FITC"): 0.008, ("PE", "PE-CF594"): 0.32, ("PE", "PerCP"): 0.15, ("PE", "PerCP-Cy5-5"): 0.14,
    ("PE", "PE-Cy7"): 0.015, ("PE-CF594", "PE"): 0.17, ("PE-CF594", "PerCP-Cy5-5"): 0.24,
    ("PE-CF594", "PE-Cy7"): 0.03, ("PerCP", "PE-Cy7"): 0.05, ("PerCP", "APC"): 0.01,
    ("PerCP-Cy5-5", "PE-Cy7"): 0.12, ("PerCP-Cy5-5", "BV711"): 0.06, ("PerCP-Cy5-5", "APC"): 0.02,
    ("PerCP-Cy5-5", "APC-Cy7"): 0.03, ("PE-Cy7", "PE"): 0.012, ("PE-Cy7", "APC-Cy7"): 0.04,
    ("PE-Cy7", "PerCP-Cy5-5"): 0.005, ("APC", "APC-Cy7"): 0.10, ("APC", "PerCP-Cy5-5"): 0.01,
    ("APC", "BV711"): 0.02, ("APC-Cy7", "APC"): 0.03, ("APC-Cy7", "PE-Cy7"): 0.03, ("V450", "BV510"): 0.10,
    ("V450", "BV605"): 0.01, ("BV510", "V450"): 0.03, ("BV510", "BV605"): 0.12, ("BV605", "PE-CF594"): 0.06,
    ("BV605", "PE"): 0.03, ("BV605", "BV711"): 0.12, ("BV605", "BV510"): 0.01, ("BV711", "BV785"): 0.18,
    ("BV711", "PerCP-Cy5-5"): 0.04, ("BV711", "APC-Cy7"): 0.04, ("BV785", "APC-Cy7"): 0.06,
    ("BV785", "BV711"): 0.04, ("BV785", "PE-Cy7"): 0.03,
}  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """A tube: which marker sits on which fluorochrome, how it is stained, and whether beads are added."""

    tube: str
    panel_id: str
    label: str
    staining_protocol: str
    fluorochromes: dict[str, str]
    beads: bool
    fmo: tuple[str, ...]
    spillover: npt.NDArray[np.float64]

    @property
    def markers(self) -> tuple[str, ...]:
        """Markers in channel order."""
        return tuple(self.fluorochromes)

    @property
    def pnn(self) -> tuple[str, ...]:
        """Channel names ($PnN) of the fluorescence channels."""
        return tuple(f"{fluorochrome}-A" for fluorochrome in self.fluorochromes.values())

    @property
    def channel_names(self) -> tuple[str, ...]:
        """All $PnN: scatter, fluorescence, Time."""
        return (*SCATTER, *self.pnn, TIME)

    @property
    def channel_labels(self) -> tuple[str, ...]:
        """All $PnS; empty for scatter and Time."""
        return ("", "", "", *self.markers, "")

    def index(self, marker: str) -> int:
        """Position of a marker among the fluorescence channels."""
        return self.markers.index(marker)


def _panel(
    tube: str, panel_id: str, label: str, staining_protocol: str, fluorochromes: dict[str, str], fmo: tuple[str, ...]
) -> Panel:
    names = list(fluorochromes.values())
    matrix = np.eye(len(names))
    for i, source in enumerate(names):
        for j, target in enumerate(names):
            if i != j:
                matrix[i, j] = _SPILLOVER.get((source, target), 0.0)
    return Panel(tube, panel_id, label, staining_protocol, fluorochromes, tube == "count", fmo, matrix)


PANELS: Final[dict[str, Panel]] = {
    panel.tube: panel
    for panel in (
        _panel(
            "count", "IL2CMV-COUNT-1", "Lymphocyte subsets with counting beads", "lyse_no_wash",
            {"CD3": "FITC", "CD16+CD56": "PE", "CD45": "PerCP", "CD4": "PE-Cy7", "CD19": "APC", "CD8": "APC-Cy7"},
            ("CD16+CD56",),
        ),
        _panel(
            "treg", "IL2CMV-TREG-1", "Regulatory T cells", "permeabilised",
            {"CD3": "V450", "Viability": "BV510", "Ki-67": "BV605", "FoxP3": "FITC", "CD25": "PE",
             "CD4": "PerCP-Cy5-5", "CD45RA": "PE-Cy7", "CD127": "APC"},
            ("Ki-67",),
        ),
        _panel(
            "effector", "IL2CMV-EFFECTOR-1", "NK and CD8 differentiation and activation", "washed",
            {"CD3": "V450", "Viability": "BV510", "CD4": "BV605", "CD57": "BV711", "CD14+CD19": "BV785",
             "CD16": "FITC", "CD56": "PE", "CCR7": "PE-CF594", "HLA-DR": "PerCP-Cy5-5", "CD45RA": "PE-Cy7",
             "CD38": "APC", "CD8": "APC-Cy7"},
            ("HLA-DR", "CD38"),
        ),
    )
}  # fmt: skip

# class -> FSC-A and SSC-A; what is not named has the scatter of a lymphocyte
LYMPHOCYTE_SCATTER: Final[tuple[Level, Level]] = ((60_000, 0.045), (20_000, 0.080))
SCATTER_LEVELS: Final[dict[str, tuple[Level, Level]]] = {
    "monocyte": ((108_000, 0.045), (60_000, 0.075)),
    "monocyte_cd16": ((104_000, 0.045), (57_000, 0.075)),
    "granulocyte": ((118_000, 0.050), (112_000, 0.070)),
    "debris": ((14_000, 0.130), (9_000, 0.150)),
    "bead": ((24_000, 0.030), (205_000, 0.020)),
}
AUTOFLUORESCENCE: Final[dict[str, Level]] = {
    "monocyte": (260, 0.20), "monocyte_cd16": (260, 0.20), "granulocyte": (220, 0.20), "debris": (40, 0.25),
}  # fmt: skip
NEGATIVE: Final[Level] = (110, 0.20)
DEAD_VIABILITY: Final[Level] = (22_000, 0.18)
BEAD_LEVEL: Final[Level] = (190_000, 0.02)

_T: Final[dict[str, Level]] = {"CD3": (12_000, 0.12)}
_COUNT_CLASSES: Final[dict[str, dict[str, Level]]] = {
    "cd4": {**_T, "CD45": (30_000, 0.08), "CD4": (11_000, 0.10)},
    "cd8": {**_T, "CD45": (30_000, 0.08), "CD8": (22_000, 0.13)},
    "t_dn": {**_T, "CD45": (30_000, 0.08)},
    "t_dp": {**_T, "CD45": (30_000, 0.08), "CD4": (10_000, 0.10), "CD8": (18_000, 0.13)},
    "b": {"CD45": (27_000, 0.08), "CD19": (9_000, 0.14)},
    "nk": {"CD45": (30_000, 0.08), "CD16+CD56": (7_000, 0.18)},
    "nk_cd8": {"CD45": (30_000, 0.08), "CD16+CD56": (7_000, 0.18), "CD8": (3_500, 0.20)},
    "other": {"CD45": (28_000, 0.08)},
    "monocyte": {"CD45": (17_000, 0.08), "CD4": (1_500, 0.15)},
    "monocyte_cd16": {"CD45": (19_000, 0.08), "CD4": (1_200, 0.15), "CD16+CD56": (3_000, 0.18)},
    "granulocyte": {"CD45": (6_500, 0.10), "CD16+CD56": (9_000, 0.18)},
    "debris": {"CD45": (60, 0.30)},
    "bead": {},
}
_TREG_CLASSES: Final[dict[str, dict[str, Level]]] = {
    "treg": {**_T, "CD4": (9_500, 0.10), "CD25": (3_850, 0.19), "CD127": (560, 0.21)},
    "tconv": {**_T, "CD4": (10_500, 0.10), "CD25": (320, 0.29), "CD127": (3_700, 0.22)},
    "tconv_act": {**_T, "CD4": (10_500, 0.10), "CD25": (2_000, 0.22), "CD127": (1_750, 0.20)},
    "cd8": {**_T, "CD127": (2_200, 0.25)},
    "t_dn": {**_T, "CD127": (1_600, 0.25)},
    "t_dp": {**_T, "CD4": (9_500, 0.10), "CD127": (2_800, 0.25)},
    "b": {"CD25": (250, 0.25)},
    "nk": {},
    "other": {},
    "monocyte": {"CD4": (1_500, 0.15)},
    "monocyte_cd16": {"CD4": (1_200, 0.15)},
    "granulocyte": {},
    "debris": {},
}
_CD8: Final[dict[str, Level]] = {**_T, "CD8": (22_000, 0.13)}
_CCR7: Final[Level] = (4_000, 0.14)
_CD45RA: Final[Level] = (12_000, 0.13)
_EFFECTOR_CLASSES: Final[dict[str, dict[str, Level]]] = {
    "cd4": {**_T, "CD4": (10_500, 0.10)},
    "cd8_naive": {**_CD8, "CCR7": _CCR7, "CD45RA": _CD45RA},
    "cd8_cm": {**_CD8, "CCR7": _CCR7},
    "cd8_em": _CD8,
    "cd8_temra": {**_CD8, "CD45RA": _CD45RA},
    "t_dn": _T,
    "t_dp": {**_T, "CD4": (9_500, 0.10), "CD8": (18_000, 0.13)},
    "b": {"CD14+CD19": (9_000, 0.15), "HLA-DR": (9_000, 0.20), "CD45RA": _CD45RA},
    "nk_bright": {"CD56": (14_800, 0.19), "CD16": (260, 0.32)},
    "nk_dim": {"CD56": (2_700, 0.24), "CD16": (9_000, 0.17), "CD45RA": _CD45RA},
    "nk_cd56dim_cd16neg": {"CD56": (2_900, 0.24), "CD16": (230, 0.28), "CD45RA": _CD45RA},
    "other": {},
    "monocyte": {"CD14+CD19": (14_000, 0.15), "HLA-DR": (8_000, 0.20), "CD4": (1_500, 0.15)},
    "monocyte_cd16": {"CD14+CD19": (4_000, 0.20), "CD16": (5_000, 0.18), "HLA-DR": (9_000, 0.20)},
    "granulocyte": {"CD16": (12_000, 0.18)},
    "debris": {},
}
CLASSES: Final[dict[str, dict[str, dict[str, Level]]]] = {
    "count": _COUNT_CLASSES,
    "treg": _TREG_CLASSES,
    "effector": _EFFECTOR_CLASSES,
}
NOT_LYMPHOCYTES: Final = ("monocyte", "monocyte_cd16", "granulocyte", "debris", "bead")

# Markers that a share of a class carries: drawn cell by cell, levels replace those of the class.
POSITIVE: Final[dict[str, dict[str, Level]]] = {
    "count": {"CD16+CD56": (2_800, 0.18)},
    "treg": {"CD45RA": (11_000, 0.13), "FoxP3": (4_500, 0.14), "Ki-67": (5_000, 0.15)},
    "effector": {
        "CD56": (2_900, 0.17), "HLA-DR": (4_500, 0.15), "CD38": (5_000, 0.15), "CD57": (6_000, 0.18),
        "CCR7": _CCR7, "CD45RA": _CD45RA,
    },
}  # fmt: skip
