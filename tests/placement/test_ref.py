"""A gate that names another (`ref`) follows it in every sample, and gates placed as a whole have a picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile.datasets import il2_cmv
from immunoprofile.pl.placement_figure import placement_sketch
from immunoprofile.placement import gates_of
from tests.placement.samples import control, placed_gates, with_method


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> ip.Study:
    out = tmp_path_factory.mktemp("ref") / "study"
    return ip.read_study(il2_cmv(out, subjects=2, visits=2, events=3000, warts=False))


def test_ref_follows_the_gate_that_it_names_in_frozen_samples_too(study: ip.Study) -> None:
    gates = placed_gates()
    effector = with_method(gates["effector"], "cd56_pos", "ref", of="nkt_like")
    gates = gates.with_strategy(effector)
    own = study.samples[(study.samples["tube_id"] == "effector") & study.samples["role"].isin(["sample", "control"])]
    placed = set()
    for sample in own["sample_id"]:
        found = gates_of(gates, study, str(sample))
        named, again = (found[name].dimensions[0].minimum for name in ("nkt_like", "cd56_pos"))
        assert named == again, sample
        placed.add(named)
    assert effector["cd56_pos"].dimensions[0].minimum not in placed  # the template has another place
    assert len(own) > len(study.samples["usubjid"].dropna().unique())  # later visits are among them


def test_a_gate_that_is_placed_as_a_whole_has_a_picture(tmp_path: Path) -> None:
    sample, _ = control(tmp_path, "effector", seed=3, events=4000)
    strategy = with_method(placed_gates()["effector"], "singlets", "singlet")
    placed = ip.placement.place(sample, strategy, name="S")
    (cut,) = [cut for cut in placed.cuts if cut.population == "singlets"]
    made = placement_sketch(placed, "singlets", cut.marker)
    (panel,) = made.panels
    events, outline = panel.items
    assert np.column_stack([outline.x, outline.y])[:-1].tolist() == [
        list(one) for one in placed.strategy["singlets"].vertices
    ]
    n = placed.events.mask("time_ok").sum()
    assert 0.5 * min(n, 3000) < len(events.x) <= 3000
    assert (panel.x.label, panel.y.label) == ("FSC-A", "FSC-H")
    assert b"with the placed gate singlets" in ip.pl.to_svg(ip.pl.placement(placed, "singlets", cut.marker))
    plt.close("all")
