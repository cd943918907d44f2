"""A described figure as a matplotlib figure, for notebooks and for whoever wants to change one."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from immunoprofile.pl import style
from immunoprofile.pl.sketch import (
    LINE_SPACING,
    Area,
    Axis,
    Box,
    Errors,
    Legend,
    Line,
    Marks,
    Panel,
    Picture,
    Sketch,
    Words,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_MANY: Final = 100
"""Rectangles from which on they are drawn together."""


def sketch_figure(sketch: Sketch) -> Figure:
    """Matplotlib figure of a description; every panel is axes of it."""
    with style.look():
        figure = style.new_figure(sketch.width, sketch.height, sketch.alt)
        for panel in sketch.panels:
            _axes(figure, panel)
        for one in sketch.words:
            figure.text(one.x, one.y, one.words, **_words(one))
        for legend in sketch.legends:
            _legend(figure, legend)
        return figure


def _axes(figure: Figure, panel: Panel) -> None:
    axes = figure.add_axes((panel.left, panel.bottom, panel.wide, panel.high))
    for scale, axis in ((axes.set_xscale, panel.x), (axes.set_yscale, panel.y)):
        if axis.log:
            scale("log")
    fields = [item for item in panel.items if isinstance(item, Box) and not item.hatch and item.clip]
    many = len(fields) > _MANY
    if many:
        _draw_fields(fields, axes)
    for item in panel.items:
        if not (many and isinstance(item, Box) and not item.hatch and item.clip):
            _draw(item, axes)
    axes.set_xlim(*panel.x.limits)
    axes.set_ylim(*panel.y.limits)
    if panel.title:
        style.title(axes, panel.title)
    if panel.bare:
        axes.set_axis_off()
        return
    for side, spine in axes.spines.items():
        spine.set_visible(side in panel.spines)
    _axis(axes, "x", panel.x)
    _axis(axes, "y", panel.y)


def _axis(axes: Axes, which: str, axis: Axis) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    own: Any = axes.xaxis if which == "x" else axes.yaxis
    if axis.side == "top":
        own.tick_top()
    elif axis.side == "right":
        own.tick_right()
    own.set_ticks([value for value, _ in axis.ticks], [words for _, words in axis.ticks])
    own.set_minor_locator(NullLocator())
    own.set_minor_formatter(NullFormatter())
    axes.tick_params(axis=which, length=axis.length, pad=axis.pad, labelsize=axis.size)  # type: ignore[arg-type]
    if not axis.labelled:
        axes.tick_params(axis=which, **{f"label{axis.side}": False})  # type: ignore[arg-type]
    if axis.turn:
        for words in own.get_ticklabels():
            words.set(rotation=axis.turn, ha="left", rotation_mode="anchor")
    if axis.label:
        turned: dict[str, Any] = {}
        if which == "y" and not axis.label_turn:
            turned = {"rotation": 0, "ha": "right" if axis.side == "left" else "left", "va": "center"}
        own.set_label_text(axis.label, fontsize=axis.label_size, **turned)
        own.labelpad = axis.label_pad


def _transform(axes: Axes, item: Any) -> Any:
    """Where the coordinates of an item count."""
    from matplotlib.transforms import blended_transform_factory

    across = axes.transData if item.x_in == "data" else axes.transAxes
    upward = axes.transData if item.y_in == "data" else axes.transAxes
    return across if across is upward else blended_transform_factory(across, upward)


def _words(one: Words) -> dict[str, Any]:
    options: dict[str, Any] = {
        "fontsize": one.size, "color": one.color, "fontweight": "bold" if one.bold else "normal", "ha": one.across,
        "va": one.upward, "parse_math": one.power,
    }  # fmt: skip
    if one.spacing != LINE_SPACING:
        options["linespacing"] = one.spacing
    if one.turn:
        options |= {"rotation": one.turn, "rotation_mode": "anchor"}
    if one.ground is not None:
        ground = one.ground
        options["bbox"] = {"facecolor": ground.face, "alpha": ground.alpha, "edgecolor": ground.edge,
                           "linewidth": ground.width, "pad": ground.pad}  # fmt: skip
    return options


@singledispatch
def _draw(item: object, axes: Axes) -> None:
    raise TypeError(f"no drawing for {type(item).__name__}")


@_draw.register(Line)
def _(item: Line, axes: Axes) -> None:
    axes.plot(
        item.x, item.y, color=item.color, linewidth=item.width, linestyle=item.dash, alpha=item.alpha,
        zorder=item.order, clip_on=item.clip, transform=_transform(axes, item),
    )  # fmt: skip


@_draw.register(Marks)
def _(item: Marks, axes: Axes) -> None:
    color = item.face if item.edge in ("none", "white") else item.edge
    axes.plot(
        item.x, item.y, color=color, linestyle="none", marker=item.symbol, markersize=item.size,
        markerfacecolor=item.face, markeredgecolor=item.edge, markeredgewidth=item.edge_width, alpha=item.alpha,
        zorder=item.order, clip_on=item.clip, transform=_transform(axes, item),
    )  # fmt: skip


@_draw.register(Errors)
def _(item: Errors, axes: Axes) -> None:
    middle, low, high = (np.asarray(one, dtype=float) for one in (item.x, item.low, item.high))
    axes.errorbar(
        middle, low, [np.zeros_like(low), high - low], fmt="none", ecolor=item.color, elinewidth=item.width,
        capsize=item.cap, zorder=item.order,
    )  # fmt: skip


@_draw.register(Box)
def _(item: Box, axes: Axes) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    look: dict[str, Any] = {
        "facecolor": to_rgba(item.face, item.alpha) if item.alpha < 1 else item.face,
        "edgecolor": item.edge,
        "linewidth": item.width,
        "hatch": item.hatch or None,
    }
    corner = (item.x, item.y)
    axes.add_patch(Rectangle(corner, item.wide, item.high, zorder=item.order, clip_on=item.clip, **look))


@_draw.register(Area)
def _(item: Area, axes: Axes) -> None:
    axes.fill_between(item.x, item.low, item.high, color=item.face, linewidth=0, zorder=item.order)


def _draw_fields(fields: list[Box], axes: Axes) -> None:
    """Many rectangles at once: one by one matplotlib takes seconds for them."""
    from matplotlib.collections import PolyCollection

    corners = [
        [(one.x, one.y), (one.x + one.wide, one.y), (one.x + one.wide, one.y + one.high), (one.x, one.y + one.high)]
        for one in fields
    ]
    look: dict[str, Any] = {"facecolors": [one.face for one in fields], "edgecolors": [one.edge for one in fields]}
    axes.add_collection(PolyCollection(corners, linewidths=[one.width for one in fields], **look))


@_draw.register(Picture)
def _(item: Picture, axes: Axes) -> None:
    axes.imshow(
        item.palette[item.index], extent=(*item.x, *item.y), origin="lower", interpolation="none", aspect="auto",
        zorder=item.order,
    )  # fmt: skip


@_draw.register(Words)
def _(item: Words, axes: Axes) -> None:
    axes.annotate(
        item.words, (item.x, item.y), xycoords=_transform(axes, item), xytext=(item.dx, item.dy),
        textcoords="offset points", zorder=item.order, annotation_clip=False, **_words(item),
    )  # fmt: skip


def _legend(figure: Figure, legend: Legend) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color=key.color, marker=key.symbol, linestyle=key.dash, label=key.words,
               markerfacecolor=key.face or key.color)
        if key.symbol
        else Patch(facecolor=key.color, hatch=key.hatch, edgecolor="white", label=key.words)
        for key in legend.keys
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc=legend.anchor, bbox_to_anchor=(legend.x, legend.y), ncols=legend.columns,
        handlelength=legend.handle, labelspacing=legend.spacing, columnspacing=legend.between, fontsize=legend.size,
    )  # fmt: skip
