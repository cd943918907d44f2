"""Findings of single files as rows of quality.csv: flow rate, compensation, missing tubes, re-runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from immunoprofile import schema

if TYPE_CHECKING:
    import pandas as pd

FLOW_LIMITS = "pass 0, warn above"
COMP_LIMITS = "pass 1 (matrix applied, declared compensated, or one fluorochrome), warn 0"


@dataclass(frozen=True)
class FileFinding:
    """What a run found out about the file of one tube.

    Attributes
    ----------
    usubjid, visit, tube, sample_id
        Which file.
    flow_pct_time
        Per cent of the acquisition time with an unstable flow rate; None when not assessable.
    comp_source
        ``keyword``, ``none`` or ``compensated``.
    fluorochromes
        Number of fluorescence channels of the file.
    attempt
        Number of the acquisition that is used; above 1 it was run again.
    """

    usubjid: str
    visit: str
    tube: str
    sample_id: str
    flow_pct_time: float | None
    comp_source: str
    fluorochromes: int
    attempt: int | None


def file_findings(found: Iterable[FileFinding], expected: Mapping[tuple[str, str], Iterable[str]]) -> pd.DataFrame:
    """Rows of quality.csv for the files of a study.

    Parameters
    ----------
    found
        One finding for each tube that was gated.
    expected
        (subject, visit) -> tubes of the study; a tube without a finding is missing.

    Returns
    -------
    pandas.DataFrame
        `schema.QUALITY_COLUMNS`.
    """
    import pandas as pd

    rows: list[tuple[object, ...]] = []
    measured: set[tuple[str, str, str]] = set()
    for file in found:
        measured.add((file.usubjid, file.visit, file.tube))
        place = (file.usubjid, file.visit, file.tube, file.sample_id)
        if file.flow_pct_time is None:
            flow = (math.nan, "NOT_EVALUABLE", "TIME_NOT_ASSESSABLE")
        else:
            flow = (file.flow_pct_time, "WARN", "FLOW_RATE") if file.flow_pct_time > 0 else (0.0, "PASS", "")
        rows.append((*place, "flow_rate", flow[0], "% of time unstable", FLOW_LIMITS, *flow[1:]))
        compensated = file.comp_source != "none" or file.fluorochromes <= 1
        state = ("PASS", "") if compensated else ("WARN", "COMP_NONE")
        rows.append((*place, "compensation", float(compensated), "", COMP_LIMITS, *state))
        if file.attempt is not None and file.attempt > 1:
            rows.append((*place, "attempt", float(file.attempt), "", "number of the acquisition that is used", "PASS", "RERUN"))
    for (usubjid, visit), tubes in expected.items():
        for tube in tubes:
            if (usubjid, visit, tube) not in measured:
                rows.append((usubjid, visit, tube, "", "tube", math.nan, "", "every tube of the study", "WARN", "TUBE_MISSING"))
    return pd.DataFrame(rows, columns=list(schema.QUALITY_COLUMNS)).astype({"value": "float64"})
