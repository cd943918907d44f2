from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from immunoprofile import pl, tl
from immunoprofile.pl.association_panels import AssociationPanel, association_panel, common_slope


@pytest.fixture(scope="module")
def associated(fake: Any) -> Any:
    visits = fake.make_profile().visits
    tl.associate(visits, populations=["treg", "nk"])
    return visits


def test_the_lines_have_the_slope_of_the_model(associated: Any) -> None:
    from statsmodels.formula.api import ols

    row = associated.uns["associate"].to_dict("records")[0]
    view = association_panel(associated, row, include_failed=False)
    from immunoprofile.tl.association import at_bound, cmv_bounds

    visits = (associated.obs["arm"].astype(str) + associated.obs["visit"].astype(str)).to_numpy()
    column = associated.var_names.get_loc(row["population"])
    n, parents = (associated.layers[name][:, column] for name in ("counts", "parent_counts"))
    share = (n + 0.5) / (parents + 1)
    x, (y, _) = np.log(share / (1 - share)), at_bound(*cmv_bounds(associated))
    owners = associated.obs["usubjid"].astype(str).to_numpy()
    from immunoprofile.pp.verdict import failed_rows

    keep = ~np.isnan(x) & ~np.isnan(y) & ~failed_rows(associated, row["population"], measure="pct_parent")
    data = {"x": x[keep], "y": y[keep], "who": owners[keep], "visit": visits[keep]}
    assert view.slope == pytest.approx(float(ols("y ~ x + C(who) + C(visit)", data).fit().params["x"]), rel=1e-9)
    assert len(view.x) == row["n"]
    assert view.slope * row["estimate"] >= 0


def test_a_trend_that_all_share_tilts_no_line() -> None:
    # Both go up by visit alike in everybody; what is left after the visits is nothing in y.
    subjects = np.repeat(["a", "b", "c"], 4)
    visits = np.tile(["1", "2", "3", "4"], 3)
    noise = np.array([0.1, -0.2, 0.3, 0.0, 0.2, 0.1, -0.3, 0.1, 0.0, 0.2, -0.1, 0.3])
    trend = np.tile([0.0, 1.0, 2.0, 3.0], 3)
    assert common_slope(subjects, visits, trend + noise, 2 * trend) == pytest.approx(0.0, abs=1e-12)
    assert math.isnan(common_slope(subjects, visits, trend, 2 * trend))
    assert math.isnan(common_slope(["a", "b"], ["1", "1"], np.array([1.0, 2.0]), np.array([1.0, 2.0])))


def test_lines_by_hand() -> None:
    view = AssociationPanel("", "", ("a", "a", "b"), (0.0, 2.0, 5.0), (1.0, 3.0, 9.0), (0, 0, 0), 0.5, "")
    assert view.lines() == [("a", (0.0, 2.0), (1.5, 2.5))]


def test_censored_points_are_open(associated: Any) -> None:
    figure = pl.association(associated, ["treg"])
    (axes,) = figure.axes
    down = [line for line in axes.lines if line.get_marker() == "v"]
    below = associated.obs["cmv_kind"].isin(["BLQ", "TND"]).to_numpy()
    assert 0 < len(down) <= below.sum()
    assert {line.get_markerfacecolor() for line in down} == {"white"}
    assert f"{len(down)} censored" in pl.alt_text(figure)


def test_the_numbers_are_those_of_the_table(associated: Any) -> None:
    table = associated.uns["associate"].copy()
    table["estimate"], table["lower"], table["upper"], table["p_value"] = 0.31, -0.08, 0.61, 0.11
    alt = pl.alt_text(pl.association(associated, ["nk"], table=table))
    assert "r = 0.31, 95 % CI -0.08 to 0.61, p = 0.11" in alt
    table["estimate"], table["note"] = math.nan, "refused: few rows"
    assert "not estimable" in pl.alt_text(pl.association(associated, ["nk"], table=table))
    assert "refused: few rows" in pl.alt_text(pl.association(associated, ["nk"], table=table))


def test_without_statistics_the_figure_says_so(associated: Any) -> None:
    assert "tl.associate" in pl.alt_text(pl.association(associated, table=associated.uns["associate"].iloc[:0]))
    assert "of cd8" in pl.alt_text(pl.association(associated, ["cd8"]))
