"""One arm, one look: every figure gives an arm the colour of its place in the study."""

from __future__ import annotations

import math
from typing import Any

import anndata as ad
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from immunoprofile import pl
from immunoprofile.pl import style
from immunoprofile.pl.clearance_curves import clearance_arms
from immunoprofile.pl.safety_shift_table import shift_grids
from immunoprofile.pl.series import arm_order, study_arms

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
    right = pl.clearance(times, curves, arms=DECLARED).axes[1]
    legend = right.get_legend()
    assert legend is not None
    assert [item.get_text() for item in legend.get_texts()] == ["IL2_GCV", "GCV", "cleared"]
    # Both arms end at the same height: each symbol stands on the line, not only at its end.
    symbols = {line.get_marker(): line.get_xdata().tolist() for line in right.lines if line.get_marker() != "None"}
    assert symbols == {LOOK["IL2_GCV"].marker: [14.0], LOOK["GCV"].marker: [14.0]}
