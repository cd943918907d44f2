"""Prednisone equivalents: numbers calculated by hand, and days that cannot be known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immunoprofile.clinical import prednisone_equivalents, steroid_records
from immunoprofile.clinical.steroids import steroid_name
from tests.clinical.trial import VISIT, conmed, study

LATE = VISIT | {"visit": "D14", "start_dtc": "2024-03-20", "weight_kg": None}


def grid(*rows, **tables):
    return prednisone_equivalents(study(conmeds=list(rows), **({"visits": [VISIT, LATE]} | tables))).set_index("date")


@pytest.mark.parametrize(
    ("drug", "ped"),
    [  # mg as strong as 5 mg of prednisone
        ("hydrocortisone", 0.25), ("cortisone", 0.20), ("prednisone", 1), ("prednisolone", 1),
        ("methylprednisolone", 1.25), ("triamcinolone", 1.25), ("dexamethasone", 6.667), ("betamethasone", 8.333),
        ("deflazacort", 0.833),
    ],
)  # fmt: skip
def test_factors(drug, ped):
    assert grid(conmed(drug, 1.0)).loc["2024-03-01", "ped_mg"] == pytest.approx(ped, abs=5e-4)


def test_golden_doses():
    one = grid(conmed("methylprednisolone", 40.0)).loc["2024-03-01"]
    assert one["ped_mg"] == 50
    assert one["ped_mg_kg"] == pytest.approx(0.833, abs=5e-4)
    # 48 mg is exactly the limit of the criterion, one step below is not
    assert grid(conmed("methylprednisolone", 48.0)).loc["2024-03-01", "ped_mg_kg"] == 1.0
    assert grid(conmed("methylprednisolone", 47.99)).loc["2024-03-01", "ped_mg_kg"] < 1.0
    other = prednisone_equivalents(study(conmeds=[conmed("betamethasone", 1.0)]), mg_equivalent={"betamethasone": 0.75})
    assert other["ped_mg"].iloc[0] == pytest.approx(6.667, abs=5e-4)


def test_days_of_a_course():
    days = grid(conmed("prednisone", 10.0, freq="BID"))
    assert days.index.tolist() == [f"2024-03-{day:02d}" for day in range(1, 11)]
    assert set(days["ped_mg"]) == {20.0}
    other_day = grid(conmed("prednisone", 10.0, freq="QOD"))["ped_mg"].tolist()
    assert other_day == [10, 0] * 5
    once = grid(conmed("methylprednisolone", 500.0, freq="ONCE", route="IV", end_dtc=None))
    assert once["ped_mg"].to_dict() == {"2024-03-01": 625}
    ongoing = grid(conmed("prednisone", 10.0, start_dtc="2019-05", end_dtc=None, ongoing=True))
    # 28 d before the first day of the study to its last day
    assert (ongoing.index[0], ongoing.index[-1], len(ongoing)) == ("2024-02-02", "2024-03-20", 48)
    assert set(ongoing["ped_mg"]) == {10.0}


def test_courses_of_a_day_add_up():
    days = grid(conmed("prednisone", 10.0), conmed("hydrocortisone", 20.0, freq="BID", start_dtc="2024-03-05"))
    assert days.loc["2024-03-04", "ped_mg"] == 10
    assert days.loc["2024-03-05", "ped_mg"] == 20
    assert days.loc["2024-03-05", "drugs"] == "hydrocortisone, prednisone"


@pytest.mark.parametrize("route", ["INH", "topical", "IA", "OPH"])
def test_other_routes_are_listed_and_not_counted(route):
    rows = [conmed("triamcinolone", 40.0, route=route)]
    assert grid(*rows).empty
    assert steroid_records(study(conmeds=rows))["use"].tolist() == ["not_systemic"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"freq": "PRN"}, "PRN"),
        ({"freq": None}, "frequency missing"),
        ({"dose": None}, "dose is missing"),
        ({"unit": "tab"}, "unit tab"),
        ({"unit": None}, "unit missing"),
        ({"route": None}, "route missing"),
        ({"drug": "budesonide"}, "no prednisone equivalent"),
        ({"drug": "product X", "atc": "H02AB03"}, "no prednisone equivalent"),
        ({"freq": "TIW"}, "not certain on this day"),
        ({"start_dtc": None}, "start is missing"),
        ({"start_dtc": "2024"}, "not certain on this day"),
        ({"end_dtc": "2024-03"}, "not certain on this day"),
    ],
)
def test_what_is_not_known_is_not_zero(changed, reason):
    days = grid(conmed("prednisone", 10.0) | changed)
    assert math.isnan(days.loc["2024-03-05", "ped_mg"])
    assert math.isnan(days.loc["2024-03-05", "ped_mg_kg"])
    assert reason in days.loc["2024-03-05", "reason"]
    assert days.loc["2024-03-05", "ped_mg_at_least"] == 0
    # The part that is known stands beside it.
    both = grid(conmed("prednisolone", 5.0), conmed("prednisone", 10.0, freq="PRN"))
    assert both.loc["2024-03-05", "ped_mg_at_least"] == 5


def test_an_end_that_nobody_wrote_down():
    days = grid(conmed("prednisone", 10.0, end_dtc=None, ongoing=None))
    assert days.loc["2024-03-01", "ped_mg"] == 10
    assert days.loc["2024-03-02":, "ped_mg"].isna().all()
    contradiction = grid(conmed("prednisone", 10.0, ongoing=True))
    assert contradiction.loc["2024-03-10", "ped_mg"] == 10
    assert math.isnan(contradiction.loc["2024-03-11", "ped_mg"])


def test_dose_per_kg_needs_a_weight():
    assert grid(conmed("prednisone", 0.5, unit="mg/kg")).loc["2024-03-01", "ped_mg"] == 30
    without = grid(conmed("prednisone", 0.5, unit="mg/kg"), visits=[VISIT | {"weight_kg": None}, LATE])
    assert math.isnan(without.loc["2024-03-01", "ped_mg"])
    assert "no weight within 30 d" in without.loc["2024-03-01", "reason"]


@pytest.mark.parametrize(("mg", "pulse"), [(250.0, True), (249.9, False)])
def test_pulse(mg, pulse):
    assert grid(conmed("methylprednisolone", mg, route="IV")).loc["2024-03-01", "pulse"] == pulse
    halves = grid(conmed("methylprednisolone", mg / 2, route="IV"), conmed("methylprednisolone", mg / 2, route="PO"))
    assert halves.loc["2024-03-01", "pulse"] == pulse
    assert grid(conmed("prednisone", 1000.0)).loc["2024-03-01", "pulse"] == False  # noqa: E712
    assert grid(conmed("methylprednisolone", mg, route="IV", freq="PRN"))["pulse"].isna().all()


FIELDS = ("dose", "unit", "freq", "route", "start_dtc", "end_dtc")


@settings(max_examples=40)
@given(
    rows=st.lists(
        st.builds(
            conmed,
            st.sampled_from(["prednisone", "methylprednisolone sodium succinate", "dexamethasone", "budesonide"]),
            st.floats(1, 600),
            freq=st.sampled_from(["QD", "BID", "QOD", "PRN", "TIW"]),
            route=st.sampled_from(["PO", "IV", "INH"]),
            start_dtc=st.sampled_from(["2024-02-27", "2024-03-02", "2024-03"]),
        ),
        min_size=1,
        max_size=3,
    ),
    field=st.sampled_from(FIELDS),
    data=st.data(),
)
def test_a_blank_never_lowers_the_dose(rows, field, data):
    """A known dose stays or becomes unknown; the order of rows changes nothing."""
    before = grid(*rows)
    order = data.draw(st.permutations(rows))
    assert grid(*order).drop(columns="reason").equals(before.drop(columns="reason"))
    number = data.draw(st.integers(0, len(rows) - 1))
    blanked = [row | ({field: None} if here == number else {}) for here, row in enumerate(rows)]
    after = grid(*blanked)
    for day, old in before.iterrows():
        assert day in after.index or (old["ped_mg"] == 0)
        if day in after.index and not math.isnan(after.loc[day, "ped_mg"]):
            assert not math.isnan(old["ped_mg"])
            assert after.loc[day, "ped_mg"] >= old["ped_mg"]


@pytest.mark.parametrize(
    ("drug", "name"),
    [("Medrol 16 mg", "methylprednisolone"), ("Solu-Medrol", "methylprednisolone"), ("Prednison", "prednisone"),
     ("Prednisolon", "prednisolone"), ("Decortin", "prednisone"), ("Decortin H 5 mg", "prednisolone"),
     ("醋酸泼尼松片", "prednisone"), ("醋酸泼尼松龙", "prednisolone"), ("强的松", "prednisone"),
     ("甲泼尼龙", "methylprednisolone"),
     ("甲基强的松龙", "methylprednisolone"), ("methyl prednisolone", "methylprednisolone"),
     ("地塞米松", "dexamethasone"),
     ("氢化可的松", "hydrocortisone"), ("métilprednisolona", "methylprednisolone"), ("Kortison", "kortison"),
     ("corticoides", "corticoides"), ("paracetamol", ""), ("medroxyprogesterone", "")],
)  # fmt: skip
def test_names_in_other_languages_and_brands(drug: str, name: str) -> None:
    """One that was not recognised was no corticosteroid at all, and the patient below every limit of the dose."""
    assert steroid_name(drug, None) == name
