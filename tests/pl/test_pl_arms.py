"""One arm, one look: every figure gives an arm the colour of its place in the study."""

from __future__ import annotations

import itertools
import math
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from immunoprofile import pl
from immunoprofile.errors import NotAvailableError
from immunoprofile.pl import style
from immunoprofile.pl.clearance_curves import clearance_arms
from immunoprofile.pl.safety_shift_table import shift_grids
from immunoprofile.pl.series import arm_order, study_arms
from immunoprofile.schema import MOST_ARMS

# Neither the order of the alphabet nor that of the rows, and one arm that nobody is in.
DECLARED = ("IL2_GCV", "EMPTY", "GCV")
LOOK = {"IL2_GCV": style.arm_marks(DECLARED)["IL2_GCV"], "GCV": style.arm_marks(DECLARED)["GCV"]}


@pytest.fixture(scope="module")
def visits(profile: Any) -> ad.AnnData:
    own = profile.visits.copy()
    own.uns["study"] = own.uns["study"] | {"arms": list(DECLARED)}
    return own


def clearance_tables(arms: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = [(str(n), arm, 7.0 * n, 7.0 * n + 7) for n, arm in enumerate(arms)]
    times = pd.DataFrame(rows, columns=["usubjid", "arm", "lower_day", "upper_day"])
    times = times.assign(rule_id="clearance_2", observed=True, competing="", competing_day=math.nan)
    known = {"rule_id": "clearance_2", "event": "cleared", "lower": 0.1, "upper": 0.9, "lower_day": 0.0}
    curves = [
        {"arm": arm, "method_id": method, "upper_day": 14.0, "value": 0.5} | known
        for arm in set(arms)
        for method in ("S12", "S17")
    ]
    return times, pd.DataFrame(curves)


def colors_of(figure: Figure, marker: str) -> set[str]:
    """Fill of a symbol wherever it is drawn."""
    lines = [line for axes in figure.axes for line in axes.lines if line.get_marker() == marker]
    return {to_hex(line.get_markerfacecolor()).upper() for line in lines}


def test_every_figure_gives_an_arm_the_same_look(visits: ad.AnnData) -> None:
    times, curves = clearance_tables(["GCV", "IL2_GCV", "GCV", "IL2_GCV"])
    made = {
        "trajectory": pl.trajectory(visits, ["treg", "nk"]),
        "cmv": pl.cmv(visits),
        "paired": pl.paired_change(visits, ["nk"], "D14"),
        "clearance": pl.clearance(times, curves, arms=DECLARED),
        "clearance, by label": pl.clearance(times, curves, labels=dict.fromkeys(DECLARED, "")),
        "clearance, by category": pl.clearance(times.assign(arm=pd.Categorical(times["arm"], DECLARED)), curves),
    }
    for name, figure in made.items():
        for arm, mark in LOOK.items():
            assert colors_of(figure, mark.marker) == {mark.color.upper()}, (name, arm)
    assert LOOK["IL2_GCV"].marker != LOOK["GCV"].marker
    assert LOOK["IL2_GCV"].color != LOOK["GCV"].color


# Machado, Oliveira and Fernandes (2009), IEEE Trans Vis Comput Graph 15:1291: a colour as it looks without one cone.
VISION = {
    "all cones": [1, 0, 0, 0, 1, 0, 0, 0, 1],
    "protanopia": [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
    "deuteranopia": [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
    "tritanopia": [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
}


def lightness_and_hue(color: str, vision: str) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as a vision sees it."""
    shares = np.array(to_rgb(color))
    linear = np.reshape(VISION[vision], (3, 3)) @ np.where(
        shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4
    )
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = to_xyz @ np.clip(linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    fx, fy, fz = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


@pytest.mark.parametrize("vision", list(VISION))
def test_eight_arms_are_told_apart_with_every_vision(vision: str) -> None:
    marks = [mark for name, mark in style.arm_marks([f"arm {n}" for n in range(MOST_ARMS)]).items() if name]
    assert len(marks) == MOST_ARMS
    for one, two in itertools.combinations(marks, 2):
        distance = np.linalg.norm(lightness_and_hue(one.color, vision) - lightness_and_hue(two.color, vision))
        assert distance > 15, (one, two)  # 2.3 is just noticeable side by side
        assert one.marker != two.marker and one.line != two.line
    assert not {mark.marker for mark in marks} & {"^", "v"}, "triangles mean censored results"


def test_figures_of_many_arms_or_a_refusal(visits: ad.AnnData) -> None:
    def dosed(count: int) -> ad.AnnData:
        own = visits.copy()
        names = [f"dose {n}" for n in range(count)]
        people = sorted(own.obs["usubjid"].astype(str).unique())
        own.obs["arm"] = own.obs["usubjid"].astype(str).map({who: names[n % count] for n, who in enumerate(people)})
        own.uns["study"] = own.uns["study"] | {"arms": names}
        return own

    eight = dosed(8)
    legend = pl.trajectory(eight, ["treg"]).legends[0]
    looks = {(h.get_color(), h.get_marker(), h.get_linestyle()) for h in legend.legend_handles}
    assert len(looks) == len(legend.get_texts()) == min(8, eight.obs["usubjid"].nunique())
    pl.cmv(eight), pl.paired_change(eight, ["nk"], "D14")
    times, curves = clearance_tables([f"dose {n}" for n in range(8)])
    pl.clearance(times, curves)
    for draw in (lambda v: pl.trajectory(v, ["treg"]), pl.cmv, lambda v: pl.paired_change(v, ["nk"], "D14")):
        with pytest.raises(NotAvailableError, match="9 arms: a figure can tell 8 apart"):
            draw(dosed(9))
    times, curves = clearance_tables([f"dose {n}" for n in range(9)])
    with pytest.raises(NotAvailableError, match="9 arms"):
        pl.clearance(times, curves)


def test_arms_stand_in_the_order_of_the_study(visits: ad.AnnData) -> None:
    present = [arm for arm in DECLARED if arm != "EMPTY"]
    legend = pl.trajectory(visits, ["treg"]).legends[0]
    assert [item.get_text() for item in legend.get_texts()] == present
    assert [axes.get_title(loc="left").split(":")[0] for axes in pl.cmv(visits).axes] == present
    alt = pl.alt_text(pl.paired_change(visits, ["nk"], "D14"))
    assert alt.index("NK cells, IL2_GCV") < alt.index("NK cells, GCV")
    times, curves = clearance_tables(["GCV", "IL2_GCV"])
    found = clearance_arms(times, curves, rule="clearance_2", labels={}, order=DECLARED)
    assert [one.arm for one in found] == present
    shift = pd.DataFrame({"term": "x", "arm": ["GCV", "IL2_GCV"], "baseline_grade": 0, "worst_grade": 1, "n": 1})
    assert [grid.arm for grid in shift_grids(shift, name="term", count="n", order=DECLARED)] == present


def test_arms_of_an_object_without_a_declaration(visits: ad.AnnData) -> None:
    plain = visits.copy()
    plain.uns["study"] = {}
    plain.obs["arm"] = plain.obs["arm"].astype(str)
    assert study_arms(plain) == ("GCV", "IL2_GCV")
    plain.obs["arm"] = pd.Categorical(plain.obs["arm"], ["IL2_GCV", "GCV"])
    assert study_arms(plain) == ("IL2_GCV", "GCV")
    assert study_arms(visits) == DECLARED
    assert arm_order(["z", None, "a", "GCV"], DECLARED) == (*DECLARED, "a", "z")


def test_without_arms_nobody_has_the_look_of_an_arm(visits: ad.AnnData) -> None:
    figure = pl.paired_change(visits, ["nk"], "D14", by_arm=False)
    assert {to_hex(line.get_color()).upper() for line in figure.axes[0].lines} == {style.INK.upper()}


def test_the_incidence_panel_says_which_line_is_which_arm() -> None:
    times, curves = clearance_tables(["GCV", "IL2_GCV"])
    figure = pl.clearance(times, curves, arms=DECLARED)
    right, (legend,) = figure.axes[1], figure.legends
    assert [item.get_text() for item in legend.get_texts()] == ["IL2_GCV", "GCV", "cleared"]
    # Both arms end at the same height: each symbol stands on the line, not only at its end.
    symbols = {line.get_marker(): line.get_xdata().tolist() for line in right.lines if line.get_marker() != "None"}
    assert symbols == {LOOK["IL2_GCV"].marker: [14.0], LOOK["GCV"].marker: [14.0]}
