"""Cells that a spreadsheet would run."""

from __future__ import annotations

import csv
import io

import hypothesis
import pandas as pd
import pytest
from hypothesis import strategies as st

import immunoprofile as ip
from immunoprofile.io.files import write_table
from immunoprofile.io.formula_cells import guarded, guarded_table, is_formula, unguarded, unguarded_table
from tests.small_study import write_gates, write_study

RUN = [
    "=1+1",
    '=HYPERLINK("#A1")',
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "-a note",
    "++",
    "\t=1",
    "=-",
    "+CD4",
]
NOT_RUN = ["", "-", "+", "=", "@", "-5", "+3.2", "-1,234.5", "-1.5e-3", "-5 %", "<137", "a=b", "'", "'x", "10 to 20"]


@pytest.mark.parametrize("text", RUN)
def test_formulas_are_written_as_text_and_read_back(text):
    assert is_formula(text)
    assert guarded(text) == f"'{text}"
    assert unguarded(guarded(text)) == text
    assert not is_formula(guarded(text))


@pytest.mark.parametrize("text", NOT_RUN)
def test_other_cells_stay(text):
    assert not is_formula(text)
    assert guarded(text) == text == unguarded(text)


@hypothesis.given(text=st.text(alphabet="'=+-@\t1.,ea %", max_size=8))
def test_what_is_written_is_read_and_never_run(text):
    assert unguarded(guarded(text)) == text
    assert not is_formula(guarded(text))


def test_tables_keep_numbers_missing_cells_and_categories():
    table = pd.DataFrame(
        {"n": [-1.5, float("nan"), 2.0], "text": ["=1+1", None, "-"], "kind": pd.Categorical(["+a", "b", "+a"])}
    )
    written = guarded_table(table)
    assert written["text"].tolist()[0] == "'=1+1"
    assert written["n"].equals(table["n"])
    pd.testing.assert_frame_equal(unguarded_table(written), table.astype({"kind": object}))
    assert guarded_table(table[["n"]]) is not None
    assert table["text"][0] == "=1+1", "the table of the caller stays as it is"


def test_a_formula_in_a_study_is_named_and_comes_back_as_it_was(tmp_path):
    question = '=1+HYPERLINK("#A1")'
    buffer = io.StringIO()
    csv.writer(buffer).writerows(
        [["record", "question", "owner", "answer", "closed"], ["S-1_BL", question, "site", "", "N"]]
    )
    write_study(tmp_path / "study", queries=buffer.getvalue())
    study = ip.read_study(tmp_path / "study")
    named = study.exceptions[study.exceptions["code"] == "FORMULA_CELL"]
    assert named[["table", "row"]].astype(str).to_numpy().tolist() == [["queries", "1"]]
    assert "column question" in named["message"].item()
    profile = ip.profile(study, ip.gate.load(write_gates(tmp_path / "gates")), out=tmp_path / "out")
    cells = [
        cell
        for path in (tmp_path / "out").rglob("*.csv")
        if path.parent.name != "templates"
        for row in csv.reader(path.open(newline="", encoding="utf-8"))
        for cell in row
    ]
    assert [cell for cell in cells if is_formula(cell)] == []
    assert "'" + question in cells
    again = ip.read_results(tmp_path / "out")
    assert again.tables["queries"]["question"].tolist()[0] == question
    assert again.study.queries["question"].tolist() == [question] == profile.study.queries["question"].tolist()
    # Copied into the study folder it is read as the same question, not as another one.
    (tmp_path / "study" / "queries.csv").write_bytes((tmp_path / "out" / "queries.csv").read_bytes())
    assert ip.read_study(tmp_path / "study").queries["question"].tolist()[0] == question


def test_writing_a_table_writes_text(tmp_path):
    write_table(tmp_path / "t.csv", pd.DataFrame({"a": ["=1", "x"], "b": [-1, 2]}))
    assert (tmp_path / "t.csv").read_text() == "a,b\n'=1,-1\nx,2\n"
