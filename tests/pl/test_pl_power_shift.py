from __future__ import annotations

import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from immunoprofile import pl
from immunoprofile.errors import NotAvailableError
from immunoprofile.pl.power_figure import power_lines, wilson
from immunoprofile.pl.safety_shift_table import shift_grids

POWER = pd.DataFrame({
    "label": ["Treg", "Treg", "NK", "NK"], "n_per_arm": [20, 10, 10, 20], "power": [0.93, 0.61, 0.35, None],
    "simulations": [1000, 1000, 1000, 1000],
})  # fmt: skip
SHIFT = pd.DataFrame({
    "arm": ["GCV", "GCV", "GCV", "IL2", "IL2"], "term": ["Anemia"] * 5,
    "baseline_grade": pd.array([0, 1, None, 0, 2], dtype="Int64"),
    "worst_grade": pd.array([0, 3, 2, 1, 1], dtype="Int64"), "n_subjects": [3, 2, 1, 4, 1],
})  # fmt: skip


@pytest.mark.parametrize(("count", "trials"), [(0, 50), (30, 50), (50, 50), (935, 1000)])
def test_monte_carlo_limits_agree_with_statsmodels(count: int, trials: int) -> None:
    assert wilson(count / trials, trials) == pytest.approx(
        proportion_confint(count, trials, method="wilson"), abs=1e-12
    )


def test_lines_are_sorted_and_missing_power_is_counted() -> None:
    lines, left_out = power_lines(POWER)
    assert [(line.label, line.n_per_arm, line.power) for line in lines] == [
        ("Treg", (10, 20), (0.61, 0.93)), ("NK", (10,), (0.35,)),
    ]  # fmt: skip
    assert left_out == 1
    assert "Treg: 10 in each arm 61 % (58 to 64)" in pl.alt_text(pl.power_curve(POWER))
    assert "1 rows without a power" in pl.alt_text(pl.power_curve(POWER))


def test_power_that_cannot_be_is_refused_and_none_is_said() -> None:
    with pytest.raises(NotAvailableError, match="power 61"):
        pl.power_curve(POWER.assign(power=61.0))
    with pytest.raises(NotAvailableError, match="simulations"):
        pl.power_curve(POWER.drop(columns="simulations"))
    assert "empty" in pl.alt_text(pl.power_curve(POWER.iloc[:0]))


def test_unknown_grades_are_not_grade_zero() -> None:
    gcv, il2 = shift_grids(SHIFT, name="term", count="n_subjects")
    assert gcv.counts == {("0", "0"): 3, ("1", "3"): 2, ("?", "2"): 1}
    assert (gcv.n, gcv.worse, il2.n, il2.worse) == (6, 2, 5, 4)


def test_the_counts_are_printed() -> None:
    figure = pl.safety_shift(SHIFT, labels={"IL2": "low-dose IL-2"})
    printed = sorted(item.get_text() for axes in figure.axes for item in axes.texts)
    assert printed == ["1", "1", "2", "3", "4", "GCV, n = 6", "low-dose IL-2, n = 5"]
    assert "Anemia, GCV, n = 6: 2 worse than at baseline, 1 with an unknown grade" in pl.alt_text(figure)
    note = pl.safety_shift(SHIFT.assign(n_incomplete=[1, 0, 0, 2, 0])).texts[-1].get_text()
    assert "In 3 of these counts" in note
    assert "no subject" in pl.alt_text(pl.safety_shift(SHIFT.iloc[:0]))
    with pytest.raises(NotAvailableError, match="worst_grade"):
        pl.safety_shift(SHIFT.drop(columns="worst_grade"))
