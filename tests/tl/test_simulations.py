"""The small version of ``python -m benchmarks.statistics``: 40 trials show a gross error of type I or of coverage."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from benchmarks.campaign import SITUATIONS, block
from benchmarks.statistics import SCENARIOS, Scenario, simulate

REPLICATES = 40


def quick(scenario: Scenario) -> bool:
    """The censored model of a whole trial takes a tenth of a second; one scenario of it is enough here."""
    return scenario.analysis != "S10" or scenario.name == "shared course, no slope"


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if quick(s)], ids=lambda s: f"{s.analysis}: {s.name}")
def test_rejections_and_coverage(scenario: Scenario) -> None:
    """Bounds that a right analysis passes in 999 of 1,000 runs; the seeds are fixed."""
    row = simulate(scenario, REPLICATES, first_seed=10_000)
    assert row["no_estimate"] == 0
    assert row["covered"] * REPLICATES >= binom.ppf(0.001, REPLICATES, 0.95)
    if scenario.null:
        assert row["rejected"] * REPLICATES <= binom.ppf(0.999, REPLICATES, 0.05)


CELLS = [("S1", "f", 15), ("S3", "a", 5), ("S5", "e", 10), ("S8", "b", 10), ("S10", "c", 5), ("S10", "d", 15),
         ("S13", "a", 5), ("S13", "e", 5)]  # fmt: skip


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell}")
def test_campaign_of_awkward_trials(cell: tuple[str, str, int]) -> None:
    """The small version of ``python -m benchmarks.campaign``."""
    analysis, letter, size = cell
    situation = next(one for one in SITUATIONS if one.letter == letter)
    counts = block(analysis, situation, size, 10_000, 30)
    assert counts["with_p"] >= 20
    assert counts["rejected"] <= binom.ppf(0.999, counts["with_p"], 0.05)
    assert counts["covered"] >= binom.ppf(0.001, counts["with_interval"], 0.95)


def test_shared_course_without_adjustment_is_found_out() -> None:
    """The same trials without visit in the model: the check would notice."""
    import numpy as np

    from immunoprofile.tl import repeated_correlation

    rejected = 0
    for seed in range(REPLICATES):
        rng = np.random.default_rng(seed)
        subject, visit = np.repeat(np.arange(40), 5), np.tile(np.arange(5), 40)
        x, y = rng.standard_normal((2, 200)) + np.stack([visit, -visit])
        rejected += repeated_correlation(subject, x, y).p_value < 0.05
    assert rejected > binom.ppf(0.999, REPLICATES, 0.05)
