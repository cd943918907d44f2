"""Analysis of covariance and repeated-measures correlation against R."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from immunoprofile.errors import AnalysisError
from immunoprofile.tl import ancova, repeated_correlation


def test_anorexia(outside_data: Path) -> None:
    """MASS::anorexia, lm(Postwt ~ Prewt + Treat) in R."""
    data = pd.read_csv(outside_data / "golden_statistics" / "anorexia.csv")
    fit = ancova(data["Postwt"], data["Prewt"], data["Treat"].to_numpy(), reference="CBT")
    assert fit.names == ("intercept", "baseline", "arm[Cont]", "arm[FT]")
    np.testing.assert_allclose(fit.coefficients, [49.7711, 0.43446, -4.09707, 4.56306], rtol=1e-4)
    np.testing.assert_allclose(fit.standard_errors, [13.3910, 0.16118, 1.89349, 2.13334], rtol=1e-4)
    assert fit.term("arm[Cont]")[3] == pytest.approx(0.0340, abs=1e-4)
    assert fit.term("arm[FT]")[3] == pytest.approx(0.0360, abs=1e-4)
    assert fit.f_arm == pytest.approx(7.8681, rel=1e-4)
    assert fit.p_arm == pytest.approx(0.000844, rel=1e-3)
    assert {arm: round(mean, 1) for arm, mean in fit.adjusted_means.items()} == {"CBT": 85.6, "Cont": 81.5, "FT": 90.1}


def test_robust_errors_equal_statsmodels() -> None:
    from statsmodels.regression.linear_model import OLS

    rng = np.random.default_rng(3)
    start, arm = rng.normal(size=24), np.repeat(["a", "b"], 12)
    end = start + (arm == "b") + rng.normal(size=24) * np.where(arm == "b", 3, 1)
    fit = ancova(end, start, arm, reference="a", covariance="HC3")
    reference = OLS(end, np.column_stack([np.ones(24), start, arm == "b"]).astype(float)).fit(cov_type="HC3")
    np.testing.assert_allclose(fit.standard_errors, reference.bse, rtol=1e-10)


def test_ancova_is_refused_below_three_degrees_of_freedom() -> None:
    arm = np.array(["a", "a", "a", "b", "b"])
    with pytest.raises(
        AnalysisError, match="5 subjects for 3 parameters leave fewer than 3 residual degrees of freedom"
    ):
        ancova([1, 2, 3, 4, 5], [1, 3, 2, 5, 4], arm, reference="a")


def test_arm_hidden_in_the_baseline_is_refused() -> None:
    arm = np.repeat(["a", "b"], 5)
    with pytest.raises(AnalysisError, match="cannot be told apart"):
        ancova(np.arange(10.0), (arm == "b").astype(float), arm, reference="a")


def test_bland_altman_1995(outside_data: Path) -> None:
    """Repeated measures of pH and PaCO2 in 8 subjects; interval as in rmcorr 0.7 (variance 1 / (df - 1))."""
    data = pd.read_csv(outside_data / "golden_statistics" / "bland1995.csv")
    result = repeated_correlation(data["Subject"], data["PaCO2"], data["pH"])
    assert (result.n, result.subjects, result.df) == (47, 8, 38)
    assert result.r == pytest.approx(-0.5067697, rel=1e-6)
    assert result.p_value == pytest.approx(0.0008471, rel=1e-4)
    assert (result.lower, result.upper) == pytest.approx((-0.7067, -0.2319), abs=5e-5)


def test_shared_time_trend_makes_no_correlation_after_adjustment() -> None:
    rng = np.random.default_rng(11)
    naive = adjusted = 0
    subject, visit = np.repeat(np.arange(20), 5), np.tile(np.arange(5), 20)
    for _ in range(200):
        x, y = visit + rng.normal(size=100), -visit + rng.normal(size=100)
        naive += repeated_correlation(subject, x, y).p_value < 0.05
        adjusted += repeated_correlation(subject, x, y, adjust=visit).p_value < 0.05
    assert naive > 190
    # 200 tests at 5 %: 99.8 % of the counts lie below 21
    assert adjusted <= 20


def test_correlation_does_not_depend_on_order_or_on_subject_means() -> None:
    rng = np.random.default_rng(5)
    subject, x, y = np.repeat(np.arange(6), 4), rng.normal(size=24), rng.normal(size=24)
    one = repeated_correlation(subject, x, y)
    order = rng.permutation(24)
    other = repeated_correlation(subject[order], x[order] + 7 * subject[order], y[order] - subject[order])
    assert other.r == pytest.approx(one.r)
    assert other.p_value == pytest.approx(one.p_value)


def test_adjusted_correlation_is_that_of_residuals() -> None:
    """Frisch, Waugh and Lovell: take subjects and visits out of both, correlate the rest; n - rank - 1 df."""
    from scipy.stats import t

    rng = np.random.default_rng(12)
    subject, visit = np.repeat(np.arange(9), 5), np.tile(np.arange(5), 9)
    keep = rng.random(45) > 0.2
    x, y = rng.normal(size=(2, 45)) + visit
    y = y + 0.6 * x
    subject, visit, x, y = subject[keep], visit[keep], x[keep], y[keep]
    nuisance = np.column_stack([subject[:, None] == np.arange(9), visit[:, None] == np.arange(1, 5)]).astype(float)
    a, b = (v - nuisance @ np.linalg.lstsq(nuisance, v, rcond=None)[0] for v in (x, y))
    r, df = np.corrcoef(a, b)[0, 1], len(x) - np.linalg.matrix_rank(nuisance) - 1
    result = repeated_correlation(subject, x, y, adjust=visit)
    assert (result.r, result.df) == (pytest.approx(r), df)
    assert result.p_value == pytest.approx(2 * t.sf(abs(r) * np.sqrt(df / (1 - r**2)), df))


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(AnalysisError, match="fewer than 3"):
        repeated_correlation([1, 1, 2, 2], [1, 2, 3, 4], [1, 2, 1, 2], adjust=[0, 1, 0, 1])
    with pytest.raises(AnalysisError, match="does not vary"):
        repeated_correlation([1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2], [1, 2, 3, 1, 2, 3])
