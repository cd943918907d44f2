"""Doublets: numbers of other programs on a real file, and a mixture whose doublets are known."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile.io.fcs import read_fcs
from immunoprofile.quality import doublets_by_ratio, margins, singlet_gate


@pytest.fixture(scope="module")
def lsr(outside_data):
    return read_fcs(outside_data / "qc_peacoqc_111" / "111.fcs")


@pytest.mark.outside_data
def test_ratio_rule_on_a_real_file(lsr):
    area, height = lsr.values("FSC-A"), lsr.values("FSC-H")
    assert int(doublets_by_ratio(area, height).sum()) == 549
    names = [lsr.channels[number - 1].pnn for number in (1, 3, *range(5, 15), 18, 21)]
    kept = ~margins(lsr, names, rails="reference").bad_events
    assert int(doublets_by_ratio(area[kept], height[kept]).sum()) == 532


@pytest.mark.outside_data
def test_singlet_gate_on_a_real_file(lsr):
    gate = singlet_gate(lsr.values("FSC-A"), lsr.values("FSC-H"))
    # R stops its least squares at a relative 1e-7; the digits agree to 2e-8.
    assert gate.slope == pytest.approx(0.9555202087, rel=1e-9)
    assert gate.intercept == pytest.approx(-305.0206337653, rel=5e-8)
    assert gate.scale == pytest.approx(3901.145381, rel=2e-8)
    assert int(gate.bad_events.sum()) == 727


@pytest.mark.outside_data
def test_singlet_gate_on_a_second_file(outside_data):
    sample = read_fcs(outside_data / "torture_fcs_readers" / "flowio" / "100715.fcs")
    gate = singlet_gate(sample.values("FSC-A"), sample.values("FSC-H"))
    assert (int(gate.bad_events.sum()), sample.n_events) == (2939, 65016)


def test_known_doublets_are_outside_and_singlets_inside():
    rng = np.random.default_rng(0)
    area = rng.lognormal(11, 0.25, 20_000)
    doublet = rng.random(20_000) < 0.06
    height = 0.62 * area * rng.normal(1, 0.012, 20_000)
    area[doublet] *= 1.9
    gate = singlet_gate(area, height)
    assert gate.bad_events[doublet].mean() > 0.99
    assert gate.bad_events[~doublet].mean() < 0.05
    assert gate.polygon.shape == (4, 2)
    assert doublets_by_ratio(area, height)[doublet].mean() > 0.99


def test_polygon_tells_the_same_events_as_the_mask():
    from matplotlib.path import Path

    rng = np.random.default_rng(1)
    area = rng.uniform(1e4, 2e5, 5000)
    height = 0.8 * area + rng.normal(0, 3000, 5000) * np.where(rng.random(5000) < 0.1, 5, 1)
    gate = singlet_gate(area, height)
    points = np.column_stack([area, height])
    inside = Path(gate.polygon).contains_points(points)
    assert np.count_nonzero(inside == gate.bad_events) <= 2  # the two ends lie on the edge


@pytest.mark.parametrize("area", [np.ones(500), np.arange(20.0), np.full(500, np.nan)])
def test_no_line_is_not_a_pass(area):
    gate = singlet_gate(area, area)
    assert not gate.assessable and gate.reason
    assert np.isnan(gate.pct_events) and not gate.bad_events.any()


def test_line_without_scatter():
    area = np.linspace(1e4, 1e5, 500)
    gate = singlet_gate(area, 0.5 * area)
    assert gate.slope == pytest.approx(0.5)
