"""The shift between two densities: recovered on known shifts, symmetric, and never the edge of the range."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from immunoprofile.errors import GateError
from immunoprofile.gate.template import read_template
from immunoprofile.placement.landmarks import curve_of, shift_between
from immunoprofile.profiling.preflight import reference_notes


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


@pytest.fixture
def beside(tmp_path):
    """The shipped template of the Treg tube with what stands beside it."""
    source = Path(__file__).parents[2] / "gating" / "placed"
    for path in source.glob("treg*"):
        shutil.copy(path, tmp_path)
    return tmp_path / "treg.csv"


def test_a_template_without_its_densities_is_told_before_a_file_is_read(beside):
    told = reference_notes({"treg": read_template(beside)})
    assert told.empty
    densities = beside.with_name("treg.reference.csv")
    content = densities.read_text(encoding="utf-8")
    densities.write_text(content.replace("\ncd4,CD25,", "\ncd4x,CD25,"), encoding="utf-8")
    (message,) = reference_notes({"treg": read_template(beside)})["message"]
    assert message.startswith("tube treg: treg cannot be placed, the values of the template will hold")
    densities.unlink()
    (message,) = reference_notes({"treg": read_template(beside)})["message"]
    asked = {gate.population for gate in read_template(beside).gates if gate.method in ("landmark", "polygon")}
    assert asked
    assert set(message.partition(": ")[2].partition(" cannot")[0].split(", ")) == asked


@pytest.mark.parametrize("column", ["parent", "marker", "place", "density"])
def test_a_missing_column_of_the_densities_is_told(beside, column):
    densities = beside.with_name("treg.reference.csv")
    head, _, rest = densities.read_text(encoding="utf-8").partition("\n")
    densities.write_text(head.replace(column, f"{column}s") + "\n" + rest, encoding="utf-8")
    with pytest.raises(GateError, match=rf"treg\.reference\.csv, column {column}: a column is missing"):
        read_template(beside)
