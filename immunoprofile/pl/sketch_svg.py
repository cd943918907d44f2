"""A described figure as SVG: the pages show it, in a hundredth of the time that a plotting library takes."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Final

from immunoprofile.pl.letters import ASCENT, DESCENT, line_step, width_of
from immunoprofile.pl.sketch import (
    NO_LINE,
    NO_SYMBOL,
    TITLE_SIZE,
    Across,
    Area,
    Axis,
    Box,
    Errors,
    Item,
    Key,
    Legend,
    Line,
    Marks,
    Panel,
    Picture,
    Sketch,
    Words,
)
from immunoprofile.pl.style import GREY, INK
from immunoprofile.pl.svg import Canvas

_SPINE: Final = 0.7
_TICK: Final = 0.8
_AXES_ORDER: Final = 2.5
"""Order of spines and ticks among the items of a panel."""
_TITLE_PAD: Final = 4.0


def sketch_svg(sketch: Sketch) -> bytes:
    """SVG of a figure; the same description gives the same bytes, and nothing is loaded from elsewhere."""
    canvas = Canvas(72 * sketch.width, 72 * sketch.height, sketch.alt)
    for panel in sketch.panels:
        _Frame(canvas, panel).draw()
    for one in sketch.words:
        _put(canvas, one, one.x * canvas.width + one.dx, (1 - one.y) * canvas.height - one.dy)
    for legend in sketch.legends:
        _legend(canvas, legend)
    return canvas.finish()


def sketch_uri(sketch: Sketch) -> str:
    """``data:image/svg+xml`` address of a figure for the ``src`` of an ``<img>``."""
    return "data:image/svg+xml;base64," + base64.b64encode(sketch_svg(sketch)).decode("ascii")


def _put(canvas: Canvas, one: Words, x: float, y: float) -> None:
    canvas.words(
        x, y, one.words, size=one.size, color=one.color, bold=one.bold, across=one.across, upward=one.upward,
        turn=one.turn, spacing=one.spacing, power=one.power, ground=one.ground,
    )  # fmt: skip


def _scale(axis: Axis, begin: float, length: float) -> Callable[[float], float]:
    """From data to points; a value that a logarithmic axis cannot have is NaN."""
    low, high = axis.limits
    if not axis.log:
        return lambda value: begin + length * (value - low) / (high - low)
    base, span = math.log(low), math.log(high / low)
    return lambda value: begin + length * (math.log(value) - base) / span if value > 0 else math.nan


class _Frame:
    """A panel on the canvas: places, items and axes."""

    def __init__(self, canvas: Canvas, panel: Panel) -> None:
        self.canvas, self.panel = canvas, panel
        self.left, self.wide = panel.left * canvas.width, panel.wide * canvas.width
        self.high = panel.high * canvas.height
        self.bottom = (1 - panel.bottom) * canvas.height
        self.top, self.right = self.bottom - self.high, self.left + self.wide
        self.data_x, self.data_y = _scale(panel.x, self.left, self.wide), _scale(panel.y, self.bottom, -self.high)

    def across(self, values: Sequence[float], where: str = "data") -> list[float]:
        """Points of values of x."""
        return (
            [self.data_x(one) for one in values] if where == "data" else [self.left + self.wide * one for one in values]
        )

    def upward(self, values: Sequence[float], where: str = "data") -> list[float]:
        """Points of values of y."""
        return (
            [self.data_y(one) for one in values]
            if where == "data"
            else [self.bottom - self.high * one for one in values]
        )

    def draw(self) -> None:
        """Items below the axes, the axes, items above them."""
        items = sorted(self.panel.items, key=lambda one: one.order)
        self._lay([one for one in items if one.order < _AXES_ORDER])
        if not self.panel.bare:
            self._spines()
            self._draw_x(self.panel.x)
            self._draw_y(self.panel.y)
        if self.panel.title:
            self.canvas.words(self.left, self.top - _TITLE_PAD, self.panel.title, size=TITLE_SIZE, bold=True)
        self._lay([one for one in items if one.order >= _AXES_ORDER])

    def _lay(self, items: Sequence[Item]) -> None:
        clipped = False
        for one in items:
            wanted = not isinstance(one, Words) and getattr(one, "clip", True)
            if wanted and not clipped:
                self.canvas.open_clip(self.left, self.top, self.wide, self.high)
            elif clipped and not wanted:
                self.canvas.close_clip()
            clipped = wanted
            _draw(one, self)
        if clipped:
            self.canvas.close_clip()

    def _spines(self) -> None:
        ends = {
            "left": ((self.left, self.left), (self.top, self.bottom)),
            "right": ((self.right, self.right), (self.top, self.bottom)),
            "top": ((self.left, self.right), (self.top, self.top)),
            "bottom": ((self.left, self.right), (self.bottom, self.bottom)),
        }
        for side in self.panel.spines:
            self.canvas.path(*ends[side], color=GREY, width=_SPINE)

    def _draw_x(self, axis: Axis) -> None:
        edge, down = (self.top, -1.0) if axis.side == "top" else (self.bottom, 1.0)
        places = self.across([value for value, _ in axis.ticks])
        if axis.length:
            x = [part for place in places for part in (place, place, math.nan)]
            y = [part for _ in places for part in (edge, edge + down * axis.length, math.nan)]
            self.canvas.path(x, y, color=INK, width=_TICK, reach=False)
        end = edge + down * (axis.length + axis.pad if axis.ticks else 0.0)
        lines = 0
        if axis.labelled:
            for place, (_, words) in zip(places, axis.ticks, strict=True):
                turned: Across = "left" if axis.turn else "center"
                self.canvas.words(
                    place, end, words, size=axis.size, across=turned, upward="top" if down > 0 else "bottom",
                    turn=axis.turn, power=axis.power,
                )  # fmt: skip
                lines = max(lines, words.count("\n") + 1)
        if axis.label:
            tall = line_step(axis.size) * lines if lines > 1 else axis.size * lines
            self.canvas.words(
                self.left + self.wide / 2, end + down * (tall + axis.label_pad), axis.label, size=axis.label_size,
                across="center", upward="top" if down > 0 else "bottom",
            )  # fmt: skip

    def _draw_y(self, axis: Axis) -> None:
        edge, out = (self.right, 1.0) if axis.side == "right" else (self.left, -1.0)
        places = self.upward([value for value, _ in axis.ticks])
        if axis.length:
            x = [part for _ in places for part in (edge, edge + out * axis.length, math.nan)]
            y = [part for place in places for part in (place, place, math.nan)]
            self.canvas.path(x, y, color=INK, width=_TICK, reach=False)
        end = edge + out * (axis.length + axis.pad if axis.ticks else 0.0)
        side: Across = "left" if out > 0 else "right"
        widest = 0.0
        if axis.labelled:
            for place, (_, words) in zip(places, axis.ticks, strict=True):
                # The middle of the letters, not of the room that they have, stands at the tick.
                self.canvas.words(
                    end, place + ASCENT * axis.size / 2, words, size=axis.size, across=side, power=axis.power
                )
                plain = words.strip("$").replace("^", "") if axis.power else words
                widest = max(widest, width_of(plain, axis.size))
        if axis.label:
            at, middle = end + out * (widest + axis.label_pad), (self.top + self.bottom) / 2
            if axis.label_turn:
                self.canvas.words(at, middle, axis.label, size=axis.label_size, across="center", upward="bottom",
                                  turn=axis.label_turn)  # fmt: skip
            else:
                self.canvas.words(at, middle, axis.label, size=axis.label_size, across=side, upward="center")


@singledispatch
def _draw(item: object, frame: _Frame) -> None:
    raise TypeError(f"no drawing for {type(item).__name__}")


@_draw.register(Line)
def _(item: Line, frame: _Frame) -> None:
    frame.canvas.path(
        frame.across(item.x, item.x_in), frame.upward(item.y, item.y_in), color=item.color, width=item.width,
        dash=item.dash, alpha=item.alpha,
    )  # fmt: skip


@_draw.register(Marks)
def _(item: Marks, frame: _Frame) -> None:
    frame.canvas.symbols(
        frame.across(item.x, item.x_in), frame.upward(item.y, item.y_in), symbol=item.symbol, size=item.size,
        face=item.face, edge=item.edge, width=item.edge_width, alpha=item.alpha,
    )  # fmt: skip


@_draw.register(Errors)
def _(item: Errors, frame: _Frame) -> None:
    xs: list[float] = []
    ys: list[float] = []
    for x, low, high in zip(frame.across(item.x), frame.upward(item.low), frame.upward(item.high), strict=True):
        if not math.isnan(low + high):
            xs += [x, x, math.nan, x - item.cap, x + item.cap, math.nan, x - item.cap, x + item.cap, math.nan]
            ys += [low, high, math.nan, low, low, math.nan, high, high, math.nan]
    frame.canvas.path(xs, ys, color=item.color, width=item.width, reach=False)


@_draw.register(Box)
def _(item: Box, frame: _Frame) -> None:
    left, right = sorted(frame.across((item.x, item.x + item.wide)))
    top, bottom = sorted(frame.upward((item.y, item.y + item.high)))
    frame.canvas.rectangle(
        left, top, right - left, bottom - top, face=item.face, edge=item.edge, width=item.width, hatch=item.hatch,
        alpha=item.alpha,
    )  # fmt: skip


@_draw.register(Area)
def _(item: Area, frame: _Frame) -> None:
    x, low, high = frame.across(item.x), frame.upward(item.low), frame.upward(item.high)
    frame.canvas.area([*x, *x[::-1]], [*high, *low[::-1]], face=item.face)


@_draw.register(Picture)
def _(item: Picture, frame: _Frame) -> None:
    left, right = frame.across(item.x)
    bottom, top = frame.upward(item.y)
    frame.canvas.picture(item.index[::-1], item.palette, left, top, right - left, bottom - top)


@_draw.register(Words)
def _(item: Words, frame: _Frame) -> None:
    (x,), (y,) = frame.across((item.x,), item.x_in), frame.upward((item.y,), item.y_in)
    _put(frame.canvas, item, x + item.dx, y - item.dy)


def _legend(canvas: Canvas, legend: Legend) -> None:
    """Entries in rows; sizes as matplotlib has them, in letters of the legend."""
    size = legend.size
    handle, gap, between = legend.handle * size, 0.8 * size, legend.between * size
    row = size * (ASCENT + DESCENT) + legend.spacing * size
    rows = math.ceil(len(legend.keys) / legend.columns)
    x0 = legend.x * canvas.width + 0.4 * size + 0.5 * size
    top = (1 - legend.y) * canvas.height
    top += 0.9 * size if legend.anchor == "upper left" else -(rows * row - legend.spacing * size) / 2
    for start in range(0, len(legend.keys), rows):
        column = legend.keys[start : start + rows]
        for place, key in enumerate(column):
            middle = top + place * row + size * (ASCENT + DESCENT) / 2
            _handle(canvas, key, x0, middle, handle, size)
            canvas.words(x0 + handle + gap, middle + 0.36 * size, key.words, size=size)
        x0 += handle + gap + max(width_of(key.words, size) for key in column) + between


def _handle(canvas: Canvas, key: Key, x: float, middle: float, length: float, size: float) -> None:
    if not key.symbol:
        high = 0.7 * size
        canvas.rectangle(x, middle - high / 2, length, high, face=key.color, edge="white", width=1.0, hatch=key.hatch)
        return
    if key.dash != NO_LINE:
        canvas.path((x, x + length), (middle, middle), color=key.color, width=1.4, dash=key.dash)
    if key.symbol != NO_SYMBOL:
        face = key.face or key.color
        canvas.symbols((x + length / 2,), (middle,), symbol=key.symbol, size=5.0, face=face, edge=key.color, width=1.0)
