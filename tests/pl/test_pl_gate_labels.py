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
from immunoprofile.pl.gate_labels import clipped
from immunoprofile.pl.gating_hierarchy import StrategyExample, place_tree, strategy_figure

MOST = 2.0
"""Pixels, at 150 of them an inch, by which a label may reach over a line or another label."""


def collisions(figure: Figure) -> list[str]:
    """Every label of a gate that reaches over an outline or over another text by more than `MOST` pixels."""
    figure.set_dpi(150)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    found = []
    for axes in figure.axes:
        lines = [line for line in axes.lines if len(line.get_xdata()) >= 4 and np.isfinite(line.get_xdata()).all()]
        corners = [line.get_transform().transform(np.column_stack(line.get_data())) for line in lines]
        labels = [one for one in axes.texts if one.get_bbox_patch() is not None]
        boxes = [one.get_window_extent(renderer) for one in labels]
        for number, (label, box) in enumerate(zip(labels, boxes, strict=True)):
            for points in corners:
                at = np.linspace(0, 1, 400)[:, None, None]
                along = (points[:-1] + at * (points[1:] - points[:-1])).reshape(-1, 2)
                x, y = along.T
                inside = (x > box.x0 + MOST) & (x < box.x1 - MOST) & (y > box.y0 + MOST) & (y < box.y1 - MOST)
                if inside.any():
                    found.append(f"{label.get_text()!r} on an outline")
            for other, further in zip(labels[number + 1 :], boxes[number + 1 :], strict=True):
                over = (
                    min(box.x1, further.x1) - max(box.x0, further.x0),
                    min(box.y1, further.y1) - max(box.y0, further.y0),
                )
                if min(over) > MOST:
                    found.append(f"{label.get_text()!r} on {other.get_text()!r}")
    return found


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
    figure = pl.gating([raster], percentages={one.population: 12.3 for one in outlines})
    assert collisions(figure) == []
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
