"""Figures of statistics, controls and gates: one description, the same words at the same places in both backends."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from immunoprofile.gate.evaluate import gate_sample
from immunoprofile.pl.association_panels import AssociationPanel, association_sketch
from immunoprofile.pl.clearance_curves import ClearanceArm, Step, Undefined, clearance_sketch
from immunoprofile.pl.control_chart import control_sketch
from immunoprofile.pl.forest_plot import forest_sketch
from immunoprofile.pl.overlays import gate_lines, overlay_sketch
from immunoprofile.pl.placement_figure import placement_sketch
from immunoprofile.pl.power_figure import PowerLine, power_sketch
from immunoprofile.pl.safety_shift_table import ShiftGrid, shift_sketch
from immunoprofile.pl.sketch import Area, Key, Legend, Marks, Sketch
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pl.sketch_svg import sketch_svg
from immunoprofile.placement import place
from tests.placement.samples import control, placed_gates
from tests.sketch_words import SVG, lines_of, moved, said_by
from tests.widget.files import sample, strategy

NAN = math.nan
ARMS = [
    ClearanceArm("GCV", "ganciclovir", (7.0, 20.0, 40.0), ("cleared", "DEATH", ""),
                 (Step(7, 2 / 3, 0.2, 0.9),), (Undefined(0, 7, 1.0, 0.6), Undefined(14, math.inf, 0.6, 0.6)),
                 (("cleared", (Step(7, 0.3, NAN, NAN),)), ("DEATH", (Step(20, 0.2, NAN, NAN),)))),
    ClearanceArm("IL2_GCV", "with IL-2", (5.0, 9.0), ("cleared", "cleared"), (Step(5, 0.5, 0.1, 0.9),), (), (), 1),
]  # fmt: skip


def run(n: int, value: float, state: str = "PASS", **changed: Any) -> dict[str, Any]:
    return {
        "population": "t", "measure": "pct_parent", "batch_id": f"BATCH-{n:02d}", "acquired_dtc": f"2024-01-{n:02d}",
        "samples": "", "value": value, "target": 50.0, "sd": 2.0, "ewma": 0.25, "state": state, "rules": "",
        "panel_id": "P", "control_lot": "L", "instrument": "I",
    } | changed  # fmt: skip


RUNS = [run(n, 49.0 + 0.2 * n) for n in range(1, 13)] + [run(13, 57.0, "FAIL", rules="1-3s")]


def described(tmp_path: Path, profile: Any) -> dict[str, Sketch]:
    files = {"BL": gate_sample(sample(), strategy()), "D14": gate_sample(sample(seed=2), strategy())}
    points = AssociationPanel("Treg", "% of parent (logit scale)", ("a", "a", "b"), (-3.0, -2.0, -2.5),
                              (2.0, 3.0, 2.1), (-1, 0, 0), 0.4, "r = 0.4, p = 0.2, 3 rows", "IU/mL")  # fmt: skip
    none = AssociationPanel("NK cells", "cells/µL (log scale)", (), (), (), (), NAN, "not estimable: no rows")
    placed = place(control(tmp_path, "treg", seed=2, events=6000, shift={"CD25": 0.06})[0], placed_gates()["treg"],
                   name="S1")  # fmt: skip
    power = [PowerLine("Treg, % of parent", (5, 10), (0.4, 0.8), (0.35, 0.75), (0.45, 0.84))]
    shifts = [ShiftGrid("Anemia", arm, {("0", "2"): 3, ("?", "1"): 1}) for arm in ("GCV", "IL2_GCV")]
    return {
        "forest": forest_sketch(profile.visits.uns["compare"], displays={"treg": "Regulatory T cells"}),
        "clearance": clearance_sketch(ARMS, rule="clearance_2", order=("GCV", "IL2_GCV")),
        "association": association_sketch([points, none]),
        "control": control_sketch(RUNS, [("t", "pct_parent")], displays={"t": "T cells"}),
        "power": power_sketch(power, 0.8, 2),
        "shift": shift_sketch(shifts, labels={}, incomplete=1),
        "overlay": overlay_sketch(files, "treg", title="One subject"),
        "histogram": overlay_sketch(files, "cd3"),
        "placement": placement_sketch(placed, "t", "CD3"),
    }


SAID = {
    "forest": ("Regulatory T cells, % of parent, D14", "5 vs 4", "effect (95 % interval)", "Filled: the interval"),
    "clearance": ("at risk", "Kaplan-Meier (thick), Turnbull (thin)", "death", "1 without a time left out"),
    "association": ("r = 0.4, p = 0.2, 3 rows", "CMV-DNA, log10 IU/mL", "no visit has both values", "10"),
    "control": ("T cells", "BATCH-01", "1-3s", "EWMA", "failed", "no rule broken"),
    "power": ("80 %", "Treg, % of parent", "subjects in each arm", "2 rows without a power left out"),
    "shift": ("Anemia", "IL2_GCV, n = 4", "baseline grade", "?", "In 1 of these counts"),
    "overlay": ("One subject", "BL: treg", "CD25", "10"),
    "histogram": ("events, highest = 1", "D14: cd3"),
    "placement": ("template sample", "placed", "S1", "CD3, linear intensity"),
}


def test_words_stand_at_the_same_places_in_both(tmp_path: Path, profile: Any) -> None:
    made = described(tmp_path, profile)
    assert made.keys() == SAID.keys()
    for name, sketch in made.items():
        svg = sketch_svg(sketch)
        assert moved(sketch) == [], name
        assert len(sketch.alt) > 40, name
        for words in SAID[name]:
            assert words in said_by(svg), (name, words)
        assert b"$" not in svg.split(b"</defs>")[1], name
        # Nothing is written beyond the edge of the figure.
        wide, high = 72 * sketch.width, 72 * sketch.height
        assert all(-1 <= x <= wide and 0 <= y <= high for _, x, y, _ in lines_of(svg)), name


def test_bands_of_a_control_chart_are_target_and_sd() -> None:
    made = control_sketch(RUNS, [("t", "pct_parent")], displays={})
    bands = [item for item in made.panels[0].items if isinstance(item, Area)]
    assert [(set(one.low), set(one.high)) for one in bands] == [({44.0}, {56.0}), ({46.0}, {54.0}), ({48.0}, {52.0})]
    assert [one.x for one in made.panels[0].items if isinstance(one, Marks) and one.symbol == "X"] == [[12.0]]
    # A lot of its own has a band of its own, and an unknown target none.
    other = [*RUNS[:2], *(run(n, 50.0, control_lot="M", target=NAN, sd=NAN) for n in (3, 4))]
    panel = control_sketch(other, [("t", "pct_parent")], displays={}).panels[0]
    assert {tuple(one.x) for one in panel.items if isinstance(one, Area)} == {(-0.5, 0.0, 1.0, 1.5)}


def test_names_of_batches_are_turned_where_they_have_no_room() -> None:
    turns = {}
    for length in (4, 13):
        rows = [one | {"batch_id": one["batch_id"][-2:] if length == 4 else one["batch_id"]} for one in RUNS]
        svg = sketch_svg(control_sketch(rows, [("t", "pct_parent")] * 2, displays={}))
        names = {one["batch_id"] for one in rows}
        turns[length] = {turn for words, _, y, turn in lines_of(svg) if words in names and y > 100}
    assert turns == {4: {0}, 13: {-45}}


def test_an_interval_without_an_end_reaches_the_edge_of_the_axis(profile: Any) -> None:
    table = profile.visits.uns["compare"].iloc[:2].copy()
    table["effect_kind"], table["note"] = "difference", ""
    table["effect"], table["effect_lower"], table["effect_upper"] = 1.0, [0.5, -math.inf], [2.0, 1.5]
    (panel,) = forest_sketch(table, displays={}).panels
    low, high = panel.x.limits
    assert (low, high) == pytest.approx((-0.1, 2.1))
    ends = {tuple(one.x) for one in panel.items if getattr(one, "width", 0) == 1.3}
    assert ends == {(0.5, 2.0), (low, 1.5)}


def test_areas_and_keys_are_alike_in_both() -> None:
    made = Sketch(4, 3)
    panel = made.panel(0.2, 0.25, 0.7, 0.6)
    panel.x.limits, panel.y.limits = (0.0, 4.0), (0.0, 10.0)
    panel.add(Area((1.0, 2.0, 3.0), (1.0, 2.0, 1.0), (5.0, 6.0, 9.0), "#abcdef"))
    keys = (Key("a patch", "#112233"), Key("a line", "#445566", symbol="none"),
            Key("a symbol", "#778899", symbol="o", dash="none", face="white"))  # fmt: skip
    made.legends.append(Legend(keys, 0.1, 0.2, "upper left", columns=3, size=6.0))
    assert moved(made) == []
    root = ET.fromstring(sketch_svg(made))
    (area,) = [one for one in root.iter(f"{SVG}path") if one.get("fill") == "#abcdef"]
    numbers = [float(one) for one in re.findall(r"-?[\d.]+", area.get("d", ""))]
    figure = sketch_figure(made)
    figure.set_dpi(72)
    corners = [(1, 5), (2, 6), (3, 9), (3, 1), (2, 2), (1, 1)]
    wanted = [figure.axes[0].transData.transform(one) for one in corners]
    assert numbers == pytest.approx([round(v, 2) for x, y in wanted for v in (x, 216 - y)], abs=0.011)
    strokes = [one.get("stroke") for one in root.iter() if one.get("stroke") in ("#445566", "#778899")]
    assert strokes == ["#445566", "#778899"]  # a line without a symbol, a symbol without a line
    _, line, symbol = figure.legends[0].legend_handles
    assert (line.get_marker(), symbol.get_linestyle(), symbol.get_markerfacecolor()) == ("none", "None", "white")


def test_open_sides_of_a_gate_end_at_the_frame() -> None:
    gates = strategy()
    lines = gate_lines(gates["box"], (0.0, 1.0), (-1.0, 2.0))
    ((x, y),) = lines
    limits = [(d.minimum, d.maximum) for d in gates["box"].dimensions]
    assert {*x} == {0.0 if limits[0][0] is None else limits[0][0], 1.0 if limits[0][1] is None else limits[0][1]}
    assert {*y} == {-1.0 if limits[1][0] is None else limits[1][0], 2.0 if limits[1][1] is None else limits[1][1]}
    cut = gates["cd3"].dimensions[0].minimum
    assert gate_lines(gates["cd3"], (0.0, 1.0), (0.0, 1.08)) == [([cut, cut], [0.0, 1.08])]


def test_ticks_of_power_are_the_numbers_asked_for_while_they_have_room() -> None:
    many = [PowerLine("x", tuple(range(5, 45, 2)), (0.5,) * 20, (0.4,) * 20, (0.6,) * 20)]
    ticks = power_sketch(many, 0.8, 0).panels[0].x.ticks
    assert len(ticks) <= 12
    one = power_sketch([PowerLine("x", (7,), (0.5,), (0.4,), (0.6,))], 0.8, 0).panels[0]
    assert one.x.ticks == ((7.0, "7"),)
    assert one.x.limits == (6.0, 8.0)


def test_runs_of_a_control_stand_in_the_order_of_acquisition() -> None:
    mixed = pd.DataFrame(RUNS).sample(frac=1, random_state=3).to_dict("records")
    chart = [("t", "pct_parent")]
    assert sketch_svg(control_sketch(mixed, chart, displays={})) == sketch_svg(control_sketch(RUNS, chart, displays={}))
