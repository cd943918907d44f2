"""X of the cells: every channel on the scale that the template declares for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile.errors import GateError
from immunoprofile.gate.cells import cells_of
from immunoprofile.io.fcs import Channel, Sample

CHANNELS = (
    ("FSC-A", "", 262144.0), ("V450-A", "CD4", 262144.0), ("B525-A", "CD8", 262144.0), ("R660-A", "CD3", 262144.0),
    ("Event_length", "", 1000.0), ("Time", "", 262144.0),
)  # fmt: skip


def sample() -> Sample:
    rng = np.random.default_rng(3)
    n = 300
    columns = [rng.normal(30_000, 2_000, n), *(rng.lognormal(7, 2, n) for _ in range(3)), rng.uniform(10, 70, n)]
    channels = tuple(Channel(pnn, pns, pns or pnn, top) for pnn, pns, top in CHANNELS)
    return Sample("t.fcs", np.column_stack([*columns, np.linspace(0, 60, n)]), channels)


def template(folder: Path, *header: str) -> Any:
    lines = ["# tube: t", "# compensated: false", *(f"# {line}" for line in header)]
    rows = ["population,parent,gate,dim_1,min_1,max_1", "cd4,root,rectangle,CD4,0.3,"]
    (folder / "t.csv").write_text("\n".join([*lines, *rows]) + "\n", encoding="utf-8")
    return ip.gate.load(folder / "t.csv")["t"]


def cells(strategy: Any) -> Any:
    return cells_of(ip.gate.gate_sample(sample(), strategy, comp_source="none"), "s")


SCALES = (
    "scales:",
    "  wide: {kind: logicle, T: 262144, W: 0.5, M: 4.5, A: 0}",
    "  narrow: {kind: asinh, T: 10000, M: 3.6, A: 0}",
    "  straight: {kind: linear, T: 1000000, A: 0}",
)


@pytest.mark.parametrize("scale", ["wide", "narrow", "straight"])
def test_channels_without_a_gate_are_on_the_default_scale(tmp_path: Path, scale: str) -> None:
    strategy = template(tmp_path, *SCALES, f"default_scale: {scale}")
    found = cells(strategy)
    assert dict(zip(found.var["pnn"], found.var["scale"], strict=True)) == {
        "FSC-A": "range", "V450-A": scale, "B525-A": scale, "R660-A": scale, "Event_length": "range", "Time": "none",
    }  # fmt: skip
    expected = dict(strategy.scales)[scale].apply(sample().values("CD8"))
    np.testing.assert_allclose(found[:, "CD8"].X.ravel(), expected, rtol=1e-6)
    np.testing.assert_allclose(found[:, "FSC-A"].X.ravel(), sample().values("FSC-A") / 262144, rtol=1e-6)
    np.testing.assert_allclose(found[:, "Event_length"].X.ravel(), sample().values("Event_length") / 1000, rtol=1e-6)
    np.testing.assert_allclose(found[:, "Time"].X.ravel(), np.linspace(0, 60, 300), rtol=1e-6)


@pytest.mark.parametrize("name", ["CD8", "cd-8", "B525-A"])
def test_a_marker_or_channel_has_the_scale_that_is_declared_for_it(tmp_path: Path, name: str) -> None:
    strategy = template(tmp_path, *SCALES, "default_scale: wide", f"marker_scales: {{{name}: straight}}")
    found = cells(strategy)
    assert found.var["scale"].tolist() == ["range", "wide", "straight", "wide", "range", "none"]
    np.testing.assert_allclose(found[:, "CD8"].X.ravel(), sample().values("CD8") / 1e6, rtol=1e-6)


@pytest.mark.parametrize("kind", ["asinh, T: 10000, M: 3.6, A: 0", "hyperlog, T: 262144, W: 0.5, M: 4.5, A: 0"])
def test_without_a_default_a_scale_of_the_template_is_taken_and_no_raw_values(tmp_path: Path, kind: str) -> None:
    found = cells(template(tmp_path, "scales:", f"  one: {{kind: {kind}}}", "marker_scales: {CD4: one}"))
    assert found.var["scale"].tolist() == ["range", "one", "one", "one", "range", "none"]
    assert found[:, "CD8"].X.max() < 2


def test_declared_scales_are_part_of_the_gates(tmp_path: Path) -> None:
    plain = template(tmp_path, *SCALES, "default_scale: wide")
    narrow = template(tmp_path, *SCALES, "default_scale: narrow", "marker_scales: {CD4: wide, CD8: straight}")
    # what goes without saying changes no hash: CD4 has its scale from its gate, and the first logicle is the default
    assert plain.sha256 == template(tmp_path, *SCALES, "marker_scales: {CD4: wide}").sha256
    assert narrow.sha256 != plain.sha256
    for strategy in (plain, narrow):
        path, *_ = ip.gate.save(ip.gate.GateSet((strategy,)), tmp_path / "copy.csv")
        assert ip.gate.load(path)["t"] == strategy
    from immunoprofile.gate.stored import from_json, to_json

    kept = ip.gate.GateSet((narrow,))
    assert from_json(to_json(kept), "memory") == kept
    with pytest.raises(GateError, match="unknown scale"):
        template(tmp_path, *SCALES, "default_scale: other")
