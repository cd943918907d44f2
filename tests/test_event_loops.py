"""What is compiled and its twin in numpy give the same bits; medians and quantiles are numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile import event_loops
from immunoprofile.density import densities
from immunoprofile.order_statistics import medians_of_rows, quantiles_of_sorted
from immunoprofile.quality._follow import peaks_of_bins
from immunoprofile.scale_table import BOUND, LEAST_VALUES, Biexponential, ScaleTable


@pytest.fixture
def columns() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    stained = np.where(rng.random(4137) < 0.4, rng.normal(0.2, 0.05, 4137), rng.normal(0.7, 0.08, 4137))
    return [stained, np.round(stained, 1), np.zeros(4137), np.linspace(-5, 1e6, 4137), rng.standard_cauchy(4137)]


def test_densities_and_peaks_have_the_same_bits_compiled_or_not(columns, monkeypatch):
    size, step = 500, 250
    starts = np.append(np.arange(0, 4137 - size + 1, step), 4137 - size)
    cut_short = np.arange(0, 4137, step)
    answers = []
    for compiled in (True, False):
        monkeypatch.setattr(event_loops, "loaded", lambda compiled=compiled: compiled)
        found = []
        for column in columns:
            found += densities(np.sort(column[:4000].reshape(8, 500), axis=1))
            for bins in (starts, cut_short):
                peaks, medians = peaks_of_bins(column, bins, size)
                found += [peaks.row, peaks.place, peaks.counts, medians]
        answers.append(found)
    for one, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_density_does_not_depend_on_the_rows_beside_it(columns):
    rows = np.sort(np.stack([column[:700] for column in columns]), axis=1)
    for at, row in enumerate(rows):
        for together, alone in zip(densities(rows), densities(row[None]), strict=True):
            np.testing.assert_array_equal(together[at], alone[0])


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_medians_are_those_of_numpy(n: int):
    rows = np.random.default_rng(n).standard_cauchy((5, n))
    rows[1] = 3.0
    rows[2, n // 3] = np.nan
    np.testing.assert_array_equal(medians_of_rows(rows.copy()), np.median(rows, axis=1))


@pytest.mark.parametrize("n", [1, 2, 99, 1000])
def test_quantiles_are_those_of_numpy(n: int):
    ordered = np.sort(np.random.default_rng(n).standard_cauchy(n))
    shares = np.linspace(0, 1, 101)
    np.testing.assert_array_equal(quantiles_of_sorted(ordered, shares), np.quantile(ordered, shares))


@pytest.mark.parametrize("kind", ["logicle", "hyperlog"])
@pytest.mark.parametrize(
    "parameters", [(262144, 0.5, 4.5, 0), (262144, 0, 4.5, 0.5), (1000, 1.2, 4, 0), (4e6, 2, 5, 1)]
)
def test_a_table_follows_its_scale(kind, parameters):
    scale = Biexponential(kind, *map(float, parameters))
    rng = np.random.default_rng(0)
    top = parameters[0]
    values = np.concatenate([
        rng.normal(0, top, 8000), rng.normal(0, top / 1e4, 8000), top * np.exp(rng.uniform(-40, 5, 8000)),
        [0.0, -0.0, top, -top, 1e3 * top, -1e6 * top],
    ])  # fmt: skip
    assert values.size >= LEAST_VALUES
    exact = scale.exactly(values)
    # Without a linear zone (W = 0) flowutils gives -1 next to zero, where its iteration ends without an answer.
    told = exact != -1 if scale.w == 0 else np.ones(len(values), dtype=bool)
    np.testing.assert_allclose(scale.apply(values)[told], exact[told], rtol=0, atol=BOUND)
    strange = np.concatenate([values, [np.nan, np.inf, -np.inf]])
    np.testing.assert_array_equal(scale.apply(strange)[-3:], scale.exactly(strange)[-3:])


def test_a_curve_that_is_not_odd_has_no_table():
    assert ScaleTable.of(lambda x: np.where(x < 0, 0.5 * x, x) / 1e3, top=1e3, linear=1.0) is None


def test_few_values_are_evaluated():
    scale = Biexponential("logicle", 262144.0, 0.5, 4.5, 0.0)
    values = np.linspace(-1e3, 2e5, LEAST_VALUES - 1).reshape(-1, 1)
    np.testing.assert_array_equal(scale.apply(values), scale.exactly(values.ravel()).reshape(-1, 1))
