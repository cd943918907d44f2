"""Kernel densities against the formula, and the cut at the deepest valley."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from immunoprofile.density import bandwidths, densities, mindensity


def test_density_is_that_of_a_gaussian_kernel():
    rows = np.sort(np.random.default_rng(0).normal(size=(3, 400)), axis=1)
    first, step, height = densities(rows)
    for row, low, gap, found in zip(rows, first, step, height, strict=True):
        width = bandwidths(row[None])[0]
        exact = stats.gaussian_kde(row, bw_method=width / row.std(ddof=1))(low + gap * np.arange(512))
        np.testing.assert_allclose(found, exact, atol=2e-3 * exact.max())
        assert found.sum() * gap == pytest.approx(1, abs=5e-3)


def test_bandwidth_by_hand():
    # sd 1.5811, IQR 2 -> 2 / 1.34 = 1.4925; 0.9 * 1.4925 * 5^-0.2
    assert bandwidths(np.array([[1.0, 2, 3, 4, 5]]))[0] == pytest.approx(0.9 * 2 / 1.34 * 5**-0.2)
    assert bandwidths(np.full((1, 9), 7.0))[0] == pytest.approx(0.9 * 7 * 9**-0.2)


def mixture(share: float, *, far: float = 0.8, n: int = 20_000) -> np.ndarray:
    rng = np.random.default_rng(3)
    high = rng.random(n) < share
    return np.where(high, rng.normal(far, 0.05, n), rng.normal(0.3, 0.05, n))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_the_cut_is_the_minimum_of_a_density_that_scipy_computes(share: float) -> None:
    values = mixture(share, far=0.62)
    width = 2.0 * bandwidths(np.sort(values)[None])[0]
    kernel = stats.gaussian_kde(values, bw_method=width / values.std(ddof=1))
    grid = np.linspace(0.35, 0.6, 251)
    expected = grid[np.argmin(kernel(grid))]
    assert mindensity(values, (0.0, 1.0)) == pytest.approx(expected, abs=0.006)


def test_the_cut_moves_with_the_values_and_their_scale() -> None:
    values = mixture(0.3)
    cut = mindensity(values, (0.0, 1.0))
    assert cut is not None
    assert mindensity(1000 * values + 50, (0, 2000)) == pytest.approx(1000 * cut + 50)
    assert mindensity(values[::-1], (0.0, 1.0)) == cut


def test_without_a_valley_in_the_range_there_is_no_cut() -> None:
    assert mindensity(np.random.default_rng(0).normal(size=5000), (-1, 1)) is None
    assert mindensity(mixture(0.3), (0.9, 1.0)) is None
