"""Figures of quality: what they say and mark, and that the same data give the same bytes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import immunoprofile as ip
from immunoprofile.errors import NotAvailableError
from immunoprofile.io.fcs import Channel, Sample
from immunoprofile.quality import assess


def panel(channels: int = 12, *, timed: bool = True) -> Sample:
    rng = np.random.default_rng(0)
    n = 12_000
    area = rng.lognormal(11, 0.2, n)
    columns = [area, 0.6 * area * rng.normal(1, 0.012, n)]
    columns += [rng.lognormal(8, 0.4, n) for _ in range(channels)]
    columns[3][5_000:7_000] *= 0.3
    names = ["FSC-A", "FSC-H", *(f"FL{number}-A" for number in range(1, channels + 1))]
    if timed:
        columns.append(np.sort(rng.uniform(0, 40, n)))
        names.append("Time")
    return Sample("panel.fcs", np.column_stack(columns), tuple(Channel(name, "", name, 262144.0) for name in names))


def texts(figure) -> str:
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [axes.get_ylabel(), axes.get_xlabel(), axes.get_title(loc="left")]
        found += [text.get_text() for text in axes.texts]
    return "\n".join(found)


def test_file_quality_names_the_channel_and_marks_the_stretch():
    quality = assess(panel())
    figure = ip.pl.file_quality(quality)
    said = texts(figure)
    assert "panel.fcs" in said and "12,000 events" in said and "signal stability 20.8 %: FL2-A" in said
    rows = {axes.get_ylabel(): axes for axes in figure.axes}
    assert {f"FL{number}-A" for number in range(1, 13)} <= set(rows)
    fault, quiet = rows["FL2-A"], rows["FL7-A"]
    assert fault.yaxis.label.get_fontweight() == "bold" and quiet.yaxis.label.get_fontweight() == "normal"
    assert next(line for line in fault.lines if line.get_marker() == "x").get_xdata().size > 0
    assert all(patch.get_hatch() for patch in fault.patches) and fault.patches
    assert ip.pl.to_svg(ip.pl.file_quality(quality)) == ip.pl.to_svg(figure)


def test_file_quality_without_time_says_so():
    said = texts(ip.pl.file_quality(assess(panel(3, timed=False))))
    assert "signal not assessable: no Time channel" in said
    assert "flow rate not assessable: no Time channel" in said


def test_many_channels_show_those_at_fault():
    quality = assess(panel(40))
    figure = ip.pl.file_quality(quality)
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert "FL2-A" in labels
    assert sum(label.startswith("FL") for label in labels) + labels.count("FSC-A") == 24
    assert "17 quiet channels are not drawn" in texts(figure)


def test_overview_shows_the_worst_state_of_each_place():
    table = pd.DataFrame(
        [("a", "flow_rate", "PASS"), ("a", "flow_rate", "FAIL"), ("b", "margins", "NOT_EVALUABLE"), ("", "x", "PASS")],
        columns=["sample_id", "check", "state"],
    )
    (axes,) = ip.pl.quality_overview(table).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["flow rate", "margins"]
    assert [text.get_text() for text in axes.texts] == ["✕", "–", "–", "?"]


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame(),
        pd.DataFrame({"sample_id": ["a"]}),
        pd.DataFrame({"sample_id": [""], "check": ["x"], "state": ["PASS"]}),
    ],
)
def test_overview_of_nothing_is_refused(table):
    with pytest.raises(NotAvailableError):
        ip.pl.quality_overview(table)
