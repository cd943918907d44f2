"""CMV-DNA on the logarithmic scale: declared, named in the text, or sent bare in a row that says IU/mL."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from immunoprofile.errors import StudyError, UnitError
from immunoprofile.io.cmv_assay import Assay
from immunoprofile.schema import cmv_unit
from immunoprofile.virology import ResultTextError, cmv_results, parse_result, rules
from tests.virology.made_up_study import GOLDEN, ROCHE, MadeUpStudy, Series, dosed, made_up

LOG = "log10 IU/mL"
SENSITIVE = Assay(name="digital PCR", unit="copies/mL", specimen="plasma", lod=1, lloq=2)


@pytest.mark.parametrize(
    "text", ["12400 (4.09 log)", "12,400 IU/mL (4.09 log10 IU/mL)", "12400 UI/mL (4,09 log)", "12400 (4.09)",
             "12400 IU/mL; log10 4.09", "log10: 4.09 (12,400 IU/mL)", "1.24E+04 [4.09 Log]", "12400 = 4.1 lg",
             "Positive, 12400 IU/mL", "positif 12400 U.I./mL", "12400 [IU]/mL"],
)  # fmt: skip
def test_a_number_with_its_logarithm(text: str) -> None:
    assert parse_result(text, ROCHE).value == 12400
    with_unit = [text] if "IU" in text or "U.I" in text or "UI" in text else []
    for named in with_unit:
        with pytest.raises(UnitError):
            parse_result(named, ROCHE.model_copy(update={"unit": "copies/mL"}))


@pytest.mark.parametrize(
    "text", ["12400 (3.09 log)", "12400 (5.1 log)", "<137 (2.14 log) > 2", "not detected (4.09 log)",
             "<137 (<3.14 log)", "12400 (<4.09 log)", "12400 (3.09)", "4.09 log (log)", "12400 log"],
)  # fmt: skip
def test_a_number_and_a_logarithm_that_disagree(text: str) -> None:
    with pytest.raises(ResultTextError):
        parse_result(text, ROCHE)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("<137 (<2.14 log)", "BLQ"), ("<137 IU/mL (<2.13 log IU/mL)", "BLQ"), ("Detected <137 IU/mL (log <2.1)", "BLQ"),
     ("not detected (<1.96 log)", "TND"), ("> 9,100,000 (>6.96 log)", "ALQ"), ("<LLOQ (<2.14 log10 IU/mL)", "BLQ")],
)  # fmt: skip
def test_limits_with_their_logarithm(text: str, kind: str) -> None:
    """Laboratories round (2.14) or cut off (2.13) the logarithm of 137."""
    assert parse_result(text, ROCHE).kind == kind


@pytest.mark.parametrize(
    "text", ["No CMV DNA detected", "CMV DNA not detected", "No CMV-DNA was detected", "no virus found", "Non détecté",
             "ADN CMV non détecté", "indétectable", "Négatif", "absence d'ADN de CMV", "aucun ADN CMV détecté",
             "inférieur au seuil de détection", "Nicht nachweisbar", "Keine CMV-DNA nachweisbar",
             "unter der Nachweisgrenze", "no detectado", "No se detecta", "por debajo del límite de detección",
             "Não detectado", "non rilevato", "niet aantoonbaar", "陰性"],
)  # fmt: skip
def test_not_detected_in_other_words(text: str) -> None:
    assert parse_result(text, ROCHE).kind == parse_result(text, ROCHE, unit=LOG).kind == "TND"


@pytest.mark.parametrize(
    "text", ["DNQ", "dnq (<137 UI/mL)", "Détecté, non quantifiable", "< seuil de quantification",
             "Inférieur à 137 UI/mL", "nicht quantifizierbar", "unter der Bestimmungsgrenze",
             "detectado, no cuantificable", "non quantificabile", "inferior al límite de cuantificación",
             "Not Quantified"],
)  # fmt: skip
def test_detected_below_the_limit_in_other_words(text: str) -> None:
    assert parse_result(text, ROCHE).kind == "BLQ"


@pytest.mark.parametrize("text", ["détecté", "nachweisbar", "positivo", "non", "nicht", "no", "pas"])
def test_words_alone_are_no_result(text: str) -> None:
    with pytest.raises(ResultTextError):
        parse_result(text, ROCHE)


@pytest.mark.parametrize("text", ["4.09", "4,09", "4.09 log", "4.09 log10 UI/mL", "Log10 4.09"])
def test_a_declared_logarithm_is_read(text: str) -> None:
    for unit in (LOG, "Log10 UI/ml", "log(IU/mL)"):
        assert parse_result(text, ROCHE, unit=unit).value == pytest.approx(10**4.09, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("<2.14", "BLQ"), ("<1.96", "TND"), (">6.96", "ALQ"), ("2.14", "QUANT"), ("2.13", "BLQ"), ("2.1", "QUANT"),
     ("6.96", "QUANT"), ("7.2", "ALQ"), ("<LLOQ", "BLQ"), ("not detected", "TND"), ("", "INVALID")],
)  # fmt: skip
def test_limits_of_declared_logarithms(text: str, kind: str) -> None:
    """2.1 may be 2.1367, the logarithm of the LLOQ of 137: a laboratory that quantifies it knows."""
    result = parse_result(text, ROCHE, unit=LOG)
    assert result.kind == kind
    assert math.isnan(result.value) or 137 <= result.value <= 9.1e6


@pytest.mark.parametrize("text", ["0", "0.00", "12400", "-2", "<2.5", "4.09 IU/mL", "12"])
def test_what_is_no_logarithm_of_a_viral_load(text: str) -> None:
    with pytest.raises(ResultTextError):
        parse_result(text, ROCHE, unit=LOG)


@given(st.floats(137, 9.1e6), st.integers(1, 6))
def test_rounding_a_logarithm_loses_no_more_than_its_last_place(value: float, decimals: int) -> None:
    text = f"{math.log10(value):.{decimals}f}"
    result = parse_result(text, ROCHE, unit=LOG)
    assert abs(math.log10(result.value) - math.log10(value)) <= 0.5 * 10**-decimals + 1e-12
    assert parse_result(f"{value:.6g} ({text} log)", ROCHE).kind == "QUANT"


@given(st.lists(st.one_of(st.integers(138, 9_000_000), st.sampled_from(["<137", "TND", ">9100000"])), min_size=1,
                max_size=8))  # fmt: skip
def test_verdicts_do_not_depend_on_the_scale(sent: list[int | str]) -> None:
    """The unit property: the same course in IU/mL and as declared logarithms."""
    logs = {"<137": "<2.1367", ">9100000": ">6.95904"}
    linear = made_up([(7 * k, str(one)) for k, one in enumerate(sent)])
    texts = [f"{math.log10(one):.14f}" if isinstance(one, int) else logs.get(one, one) for one in sent]
    other = made_up([(7 * k, text) for k, text in enumerate(texts)])
    other.cmv_dna["unit"] = LOG
    one, two = cmv_results(linear), cmv_results(other)
    numbers = ["value", "log10_value", "log10_lower", "log10_upper", "log10_drop", "lloq"]
    pd.testing.assert_frame_equal(one[numbers], two[numbers], rtol=1e-9)
    assert one["unit"].tolist() == two["unit"].tolist()
    verdicts = [rules(study, adequacy=dosed())["result"].tolist() for study in (linear, other)]
    assert verdicts[0] == verdicts[1]


def test_a_declared_logarithm_says_so_beside_its_unit() -> None:
    study = made_up([(0, "4.09"), (7, "<2.14"), (14, "3.5 log")])
    study.cmv_dna["unit"] = LOG
    assert cmv_results(study)["result_raw"].tolist() == ["4.09 log10 IU/mL", "<2.14 log10 IU/mL", "3.5 log"]


def told(series: Series, assay: Assay = ROCHE, others: Series = ()) -> list[int]:
    """Rows (from 0) that are a problem."""
    study = made_up([*series])
    study.config.assays["R"] = assay
    table = study.cmv_dna.assign(unit=assay.unit)
    more = made_up([*others]).cmv_dna.assign(usubjid="S2", unit=assay.unit)
    both = pd.concat([table, more], ignore_index=True)
    whole = MadeUpStudy(study.config, study.subjects, both, study.dosing, study.events)
    try:
        cmv_results(whole)
    except StudyError as error:
        return [int(problem.row or 0) for problem in error.problems]
    return []


LINEAR = [(0, "12,400"), (7, "3,100"), (14, "880"), (21, "<137")]


@pytest.mark.parametrize(
    ("series", "rows"),
    [
        ([(0, "4.09"), (7, "3.49"), (14, "5.31")], [0, 1, 2]),
        ([(0, "4"), (7, "3"), (14, "TND")], [0, 1]),  # a spreadsheet drops the zeros of 4.00
        ([(0, "12400"), (7, "3.49"), (14, "4"), (21, "98")], [1, 2]),  # the scale changes between two rows
        ([(0, "12400"), (7, "98"), (14, "4")], []),  # honest low numbers
        ([(0, "12400"), (7, "3100"), (14, "4")], [2]),  # 10,000 or below the LLOQ: nobody can tell
        ([(0, "12400"), (7, "3100"), (14, "<137"), (21, "4 IU/mL")], []),  # says what it is
        ([(0, "98.5"), (7, "<137"), (14, "TND")], []),
        ([(0, "12400"), (7, "12,400 (4.09 log)")], []),
    ],
)
def test_bare_logarithms_of_one_subject(series: Series, rows: list[int]) -> None:
    assert told(series, others=LINEAR) == rows


def test_a_whole_number_below_ten_is_judged_by_the_assay() -> None:
    """A number between 10 and the LLOQ in another subject shows that the laboratory sends such ones."""
    sent: Series = [(0, "12400"), (7, "4")]
    assert told(sent, others=LINEAR) == [1]
    assert told(sent, others=[*LINEAR, (28, "45")]) == []
    assert told([(0, "2000"), (7, "4")], SENSITIVE) == []  # quantified from 10 or less on


def test_an_assay_whose_values_all_lie_below_ten() -> None:
    assert told([(0, "4.09"), (7, "3")], SENSITIVE, others=[(0, "5.2")]) == [0, 1, 2]
    assert told([(0, "4.09 copies/mL"), (7, "3 copies/mL")], SENSITIVE) == []  # the way out for honest ones
    assert told([(0, "2000"), (7, "4.5"), (14, "TND")], SENSITIVE) == [1]  # over 2 log10 in a week
    assert told([(0, "200"), (7, "4.5"), (14, "TND")], SENSITIVE) == []


@given(st.permutations(range(4)))
def test_the_order_of_rows_changes_nothing(order: list[int]) -> None:
    sent = [(0, "12400"), (7, "3.49"), (14, "880"), (21, "4")]
    assert sorted(order[row] for row in told([sent[k] for k in order])) == [1, 3]


def test_limits_of_an_assay_as_logarithms() -> None:
    assay = Assay.model_validate(ROCHE.model_dump() | {"unit": "Log10 UI/ml", "lod": 1.96, "lloq": 2.14, "uloq": 6.96})
    assert (assay.unit, round(assay.lloq), round(assay.lod or 0)) == ("IU/mL", 138, 91)
    assert parse_result("<2.14", assay, unit=LOG).kind == "BLQ"
    for wrong in ({"unit": "IU/mL", "lod": 1.96, "lloq": 2.14, "uloq": 6.96}, {"unit": LOG, "lloq": 137}):
        with pytest.raises(ValidationError, match="logarithm"):
            Assay.model_validate(ROCHE.model_dump() | wrong)


def test_limits_on_a_report_of_logarithms() -> None:
    study = made_up([(0, "4.09")])
    study.cmv_dna[["unit", "lloq"]] = [LOG, 2.14]
    assert cmv_results(study)["kind"].tolist() == ["QUANT"]
    study.cmv_dna["lloq"] = 2.3
    with pytest.raises(StudyError, match="contradicts the lloq"):
        cmv_results(study)


def test_golden_series_in_logarithms() -> None:
    texts = {"10000": "4.00", "12000": "4.08", "800": "2.90", "<137": "<2.14", "TND": "TND"}
    study = made_up([(day, texts[text]) for day, text in GOLDEN])
    study = replace(study, cmv_dna=study.cmv_dna.assign(unit=LOG))
    drops = cmv_results(study)["log10_drop"]
    assert drops.iloc[2] == pytest.approx(1.10)


@pytest.mark.parametrize(
    ("text", "unit"),
    [("UI/mL", "IU/mL"), ("IU/ml", "IU/mL"), ("[iU]/mL", "IU/mL"), ("U.I./mL", "IU/mL"), ("cp/mL", "copies/mL"),
     ("{copies}/mL", "copies/mL"), ("copias/mL", "copies/mL"), ("Copies per mL", "copies/mL"),
     ("lg IU/mL", LOG), ("log10(copies/mL)", "log10 copies/mL"), ("Log UI/ml", LOG),
     ("IU/mL (log10)", LOG), ("UI/ml log10", LOG), ("log10[IU/mL]", LOG), ("IU·mL-1", "IU/mL"), ("МЕ/мл", "IU/mL"),
     ("kopii/ml", "copies/mL"), ("копий/мл", "copies/mL"), ("10^3 IU/mL", "10^3 IU/mL"), ("U/mL", "U/mL"),
     ("geq/mL", "geq/mL"),
     ("IU/L", "IU/L"), ("", "")],
)  # fmt: skip
def test_spellings_of_units(text: str, unit: str) -> None:
    assert cmv_unit(text) == unit


@pytest.mark.parametrize("text", ["absence " + "de" * 8000, "log" * 5000, "4.09 " * 3000])
def test_a_text_of_pages_is_refused_at_once(text: str) -> None:
    for read in (parse_result, lambda one, assay: parse_result(one, assay, unit=LOG)):
        with pytest.raises(ResultTextError, match=r"is no result: .* characters"):
            read(text, ROCHE)
