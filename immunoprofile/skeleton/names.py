"""Which part of the file names is the subject, the visit and the tube: a proposal that a person confirms.

A part is a visit or a tube when every file has a word there that can only be one (BL, D14, tube2), or, for tubes, when
it changes with the panel. The subject is the part that is left; where two are left, nothing is proposed.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

_VISIT = re.compile(
    r"(bl|base(line)?|scr(een(ing)?)?|pre|post|eos|eot|fu|follow-?up\d*"
    r"|(d|day|w|wk|week|m|mo|month|v|visit|t|tp)[- ]?\d{1,3})",
    re.IGNORECASE,
)
_TUBE = re.compile(r"(tube|panel|mix|stain|cocktail)[-_ ]?\w{1,12}", re.IGNORECASE)
_DATE = re.compile(r"(19|20)\d{6}|(19|20)\d\d-\d\d-\d\d")
_CONTROL = (
    ("unstained", re.compile(r"unstained|blank", re.IGNORECASE)),
    ("fmo", re.compile(r"(?<![a-z])fmo(?![a-z])", re.IGNORECASE)),
    (
        "single_stain",
        re.compile(r"single[-_ ]?stain|comp(ensation)?[-_ ]?(control|bead)|comp[-_ ]beads?", re.IGNORECASE),
    ),
)
_SEPARATORS: Final = ("_", " ", "-", ".")
_BASELINE = re.compile(
    r"(bl|base(line)?|pre|(d|day)[- ]?[01]|(w|wk|week|m|mo|month|v|visit|t|tp)[- ]?0)", re.IGNORECASE
)
_DAYS: Final = {"d": 1, "day": 1, "w": 7, "wk": 7, "week": 7, "m": 30, "mo": 30, "month": 30}


@dataclass(frozen=True)
class Visit:
    """A visit that names of files hold.

    Attributes
    ----------
    name
        As it is written.
    day
        Planned study day by the name (D14 is 14, W2 is 15); None where it says none.
    """

    name: str
    day: int | None


def role_of(path: str) -> str:
    """Role that the name of a file says: ``unstained``, ``fmo``, ``single_stain``, else ``sample``."""
    name = PurePosixPath(path).name
    return next((role for role, pattern in _CONTROL if pattern.search(name)), "sample")


def is_visit(name: str) -> bool:
    """Whether a word can only be a visit."""
    return _VISIT.fullmatch(name) is not None


def propose_pattern(paths: Sequence[str], panels: Sequence[Hashable], told: Sequence[Sequence[str]] = ()) -> str | None:
    """Pattern of the names of files, as `io.file_names.NamePattern` takes it.

    Parameters
    ----------
    paths
        Paths below the folder, with slashes.
    panels
        What tells the panel of each file.
    told
        Visits or tubes of the files as something else tells them: a part of the names that only repeats them is not
        the subject.

    Returns
    -------
    str or None
        None when the names have no common form, or more than one part could be the subject.
    """
    split = [PurePosixPath(path).parts for path in paths]
    if not paths or len({len(parts) for parts in split}) != 1:
        return None
    folders = [list(parts[:-1]) for parts in split]
    stems = [PurePosixPath(path).stem for path in paths]
    several = [separator for separator in _SEPARATORS if any(separator in stem for stem in stems)]
    for separator in several or _SEPARATORS[:1]:
        words = [stem.split(separator) for stem in stems]
        if len({len(word) for word in words}) != 1 or not all(all(word) for word in words):
            continue
        columns = [*zip(*folders, strict=True), *zip(*words, strict=True)]
        fields = _fields(columns, panels, told)
        if fields is not None:
            depth = len(folders[0])
            name = separator.join(fields[depth:]) + PurePosixPath(paths[0]).suffix
            used = any(field != "{}" for field in fields[:depth])
            return "/".join([*fields[:depth], name]) if used else name
    return None


def _fields(
    columns: Sequence[Sequence[str]], panels: Sequence[Hashable], told: Sequence[Sequence[str]]
) -> list[str] | None:
    """Field of each part of the names; None when not exactly one part is the subject."""
    found = [_kind(values, panels) for values in columns]
    for kind in ("visit", "tube"):
        while found.count(kind) > 1:  # the last one is the nearest to the file
            found[found.index(kind)] = ""
    open_parts = [n for n, kind in enumerate(found) if kind == "subject"]
    for n in open_parts[:-1]:
        if any(_belongs_to(columns[n], columns[other]) for other in open_parts if other > n):
            found[n] = ""
    for n in (n for n, kind in enumerate(found) if kind == "subject"):
        if found.count("subject") > 1 and any(_repeats(columns[n], values) for values in told):
            found[n] = ""
    if found.count("subject") != 1:
        return None
    return [f"{{{kind}}}" if kind else "{}" for kind in found]


def _belongs_to(coarse: Sequence[str], fine: Sequence[str]) -> bool:
    """Whether one part is known from another that comes back: the folder of a subject, or its site."""
    pairs, distinct = set(zip(coarse, fine, strict=True)), set(fine)
    return len(pairs) == len(distinct) < len(fine) or tuple(coarse) == tuple(fine)


def _repeats(part: Sequence[str], values: Sequence[str]) -> bool:
    """Whether a part of the names is another word for values that come back."""
    pairs = set(zip(part, values, strict=True))
    return len(pairs) == len(set(part)) == len(set(values)) < len(values)


def _kind(values: Sequence[str], panels: Sequence[Hashable]) -> str:
    distinct = set(values)
    if all(_VISIT.fullmatch(value) for value in values):
        return "visit"
    if all(_TUBE.fullmatch(value) for value in values):
        return "tube"
    if all(_DATE.fullmatch(value) for value in values):
        return ""
    pairs = set(zip(values, panels, strict=True))
    if len(set(panels)) > 1 and len(distinct) == len(set(panels)) == len(pairs):
        return "tube"
    return "" if len(distinct) == 1 and len(values) > 1 else "subject"


def in_order(names: Sequence[str]) -> list[Visit]:
    """Visits in the order of their days, the baseline first; those without a day in the order of their numbers."""

    def place(name: str) -> tuple[int, float, str]:
        if _BASELINE.fullmatch(name):
            return (1, 0, name)
        if re.match(r"scr", name, re.IGNORECASE):
            return (0, 0, name)
        found = re.fullmatch(r"([a-z]+)[- ]?(\d+)", name, re.IGNORECASE)
        number = float(found[2]) * _DAYS.get(found[1].casefold(), 1) if found else 1e9
        return (2, number, name)

    return [Visit(name, _day(name)) for name in sorted(set(names), key=place)]


def _day(name: str) -> int | None:
    if _BASELINE.fullmatch(name):
        return 1
    found = re.fullmatch(r"([a-z]+)[- ]?(\d+)", name, re.IGNORECASE)
    unit = _DAYS.get(found[1].casefold()) if found else None
    if found is None or unit is None:
        return None
    return int(found[2]) if unit == 1 else unit * int(found[2]) + 1


def is_baseline(name: str) -> bool:
    """Whether a visit has the name of a baseline."""
    return _BASELINE.fullmatch(name) is not None
