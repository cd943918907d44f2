"""The default picture of a placement, and its record on the page of a visit."""

from __future__ import annotations

import types

import numpy as np
import pandas as pd
import pytest

import immunoprofile as ip
from immunoprofile.errors import NotAvailableError
from immunoprofile.placement import place
from immunoprofile.placement.records import Rows
from immunoprofile.report import placement as record
from tests.placement.samples import control, placed_gates


@pytest.fixture(scope="module")
def placed(tmp_path_factory):
    sample, _ = control(tmp_path_factory.mktemp("shown"), "treg", seed=2, events=6000, shift={"CD25": 0.06})
    return place(sample, placed_gates()["treg"], name="S1")


def test_picture_shows_template_and_placed_cut(placed):
    figure = ip.pl.placement(placed, "t", "CD3")
    (axes,) = figure.axes
    (cut,) = [cut for cut in placed.cuts if cut.population == "t"]
    drawn = {line.get_linestyle(): line.get_xdata()[0] for line in axes.get_lines()}
    assert drawn[":"] == cut.template
    assert drawn["-"] == cut.value
    assert "--" in drawn
    keys = [text.get_text() for text in figure.legends[0].get_texts()]
    assert keys == ["S1", "template sample", "template", "placed"]
    assert "cd4" not in axes.get_title()


def test_picture_of_a_polygon_stands_at_its_corners(placed):
    axes = ip.pl.placement(placed, "treg", "CD25").axes[0]
    corners = [x for x, _ in placed.strategy["treg"].vertices]
    solid = sorted(line.get_xdata()[0] for line in axes.get_lines() if line.get_linestyle() == "-")
    assert solid == pytest.approx([min(corners), max(corners)])


def test_what_was_not_placed_has_no_picture(placed):
    with pytest.raises(NotAvailableError, match="was not placed on CD8"):
        ip.pl.placement(placed, "t", "CD8")


def view(table):
    profile = types.SimpleNamespace(tables={"placement": table})
    source = types.SimpleNamespace(profile=profile, samples={("P", "BL"): {"treg": "S1"}})
    return types.SimpleNamespace(source=source, subject="P", visit="BL")


def test_record_stands_in_the_appendix(placed):
    rows = Rows()
    rows.add("S1", placed.strategy, placed.cuts)
    rows.add("S2", placed.strategy, placed.cuts)
    heading, said, table = record.of_visit(view(rows.table()))
    assert heading.heading
    assert len(table.rows) == len(placed.cuts)
    review = sum(cut.review for cut in placed.cuts)
    assert review
    assert f"To be looked at: {review} of {len(placed.cuts)}." in said.words
    words = [[cell.words for cell in row] for row in table.rows]
    ki67 = next(line for line in words if line[1] == "treg_ki67")
    assert ki67[3] == "landmark instead of fmo_quantile"
    assert ki67[-1].startswith("look: fmo_quantile: no controls are known here")
    # The template's CD3 cut at 0.496 of the logicle scale is 1,478 in linear intensity (FlowKit's inverse).
    import flowkit as fk

    linear = fk.transforms.LogicleTransform(262144, 0.5, 4.5, 0).inverse(np.array([0.496]))[0]
    cd3 = next(line for line in words if line[1] == "t")
    assert float(cd3[5].replace(",", "")) == pytest.approx(linear, rel=2e-3)


def test_fixed_gates_have_no_record():
    assert record.of_visit(view(None)) == ()
    assert record.of_visit(view(pd.DataFrame(columns=list(ip.schema.PLACEMENT_COLUMNS)))) == ()
