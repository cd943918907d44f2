"""Days, anchors and nearness in time: study day, days since ganciclovir, baseline row, blood count of a draw."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from immunoprofile import schema
from immunoprofile.io.dates import days_between, drawn_before, first_dose, hours_apart
from immunoprofile.io.records import records, text_of

if TYPE_CHECKING:
    from immunoprofile.study import Study

BLOOD_COUNT = ("ALC", "WBC", "LYMPH_PCT")
"""Laboratory tests of which a blood count is made."""
CBC_WITHIN_H = 24.0
"""A blood count belongs to a draw when it was taken within so many hours of it: lymphocytes change from day to day."""


def anchor_date(subject: pd.Series[Any], anchor: str) -> str:
    """Day 1 of a subject on the immunology time axis as ISO text; empty when it is not known."""
    first_il2, randomised = text_of(subject["first_il2_dtc"]), text_of(subject["randomised_dtc"])
    if anchor == "first_il2":
        return first_il2
    if anchor == "randomised":
        return randomised
    return first_il2 or randomised


def study_day(subject: pd.Series[Any], dtc: Any, anchor: str) -> int | None:
    """Study day: 1 on the day of the anchor, -1 on the day before; there is no day 0."""
    difference = days_between(anchor_date(subject, anchor), dtc)
    if difference is None:
        return None
    return difference + 1 if difference >= 0 else difference


def baseline_rows(obs: pd.DataFrame, study: Study, measured: Collection[Any]) -> list[bool]:
    """Which rows are baseline: the last measured visit drawn before the first dose of either study drug.

    Parameters
    ----------
    obs
        Rows with ``usubjid``, ``visit``, ``visitnum`` and ``collected_dtc``.
    study
        Gives the first doses; a subject without one has the visit that the schedule calls baseline.
    measured
        Names of the rows with at least one gated tube; the others cannot be baseline.
    """
    chosen: set[Any] = set()
    usable = obs[obs.index.isin(list(measured))]
    for usubjid, group in usable.groupby("usubjid", sort=False):
        dose = first_dose(study.subject(str(usubjid)).to_dict())
        scheduled = group.index[group["visit"] == study.config.baseline_visit]
        if not dose:
            chosen.update(scheduled[:1])
            continue
        before = group[[drawn_before(drawn, dose) for drawn in group["collected_dtc"]]]
        # Of several draws before the dose the last; of several at one time the scheduled baseline visit.
        ordered = before.assign(_scheduled=before.index.isin(scheduled)).sort_values(
            ["collected_dtc", "_scheduled", "visitnum"], kind="stable"
        )
        chosen.update(ordered.index[-1:])
    return [name in chosen for name in obs.index]


@dataclass(frozen=True)
class BloodCount:
    """Blood count that belongs to a draw: cells/uL, NaN without one.

    ``ambiguous`` says that several counts are equally near and disagree; none of them is taken then.
    """

    alc: float = float("nan")
    wbc: float = float("nan")
    hours: float = float("nan")
    ambiguous: bool = False


def blood_count(labs: pd.DataFrame, usubjid: str, drawn_dtc: Any) -> BloodCount:
    """Lymphocytes and white cells of the blood count nearest to a draw, within 24 h.

    A count is one draw of one laboratory. Its lymphocytes are the analyser's absolute count, else white cells x per
    cent of lymphocytes of the same draw; values of different draws are never combined. The nearest count that gives
    lymphocytes is taken, else the nearest that gives white cells.
    """
    own = labs[(labs["usubjid"] == usubjid) & labs["test"].isin(BLOOD_COUNT) & labs["value"].notna()]
    counts = []
    for key, rows in own.groupby([own["collected_dtc"].fillna(""), own["lab_id"].fillna("")], sort=True):
        hours = hours_apart(drawn_dtc, key[0])
        if not hours <= CBC_WITHIN_H:
            continue
        values = {
            row["test"]: row["value"] * schema.LAB_UNITS[row["test"]][1][row["unit"]] for row in records(rows, "labs")
        }
        wbc = values.get("WBC", np.nan) * 1000.0
        alc = values["ALC"] * 1000.0 if "ALC" in values else wbc * values.get("LYMPH_PCT", np.nan) / 100.0
        counts.append(BloodCount(alc, wbc, hours))
    with_lymphocytes = [count for count in counts if not np.isnan(count.alc)] or counts
    if not with_lymphocytes:
        return BloodCount()
    nearest = min(count.hours for count in with_lymphocytes)
    candidates = [count for count in with_lymphocytes if count.hours == nearest]
    if any(not _same_count(candidates[0], other) for other in candidates[1:]):
        return BloodCount(ambiguous=True)
    return candidates[0]


def _same_count(one: BloodCount, other: BloodCount) -> bool:
    return bool(np.isclose(one.alc, other.alc, equal_nan=True) and np.isclose(one.wbc, other.wbc, equal_nan=True))
