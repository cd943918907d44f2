"""Creatinine clearance: numbers calculated by hand, ages that are not known to the year, unstable creatinine."""

from __future__ import annotations

import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from immunoprofile.clinical import cockcroft_gault, creatinine_clearance
from immunoprofile.clinical.body import (
    adjusted_weight_kg,
    age_at,
    body_mass_index,
    body_surface_m2,
    ideal_weight_kg,
)
from immunoprofile.clinical.units import lab_value, lab_value_in, significant
from immunoprofile.errors import AnalysisError, UnitError
from immunoprofile.schema import LAB_UNITS, lab_unit
from tests.clinical.trial import SUBJECT, VISIT, lab, study


def test_golden_clearances():
    # Cockcroft and Gault (1976), by hand
    assert cockcroft_gault(60, 72, 1.0, sex="M", unit="mg/dL") == 80.0
    assert cockcroft_gault(60, 72, 1.0, sex="F", unit="mg/dL") == pytest.approx(68.0, rel=1e-12)
    assert cockcroft_gault(45, 55, 180, sex="F") == pytest.approx(30.3006, abs=5e-5)
    # The constant of the SI form (1.23 in men, 1.04 in women) differs by at most half a per cent.
    assert cockcroft_gault(60, 72, 88.42, sex="M") == pytest.approx(80 * 72 * 1.23 / 88.42, rel=5e-3)
    assert cockcroft_gault(60, 72, 88.42, sex="F") == pytest.approx(80 * 72 * 1.04 / 88.42, rel=5e-3)


def test_what_the_formula_refuses():
    for bad in ({"age_y": 17}, {"weight_kg": 0}, {"creatinine": 0}):
        with pytest.raises(AnalysisError):
            cockcroft_gault(**({"age_y": 60, "weight_kg": 72, "creatinine": 80} | bad), sex="M")
    with pytest.raises(UnitError, match="umol/L, mg/dL"):
        cockcroft_gault(60, 72, 80, sex="M", unit="mmol/L")
    for missing in ({"age_y": math.nan}, {"weight_kg": math.nan}, {"creatinine": math.nan}):
        assert math.isnan(cockcroft_gault(**({"age_y": 60, "weight_kg": 72, "creatinine": 80} | missing), sex="M"))
    assert math.isnan(cockcroft_gault(60, 72, 80, sex=""))


def test_table_of_clearances():
    row = creatinine_clearance(study(labs=[lab("CREAT", 180.0)], visits=[VISIT | {"weight_kg": 55.0}])).iloc[0]
    # Born in 1978 and 45 at consent on 20 February 2024: the birthday is still to come on 1 March, or was in between.
    assert (row["age_y_low"], row["age_y"], row["age_y_high"]) == (45, 45, 46)
    assert row["crcl"] == pytest.approx(30.3006, abs=5e-5)
    assert row["crcl_low"] == pytest.approx(cockcroft_gault(46, 55, 180, sex="F"))
    assert row["weight_dtc"] == "2024-03-01"
    assert not row["unstable"]
    in_mg = creatinine_clearance(study(labs=[lab("CREAT", 180 / 88.42, "mg/dL")], visits=[VISIT | {"weight_kg": 55.0}]))
    assert in_mg["crcl"].iloc[0] == pytest.approx(row["crcl"], rel=1e-12)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"subjects": [SUBJECT | {"sex": None}]}, "sex"),
        ({"subjects": [SUBJECT | {"age_y": None, "birth_year": None}]}, "age"),
        ({"subjects": [SUBJECT | {"age_y": 30}]}, "contradict"),
        ({"subjects": [SUBJECT | {"age_y": 17, "birth_year": 2006}]}, "adults"),
        ({"visits": [VISIT | {"weight_kg": None}]}, "no weight within 30 d"),
        ({"visits": [VISIT | {"start_dtc": "2024-01-30"}]}, "no weight within 30 d"),
        ({"labs": [lab("CREAT", None)]}, "missing or not above 0"),
        ({"labs": [lab("CREAT", 80.0, "mmol/L")]}, "mmol/L"),
        ({"labs": [lab("CREAT", 80.0, collected_dtc="2024-03")]}, "date"),
    ],
)
def test_a_missing_input_gives_no_clearance_and_a_reason(changed, reason):
    row = creatinine_clearance(study(**({"labs": [lab("CREAT", 80.0)]} | changed))).iloc[0]
    assert math.isnan(row["crcl"]) and math.isnan(row["crcl_low"]) and math.isnan(row["crcl_high"])
    assert reason in row["reason"]


def test_a_weight_of_thirty_days_ago_counts():
    assert creatinine_clearance(
        study(labs=[lab("CREAT", 80.0)], visits=[VISIT | {"start_dtc": "2024-01-31"}])
    )["crcl"].notna().all()  # fmt: skip


def test_weight_of_the_obese():
    # 100 kg at 165 cm is 36.7 kg/m2. Devine: 45.5 + 2.3 x (165 / 2.54 - 60) = 56.9094 kg in a woman.
    assert body_mass_index(165, 100) == pytest.approx(36.73, abs=5e-3)
    assert ideal_weight_kg(165, sex="F") == pytest.approx(56.9094, abs=1e-4)
    assert ideal_weight_kg(165, sex="M") == pytest.approx(61.4094, abs=1e-4)
    assert adjusted_weight_kg(165, 100, sex="F") == pytest.approx(56.9094 + 0.4 * 43.0906, abs=1e-4)
    heavy = study(labs=[lab("CREAT", 80.0)], visits=[VISIT | {"weight_kg": 100.0}])
    weights = {kind: creatinine_clearance(heavy, weight=kind)["weight_kg"].iloc[0]
               for kind in ("actual", "ideal", "adjusted")}  # fmt: skip
    assert weights == pytest.approx({"actual": 100, "ideal": 56.9094, "adjusted": 74.1457}, abs=1e-4)
    slim = study(labs=[lab("CREAT", 80.0)])
    assert creatinine_clearance(slim, weight="ideal")[["weight_kg", "weight_kind"]].iloc[0].tolist() == [60, "actual"]
    no_height = study(labs=[lab("CREAT", 80.0)], visits=[VISIT | {"height_cm": None}])
    assert creatinine_clearance(no_height)["crcl"].notna().all()
    assert "no height" in creatinine_clearance(no_height, weight="adjusted")["reason"].iloc[0]


def test_mosteller():
    assert body_surface_m2(180, 80) == 2.0
    assert body_surface_m2(165, 60) == pytest.approx(1.6583, abs=5e-5)


@pytest.mark.parametrize(
    ("second", "when", "unstable"),
    [
        (150.0, "2024-03-03T08:00", False),  # 50 % exactly
        (150.1, "2024-03-03T08:00", True),
        (50.0, "2024-03-03T08:00", False),
        (49.9, "2024-03-03T08:00", True),
        (150.1, "2024-03-03T08:01", False),  # more than 48 h
    ],
)
def test_unstable_creatinine(second, when, unstable):
    rows = [lab("CREAT", 100.0), lab("CREAT", second, collected_dtc=when, visit=None)]
    assert creatinine_clearance(study(labs=rows))["unstable"].tolist() == [unstable, unstable]
    assert creatinine_clearance(study(labs=rows[::-1]))["unstable"].tolist() == [unstable, unstable]


@pytest.mark.parametrize(
    ("subject", "dtc", "expected"),
    [
        ({"age_y": 50, "consent_dtc": "2021-02-26"}, "2021-02-26", (50, 50, 51)),
        ({"age_y": 50, "consent_dtc": "2021-02-26"}, "2022-02-25", (50, 50, 51)),
        ({"age_y": 50, "consent_dtc": "2021-02-26"}, "2022-02-26", (51, 51, 52)),
        ({"age_y": 50, "consent_dtc": "2021-02-26"}, "2021-02-20", (49, 50, 50)),
        ({"birth_year": 1971}, "2021-06-01", (49, 50, 50)),
        # Both: born between 1 January and 26 February 1971, so 50 for the rest of 2021.
        ({"birth_year": 1971, "age_y": 50, "consent_dtc": "2021-02-26"}, "2021-12-31", (50, 50, 50)),
        ({"age_y": 50, "first_dose_dtc": "2021-03-01"}, "2021-03-01", (50, 50, 52)),
    ],
)
def test_age_in_completed_years(subject, dtc, expected):
    age = age_at(subject, dtc)
    assert (age.low, age.value, age.high) == expected


@given(
    born=st.dates(min_value=date(1930, 1, 1), max_value=date(2000, 12, 31)),
    consent=st.dates(min_value=date(2020, 1, 1), max_value=date(2022, 12, 31)),
    day=st.dates(min_value=date(2019, 12, 1), max_value=date(2024, 12, 31)),
    known=st.sampled_from(["both", "age", "year"]),
)
def test_the_true_age_is_always_in_the_span(born, consent, day, known):
    def years(at):
        return at.year - born.year - ((at.month, at.day) < (born.month, born.day))

    subject = {"consent_dtc": consent.isoformat()}
    subject |= {"age_y": years(consent)} if known != "year" else {}
    subject |= {"birth_year": born.year} if known != "age" else {}
    age = age_at(subject, day.isoformat())
    assert age.low <= years(day) <= age.high
    assert age.low <= age.value <= age.high


@given(
    test=st.sampled_from(sorted(LAB_UNITS)),
    value=st.floats(min_value=1e-6, max_value=1e6),
    data=st.data(),
)
def test_units_go_there_and_back(test, value, data):
    unit = data.draw(st.sampled_from(sorted(LAB_UNITS[test][1])))
    assert lab_value_in(lab_value(value, unit, test), unit, test) == pytest.approx(value, rel=1e-14)


def test_golden_units():
    # molar masses: creatinine 113.12 g/mol, and so on
    assert lab_value(1, "mg/dL", "CREAT") == 88.42
    assert lab_value(1, "mg/dL", "TBIL") == 17.10
    assert lab_value(10, "g/dL", "HGB") == 100
    assert lab_value(40, "IU/L", "ALT") == 40
    assert lab_value(1.5, "10^3/uL", "ANC") == 1.5
    assert lab_value(1500, "/mm3", "ANC") == 1.5
    assert lab_value(80, "µmol/L", "CREAT") == 80
    with pytest.raises(UnitError, match="U/L, IU/L, ukat/L"):
        lab_value(1, "nkat/L", "ALT")
    with pytest.raises(UnitError, match="no unit"):
        lab_value(1, "", "ALT")
    assert significant(3 * 0.1) == 0.3
    assert significant(0.0) == 0.0


@given(
    age=st.integers(18, 100), weight=st.floats(30, 200), creatinine=st.floats(20, 1500), sex=st.sampled_from(["M", "F"])
)
def test_clearance_falls_with_age_and_creatinine_and_rises_with_weight(age, weight, creatinine, sex):
    here = cockcroft_gault(age, weight, creatinine, sex=sex)
    assert here > 0
    assert cockcroft_gault(age + 1, weight, creatinine, sex=sex) < here
    assert cockcroft_gault(age, weight, creatinine * 1.01, sex=sex) < here
    assert cockcroft_gault(age, weight * 1.01, creatinine, sex=sex) > here


@pytest.mark.parametrize(
    ("test", "spelled", "unit"),
    [
        *(("WBC", text, "10^9/L") for text in ("10*9/L", "G/L", "x10^9/L", "X10E9/L", "10⁹/L", "×10⁹/l", "10**9/L",
                                               "10^9 / L", "Gpt/L", "/nL", "G/l", "10*9.L-1",
                                               "10^9·L⁻¹", "10(9)/L", "10x9/L")),
        *(("PLT", text, "10^3/uL") for text in ("10*3/uL", "x10^3/µL", "10³/mm³", "Tsd/µl", "thou/mcL", "Tsd./µl",
                                                "1000/µL", "10x3/uL")),
        ("CD4", "células/mm³", "/mm3"), ("CD4", "cel/µL", "cells/uL"), ("HGB", "g/100 mL", "g/dL"),
        ("ALT", "E/L", "U/L"), ("AST", "µkat/L", "ukat/L"),
        ("ANC", "cells/mm3", "/mm3"), ("CD4", "{cells}/uL", "cells/uL"), ("EOS", "K/µL", "K/uL"),
        ("HGB", "G/L", "g/L"), ("HGB", "g/dl", "g/dL"), ("CREAT", "mg/dl", "mg/dL"), ("CREAT", "µmol/l", "umol/L"),
        ("ALT", "UI/L", "IU/L"), ("AST", "[IU]/L", "IU/L"), ("ALP", "u/l", "U/L"), ("CRP", "MG/L", "mg/L"),
        ("EGFR", "mL/min/1.73 m²", "mL/min/1.73m2"), ("EGFR", "mL/min/{1.73_m2}", "mL/min/1.73m2"),
    ],
)  # fmt: skip
def test_spellings_of_units(test, spelled, unit):
    assert lab_unit(test, spelled) == unit
    assert lab_value(2.5, spelled, test) == lab_value(2.5, unit, test)


def test_katal_by_its_definition():
    """A unit of enzyme turns over a micromole a minute, a katal a mole a second."""
    assert lab_value(1.0, "ukat/L", "ALT") == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("test", "spelled"),
    [("WBC", "g/L"), ("WBC", "10^12/L"), ("WBC", "10^9/dL"), ("HGB", "10^9/L"), ("HGB", "mmol/L"), ("CREAT", "mmol/L"),
     ("EOS", "%"), ("PLT", "10^3/L"), ("TBIL", "mg/L"), ("ANC", "10^6/uL"), ("WBC", "100/uL"),
     ("ALT", "nkat/L"), ("WBC", "10000/uL")],
)  # fmt: skip
def test_another_unit_is_not_taken_for_a_spelling(test, spelled):
    assert lab_unit(test, spelled) == spelled
    with pytest.raises(UnitError, match="no unit"):
        lab_value(2.5, spelled, test)
