"""Does the interval of the arm effect cover the truth, and does it reject without an effect? 500 trials each."""

from __future__ import annotations

import pytest

from immunoprofile import tl
from immunoprofile.datasets import il2_cmv_counts

COHORTS = 500


@pytest.mark.parametrize("effect", ["il2", "none"])
def test_interval_of_the_arm_effect_on_treg(effect: str) -> None:
    covered = rejected = 0
    for seed in range(COHORTS):
        visits = il2_cmv_counts(subjects=20, visits=2, seed=seed, effect=effect)
        truth = visits.uns["truth"].set_index(["population", "measure", "visit"]).loc[("treg", "pct_parent", "D14")]
        assert truth["scale"] == "logit"
        tl.compare(visits, populations=["treg"], measure="pct_parent", visit="D14", reference="GCV")
        row = visits.uns["compare"].iloc[0]
        covered += row["lower"] <= truth["effect"] <= row["upper"]
        rejected += row["p_value"] < 0.05
    assert 0.93 <= covered / COHORTS <= 0.97
    if effect == "none":
        assert 0.03 <= rejected / COHORTS <= 0.07
    else:
        # Treg double in one arm: 10 against 10 subjects find it nearly always
        assert rejected / COHORTS > 0.95
