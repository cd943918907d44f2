"""The kernel's side of the gate editor: exact counts, revisions, shapes; without a page."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from immunoprofile import gate as gates_room
from immunoprofile.errors import FcsError, GateError
from immunoprofile.gate import Gate, GateSet, Scale, Strategy, gate_sample
from immunoprofile.gate.data_units import in_data_units
from immunoprofile.widget.opening import Opened, axis_for, open_gate
from immunoprofile.widget.overlays import overlay_of, overlays_of
from immunoprofile.widget.plot import linear_values, plot_of
from immunoprofile.widget.shapes import axes_of, crosses_itself, new_cells, reshaped, shape_of
from tests.widget.files import LOGICLE, axis, sample, strategy

SHAPES: dict[str, dict[str, Any]] = {
    "lymph": {"kind": "polygon", "vertices": [[51234.5, 9000.125], [131000.0, 12000.0], [90000.0, 66000.0]]},
    "cd3": {"kind": "rectangle", "limits": [[0.3512345678901234, None]]},
    "treg": {"kind": "polygon", "vertices": [[0.4, 0.1], [0.45, 0.48123], [0.7, 0.5], [0.9, 0.2], [0.6, 0.0]]},
    "middle": {"kind": "rectangle", "limits": [[0.4, 0.61]]},
    "box": {"kind": "rectangle", "limits": [[0.31, None], [0.1, 0.62]]},
    "outside": {"kind": "polygon", "vertices": [[0.4, 0.1], [0.4, 0.4], [0.8, 0.5]]},
    "cube": {"kind": "rectangle", "limits": [[0.25, 0.75], [None, 0.7]]},
    "quads": {"kind": "quadrant", "dividers": [[0.47], [0.52]]},
}


_numbers = itertools.count()


def opened(population: str, **options: Any) -> Opened:
    """An edit of its own: those of one file and gate are one."""
    return open_gate(replace(sample(), sha256=f"own {next(_numbers)}"), strategy(), population, **options)


def by_flowkit(changed: Strategy, folder: Path) -> dict[str, int]:
    """Counts of FlowKit itself after the gates went through GatingML."""
    from immunoprofile.gate import _flowkit
    from immunoprofile.gate.binding import bind

    gates_room.save(changed, folder / "gates.xml")
    again = next(iter(gates_room.load(folder / "gates.xml").values()))
    file = sample()
    spillover = gate_sample(file, again, compiled=False).spillover
    masks = _flowkit.memberships(bind(again, file), file, spillover)
    return {name: int(mask.sum()) for name, mask in masks.items()}


@pytest.mark.parametrize("population", SHAPES)
def test_count_is_that_of_the_engine_and_of_flowkit(population: str, tmp_path: Path) -> None:
    session = opened(population).session
    revision = session.change(SHAPES[population])
    own = revision.counts["this file"]
    whole = gate_sample(sample(), session.strategy)
    assert {name: whole.n(name) for name in own} == own
    assert 0 < sum(own.values()) < session.files[0].n_events or population == "quads"
    told = by_flowkit(session.strategy, tmp_path)
    assert {name: told[name] for name in own} == own


def test_ellipse_as_it_is_and_as_polygon(tmp_path: Path) -> None:
    session = opened("round").session
    whole = gate_sample(sample(), strategy())
    assert session.revision.counts["this file"] == {"round": whole.n("round")}
    before = session.revision.counts["this file"]["round"]
    after = session.convert().counts["this file"]["round"]
    assert session.gates[0].kind == "polygon"
    assert abs(after - before) < 0.02 * before
    assert by_flowkit(session.strategy, tmp_path)["round"] == after
    assert session.undo().counts["this file"]["round"] == before
    with pytest.raises(GateError, match="ellipse or a closed rectangle"):
        opened("cube").session.convert()


def test_new_population_on_other_axes(tmp_path: Path) -> None:
    work = opened("odd", parent="cd3", axes=("CD4", "CD127"))
    assert work.session.state()["shape"] == {"kind": "empty"}
    with pytest.raises(GateError, match="no shape yet"):
        _ = work.session.strategy
    work.session.turn(work.new_axes(work.session, ["CD4", "SSC-A"]), by="page")
    n = work.session.change({"kind": "rectangle", "limits": [[0.4, 0.8], [1000.0, 50000.0]]}).counts["this file"]["odd"]
    assert n == gate_sample(sample(), work.session.strategy).n("odd")
    assert by_flowkit(work.session.strategy, tmp_path)["odd"] == n
    assert work.session.strategy["odd"].dimensions[0].scale == "logicle"
    assert work.session.strategy["odd"].dimensions[1].scale is None


def test_whole_tree_from_an_empty_strategy() -> None:
    empty = Strategy("treg", (), scales=(("logicle", LOGICLE),))
    session = open_gate(sample(), empty, "lymph", parent="root").session
    assert [d.marker for d in axes_of(session.shown)] == ["FSC-A", "SSC-A"]
    session.change(SHAPES["lymph"])
    second = open_gate(sample(), session.strategy, "cd3", parent="lymph", axes=("CD3",)).session
    second.change(SHAPES["cd3"])
    done = gate_sample(sample(), second.strategy)
    assert second.revision.counts["this file"] == {"cd3": done.n("cd3")}
    # compensated like a template, whose header says so unless it says otherwise
    assert second.strategy["cd3"].dimensions[0].compensated


def test_untouched_numbers_keep_their_bits(tmp_path: Path) -> None:
    start = [[0.1 + 0.2, 1 / 3], [math.pi / 4, 5e-324], [0.7, 0.1], [1e-17, 0.30000000000000004]]
    session = opened("treg").session
    session.change({"kind": "polygon", "vertices": start})
    sent = json.loads(json.dumps(session.state()["shape"]))
    sent["vertices"][2] = [0.71, 0.12]
    session.change(sent)
    corners = session.gates[0].vertices
    expected = [tuple(start[0]), tuple(start[1]), (0.71, 0.12), tuple(start[3])]
    assert np.array(corners).tobytes() == np.array(expected).tobytes()
    for name in ("t.csv", "t.xml", "t.json"):
        only = replace(session.strategy, gates=session.strategy.gates[:3])
        gates_room.save(only, tmp_path / name)
        again = next(iter(gates_room.load(tmp_path / name).values()))["treg"].vertices
        assert np.array(again).tobytes() == np.array(expected).tobytes(), name


def test_every_act_is_a_revision_and_undo_returns() -> None:
    session = opened("treg").session
    first = session.gates
    a = session.change(SHAPES["treg"]).gates
    b = session.change({"kind": "polygon", "vertices": [[0.4, 0.1], [0.4, 0.4], [0.8, 0.5]]}).gates
    assert session.undo().gates == a
    assert session.undo().gates == first
    assert not session.can_undo and session.can_redo
    assert session.redo().gates == a
    assert session.redo().gates == b
    assert session.reset().gates == first
    assert session.undo().gates == b
    session.change(SHAPES["treg"])
    assert not session.can_redo
    history = session.history()
    assert list(history["revision"]) == list(range(10))
    acts = ["start", "change", "change", "undo", "undo", "redo", "redo", "reset", "undo", "change"]
    assert list(history["action"]) == acts


def test_two_pages_lose_no_revision() -> None:
    session = opened("treg").session
    session.change(SHAPES["treg"], base=0, by="one")
    other = {"kind": "polygon", "vertices": [[0.4, 0.1], [0.4, 0.4], [0.8, 0.5]]}
    session.change(other, base=0, by="two")  # drawn before it saw revision 1
    assert shape_of(session.gates) == other
    assert "Another page changed the gate meanwhile (revision 1)" in session.notice()
    assert shape_of(session.undo().gates) == SHAPES["treg"]
    assert [one.by for one in session.revisions] == ["python", "one", "two", "python"]


def test_a_gate_opened_twice_is_one_edit() -> None:
    file = sample(seed=77)
    one, two = open_gate(file, strategy(), "treg"), open_gate(file, strategy(), "treg/treg")
    assert one.session is two.session
    assert open_gate(file, strategy(), "box").session is not one.session
    one.session.close("committed")
    assert open_gate(file, strategy(), "treg").session is not one.session
    with pytest.raises(GateError, match="the edit is over: committed"):
        two.session.change(SHAPES["treg"])


@pytest.mark.parametrize(
    ("population", "shape", "told"),
    [
        ("treg", {"kind": "polygon", "vertices": [[0.1, 0.2], [0.3, 0.4]]}, "three vertices"),
        ("treg", {"kind": "polygon", "vertices": [[0.1, 0.2], [0.3, None], [1, 2]]}, "no finite number"),
        ("treg", {"kind": "rectangle", "limits": [[0.1, 0.2], [0.3, 0.4]]}, "cannot become a rectangle"),
        ("box", {"kind": "rectangle", "limits": [[0.7, 0.2], [0.3, 0.4]]}, "not below its maximum"),
        ("box", {"kind": "rectangle", "limits": [[None, None], [None, None]]}, "at least one limit"),
        ("quads", {"kind": "quadrant", "dividers": [[0.2, 0.3], [0.3]]}, "must stay 1"),
        ("treg", {}, "cannot become"),
    ],
)
def test_what_is_no_gate_is_refused_and_changes_nothing(population: str, shape: dict[str, Any], told: str) -> None:
    session = opened(population).session
    before = session.revision
    with pytest.raises(GateError, match=told):
        session.change(shape)
    assert session.revision is before and not session.can_undo


def test_messages_of_opening() -> None:
    with pytest.raises(GateError, match=r"combines others.*edit treg"):
        opened("tconv")
    with pytest.raises(GateError, match="allowed: lymph, cd3"):
        opened("tregs")
    with pytest.raises(GateError, match="its parent is unknown"):
        opened("odd", parent="cd33")
    with pytest.raises(FcsError, match="no channel carries CD99"):
        opened("odd", parent="cd3", axes=("CD99",))
    with pytest.raises(GateError, match="has CD127 on V450-A, which the file does not have"):
        open_gate(sample(n_channels=5), strategy(), "treg")
    bare = sample(n_channels=5, name="BL.fcs")  # without CD127
    with pytest.raises(GateError, match="has CD127 on V450-A, which the file does not have") as told:
        opened("treg", others={"baseline": bare})
    assert "BL.fcs" in str(told.value), "which of the files"
    with pytest.raises(GateError, match="is no tube"):
        open_gate(sample(), GateSet((strategy(),)), "count/treg")


def test_empty_parent_is_told_and_still_edited() -> None:
    nothing = strategy().with_gate(replace(strategy()["cd3"], dimensions=(axis("CD3", 5.0),)))
    session = open_gate(sample(), nothing, "treg").session
    assert session.files[0].n_events == 0
    assert "cd3 has no events" in session.notice()
    assert session.change(SHAPES["treg"]).counts == {"this file": {"treg": 0}}
    assert plot_of(session.files[0], axes_of(session.shown)).counts.sum() == 0
    one = open_gate(sample(1), strategy(), "lymph").session
    assert one.revision.counts["this file"]["lymph"] == gate_sample(sample(1), strategy()).n("lymph")


def test_baseline_and_fmo_are_counted_with_the_same_gate() -> None:
    before, control = sample(seed=2, name="BL.fcs"), sample(seed=3, name="FMO.fcs")
    session = open_gate(sample(), strategy(), "treg", others={"baseline": before, "FMO": control}).session
    counts = session.change(SHAPES["treg"]).counts
    assert counts["baseline"]["treg"] == gate_sample(before, session.strategy).n("treg")
    assert counts["FMO"]["treg"] == gate_sample(control, session.strategy).n("treg")


def test_crossing_sides_are_told() -> None:
    session = opened("treg").session
    session.change({"kind": "polygon", "vertices": [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]})
    assert "sides of the polygon cross" in session.notice()
    assert session.revision.counts["this file"]["treg"] == gate_sample(sample(), session.strategy).n("treg")
    assert not crosses_itself([(0, 0), (1, 0), (1, 1), (0, 1)])


def test_typed_value_is_the_place_of_such_an_event() -> None:
    work = opened("cd3")
    work.place(work.session, {"axis": 0, "path": ["limits", 0, 0], "value": "1000"}, None, "page")
    limit = work.session.gates[0].dimensions[0].minimum
    assert limit is not None and in_data_units(LOGICLE, limit) == 1000.0


def test_read_out_agrees_with_the_scale_read_backwards() -> None:
    linear = np.array([-500.0, 0.0, 10.0, 1000.0, 54321.0, 250000.0])
    found = linear_values(LOGICLE, LOGICLE.apply(linear))
    assert np.allclose(found, linear, rtol=2e-3, atol=1.0)


def test_raster_holds_every_event_and_axis_follows_the_strategy() -> None:
    session = opened("treg").session
    plot = plot_of(session.files[0], axes_of(session.shown))
    assert plot.counts.sum() == session.files[0].n_events
    assert axis_for(session.files[0].gated, "PE-A") == replace(axis("CD3"), marker="CD3")


corner = st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2)).map(list)


@settings(max_examples=25)
@given(st.lists(corner, min_size=3, max_size=8))
def test_any_polygon_counts_as_the_whole_file_does(corners: list[list[float]]) -> None:
    session = _shared()
    own = session.change({"kind": "polygon", "vertices": corners}).counts["this file"]["treg"]
    assert own == gate_sample(sample(), session.strategy).n("treg")
    assert reshaped(session.gates, json.loads(json.dumps(shape_of(session.gates)))) == session.gates


def _shared() -> Any:
    return open_gate(sample(), strategy(), "treg").session


@pytest.mark.parametrize("population", ["treg", "cd3"])
def test_the_first_change_waits_for_nothing_that_was_prepared(population: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened(population, others={"baseline": sample(seed=8, name="BL.fcs")}).session
    applied: list[int] = []
    apply = Scale.apply
    monkeypatch.setattr(Scale, "apply", lambda self, values: (applied.append(len(values)), apply(self, values))[1])
    session.prepare()
    columns = 2 if population == "treg" else 1
    assert [n for n in applied if n > 1] == [n for one in session.files for n in [one.n_events] * columns]
    applied.clear()
    counted = session.change(SHAPES[population]).counts
    assert [n for n in applied if n > 1] == []
    monkeypatch.undo()
    for one in session.files:
        assert counted[one.label][population] == gate_sample(one.gated.sample, session.strategy).n(population)


def test_reset_returns_to_the_gate_that_was_found_or_to_the_template() -> None:
    moved = replace(strategy()["treg"], vertices=((0.3, 0.3), (0.5, 0.3), (0.5, 0.6)))
    placed = gate_sample(replace(sample(), sha256=f"own {next(_numbers)}"), strategy().with_gate(moved))
    session = open_gate(placed, strategy(), "treg").session
    session.change(SHAPES["treg"])
    assert session.reset().gates == (moved,)
    back = session.reset(to_template=True)
    assert back.gates == (strategy()["treg"],)
    assert back.counts["this file"]["treg"] == gate_sample(sample(), strategy()).n("treg")
    assert session.undo().gates == (moved,)
    same = opened("treg").session
    assert same.template == ()
    with pytest.raises(GateError, match="was found as the template has it"):
        same.reset(to_template=True)


def test_back_gating_follows_the_gate_that_is_moved() -> None:
    session = opened("treg").session
    plot = plot_of(session.files[0], axes_of(session.shown))
    marks = {one["id"]: one.get("follows") for one in overlays_of(session)}
    assert {name for name, mark in marks.items() if mark} == {"pop:deep", "pop:tconv"}
    assert {name for name, mark in marks.items() if mark is False} > {"pop:box", "pop:middle", "pop:q1"}
    seen = []
    for shape in (None, SHAPES["treg"], {"kind": "polygon", "vertices": [[0.2, 0.1], [0.2, 0.9], [0.9, 0.9]]}):
        if shape is not None:
            session.change(shape)
        whole = gate_sample(sample(), session.strategy)
        for name in ("deep", "tconv", "box"):
            data, counts = overlay_of(session, f"pop:{name}", plot)
            assert data["n"] == whole.n(name) == np.frombuffer(counts, "<u4").sum(), name
            assert data["rev"] == session.revision.number
        seen.append(whole.n("deep"))
    assert len(set(seen)) == 3
    session.reset()
    assert overlay_of(session, "pop:deep", plot)[0]["n"] == seen[0]


def test_a_gate_as_it_was_found_has_the_count_of_the_run() -> None:
    moved = strategy().with_gate(replace(strategy()["treg"], vertices=((0.3, 0.1), (0.3, 0.5), (0.9, 0.5))))
    other = gate_sample(sample(seed=8, name="BL.fcs"), moved)
    session = opened("treg", others={"baseline": other}).session
    assert session.revision.counts["this file"]["treg"] == gate_sample(sample(), strategy()).n("treg")
    # A baseline with a gate of its own is counted with the gate that is shown.
    told = session.revision.counts["baseline"]["treg"]
    assert told == gate_sample(other.sample, strategy()).n("treg") != other.n("treg")


def test_a_gate_from_python_is_a_revision() -> None:
    session = opened("treg").session
    moved = replace(strategy()["treg"], vertices=((0.3, 0.3), (0.5, 0.3), (0.5, 0.6)))
    assert session.set(moved).gates == (moved,)
    with pytest.raises(GateError, match="other axes"):
        session.set(Gate("treg", "cd3", "rectangle", (axis("CD4", 0.2),)))


CROSS: dict[str, Any] = {"kind": "quadrant", "dividers": [[0.47123456789012345], [0.52]]}


def test_new_quadrants_are_four_populations_of_one_cross(tmp_path: Path) -> None:
    session = opened("odd", parent="cd3", axes=("CD4", "CD127")).session
    own = session.change(CROSS).counts["this file"]
    assert list(own) == ["cd4_neg_cd127_pos", "cd4_pos_cd127_pos", "cd4_pos_cd127_neg", "cd4_neg_cd127_neg"]
    gated = gate_sample(sample(), strategy())
    x, y = (session.files[0].values([d])[0] for d in session.pattern[0].dimensions)
    right, above = x >= CROSS["dividers"][0][0], y >= CROSS["dividers"][1][0]
    counted = [int(np.sum(one)) for one in (~right & above, right & above, right & ~above, ~right & ~above)]
    assert list(own.values()) == counted and sum(counted) == gated.n("cd3") and min(counted) > 0
    assert session.strategy.quadrants["odd"] == session.gates
    whole, told = gate_sample(sample(), session.strategy), by_flowkit(session.strategy, tmp_path)
    assert {name: whole.n(name) for name in own} == own == {name: told[name] for name in own}
    again = next(iter(gates_room.load(tmp_path / "gates.xml").values())).quadrants["odd"]
    # GatingML names channels; the cross is the same to the bit.
    limits = [[[(d.minimum, d.maximum) for d in gate.dimensions] for gate in gates] for gates in (session.gates, again)]
    assert limits[0] == limits[1] and limits[0][0][0] == (None, 0.47123456789012345)
    with pytest.raises(GateError, match="a template has no quadrant"):
        gates_room.save(session.strategy, tmp_path / "gates.csv")


def test_new_quadrants_are_renamed_moved_and_undone() -> None:
    work = opened("odd", parent="cd3", axes=("CD4", "CD127"))
    session = work.session
    first = session.change(CROSS).counts["this file"]
    named = session.state()["shape"]
    named["cells"] = {name: named["cells"][old] for name, old in zip(("a", "b", "c", "d"), first, strict=True)}
    assert list(session.change(named).counts["this file"].values()) == list(first.values())
    moved = session.change(CROSS | {"dividers": [[0.4], [0.52]]})
    assert [gate.population for gate in moved.gates] == ["a", "b", "c", "d"], "names stay where none are said"
    work.place(session, {"axis": 1, "path": ["dividers", 1, 0], "value": 1000}, None, "page")
    assert [d.minimum for d in session.gates[1].dimensions] == [0.4, LOGICLE.apply(np.array([1000.0]))[0]]
    session.undo()
    session.undo()
    assert shape_of(session.undo().gates) == CROSS | {"cells": opened_cells(first)}
    assert session.undo().gates == () and session.redo().counts["this file"] == first
    box = session.change({"kind": "rectangle", "limits": [[0.4, 0.8], [None, 0.5]]})
    assert [gate.population for gate in box.gates] == ["odd"]
    session.change(CROSS)
    assert session.set(Gate("odd", "cd3", "rectangle", (axis("CD4", 0.2), axis("CD127")))).gates[0].population == "odd"
    session.change(CROSS)
    session.turn(work.new_axes(session, ["CD4", "SSC-A"]), by="page")
    names = list(session.change({"kind": "quadrant", "dividers": [[0.4], [40_000.0]]}).counts["this file"])
    assert names == ["cd4_neg_ssc_a_high", "cd4_pos_ssc_a_high", "cd4_pos_ssc_a_low", "cd4_neg_ssc_a_low"]


def opened_cells(names: Any) -> dict[str, Any]:
    """Clockwise from the upper left one: below or above the one divider of each axis."""
    ends = ([[None, 0], [0, None]], [[0, None], [0, None]], [[0, None], [None, 0]], [[None, 0], [None, 0]])
    return dict(zip(names, ends, strict=True))


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (CROSS | {"cells": opened_cells(("a", "b", "treg", "d"))}, "has a population of this name already.*treg"),
        (CROSS | {"cells": opened_cells(("a", "b", "quads", "d"))}, "has a population of this name already.*quads"),
        (CROSS | {"cells": opened_cells(("a", "odd", "c", "d"))}, "name of its quadrant gate"),
        (CROSS | {"cells": opened_cells(("a", "b", "c", "CD4+"))}, "is no name of a population.*lower-case"),
        (CROSS | {"cells": {"a": [[None, 0], [None, 0]]}}, "each of the four quadrants once"),
        (CROSS | {"dividers": [[0.2, 0.3], [0.3]]}, "one divider on each"),
        (CROSS | {"dividers": [[0.2], [None]]}, "no finite number"),
    ],
)
def test_quadrants_that_cannot_be_are_refused_and_change_nothing(shape: dict[str, Any], told: str) -> None:
    session = opened("odd", parent="cd3", axes=("CD4", "CD127")).session
    with pytest.raises(GateError, match=f"(?s){told}"):
        session.change(shape)
    assert session.gates == () and not session.can_undo
    with pytest.raises(GateError, match="quadrants need two axes"):
        opened("odd", parent="cd3", axes=("CD4",)).session.change(shape)


def test_names_of_new_quadrants_avoid_those_that_are_taken() -> None:
    pattern = opened("odd", parent="cd3", axes=("CD25", "CD127")).session.pattern[0]
    assert list(new_cells(pattern, {"cd25_pos_cd127_neg"}))[2] == "cd25_pos_cd127_neg_2"
    other = replace(pattern, dimensions=(axis("HLA-DR"), axis("CD16+CD56")))
    assert next(iter(new_cells(other, ()))) == "hla_dr_neg_cd16_cd56_pos"
