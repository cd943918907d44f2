"""The count-level model against the sizes and effects that it was set to."""

from __future__ import annotations

import time

import numpy as np
import pytest

from immunoprofile import schema
from immunoprofile.datasets import il2_cmv_counts
from immunoprofile.datasets import parameters as par
from immunoprofile.datasets.cohort import Cohort, randomise, simulate_cohort, true_effects
from immunoprofile.get import layer_names

N = 2000
D14 = par.VISIT_NAMES.index("D14")

# baseline median, SD, unit of SD, IL2_GCV at D14, GCV at D14
CONCENTRATIONS = {
    "lymphocytes": (850, 0.45, 1.35, 1.10),
    "cd4": (260, 0.55, 1.15, 1.05),
    "cd8": (330, 0.50, 1.25, 1.10),
    "nk": (90, 0.60, 1.7, 1.15),
}
PROPORTIONS = {
    "treg": (5.0, 2.0, 1.0),
    "treg_naive": (25, 1.3, 1.0),
    "nk_bright": (9, 2.5, 1.0),
    "cd8_act": (18, 0.8, 0.8),
}
KI67_AT_D7 = {"treg_ki67": (12, 2.5), "nk_ki67": (4, 2.0), "cd8_ki67": (4, 1.4)}


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return simulate_cohort(N, seed=1)


@pytest.fixture(scope="module")
def null() -> Cohort:
    return simulate_cohort(N, seed=2, effect="none")


def _logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def _margin(values: np.ndarray) -> float:
    """Four standard errors of a median."""
    return 4 * 1.2533 * float(np.std(values)) / np.sqrt(len(values))


@pytest.mark.parametrize("name", CONCENTRATIONS)
def test_concentrations(cohort: Cohort, name: str) -> None:
    median, sd, il2, gcv = CONCENTRATIONS[name]
    logs = np.log(cohort.per_ul[name])
    assert np.median(logs[:, 0]) == pytest.approx(np.log(median), abs=_margin(logs[:, 0]))
    # random effect and the residual of one visit
    assert logs[:, 0].std() == pytest.approx(np.hypot(sd, 0.20), rel=0.08)
    change = logs[:, D14] - logs[:, 0]
    for arm, factor in ((par.TREATED, il2), (par.REFERENCE, gcv)):
        one = change[cohort.arm == arm]
        assert np.median(one) == pytest.approx(np.log(factor), abs=_margin(one))
        assert one.std() == pytest.approx(0.20 * np.sqrt(2), rel=0.10)


@pytest.mark.parametrize("name", PROPORTIONS)
def test_proportions(cohort: Cohort, name: str) -> None:
    percent, il2, gcv = PROPORTIONS[name]
    logits = _logit(cohort.share[name])
    base = np.log(percent / (100 - percent))
    assert np.median(logits[:, 0]) == pytest.approx(base, abs=_margin(logits[:, 0]))
    change = logits[:, D14] - logits[:, 0]
    for arm, factor in ((par.TREATED, il2), (par.REFERENCE, gcv)):
        one = change[cohort.arm == arm]
        expected = np.log(percent * factor / (100 - percent * factor)) - base
        assert np.median(one) == pytest.approx(expected, abs=_margin(one))


def test_ki67_peaks_at_d7(cohort: Cohort) -> None:
    d7 = par.VISIT_NAMES.index("D7")
    for name, (percent, factor) in KI67_AT_D7.items():
        logits = _logit(cohort.share[name][cohort.arm == par.TREATED])
        change = logits[:, d7] - logits[:, 0]
        expected = np.log(percent * factor / (100 - percent * factor)) - np.log(percent / (100 - percent))
        assert np.median(change) == pytest.approx(expected, abs=_margin(change))


def test_treg_peak_and_return(cohort: Cohort) -> None:
    """5 % to 10 % at D7 and D14; 1.2 times the baseline four weeks after the last dose (W6)."""
    treated = cohort.share["treg"][cohort.arm == par.TREATED]
    medians = dict(zip(par.VISIT_NAMES, 100 * np.median(treated, axis=0), strict=True))
    assert medians["D7"] == pytest.approx(10.0, rel=0.05)
    assert medians["D14"] == pytest.approx(10.0, rel=0.05)
    assert medians["W6"] == pytest.approx(6.0, rel=0.06)
    assert medians["W8"] < medians["W6"]


def test_parts_add_up(cohort: Cohort) -> None:
    p = cohort.per_ul
    np.testing.assert_allclose(p["t"], p["cd4"] + p["cd8"] + p["t_dn"] + p["t_dp"])
    np.testing.assert_allclose(p["lymphocytes"], p["t"] + p["b"] + p["nk"] + p["other"])
    assert (p["leukocytes"] > p["lymphocytes"]).all()
    np.testing.assert_allclose(sum(cohort.share[name] for name in par.CD8_SUBSETS), 1.0)


def test_cmv_kinetics(cohort: Cohort) -> None:
    v = cohort.virology
    for arm, median in ((par.TREATED, 3.5), (par.REFERENCE, 4.5)):
        logs = np.log(v.half_life_d[cohort.arm == arm])
        assert np.median(logs) == pytest.approx(np.log(median), abs=_margin(logs))
        assert logs.std() == pytest.approx(0.45, rel=0.08)
    assert v.true_log10[:, 0].min() > 3.0
    assert v.hump.mean() == pytest.approx(0.15, abs=0.03)
    assert v.rebound.mean() == pytest.approx(0.08, abs=0.025)
    assert (v.kind[:, 0] != "MISSED").all()
    assert (v.kind[:, 1:] == "MISSED").mean() == pytest.approx(0.10, abs=0.012)
    quant = v.kind == "QUANT"
    assert (v.value[quant] >= 137).all()
    assert np.isnan(v.value[~quant]).all()
    noise = (np.log10(v.value) - v.true_log10)[:, :2][quant[:, :2]]
    assert noise.std() == pytest.approx(0.18, rel=0.06)
    # a concentration at the LOD is detected in 95 % of runs, so most results far below it are not
    low = (v.true_log10 < np.log10(20)) & (v.kind != "MISSED")
    assert (v.kind[low] == "TND").mean() > 0.5
    plain = ~(v.hump | v.rebound)
    fall = (v.true_log10[:, 0] - v.true_log10[:, D14])[plain]
    np.testing.assert_allclose(fall, 0.30103 * 13 / v.half_life_d[plain])


def test_no_effect_no_difference(null: Cohort) -> None:
    treated, reference = null.arm == par.TREATED, null.arm == par.REFERENCE
    measures = {name: np.log(value) for name, value in null.per_ul.items()}
    measures |= {name: _logit(value) for name, value in null.share.items()}
    z = {}
    for name, values in measures.items():
        change = values[:, D14] - values[:, 0]
        a, b = change[treated], change[reference]
        z[name] = (a.mean() - b.mean()) / np.sqrt(a.var() / len(a) + b.var() / len(b))
    life = np.log(null.virology.half_life_d)
    z["half_life"] = (life[treated].mean() - life[reference].mean()) / (0.45 * np.sqrt(4 / N))
    assert max(abs(value) for value in z.values()) < 3.7, z
    assert (true_effects("none")["effect"] == 0).all()


def test_arms_are_balanced() -> None:
    for n in (2, 3, 5, 10, 11, 12):
        for seed in range(20):
            arm = randomise(n, np.random.default_rng(seed))
            treated = int((arm == par.TREATED).sum())
            assert len(arm) == n
            assert abs(2 * treated - n) <= 1
    firsts = {str(randomise(4, np.random.default_rng(seed))[0]) for seed in range(30)}
    assert firsts == {par.TREATED, par.REFERENCE}


def test_counts_object_follows_the_schema() -> None:
    visits = il2_cmv_counts(subjects=12, visits=5, seed=3)
    assert visits.shape == (60, 22)
    assert set(visits.obs.columns) <= set(schema.VISIT_OBS)
    assert set(visits.var.columns) <= set(schema.VISIT_VAR)
    assert set(layer_names(visits)) <= set(schema.VISIT_LAYERS)
    assert list(visits.var_names[visits.var["is_key"]]) == ["nk", "cd8", "treg"]
    assert visits.obs["visit"].cat.ordered
    assert list(visits.obs["visit"].cat.categories) == ["BL", "D7", "D14", "D28", "W8"]
    assert visits.obs_names[0] == f"{visits.obs['usubjid'].iloc[0]}_BL"
    counts, parents = (visits.to_df(layer=name) for name in (schema.COUNTS, schema.PARENT_COUNTS))
    np.testing.assert_allclose(visits.X, 100 * counts / parents)
    assert (counts <= parents).all(axis=None)
    assert (counts == counts.round()).all(axis=None)
    for whole, parts in {
        "t": ("cd4", "cd8", "t_dn", "t_dp"), "cd8_naive": (), "treg": ("treg_naive", "treg_mem"),
    }.items():  # fmt: skip
        if parts:
            assert (counts[list(parts)].sum(axis=1) == counts[whole]).all()
    cd8 = counts[["cd8_naive", "cd8_cm", "cd8_em", "cd8_temra"]].sum(axis=1)
    assert (cd8 == parents["cd8_em"]).all()
    assert (counts["treg"] + counts["tconv"] == parents["treg"]).all()


def test_counts_are_near_the_truth_and_beads_give_concentrations() -> None:
    visits, cohort = il2_cmv_counts(subjects=40, visits=7, seed=4), simulate_cohort(40, seed=4)
    absolute, percent = visits.to_df(layer=schema.ABS), visits.to_df()
    for name in ("t", "cd4", "cd8", "nk", "b", "lymphocytes"):
        error = absolute[name] / cohort.per_ul[name].ravel() - 1
        assert abs(np.median(error)) < 0.015, name
        assert np.median(np.abs(error)) < 0.05, name
    true = 100 * cohort.share["treg"].ravel()
    se = np.sqrt(true * (100 - true) / visits.to_df(layer=schema.PARENT_COUNTS)["treg"])
    assert np.std((percent["treg"] - true) / se) == pytest.approx(1.0, abs=0.15)


def test_censored_results_are_bounds() -> None:
    obs = il2_cmv_counts(subjects=60, visits=5, seed=6).obs
    lloq = np.log10(137)
    quant, below = obs["cmv_kind"] == "QUANT", obs["cmv_kind"].isin(["BLQ", "TND"])
    assert set(obs["cmv_kind"].dropna()) == {"QUANT", "BLQ", "TND"}
    assert obs.loc[quant, "cmv_log10"].notna().all()
    assert obs.loc[~quant, "cmv_log10"].isna().all()
    np.testing.assert_allclose(obs.loc[below, "cmv_upper"], lloq)
    assert obs.loc[below, "cmv_lower"].isna().all()
    base = obs[obs["baseline_flag"]].set_index("usubjid")["cmv_log10"]
    of_subject = obs["usubjid"].map(base).astype(float)
    np.testing.assert_allclose(obs.loc[quant, "cmv_drop"], (of_subject - obs["cmv_log10"])[quant], equal_nan=True)
    assert obs.loc[below, "cmv_drop"].isna().all()
    np.testing.assert_allclose(obs.loc[below, "cmv_drop_lower"], of_subject[below] - lloq, equal_nan=True)
    missed = obs["cmv_kind"].isna()
    assert missed.any()
    assert obs.loc[missed, ["cmv_lower", "cmv_upper", "cmv_drop_lower", "cmv_drop_upper"]].isna().all(axis=None)


def test_counts_are_deterministic_and_quick() -> None:
    first, again, other = (il2_cmv_counts(seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.X, again.X)
    assert not np.array_equal(first.X, other.X)
    start = time.process_time()
    for seed in range(10):
        il2_cmv_counts(seed=seed)
    assert (time.process_time() - start) / 10 < 0.1  # aim 20 ms; wide for a busy machine


def test_truth_of_the_counts_object() -> None:
    truth = il2_cmv_counts(visits=3).uns["truth"].set_index(["population", "visit"])
    assert truth.loc[("treg", "D14"), "effect"] == pytest.approx(np.log(0.1 / 0.9) - np.log(0.05 / 0.95))
    assert truth.loc[("nk", "D14"), "effect"] == pytest.approx(np.log(1.7 / 1.15))
    assert truth.loc[("nk", "D14"), "reference_change"] == pytest.approx(np.log(1.15))
    assert (truth.xs("BL", level="visit")["effect"] == 0).all()
    null = il2_cmv_counts(visits=3, effect="none").uns["truth"]
    assert (null["effect"] == 0).all()
