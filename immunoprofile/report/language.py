"""Fixed words of the pages in a language: one table, `resources/report_words.yaml`, whose keys are the English texts.

The code speaks English, and so do models and twins; a text is looked up when it is written into a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from immunoprofile.resources import load_yaml


class Said(str):
    """A fixed text with words put in, which a page writes in its own language.

    Attributes
    ----------
    template
        The text with its places, as it stands in the table.
    values
        Words of the places: names, numbers and what people typed, in no language of ours.

    Examples
    --------
    >>> Said("Tube {tube}", tube="treg")
    'Tube treg'
    """

    __slots__ = ("template", "values")
    template: str
    values: dict[str, Any]

    def __new__(cls, template: str, **values: Any) -> Said:
        """Put words into a text."""
        made = super().__new__(cls, template.format(**values))
        made.template, made.values = template, values
        return made

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.template,), self.values


@dataclass(frozen=True, eq=False)
class Language:
    """A language of the fixed words.

    Attributes
    ----------
    code
        As in ``lang`` of a page.
    words
        English text -> text of the language; what is not in it stays English.
    """

    code: str = "en"
    words: Mapping[str, str] = field(default_factory=dict)

    def say(self, text: str) -> str:
        """A text of the pages in this language; names, numbers and unknown texts as they are."""
        if isinstance(text, Said):
            return self.words.get(text.template, text.template).format(**text.values)
        return self.words.get(text, text)


ENGLISH = Language()


def fixed_texts() -> tuple[str, ...]:
    """English texts of the table, in its order."""
    return tuple(text["en"] for texts in load_yaml("report_words.yaml").values() for text in texts)


@cache
def language(code: str) -> Language:
    """A language of the table, one object however often it is asked for; KeyError for one that it does not have."""
    if code == ENGLISH.code:
        return ENGLISH
    own = {
        text["en"]: text[code] for texts in load_yaml("report_words.yaml").values() for text in texts if code in text
    }
    if not own:
        raise KeyError(code)
    return Language(code, own)
