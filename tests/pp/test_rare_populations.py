"""Rare populations: golden tables of counting, exact limits held against enumeration, detection in simulated counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact, poisson

from immunoprofile import pp
from immunoprofile.pp.rare_populations import rare_table
from immunoprofile.schema import DETECTION, RARE_COLUMNS, REPORTING


def test_how_counts_are_reported() -> None:
    counts = [np.nan, 0, 1, 29, 30, 99, 100, 5_000]
    expected = ["", "NONE_FOUND", "BELOW_30", "BELOW_30", "LOW_EVENTS", "LOW_EVENTS", "REPORTED", "REPORTED"]
    assert pp.reporting_class(counts).tolist() == expected
    assert set(expected) - {""} == set(REPORTING)


def test_parent_events_for_100_target_events() -> None:
    """Of lymphocytes, at the frequencies Treg 2.4, naive Treg 0.6, CD56bright 0.84, Ki-67+ Treg 0.36 %."""
    needed = pp.parent_events_for_count(100, [0.024, 0.006, 0.0084, 0.0036])
    assert np.round(needed, -2).tolist() == [4_200, 16_700, 11_900, 27_800]
    assert np.isnan(pp.parent_events_for_count(100, [0, np.nan])).all()


@given(st.integers(0, 60), st.integers(0, 40), st.integers(1, 50_000), st.integers(1, 50_000))
@settings(max_examples=60, deadline=None)
def test_the_test_against_the_blank_is_the_conditional_binomial(k: int, blank: int, n: int, n_blank: int) -> None:
    p = float(pp.background_p(k, n, background=blank, background_parent=n_blank))
    expected = binomtest(k, k + blank, n / (n + n_blank), alternative="greater").pvalue if k + blank else 1.0
    assert p == pytest.approx(expected, rel=1e-9)


def test_of_rare_populations_fisher_says_the_same() -> None:
    ours = float(pp.background_p(25, 40_000, background=6, background_parent=20_000))
    fisher = fisher_exact([[25, 40_000 - 25], [6, 20_000 - 6]], alternative="greater").pvalue
    assert ours == pytest.approx(fisher, rel=2e-3)


@given(st.integers(0, 60), st.integers(1, 30_000), st.integers(1, 30_000))
@settings(max_examples=60, deadline=None)
def test_the_limit_of_blank_is_the_last_count_that_is_not_significant(blank: int, n: int, n_blank: int) -> None:
    limit = float(pp.limit_of_blank(n, blank, n_blank))
    assert float(pp.background_p(limit + 1, n, background=blank, background_parent=n_blank)) <= 0.05
    assert limit == 0 or float(pp.background_p(limit, n, background=blank, background_parent=n_blank)) > 0.05
    # what is found in 95 % of samples
    found = float(pp.limit_of_detection(n, blank, n_blank))
    assert float(poisson.sf(limit, found)) == pytest.approx(0.95, abs=1e-9)


def test_with_many_events_of_the_blank_it_is_the_limit_of_currie() -> None:
    for blank in (10, 100, 1_000, 10_000):
        known = float(pp.limit_of_detection(10_000, 1_000 * blank, 10_000_000)) - blank
        assert known == pytest.approx(float(pp.detection_limit(blank)), rel=0.025)
        # Currie's paired blank is still to be counted (its scatter counts twice), this one was
        counted = float(pp.limit_of_detection(10_000, blank, 10_000)) - blank
        assert counted == pytest.approx(2.71 + 1.645 * (1 + math.sqrt(2)) * math.sqrt(blank), abs=3)
        assert 0.85 < counted / float(pp.detection_limit(blank, paired=True)) < 1.03


@pytest.mark.parametrize(("expected", "ratio"), [(2.0, 1.0), (20.0, 1.0), (5.0, 4.0), (40.0, 0.25)])
def test_a_blank_is_taken_for_a_population_in_at_most_5_percent(expected: float, ratio: float) -> None:
    """Every pair of counts of two equal frequencies, with its probability: nothing is simulated."""
    n_blank = 10_000.0
    blanks = np.arange(0, int(expected / ratio + 12 * math.sqrt(expected / ratio) + 12))
    limits = pp.limit_of_blank(n_blank * ratio, blanks, np.full(blanks.size, n_blank))
    false = float(poisson.pmf(blanks, expected / ratio) @ poisson.sf(limits, expected))
    assert 0.0001 < false <= 0.05


def test_parent_events_for_detection() -> None:
    needed = pp.parent_events_for_detection([0.001, 0.001, 0.01, np.nan], [0.0, 0.0005, 0.01, 0.0])
    assert needed[0] == 9_154  # an empty blank of the same size: LoB 4 events, 9.154 expected exceed it in 95 %
    n = needed[1]
    assert float(pp.limit_of_detection(n, n * 0.0005, n)) <= n * 0.001
    assert float(pp.limit_of_detection(0.9 * n, 0.9 * n * 0.0005, 0.9 * n)) > 0.9 * n * 0.001
    assert np.isinf(needed[2])
    assert np.isnan(needed[3])


def test_the_table_never_takes_a_missing_blank_for_an_empty_one() -> None:
    table = rare_table([20, 0, 5, 5, np.nan, 0], [50_000, 100_000, 1_000, 1_000, 1_000, 0],
                       [np.nan, 3, 0, 4, 0, 0], [np.nan, 50_000, 3_000, 1_000, 1_000, 1_000])  # fmt: skip
    assert set(table.columns) < set(RARE_COLUMNS)
    assert table["detection"].tolist() == ["NO_BACKGROUND", "NOT_ABOVE", "ABOVE", "NOT_ABOVE", "", ""]
    assert set(table["detection"]) - {""} == set(DETECTION)
    first = table.iloc[0]
    assert np.isnan(first[["background_n", "background_pct", "limit_of_blank", "limit_of_detection", "p_background",
                           "n_parent_detection"]].astype(float)).all()  # fmt: skip
    assert (first["pct_lower"], first["pct_upper"]) == pytest.approx((0.0244347, 0.0617700), rel=1e-5)
    assert (first["n_lower"], first["n_upper"]) == pytest.approx((12.2, 30.9), abs=0.05)
    assert first["cv"] == pytest.approx(22.4, abs=0.05)
    # 25, 45 and 100 events at 4 in 10,000
    assert first[["n_parent_cv20", "n_parent_cv15", "n_parent_cv10"]].tolist() == [62_500, 112_500, 250_000]
    none = table.iloc[1]
    assert none["pct_upper"] / 100 == pytest.approx(3.69 / 100_000, rel=1e-3)
    assert np.isnan(none["cv"])
    assert none["reporting"] == "NONE_FOUND"
    assert table.iloc[3]["background_pct"] == pytest.approx(0.4)
