from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile import pl
from immunoprofile.errors import NotAvailableError
from immunoprofile.gate import GatedSample
from immunoprofile.pl.gating_hierarchy import StrategyExample, back_plots, place_tree, reading_order, strategy_figure


@pytest.fixture(scope="module")
def gated(repository: Path) -> GatedSample:
    sample = ip.read_fcs(repository / "data/demo/fcs/IL2CMV-01-001/IL2CMV-01-001_BL_effector.fcs")
    return ip.gate.gate_sample(sample, ip.gate.load(ip.gate.shipped_folder()))


def counted(gated: GatedSample, column: str) -> dict[str, Any]:
    return dict(zip(gated.strategy.populations, gated.counts()[column], strict=True))


def test_every_plot_hangs_below_the_gate_of_its_parent(gated: GatedSample) -> None:
    rasters = ip.gate.rasterise(gated)
    nodes = place_tree(rasters, {}, counted(gated, "parent"))
    assert [node.raster for node in nodes] == list(rasters)
    assert len({(node.column, node.row) for node in nodes}) == len(nodes)
    boolean = set()
    for node in nodes:
        if node.above < 0:
            assert node.raster.parent == "root"
            continue
        home = nodes[node.above]
        assert node.row == home.row + 1
        if node.raster.parent not in {outline.population for outline in home.raster.outlines}:
            boolean.add(node.raster.parent)
            assert home.raster.parent == gated.strategy[node.raster.parent].parent
    assert boolean == {"nk"}


def test_the_percentages_of_the_tree_are_those_of_the_counts(gated: GatedSample) -> None:
    percentages = counted(gated, "pct_parent")
    figure = pl.gating_tree(ip.gate.rasterise(gated), percentages=percentages, parents=counted(gated, "parent"))
    alt = pl.alt_text(figure)
    assert f"CD4 by CD8: cd4 {percentages['cd4']:.1f} %, cd8 {percentages['cd8']:.1f} %" in alt
    assert f"nk (n = {int(gated.masks['nk'].sum())}), CD56 by CD16" in alt


def test_back_gated_cells_lie_inside_the_gates_of_all_ancestors(gated: GatedSample) -> None:
    plots = back_plots(gated, "cd8_act", most=10_000, seed=0)
    assert [plot.raster.parent for plot in plots] == [
        "root", "time_ok", "singlets", "live", "lymphocytes", "t", "cd8",
    ]  # fmt: skip
    line = {*gated.strategy.path("cd8_act"), "cd8_act"}
    for plot in plots:
        assert len(plot.x) == gated.masks["cd8_act"].sum()
        (outline,) = (one for one in plot.raster.outlines if one.population in line)
        # The bounding box of the outline; polygons lie inside theirs.
        assert plot.x.min() >= min(outline.x)
        assert plot.x.max() <= max(outline.x)
        assert plot.y.min() >= min(outline.y)
        assert plot.y.max() <= max(outline.y)


def test_the_choice_of_cells_is_seeded_and_printed(gated: GatedSample) -> None:
    first, again, other = (back_plots(gated, "cd8", most=50, seed=seed)[0].x for seed in (1, 1, 2))
    assert len(first) == 50
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    total = int(gated.masks["cd8"].sum())
    assert f"cd8: {total} cells, 50 of them drawn (random)" in pl.alt_text(pl.back_gating(gated, "cd8", most=50))


def test_a_population_without_cells_and_one_that_is_not_there(gated: GatedSample) -> None:
    from dataclasses import replace

    from immunoprofile.gate.engine.result import Memberships

    masks = {**gated.masks, "cd8_act": np.zeros(gated.sample.n_events, dtype=bool)}
    empty = Memberships.of(masks, gated.sample.n_events)
    nobody = replace(gated, evaluation=replace(gated.evaluation, masks=empty))
    assert "cd8_act: 0 cells" in pl.alt_text(pl.back_gating(nobody, "cd8_act"))
    with pytest.raises(NotAvailableError, match="nk_dim"):
        pl.back_gating(gated, "unknown")


def test_a_tree_is_of_one_tube(profile: Any) -> None:
    both = (*profile.rasters("S001-D14-count"), *profile.rasters("S001-D14-treg"))
    with pytest.raises(NotAvailableError, match="count, treg"):
        pl.gating_tree(both, percentages={})
    assert "no gating plot" in pl.alt_text(pl.gating_tree([], percentages={}))


def test_the_strategy_follows_each_branch_to_its_end(gated: GatedSample) -> None:
    nodes = place_tree(ip.gate.rasterise(gated), counted(gated, "pct_parent"), counted(gated, "parent"))
    order = reading_order(nodes)
    assert sorted(id(node.raster) for node in order) == sorted(id(node.raster) for node in nodes)
    homes = {id(node.raster): id(nodes[node.above].raster) if node.above >= 0 else 0 for node in nodes}
    for number, node in enumerate(order):
        assert node.above < number
        assert homes[id(node.raster)] == (id(order[node.above].raster) if node.above >= 0 else 0)
    parents = [node.raster.parent for node in order]
    # the plots of CD8 follow the plot that cuts CD8 out, before the next branch
    assert parents[parents.index("cd8") - 1] == "t"
    assert parents.index("nk") > max(n for n, name in enumerate(parents) if name in ("t", "cd8"))
    example = StrategyExample("effector", "Example: $a$ of_b.", nodes)
    figure = strategy_figure(example, displays={})
    said = [item.get_text() for axes in figure.axes for item in axes.texts]
    assert {f"{n + 1}, from {node.above + 1}" for n, node in enumerate(order) if node.above >= 0} <= set(said)
    assert figure.texts[-1].get_text().startswith("Example: $a$ of_b.")
    assert pl.to_svg(figure) == pl.to_svg(strategy_figure(example, displays={}))
