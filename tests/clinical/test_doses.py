"""Doses: courses, sums, label doses at every boundary of the clearance, intervals, hours before a draw."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immunoprofile.clinical import adequacy_state, agents_of, creatinine_clearance, dose_adequacy, label_dose, safety
from immunoprofile.clinical.immunosuppressants import agents
from immunoprofile.errors import AnalysisError
from immunoprofile.resources import populations
from tests.clinical.trial import SUBJECT, VISIT, conmed, dose, lab, study

END = VISIT | {"visit": "D28", "start_dtc": "2024-03-28"}
# 45 or 46 years, 60 kg, woman: (140 - 45) x 60 x 0.85 x 88.42 / (72 x 70) = 85.0 mL/min
CREATININE = [lab("CREAT", 70, visit=None, collected_dtc=f"2024-03-{day:02d}T07:00") for day in (1, 8, 15, 22)]


def tables(*dosing, **changed):
    return safety(study(**({"dosing": list(dosing), "labs": CREATININE, "visits": [VISIT, END]} | changed)))


@pytest.mark.parametrize(
    ("drug", "crcl", "induction"),
    [  # bands of the ganciclovir and valganciclovir labels, one step to each side of every boundary
        ("GCV", 70, 10), ("GCV", 69.999, 5), ("GCV", 50, 5), ("GCV", 49.999, 2.5), ("GCV", 25, 2.5),
        ("GCV", 24.999, 1.25), ("GCV", 10, 1.25), ("GCV", 9.999, 3.75 / 7), ("GCV", 0, 3.75 / 7),
        ("VGCV", 60, 1800), ("VGCV", 59.999, 900), ("VGCV", 40, 900), ("VGCV", 39.999, 450), ("VGCV", 25, 450),
        ("VGCV", 24.999, 225), ("VGCV", 10, 225),
    ],
)  # fmt: skip
def test_label_doses(drug, crcl, induction):
    assert label_dose(drug, crcl, "INDUCTION") == pytest.approx(induction)
    # half of induction, but for valganciclovir at 10 to 24 mL/min: 450 mg twice a week
    maintenance = 900 / 7 if drug == "VGCV" and crcl < 25 else induction / 2
    assert label_dose(drug, crcl, "MAINTENANCE") == pytest.approx(maintenance)


def test_no_label_dose():
    assert math.isnan(label_dose("VGCV", 9.999, "INDUCTION"))
    assert math.isnan(label_dose("GCV", math.nan, "INDUCTION"))
    for drug, crcl, phase in (("IL2", 80, "INDUCTION"), ("GCV", 80, "prophylaxis"), ("GCV", -1, "INDUCTION")):
        with pytest.raises(AnalysisError, match="GCV, VGCV"):
            label_dose(drug, crcl, phase)


@pytest.mark.parametrize(
    ("ratio", "state"),
    [(0.8, "ADEQUATE"), (0.7999, "UNDER"), (1.25, "ADEQUATE"), (1.2501, "ABOVE"), (0, "UNDER"), (math.nan, "UNKNOWN"),
     (0.1 * 8, "ADEQUATE")],
)  # fmt: skip
def test_limits_of_adequacy(ratio, state):
    assert adequacy_state(ratio) == state


@pytest.mark.parametrize(
    ("mg_kg", "state", "dosed"),
    [(5.0, "ADEQUATE", "TRUE"), (4.0, "ADEQUATE", "TRUE"), (3.99, "UNDER", "FALSE"), (6.25, "ADEQUATE", "TRUE"),
     (6.26, "ABOVE", "FALSE")],
)  # fmt: skip
def test_induction(mg_kg, state, dosed):
    rows = tables(dose("GCV", mg_kg)).adequacy
    assert set(rows["adequacy_state"]) == {state}
    assert set(rows["appropriately_dosed"]) == {dosed}
    assert (rows["from_day"].iloc[0], rows["to_day"].iloc[-1]) == (0, 13)
    assert rows["adequacy"].iloc[0] == pytest.approx(2 * mg_kg / 10)
    in_mg = tables(dose("GCV", mg_kg * 60, unit="mg")).adequacy
    assert in_mg["appropriately_dosed"].tolist() == rows["appropriately_dosed"].tolist()


@pytest.mark.parametrize(
    ("given_doses", "dosed"), [(28, "TRUE"), (23, "TRUE"), (22, "FALSE"), (None, "UNKNOWN")]
)  # 80 % of 28 are 22.4
def test_planned_doses(given_doses, dosed):
    assert set(tables(dose("GCV", 5.0, doses_given=given_doses)).adequacy["appropriately_dosed"]) == {dosed}
    exactly = tables(dose("GCV", 5.0, doses_planned=30, doses_given=24)).adequacy
    assert set(exactly["appropriately_dosed"]) == {"TRUE"}


def test_step_down_to_tablets_is_not_under_dosing():
    oral = dose("VGCV", 900.0, freq="QD", start_dtc="2024-03-15T10:00", end_dtc="2024-03-28")
    rows = tables(dose("GCV", 5.0), oral).adequacy
    assert set(rows["appropriately_dosed"]) == {"TRUE"}
    assert rows.groupby("drug")["phase"].unique().map(list).to_dict() == {"GCV": ["INDUCTION"], "VGCV": ["MAINTENANCE"]}
    assert (rows["from_day"].iloc[0], rows["to_day"].iloc[-1]) == (0, 27)
    # Intervals follow each other without gap or overlap.
    assert rows["from_day"].tolist()[1:] == [day + 1 for day in rows["to_day"].tolist()[:-1]]
    # Half of the label dose of maintenance is.
    half = tables(dose("GCV", 5.0), oral | {"dose": 450.0}).adequacy
    assert set(half.loc[half["drug"] == "VGCV", "adequacy_state"]) == {"UNDER"}
    # The maintenance dose within the first 14 days asks for a word of the site.
    early = {"start_dtc": "2024-03-01T10:00", "end_dtc": "2024-03-10"}
    assert set(tables(oral | early).adequacy["adequacy_state"]) == {"UNDER"}
    assert set(tables(oral | early | {"phase": "MAINTENANCE"}).adequacy["adequacy_state"]) == {"ADEQUATE"}
    # Induction that goes on after 14 days is held against the induction dose.
    long = tables(dose("GCV", 5.0, end_dtc="2024-03-20")).adequacy
    assert set(long["adequacy_state"]) == {"ADEQUATE"}


def test_days_without_a_drug_and_days_with_two():
    second = dose("GCV", 5.0, start_dtc="2024-03-10", end_dtc="2024-03-14")
    rows = tables(dose("GCV", 5.0, end_dtc="2024-03-06"), second).adequacy
    gap = rows[rows["drug"] == "none"]
    columns = ["from_day", "to_day", "adequacy", "appropriately_dosed"]
    assert gap[columns].to_numpy().tolist() == [[6, 8, 0, "FALSE"]]
    # A change of dose on one day is no double dose; two courses on several days are.
    change = tables(dose("GCV", 5.0, end_dtc="2024-03-06"), second | {"start_dtc": "2024-03-06"}).adequacy
    assert set(change["appropriately_dosed"]) == {"TRUE"}
    double = tables(dose("GCV", 5.0), second).adequacy
    assert double.loc[double["from_day"] >= 9, "adequacy"].tolist()[:1] == [2.0]
    assert set(double.loc[double["from_day"] >= 9, "adequacy_state"]) == {"ABOVE"}


def test_the_band_follows_the_clearance():
    # 85.0, then (140 - 45) x 60 x 0.85 x 88.42 / (72 x 100) = 59.5 mL/min: half the dose is right from then on
    labs = [CREATININE[0], lab("CREAT", 100, visit=None, collected_dtc="2024-03-08T07:00")]
    rows = tables(dose("GCV", 5.0), labs=labs).adequacy
    assert rows["adequacy_state"].tolist() == ["ADEQUATE", "ABOVE"]
    assert rows["crcl"].tolist() == pytest.approx([85.0, 59.5], abs=0.05)
    assert rows["label_dose"].tolist() == [10, 5]


def test_a_band_that_depends_on_the_age_is_not_decided():
    # With 45 years 70.19, with 46 years 69.45 mL/min
    rows = tables(dose("GCV", 5.0), labs=[lab("CREAT", 84.8)]).adequacy
    assert set(rows["adequacy_state"]) == {"UNKNOWN"}
    assert "age" in rows["reason"].iloc[0]
    # By the year of birth alone 46 is used, and 45 is possible.
    by_year = SUBJECT | {"age_y": None}
    younger = tables(dose("GCV", 5.0), labs=[lab("CREAT", 84.8)], subjects=[by_year])
    assert younger.clearance["crcl"].iloc[0] < 70 < younger.clearance["crcl_high"].iloc[0]
    assert set(younger.adequacy["adequacy_state"]) == {"UNKNOWN"}
    known = SUBJECT | {"birth_year": 1979}  # 45 at consent in the year of 45: the birthday was before
    assert set(tables(dose("GCV", 5.0), labs=[lab("CREAT", 84.8)], subjects=[known]).adequacy["adequacy_state"]) == {
        "ADEQUATE"
    }


@pytest.mark.parametrize(
    ("dosing", "changed", "reason"),
    [
        (dose("GCV", 5.0, route=None), {}, "route missing"),
        (dose("GCV", 5.0, route="PO"), {}, "route PO"),
        (dose("GCV", None), {}, "dose is missing"),
        (dose("GCV", 5.0, unit=None), {}, "no unit"),
        (dose("GCV", 5.0, unit="MIU"), {}, "does not fit GCV"),
        (dose("GCV", 5.0, freq="PRN"), {}, "frequency PRN"),
        (dose("GCV", 5.0), {"labs": []}, "no creatinine before"),
        (dose("GCV", 300.0, unit="mg"), {"visits": [VISIT | {"weight_kg": None}, END | {"weight_kg": None}]}, "weight"),
        (dose("GCV", 5.0), {"subjects": [SUBJECT | {"sex": None}]}, "sex"),
        (dose("GCV", 5.0), {"labs": [lab("CREAT", 60, collected_dtc="2024-02-28"), lab("CREAT", 95)]}, "unstable"),
        (dose("VGCV", 450.0), {"labs": [lab("CREAT", 900)]}, "label gives no dose"),
        (dose("GCV", 5.0), {"subjects": [SUBJECT | {"first_gcv_dtc": None}],
                            "dosing": [dose("GCV", 5.0, start_dtc="2024-03")]}, "first ganciclovir"),
    ],
)  # fmt: skip
def test_a_missing_input_is_unknown(dosing, changed, reason):
    rows = tables(**({"dosing": [dosing]} | changed)).adequacy
    assert set(rows["appropriately_dosed"]) == {"UNKNOWN"}
    assert reason in rows["reason"].iloc[0]


@pytest.mark.parametrize(
    ("drug", "amount", "freq", "phase", "creatinine", "adequacy"),
    [  # clearance of the subject: 5949.9 / creatinine mL/min
        ("VGCV", 450.0, "QOD", "INDUCTION", 297.5, 1.0),  # 20 mL/min
        ("VGCV", 450.0, "BIW", "MAINTENANCE", 297.5, 1.0),
        ("VGCV", 450.0, "QD", "INDUCTION", 198.3, 1.0),  # 30 mL/min
        ("GCV", 1.25, "TIW", "INDUCTION", 743.7, 1.0),  # 8 mL/min
        ("GCV", 1.25, "QD", "INDUCTION", 297.5, 1.0),
        ("GCV", 2.5, "Q12H", "INDUCTION", 100.0, 1.0),  # 59.5 mL/min
        ("GCV", 2.5, "Q12H", "MAINTENANCE", 100.0, 2.0),
    ],
)
def test_doses_of_the_bands(drug, amount, freq, phase, creatinine, adequacy):
    made = dose(drug, amount, freq=freq, phase=phase, end_dtc="2024-03-08", unit="mg/kg" if drug == "GCV" else "mg")
    row = tables(made, labs=[lab("CREAT", creatinine)]).adequacy.iloc[0]
    assert row["adequacy"] == pytest.approx(adequacy, rel=1e-9)
    assert row["adequacy_state"] == ("ADEQUATE" if adequacy < 1.25 else "ABOVE")
    assert row["phase"] == phase


def test_first_doses_that_contradict_dosing_are_told():
    found = tables(dose("GCV", 5.0, start_dtc="2024-03-02T10:00"), dose("IL2", 1.0)).exceptions
    told = found[found["code"] == "FIRST_DOSE_DIFFERS"]
    assert told["message"].tolist() == [
        "first_gcv_dtc is 2024-03-01T10:00, the first course in dosing began 2024-03-02T10:00"
    ]


def test_a_clearance_lasts_fourteen_days():
    rows = tables(dose("GCV", 5.0, end_dtc="2024-03-20"), labs=CREATININE[:1]).adequacy
    assert rows[["from_day", "to_day", "appropriately_dosed"]].to_numpy().tolist() == [
        [0, 14, "TRUE"], [15, 19, "UNKNOWN"],
    ]  # fmt: skip


def test_exposure_and_courses():
    il2 = dose("IL2", 1.0, doses_given=12)
    found = tables(il2, dose("IL2", 1e6, unit="IU", start_dtc="2024-03-20", end_dtc="2024-03-22", doses_planned=3,
                             doses_given=3), dose("GCV", 5.0))  # fmt: skip
    # 165 cm and 60 kg are 1.6583 m2
    il2_courses = found.courses[found.courses["drug"] == "IL2"]
    assert il2_courses["dose_per_m2"].tolist() == pytest.approx([0.603] * 2, abs=1e-3)
    sums = found.exposure.set_index("drug")
    assert sums.loc["IL2", ["n_courses", "doses_planned", "doses_given", "cumulative"]].tolist() == [2, 17, 15, 15]
    assert sums.loc["IL2", "cumulative_per_m2"] == pytest.approx(15 / 1.658312, rel=1e-6)
    assert sums.loc["GCV", "cumulative"] == 28 * 5 * 60
    per_m2 = tables(dose("IL2", 0.6, unit="MIU/m2")).courses
    assert per_m2["dose_absolute"].iloc[0] == pytest.approx(0.6 * 1.658312, rel=1e-6)
    unknown = tables(il2 | {"doses_given": None}, dose("GCV", 5.0)).exposure.set_index("drug")
    assert math.isnan(unknown.loc["IL2", "cumulative"])
    assert "doses_given" in unknown.loc["IL2", "reason"]
    no_weight = tables(dose("GCV", 5.0), visits=[VISIT | {"weight_kg": None}]).exposure
    assert math.isnan(no_weight["cumulative"].iloc[0])


def test_both_time_axes_and_antivirals_before_the_study():
    before = dose("VGCV", 900.0, start_dtc="2024-02-01", end_dtc="2024-02-10")
    subject = SUBJECT | {"first_il2_dtc": "2024-03-03T10:00"}
    other = conmed("Foscarnet sodium", 90.0, unit="mg/kg", start_dtc="2024-01", end_dtc="2024-02-05")
    found = tables(dose("GCV", 5.0), before, subjects=[subject], conmeds=[other])
    bars = found.bars.set_index("drug")
    # First IL-2 on 3 March is day 1 (there is no day 0), first ganciclovir on 1 March is day 0.
    days = ["start_day", "end_day", "virology_start_day", "virology_end_day"]
    assert bars.loc["GCV", days].tolist() == [-2, 12, 0, 13]
    assert bars["before_study"].to_dict() == {"foscarnet": True, "VGCV": True, "GCV": False}
    assert pd.isna(bars.loc["foscarnet", "start_day"])
    assert bars.loc["GCV", "text"] == "GCV 5 mg/kg Q12H IV"
    assert found.exposure["drug"].tolist() == ["GCV"]
    assert found.adequacy["from_day"].min() == 0
    assert found.courses.set_index("drug")["before_study"].to_dict() == {"GCV": False, "VGCV": True}


def sample(dtc, stated=None):
    return {"sample_id": f"T{dtc}", "usubjid": "S-1", "visit": "BL", "collected_dtc": dtc,
            "hours_since_last_il2": stated}  # fmt: skip


@pytest.mark.parametrize(
    ("dtc", "hours", "recent"),
    [
        ("2024-03-01T09:59", math.nan, False),  # before the first dose
        ("2024-03-01T10:00", 0, True),
        ("2024-03-02T03:59", 17 + 59 / 60, True),
        ("2024-03-02T04:00", 18, False),
        ("2024-03-02T09:00", 23, False),
        ("2024-03-14T12:00", 2, True),
        ("2024-03-20T10:00", 144, False),
    ],
)
def test_hours_since_il2(dtc, hours, recent):
    row = tables(dose("IL2", 1.0), samples=[sample(dtc)]).il2_timing.iloc[0]
    assert row["hours"] == pytest.approx(hours, nan_ok=True)
    assert row["recent"] == recent


def test_hours_that_are_not_known():
    def timing(made, dtc="2024-03-05T08:00", **changed):
        return tables(made, samples=[sample(dtc)], **changed).il2_timing.iloc[0]

    missed = timing(dose("IL2", 1.0, doses_given=13))
    assert (missed["hours_low"], missed["hours_high"], missed["recent"]) == (22, 94, False)
    assert math.isnan(missed["hours"])
    no_time = timing(dose("IL2", 1.0, start_dtc="2024-03-01", end_dtc="2024-03-14"))
    assert no_time["hours_low"] == 0 and no_time["recent"]
    long_ago = timing(dose("IL2", 1.0, start_dtc="2024-03-01", end_dtc="2024-03-02"))
    # the last dose was between 00:00 and 23:59 of 2 March: 56.02 to 80 h
    assert long_ago["hours_low"] <= 56.02 and long_ago["hours_high"] >= 80 and not long_ago["recent"]
    assert timing(dose("GCV", 5.0))["recent"]  # the subject has a first IL-2 dose, and dosing no row
    control = SUBJECT | {"first_il2_dtc": None}
    assert not timing(dose("GCV", 5.0), subjects=[control])["recent"]


def test_stated_hours_win_and_a_contradiction_is_told():
    found = tables(dose("IL2", 1.0), samples=[sample("2024-03-05T08:00", 3.0), sample("2024-03-06T08:00", 22.4)])
    assert found.il2_timing["hours"].tolist() == [3.0, 22.4]
    told = found.exceptions[found.exceptions["code"] == "IL2_HOURS_DIFFER"]
    assert told["row"].tolist() == ["1"]


def test_immunosuppressants_touch_what_the_table_says():
    known = set(populations())
    for name, entry in agents().items():
        assert set(entry["touches"]) <= known, name
    assert agents_of("Mycophenolate mofetil 500 mg", None) == ("mycophenolate",)
    for drug, agent in {
        "CellCept": "mycophenolate",
        "吗替麦考酚酯分散片": "mycophenolate",
        "MTX 15 mg": "methotrexate",
        "Cyclophosphamid": "cyclophosphamide",
        "MabThera": "anti_cd20",
        "ciclosporina": "calcineurin_inhibitor",
        "Benlysta": "belimumab",
        "Privigen": "immunoglobulin",
        "hepatitis B immunoglobulin": "",
    }.items():
        assert agents_of(drug, None) == ((agent,) if agent else ()), drug
    assert agents_of("trade name", "L01XC24") == ("anti_cd38",)
    assert agents_of("hydroxychloroquine", "P01BA02") == ()
    rows = [
        conmed("basiliximab", 20.0, freq="ONCE", start_dtc="2024-03-01", end_dtc=None),
        conmed("rituximab", 1000.0, freq="ONCE", start_dtc="2023-01-01", end_dtc=None),
        conmed("tacrolimus", 2.0, start_dtc="2024-03", end_dtc=None, ongoing=True),
    ]
    found = tables(conmeds=rows).immunosuppressants
    assert "treg" in set(found.loc[found["agent"] == "anti_cd25", "population"])
    assert "anti_cd20" not in set(found["agent"])  # 425 days ago, longer than the table counts
    perhaps = found[(found["agent"] == "calcineurin_inhibitor") & (found["visit"] == "BL")]
    assert set(perhaps["active"]) == {"UNKNOWN"}
    assert found.loc[found["agent"] == "anti_cd25", "days_since_last"].unique().tolist() == [0, 27]


STATES = {"TRUE": 2, "UNKNOWN": 1, "FALSE": 0}
COURSES = st.builds(
    dose,
    st.sampled_from(["GCV", "VGCV"]),
    st.sampled_from([1.25, 2.5, 5.0, 450.0, 900.0]),
    freq=st.sampled_from(["QD", "Q12H", "QOD"]),
    unit=st.sampled_from(["mg", "mg/kg"]),
    start_dtc=st.sampled_from(["2024-03-01T10:00", "2024-03-05", "2024-03-09"]),
    end_dtc=st.sampled_from(["2024-03-09", "2024-03-12T22:00", "2024-03-16"]),
    doses_given=st.sampled_from([20, 28]),
)
SITES = [("dosing", name) for name in ("dose", "unit", "freq", "route", "doses_planned", "doses_given")]
SITES += [("labs", "value"), ("labs", "unit"), ("subjects", "sex"), ("subjects", "age_y"), ("subjects", "birth_year"),
          ("subjects", "consent_dtc"), ("visits", "weight_kg")]  # fmt: skip


def by_day(made):
    days = {}
    for row in dose_adequacy(made, creatinine_clearance(made)).to_dict("records"):
        for day in range(row["from_day"], row["to_day"] + 1):
            days[day] = row["appropriately_dosed"]
    return days


@settings(max_examples=40)
@given(
    dosing=st.lists(COURSES, min_size=1, max_size=2),
    creatinine=st.lists(st.floats(50, 160), min_size=1, max_size=3),
    site=st.sampled_from(SITES),
    data=st.data(),
)
def test_a_blank_never_makes_a_dose_appropriate(dosing, creatinine, site, data):
    """An end of a course is no such input: empty means that it goes on. A whole column of weights is blanked."""
    rows = {
        "subjects": [SUBJECT],
        "visits": [VISIT, END],
        "dosing": dosing,
        "labs": [lab("CREAT", value, visit=None, collected_dtc=f"2024-03-{1 + 5 * number:02d}T07:00")
                 for number, value in enumerate(creatinine)],
    }  # fmt: skip
    before = by_day(study(**rows))
    name, column = site
    chosen = set(range(len(rows[name]))) if name == "visits" else {data.draw(st.integers(0, len(rows[name]) - 1))}
    blank = [row | ({column: None} if number in chosen else {}) for number, row in enumerate(rows[name])]
    after = by_day(study(**(rows | {name: blank})))
    assert before.keys() == after.keys()
    assert not {day for day in after if after[day] == "TRUE" and before[day] != "TRUE"}


@settings(max_examples=10)
@given(data=st.data())
def test_the_order_of_rows_changes_nothing(data):
    rows = {
        "subjects": [SUBJECT, SUBJECT | {"usubjid": "S-2"}],
        "visits": [VISIT, END, VISIT | {"usubjid": "S-2", "weight_kg": 80.0}],
        "dosing": [dose("GCV", 5.0), dose("IL2", 1.0), dose("GCV", 2.5, usubjid="S-2")],
        "labs": [*CREATININE, lab("ANC", 0.4, lln=1.8), lab("ANC", 0.4, lln=1.8, usubjid="S-2"), lab("ALT", 90, uln=40),
                 lab("ALT", 150, uln=40, lab_id="L2")],
        "conmeds": [conmed("prednisone", 10.0), conmed("rituximab", 1000.0, freq="ONCE"), conmed("dexamethasone", 4.0)],
        "samples": [sample("2024-03-05T08:00"), sample("2024-03-06T08:00", 3.0)],
        "aes": [{"usubjid": "S-1", "term": term, "start_dtc": "2024-03-05"} for term in ("Nausea", "Fever")],
    }  # fmt: skip
    mixed = {name: data.draw(st.permutations(held)) for name, held in rows.items()}
    one, other = safety(study(**rows)).files(), safety(study(**mixed)).files()
    for name, frame in one.items():
        if name != "steroid_records.csv":  # in the order of conmeds, by design
            pd.testing.assert_frame_equal(frame, other[name])
