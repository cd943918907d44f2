"""Marks on the cohort page: numbers that hang on gates drawn anew, left at the template, of a fallback, or held."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import immunoprofile as ip
from immunoprofile.report.cohort_view import CohortView
from immunoprofile.report.source import Source
from immunoprofile.schema import PLACEMENT_COLUMNS
from tests.profiling.test_gate_overrides import draw
from tests.small_study import TABLES, write_gates, write_study


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ip.Profile:
    folder = tmp_path_factory.mktemp("marks")
    write_study(folder / "study")
    write_gates(folder / "study" / "gating")
    study = ip.read_study(folder / "study")
    return ip.run_study(study, ip.gate.load(folder / "study" / "gating"), out=folder / "results")


def with_cuts(profile: ip.Profile, *cuts: dict[str, Any]) -> ip.Profile:
    """The profile as if these cuts stood in placement.csv."""
    plain = dict.fromkeys(PLACEMENT_COLUMNS, "") | {"asked": "mindensity", "method": "mindensity", "held": False}
    table = pd.DataFrame([plain | {"tube": "t"} | cut for cut in cuts], columns=list(PLACEMENT_COLUMNS))
    changed = copy.copy(profile)
    object.__setattr__(changed, "tables", {**profile.tables, "placement": table})
    return changed


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_each_kind_counts_its_visits_and_reaches_what_hangs_on_it(made: ip.Profile) -> None:
    profile = with_cuts(
        made,
        {"sample_id": "S-1_BL", "population": "t", "method": "template", "reason": "one peak"},
        {"sample_id": "S-1_BL", "population": "t", "held": True},
        {"sample_id": "S-1_D14", "population": "t", "method": "landmark", "reason": "one peak"},
        {"sample_id": "S-2_BL", "population": "t"},
        {"sample_id": "S-2_BL", "population": "nk", "held": True},
    )
    gates = CohortView(Source(profile)).gates
    t, nk, lymphocytes = (gates.of(name, "pct_parent") for name in ("t", "nk", "lymphocytes"))
    assert (t.visits, t.marked, dict(t.kinds)) == (3, 2, {"drawn": 0, "template": 1, "fallback": 1, "held": 1})
    assert (nk.visits, nk.marked, dict(nk.kinds)) == (3, 1, {"drawn": 0, "template": 0, "fallback": 0, "held": 1})
    assert lymphocytes.marked == 0  # children do not touch their parent
    above = CohortView(
        Source(with_cuts(made, {"sample_id": "S-2_BL", "population": "lymphocytes", "held": True}))
    ).gates
    assert {name: above.of(name, "pct_parent").marked for name in ("t", "nk")} == {"t": 1, "nk": 1}
    assert above.mark("t", "pct_parent") == "‡"
    assert above.of("no such population", "pct_parent").visits == 0


def test_the_page_marks_names_and_says_in_how_many_visits(made: ip.Profile) -> None:
    profile = with_cuts(
        made,
        {"sample_id": "S-1_D14", "population": "t", "method": "template", "reason": "one peak"},
        {"sample_id": "S-2_BL", "population": "t", "held": True},
    )
    page = words(ip.report.cohort(profile).html)
    assert "‡ Gates to know of" in page
    footnote = page[page.index("‡ Gates to know of") :]
    assert "1 of 3 visits with a gate that kept the value of the template" in footnote
    assert "1 of 3 visits with a frozen gate of which no control tells whether the instrument moved" in footnote
    assert "T cells‡" in page
    assert "NK cells‡" not in page
    assert "‡ gates to know of, see below" in page
    plain = words(ip.report.cohort(made).html)
    assert "‡" not in plain


def test_gates_drawn_anew_are_among_them(made: ip.Profile, tmp_path: Path) -> None:
    write_study(tmp_path / "study")
    write_gates(tmp_path / "study" / "gating")
    draw(tmp_path)
    study = ip.read_study(tmp_path / "study")
    profile = ip.profile(study, ip.gate.load(tmp_path / "study" / "gating"), out=tmp_path / "results")
    known = CohortView(Source(profile)).gates.of("t", "pct_parent")
    assert known.words == "1 of 3 visits with a gate drawn anew by a person"
    assert "1 of 3 visits with a gate drawn anew by a person" in words(ip.report.cohort(profile).html)


def test_a_frozen_gate_without_a_control_is_recorded_as_held(tmp_path: Path) -> None:
    head, *rows = TABLES["samples"].splitlines()
    batches = ("B01", "B02", "B01")
    text = head + ",batch_id\n" + "".join(f"{row},{batch}\n" for row, batch in zip(rows, batches, strict=True))
    study = ip.read_study(write_study(tmp_path / "study", samples=text))
    gates = ip.gate.load(write_gates(tmp_path / "gates"))
    placed = gates["t"].with_gate(replace(gates["t"]["t"], method="mindensity"))
    made = ip.profile(study, gates.with_strategy(placed), out=tmp_path / "results")
    table = made.tables["placement"].set_index("sample_id")
    assert table["held"].to_dict() == {"S-1_BL": False, "S-1_D14": True, "S-2_BL": False}
    assert "has no control aliquot" in table.loc["S-1_D14", "note"]
