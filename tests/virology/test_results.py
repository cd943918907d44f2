"""Reading CMV-DNA results; limits of the assay: LOD 91, LLOQ 137, ULOQ 9.1 million IU/mL (Roche CAP/CTM)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from immunoprofile.errors import AnalysisError, Problems, StudyError, UnitError
from immunoprofile.io.cmv_assay import Assay
from immunoprofile.schema import VIROLOGY_COLUMNS
from immunoprofile.virology import (
    ResultTextError,
    analytical_noise,
    cmv_results,
    drop_text,
    known_assays,
    parse_result,
    reference_change_log10,
    significant_change_log10,
    to_copies,
    to_iu,
)

ROCHE = Assay(name="CAP/CTM", unit="IU/mL", specimen="plasma", lod=91, lloq=137, uloq=9.1e6)
BLOOD = Assay(name="in-house", unit="copies/mL", specimen="whole_blood", lloq=500)


@pytest.mark.parametrize(
    "text",
    ["12,400 IU/mL", "12400", "12400.0", "1.24E+04", "1.24e4", "1.24×10^4", "1.24x10⁴", "1.24*10^4 iu/ml",
     "１２，４００", "12，400", "12\u00a0400", "12\u2009400", "1.24 E+04", "HCMV DNA 阳性 12400",
     "12 400", "12'400", "Detected 12,400", "阳性 12400", " 12400 IU / mL "],
)  # fmt: skip
def test_numbers(text: str) -> None:
    result = parse_result(text, ROCHE)
    assert (result.kind, result.value) == ("QUANT", 12400.0)
    assert result.log10_lower == result.log10_upper == pytest.approx(math.log10(12400))


@pytest.mark.parametrize("text", ["10^3", "10³ IU/mL", "1E+03", "1,000", "1×10^3"])
def test_powers_of_ten(text: str) -> None:
    assert parse_result(text, ROCHE).value == 1000


@pytest.mark.parametrize(
    "text", ["<137", "＜137", "≤137", "<=137", "< 137 IU/mL", "<1.37E+02", "detected <LLOQ", "Detected, <137 IU/mL",
             "BLQ", "below LLOQ", "低于定量下限", "120", "detected, not quantifiable", "<LLOQ (137)", "小于137",
             "低于 137", "＜１３７ ＩＵ／ｍＬ", "≦137", "under 137 IU/mL", "定量下限以下",
             "Detected below quantification limit", "påvist, <137", "poniżej 137", "менее 137", "обнаружено, <137",
             "mindre än 137"],
)  # fmt: skip
def test_detected_below_the_limit(text: str) -> None:
    assert parse_result(text, ROCHE).kind == "BLQ"


@pytest.mark.parametrize(
    "text", ["not detected", "Target Not Detected", "negative", "NEG", "ND", "TND", "<LOD", "<91", "阴性", "未检出",
             "阴性(-)", "Not detected (<137)", "低于检测下限", "undetectable", "未检测到", "未检测出", "检测下限以下",
             "＜９１", "HCMV DNA 阴性", "< LOD (91)", "not detected, LOD 91", "ＴＮＤ", "小于检出限", "ikke påvist",
             "ej påvisad",
             "ei todettu", "nie wykryto DNA CMV", "wynik ujemny", "neprokázáno", "nem kimutatható", "saptanmadı",
             "αρνητικό", "δεν ανιχνεύθηκε", "не обнаружено", "ДНК ЦМВ не обнаружена", "отрицательный", "음성",
             "검출되지 않음",
             "検出されず", "Kein Nachweis von CMV-DNA", "n.n.", "N.D.", "ADN viral indétectable"],
)  # fmt: skip
def test_not_detected(text: str) -> None:
    assert parse_result(text, ROCHE).kind == "TND"


@pytest.mark.parametrize(
    "text", ["> 9,100,000", "＞9100000", ">9.1E+06 IU/mL", ">ULOQ", "9200000", "≥9,100,000", "大于9100000"]
)
def test_above_the_range(text: str) -> None:
    result = parse_result(text, ROCHE)
    assert result.kind == "ALQ"
    assert result.log10_lower == pytest.approx(math.log10(9.1e6))
    assert math.isnan(result.log10_upper)


@pytest.mark.parametrize("text", ["haemolysed", "hemolyzed", "inhibited", "invalid", "溶血", "", "insufficient sample"])
def test_no_result(text: str) -> None:
    result = parse_result(text, ROCHE)
    assert result.kind == "INVALID"
    assert not result.valid


@pytest.mark.parametrize(
    "text", ["<100", "<138", ">1000", "0", "0 IU/mL", "4.09 log10 IU/mL", "1,24", "12.400", "1,240,00", "500 1000",
             "negative 500", "-500", "阳性", "弱阳性", "detected", "<", "1.5万", "about 500", "10^3.5", "10E3", "-",
             "+", "<LLOQ (50)", "<LOD (137)", ">ULOQ (1000)", "not detected (LLOQ 50)", "LLOQ 50", "137 LLOQ",
             "negative >ULOQ"],
)  # fmt: skip
def test_what_needs_a_person(text: str) -> None:
    with pytest.raises(ResultTextError):
        parse_result(text, ROCHE)


def test_units_are_never_mixed() -> None:
    with pytest.raises(UnitError, match="never mixed"):
        parse_result("500 copies/mL", ROCHE)
    with pytest.raises(UnitError, match="never mixed"):
        parse_result("500", ROCHE, unit="copies/mL")
    with pytest.raises(UnitError, match="factor"):
        to_iu(500, BLOOD)
    assert to_iu(500, BLOOD.model_copy(update={"iu_factor": 0.64})) == 320


@pytest.mark.parametrize("text", ["500 geq/mL", "500 IU/L", "500 copies/10^6 cells", "500 拷贝/反应"])
def test_an_unknown_unit_is_named(text: str) -> None:
    with pytest.raises(UnitError, match=r"not known -> ask the laboratory for IU/mL"):
        parse_result(text, ROCHE)


def test_chinese_unit_of_an_assay_in_copies() -> None:
    assert parse_result("1.5×10^4 拷贝/毫升", BLOOD).value == 15000
    assert parse_result("1.5E4 cps/ml", BLOOD).value == 15000


@given(st.floats(1e-3, 1e9), st.floats(0.01, 10))
def test_conversion_goes_there_and_back(value: float, factor: float) -> None:
    assay = Assay(name="A", unit="IU/mL", specimen="plasma", lloq=137, iu_factor=factor, iu_factor_source="own")
    assert to_copies(to_iu(value, assay), assay) == pytest.approx(value, rel=1e-12)
    assert to_iu(to_copies(value, assay), assay) == pytest.approx(value, rel=1e-12)
    with pytest.raises(UnitError, match="factor"):
        to_copies(value, ROCHE)


def test_limit_of_detection_as_a_sensitivity_analysis() -> None:
    """BLQ and TND are censored at the LLOQ; at the LOD only when asked, and only what was not detected."""
    limits = {text: parse_result(text, ROCHE, censoring="lod").log10_upper for text in ("TND", "<91", "<137", "100")}
    assert limits == {"TND": math.log10(91), "<91": math.log10(91), "<137": math.log10(137), "100": math.log10(137)}
    assert parse_result("TND", ROCHE).log10_upper == math.log10(137)
    assert parse_result("ND", BLOOD, censoring="lod").log10_upper == math.log10(500)  # this assay has no LOD


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lod": 200}, "lod 200 is above lloq 137"),
        ({"uloq": 137}, "uloq 137 is not above lloq 137"),
        ({"iu_factor": 0.8}, "needs iu_factor_source"),
        ({"valid_from": "2024-13-01"}, "is not a full ISO date"),
        ({"valid_from": "20240101"}, "is not a full ISO date"),
        ({"unit": "geq/mL"}, "unit 'geq/mL' is not one of"),
        ({"specimen": "urine"}, "specimen 'urine' is not one of"),
        ({"lloq": 0}, "greater than 0"),
        ({"lloq": math.inf}, "finite"),
    ],
)
def test_an_assay_that_contradicts_itself_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Assay.model_validate(ROCHE.model_dump() | change)


def test_known_assays() -> None:
    roche = known_assays()["roche_cap_ctm"]
    assert (roche.lod, roche.lloq, roche.uloq, roche.unit, roche.specimen) == (91, 137, 9.1e6, "IU/mL", "plasma")
    assert roche.iu_factor is None


def test_limits_of_the_numbers() -> None:
    assert parse_result("136.9", ROCHE).kind == "BLQ"
    assert parse_result("137", ROCHE).kind == "QUANT"
    assert parse_result("9100000", ROCHE).kind == "QUANT"
    with pytest.raises(ResultTextError, match="upper limit"):
        parse_result(">1000", BLOOD)


@given(
    st.sampled_from(["not detected", "阴性", "<91", "<137", "TND", "<LLOQ", "100"]),
    st.sampled_from(["", " ", "\u3000"]),
)
def test_below_the_limit_never_yields_a_number(text: str, blank: str) -> None:
    result = parse_result(f"{blank}{text}{blank}", ROCHE)
    assert math.isnan(result.value)
    assert math.isnan(result.log10_value)
    assert math.isnan(result.log10_lower)
    assert result.log10_upper == math.log10(137)


@given(st.integers(137, 9_100_000), st.sampled_from(["{:d}", "{:,d}", "{:d} IU/mL", "{:.7E}", "{:d}.0"]))
def test_numbers_come_back(value: int, form: str) -> None:
    assert parse_result(form.format(value), ROCHE).value == value


pieces = st.sampled_from(
    "<|>|≤|137|91|500|1.5|E+04|e5|10^3|,| |x|-|(|)|9100000|0|²|IU/mL|copies/mL|not detected|detected|LLOQ|LOD|ULOQ|"
    "log10|阴性|未检出|低于|检测下限".split("|")
)


@given(st.one_of(st.text(max_size=30), st.lists(pieces, max_size=6).map("".join)))
@settings(max_examples=400)
def test_any_text_is_a_result_or_a_named_error(text: str) -> None:
    for assay in (ROCHE, BLOOD):
        try:
            result = parse_result(text, assay)
        except (ResultTextError, UnitError) as error:
            assert error.where == assay.name
            continue
        assert (result.kind == "QUANT") == math.isfinite(result.value) == math.isfinite(result.log10_value)
        if result.kind == "QUANT":
            assert result.value >= assay.lloq


@pytest.mark.parametrize("text", ["1e999", "9" * 400, "1e" + "9" * 5000])
def test_a_number_beyond_measure(text: str) -> None:
    with pytest.raises(ResultTextError, match="larger than any viral load"):
        parse_result(text, BLOOD)


@dataclass
class FakeConfig:
    assays: dict[str, Assay]


@dataclass
class FakeStudy:
    config: FakeConfig
    subjects: pd.DataFrame
    cmv_dna: pd.DataFrame


def study(*results: tuple[str, str], assay: str = "R", dose: str = "2024-01-01T09:00", **changes: object) -> FakeStudy:
    """One subject; results as (date, text)."""
    table = pd.DataFrame(
        [("S1", f"V{number}", date, text, "IU/mL", assay, "plasma") for number, (date, text) in enumerate(results)],
        columns=["usubjid", "visit", "collected_dtc", "result_raw", "unit", "assay_id", "specimen"],
    )
    subjects = pd.DataFrame({"usubjid": ["S1"], "first_gcv_dtc": [dose], "first_dose_dtc": [dose]})
    for column, value in changes.items():
        table[column] = value
    return FakeStudy(FakeConfig({"R": ROCHE, "B": BLOOD}), subjects, table)


GOLDEN = (("2024-01-01T08:00", "10,000"), ("2024-01-08", "12000"), ("2024-01-15", "800"), ("2024-01-22", "<137"),
          ("2024-01-29", "TND"))  # fmt: skip


def test_golden_series() -> None:
    table = cmv_results(study(*GOLDEN))
    assert tuple(table.columns[: len(VIROLOGY_COLUMNS)]) == VIROLOGY_COLUMNS
    assert table["virology_day"].tolist() == [0, 7, 14, 21, 28]
    assert table["kind"].tolist() == ["QUANT", "QUANT", "QUANT", "BLQ", "TND"]
    assert table["is_baseline"].tolist() == [True, False, False, False, False]
    assert table["log10_drop"].iloc[2] == pytest.approx(1.097, abs=5e-4)
    assert table["log10_drop"].isna().tolist() == [False, False, False, True, True]
    assert table["log10_drop_lower"].iloc[3] == pytest.approx(4 - math.log10(137))
    assert table["log10_drop_upper"].iloc[3:].isna().all()
    assert table["flags"].tolist() == ["", "", "", "CMV_BLQ", "CMV_TND"]


def test_variant_with_a_smaller_fall() -> None:
    rows = list(GOLDEN)
    rows[2] = ("2024-01-15", "1500")
    assert cmv_results(study(*rows))["log10_drop"].iloc[2] == pytest.approx(0.824, abs=5e-4)


def test_a_bound_is_not_a_point() -> None:
    row = cmv_results(study(("2024-01-01T08:00", "10^3"), ("2024-01-15", "<137"))).iloc[1]
    assert math.isnan(row["log10_drop"])
    assert row["log10_drop_lower"] == pytest.approx(0.863, abs=5e-4)
    assert drop_text(row["log10_drop"], row["log10_drop_lower"], row["log10_drop_upper"]) == "≥0.86"


def test_baseline_below_the_limit_gives_an_upper_bound() -> None:
    row = cmv_results(study(("2024-01-01T08:00", "<137"), ("2024-01-15", "1370"))).iloc[1]
    assert (math.isnan(row["log10_drop_lower"]), row["log10_drop_upper"]) == (True, pytest.approx(-1))


@pytest.mark.parametrize(
    ("dates", "baseline"),
    [
        (("2023-12-28", "2024-01-01T08:59"), 1),  # the last one before the dose
        (("2023-12-28", "2024-01-01T09:01"), 0),  # after the dose of that day
        (("2023-12-28", "2024-01-01"), 1),  # no time of day: the day of the dose counts as before
        (("2023-12-25", "2024-01-02"), 0),  # 7 days before
        (("2023-12-24", "2024-01-02"), None),  # 8 days before
    ],
)
def test_baseline_rule(dates: tuple[str, str], baseline: int | None) -> None:
    table = cmv_results(study((dates[0], "5000"), (dates[1], "6000")))
    assert table.index[table["is_baseline"]].tolist() == ([] if baseline is None else [baseline])


def test_an_invalid_result_is_no_baseline() -> None:
    table = cmv_results(study(("2023-12-30", "5000"), ("2024-01-01T08:00", "haemolysed"), ("2024-01-15", "500")))
    assert table["is_baseline"].tolist() == [True, False, False]
    assert table["log10_drop"].iloc[2] == pytest.approx(1)


def test_no_fall_across_a_change_of_assay() -> None:
    one = study(("2024-01-01T08:00", "10000"), ("2024-01-08", "1000"), ("2024-01-15", "1000"), ("2024-01-22", "1000"))
    one.cmv_dna.loc[1, ["unit", "assay_id", "specimen"]] = ["copies/mL", "B", "whole_blood"]
    table = cmv_results(one)
    assert table["flags"].tolist() == ["", "ASSAY_CHANGED", "ASSAY_CHANGED", ""]
    assert table["log10_drop"].isna().tolist() == [False, True, False, False]
    assert table["unit"].tolist() == ["IU/mL", "copies/mL", "IU/mL", "IU/mL"]


def test_all_problems_at_once() -> None:
    bad = study(("2024-01-01", "<100"), ("2024-01-08", "5000"), ("2024-01-15", "700"), ("2024-01-22", "800"))
    bad.cmv_dna["unit"] = ["IU/mL", "copies/mL", "IU/mL", "IU/mL"]
    bad.cmv_dna["assay_id"] = ["R", "R", "X", "R"]
    bad.cmv_dna["specimen"] = ["plasma", "plasma", "plasma", "whole_blood"]
    with pytest.raises(StudyError) as caught:
        bad.cmv_dna.index = range(1, 5)  # rows are counted as read_study does
        cmv_results(bad)
    assert [problem.row for problem in caught.value.problems] == [1, 2, 3, 4]
    problems = Problems()
    table = cmv_results(bad, problems=problems)
    assert len(problems) == 4
    assert set(table["kind"]) == {"INVALID"}
    assert table["value"].isna().all()


def test_dates_that_cannot_be() -> None:
    bad = study(*GOLDEN)
    bad.cmv_dna.index = range(1, 6)
    assert len(cmv_results(bad, as_of="2024-01-29")) == 5  # the day of the cut is not after it
    with pytest.raises(StudyError) as caught:
        cmv_results(bad, as_of="2024-01-28")
    (problem,) = caught.value.problems
    assert (problem.row, problem.column, problem.what) == (5, "collected_dtc", "collected after the data cut")
    assert "2024-01-28" in problem.allowed
    bad.subjects["death_dtc"] = "2024-01-21T05:00"
    problems = Problems()
    table = cmv_results(bad, as_of="2024-01-28", problems=problems)
    assert [(problem.row, problem.what) for problem in problems.found] == [
        (4, "collected after the death of the subject"),
        (5, "collected after the data cut"),
        (5, "collected after the death of the subject"),
    ]
    assert len(table) == 5
    assert table["kind"].tolist() == ["QUANT", "QUANT", "QUANT", "INVALID", "INVALID"]
    assert table["result_raw"].tolist() == [text for _, text in GOLDEN]  # nothing is lost


def test_limits_in_the_table_and_dates_of_the_assay() -> None:
    bad = study(*GOLDEN, lloq=[137.0, 200.0, math.nan, 137.0, 137.0])
    bad.config.assays["R"] = ROCHE.model_copy(update={"valid_from": "2024-01-08"})
    problems = Problems()
    cmv_results(bad, problems=problems)
    assert [(problem.row, problem.column) for problem in problems.found] == [(0, "collected_dtc"), (1, "lloq")]
    assert problems.found[1].allowed.startswith("137; correct the cell, or register the assay")
    for column, value, allowed in (("lod", 91.0, None), ("lod", 92.0, "91;"), ("uloq", 1e6, "9.1e+06;")):
        stated = Problems()
        table = cmv_results(study(*GOLDEN, **{column: value}), problems=stated)
        assert {(one.column, one.allowed.split()[0]) for one in stated.found} == (
            {(column, allowed)} if allowed else set()
        )
        assert set(table["kind"]) == ({"INVALID"} if allowed else {"QUANT", "BLQ", "TND"})
        assert table["result_raw"].tolist() == [text for _, text in GOLDEN]


def test_order_of_the_rows_changes_nothing() -> None:
    one = study(*GOLDEN)
    other = study(*GOLDEN)
    other.cmv_dna = other.cmv_dna.iloc[[3, 0, 4, 2, 1]].reset_index(drop=True)
    pd.testing.assert_frame_equal(cmv_results(one), cmv_results(other))


def test_no_results() -> None:
    empty = study(*GOLDEN)
    empty.cmv_dna = empty.cmv_dna.iloc[:0]
    assert cmv_results(empty).empty


@pytest.mark.parametrize(
    ("bounds", "text"),
    [((1.097, 1.097, 1.097), "1.10"), ((math.nan, 0.8633, math.nan), "≥0.86"), ((math.nan, math.nan, 1.201), "≤1.21"),
     ((math.nan, 0.4, 0.9), "0.40 to 0.90"), ((math.nan, math.nan, math.nan), "")],
)  # fmt: skip
def test_text_claims_no_more_than_was_measured(bounds: tuple[float, float, float], text: str) -> None:
    assert drop_text(*bounds) == text


def test_golden_reference_changes() -> None:
    """1.96 sqrt(2) SD is 1.9-, 2.3- and 2.8-fold; 0.5 log10 is above all of them."""
    assert analytical_noise() == ((5.4, 0.10), (3.7, 0.13), (2.5, 0.16))
    changes = [reference_change_log10(sd) for _, sd in analytical_noise()]
    # 1.96 x 1.4142136 = 2.7718586
    assert changes == pytest.approx([0.277186, 0.360341, 0.443497], abs=1e-6)
    assert [round(10**change, 1) for change in changes] == [1.9, 2.3, 2.8]
    assert max(changes) < significant_change_log10() == 0.5
    for wrong in (-0.1, math.nan, math.inf):
        with pytest.raises(AnalysisError, match="standard deviation"):
            reference_change_log10(wrong)
