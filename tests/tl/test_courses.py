"""Associations inside the arms: permutation by hand, level where both arms bend, courses that do not vary."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import permutations

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import immunoprofile.tl.courses as courses_module
from benchmarks.campaign import SITUATIONS, Situation, trial
from immunoprofile import tl
from immunoprofile.errors import AnalysisError
from immunoprofile.tl.courses import CoursePermutation, Courses, course_table
from immunoprofile.tl.inversion import not_rejected

BENT = next(one for one in SITUATIONS if one.arms)
SERIAL = next(one for one in SITUATIONS if one.serial)


def random_courses(seed: int, sizes: tuple[int, ...], *, missing: float = 0.0) -> Courses:
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    seen = rng.random((n, 4)) >= missing
    x, y = rng.standard_normal((2, n, 4)) * seen
    return Courses(x, y, seen, np.repeat([f"arm{k}" for k in range(len(sizes))], sizes))


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_permutation_by_hand(missing: float) -> None:
    """Every assignment of three courses in one arm and four in the other, one by one."""
    courses = random_courses(1, (3, 4), missing=missing)
    sizes = []
    for first in permutations(range(3)):
        for second in permutations(range(3, 7)):
            products = squares_x = squares_y = shared = 0.0
            for to, dealt in enumerate([*first, *second]):
                both = courses.seen[dealt] & courses.seen[to]
                x, y = courses.x[dealt][both], courses.y[to][both]
                products, shared = products + x @ y, shared + both.sum()
                squares_x, squares_y = squares_x + x @ x, squares_y + y @ y
            sizes.append(abs(products) / np.sqrt(squares_x * squares_y) * np.sqrt(shared / courses.seen.sum()))
    observed = sizes[0]  # the first permutation changes nothing
    found = courses.permute()
    assert (found.permutations, found.exact) == (144, True)
    assert found.p_value == pytest.approx(np.mean(np.array(sizes) >= observed - 1e-12))
    assert np.mean(np.array(sizes) <= found.quantile + 1e-12) >= 0.95


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("within", [False, True])
def test_many_subjects_need_no_table_of_all_pairs(
    missing: float, within: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same statistics from the pairs that are dealt; memory then grows with the subjects, not with their square."""
    small = replace(random_courses(5, (9, 12), missing=missing), within=within)
    table = small.permute()
    monkeypatch.setattr(courses_module, "MANY_SUBJECTS", 1)
    assert small.permute() == pytest.approx(table, rel=1e-12)
    many = replace(random_courses(6, (900, 900), missing=missing), within=within)
    monkeypatch.setattr(courses_module, "LARGEST_TABLE", 50_000)
    places = np.stack([np.arange(1800)] * 30)
    judge = many._within if within else many._plain
    tracemalloc.start()
    found = judge([np.arange(900), np.arange(900, 1800)], places)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.ptp(found) == 0.0  # the same assignment thirty times
    assert peak < 900 * 900 * 8


def test_assignments_are_those_of_one_draw_and_as_small_as_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = (7, 300)
    monkeypatch.setattr(courses_module, "LARGEST_TABLE", 2_000)
    found = courses_module._assignments(sizes, exact=False, permutations=50, seed=4)
    rng = np.random.default_rng(4)
    drawn = np.concatenate([rng.random((50, 7)).argsort(axis=1), 7 + rng.random((50, 300)).argsort(axis=1)], axis=1)
    np.testing.assert_array_equal(found, [np.arange(307), *drawn])
    assert found.dtype == np.uint16


def within_by_hand(courses: Courses, dealt: list[int]) -> tuple[float, int]:
    """Partial correlation by least squares on the rows that an assignment uses, and its degrees of freedom."""
    subject, cell, x, y = [], [], [], []
    for to, one in enumerate(dealt):
        for place in np.flatnonzero(courses.seen[one] & courses.seen[to]):
            subject.append(to)
            cell.append(f"{courses.arm[to]} {place}")
            x.append(courses.x[one, place])
            y.append(courses.y[to, place])
    labels = [np.array(subject), np.array(cell)]
    nuisance = np.column_stack([(one[:, None] == np.unique(one)).astype(float) for one in labels])
    both = np.column_stack([x, y])
    left = both - nuisance @ np.linalg.pinv(nuisance) @ both
    r = float(np.corrcoef(left.T)[0, 1]) if min(np.ptp(left, axis=0)) > 1e-9 else 0.0
    return r, len(both) - int(np.linalg.matrix_rank(nuisance))


def test_missed_visits_by_hand() -> None:
    """Every assignment is analysed as the one that was seen, over the visits at which both courses have a value."""
    rng = np.random.default_rng(4)
    seen = rng.random((8, 5)) >= 0.25
    x, y = rng.standard_normal((2, 8, 5)) * seen
    courses = Courses(x, y, seen, np.repeat(["a", "b"], 4), within=True)
    sizes = []
    for first in permutations(range(4)):
        for second in permutations(range(4, 8)):
            r, df = within_by_hand(courses, [*first, *second])
            sizes.append((r, df))
    observed, freedom = sizes[0]
    scaled = np.array([abs(r) * np.sqrt(df / freedom) for r, df in sizes])
    found = courses.permute()
    assert (found.permutations, found.exact) == (576, True)
    assert found.correlation == pytest.approx(observed)
    assert found.p_value == pytest.approx(np.mean(scaled >= abs(observed) - 1e-9))
    assert np.mean(scaled >= found.quantile) < 0.05 <= np.mean(scaled >= found.quantile * (1 - 1e-8))


def test_values_of_missing_rows_and_levels_of_subjects_count_for_nothing() -> None:
    rng = np.random.default_rng(5)
    seen = rng.random((14, 5)) >= 0.3
    x, y = rng.standard_normal((2, 14, 5))
    arm = np.repeat(["a", "b"], 7)
    start = Courses(x, y, seen, arm, within=True).permute()
    course = np.where(arm[:, None] == "a", [0, 1, 3, 2, 0], [5, 4, 3, 0, 1])
    shifted = x + 10 * rng.standard_normal((14, 1)) + course
    moved = Courses(np.where(seen, shifted, 77.0), 3 * y - course, seen, arm, within=True).permute()
    assert moved.p_value == start.p_value
    assert moved.quantile == pytest.approx(start.quantile)


def test_level_where_most_leave() -> None:
    """A third leave before each visit; p and interval say the same."""
    rejected, trials = 0, 200
    for seed in range(trials):
        rng = np.random.default_rng([8, seed])
        seen = np.cumprod(np.column_stack([np.ones((24, 2)), rng.random((24, 3)) > 0.35]), axis=1).astype(bool)
        x, y = rng.standard_normal((2, 24, 5))
        who, place = np.nonzero(seen)
        found = tl.repeated_correlation(who, x[seen], y[seen], adjust=place, arm=np.where(who < 12, "a", "b"))
        rejected += found.p_value < 0.05
        assert (found.p_value < 0.05) == (not found.lower <= 0 <= found.upper)
    assert rejected <= binom.ppf(0.999, trials, 0.05)


def test_interval_is_what_the_test_does_not_reject() -> None:
    for seed in range(10):
        rng = np.random.default_rng([9, seed])
        x, noise = rng.standard_normal((2, 12, 4))
        slope = 0.5 * rng.standard_normal()
        arm = np.repeat(["a", "b"], 6)
        values = slope * x + noise

        def test(value: float, x: np.ndarray = x, y: np.ndarray = values, arm: np.ndarray = arm) -> CoursePermutation:
            return Courses(x, y - value * x, np.ones(x.shape, dtype=bool), arm).permute()

        estimate = float((x * values).sum() / (x**2).sum())
        # a poor guess of the width costs steps, not correctness
        lower, upper = not_rejected(test, test(0.0), estimate, 0.1 * (1 + seed))
        assert lower < estimate < upper
        assert (test(0.0).p_value < 0.05) == (not lower <= 0 <= upper)
        for inside, outside in ((lower + 0.01, lower - 0.01), (upper - 0.01, upper + 0.01)):
            assert test(inside).p_value >= 0.05 > test(outside).p_value


def test_p_and_interval_of_the_censored_model_agree() -> None:
    """In trials so small that estimate and score test can differ: the interval holds zero where p is 0.05 or more."""
    seen = set()
    for seed in range(24):
        situation = SITUATIONS[seed % len(SITUATIONS)]
        adata = trial(np.random.default_rng([10, seed]), 5, situation)
        tl.associate_censored(adata, populations=["x"], measure="functional")
        table = adata.uns["associate_censored"]
        for _, row in table[table["contrast"].isin(["within subjects", "between subjects"])].iterrows():
            if not np.isnan(row["lower"]):
                assert (row["p_value"] < 0.05) == (not row["lower"] <= 0 <= row["upper"])
                assert row["lower"] <= row["estimate"] <= row["upper"]
                seen.add(row["p_value"] < 0.05)
    assert seen == {True, False}


def test_same_seed_same_p_and_few_courses_have_none() -> None:
    courses = random_courses(2, (9, 8))
    assert courses.permute() == courses.permute()
    few = random_courses(2, (2, 2)).permute()
    assert np.isnan(few.p_value)
    assert "4 ways only" in few.words()
    with pytest.raises(AnalysisError, match="two rows of one visit"):
        course_table(np.array(["A", "A"]), np.array(["D7", "D7"]), np.array(["x", "x"]), np.ones(2), np.ones(2))


def rejections(run: str, situation: Situation, size: int, trials: int) -> int:
    rejected = 0
    for seed in range(trials):
        adata = trial(np.random.default_rng([7, seed]), size, situation)
        getattr(tl, run)(adata, populations=["x"], measure="functional")
        rejected += adata.uns[run]["p_value"].iloc[0] < 0.05
    return rejected


@pytest.mark.parametrize("situation", [BENT, SERIAL], ids=["both arms bend", "serial correlation"])
@pytest.mark.parametrize(("run", "trials"), [("associate", 60), ("associate_censored", 40)])
def test_level_without_a_link_inside_the_arms(run: str, trials: int, situation: Situation) -> None:
    """Without arm x visit the first rejects in a third of these trials, without whole courses the second in a sixth."""
    assert rejections(run, situation, 15, trials) <= binom.ppf(0.999, trials, 0.05)


def test_a_link_inside_subjects_is_found() -> None:
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        adata = trial(rng, 15, BENT)
        x = np.log2(adata.obsm["functional"]["x"].to_numpy())
        level = adata.obs.assign(x=x).groupby(["arm", "visit"])["x"].transform("mean")
        log10 = adata.obs["cmv_log10"].fillna(1.5).to_numpy() + 0.8 * (x - level)
        below = log10 < np.log10(137)
        adata.obs["cmv_kind"], adata.obs["cmv_log10"] = np.where(below, "BLQ", "QUANT"), np.where(below, np.nan, log10)
        adata.obs["cmv_lower"], adata.obs["cmv_upper"] = adata.obs["cmv_log10"], np.where(below, np.log10(137), log10)
        tl.associate_censored(adata, populations=["x"], measure="functional")
        row = adata.uns["associate_censored"].iloc[0]
        found.append(row["p_value"] < 0.05 and row["lower"] > 0)
    assert sum(found) >= 10


def with_virus(adata: anndata.AnnData, log10: np.ndarray, below: np.ndarray) -> anndata.AnnData:
    limit = np.log10(137)
    adata.obs["cmv_kind"], adata.obs["cmv_log10"] = np.where(below, "TND", "QUANT"), np.where(below, np.nan, log10)
    adata.obs["cmv_lower"], adata.obs["cmv_upper"] = adata.obs["cmv_log10"], np.where(below, limit, log10)
    return adata


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("what", ["all below the limit", "one value a subject", "a constant population"])
def test_no_correlation_out_of_rounding_noise(seed: int, what: str) -> None:
    rng = np.random.default_rng(seed)
    adata = trial(rng, 4 + seed, SITUATIONS[0])
    adata = adata[rng.random(adata.n_obs) > 0.15].copy()
    own = (
        pd.Series(10 ** rng.uniform(-3, 6, adata.n_obs), adata.obs_names)
        .groupby(adata.obs["usubjid"])
        .transform("first")
    )
    noise = 1 + 1e-15 * rng.integers(-3, 4, adata.n_obs)
    if what == "all below the limit":
        with_virus(adata, np.ones(adata.n_obs), np.ones(adata.n_obs, dtype=bool))
    elif what == "one value a subject":
        with_virus(adata, np.log10(137) + np.log10(1 + own.to_numpy()) * noise, np.zeros(adata.n_obs, dtype=bool))
    else:
        adata.obsm["functional"]["x"] = own.to_numpy() * noise
    for run in (tl.associate, tl.associate_lagged, tl.associate_censored):
        run(adata, populations=["x"], measure="functional", scale="identity")
        table = adata.uns[run.__name__]
        asked = table[table["contrast"].str.startswith("within subjects")]
        assert asked[["estimate", "lower", "upper", "p_value"]].isna().all(axis=None)
        assert asked["note"].str.contains("refused").all()


def test_subjects_without_a_quantified_result_cost_nothing() -> None:
    answered = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        small = trial(rng, 5, SITUATIONS[1])
        silent = trial(rng, 5, SITUATIONS[1])
        with_virus(silent, np.ones(silent.n_obs), np.ones(silent.n_obs, dtype=bool))
        silent.obs["usubjid"] = "S" + silent.obs["usubjid"].astype(str)
        both = anndata.concat([small, silent], index_unique="-")
        both.uns["study"] = small.uns["study"]
        p_values = []
        for adata in (small, both):
            tl.associate_censored(adata, populations=["x"], measure="functional")
            p_values.append(adata.uns["associate_censored"]["p_value"].iloc[0])
        answered += not np.isnan(p_values[0])
        assert np.isnan(p_values[0]) or not np.isnan(p_values[1])
    assert answered >= 5
