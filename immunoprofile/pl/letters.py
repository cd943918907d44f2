"""Letters of the figures as outlines: each letter of DejaVu Sans once, how wide it is, and how wide words are.

A figure inside ``<img>`` cannot bring its font along, and another font is wider: figures are therefore drawn with the
outlines of the font that comes with matplotlib, on every machine the same.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

from immunoprofile.pl.style import FONT

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

UNITS: Final = 100
"""Outlines are whole hundredths of the size of a letter: a thousandth of an inch at nine points."""
ASCENT: Final = 0.76
DESCENT: Final = 0.24
"""How far lines reach above and below the line on which letters stand, in sizes of a letter."""
_CLOSE: Final = 79
_POINTS: Final = {1: 1, 2: 1, 3: 2, 4: 3, _CLOSE: 1}
"""Code of a piece of an outline (matplotlib's ``Path``) -> points that it takes."""


@dataclass(frozen=True, slots=True)
class Letter:
    """Outline of a letter with y upward, how far the next letter stands, and its name within a file."""

    name: str
    outline: str
    advance: float
    """In sizes of a letter."""


@cache
def _font(bold: bool) -> FT2Font:  # noqa: FBT001
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    font = FT2Font(findfont(FontProperties(family=FONT, weight="bold" if bold else "normal")))
    font.set_size(UNITS, 72)
    return font


@lru_cache(maxsize=4096)
def letter(character: str, bold: bool = False) -> Letter:  # noqa: FBT001, FBT002
    """Outline of a character; one that the font does not have is its empty box, with a warning."""
    from matplotlib.ft2font import LoadFlags

    font = _font(bold)
    place = font.get_char_index(ord(character))
    if not place:
        warnings.warn(f"{FONT} has no letter {character!r}: figures show a box in its place", stacklevel=2)
    loaded = font.load_glyph(place, flags=LoadFlags.NO_HINTING)
    points, codes = font.get_path()
    parts, at = [], 0
    while at < len(codes):
        code = int(codes[at])
        taken = points[at : at + _POINTS[code]]
        parts.append("z" if code == _CLOSE else "MLQC"[code - 1] + " ".join(f"{x:.0f} {y:.0f}" for x, y in taken))
        at += _POINTS[code]
    name = f"{'b' if bold else 'g'}{ord(character):x}"
    return Letter(name, "".join(parts), loaded.linearHoriAdvance / 65536 / UNITS)


def width_of(words: str, size: float, *, bold: bool = False) -> float:
    """Width of one line in points."""
    return size * _advance(words, bold)


@lru_cache(maxsize=8192)
def _advance(words: str, bold: bool) -> float:  # noqa: FBT001
    return sum(letter(one, bold).advance for one in words)


def line_step(size: float, spacing: float = 1.2) -> float:
    """Points from one line to the next."""
    return size * spacing
