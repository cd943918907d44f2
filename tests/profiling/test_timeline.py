"""Days, baseline and blood counts: the rules by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pandas as pd
import pytest

from immunoprofile.io.dates import days_between, drawn_before, first_dose, hours_apart
from immunoprofile.profiling.timeline import baseline_rows, blood_count, study_day


@pytest.mark.parametrize(
    ("drawn", "day"),
    [("2024-03-01T08:00", 1), ("2024-02-29", -1), ("2024-03-02", 2), ("2024-03-14T23:59", 14), ("2024-03", None)],
)
def test_there_is_no_day_zero(drawn, day):
    subject = pd.Series({"first_il2_dtc": "2024-03-01T10:00", "randomised_dtc": "2024-02-20"})
    assert study_day(subject, drawn, "first_il2_or_randomised") == day


def test_dates():
    assert days_between("2024-02-28", "2024-03-01") == 2
    assert days_between("2024-02", "2024-03-01") is None
    assert hours_apart("2024-03-01T08:00", "2024-03-02T07:00") == 23
    assert hours_apart("2024-03-01T08:00", "2024-03-01") == 0
    assert math.isnan(hours_apart("", "2024-03-01"))
    assert drawn_before("2024-03-01T09:59", "2024-03-01T10:00")
    assert not drawn_before("2024-03-01T10:01", "2024-03-01T10:00")
    assert drawn_before("2024-03-01", "2024-03-01T10:00")
    assert not drawn_before("2024-03-02", "2024-03-01")
    assert first_dose({"first_il2_dtc": "2024-03-02", "first_gcv_dtc": "2024-03-01"}) == "2024-03-01"
    assert first_dose({"first_dose_dtc": float("nan")}) == ""


def obs(*draws):
    frame = pd.DataFrame(draws, columns=["visit", "visitnum", "collected_dtc"])
    return frame.assign(usubjid="S").set_index("visit", drop=False)


def study(first="2024-03-01T10:00"):
    subject = pd.Series({"usubjid": "S", "first_dose_dtc": first, "first_il2_dtc": None, "first_gcv_dtc": None})
    return SimpleNamespace(subject=lambda _: subject, config=SimpleNamespace(baseline_visit="BL"))


def chosen(frame, measured=None, **options):
    flags = baseline_rows(frame, study(**options), frame.index if measured is None else measured)
    return frame.index[flags].tolist()


def test_baseline_is_the_last_draw_before_the_first_dose():
    frame = obs(("SCR", 0, "2024-02-26"), ("BL", 1, "2024-03-01T08:00"), ("UNS.01", 901, "2024-03-01T16:00"))
    assert chosen(frame) == ["BL"]
    # What could not be gated is no baseline; the screening draw is.
    assert chosen(frame, measured=["SCR", "UNS.01"]) == ["SCR"]
    assert chosen(frame, measured=["UNS.01"]) == []
    # Without a known dose the visit that the schedule calls baseline.
    assert chosen(frame, first=None) == ["BL"]
    assert chosen(obs(("UNS.01", 901, "2024-03-01"), ("BL", 1, "2024-03-01"))) == ["BL"]


def labs(*rows):
    return pd.DataFrame(rows, columns=["collected_dtc", "test", "value", "unit", "lab_id"]).assign(usubjid="S")


def test_blood_count_is_one_draw_of_one_laboratory():
    # 3.2 x 10^9/L with 25 % is 800/uL.
    one = [("2024-03-01T07:00", "WBC", 3.2, "10^9/L", "L"), ("2024-03-01T07:00", "LYMPH_PCT", 25, "%", "L")]
    count = blood_count(labs(*one), "S", "2024-03-01T08:00")
    assert (count.alc, count.wbc, count.hours) == (pytest.approx(800), pytest.approx(3200), 1)
    # White cells alone are nearer, but only the other count gives lymphocytes.
    nearer = [*one, ("2024-03-01T08:00", "WBC", 9.0, "10^9/L", "L")]
    assert blood_count(labs(*nearer), "S", "2024-03-01T08:00").alc == pytest.approx(800)
    # Never white cells of one draw with the percentage of another.
    mixed = [("2024-03-01T07:00", "WBC", 3.2, "10^9/L", "L"), ("2024-03-01T09:00", "LYMPH_PCT", 25, "%", "L")]
    assert math.isnan(blood_count(labs(*mixed), "S", "2024-03-01T08:00").alc)
    # 24 h count, a minute more does not, before and after the draw
    assert blood_count(labs(*one), "S", "2024-03-02T07:00").alc == pytest.approx(800)
    assert math.isnan(blood_count(labs(*one), "S", "2024-03-02T07:01").alc)
    assert blood_count(labs(*one), "S", "2024-02-29T07:00").alc == pytest.approx(800)
    assert math.isnan(blood_count(labs(*one), "S", "2024-02-29T06:59").alc)
    assert math.isnan(blood_count(labs(*one), "T", "2024-03-01T08:00").alc)


def test_contradicting_counts_are_not_chosen_by_their_order():
    rows = [("2024-03-01", "ALC", 900, "cells/uL", "A"), ("2024-03-01", "ALC", 1.5, "10^9/L", "B")]
    for order in (rows, rows[::-1]):
        count = blood_count(labs(*order), "S", "2024-03-01T08:00")
        assert count.ambiguous
        assert math.isnan(count.alc)
