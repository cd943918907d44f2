"""What is known of the files of a visit: missing tubes, re-runs, flow rate, compensation; as rows of checks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from immunoprofile.compensation import Finding
from immunoprofile.pp.verdict import quality_checks
from immunoprofile.schema import QUALITY_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from immunoprofile.pp.verdict import Check

Row = tuple[str, str, str, str, str, float, str, str, str, str]


def file_findings(
    files: pd.DataFrame,
    tubes: Sequence[str],
    samples: pd.DataFrame,
    *,
    limits: Mapping[str, Mapping[str, Sequence[float | None]]] | None = None,
) -> pd.DataFrame:
    """Findings about the files that were used.

    Parameters
    ----------
    files
        One row an acquisition that was chosen: ``usubjid``, ``visit``, ``tube``, ``sample_id``, ``flow_pct_time`` (per
        cent of the time at an unstable flow rate, missing = not assessable) and ``comp_source`` (``keyword``,
        ``file ...``, ``controls ...``, ``compensated``, ``none``). Where it is there, ``comp_finding`` holds the
        `immunoprofile.compensation.Finding` on whether the events were compensated already, or None.
    tubes
        Tubes that the study plans for a visit.
    samples
        The samples table; its rows of role ``sample`` say which visits have a tube and which tubes were run again.
    limits
        Other limits, see :func:`immunoprofile.pp.quality_checks`.

    Returns
    -------
    DataFrame with ``schema.QUALITY_COLUMNS``: ``tube_present`` and ``attempts`` for every tube of every visit,
    ``flow_rate`` and ``compensation`` for every file, ``already_compensated`` where a matrix was applied that nobody
    declared. A missing tube warns: its populations are missing, the others
    are as good as ever. Without a matrix the compensation warns and is told as none.
    """
    import pandas as pd

    flow = quality_checks(limits)["flow_rate"]
    used = {(str(row["usubjid"]), str(row["visit"]), str(row["tube"])): row for row in files.to_dict("records")}
    own = samples[(samples["role"] == "sample") & samples["usubjid"].notna() & samples["visit"].notna()]
    attempts: dict[tuple[str, str, str], int] = {}
    for subject, visit, tube in zip(own["usubjid"], own["visit"], own["tube_id"], strict=True):
        key = (str(subject), str(visit), str(tube))
        attempts[key] = attempts.get(key, 0) + 1
    visits = sorted({key[:2] for key in attempts} | {key[:2] for key in used})
    rows: list[Row] = []
    for subject, visit in visits:
        for tube in tubes:
            key = (subject, visit, tube)
            number = attempts.get(key, 0)
            found = used.get(key)
            sample_id = "" if found is None else str(found["sample_id"])
            place = (subject, visit, tube, sample_id)
            missing = ("WARN", "TUBE_MISSING") if found is None else ("PASS", "")
            rows.append((*place, "tube_present", 0.0 if found is None else 1.0, "tubes", "pass 1", *missing))
            if found is None:
                continue
            rerun = "RERUN" if number > 1 else ""
            rows.append((*place, "attempts", float(number), "files", "told when more than 1", "PASS", rerun))
            rows.append((*place, *_flow(found["flow_pct_time"], flow)))
            rows.append((*place, *_compensation(found["comp_source"])))
            if isinstance(asked := found.get("comp_finding"), Finding):
                rows.append((*place, asked.check, asked.value, asked.unit, asked.limits, asked.state, asked.flag))
    return pd.DataFrame(rows, columns=list(QUALITY_COLUMNS)).astype({"value": "float64"})


def _flow(value: float | None, check: Check) -> tuple[str, float, str, str, str, str]:
    share = math.nan if value is None else float(value)
    state = check.state(share)
    flag = {"PASS": "", "NOT_EVALUABLE": "TIME_NOT_ASSESSABLE"}.get(state, check.flag)
    return check.name, share, check.unit, check.limits, state, flag


def _compensation(source: object) -> tuple[str, float, str, str, str, str]:
    """Applied or not; a file without a matrix, or compensated before, warns and is told as none (decisions 10)."""
    if not isinstance(source, str) or not source:
        return "compensation", math.nan, "matrices", "pass 1", "NOT_EVALUABLE", "COMP_NONE"
    applied = source not in ("none", "compensated")
    state, flag = ("PASS", "") if applied else ("WARN", "COMP_NONE")
    return "compensation", float(applied), "matrices", "pass 1", state, flag
