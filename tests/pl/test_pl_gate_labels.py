"""Labels of gates by geometry: none lies on an outline or on another label, whatever the gates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

import immunoprofile as ip
from immunoprofile import pl
from immunoprofile.gate.raster import GateRaster, Outline
from immunoprofile.pl.gate_labels import Box, clipped
from immunoprofile.pl.gating_hierarchy import StrategyExample, place_tree, strategy_figure
from immunoprofile.pl.thumbnails import Drawn, Panel, prepare
from tests.label_geometry import collisions, collisions_of_plot


def sides(figure: Figure) -> list[float]:
    """Side of every plot in pixels on a page of 1,116 px, the width of a report on a screen."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    scale = 1116 / (figure.get_figwidth() * figure.dpi)
    return [image.get_window_extent(renderer).width * scale for axes in figure.axes for image in axes.images]


@pytest.fixture(scope="module", params=["count", "treg", "effector"])
def rasters(request: pytest.FixtureRequest, repository: Path) -> tuple[tuple[GateRaster, ...], dict[str, float]]:
    sample = ip.read_fcs(repository / f"data/demo/fcs/IL2CMV-01-001/IL2CMV-01-001_BL_{request.param}.fcs")
    gated = ip.gate.gate_sample(sample, ip.gate.load(ip.gate.shipped_folder()))
    percentages = dict(zip(gated.strategy.populations, gated.counts()["pct_parent"].astype(float), strict=True))
    return ip.gate.rasterise(gated), percentages


def test_no_label_of_the_demo_lies_on_a_gate_or_a_label(rasters: Any) -> None:
    shown, percentages = rasters
    displays = {name: f"Population of a long name, {name}" for name in percentages}
    for names in ({}, displays):
        figure = pl.gating(
            shown, baseline=shown, percentages=percentages, baseline_percentages=percentages, displays=names
        )
        assert collisions(figure) == []
        assert min(sides(figure)) >= 180
        tree = place_tree(shown, percentages, {})
        assert collisions(strategy_figure(StrategyExample("t", "Example.", tree), displays=names)) == []
        assert collisions(pl.gating_tree(shown, percentages=percentages, displays=names)) == []


def test_a_label_on_a_gate_and_two_labels_on_each_other_are_found() -> None:
    square = tuple((x, y) for x, y in ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2)))
    raster = GateRaster("t", "root", 7, "CD3", "CD4", (0.0, 1.0), (0.0, 1.0), np.zeros((96, 96), np.uint32), (), (), ())
    middle, edge = Box("a", 0.5, 0.5, 0.2, 0.05), Box("b", 0.2, 0.5, 0.15, 0.05)

    def said(*places: Box) -> list[str]:
        words = tuple(one.words for one in places)
        return collisions_of_plot(Drawn(Panel(raster, {}), "", (0, 1), (0, 1), (), (), (square,), words, places))

    assert said(middle) == []
    assert said(edge) == ["'b' on an outline"]
    assert said(edge, middle) == ["'b' on an outline", "'b' on 'a'"]


def test_every_gate_is_named_on_its_plot_or_above_it(rasters: Any) -> None:
    shown, percentages = rasters
    words = " ".join(
        one.get_text().replace("\n", " ") for one in pl.gating(shown, percentages=percentages).findobj(Text)
    )
    for raster in shown:
        for outline in raster.outlines:
            assert (
                f"{percentages[outline.population]:.1f} %" in words
                or f"{percentages[outline.population]:.2f} %" in words
            )


limit = st.floats(0, 1, allow_nan=False)


@st.composite
def gates(draw: st.DrawFn) -> tuple[Outline, ...]:
    made = []
    for number in range(draw(st.integers(1, 10))):
        (x0, x1), (y0, y1) = (sorted(draw(st.tuples(limit, limit))) for _ in range(2))
        made.append(Outline(f"population_{number}", (x0, x1, x1, x0, x0), (y0, y0, y1, y1, y0)))
    return tuple(made)


@settings(max_examples=30, deadline=None)
@given(gates())
def test_no_label_of_any_gates_lies_on_a_gate_or_a_label(outlines: tuple[Outline, ...]) -> None:
    counts = np.zeros((96, 96), dtype=np.uint32)
    counts[40:50, 40:50] = 7
    raster = GateRaster("t", "root", 700, "CD3", "CD4", (0.0, 1.0), (0.0, 1.0), counts, (), (), outlines)
    numbers = {one.population: 12.3 for one in outlines}
    figure = pl.gating([raster], percentages=numbers)
    assert collisions(figure) == []
    # What is said of a plot before it is drawn is what is drawn.
    assert collisions_of_plot(prepare(Panel(raster, numbers), None, {})) == []
    words = [one.get_text() for one in figure.findobj(Text)]
    assert sum("12.3 %" in one for one in words) == len(outlines)
    assert pl.gating([replace(raster, outlines=())])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-2, 3), st.floats(-2, 3)), min_size=3, max_size=8))
def test_the_part_of_an_outline_on_the_plot_is_on_the_plot(points: list[tuple[float, float]]) -> None:
    kept = clipped((*points, points[0]))
    assert kept[0] == kept[-1]
    assert all(-1e-9 <= value <= 1 + 1e-9 for corner in kept for value in corner)
    inside = [one for one in points if all(0 <= value <= 1 for value in one)]
    assert set(inside) <= set(kept)
