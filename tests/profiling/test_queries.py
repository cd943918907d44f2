"""Queries go out with the results and come back with their answers."""

from __future__ import annotations

import pandas as pd

from immunoprofile import schema
from immunoprofile.io.exceptions import Exceptions
from immunoprofile.profiling.queries import join_queries

EMPTY = pd.DataFrame(columns=list(schema.TABLES["queries"].column_names)).astype({"closed": "boolean"})


def exceptions() -> pd.DataFrame:
    notes = Exceptions("gating")
    notes.add("error", "FILE_UNREADABLE", "cut", sample_id="S1_D14_treg", usubjid="S1", visit="D14")
    notes.add("warning", "CBC_AMBIGUOUS", "two counts", usubjid="S2", visit="BL")
    notes.add("note", "ATTEMPT_NOT_USED", "nobody has to answer this", sample_id="S1_BL_treg")
    return notes.table()


def quality() -> pd.DataFrame:
    rows = [("S3", "D7", "count", "S3_D7_count", "channel_swap", 1.0, "", "", "FAIL", "CHANNEL_SWAP")]
    return pd.DataFrame(rows, columns=list(schema.QUALITY_COLUMNS))


def test_a_run_asks_once_and_keeps_answers() -> None:
    first = join_queries(EMPTY, exceptions(), quality())
    assert first["record"].tolist() == ["S1_D14_treg", "S2 BL", "S3_D7_count"]
    assert not first["closed"].any()
    answered = first.copy()
    answered.loc[1, ["answer", "owner"]] = ["the one of 08:10", "INV01"]
    answered.loc[1, "closed"] = True
    again = join_queries(answered, exceptions(), quality())
    pd.testing.assert_frame_equal(again, answered)


def test_queries_of_people_come_first() -> None:
    own = pd.DataFrame([("S9 BL", "Was the patient fasting?", "CRA1", None, False)], columns=EMPTY.columns)
    joined = join_queries(own.astype({"closed": "boolean"}), exceptions(), quality().iloc[:0])
    assert joined["record"].tolist() == ["S9 BL", "S1_D14_treg", "S2 BL"]
