"""Type-I error, coverage and power of the analyses of times to an event, and the reference table of power.

One command, no timing: ``python benchmarks/event_statistics.py [--replicates N] [--seed K] [--out FILE]``. Prints the
table of ``immunoprofile.tl.power`` for every scenario, with Monte-Carlo standard errors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from immunoprofile import tl

REFERENCE = {0.5: (0.23, 0.43, 0.67, 0.81, 0.88), 0.8: (0.46, 0.87, 0.96, 0.99, 1.00), 1.0: (0.64, 0.96, 1.0, 1.0, 1.0)}
"""Power of the ANCOVA for 5, 10, 15, 20, 25 subjects per arm (2,000 replicates)."""

SCENARIOS = {
    "S13 no effect, likelihood ratio": (tl.ClearanceScenario(1.0), (10, 20)),
    "S13 no effect, permutation": (tl.ClearanceScenario(1.0, permutations=199), (10, 20)),
    "S13 time ratio 0.6": (tl.ClearanceScenario(0.6), (10, 20)),
}


def measure(replicates: int, seed: int, *, names: Sequence[str] = tuple(SCENARIOS)) -> pd.DataFrame:
    """Rows of ``tl.power`` of the scenarios, with the name of each."""
    parts = []
    for name in names:
        scenario, numbers = SCENARIOS[name]
        with tqdm(total=len(numbers) * replicates, desc=name, disable=None) as bar:
            table = tl.power(scenario, n_per_arm=numbers, replicates=replicates, seed=seed,
                             progress=lambda _done, _total, bar=bar: bar.update())  # fmt: skip
        parts.append(table.assign(analysis=name))
    return pd.concat(parts, ignore_index=True)


def reference_power(replicates: int, seed: int) -> pd.DataFrame:
    """Power of the ANCOVA beside the reference values, and how many standard errors lie between."""
    parts = []
    for difference, expected in REFERENCE.items():
        table = tl.power(tl.AncovaScenario(difference), replicates=replicates, seed=seed)
        parts.append(table.assign(expected=expected))
    table = pd.concat(parts, ignore_index=True)
    middle = table["expected"].clip(0.002, 0.998)
    error = (middle * (1 - middle) * (1 / table["replicates"] + 1 / 2000)) ** 0.5
    return table.assign(analysis="S3 reference", distance_se=(table["power"] - table["expected"]) / error)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=500)
    parser.add_argument("--seed", type=int, default=2020)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    table = pd.concat(
        [measure(given.replicates, given.seed), reference_power(max(given.replicates, 1000), given.seed)],
        ignore_index=True,
    )
    shown = ["analysis", "n_per_arm", "replicates", "not_estimable", "power", "power_mc_se", "truth", "mean_estimate",
             "coverage", "coverage_mc_se", "expected", "distance_se"]  # fmt: skip
    print(table[shown].round(4).to_string(index=False))
    if given.out:
        table.to_csv(given.out, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
