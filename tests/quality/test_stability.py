"""Signal stability: the numbers of the reference (R 4.2.2), a known perturbation, and what must always hold."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile.io.fcs import read_fcs
from immunoprofile.quality import assess, signal_stability
from immunoprofile.quality._follow import bins_of, steadied
from immunoprofile.quality._spline import knot_count, smooth
from immunoprofile.quality._tree import largest_leaf
from immunoprofile.quality.stability import bin_size, short_runs

# Channels of the oracles in spec/qc-and-gate-placement.md 1.1, counted from 1 as there.
ORACLE_CHANNELS = [number - 1 for number in (1, 3, *range(5, 15), 18, 21)]


def two_populations(n: int, channels: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    positive = rng.random((n, channels)) < 0.35
    return np.where(positive, rng.normal(0.7, 0.05, (n, channels)), rng.normal(0.3, 0.04, (n, channels)))


@pytest.fixture(scope="module")
def transformed(outside_data):
    return read_fcs(outside_data / "qc_peacoqc_111" / "111_Comp_Trans.fcs")


@pytest.mark.outside_data
@pytest.mark.parametrize(
    ("force_tree", "tree", "mad", "total", "kept", "flagged"),
    [
        (150, 0.0, 11.614849, 11.614849, 8500, [(0, 1000), (9500, 9617)]),
        (20, 7.79869, 1.216596, 9.015285, 8750, [(0, 750), (9500, 9617)]),
    ],
    ids=["default", "tree from 20 bins"],
)
def test_reference_numbers(transformed, force_tree, tree, mad, total, kept, flagged):
    names = [transformed.channels[at].pnn for at in ORACLE_CHANNELS]
    found = signal_stability(transformed.events[:, ORACLE_CHANNELS], names, order="file", force_tree=force_tree)
    assert (len(found.starts), found.events_per_bin, found.rules) == (39, 500, "reference")
    assert found.tree_used == (force_tree == 20)
    assert found.pct_tree == pytest.approx(tree, abs=1e-5)
    assert found.pct_mad == pytest.approx(mad, abs=1e-6)
    assert found.pct_events == pytest.approx(total, abs=1e-6)
    assert int(np.sum(~found.bad_events)) == kept
    if force_tree == 150:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], found.bad_events, [0]])))
        assert edges.reshape(-1, 2).tolist() == [list(one) for one in flagged]


@pytest.mark.outside_data
def test_perturbed_stretch_of_flowclean_is_flagged(outside_data):
    """V705-A was perturbed in about events 19,100-26,800 (PROVENANCE); no spillover matrix, logicle scale."""
    sample = read_fcs(outside_data / "qc_flowai_flowcut_flowclean" / "flowClean_synPerturbed.fcs")
    quality = assess(sample)
    inside = np.zeros(sample.n_events, dtype=bool)
    inside[19_100:26_800] = True
    flagged = quality.masks["stability"]
    assert flagged[inside].mean() >= 0.98
    assert flagged[~inside].mean() < 0.03
    at_fault = quality.stability.bad_channels.sum(axis=0)
    assert quality.stability.channels[int(at_fault.argmax())] == "<V705-A>"
    assert at_fault.max() > 5 * np.sort(at_fault)[-2]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [20_000, 60_000])
def test_steady_signal_is_hardly_flagged(seed, n):
    found = signal_stability(two_populations(n, 6, seed), list("abcdef"))
    assert found.assessable
    assert found.pct_events < 2
    assert found.drifting == ()


def test_steady_signal_of_few_events_is_hardly_flagged_on_average():
    """23 bins: one bin in one file is 8 % of its events, so the mean over files is what can be small."""
    shares = [signal_stability(two_populations(6_000, 6, seed), list("abcdef")).pct_events for seed in range(20)]
    assert np.mean(shares) < 2


@pytest.mark.parametrize("n", [20_000, 60_000])
@pytest.mark.parametrize("shift", [-0.06, 0.25])
def test_shift_of_one_channel_is_found_where_it_is(n, shift):
    values = two_populations(n, 5, 1)
    begin, end = int(0.4 * n), int(0.52 * n)
    values[begin:end, 3] += shift
    found = signal_stability(values, list("abcde"))
    inside = np.zeros(n, dtype=bool)
    inside[begin:end] = True
    assert found.bad_events[inside].all()
    assert found.bad_events[~inside].mean() < 0.05
    assert not found.bad_channels[:, [0, 1, 2, 4]].any(axis=0).any()


def test_one_population_missing_for_a_while_is_found_by_the_mean():
    """The peak that is left sits at its place, and gaps of the other are filled: only the mean tells."""
    rng = np.random.default_rng(3)
    values = two_populations(30_000, 2, 3)
    values[10_000:14_000, 0] = rng.normal(0.7, 0.05, 4000)
    found = signal_stability(values, ["a", "b"])
    assert found.bad_events[10_250:13_750].all()
    assert not signal_stability(values, ["a", "b"], rules="reference").bad_events[11_000:13_000].any()


def test_time_decides_on_the_order_and_the_mask_follows_the_file():
    values = two_populations(20_000, 3, 5)
    values[9_000:12_000] += 0.2
    time = np.arange(20_000.0)
    shuffled = np.random.default_rng(0).permutation(20_000)
    one = signal_stability(values, list("abc"), time=time)
    two = signal_stability(values[shuffled], list("abc"), time=time[shuffled])
    assert one.bad_events.any()
    np.testing.assert_array_equal(one.bad_events[shuffled], two.bad_events)


def test_drift_is_told_and_not_flagged_as_such():
    values = two_populations(60_000, 2, 2)
    values[:, 1] += np.linspace(0, 0.5, 60_000)
    assert signal_stability(values, ["steady", "drifts"]).drifting == ("drifts",)


def test_not_assessable_is_not_a_pass():
    few = signal_stability(two_populations(3000, 2, 0), ["a", "b"])
    nan = signal_stability(np.full((20_000, 1), np.nan), ["a"])
    none = signal_stability(np.empty((20_000, 0)), [])
    for found in (few, nan, none):
        assert not found.assessable and found.reason
        assert np.isnan(found.pct_events) and not found.bad_events.any()


def test_constant_channel_is_steady():
    values = np.column_stack([two_populations(20_000, 1, 4)[:, 0], np.zeros(20_000)])
    assert signal_stability(values, ["a", "empty"]).pct_events == 0


@pytest.mark.parametrize(("events", "size"), [(9_617, 500), (76_466, 500), (125_000, 1000), (1_000_000, 4500)])
def test_bin_size(events, size):
    assert bin_size(events) == size


# --- the parts ----------------------------------------------------------------------------------


def test_spline_keeps_straight_lines_and_flattens_noise():
    line = np.linspace(-2, 5, 80)[:, None]
    np.testing.assert_allclose(smooth(line), line, atol=1e-8)
    noise = np.random.default_rng(0).normal(size=(300, 1))
    assert smooth(noise).std() < 0.6 * noise.std()
    assert [knot_count(n) for n in (10, 49, 200, 800)] == [10, 49, 100, 140]


def test_tree_sets_a_stretch_apart():
    column = np.random.default_rng(0).normal(0, 0.1, (200, 2))
    column[60:90, 1] += 5
    kept = largest_leaf(column)
    assert np.flatnonzero(~kept).tolist() == list(range(60, 90))
    assert largest_leaf(np.random.default_rng(1).normal(size=(200, 3))).sum() > 150


def test_short_runs_and_running_median():
    flags = np.array([1, 1, 0, 1, 1, 1, 0, 1], dtype=bool)
    assert np.flatnonzero(short_runs(flags, 3)).tolist() == [0, 1, 7]
    pair = np.array([0.0, 0, 0, 0, 9, 9, 0, 0, 0, 0])[:, None]
    three = np.array([0.0, 0, 0, 0, 9, 9, 9, 0, 0, 0])[:, None]
    assert not steadied(pair, 5).any()
    np.testing.assert_array_equal(steadied(three, 5), three)


def test_peaks_of_a_bin():
    rng = np.random.default_rng(0)
    column = np.where(rng.random(1000) < 0.5, rng.normal(0, 0.1, 1000), rng.normal(2, 0.1, 1000))
    found = bins_of(column, np.array([0, 250, 500, 750]), 500)
    peaks, medians = found.peaks, found.medians
    assert peaks.counts.tolist() == [2, 2, 2, 2]
    np.testing.assert_allclose(peaks.place.reshape(-1, 2), [[0, 2]] * 4, atol=0.08)
    assert medians[3] == pytest.approx(np.median(column[750:]))
