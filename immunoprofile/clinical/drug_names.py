"""Recognising an agent in what was written into the drug column of conmeds: generic names, spellings, brands."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from immunoprofile.io.records import text_of
from immunoprofile.schema import without_accents

_WORD: Final = re.compile(r"[a-z]+|[0-9]+|[^\W\da-z_]+")
SHORTEST_MISSPELLED: Final = 8
"""A word of fewer letters is never taken for a misspelled name: too many drugs differ in one letter."""


def plain_words(drug: object) -> str:
    """The text in lower case without accents, its words separated by single blanks and enclosed in blanks."""
    return " ".join(["", *_WORD.findall(without_accents(text_of(drug))), ""])


def names_agent(drug: object, atc: object, entry: Mapping[str, Any]) -> bool:
    """Whether a row of conmeds names an agent: by a word or phrase of ``names``, or by its ATC code.

    A word of ``unless`` says that the text means something else. Chinese names are found inside longer text.
    """
    text = plain_words(drug)
    code = text_of(atc).upper()
    if any(_stands_in(name, text) for name in entry.get("unless", ())):
        return False
    return any(_stands_in(name, text) for name in entry["names"]) or bool(code and code in entry["atc"])


def misspelled(drug: object, entries: Iterable[Mapping[str, Any]], known: Collection[str]) -> str:
    """The name of an agent that a word of the text misses by one letter; empty when there is none.

    ``known`` are words that are names of their own (valaciclovir is not a misspelled valganciclovir).
    """
    words = [word for word in plain_words(drug).split() if len(word) >= SHORTEST_MISSPELLED and word not in known]
    for entry in entries:
        for name in entry["names"]:
            if len(name) >= SHORTEST_MISSPELLED and any(_one_letter_apart(word, name) for word in words):
                return str(name)
    return ""


def _stands_in(name: str, text: str) -> bool:
    # Chinese writes no blanks between words.
    return (f" {name} " in text) if name.isascii() else (name in text)


def _one_letter_apart(one: str, other: str) -> bool:
    """Whether a letter was replaced, left out, doubled or swapped with its neighbour."""
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    short, long = sorted((one, other), key=len)
    start = next((k for k, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    swapped = short[:start] + short[start : start + 2][::-1] + short[start + 2 :]
    return short[start + 1 :] == long[start + 1 :] or swapped == long
