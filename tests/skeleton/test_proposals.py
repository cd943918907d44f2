"""Scales fitted to data and gates at valleys: against formulas and simulated events whose parts are known."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile.skeleton.proposals import COFACTOR, fit_scale, is_mass_cytometer, propose
from immunoprofile.skeleton.tubes import Events

RNG = np.random.default_rng(11)


def events_of(columns, *, ranges=262144.0, cytometer=""):
    names = tuple(columns)
    values = np.column_stack(list(columns.values()))
    return Events(
        names, values, {}, dict.fromkeys(names, ranges), compensated=False, files=1, cytometer=cytometer, lost=()
    )


def light(n, positive, *, low=300.0, high=20_000.0):
    """Two populations of one channel; the first ``positive`` events are bright."""
    values = RNG.normal(0, low, n)
    values[:positive] = RNG.lognormal(np.log(high), 0.4, positive)
    return values


def test_width_of_a_logicle_scale_is_that_of_parks():
    """W = (M - log10(T / |r|)) / 2 with r the 5th percentile of the negative values (Parks 2006, eq. 5)."""
    values = np.concatenate([np.full(5, -900.0), np.full(95, -100.0), np.full(900, 5000.0)])
    scale = fit_scale(values, 262144.0)
    r = abs(np.percentile(values[values < 0], 5))
    assert scale.by_letter["W"] == pytest.approx((4.5 - np.log10(262144.0 / r)) / 2, abs=0.005)
    # The 5th percentile of the negatives lies on the scale, not below its bottom.
    assert 0 <= scale.apply(np.array([-r]))[0] < 0.05
    assert fit_scale(np.abs(values), 262144.0).by_letter["W"] == 0.5
    assert fit_scale(np.array([3e6, 1.0]), 262144.0).by_letter["T"] == 3e6


def test_mass_cytometry_has_the_arcsinh_of_its_cofactor():
    values = RNG.uniform(0, 8000, 500)
    scale = fit_scale(values, 1024.0, mass=True)
    places = scale.apply(np.array([0.0, 5.0, 500.0]))
    expected = np.arcsinh(np.array([0.0, 5.0, 500.0]) / COFACTOR)
    np.testing.assert_allclose(places / places[1], expected / expected[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "mass"),
    [
        ("DVSSCIENCES-CYTOF-5.1.559", True), ("CyTOF2", True), ("CyTOF XT", True), ("Helios", True), ("XT", True),
        ("Fluidigm Helios 7.0", True), ("CytoFLEX", False), ("CytoFLEX S", False), ("", False),
        ("Attune NxT", False), ("4486521 Attune NxT Acoustic Focusing Cyt", False), ("Cytek Aurora", False),
        ("Beckman Coulter CytoFLEX LX", False), ("ID7000 next", False), ("FACSExt", False), ("Navios EX", False),
    ],
)  # fmt: skip
def test_a_mass_cytometer_is_told_by_whole_names(name, mass):
    """Of light, an arcsinh of cofactor 5 parts the negatives at zero, and half of the living cells are cut off."""
    assert is_mass_cytometer(name) is mass
    dead = RNG.random(6000) < 0.1
    dye = np.where(dead, RNG.lognormal(np.log(9000), 0.3, 6000), RNG.normal(0, 150, 6000))
    found = propose(events_of({"Viability": dye, "CD3": light(6000, 2000)}, cytometer=name))
    assert {scale.kind for scale in found.scales.values()} == {"asinh" if mass else "logicle"}
    if not mass:
        (live,) = (gate for gate in found.gates if gate.population == "live")
        assert 400 < live.limits[0].high < 6000


def test_top_is_that_of_the_detectors_unless_the_data_deny_it():
    four_decades = {name: RNG.lognormal(2, 3, 3000).clip(1, 9000) for name in ("CD3", "CD4")}
    found = propose(events_of(four_decades))
    assert {scale.by_letter["T"] for scale in found.scales.values()} == {10_000.0}
    bright = {"CD3": light(3000, 900, high=60_000.0), "CD4": RNG.normal(0, 100, 3000)}
    assert {scale.by_letter["T"] for scale in propose(events_of(bright)).scales.values()} == {262144.0}


def test_gates_of_a_panel_with_everything():
    n, cells, singles = 12_000, 9000, 8000
    fsc = np.concatenate([RNG.normal(90_000, 8000, cells), RNG.normal(12_000, 3000, n - cells)])
    height = fsc * 0.8 + RNG.normal(0, 700, n)
    height[singles:cells] *= 0.55
    dead, t = light(n, 0), light(n, 0)
    dead[:800] = RNG.lognormal(np.log(30_000), 0.3, 800)
    t[2000:5000] = RNG.lognormal(np.log(15_000), 0.3, 3000)
    cd4 = light(n, 0)
    cd4[2000:4000] = RNG.lognormal(np.log(15_000), 0.3, 2000)
    found = propose(
        events_of({"FSC-A": fsc, "FSC-H": height, "Viability": dead, "CD3": t, "CD4": cd4, "Time": np.arange(n)})
    )
    gates = {gate.population: gate for gate in found.gates}
    assert list(gates) == ["cells", "singlets", "live", "t", "cd4"]
    assert [gate.parent for gate in found.gates] == ["root", "cells", "singlets", "live", "t"]
    assert 25_000 < gates["cells"].limits[0].low < 65_000
    assert len(gates["singlets"].corners) == 4
    assert 1000 < gates["live"].limits[0].high < 15_000
    for name in ("t", "cd4"):
        assert 1000 < gates[name].limits[0].low < 8000
    assert all(gate.note.startswith("proposed: ") for gate in found.gates)
    assert found.missing == []


def test_no_valley_no_gate():
    n = 5000
    found = propose(
        events_of({"FSC-A": RNG.normal(90_000, 8000, n), "CD3": RNG.normal(0, 200, n), "CD19": light(n, 2000)})
    )
    assert [gate.population for gate in found.gates] == ["cells"]
    assert found.gates[0].limits[0].low == 0.0
    told = " | ".join(found.missing)
    assert "no valley of FSC-A" in told and "no viability dye" in told and "no valley of CD3: t is not proposed" in told


def test_the_valley_between_small_and_large_cells_is_no_debris():
    """Lymphocytes at half the scatter of granulocytes, nothing below: all of them are cells."""
    fsc = np.concatenate([RNG.normal(380, 30, 5000), RNG.normal(700, 60, 4000)])
    (gate,) = propose(events_of({"FSC-H": fsc}, ranges=1024.0)).gates
    assert gate.limits[0].low == 0.0


def test_values_that_were_transformed_before_are_named():
    found = propose(events_of({"CD3": RNG.normal(2, 1, 2000), "CD4": RNG.normal(3, 1, 2000)}))
    assert found.gates == [] and found.scales == {}
    assert "transformed already" in found.missing[0]


def test_few_events_give_no_gate():
    found = propose(events_of({"CD3": light(100, 50)}))
    assert [gate.population for gate in found.gates] == []
