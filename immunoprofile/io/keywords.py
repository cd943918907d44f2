"""What the keywords of an FCS file carry: the layout, what the analysis needs, dates, or persons.

The list says what may stay; everything that is not on it goes. A list of what must go could never be complete:
cytometers, laboratories and export programs invent keywords, and put names of patients into any of them.

Standard keywords: FCS 3.1 (Spidlen et al. 2010, doi:10.1002/cyto.a.20825) and FCS 3.2 (Spidlen et al. 2021,
doi:10.1002/cyto.a.24225). What identifies a person: the safe-harbor list of HIPAA, 45 CFR 164.514(b)(2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

Kind = Literal["layout", "number", "label", "date", "drop"]

_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
_WHOLE = r"\d+"
_LABEL = r"[^\x00-\x08\x0a-\x1f]{1,200}"
_TIME = r"\d{1,2}:\d{2}(:\d{2}([.:]\d+)?)?"
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DATE = r"(\d{1,2}[- ][A-Za-z]{3}[- ]\d{4}|\d{4}[- ][A-Za-z]{3}[- ]\d{1,2}|\d{4}-\d{2}-\d{2})"
_ZONE = r"(Z|[-+]\d{2}:?\d{2})"


@dataclass(frozen=True)
class Rule:
    """What a kept keyword may hold; a value of another shape is dropped with its keyword."""

    name: re.Pattern[str]
    kind: Kind
    value: re.Pattern[str]


def _rule(name: str, kind: Kind, value: str) -> Rule:
    return Rule(re.compile(name), kind, re.compile(rf"\s*(?:{value})\s*"))


# Offsets, which every copy has to compute anew.
OFFSETS = (
    "BEGINANALYSIS", "ENDANALYSIS", "BEGINSTEXT", "ENDSTEXT", "BEGINDATA", "ENDDATA", "NEXTDATA",
)  # fmt: skip

RULES: tuple[Rule, ...] = (
    _rule("PAR|TOT", "layout", _WHOLE),
    _rule("MODE", "layout", "[Ll]"),
    _rule("DATATYPE", "layout", "[AIFDaifd]"),
    _rule("BYTEORD", "layout", r"\d(,\d)*"),
    _rule("P#B", "layout", rf"{_WHOLE}|\*"),
    _rule("P#R", "layout", _NUMBER),
    _rule("P#E", "layout", rf"{_NUMBER}\s*,\s*{_NUMBER}"),
    _rule("P#DATATYPE", "layout", "[AIFDaifd]"),
    _rule("P#G", "layout", _NUMBER),
    _rule("P#N", "label", _LABEL),
    _rule("P#(S|F|T|DET|TAG|ANALYTE)", "label", _LABEL),
    _rule("P#(TYPE|FEATURE)", "label", r"[A-Za-z0-9_ -]{1,40}"),
    _rule("P#(V|O|P)", "number", rf"{_NUMBER}\s*(mW|V)?"),
    _rule("P#L", "number", rf"{_NUMBER}(\s*nm)?(\s*,\s*{_NUMBER}(\s*nm)?)*"),
    _rule("P#D", "number", rf"[Ll]in(ear)?,{_NUMBER},{_NUMBER}|[Ll]og(arithmic)?,{_NUMBER},{_NUMBER}"),
    _rule("P#CALIBRATION", "number", rf"{_NUMBER}(,{_NUMBER})?,[A-Za-z]{{1,12}}"),
    _rule("P#DISPLAY", "number", "LIN|LOG|Lin|Log|lin|log"),
    _rule("P#(BS|MS)|CYTEKP#G|FJ_P#R|FLOWCORE_P#R(MIN|MAX)", "number", _NUMBER),
    _rule("TIMESTEP|FJ_TIMESTEP|VOL|LOST|ABRT|TIMETICKS|WINDOW EXTENSION|FSC ASF", "number", _NUMBER),
    _rule("FLOWRATE", "number", rf"{_NUMBER}(,[A-Za-z/]{{1,12}})?"),
    _rule("LASER#(DELAY|ASF)", "number", _NUMBER),
    _rule("LASER#(NAME|COLOR)", "label", "Blue|Red|Violet|UV|Ultraviolet|Green|Yellow|Yellow-?Green|YG|IR"),
    _rule("TR", "label", rf"[A-Za-z0-9 _./<>-]{{1,40}},\s*{_NUMBER}"),
    _rule("THRESHOLD", "label", r"[A-Za-z0-9 _.,()/<>-]{1,80}"),
    _rule("CYT", "label", r"[^\x00-\x1f@\\]{1,80}"),
    _rule("CREATOR", "label", r"BD FACSDiva Software Version [\d.]+"),
    _rule("APPLY COMPENSATION", "number", "TRUE|FALSE|True|False|true|false"),
    _rule("AUTOBS", "number", "TRUE|FALSE"),
    _rule("ORIGINALITY", "number", "Original|NonDataModified|Appended|DataModified"),
    _rule("SPILL|SPILLOVER|COMP|DFC#TO#", "number", r"[^\x00-\x1f]+"),
    _rule("WELLID|WELL ID", "number", r"[A-P]\d{1,2}"),
    _rule("DATE|LAST_MODIFIED", "date", rf"{_DATE}([ T]{_TIME})?"),
    _rule("(BEGIN|END)DATETIME", "date", rf"{_DATE}T{_TIME}{_ZONE}?"),
    _rule("BTIM|ETIM", "number", _TIME),
)  # fmt: skip


def rule_of(bare: str) -> Rule | None:
    """The rule of a keyword by its bare upper-case name; None when nothing allows it to stay."""
    general = re.sub(r"\d+", "#", bare)
    return next((rule for rule in RULES if rule.name.fullmatch(general)), None)


def classify(bare: str, value: str) -> Kind:
    """What a keyword is for the analysis.

    Parameters
    ----------
    bare
        Name in upper case, without ``$``.
    value
        Its value.

    Returns
    -------
    str
        ``layout`` (the events cannot be read without it), ``number`` (settings of a fixed form), ``label`` (free text
        that the analysis needs: channel names, markers, cytometer), ``date``, or ``drop`` (everything else, and values
        whose form is not that of the keyword).
    """
    rule = rule_of(bare)
    if rule is None or not rule.value.fullmatch(value):
        return "drop"
    if bare in ("SPILL", "SPILLOVER", "COMP") or bare.startswith("DFC"):
        return "number" if _is_matrix(bare, value) else "drop"
    return rule.kind


def channel_of(bare: str) -> int | None:
    """Number of the channel that a keyword describes; None for keywords of the whole file."""
    found = re.fullmatch(r"(?:FJ_|FLOWCORE_|CYTEK)?P(\d{1,6})[A-Z]+", bare)
    return int(found.group(1)) if found else None


def spillover_names(value: str) -> tuple[str, ...]:
    """Channel names in the value of a spillover keyword; empty when it is not one."""
    parts = [part.strip() for part in value.split(",")]
    if not parts[0].isascii() or not parts[0].isdigit():
        return ()
    return tuple(parts[1 : 1 + int(parts[0])])


def _is_matrix(bare: str, value: str) -> bool:
    if bare.startswith("DFC"):
        return re.fullmatch(rf"\s*{_NUMBER}\s*", value) is not None
    parts = [part.strip() for part in value.split(",")]
    if not re.fullmatch(r"\d{1,4}", parts[0]):
        return False
    count = int(parts[0])
    names = 0 if bare == "COMP" else count
    numbers = parts[1 + names :]
    return len(numbers) == count * count and all(re.fullmatch(_NUMBER, number) for number in numbers)


def parse_date(text: str) -> date | None:
    """Day of a ``$DATE``: dd-mmm-yyyy (FCS), yyyy-mmm-dd and ISO; None for every other form."""
    found = re.match(rf"\s*{_DATE}", text)
    if not found:
        return None
    first, middle, last = re.split("[- ]", found.group(1))
    if middle.isdigit():
        month = int(middle)
    elif middle.upper() in _MONTHS:
        month = _MONTHS.index(middle.upper()) + 1
    else:
        return None
    year, day = (first, last) if len(first) == 4 else (last, first)
    try:
        return date(int(year), month, int(day))
    except ValueError:
        return None


def shift_date(text: str, days: int) -> str | None:
    """The same text with its day moved; None when its form is not understood or the result is no date."""
    found = re.match(rf"\s*{_DATE}", text)
    day = parse_date(text)
    if found is None or day is None:
        return None
    try:
        moved = day + timedelta(days=days)
    except OverflowError:
        return None
    first, middle, _ = re.split("[- ]", found.group(1))
    month = f"{moved.month:02d}" if middle.isdigit() else _MONTHS[moved.month - 1]
    if not middle.isdigit() and not middle.isupper():
        month = month.capitalize()
    year, number = f"{moved.year:04d}", f"{moved.day:02d}"
    parts = (year, month, number) if len(first) == 4 else (number, month, year)
    new = (" " if " " in found.group(1) else "-").join(parts)
    return text[: found.start(1)] + new + text[found.end(1) :]
