"""Machine-readable twin and review block: same facts as the page, an id that follows the content."""

from __future__ import annotations

import copy
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from immunoprofile import report, schema
from immunoprofile.report import wording
from immunoprofile.report.twin import plain

S1 = "IL2CMV-01-001"


def reviewed(profile: Any, *rows: dict[str, str]) -> Any:
    other = copy.copy(profile)
    other.study = copy.copy(profile.study)
    other.study.reviews = pd.DataFrame(rows, columns=list(schema.TABLES["reviews"].column_names))
    return other


def row(report_id: str, **values: str) -> dict[str, str]:
    base = {"usubjid": S1, "visit": "D14", "report_id": report_id, "decision": "accept", "reviewer": "R01"}
    return base | {"dtc": "2025-04-02", "comment": ""} | values


def test_twin_is_strict_json_with_the_facts_of_the_page(judged: Any, tmp_path: Path) -> None:
    made = report.visit(judged, S1, "D14")
    twin = json.loads(made.to_json(tmp_path / "D14.json").read_text(encoding="utf-8"))
    assert (twin["schema_version"], twin["report"]) == ("2", "visit")
    assert f"report {twin['report_id']}" in made.html
    content = twin["content"]
    cells = [cell for part in content["parts"] for block in part["blocks"] if block["kind"] == "table"
             for line in block["rows"] for cell in line if cell is not None]  # fmt: skip
    numbers = [cell for cell in cells if cell["number"] is not None and re.match(r"[\d.]+( |$)", cell["words"])]
    assert len(numbers) >= 8
    for cell in numbers:
        shown = re.match(r"[\d.]+", cell["words"])
        assert shown is not None
        decimals = len(shown[0].partition(".")[2])
        assert float(shown[0]) == pytest.approx(cell["number"], abs=0.5 * 10**-decimals + 1e-9)
        assert wording.printed(cell["words"]) in made.html
    # the course holds the unrounded values of the object
    course = next(one for one in content["parts"] if one["id"] == "course")["blocks"][0]["data"]
    series = {one["population"]: one for one in course["series"]}
    last = judged.visits[f"{S1}_D14", "nk"].layers["abs"][0, 0]
    assert series["nk"]["values"][-1] == pytest.approx(float(last))


def test_cohort_twin_holds_the_statistics(judged: Any) -> None:
    content = report.cohort(judged).data["content"]
    table = judged.visits.uns["compare"]
    change = next(one for one in content["parts"] if one["id"] == "immune-change")
    drawn = next(one for one in change["blocks"] if one["kind"] == "image" and one["name"] == "forest")
    assert [one["effect"] for one in drawn["data"]["table"]] == [
        None if math.isnan(value) else value for value in table["effect"]
    ]
    json.dumps(content, allow_nan=False)


def test_missing_is_null_and_open_bounds_are_words() -> None:
    assert plain({"a": float("nan"), "b": math.inf, "c": np.int64(3), "d": pd.NA, "e": (1.5, "x")}) == {
        "a": None, "b": "inf", "c": 3, "d": None, "e": [1.5, "x"],
    }  # fmt: skip


def test_review_of_this_content_is_printed(judged: Any) -> None:
    report_id = report.visit(judged, S1, "D14").data["report_id"]
    made = report.visit(reviewed(judged, row(report_id, comment="seen")), S1, "D14")
    assert made.data["report_id"] == report_id, "a review may not change what it refers to"
    assert "Reviewed by R01 on 2025-04-02, accepted: seen." in made.html
    assert "SUPERSEDED" not in made.html
    assert "signed" not in made.html.replace("electronic signature", "")
    assert "Not reviewed yet." in report.visit(judged, S1, "D14").html


def test_changed_input_supersedes_the_review(judged: Any) -> None:
    report_id = report.visit(judged, S1, "D14").data["report_id"]
    changed = reviewed(judged, row(report_id))
    changed.visits = judged.visits.copy()
    place = changed.visits.obs_names.get_loc(f"{S1}_D14")
    changed.visits.X[place, list(changed.visits.var_names).index("treg")] *= 1.0001
    made = report.visit(changed, S1, "D14")
    assert made.data["report_id"] != report_id
    assert f"SUPERSEDED: reviewed as {report_id} on 2025-04-02 by R01, inputs have changed since." in made.html
    # the change of one subject does not touch the report of another
    other = "IL2CMV-01-002"
    assert report.visit(changed, other, "D14").data["report_id"] == report.visit(judged, other, "D14").data["report_id"]


def test_review_of_the_cohort_and_its_ledger(judged: Any) -> None:
    report_id = report.cohort(judged).data["report_id"]
    rows = row(report_id, usubjid="", visit="COHORT", decision="query")
    page = report.cohort(reviewed(judged, rows)).html
    assert "Reviewed by R01 on 2025-04-02, query raised." in page
    assert f"Report {report_id}; no gate was drawn anew in this study" in page


def test_blinded_review_hides_dates_and_text(judged: Any) -> None:
    report_id = report.visit(judged, S1, "D14", blinded=True).data["report_id"]
    page = report.visit(reviewed(judged, row(report_id, comment="GCV arm")), S1, "D14", blinded=True).html
    assert "Reviewed by R01, accepted." in page
    assert "GCV arm" not in page
    assert "2025-04-02" not in page
