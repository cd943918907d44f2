"""The one look of all figures: colours, symbols, fonts, and SVG with the same bytes for the same data."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.errors import NotAvailableError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The eight colours of Okabe and Ito (2008), distinguishable with every common colour vision.
BLACK: Final = "#000000"
ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
YELLOW: Final = "#F0E442"
BLUE: Final = "#0072B2"
VERMILLION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
BROWN: Final = "#7A4B1E"
"""In place of their yellow, which is too pale for a line on white; as far from the others with every vision."""
GREY: Final = "#6B6B6B"
PALE: Final = "#D9D9D9"
INK: Final = "#1A1A1A"

LineStyle = Any
"""A line style as matplotlib takes it: a name such as ``--``, or an offset with lengths on and off."""


@dataclass(frozen=True)
class Mark:
    """Colour, symbol and line style together, so that nothing is told by colour alone."""

    color: str
    marker: str
    line: LineStyle = "-"


_POPULATION_MARKS: Final[dict[str, Mark]] = {
    "treg": Mark(VERMILLION, "o", "-"),
    "treg_foxp3": Mark(ORANGE, "P", ":"),
    "foxp3_cd127lo": Mark(ORANGE, "p", "--"),
    "nk": Mark(BLUE, "s", "--"),
    "nk_bright": Mark(SKY, "D", "-."),
    "cd8": Mark(GREEN, "^", (0, (6.0, 1.5))),
    "cd8_act": Mark(PURPLE, "v", ":"),
    "cd4": Mark(GREY, "X", "-"),
}
_OTHERS: Final = (
    Mark(BLACK, "o", "-"),
    Mark(ORANGE, "s", "--"),
    Mark(BLUE, "^", "-."),
    Mark(PURPLE, "D", ":"),
)
NEUTRAL: Final = Mark(INK, "o")
"""Mark of subjects that are not told apart by arm."""
# Colour, symbol and line all differ: print in grey and every colour vision tell the arms apart. Triangles up and down
# are left out: they mean censored results.
_ARM_MARKS: Final = (
    Mark(BLUE, "s", "--"),
    Mark(VERMILLION, "o", "-"),
    Mark(GREEN, "D", "-."),
    Mark(PURPLE, "P", ":"),
    Mark(ORANGE, "X", (0, (8.0, 2.0))),
    Mark(SKY, "<", (0, (4.0, 1.2, 1.0, 1.2, 1.0, 1.2))),
    Mark(BLACK, ">", (0, (1.0, 3.0))),
    Mark(BROWN, "h", (0, (9.0, 2.0, 4.0, 2.0))),
)
STATE_MARKS: Final[dict[str, tuple[str, str]]] = {
    "PASS": ("#CFE8DD", "✓"),
    "WARN": ("#F6D58A", "!"),
    "FAIL": ("#E9A07A", "✕"),
    "NOT_EVALUABLE": ("#D9D9D9", "?"),
    "MISSING": ("#FFFFFF", "–"),
}
"""Fill and symbol of a quality state; ``MISSING`` stands for a tube that was not measured."""

FONT: Final = "DejaVu Sans"
"""Comes with matplotlib, so that every machine draws the same letters."""

_RC: Final[dict[Any, Any]] = {
    "font.family": [FONT],
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "axes.labelcolor": INK,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 5.0,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # Letters as outlines: a figure inside <img> cannot bring its font along, and another font overlaps.
    "svg.fonttype": "path",
    "svg.hashsalt": "immunoprofile",
    "svg.image_inline": True,
}


@contextmanager
def look() -> Iterator[None]:
    """Matplotlib settings of all figures, undone at the end of the block."""
    import matplotlib as mpl

    with mpl.rc_context(_RC):
        yield


WIDTH: Final = 7.4
"""Width of a figure of a report in inches; the page shows it at about 17 cm."""


def new_figure(width: float, height: float, alt: str = "") -> Figure:
    """Empty figure of ``width`` x ``height`` inches with an Agg canvas, unknown to pyplot.

    ``alt`` is the text for those who cannot see the figure (:func:`alt_text`).
    """
    from immunoprofile.pl.shown import ShownFigure

    return ShownFigure(width, height, alt)


def alt_text(figure: Figure) -> str:
    """Text that stands for a figure, for the ``alt`` of an ``<img>``; empty where the figure brings none."""
    return str(getattr(figure, "alt", ""))


def first_sentence(alt: str) -> str:
    """What a text for those who cannot see a figure begins with: its title.

    Examples
    --------
    >>> first_sentence("Ratios over time. CD4 to CD8: 1.5.")
    'Ratios over time.'
    """
    head, *rest = re.split(r"[.;] ", alt, maxsplit=1)
    return f"{head}." if rest else alt


def amount(value: float) -> str:
    """Number for a label: three significant digits, thousands apart, "not known" when missing."""
    if math.isnan(value):
        return "not known"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def p_number(value: float) -> str:
    """A p-value, alike in figures and tables: three decimals, ``< 0.001``, empty when missing.

    A value just below 0.05 gets a fourth decimal: rounded to 0.050 it would read as the other side of the line.
    """
    if math.isnan(value):
        return ""
    if value < 0.001:
        return "< 0.001"
    return f"{value:.3f}" if not 0.0495 <= value < 0.05 else f"{min(value, 0.0499):.4f}"


def p_words(value: float) -> str:
    """A p-value in words: ``p = 0.012``, ``p < 0.001``, empty when missing."""
    number = p_number(value)
    return number and (f"p {number}" if number.startswith("<") else f"p = {number}")


def population_mark(population: str, position: int = 0) -> Mark:
    """Mark of a population; one without its own takes the mark of its position in the figure."""
    return _POPULATION_MARKS.get(population, _OTHERS[position % len(_OTHERS)])


def arm_marks(arms: Sequence[str]) -> dict[str, Mark]:
    """Arm -> mark, by the place of the arm among all arms of the study; the empty name is everybody together.

    Every figure takes the look of an arm from here and gives the arms in the order of
    :func:`immunoprofile.pl.series.arm_order`, so that an arm looks the same wherever it is drawn.

    Raises
    ------
    NotAvailableError
        More arms than looks: two of them would look the same.
    """
    named = [arm for arm in arms if arm]
    return {"": NEUTRAL} | dict(zip(named, distinct_marks(len(named), "arms"), strict=True))


def distinct_marks(number: int, what: str) -> tuple[Mark, ...]:
    """So many marks of which no two share colour, symbol or line; ``what`` they stand for is named in the refusal.

    Raises
    ------
    NotAvailableError
        More than there are.
    """
    if number > len(_ARM_MARKS):
        raise NotAvailableError(f"{number} {what}: a figure can tell {len(_ARM_MARKS)} apart", where="figure",
                                todo=f"draw fewer {what} at a time, or pool them")  # fmt: skip
    return _ARM_MARKS[:number]


def subject_mark(position: int) -> Mark:
    """Mark of a subject by its position: the first 56 have different pairs of colour and symbol."""
    colors = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
    # Triangles up and down are left out: they mean censored results.
    markers = ("o", "s", "D", "P", "X", "<", ">", "h")
    return Mark(colors[position % len(colors)], markers[position % len(markers)])


def note(figure: Figure, text: str, *, y: float = 0.005) -> None:
    """Small text at the lower left edge, for instance n or how intervals were made."""
    figure.text(0.008, y, text, ha="left", va="bottom", fontsize=7, color=GREY)


def title(axes: Axes, text: str) -> None:
    """Left-aligned title of a panel."""
    axes.set_title(text, loc="left", pad=4)


def to_svg(figure: Figure) -> bytes:
    """SVG of a figure; the same figure gives the same bytes, without a date.

    Letters are drawn as outlines, images are inside the file, nothing is loaded from elsewhere.
    """
    with look(), io.BytesIO() as buffer:
        metadata: dict[str, str | None] = {"Date": None, "Creator": None}
        if alt := alt_text(figure):
            metadata |= {"Title": first_sentence(alt), "Description": alt}
        figure.savefig(buffer, format="svg", metadata=metadata)
        return buffer.getvalue()


def to_data_uri(figure: Figure) -> str:
    """``data:image/svg+xml`` address of a figure for the ``src`` of an ``<img>``."""
    return "data:image/svg+xml;base64," + base64.b64encode(to_svg(figure)).decode("ascii")
