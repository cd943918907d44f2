"""A page of SVG written piece by piece: every letter and symbol once, small pictures as indexed PNG inside.

The same pieces give the same bytes. Lengths are points from the upper left corner, y downward. Words carry what they
say as ``aria-label``, since their letters are outlines.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from immunoprofile.pl.letters import ASCENT, DESCENT, UNITS, letter, line_step, width_of
from immunoprofile.pl.style import INK, LineStyle, first_sentence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from immunoprofile.pl.sketch import Across, Ground, Upward

_DASHES: Final[dict[str, tuple[float, ...]]] = {
    "-": (), "--": (3.7, 1.6), "-.": (6.4, 1.6, 1.0, 1.6), ":": (1.0, 1.65),
}  # fmt: skip
"""On and off, in widths of the line, as matplotlib has them."""
_HATCH_TILE: Final = 72
"""Points of the square that a hatch repeats."""
_SMALL: Final = 0.7
_RAISED: Final = 0.38
"""Size of an exponent, and how high it stands, in sizes of a letter."""
_BEGIN: Final = {"left": 0.0, "center": -0.5, "right": -1.0}


def number(value: float) -> str:
    """A length to a hundredth of a point, without needless zeros."""
    text = f"{value:.2f}"
    text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def dashes(style: LineStyle, width: float) -> str:
    """``stroke-dasharray`` of a line style; empty for a line without gaps."""
    parts = _DASHES[style] if isinstance(style, str) else style[1]
    return " ".join(number(part * width) for part in parts)


@lru_cache(maxsize=256)
def png(content: bytes, shape: tuple[int, int], palette: bytes) -> str:
    """Address of an indexed PNG: ``content`` are the places in the palette, from the upper row on."""
    rows, columns = shape
    lines = np.zeros((rows, 1 + columns), dtype=np.uint8)  # each begins with its filter: none
    lines[:, 1:] = np.frombuffer(content, dtype=np.uint8).reshape(rows, columns)
    raw = lines.tobytes()
    depth = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", depth), (b"PLTE", palette), (b"IDAT", zlib.compress(raw, 3)), (b"IEND", b""))
    made = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return "data:image/png;base64," + base64.b64encode(made).decode("ascii")


@cache
def _symbol(name: str, size: float) -> tuple[str, bool]:
    """Outline of a symbol around the origin, y downward, and whether it is an area."""
    from matplotlib.markers import MarkerStyle
    from matplotlib.transforms import Affine2D

    style = MarkerStyle(name)
    path = style.get_path().transformed(style.get_transform() + Affine2D().scale(size, -size))
    parts = []
    for points, code in path.iter_segments(curves=True, simplify=False):
        pairs = " ".join(map(number, points))
        parts.append("z" if code == path.CLOSEPOLY else "MLQC"[code - 1] + pairs)
    return "".join(parts), style.is_filled()


@cache
def _hatch(kind: str) -> str:
    """Lines of a hatch in its tile."""
    from matplotlib.hatch import get_path

    path = get_path(kind, 6)
    parts = []
    for points, code in path.iter_segments(curves=True, simplify=False):
        pairs = " ".join(number(_HATCH_TILE * (one if at % 2 == 0 else 1 - one)) for at, one in enumerate(points))
        parts.append("z" if code == path.CLOSEPOLY else "MLQC"[code - 1] + pairs)
    return "".join(parts)


@lru_cache(maxsize=8192)
def _written(line: str, bold: bool) -> tuple[str, tuple[str, ...]]:  # noqa: FBT001
    """Letters of a line as references, and the characters that they need."""
    parts, at = [], 0.0
    for character in line:
        one = letter(character, bold)
        if one.outline:
            parts.append(f'<use href="#{one.name}"{f" x={chr(34)}{UNITS * at:.0f}{chr(34)}" if at else ""}/>')
        at += one.advance
    return "".join(parts), tuple(dict.fromkeys(line))


class Canvas:
    """An SVG file that is being written."""

    def __init__(self, width: float, height: float, alt: str = "") -> None:
        self.width, self.height, self.alt = width, height, alt
        self._letters: dict[tuple[str, bool], None] = {}
        self._defined: dict[tuple[str, str], str] = {}
        self._parts: list[str] = []

    # --- pieces -------------------------------------------------------------------------------

    def open_clip(self, x: float, y: float, wide: float, high: float) -> None:
        """What follows is drawn inside a rectangle only, until :meth:`close_clip`."""
        box = f'<rect x="{number(x)}" y="{number(y)}" width="{number(wide)}" height="{number(high)}"/>'
        name = self._name("c", "clipPath", f">{box}</clipPath>")
        self._parts.append(f'<g clip-path="url(#{name})">')

    def close_clip(self) -> None:
        """End of :meth:`open_clip`."""
        self._parts.append("</g>")

    def rectangle(
        self, x: float, y: float, wide: float, high: float, *, face: str, edge: str = "none", width: float = 0.0,
        hatch: str = "", alpha: float = 1.0,
    ) -> None:  # fmt: skip
        """A rectangle from its upper left corner; a hatch has the colour of the edge."""
        place = f'x="{number(x)}" y="{number(y)}" width="{number(wide)}" height="{number(high)}"'
        if hatch:
            self._parts.append(f'<rect {place} fill="{face}"/>')
            lines = f'<path d="{_hatch(hatch)}" stroke="{edge}" stroke-width="1" stroke-linecap="butt" fill="none"/>'
            size = f'patternUnits="userSpaceOnUse" width="{_HATCH_TILE}" height="{_HATCH_TILE}"'
            face = f"url(#{self._name('h', 'pattern', f'{size}>{lines}</pattern>')})"
        line = f' stroke="{edge}" stroke-width="{width:g}"' if edge != "none" and width else ""
        through = f' fill-opacity="{alpha:g}"' if alpha < 1 else ""
        self._parts.append(f'<rect {place} fill="{face}"{through}{line}/>')

    def path(
        self, x: Iterable[float], y: Iterable[float], *, color: str, width: float, dash: LineStyle = "-",
        alpha: float = 1.0, reach: bool = True,
    ) -> None:  # fmt: skip
        """A line through points; one that is NaN breaks it.

        With ``reach`` a solid one goes half its width further at its ends, as matplotlib draws lines, not its ticks.
        """
        parts, begun = [], False
        for across, down in zip(x, y, strict=True):
            if math.isnan(across) or math.isnan(down):
                begun = False
                continue
            parts.append(f"{'L' if begun else 'M'}{number(across)} {number(down)}")
            begun = True
        if parts:
            broken = dashes(dash, width)
            end = f' stroke-dasharray="{broken}"' if broken else ' stroke-linecap="square"' if reach else ""
            self._parts.append(
                f'<path d="{"".join(parts)}" fill="none" stroke="{color}" stroke-width="{width:g}"'
                f' stroke-linejoin="round"{end}{_faint(alpha)}/>'
            )

    def area(self, x: Iterable[float], y: Iterable[float], *, face: str) -> None:
        """A closed area without a line around it."""
        corners = "L".join(f"{number(across)} {number(down)}" for across, down in zip(x, y, strict=True))
        self._parts.append(f'<path d="M{corners}z" fill="{face}"/>')

    def symbols(
        self, x: Iterable[float], y: Iterable[float], *, symbol: str, size: float, face: str, edge: str, width: float,
        alpha: float = 1.0,
    ) -> None:  # fmt: skip
        """A symbol at each point that is known."""
        outline, filled = _symbol(symbol, size)
        name = self._name("s", "path", f'd="{outline}"/>')
        points = [(across, down) for across, down in zip(x, y, strict=True) if not math.isnan(across + down)]
        if points:
            uses = "".join(f'<use href="#{name}" x="{number(across)}" y="{number(down)}"/>' for across, down in points)
            fill = face if filled else "none"
            self._parts.append(f'<g fill="{fill}" stroke="{edge}" stroke-width="{width:g}"{_faint(alpha)}>{uses}</g>')

    def picture(
        self, index: NDArray[np.uint8], palette: NDArray[np.uint8], x: float, y: float, wide: float, high: float
    ) -> None:
        """Small cells in colours of a palette; rows of ``index`` go downward."""
        address = png(index.tobytes(), (index.shape[0], index.shape[1]), palette.tobytes())
        place = f'x="{number(x)}" y="{number(y)}" width="{number(wide)}" height="{number(high)}"'
        sharp = "image-rendering:crisp-edges;image-rendering:pixelated"
        self._parts.append(f'<image {place} preserveAspectRatio="none" style="{sharp}" href="{address}"/>')

    def words(
        self, x: float, y: float, text: str, *, size: float, color: str = INK, bold: bool = False,
        across: Across = "left", upward: Upward = "baseline", turn: float = 0.0, spacing: float = 1.2,
        power: bool = False, ground: Ground | None = None,
    ) -> None:  # fmt: skip
        """Lines of words at a point; ``turn`` in degrees against the clock, about that point."""
        lines = text.split("\n")
        step = line_step(size, spacing)
        # As matplotlib has it, several lines have half of the room between them above and below as well.
        around = (step - size) / 2 if len(lines) > 1 else 0.0
        above, below = ASCENT * size + around, DESCENT * size + around + step * (len(lines) - 1)
        # From the point down to where the letters of the first line stand.
        first = {"baseline": 0.0, "top": above, "bottom": -below, "center": 0.5 * (above - below)}[upward]
        if power:
            self._power(x, y + first, text, size, color, across)
            return
        widths = [width_of(line, size, bold=bold) for line in lines]
        if ground is not None:
            most = max(widths)
            self.rectangle(
                x + _BEGIN[across] * most - ground.pad, y + first - above - ground.pad, most + 2 * ground.pad,
                above + below + 2 * ground.pad, face=ground.face, edge=ground.edge, width=ground.width,
                alpha=ground.alpha,
            )  # fmt: skip
        right, up = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        for place, (line, length) in enumerate(zip(lines, widths, strict=True)):
            along, down = _BEGIN[across] * length, first + place * step
            self._line(
                line, x + along * right + down * up, y - along * up + down * right, size, color, bold=bold,
                turned=(right, up),
            )  # fmt: skip

    def _power(self, x: float, y: float, text: str, size: float, color: str, across: Across) -> None:
        """A number with its exponent, such as ``$-10^3$``."""
        base, _, exponent = text.strip("$").replace("-", "−").partition("^")
        first, second = width_of(base, size), width_of(exponent, _SMALL * size)
        x += _BEGIN[across] * (first + second)
        self._line(base, x, y, size, color, bold=False)
        if exponent:
            self._line(exponent, x + first, y - _RAISED * size, _SMALL * size, color, bold=False)

    def _line(
        self, line: str, x: float, y: float, size: float, color: str, *, bold: bool,
        turned: tuple[float, float] = (1.0, 0.0),
    ) -> None:  # fmt: skip
        uses, characters = _written(line, bold)
        if not uses:
            return
        self._letters |= dict.fromkeys((one, bold) for one in characters)
        right, up = (side * size / UNITS for side in turned)
        matrix = " ".join(f"{one:.5g}" for one in (right, -up, -up, -right))
        place = f"matrix({matrix} {number(x)} {number(y)})"
        self._parts.append(f'<g aria-label={quoteattr(line)} fill="{color}" transform="{place}">{uses}</g>')

    # --- the file -----------------------------------------------------------------------------

    def _name(self, kind: str, element: str, rest: str) -> str:
        """Name of a definition, from what follows its name in the file; the same has the same name."""
        key = (element, rest)
        if key not in self._defined:
            self._defined[key] = f"{kind}{len(self._defined)}"
        return self._defined[key]

    def finish(self) -> bytes:
        """The whole file."""
        letters = sorted(self._letters)
        outlines = [letter(*one) for one in letters]
        defined = "".join(f'<path id="{one.name}" d="{one.outline}"/>' for one in outlines if one.outline)
        for (element, rest), name in self._defined.items():
            defined += f'<{element} id="{name}"{rest if rest.startswith(">") else f" {rest}"}'
        size = f'width="{number(self.width)}pt" height="{number(self.height)}pt"'
        view = f'viewBox="0 0 {number(self.width)} {number(self.height)}"'
        head, names = "", ""
        if self.alt:
            head = (
                f'<title id="title">{escape(first_sentence(self.alt))}</title><desc id="desc">{escape(self.alt)}</desc>'
            )
            names = ' aria-labelledby="title desc"'
        ground = f'<rect width="{number(self.width)}" height="{number(self.height)}" fill="white"/>'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img"{names} {size} {view}>{head}<defs>{defined}</defs>'
            f"{ground}{''.join(self._parts)}</svg>"
        ).encode()


def _faint(alpha: float) -> str:
    return f' opacity="{alpha:g}"' if alpha < 1 else ""
