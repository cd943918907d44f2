"""Overrides: the computed state stays, a reason is needed, and nothing is overridden by accident."""

from __future__ import annotations

import pandas as pd
import pytest

from immunoprofile import pp
from immunoprofile.errors import StudyError
from immunoprofile.pp.overrides import ADDED_COLUMNS, OVERRIDE_COLUMNS, apply_overrides
from immunoprofile.schema import QUALITY_COLUMNS
from tests.pp.visits_object import samples_table, tube_counts, visits_object


def judged():  # type: ignore[no-untyped-def]
    """Singlets of one tube are too few: a technical failure."""
    adata = visits_object()
    pp.absolute(adata)
    tubes = tube_counts(adata)
    bad = (tubes["sample_id"] == "S1-D14-treg") & (tubes["population"] == "singlets")
    tubes.loc[bad, "n"] = 10_000
    return adata, pp.verdict(adata, tubes, samples_table(tubes))


def table(*rows: dict[str, str | None]) -> pd.DataFrame:
    usual = {
        "usubjid": "S1", "visit": "D14", "tube_id": "treg", "check": "singlets", "state": "WARN",
        "reason": "clumps seen under the microscope, re-gated", "author": "P07", "dtc": "2024-03-02",
    }  # fmt: skip
    return pd.DataFrame([usual | row for row in rows], columns=list(OVERRIDE_COLUMNS))


def test_the_computed_state_stays_beside_the_one_that_was_set() -> None:
    adata, quality = judged()
    pp.summarise(adata, quality)
    assert adata.obs["qc_status"].tolist() == ["PASS", "FAIL", "PASS", "PASS"]
    done = apply_overrides(quality, table({}))
    assert tuple(done.columns) == (*QUALITY_COLUMNS, *ADDED_COLUMNS)
    (row,) = done[done["override_reason"] != ""].to_dict("records")
    assert (row["sample_id"], row["check"]) == ("S1-D14-treg", "singlets")
    assert (row["state"], row["computed_state"]) == ("WARN", "FAIL")
    assert row["flag"] == "SINGLETS_LOW OVERRIDE"
    assert (row["override_author"], row["override_dtc"]) == ("P07", "2024-03-02")
    others = done["override_reason"] == ""
    assert (done.loc[others, "state"] == done.loc[others, "computed_state"]).all()
    pd.testing.assert_frame_equal(done.loc[others, list(QUALITY_COLUMNS)], quality.loc[others])
    pp.summarise(adata, done)
    assert adata.obs["qc_status"].tolist() == ["PASS", "WARN", "PASS", "PASS"]
    assert adata.obs["flags"].str.contains("OVERRIDE").tolist() == [False, True, False, False]
    # the statistics take the row again
    assert not any(pp_failed(adata))
    pp.summarise(adata, quality)
    assert not adata.obs["flags"].str.contains("OVERRIDE").any()


def pp_failed(adata) -> list[bool]:  # type: ignore[no-untyped-def]
    from immunoprofile.pp.verdict import failed_rows

    return list(failed_rows(adata, "treg"))


def test_a_check_of_the_visit_and_of_an_endpoint() -> None:
    _, quality = judged()
    rows = table({"tube_id": "", "check": "events treg", "state": "FAIL"}, {"tube_id": None, "check": "abs_sum"})
    done = apply_overrides(quality, rows)
    changed = done[done["override_reason"] != ""]
    assert changed["check"].tolist() == ["abs_sum", "events treg"]
    assert changed["state"].tolist() == ["WARN", "FAIL"]
    assert changed["computed_state"].tolist() == ["PASS", "PASS"]


def test_no_overrides() -> None:
    _, quality = judged()
    for nothing in (None, table()):
        done = apply_overrides(quality, nothing)
        assert (done["state"] == done["computed_state"]).all()
        assert set(done["override_reason"]) == {""}


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"reason": None}, "needs its reason"),
        ({"reason": "  "}, "needs its reason"),
        ({"author": None}, "needs its author"),
        ({"state": "NOT_EVALUABLE"}, "no state that a person can set"),
        ({"state": "ok"}, "no state that a person can set"),
        ({"check": "singlet"}, "no such check"),
        ({"tube_id": None}, "no such check"),
        ({"visit": "W4"}, "no such check"),
    ],
)
def test_what_is_refused(row: dict[str, str | None], what: str) -> None:
    _, quality = judged()
    with pytest.raises(StudyError, match=what):
        apply_overrides(quality, table(row))


def test_all_problems_are_told_at_once() -> None:
    _, quality = judged()
    with pytest.raises(StudyError) as raised:
        apply_overrides(quality, table({}, {}, {"reason": None}, {"state": "ok"}))
    assert len(raised.value.problems) == 5  # three repeat the first row
    with pytest.raises(StudyError, match="columns are missing: reason"):
        apply_overrides(quality, table({}).drop(columns="reason"))
