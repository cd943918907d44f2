"""Data generated here through another library or a direct maximisation: S1, S12, S13; direction of effects."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile import tl
from immunoprofile.datasets import il2_cmv_counts
from immunoprofile.tl import cox, hodges_lehmann, log_rank, signed_rank
from immunoprofile.tl.turnbull import turnbull
from tests.tl.test_clearance import clearance_table

INF = np.inf


@pytest.mark.parametrize("seed", range(5))
def test_signed_rank_equals_scipy_and_its_interval_inverts_it(seed: int) -> None:
    from scipy.stats import wilcoxon

    change = np.random.default_rng(seed).normal(0.4, 1, 11 + seed)
    test, estimate = signed_rank(change), hodges_lehmann(change)
    other = wilcoxon(change, method="exact")
    assert test.p_value == pytest.approx(other.pvalue)
    assert min(test.statistic, len(change) * (len(change) + 1) / 2 - test.statistic) == other.statistic
    assert wilcoxon(change - estimate.lower - 1e-7, method="exact").pvalue > 0.05
    assert wilcoxon(change - estimate.lower + 1e-7, method="exact").pvalue <= 0.05
    assert wilcoxon(change - estimate.upper + 1e-7, method="exact").pvalue > 0.05
    assert wilcoxon(change - estimate.upper - 1e-7, method="exact").pvalue <= 0.05


@pytest.mark.parametrize("seed", range(3))
def test_cox_and_log_rank_of_tied_weekly_times(seed: int) -> None:
    from statsmodels.duration.hazard_regression import PHReg
    from statsmodels.duration.survfunc import survdiff

    rng = np.random.default_rng(seed)
    arm, x = np.repeat([0.0, 1.0], 40), rng.normal(size=80)
    time = 7 * np.ceil(4 * np.exp(-0.6 * arm + 0.3 * x) * rng.weibull(1.5, 80))
    seen = time <= 56
    time = np.minimum(time, 56)
    own = cox(time, seen, {"arm": arm, "x": x})
    other = PHReg(time, np.column_stack([arm, x]), status=seen.astype(int), ties="efron").fit()
    assert own.coefficients == pytest.approx(other.params, abs=1e-4)
    assert own.standard_errors == pytest.approx(other.bse, abs=1e-4)
    # the arm clears earlier: more hazard, less time
    assert own.coefficients[0] > 0
    chi_squared, p_value = survdiff(time, seen.astype(int), arm)
    test = log_rank(time, seen, np.where(arm == 1, "IL2", "GCV"))
    assert (test.chi_squared, test.p_value) == pytest.approx((chi_squared, p_value))


@pytest.mark.parametrize("seed", range(3))
def test_turnbull_is_the_maximum_over_all_masses(seed: int) -> None:
    """Masses on every day of the grid (not on maximal intersections), by a general optimiser."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(seed)
    time = 20 * rng.weibull(1.4, 25)
    looks = np.sort(rng.choice(np.arange(3, 60, 3), (25, 6)), axis=1).astype(float)
    lower = np.where(looks < time[:, None], looks, 0).max(axis=1)
    upper = np.where(looks >= time[:, None], looks, INF).min(axis=1)
    fit = turnbull(lower, upper)
    ends = np.append(np.unique(looks), INF)
    starts = np.append(0.0, ends[:-1])
    holds = ((lower[:, None] <= starts) & (ends <= upper[:, None])).astype(float)

    def negative(masses: np.ndarray) -> float:
        return -float(np.log(np.maximum(holds @ masses, 1e-300)).sum())

    start = np.full(len(ends), 1 / len(ends))
    best = minimize(negative, start, jac=lambda m: -(1 / np.maximum(holds @ m, 1e-300)) @ holds, method="SLSQP",
                    bounds=[(0, 1)] * len(ends), options={"maxiter": 1000, "ftol": 1e-12},
                    constraints={"type": "eq", "fun": lambda m: m.sum() - 1, "jac": np.ones_like})  # fmt: skip
    assert fit.log_likelihood == pytest.approx(-best.fun, abs=1e-5)
    for day in ends[:-1]:
        if not np.isnan(fit.survival_at(day)):
            assert fit.survival_at(day) == pytest.approx(1 - best.x[ends <= day].sum(), abs=5e-3)


@pytest.mark.parametrize("key", ["compare", "compare_ranks", "mmrm", "compare_slopes", "clearance_interval",
                                 "clearance_exact"])  # fmt: skip
def test_the_other_reference_turns_the_sign(key: str) -> None:
    """IL-2 against ganciclovir and the reverse: estimates and limits change sign, ratios are inverted, p stays."""
    adata = il2_cmv_counts(subjects=30, seed=7)
    adata.uns["study"] = {"reference_arm": "GCV", "primary_visit": "D14"}
    adata.uns["clearance"] = clearance_table(adata, ratio=0.4)
    options = {} if key.startswith("clearance") else {"populations": ["treg"]}
    found = {}
    for reference in ("GCV", "IL2_GCV"):
        getattr(tl, key)(adata, reference=reference, **options)
        table = adata.uns[key]
        found[reference] = table[table["effect_kind"].str.contains("ratio") & table["contrast"].str.contains(" - ")]
    one, other = (table.reset_index(drop=True) for table in found.values())
    assert len(one) == len(other) > 0
    assert one["p_value"].to_numpy(float) == pytest.approx(other["p_value"].to_numpy(float), rel=1e-3, nan_ok=True)
    for own, turned in (("estimate", "estimate"), ("lower", "upper"), ("upper", "lower")):
        mirrored = -other[turned].to_numpy(float)
        assert one[own].to_numpy(float) == pytest.approx(mirrored, abs=2e-4, nan_ok=True)
        back = np.log(one[f"effect_{own}".replace("effect_estimate", "effect")].to_numpy(float))
        scale = np.where(one["scale"].eq("log2"), np.log(2), 1.0)
        assert back == pytest.approx(scale * one[own].to_numpy(float), abs=1e-9, nan_ok=True)
    # IL-2 raises Treg in the synthetic trial; the table of clearance was made with a time ratio of 0.4
    wanted = {"clearance_interval": -1, "clearance_exact": 1}.get(key, 1)
    if key != "compare_slopes":
        assert (np.sign(one["estimate"]) == wanted).all()
