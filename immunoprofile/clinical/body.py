"""Age at a date, weight and height near a date, body surface and body weights for dosing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.clinical.tables import day_of
from immunoprofile.errors import AnalysisError
from immunoprofile.io.records import records

if TYPE_CHECKING:
    import pandas as pd

WEIGHT_WITHIN_D: Final = 30
"""A weight belongs to a date when it was taken at most this many days from it."""

OBESE_BMI: Final = 30.0
_INCH_CM: Final = 2.54
_DEVINE_KG: Final = {"M": 50.0, "F": 45.5}


@dataclass(frozen=True)
class Age:
    """Completed years at a date, and the ages that the study's year of birth and age at consent leave open.

    A study never holds a birthday, so ``low`` and ``high`` often differ by one year. All NaN with a ``reason`` when
    nothing is known or the two sources contradict each other.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    reason: str = ""


@dataclass(frozen=True)
class Measured:
    """A measurement of the body and the day it was taken; NaN without one."""

    value: float = math.nan
    dtc: str = ""


def age_at(subject: Mapping[Any, Any], dtc: object) -> Age:
    """Age of a subject in completed years at a date.

    Parameters
    ----------
    subject
        Row of the subjects table. ``age_y`` is the age at ``consent_dtc``; without a date of consent, randomisation or
        first dose stand in for it and the span is one year wider.
    dtc
        Full ISO date.
    """
    day = day_of(dtc)
    if day is None:
        return Age(reason="the date of the blood draw is not known to the day")
    spans: list[tuple[float, float, float]] = []
    stated, birth_year = (subject.get(name, math.nan) for name in ("age_y", "birth_year"))
    if not math.isnan(stated):
        consent = day_of(subject.get("consent_dtc"))
        near = (consent, *(day_of(subject.get(name)) for name in ("randomised_dtc", "first_dose_dtc")))
        since = next((one for one in near if one is not None), None)
        if since is not None:
            whole = _anniversaries(since, day)
            later = 0 if consent is not None else 1
            spans.append((stated + whole + (day < since), stated + whole, stated + whole + 1 + later))
    if not math.isnan(birth_year):
        difference = day.year - birth_year
        spans.append((difference, difference - 1, difference))
    if not spans:
        return Age(reason="age is not known (age_y with consent_dtc, or birth_year)")
    low, high = max(span[1] for span in spans), min(span[2] for span in spans)
    if low > high:
        return Age(reason="age_y and birth_year contradict each other")
    return Age(min(max(spans[0][0], low), high), low, high)


def _anniversaries(since: date, day: date) -> int:
    """Whole years from one day to another, rounded down (-1 on the day before)."""
    return day.year - since.year - ((day.month, day.day) < (since.month, since.day))


class Bodies:
    """Weights and heights of all subjects, found by date."""

    def __init__(self, visits: pd.DataFrame) -> None:
        self._weights = _dated(visits, "weight_kg")
        self._heights = _dated(visits, "height_cm")

    def weight(self, usubjid: str, dtc: object) -> Measured:
        """Weight in kg nearest to a date, within 30 d; of two equally near the earlier one."""
        return _nearest(self._weights.get(usubjid, ()), dtc, WEIGHT_WITHIN_D)

    def height(self, usubjid: str, dtc: object) -> Measured:
        """Height in cm nearest to a date, at any distance: adults do not grow."""
        return _nearest(self._heights.get(usubjid, ()), dtc, None)


def _dated(visits: pd.DataFrame, column: str) -> dict[str, tuple[tuple[date, float], ...]]:
    found: dict[str, list[tuple[date, float]]] = {}
    for row in records(visits, "visits"):
        day, value = day_of(row["start_dtc"]), row[column]
        if day is not None and not math.isnan(value):
            found.setdefault(row["usubjid"], []).append((day, value))
    return {usubjid: tuple(sorted(pairs)) for usubjid, pairs in found.items()}


def _nearest(pairs: Iterable[tuple[date, float]], dtc: object, within: int | None) -> Measured:
    day = day_of(dtc)
    if day is None:
        return Measured()
    near = [(abs((one - day).days), one, value) for one, value in pairs]
    near = [item for item in near if within is None or item[0] <= within]
    if not near:
        return Measured()
    _, taken, value = min(near)
    return Measured(value, taken.isoformat())


def body_surface_m2(height_cm: float, weight_kg: float) -> float:
    """Body surface area in m2 by Mosteller; NaN when height or weight is missing.

    Notes
    -----
    Mosteller 1987, N Engl J Med 317:1098: sqrt(cm x kg / 3600).

    Examples
    --------
    >>> body_surface_m2(180, 80)
    2.0
    """
    return math.sqrt(height_cm * weight_kg / 3600.0)


def body_mass_index(height_cm: float, weight_kg: float) -> float:
    """Body mass index in kg/m2; NaN when height or weight is missing."""
    return weight_kg / (height_cm / 100.0) ** 2


def ideal_weight_kg(height_cm: float, *, sex: str) -> float:
    """Ideal body weight by Devine, kg: 50 (women 45.5) + 2.3 per inch of height over 60 inches.

    Raises
    ------
    AnalysisError
        ``sex`` is neither M nor F.

    Notes
    -----
    Devine 1974, Drug Intell Clin Pharm 8:650.
    """
    if sex not in _DEVINE_KG:
        raise AnalysisError(f"sex is {sex!r}", where="ideal body weight", todo="M or F")
    return _DEVINE_KG[sex] + 2.3 * (height_cm / _INCH_CM - 60.0)


def adjusted_weight_kg(height_cm: float, weight_kg: float, *, sex: str) -> float:
    """Adjusted body weight, kg: ideal + 0.4 x (actual - ideal)."""
    ideal = ideal_weight_kg(height_cm, sex=sex)
    return ideal + 0.4 * (weight_kg - ideal)
