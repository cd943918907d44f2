"""Eligibility, safety, sensitivity and methods of the cohort page, against tables written by hand."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pandas as pd
import pytest

from immunoprofile import report, schema
from immunoprofile.report.cohort_model import build_cohort
from immunoprofile.report.cohort_view import spread, subgroup
from immunoprofile.report.content import Block, Part, Table
from immunoprofile.report.source import Source
from immunoprofile.report.statistics_tables import effects
from tests.fake_clinical import make_tables


@pytest.fixture(scope="module")
def judged(profile: Any) -> Any:
    other = copy.copy(profile)
    other.tables = make_tables(list(profile.study.subjects["usubjid"]), profile.study.labs)
    other.visits = profile.visits.copy()
    uns = other.visits.uns
    less = uns["compare"].copy()
    less[["effect", "effect_lower", "effect_upper"]] = [1.5, 0.9, 2.5]
    uns["compare_per_protocol"] = less
    uns["clearance_interval"] = pd.DataFrame(
        [
            {"method_id": "S13", "population": "CMV-DNA", "measure": "time to clearance", "contrast": "IL2_GCV - GCV",
             "effect_kind": "time ratio", "effect": 0.8, "effect_lower": 0.3, "effect_upper": 2.1, "conf_level": 0.95,
             "p_value": 0.6, "n": 5, "n_reference": 5, "note": "rule clearance_2"},
        ],
        columns=list(schema.STATISTIC_COLUMNS),
    )  # fmt: skip
    runs = [("compare", "S3", "primary"), ("change", "S1", "secondary"), ("associate", "S8", "secondary"),
            ("clearance_interval", "S13", "primary"), ("compare_per_protocol", "S3", "sensitivity")]  # fmt: skip
    uns["plan_runs"] = pd.DataFrame(
        [{"key": key, "method_id": method, "role": role, "versions": json.dumps({})} for key, method, role in runs],
        columns=list(schema.PLAN_RUN_COLUMNS),
    )
    uns["methods"] = "S3 (compare, primary): ANCOVA.\nSoftware: x 1."
    uns["confounding"] = pd.DataFrame(
        [("visit", "COMPLETE", 3, 5, 49, 0.9, 4, "batches go with visits")], columns=list(schema.CONFOUNDING_COLUMNS)
    )
    return other


def part(profile: Any, name: str, *, blinded: bool = False) -> Part:
    return next(one for one in build_cohort(Source(profile, blinded)).parts if one.id == name)


def lines(blocks: tuple[Block, ...], title: str) -> list[tuple[str, ...]]:
    found = next(block for block in blocks if isinstance(block, Table) and block.title == title)
    return [tuple(cell.words for cell in row) for row in found.rows]


def test_eligibility_keeps_unknown_and_overrides_apart(judged: Any) -> None:
    rows = {row[0]: row[1:] for row in lines(part(judged, "eligibility").blocks, "By subject and criterion")}
    assert rows["IL2CMV-01-001"] == ("✓", "✓", "? unknown", "indeterminate")
    assert rows["IL2CMV-01-002"] == ("✓", "✓", "✕ fail, *✓", "eligible")
    assert len(rows) == 10
    texts = [block.words for block in part(judged, "eligibility").blocks if block.kind == "text"]
    assert texts == ["10 subjects judged: 9 eligible, 1 indeterminate."]


def test_safety_hides_small_cells_but_not_that_they_exist(judged: Any) -> None:
    blocks = part(judged, "safety").blocks
    assert lines(blocks, "Worst grade on treatment") == [
        ("Neutrophil count decreased", "0", "0", "4", "5"),
        ("Neutrophil count decreased", "0", "2", "1 or 2", "0"),
    ]
    events = {row[0]: row[1:] for row in lines(blocks, "Adverse events")}
    assert events["Injection site reaction"] == ("Low-dose IL-2 + ganciclovir", "4 of 5", "2.14")
    assert events["Nausea"] == ("Ganciclovir", "1 or 2 of 5", "not shown")
    # doses given: 28, 26, 24, 22, 20 of 28 in the arm with IL-2
    given = {row[1]: row[3] for row in lines(blocks, "Exposure")}
    assert given["Low-dose IL-2 + ganciclovir"] == "86 (71 to 100) %, n = 5"


def test_blinded_safety_counts_all_subjects_together(judged: Any) -> None:
    blocks = part(judged, "safety", blinded=True).blocks
    assert lines(blocks, "Worst grade on treatment")[0] == ("Neutrophil count decreased", "0", "0", "9")
    assert not any(isinstance(block, Table) and block.title in ("Adverse events", "Exposure") for block in blocks)
    page = report.cohort(judged, blinded=True).html
    for secret in ("anciclovir", "IL2_GCV", "Injection site", "MIU"):
        assert secret not in page.replace("IL2CMV", ""), secret


def test_sensitivity_stands_beside_the_main_analysis(judged: Any) -> None:
    rows = lines(part(judged, "sensitivity").blocks, "Sensitivity analyses")
    assert [row[1] for row in rows] == ["main analysis", "per protocol"] * 4
    assert len({row[0] for row in rows}) == 4
    main, varied = rows[:2]
    assert main[:2] == ("Regulatory T cells, % of CD4+ T cells", "main analysis")
    assert (main[4], main[6]) == ("1.92", "higher")
    assert (varied[4], varied[6]) == ("1.50", "cannot conclude")


def test_clearance_and_batches_are_on_the_page(judged: Any) -> None:
    rows = lines(part(judged, "virology").blocks, "Time to clearance, interval-censored (primary)")
    assert rows == [("CMV-DNA, time to clearance", "5 vs 5", "0.80", "0.30 to 2.10", "0.600", "cannot conclude",
                     "rule clearance_2")]  # fmt: skip
    assert lines(part(judged, "completeness").blocks, "Staining batches") == [
        ("visit", "confounded", "batches go with visits")
    ]
    page = report.cohort(judged).html
    assert '<td data-head="Effect">time ratio 0.80</td>' in page
    assert 'data-head="95 % interval">0.30 to 2.10</td>' in page
    assert "<li>S3 (compare, primary): ANCOVA.</li>" in page


def test_a_correction_takes_the_conclusion_back() -> None:
    row = {"population": "treg", "measure": "pct_parent", "effect_kind": "odds ratio", "effect": 2.2,
           "effect_lower": 1.1, "effect_upper": 4.4, "conf_level": 0.95, "p_value": 0.025}  # fmt: skip
    words = [effects(pd.DataFrame([row | {"p_adjusted": p}]), {})[0].conclusion for p in (math.nan, 0.049, 0.05, 0.075)]
    assert words == ["higher", "higher", "cannot conclude after correction", "cannot conclude after correction"]


def test_absent_tables_say_so(profile: Any) -> None:
    words = " ".join(
        block.words for one in build_cohort(Source(profile)).parts for block in one.blocks if block.kind == "text"
    )
    for name in ("Eligibility", "CMV-DNA kinetics", "Worst grades", "Adverse events", "Exposure", "Batches"):
        assert f"{name}: not available: " in words


def test_small_groups() -> None:
    assert [subgroup(n) for n in (0, 1, 2, 3)] == ["0", "1 or 2", "1 or 2", "3"]
    assert spread([1.0, 2.0, math.nan], 1, "d") == "not shown (n < 3)"
    assert spread([1.0, 2.0, 4.0], 1, "d") == "2.0 (1.0 to 4.0) d, n = 3"
