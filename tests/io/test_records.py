"""Clean cells: every way in which pandas writes a missing value is one blank of its kind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from immunoprofile import schema
from immunoprofile.io.records import Parts, Rows, cells, numbered, records

MISSING = [None, pd.NA, math.nan, np.nan, pd.NaT]


@pytest.mark.parametrize("missing", MISSING, ids=repr)
def test_a_missing_cell_is_one_blank_of_its_kind(missing: Any) -> None:
    table = pd.DataFrame({"usubjid": ["S1", missing], "value": [1, missing], "fasting": [True, missing]}, dtype=object)
    first, second = records(table, "labs")
    assert (first["usubjid"], first["value"], first["fasting"]) == ("S1", 1.0, True)
    assert second["usubjid"] == ""
    assert math.isnan(second["value"])
    assert second["fasting"] is None


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.Series([1, None], dtype="Int64"), [1.0, None]),
        (pd.Series([1.5, None]), [1.5, None]),
        (pd.Series(["a", None], dtype="category"), ["a", ""]),
        (pd.Series(["a", None], dtype="string"), ["a", ""]),
        (pd.Series([True, None], dtype="boolean"), [True, None]),
        (pd.Series([True, False]), [True, False]),
    ],
)
def test_a_column_without_schema_has_the_kind_of_its_dtype(column: pd.Series, expected: list[Any]) -> None:
    found = [None if isinstance(one, float) and math.isnan(one) else one for one in cells(column)]
    assert found == expected
    assert all(type(one) in (str, float, bool, type(None)) for one in cells(column))


def test_the_schema_decides_over_the_dtype() -> None:
    """Versions that pandas took for integers stay text; numbers in text become numbers; 1 and "Y" say yes."""
    table = pd.DataFrame({"version": [1], "lower_day": ["7"]})
    (row,) = records(table, "virology_rules")
    assert (row["version"], row["lower_day"]) == ("1", 7.0)
    assert cells(pd.Series(["Y", "N", "true", "FALSE", 1, 0, "perhaps"], dtype=object), "flag") == [
        True, False, True, False, True, False, None,
    ]  # fmt: skip


def test_columns_that_the_table_lacks_are_missing() -> None:
    (row,) = records(pd.DataFrame({"usubjid": ["S1"]}), "subjects")
    assert set(row) == {column.name for column in schema.TABLES["subjects"].columns}
    assert row["sex"] == ""
    assert math.isnan(row["age_y"])


def test_every_table_of_the_schema_has_kinds() -> None:
    for name, spec in schema.TABLES.items():
        assert set(spec.column_names) <= set(schema.cell_kinds(name))
    for name, result in schema.RESULT_TABLES.items():
        kinds = schema.cell_kinds(name)
        assert [kinds[column] for column in result.numbers] == ["number"] * len(result.numbers)
        assert [kinds[column] for column in result.flags] == ["flag"] * len(result.flags)
    assert {name for name, kind in schema.cell_kinds("statistics").items() if kind == "text"} == set(
        schema.STATISTIC_TEXT
    )


def test_a_table_that_the_schema_does_not_know_is_refused() -> None:
    """A wrong name would give every column the kind of its dtype, and an id of digits would be a number."""
    table = pd.DataFrame({"usubjid": [7]})
    for rows in (records, lambda *given: list(numbered(*given))):
        with pytest.raises(ValueError, match="no table 'subject'; near: subjects"):
            rows(table, "subject")
    assert records(table) == [{"usubjid": 7.0}]
    assert records(table, "subjects")[0]["usubjid"] == "7"


def test_runs_of_the_plan_have_their_counts_as_numbers_and_all_else_as_text() -> None:
    kinds = schema.cell_kinds(schema.UNS_PLAN_RUNS)
    assert tuple(kinds) == schema.PLAN_RUN_COLUMNS
    assert {name for name, kind in kinds.items() if kind == "number"} == {"rows", "not_estimable", "subjects"}


def test_rows_are_records_without_a_list_of_them() -> None:
    table = pd.DataFrame({
        "usubjid": ["S2", "S1", "S2", None], "visit": ["A", "A", "B", "A"], "value": [1.5, math.nan, 3, 4],
        "fasting": [True, None, False, True],
    })  # fmt: skip
    rows, expected = Rows(table, "labs"), records(table, "labs")
    assert len(rows) == 4
    for found in (list(rows), [rows[place] for place in range(4)], rows[:], rows.at(range(-4, 0))):
        assert repr(found) == repr(expected)
    assert all(type(row["value"]) is float for row in rows[:])
    assert rows.about("S2", "usubjid") == [expected[0], expected[2]]
    assert rows.about(("S2", "B"), "usubjid", "visit") == [expected[2]]
    assert rows.about("S3", "usubjid") == []
    assert (rows.cell(0, "value"), rows.cell(0, "unit"), rows.cell(0, "no such", "x")) == (1.5, "", "x")
    assert rows.column("unit") == [""] * 4
    with pytest.raises(IndexError):
        rows[4]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 9000])
def test_rows_are_made_in_pieces(size: int) -> None:
    rows = Rows(pd.DataFrame({"number": range(size), "word": [str(one) for one in range(size)]}))
    assert list(rows) == [{"number": float(one), "word": str(one)} for one in range(size)]


def test_rows_of_text_share_the_cells_of_their_table() -> None:
    import tracemalloc

    words = [f"a word of {one}" for one in range(20_000)]
    table = pd.DataFrame({name: words for name in "abcdefgh"})
    tracemalloc.start()
    rows = Rows(table)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert rows[7]["c"] is words[7]
    assert used < 100_000, "a list of the rows takes 10 MB"


def test_parts_of_a_table_are_its_rows_in_order() -> None:
    table = pd.DataFrame({"usubjid": ["S2", "S1", "S2", None], "visit": ["A", "A", "B", "A"], "n": range(4)})
    table["visit"] = table["visit"].astype("category")
    both, one = Parts(table, "usubjid", "visit"), Parts(table, "usubjid")
    pd.testing.assert_frame_equal(both.of("S2", "B"), table[2:3])
    pd.testing.assert_frame_equal(one.of("S2"), table.iloc[[0, 2]])
    assert one.of("S3").empty
    assert list(both.of("S1", "B").columns) == list(table.columns)
