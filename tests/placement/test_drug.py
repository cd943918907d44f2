"""A frozen gate shows what a drug does: CD25 raised without more Treg, and Treg doubled."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile.datasets.composition import control_compositions
from immunoprofile.datasets.cytometer import acquire
from immunoprofile.datasets.fcs_writer import write_fcs
from immunoprofile.datasets.panels import PANELS
from immunoprofile.placement import place
from immunoprofile.report import noise
from tests.placement.samples import placed_gates

POPULATIONS = ("treg", "treg_foxp3", "foxp3_cd127lo")


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    """Fold change of a population's share of CD4 under the gates that were placed before the dose."""
    folder = tmp_path_factory.mktemp("drug")
    base = control_compositions()["treg"]

    def sample(name, seed, raised, times):
        treg = base.weights["treg"]
        weights = {**base.weights, "treg": times * treg, "tconv": base.weights["tconv"] - (times - 1) * treg}
        shift = {**base.log10_shift, **{(cell, "CD25"): raised for cell in ("treg", "tconv", "tconv_act")}}
        composition = replace(base, weights=weights, log10_shift=shift)
        got = acquire(PANELS["treg"], composition, 150_000, rng=np.random.default_rng(seed))
        write_fcs(folder / f"{name}.fcs", got.data, PANELS["treg"], begin=datetime(2020, 1, 1))
        return ip.read_fcs(folder / f"{name}.fcs")

    before = sample("before", 1, 0.0, 1.0)
    held = place(before, placed_gates()["treg"]).strategy
    first = ip.gate.gate_sample(before, held)

    def of(raised, times):
        now = ip.gate.gate_sample(sample(f"{raised}-{times}", 2, raised, times), held)
        return {p: (now.n(p) / now.n("cd4")) / (first.n(p) / first.n("cd4")) for p in POPULATIONS}

    return of


def test_raised_cd25_inflates_the_held_gate_and_confirmed_treg_less(fold):
    low, high = fold(0.1, 1.0), fold(0.3, 1.0)
    assert 1.02 < low["treg"] < high["treg"]
    assert high["treg"] > 1.10
    assert low["treg_foxp3"] < 1.10
    assert high["treg_foxp3"] < high["treg"]


@pytest.mark.parametrize("raised", [0.1, 0.2, 0.3])
def test_raised_cd25_does_not_move_treg_that_are_counted_without_it(fold, raised):
    found = fold(raised, 1.0)
    assert found["foxp3_cd127lo"] == pytest.approx(1.0, abs=0.05)
    assert found["treg"] > found["foxp3_cd127lo"]


@pytest.mark.parametrize("raised", [0.0, 0.2])
def test_doubled_treg_are_found(fold, raised):
    found = fold(raised, 2.0)
    assert found["foxp3_cd127lo"] == pytest.approx(2.0, rel=0.05)
    if not raised:
        assert found["treg"] == pytest.approx(2.0, rel=0.05)
        assert found["treg_foxp3"] == pytest.approx(2.0, rel=0.05)


def test_where_the_two_disagree_nothing_is_concluded():
    """A rise of 1.78 is more than the noise of 1.73, and the confirmed cells moved by 1.68."""
    held, confirmed = noise.judge(1.78, 1.0), noise.judge(1.68, 1.0)
    assert noise.with_confirmation(held, confirmed, what="FoxP3-confirmed Treg").level == "NOT_ASSESSABLE"
    assert noise.with_confirmation(noise.judge(2.0, 1.0), noise.judge(1.95, 1.0), what="x").level == "MORE_THAN_NOISE"
