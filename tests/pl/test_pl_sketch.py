"""A figure that is described once: SVG of the pages and figure of matplotlib show the same at the same places."""

from __future__ import annotations

import base64
import io
import math
import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.image import imread
from matplotlib.textpath import TextPath
from matplotlib.ticker import AutoLocator

from immunoprofile.pl.cmv_curves import cmv_sketch
from immunoprofile.pl.composition import QUADRANTS, differentiation_sketch, ratios_sketch
from immunoprofile.pl.heat_map import completeness_sketch
from immunoprofile.pl.letters import width_of
from immunoprofile.pl.paired_panels import paired_panel, paired_sketch
from immunoprofile.pl.patient_timeline import LabSeries, Timeline, timeline_sketch
from immunoprofile.pl.quality_table import overview_sketch
from immunoprofile.pl.series import Bar, cmv_of_visits, population_series
from immunoprofile.pl.sketch import Box, Errors, Line, Marks, Picture, Sketch, Words, empty_sketch
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pl.sketch_svg import sketch_svg
from immunoprofile.pl.style import FONT, STATE_MARKS
from immunoprofile.pl.svg import dashes
from immunoprofile.pl.thumbnails import Panel, gating_sketch
from immunoprofile.pl.ticks import axis_ticks, number_words, plain_ticks
from immunoprofile.pl.trajectories import arm_sketch
from tests.sketch_words import SVG, lines_of, moved, said_by


def test_widths_are_those_of_the_font() -> None:
    for bold in (False, True):
        font = FontProperties(family=FONT, weight="bold" if bold else "normal")
        for words in ("HLA-DR+ CD8", "4,320 cells/µL", "10⁹/L ≥ 0.5 –✕"):
            extent = TextPath((0, 0), words, size=8, prop=font).get_extents()
            # An advance goes from before the ink of the first letter to beyond that of the last.
            assert extent.x1 <= width_of(words, 8, bold=bold) <= extent.x1 + 2.0


def test_a_letter_that_the_font_lacks_is_said() -> None:
    made = Sketch(1, 1)
    made.write(0.1, 0.5, "\u7814")
    with pytest.warns(UserWarning, match="no letter"):
        assert said_by(sketch_svg(made)) == "\u7814"


def test_gating_plots_are_alike_in_both(profile: Any) -> None:
    rasters = profile.rasters("S001-D14-treg")
    now = [Panel(one, {"treg": 8.5}, remark="FAIL") for one in rasters]
    made = gating_sketch(now, [now[0], None], displays={"treg": "Treg cells"}, labels=("BL", "D14"))
    svg = sketch_svg(made)
    assert svg == sketch_svg(gating_sketch(now, [now[0], None], displays={"treg": "Treg cells"}, labels=("BL", "D14")))
    assert moved(made) == []
    for words in ("Treg cells", "8.5 %", "FAIL", "not done", rasters[0].x_marker, f"n = {rasters[0].n_parent:,}"):
        assert words in said_by(svg)
    assert {turn for *_, turn in lines_of(svg)} == {0, 90}
    assert b"font-family" not in svg
    assert b'href="http' not in svg


def test_courses_are_alike_in_both(profile: Any) -> None:
    visits = profile.visits
    subject = str(visits.obs["usubjid"].iloc[0])
    cmv = tuple(cmv_of_visits(visits))
    groups = [population_series(visits, name) for name in ("treg", "nk")]
    own = tuple(one for group in groups for one in group if one.subject == subject)
    percent = tuple(population_series(visits, "cd8", measure="pct_parent", subject=subject))
    lab = LabSeries("ANC", "10^9/L", (0.0, 7.0, 13.0), (2.4, 1.2, 0.9), (0, 2, None), ((1, 2.0), (2, 1.5), (3, 1.0)))
    bars = (Bar("IL-2 1 MIU QD", "il2", 0, 13), Bar("prednisone 15 mg QD", "steroid", -60, 13))
    view = paired_panel(visits, "treg", "D14", measure="pct_parent", effects=None, by_arm=True, labels={})
    whole = Timeline(subject, (*own, *percent), tuple(one for one in cmv if one.subject == subject), (lab,), bars)
    made = {
        "timeline": timeline_sketch(whole),
        "low timeline": timeline_sketch(whole, height=3.4, legend=False),
        "nothing known": timeline_sketch(Timeline(subject, (), (), (lab,), ())),
        "arms": arm_sketch(groups, cmv, measure="abs", arms=("GCV", "IL2_GCV")),
        "all": arm_sketch(groups, [], measure="abs"),
        "cmv": cmv_sketch(cmv, arms=("GCV", "IL2_GCV")),
        "paired": paired_sketch([view], arms=("GCV", "IL2_GCV")),
    }
    for name, one in made.items():
        assert moved(one) == [], name
    said = said_by(sketch_svg(made["timeline"]))
    for words in ("grade 2: 1.5", "LLOQ 137", "ANC", "10⁹/L", "IL-2 1 MIU QD", "cells/µL", "% of parent", "D14"):
        assert words in said
    assert "cells: not done" in said_by(sketch_svg(made["nothing known"]))
    assert "n GCV" in said_by(sketch_svg(made["arms"]))


def test_shares_and_states_are_alike_in_both(profile: Any) -> None:
    nan = math.nan
    ratios = {"cd4_cd8": (1.5, 2.0, nan), "nk_treg": (0.0, nan, nan), "cd8_treg": (4.0, 130.0, 12.0)}
    stack = {name: (50.0, nan, 25.0) for name in QUADRANTS} | {"cd8_temra": (3.0, 20.0, 25.0)}
    states = {("S1", "BL", "treg"): "PASS", ("S1", "BL", "count"): "FAIL", ("S2", "D7", "treg"): "WARN"}
    made = {
        "ratios": ratios_sketch(["BL", "D7", "D14"], [0, 7, 13], ratios),
        "stack": differentiation_sketch(["BL", "D7", "D14"], stack),
        "states": completeness_sketch(["S1", "S2"], ["BL", "D7"], ["treg", "count"], states),
        "checks": overview_sketch(profile.quality),
    }
    for name, one in made.items():
        assert moved(one) == [], name
    assert "not done" in said_by(sketch_svg(made["ratios"]))
    for words in ("TEMRA", "100 % of CD8", "not done", "25.0"):
        assert words in said_by(sketch_svg(made["stack"]))
    # Colour and symbol of a state, once in its field and once below.
    svg = sketch_svg(made["states"]).decode()
    for state in ("PASS", "WARN", "FAIL"):
        assert svg.count(STATE_MARKS[state][0]) == 2
        assert svg.count(f'"{STATE_MARKS[state][1]}"') == 2
    assert '<title id="title">Quality of ' in sketch_svg(made["checks"]).decode()


def test_colours_of_cells_are_those_of_their_palette() -> None:
    index = np.arange(12, dtype=np.uint8).reshape(3, 4)
    palette = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    made = Sketch(2, 2)
    made.panel(0.1, 0.1, 0.8, 0.8).add(Picture(index, palette, (0.0, 1.0), (0.0, 1.0)))
    content = re.search(rb"data:image/png;base64,([^\"]+)", sketch_svg(made))
    assert content
    seen = imread(io.BytesIO(base64.b64decode(content[1])), format="png")[..., :3]
    # Rows of a picture go upward, those of a PNG downward.
    assert np.array_equal(np.round(255 * seen).astype(np.uint8), palette[index][::-1])


@pytest.mark.parametrize("log", [False, True])
def test_places_are_those_of_matplotlib(log: bool) -> None:
    made = Sketch(4, 3)
    panel = made.panel(0.2, 0.25, 0.7, 0.6)
    panel.x.limits, panel.y.limits, panel.y.log = (-2.0, 30.0), (2.0, 700.0), log
    x, y = (0.0, 7.0, math.nan, 28.0), (3.0, 650.0, 8.0, 40.0)
    panel.add(Line(x, y, "#123456"), Marks(x, y, "s", face="#abcdef"), Box(1, 10, 5, 100, "#00ff00"))
    panel.add(Errors((7.0,), (20.0,), (90.0,), "#654321"), Words(5, 50, "a", dx=3, dy=-2))
    axes = sketch_figure(made).axes[0]
    axes.figure.set_dpi(72)

    def place(across: float, upward: float) -> tuple[float, float]:
        point = axes.transData.transform((across, upward))
        return round(float(point[0]), 2), round(216 - float(point[1]), 2)

    root = ET.fromstring(sketch_svg(made))
    drawn = [one.get("d", "") for one in root.iter(f"{SVG}path") if one.get("stroke") == "#123456"]
    numbers = [float(one) for one in re.findall(r"-?[\d.]+", drawn[0])]
    assert numbers == pytest.approx([*place(0, 3), *place(7, 650), *place(28, 40)], abs=0.011)
    # A point that is not known breaks the line, and has no symbol.
    assert re.sub(r"[^ML]", "", drawn[0]) == "MLM"
    symbols = next(one for one in root.iter(f"{SVG}g") if one.get("fill") == "#abcdef")
    assert [(float(one.get("x", "")), float(one.get("y", ""))) for one in symbols] == [
        pytest.approx(place(*pair), abs=0.011) for pair in ((0, 3), (7, 650), (28, 40))
    ]
    box = next(one for one in root.iter(f"{SVG}rect") if one.get("fill") == "#00ff00")
    left, top = place(1, 110)
    assert (float(box.get("x", "")), float(box.get("y", ""))) == pytest.approx((left, top), abs=0.011)
    ((_, word_x, word_y, _),) = [one for one in lines_of(sketch_svg(made)) if one[0] == "a"]
    assert (word_x, word_y) == pytest.approx((place(5, 50)[0] + 3, place(5, 50)[1] + 2), abs=0.02)


def test_names_and_ticks_of_axes_stand_where_matplotlib_puts_them() -> None:
    made = Sketch(4, 3)
    panel = made.panel(0.25, 0.25, 0.6, 0.6)
    panel.title, panel.x.label = "A title", "days since day 0"
    panel.x.ticks = ((0.0, "0\nBL"), (0.5, "14\nD14"))
    panel.y.ticks = ((0.2, "1,000"), (0.8, "2"))
    panel.y.label, panel.y.label_turn = "cells/µL", 0.0
    assert moved(made) == []
    turned = [one for one in lines_of(sketch_svg(made)) if one[3]]
    assert turned == []
    panel.y.label_turn = 90.0
    ((words, _, _, turn),) = [one for one in lines_of(sketch_svg(made)) if one[3]]
    assert (words, turn) == ("cells/µL", 90)


def test_an_empty_figure_says_why() -> None:
    made = empty_sketch("No subject has a result.", what="Timeline")
    assert moved(made) == []
    assert said_by(sketch_svg(made)) == "Timeline: nothing to show No subject has a result."
    assert b'<title id="title">Timeline: nothing to show.</title>' in sketch_svg(made)
    assert b'<desc id="desc">Timeline: nothing to show. No subject has a result.</desc>' in sketch_svg(made)


def test_line_styles_grow_with_the_line() -> None:
    assert dashes("-", 2.0) == ""
    assert dashes("--", 2.0) == "7.4 3.2"
    assert dashes((0, (4, 3)), 0.5) == "2 1.5"


@pytest.mark.parametrize(("low", "high"), [(0, 97.3), (0.0, 1.0), (1.9, 5.2), (-3, 3), (0, 0.0123), (0, 123456)])
def test_ticks_are_round_numbers_as_matplotlib_chooses_them(low: float, high: float) -> None:
    usual = [one for one in AutoLocator().tick_values(low, high) if low <= one <= high]
    assert [one for one, _ in axis_ticks(low, high, 1000, size=7.5, upward=True)] == pytest.approx(usual)
    assert all(one == round(one) for one, _ in plain_ticks(low, high, most=5, whole=True) if high > 2)
    assert len(plain_ticks(low, high, most=2)) >= 2


def test_numbers_of_one_axis_have_the_same_decimals() -> None:
    assert number_words([0.0, 0.5, 1.0]) == ["0.0", "0.5", "1.0"]
    assert number_words([-1.0, 0.0, 1.0]) == ["−1", "0", "1"]
    assert number_words([0.25]) == ["0.25"]
