"""Does the interval of the arm effect cover the truth, and does it reject without an effect? 500 trials each."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile import tl
from immunoprofile.datasets import il2_cmv_counts

COHORTS = 500
MODELS = 100
"""Trials through the mixed model for repeated measures, which takes longer."""


def within_two_standard_errors(errors: list[float]) -> None:
    """The mean estimate is the truth but for two Monte-Carlo standard errors; the seeds are fixed."""
    assert abs(np.mean(errors)) <= 2 * np.std(errors, ddof=1) / np.sqrt(len(errors))


@pytest.mark.parametrize("effect", ["il2", "none"])
def test_interval_of_the_arm_effect_on_treg(effect: str) -> None:
    covered = rejected = 0
    errors = []
    for seed in range(COHORTS):
        visits = il2_cmv_counts(subjects=20, visits=2, seed=seed, effect=effect)
        truth = visits.uns["truth"].set_index(["population", "measure", "visit"]).loc[("treg", "pct_parent", "D14")]
        assert truth["scale"] == "logit"
        tl.compare(visits, populations=["treg"], measure="pct_parent", visit="D14", reference="GCV")
        row = visits.uns["compare"].iloc[0]
        covered += row["lower"] <= truth["effect"] <= row["upper"]
        rejected += row["p_value"] < 0.05
        errors.append(row["estimate"] - truth["effect"])
    assert 0.93 <= covered / COHORTS <= 0.97
    within_two_standard_errors(errors)
    if effect == "none":
        assert 0.03 <= rejected / COHORTS <= 0.07
    else:
        # Treg double in one arm: 10 against 10 subjects find it nearly always
        assert rejected / COHORTS > 0.95


@pytest.mark.parametrize("effect", ["il2", "none"])
def test_mixed_model_recovers_the_effect_at_every_visit(effect: str) -> None:
    """Twenty an arm, one visit in ten missed after baseline: the mean estimate of each visit."""
    errors: dict[str, list[float]] = {}
    for seed in range(MODELS):
        visits = il2_cmv_counts(subjects=40, visits=5, seed=seed, effect=effect)
        truth = visits.uns["truth"].set_index(["population", "measure", "visit"])["effect"]
        rng = np.random.default_rng([seed, 1])
        kept = (rng.random(visits.n_obs) > 0.1) | visits.obs["baseline_flag"].to_numpy(dtype=bool)
        visits = visits[kept].copy()
        tl.mmrm(visits, populations=["treg"], measure="pct_parent", reference="GCV")
        table = visits.uns["mmrm"].set_index("visit").drop(index="all")
        assert (table["method_id"] == "S5").all()
        for visit, estimate in table["estimate"].items():
            errors.setdefault(visit, []).append(estimate - truth["treg", "pct_parent", visit])
    assert sorted(errors) == ["D14", "D28", "D7", "W8"]
    # four visits are looked at: 2 standard errors for the primary one, 2.5 (Bonferroni) for the others
    within_two_standard_errors(errors["D14"])
    for own in errors.values():
        assert abs(np.mean(own)) <= 2.5 * np.std(own, ddof=1) / np.sqrt(len(own))
