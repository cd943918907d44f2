"""Mixed model for repeated measures against R (mmrm, nlme), statsmodels and the likelihood with dense matrices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag

from immunoprofile.errors import AnalysisError
from immunoprofile.tl.covariance import STRUCTURES
from immunoprofile.tl.reml import FALLBACK, fit_reml


def made_up(
    subjects: int, visits: int, *, seed: int, missing: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Subject, visit, design (cell means and an arm effect at each visit) and outcome with a shared intercept."""
    rng = np.random.default_rng(seed)
    subject, visit = np.repeat(np.arange(subjects), visits), np.tile(np.arange(visits), subjects)
    arm = subject % 2
    means = (visit[:, None] == np.arange(visits)).astype(float)
    design = np.column_stack([means, means * arm[:, None]])
    outcome = 0.5 * visit + 0.7 * arm + rng.normal(size=subjects)[subject] + 0.6 * rng.normal(size=len(subject))
    keep = rng.random(len(subject)) >= missing
    return subject[keep], visit[keep], design[keep], outcome[keep]


def names_of(design: np.ndarray) -> list[str]:
    return [f"x{index}" for index in range(design.shape[1])]


def test_fev_data(outside_data: Path) -> None:
    """mmrm::fev_data, FEV1 ~ RACE + SEX + ARMCD * AVISIT, unstructured, REML (nlme::gls)."""
    data = pd.read_csv(outside_data / "golden_statistics" / "fev_data.csv").dropna(subset=["FEV1"])
    treated = (data["ARMCD"] == "TRT").to_numpy(dtype=float)
    columns = {
        "intercept": np.ones(len(data)),
        "black": data["RACE"] == "Black or African American",
        "white": data["RACE"] == "White",
        "female": data["SEX"] == "Female",
        "treated": treated,
        **{visit: data["AVISIT"] == visit for visit in ("VIS2", "VIS3", "VIS4")},
        **{f"treated:{visit}": (data["AVISIT"] == visit) * treated for visit in ("VIS2", "VIS3", "VIS4")},
    }
    design = np.column_stack([np.asarray(column, dtype=float) for column in columns.values()])
    fit = fit_reml(data["USUBJID"], data["AVISIT"], design, outcome=data["FEV1"], names=tuple(columns))
    assert (fit.structure, fit.n, fit.subjects, fit.tried) == ("UN", 537, 197, ())
    assert fit.minus_two_loglik == pytest.approx(3386.44987, abs=1e-4)
    golden = [30.7774, 1.5306, 5.6435, 0.3260, 3.7744, 4.8396, 10.3422, 15.0538, -0.0420, -0.6938, 0.6242]
    np.testing.assert_allclose(fit.coefficients, golden, atol=2e-4)
    assert fit.standard_errors[4] == pytest.approx(1.0741, abs=1e-4)
    np.testing.assert_allclose(np.diag(fit.visit_covariance), [40.56, 26.57, 14.90, 95.55], atol=0.01)
    # summary() of R's mmrm 0.3.15: Satterthwaite's degrees of freedom of every effect
    published = [218.80, 168.67, 157.14, 166.13, 145.55, 143.88, 155.56, 138.47, 138.56, 158.17, 129.72]
    np.testing.assert_allclose([fit.df(row) for row in np.eye(11)], published, atol=0.02)
    assert (np.diag(fit.adjusted) > np.diag(fit.covariance)).all()


def test_kenward_roger_of_r(outside_data: Path) -> None:
    """lmerTest 3.1.3, pbkrtest 0.5.2 (R 4.2.2): Reaction ~ 0 + Day + grp:Day + (1 | Subject), REML, of the first four
    days of lme4::sleepstudy less the rows 2, 9, 17, 23, 31, 44, 46, 58, grp B the first, third ... subject.

    Estimates and Satterthwaite's degrees of freedom are those of summary(ddf = "Satterthwaite"); errors of ddf =
    "Kenward-Roger" rest on the expected information there, on the observed one here: they differ in the fifth digit.
    """
    data = pd.read_csv(outside_data / "golden_statistics" / "sleepstudy.csv")
    data = data[data["Days"] < 4].reset_index(drop=True)
    second = (data["Subject"].rank(method="dense").astype(int) % 2 == 1).to_numpy(dtype=float)
    days = (data["Days"].to_numpy()[:, None] == np.arange(4)).astype(float)
    design = np.column_stack([days, days * second[:, None]])
    kept = np.setdiff1d(np.arange(len(data)), np.array([2, 9, 17, 23, 31, 44, 46, 58]) - 1)
    fit = fit_reml(data["Subject"].to_numpy()[kept], data["Days"].to_numpy()[kept], design[kept],
                   outcome=data["Reaction"].to_numpy()[kept], names=names_of(design), structures=["CS"])  # fmt: skip
    np.testing.assert_allclose(
        fit.coefficients[:4], [258.84737778, 266.54484149, 269.77702207, 283.76561111], rtol=1e-5
    )
    np.testing.assert_allclose(fit.coefficients[4:], [-3.26818319, -1.82313958, -7.31457763, -0.82213944], rtol=1e-3)
    errors = [11.661074, 12.006662, 12.436886, 11.661074, 17.051911, 17.290082, 17.048659, 16.737977]
    np.testing.assert_allclose(fit.standard_errors, errors, rtol=1e-5)
    df = [28.537568, 31.084986, 34.199873, 28.537568, 31.447555, 32.673905, 31.440708, 29.824517]
    np.testing.assert_allclose([fit.df(row) for row in np.eye(8)], df, rtol=1e-4)
    corrected = [11.661074, 12.011744, 12.448097, 11.661074, 17.060506, 17.302086, 17.056840, 16.741695]
    np.testing.assert_allclose(np.sqrt(np.diag(fit.adjusted)), corrected, rtol=1e-4)


def test_compound_symmetry_is_a_random_intercept() -> None:
    from statsmodels.regression.mixed_linear_model import MixedLM

    subject, visit, design, outcome = made_up(24, 4, seed=1, missing=0.15)
    fit = fit_reml(subject, visit, design, outcome=outcome, names=names_of(design), structures=["CS"])
    reference = MixedLM(outcome, design, subject).fit(reml=True, gtol=1e-8)
    np.testing.assert_allclose(fit.coefficients, reference.fe_params, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fit.standard_errors, reference.bse_fe, rtol=1e-3)
    assert fit.minus_two_loglik == pytest.approx(-2 * reference.llf, abs=1e-6)
    assert fit.visit_covariance[0, 1] == pytest.approx(float(reference.cov_re[0, 0]), rel=1e-3)


def test_one_visit_is_least_squares() -> None:
    from statsmodels.regression.linear_model import OLS

    rng = np.random.default_rng(2)
    design = np.column_stack([np.ones(15), rng.normal(size=15), np.arange(15) % 2])
    outcome = rng.normal(size=15)
    fit = fit_reml(np.arange(15), np.zeros(15), design, outcome=outcome, names=names_of(design))
    reference = OLS(outcome, design).fit()
    np.testing.assert_allclose(fit.coefficients, reference.params, rtol=1e-8)
    np.testing.assert_allclose(fit.standard_errors, reference.bse, rtol=1e-6)
    effect = fit.contrast([0, 0, 1])
    assert effect[3] == pytest.approx(reference.pvalues[2], rel=1e-6)
    np.testing.assert_allclose(effect[1:3], reference.conf_int()[2], rtol=1e-6)
    assert fit.df([0, 0, 1]) == pytest.approx(12)
    statistic, df, p_value = fit.joint(np.eye(3)[1:])
    assert df == pytest.approx(12)
    wald = reference.f_test(np.eye(3)[1:])
    assert (statistic, p_value) == pytest.approx((float(wald.fvalue), float(wald.pvalue)), rel=1e-6)


def test_two_visits_have_one_covariance_under_two_names() -> None:
    subject, visit, design, outcome = made_up(20, 2, seed=5, missing=0.1)
    one, other = (
        fit_reml(subject, visit, design, outcome=outcome, names=names_of(design), structures=[name])
        for name in ("UN", "TOEPH")
    )
    assert one.minus_two_loglik == pytest.approx(other.minus_two_loglik, abs=1e-7)
    np.testing.assert_allclose(one.visit_covariance, other.visit_covariance, rtol=1e-4)


@pytest.mark.parametrize("name", FALLBACK)
def test_likelihood_with_dense_matrices(name: str) -> None:
    """-2 log REML = (n - p) log 2 pi + log|V| + log|X'V^-1 X| + r'V^-1 r, and the fit is its lowest point."""
    subject, visit, design, outcome = made_up(18, 3, seed=8, missing=0.2)
    fit = fit_reml(subject, visit, design, outcome=outcome, names=names_of(design), structures=[name])

    def dense(covariance: np.ndarray) -> float:
        whole = block_diag(*(covariance[np.ix_(visit[subject == who], visit[subject == who])] for who in set(subject)))
        order = np.concatenate([np.flatnonzero(subject == who) for who in set(subject)])
        x, y, inverse = design[order], outcome[order], np.linalg.inv(whole)
        beta = np.linalg.solve(x.T @ inverse @ x, x.T @ inverse @ y)
        left = y - x @ beta
        return (
            (len(y) - x.shape[1]) * np.log(2 * np.pi)
            + np.linalg.slogdet(whole)[1]
            + np.linalg.slogdet(x.T @ inverse @ x)[1]
            + left @ inverse @ left
        )

    lowest = dense(fit.visit_covariance)
    assert fit.minus_two_loglik == pytest.approx(lowest, abs=1e-8)
    structure = STRUCTURES[fit.structure]
    rng = np.random.default_rng(0)
    near = structure.start(fit.visit_covariance)
    for _ in range(20):
        moved = structure.with_derivatives(near + 0.05 * rng.normal(size=len(near)), 3)[0]
        assert dense(moved) > lowest


@pytest.mark.parametrize("name", FALLBACK)
@pytest.mark.parametrize("visits", [2, 5])
def test_derivatives_and_positive_definite(name: str, visits: int) -> None:
    structure = STRUCTURES[name]
    rng = np.random.default_rng(visits)
    for _ in range(20):
        parameters = rng.normal(scale=1.5, size=structure.size(visits))
        matrix, slopes = structure.with_derivatives(parameters, visits)
        assert np.linalg.eigvalsh(matrix)[0] > -1e-12 * np.trace(matrix)
        np.testing.assert_allclose(matrix, matrix.T)
        for index, slope in enumerate(slopes):
            step = 1e-6 * np.eye(len(parameters))[index]
            numeric = structure.matrix(parameters + step, visits) - structure.matrix(parameters - step, visits)
            np.testing.assert_allclose(slope, numeric / 2e-6, atol=1e-5 * np.abs(matrix).max())


def test_order_of_rows_and_labels_do_not_matter() -> None:
    subject, visit, design, outcome = made_up(20, 4, seed=11, missing=0.2)
    one = fit_reml(subject, visit, design, outcome=outcome, names=names_of(design))
    order = np.random.default_rng(1).permutation(len(subject))
    labels = np.array([f"S{99 - number}" for number in subject])
    other = fit_reml(labels[order], 7 * visit[order], design[order], outcome=outcome[order], names=names_of(design))
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-6, atol=1e-8)
    assert one.structure == other.structure


def test_unstructured_gives_way_and_says_so() -> None:
    subject, visit, design, outcome = made_up(10, 5, seed=4)
    design = np.column_stack([np.ones(len(subject)), visit, subject % 2])
    fit = fit_reml(subject, visit, design, outcome=outcome, names=names_of(design))
    # 15 covariance parameters of ten subjects can be estimated; with visits that few subjects share they cannot
    assert fit.structure == "UN"
    sparse = (visit < 2) | (subject % 3 == 0)
    fit = fit_reml(subject[sparse], visit[sparse], design[sparse], outcome=outcome[sparse], names=names_of(design))
    assert fit.structure != "UN"
    assert fit.tried[0].startswith("unstructured: two visits share")


def test_visits_that_repeat_one_another_leave_the_unstructured() -> None:
    subject, visit, design, outcome = made_up(20, 3, seed=9)
    outcome[visit == 2] = outcome[visit == 1]
    with pytest.raises(AnalysisError, match=r"unstructured: (the likelihood|visits are|not converged)"):
        fit_reml(subject, visit, design, outcome=outcome, names=names_of(design), structures=["UN"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, v, x, y: (s, np.zeros_like(v), x, y), "two rows of one visit"),
        (lambda s, v, x, y: (s, v, np.column_stack([x, x[:, 0] + x[:, 1]]), y), "cannot be told apart"),
        (lambda s, v, x, y: (s, v, x, x @ np.arange(6.0)), "no residual variation"),
    ],
)
def test_refusals(change: object, message: str) -> None:
    subject, visit, design, outcome = change(*made_up(20, 3, seed=3))  # type: ignore[operator]
    with pytest.raises(AnalysisError, match=message):
        fit_reml(subject, visit, design, outcome=outcome, names=names_of(design))
