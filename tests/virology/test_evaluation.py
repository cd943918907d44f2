"""Times to clearance, columns of the visits, and what must always hold of a whole evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immunoprofile.errors import Problems, StudyError
from immunoprofile.schema import CMV_CLEARANCE_COLUMNS, CMV_KINETICS, CMV_RULE_COLUMNS, CMV_VISIT_OBS
from immunoprofile.virology import evaluate, time_to_clearance
from immunoprofile.virology.rulebook import rulebook
from tests.virology.made_up_study import (
    GOLDEN,
    Config,
    MadeUpStudy,
    Series,
    antiviral,
    day_text,
    dosed,
    event,
    judged,
    made_up,
)


def times(study: MadeUpStudy) -> pd.DataFrame:
    return time_to_clearance(study).set_index("rule_id")


def test_golden_interval() -> None:
    table = time_to_clearance(made_up(GOLDEN))
    assert tuple(table.columns) == CMV_CLEARANCE_COLUMNS
    row = table.set_index("rule_id").loc["clearance_2"]
    assert (row["lower_day"], row["upper_day"], row["observed"], row["competing"]) == (14, 21, True, "")
    variant = times(made_up([*GOLDEN[:4], (28, "200")])).loc["clearance_2"]
    assert (variant["lower_day"], variant["upper_day"], variant["observed"]) == (28, math.inf, False)


def test_an_unconfirmed_result_does_not_extend_the_time_at_risk() -> None:
    row = times(made_up(GOLDEN[:4])).loc["clearance_2"]
    assert (row["lower_day"], row["upper_day"]) == (14, math.inf)
    assert times(made_up(GOLDEN[:4])).loc["clearance_1", ["lower_day", "upper_day"]].tolist() == [14, 21]


@pytest.mark.parametrize(
    ("day", "observed", "competing", "lower"),
    [(20, False, "RESCUE", 14), (27, False, "RESCUE", 14), (28, True, "", 14), (40, True, "", 14)],
)
def test_rescue_ends_the_time_at_risk(day: int, observed: bool, competing: str, lower: float) -> None:
    study = made_up(GOLDEN)
    study.events = event("RESCUE", day)
    row = times(study).loc["clearance_2"]
    assert (row["observed"], row["competing"], row["lower_day"]) == (observed, competing, lower)
    assert math.isnan(row["competing_day"]) if observed else row["competing_day"] == day


def test_death_competes_and_a_censored_event_does_not() -> None:
    study = made_up(GOLDEN[:3], death_dtc=day_text(18))
    assert times(study).loc["clearance_2", ["competing", "competing_day"]].tolist() == ["DEATH", 18]
    censored = made_up(GOLDEN[:3])
    censored.events = event("DEATH", 60, censored=True)
    assert times(censored).loc["clearance_2", "competing"] == ""


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        ([(0, "TND"), (7, "TND"), (14, "TND")], "nothing to clear"),
        ([], "no valid dated result"),
        ([(-3, "5000"), (0, "TND"), (7, "TND")], "already"),
    ],
)
def test_who_cannot_enter(series: Series, reason: str) -> None:
    study = made_up(series)
    study.cmv_dna.loc[study.cmv_dna["visit"] == "d0", "collected_dtc"] = day_text(0, "T18:00")
    row = times(study).loc["clearance_2"]
    assert math.isnan(row["lower_day"]) and math.isnan(row["upper_day"])
    assert reason in row["reason"]


def test_all_tables() -> None:
    study = made_up(GOLDEN)
    found = evaluate(study, adequacy=dosed(), as_of="2024-02-01")
    assert tuple(found.rules.columns) == CMV_RULE_COLUMNS
    assert tuple(found.kinetics.columns) == tuple(CMV_KINETICS)
    assert tuple(found.visits.columns) == ("usubjid", "visit", *CMV_VISIT_OBS)
    assert found.visits["cmv_clearance"].tolist() == ["NOT_CLEARED"] * 3 + ["BELOW_LLOQ", "CLEARED"]
    assert found.visits["cmv_status"].tolist() == ["NOT_EVALUABLE"] * 2 + ["RESPONDING"] * 2 + ["CLEARED"]
    assert found.visits["cmv_flags"].tolist() == ["", "", "", "CMV_BLQ", "CMV_TND"]
    assert "clinician" in found.caveat
    assert "clearance_2" not in found.visits["cmv_rules_true"].iloc[3].split()  # day 21 does not know day 28


def test_a_visit_knows_nothing_of_later_ones() -> None:
    series = [*GOLDEN, (35, "500"), (42, "900"), (49, "TND"), (56, "TND")]
    whole = evaluate(made_up(series), adequacy=dosed()).visits
    for number in range(1, len(series)):
        until = evaluate(made_up(series[:number]), adequacy=dosed()).visits
        pd.testing.assert_frame_equal(until, whole.iloc[:number])
    assert whole["cmv_clearance"].tolist()[4:] == ["CLEARED", "RETURNED", "RETURNED", "BELOW_LLOQ", "CLEARED"]


def test_status_of_a_refractory_course() -> None:
    found = evaluate(made_up([(0, "10000"), (7, "12000"), (14, "30000"), (21, "500000")]), adequacy=dosed())
    assert found.visits["cmv_status"].tolist()[2:] == ["PROBABLE_REFRACTORY", "REFRACTORY"]
    failed = evaluate(made_up([(0, "10000"), (7, "12000"), (14, "5000")]), adequacy=dosed())
    assert failed.visits["cmv_status"].iloc[2] == "FAILURE"
    assert evaluate(made_up([(0, "10000"), (14, "5000")])).visits["cmv_status"].iloc[1] == "NOT_RESPONDING"


def test_every_blip_is_flagged_where_it_is() -> None:
    series = [(0, "10000"), (7, "TND"), (14, "200"), (21, "TND"), (28, "<137"), (35, "TND")]
    found = evaluate(made_up(series))
    assert found.results["flags"].tolist() == ["", "CMV_TND", "BLIP", "CMV_TND", "CMV_BLQ BLIP", "CMV_TND"]
    assert found.rules.set_index("rule_id").loc["blip", "date"] == day_text(14, "")
    assert found.visits.loc[4, "cmv_flags"] == "CMV_BLQ BLIP"


def test_what_cannot_be_used_is_kept_and_named() -> None:
    study = made_up([*GOLDEN[:3], (21, "<100"), (28, "TND")])
    with pytest.raises(StudyError, match="neither the LLOQ"):
        evaluate(study)
    problems = Problems()
    found = evaluate(study, problems=problems)
    assert len(problems) == 1
    assert len(found.results) == 5
    assert "1 invalid" in found.rules.set_index("rule_id").loc["clearance_2", "reason"]


texts = st.sampled_from(["50000", "12000", "1000", "200", "137", "<137", "TND", "> 9,100,000", "haemolysed"])
series_of = st.lists(st.tuples(st.integers(-3, 70), texts), max_size=9, unique_by=lambda point: point[0])


@given(series_of, st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_the_order_of_the_rows_changes_nothing(series: list[tuple[int, str]], chance: object) -> None:
    study = made_up(series)
    order = list(range(len(series)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    other = study.with_results(study.cmv_dna.iloc[order].reset_index(drop=True))
    one, again = evaluate(study, adequacy=dosed()), evaluate(other, adequacy=dosed())
    for name in ("results", "rules", "kinetics", "clearance", "visits"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(again, name))


@given(series_of, st.lists(st.tuples(st.integers(0, 40), texts), min_size=1, max_size=5))
@settings(max_examples=50)
def test_results_after_clearance_never_move_it_earlier(
    series: list[tuple[int, str]], more: list[tuple[int, str]]
) -> None:
    before = times(made_up(sorted(series)))
    for name, row in before.iterrows():
        if not row["observed"]:
            continue
        held = {day for day, _ in series}
        first = int(row["upper_day"])
        added = {first + 1 + day: text for day, text in more if first + 1 + day not in held}
        after = times(made_up(sorted([*series, *added.items()]))).loc[name]
        assert after["upper_day"] >= row["upper_day"]
        assert after["lower_day"] >= row["lower_day"]


@given(series_of)
@settings(max_examples=40)
def test_intervals_are_intervals(series: list[tuple[int, str]]) -> None:
    table = times(made_up(series))
    known = table[table["lower_day"].notna()]
    assert (known["lower_day"] >= 0).all()
    assert (known["lower_day"] < known["upper_day"]).all()
    assert (known["observed"] == (known["upper_day"] < math.inf)).all()
    assert (table["reason"] != "").all()


@given(series_of)
@settings(max_examples=40)
def test_what_is_not_detected_never_yields_a_number(series: list[tuple[int, str]]) -> None:
    found = evaluate(made_up(series))
    below = found.results[found.results["kind"].isin(["BLQ", "TND"])]
    assert below[["value", "log10_value", "log10_lower"]].isna().all(axis=None)
    one = found.kinetics.iloc[0]
    for day in (7, 14, 28):
        assert math.isnan(one[f"d{day}_log10"]) == (one[f"d{day}_kind"] != "QUANT")
    assert math.isnan(one["peak_log10"]) == (one["peak_kind"] != "QUANT")


@given(series_of)
@settings(max_examples=40)
def test_response_and_failure_never_both(series: list[tuple[int, str]]) -> None:
    table = judged(made_up(series), adequacy=dosed())
    assert table.loc[["vr_d14", "failure_1log_2wk"], "result"].tolist() != ["TRUE", "TRUE"]
    assert (table["reason"] != "").all()


def _no_baseline(study: MadeUpStudy) -> MadeUpStudy:
    early = study.cmv_dna["collected_dtc"] <= day_text(0)
    return study.with_results(study.cmv_dna.assign(result_raw=study.cmv_dna["result_raw"].mask(early, "haemolysed")))


def _no_results(study: MadeUpStudy) -> MadeUpStudy:
    late = study.cmv_dna["collected_dtc"] > day_text(0)
    return study.with_results(study.cmv_dna.assign(result_raw=study.cmv_dna["result_raw"].mask(late, "haemolysed")))


def _whole_blood(study: MadeUpStudy) -> MadeUpStudy:
    assays = {name: one.model_copy(update={"specimen": "whole_blood"}) for name, one in study.config.assays.items()}
    table = study.cmv_dna.assign(specimen="whole_blood")
    return replace(study, config=Config(assays=assays)).with_results(table)


BLANKED: dict[str, Callable[[MadeUpStudy], MadeUpStudy]] = {
    "first_gcv": lambda study: replace(study, subjects=study.subjects.assign(first_gcv_dtc=None)),
    "first_dose": lambda study: replace(study, subjects=study.subjects.assign(first_dose_dtc=None, first_gcv_dtc=None)),
    "baseline": _no_baseline,
    "results": _no_results,
    "adequacy": lambda study: study,
    "genotype": lambda study: study.with_results(study.cmv_dna.assign(genotype=None)),
    "antiviral_stop": lambda study: replace(study, dosing=study.dosing.iloc[:0]),
    "rescue": lambda study: replace(study, events=study.events.iloc[:0]),
    "iu_factor": lambda study: study,
    "any_result": lambda study: study.with_results(study.cmv_dna.assign(result_raw="haemolysed")),
    "plasma": _whole_blood,
}


def test_every_input_can_be_blanked() -> None:
    assert set(BLANKED) == set(rulebook().inputs)


@given(series_of.filter(bool), st.sampled_from(sorted(BLANKED)), st.booleans(), st.sampled_from([28, 60]))
@settings(max_examples=100)
def test_blanking_an_input_never_turns_a_verdict(
    series: list[tuple[int, str]], name: str, mutated: bool, rescue: int
) -> None:
    """Required or optional: without it the verdict is the same or none."""
    study = made_up(series)
    study.cmv_dna["genotype"] = "UL97 A594V" if mutated else "wild type"
    study.dosing = antiviral(20)
    study.events = event("RESCUE", rescue, censored=rescue == 60)
    whole = judged(study, adequacy=dosed())["result"]
    blank = judged(BLANKED[name](study), adequacy=None if name == "adequacy" else dosed())["result"]
    for rule in rulebook().rules.values():
        # Without the baseline a rule that does not read it sees another series: a result that is gone, not an input.
        if name in (*rule.required, *rule.optional) or name != "baseline":
            assert blank[rule.id] in (whole[rule.id], "NOT_EVALUABLE", "NOT_ASSESSED"), (rule.id, name)
        if name in rule.required:
            assert blank[rule.id] in ("NOT_EVALUABLE", "NOT_ASSESSED"), (rule.id, name)
