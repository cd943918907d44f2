"""The gating strategy of one file as a tree of plots, and the cells of one population on the plots before it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from immunoprofile.errors import NotAvailableError
from immunoprofile.pl import style
from immunoprofile.pl.sketch import Line, Marks, Sketch, Words, empty_sketch
from immunoprofile.pl.sketch_figure import sketch_figure
from immunoprofile.pl.thumbnails import ACROSS, GAP_X, SIDE, Drawn, Panel, draw_panel, plot_sheet, prepare

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from immunoprofile.gate.evaluate import GatedSample
    from immunoprofile.gate.raster import GateRaster

_CELL_X: Final = 1 + GAP_X
_LEFT: Final = 0.48
_BELOW: Final = 0.34
"""Sides of a plot: from one plot to the next, left of the first, and below each."""


@dataclass(frozen=True, eq=False)
class TreeNode:
    """A plot of the tree: the events of a parent, ``column`` and ``row`` its place, ``above`` the plot it comes from.

    ``above`` is the number of the plot that holds the gate of this parent, -1 at the root.
    """

    raster: GateRaster
    percentages: Mapping[str, float]
    column: float
    row: int
    above: int


@dataclass(frozen=True, eq=False)
class BackPlot:
    """One ancestor's plot with the cells of the final population on it, in the coordinates of the plot."""

    raster: GateRaster
    percentages: Mapping[str, float]
    x: NDArray[np.float64]
    y: NDArray[np.float64]


def gating_tree(
    rasters: Sequence[GateRaster],
    *,
    percentages: Mapping[str, float],
    parents: Mapping[str, str] | None = None,
    displays: Mapping[str, str] | None = None,
) -> Figure:
    """Gating strategy of one file as a tree: each plot shows a parent, the gates on it and their per cent of it.

    Parameters
    ----------
    rasters
        Gating plots of one tube, for instance ``profile.rasters(sample_id)`` or ``gate.rasterise(gated)``.
    percentages
        Population -> per cent of its parent (0-100), from the counts; NaN or absent is printed without a number.
    parents
        Population -> parent, from the counts: a population that a Boolean gate cut out has no gate on any plot, and its
        own plot then hangs below those of its parent; without it, at the root level.
    displays
        Population id -> name for people.

    Returns
    -------
    Figure
        A line runs from the plot with a gate to the plots of its population. Colour is log density, ``n`` the number of
        events shown.

    Raises
    ------
    NotAvailableError
        The plots are of several tubes.
    """
    if not rasters:
        return sketch_figure(empty_sketch("The file has no gating plot.", what="Gating strategy"))
    tubes = sorted({raster.tube for raster in rasters})
    if len(tubes) > 1:
        raise NotAvailableError(f"plots of tubes {', '.join(tubes)}", where="pl.gating_tree", todo="give one tube")
    return tree_figure(place_tree(rasters, percentages, parents or {}), displays=displays or {})


def place_tree(
    rasters: Sequence[GateRaster], percentages: Mapping[str, float], parents: Mapping[str, str]
) -> tuple[TreeNode, ...]:
    """Place of every plot: children beside each other below the plot that holds the gate of their parent."""
    homes: dict[str, int] = {}
    first: dict[str, int] = {}
    for number, raster in enumerate(rasters):
        first.setdefault(raster.parent, number)
        for outline in raster.outlines:
            homes.setdefault(outline.population, number)
    for population, parent in parents.items():
        if population not in homes and parent in first:
            homes[population] = first[parent]
    # Plots come parents first: one that would hang below itself or a later one stands at the root level.
    above = [homes.get(raster.parent, -1) for raster in rasters]
    above = [home if home < number else -1 for number, home in enumerate(above)]
    places: dict[int, tuple[float, int]] = {}
    taken = 0.0

    def place(number: int, row: int) -> float:
        nonlocal taken
        children = [child for child, parent in enumerate(above) if parent == number]
        if not children:
            column = taken
            taken += 1.0
        else:
            columns = [place(child, row + 1) for child in children]
            column = (columns[0] + columns[-1]) / 2
        places[number] = (column, row)
        return column

    for number, home in enumerate(above):
        if home < 0:
            place(number, 0)
    return tuple(TreeNode(raster, percentages, *places[number], above[number]) for number, raster in enumerate(rasters))


def tree_figure(nodes: Sequence[TreeNode], *, displays: Mapping[str, str]) -> Figure:
    """The tree from placed plots."""
    drawn = [prepare(Panel(node.raster, node.percentages), None, displays) for node in nodes]
    tops = _tops([(node.row, one) for node, one in zip(nodes, drawn, strict=True)], link=0.16)
    wide = _LEFT + max(node.column for node in nodes) * _CELL_X + 1.1
    high = tops[0] + 0.1
    made, sheet = plot_sheet(wide, high, SIDE, tree_alt(nodes, displays))
    corners = [(_LEFT + node.column * _CELL_X, tops[node.row] - one.head - 1)
               for node, one in zip(nodes, drawn, strict=True)]  # fmt: skip
    for node, one, (x0, y0) in zip(nodes, drawn, corners, strict=True):
        draw_panel(sheet, one, x0=x0, y0=y0)
        if node.above >= 0:
            top_x, top_y = corners[node.above]
            start, end = (top_x + 0.5, top_y - 0.23), (x0 + 0.5, y0 + 1 + one.head)
            middle = (start[1] + end[1]) / 2
            sheet.add(
                Line((start[0], start[0], end[0], end[0]), (start[1], middle, middle, end[1]), color=style.GREY,
                     width=0.8, order=0)
            )  # fmt: skip
    return sketch_figure(made)


def _tops(rows: Sequence[tuple[int, Drawn]], *, link: float = 0.0) -> list[float]:
    """Height of the top of every row of plots, the first one highest; ``link``: room for lines between rows."""
    heads = [max(one.head for at, one in rows if at == row) for row in range(max(at for at, _ in rows) + 1)]
    total = sum(head + 1 + _BELOW for head in heads) + link * (len(heads) - 1)
    tops = []
    for head in heads:
        tops.append(total)
        total -= head + 1 + _BELOW + link
    return tops


@dataclass(frozen=True, eq=False)
class StrategyExample:
    """Gating strategy of one tube on one file. ``words`` say whose file it is."""

    tube: str
    words: str
    nodes: tuple[TreeNode, ...]


def strategy_figure(example: StrategyExample, *, displays: Mapping[str, str], across: int = ACROSS) -> Figure:
    """The strategy on a page: see :func:`strategy_sketch`."""
    return sketch_figure(strategy_sketch(example, displays=displays, across=across))


def strategy_sketch(example: StrategyExample, *, displays: Mapping[str, str], across: int = ACROSS) -> Sketch:
    """The strategy as numbered plots in reading order, ``across`` side by side: what a deep tree needs on a page.

    Each plot names its parent and the number of the plot that holds the parent's gate; an arrow joins neighbours.
    """
    nodes = reading_order(example.nodes)
    drawn = [prepare(Panel(node.raster, node.percentages), None, displays) for node in nodes]
    tops = _tops([(number // across, one) for number, one in enumerate(drawn)])
    wide, high = _LEFT + across * _CELL_X - GAP_X + 0.06, tops[0] + 0.24
    made, sheet = plot_sheet(wide, high, style.WIDTH / wide, strategy_alt(example, displays))
    for number, (node, one) in enumerate(zip(nodes, drawn, strict=True)):
        row, column = divmod(number, across)
        x0, y0 = _LEFT + column * _CELL_X, tops[row] + 0.24 - one.head - 1
        draw_panel(sheet, one, x0=x0, y0=y0)
        origin = f"{number + 1}, from {node.above + 1}" if node.above >= 0 else f"{number + 1}"
        sheet.add(Words(x0 + 1, y0 + 1.03, origin, size=6, color=style.GREY, across="right", upward="bottom"))
        if column and node.above == number - 1:
            start, end, y = x0 - GAP_X + 0.03, x0 - 0.3, y0 + 0.85
            sheet.add(
                Line((start, end), (y, y), color=style.GREY, width=0.8),
                Line((end - 0.03, end, end - 0.03), (y - 0.022, y, y + 0.022), color=style.GREY, width=0.8),
            )
    made.note(f"{example.words} Per cent of the parent.")
    return made


def reading_order(nodes: Sequence[TreeNode]) -> tuple[TreeNode, ...]:
    """Plots with each branch followed to its end before the next one begins; ``above`` counts in the new order."""
    order: list[int] = []

    def follow(number: int) -> None:
        order.append(number)
        for child, node in enumerate(nodes):
            if node.above == number:
                follow(child)

    for number, node in enumerate(nodes):
        if node.above < 0:
            follow(number)
    place = {number: position for position, number in enumerate(order)}
    return tuple(replace(nodes[number], above=place.get(nodes[number].above, -1)) for number in order)


def strategy_alt(example: StrategyExample, displays: Mapping[str, str]) -> str:
    """What the plots say, in words."""
    return f"{example.words} {tree_alt(reading_order(example.nodes), displays)}"


def tree_alt(nodes: Sequence[TreeNode], displays: Mapping[str, str]) -> str:
    """What the tree says, in words."""
    parts = []
    for node in nodes:
        name = displays.get(node.raster.parent, "all events" if node.raster.parent == "root" else node.raster.parent)
        gates = ", ".join(
            f"{displays.get(outline.population, outline.population)} {_percent(node.percentages, outline.population)}"
            for outline in node.raster.outlines
        )
        axes = f"{node.raster.x_marker} by {node.raster.y_marker}"
        parts.append(f"{name} (n = {node.raster.n_parent:,}), {axes}: {gates or 'no gate'}")
    return "Gating strategy, per cent of the parent. " + "; ".join(parts) + "."


def _percent(percentages: Mapping[str, float], population: str) -> str:
    value = percentages.get(population, math.nan)
    return "not known" if math.isnan(value) else f"{value:.2f} %" if value < 1 else f"{value:.1f} %"


def back_gating(gated: GatedSample, population: str, *, most: int = 2000, seed: int = 0) -> Figure:
    """Cells of one population on the plots of all its ancestors, to see whether they lie where expected.

    Parameters
    ----------
    gated
        One file with its gates evaluated (:func:`immunoprofile.gate.gate_sample`).
    population
        The population whose cells are drawn on top.
    most
        At most so many cells are drawn, chosen at random without replacement; the number is printed.
    seed
        Of that choice.

    Returns
    -------
    Figure
        One plot an ancestor, from the root: its events as log density, the gates, and the cells as points.

    Raises
    ------
    NotAvailableError
        The strategy has no such population.
    """
    if population not in gated.strategy:
        known = ", ".join(gated.strategy.populations)
        raise NotAvailableError(f"no population {population!r}", where="pl.back_gating", todo=f"choose of: {known}")
    total = int(np.count_nonzero(gated.mask(population)))
    name = gated.strategy[population].label or population
    plots = back_plots(gated, population, most=most, seed=seed)
    if not plots:
        return sketch_figure(empty_sketch(f"No ancestor of {name} has a plot.", what="Back-gating"))
    return back_figure(plots, name=name, total=total)


def back_plots(gated: GatedSample, population: str, *, most: int, seed: int) -> tuple[BackPlot, ...]:
    """What :func:`back_gating` draws: the plots on which the population and its ancestors are cut out."""
    from immunoprofile.gate.raster import plot_values, rasterise

    line = {*gated.strategy.path(population), population}
    members = np.flatnonzero(gated.mask(population))
    if len(members) > most:
        members = np.sort(np.random.default_rng(seed).choice(members, most, replace=False))
    counts = gated.counts()
    percentages = dict(zip(gated.strategy.populations, counts["pct_parent"].astype(float), strict=True))
    found = []
    for raster in rasterise(gated):
        if any(outline.population in line for outline in raster.outlines):
            gate = next(outline.population for outline in raster.outlines if outline.population in line)
            values = plot_values(gated, gate)
            if values is not None:
                found.append(BackPlot(raster, percentages, values[0][members], values[1][members]))
    return tuple(found)


def back_figure(plots: Sequence[BackPlot], *, name: str, total: int) -> Figure:
    """The figure from plain values, at most four plots side by side."""
    drawn = [prepare(Panel(plot.raster, plot.percentages), None, {}) for plot in plots]
    tops = _tops([(number // ACROSS, one) for number, one in enumerate(drawn)])
    wide, high = _LEFT + min(len(plots), ACROSS) * _CELL_X - GAP_X + 0.06, tops[0] + 0.24
    shown = len(plots[0].x)
    words = f"{name}: {total:,} cells" + (f", {shown:,} of them drawn (random)" if shown < total else "")
    made, sheet = plot_sheet(max(wide, 4.6 / SIDE), high, SIDE, _back_alt(plots, words))
    for number, (plot, one) in enumerate(zip(plots, drawn, strict=True)):
        row, column = divmod(number, ACROSS)
        x0, y0 = _LEFT + column * _CELL_X, tops[row] + 0.24 - one.head - 1
        draw_panel(sheet, one, x0=x0, y0=y0)
        raster = plot.raster
        (x_low, x_high), (y_low, y_high) = raster.x_range, raster.y_range
        x, y = x0 + (plot.x - x_low) / (x_high - x_low), y0 + (plot.y - y_low) / (y_high - y_low)
        sheet.add(
            Marks(x.tolist(), y.tolist(), "o", 1.7, face=style.ORANGE, edge="none", edge_width=0, alpha=0.9, order=3)
        )
    made.note(f"Orange points: {words}. Density: all events of the parent.")
    return sketch_figure(made)


def _back_alt(plots: Sequence[BackPlot], words: str) -> str:
    places = []
    for plot in plots:
        middle = f"{np.median(plot.x):.2f}, {np.median(plot.y):.2f}" if len(plot.x) else "no cell"
        places.append(f"{plot.raster.parent}: {plot.raster.x_marker} by {plot.raster.y_marker}, median at {middle}")
    return f"Back-gating of {words}, on the scales of the plots. {'; '.join(places)}."
