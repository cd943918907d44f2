"""Dates as spreadsheets and laboratories write them, brought into ISO 8601.

One file has one form of dates. The order of day and month must be proven by the file itself (a number above 12) or said
in ``study.yaml``; a day number of Excel in a text file has two meanings (counted from 1900 or 1904) and must be said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from immunoprofile.io.table_cells import Cells, Written
from immunoprofile.schema import ISO_DATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from immunoprofile.errors import Problems
    from immunoprofile.schema import TableSpec

DateForm = Literal["iso", "day-month-year", "month-day-year", "excel-1900", "excel-1904"]
Shape = Literal["iso", "parts", "words", "serial", "other"]

_CLOCK = r"(?:[ T]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.0+)?)?)?"
_YEAR_FIRST = re.compile(r"(?P<year>\d{4})([-./])(?P<month>\d{1,2})\2(?P<day>\d{1,2})" + _CLOCK, re.ASCII)
_PARTS = re.compile(r"(?P<first>\d{1,2})([-./])(?P<second_part>\d{1,2})\2(?P<year>\d{4})" + _CLOCK, re.ASCII)
_WORDS = re.compile(r"(?P<day>\d{1,2})[-. /]?(?P<name>[A-Za-z]{3,9})[-. /]?(?P<year>\d{4})" + _CLOCK, re.ASCII)
_SERIAL = re.compile(r"\d{5}(\.\d+)?", re.ASCII)
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
EPOCHS: Final[Mapping[str, datetime]] = {"excel-1900": datetime(1899, 12, 30), "excel-1904": datetime(1904, 1, 1)}
"""Day 0 of both systems; that of 1900 holds from 1 March 1900 on."""


@dataclass(frozen=True)
class _Date(Written):
    shape: Shape


def shape_of(text: str) -> Shape:
    """How a date is written, whatever day it means."""
    if re.match(ISO_DATE, text) or _YEAR_FIRST.fullmatch(text):
        return "iso"
    if _PARTS.fullmatch(text):
        return "parts"
    found = _WORDS.fullmatch(text)
    if found and _month(found["name"]):
        return "words"
    return "serial" if _SERIAL.fullmatch(text) else "other"


def settle_dates(
    cells: Cells, spec: TableSpec, declared: DateForm | None, where: str, problems: Problems
) -> set[tuple[int, str]]:
    """Bring the dates of a table into ISO 8601, in place.

    Parameters
    ----------
    cells
        Gets the dates as ISO text, and a remark when they were rewritten.
    spec
        Table; its columns of dates count.
    declared
        Form that ``study.yaml`` names; None: what the cells prove.
    where
        What problems call the file.
    problems
        Takes what is mixed or can be read in two ways.

    Returns
    -------
    set of (int, str)
        Cells that were problems and are now empty.
    """
    dates = [column for column in spec.columns if column.kind == "date"]
    found = [_Date(row, column.name, value, shape_of(value)) for row, column, value in cells.texts(dates)]
    form, bad = _form(found, declared, where, problems)
    cells.empty(bad)
    example = ""
    for one in found:
        if one.shape == "other" or re.match(ISO_DATE, one.text) or one.place in bad:
            continue
        if one.shape == "serial" and form not in EPOCHS:
            _add_serial(one, where, problems)
        elif (iso := _iso(one, form)) is not None:
            cells.table.loc[one.place] = iso
            example = example or f"{one.text} is {iso}"
            continue
        else:
            one.refuse(problems, where, "no such date",
                       "ISO 8601, for example 2024-03-31" + (f"; read as {form}" if form else ""))  # fmt: skip
        cells.empty([one.place])
        bad.add(one.place)
    if example:
        cells.remarks.append(f"dates as {form or 'year-month-day or with the name of the month'} ({example})")
    return bad


def _form(
    found: Sequence[_Date], declared: DateForm | None, where: str, problems: Problems
) -> tuple[DateForm | None, set[tuple[int, str]]]:
    """The order of day and month in a file, and the cells that cannot be read because forms are mixed."""
    of_shape = {shape: [one for one in found if one.shape == shape] for shape in ("iso", "words", "parts", "serial")}
    held = {shape: ones for shape, ones in of_shape.items() if ones}
    if len(held) > 1:
        usual = "iso" if "iso" in held else max(held, key=lambda shape: len(held[shape]))
        model = held.pop(usual)[0]
        strange = [one for one in found if one.shape in held]
        for one in strange:
            what = f"dates in two forms in one file: this one, and {model.text} in row {model.row}"
            one.refuse(problems, where, what, "one form throughout, best 2024-03-31")
        held = {usual: of_shape[usual]}
        mixed = {one.place for one in strange}
    else:
        mixed = set()
    if declared is not None or "parts" not in held:
        return declared, mixed
    parts = held["parts"]
    day_first = [one for one in parts if _number(one, "first") > 12]
    month_first = [one for one in parts if _number(one, "second_part") > 12]
    if bool(day_first) != bool(month_first):
        return "day-month-year" if day_first else "month-day-year", mixed
    if day_first:
        problems.add(
            where,
            f"dates with the day first and with the month first in one file: {day_first[0].text} in "
            f"row {day_first[0].row}, {month_first[0].text} in row {month_first[0].row}",
            allowed="one order throughout, best 2024-03-31",
        )
    else:
        one = parts[0]
        readings = [_iso(one, "day-month-year"), _iso(one, "month-day-year")]
        remedy = "write 2024-03-31, or say dates: day-month-year or dates: month-day-year in study.yaml, tables"
        one.refuse(problems, where, "dates whose day and month cannot be told apart",
                   f"{' or '.join(text for text in readings if text)}: {remedy}")  # fmt: skip
    return None, mixed | {one.place for one in parts}


def _number(one: _Date, part: str) -> int:
    found = _PARTS.fullmatch(one.text)
    return int(found[part]) if found else 0


def _iso(one: _Date, form: DateForm | None) -> str | None:
    """ISO text of a date; None when there is no such day or time."""
    text = one.text
    if one.shape == "serial":
        return from_serial(float(text), EPOCHS[form]) if form is not None and form in EPOCHS else None
    if (found := _YEAR_FIRST.fullmatch(text)) is not None:
        month, day = int(found["month"]), int(found["day"])
    elif (found := _WORDS.fullmatch(text)) is not None:
        month, day = _month(found["name"]), int(found["day"])
    elif (found := _PARTS.fullmatch(text)) is not None and form in ("day-month-year", "month-day-year"):
        month, day = int(found["first"]), int(found["second_part"])
        if form == "day-month-year":
            month, day = day, month
    else:
        return None
    try:
        when = datetime(
            int(found["year"]),
            month,
            day,
            int(found["hour"] or 0),
            int(found["minute"] or 0),
            int(found["second"] or 0),
        )
    except ValueError:
        return None
    return when.date().isoformat() if found["hour"] is None else iso_text(when)


def from_serial(number: float, epoch: datetime) -> str:
    """ISO text of a day number; its fraction is the time of day."""
    when = epoch + timedelta(seconds=round(number * 86_400))
    return when.date().isoformat() if float(number).is_integer() else iso_text(when)


def iso_text(when: datetime) -> str:
    """Date and time, seconds only where they are not zero."""
    return when.isoformat(timespec="seconds" if when.second else "minutes")


def _month(name: str) -> int:
    hits = [n for n, month in enumerate(_MONTHS, 1) if month.startswith(name.casefold())]
    return hits[0] if len(hits) == 1 else 0


def _add_serial(one: _Date, where: str, problems: Problems) -> None:
    readings = " or ".join(from_serial(float(one.text), epoch) for epoch in EPOCHS.values())
    remedy = "write dates as 2024-03-31, or say dates: excel-1900 or dates: excel-1904 in study.yaml, tables"
    one.refuse(problems, where, "a day number of Excel, which has two meanings", f"{readings}: {remedy}")
