"""What a figure is, before it is drawn: panels with axes and what lies on them, as plain values.

A figure is described once. :mod:`immunoprofile.pl.sketch_svg` writes it as SVG for the pages, in a few milliseconds;
:mod:`immunoprofile.pl.sketch_figure` makes a matplotlib figure of it for notebooks, with axes that can be changed.
Lengths are points (1/72 inch), places of panels fractions of the figure, y upward, as matplotlib has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from immunoprofile.pl.style import GREY, INK, WIDTH, LineStyle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Where = Literal["data", "panel"]
"""A coordinate in the units of the axis, or as a fraction of the panel."""
Across = Literal["left", "center", "right"]
Upward = Literal["top", "center", "bottom", "baseline"]
Side = Literal["left", "right", "top", "bottom"]

LINE_SPACING: Final = 1.2
"""From one line of words to the next, in sizes of a letter."""
TEXT_SIZE: Final = 8.0
TICK_SIZE: Final = 7.5
TITLE_SIZE: Final = 8.5
NO_LINE: Final = "none"
NO_SYMBOL: Final = "none"
"""Dash and symbol of a key of which one half is left out."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points; a coordinate that is NaN breaks it."""

    x: Sequence[float]
    y: Sequence[float]
    color: str = INK
    width: float = 1.4
    dash: LineStyle = "-"
    alpha: float = 1.0
    order: float = 2.0
    clip: bool = True
    x_in: Where = "data"
    y_in: Where = "data"


@dataclass(frozen=True, slots=True)
class Marks:
    """A symbol at each point, by its name in matplotlib; ``size`` in points."""

    x: Sequence[float]
    y: Sequence[float]
    symbol: str
    size: float = 5.0
    face: str = INK
    edge: str = INK
    edge_width: float = 1.0
    alpha: float = 1.0
    order: float = 2.0
    clip: bool = True
    x_in: Where = "data"
    y_in: Where = "data"


@dataclass(frozen=True, slots=True)
class Errors:
    """Upright bars from ``low`` to ``high`` with caps of ``cap`` points to each side."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    color: str
    width: float = 0.9
    cap: float = 1.8
    order: float = 2.0


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle from its lower left corner; ``hatch`` as in matplotlib, in the colour of the edge."""

    x: float
    y: float
    wide: float
    high: float
    face: str = "none"
    edge: str = "none"
    width: float = 0.0
    hatch: str = ""
    order: float = 1.0
    clip: bool = True
    alpha: float = 1.0
    """Of the face."""


@dataclass(frozen=True, slots=True)
class Area:
    """What lies between two heights along x."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    face: str
    order: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Colours of small cells: ``index`` (rows upward) points into ``palette`` (n x 3, uint8)."""

    index: NDArray[np.uint8]
    palette: NDArray[np.uint8]
    x: tuple[float, float]
    y: tuple[float, float]
    order: float = 2.0


@dataclass(frozen=True, slots=True)
class Ground:
    """Box behind words, ``pad`` points larger than they."""

    face: str = "white"
    alpha: float = 1.0
    edge: str = "none"
    width: float = 0.0
    pad: float = 1.0


@dataclass(frozen=True, slots=True)
class Words:
    """Words at a place, moved by ``dx``, ``dy`` points; lines are parted by newlines.

    ``power``: words such as ``$10^3$`` are a number with its exponent, as labels of scales have them.
    """

    x: float
    y: float
    words: str
    size: float = TEXT_SIZE
    color: str = INK
    bold: bool = False
    across: Across = "left"
    upward: Upward = "baseline"
    turn: float = 0.0
    spacing: float = LINE_SPACING
    power: bool = False
    ground: Ground | None = None
    order: float = 3.0
    x_in: Where = "data"
    y_in: Where = "data"
    dx: float = 0.0
    dy: float = 0.0


Item = Line | Marks | Errors | Box | Area | Picture | Words


@dataclass
class Axis:
    """One axis of a panel: its limits, ticks, and name."""

    limits: tuple[float, float] = (0.0, 1.0)
    log: bool = False
    ticks: Sequence[tuple[float, str]] = ()
    side: Side = "bottom"
    length: float = 3.5
    pad: float = 3.5
    size: float = TICK_SIZE
    labelled: bool = True
    """Whether the words of the ticks are drawn; the last of several panels has them for all."""
    turn: float = 0.0
    """Degrees by which the words of the ticks are turned; they then begin at the tick."""
    power: bool = False
    """Whether words of the ticks are numbers with an exponent (:class:`Words`)."""
    label: str = ""
    label_size: float = TEXT_SIZE
    label_turn: float = 0.0
    label_pad: float = 4.0


@dataclass
class Panel:
    """Axes at a place of the figure, and what lies on them.

    ``spines`` are the sides that have a line; ``bare`` panels have neither lines nor ticks. ``points`` are width and
    height in points, for what must know how much room there is.
    """

    left: float
    bottom: float
    wide: float
    high: float
    points: tuple[float, float] = (0.0, 0.0)
    x: Axis = field(default_factory=Axis)
    y: Axis = field(default_factory=lambda: Axis(side="left", label_turn=90.0))
    title: str = ""
    spines: tuple[Side, ...] = ("left", "bottom")
    bare: bool = False
    items: list[Item] = field(default_factory=list)

    def add(self, *items: Item) -> None:
        """Lay something on the panel."""
        self.items += items

    def level(self, value: float, *, color: str, width: float, dash: LineStyle = "-", order: float = 2.0) -> None:
        """A line across the panel at a value of y."""
        self.add(Line((0.0, 1.0), (value, value), color, width, dash, order=order, x_in="panel"))

    def upright(self, value: float, *, color: str, width: float, dash: LineStyle = "-", order: float = 2.0) -> None:
        """A line up the panel at a value of x."""
        self.add(Line((value, value), (0.0, 1.0), color, width, dash, order=order, y_in="panel"))


@dataclass(frozen=True)
class Key:
    """One entry of a legend: a filled patch, or a line with its symbol."""

    words: str
    color: str
    hatch: str = ""
    symbol: str = ""
    """On the line; ``none`` is a line without one, and empty a patch."""
    dash: LineStyle = "-"
    """Of the line; ``none`` is a symbol without one."""
    face: str = ""
    """Of the symbol; empty is the colour."""


@dataclass(frozen=True)
class Legend:
    """Entries below each other, or side by side in ``columns``, at a place of the figure.

    ``anchor`` is the corner or side that stands at the place: ``center left`` or ``upper left``.
    """

    keys: tuple[Key, ...]
    x: float
    y: float
    anchor: Literal["center left", "upper left"]
    columns: int = 1
    handle: float = 2.0
    """Length of a patch or line, in sizes of a letter."""
    spacing: float = 0.5
    """Room between lines, in sizes of a letter."""
    between: float = 2.0
    """Room between columns, in sizes of a letter."""
    size: float = TICK_SIZE


@dataclass
class Sketch:
    """A whole figure: its size in inches, the text that stands for it, panels, and words beside them.

    Coordinates of ``words`` are fractions of the figure.
    """

    width: float
    height: float
    alt: str = ""
    panels: list[Panel] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)
    legends: list[Legend] = field(default_factory=list)

    def panel(self, left: float, bottom: float, wide: float, high: float) -> Panel:
        """A new panel at a place of the figure."""
        made = Panel(left, bottom, wide, high, (72 * wide * self.width, 72 * high * self.height))
        self.panels.append(made)
        return made

    def grid(
        self, rows: int, columns: int, *, left: float, right: float, top: float, bottom: float, between: float = 0.0,
        above: float = 0.0,
    ) -> list[Panel]:  # fmt: skip
        """Panels of one size in reading order.

        ``between`` is the room between two of them in widths of a panel, ``above`` that between rows in heights.
        """
        wide = (right - left) / (columns + between * (columns - 1))
        high = (top - bottom) / (rows + above * (rows - 1))
        return [
            self.panel(left + column * wide * (1 + between), top - high - row * high * (1 + above), wide, high)
            for row in range(rows)
            for column in range(columns)
        ]

    def write(self, x: float, y: float, words: str, *, size: float = TEXT_SIZE, color: str = INK, bold: bool = False,
              across: Across = "left", upward: Upward = "baseline", ground: Ground | None = None) -> None:  # fmt: skip
        """Words at a place of the figure."""
        self.words.append(Words(x, y, words, size, color, bold, across, upward, ground=ground))

    def note(self, words: str, *, y: float = 0.005) -> None:
        """Small text at the lower left edge, for instance n or how intervals were made."""
        self.write(0.008, y, words, size=7, color=GREY, upward="bottom")


def empty_sketch(reason: str, *, what: str) -> Sketch:
    """Figure in place of one that has nothing to show: ``what`` it would be, and the reason why it is empty."""
    import textwrap

    made = Sketch(WIDTH, 0.9, f"{what}: nothing to show. {reason}")
    made.write(0.5, 0.64, f"{what}: nothing to show", color=GREY, bold=True, across="center", upward="center")
    folded = "\n".join(textwrap.wrap(reason, 110))
    made.write(0.5, 0.32, folded, color=GREY, across="center", upward="center")
    return made
