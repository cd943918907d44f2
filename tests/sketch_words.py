"""Words of described figures: what an SVG file says and where, and whether matplotlib puts the same words there."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

from matplotlib.text import Text

from immunoprofile.pl.letters import width_of
from immunoprofile.pl.sketch import Sketch
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pl.sketch_svg import sketch_svg

SVG = "{http://www.w3.org/2000/svg}"


def lines_of(svg: bytes) -> list[tuple[str, float, float, float]]:
    """Every line of words in a file: what it says, where it begins, and by how many degrees it is turned."""
    found = []
    for one in ET.fromstring(svg).iter(f"{SVG}g"):
        if (said := one.get("aria-label")) is not None:
            a, b, _, _, x, y = map(float, re.findall(r"-?[\d.]+(?:e-?\d+)?", one.get("transform", "")))
            found.append((said, x, y, round(math.degrees(math.atan2(-b, a)))))
    return found


def said_by(svg: bytes) -> str:
    """All words of a file."""
    return " ".join(words for words, *_ in lines_of(svg))


def moved(sketch: Sketch) -> list[str]:
    """Words that do not stand where matplotlib puts them, by more than a point and a half."""
    figure = sketch_figure(sketch)
    figure.set_dpi(720)  # so that widths are not those of whole pixels
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    wanted: dict[str, list[tuple[float, float]]] = {}
    for text in figure.findobj(Text):
        words = text.get_text()
        if words and text.get_visible() and not text.get_rotation():
            box = text.get_window_extent(renderer)
            begin, top = box.x0 / 10, 72 * sketch.height - box.y1 / 10
            line = words.split("\n")[0].strip("$").replace("-", "−") if "$" in words else words.split("\n")[0]
            longest = max(words.split("\n"), key=len)
            shift = {"left": 0, "center": 0.5, "right": 1}[text.get_horizontalalignment()]
            size, bold = text.get_fontsize(), text.get_fontweight() == "bold"
            left = begin  # of the longest line; a number with its exponent is one line
            if "$" not in words:
                left += shift * (width_of(longest, size, bold=bold) - width_of(line, size, bold=bold))
            wanted.setdefault(line.partition("^")[0], []).append((left, top + 0.76 * size))
    lost = []
    for words, x, y, turn in lines_of(sketch_svg(sketch)):
        if words in wanted and not turn:
            away = min(max(abs(x - left), abs(y - top)) for left, top in wanted[words])
            lost += [f"{words}: {away:.1f} pt"] if away > 1.5 else []
    return lost
