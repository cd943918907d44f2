"""Evaluation of gates against hand calculations on the same events, and against FlowKit alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from immunoprofile import gate
from immunoprofile.compensation import compensate, from_keywords
from immunoprofile.errors import GateError
from immunoprofile.gate.matching import match
from immunoprofile.gate.raster import read_rasters, write_rasters
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.strategy import Dimension, Gate, GateSet, Operand, Strategy
from immunoprofile.io.fcs import read_fcs
from tests.io.fcs_files import events, spill_text, write

LOGICLE = Scale("logicle", (("T", 262144.0), ("W", 0.5), ("M", 4.5), ("A", 0.0)))


def strategy(tube: str = "t", extra: tuple[Gate, ...] = ()) -> Strategy:
    cd3 = Dimension("CD3", 0.5, None, scale="lgcl", compensated=True)
    cd56 = Dimension("CD56", None, 0.45, scale="lgcl", compensated=True)
    corners = ((70_000.0, 20_000.0), (120_000.0, 20_000.0), (110_000.0, 60_000.0), (70_000.0, 55_000.0))
    gates = (
        Gate("lymphocytes", "root", "polygon", (Dimension("FSC-A"), Dimension("SSC-A")), vertices=corners),
        Gate("t", "lymphocytes", "rectangle", (cd3, cd56)),
        Gate("not_t", "lymphocytes", "not", operands=(Operand("t"),)),
        *extra,
    )
    return Strategy(tube, gates, scales=(("lgcl", LOGICLE),), channels=(("CD3", "FITC-A"), ("CD56", "PE-A")))


@pytest.fixture
def sample(tmp_path):
    return read_fcs(write(tmp_path / "a.fcs", events(3000), **{"$SPILLOVER": spill_text()}))


def test_membership_by_hand(sample):
    masks = gate.membership(sample, strategy())
    comp = compensate(sample, from_keywords(sample))
    in_range = (LOGICLE.apply(comp[:, 2]) >= 0.5) & (LOGICLE.apply(comp[:, 3]) < 0.45)
    lymphocytes = masks["lymphocytes"].to_numpy()
    np.testing.assert_array_equal(masks["t"], in_range & lymphocytes)
    np.testing.assert_array_equal(masks["not_t"], lymphocytes & ~in_range)
    inside = (sample.values("FSC-A") > 70_000) & (sample.values("FSC-A") < 110_000)
    inside &= (sample.values("SSC-A") > 20_000) & (sample.values("SSC-A") < 55_000)
    assert lymphocytes[inside].all()
    assert 0 < lymphocytes.sum() < len(lymphocytes)


def test_counts_and_empty_parents(sample):
    nothing = Gate("none", "root", "rectangle", (Dimension("FSC-A", 1e9, None),))
    child = Gate("child", "none", "rectangle", (Dimension("SSC-A", 0.0, None),))
    counts = gate.gate_sample(sample, strategy(extra=(nothing, child))).counts().set_index("population")
    assert counts.loc["lymphocytes", "n_parent"] == sample.n_events
    assert counts.loc["t", "n"] + counts.loc["not_t", "n"] == counts.loc["lymphocytes", "n"]
    assert counts.loc["none", "n"] == 0
    assert np.isnan(counts.loc["child", "pct_parent"])
    assert counts.loc["t", "gate_path"] == "root/lymphocytes/t"


def test_missing_and_ambiguous_markers_are_told_together(tmp_path):
    path = write(tmp_path / "a.fcs", events(50), pns=("", "", "CD4", "CD56", "CD 56", ""))
    unstated = replace(strategy(), channels=())
    with pytest.raises(GateError) as caught:
        gate.membership(read_fcs(path), unstated)
    assert "marker CD3 of tube t is missing" in str(caught.value)
    assert "marker CD56 is ambiguous; allowed: one of PE-A, APC-A" in str(caught.value)


def test_template_is_found_by_the_panel(sample):
    other = Strategy("other", (Gate("b", "root", "rectangle", (Dimension("CD19", 1.0, None),)),))
    small = Strategy("small", (Gate("x", "root", "rectangle", (Dimension("CD3", 1.0, None),)),))
    assert match(sample, GateSet((other, small, strategy()))).strategy.tube == "t"
    with pytest.raises(GateError, match="no template fits"):
        match(sample, GateSet((other,)))
    with pytest.raises(GateError, match="equally well"):
        match(sample, GateSet((strategy(), strategy("again"))))


def test_batch_lists_bad_files_and_does_not_depend_on_jobs(tmp_path):
    files = [write(tmp_path / f"{i}.fcs", events(500, seed=i), **{"$SPILLOVER": spill_text()}) for i in range(5)]
    (tmp_path / "bad.fcs").write_bytes(files[0].read_bytes()[:3000])
    files.insert(2, tmp_path / "bad.fcs")
    exceptions: list[dict] = []
    one = gate.batch(files, strategy(), jobs=1, exceptions=exceptions)
    two = gate.batch(files, strategy(), jobs=2, exceptions=[])
    assert one.equals(two)
    assert [(row["code"], row["file"]) for row in exceptions] == [
        ("FILE_UNREADABLE", (tmp_path / "bad.fcs").as_posix())
    ]
    assert one["file"].nunique() == 5
    with pytest.raises(Exception, match="cut off"):
        gate.batch(files, strategy())


def test_rasters_hold_every_event_and_survive_the_disk(sample, tmp_path):
    rasters = gate.rasterise(gate.gate_sample(sample, strategy()))
    assert [(r.parent, r.x_marker, r.y_marker) for r in rasters] == [
        ("root", "FSC-A", "SSC-A"), ("lymphocytes", "CD3", "CD56"),
    ]  # fmt: skip
    assert all(int(r.counts.sum()) == r.n_parent for r in rasters)
    write_rasters(rasters, tmp_path / "r.npz")
    write_rasters(rasters, tmp_path / "again.npz")
    assert (tmp_path / "r.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()
    for before, after in zip(rasters, read_rasters(tmp_path / "r.npz"), strict=True):
        np.testing.assert_array_equal(before.counts, after.counts)
        assert before.outlines == after.outlines
        assert (before.x_range, before.x_ticks) == (after.x_range, after.x_ticks)


@pytest.mark.parametrize(
    ("forward", "side", "second"),
    [
        ("FSC-A", "SSC-A", "SSC-A"), ("FS", "SS", "SS"), ("FSC-H", "SSC-H", "SSC-H"), ("FS INT LIN", "SS INT LIN",
         "SS INT LIN"), ("FSC-H", "Event_length", "FSC-H"), ("DNA1", "Center", "DNA1"),
    ],
)  # fmt: skip
def test_every_gate_with_one_axis_has_a_plot(tmp_path, forward, side, second):
    """Whatever the instrument calls its scatter, and without any: the T cells of a page must be seen to be believed."""
    path = write(tmp_path / "a.fcs", events(3000), pnn=(forward, side, "FITC-A", "PE-A", "BV510-A", "Time"))
    cd3, cd56 = (Dimension(name, 0.5, None, scale="lgcl") for name in ("CD3", "CD56"))
    gates = (
        Gate("large", "root", "rectangle", (Dimension(forward, 1.0, None),)),
        Gate("t", "large", "rectangle", (cd3,)),
        Gate("nkt", "t", "rectangle", (cd3, cd56)),
    )
    own = Strategy("t", gates, scales=(("lgcl", LOGICLE),), channels=(("CD3", "FITC-A"), ("CD56", "PE-A")))
    rasters = gate.rasterise(gate.gate_sample(read_fcs(path), own))
    assert [outline.population for one in rasters for outline in one.outlines] == ["large", "t", "nkt"]
    assert (rasters[1].x_marker, rasters[1].y_marker) == ("CD3", second)
    assert all(int(one.counts.sum()) == one.n_parent for one in rasters)
    assert np.count_nonzero(rasters[1].counts) > 50  # not in one line


def test_axes_go_beyond_a_range_that_the_values_do_not_keep(tmp_path):
    values = events(3000)
    values[:, 0] *= 40  # floating point values above $PnR
    path = write(tmp_path / "a.fcs", values)
    (raster, *_) = gate.rasterise(gate.gate_sample(read_fcs(path), strategy()))
    assert raster.x_range[1] > np.quantile(values[:, 0], 0.999) > 262144
    assert raster.counts[:, -1].sum() <= 0.002 * len(values)
    assert raster.y_range[1] <= 262144


def test_effective_gatingml_carries_the_matrix_and_gates_the_same(sample, tmp_path):
    """The document written for one file, read by FlowKit alone, gives our counts."""
    import flowkit as fk

    from immunoprofile.gate.exchange import save_gatingml

    gated = gate.gate_sample(sample, strategy())
    save_gatingml(strategy(), tmp_path / "a.xml", spillover=gated.spillover)
    theirs = fk.parse_gating_xml(str(tmp_path / "a.xml")).gate_sample(fk.Sample(str(tmp_path / "a.fcs")))
    for population, mask in gated.masks.items():
        np.testing.assert_array_equal(theirs.get_gate_membership(population), mask)


def test_from_flowkit_and_back(sample):
    import flowkit as fk

    target = fk.GatingStrategy()
    target.add_transform("lgcl", fk.transforms.LogicleTransform(262144, 0.5, 4.5, 0))
    target.add_gate(fk.gates.RectangleGate("CD3+ cells", [fk.Dimension("FITC-A", "FCS", "lgcl", 0.5, None)]), ("root",))
    quadrants = [
        fk.gates.Quadrant("Q1", ["a", "b"], [(None, 0.4), (None, 0.4)]),
        fk.gates.Quadrant("Q2", ["a", "b"], [(0.4, None), (None, 0.4)]),
    ]
    dividers = [fk.QuadrantDivider(i, c, "FCS", [0.4], "lgcl") for i, c in (("a", "PE-A"), ("b", "APC-A"))]
    target.add_gate(fk.gates.QuadrantGate("quad", dividers, quadrants), ("root", "CD3+ cells"))
    ours = gate.from_flowkit(target, tube="x")["x"]
    assert ours.populations == ("cd3_pos_cells", "q1", "q2")
    assert [g.label for g in ours.gates] == ["CD3+ cells", "Q1", "Q2"]
    masks = gate.membership(sample, ours)
    results = target.gate_sample(gate_file(sample))
    np.testing.assert_array_equal(masks["cd3_pos_cells"], results.get_gate_membership("CD3+ cells"))
    np.testing.assert_array_equal(masks["q2"], results.get_gate_membership("Q2"))


def gate_file(sample):
    from immunoprofile.gate._flowkit import flowkit_sample

    return flowkit_sample(sample, from_keywords(sample))


def test_unsupported_gates_are_named():
    import flowkit as fk

    class Spiral(fk.gates.RectangleGate):
        pass

    target = fk.GatingStrategy()
    dims = [fk.Dimension("FITC-A", "uncompensated", None, 1, 2)]
    target.add_transform("odd", fk.transforms.LinearTransform(float("nan"), 0))
    target.add_gate(Spiral("round", dims), ("root",))
    with pytest.raises(GateError, match="scale odd: the parameters of a linear scale are finite numbers"):
        gate.from_flowkit(target)
