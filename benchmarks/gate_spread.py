"""What moved cuts cost, and what they do to the verdict "more than noise" where the truth is known.

    python -m benchmarks.gate_spread verdicts [TRIALS]
    python -m benchmarks.gate_spread cost [EVENTS]

``verdicts``: two draws of one subject, without a change (how often is it called more than noise?) and with a twofold
one (how often is it found?). Two populations meet on a scale and a cut divides them; a cut in a gap, and one on the
shoulder of a tenfold larger population. The cut lies off by 1 % of the scale (SD), either the same at both visits
(frozen) or at each visit by itself. Judged as a page of a visit does, and without the part of the gate beside.

``cost``: CPU time of `shifted_counts` beside that of reading, gating and checking a file, on simulated tubes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from scipy.stats import norm

import immunoprofile as ip
from immunoprofile.datasets.composition import control_compositions
from immunoprofile.datasets.cytometer import acquire
from immunoprofile.datasets.fcs_writer import write_fcs
from immunoprofile.datasets.panels import PANELS
from immunoprofile.gate.cut_shifts import COLUMNS, signs
from immunoprofile.gate.evaluate import gate_sample
from immunoprofile.gate.methods import CUT_SHIFT
from immunoprofile.gate.shifted_counts import shifted_counts
from immunoprofile.pp.gate_spread import change_spread, log_shifts
from immunoprofile.quality import assess
from immunoprofile.report import noise

UP = signs(COLUMNS[0]) > 0


@dataclass(frozen=True)
class Situation:
    """A population, its neighbour and the cut between them, on a scale of length 1.

    Attributes
    ----------
    centre, width, below, below_width
        Places and SDs of both populations.
    cut
        Where the cut is meant to be.
    """

    name: str
    centre: float
    width: float
    below: float
    below_width: float
    cut: float

    def above(self, share: np.ndarray, cut: np.ndarray) -> np.ndarray:
        """Share of the parent above a cut; ``share`` of it is the population."""
        own = norm.sf(cut, self.centre, self.width)
        return share * own + (1 - share) * norm.sf(cut, self.below, self.below_width)


SITUATIONS = (
    Situation("cut in a gap", 0.65, 0.05, 0.35, 0.05, 0.50),
    Situation("cut on a shoulder", 0.62, 0.05, 0.50, 0.05, 0.60),
)


def rates(
    situation: Situation, *, fold: float, events: int, cv: float, own: bool, trials: int, seed: int = 1
) -> tuple[float, float, float]:
    """Shares of trials called more than noise: with the part of the gate, and without; and the median of that part.

    Parameters
    ----------
    situation
        Where the cells lie.
    fold
        True change of the share.
    events
        Expected events of the population at the first visit; its share of the parent is 5 % then.
    cv
        Biology and assay of one visit: CV of the true share, and what the verdict is told.
    own
        Whether each visit has its own error of the cut.
    trials, seed
        How many, and of which random numbers.
    """
    rng = np.random.default_rng(seed)
    off = CUT_SHIFT * rng.standard_normal((2, trials))
    if not own:
        off[1] = off[0]
    shares = 0.05 * np.exp(np.sqrt(np.log(1 + cv * cv)) * rng.standard_normal((2, trials)))
    shares[1] *= fold
    used = situation.cut + off
    parent = events / 0.05
    # events between the cut as used and as moved, from the tail on
    edges = [situation.above(shares, used + step) for step in (CUT_SHIFT, 0.0, -CUT_SHIFT)]
    parts = np.stack([edges[0], edges[1] - edges[0], edges[2] - edges[1], 1 - edges[2]], axis=-1)
    counted = np.cumsum(rng.multinomial(int(parent), parts)[..., :3], axis=-1)
    high, plain, low = (counted[..., n] for n in range(3))
    logs = log_shifts(np.where(UP, high[..., None], low[..., None]), plain)
    gate = change_spread(logs[1], logs[0], frozen=not own)
    values = np.maximum(plain, 0.5) / parent
    variances = np.maximum(1 / np.maximum(plain, 0.5) - 1 / parent, 0.0)
    called = np.zeros(2)
    for n in range(trials):
        for place, gate_sd in enumerate((float(gate[n]), 0.0)):
            found = noise.judge(values[1, n], values[0, n], variance_now=variances[1, n],
                                variance_then=variances[0, n], cv=cv, gate_sd=gate_sd)  # fmt: skip
            called[place] += found.level == "MORE_THAN_NOISE"
    with_gate, without = called / trials
    return float(with_gate), float(without), float(np.median(gate))


def verdicts(trials: int) -> None:
    """Print the table."""
    print(f"{trials} trials each; more than noise, per cent: with the part of the gate (without it)")
    print("| cut | error of the cut | CV | events | gate, SD | no change | twofold |")
    print("|---|---|---|---|---|---|---|")
    for situation in SITUATIONS:
        for own in (False, True):
            for cv in (0.05, 0.10, 0.15, 0.20):
                for events in (100, 500):
                    known = {"events": events, "cv": cv, "own": own, "trials": trials}
                    same = rates(situation, fold=1.0, **known)
                    twice = rates(situation, fold=2.0, **known)
                    words = "each visit its own" if own else "the same"
                    print(f"| {situation.name} | {words} | {cv:.2f} | {events} | {same[2]:.3f} | {100 * same[0]:.1f} "
                          f"({100 * same[1]:.1f}) | {100 * twice[0]:.1f} ({100 * twice[1]:.1f}) |")  # fmt: skip


def cost(events: int) -> None:
    """Print CPU times, the least of five."""
    gates = ip.gate.load(ip.gate.shipped_folder() / "placed")
    print(f"{events} events; CPU ms, least of five: read, gate, check | moved cuts (share)")
    with tempfile.TemporaryDirectory() as folder:
        for tube, strategy in gates.items():
            rng = np.random.default_rng(1)
            got = acquire(PANELS[tube], control_compositions()[tube], events, rng=rng)
            path = Path(folder) / f"{tube}.fcs"
            write_fcs(path, got.data, PANELS[tube], begin=datetime(2020, 1, 1))
            plain, moved = [], []
            for _ in range(6):
                start = time.process_time()
                gated = gate_sample(ip.read_fcs(path), strategy)
                gated.medians()
                assess(gated.sample, comp=gated.spillover, scales={})
                middle = time.process_time()
                shifted_counts(gated)
                plain.append(middle - start)
                moved.append(time.process_time() - middle)
            first, second = (1000 * min(times[1:]) for times in (plain, moved))
            print(f"{tube}: {first:.0f} | {second:.0f} ({100 * second / first:.0f} %)")


if __name__ == "__main__":
    task, size = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    if task == "verdicts":
        verdicts(size or 4000)
    elif task == "cost":
        cost(size or 20_000)
    else:
        raise SystemExit(__doc__)
