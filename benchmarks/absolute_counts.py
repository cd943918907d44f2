"""Do 95 % intervals of cells/uL cover? Bridged counts under pipetting error, bead loss and error of the blood count.

python -m benchmarks.absolute_counts [REPLICATES]
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from immunoprofile.pp.concentration import (
    CV_BEADS,
    CV_BLOOD_COUNT,
    CV_PIPETTING,
    Concentration,
    bead_concentration,
    bridge,
    dual_platform,
    volumetric_concentration,
)

PER_TUBE, VOLUME, CERTIFICATE = 49_650.0, 50.0, 0.01
CASES = (
    # cells/uL of the parent, share of it, beads counted (or lymphocytes), parent events in the other tube
    ("Treg, 13/uL", 260.0, 0.05, 12_000, 5_000),
    ("Treg, 500 CD4 in the tube", 260.0, 0.05, 1_000, 500),
    ("CD56bright NK, 8/uL", 90.0, 0.09, 5_000, 1_000),
    ("naive CD8, 250/uL", 500.0, 0.5, 20_000, 20_000),
)


def beads(
    rng: np.random.Generator, n: int, parent: float, share: float, counted: int, other: int, *, loss: float
) -> Concentration:
    """Beads in the count tube: volume, beads of the lot, beads lost (0 to ``loss``), counting; then the bridge."""
    part = counted / PER_TUBE
    volume = VOLUME * np.exp(CV_PIPETTING * rng.standard_normal(n))
    there = PER_TUBE * (1 + CERTIFICATE * rng.standard_normal(n)) * (1 - rng.uniform(0, loss, n))
    anchor = bead_concentration(
        rng.poisson(parent * volume * part), rng.poisson(there * part), beads_per_tube=PER_TUBE, volume_ul=VOLUME,
        cv_beads=CV_BEADS,
    )  # fmt: skip
    return bridge(anchor, rng.binomial(other, share, n), np.full(n, other))


def volumetric(
    rng: np.random.Generator, n: int, parent: float, share: float, counted: int, other: int
) -> Concentration:
    """Drawn volume with the error of pipetting."""
    acquired, dilution = counted / PER_TUBE * 500, 10.0
    error = np.exp(CV_PIPETTING * rng.standard_normal(n))
    anchor = volumetric_concentration(rng.poisson(parent * acquired / dilution * error), acquired, dilution=dilution)
    return bridge(anchor, rng.binomial(other, share, n), np.full(n, other))


def blood_count(
    rng: np.random.Generator, n: int, parent: float, share: float, counted: int, other: int
) -> Concentration:
    """Lymphocytes of the analyser x share of the parent in the count tube, then the bridge."""
    alc = 850.0
    measured = alc * np.exp(CV_BLOOD_COUNT * rng.standard_normal(n))
    anchor = dual_platform(
        rng.binomial(counted, parent / alc, n), np.full(n, counted), alc=measured, cv_analyser=CV_BLOOD_COUNT
    )
    return bridge(anchor, rng.binomial(other, share, n), np.full(n, other))


def coverage(found: Concentration, truth: float) -> float:
    """Share of the intervals that hold the truth."""
    held: NDArray[np.bool_] = (found.lower <= truth) & (truth <= found.upper)
    return float(held.mean())


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    print("| population | beads, no loss | beads, loss up to 3 % | beads, loss up to 5 % | volumetric | blood count |")
    print("|---|---|---|---|---|---|")
    for name, parent, share, counted, other in CASES:
        rng, truth = np.random.default_rng(1), parent * share
        case = (parent, share, counted, other)
        values = [coverage(beads(rng, n, *case, loss=loss), truth) for loss in (0.0, 0.03, 0.05)]
        values += [coverage(volumetric(rng, n, *case), truth), coverage(blood_count(rng, n, *case), truth)]
        print(f"| {name} | {' | '.join(f'{value:.1%}' for value in values)} |")


if __name__ == "__main__":
    main()
