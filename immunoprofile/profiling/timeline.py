"""Days, anchors and nearness in time: study day, days since ganciclovir, baseline row, blood count of a draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from immunoprofile import schema

if TYPE_CHECKING:
    from immunoprofile.study import Study

CBC_WITHIN_H = 24.0
"""A blood count belongs to a draw when it was taken at most this many hours from it (decisions 27)."""


def _date(text: Any) -> pd.Timestamp | None:
    """Calendar day of an ISO text; None when the day is not known."""
    return None if pd.isna(text) or len(str(text)) < 10 else pd.Timestamp(str(text)[:10])


def anchor_date(subject: pd.Series[Any], anchor: str) -> pd.Timestamp | None:
    """Day 1 of a subject on the immunology time axis."""
    first_il2, randomised = _date(subject["first_il2_dtc"]), _date(subject["randomised_dtc"])
    if anchor == "first_il2":
        return first_il2
    if anchor == "randomised":
        return randomised
    return first_il2 if first_il2 is not None else randomised


def study_day(subject: pd.Series[Any], dtc: Any, anchor: str) -> int | None:
    """Study day: 1 on the day of the anchor, -1 on the day before; there is no day 0."""
    start, day = anchor_date(subject, anchor), _date(dtc)
    if start is None or day is None:
        return None
    difference = (day - start).days
    return difference + 1 if difference >= 0 else difference


def days_since(start_dtc: Any, dtc: Any) -> int | None:
    """Whole days from one date to another (0 on the same day); None when one is not known."""
    start, day = _date(start_dtc), _date(dtc)
    return None if start is None or day is None else (day - start).days


def baseline_rows(obs: pd.DataFrame, study: Study) -> list[bool]:
    """Which rows are baseline: the last visit on or before the day of the first dose of either study drug.

    Without a date of the first dose the visit that the schedule calls baseline is taken.
    """
    chosen: set[Any] = set()
    for usubjid, group in obs.groupby("usubjid", sort=False):
        first_dose = _date(study.subject(str(usubjid))["first_dose_dtc"])
        days = group["collected_dtc"].map(_date)
        scheduled = group.index[group["visit"] == study.config.baseline_visit]
        if first_dose is None:
            chosen.update(scheduled[:1])
            continue
        before = group[[day is not None and day <= first_dose for day in days]]
        # Of several, the last; the scheduled baseline wins on the same day since it is drawn before the dose.
        chosen.update(before.sort_values(["collected_dtc", "visitnum"], kind="stable").index[-1:])
    return [name in chosen for name in obs.index]


def blood_count(labs: pd.DataFrame, usubjid: str, drawn_dtc: Any) -> dict[str, float]:
    """Lymphocytes and white cells per uL of the blood count nearest to a draw, within 24 h; NaN without one.

    The analyser's absolute lymphocyte count is preferred; otherwise white cells x per cent of lymphocytes of one draw.
    A draw or a count without time of day is taken as belonging together on the same day.
    """
    result = {"alc": np.nan, "wbc": np.nan, "cbc_hours": np.nan}
    own = labs[(labs["usubjid"] == usubjid) & labs["test"].isin(("ALC", "WBC", "LYMPH_PCT")) & labs["value"].notna()]
    if own.empty or _date(drawn_dtc) is None:
        return result
    hours = own["collected_dtc"].map(lambda dtc: _hours_between(drawn_dtc, dtc))
    near = own[hours <= CBC_WITHIN_H]
    if near.empty:
        return result
    nearest = hours[near.index].min()
    values = {
        str(row.test): float(row.value) * schema.LAB_UNITS[str(row.test)][1][str(row.unit)]
        for row in near[hours[near.index] == nearest].itertuples()
    }
    wbc = values.get("WBC", np.nan) * 1000.0
    alc = values["ALC"] * 1000.0 if "ALC" in values else wbc * values.get("LYMPH_PCT", np.nan) / 100.0
    return {"alc": alc, "wbc": wbc, "cbc_hours": float(nearest)}


def _hours_between(first: Any, second: Any) -> float:
    if _date(first) is None or _date(second) is None:
        return float("inf")
    if len(str(first)) > 10 and len(str(second)) > 10:
        return abs((pd.Timestamp(str(first)) - pd.Timestamp(str(second))).total_seconds()) / 3600.0
    days = abs((pd.Timestamp(str(first)[:10]) - pd.Timestamp(str(second)[:10])).days)
    return 0.0 if days == 0 else 24.0 * days + 1e-9
