from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pytest
from matplotlib.text import Text

from immunoprofile import pl, schema
from immunoprofile.errors import NotAvailableError
from immunoprofile.pl import panels
from immunoprofile.pl.patient_timeline import (
    Timeline,
    grade_limits,
    lab_series,
    timeline_alt,
    timeline_figure,
)
from immunoprofile.pl.series import CmvSeries, cmv_of_visits, population_series, treatment_bars, undated_treatment
from immunoprofile.pl.sketch import Sketch
from immunoprofile.pl.sketch_figure import sketch_figure

S1 = "IL2CMV-01-001"
DAY0 = date(2025, 3, 3)


def result(**known: Any) -> dict[str, Any]:
    usual = {
        "version": "CTCAE v5.0",
        "usubjid": S1, "test": "ANC", "term": "Neutrophil count decreased", "unit": "10^9/L", "lln": 2.0, "uln": 7.0,
        "baseline": 2.4, "collected_dtc": "2025-03-10", "value": 1.2, "grade": 2,
    }  # fmt: skip
    return {name: None for name in schema.GRADE_COLUMNS} | usual | known


def test_grade_limits_are_those_of_the_criteria() -> None:
    # CTCAE v5.0: LLN, 1.5, 1.0, 0.5 x 10^9/L.
    normal = {"lln": 2.0, "uln": 7.0, "baseline": 2.4}
    assert grade_limits("ANC", "Neutrophil count decreased", normal) == ((1, 2.0), (2, 1.5), (3, 1.0), (4, 0.5))
    # Creatinine: > ULN, > 1.5 x baseline or ULN, > 3 x baseline or ULN, > 6 x ULN; the first to be met counts.
    kidney = {"lln": 45.0, "uln": 90.0, "baseline": 50.0}
    assert grade_limits("CREAT", "Creatinine increased", kidney) == ((1, 90.0), (2, 75.0), (3, 150.0), (4, 540.0))


def test_a_limit_that_is_not_known_is_no_line() -> None:
    unknown = {"lln": float("nan"), "uln": float("nan"), "baseline": float("nan")}
    assert [grade for grade, _ in grade_limits("ANC", "Neutrophil count decreased", unknown)] == [2, 3, 4]
    assert grade_limits("CREAT", "Creatinine increased", unknown) == ()
    two_laboratories = pd.DataFrame([result(), result(collected_dtc="2025-03-17", lln=1.8)])
    (lab,), _ = lab_series(two_laboratories, S1, DAY0, tests=["ANC"])
    assert [grade for grade, _ in lab.limits] == [2, 3, 4]


def test_results_without_a_day_or_value_are_counted() -> None:
    table = pd.DataFrame([
        result(), result(collected_dtc="2025-03"), result(value=None, grade=None), result(usubjid="another"),
        result(collected_dtc="2025-03-03", value=2.4, grade=None),
    ])  # fmt: skip
    (lab,), lost = lab_series(table, S1, DAY0, tests=["ANC", "PLT"])
    assert (lab.days, lab.values, lab.grades, lost) == ((0.0, 7.0), (2.4, 1.2), (None, 2), 2)


def test_one_axis_for_all_and_words_for_it(profile: Any) -> None:
    study = profile.study
    figure = pl.timeline(
        profile.visits, S1, virology=profile.virology, grades=pd.DataFrame([result()]), dosing=study.dosing,
        conmeds=study.conmeds,
    )  # fmt: skip
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    assert len(figure.axes) == 4
    alt = pl.alt_text(figure)
    assert "not detected" in alt or "below the LLOQ" in alt
    assert "ANC: 1.2 to 1.2 10^9/L, highest grade 2" in alt
    assert "IL-2 1 MIU QD day 0 to 13" in alt
    assert pl.to_svg(figure) == pl.to_svg(figure)


def test_without_doses_nothing_tells_the_arm(profile: Any) -> None:
    alt = pl.alt_text(pl.timeline(profile.visits, S1))
    assert "treatment" not in alt
    assert "MIU" not in alt
    with pytest.raises(NotAvailableError, match="IL2CMV-01-010"):
        pl.timeline(profile.visits, "nobody")


def test_censored_symbols_point_to_their_side() -> None:
    made = Sketch(4, 3)
    one = CmvSeries("s", "A", (0, 7, 14, 21), (6.96, 4.0, 2.14, 2.14), ("ALQ", "QUANT", "BLQ", "TND"), 2.14, "IU")
    panels.draw_cmv(made.panel(0.1, 0.1, 0.8, 0.8), [one])
    (axes,) = sketch_figure(made).axes
    drawn = {
        line.get_marker(): (list(line.get_xdata()), line.get_markerfacecolor())
        for line in axes.lines
        if line.get_linestyle() == "None"
    }
    assert drawn == {"^": ([0], "white"), "o": ([7], "#1A1A1A"), "v": ([14, 21], "white")}


def test_a_result_above_the_range_keeps_its_place(profile: Any) -> None:
    visits = profile.visits.copy()
    row = ((visits.obs["usubjid"] == S1) & (visits.obs["visit"] == "BL")).to_numpy().nonzero()[0][0]
    for name, value in {"cmv_kind": "ALQ", "cmv_log10": float("nan"), "cmv_lower": 6.959}.items():
        visits.obs[name] = visits.obs[name].astype(object)
        visits.obs.iloc[row, visits.obs.columns.get_loc(name)] = value
    one = cmv_of_visits(visits, subject=S1)[0]
    assert (one.kinds[0], one.heights[0]) == ("ALQ", 6.959)


def test_antivirals_and_systemic_steroids_of_conmeds_have_bars() -> None:
    dosing = pd.DataFrame(columns=["usubjid", "drug"])
    conmeds = pd.DataFrame({
        "usubjid": S1,
        "drug": ["Letermovir", "methylprednisolone sodium succinate", "hydrocortisone cream",
                 "ibuprofen", "prednisone"],
        "route": ["PO", "IV", "TOP", "PO", "PO"],
        "start_dtc": ["2025-02-20", "2025-03-05", "2025-03-01", "2025-03-01", "2025-01"],
        "end_dtc": ["2025-03-01", None, None, None, None],
    })  # fmt: skip
    bars = treatment_bars(dosing, conmeds, S1, DAY0, until=7.0)
    assert [(bar.kind, bar.start, bar.end) for bar in bars] == [("antiviral", -11.0, -2.0), ("steroid", 2.0, 7.0)]
    assert undated_treatment(dosing, conmeds, S1, DAY0) == ("prednisone",)


def test_a_given_height_is_kept_and_its_letters_stay_legible(profile: Any) -> None:
    rows = [result(), result(test="PLT", term="Platelet count decreased", value=90.0, grade=1, lln=150.0)]
    labs, _ = lab_series(pd.DataFrame(rows), S1, DAY0, tests=["ANC", "PLT"])
    view = Timeline(S1, (), tuple(cmv_of_visits(profile.visits, subject=S1)), tuple(labs), ())
    figure = timeline_figure(view, height=2.5, legend=False)
    assert figure.get_figheight() == 2.5
    texts = [one for one in figure.findobj(Text) if one.get_text() and one.get_visible()]
    # The report prints the figure at its own width, so that these are points on paper.
    assert min(one.get_fontsize() for one in texts) >= 6.0
    assert not any("Laboratory" in one.get_text() for one in texts)
    assert any("Laboratory" in one.get_text() for one in timeline_figure(view).findobj(Text))


def test_percentages_have_their_unit_and_day_zero_its_name(profile: Any) -> None:
    series = tuple(population_series(profile.visits, "treg", measure="pct_parent", subject=S1))
    view = Timeline(S1, series, (), (), (), schedule=(("D28", 27.0),), day_zero="day 0")
    alt = timeline_alt(view)
    assert "days since day 0;" in alt
    assert ", % of parent: BL" in alt
    assert "cells/µL" not in alt
    assert timeline_figure(view).axes[-1].get_xlim()[1] > 27.0


def test_nobody_to_show_is_said() -> None:
    assert "no result with a day" in pl.alt_text(timeline_figure(Timeline(S1, (), (), (), ())))
