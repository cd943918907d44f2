"""Queries: questions to people that a run raises, joined to those that the study holds, answers kept."""

from __future__ import annotations

from typing import Final

import pandas as pd

from immunoprofile.io.records import records
from immunoprofile.schema import TABLES

_QUESTIONS: Final = {
    "CBC_AMBIGUOUS": "Which blood count belongs to this draw? Several are equally near and disagree.",
    "DUPLICATE_CONTENT": "To which sample does this file belong? Another sample has the same content.",
    "FILE_UNREADABLE": "Can the file be exported again? It could not be read.",
    "CHANNEL_SWAP": "Were two channels exchanged? They look swapped against the baseline tube.",
    "SAMPLE_SWAP": "Was the tube exchanged? Lymphocytes by flow and by blood count are far apart.",
    "COMP_ASK": "Are the events compensated already? Declare comp_source in samples.csv.",
}
"""Code of an exception or flag -> what a person has to answer."""

_COLUMNS: Final = list(TABLES["queries"].column_names)


def join_queries(study: pd.DataFrame, exceptions: pd.DataFrame, quality: pd.DataFrame) -> pd.DataFrame:
    """Queries of the study, and those that this run raises and the study does not hold yet.

    Parameters
    ----------
    study
        The table ``queries`` of the study. Its rows come first and stay as they are, with their answers; a query that
        was closed is not opened again.
    exceptions, quality
        Tables of the run; their codes and flags raise the questions.

    Returns
    -------
    DataFrame with the columns of ``queries``. Copied into the study folder as ``queries.csv`` it is read back, so that
    people answer and close queries there.
    """
    raised = [
        (row["sample_id"] or " ".join(part for part in (row["usubjid"], row["visit"]) if part), row["code"])
        for row in records(exceptions, "exceptions")
        if row["code"] in _QUESTIONS
    ]
    raised += [
        (row["sample_id"] or f"{row['usubjid']} {row['visit']}", flag)
        for row in records(quality, "quality")
        for flag in row["flag"].split()
        if flag in _QUESTIONS and row["state"] != "PASS"
    ]
    known = set(zip(study["record"], study["question"], strict=True))
    new = [(record, _QUESTIONS[code]) for record, code in dict.fromkeys(raised) if record]
    rows = [(*pair, None, None, False) for pair in dict.fromkeys(new) if pair not in known]
    added = pd.DataFrame(rows, columns=_COLUMNS).astype({"closed": "boolean"})
    return added if study.empty else pd.concat([study[_COLUMNS], added], ignore_index=True)
