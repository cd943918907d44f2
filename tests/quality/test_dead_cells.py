"""Dead cells: the valley where there is one, the template's value where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile.quality import dead_cells


def dye(dead: int, *, alive: int = 9000, far: float = 0.8) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0.3, 0.05, alive), rng.normal(far, 0.05, dead)])


@pytest.mark.parametrize("dead", [200, 1000, 8000])
def test_cut_lies_in_the_valley(dead):
    found = dead_cells(dye(dead), search=(0.35, 0.75), fallback=0.4)
    assert found.method == "valley"
    assert 0.45 < found.cut < 0.68
    assert int(found.bad_events.sum()) == pytest.approx(dead, abs=10)


def test_without_a_valley_the_template_holds_and_never_the_edge():
    found = dead_cells(dye(0), search=(0.35, 0.75), fallback=0.55)
    assert (found.method, found.cut) == ("fallback", 0.55)
    assert found.record["fallback_reason"] == "no valley between 0.35 and 0.75"
    assert dead_cells(dye(1000), search=(0.9, 0.99), fallback=0.55).method == "fallback"


def test_without_valley_and_template_it_is_not_assessable():
    found = dead_cells(dye(0), search=(0.35, 0.75))
    assert not found.assessable and found.reason
    assert np.isnan(found.pct_events) and not found.bad_events.any()


def test_few_events_or_no_numbers_fall_back():
    assert dead_cells(dye(5, alive=50), search=(0.35, 0.75), fallback=0.5).method == "fallback"
    assert dead_cells(np.full(2000, np.nan), search=(0.35, 0.75), fallback=0.5).method == "fallback"
