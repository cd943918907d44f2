"""Arms compared under moved cuts: by hand, as an envelope, never surer, and never silent."""

from __future__ import annotations

import math

import anndata
import numpy as np
import pytest

from immunoprofile import tl
from immunoprofile.datasets import il2_cmv_counts
from immunoprofile.errors import AnalysisError
from immunoprofile.gate.cut_shifts import COLUMNS, RUNS, signs
from immunoprofile.schema import VISIT_GATINGS
from immunoprofile.tl.gatings import pool_gatings

SIGNS = signs(COLUMNS[0]).astype(float)


def trial(effect: float = 0.0, *, treated: float | None = None, subjects: int = 20) -> anndata.AnnData:
    """Treg move by exp(+-effect) in every sample, by exp(+-treated) in treated ones after the baseline."""
    adata = il2_cmv_counts(subjects=subjects, seed=7)
    adata.uns["study"] = {"count_tube": "count", "reference_arm": "GCV", "primary_visit": "D14"}
    layers = ("counts", "parent_counts", "anchor_counts")
    for name, layer in zip(VISIT_GATINGS, layers, strict=True):
        source = adata.layers[layer if layer in adata.layers else "parent_counts"]
        adata.obsm[name] = np.broadcast_to(np.asarray(source)[..., None], (*adata.shape, RUNS)).copy()
    size = np.full(adata.n_obs, effect)
    if treated is not None:
        after = (adata.obs["arm"].astype(str) == "IL2_GCV") & ~adata.obs["baseline_flag"].astype(bool)
        size[after.to_numpy()] = treated
    treg = adata.var_names.get_loc("treg")
    adata.obsm["gate_counts"][:, treg] *= np.exp(size[:, None] * SIGNS)
    return adata


def both(adata: anndata.AnnData, **options: object) -> tuple[dict, dict]:
    tl.compare(adata, populations=["treg"], measure="pct_parent", **options)
    tl.compare_gatings(adata, populations=["treg"], measure="pct_parent", **options)
    return adata.uns["compare"].iloc[0].to_dict(), adata.uns["compare_gatings"].iloc[0].to_dict()


def test_without_a_shift_it_is_the_main_analysis():
    plain, moved = both(trial())
    for name in ("estimate", "lower", "upper", "p_value", "n", "n_reference", "median_visit", "residual_df"):
        if name in plain:
            assert moved[name] == pytest.approx(plain[name], rel=1e-9)
    assert "0.0% of the variance" in moved["note"]


def test_a_shift_that_moves_all_samples_alike_cancels_on_the_log_scale():
    """Every percentage times one factor: the change of a subject stays, and with it the effect."""
    plain, moved = both(trial(0.2), scale="log2")
    assert moved["estimate"] == plain["estimate"]
    assert moved["upper"] - moved["lower"] == pytest.approx(plain["upper"] - plain["lower"], rel=1e-9)


def test_what_moves_the_treated_more_widens_the_interval_by_its_square():
    """Values after treatment move by +-0.2 more than all others, and so does the difference of the arms."""
    plain, moved = both(trial(0.1, treated=0.3), scale="log2")
    shift = 0.2 / math.log(2)
    assert moved["estimate"] == plain["estimate"]
    ratio = (moved["upper"] - moved["lower"]) / (plain["upper"] - plain["lower"])
    df = int(plain["note"].rsplit("residual df ", 1)[1])
    from scipy.stats import t

    error = (plain["upper"] - plain["estimate"]) / t.ppf(0.975, df)
    assert ratio == pytest.approx(math.sqrt(1 + (shift / error) ** 2), rel=1e-6)
    low, high = 2 ** (plain["estimate"] - shift), 2 ** (plain["estimate"] + shift)
    assert f"fold change of the gatings {low:.3g} to {high:.3g}" in moved["note"]
    assert f"{shift**2 / (shift**2 + error**2):.1%} of the variance" in moved["note"]


@pytest.mark.parametrize("seed", range(5))
def test_it_is_never_surer_than_the_gates_as_placed(seed):
    rng = np.random.default_rng(seed)
    estimates, errors = rng.normal(0.3, 0.2, RUNS), rng.uniform(0.05, 0.4, RUNS)
    found, between = pool_gatings(0.3, 0.2, 7, estimates, errors)
    assert found.standard_error >= 0.2
    assert (found.estimate, found.df) == (0.3, 7)
    within = max(0.04, float(np.mean(errors**2)))
    by_hand = within + float(np.mean((estimates - 0.3) ** 2))
    assert found.standard_error**2 == pytest.approx(by_hand)
    assert between == pytest.approx(1 - within / by_hand)


def test_what_is_not_known_is_refused_by_name():
    adata = trial(0.1)
    row = int(np.flatnonzero(adata.obs["visit"].astype(str) == "D14")[3])
    adata.obsm["gate_counts"][row, adata.var_names.get_loc("treg")] = np.nan
    _, moved = both(adata)
    assert moved["status"] == "NOT_ESTIMABLE"
    assert "not known in 1 of" in moved["note"]
    plain = il2_cmv_counts(subjects=20, seed=7)
    plain.uns["study"] = {"count_tube": "count", "reference_arm": "GCV", "primary_visit": "D14"}
    with pytest.raises(AnalysisError, match="no counts under moved cuts"):
        tl.compare_gatings(plain, populations=["treg"])
    tl.run_plan(plain)
    (row,) = plain.uns["compare_gatings"].to_dict("records")
    assert row["status"] == "NOT_ESTIMABLE"
    assert "refused" in row["note"]
    assert plain.uns["plan_runs"].set_index("key").loc["compare_gatings", "role"] == "sensitivity"
