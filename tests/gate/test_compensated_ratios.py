"""Ratios whose dimension names a compensation are ratios of compensated values; FlowKit's are of the recorded ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from immunoprofile import gate
from immunoprofile.compensation import compensate, from_keywords
from immunoprofile.gate.strategy import Dimension, Gate, Matrix, Operand, Ratio, Strategy
from immunoprofile.io.fcs import read_fcs
from tests.io.fcs_files import events, spill_text, write

RATIO = Ratio("FITC-A", "PE-A", 2.0, 5.0, -3.0)
OWN = Matrix(("FITC-A", "PE-A"), ((1.0, 0.4), (0.1, 1.0)))


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "a.fcs", events(5000), **{"$SPILLOVER": spill_text()})


def strategy(*, compensated, matrix=""):
    share = Dimension("share", 0.5, 4.0, compensated=compensated, matrix=matrix * compensated, ratio=RATIO)
    plain = Dimension("FITC-A", 100.0, None, compensated=True, matrix=matrix)
    gates = (
        Gate("bright", "root", "rectangle", (plain,)),
        Gate("both", "bright", "rectangle", (share, replace(plain, marker="PE-A"))),
        Gate("lone", "root", "rectangle", (share,)),
        Gate("rest", "root", "not", operands=(Operand("lone"),)),
    )
    matrices = (("own", OWN),) if matrix else ()
    return Strategy("t", gates, channels=(("FITC-A", "FITC-A"), ("PE-A", "PE-A")), matrices=matrices)


@pytest.mark.parametrize("matrix", ["", "own"])
@pytest.mark.parametrize("compensated", [True, False])
def test_ratio_of_what_the_dimension_says(path, matrix, compensated):
    sample = read_fcs(path)
    values = sample.events
    comp = OWN.compensate(sample) if matrix else compensate(sample, from_keywords(sample))
    names = [channel.pnn for channel in sample.channels]
    used = comp if compensated else values
    one, other = (used[:, names.index(name)] for name in ("FITC-A", "PE-A"))
    share = 2.0 * (one - 5.0) / (other + 3.0)
    lone = (share >= 0.5) & (share < 4.0)
    found = gate.gate_sample(sample, strategy(compensated=compensated, matrix=matrix), comp_source="keyword")
    far = np.minimum(abs(share - 0.5), abs(share - 4)) > 1e-9
    np.testing.assert_array_equal(found.mask("lone")[far], lone[far])
    bright = comp[:, names.index("FITC-A")] >= 100
    both = lone & bright & (comp[:, names.index("PE-A")] >= 100)
    np.testing.assert_array_equal(found.mask("both")[far], both[far])
    np.testing.assert_array_equal(found.mask("rest"), ~found.mask("lone"))
    assert 0 < lone.sum() < len(lone)
    assert any(notice.code == "RATIO_COMPENSATED" for notice in found.notices) == compensated
    counts = gate.batch([path], strategy(compensated=compensated, matrix=matrix), comp_source="keyword")
    assert counts.set_index("population")["n"].to_dict() == {p: found.n(p) for p in found.strategy.populations}


def test_without_a_matrix_recorded_and_compensated_are_one(tmp_path):
    sample = read_fcs(write(tmp_path / "b.fcs", events(5000)))
    one, other = (gate.gate_sample(sample, strategy(compensated=c), comp_source="none").masks for c in (True, False))
    np.testing.assert_array_equal(one["lone"], other["lone"])


def test_recorded_ratios_are_flowkits(path):
    from immunoprofile.gate import _flowkit

    sample = read_fcs(path)
    gated = gate.gate_sample(sample, strategy(compensated=False), comp_source="keyword")
    theirs = _flowkit.memberships(gated.bound, sample, gated.spillover)
    for population, mask in gated.masks.items():
        np.testing.assert_array_equal(mask, theirs[population])
