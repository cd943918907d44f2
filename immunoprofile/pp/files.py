"""What is known of the files of a visit: missing tubes, re-runs, flow rate, compensation; as rows of checks."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from immunoprofile.io.records import cells, records
from immunoprofile.resources.checks import Finding, quality_checks, quality_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from immunoprofile.resources.checks import QualityRow, StudyLimits


def file_findings(
    files: pd.DataFrame,
    tubes: Sequence[str],
    samples: pd.DataFrame,
    *,
    limits: StudyLimits | None = None,
) -> pd.DataFrame:
    """Findings about the files that were used.

    Parameters
    ----------
    files
        One row an acquisition that was chosen: ``usubjid``, ``visit``, ``tube``, ``sample_id``, ``flow_pct_time`` (per
        cent of the time at an unstable flow rate, missing = not assessable) and ``comp_source`` (``keyword``,
        ``file ...``, ``controls ...``, ``compensated``, ``none``).
    tubes
        Tubes that the study plans for a visit.
    samples
        The samples table; its rows of role ``sample`` say which visits have a tube and which tubes were run again.
    limits
        Other limits, see :func:`immunoprofile.pp.quality_checks`.

    Returns
    -------
    DataFrame with ``schema.QUALITY_COLUMNS``: ``tube_present`` and ``attempts`` for every tube of every visit,
    ``flow_rate`` and ``compensation`` for every file. A missing tube warns: its populations are missing, the others are
    as good as ever. Without a matrix the compensation warns and is told as none: one fluorochrome needs none.
    """
    checks = quality_checks(limits)
    files = files.assign(flow_pct_time=cells(files["flow_pct_time"], "number"))
    used = {(row["usubjid"], row["visit"], row["tube"]): row for row in records(files)}
    attempts = Counter(
        (row["usubjid"], row["visit"], row["tube_id"])
        for row in records(samples, "samples")
        if row["role"] == "sample" and row["usubjid"] and row["visit"]
    )
    visits = sorted({key[:2] for key in attempts} | {key[:2] for key in used})
    rows: list[QualityRow] = []
    for subject, visit in visits:
        for tube in tubes:
            file = used.get((subject, visit, tube))
            found = [checks["tube_present"].judge(0.0 if file is None else 1.0)]
            sample_id = ""
            if file is not None:
                sample_id = str(file["sample_id"])
                found += [
                    _attempts(attempts[subject, visit, tube]),
                    checks["flow_rate"].judge(file["flow_pct_time"], unknown_flag="TIME_NOT_ASSESSABLE"),
                    checks["compensation"].judge(_matrices(file["comp_source"]), unknown_flag="COMP_NONE"),
                ]
            rows += [finding.row(subject, visit, tube, sample_id) for finding in found]
    return quality_table(rows)


def _attempts(number: int) -> Finding:
    """How often a tube was run; it is told, never judged."""
    rerun = "RERUN" if number > 1 else ""
    return Finding("attempts", "PASS", float(number), "files", "told when more than 1", flag=rerun)


def _matrices(source: str) -> float:
    """Matrices that were applied: none in a file without one or compensated before; NaN when that is unknown."""
    if not source:
        return math.nan
    return float(source not in ("none", "compensated"))
