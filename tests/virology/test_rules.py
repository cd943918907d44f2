"""CMV rules at their boundaries; limits of the assay: LOD 91, LLOQ 137, ULOQ 9.1 million IU/mL."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from immunoprofile.errors import AnalysisError
from immunoprofile.schema import CMV_RULE_COLUMNS, CMV_RULE_RESULTS
from immunoprofile.virology import rulebook, rules
from tests.virology.made_up_study import (
    BLOOD,
    GOLDEN,
    ROCHE,
    antiviral,
    day_text,
    dosed,
    event,
    judged,
    made_up,
    verdict,
)

TRUE, FALSE, OPEN = "TRUE", "FALSE", "NOT_EVALUABLE"


def test_golden_series() -> None:
    """Every rule on the golden series, judged by hand."""
    table = judged(made_up(GOLDEN), adequacy=dosed())
    assert tuple(table.reset_index()[list(CMV_RULE_COLUMNS)].columns) == CMV_RULE_COLUMNS
    assert table.loc["vr_d14", "result"] == TRUE
    assert "1.097" in table.loc["vr_d14", "reason"]
    cleared = table.loc["clearance_2"]
    assert (cleared["result"], cleared["lower_day"], cleared["upper_day"]) == (TRUE, 14, 21)
    assert (cleared["date"], cleared["confirmed_date"]) == (day_text(21, ""), day_text(28, ""))
    assert cleared["evidence"] == (
        "2024-01-15 (day 14) QUANT 800 IU/mL; 2024-01-22 (day 21) BLQ <137 IU/mL; 2024-01-29 (day 28) TND"
    )
    assert table.loc["refractory_2019", "result"] == FALSE
    assert table.loc["failure_1log_2wk", "result"] == FALSE
    assert table.loc["clearance_tnd", "result"] == FALSE
    assert table.loc["resistant", "result"] == "NOT_ASSESSED"
    assert set(table["result"]) <= set(CMV_RULE_RESULTS)
    assert list(table.index) == list(rulebook().rules)


def test_variant_without_clearance() -> None:
    table = judged(made_up([*GOLDEN[:4], (28, "200")]), adequacy=dosed())
    cleared = table.loc["clearance_2"]
    assert (cleared["result"], cleared["lower_day"], cleared["upper_day"]) == (FALSE, 28, math.inf)
    assert table.loc["blip", "result"] == OPEN
    assert "not applicable" in table.loc["blip", "reason"]


def test_variant_of_failure() -> None:
    table = judged(made_up([*GOLDEN[:2], (14, "1500"), *GOLDEN[3:]]), adequacy=dosed())
    assert table.loc["failure_1log_2wk", "result"] == TRUE
    assert "0.8239" in table.loc["failure_1log_2wk", "reason"]
    assert table.loc["vr_d14", "result"] == FALSE
    assert table.loc["virologic_failure", "result"] == TRUE


@pytest.mark.parametrize(
    ("day", "text", "result"),
    [
        (11, "800", OPEN), (12, "800", TRUE), (17, "800", TRUE), (18, "800", OPEN),
        (14, "1000", TRUE), (14, "1001", FALSE),  # exactly 1.0 log10 is a fall of 1 log10
        (14, "<137", TRUE), (14, "TND", TRUE), (14, "> 9,100,000", FALSE), (14, "haemolysed", OPEN),
    ],
)  # fmt: skip
def test_response(day: int, text: str, result: str) -> None:
    assert verdict([(0, "10000"), (day, text)], "vr_d14") == result


def test_exactly_one_log_despite_floating_point() -> None:
    for start in (12_400, 137_000, 9_100_000, 3_330, 70_700):
        assert verdict([(0, f"{start}"), (14, f"{start / 10:.4f}")], "vr_d14") == TRUE, start
        assert verdict([(0, f"{start}"), (14, f"{start / 10 * 1.0001:.4f}")], "vr_d14") == FALSE, start


def test_exactly_the_lloq_is_quantified() -> None:
    """Baseline 1,000 and LLOQ 137: a fall to 137 is 0.86 log10 and no response, a result below it is one."""
    assert verdict([(0, "1000"), (14, "137")], "vr_d14") == FALSE
    assert verdict([(0, "1000"), (14, "136.9")], "vr_d14") == TRUE


def test_nearest_result_in_the_window_counts() -> None:
    assert verdict([(0, "10000"), (12, "800"), (15, "5000")], "vr_d14") == FALSE
    assert verdict([(0, "10000"), (13, "800"), (15, "5000")], "vr_d14") == TRUE  # equally near: the earlier


def test_bounds_decide_or_leave_open() -> None:
    assert verdict([(0, ">9100000"), (14, "900000")], "vr_d14") == TRUE  # a fall of at least 1.005
    assert verdict([(0, ">9100000"), (14, "1000000")], "vr_d14") == OPEN
    assert verdict([(0, "<137"), (14, "200")], "vr_d14") == FALSE  # it rose
    assert verdict([(-9, "10000"), (14, "<137")], "vr_d14") == TRUE  # without a baseline
    assert verdict([(-9, "10000"), (14, "200")], "vr_d14") == OPEN


@pytest.mark.parametrize(
    ("day", "result"), [(-8, OPEN), (-7, TRUE), (0, TRUE)]
)  # fmt: skip
def test_baseline_window(day: int, result: str) -> None:
    table = judged(made_up([(day, "10000"), (14, "500")]))
    assert table.loc["baseline", "result"] == result


@pytest.mark.parametrize(
    ("text", "detected", "quantified"),
    [("137", TRUE, TRUE), ("136", TRUE, FALSE), ("<137", TRUE, FALSE), ("TND", FALSE, FALSE), (">9100000", TRUE, TRUE)],
)
def test_positive_at_entry(text: str, detected: str, quantified: str) -> None:
    table = judged(made_up([(0, text)]))
    assert (table.loc["cmv_positive_detect", "result"], table.loc["cmv_positive_quant", "result"]) == (
        detected,
        quantified,
    )


@pytest.mark.parametrize(("text", "result"), [("1000", FALSE), ("1001", TRUE), ("<500", FALSE), ("ND", FALSE)])
def test_entry_of_the_registry_is_strict(text: str, result: str) -> None:
    assert verdict([(0, text)], "entry_registry", assay="B") == result


def test_entry_of_the_registry_needs_the_factor_of_the_assay() -> None:
    study = made_up([(0, "1100")])
    assert judged(study).loc["entry_registry", "result"] == OPEN
    study.config.assays["R"] = ROCHE.model_copy(update={"iu_factor": 1.1})
    assert judged(study).loc["entry_registry", "result"] == FALSE  # exactly 1000 copies/mL
    study.config.assays["R"] = ROCHE.model_copy(update={"iu_factor": 1.09})
    assert judged(study).loc["entry_registry", "result"] == TRUE
    high = made_up([(0, "<2000")], assay="B")
    high.config.assays["B"] = BLOOD.model_copy(update={"lloq": 2000})
    assert judged(high).loc["entry_registry", "result"] == OPEN  # below 2000 may be above 1000


@pytest.mark.parametrize(
    ("series", "clearance"),
    [
        ([(7, "<137"), (12, "TND")], (0, 7)),  # exactly 5 days
        ([(7, "<137"), (11, "TND")], None),  # 4 days
        ([(7, "<137"), (9, "200"), (14, "TND")], None),
        ([(7, "<137"), (9, "haemolysed"), (12, "TND")], (0, 7)),  # an invalid result says nothing
        ([(7, "<137"), (9, "200"), (14, "TND"), (19, "100")], (9, 14)),
        ([(7, "<137"), (9, "TND"), (11, "TND"), (12, "TND")], (0, 7)),  # daily PCR: the run spans 5 days
        ([(7, ">9100000"), (14, "TND"), (19, "TND")], (7, 14)),
        ([(7, "137"), (14, "TND"), (19, "TND")], (7, 14)),  # exactly the LLOQ is not below it
    ],
)
def test_clearance(series: list[tuple[int, str]], clearance: tuple[int, int] | None) -> None:
    row = judged(made_up([(0, "10000"), *series])).loc["clearance_2"]
    if clearance is None:
        assert row["result"] == FALSE
        assert row["upper_day"] == math.inf
    else:
        assert row["result"] == TRUE
        assert (row["lower_day"], row["upper_day"]) == clearance


def test_other_definitions_of_clearance() -> None:
    table = judged(made_up([(0, "10000"), (7, "<137"), (14, "TND"), (21, "TND")]))
    assert table.loc[["clearance_2", "clearance_tnd", "clearance_1"], "upper_day"].tolist() == [7, 14, 7]
    assert table.loc["clearance_tnd", "lower_day"] == 7  # the last result that was still detected
    single = judged(made_up([(0, "10000"), (7, "<137")]))
    assert single.loc[["clearance_2", "clearance_1"], "result"].tolist() == [FALSE, TRUE]
    assert "not confirmed" in single.loc["clearance_2", "reason"]
    assert single.loc["clearance_2", "lower_day"] == 0  # day 7 may still turn out to be the clearance


def test_what_was_never_there_cannot_be_cleared() -> None:
    assert verdict([(0, "TND"), (7, "TND"), (14, "TND")], "clearance_2") == OPEN


@pytest.mark.parametrize(
    ("day", "text", "result"),
    [
        (14, "120001", TRUE), (14, "120000", FALSE),  # more than 1 log10 above the peak of 12,000, not exactly 1
        (13, "500000", OPEN),  # before 14 days
        (14, "<137", FALSE), (28, "500000", TRUE), (14, ">9100000", TRUE),
    ],
)  # fmt: skip
def test_refractory(day: int, text: str, result: str) -> None:
    series = [(0, "10000"), (7, "12000"), (day, text)]
    assert verdict(series, "refractory_2019") == result
    assert verdict(series, "refractory_2019", dose=False) == OPEN


def test_a_peak_that_may_have_been_missed_excludes_but_does_not_prove() -> None:
    assert verdict([(0, "10000"), (14, "120001")], "refractory_2019") == OPEN  # no result of days 1 to 7
    assert verdict([(0, "10000"), (8, "10000"), (14, "120001")], "refractory_2019") == OPEN
    assert verdict([(7, "10000"), (14, "120001")], "refractory_2019") == OPEN  # no baseline
    assert verdict([(0, "10000"), (14, "9000")], "refractory_2019") == FALSE


@pytest.mark.parametrize(
    ("text", "persistent", "unchanged", "failed"),
    [
        ("12000", TRUE, TRUE, TRUE),  # exactly the peak
        ("11999", FALSE, TRUE, TRUE),  # below the peak, above the baseline of 10,000
        ("9999", FALSE, FALSE, TRUE),
        ("120000", TRUE, TRUE, TRUE),
        ("120001", FALSE, TRUE, TRUE),  # refractory, not probably so
        ("1001", FALSE, FALSE, TRUE),
        ("1000", FALSE, FALSE, FALSE),
        ("<137", FALSE, FALSE, FALSE),
    ],
)
def test_persistence_and_failure(text: str, persistent: str, unchanged: str, failed: str) -> None:
    table = judged(made_up([(0, "10000"), (7, "12000"), (14, text)]), adequacy=dosed())
    names = ["probable_refractory_2019", "probable_refractory_kotton2025", "failure_1log_2wk"]
    assert table.loc[names, "result"].tolist() == [persistent, unchanged, failed]


@pytest.mark.parametrize(
    ("adequacy", "result"),
    [
        (dosed(0, 13), TRUE),  # 14 days before the result of day 14
        (dosed(0, 12), OPEN),
        (dosed(1, 20), OPEN),
        (dosed(0, 20, "UNKNOWN"), OPEN),
        (dosed(0, 20, "FALSE"), OPEN),
        (dosed(0, 20, drug="IL2"), OPEN),
        (pd.concat([dosed(0, 13), dosed(5, 5, "FALSE")]), OPEN),
        (pd.concat([dosed(0, 7), dosed(8, 13, drug="VGCV")]), TRUE),  # the oral step-down goes on
        (None, OPEN),
    ],
)
def test_failure_needs_fourteen_days_of_dosing(adequacy: pd.DataFrame | None, result: str) -> None:
    study = made_up([(0, "10000"), (7, "12000"), (14, "5000")])
    assert judged(study, adequacy=adequacy).loc["failure_1log_2wk", "result"] == result


@pytest.mark.parametrize(("day", "result"), [(17, TRUE), (18, OPEN)])
def test_dosing_that_ended_before_the_result(day: int, result: str) -> None:
    """Dosed on days 0 to 13; a result up to three days after that still belongs to it."""
    study = made_up([(0, "10000"), (7, "12000"), (day, "5000")])
    assert judged(study, adequacy=dosed(0, 13)).loc["failure_1log_2wk", "result"] == result


def test_response_and_failure_exclude_each_other() -> None:
    table = judged(made_up([(0, "10000"), (13, "800"), (20, "9000")]), adequacy=dosed())
    assert table.loc[["vr_d14", "failure_1log_2wk"], "result"].tolist() == [TRUE, FALSE]


@pytest.mark.parametrize(
    ("genotype", "result"),
    [("UL97 A594V", TRUE), ("UL54: D515Y", TRUE), ("ul97 p.M460I, UL54 wild type", TRUE), ("UL56 C325Y", FALSE),
     ("wild type", FALSE), ("no mutations detected", FALSE), ("see letter", OPEN), (None, "NOT_ASSESSED")],
)  # fmt: skip
def test_resistance(genotype: str | None, result: str) -> None:
    study = made_up([(0, "10000"), (7, "12000"), (14, "500000")])
    study.cmv_dna.loc[2, "genotype"] = genotype
    assert judged(study, adequacy=dosed()).loc["resistant", "result"] == result


def test_a_mutation_without_refractory_infection_is_not_resistant() -> None:
    study = made_up(GOLDEN)
    study.cmv_dna.loc[2, "genotype"] = "UL97 A594V"
    assert judged(study, adequacy=dosed()).loc["resistant", "result"] == FALSE
    assert judged(study).loc["resistant", "result"] == OPEN


@pytest.mark.parametrize(
    ("tail", "result"),
    [
        ([(28, "TND"), (35, "150"), (42, "TND")], TRUE),  # the next one exactly 7 days later
        ([(28, "TND"), (35, "<137"), (42, "TND")], TRUE),
        ([(28, "TND"), (35, "150"), (43, "TND")], FALSE),
        ([(28, "TND"), (35, "150"), (42, "150"), (49, "TND")], FALSE),
        ([(28, "TND"), (35, "150"), (42, "<137")], FALSE),  # still detected
        ([(28, "TND"), (35, "150")], OPEN),
        ([(28, "TND"), (35, "TND")], FALSE),
        ([(28, "<137"), (35, "150"), (42, "TND")], OPEN),
    ],
)
def test_blip(tail: list[tuple[int, str]], result: str) -> None:
    assert verdict([(0, "10000"), (14, "800"), *tail], "blip") == result


CLEARED = [(0, "10000"), (7, "TND"), (14, "TND")]


@pytest.mark.parametrize(
    ("tail", "rebound", "possible"),
    [
        ([(21, "200"), (26, "300")], TRUE, FALSE),  # exactly 5 days
        ([(21, "200"), (25, "300")], OPEN, TRUE),
        ([(21, "200")], OPEN, TRUE),
        ([(21, "200"), (28, "TND")], FALSE, FALSE),
        ([(21, "200"), (23, "TND"), (28, "300")], OPEN, TRUE),
        ([(21, "TND")], FALSE, FALSE),
        ([], OPEN, OPEN),
    ],
)
def test_rebound(tail: list[tuple[int, str]], rebound: str, possible: str) -> None:
    table = judged(made_up([*CLEARED, *tail]))
    assert table.loc[["rebound", "possible_rebound"], "result"].tolist() == [rebound, possible]


def test_no_rebound_without_clearance() -> None:
    assert verdict([(0, "10000"), (7, "TND"), (14, "200"), (21, "300")], "rebound") == OPEN


@pytest.mark.parametrize(
    ("tail", "result"),
    [
        ([(28, "TND"), (35, "200")], TRUE),  # exactly 28 days after the clearance of day 7
        ([(28, "TND"), (34, "200")], FALSE),  # 27 days
        ([(28, "TND"), (34, "TND")], OPEN),  # followed for 27 days
        ([(28, "TND"), (35, "TND")], FALSE),
        ([(42, "TND"), (49, "200")], TRUE),  # a gap of exactly 28 days
        ([(43, "TND"), (50, "200")], OPEN),  # a gap of 29 days: no surveillance
        ([(28, "TND"), (35, "<137")], FALSE),
    ],
)
def test_recurrence(tail: list[tuple[int, str]], result: str) -> None:
    assert verdict([*CLEARED, *tail], "recurrence") == result


@pytest.mark.parametrize(
    ("back", "stop", "result"),
    [(56, 28, FALSE), (57, 28, TRUE), (57, 29, FALSE), (57, None, OPEN)],  # 28 and 29 days after the last dose
)
def test_late_onset(back: int, stop: int | None, result: str) -> None:
    study = made_up([*CLEARED, (28, "TND"), (42, "TND"), (back, "500")])
    if stop is not None:
        study.dosing = antiviral(stop)
    assert judged(study).loc["late_onset", "result"] == result


def test_an_antiviral_that_goes_on_has_no_last_day() -> None:
    study = made_up([*CLEARED, (28, "TND"), (42, "TND"), (57, "500")])
    study.dosing = antiviral(20)
    study.dosing.loc[1, "end_dtc"] = None
    assert judged(study).loc["late_onset", "result"] == OPEN


LONG = [(0, "10000"), (7, "5000"), (14, "800"), (21, "500"), (28, "400"), (42, "300")]


@pytest.mark.parametrize(
    ("tail", "events", "result"),
    [
        ([(53, "200")], None, TRUE),  # positive within three days of week 8
        ([(52, "200")], "none", OPEN),  # may be cleared by day 59
        ([(56, "TND"), (61, "TND")], "none", FALSE),
        ([(59, "TND"), (64, "TND")], "none", FALSE),
        ([(60, "TND"), (65, "TND")], "none", OPEN),  # cleared between day 42 and 60
        ([(56, "TND"), (61, "TND")], None, OPEN),  # rescue not recorded
        ([(56, "TND"), (61, "TND")], "rescue", TRUE),
    ],
)
def test_composite_failure(tail: list[tuple[int, str]], events: str | None, result: str) -> None:
    study = made_up([*LONG, *tail])
    if events:
        study.events = event("RESCUE", 30, censored=events == "none")
    assert judged(study, adequacy=dosed()).loc["virologic_failure", "result"] == result
    if result == FALSE:  # unknown parts leave it open
        assert judged(study).loc["virologic_failure", "result"] == OPEN


def test_another_assay_is_not_mixed_in() -> None:
    study = made_up([*GOLDEN[:3], (21, "2000"), (28, "2000")])
    study.cmv_dna.loc[3:, ["unit", "assay_id", "specimen"]] = ["copies/mL", "B", "whole_blood"]
    row = judged(study).loc["clearance_2"]
    assert (row["result"], row["lower_day"]) == (FALSE, 14)
    assert row["reason"].endswith("[not used: 2 of another assay or specimen]")


def test_of_two_results_of_a_day_the_higher_counts() -> None:
    study = made_up([*GOLDEN[:3], (21, "TND"), (21, "200"), (28, "TND")])
    study.cmv_dna.loc[4, "collected_dtc"] = day_text(21, "T16:00")
    assert judged(study).loc["clearance_2", "result"] == FALSE


def test_a_partial_date_is_said_and_not_used() -> None:
    study = made_up(GOLDEN)
    study.cmv_dna.loc[4, "collected_dtc"] = "2024-01"
    row = judged(study).loc["clearance_2"]
    assert row["result"] == FALSE
    assert "1 without a full date" in row["reason"]


def test_a_subject_without_results_has_its_rows() -> None:
    study = made_up([])
    table = judged(study, adequacy=dosed())
    assert len(table) == len(rulebook().rules)
    assert set(table["result"]) == {OPEN, "NOT_ASSESSED"}
    assert (table["reason"] != "").all()


def test_parameters_are_configuration() -> None:
    book = rulebook({"clearance_2": {"days_apart": 7}, "vr_d14": {"last_day": 17}})
    assert (book.rules["clearance_2"].version, book.rules["vr_d14"].version) == ("1+changed", "1")
    study = made_up([(0, "10000"), (7, "TND"), (13, "TND")])
    assert judged(study).loc["clearance_2", "result"] == TRUE
    changed = judged(study, book=book).loc["clearance_2"]
    assert (changed["result"], changed["version"]) == (FALSE, "1+changed")
    for changes in ({"clearance_3": {"days_apart": 7}}, {"clearance_2": {"days": 7}}):
        with pytest.raises(AnalysisError, match="one of"):
            rulebook(changes)


def test_every_rule_is_described_and_no_reserved_one_is_made_up() -> None:
    book = rulebook()
    for rule in book.rules.values():
        assert rule.text and rule.source and rule.version
        assert rule.tag in ("V", "K", "A")
    assert not set(book.reserved) & set(book.rules)
    for name, why in book.reserved.items():
        assert "abstract" in why
        with pytest.raises(AnalysisError, match=f"no rule for {name} yet"):
            rulebook({name: {"days": 14}})
    assert "transplantation" in book.caveat


def test_a_table_of_adequacy_that_says_something_else_is_refused() -> None:
    with pytest.raises(AnalysisError, match="appropriately_dosed"):
        rules(made_up(GOLDEN), adequacy=dosed().drop(columns="appropriately_dosed"))
    with pytest.raises(AnalysisError, match="TRUE, FALSE or UNKNOWN"):
        rules(made_up(GOLDEN), adequacy=dosed(verdict="yes"))


def test_the_page_names_every_rule(repository: Path) -> None:
    page = (repository / "docs" / "virology.md").read_text(encoding="utf-8")
    assert [name for name in rulebook().rules if f"`{name}`" not in page] == []
