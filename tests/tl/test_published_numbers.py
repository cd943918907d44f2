"""Published numbers that need two models or another library: substitution, other ties, power."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from immunoprofile.tl import fit_linear_mixed, fit_tobit_mixed, repeated_correlation
from tests.oracles.rank_data import SLEEP_1, SLEEP_2
from tests.tl.test_power import exact_power
from tests.tl.test_tobit_mixed import uti


@pytest.fixture
def golden(outside_data: Path) -> Path:
    return outside_data / "golden_statistics"


def test_aids_cd4_courses(golden: Path) -> None:
    """JM::aids, lme(CD4 ~ obstime + obstime:drug, random = ~ obstime | patient): 467 patients, 1,405 rows."""
    data = pd.read_csv(golden / "aids.csv")
    time = data["obstime"].to_numpy(dtype=float)
    ones = np.ones(len(data))
    design = np.column_stack([ones, time, time * (data["drug"] == "ddI")])
    fit = fit_linear_mixed(data["patient"].astype(str), design, data["CD4"], names=["1", "time", "time:ddI"],
                           random=np.column_stack([ones, time]))  # fmt: skip
    assert (fit.n, fit.subjects) == (1405, 467)
    np.testing.assert_allclose(fit.coefficients, [7.18883, -0.16345, 0.02827], atol=1e-5)


def test_ties_of_breslow_and_efron(golden: Path) -> None:
    """survival::aml: the coefficient of Breslow is another; ours is Efron's, also by statsmodels."""
    from statsmodels.duration.hazard_regression import PHReg

    from immunoprofile.tl import cox

    data = pd.read_csv(golden / "aml.csv")
    group = (data["x"] != "Maintained").to_numpy(dtype=float)
    own = cox(data["time"], data["status"], {"x": group}).coefficients[0]
    found = {ties: PHReg(data["time"], group[:, None], status=data["status"], ties=ties).fit().params[0]
             for ties in ("breslow", "efron")}  # fmt: skip
    assert found["breslow"] == pytest.approx(0.904220, abs=2e-6)
    assert own == pytest.approx(found["efron"], abs=1e-5)


def test_substitution_moves_the_first_mean(outside_data: Path) -> None:
    """lmec::UTIdata: the limit instead of censored values gives 3.6834, half of it 3.6284, the likelihood 3.6188."""
    subject, lower, upper, design = uti(outside_data)
    names = [f"v{k}" for k in range(8)]
    below = lower < upper
    assert below.sum() == 26
    for shift, expected in ((0.0, 3.6834), (np.log10(2), 3.6284)):
        taken = np.where(below, upper - shift, upper)
        fit = fit_tobit_mixed(subject, taken, taken, design=design, names=names)
        assert fit.coefficients[0] == pytest.approx(expected, abs=5e-5)
    fit = fit_tobit_mixed(subject, lower, upper, design=design, names=names)
    lmec = [3.618671, 4.181412, 4.256385, 4.375420, 4.581494, 4.584620, 4.692717, 4.809185]
    np.testing.assert_allclose(fit.coefficients, lmec, atol=2e-4)
    assert fit.sigma == pytest.approx(0.584268, abs=1e-4)
    assert fit.random_covariance[0, 0] == pytest.approx(0.765566, abs=5e-4)


def test_interval_of_a_correlation_within_subjects_is_that_of_rmcorr_now(golden: Path) -> None:
    """Variance 1 / (df - 1) as in rmcorr 0.7; with 1 / (df - 3) its older pages had -0.7112 to -0.2233."""
    data = pd.read_csv(golden / "bland1995.csv")
    found = repeated_correlation(data["Subject"], data["PaCO2"], data["pH"])
    z, half = np.arctanh(found.r), 1.959964 / np.sqrt(found.df - 3)
    assert np.tanh([z - half, z + half]) == pytest.approx([-0.7112, -0.2233], abs=5e-5)
    assert (found.lower, found.upper) == pytest.approx((-0.7067, -0.2319), abs=5e-5)


def test_approximations_of_the_signed_rank_p_are_others() -> None:
    """Sleep data: R's default 0.009091 and SciPy's 0.007632 are approximations; the package gives 0.003906."""
    from scipy.stats import wilcoxon

    change = np.round(np.subtract(SLEEP_2, SLEEP_1), 6)
    assert wilcoxon(change, method="approx", correction=True).pvalue == pytest.approx(0.009091, abs=5e-7)
    assert wilcoxon(change, method="approx").pvalue == pytest.approx(0.007632, abs=5e-7)


POWER = {0.5: (0.23, 0.43, 0.67, 0.81, 0.88), 0.8: (0.46, 0.87, 0.96, 0.99, 1.00), 1.0: (0.64, 0.96, 1.00, 1.00, 1.00)}


@pytest.mark.parametrize("difference", POWER)
def test_table_of_power(difference: float) -> None:
    """2,000 replicates each: three standard errors and the rounding around the noncentral t distribution."""
    for n, printed in zip((5, 10, 15, 20, 25), POWER[difference], strict=True):
        exact = exact_power(difference, n)
        assert abs(printed - exact) <= 3 * np.sqrt(exact * (1 - exact) / 2000) + 0.005, (n, exact)
