"""S20: simulated power against the noncentral t distribution."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from immunoprofile import tl
from immunoprofile.errors import AnalysisError
from immunoprofile.schema import POWER_COLUMNS

REPLICATES = 150


def exact_power(difference: float, n: int) -> float:
    """Power of the ANCOVA of the default scenario: noncentral t given the baselines, averaged over their imbalance."""
    from scipy.stats import nct, t

    groups = 0.5 * np.random.default_rng(0).standard_normal((4000, 2, n))
    gap = groups[:, 1].mean(axis=1) - groups[:, 0].mean(axis=1)
    within = ((groups - groups.mean(axis=2, keepdims=True)) ** 2).sum(axis=(1, 2))
    shift = difference / (0.55 * np.sqrt(2 / n + gap**2 / within))
    df = 2 * n - 3
    limit = t.ppf(0.975, df)
    return float((nct.sf(limit, df, shift) + nct.cdf(-limit, df, shift)).mean())


@pytest.mark.parametrize(("difference", "n"), [(0.5, 5), (0.5, 20), (0.8, 10), (1.0, 5)])
def test_power_of_the_ancova(difference: float, n: int) -> None:
    expected = exact_power(difference, n)
    row = tl.power(tl.AncovaScenario(difference), n_per_arm=[n], replicates=REPLICATES, seed=3).iloc[0]
    bound = 4 * math.sqrt(expected * (1 - expected) / REPLICATES)
    assert abs(row["power"] - expected) < bound
    assert row["power_mc_se"] == pytest.approx(math.sqrt(row["power"] * (1 - row["power"]) / REPLICATES))
    assert row["coverage"] > 0.88


def test_no_effect_is_found_in_about_five_per_cent() -> None:
    row = tl.power(tl.AncovaScenario(0.0), n_per_arm=[10], replicates=400, seed=1).iloc[0]
    assert abs(row["power"] - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 400)


def test_formulas_of_the_reference_table() -> None:
    assert [tl.events_needed(ratio) for ratio in (1.5, 1.8, 2.0, 2.5, 3.0)] == [191, 91, 66, 38, 27]
    found = [tl.smallest_correlation(subjects, 5) for subjects in (10, 20, 50, 100)]
    assert found == pytest.approx([0.43, 0.31, 0.20, 0.14], abs=0.005)


def test_the_synthetic_trial_goes_through_compare() -> None:
    table = tl.power(tl.TrialScenario("treg"), n_per_arm=[2, 10], replicates=6, seed=2)
    assert tuple(table.columns) == POWER_COLUMNS
    # two per arm leave one residual degree of freedom: no answer, and no significance
    assert table.loc[0, ["not_estimable", "power"]].tolist() == [6, 0.0]
    assert (table.loc[1, "power"], table.loc[1, "not_estimable"]) == (1.0, 0)
    assert table.loc[1, "mean_estimate"] == pytest.approx(table.loc[1, "truth"], abs=0.25)
    assert np.isnan(table.loc[0, "coverage"])


def test_clearance_and_its_seed() -> None:
    scenario = tl.ClearanceScenario(0.5)
    done = []
    table = tl.power(scenario, n_per_arm=[10, 20], replicates=15, seed=5,
                     progress=lambda number, total: done.append((number, total)))  # fmt: skip
    assert done[-1] == (30, 30)
    assert len(done) == 30
    again = tl.power(scenario, n_per_arm=[20], replicates=15, seed=5)
    pd.testing.assert_series_equal(table.iloc[1], again.iloc[0], check_names=False)
    assert table["truth"].tolist() == pytest.approx([math.log(0.5)] * 2)
    assert table.loc[1, "power"] > 0.5
    assert "time_ratio 0.5" in table.loc[0, "scenario"]


def test_time_ratio_without_an_effect() -> None:
    replicates = 40
    row = tl.power(tl.ClearanceScenario(1.0), n_per_arm=[20], replicates=replicates, seed=11).iloc[0]
    bound = 4 * math.sqrt(0.05 * 0.95 / replicates)
    assert abs(row["power"] - 0.05) < bound
    assert abs(row["coverage"] - 0.95) < bound
    # interval and test are the two sides of one likelihood ratio
    assert row["power"] == pytest.approx(1 - row["coverage"])


def test_wrong_arguments_raise() -> None:
    with pytest.raises(AnalysisError, match="2 subjects at least"):
        tl.power(tl.AncovaScenario(0.5), n_per_arm=[1])
    with pytest.raises(AnalysisError, match="alpha between 0 and 1"):
        tl.power(tl.AncovaScenario(0.5), alpha=0)
    with pytest.raises(AnalysisError, match="not 1"):
        tl.events_needed(1.0)
