"""Tobit mixed model: R (lmec, survival), statsmodels, lifelines, and integrals on a dense grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from immunoprofile.errors import AnalysisError
from immunoprofile.tl.tobit_mixed import NODES, TobitMixed, _Problem, fit_tobit_mixed
from immunoprofile.virology.censored_normal import censored_rows


def uti(outside_data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """lmec::UTIdata: subject, bounds of log10 HIV-1 RNA, indicators of the eight visits."""
    data = pd.read_csv(outside_data / "golden_statistics" / "UTIdata.csv").dropna(subset=["RNA"])
    outcome = np.log10(data["RNA"].to_numpy(dtype=float))
    censored = data["RNAcens"].to_numpy() == 1
    visit = data["Fup"].to_numpy()
    design = (visit[:, None] == np.unique(visit)).astype(float)
    return data["Patid"].to_numpy(dtype=str), np.where(censored, -np.inf, outcome), outcome, design


def dense_loglik(subject: np.ndarray, lower: np.ndarray, upper: np.ndarray, mean: np.ndarray, fit: TobitMixed) -> float:
    """Log-likelihood by adding up over a fine grid of the random intercept."""
    deviation = float(np.sqrt(fit.random_covariance[0, 0]))
    grid = np.linspace(-9, 9, 4001)
    prior = norm.pdf(grid) * (grid[1] - grid[0])
    total = 0.0
    for who in np.unique(subject):
        rows = subject == who
        centre = mean[rows, None] + deviation * grid
        exact = (lower == upper)[rows]
        low, high = lower[rows, None], upper[rows, None]
        density = np.where(
            exact[:, None],
            norm.pdf(high, centre, fit.sigma),
            norm.cdf(high, centre, fit.sigma) - norm.cdf(low, centre, fit.sigma),
        )
        total += np.log((density.prod(axis=0) * prior).sum())
    return float(total)


def made_up(
    *, seed: int, subjects: int = 15, cut: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Subject, lower and upper bound (left-censored below ``cut``) and design (intercept, time)."""
    rng = np.random.default_rng(seed)
    subject, time = np.repeat(np.arange(subjects), 4), np.tile(np.arange(4.0), subjects)
    outcome = 2 - 0.5 * time + 0.8 * rng.normal(size=subjects)[subject] + 0.5 * rng.normal(size=len(subject))
    censored = outcome < cut
    upper = np.where(censored, cut, outcome)
    return subject, np.where(censored, -np.inf, upper), upper, np.column_stack([np.ones_like(time), time])


def test_hiv_after_interruption(outside_data: Path) -> None:
    """Exact maximum likelihood by dense grid; R lmec agrees to three or four decimals."""
    subject, lower, upper, design = uti(outside_data)
    fit = fit_tobit_mixed(subject, lower, upper, design=design, names=[f"v{k}" for k in range(8)])
    assert (fit.n, fit.subjects) == (362, 72)
    golden = [3.61878, 4.18152, 4.25650, 4.37554, 4.58160, 4.58471, 4.69277, 4.80921]
    np.testing.assert_allclose(fit.coefficients, golden, atol=1e-5)
    errors = [0.12533, 0.12848, 0.13038, 0.13074, 0.13992, 0.14873, 0.16489, 0.20188]
    np.testing.assert_allclose(fit.standard_errors, errors, atol=1e-5)
    assert np.sqrt(fit.random_covariance[0, 0]) == pytest.approx(0.874797, abs=1e-6)
    assert fit.sigma == pytest.approx(0.584242, abs=1e-6)
    # quadrature at fixed places gives -411.986 here
    assert fit.loglik == pytest.approx(-412.040036, abs=1e-6)
    assert dense_loglik(subject, lower, upper, design @ fit.coefficients, fit) == pytest.approx(fit.loglik, abs=1e-6)


def test_hiv_under_treatment_with_cd4(outside_data: Path) -> None:
    """ACTG 315, 46 patients, RNA below 100 copies/mL censored: likelihood on a grid; substitution is too shallow."""
    data = pd.read_csv(outside_data / "tab_hiv_actg315_viral_cd4" / "actg315raw.csv")
    outcome = np.maximum(data["log10.RNA."].to_numpy(), 2.0)
    lower = np.where(outcome <= 2.0, -np.inf, outcome)
    root = np.sqrt(data["CD4"])
    means = root.groupby(data["Patid"]).transform("mean")
    design = np.column_stack([np.ones(len(data)), data["Day"] / 7, root - means, means - means.mean()])
    names = ["1", "week", "within", "between"]
    subject = data["Patid"].to_numpy()
    fit = fit_tobit_mixed(subject, lower, outcome, design=design, names=names)
    assert (fit.subjects, fit.n, fit.censored) == (46, len(data), int((outcome <= 2.0).sum()))
    assert fit.censored > 30
    best = dense_loglik(subject, lower, outcome, design @ fit.coefficients, fit)
    assert fit.loglik == pytest.approx(best, abs=1e-5)
    # the more CD4 cells recover, the less virus: known of this trial
    assert fit.term("within", df=300)[2] < 0
    substituted = fit_tobit_mixed(subject, outcome, outcome, design=design, names=names)
    assert fit.coefficients[1] < substituted.coefficients[1] < 0
    assert fit.coefficients[2] < substituted.coefficients[2] < 0


def test_tobin_durable_goods(outside_data: Path) -> None:
    """survival::tobin, survreg(Surv(durable, durable > 0, 'left') ~ age + quant, gaussian)."""
    data = pd.read_csv(outside_data / "golden_statistics" / "tobin.csv")
    lower = np.where(data["durable"] > 0, data["durable"], -np.inf)
    design = np.column_stack([np.ones(len(data)), data["age"], data["quant"]])
    fit = fit_tobit_mixed(
        np.arange(len(data)), lower, data["durable"], design=design, names=["1", "age", "quant"], random=design[:, :0]
    )
    np.testing.assert_allclose(fit.coefficients, [15.14487, -0.12906, -0.04554], atol=1e-5)
    assert fit.sigma == pytest.approx(5.57254, abs=1e-5)
    assert fit.loglik == pytest.approx(-28.94, abs=0.005)


def test_ammonium_in_rain(outside_data: Path) -> None:
    """NADA / lifelines load_nh4: left-censored lognormal; the log-likelihood is that of the untransformed values."""
    data = pd.read_csv(outside_data / "golden_statistics" / "nh4.csv")
    logs, censored = np.log(data["NH4.mg.per.L"].to_numpy()), data["Censored"].to_numpy(dtype=bool)
    ones = np.ones((len(logs), 1))
    fit = fit_tobit_mixed(
        np.arange(len(logs)), np.where(censored, -np.inf, logs), logs, design=ones, names=["mu"], random=ones[:, :0]
    )
    assert (fit.n, fit.censored) == (102, 46)
    assert fit.coefficients[0] == pytest.approx(-4.7145, abs=5e-5)
    assert fit.standard_errors[0] == pytest.approx(0.1458, abs=5e-5)
    assert fit.sigma == pytest.approx(1.25335, abs=1e-5)
    assert fit.loglik - logs[~censored].sum() == pytest.approx(88.1644, abs=5e-5)


@pytest.mark.parametrize("slope", [False, True])
def test_nothing_censored_is_a_linear_mixed_model(slope: bool) -> None:
    from statsmodels.regression.mixed_linear_model import MixedLM

    subject, _, outcome, design = made_up(seed=3, subjects=40, cut=-np.inf)
    if slope:
        outcome = outcome + 0.4 * np.random.default_rng(1).normal(size=40)[subject] * design[:, 1]
    random = design if slope else design[:, :1]
    fit = fit_tobit_mixed(subject, outcome, outcome, design=design, names=["1", "time"], random=random)
    reference = MixedLM(outcome, design, subject, exog_re=random).fit(reml=False)
    assert fit.loglik == pytest.approx(reference.llf, abs=1e-5)
    np.testing.assert_allclose(fit.coefficients, reference.fe_params, atol=1e-4)
    np.testing.assert_allclose(fit.random_covariance, np.asarray(reference.cov_re), atol=2e-3)
    np.testing.assert_allclose(fit.standard_errors, reference.bse_fe, rtol=5e-3)


def test_parameters_spent_are_given_back_as_in_least_squares() -> None:
    from statsmodels.regression.linear_model import OLS

    _, _, outcome, design = made_up(seed=4, subjects=4, cut=-np.inf)
    fit = fit_tobit_mixed(np.arange(16), outcome, outcome, design=design, names=["1", "time"], random=design[:, :0])
    reference = OLS(outcome, design).fit()
    estimate, lower, upper, p_value = fit.term("time", df=14, spent=2)
    assert (estimate, p_value) == pytest.approx((reference.params[1], reference.pvalues[1]), rel=1e-5)
    np.testing.assert_allclose((lower, upper), reference.conf_int()[1], rtol=1e-5)


def test_dense_grid_with_bounds_of_every_kind() -> None:
    subject, lower, upper, design = made_up(seed=5, cut=0.8)
    upper[3::11], lower[3::11] = np.inf, 1.5
    lower[(lower == -np.inf) & (np.arange(len(lower)) % 2 == 0)] = -0.5
    fit = fit_tobit_mixed(subject, lower, upper, design=design, names=["1", "time"])
    assert fit.censored > 15
    best = dense_loglik(subject, lower, upper, design @ fit.coefficients, fit)
    assert fit.loglik == pytest.approx(best, abs=1e-6)
    for index in range(2):
        for step in (-0.02, 0.02):
            moved = fit.coefficients + step * np.eye(2)[index]
            assert dense_loglik(subject, lower, upper, design @ moved, fit) < best


def test_two_random_effects_on_a_grid() -> None:
    subject, lower, upper, design = made_up(seed=6, subjects=12, cut=0.6)
    rng = np.random.default_rng(4)
    wobble = 0.5 * rng.normal(size=12)[subject] * design[:, 1]
    lower, upper = np.where(lower > -np.inf, lower + wobble, lower), np.where(lower > -np.inf, upper + wobble, upper)
    fit = fit_tobit_mixed(subject, lower, upper, design=design, names=["1", "time"], random=design)
    axis = np.linspace(-7, 7, 281)
    first, second = (part.ravel() for part in np.meshgrid(axis, axis))
    prior = norm.pdf(first) * norm.pdf(second) * (axis[1] - axis[0]) ** 2
    factor = np.linalg.cholesky(fit.random_covariance)
    total = 0.0
    for who in range(12):
        rows = subject == who
        effects = factor @ np.stack([first, second])
        mean = (design @ fit.coefficients)[rows, None] + design[rows] @ effects
        exact = (lower == upper)[rows, None]
        density = np.where(
            exact, norm.pdf(upper[rows, None], mean, fit.sigma), norm.cdf(upper[rows, None], mean, fit.sigma)
        )
        total += np.log((density.prod(axis=0) * prior).sum())
    assert fit.loglik == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("seed", [2, 5, 7, 24])
def test_ten_subjects_with_censored_slopes_converge(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 9 x 9 nodes these stopped short of their maximum; more nodes than ours change nothing."""
    rng = np.random.default_rng(seed)
    subject, time = np.repeat(np.arange(10), 5), np.tile([0.0, 1, 2, 4, 8], 10)
    effects = rng.multivariate_normal([0, 0], [[0.09, -0.02], [-0.02, 0.04]], size=10)
    outcome = 3.8 + effects[subject, 0] + (-0.35 + effects[subject, 1]) * time + 0.15 * rng.normal(size=50)
    upper = np.maximum(outcome, 2.14)
    lower = np.where(outcome < 2.14, -np.inf, upper)
    design = np.column_stack([np.ones_like(time), time])
    fits = []
    for nodes in (NODES[2], 41):
        monkeypatch.setitem(NODES, 2, nodes)
        fits.append(fit_tobit_mixed(subject, lower, upper, design=design, names=["1", "time"], random=design))
    assert fits[0].loglik == pytest.approx(fits[1].loglik, abs=2e-4)
    assert fits[0].coefficients == pytest.approx(fits[1].coefficients, abs=2e-4)


@pytest.mark.parametrize("effects", [0, 1, 2])
def test_derivatives(effects: int) -> None:
    subject, lower, upper, design = made_up(seed=7, cut=0.9)
    problem = _Problem(subject, (lower, upper), design, design[:, :effects])
    rng = np.random.default_rng(effects)
    parameters = problem.start() + 0.1 * rng.normal(size=len(problem.start()))
    found = problem.evaluate(parameters)
    step = 1e-5
    for index, unit in enumerate(np.eye(len(parameters))):
        up, down = problem.evaluate(parameters + step * unit), problem.evaluate(parameters - step * unit)
        assert found.gradient[index] == pytest.approx((up.value - down.value) / (2 * step), rel=1e-4, abs=1e-3)
        numeric = (up.gradient - down.gradient) / (2 * step)
        np.testing.assert_allclose(found.hessian[index], numeric, rtol=1e-3, atol=1e-2)


@given(st.floats(-40, 40), st.floats(0.1, 4), st.floats(0.01, 20), st.sampled_from(["left", "right", "interval"]))
@settings(max_examples=200)
def test_probabilities_in_the_tails(mean: float, sigma: float, width: float, kind: str) -> None:
    """Finite in any tail, concave in the mean, and the derivatives agree with differences."""
    low = np.array([-np.inf if kind == "left" else 0.0])
    high = np.array([np.inf if kind == "right" else width])
    row = censored_rows(low, high, np.array([mean]), sigma)
    assert all(np.isfinite(part).all() for part in row)
    assert row.value[0] <= 1e-12
    assert row.curvature[0] <= 1e-6 / sigma**2
    step = 1e-4 * sigma
    up, down = (censored_rows(low, high, np.array([mean + sign * step]), sigma) for sign in (1, -1))
    size = max(1.0, abs(row.slope[0]))
    assert row.slope[0] == pytest.approx((up.value[0] - down.value[0]) / (2 * step), rel=1e-3, abs=1e-4 * size)
    if abs(mean) < 6:
        direct = norm.cdf(high, mean, sigma) - norm.cdf(low, mean, sigma)
        assert direct[0] == 0 or row.value[0] == pytest.approx(np.log(direct[0]), rel=1e-6, abs=1e-8)


def test_exact_rows_are_normal_densities() -> None:
    outcome, mean = np.array([0.3, -2.0]), np.array([1.0, 4.0])
    np.testing.assert_allclose(censored_rows(outcome, outcome, mean, 0.7).value, norm.logpdf(outcome, mean, 0.7))


def test_one_subject_slope_of_the_golden_series() -> None:
    """Slope of the golden series: -0.11044 log10 a day, both negatives left-censored at 137 IU/mL."""
    day = np.array([0.0, 7, 14, 21, 28])
    upper = np.log10([10000, 12000, 800, 137, 137])
    lower = np.where(upper > np.log10(137), upper, -np.inf)
    design = np.column_stack([np.ones(5), day])
    fit = fit_tobit_mixed(np.zeros(5), lower, upper, design=design, names=["1", "day"], random=design[:, :0])
    np.testing.assert_allclose(fit.coefficients, [4.3599, -0.11044], atol=5e-5)
    assert fit.sigma == pytest.approx(0.3436, abs=5e-5)
    assert fit.loglik == pytest.approx(-1.66090, abs=5e-6)


def test_order_and_shift_do_not_matter() -> None:
    subject, lower, upper, design = made_up(seed=9, cut=0.9)
    one = fit_tobit_mixed(subject, lower, upper, design=design, names=["1", "time"])
    order = np.random.default_rng(1).permutation(len(subject))
    other = fit_tobit_mixed(
        subject[order], lower[order] + 5, upper[order] + 5, design=design[order], names=["1", "time"]
    )
    np.testing.assert_allclose(np.add(one.coefficients, [5, 0]), other.coefficients, atol=1e-6)
    np.testing.assert_allclose(one.standard_errors, other.standard_errors, atol=1e-6)
    assert one.loglik == pytest.approx(other.loglik, abs=1e-8)


def test_refusals() -> None:
    subject, lower, upper, design = made_up(seed=2, cut=0.9)
    names = ["1", "time"]
    with pytest.raises(AnalysisError, match="all 60 results are censored"):
        fit_tobit_mixed(subject, np.full(60, -np.inf), np.full(60, 0.9), design=design, names=names)
    treated = (subject >= 12).astype(float)
    hidden = np.where(treated == 1, -np.inf, lower)
    with pytest.raises(AnalysisError, match="arm: rests on censored results only"):
        fit_tobit_mixed(subject, hidden, upper, design=np.column_stack([design, treated]), names=[*names, "arm"])
    with pytest.raises(AnalysisError, match="cannot be told apart"):
        fit_tobit_mixed(subject, lower, upper, design=np.column_stack([design, design[:, 1]]), names=[*names, "again"])
    with pytest.raises(AnalysisError, match="without error"):
        fit_tobit_mixed(subject, design[:, 1], design[:, 1], design=design, names=names)
    with pytest.raises(AnalysisError, match="wrong way round"):
        fit_tobit_mixed(subject, upper + 1, upper, design=design, names=names)
    with pytest.raises(AnalysisError, match="no finite bound"):
        fit_tobit_mixed(subject, np.full(60, -np.inf), np.full(60, np.inf), design=design, names=names)
