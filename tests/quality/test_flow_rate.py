"""Flow rate: steady acquisitions pass, a standstill is found, nothing is judged without Time."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile.io.fcs import Channel, Sample
from immunoprofile.quality import flow_rate
from immunoprofile.quality.flow_rate import _bin_of, moments_of


def sample(time: np.ndarray, name: str = "Time") -> Sample:
    events = np.column_stack([np.full(time.size, 1000.0), time])
    channels = (Channel("FSC-A", "", "FSC-A", 262144.0), Channel(name, "", name, 262144.0))
    return Sample("t.fcs", events, channels)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("n", [3000, 20_000, 200_000])
def test_steady_flow_passes(seed, n):
    rate = flow_rate(sample(np.sort(np.random.default_rng(seed).uniform(0, 60, n))))
    assert rate.assessable
    assert rate.pct_time == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [3000, 24_000, 300_000])
@pytest.mark.parametrize(
    ("seconds", "step"), [(60, 0.1), (60, 0.25), (60, 1), (60, 2.9), (25, 1), (600, 7), (1800, 60)]
)
def test_steady_flow_passes_on_every_clock(seconds, step, n, seed):
    """The acquisition begins and ends in the middle of a tick; the step need not be a nice number."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0.37 * step, seconds + 0.61 * step, n))
    rate = flow_rate(sample(np.floor(time / step) * step))
    assert rate.assessable
    assert rate.pct_time == 0 and not rate.bad_events.any()
    assert rate.gaps == ()
    inner = np.diff(rate.edges)[1:-1]
    assert (inner > 2.9 * step).all() or (np.diff(rate.edges) > 9 * step).all()
    np.testing.assert_allclose(np.median(rate.rate), n / seconds, rtol=0.1)


@pytest.mark.parametrize("step", [0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize(("part", "begin", "end"), [(0.05, 30, 60), (0.0, 20, 40), (0.1, 0, 15)])
def test_a_clog_is_found_on_every_clock(step, part, begin, end):
    rng = np.random.default_rng(1)
    time = rng.uniform(0, 60, 24_000)
    time = np.sort(time[(time < begin) | (time > end) | (rng.random(time.size) < part)])
    rate = flow_rate(sample(np.floor(time / step) * step))
    assert rate.pct_time == pytest.approx(100 * (end - begin) / 60, abs=6)
    middle = (rate.edges[:-1] + rate.edges[1:]) / 2
    assert rate.bad_bins[(middle > begin + 3) & (middle < end - 3)].all()
    assert not rate.bad_bins[(middle < begin - 5) | (middle > end + 5)].any()


def test_a_clock_that_is_stamped_by_packets():
    """Events get the time at which their packet was sent, about once a second and never twice the same."""
    rng = np.random.default_rng(4)
    sent = np.cumsum(rng.uniform(0.8, 1.2, 60))
    time = np.sort(rng.uniform(0, sent[-1], 30_000))
    stamped = np.concatenate([[0.0], sent])[np.searchsorted(sent, time)]
    rate = flow_rate(sample(stamped))
    assert rate.assessable and rate.pct_time == 0


@pytest.mark.parametrize("times", [2, 3, 19])
def test_few_distinct_times_are_not_assessable(times):
    time = np.sort(np.random.default_rng(0).integers(0, times, 9000)).astype(float)
    rate = flow_rate(sample(time))
    assert not rate.assessable and rate.coarse
    assert rate.reason == f"the clock has {times} distinct times, fewer than 20"
    assert np.isnan(rate.pct_time) and not rate.bad_events.any()


def test_rate_is_events_per_second():
    rate = flow_rate(sample(np.linspace(0, 50, 10_001)))
    np.testing.assert_allclose(rate.rate[1:-1], 200, rtol=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_clog_is_found_where_it_is(seed):
    """From 20 to 26 of 60 s only a tenth of the events pass."""
    rng = np.random.default_rng(seed)
    time = rng.uniform(0, 60, 20_000)
    kept = time[(time < 20) | (time > 26) | (rng.random(time.size) < 0.1)]
    rate = flow_rate(sample(np.sort(kept)))
    middle = (rate.edges[:-1] + rate.edges[1:]) / 2
    inside = (middle > 20.5) & (middle < 25.5)
    assert rate.bad_bins[inside].all()
    assert not rate.bad_bins[(middle < 19.5) | (middle > 26.5)].any()
    assert rate.pct_time == pytest.approx(10, abs=2)


def test_order_of_events_does_not_matter():
    rng = np.random.default_rng(0)
    time = np.sort(np.concatenate([rng.uniform(0, 20, 5000), rng.uniform(30, 50, 5000)]))
    shuffled = rng.permutation(time.size)
    one, two = flow_rate(sample(time)), flow_rate(sample(time[shuffled]))
    assert one.pct_time == two.pct_time > 0
    np.testing.assert_array_equal(one.bad_events[shuffled], two.bad_events)


@pytest.mark.parametrize(
    ("time", "name"),
    [(np.arange(5000.0), "CD3"), (np.zeros(5000), "Time"), (np.arange(100.0), "Time"), (np.full(5000, np.nan), "Time")],
)
def test_not_assessable_is_not_a_pass(time, name):
    rate = flow_rate(sample(time, name))
    assert not rate.assessable
    assert rate.reason
    assert np.isnan(rate.pct_time)


def test_long_standstill_is_the_fault_and_not_the_rest():
    """Two thirds of the time at a tenth of the rate: the slow part is flagged, with few of the events."""
    time = np.concatenate([np.linspace(0, 20, 10_000, endpoint=False), np.linspace(20, 60, 2_000)])
    rate = flow_rate(sample(time))
    assert rate.pct_time == pytest.approx(66.7, abs=2)
    assert rate.pct_events == pytest.approx(16.7, abs=2)


def test_bins_and_moments_are_the_same_in_any_order_of_the_events():
    rng = np.random.default_rng(8)
    time = np.sort(np.round(rng.uniform(0, 30, 5000), 2))
    shuffled = rng.permutation(len(time))
    for edges in (np.linspace(0.0, 30.0, 61), np.array([0.0, 30.0]), np.array([2.0, 2.0, 5.01, 5.02, 29.0])):
        expected = np.clip(np.searchsorted(edges, time, side="right") - 1, 0, len(edges) - 2)
        np.testing.assert_array_equal(_bin_of(time, edges), expected)
        np.testing.assert_array_equal(_bin_of(time[shuffled], edges), expected[shuffled])
    np.testing.assert_array_equal(moments_of(time), np.unique(time))
    np.testing.assert_array_equal(moments_of(time[shuffled]), np.unique(time))
    assert moments_of(time[:0]).size == 0
