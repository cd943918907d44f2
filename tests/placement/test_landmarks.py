"""The shift between two densities: recovered on known shifts, symmetric, and never the edge of the range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from immunoprofile.placement.landmarks import curve_of, shift_between


def two_peaks(seed, share=0.4, moved=0.0, n=4000):
    rng = np.random.default_rng(seed)
    upper = rng.random(n) < share
    return np.where(upper, rng.normal(0.7, 0.03, n), rng.normal(0.3, 0.05, n)) + moved


@given(st.floats(-0.08, 0.08))
def test_a_known_shift_is_found(moved):
    values = two_peaks(1)
    found = shift_between(curve_of(values + moved), curve_of(values), bound=0.1, span=1.0)
    assert found.shift == pytest.approx(moved, abs=2e-4)
    assert found.agreement == pytest.approx(1.0, abs=1e-3)
    assert not found.at_edge


@given(st.floats(0.15, 0.6), st.floats(-0.05, 0.05))
def test_another_share_of_a_population_is_no_shift(share, moved):
    """Other cells: the peaks are where they were, so the shift is that of the peaks."""
    found = shift_between(curve_of(two_peaks(2, share, moved)), curve_of(two_peaks(3)), bound=0.1, span=1.0)
    assert found.shift == pytest.approx(moved, abs=0.006)


def test_beyond_the_bound_there_is_no_shift():
    found = shift_between(curve_of(two_peaks(1, moved=0.15)), curve_of(two_peaks(1)), bound=0.05, span=1.0)
    assert found.at_edge


def test_a_shift_is_the_opposite_the_other_way_round():
    one, other = curve_of(two_peaks(1, moved=0.03)), curve_of(two_peaks(4))
    there = shift_between(one, other, bound=0.1, span=1.0)
    back = shift_between(other, one, bound=0.1, span=1.0)
    assert there.shift == pytest.approx(-back.shift, abs=1e-3)
