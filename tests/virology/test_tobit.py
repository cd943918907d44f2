"""Censored regression against survival::survreg of R, least squares, and its own properties."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from immunoprofile.errors import AnalysisError
from immunoprofile.virology import censored_regression

NAN = math.nan
DAYS = np.array([0.0, 7, 14, 21, 28])
LINE = np.column_stack([np.ones(5), DAYS])
GOLDEN_LOW = np.array([4, math.log10(12000), math.log10(800), NAN, NAN])
GOLDEN_HIGH = np.array([4, math.log10(12000), math.log10(800), math.log10(137), math.log10(137)])


def test_golden_cmv_series() -> None:
    """Both negatives left-censored at the LLOQ; R survreg(dist = "gaussian")."""
    fit = censored_regression(LINE, GOLDEN_LOW, GOLDEN_HIGH)
    assert fit.coefficients[1] == pytest.approx(-0.11044, rel=1e-4)
    assert fit.coefficients[0] == pytest.approx(4.3599, rel=1e-4)
    assert fit.sigma == pytest.approx(0.3436, rel=2e-4)
    assert fit.log_likelihood == pytest.approx(-1.66090, rel=1e-4)
    substituted = np.where(np.isnan(GOLDEN_LOW), math.log10(137), GOLDEN_LOW)
    assert censored_regression(LINE, substituted, substituted).coefficients[1] == pytest.approx(-0.08099, rel=1e-4)


def test_tobin(outside_data: Path) -> None:
    """survival::tobin, survreg(Surv(durable, durable > 0, type = "left") ~ age + quant, dist = "gaussian")."""
    data = pd.read_csv(outside_data / "golden_statistics" / "tobin.csv")
    design = np.column_stack([np.ones(len(data)), data["age"], data["quant"]])
    fit = censored_regression(design, data["durable"].where(data["durable"] > 0), data["durable"])
    np.testing.assert_allclose(fit.coefficients, [15.14487, -0.12906, -0.04554], rtol=1e-4)
    assert fit.sigma == pytest.approx(5.57254, rel=1e-4)
    assert fit.log_likelihood == pytest.approx(-28.94, abs=5e-3)
    np.testing.assert_allclose(fit.standard_errors, [16.0795, 0.2186, 0.0583], rtol=2e-3)  # summary(survreg)
    assert (fit.n, fit.n_exact) == (20, 7)


def test_left_censored_lognormal() -> None:
    """lifelines' NH4 data (46 of 102 below the limit): survreg and lifelines give the same."""
    from lifelines.datasets import load_nh4

    data = load_nh4()
    y = np.log(data["NH4.mg.per.L"].to_numpy(dtype=float))
    fit = censored_regression(np.ones((len(y), 1)), np.where(data["Censored"].to_numpy(dtype=bool), NAN, y), y)
    assert fit.coefficients[0] == pytest.approx(-4.7145, rel=1e-4)
    assert fit.standard_errors[0] == pytest.approx(0.1458, rel=1e-3)
    assert fit.sigma == pytest.approx(1.25335, rel=1e-4)
    # The likelihood there is that of the concentration: one Jacobian for each exact value.
    exact = ~data["Censored"].to_numpy(dtype=bool)
    assert fit.log_likelihood - y[exact].sum() == pytest.approx(88.1644, rel=1e-4)


def test_without_censoring_it_is_least_squares() -> None:
    from statsmodels.regression.linear_model import OLS

    rng = np.random.default_rng(11)
    x = np.column_stack([np.ones(9), rng.uniform(0, 60, 9)])
    y = x @ [4, -0.05] + rng.normal(scale=0.3, size=9)
    fit, reference = censored_regression(x, y, y), OLS(y, x).fit()
    np.testing.assert_allclose(fit.coefficients, reference.params, rtol=1e-7)
    np.testing.assert_allclose(fit.interval(1), reference.conf_int()[1], rtol=1e-4)


def test_every_kind_of_bound() -> None:
    """Log-likelihood at the maximum written out with the normal distribution."""
    x = np.column_stack([np.ones(6), [0.0, 1, 2, 3, 4, 5]])
    low = np.array([5.0, 4.1, 3.4, NAN, 1.0, 6.0])
    high = np.array([5.0, 4.1, 3.4, 3.0, 2.5, NAN])
    fit = censored_regression(x, low, high)
    middle, sd = x @ fit.coefficients, fit.sigma
    by_hand = norm.logpdf(low[:3], middle[:3], sd).sum() + norm.logcdf(3.0, middle[3], sd)
    by_hand += math.log(norm.cdf(2.5, middle[4], sd) - norm.cdf(1.0, middle[4], sd))
    by_hand += norm.logsf(6.0, middle[5], sd)
    assert fit.log_likelihood == pytest.approx(by_hand, rel=1e-9)
    for move in ([1e-3, 0], [0, 1e-3], [-1e-3, 0], [0, -1e-3]):
        other = x @ (fit.coefficients + move)
        worse = norm.logpdf(low[:3], other[:3], sd).sum() + norm.logcdf(3.0, other[3], sd)
        worse += math.log(norm.cdf(2.5, other[4], sd) - norm.cdf(1.0, other[4], sd)) + norm.logsf(6.0, other[5], sd)
        assert worse < fit.log_likelihood


def test_results_on_a_line_have_a_slope_and_no_interval() -> None:
    x = np.column_stack([np.ones(4), [7.0, 14, 21, 28]])
    low, high = [4.0, 3.0, NAN, NAN], [4.0, 3.0, 2.1, 2.1]
    fit = censored_regression(x, low, high)
    assert fit.on_a_line
    assert fit.coefficients[1] == pytest.approx(-1 / 7)
    assert all(math.isnan(limit) for limit in fit.interval(1))
    # A censored value above the line contradicts it: then there is a maximum.
    assert not censored_regression(x, low, [4.0, 3.0, 1.0, 2.1]).on_a_line


@pytest.mark.parametrize(
    ("low", "high", "reason"),
    [
        ([4.0, NAN, NAN], [4.0, 2.0, 2.0], "do not determine"),
        ([4.0, 3.0, 3.0], [4.0, 3.0, 2.0], "above its upper"),
        ([4.0, 3.0, NAN], [4.0, 3.0, NAN], "says nothing"),
        ([4.0, 3.0], [4.0, 3.0], "do not fit"),
    ],
)
def test_refused(low: list[float], high: list[float], reason: str) -> None:
    with pytest.raises(AnalysisError, match=reason):
        censored_regression(np.column_stack([np.ones(3), [0.0, 7, 14]]), low, high)


@given(st.integers(0, 10_000), st.floats(1.5, 3.5))
@settings(max_examples=40)
def test_censoring_keeps_the_slope_and_units_do_not_matter(seed: int, limit: float) -> None:
    rng = np.random.default_rng(seed)
    days = np.arange(0.0, 70, 7)
    y = 4.5 - 0.08 * days + rng.normal(scale=0.15, size=10)
    below = y < limit
    assume((~below).sum() >= 3)
    x = np.column_stack([np.ones(10), days])
    low, high = np.where(below, NAN, y), np.where(below, limit, y)
    fit = censored_regression(x, low, high)
    assert abs(fit.coefficients[1] + 0.08) < 0.08
    hours = censored_regression(np.column_stack([np.ones(10), days * 24]), low, high)
    assert hours.coefficients[1] * 24 == pytest.approx(fit.coefficients[1], rel=1e-4, abs=1e-7)
    order = rng.permutation(10)
    again = censored_regression(x[order], low[order], high[order])
    assert again.coefficients[1] == pytest.approx(fit.coefficients[1], rel=1e-4, abs=1e-7)
