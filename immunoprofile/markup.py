"""Pieces of HTML with which objects show themselves in a notebook.

Every text is escaped where it enters (`markupsafe`). Colours are those of the page, so that a light and a dark theme
both work; a state is told by a symbol and a word, never by colour. Nothing is loaded, and without any style the pieces
still read in order: a notebook that is not trusted loses styles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from markupsafe import Markup

SYMBOLS: Final = {"PASS": "✓", "WARN": "!", "FAIL": "✕", "NOT_EVALUABLE": "?", "": "–"}
"""Symbol of a quality state; empty stands for what was not measured. The figures use the same."""

LEGEND: Final = "✓ pass · ! warn · ✕ fail · ? not evaluable · – not measured"

_TABLE: Final = "border-collapse:collapse;font-size:0.9em;margin:0.4em 0"
_CELL: Final = "padding:0.15em 0.6em;border-bottom:1px solid rgba(128,128,128,0.35)"
_QUIET: Final = "opacity:0.75;font-size:0.9em"


def joined(pieces: Iterable[object]) -> Markup:
    """Pieces one after the other; what is no markup is escaped."""
    return Markup("").join(pieces)  # type: ignore[arg-type]  # join escapes whatever is no Markup


def block(title: object, *pieces: object) -> str:
    """The whole view of an object: its title and its pieces."""
    return str(Markup('<div style="overflow-x:auto"><strong>{}</strong>{}</div>').format(title, joined(pieces)))


def line(*words: object) -> Markup:
    """One line of facts with dots between them; empty ones are left out."""
    return Markup('<div style="{}">{}</div>').format(_QUIET, Markup(" · ").join(str(word) for word in words if word))


def folded(summary: object, *pieces: object, opened: bool = False) -> Markup:
    """Pieces under a line that opens and closes."""
    start = Markup("<details open>") if opened else Markup("<details>")
    return start + Markup('<summary style="cursor:pointer">{}</summary>{}</details>').format(summary, joined(pieces))


def table(
    heads: Sequence[object], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = (), caption: str = ""
) -> Markup:
    """A table.

    Parameters
    ----------
    heads
        Head of each column.
    rows
        Cells of each row; the first heads its row.
    numbers
        Positions of the columns that are set to the right.
    caption
        What the table shows.
    """

    def style(position: int) -> str:
        return f"{_CELL};text-align:{'right' if position in numbers else 'left'}"

    def cells(row: Sequence[object]) -> Markup:
        first = Markup('<th scope="row" style="{};font-weight:normal">{}</th>').format(style(0), row[0])
        return first + joined(Markup('<td style="{}">{}</td>').format(style(at), c) for at, c in enumerate(row[1:], 1))

    top = joined(Markup('<th scope="col" style="{}">{}</th>').format(style(at), head) for at, head in enumerate(heads))
    body = joined(Markup("<tr>{}</tr>").format(cells(row)) for row in rows)
    named = Markup('<caption style="text-align:left;{}">{}</caption>').format(_QUIET, caption) if caption else ""
    return Markup('<table style="{}">{}<thead><tr>{}</tr></thead><tbody>{}</tbody></table>').format(
        _TABLE, named, top, body
    )


def indented(text: object, depth: int) -> Markup:
    """A name at its depth in a tree; the branch is drawn with letters, so that it survives without style."""
    return Markup("{}{}").format("\u2003" * max(depth - 1, 0) + ("└ " if depth else ""), text)


def hinted(text: object, hint: str) -> Markup:
    """A text with an explanation that the pointer shows and a screen reader reads."""
    return (
        Markup('<span title="{}" aria-label="{}">{}</span>').format(hint, hint, text)
        if hint
        else Markup("{}").format(text)
    )


def counted(number: int, word: str, plural: str = "") -> str:
    """A number with its noun: ``1 file``, ``1,200 files``."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"
