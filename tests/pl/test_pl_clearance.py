from __future__ import annotations

import math
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from immunoprofile import pl, schema, tl
from immunoprofile.errors import NotAvailableError
from immunoprofile.pl.clearance_curves import ClearanceArm, Step, clearance_arms

OPEN = math.inf


def subject(name: str, arm: str, lower: float, upper: float, **known: Any) -> dict[str, Any]:
    usual = {"rule_id": "clearance_2", "observed": math.isfinite(upper), "competing": "", "reason": ""}
    return {"usubjid": name, "arm": arm, "lower_day": lower, "upper_day": upper} | usual | known


TIMES = pd.DataFrame([
    subject("1", "A", 0, 7), subject("2", "A", 7, 14), subject("3", "A", 7, 14), subject("4", "A", 21, OPEN),
    subject("5", "B", 14, 21), subject("6", "B", 14, OPEN, competing="RESCUE", competing_day=17),
    subject("7", "B", 28, OPEN), subject("8", "B", math.nan, math.nan, observed=None, reason="no baseline"),
])  # fmt: skip


def curves_of(times: pd.DataFrame) -> pd.DataFrame:
    obs = pd.DataFrame({"usubjid": times["usubjid"].to_numpy(), "arm": times["arm"].to_numpy()})
    obs.index = obs.index.astype(str)
    adata = ad.AnnData(np.zeros((len(times), 1)), obs=obs)
    adata.uns["clearance"] = times
    tl.clearance_exact(adata, reference="A")
    tl.clearance_interval(adata, reference="A", permutations=1)
    tl.clearance_incidence(adata, reference="A")
    table: pd.DataFrame = adata.uns[schema.UNS_CLEARANCE_CURVES]
    return table


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    return curves_of(TIMES)


def test_curves_by_hand(curves: pd.DataFrame) -> None:
    a, b = clearance_arms(TIMES, curves, rule="clearance_2", labels={"A": "control"})
    assert (a.label, b.label) == ("control", "B")
    # Arm A: 1 of 4 at day 7, 2 of the remaining 3 at day 14: 3/4, then 3/4 x 1/3 = 1/4.
    falls = [(step.day, step.value) for step in a.kaplan_meier if step.day in (7, 14)]
    assert falls == [(7, pytest.approx(0.75)), (14, pytest.approx(0.25))]
    assert [a.at_risk(day) for day in (0, 7, 8, 14, 15, 21, 22)] == [4, 4, 3, 3, 1, 1, 0]
    # Turnbull: a quarter in (0, 7], half in (7, 14], a quarter after day 21.
    boxes = [(box.start, box.end, round(box.before, 3), round(box.after, 3)) for box in a.turnbull]
    assert boxes == [(0, 7, 1.0, 0.75), (7, 14, 0.75, 0.25), (21, OPEN, 0.25, 0.0)]
    # Arm B: the rescue at day 17 comes before the clearance at day 21: 1/3, and 2/3 x 1/2 = 1/3.
    last = {event: steps[-1].value for event, steps in b.incidence}
    assert last == {"cleared": pytest.approx(1 / 3), "RESCUE": pytest.approx(1 / 3)}
    assert (b.ends, b.kinds, b.left_out) == ((17, 21, 28), ("RESCUE", "cleared", ""), 1)


def test_numbers_at_risk_agree_with_the_analysis(curves: pd.DataFrame) -> None:
    table = curves.loc[curves["method_id"] == "S12"]
    arms = {arm.arm: arm for arm in clearance_arms(TIMES, curves, rule="clearance_2", labels={})}
    for row in table.to_dict("records"):
        assert arms[row["arm"]].at_risk(row["upper_day"]) == row["at_risk"]
    assert len(table) >= 4


def test_median_is_reached_or_not() -> None:
    nan = math.nan
    steps = (Step(7, 0.75, 0.4, 0.9), Step(14, 0.5, 0.1, 0.8))
    assert ClearanceArm("A", "A", (), (), steps, (), ()).median == (14, 7, OPEN)
    assert ClearanceArm("A", "A", (), (), (Step(7, 0.75, nan, nan),), (), ()).median == (OPEN, OPEN, OPEN)


def test_the_figure_says_n_medians_and_who_is_left_out(curves: pd.DataFrame) -> None:
    figure = pl.clearance(TIMES, curves)
    alt = pl.alt_text(figure)
    assert "A: n = 4, 3 cleared, median 14 days" in alt
    assert "B: n = 3, 1 cleared, 1 with a competing event" in alt
    assert "1 without a time left out" in alt
    assert "cumulative incidence of rescue treatment, B: 33 % at day" in alt
    boxes = [patch for patch in figure.axes[0].patches if patch.get_width() > 0]
    assert len(boxes) == 3
    assert pl.to_svg(figure) == pl.to_svg(pl.clearance(TIMES, curves))


def test_nothing_to_draw_is_said(curves: pd.DataFrame) -> None:
    assert "There is no subject" in pl.alt_text(pl.clearance(TIMES.iloc[:0], curves))
    assert "without a time to clearance: 1" in pl.alt_text(pl.clearance(TIMES.iloc[7:], curves))
    assert "tl.clearance_exact" in pl.alt_text(pl.clearance(TIMES, curves.iloc[:0]))
    with pytest.raises(NotAvailableError, match="competing"):
        pl.clearance(TIMES.drop(columns="competing"), curves)
    with pytest.raises(NotAvailableError, match="clearance_2"):
        pl.clearance(TIMES, curves, rule="clearance_1")
