"""What reportlets return (tables, sentences, lists, pictures, as plain data) and how sections are declared of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from immunoprofile.report.language import Said


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    words
        As printed, with its unit where the head of the column does not give it.
    number
        The same as a number in that unit, for the machine-readable twin; NaN where there is none.
    mark
        Class of the style sheet for a cell that is shown as a chip; the words say the same.
    look
        Class of the style sheet for the whole cell.
    note
        A second, smaller line.
    address
        Page that the words lead to.
    struck
        Words struck through, in front of the others.
    hint
        What a pointer that rests on the cell is told; nothing that is said nowhere else.
    rows, columns
        Over how many rows and columns of the table the cell goes; those below and beside it are None.
    """

    words: str
    number: float = math.nan
    mark: str = ""
    look: str = ""
    note: str = ""
    struck: str = ""
    address: str = ""
    hint: str = ""
    rows: int = 1
    columns: int = 1


Row = tuple["Cell | None", ...]


@dataclass(frozen=True)
class Column:
    """Head of a column, with the unit of its numbers."""

    head: str
    numeric: bool = False
    look: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first ``heads`` cells of each row are its heads, and a line stands above the rows of ``breaks``."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    title: str = ""
    caption: str = ""
    style: str = ""
    """Class of the style sheet, where a table needs one of its own."""
    heads: int = 1
    breaks: tuple[int, ...] = ()
    kind: Literal["table"] = "table"

    @property
    def groups(self) -> tuple[tuple[Row, ...], ...]:
        """Rows between the lines."""
        ends = [0, *self.breaks, len(self.rows)]
        return tuple(self.rows[start:end] for start, end in pairwise(ends) if start < end)


@dataclass(frozen=True)
class Text:
    """A paragraph, or a heading below that of the section."""

    words: str
    small: bool = False
    heading: bool = False
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: tuple[str, ...]
    title: str = ""
    style: str = ""
    coded: bool = False
    """The first word of each item is a code."""
    kind: Literal["bullets"] = "bullets"


@dataclass(frozen=True)
class Image:
    """A figure: its name on the page, and what it is drawn from (:func:`immunoprofile.report.drawing.draw`)."""

    name: str
    data: Any
    caption: str = ""
    title: str = ""
    style: str = ""
    kind: Literal["image"] = "image"


@dataclass(frozen=True)
class Fold:
    """Blocks that are folded on the screen and open in print."""

    title: str
    blocks: tuple[Block, ...]
    kind: Literal["fold"] = "fold"


@dataclass(frozen=True)
class Beside:
    """Blocks that stand beside each other where there is room."""

    sides: tuple[tuple[Block, ...], ...]
    kind: Literal["beside"] = "beside"


@dataclass(frozen=True)
class Review:
    """Place of the review block, which is filled last: it may not change the id that it refers to."""

    kind: Literal["review"] = "review"


Block = Review | Table | Text | Bullets | Image | Beside | Fold


@dataclass(frozen=True)
class Section:
    """A section as it is declared: its reportlets, and what is said when all of them are empty.

    A reportlet is a pure function of a view (one visit, or the cohort) that returns blocks; with nothing to show it
    returns none. Without ``empty`` a section without blocks vanishes.
    """

    id: str
    title: str | Callable[[Any], str]
    reportlets: tuple[Callable[[Any], tuple[Block, ...]], ...]
    empty: str = ""


@dataclass(frozen=True)
class Part:
    """A section of one report, filled."""

    id: str
    title: str
    blocks: tuple[Block, ...]


def assemble(sections: tuple[Section, ...], view: Any) -> tuple[Part, ...]:
    """Sections of a report in their declared order."""
    parts = []
    for section in sections:
        blocks = tuple(block for reportlet in section.reportlets for block in reportlet(view))
        if not blocks and section.empty:
            blocks = (Text(section.empty),)
        if blocks:
            title = section.title if isinstance(section.title, str) else section.title(view)
            parts.append(Part(section.id, title, blocks))
    return tuple(parts)


def review_place(_: Any) -> tuple[Block, ...]:
    """Reportlet of the review block."""
    return (Review(),)


def columns(*heads: str) -> tuple[Column, ...]:
    """Columns by their heads; a head that begins with ``#`` is one of numbers."""
    return tuple(Column(_plain(head), head.startswith("#")) for head in heads)


def _plain(head: str) -> str:
    if isinstance(head, Said):
        return Said(head.template.removeprefix("#"), **head.values)
    return head.removeprefix("#")


def row(*cells: str | Cell) -> tuple[Cell, ...]:
    """A row of words and cells."""
    return tuple(Cell(cell) if isinstance(cell, str) else cell for cell in cells)


def not_available(what: str, why: str) -> tuple[Block, ...]:
    """The sentence that stands in the place of a table that is not there."""
    return (Text(Said("{what}: not available: {why}.", what=what, why=why)),)
