"""How the engine is reached, what it records, and what it leaves to FlowKit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from immunoprofile import compensation, gate
from immunoprofile.compensation import Spillover, from_keywords
from immunoprofile.gate import _flowkit
from immunoprofile.gate.engine import EngineRecord, Memberships, evaluate
from immunoprofile.gate.engine.exact import word_count, words_of
from immunoprofile.gate.engine.resolve import NotPlannedError, matrices, resolve
from immunoprofile.gate.gates import Dimension, Gate, Matrix, Operand
from immunoprofile.gate.matching import match
from immunoprofile.gate.strategy import Strategy
from immunoprofile.io.fcs import Channel, Sample, read_fcs
from tests.gate.engine.cases import SCALES, case
from tests.io.fcs_files import events, spill_text, write

SHIPPED = gate.load(gate.shipped_folder())


def demo_files(repository):
    return sorted((repository / "data" / "demo" / "fcs").rglob("*.fcs"))


def test_shipped_templates_on_the_demo_study(repository):
    """All tubes and visits, event for event, and nothing needs FlowKit or the slow tier."""
    files = demo_files(repository)[:36]
    tubes = set()
    for path in files:
        sample = read_fcs(path)
        strategy = match(sample, SHIPPED).strategy
        tubes.add(strategy.tube)
        gated = gate.gate_sample(sample, strategy)
        assert gated.engine.tier == "kernel"
        expected = _flowkit.memberships(gated.bound, sample, gated.spillover)
        for population, mask in expected.items():
            np.testing.assert_array_equal(gated.masks[population], mask, err_msg=f"{path.name} {population}")
            assert gated.n(population) == mask.sum()
    assert tubes == {"count", "treg", "effector"}


def test_gating_from_the_command_line_does_not_load_flowkit(repository, tmp_path):
    """FlowKit takes seconds to import; one file with a CSV template needs none of it."""
    script = (
        "import sys, json\n"
        "from immunoprofile.cli import app\n"
        "try:\n"
        "    app(sys.argv[1:])\n"
        "except SystemExit as left:\n"
        "    code = left.code\n"
        "print(json.dumps([code, [m for m in ('flowkit', 'bokeh', 'networkx') if m in sys.modules]]))\n"
    )
    path = demo_files(repository)[0]
    gates = gate.shipped_folder() / "count.csv"
    done = subprocess.run(
        [sys.executable, "-c", script, "gate", str(path), "--gates", str(gates), "--out", str(tmp_path)],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(repository)},
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]
    assert len(pd.read_csv(tmp_path / "counts.csv")) == len(SHIPPED["count"].gates)


@pytest.mark.parametrize("comp_source", ["keyword", "none", "compensated"])
def test_batch_streams_what_is_declared_with_the_same_counts(repository, comp_source):
    files = demo_files(repository)[:6]
    streamed = gate.batch(files, SHIPPED, comp_source=comp_source, jobs=2)
    rows = []
    for path in files:
        sample = read_fcs(path)
        counts = gate.gate_sample(sample, SHIPPED, comp_source=comp_source).counts()
        counts.insert(0, "file", path.as_posix())
        counts.insert(0, "sample_id", sample.sha256)
        rows.append(counts)
    pd.testing.assert_frame_equal(streamed, pd.concat(rows, ignore_index=True))


def test_ill_conditioned_matrices_are_left_to_the_arbiter(tmp_path):
    matrix = np.array([[1.0, 1.0 - 1e-9, 0.0], [1.0, 1.0, 0.0], [0.0, 0.1, 1.0]])
    sample = read_fcs(write(tmp_path / "a.fcs", events(500), **{"$SPILLOVER": spill_text(matrix)}))
    spillover = from_keywords(sample)
    strategy = Strategy("t", (Gate("g", "root", "rectangle", (Dimension("PE-A", 10.0, None, None, True),)),))
    found = evaluate(strategy, sample, spillover)
    assert found.record.tier == "exact" and "ill-conditioned" in found.record.reason
    assert found.record.n_arbiter == 500
    assert spillover is not None
    by_hand = compensation.compensate(sample, spillover)[:, 3] >= 10.0
    np.testing.assert_array_equal(found.masks["g"], by_hand)


def test_spectral_matrices_are_left_to_flowkit(tmp_path):
    sample = read_fcs(write(tmp_path / "a.fcs", events(300)))
    matrix = Matrix(("FITC-A", "PE-A", "APC-A"), ((1.0, 0.3, 0.1), (0.1, 1.0, 0.4)))
    axis = Dimension("PE-A", 100.0, None, None, True, matrix="own")
    strategy = Strategy("t", (Gate("g", "root", "rectangle", (axis,)),), matrices=(("own", matrix),))
    found = evaluate(strategy, sample, None)
    assert found.record == EngineRecord("flowkit", 0, "a matrix is not square")
    solved = np.linalg.lstsq(matrix.array.T, sample.events[:, 2:5].T, rcond=-1)[0].T
    np.testing.assert_array_equal(found.masks["g"], solved[:, 1] >= 100.0)


def test_what_neither_can_do_is_an_error(tmp_path):
    """A matrix of a channel that the file lacks: FlowKit's refusal is not swallowed."""
    sample = read_fcs(write(tmp_path / "a.fcs", events(20)))
    spillover = Spillover(("FITC-A", "gone"), np.array([[1.0, 0.1], [0.0, 1.0]]), "file x")
    strategy = Strategy("t", (Gate("g", "root", "rectangle", (Dimension("FITC-A", 1.0, None, None, True),)),))
    with pytest.raises(Exception, match=r"[Dd]etectors"):
        evaluate(strategy, sample, spillover)
    with pytest.raises(NotPlannedError, match="gone"):
        matrices(resolve(strategy, ("FITC-A",), has_spillover=True), strategy, ("FITC-A",), spillover)


def test_gates_of_single_samples_have_to_be_put_in_first(tmp_path):
    sample = read_fcs(write(tmp_path / "a.fcs", events(200)))
    wide = Gate("g", "root", "rectangle", (Dimension("FSC-A", 0.0),))
    narrow = replace(wide, dimensions=(Dimension("FSC-A", 90_000.0),))
    strategy = Strategy("t", (wide,), custom=(("a.fcs", narrow),), channels=(("FSC-A", "FSC-A"),))
    gated = gate.gate_sample(sample, strategy)
    assert gated.engine.tier == "kernel"
    assert gated.n("g") == np.count_nonzero(sample.values("FSC-A") >= 90_000.0)
    with pytest.raises(NotPlannedError, match="single samples"):
        resolve(strategy, ("FSC-A",), has_spillover=False)


def test_masks_are_made_from_bits():
    rng = np.random.default_rng(3)
    masks = {f"p{i}": rng.random(77) < 0.4 for i in range(70)}
    found = Memberships.of(masks, 77)
    assert found.words.shape == (2, 77) and word_count(70) == 2 and word_count(0) == 1
    assert list(found) == list(masks) and len(found) == 70
    for name, mask in masks.items():
        assert found[name].dtype == bool
        np.testing.assert_array_equal(found[name], mask)
    with pytest.raises(KeyError):
        found["p70"]


def test_the_arbiter_does_not_depend_on_the_selection():
    """The identity of the tiers rests on it: any selection of events, down to a single one, gives the same bits."""
    one = case(21, events=900)
    names = tuple(channel.pnn for channel in one.sample.channels)
    nodes = resolve(one.strategy, names, has_spillover=one.spillover is not None)
    known = matrices(nodes, one.strategy, names, one.spillover)
    whole = words_of(one.sample.events, nodes, known)
    rng = np.random.default_rng(0)
    for size in (1, 1, 1, 2, 3, 7, 8, 9, 64, 333):
        rows = rng.integers(0, one.sample.n_events, size)
        np.testing.assert_array_equal(words_of(one.sample.events[rows], nodes, known), whole[:, rows])


def test_one_channel_and_no_gates():
    sample = Sample("one.fcs", np.array([[1.0], [2.0], [np.nan]]), (Channel("A", "", "A", 10.0),))
    gates = (
        Gate("low", "root", "rectangle", (Dimension("A", None, 2.0),)),
        Gate("rest", "root", "not", operands=(Operand("low"),)),
    )
    found = evaluate(Strategy("t", gates, scales=SCALES), sample, None)
    assert found.masks["low"].tolist() == [True, False, False] and found.masks["rest"].tolist() == [False, True, True]
    assert found.counts == {"low": 1, "rest": 2} and found.record.n_arbiter == 1
    empty = evaluate(Strategy("t", ()), sample, None)
    assert dict(empty.counts) == {} and empty.n_events == 3
