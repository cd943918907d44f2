"""Definitions from other sources: SLE, recurrence after two negatives; and how far definitions of one thing agree."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from immunoprofile.io.cmv_assay import Assay
from immunoprofile.schema import CMV_AGREEMENT_COLUMNS
from immunoprofile.virology import agreement, evaluate, rulebook
from tests.virology.made_up_study import BLOOD, ROCHE, Config, Series, dosed, judged, made_up

INSENSITIVE = Assay(name="old", unit="IU/mL", specimen="plasma", lloq=1500)
COPIES = Assay(name="kit", unit="copies/mL", specimen="plasma", lloq=400)
FACTOR = COPIES.model_copy(update={"iu_factor": 0.5, "iu_factor_source": "insert"})
NARROW = Assay(name="narrow", unit="IU/mL", specimen="plasma", lloq=50, uloq=900)


def sle(series: Series, assay: Assay = ROCHE, **subject: Any) -> pd.Series[Any]:
    study = made_up(series, **subject)
    study.cmv_dna["unit"], study.cmv_dna["specimen"] = assay.unit, assay.specimen
    own = replace(study, config=Config(assays={"R": assay}))
    return judged(own).loc["significant_sle"]


@pytest.mark.parametrize(
    ("series", "assay", "result"),
    [
        ([(0, "990"), (14, "990")], ROCHE, "FALSE"),
        ([(0, "1000"), (14, "TND")], ROCHE, "FALSE"),  # above, strictly
        ([(0, "990")], ROCHE, "NOT_EVALUABLE"),  # nothing after the baseline
        ([(0, "1,010")], ROCHE, "TRUE"),
        ([(0, "<137"), (14, "20,000")], ROCHE, "TRUE"),
        ([(0, "<137"), (14, "TND")], ROCHE, "FALSE"),
        ([(0, "> 9,100,000")], ROCHE, "TRUE"),
        ([(0, "<1500")], INSENSITIVE, "NOT_EVALUABLE"),  # may be above 1000
        ([(0, "TND"), (14, "2000")], INSENSITIVE, "TRUE"),
        ([(0, ">900")], NARROW, "NOT_EVALUABLE"),
        ([(0, "5000")], COPIES, "NOT_EVALUABLE"),  # no factor to IU
        ([(0, "2001")], FACTOR, "TRUE"),
        ([(0, "2000"), (14, "2000")], FACTOR, "FALSE"),
        ([(0, "50000")], BLOOD, "NOT_EVALUABLE"),  # whole blood is another quantity
        ([(0, "haemolysed")], ROCHE, "NOT_EVALUABLE"),
        ([], ROCHE, "NOT_EVALUABLE"),
    ],
)
def test_significant_infection_in_sle(series: Series, assay: Assay, result: str) -> None:
    assert sle(series, assay)["result"] == result


def test_significant_infection_has_its_date_without_a_first_ganciclovir() -> None:
    found = sle([(0, "500"), (7, "3000")], first_gcv_dtc=None)
    assert (found["result"], found["date"]) == ("TRUE", "2024-01-08")
    assert math.isnan(found["lower_day"])
    assert sle([(0, "500"), (7, "3000")])["upper_day"] == 7


def test_no_arms_are_compared_by_what_can_be_met_before_treatment() -> None:
    rules = rulebook().rules
    assert not rules["significant_sle"].compared
    assert all(rule.compared for name, rule in rules.items() if name != "significant_sle")


@pytest.mark.parametrize(
    ("series", "result", "days"),
    [
        ([(0, "5000"), (14, "TND"), (21, "TND"), (28, "<137")], "TRUE", (21, 28)),  # detected below the LLOQ counts
        ([(0, "5000"), (14, "TND"), (21, "TND"), (28, "TND"), (35, "900")], "TRUE", (28, 35)),
        ([(0, "5000"), (14, "TND"), (18, "TND"), (28, "900")], "NOT_EVALUABLE", None),  # 4 days apart
        ([(0, "5000"), (14, "TND"), (19, "TND"), (28, "900")], "TRUE", (19, 28)),
        ([(0, "5000"), (14, "TND"), (21, "<137"), (28, "900")], "NOT_EVALUABLE", None),
        ([(0, "5000"), (14, "<137"), (21, "<137"), (28, "900")], "NOT_EVALUABLE", None),  # virus was found
        ([(0, "5000"), (14, "TND"), (21, "TND")], "NOT_EVALUABLE", None),
        ([(0, "5000"), (14, "TND"), (21, "TND"), (28, "TND")], "FALSE", (28, math.inf)),
        ([(0, "TND"), (7, "TND"), (14, "TND"), (21, "900")], "NOT_EVALUABLE", None),  # no infection before
    ],
)
def test_recurrence_after_two_negatives(series: Series, result: str, days: tuple[float, float] | None) -> None:
    found = judged(made_up(series)).loc["recurrence_two_negatives"]
    assert found["result"] == result
    if days:
        assert (found["lower_day"], found["upper_day"]) == days


def test_the_two_recurrences_differ_where_their_sources_do() -> None:
    """A return 14 days after the second negative is early for the transplant definition of 28 days."""
    table = judged(made_up([(0, "5000"), (14, "TND"), (21, "TND"), (35, "900")]))
    assert table.loc[["recurrence", "recurrence_two_negatives"], "result"].tolist() == ["FALSE", "TRUE"]


TEXTS = st.sampled_from(["20000", "990", "1010", "137", "<137", "TND", ">9100000"])


@given(st.lists(TEXTS, min_size=1, max_size=7), st.data())
def test_taking_results_away_never_reverses_a_verdict(texts: list[str], data: st.DataObject) -> None:
    """Blanking: fewer results may leave it open; what they prove, they prove."""
    series = [(7 * k, text) for k, text in enumerate(texts)]
    whole = judged(made_up(series))["result"]
    kept = [one for one in series if data.draw(st.booleans())]
    less = judged(made_up(kept))["result"]
    if less["significant_sle"] == "TRUE":
        assert whole["significant_sle"] == "TRUE"
    if whole["significant_sle"] == "FALSE":
        assert less["significant_sle"] in ("FALSE", "NOT_EVALUABLE")
    assert {whole["recurrence_two_negatives"], less["recurrence_two_negatives"]} <= {"TRUE", "FALSE", "NOT_EVALUABLE"}


def test_reserved_definitions_have_no_verdict() -> None:
    book = rulebook()
    assert {"significant_2024", "refractory_2024", "recurrence_2024"} <= set(book.reserved)
    assert not set(book.reserved) & set(book.rules)


def verdicts(**rules: str) -> pd.DataFrame:
    """T true, F false, ? not evaluable: one letter a subject."""
    words = {"T": "TRUE", "F": "FALSE", "?": "NOT_EVALUABLE"}
    rows = [(f"S{k}", rule, words[letter]) for rule, text in rules.items() for k, letter in enumerate(text)]
    return pd.DataFrame(rows, columns=["usubjid", "rule_id", "result"])


def test_agreement_by_hand() -> None:
    table = agreement(verdicts(clearance_1="TTTF?", clearance_2="TFFFT", clearance_tnd="F????"))
    assert tuple(table.columns) == CMV_AGREEMENT_COLUMNS
    own = table[table["concept"] == "clearance"].set_index(["rule", "other_rule"])
    pair = own.loc[("clearance_2", "clearance_1")]
    assert pair[["both", "only_rule", "only_other", "neither", "n_not_evaluable"]].tolist() == [1, 0, 2, 1, 1]
    assert (pair["agree_pct"], pair["differ"]) == (50.0, "S1 S2")
    assert own.loc[("clearance_2", "clearance_tnd"), "agree_pct"] == 0.0
    nothing = table[table["concept"] == "return"]
    assert nothing["agree_pct"].isna().all()
    assert (nothing["n_not_evaluable"] == 5).all()


@given(st.lists(st.tuples(*[st.sampled_from("TF?")] * 2), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_every_subject_is_counted_once_and_order_does_not_matter(pairs: list[tuple[str, str]], random: Any) -> None:
    one, other = ("".join(letters) for letters in zip(*pairs, strict=True))
    rules = verdicts(vr_d14=one, clearance_1=other)
    table = agreement(rules)
    counts = table[["both", "only_rule", "only_other", "neither", "n_not_evaluable"]].sum(axis=1)
    assert (counts == len(pairs)).all()
    order = list(range(len(rules)))
    random.shuffle(order)
    pd.testing.assert_frame_equal(agreement(rules.iloc[order]), table)


def test_agreement_is_a_table_of_the_evaluation() -> None:
    study = made_up([(0, "10000"), (7, "12000"), (14, "800"), (21, "<137"), (28, "TND")])
    tables = evaluate(study, adequacy=dosed())
    pd.testing.assert_frame_equal(tables.agreement, agreement(tables.rules))
