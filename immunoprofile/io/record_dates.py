"""Dates that cannot be: after the data cut, or far from the visit under which a result is filed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from immunoprofile import schema
from immunoprofile.io.dates import days_between
from immunoprofile.io.records import numbered, records

if TYPE_CHECKING:
    import pandas as pd

    from immunoprofile.errors import Problems
    from immunoprofile.io.exceptions import Exceptions

MAY_BE_LATER: Final = frozenset({("samples", "bead_expiry")})
"""Dates that lie ahead in an honest record."""

FAR_FROM_VISIT_D: Final = 28
"""Days outside its visit at which a result is asked about: a wrong month or year is always further away."""

FAR_FROM_SUBJECT_D: Final = 366
"""Days outside all visits of the subject at which a result without a visit of its own is asked about."""

_DAY = len("2024-01-01")


class LateDate(NamedTuple):
    """A cell with a date after a limit."""

    table: str
    row: int
    column: str
    value: str
    usubjid: str


def dates_after(tables: Mapping[str, pd.DataFrame], limit: str) -> Iterator[LateDate]:
    """Every date of the study tables that is certainly after a limit.

    Parameters
    ----------
    tables
        Study tables by name, rows counted from 1.
    limit
        ISO date; the day itself is not after it. A partial date is after it when its first day is.
    """
    for name, spec in schema.TABLES.items():
        table = tables[name]
        rows = list(numbered(table, name))
        dated = [column.name for column in spec.columns if column.kind == "date"]
        for column in dated:
            for number, row in rows if (name, column) not in MAY_BE_LATER else ():
                value = row[column]
                length = min(len(value), _DAY)
                if length and re.match(schema.ISO_DATE, value) and value[:length] > limit[:length]:
                    yield LateDate(name, number, column, value, row.get("usubjid", ""))


def check_data_cut(tables: Mapping[str, pd.DataFrame], data_cut: str, problems: Problems) -> None:
    """Every date after the data cut of ``study.yaml`` is a problem; without a data cut nothing is checked.

    The rule knows no clock: the same folder gives the same answer on every day.
    """
    if not data_cut:
        return
    for late in dates_after(tables, data_cut):
        remedy = f"on or before {data_cut}: correct the date, or data_cut in study.yaml"
        if late.column == "end_dtc":
            remedy += "; leave end_dtc empty while it goes on"
        problems.add(f"{late.table}.csv", "after the data cut", row=late.row, column=late.column, value=late.value,
                     allowed=remedy)  # fmt: skip


def note_far_dates(tables: Mapping[str, pd.DataFrame], names: tuple[str, ...], notes: Exceptions) -> None:
    """Ask about results drawn far from the visit under which they are filed, or far from all visits of the subject.

    Parameters
    ----------
    tables
        Study tables, every result with its visit.
    names
        Tables with ``usubjid``, ``visit`` and ``collected_dtc``.
    notes
        Takes one warning ``DATE_FAR_FROM_VISIT`` for each; the rows stay.
    """
    spans: dict[tuple[str, str], tuple[str, str]] = {}
    known: dict[str, list[str]] = {}
    for visit in records(tables["visits"], "visits"):
        start, end = visit["start_dtc"], visit["end_dtc"]
        if len(start) >= _DAY:
            spans[visit["usubjid"], visit["visit"]] = (start, end if len(end) >= _DAY else start)
            known.setdefault(visit["usubjid"], []).append(start)
    for name in names:
        for row, entry in numbered(tables[name], name):
            person, drawn = entry["usubjid"], entry["collected_dtc"]
            span, most, what = spans.get((person, entry["visit"])), FAR_FROM_VISIT_D, "its visit"
            if span is None and person in known:
                span, most, what = (min(known[person]), max(known[person])), FAR_FROM_SUBJECT_D, "all visits"
            apart = None if span is None else _outside(span, drawn)
            if apart is not None and apart > most:
                notes.add(
                    "warning", "DATE_FAR_FROM_VISIT", f"collected {drawn}, {apart} days away from {what}", table=name,
                    row=row, usubjid=person, visit=entry["visit"],
                    action="correct collected_dtc or the visit; data_cut in study.yaml refuses dates in the future",
                )  # fmt: skip


def note_visit_order(visits: pd.DataFrame, order: Sequence[str], notes: Exceptions) -> None:
    """Warn of visits that began before an earlier one of the schedule.

    Parameters
    ----------
    visits
        The visits table; visits that did not take place or have no date do not count.
    order
        Names of the visits of the schedule in their order.
    notes
        Takes one warning ``VISIT_ORDER`` for each pair of neighbours in the wrong order.
    """
    place = {name: number for number, name in enumerate(order)}
    for subject, group in visits.groupby("usubjid", sort=True):
        dated = [
            (place[row["visit"]], row["visit"], row["start_dtc"], number)
            for number, row in numbered(group, "visits")
            if row["visit"] in place and row["start_dtc"]
        ]
        for (_, earlier, first, _), (_, later, second, row) in pairwise(sorted(dated)):
            length = min(len(first), len(second))
            if second[:length] < first[:length]:
                notes.add(
                    "warning", "VISIT_ORDER", f"{subject}: {later} ({second}) lies before {earlier} ({first}), out of "
                    "the order of the schedule", table="visits", row=row, usubjid=subject, visit=later,
                    action="correct start_dtc, or the names of the visits",
                )  # fmt: skip


def _outside(span: tuple[str, str], drawn: str) -> int | None:
    before, after = days_between(drawn, span[0]), days_between(span[1], drawn)
    return None if before is None or after is None else max(before, after, 0)
