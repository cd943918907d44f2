"""Overlays of files on one gate, and one gate in all samples."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from immunoprofile import pl
from immunoprofile.errors import NotAvailableError
from immunoprofile.gate import change, gate_sample
from tests.widget.files import sample, strategy


def files() -> dict[str, Any]:
    moved = change(strategy(), "cd3", limits={"CD3": (800, None)})
    return {
        "BL": gate_sample(sample(), strategy()),
        "D14": gate_sample(sample(seed=2), strategy()),
        "FMO": gate_sample(sample(seed=3), moved),
    }


def legend(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("population", ["treg", "cd3", "box", "round", "q1"])
def test_overlay_says_file_population_and_exact_percentage(population: str) -> None:
    shown = files()
    figure = pl.overlay(shown, population)
    for label, words in zip(shown, legend(figure), strict=True):
        gated = shown[label]
        n, of = gated.n(population), gated.n(gated.strategy[population].parent)
        assert words.startswith(f"{label}: {population} {100 * n / of:.2f} % ({n:,} of {of:,} ")


def test_gates_that_differ_are_drawn_each_and_equal_ones_once() -> None:
    shown = files()
    figure = pl.overlay(shown, "cd3")
    verticals = {line.get_xdata()[0] for line in figure.axes[0].lines if len(set(line.get_xdata())) == 1}
    assert verticals == {one.strategy["cd3"].dimensions[0].minimum for one in shown.values()}
    one_gate = pl.overlay({"BL": shown["BL"], "D14": shown["D14"]}, "treg")
    outlines = [line for line in one_gate.axes[0].lines if len(line.get_xdata()) == 6]
    assert len(outlines) == 1
    assert np.allclose(outlines[0].get_xdata()[:-1], [x for x, _ in strategy()["treg"].vertices])


def test_overlay_refuses_what_it_cannot_draw() -> None:
    one = gate_sample(sample(), strategy())
    with pytest.raises(NotAvailableError, match="no plot of its own"):
        pl.overlay({"BL": one}, "tconv")
    with pytest.raises(NotAvailableError, match="has no population nobody"):
        pl.overlay({"BL": one}, "nobody")
    with pytest.raises(NotAvailableError, match="7 files"):
        pl.overlay({str(k): one for k in range(7)}, "treg")


def test_gate_grid_keeps_the_size_of_a_plot_and_shows_every_sample(profile: Any, fake: ModuleType) -> None:
    population = next(
        outline.population
        for name in profile.counts["sample_id"].unique()
        for raster in profile.rasters(name)
        for outline in raster.outlines
    )
    tube = str(profile.visits.var.loc[population, "tube"])
    rows = profile.visits.obs
    used = [profile.sample_of(str(r["usubjid"]), str(r["visit"]), tube) for _, r in rows.iterrows()]
    used = [name for name in used if name is not None]
    wide = pl.gate_grid(profile, population, columns=4)
    long = pl.gate_grid(profile, population, columns=2)
    for figure, columns in ((wide, 4), (long, 2)):
        images = figure.axes[0].images
        assert len(images) == sum(bool(profile.rasters(name)) for name in used)
        across = figure.axes[0].get_xlim()[1]
        assert figure.get_figwidth() / across == pytest.approx(1.25)
        assert figure.get_figheight() / figure.axes[0].get_ylim()[1] == pytest.approx(1.25)
        assert len({round(text.xy[0], 3) for text in figure.axes[0].texts}) >= columns
    words = " ".join(text.get_text() for text in wide.axes[0].texts)
    subject = str(rows["usubjid"].iloc[0])
    assert subject in words
    hidden = " ".join(text.get_text() for text in pl.gate_grid(profile, population, blinded=True).axes[0].texts)
    assert subject not in hidden
    with pytest.raises(NotAvailableError, match="no tube gates nobody"):
        pl.gate_grid(profile, "nobody")
