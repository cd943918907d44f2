"""Courses of a drug: what a frequency means, and on which calendar days a dose is certain, possible or absent."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any, Final

from immunoprofile.clinical.tables import day_of
from immunoprofile.io.records import text_of
from immunoprofile.resources import load_yaml

DAYS_PER_WEEK: Final = 7


@dataclass(frozen=True)
class Frequency:
    """How often a dose is given.

    Attributes
    ----------
    per_day
        Doses on a day that has one; None when the days are not fixed.
    every_days
        Days from one such day to the next; None when the days are not fixed.
    mean_per_day
        Average number of doses a day; None for a single dose.
    """

    per_day: float | None
    every_days: int | None
    mean_per_day: float | None

    @property
    def once(self) -> bool:
        """A single dose on the first day."""
        return self.mean_per_day is None


@cache
def dose_tables() -> dict[str, Any]:
    """Content of resources/doses.yaml."""
    return load_yaml("doses.yaml")


def frequency_names() -> tuple[str, ...]:
    """Frequencies that are understood."""
    tables = dose_tables()
    return (*tables["frequencies"], *tables["frequency_synonyms"])


def read_frequency(text: object) -> Frequency | None:
    """A frequency as written; None when it is missing, PRN, or not one of `frequency_names`."""
    tables = dose_tables()
    name = text_of(text).upper()
    entry = tables["frequencies"].get(tables["frequency_synonyms"].get(name, name))
    if entry is None:
        return None
    if entry.get("once"):
        return Frequency(1.0, None, None)
    if "per_week" in entry:
        return Frequency(None, None, entry["per_week"] / DAYS_PER_WEEK)
    return Frequency(float(entry["per_day"]), int(entry["every_days"]), entry["per_day"] / entry["every_days"])


@dataclass(frozen=True)
class Course:
    """First and last day of a course as far as they are known.

    Between ``start_low`` and ``start_high`` it may have begun, between ``end_low`` and ``end_high`` it may have ended.
    None is open: it may have begun at any time before, or may go on.
    """

    start_low: date | None
    start_high: date | None
    end_low: date | None
    end_high: date | None
    frequency: Frequency | None

    def doses_on(self, day: date) -> tuple[float, float]:
        """Fewest and most doses on a calendar day; infinity where the frequency sets no upper limit."""
        if (self.start_low is not None and day < self.start_low) or (self.end_high is not None and day > self.end_high):
            return 0.0, 0.0
        certain = (
            self.start_high is not None and day >= self.start_high and self.end_low is not None and day <= self.end_low
        )
        low, high = self._doses(day)
        return (low if certain else 0.0), high

    def _doses(self, day: date) -> tuple[float, float]:
        """Doses on a day within the course."""
        frequency = self.frequency
        if frequency is None:
            return 0.0, float("inf")
        exact_start = self.start_low if self.start_low == self.start_high else None
        if frequency.once:
            if exact_start is None:
                return 0.0, 1.0
            return (1.0, 1.0) if day == exact_start else (0.0, 0.0)
        if frequency.per_day is None or frequency.every_days is None:
            # Some number a week, on days that nobody wrote down; more than one on a day would be another frequency.
            return 0.0, 1.0
        if frequency.every_days == 1:
            return frequency.per_day, frequency.per_day
        if exact_start is None:
            return 0.0, frequency.per_day
        doses = frequency.per_day if (day - exact_start).days % frequency.every_days == 0 else 0.0
        return doses, doses


def read_course(
    start_dtc: object, end_dtc: object, freq: object, *, ongoing: bool | None, last_day: date | None
) -> Course:
    """A course from its cells.

    Parameters
    ----------
    start_dtc, end_dtc
        ISO dates, perhaps partial: ``2024-03`` is some day of March 2024.
    freq
        Frequency as written.
    ongoing
        True: it goes on, until ``last_day`` for all that is known. False or None without an end: it ended, or may
        have ended, on any day after the start.
    last_day
        Last day on which the study knows anything of the subject.
    """
    start_low, start_high = day_span(start_dtc)
    end_low, end_high = day_span(end_dtc)
    frequency = read_frequency(freq)
    if frequency is not None and frequency.once:
        end_low, end_high = start_low, start_high
    elif end_low is None:
        end_low, end_high = (last_day, None) if ongoing else (start_high, None)
    elif ongoing:
        # An end and "still taken" contradict each other: after the end nothing is certain.
        end_high = None
    return Course(start_low, start_high, end_low, end_high, frequency)


def day_span(dtc: object) -> tuple[date | None, date | None]:
    """First and last day that a full or partial ISO date can mean; None, None when it is missing."""
    text = text_of(dtc)
    day = day_of(text)
    if day is not None:
        return day, day
    parts = [int(part) for part in text.split("-")] if text else []
    if not parts:
        return None, None
    if len(parts) == 1:
        return date(parts[0], 1, 1), date(parts[0], 12, 31)
    return date(parts[0], parts[1], 1), date(parts[0], parts[1], calendar.monthrange(parts[0], parts[1])[1])


def days_from(first: date, last: date) -> list[date]:
    """Every calendar day from first to last, both included."""
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]
