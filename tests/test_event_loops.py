"""What is compiled and its twin in numpy give the same bits; medians and quantiles are numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile import event_loops
from immunoprofile.density import densities, tops
from immunoprofile.gate.raster import BINS, GateRaster, _Axis, _bins, _grid, read_rasters, write_rasters
from immunoprofile.gate.shifted_counts import _narrowed, _planes
from immunoprofile.order_statistics import at_ranks, median, medians, medians_of_groups, quantiles, quantiles_of_blocks
from immunoprofile.quality._follow import bin_means, bins_of
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
                one = bins_of(column, bins, size)
                found += [one.peaks.row, one.peaks.place, one.peaks.counts, one.medians, one.ends]
                found.append(bin_means([column], one.ends[None], starts, size))
        answers.append(found)
    for one, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(one, other)


SHAPES = {
    "one population": lambda rng, size: rng.normal(size=size),
    "two populations": lambda rng, size: rng.normal(size=size) + 6 * (rng.random(size) < 0.5),
    "whole numbers": lambda rng, size: np.round(rng.normal(size=size)),
    "two values": lambda rng, size: rng.integers(0, 2, size).astype(float),
    "one value": lambda rng, size: np.full(size, rng.normal()),
    "long tails": lambda rng, size: rng.standard_cauchy(size),
    "longer tails": lambda rng, size: rng.normal(size=size) ** 5,
    "one far off": lambda rng, size: np.where(rng.random(size) < 1 / size[1], 1e200, rng.normal(size=size)),
    "mirrored": lambda rng, size: np.abs(rng.normal(size=size)) * np.where(np.arange(size[1]) % 2, 1, -1),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [1, 2, 5, 20, 150, 500, 2000])
def test_maxima_told_in_single_precision_are_those_of_all_heights(shape: str, n: int, monkeypatch):
    monkeypatch.setattr(event_loops, "loaded", lambda: True)
    for seed in range(3):
        rows = np.sort(SHAPES[shape](np.random.default_rng(seed), (40, n)), axis=1)
        first, step, height = densities(rows)
        for share in (1 / 3, 0.02, 0.95):
            highest = height.max(axis=1, keepdims=True)
            inner = (height[:, 1:-1] > height[:, :-2]) & (height[:, 1:-1] > height[:, 2:])
            peak = np.pad(inner, ((0, 0), (1, 1))) & (height > share * highest)
            without = ~peak.any(axis=1)
            peak[without, height[without].argmax(axis=1)] = True
            row, at = np.nonzero(peak)
            found = tops(rows, share)
            np.testing.assert_array_equal(found[0], row)
            np.testing.assert_array_equal(found[1], first[row] + at * step[row])


@pytest.mark.parametrize("seed", range(5))
def test_quantiles_of_blocks_are_those_of_all_values(seed: int):
    rng = np.random.default_rng(seed)
    drifting = rng.normal(size=(60, 250)) + np.arange(60)[:, None] * rng.choice([0.0, 0.01, 3.0])
    tied = np.round(rng.normal(size=(4, 250)))
    for values in (drifting, tied, np.where(drifting > 0, 0.0, -0.0)):
        rest = rng.choice(values.ravel(), int(rng.integers(0, 240)))
        shares = np.array([0.005, 0.995])
        found = quantiles_of_blocks(np.sort(values, axis=1), rest, shares)
        np.testing.assert_array_equal(found, np.quantile(np.concatenate([values.ravel(), rest]), shares))


def test_a_density_does_not_depend_on_the_rows_beside_it(columns):
    rows = np.sort(np.stack([column[:700] for column in columns]), axis=1)
    for at, row in enumerate(rows):
        for together, alone in zip(densities(rows), densities(row[None]), strict=True):
            np.testing.assert_array_equal(together[at], alone[0])


@pytest.fixture(params=[True, False], ids=["compiled", "numpy"])
def compiled(request, monkeypatch) -> bool:
    monkeypatch.setattr(event_loops, "loaded", lambda: request.param)
    return request.param


def awkward(n: int) -> dict[str, np.ndarray]:
    """Values that a selection by steps of their size may stumble over."""
    rng = np.random.default_rng(n)
    return {
        "light": np.concatenate([rng.normal(50, 90, n - n // 3), rng.lognormal(9, 1, n // 3)]),
        "both signs": rng.standard_cauchy(n),
        "one far off": np.append(rng.normal(size=n - 1), 1e200),
        "ties": rng.integers(-3, 4, n).astype(float),
        "constant": np.full(n, -7.25),
        "nothing": np.zeros(n),
        "signed zeros": np.where(rng.random(n) < 0.5, -0.0, 0.0),
        "tiny": rng.normal(size=n) * 1e-300,
        "huge": rng.normal(size=n) * 1e305,
        "powers of two": np.ldexp(1.0, rng.integers(-30, 30, n)),
    }


@pytest.mark.parametrize("n", [1, 2, 49, 2047, 2048, 6001])
def test_ranks_medians_and_quantiles_are_those_of_numpy(n: int, compiled):
    ranks = np.unique(np.random.default_rng(1).integers(0, n, 40))
    for name, values in awkward(n).items():
        ordered = np.sort(values)
        np.testing.assert_array_equal(at_ranks(values, ranks), ordered[ranks], err_msg=name)
        np.testing.assert_array_equal(at_ranks(values, ranks[:3]), ordered[ranks[:3]], err_msg=name)
        assert not np.signbit(at_ranks(np.zeros(n) * -1, ranks)).any()
        with np.errstate(over="ignore"):
            assert median(values) == np.median(values), name
            for shares in (np.linspace(0.01, 0.99, 99), [0.005, 0.995], [0.999]):
                np.testing.assert_array_equal(quantiles(values, shares), np.quantile(values, shares), err_msg=name)


def test_what_is_no_number_has_no_quantile(compiled):
    for bad in (np.nan, np.inf, -np.inf):
        values = np.append(np.arange(5000.0), bad)
        assert np.isnan(quantiles(values, [0.1, 0.5])).all()
        np.testing.assert_array_equal(at_ranks(values, np.array([0, 3, 5000])), np.sort(values)[[0, 3, 5000]])


@pytest.mark.parametrize("n", [1, 48, 49, 3000])
def test_medians_of_groups_are_those_of_numpy(n: int, compiled):
    rng = np.random.default_rng(n)
    columns = np.stack([*awkward(n).values(), np.full(n, np.nan), np.append(rng.normal(size=n - 1), np.inf)])
    words = rng.integers(0, 1 << 63, (2, n), dtype=np.uint64) & rng.integers(0, 1 << 63, (2, n), dtype=np.uint64)
    words[0, :] &= ~np.uint64(1 << 5)  # nobody
    words[1, :] |= np.uint64(1 << 2)  # everybody
    places = [66, 5, 62, 64, 0, 100]
    words[0, :] &= ~np.uint64(1) | words[1, :]  # place 0 lies within 64
    inside = [(words[p // 64] >> np.uint64(p % 64) & np.uint64(1)).astype(bool) for p in places]
    sizes = [int(one.sum()) for one in inside]
    for within in (None, [-1, 0, 0, 0, 3, -1]):
        found = medians_of_groups(columns, words, places, sizes, within)
        for one, row in zip(inside, found, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):
                expected = np.median(columns[:, one], axis=1) if one.any() else np.full(len(columns), np.nan)
            np.testing.assert_array_equal(row, expected)


def test_bins_and_grids_of_a_plot_are_those_of_numpy(compiled):
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(0.5, 0.4, 3000), [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 1.02, 1e300]])
    low, high = -0.1, 1.02
    expected = np.clip(np.nan_to_num((values - low) / (high - low) * BINS, nan=0, posinf=BINS, neginf=0), 0, BINS - 1)
    bins = _bins(values, (low, high))
    np.testing.assert_array_equal(bins, expected.astype(np.uint8))
    x, y = (_Axis("a", one, (low, high), ()) for one in (bins, bins[::-1].copy()))
    inside = rng.random(len(values)) < 0.6
    counted = np.zeros((BINS, BINS), dtype=np.uint32)
    np.add.at(counted, (y.bins[inside], x.bins[inside]), 1)
    found = _grid(x, y, inside)
    np.testing.assert_array_equal(found, counted)
    assert found.dtype == counted.dtype


@pytest.mark.parametrize("n", [1, 2, 99, 1000])
def test_quantiles_and_medians_are_those_of_numpy(n: int):
    values, shares = np.random.default_rng(n).standard_cauchy(n), np.linspace(0, 1, 101)
    np.testing.assert_array_equal(quantiles(values, shares), np.quantile(values, shares))
    table = np.random.default_rng(n).standard_cauchy((n, 3))
    np.testing.assert_array_equal(medians(table), np.median(table, axis=0))


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


@pytest.mark.parametrize(("rows", "n"), [(1, 0), (1, 1), (2, 63), (2, 64), (1, 65), (3, 4137)])
def test_every_bit_of_an_event_is_found_in_its_plane(rows: int, n: int, compiled):
    words = np.random.default_rng(n).integers(0, 2**64, (rows, n), dtype=np.uint64)
    planes = _planes(words)
    assert planes.shape == (64 * rows, -(-n // 64))
    told = np.unpackbits(planes.view(np.uint8), axis=1, bitorder="little")
    for plane in range(64 * rows):
        bits = words[plane // 64] >> np.uint64(plane % 64) & np.uint64(1)
        np.testing.assert_array_equal(told[plane, :n], bits)
        assert not told[plane, n:].any()


def test_planes_within_their_parents_are_counted(compiled):
    rng = np.random.default_rng(1)
    shapes = rng.integers(0, 2**64, (5, 7), dtype=np.uint64)
    shapes[0], shapes[1] = 0, 2**64 - 1
    chosen, above = np.array([1, 0, 4, 4, 1]), rng.integers(0, 2**64, (5, 7), dtype=np.uint64)
    above[4] = 2**64 - 1
    inside, counts = _narrowed(shapes, chosen, above)
    np.testing.assert_array_equal(inside, shapes[chosen] & above)
    assert counts == np.bitwise_count(shapes[chosen] & above).sum(axis=1).tolist()
    assert counts[4] == 7 * 64


@pytest.mark.parametrize("most", [0, 2**16 - 1, 2**16, 2**32 - 1])
def test_counts_of_a_raster_come_back_as_they_were(most: int, tmp_path):
    counts = np.zeros((BINS, BINS), dtype=np.uint32)
    counts[3, 4] = most
    raster = GateRaster("count", "root", most, "CD3", "CD4", (0.0, 1.0), (0.0, 1.0), counts, ((0.0, "0"),), (), ())
    write_rasters((raster,), tmp_path / "one.npz")
    (found,) = read_rasters(tmp_path / "one.npz")
    np.testing.assert_array_equal(found.counts, counts)
    assert found.counts.dtype == np.uint32


def test_a_table_has_the_same_bits_compiled_or_not(monkeypatch):
    scale = Biexponential("logicle", 262144.0, 0.5, 4.5, 0.0)
    values = np.concatenate([np.random.default_rng(1).normal(0, 3e4, 20_000), [0.0, -0.0, 1e9, np.nan, -np.inf]])
    answers = []
    for compiled in (True, False):
        monkeypatch.setattr(event_loops, "loaded", lambda compiled=compiled: compiled)
        answers.append(scale.apply(values).tobytes())
    assert answers[0] == answers[1]


def test_a_curve_that_is_not_odd_has_no_table():
    assert ScaleTable.of(lambda x: np.where(x < 0, 0.5 * x, x) / 1e3, top=1e3, linear=1.0) is None


def test_few_values_are_evaluated():
    scale = Biexponential("logicle", 262144.0, 0.5, 4.5, 0.0)
    values = np.linspace(-1e3, 2e5, LEAST_VALUES - 1).reshape(-1, 1)
    np.testing.assert_array_equal(scale.apply(values), scale.exactly(values.ravel()).reshape(-1, 1))


def extremes(n: int) -> dict[str, np.ndarray]:
    """Finite values whose squares, spread or bandwidth lie beyond what a number can hold, or next to it."""
    rng = np.random.default_rng(n)
    normal, above = rng.normal(size=n), np.nextafter(1e6, 2e6)
    return {
        "squares overflow": normal * 1e200,
        "one beyond squares": np.append(np.zeros(n - 1), 1e160),
        "both ends of the numbers": np.append(np.full(n - 1, -1.7e308), 1.7e308),
        "largest, constant": np.full(n, 1.7e308),
        "smallest, constant": np.full(n, 5e-324),
        "no normal numbers": normal * 1e-320,
        "squares vanish": normal * 1e-200,
        "neighbours": np.where(normal > 0, above, 1e6),
        "one neighbour": np.append(np.full(n - 1, 1e6), above),
        "zeros of both signs": np.where(normal > 0, 0.0, -0.0),
    }


@pytest.mark.parametrize("n", [1, 2, 3, 500, 501])
def test_densities_of_extreme_values_stay_on_their_grid(n: int, monkeypatch):
    for name, values in extremes(n).items():
        answers = []
        for compiled in (False, True):  # the twin looks at bounds
            monkeypatch.setattr(event_loops, "loaded", lambda compiled=compiled: compiled)
            with np.errstate(over="ignore", under="ignore"):
                peaks = bins_of(values, np.array([0]), n).peaks
                answers.append([*densities(np.sort(values)[None]), peaks.row, peaks.place, peaks.counts])
        for one, other in zip(*answers, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)
        step, height = answers[0][1:3]
        assert np.isfinite(height).all(), name
        assert (height >= 0).all(), name
        assert height.max() > 0, name
        # All of the mass is there: the integral of the density over its grid is 1.
        if "neighbour" not in name:  # a grid between two neighbours has steps of rounding
            assert float(height[0].sum() * step[0]) == pytest.approx(1, abs=0.01), name


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_has_no_density(bad, compiled):
    rows = np.sort(np.stack([np.arange(6.0), [0, 1, 2, 3, 4, bad]]), axis=1)
    with pytest.raises(ValueError, match="finite"):
        densities(rows)
    with pytest.raises(ValueError, match="at least one"):
        densities(np.empty((2, 0)))


def test_loops_take_nothing_and_any_order_in_memory(compiled):
    none = np.empty(0)
    words = np.zeros((1, 0), dtype=np.uint64)
    assert np.isnan(medians_of_groups(np.empty((3, 0)), words, [0, 1], [0, 0])).all()
    assert medians_of_groups(np.empty((0, 5)), np.ones((1, 5), dtype=np.uint64), [0], [5]).shape == (1, 0)
    assert _bins(none, (0.0, 1.0)).shape == (0,)
    axis = _Axis("a", _bins(none, (0.0, 1.0)), (0.0, 1.0), ())
    assert _grid(axis, axis, np.empty(0, dtype=bool)).sum() == 0
    spread = np.random.default_rng(2).normal(size=(9000, 3))
    for values in (spread[:, 1], spread[::-2, 0], spread.T[2]):
        plain = values.copy()
        np.testing.assert_array_equal(at_ranks(values, np.array([0, 7, 4000])), np.sort(plain)[[0, 7, 4000]])
        np.testing.assert_array_equal(_bins(values, (-1.0, 2.0)), _bins(plain, (-1.0, 2.0)))
    words = np.random.default_rng(3).integers(0, 2, (9000, 2)).astype(np.uint64).T
    sizes = [int(words[0].sum())]
    np.testing.assert_array_equal(
        medians_of_groups(spread.T, words, [0], sizes)[0], np.median(spread[words[0] == 1], axis=0)
    )
