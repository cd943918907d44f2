"""Means of subjects and of cells, taken out of many subjects."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from immunoprofile.tl.association import repeated_correlation, without_means


def rows(seed: int, subjects: int, visits: int, *, missing: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    who, when = (one.ravel() for one in np.meshgrid(np.arange(subjects), np.arange(visits), indexing="ij"))
    seen = rng.random(len(who)) >= missing
    return who[seen].astype(str), when[seen].astype(str), rng.standard_normal((int(seen.sum()), 2))


@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("visits", [1, 2, 5])
def test_residuals_are_those_of_a_column_for_each_subject(visits: int, missing: float) -> None:
    who, when, values = rows(visits, 12, visits, missing=missing)
    columns = np.column_stack([who[:, None] == np.unique(who), when[:, None] == np.unique(when)]).astype(float)
    left, spent = without_means(who, when, values)
    expected = values - columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
    np.testing.assert_allclose(left, expected, atol=1e-12)
    assert spent == np.linalg.matrix_rank(columns)


def test_a_visit_that_tells_one_subject_only_takes_no_rank_twice() -> None:
    who, when = np.array(["a", "a", "b", "b"]), np.array(["1", "2", "3", "4"])
    left, spent = without_means(who, when, np.arange(8.0).reshape(4, 2))
    assert spent == 4
    np.testing.assert_allclose(left, 0.0, atol=1e-12)


def test_five_thousand_subjects_need_no_table_of_their_square() -> None:
    who, when, values = rows(3, 5000, 2, missing=0.0)
    values[:, 1] += 0.5 * values[:, 0]
    tracemalloc.start()
    found = repeated_correlation(who, values[:, 0], values[:, 1], adjust=when)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.df == 10_000 - 5001 - 1
    assert found.r == pytest.approx(0.5 / np.sqrt(1.25), abs=0.03)
    assert peak < 5000 * 5000
