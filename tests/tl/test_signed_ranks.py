"""Many ranks: saddlepoint against exact counts, order statistics of pairs against a table of all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, wilcoxon

from immunoprofile.tl import _pair_sums, hodges_lehmann, rank_sum, signed_rank
from immunoprofile.tl._pair_sums import pair_sums_at
from immunoprofile.tl._signed_ranks import FEWEST_SIZES, MOST_EXACT, counted, distribution, upper_tail

values = st.lists(st.integers(-40, 40).map(lambda value: value / 4), min_size=1, max_size=60)


@pytest.mark.parametrize("digits", [12, 2], ids=["no ties", "ties"])
@pytest.mark.parametrize("n", [500, 1000])
def test_saddlepoint_has_the_digits_of_exact_counts_far_into_the_tail(n: int, digits: int) -> None:
    changes = np.round(np.random.default_rng(n).normal(0.1, 1, n), digits)
    ranks = np.rint(2 * rankdata(np.abs(changes[changes != 0]))).astype(int)
    exact = np.cumsum(distribution(ranks)[::-1])[::-1]
    step, middle = int(np.gcd.reduce(ranks)), ranks.sum() / 2
    spread = np.sqrt((ranks.astype(float) ** 2).sum()) / 2
    for z in (0.001, 0.01, 0.1, 0.5, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12):
        least = int((middle + z * spread) // step + 1) * step
        assert upper_tail(ranks, least) == pytest.approx(exact[least], rel=2e-5 if z < 7 else 1e-4, abs=0), z


@pytest.mark.parametrize("n", [50, 300])
def test_p_is_the_exact_one_of_scipy(n: int) -> None:
    changes = np.random.default_rng(n).normal(0.3, 1, n)
    found = signed_rank(changes)
    assert found.method == "exact"
    assert found.p_value == pytest.approx(wilcoxon(changes, method="exact").pvalue, rel=1e-9)


@pytest.mark.parametrize("n", [MOST_EXACT + 1, 900])
@pytest.mark.parametrize("shift", [0.0, 0.08, 0.2])
def test_p_of_many_pairs_is_the_exact_one_to_four_digits(n: int, shift: float) -> None:
    changes = np.random.default_rng(n).normal(shift, 1, n)
    found = signed_rank(changes)
    assert found.method == "saddlepoint"
    assert found.p_value == pytest.approx(wilcoxon(changes, method="exact").pvalue, rel=1e-4)
    assert signed_rank(-changes).p_value == pytest.approx(found.p_value, rel=1e-12)


def test_few_sizes_are_counted_at_any_number() -> None:
    """600 changes of one size: a fair coin, whose sums lie so far apart that no smooth formula holds."""
    from scipy.stats import binomtest

    changes = np.repeat([1.0, -1.0], [330, 270])
    found = signed_rank(changes)
    assert found.method == "exact"
    assert found.p_value == pytest.approx(binomtest(330, 600).pvalue)
    sizes = np.arange(1, FEWEST_SIZES + 1)
    assert not counted(np.tile(sizes, 10))
    assert counted(np.tile(sizes[1:], 10))


def test_one_size_that_most_have_is_counted() -> None:
    """1,000 changes of one size beside 100 others: by saddlepoint p would be wrong by 1e-3 of itself."""
    others = np.arange(1, FEWEST_SIZES + 1) * np.where(np.arange(FEWEST_SIZES) % 3, 1, -1)
    changes = np.concatenate([others, np.repeat([1000.0, -1000.0], [600, 400])])
    ranks = np.rint(2 * rankdata(np.abs(changes))).astype(int)
    tail = np.cumsum(distribution(ranks)[::-1])[::-1]
    found = signed_rank(changes)
    assert found.method == "exact"
    assert found.p_value == pytest.approx(2 * tail[ranks[changes > 0].sum()], rel=1e-9)
    # Half as many leave no gap.
    changes = np.concatenate([others * 1.0, np.arange(101, 301), np.repeat([1000.0, -1000.0], [240, 160])])
    assert signed_rank(changes).method == "saddlepoint"


def test_as_many_rises_as_falls_have_p_one() -> None:
    sizes = np.arange(1, 601)
    falls = np.isin(sizes % 4, [0, 1])
    found = signed_rank(np.where(falls, -sizes, sizes))
    assert (found.statistic, found.p_value, found.method) == (sizes.sum() / 2, 1.0, "saddlepoint")


def test_interval_of_many_pairs_is_that_of_the_exact_distribution() -> None:
    n = 700
    changes = np.random.default_rng(7).normal(0.1, 1, n)
    found = hodges_lehmann(changes)
    walsh = np.sort([(changes[i] + changes[j]) / 2 for i in range(n) for j in range(i, n)])
    cumulative = np.cumsum(distribution(np.arange(1, n + 1)))
    position = int(np.searchsorted(cumulative, 0.025))
    np.testing.assert_allclose(
        (found.estimate, found.lower, found.upper),
        (np.median(walsh), walsh[position - 1], walsh[-position]),
        atol=1e-11,  # differences are rounded to twelve digits
    )
    assert found.conf_level == pytest.approx(1 - 2 * cumulative[position - 1], abs=1e-6)


@given(values, values, st.booleans())
@settings(max_examples=150, deadline=None)
def test_sums_of_pairs_are_those_of_the_sorted_table(first: list[float], second: list[float], upper: bool) -> None:
    rows, columns = np.sort(first), np.sort(first if upper else second)
    table = rows[:, None] + columns[None, :]
    expected = np.sort(table[np.triu_indices(len(rows))] if upper else table.ravel())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_pair_sums, "FEW_PAIRS", 3)
        found = pair_sums_at(rows, columns, range(len(expected)), upper=upper)
    np.testing.assert_array_equal(found, expected)


def test_shift_of_large_samples_is_that_of_all_differences() -> None:
    rng = np.random.default_rng(3)
    first, second = np.round(rng.normal(0.2, 1, 800), 6), np.round(rng.normal(0, 1, 700), 6)
    found = rank_sum(first, second)
    assert found.shift == pytest.approx(np.median(first[:, None] - second[None, :]), abs=1e-12)
    assert found.lower < found.shift < found.upper


def test_memory_of_an_interval_does_not_grow_with_all_pairs() -> None:
    import tracemalloc

    changes = np.random.default_rng(1).normal(size=5000)
    hodges_lehmann(changes[:600])
    tracemalloc.start()
    hodges_lehmann(changes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20, "a table of all pairs takes 100 MB"
