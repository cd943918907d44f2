"""Counts with moved cuts: by hand on known events, against the engine with moved gates, and the design itself."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from immunoprofile import gate
from immunoprofile.errors import GateError
from immunoprofile.gate.cut_shifts import COLUMNS, RUNS, allot, allot_tubes, cut_of, cuts_of, moved_gate, signs
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.shifted_counts import shifted_counts
from immunoprofile.gate.strategy import Dimension, Gate, Operand, Strategy
from immunoprofile.io.fcs import Channel, Sample
from tests.placement.samples import control, placed_gates

LOGICLE = Scale("logicle", (("T", 262144.0), ("W", 0.5), ("M", 4.5), ("A", 0.0)))


def sample_of(**columns) -> Sample:
    channels = tuple(Channel(name.replace("_", "-"), "", name.replace("_", "-"), 1000.0) for name in columns)
    return Sample("made.fcs", np.column_stack([np.asarray(v, dtype=float) for v in columns.values()]), channels)


def above(population, parent, marker, limit, **known) -> Gate:
    return Gate(population, parent, "rectangle", (Dimension(marker, limit, None),), **known)


def test_columns_are_balanced_and_orthogonal_and_the_first_16_are_clear_of_pairs():
    table = np.array([signs(column) for column in COLUMNS], dtype=int)
    assert table.shape == (31, RUNS)
    assert (table.sum(axis=1) == 0).all()
    np.testing.assert_array_equal(table @ table.T, RUNS * np.eye(31))
    first = table[:16]
    pairs = np.array([a * b for a, b in itertools.combinations(first, 2)])
    assert (first @ pairs.T == 0).all()


def test_counts_by_hand():
    """A cut at 500 of a range of 1,000 moved by 1 %: 510 or 490; a second at 100: 110 or 90."""
    sample = sample_of(SSC_A=[480, 492, 498, 505, 509, 511, 600, 700], FSC_A=[200, 200, 95, 105, 200, 105, 95, 200])
    gates = (above("a", "root", "SSC-A", 500.0), above("b", "a", "FSC-A", 100.0),
             Gate("c", "a", "not", operands=(Operand("b"),)))  # fmt: skip
    found = shifted_counts(gate.gate_sample(sample, Strategy("t", gates)))
    first, second = (signs(COLUMNS[found.places[cut]]) for cut in (("root", "SSC-A"), ("a", "FSC-A")))
    by_hand = {(-1, -1): (7, 7), (-1, 1): (7, 3), (1, -1): (3, 3), (1, 1): (3, 1)}
    for run in range(RUNS):
        a, b = by_hand[int(first[run]), int(second[run])]
        assert [found.counts[name][run] for name in "abc"] == [a, b, a - b]
    assert {*zip(first.tolist(), second.tolist(), strict=True)} == set(by_hand)
    assert found.moved["c"].cuts == (("root", "SSC-A"), ("a", "FSC-A"))


def test_mean_square_over_the_runs_is_the_sum_over_single_cuts():
    """Events on a grid: the count is a product, its logarithm a sum, and every pair of signs comes as often."""
    places = np.arange(5.0, 1000.0, 10.0)
    x, y = (one.ravel() for one in np.meshgrid(places, places))
    gates = (above("a", "root", "SSC-A", 500.0), above("b", "a", "FSC-A", 800.0))
    found = shifted_counts(gate.gate_sample(sample_of(SSC_A=x, FSC_A=y), Strategy("t", gates, cut_shift=0.02)))
    logs = np.log(np.array(found.counts["b"]) / (50 * 20))
    one, other = np.log([52 / 50, 48 / 50]), np.log([22 / 20, 18 / 20])
    assert np.mean(logs**2) == pytest.approx(np.mean([(p + q) ** 2 for p in one for q in other]), rel=1e-12)
    around = np.var(logs)
    assert around == pytest.approx(np.var(one) + np.var(other), rel=1e-12)


@pytest.mark.parametrize("tube", ["count", "treg", "effector"])
def test_every_run_is_what_the_engine_counts_under_moved_gates(tube, tmp_path):
    strategy = placed_gates()[tube]
    sample, _ = control(tmp_path, tube, seed=3, events=4000)
    found = shifted_counts(gate.gate_sample(sample, strategy))
    scales = dict(strategy.scales)
    for run in (0, 7, 21, 31):
        up = {cut: int(signs(COLUMNS[place])[run]) for cut, place in found.places.items()}
        gates = []
        for one in strategy.gates:
            spans = [262144.0 if d.scale is None else scales[d.scale].top for d in one.dimensions]
            by = {n: up[cut_of(one, one.dimensions[n])] * 0.01 * spans[n] for n in found.moved[one.population].axes}
            gates.append(moved_gate(one, by))
        counted = gate.gate_sample(sample, replace(strategy, gates=tuple(gates)))
        for population, counts in found.counts.items():
            assert counts is None or counts[run] == counted.n(population)
    assert found.counts["t"] is not None
    assert len(set(found.counts["t"])) > 1


def test_without_a_shift_every_run_is_the_count(tmp_path):
    sample, _ = control(tmp_path, "treg", seed=3, events=3000)
    gated = gate.gate_sample(sample, replace(placed_gates()["treg"], cut_shift=0.0))
    for population, counts in shifted_counts(gated).counts.items():
        assert counts is None or set(counts) == {gated.n(population)}


def test_what_is_not_moved():
    """Time, doublets and beads are exempt; a linear axis that is no scatter is named, and zero is never said of it."""
    fluorescence = Dimension("PE-A", 500.0, None)
    gates = (
        above("beads", "root", "FITC-A", 900.0),
        above("time_ok", "root", "Time", 0.0),
        Gate("cells", "time_ok", "not", operands=(Operand("beads"),)),
        Gate("singlets", "cells", "polygon", (Dimension("FSC-A"), Dimension("FSC-H")),
             vertices=((0.0, 0.0), (2000.0, 0.0), (2000.0, 2000.0), (0.0, 2000.0))),
        Gate("pe", "singlets", "rectangle", (fluorescence,)),
        Gate("small", "pe", "rectangle", (Dimension("SSC-A", None, 500.0),)),
    )  # fmt: skip
    rng = np.random.default_rng(2)
    columns = {name: rng.uniform(0, 1000, 300) for name in ("FSC_A", "FSC_H", "SSC_A", "FITC_A", "PE_A", "Time")}
    found = shifted_counts(gate.gate_sample(sample_of(**columns), Strategy("t", gates, beads="beads")))
    assert [name for name, counts in found.counts.items() if counts is not None] == ["small"]
    assert found.moved["small"].cuts == (("pe", "SSC-A"),)
    assert found.moved["small"].left_out == ("PE-A",)
    assert found.moved["singlets"].left_out == ()


def test_one_divider_serves_both_sides_and_quadrants_move_together(tmp_path):
    """CD3 of T, B and NK is one cut; what one loses the other gains."""
    strategy = placed_gates()["effector"]
    cuts = cuts_of(strategy)
    assert ("lymphocytes", "CD3") in set(cuts["t"].cuts) & set(cuts["lineage_neg"].cuts)
    sample, _ = control(tmp_path, "effector", seed=3, events=4000)
    counts = shifted_counts(gate.gate_sample(sample, strategy)).counts
    parts = [np.array(counts[f"cd8_{name}"]) for name in ("naive", "cm", "em", "temra")]
    np.testing.assert_array_equal(sum(parts), counts["cd8"])


def test_gates_of_a_batch_or_a_single_sample_are_its_own():
    strategy = placed_gates()["treg"]
    assert {name for name, one in cuts_of(strategy).items() if one.own} == {
        "treg", "treg_foxp3", "treg_naive", "treg_mem", "treg_ki67", "tconv"}  # fmt: skip
    assert cuts_of(strategy, frozenset({"cd4"}))["cd4"].own
    assert not cuts_of(strategy, frozenset({"cd4"}))["t"].own


def test_places_of_tubes_never_meet_those_of_the_counting_tube():
    gates = placed_gates()
    places = allot_tubes(gates, "count")
    counted = set(places["count"].values())
    for tube in ("treg", "effector"):
        assert not counted & set(places[tube].values())
        for one in cuts_of(gates[tube]).values():
            assert len({places[tube][cut] for cut in one.cuts}) == len(one.cuts)
    assert max(max(own.values()) for own in places.values()) < RUNS - 1


def test_a_population_under_too_many_cuts_is_not_evaluated():
    chain, parent = [], "root"
    for n in range(33):
        chain.append(above(f"g{n}", parent, f"M{n}", 0.0))
        chain[-1] = replace(chain[-1], dimensions=(Dimension(f"M{n}", 0.2, None, scale="l"),))
        parent = f"g{n}"
    strategy = Strategy("t", tuple(chain), scales=(("l", LOGICLE),))
    assert len(allot(strategy)) == 31
    sample = sample_of(**{f"M{n}": np.full(40, 5000.0) for n in range(33)})
    counts = shifted_counts(gate.gate_sample(sample, strategy)).counts
    assert counts["g30"] is not None
    assert counts["g31"] is None
    assert counts["g32"] is None


def test_a_template_declares_the_shift_and_every_format_keeps_it(tmp_path):
    strategy = placed_gates()["treg"]
    gate.save(strategy, tmp_path / "as_is.csv")
    assert "cut_shift" not in (tmp_path / "as_is.csv").read_text()
    declared = replace(strategy, cut_shift=0.025)
    assert declared.sha256 != strategy.sha256
    for name in ("treg.csv", "treg.xml", "treg.json"):
        gate.save(declared, tmp_path / name)
        assert gate.load(tmp_path / name)["treg"].cut_shift == 0.025
    text = (tmp_path / "treg.csv").read_text()
    (tmp_path / "treg.csv").write_text(text.replace("cut_shift: 0.025", "cut_shift: 0.5"))
    with pytest.raises(GateError, match="cut_shift"):
        gate.load(tmp_path / "treg.csv")
    with pytest.raises(GateError, match=r"0 to 0\.1"):
        replace(strategy, cut_shift=-0.01)
