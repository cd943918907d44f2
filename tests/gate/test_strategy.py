"""What a strategy refuses, and how gates of every kind are evaluated, against hand calculations."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from immunoprofile import gate
from immunoprofile.compensation import from_keywords
from immunoprofile.errors import GateError
from immunoprofile.gate.engine.resolve import resolve
from immunoprofile.gate.gates import Ellipsoid, Matrix, Ratio
from immunoprofile.gate.strategy import Dimension, Gate, Operand, Strategy
from immunoprofile.gate.traps import traps
from immunoprofile.io.fcs import read_fcs
from tests.io.fcs_files import events, spill_text, write

FSC, SSC = Dimension("FSC-A", 60_000.0, None), Dimension("SSC-A", None, 40_000.0)
RECTANGLE = Gate("r", "root", "rectangle", (FSC, SSC))
BARE = (Dimension("FSC-A"), Dimension("SSC-A"))
OWN = replace(FSC, compensated=True, matrix="m")
ROUND = Gate("e", "root", "ellipsoid", BARE, ellipsoid=Ellipsoid((7e4, 4e4), ((4e8, 1e8), (1e8, 2e8)), 2.0))


@pytest.fixture
def sample(tmp_path):
    return read_fcs(write(tmp_path / "a.fcs", events(3000), **{"$SPILLOVER": spill_text()}))


def masks_of(sample, *gates: Gate, **more):
    return gate.membership(sample, Strategy("t", gates, **more))


def test_complement_is_the_rest_of_the_parent(sample):
    inside = replace(RECTANGLE, population="i")
    child = replace(RECTANGLE, population="c", parent="e", complement=True)
    masks = masks_of(sample, inside, replace(RECTANGLE, complement=True), ROUND, child)
    np.testing.assert_array_equal(masks["r"], ~masks["i"])
    np.testing.assert_array_equal(masks["c"], masks["e"] & ~masks["i"])
    assert 0 < masks["c"].sum() < masks["e"].sum()


def test_ellipsoid_by_mahalanobis_distance(sample):
    x = np.column_stack([sample.values("FSC-A") - 7e4, sample.values("SSC-A") - 4e4])
    # inverse of ((4, 1), (1, 2)) e8 is ((2, -1), (-1, 4)) / 7e8
    distance = (2 * x[:, 0] ** 2 - 2 * x[:, 0] * x[:, 1] + 4 * x[:, 1] ** 2) / 7e8
    masks = masks_of(sample, ROUND)
    clear = np.abs(distance - 2.0) > 1e-9
    np.testing.assert_array_equal(masks["e"][clear], (distance <= 2.0)[clear])
    assert 0 < masks["e"].sum() < len(masks)


def test_ratio_is_of_recorded_values_with_one_open_side(sample):
    ratio = Dimension("fsc to ssc", 1.5, None, ratio=Ratio("FSC-A", "SSC-A", 2.0, 10.0, -5.0))
    masks = masks_of(sample, Gate("g", "root", "rectangle", (ratio,)))
    expected = 2.0 * ((sample.values("FSC-A") - 10.0) / (sample.values("SSC-A") + 5.0)) >= 1.5
    np.testing.assert_array_equal(masks["g"], expected)


def test_quadrants_part_their_parent(sample):
    cells = [
        Gate(f"q{i}{j}", "e", "quadrant", (replace(FSC, minimum=a, maximum=b), replace(SSC, minimum=c, maximum=d)),
             quadrant_of="quad")
        for i, (a, b) in enumerate(((None, 7e4), (7e4, None)))
        for j, (c, d) in enumerate(((None, 4e4), (4e4, None)))
    ]  # fmt: skip
    masks = masks_of(sample, ROUND, *cells)
    names = [cell.population for cell in cells]
    np.testing.assert_array_equal(masks[names].sum(axis=1), masks["e"].astype(int))
    expected = masks["e"] & (sample.values("FSC-A") >= 7e4) & (sample.values("SSC-A") < 4e4)
    np.testing.assert_array_equal(masks["q10"], expected)


def test_own_matrix_and_its_fluorochrome_names(sample):
    values = ((1.0, 0.5), (0.0, 1.0))
    own = Matrix(("FITC-A", "PE-A"), values, ("CD3 dye", "CD4 dye"))
    axis = Dimension("CD4 dye", 100.0, None, compensated=True, matrix="mine")
    masks = masks_of(sample, Gate("g", "root", "rectangle", (axis,)), matrices=(("mine", own),))
    names = [c.pnn for c in sample.channels]
    raw = sample.events[:, [names.index("FITC-A"), names.index("PE-A")]]
    # raw = true @ values, so true PE = raw PE - 0.5 raw FITC
    np.testing.assert_array_equal(masks["g"], raw[:, 1] - 0.5 * raw[:, 0] >= 100.0)


def test_spectral_matrix_is_solved_by_least_squares(sample):
    own = Matrix(("FITC-A", "PE-A", "APC-A"), ((1.0, 0.4, 0.1), (0.2, 1.0, 0.3)))
    axis = Dimension("PE-A", 100.0, None, compensated=True, matrix="s")
    masks = masks_of(sample, Gate("g", "root", "rectangle", (axis,)), matrices=(("s", own),))
    names = [c.pnn for c in sample.channels]
    raw = sample.events[:, [names.index(name) for name in own.detectors]]
    s = own.array
    unmixed = raw @ s.T @ np.linalg.inv(s @ s.T)
    clear = np.abs(unmixed[:, 1] - 100.0) > 1e-6
    np.testing.assert_array_equal(masks["g"][clear], (unmixed[:, 1] >= 100.0)[clear])
    assert 0 < masks["g"].sum() < len(masks)


@pytest.mark.parametrize(
    ("gates", "more", "told"),
    [
        ((replace(ROUND, ellipsoid=None),), {}, "needs a centre"),
        ((replace(ROUND, dimensions=(FSC,)),), {}, "at least two dimensions"),
        ((replace(ROUND, ellipsoid=Ellipsoid((0.0, 0.0), ((1.0, 1.0), (1.0, 1.0)), 1.0)),), {}, "cannot be inverted"),
        ((replace(ROUND, ellipsoid=Ellipsoid((0.0,), ((1.0,),), 1.0)),), {}, "do not have 2 dimensions"),
        ((replace(ROUND, complement=True),), {}, "has no complement; add a gate 'not'"),
        ((replace(RECTANGLE, dimensions=(FSC, FSC)),), {}, "FSC-A stands twice"),
        ((replace(RECTANGLE, kind="quadrant"),), {}, "needs the id of its quadrant gate"),
        ((replace(RECTANGLE, quadrant_of="q"),), {}, "is no quadrant"),
        ((RECTANGLE, replace(RECTANGLE, population="s", kind="quadrant", quadrant_of="r")), {}, "name of a population"),
        (
            (
                Gate("a", "root", "quadrant", (Dimension("FSC-A", None, 5.0),), quadrant_of="q"),
                Gate("b", "root", "quadrant", (Dimension("FSC-A", 3.0, None),), quadrant_of="q"),
            ),
            {},
            "quadrant a reaches over a divider of FSC-A",
        ),
        ((replace(RECTANGLE, dimensions=(OWN,)),), {}, "matrix of FSC-A is unknown"),
        ((RECTANGLE,), {"matrices": (("m", Matrix(("A", "B"), ((1.0, 1.0), (1.0, 1.0)))),)}, "cannot be inverted"),
        ((RECTANGLE,), {"custom": (("s", replace(RECTANGLE, population="x")),)}, "is not in the strategy"),
        ((RECTANGLE,), {"custom": (("s", replace(RECTANGLE, dimensions=(FSC,))),)}, "has other dimensions"),
        ((RECTANGLE,), {"custom": (("s", replace(RECTANGLE, kind="polygon")),)}, "of another kind"),
        (
            (RECTANGLE,),
            {"custom": (("s", replace(RECTANGLE, dimensions=(replace(FSC, maximum=1.0), SSC))),)},
            "sample s, gate r: minimum of FSC-A is not below its maximum",
        ),
    ],
)  # fmt: skip
def test_strategies_that_are_not_valid(gates, more, told):
    with pytest.raises(GateError) as caught:
        Strategy("t", gates, **more)
    assert told in str(caught.value)


def test_hash_covers_what_is_new_and_keeps_what_was():
    plain = Strategy("t", (RECTANGLE,))
    # of the strategy before gates had complements, matrices and samples
    assert plain.sha256 == "c99f608d7122687501d9ce0ffeac3a846a0f10055f63255a1a0c50a1d62307b0"
    changed = (
        replace(plain, gates=(replace(RECTANGLE, complement=True),)),
        replace(plain, matrices=(("m", Matrix(("A",), ((1.0,),))),)),
        replace(plain, custom=(("s", replace(RECTANGLE, dimensions=(replace(FSC, minimum=1.0), SSC))),)),
        Strategy("t", (replace(RECTANGLE, dimensions=(replace(FSC, ratio=Ratio("FSC-A", "SSC-A")), SSC)),)),
    )
    assert len({one.sha256 for one in (plain, *changed)}) == 5


def test_tree_tells_every_kind():
    ratio = Dimension("r1", 1.0, ratio=Ratio("FSC-A", "SSC-A"))
    gates = (
        replace(RECTANGLE, complement=True),
        replace(ROUND, parent="r"),
        Gate("q", "e", "quadrant", (FSC,), quadrant_of="quad"),
        Gate("x", "root", "rectangle", (ratio,)),
        Gate("n", "root", "not", operands=(Operand("x"),)),
    )
    assert Strategy("t", gates).tree().splitlines() == [
        "root",
        "   r  [outside FSC-A x SSC-A]",
        "      e  [FSC-A x SSC-A ellipsoid]",
        "         q  [FSC-A of quad]",
        "   x  [FSC-A/SSC-A]",
        "   n  [not x]",
    ]


def test_traps_are_told_before_a_run(sample, tmp_path):
    mixed = Gate("m", "root", "rectangle", (Dimension("FITC-A", 1.0, compensated=True), Dimension("PE-A", 1.0)))
    beside_scatter = Gate("b", "root", "rectangle", (Dimension("FITC-A", 1.0, compensated=True), FSC))
    strategy = Strategy("t", (mixed, beside_scatter))
    errors, warnings = traps(strategy, sample, from_keywords(sample))
    assert [problem.where for problem in errors] == ["gate m"]
    assert "PE-A is uncompensated beside a compensated dimension" in errors[0].what
    assert warnings == []
    errors, warnings = traps(strategy, sample, None)
    assert errors == []
    assert "which has none" in warnings[0].what
    assert warnings[0].value == "m, b"

    values = events(300)
    values[5, 2] = np.nan
    damaged = read_fcs(write(tmp_path / "nan.fcs", values, **{"$SPILLOVER": spill_text()}))
    scale = gate.Scale("logicle", (("T", 262144.0), ("W", 0.5), ("M", 4.5), ("A", 0.0)))
    below = Gate("low", "root", "rectangle", (Dimension("FITC-A", None, 0.5, scale="s"),))
    strategy = Strategy("t", (below,), scales=(("s", scale),))
    _, warnings = traps(strategy, damaged, None)
    assert [problem.where for problem in warnings] == ["gate low"]
    assert gate.membership(damaged, strategy)["low"][5]  # FlowKit's rule, which the warning is about


def test_plots_draw_ellipses_own_matrices_and_flowjo_scales(sample):
    biex = gate.Scale("biex", (("negative", 0.0), ("width", -100.0), ("positive", 4.42), ("max_value", 262144.0)))
    own = Matrix(("FITC-A", "PE-A"), ((1.0, 0.5), (0.0, 1.0)))
    axes = tuple(Dimension(c, 1000.0, None, scale="b", compensated=True, matrix="m") for c in ("FITC-A", "PE-A"))
    ratio = Dimension("r1", 1.0, ratio=Ratio("FSC-A", "SSC-A"))
    gates = (ROUND, Gate("g", "e", "rectangle", axes), Gate("x", "root", "rectangle", (ratio,)))
    gated = gate.gate_sample(sample, Strategy("t", gates, scales=(("b", biex),), matrices=(("m", own),)))
    round_plot, plot = gate.rasterise(gated)  # a ratio has no plot
    assert plot.y_range[1] == pytest.approx(1.02 * 4096)
    assert plot.counts.sum() == gated.mask("e").sum()
    names = [c.pnn for c in sample.channels]
    pe = biex.apply(own.compensate(sample)[:, names.index("PE-A")])[gated.mask("e")]
    low, high = plot.y_range
    rows = np.clip((pe - low) / (high - low) * plot.counts.shape[0], 0, plot.counts.shape[0] - 1).astype(int)
    np.testing.assert_array_equal(plot.counts.sum(axis=1), np.bincount(rows, minlength=plot.counts.shape[0]))
    outline = round_plot.outlines[0]
    x = np.column_stack([np.array(outline.x) - 7e4, np.array(outline.y) - 4e4])
    distance = (2 * x[:, 0] ** 2 - 2 * x[:, 0] * x[:, 1] + 4 * x[:, 1] ** 2) / 7e8
    np.testing.assert_allclose(distance, 2.0, rtol=1e-9)


def test_hash_is_made_anew_in_another_process():
    strategy = Strategy("t", (RECTANGLE,))
    first = hash(strategy)
    again = pickle.loads(pickle.dumps(strategy))
    assert "_hash" in vars(strategy)
    assert "_hash" not in vars(again)
    assert again == strategy
    assert hash(again) == first
    nodes = resolve(strategy, ("FSC-A", "SSC-A"), has_spillover=False)
    copied = pickle.loads(pickle.dumps(nodes))
    assert copied == nodes
    assert hash(copied) == hash(nodes) == hash(tuple(nodes))
    assert "_hash" not in vars(pickle.loads(pickle.dumps(nodes)))
