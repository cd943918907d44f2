"""Creatinine clearance by Cockcroft and Gault: one implementation for eligibility, doses and reports."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal

from immunoprofile.clinical.body import (
    OBESE_BMI,
    Age,
    Bodies,
    adjusted_weight_kg,
    age_at,
    body_mass_index,
    ideal_weight_kg,
)
from immunoprofile.clinical.tables import HasClinical
from immunoprofile.clinical.units import lab_value, lab_value_in
from immunoprofile.errors import AnalysisError, UnitError
from immunoprofile.io.dates import hours_apart
from immunoprofile.io.records import records
from immunoprofile.schema import CLEARANCE_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

WeightKind = Literal["actual", "ideal", "adjusted"]

ADULT_Y: Final = 18
UNSTABLE_WITHIN_H: Final = 48.0
UNSTABLE_CHANGE: Final = 0.5
"""A change of creatinine by more than this fraction of the earlier value within 48 h makes the clearance unreliable."""

_FEMALE: Final = 0.85


def cockcroft_gault(age_y: float, weight_kg: float, creatinine: float, *, sex: str, unit: str = "umol/L") -> float:
    """Creatinine clearance in mL/min, not rounded and not indexed to body surface.

    Parameters
    ----------
    age_y
        Completed years at the date of the sample; adults only.
    weight_kg
        Body weight, kg.
    creatinine
        Serum creatinine, in ``unit``.
    sex
        M or F; anything else gives NaN.
    unit
        ``umol/L`` or ``mg/dL`` (1 mg/dL = 88.42 umol/L).

    Returns
    -------
    float
        NaN when an input is missing.

    Raises
    ------
    AnalysisError
        The age is under 18 years, or weight or creatinine is not positive.
    UnitError
        Unknown unit.

    Notes
    -----
    Cockcroft and Gault 1976, Nephron 16:31-41:
    (140 - age) x weight x (0.85 in women) / (72 x creatinine in mg/dL).

    Examples
    --------
    >>> cockcroft_gault(60, 72, 1.0, sex="M", unit="mg/dL")
    80.0
    """
    umol_l = lab_value(creatinine, unit, "CREAT")
    if age_y < ADULT_Y:
        raise AnalysisError(f"age {age_y:g} y: the formula is for adults", where="creatinine clearance")
    for name, value in (("weight", weight_kg), ("creatinine", creatinine)):
        if value <= 0:
            raise AnalysisError(f"{name} {value:g} is not above 0", where="creatinine clearance")
    if sex not in ("M", "F"):
        return math.nan
    factor = _FEMALE if sex == "F" else 1.0
    mg_dl = creatinine if unit == "mg/dL" else lab_value_in(umol_l, "mg/dL", "CREAT")
    return (140.0 - age_y) * weight_kg * factor / (72.0 * mg_dl)


def creatinine_clearance(study: HasClinical, *, weight: WeightKind = "actual") -> pd.DataFrame:
    """Clearance at every creatinine of a study.

    Parameters
    ----------
    study
        Tables ``labs``, ``subjects`` (age, sex) and ``visits`` (weight, height).
    weight
        Body weight where the body mass index is 30 kg/m2 or more: ``actual`` (default), ``ideal`` (Devine) or
        ``adjusted`` (ideal + 0.4 x excess). Below 30 always the actual weight.

    Returns
    -------
    DataFrame
        ``schema.CLEARANCE_COLUMNS``, sorted by subject, time and laboratory. The weight is the nearest within 30 d.
        ``crcl`` is NaN with a ``reason`` when an input is missing. ``crcl_low`` and ``crcl_high`` are the clearances at
        the highest and lowest age that the study's year of birth and age at consent leave open: a limit between them
        cannot be decided. ``unstable``: another creatinine of the subject within 48 h differs by more than 50 % of
        the earlier one.
    """
    import pandas as pd

    subjects = {row["usubjid"]: row for row in records(study.subjects, "subjects")}
    bodies = Bodies(study.visits)
    rows = [
        _clearance_row(row, subjects.get(row["usubjid"], {}), bodies, weight)
        for row in records(study.labs, "labs")
        if row["test"] == "CREAT"
    ]
    rows.sort(key=lambda row: (row["usubjid"], row["collected_dtc"], row["lab_id"], row["creatinine_umol_l"]))
    by_subject: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_subject.setdefault(row["usubjid"], []).append(row)
    for own in by_subject.values():
        _mark_unstable(own)
    frame = pd.DataFrame(rows, columns=list(CLEARANCE_COLUMNS))
    numbers = ["creatinine_umol_l", "age_y", "age_y_low", "age_y_high", "weight_kg", "height_cm", "crcl", "crcl_low",
               "crcl_high"]  # fmt: skip
    return frame.astype(dict.fromkeys(numbers, "float64") | {"unstable": "bool"})


def _clearance_row(row: dict[str, Any], subject: dict[str, Any], bodies: Bodies, kind: WeightKind) -> dict[str, Any]:
    usubjid, dtc = row["usubjid"], row["collected_dtc"]
    reasons = []
    try:
        creatinine = lab_value(row["value"], row["unit"], "CREAT")
    except UnitError as error:
        creatinine = math.nan
        reasons.append(str(error))
    else:
        if not creatinine > 0:
            creatinine = math.nan
            reasons.append("creatinine is missing or not above 0")
    age, sex = age_at(subject, dtc), subject.get("sex", "")
    if age.reason:
        reasons.append(age.reason)
    elif age.low < ADULT_Y:
        reasons.append(f"the subject is, or may be, under {ADULT_Y} years: the formula is for adults")
    if sex not in ("M", "F"):
        reasons.append("sex is not known")
    taken, height = bodies.weight(usubjid, dtc), bodies.height(usubjid, dtc)
    if math.isnan(taken.value):
        reasons.append("no weight within 30 d")
    used, used_kind, reason = _dosing_weight(taken.value, height.value, sex, kind)
    reasons += [reason] if reason else []
    low = point = high = math.nan
    if not reasons:
        low, point, high = (
            cockcroft_gault(years, used, creatinine, sex=sex) for years in (age.high, age.value, age.low)
        )
    return _as_row(row, usubjid, dtc, sex, age) | {
        "creatinine_umol_l": creatinine, "weight_kg": used, "weight_dtc": taken.dtc, "height_cm": height.value,
        "weight_kind": used_kind, "crcl": point, "crcl_low": low, "crcl_high": high, "unstable": False,
        "reason": "; ".join(reasons),
    }  # fmt: skip


def _as_row(row: dict[str, Any], usubjid: str, dtc: str, sex: str, age: Age) -> dict[str, Any]:
    return {
        "usubjid": usubjid, "visit": row["visit"], "collected_dtc": dtc, "lab_id": row["lab_id"],
        "sex": sex, "age_y": age.value, "age_y_low": age.low, "age_y_high": age.high,
    }  # fmt: skip


def _dosing_weight(weight: float, height: float, sex: str, kind: WeightKind) -> tuple[float, str, str]:
    """Weight that enters the formula, its kind, and why there is none."""
    if kind == "actual" or math.isnan(weight) or sex not in ("M", "F"):
        return weight, "actual", ""
    if math.isnan(height):
        return math.nan, kind, f"no height: whether the {kind} body weight applies is not known"
    if body_mass_index(height, weight) < OBESE_BMI:
        return weight, "actual", ""
    if kind == "ideal":
        return ideal_weight_kg(height, sex=sex), kind, ""
    return adjusted_weight_kg(height, weight, sex=sex), kind, ""


def _mark_unstable(rows: list[dict[str, Any]]) -> None:
    """Mark both results of every pair within 48 h that differs by more than half of the earlier one."""
    for number, later in enumerate(rows):
        for earlier in rows[:number]:
            hours = hours_apart(earlier["collected_dtc"], later["collected_dtc"])
            before, after = earlier["creatinine_umol_l"], later["creatinine_umol_l"]
            if hours <= UNSTABLE_WITHIN_H and abs(after - before) > UNSTABLE_CHANGE * before:
                earlier["unstable"] = later["unstable"] = True
