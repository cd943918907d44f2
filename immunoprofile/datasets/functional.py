"""Functional assays of the synthetic trial: NK cytotoxicity by flow, and CMV-specific CD8 T cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from immunoprofile.datasets import parameters as par
from immunoprofile.datasets.cohort import Cohort, generator
from immunoprofile.datasets.people import Person
from immunoprofile.datasets.rows import Row, minute

NOT_DONE_SHARE: Final = 0.12
"""Share of the draws after baseline, other than the primary visit, without a functional assay: it needs live cells
within hours."""
_ALWAYS: Final = ("BL", "D14")


@dataclass(frozen=True)
class Readout:
    """An assay: the quantity behind it (share of its parent), how it is named, and cells counted in it."""

    quantity: str
    assay: str
    population: str
    stimulus: str
    readout: str
    cells: int
    decimals: int


READOUTS: Final = (
    Readout("nk_cd107a", "degranulation", "nk", "K562", "CD107a", 3_000, 1),
    Readout("cd8_cmv", "ICS", "cd8", "CMV pp65 peptides", "IFN-g", 20_000, 2),
)
"""Numbers of cells are own choices, as all effects on these readouts (`parameters`)."""


def functional(persons: list[Person], cohort: Cohort, held: list[tuple[int, str]]) -> Iterator[Row]:
    """Results at the visits held (subject row, visit): the true share with the noise of counting cells."""
    for i, visit in held:
        j = par.VISIT_NAMES.index(visit)
        rng = generator(cohort.seed, 16, i, j)
        done = rng.random() >= NOT_DONE_SHARE or visit in _ALWAYS
        for one in READOUTS:
            positive = rng.binomial(one.cells, float(cohort.share[one.quantity][i, j]))
            if done:
                yield {
                    "usubjid": persons[i].usubjid, "visit": visit, "collected_dtc": minute(persons[i].draws[j]),
                    "assay": one.assay, "population": one.population, "stimulus": one.stimulus,
                    "readout": one.readout, "value": round(100 * float(positive) / one.cells, one.decimals),
                    "unit": "%",
                }  # fmt: skip
