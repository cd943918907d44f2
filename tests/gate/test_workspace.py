"""FlowJo workspaces: what is read, what is named, and the counts beside FlowJo's own."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile import gate
from immunoprofile.compensation import compensate, from_keywords
from immunoprofile.errors import GateError
from immunoprofile.gate.flowjo_counts import needs_a_look
from immunoprofile.gate.matching import Matcher
from immunoprofile.io.fcs import read_fcs
from tests.gate import workspaces as w
from tests.io.fcs_files import events, spill_text, write

CELLS = w.population(
    "Lymph/ocytes",
    w.rectangle(w.axis("FSC-A", 30_000, 150_000), w.axis("SSC-A", None, 80_000)),
    w.population("CD3+ CD8+", w.rectangle(w.axis("Comp-FITC-A", 500, None), w.axis("Comp-PE-A", 300, None))),
    w.population("4_pos", w.rectangle(w.axis("Comp-APC-A", 200, None), inside=False)),
)


def read(*samples: str, groups: str = "", name: str = "gating.wsp"):
    from immunoprofile.gate.workspace import read_workspace

    return read_workspace(w.workspace(*samples, groups=groups), name)


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "a.fcs", events(3000), **{"$SPILLOVER": spill_text()})


def test_gates_names_scales_and_the_spillover_of_the_file(file):
    gates = read(w.sample(1, "a.fcs", CELLS))
    assert gates.problems == ()
    strategy = gates["gating"]
    assert strategy.populations == ("lymph_ocytes", "cd3_pos_cd8_pos", "g_4_pos")
    assert [g.label for g in strategy.gates] == ["Lymph/ocytes", "CD3+ CD8+", "4_pos"]
    assert strategy.matrices == ()  # it is the one of the keyword
    assert {d.scale for d in strategy["cd3_pos_cd8_pos"].dimensions} == {"FITC-A", "PE-A"}
    sample = read_fcs(file)
    masks = gate.membership(sample, strategy)
    comp = compensate(sample, from_keywords(sample))
    names = [c.pnn for c in sample.channels]
    column = {name: comp[:, names.index(name)] for name in names}
    cells = (column["FSC-A"] >= 30_000) & (column["FSC-A"] < 150_000) & (column["SSC-A"] < 80_000)
    np.testing.assert_array_equal(masks["lymph_ocytes"], cells)
    # FlowJo's scales rise, so that limits on them are limits on the values, except within a step of their table
    far = np.abs(column["APC-A"] - 200) > 5
    np.testing.assert_array_equal(masks["g_4_pos"][far], (cells & (column["APC-A"] < 200))[far])
    assert 0 < masks["g_4_pos"].sum() < cells.sum()


def test_counts_join_on_themselves_where_names_repeat(file):
    both = [
        w.population(name, w.rectangle(w.axis(channel, 300)), w.population("CD69+", w.rectangle(w.axis("APC-A", 200))))
        for name, channel in (("CD4+", "FITC-A"), ("CD8+", "PE-A"))
    ]
    counts = gate.batch([file], read(w.sample(1, "a.fcs", *both)))
    assert counts["population"].is_unique
    assert set(counts["parent"]) <= {*counts["population"], "root"}
    assert (counts["gate_path"].str.split("/").str[-1] == counts["population"]).all()
    assert (counts["gate_path"].str.split("/").str[-2] == counts["parent"]).all()
    assert counts["label"].tolist() == ["CD4+", "CD69+", "CD8+", "CD69+"]
    above = counts.merge(counts, left_on=["file", "parent"], right_on=["file", "population"], suffixes=("", "_above"))
    assert (above["n_parent"] == above["n_above"]).all()


def test_one_gate_that_cannot_be_read_costs_only_what_depends_on_it():
    curly = w.population("curly", w.curly("FSC-A", "SSC-A"), w.population("child", w.rectangle(w.axis("FSC-A", 1, 2))))
    derived = w.population("derived", w.rectangle(w.axis("Ratio", 1, 2)))
    both = w.boolean("And", "both", "Lymph/ocytes/4_pos", "curly")
    fine = w.boolean("Not", "fine", "Lymph/ocytes")
    gates = read(w.sample(1, "a.fcs", CELLS, curly, derived, both, fine))
    assert gates["gating"].populations == ("lymph_ocytes", "cd3_pos_cd8_pos", "g_4_pos", "fine")
    told = {problem.where: problem.what for problem in gates.problems}
    assert told == {
        "sample a.fcs, gate curly": "FlowJo's CurlyQuadrant cannot be read",
        "sample a.fcs, gate curly/child": "stands below curly, which is left out",
        "sample a.fcs, gate derived": "Ratio is not recorded in the file (a derived parameter?)",
        "sample a.fcs, gate both": "refers to curly, which is left out or not there",
    }


def test_a_boolean_gate_below_another_keeps_its_operands_to_itself():
    inner = w.boolean("Or", "inner", "one", "two")
    outer = w.boolean("Not", "outer", "one").replace(
        "</NotNode>", f"<Subpopulations>{inner}</Subpopulations></NotNode>"
    )
    shapes = [w.population(name, w.rectangle(w.axis("FSC-A", low))) for name, low in (("one", 1), ("two", 2))]
    strategy = read(w.sample(1, "a.fcs", *shapes, outer))["gating"]
    assert [o.population for o in strategy["outer"].operands] == ["one"]
    assert [o.population for o in strategy["inner"].operands] == ["one", "two"]
    assert strategy["inner"].parent == "outer"


def test_scale_that_cannot_be_read_costs_only_its_gates():
    scales = w.SCALES.replace(w.biex("PE-A"), w.biex("PE-A", length=512))
    gates = read(w.sample(1, "a.fcs", CELLS, scales=scales))
    assert gates["gating"].populations == ("lymph_ocytes", "g_4_pos")
    assert [f.where for f in gates.problems] == ["sample a.fcs, gate Lymph/ocytes/CD3+ CD8+"]
    assert "the scale of PE-A cannot be read" in gates.problems[0].what
    assert "512" in gates.problems[0].what


def test_fault_of_one_gate_costs_only_that_gate():
    wrong = w.population("wrong", w.rectangle(w.axis("FSC-A", 5, 2)))
    gates = read(w.sample(1, "a.fcs", wrong, CELLS))
    assert gates["gating"].populations == ("lymph_ocytes", "cd3_pos_cd8_pos", "g_4_pos")
    assert "minimum of FSC-A is not below its maximum" in gates.problems[0].what


def test_samples_of_one_tree_share_a_strategy_and_keep_their_own_gates():
    moved = CELLS.replace('gating:min="30000"', 'gating:min="35000"')
    other = w.population("beads", w.rectangle(w.axis("FSC-A", 1, 2)))
    wide = w.SCALES.replace(w.biex("PE-A"), w.biex("PE-A", width=-10))
    gates = read(
        w.sample(1, "a.fcs", CELLS), w.sample(2, "b.fcs", CELLS), w.sample(3, "c.fcs", moved),
        w.sample(4, "d.fcs", CELLS, scales=wide), w.sample(5, "e.fcs", other),
        groups=w.group("All Samples", 1, 2, 3, 4, 5) + w.group("T cells!", 1, 2, 3, 4) + w.group("B", 5),
    )  # fmt: skip
    assert tuple(gates) == ("B", "T_cells")
    cells = gates["T_cells"]
    assert [(sample, g.population) for sample, g in cells.custom] == [
        ("c.fcs", "lymph_ocytes"), ("d.fcs", "cd3_pos_cd8_pos"),
    ]  # fmt: skip
    low = dict(cells.scales)["FSC-A"].apply(np.array([35_000.0]))[0]
    assert cells.for_sample("c.fcs")["lymph_ocytes"].dimensions[0].minimum == low
    assert cells.for_sample("d.fcs")["cd3_pos_cd8_pos"].dimensions[1].scale == "PE-A.2"
    assert cells.for_sample("nobody.fcs").gates == cells.gates


def test_own_gates_are_used_for_their_sample_only(tmp_path):
    moved = CELLS.replace('gating:min="30000"', 'gating:min="90000"')
    strategy = read(w.sample(1, "a.fcs", CELLS), w.sample(2, "b.fcs", CELLS), w.sample(3, "c.fcs", moved))["gating"]
    found = {}
    for name in ("a.fcs", "c.fcs", "z.fcs"):
        path = write(tmp_path / name, events(3000), **{"$SPILLOVER": spill_text()})
        sample = read_fcs(path)
        found[name] = int(gate.membership(sample, strategy)["lymph_ocytes"].sum())
        fsc = sample.values("FSC-A")
        low = 90_000 if name == "c.fcs" else 30_000
        assert found[name] == int(((fsc >= low) & (fsc < 150_000) & (sample.values("SSC-A") < 80_000)).sum())
    assert found["a.fcs"] == found["z.fcs"] > found["c.fcs"] > 0


def test_matrix_of_the_workspace_is_kept_by_its_values():
    other = w.matrix(((1.0, 0.3, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    gates = read(w.sample(1, "a.fcs", CELLS), w.sample(2, "b.fcs", CELLS, comp=other))
    strategy = gates["gating"]
    assert [name for name, _ in strategy.matrices] == ["Acquisition-defined"]
    own = strategy.for_sample("b.fcs")["g_4_pos"].dimensions[0]
    assert own.matrix == "Acquisition-defined"
    assert strategy["g_4_pos"].dimensions[0].matrix == ""


def test_ellipse_becomes_a_polygon():
    shape = w.ellipse("FSC-A", "SSC-A", ((100, 128), (156, 128)), ((78, 128), (178, 128), (128, 90), (128, 166)))
    strategy = read(w.sample(1, "a.fcs", w.population("round", shape)))["gating"]
    assert strategy["round"].kind == "polygon"
    assert len(strategy["round"].vertices) == 128
    centre = np.mean(strategy["round"].vertices, axis=0)
    np.testing.assert_allclose(centre, [0.5, 0.5], atol=1e-9)
    # half axes: a = 50 bins as drawn, b = sqrt(50^2 - 28^2), since the foci stand 28 bins from the centre
    reach = np.ptp(strategy["round"].vertices, axis=0) / 2 * 256
    np.testing.assert_allclose(reach, [50.0, np.sqrt(50**2 - 28**2)], rtol=1e-9)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<Workspace/>", "no workspace of FlowJo 10"),
        (b'<Workspace flowJoVersion="9.1"/>', "no workspace of FlowJo 10"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><Workspace/>", "entities"),
        (w.workspace(), "no sample with gates"),
        (w.workspace(w.sample(1, "a.fcs")), "no sample with gates"),
        (w.workspace(w.sample(1, "a.fcs", w.population("q", w.curly("FSC-A", "SSC-A")))), "CurlyQuadrant"),
    ],
)
def test_what_is_no_workspace_is_refused(tmp_path, content, reason):
    (tmp_path / "x.wsp").write_bytes(content)
    with pytest.raises(GateError, match=reason):
        gate.load(tmp_path / "x.wsp")


def test_workspaces_are_not_written(tmp_path):
    gates = read(w.sample(1, "a.fcs", CELLS))
    with pytest.raises(GateError, match="keeps gates by sample"):
        gate.save(gates, tmp_path / "x.wsp")
    with pytest.raises(GateError, match=r"GatingML has no biex.*allowed: save the gates as .json"):
        gate.save(gates, tmp_path / "x.xml")
    gate.save(gates, tmp_path / "x.json")
    assert gate.load(tmp_path / "x.json") == gates


def test_reconcile_gives_every_population_a_verdict(tmp_path, file):
    sample = read_fcs(file)
    fsc, ssc = sample.values("FSC-A"), sample.values("SSC-A")
    cells = int(((fsc >= 30_000) & (fsc < 150_000) & (ssc < 80_000)).sum())
    square = w.polygon("FSC-A", "SSC-A", (30_000, -1e6), (150_000, -1e6), (150_000, 80_000), (30_000, 80_000))
    box = w.rectangle(w.axis("FSC-A", 30_000, 150_000), w.axis("SSC-A", None, 80_000))
    populations = [
        w.population("exact", box, count=cells), w.population("wrong", box, count=cells + 1),
        w.population("near", square, count=cells + 1), w.population("far", square, count=cells * 2),
        w.population("uncounted", box), w.population("curly", w.curly("FSC-A", "SSC-A"), count=3),
        w.boolean("Or", "either", "exact", "near", count=cells + 1),
    ]  # fmt: skip
    (tmp_path / "x.wsp").write_bytes(
        w.workspace(w.sample(1, "a.fcs", *populations), w.sample(2, "lost.fcs", *populations))
    )
    table = gate.reconcile(tmp_path / "x.wsp", tmp_path)
    here = table[table["sample"] == "a.fcs"].set_index("population")
    assert here["verdict"].to_dict() == {
        "exact": "equal", "wrong": "different", "near": "within 1 %", "far": "different", "uncounted": "no count",
        "curly": "not supported", "either": "within 1 %",
    }  # fmt: skip
    assert here.loc["wrong", "difference"] == -1
    assert "CurlyQuadrant" in here.loc["curly", "reason"]
    lost = table[table["sample"] == "lost.fcs"].set_index("population")
    assert set(lost["verdict"]) == {"no file", "not supported"}
    assert "no file is called lost.fcs" in lost.loc["exact", "reason"]
    assert needs_a_look(table)
    assert not needs_a_look(table[table["population"].isin(("exact", "near")) & (table["sample"] == "a.fcs")])


@pytest.mark.outside_data
def test_real_workspaces_equal_flowkit_event_for_event(outside_data):
    """Every workspace of the data: which file is which sample is found by us, and told to FlowKit by hand."""
    import flowkit as fk

    compared = 0
    for path in sorted(outside_data.rglob("*.wsp")):
        gates = gate.load(path)
        assert gates.problems == ()
        files = sorted(path.parent.rglob("*.fcs"))
        matcher = Matcher(gates, files)
        for file in files:
            sample = read_fcs(file)
            found = matcher.match(sample, file)
            assert found.sample is not None
            gated = gate.gate_sample(sample, found)
            assert gated.problems == ()
            name = found.sample.name
            theirs = fk.Workspace(str(path), fcs_samples=[fk.Sample(str(file), sample_id=name)])
            theirs.analyze_samples(sample_id=name, use_mp=False)
            for one in gated.strategy.gates:
                labels = tuple(gated.strategy[p].label or p for p in gated.strategy.path(one.population)[1:])
                expected = theirs.get_gate_membership(name, one.label or one.population, ("root", *labels))
                np.testing.assert_array_equal(gated.masks[one.population], expected, err_msg=one.label)
                compared += len(expected)
    assert compared == 15 * 19_225


@pytest.mark.outside_data
def test_real_workspace_is_near_flowjo(outside_data):
    """Mouse spleen, FlowJo 10.5.3: 6 of 15 populations have FlowJo's count, the others differ by up to 13."""
    folder = outside_data / "wsp_flowjo_mouse_flowsom"
    table = gate.reconcile(folder / "gating.wsp", folder)
    assert len(table) == 15
    assert set(table["verdict"]) == {"equal", "within 1 %"}
    assert table["difference"].abs().max() == 13
    assert not needs_a_look(table)


def test_a_gate_on_a_recorded_channel_sees_recorded_values(file):
    """The name without the prefix of the matrix is the recorded channel; FlowKit compensates both."""
    gates = read(
        w.sample(
            1,
            "a.fcs",
            w.population("recorded", w.rectangle(w.axis("PE-A", 600))),
            w.population("compensated", w.rectangle(w.axis("Comp-PE-A", 600))),
            scales="",
        )
    )
    sample = read_fcs(file)
    masks = gate.membership(sample, gates)
    recorded = sample.values("PE-A") >= 600
    compensated = compensate(sample, from_keywords(sample))[:, 3] >= 600
    assert recorded.sum() != compensated.sum()
    np.testing.assert_array_equal(masks["recorded"], recorded)
    np.testing.assert_array_equal(masks["compensated"], compensated)


def test_a_matrix_without_a_mark_compensates_every_gate_on_its_channels(file):
    plain = w.matrix().replace('prefix="Comp-"', 'prefix=""')
    gates = read(w.sample(1, "a.fcs", w.population("p", w.rectangle(w.axis("PE-A", 600))), scales="", comp=plain))
    sample = read_fcs(file)
    compensated = compensate(sample, from_keywords(sample))[:, 3] >= 600
    np.testing.assert_array_equal(gate.membership(sample, gates)["p"], compensated)
