"""Our counts beside FlowJo's where the file is not the whole acquisition, and where a handful of events differs."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from immunoprofile import gate
from immunoprofile.cli import app
from immunoprofile.gate.flowjo_counts import compare, needs_a_look
from tests.gate import workspaces as w
from tests.io.fcs_files import events, write

WHOLE = 10_000


def made(tmp_path, *populations, keep=slice(None), tot=WHOLE):
    data = events(WHOLE)
    data[:, 0] = np.random.default_rng(0).permutation(np.arange(WHOLE))
    kept = data[keep]
    write(tmp_path / "a.fcs", kept, **{"$FIL": "a.fcs"})
    sample = w.sample(1, "a.fcs", *populations, comp="", keywords={"$FIL": "a.fcs", "$TOT": tot})
    (tmp_path / "a.wsp").write_bytes(w.workspace(sample))
    return kept


def above(low, count, name="above"):
    return w.population(name, w.rectangle(w.axis("FSC-A", low)), count=count)


@pytest.mark.parametrize("keep", [slice(None, None, 10), slice(None, 1000), slice(500, 600)])
@pytest.mark.parametrize(("low", "same"), [(4000, True), (9000, True), (0, True), (WHOLE, True), (3000, False)])
def test_fractions_are_compared_where_the_file_was_thinned(tmp_path, keep, low, same):
    count = WHOLE - low if same else WHOLE // 10
    kept = made(tmp_path, above(low, count), keep=keep)
    done = compare(tmp_path / "a.wsp", tmp_path)
    (row,) = done.table.to_dict("records")
    assert row["n"] == (kept[:, 0] >= low).sum()
    assert row["verdict"] == ("same fraction" if same else "different")
    assert len(done.notes) == 1
    assert f"has {len(kept):,} events" in done.notes[0]
    assert "10,000" in done.notes[0]
    assert needs_a_look(done.table) != same


def test_the_difference_is_told_once_on_the_terminal(tmp_path):
    made(tmp_path, *(above(1000 * i, WHOLE - 1000 * i, f"p{i}") for i in range(1, 9)), keep=slice(None, None, 10))
    ran = CliRunner().invoke(app, ["reconcile", str(tmp_path / "a.wsp"), "--fcs", str(tmp_path)])
    assert ran.exit_code == 0
    assert ran.output.count("10,000") == 1


@pytest.mark.parametrize(
    ("off", "verdict"), [(0, "equal"), (2, "within 5 events"), (-5, "within 5 events"), (6, "different")]
)
def test_a_handful_of_events_at_the_edge_of_a_drawn_gate(tmp_path, off, verdict):
    corners = ((-1, -1e6), (9.5, -1e6), (9.5, 1e6), (-1, 1e6))
    drawn = w.population("drawn", w.polygon("FSC-A", "SSC-A", *corners), count=10 + off)
    made(tmp_path, drawn, above(WHOLE - 10, 10 + off, "limit"))
    table = gate.reconcile(tmp_path / "a.wsp", tmp_path).set_index("population")
    assert table.loc["drawn", "verdict"] == verdict
    assert table.loc["limit", "verdict"] == ("equal" if off == 0 else "different")


def test_more_events_than_the_workspace_had(tmp_path):
    made(tmp_path, above(4000, 600), tot=1000)
    assert gate.reconcile(tmp_path / "a.wsp", tmp_path)["verdict"].tolist() == ["same fraction"]


def test_a_time_gate_that_cannot_be_honoured_is_not_supported(tmp_path):
    scales = w.linear("FSC-A") + w.linear("Time", 777, 1)
    time = w.population("time", w.rectangle(w.axis("Time", 10, 50)), count=5)
    write(tmp_path / "a.fcs", events(WHOLE), **{"$FIL": "a.fcs"})
    sample = w.sample(1, "a.fcs", time, above(0, WHOLE), scales=scales, comp="", keywords={"$FIL": "a.fcs"})
    (tmp_path / "a.wsp").write_bytes(w.workspace(sample))
    table = gate.reconcile(tmp_path / "a.wsp", tmp_path).set_index("population")
    assert table.loc["time", "verdict"] == "not supported"
    assert "gain 1" in table.loc["time", "reason"]
    assert table.loc["above", "verdict"] == "equal"
