"""Whether ganciclovir and valganciclovir were given as their labels say for the clearance, day by day."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.clinical.body import Bodies
from immunoprofile.clinical.courses import DAYS_PER_WEEK, days_from, dose_tables
from immunoprofile.clinical.doses import (
    ANTIVIRALS,
    Anchors,
    StudyDose,
    anchors,
    is_before_study,
    last_day_of,
    study_doses,
)
from immunoprofile.clinical.tables import HasClinical, day_of, observed_days
from immunoprofile.clinical.units import significant
from immunoprofile.errors import AnalysisError
from immunoprofile.io.records import records
from immunoprofile.schema import ADEQUACY_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

PHASES: Final = ("INDUCTION", "MAINTENANCE")
NO_DRUG: Final = "none"


@dataclass(frozen=True)
class _Clearance:
    """Clearance that holds from a creatinine on: point, and the span of ages that the study leaves open."""

    day: date
    point: float
    low: float
    high: float
    reason: str


@dataclass(frozen=True)
class _Judgement:
    """What is said of one day."""

    drug: str
    phase: str = ""
    crcl: float = math.nan
    label: float = math.nan
    actual: float = math.nan
    unit: str = ""
    adequacy: float = math.nan
    state: str = "UNKNOWN"
    pct_given: float = math.nan
    dosed: str = "UNKNOWN"
    reason: str = ""

    @property
    def key(self) -> str:
        """Text that is equal for equal days; NaN equals NaN."""
        return repr(self)


def label_dose(drug: str, crcl: float, phase: str) -> float:
    """Daily label dose at a creatinine clearance.

    Parameters
    ----------
    drug
        ``GCV`` (mg/kg/24 h, intravenous) or ``VGCV`` (mg/24 h, by mouth).
    crcl
        Clearance in mL/min, not rounded: the bands of ganciclovir begin at 70, 50, 25, 10 and 0, those of
        valganciclovir at 60, 40, 25 and 10.
    phase
        ``INDUCTION`` or ``MAINTENANCE``.

    Returns
    -------
    float
        NaN when the clearance is, or the label gives no dose.

    Raises
    ------
    AnalysisError
        Another drug or phase, or a negative clearance.

    Notes
    -----
    resources/doses.yaml. Doses twice or three times a week are spread over seven days.

    Examples
    --------
    >>> label_dose("GCV", 69.99, "INDUCTION")
    5.0
    """
    if drug not in ANTIVIRALS or phase not in PHASES or crcl < 0:
        raise AnalysisError(
            f"no label dose of {drug!r}, {phase!r} at {crcl:g} mL/min", where="dose adequacy",
            todo=f"drug: {', '.join(ANTIVIRALS)}; phase: {', '.join(PHASES)}; clearance: 0 or more",
        )  # fmt: skip
    if math.isnan(crcl):
        return math.nan
    band = next(band for band in dose_tables()["antivirals"][drug]["bands"] if crcl >= band["from"])
    name = phase.lower()
    if name in band.get("per_week", {}):
        return float(band["per_week"][name]) / DAYS_PER_WEEK
    return float(band.get(name, math.nan))


def adequacy_state(adequacy: float) -> str:
    """``UNDER``, ``ADEQUATE`` (0.8 to 1.25, limits included), ``ABOVE`` or ``UNKNOWN`` for NaN."""
    low, high = dose_tables()["antivirals"]["adequate"]
    ratio = significant(adequacy)
    if math.isnan(ratio):
        return "UNKNOWN"
    return "UNDER" if ratio < low else "ABOVE" if ratio > high else "ADEQUATE"


def dose_adequacy(study: HasClinical, clearance: pd.DataFrame) -> pd.DataFrame:
    """Whether the antiviral was dosed as its label says, over the days of treatment.

    Parameters
    ----------
    study
        Tables ``dosing``, ``subjects`` and ``visits``.
    clearance
        Result of `clinical.creatinine_clearance`.

    Returns
    -------
    DataFrame
        ``schema.ADEQUACY_COLUMNS``, one row per subject and interval in which nothing changes, from the first to the
        last day of ganciclovir or valganciclovir. ``adequacy`` is the daily dose over the label dose at the last
        clearance (at most 14 d old). ``appropriately_dosed`` is TRUE when that is 0.8 to 1.25 and at least 80 % of
        the planned doses were given, FALSE when either is not so, UNKNOWN with a ``reason`` when an input is missing.
        Days between two courses have no drug and are FALSE.

    Notes
    -----
    The phase is the one that dosing states. Where it states none, the first 14 days ask for the induction dose; from
    then on induction or maintenance is accepted, the one that fits better (induction lasts 14 to 21 days). Each drug
    is held against its own bands, so that a step-down to tablets is not under-dosing. On a day on which one course
    ends and another begins the larger of the two counts, otherwise doses of one day are added. A clearance whose band
    depends on an age that the study leaves open, or that is unstable, decides nothing.
    """
    import pandas as pd

    subjects = {row["usubjid"]: row for row in records(study.subjects, "subjects")}
    axes, spans, bodies = anchors(study), observed_days(study), Bodies(study.visits)
    clearances = _clearances(clearance)
    doses: dict[str, list[StudyDose]] = {}
    for one in study_doses(study):
        if one.drug in ANTIVIRALS and not is_before_study(one, subjects.get(one.usubjid, {})):
            doses.setdefault(one.usubjid, []).append(one)
    rows: list[dict[str, Any]] = []
    for usubjid in sorted(doses):
        axis = axes.get(usubjid, Anchors("", ""))
        if day_of(axis.virology) is None or usubjid not in spans:
            reason = "the day of the first ganciclovir is not known"
            rows.append(_row(usubjid, axis, None, None, _Judgement("+".join(sorted({d.drug for d in doses[usubjid]})),
                                                                   reason=reason)))  # fmt: skip
            continue
        judge = _Judge(doses[usubjid], clearances.get(usubjid, []), bodies, axis)
        for judgement, first, last in _intervals(judge, spans[usubjid][1]):
            rows.append(_row(usubjid, axis, first, last, judgement))
    frame = pd.DataFrame(rows, columns=list(ADEQUACY_COLUMNS))
    numbers = ["crcl", "label_dose", "actual_dose", "adequacy", "pct_given"]
    return frame.astype(dict.fromkeys(["from_day", "to_day"], "Int64") | dict.fromkeys(numbers, "float64"))


def _row(usubjid: str, axis: Anchors, first: date | None, last: date | None, said: _Judgement) -> dict[str, Any]:
    start, end = ("" if day is None else day.isoformat() for day in (first, last))
    return {
        "usubjid": usubjid, "from_day": axis.virology_day(start), "to_day": axis.virology_day(end),
        "from_date": start, "to_date": end, "drug": said.drug, "phase": said.phase, "crcl": said.crcl,
        "label_dose": said.label, "actual_dose": said.actual, "dose_unit": said.unit, "adequacy": said.adequacy,
        "adequacy_state": said.state, "pct_given": said.pct_given, "appropriately_dosed": said.dosed,
        "reason": said.reason,
    }  # fmt: skip


def _clearances(clearance: pd.DataFrame) -> dict[str, list[_Clearance]]:
    """Clearances of each subject by time; results of one time become one, with the widest span."""
    found: dict[str, list[_Clearance]] = {}
    for (usubjid, dtc), own in clearance.groupby(["usubjid", "collected_dtc"], sort=True):
        day = day_of(dtc)
        if day is None:
            continue
        reasons = [reason for reason in own["reason"] if reason]
        if bool(own["unstable"].any()):
            reasons.append("creatinine is unstable: the clearance is unreliable")
        # An unusable result hides the earlier one: its value is no longer what holds.
        missing = bool(reasons) or bool(own["crcl"].isna().any())
        low, point, high = (
            math.nan if missing else value
            for value in (own["crcl_low"].min(), own["crcl"].min(), own["crcl_high"].max())
        )
        found.setdefault(str(usubjid), []).append(_Clearance(day, point, low, high, "; ".join(reasons)))
    return found


def _intervals(judge: _Judge, last_seen: date) -> Iterator[tuple[_Judgement, date, date]]:
    starts = [one.course.start_low or one.course.start_high for one in judge.doses]
    first = min(day for day in (*starts, judge.first) if day is not None)
    last = max(last_day_of(one.course, last_seen) for one in judge.doses)
    days = days_from(first, max(first, last))
    for _, run in groupby(((day, judge.on(day)) for day in days), key=lambda pair: pair[1].key):
        held = list(run)
        yield held[0][1], held[0][0], held[-1][0]


class _Judge:
    """Judges the antiviral doses of one subject on a day."""

    def __init__(self, doses: list[StudyDose], clearances: list[_Clearance], bodies: Bodies, axis: Anchors) -> None:
        first = day_of(axis.virology)
        assert first is not None  # dose_adequacy asks before
        self.doses, self.clearances, self.bodies, self.first = doses, clearances, bodies, first
        self.table = dose_tables()["antivirals"]

    def on(self, day: date) -> _Judgement:
        """What can be said of a day."""
        active = [one for one in self.doses if _possible(one, day)]
        if not active:
            return _Judgement(NO_DRUG, adequacy=0.0, state="UNDER", dosed="FALSE",
                              reason="no dose is recorded between two courses")  # fmt: skip
        drug = "+".join(sorted({one.drug for one in active}))
        fractions = [significant(one.given_fraction) for one in active]
        pct = math.nan if any(math.isnan(one) for one in fractions) else 100 * min(fractions)
        said = replace(self._judge(day, active, drug), pct_given=significant(pct))
        enough = self.table["planned_given_at_least"]
        known_short = any(one < enough for one in fractions)
        if said.state in ("UNDER", "ABOVE") or known_short:
            reason = said.reason or (_SAYS.get(said.state, "") if not known_short else "")
            short = f"less than {100 * enough:g} % of the planned doses were given" if known_short else ""
            return replace(said, dosed="FALSE", reason="; ".join(part for part in (reason, short) if part))
        if said.state == "UNKNOWN":
            return said
        if math.isnan(pct):
            return replace(said, reason="doses_planned or doses_given is missing")
        return replace(said, dosed="TRUE")

    def _judge(self, day: date, active: list[StudyDose], drug: str) -> _Judgement:
        said = _Judgement(drug)
        unknown = [reason for one in active for reason in self._unusable(one, day)]
        clearance = self._clearance(day)
        reason = clearance.reason or ("no creatinine clearance" if math.isnan(clearance.point) else "")
        unknown += [reason] if reason else []
        if unknown:
            return replace(said, crcl=clearance.point, reason="; ".join(dict.fromkeys(unknown)))
        actual = [self._daily(one, day) for one in active]
        if any(math.isnan(one) for one in actual):
            return replace(said, crcl=clearance.point, reason="no weight within 30 d for a dose in another unit")
        ratio, phase = self._ratio(day, active, actual, clearance.point)
        said = replace(said, crcl=significant(clearance.point), phase=phase)
        if len(active) == 1:
            label = label_dose(drug, clearance.point, phase)
            unit = f"{self.table[drug]['unit']}/24 h"
            said = replace(said, label=label, actual=significant(actual[0]), unit=unit)
        if math.isnan(ratio):
            return replace(said, reason="the label gives no dose at this clearance")
        ends = {adequacy_state(self._ratio(day, active, actual, crcl)[0]) for crcl in (clearance.low, clearance.high)}
        if ends != {adequacy_state(ratio)}:
            return replace(said, reason="the band of the label depends on an age that the study leaves open")
        return replace(said, adequacy=significant(ratio), state=adequacy_state(ratio))

    def _unusable(self, one: StudyDose, day: date) -> list[str]:
        reasons = list(one.reasons)
        if one.route not in self.table[one.drug]["routes"]:
            reasons.append(f"no label dose of {one.drug} for route {one.route or 'missing'}")
        if not _certain(one, day):
            reasons.append("whether a dose was given on these days is not known")
        return reasons

    def _clearance(self, day: date) -> _Clearance:
        """The last clearance on or before a day, if it is recent enough."""
        unknown = _Clearance(day, math.nan, math.nan, math.nan, "no creatinine before these days")
        last = max((one.day for one in self.clearances if one.day <= day), default=None)
        if last is None:
            return unknown
        if day - last > timedelta(days=self.table["clearance_within_d"]):
            return replace(unknown, reason=f"the last creatinine is over {self.table['clearance_within_d']} d old")
        return next(one for one in reversed(self.clearances) if one.day == last)

    def _daily(self, one: StudyDose, day: date) -> float:
        """Dose of a day in the unit of the label."""
        frequency = one.course.frequency
        assert frequency is not None  # a dose without one is unusable
        amount = one.amount * (1.0 if frequency.mean_per_day is None else frequency.mean_per_day)
        if one.unit == self.table[one.drug]["unit"]:
            return amount
        weight = self.bodies.weight(one.usubjid, day.isoformat()).value
        return amount / weight if one.unit == "mg" else amount * weight

    def _ratio(self, day: date, active: list[StudyDose], actual: list[float], crcl: float) -> tuple[float, str]:
        """Daily dose over label dose, and the phase that it is held against."""
        induction_only = (day - self.first).days < self.table["induction_days"][0]
        options = []
        for phase in PHASES[:1] if induction_only else PHASES:
            asked = [one.phase or phase for one in active]
            labels = [label_dose(one.drug, crcl, own) for one, own in zip(active, asked, strict=True)]
            parts = [dose / label for dose, label in zip(actual, labels, strict=True)]
            ratio = max(parts) if _is_handover(active, day) else sum(parts)
            options.append((ratio, "+".join(dict.fromkeys(asked))))
        # A dose of 0 is infinitely far from the label; ties keep the first phase.
        return min(options, key=lambda option: abs(math.log(option[0])) if option[0] > 0 else math.inf)


_SAYS: Final = {"UNDER": "less than 0.8 of the label dose", "ABOVE": "more than 1.25 of the label dose"}


def _possible(one: StudyDose, day: date) -> bool:
    course = one.course
    return (course.start_low is None or day >= course.start_low) and (course.end_high is None or day <= course.end_high)


def _certain(one: StudyDose, day: date) -> bool:
    course = one.course
    return (
        course.start_high is not None
        and day >= course.start_high
        and course.end_low is not None
        and day <= course.end_low
    )


def _is_handover(active: list[StudyDose], day: date) -> bool:
    """Whether a course ends on the day on which another begins."""
    ends = any(one.course.end_low == day == one.course.end_high for one in active)
    return ends and any(one.course.start_low == day for one in active) and len(active) > 1
