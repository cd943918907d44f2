"""All checks together: on the synthetic trial, and what stays not evaluable."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile.compensation import from_keywords
from immunoprofile.io.fcs import Channel, Sample, read_fcs
from immunoprofile.quality import assess, good_intervals, in_time_gate
from immunoprofile.quality.assess import MASKS, channels_to_follow


def tube(n: int = 20_000, *, timed: bool = True, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    area = rng.lognormal(11, 0.2, n)
    height = 0.6 * area * rng.normal(1, 0.012, n)
    dye = np.where(rng.random(n) < 0.05, rng.lognormal(10, 0.2, n), rng.lognormal(5, 0.3, n))
    cd3 = np.where(rng.random(n) < 0.6, rng.lognormal(9, 0.3, n), rng.lognormal(5, 0.3, n))
    columns = [area, height, dye, cd3] + ([np.sort(rng.uniform(0, 60, n))] if timed else [])
    names = [("FSC-A", ""), ("FSC-H", ""), ("V510-A", "Viability"), ("V450-A", "CD3"), ("Time", "")][: len(columns)]
    markers = ["FSC-A", "FSC-H", "Viability", "CD3", "Time"]
    channels = tuple(Channel(*name, marker, 262144.0) for name, marker in zip(names, markers, strict=False))
    return Sample("tube.fcs", np.column_stack(columns), channels)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Six subjects: folder, and the places (subject, visit, tube) of clogged tubes and their attempts."""
    folder = tmp_path_factory.mktemp("quality") / "demo"
    ip.datasets.il2_cmv(folder, subjects=6)
    with (folder.parent / "demo-truth" / "warts.csv").open(encoding="utf-8") as handle:
        warts = list(csv.DictReader(handle))
    with (folder / "samples.csv").open(encoding="utf-8") as handle:
        samples = list(csv.DictReader(handle))
    return folder, warts, samples


@pytest.mark.slow
def test_clogged_tubes_are_flagged_and_clean_ones_lose_under_two_per_cent(demo):
    folder, warts, samples = demo
    places = {(w["usubjid"], w["visit"], w["tube"]): w["name"] for w in warts}
    clogged, lost = [], []
    for row in samples:
        name = places.get((row["usubjid"], row["visit"], row["tube_id"]), "")
        if row["role"] != "sample" or name == "truncated_fcs":
            continue
        sample = read_fcs(folder / row["fcs_path"])
        quality = assess(sample, comp=from_keywords(sample))
        share = 100 * np.mean(quality.masks["stability"] | quality.masks["flow_rate"])
        if name == "clog" or (name == "rerun_tube" and row["attempt"] == "1"):
            states = {finding.check: finding.state for finding in quality.findings}
            clogged.append((share, states["flow_rate"], states["time_loss"]))
        else:
            lost.append(share)
    assert len(clogged) == 2 and len(lost) > 60
    assert all(share > 10 and rate == "FAIL" and loss == "WARN" for share, rate, loss in clogged)
    assert max(lost) < 2


def test_masks_findings_and_time_gate_of_a_good_file():
    sample = tube()
    quality = assess(sample)
    assert tuple(quality.masks) == MASKS
    assert all(mask.shape == (20_000,) for mask in quality.masks.values())
    states = {finding.check: finding.state for finding in quality.findings}
    assert states.pop("signal_bins") == "WARN"  # 79 bins, fewer than 150
    assert set(states.values()) == {"PASS"}
    assert quality.pct["dead"] == pytest.approx(5, abs=0.5)
    assert quality.pct["stability"] == 0
    time = sample.values("Time")
    assert quality.time_gate == ((time.min(), time.max()),)
    assert quality.good.mean() > 0.95
    assert list(quality.flags().columns) == list(MASKS)
    assert list(quality.table().columns) == ["check", "value", "unit", "limits", "state", "flag", "note"]


def test_time_gate_leaves_the_fault_out_and_no_event_is_deleted():
    sample = tube()
    sample.events[8_000:10_000, 3] *= 0.2
    quality = assess(sample)
    time = sample.values("Time")
    inside = in_time_gate(time, quality.time_gate)
    assert not inside[8_000:10_000].any()
    assert len(quality.time_gate) == 2
    np.testing.assert_array_equal(inside, ~(quality.masks["stability"] | quality.masks["flow_rate"]))
    assert sample.n_events == len(quality.masks["stability"]) == 20_000
    finding = next(one for one in quality.findings if one.check == "signal_stability")
    assert finding.text == "V450-A"


def test_no_time_channel_is_not_assessable():
    quality = assess(tube(timed=False))
    rows = {finding.check: finding for finding in quality.findings}
    for check in ("signal_stability", "flow_rate", "time_loss", "time_order", "time_gaps"):
        assert (rows[check].state, rows[check].flag) == ("NOT_EVALUABLE", "TIME_NOT_ASSESSABLE")
    assert not quality.masks["stability"].any() and quality.time_gate == ()
    assert rows["doublets"].state == "PASS"
    in_file_order = assess(tube(timed=False), order="file")
    assert in_file_order.stability.assessable and not in_file_order.rate.assessable


def test_few_events_are_told_as_such():
    rows = {finding.check: finding for finding in assess(tube(5_000)).findings}
    assert (rows["signal_stability"].state, rows["signal_stability"].flag) == ("NOT_EVALUABLE", "FEW_BINS")


def test_empty_file_is_not_a_pass():
    sample = tube(1_000)
    empty = Sample("empty.fcs", sample.events[:0], sample.channels)
    assert {finding.state for finding in assess(empty).findings} == {"NOT_EVALUABLE"}


def test_disorder_and_gap_of_time():
    sample = tube()
    time = sample.events[:, 4]
    time[10_000:] += 5
    assert assess(sample).rate.gaps == ((time[9_999], time[10_000]),)
    mixed = Sample("m.fcs", sample.events[np.random.default_rng(0).permutation(20_000)], sample.channels)
    rows = {finding.check: finding for finding in assess(mixed).findings}
    assert rows["time_order"].value == pytest.approx(50, abs=2)
    assert rows["time_order"].flag == "TIME_DISORDERED"


def test_wandering_rate_does_not_hide_a_standstill():
    rng = np.random.default_rng(0)
    rates = np.repeat(rng.uniform(100, 500, 60), 1).astype(int)
    rates[20:30] = 5
    time = np.concatenate([second + np.sort(rng.random(count)) for second, count in enumerate(rates)])
    sample = tube(time.size)
    sample.events[:, 4] = time
    rate = assess(sample).rate
    middle = (rate.edges[:-1] + rate.edges[1:]) / 2
    assert rate.bad_bins[(middle > 20.5) & (middle < 29.5)].all()


def test_template_value_without_a_valley_is_to_be_looked_at():
    sample = tube()
    sample.events[:, 2] = np.random.default_rng(0).lognormal(5, 0.3, 20_000)
    row = next(one for one in assess(sample, dead_fallback=0.55).findings if one.check == "dead_cells")
    assert (row.state, row.flag) == ("WARN", "VIABILITY_FALLBACK")


def test_limits_of_a_study_and_scales_of_a_template():
    class Tenth:
        def apply(self, values: np.ndarray) -> np.ndarray:
            return values / 10

    quality = assess(tube(), limits={"signal_bins": {"pass": (50, None)}}, scales={"CD3": Tenth()})
    assert next(one for one in quality.findings if one.check == "signal_bins").state == "PASS"
    column = quality.stability.channels.index("V450-A")
    assert quality.stability.medians[:, column].max() > 100


def test_one_channel_a_detector_is_followed():
    names = ["FSC-H", "FSC-A", "SSC-H", "FL1-A", "FL1-H", "FL1-W", "CD4", "Time"]
    channels = tuple(Channel(name, "", name, 1024.0) for name in names)
    followed = channels_to_follow(Sample("c.fcs", np.zeros((1, 8)), channels))
    assert [names[at] for at in followed] == ["FSC-A", "SSC-H", "FL1-A", "CD4"]


def test_intervals_by_hand():
    time = np.array([0.0, 1, 1, 2, 3, 4, 5])
    bad = np.array([0, 0, 1, 0, 0, 1, 0], dtype=bool)
    gate = good_intervals(time, bad)
    assert gate == ((0.0, 0.0), (2.0, 3.0), (5.0, 5.0))
    assert in_time_gate(time, gate).tolist() == [True, False, False, True, True, False, True]
    assert good_intervals(time, np.ones(7, dtype=bool)) == ()


@pytest.mark.parametrize("times", [4, 15])
def test_a_clock_of_few_times_fails_nothing_that_rests_on_time(times):
    sample = tube()
    time = sample.channels[-1]
    assert time.marker == "Time"
    sample.events[:, -1] = np.floor(sample.events[:, -1] * times / 60)
    # one stretch of events that the signal check flags must not take a whole tick with it
    sample.events[8_000:10_000, 3] *= 0.2
    quality = assess(sample)
    states = {finding.check: (finding.state, finding.flag) for finding in quality.findings}
    for check in ("flow_rate", "time_loss", "time_gaps", "time_order"):
        assert states[check] == ("NOT_EVALUABLE", "TIME_NOT_ASSESSABLE")
    assert quality.time_gate == ()
    assert states["signal_stability"][0] in ("PASS", "WARN")
    told = next(finding for finding in quality.findings if finding.check == "flow_rate")
    assert "distinct times" in told.text
