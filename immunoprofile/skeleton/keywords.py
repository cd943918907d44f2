"""Keywords whose own names say that they are the subject or the visit: Subject, VISIT, Time point."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

OF_PATIENTS: Final = ("patient", "patientid")
"""Keywords that may hold the number of a hospital: they never stand in place of a code that a name tells."""
_KEYWORDS: Final = {
    "usubjid": ("usubjid", "subject", "subjectid", "subjid", "participant", "participantid", "donor", "donorid",
                *OF_PATIENTS),
    "visit": ("visit", "visitname", "visitid", "studyvisit", "timepoint"),
}  # fmt: skip
"""Column -> keywords that tell it by their names, the first that has a value counts."""


def told_by_keywords(words: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Column of the samples table -> keyword that tells it and its value."""
    held = {plain_word(name): (name, " ".join(value.split())) for name, value in words.items()}
    told = {}
    for column, names in _KEYWORDS.items():
        stated = [held[name] for name in names if name in held and held[name][1]]
        if stated:
            told[column] = stated[0]
    return told


def plain_word(text: str) -> str:
    """A word without case, spaces and signs."""
    return re.sub(r"[\W_]+", "", text.casefold())
