"""Linear mixed model against lme4 (numbers that R printed) and statsmodels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from immunoprofile.errors import AnalysisError
from immunoprofile.tl import fit_linear_mixed, fit_tobit_mixed


@pytest.fixture(scope="module")
def sleep(outside_data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """lme4::sleepstudy: subject, design (intercept, days), reaction time in ms."""
    data = pd.read_csv(outside_data / "golden_statistics" / "sleepstudy.csv")
    return data["Subject"].to_numpy(), np.column_stack([np.ones(len(data)), data["Days"]]), data["Reaction"].to_numpy()


def test_sleep_study_restricted(sleep: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    subject, design, reaction = sleep
    fit = fit_linear_mixed(subject, design, reaction, names=["1", "day"], random=design)
    np.testing.assert_allclose(fit.coefficients, [251.40510, 10.46729], atol=1e-5)
    np.testing.assert_allclose(fit.standard_errors, [6.82460, 1.54579], rtol=2e-5)
    deviations = np.sqrt(np.diag(fit.random_covariance))
    np.testing.assert_allclose(deviations, [24.7407, 5.92214], rtol=2e-5)
    assert fit.random_covariance[0, 1] / deviations.prod() == pytest.approx(0.0656, abs=1e-4)
    assert fit.sigma == pytest.approx(25.5918, abs=1e-4)
    assert -2 * fit.loglik == pytest.approx(1743.628, abs=1e-3)
    assert (fit.n, fit.subjects, fit.on_border) == (180, 18, False)
    # Satterthwaite and Kenward-Roger give 17 degrees of freedom here
    estimate, _, _, p_value = fit.term("day", df=17)
    assert estimate / fit.standard_errors[1] == pytest.approx(6.7715, abs=1e-4)
    assert p_value == pytest.approx(3.264e-6, rel=1e-3)


def test_sleep_study_maximum_likelihood_and_intercepts_only(sleep: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    subject, design, reaction = sleep
    fit = fit_linear_mixed(subject, design, reaction, names=["1", "day"], random=design, reml=False)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.random_covariance)), [23.7798, 5.7168], rtol=5e-5)
    assert fit.sigma == pytest.approx(25.5919, abs=2e-4)
    assert fit.loglik == pytest.approx(-875.9697, abs=1e-4)
    fit = fit_linear_mixed(subject, design, reaction, names=["1", "day"])
    assert np.sqrt(fit.random_covariance[0, 0]) == pytest.approx(37.1238, abs=1e-3)
    assert fit.sigma == pytest.approx(30.9912, abs=1e-4)
    assert -2 * fit.loglik == pytest.approx(1786.465, abs=1e-3)


@pytest.mark.parametrize("reml", [True, False])
def test_unbalanced_data_as_in_statsmodels(reml: bool) -> None:
    from statsmodels.regression.mixed_linear_model import MixedLM

    rng = np.random.default_rng(5)
    subject, time = np.repeat(np.arange(30), 5), np.tile(np.arange(5.0), 30)
    design = np.column_stack([np.ones(150), time, subject % 2, (subject % 2) * time])
    outcome = design @ [1, 0.3, 0.2, 0.4] + rng.normal(size=30)[subject] + 0.5 * rng.normal(size=30)[subject] * time
    outcome += rng.normal(size=150)
    keep = rng.random(150) > 0.2
    subject, design, outcome = subject[keep], design[keep], outcome[keep]
    fit = fit_linear_mixed(subject, design, outcome, names=list("abcd"), random=design[:, :2], reml=reml)
    reference = MixedLM(outcome, design, subject, exog_re=design[:, :2]).fit(reml=reml)
    assert fit.loglik == pytest.approx(reference.llf, abs=1e-5)
    np.testing.assert_allclose(fit.coefficients, reference.fe_params, atol=1e-3)
    whole = np.zeros((len(outcome), len(outcome)))
    for who in range(30):
        rows = np.flatnonzero(subject == who)
        z = design[rows, :2]
        whole[np.ix_(rows, rows)] = z @ fit.random_covariance @ z.T + fit.sigma**2 * np.eye(len(rows))
    errors = np.linalg.inv(design.T @ np.linalg.solve(whole, design))
    np.testing.assert_allclose(fit.covariance, errors, rtol=1e-6)
    # statsmodels inverts the information of all parameters, also of the variances
    np.testing.assert_allclose(fit.standard_errors, reference.bse_fe, rtol=2e-2)
    if not reml:
        tobit = fit_tobit_mixed(subject, outcome, outcome, design=design, names=list("abcd"), random=design[:, :2])
        assert tobit.loglik == pytest.approx(fit.loglik, abs=1e-6)
        np.testing.assert_allclose(tobit.coefficients, fit.coefficients, atol=1e-4)


def test_no_variation_between_subjects_is_least_squares() -> None:
    """Subject means spread less than chance: the random variance is zero and least squares remain."""
    from statsmodels.regression.linear_model import OLS

    rng = np.random.default_rng(2)
    subject = np.repeat(np.arange(10), 4)
    outcome = rng.normal(size=40)
    outcome -= np.repeat(outcome.reshape(10, 4).mean(axis=1), 4)
    design = np.column_stack([np.ones(40), np.tile(np.arange(4.0), 10)])
    fit = fit_linear_mixed(subject, design, outcome, names=["1", "time"])
    assert fit.on_border
    reference = OLS(outcome, design).fit()
    np.testing.assert_allclose(fit.coefficients, reference.params, atol=1e-8)
    np.testing.assert_allclose(fit.standard_errors, reference.bse, rtol=1e-4)


def test_units_scale_the_fit() -> None:
    rng = np.random.default_rng(8)
    subject, time = np.repeat(np.arange(12), 4), np.tile(np.arange(4.0), 12)
    design = np.column_stack([np.ones(48), time])
    outcome = rng.normal(size=12)[subject] + rng.normal(size=48)
    one = fit_linear_mixed(subject, design, outcome, names=["1", "t"])
    other = fit_linear_mixed(subject, design * [1, 7], 1000 * outcome, names=["1", "t"])
    np.testing.assert_allclose(other.coefficients, one.coefficients * [1000, 1000 / 7], rtol=1e-5)
    assert other.sigma == pytest.approx(1000 * one.sigma, rel=1e-5)


def test_refusals() -> None:
    subject, ones = np.repeat(np.arange(6), 3), np.ones((18, 1))
    with pytest.raises(AnalysisError, match="cannot be told apart"):
        fit_linear_mixed(subject, np.hstack([ones, ones]), np.arange(18.0), names=["1", "again"])
    with pytest.raises(AnalysisError, match="no residual variation"):
        fit_linear_mixed(subject, ones, np.ones(18), names=["1"])
