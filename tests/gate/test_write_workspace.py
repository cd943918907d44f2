"""FlowJo workspaces written here: FlowKit and our reader count the same in every sample and gate."""

from __future__ import annotations

from dataclasses import replace

import flowkit as fk
import numpy as np
import pytest

from immunoprofile import gate
from immunoprofile.errors import GateError
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.strategy import Dimension, Ellipsoid, Gate, GateSet, Operand, Ratio, Strategy
from immunoprofile.io.fcs import read_fcs
from tests.io.fcs_files import events, spill_text, write

LOGICLE = Scale("logicle", (("T", 262144.0), ("W", 0.5), ("M", 4.5), ("A", 0.0)))
BIEX = Scale("biex", (("negative", 0.0), ("width", -100.0), ("positive", 4.418539922), ("max_value", 262144.0)))
ASINH = Scale("asinh", (("T", 262144.0), ("M", 4.0), ("A", 1.0)))


def axis(channel, low=None, high=None, scale=None):
    return Dimension(channel, low, high, scale=scale, compensated=scale is not None)


def strategy(**changed):
    corners = ((60_000.0, 15_000.0), (130_000.0, 15_000.0), (120_000.0, 70_000.0), (60_000.0, 60_000.0))
    shape = ((0.2, 900.0), (0.9, 1500.0), (0.7, 3900.0), (0.3, 3000.0))
    gates = (
        Gate("early", "root", "rectangle", (axis("Time", None, 1e9),), label="Time ok"),
        Gate("cells", "early", "polygon", (axis("FSC-A"), axis("SSC-A")), vertices=corners, label="Lymphs (FSC x SSC)"),
        Gate("pos", "cells", "rectangle", (axis("FITC-A", 0.4, None, "l"), axis("PE-A", 1000.0, 3000.0, "b"))),
        Gate("drawn", "cells", "polygon", (axis("FITC-A", scale="l"), axis("PE-A", scale="b")), vertices=shape),
        Gate("outside", "cells", "rectangle", (axis("APC-A", 0.5, None, "a"),), complement=True, label="APC-"),
        Gate("either", "cells", "or", operands=(Operand("pos"), Operand("drawn"))),
        Gate("rest", "cells", "not", operands=(Operand("either"),), label="neither"),
        Gate("below", "rest", "rectangle", (axis("APC-A", 0.45, None, "a"),)),
    )
    scales = (("l", LOGICLE), ("b", BIEX), ("a", ASINH))
    channels = tuple((name, name) for name in ("FITC-A", "PE-A", "APC-A"))
    return replace(Strategy("panel", gates, scales=scales, channels=channels), **changed)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fcs")
    return [
        write(
            folder / f"s{seed}.fcs", events(2500, seed=seed), **{"$SPILLOVER": spill_text(), "$BTIM": f"0{seed}:00:00"}
        )
        for seed in (1, 2)
    ]


def moved(gates, file):
    """The same with one gate of one sample moved, and a matrix of its own."""
    own = replace(
        gates["pos"], dimensions=(replace(gates["pos"].dimensions[0], minimum=0.55), gates["pos"].dimensions[1])
    )
    return replace(gates, custom=((file, own),))


def test_every_sample_and_gate_counts_the_same_everywhere(files, tmp_path):
    gates = moved(strategy(), "s2.fcs")
    (path,) = gate.save(gates, tmp_path / "lab.wsp", files=files)
    expected = {
        file: {g.population: m for g, m in zip(gates.gates, _masks(file, gates), strict=True)} for file in files
    }
    assert expected[files[0]]["pos"].sum() != expected[files[1]]["pos"].sum()
    assert all(0 < mask.sum() < 2500 for masks in expected.values() for name, mask in masks.items() if name != "early")

    again = gate.load(path)
    assert not again.problems
    table = gate.reconcile(path, files)
    assert set(table["verdict"]) == {"equal"}
    assert len(table) == len(files) * len(gates.gates)

    names = {g.population: g.label or g.population for g in gates.gates}
    for file in files:
        theirs = fk.Workspace(str(path), fcs_samples=[fk.Sample(str(file), sample_id=file.name)])
        theirs.analyze_samples(sample_id=file.name)
        for population, mask in expected[file].items():
            gate_path = ("root", *(names[one] for one in gates.path(population)[1:]))
            theirs_mask = theirs.get_gate_membership(file.name, names[population], gate_path=gate_path)
            np.testing.assert_array_equal(theirs_mask, mask, err_msg=f"{file.name} {population}")


def _masks(file, gates):
    table = gate.gate_sample(read_fcs(file), gates)
    return [table.mask(population) for population in gates.populations]


def test_groups_are_the_tubes(files, tmp_path):
    other = Strategy("scatter", (Gate("cells", "root", "rectangle", (axis("FSC-A", 1000.0),)),))
    (path,) = gate.save(GateSet((other,)), tmp_path / "g.wsp", files=files[:1])
    text = path.read_text()
    assert '<GroupNode name="scatter"' in text
    assert '<GroupNode name="All Samples"' in text
    assert str(tmp_path) not in text


ELLIPSE = Ellipsoid((0.5, 2000.0), ((0.01, 0.0), (0.0, 1e5)), 1.0)
PAIR = (axis("FITC-A", scale="l"), axis("PE-A", scale="b"))
LOG = Scale("log", (("T", 10000.0), ("M", 4.0)))


@pytest.mark.parametrize(
    ("gates", "words"),
    [
        (
            (Gate("e", "root", "ellipsoid", (axis("FITC-A", scale="l"), axis("PE-A", scale="b")), ellipsoid=ELLIPSE),),
            "ellipsoid",
        ),
        ((Gate("r", "root", "rectangle", (Dimension("q", 1.0, None, ratio=Ratio("FITC-A", "PE-A")),)),), "ratio"),
        (
            (Gate("g", "root", "rectangle", (axis("FSC-A", 1.0), axis("SSC-A", 1.0), axis("Time", 0.0))),),
            "3 dimensions",
        ),
        ((Gate("g", "root", "rectangle", (axis("FITC-A", 0.1, None, "log"),)),), "log scale"),
        (
            (
                Gate("a", "root", "rectangle", (axis("FITC-A", 0.4, None, "l"),)),
                Gate("b", "root", "rectangle", (axis("FITC-A", 900.0, None, "b"),)),
            ),
            "several scales",
        ),
        (
            (
                Gate("a", "root", "rectangle", (axis("FSC-A", 1.0),)),
                Gate("b", "root", "rectangle", (axis("SSC-A", 1.0),)),
                Gate("c", "root", "and", operands=(Operand("a"), Operand("b", complement=True))),
            ),
            "complement of an operand",
        ),
        (
            (
                Gate("a", "root", "rectangle", (axis("FITC-A", 0.4, None, "l"),)),
                Gate("b", "root", "rectangle", (Dimension("PE-A", 900.0, None, scale="b"),)),
            ),
            "uncompensated beside a matrix",
        ),
        (
            (
                Gate("a", "root", "rectangle", (axis("FSC-A", 1.0),), label="X"),
                Gate("b", "root", "rectangle", (axis("SSC-A", 1.0),), label="X"),
            ),
            "name of another gate",
        ),
    ],
)
def test_what_flowjo_cannot_say_is_named(files, tmp_path, gates, words):
    scales = (("l", LOGICLE), ("b", BIEX), ("log", LOG))
    with pytest.raises(GateError) as caught:
        gate.save(Strategy("t", gates, scales=scales), tmp_path / "x.wsp", files=files[:1])
    assert words in str(caught.value)
    assert not (tmp_path / "x.wsp").exists()


def test_files_are_needed(tmp_path):
    with pytest.raises(GateError, match="files="):
        gate.save(strategy(), tmp_path / "x.wsp")


@pytest.mark.outside_data
def test_a_real_workspace_written_anew_counts_as_before(outside_data, tmp_path):
    folder = outside_data / "wsp_flowjo_mouse_flowsom"
    (source,) = folder.glob("*.wsp")
    files = sorted(folder.glob("*.fcs"))
    gates = gate.load(source)
    (path,) = gate.save(gates, tmp_path / "again.wsp", files=files)
    before, after = gate.batch(files, gates), gate.batch(files, gate.load(path))
    columns = ["file", "population", "n", "n_parent"]
    key = columns[:2]
    assert len(before) > 10
    assert before[columns].sort_values(key).to_numpy().tolist() == after[columns].sort_values(key).to_numpy().tolist()
    assert set(gate.reconcile(path, files)["verdict"]) == {"equal"}
