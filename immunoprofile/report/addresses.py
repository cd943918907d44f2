"""Where the pages of a results folder stand, and how they lead to each other."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING

from immunoprofile.report.language import Said

if TYPE_CHECKING:
    from immunoprofile.report.source import Source

Links = tuple[tuple[str, str], ...]
"""Words and address of every page that a page leads to."""


def page_of(source: Source, subject: str, visit: str) -> str:
    """Address of a visit page from the folder of the cohort page."""
    return f"{folder_names(tuple(source.subjects))[subject]}/{file_name(visit)}.html"


def links_of(source: Source, subject: str, visit: str) -> Links:
    """From a visit page to the cohort page and to the visits before and after it."""
    visits = source.visits_of(subject)
    found: list[tuple[str, str]] = [("Cohort report", "../cohort.html")]
    if visit in visits:
        place = visits.index(visit)
        for words, at in (("Previous visit: {visit}", place - 1), ("Next visit: {visit}", place + 1)):
            if 0 <= at < len(visits):
                found.append((Said(words, visit=visits[at]), f"{file_name(visits[at])}.html"))
    return tuple(found)


def file_name(name: str) -> str:
    """Name that every file system takes; a changed name carries a hash, so that two never meet."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).strip(".") or "_"
    reserved = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", safe)
    if safe == name and reserved is None:
        return safe
    return f"{safe[:60]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@cache
def folder_names(subjects: tuple[str, ...]) -> dict[str, str]:
    """Subject -> folder; subjects that differ only in case are kept apart by a hash."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for subject in subjects:
        name = file_name(subject)
        if name.casefold() in taken:
            name = f"{name}-{hashlib.sha256(subject.encode()).hexdigest()[:8]}"
        taken.add(name.casefold())
        names[subject] = name
    return names
