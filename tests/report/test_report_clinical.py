"""Virology, safety and functional boxes of a visit report, against numbers written by hand."""

from __future__ import annotations

import base64
import copy
import math
import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from immunoprofile.report.content import Block, Part, Table
from immunoprofile.report.drawing import pictures
from immunoprofile.report.source import Source
from immunoprofile.report.view import VisitView
from immunoprofile.report.visit_figures import lab_course, undrawn
from immunoprofile.report.visit_model import build_visit
from immunoprofile.report.visit_virology import caveat

S1 = "IL2CMV-01-001"


def part(profile: Any, name: str, visit: str = "D14", *, subject: str = S1, blinded: bool = False) -> Part:
    return next(one for one in build_visit(Source(profile, blinded), subject, visit).parts if one.id == name)


def table(blocks: tuple[Block, ...], title: str) -> dict[str, tuple[Any, ...]]:
    found = next(block for block in blocks if isinstance(block, Table) and block.title == title)
    return {cells[0].words: cells[1:] for cells in found.rows}


def words(blocks: tuple[Block, ...]) -> str:
    return " ".join(
        [block.words for block in blocks if block.kind == "text"]
        + [f"{block.caption} {cell.words}" for block in blocks if isinstance(block, Table) for row in block.rows
           for cell in row]
    )  # fmt: skip


def test_grades_and_doses_are_those_of_the_tables(judged: Any) -> None:
    safety = part(judged, "safety").blocks
    grades = table(safety, "CTCAE grades")
    assert set(grades) == {"Neutrophil count decreased", "Platelet count decreased"}
    before, now, *_, remark = grades["Neutrophil count decreased"]
    assert (before.words, now.words, now.number, remark.words) == ("0", "3", 3.0, "new")
    assert grades["Platelet count decreased"][1].words == "not graded"
    assert grades["Platelet count decreased"][-1].words == "no lower limit of normal"
    doses = table(safety, "Kidney, doses and drugs of the day")
    assert doses["Creatinine clearance (Cockcroft and Gault)"][0].words == "87.7 mL/min"
    assert doses["Ganciclovir dose adequacy"][0].words == "0.50 × label dose"
    assert "5 of 10 mg/kg/24 h; below the label dose; appropriately dosed: FALSE" in (
        doses["Ganciclovir dose adequacy"][1].words
    )
    assert doses["Corticosteroids as prednisone"][0].words == "15 mg/d"
    assert doses["Corticosteroids as prednisone"][1].words.startswith("0.259 mg/kg/d")
    assert doses["Blood count at a limit of the ganciclovir label"][0].words == "yes"


def test_course_holds_the_laboratory_until_the_visit(judged: Any) -> None:
    source = Source(judged)
    creatinine = {
        visit: next(one for one in lab_course(VisitView(source, S1, visit)) if one.test == "CREAT")
        for visit in ("D7", "D14")
    }
    assert max(creatinine["D7"].days) <= 7 < max(creatinine["D14"].days) <= 14
    assert creatinine["D14"].grades == (0, 0, 0)
    assert undrawn(VisitView(Source(judged, blinded=True), S1, "D14")) == ()


def test_no_record_of_a_steroid_is_not_zero(judged: Any) -> None:
    doses = table(part(judged, "safety", "D7").blocks, "Kidney, doses and drugs of the day")
    assert doses["Corticosteroids as prednisone"][0].words == "no record"
    assert math.isnan(doses["Corticosteroids as prednisone"][0].number)


def test_absent_tables_say_why(profile: Any) -> None:
    assert "not available: the run did not grade laboratory values" in words(part(profile, "safety").blocks)
    assert "not available: the run did not judge them" in words(part(profile, "virology").blocks)
    assert "not available" in words(part(profile, "functional").blocks).casefold()


def test_rules_know_nothing_of_later_results(judged: Any) -> None:
    """The verdict on day 14 stays what it was when the results of day 28 and week 8 come in."""
    early = copy.copy(judged)
    view = VisitView(Source(judged), S1, "D14")
    early.virology = view.cmv_results
    early.study = copy.copy(judged.study)
    assert repr(part(early, "virology")) == repr(part(judged, "virology"))
    assert repr(part(judged, "virology", "BL")) != repr(part(judged, "virology"))
    assert caveat() in words(part(judged, "virology").blocks)


def test_last_visit_agrees_with_the_rules_on_the_whole_course(judged: Any) -> None:
    from immunoprofile.virology import rules

    whole = rules(judged.study, results=judged.virology, adequacy=judged.tables["dose_adequacy"])
    own = whole[whole["usubjid"] == S1].set_index("rule_id")["result"]
    shown = table(part(judged, "virology", "W8").blocks, "CMV rules")
    # Names of rules are words; the id stands in brackets
    marks = {
        re.findall(r"\(([a-z0-9_]+)", name)[-1]: cells[0].mark.removeprefix("RULE_") for name, cells in shown.items()
    }
    assert marks == own.to_dict()


def test_kinetics_by_hand(judged: Any) -> None:
    # Two points, 4.0 and 3.0 log10 on days 0 and 10, and 2.5 on day 15: a line of slope -0.1 per day.
    golden = copy.copy(judged)
    day0 = judged.virology[(judged.virology["usubjid"] == S1)].iloc[:3].copy()
    day0["virology_day"] = [0, 10, 15]
    day0["collected_dtc"] = ["2025-03-02", "2025-03-12", "2025-03-17"]
    day0["visit"] = ["BL", "D7", "D14"]
    day0["kind"] = "QUANT"
    day0["value"] = [1e4, 1e3, 10**2.5]
    for name in ("log10_value", "log10_lower", "log10_upper"):
        day0[name] = [4.0, 3.0, 2.5]
    golden.virology = day0
    found = table(part(golden, "virology").blocks, "Kinetics until this visit")
    assert found["Slope from day 0"][0].number == pytest.approx(-0.1)
    assert found["Slope from day 0"][1].words == "log10 per day"
    assert found["Half-life"][0].words == "not estimable"  # points on a line have no interval
    assert found["Peak"][0].words == "4.00"


def test_functional_readouts_like_populations(profile: Any) -> None:
    other = copy.copy(profile)
    other.visits = profile.visits.copy()
    values = pd.DataFrame({"nk_cd107a": 10.0}, index=other.visits.obs_names)
    values.loc[f"{S1}_D14", "nk_cd107a"] = 21.0
    values.loc[f"{S1}_D7", "nk_cd107a"] = float("nan")
    other.visits.obsm["functional"] = values
    other.visits.uns["functional_readouts"] = pd.DataFrame(
        [("nk_cd107a", "CD107a of nk", "nk", "degranulation", "K562", "CD107a", "%")],
        columns=["id", "display", "population", "assay", "stimulus", "readout", "unit"],
    )
    found = table(part(other, "functional").blocks, "")
    unit, then, before, now, change, verdict = found["CD107a of NK cells (degranulation, K562)"]
    assert [cell.words for cell in (unit, then, before, now, change)] == ["%", "10", "not done", "21", "×2.10"]
    assert verdict.mark == "MORE_THAN_NOISE"
    # 15 is 1.5-fold: within -42 % and +73 % of the default reference change
    values.loc[f"{S1}_D14", "nk_cd107a"] = 15.0
    assert table(part(other, "functional").blocks, "")["CD107a of NK cells (degranulation, K562)"][-1].mark == (
        "WITHIN_NOISE"
    )


def test_blinded_boxes_hide_doses(judged: Any) -> None:
    from immunoprofile import report

    page = report.visit(judged, S1, "D14", blinded=True).html
    for secret in ("anciclovir", "rednisone", "GCV", "label dose", "2025-0"):
        assert secret not in page, secret
    assert "Neutrophil count decreased" in page
    assert "87.7\N{NO-BREAK SPACE}mL/min" in page


def test_the_laboratory_gives_way_where_page_one_has_no_room(judged: Any) -> None:
    """The panels of the cells stay readable, and the figure says what it leaves out."""
    model = build_visit(Source(judged), S1, "D14")
    said = {}
    for name, lines in (("room", ()), ("none", ("a statement",) * 20)):
        address = pictures(replace(model, statements=lines))["timeline"].source
        said[name] = base64.b64decode(address.partition(",")[2]).decode()
    words = "no room for the laboratory: see Safety"
    assert words in said["none"]
    assert words not in said["room"]
    assert "creatinine" in said["room"]
    assert "creatinine" not in said["none"]
