"""The made-up trial: visits, populations, the size of the effects, and who its patients are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from immunoprofile.io.cmv_assay import Assay
from immunoprofile.io.config import Arm, Endpoint, ScheduledVisit, StudyConfig, Tube
from immunoprofile.resources import populations

FLOW = {"BL": 1, "D7": 8, "D14": 15, "D28": 29, "W8": 57}
# id: (parent, tube, markers, anchor)
POPULATIONS = {
    "lymphocytes": ("leukocytes", "count", "CD45hi SSClo", "lymphocytes"),
    "t": ("lymphocytes", "count", "CD3+", "t"),
    "b": ("lymphocytes", "count", "CD3- CD19+", "b"),
    "cd4": ("t", "count", "CD4+ CD8-", "cd4"),
    "cd8": ("t", "count", "CD8+ CD4-", "cd8"),
    "nk": ("lymphocytes", "count", "CD3- CD19- CD16/56+", "nk"),
    "treg": ("cd4", "treg", "CD25hi CD127lo", "cd4"),
    "treg_foxp3": ("treg", "treg", "FoxP3+", "cd4"),
    "nk_bright": ("nk", "effector", "CD56bright CD16-/lo", "nk"),
    "cd8_act": ("cd8", "effector", "HLA-DR+ CD38+", "cd8"),
    "cd8_naive": ("cd8", "effector", "CCR7+ CD45RA+", "cd8"),
    "cd8_cm": ("cd8", "effector", "CCR7+ CD45RA-", "cd8"),
    "cd8_em": ("cd8", "effector", "CCR7- CD45RA-", "cd8"),
    "cd8_temra": ("cd8", "effector", "CCR7- CD45RA+", "cd8"),
}
DISPLAY = {name: populations()[name].display for name in POPULATIONS}
TREATED = {"treg": 2.0, "nk": 1.7, "nk_bright": 2.5, "cd8": 1.25, "cd4": 1.15, "cd8_act": 0.8}
SHAPE = {"BL": 0.0, "D7": 0.8, "D14": 1.0, "D28": 0.8, "W8": 0.25}


@dataclass(frozen=True)
class Patient:
    """One of ten; the warts of a trial happen to some of them, by number."""

    number: int
    subject: str

    @property
    def arm(self) -> str:
        return "IL2_GCV" if self.number % 2 == 0 else "GCV"

    def day(self, offset: int) -> str:
        """ISO date so many days after the first IL-2 dose (or randomisation)."""
        return (date(2025, 3, 3) + timedelta(days=9 * self.number + offset)).isoformat()

    def missed(self, visit: str) -> bool:
        return self.number == 2 and visit == "D28"

    def failed_tube(self, visit: str) -> str:
        """Tube with a clog, empty for none."""
        return "treg" if self.number == 1 and visit == "D14" else ""

    def truncated(self, visit: str) -> bool:
        """The file of the effector tube is cut off."""
        return self.number == 3 and visit == "D7"

    def no_beads(self, visit: str) -> bool:
        return self.number == 4 and visit == "D14"


def make_config(*, synthetic: bool = True) -> StudyConfig:
    return StudyConfig(
        study_id="IL2CMV",
        title="Low-dose IL-2 and ganciclovir in CMV infection",
        registry_id="NCT04225780",
        synthetic=synthetic,
        arms=(Arm(code="GCV", label="Ganciclovir"), Arm(code="IL2_GCV", label="Low-dose IL-2 + ganciclovir")),
        reference_arm="GCV",
        visits=(
            ScheduledVisit(visit="SCR", visitnum=0, day=-5, flow=False),
            *(
                ScheduledVisit(visit=name, visitnum=number, day=day, baseline=name == "BL")
                for number, (name, day) in enumerate(FLOW.items(), 1)
            ),
        ),
        primary_visit="D14",
        endpoints=(
            Endpoint(population="treg", measure="pct_parent", label="Treg, % of CD4", primary=True),
            Endpoint(population="nk", measure="abs", label="NK cells/uL"),
            Endpoint(population="cd8", measure="abs", label="CD8 cells/uL"),
        ),
        tubes={
            "count": Tube(panel="count-v1", gates="count", staining_protocol="lyse_no_wash", counts=True),
            "treg": Tube(panel="treg-v1", gates="treg", staining_protocol="permeabilised"),
            "effector": Tube(panel="effector-v1", gates="effector", staining_protocol="washed"),
        },
        assays={"cobas": Assay(name="cobas CMV", unit="IU/mL", specimen="plasma", lod=91, lloq=137, uloq=9.1e6)},
    )
