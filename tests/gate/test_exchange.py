"""Gates go out and come back the same, in every form, and FlowKit alone reads from them what was meant."""

from __future__ import annotations

import functools
from dataclasses import replace
from io import BytesIO

import numpy as np
from hypothesis import HealthCheck, assume, given, settings

from immunoprofile import gate
from immunoprofile.gate import _flowkit, gatingml
from immunoprofile.gate.from_flowkit import from_flowkit
from immunoprofile.gate.gatingml import meaning
from immunoprofile.gate.stored import from_json, to_json
from immunoprofile.gate.strategy import Dimension, Gate, GateSet, Operand, Strategy
from immunoprofile.io.fcs import Channel, Sample
from tests.gate.strategies import CHANNELS, strategies

FEW = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])


@functools.cache
def sample() -> Sample:
    rng = np.random.default_rng(7)
    events = rng.normal(0.0, 1.0, (400, len(CHANNELS))) * [5e4, 3e4, 2e3, 2e3, 2e3, 1e2]
    events[:20] = 0.0
    channels = tuple(Channel(name, "", name, 32, 262144.0) for name in CHANNELS)
    return Sample("a.fcs", events, channels)


def reread(strategy: Strategy) -> Strategy:
    return _flowkit.parse_gatingml(gatingml.document(strategy), "doc.xml", strategy.tube)


@FEW
@given(strategies())
def test_gatingml_round_trip_is_equal(strategy):
    again = reread(strategy)
    assert meaning(again) == meaning(strategy)
    assert again.gates == strategy.gates
    assert dict(again.scales) == dict(strategy.scales)
    assert gatingml.document(again) == gatingml.document(strategy)


@FEW
@given(strategies(flowjo=True, custom=True))
def test_json_round_trip_is_equal(strategy):
    assert from_json(to_json(GateSet((strategy,))), "x.json") == GateSet((strategy,))


@FEW
@given(strategies(flowjo=True, labels=False, custom=True))
def test_flowkit_round_trip_is_equal(strategy):
    again = from_flowkit(_flowkit.to_flowkit(strategy), strategy.tube)
    assert meaning(again) == meaning(strategy)
    for name in strategy.custom_samples:
        assert meaning(again.for_sample(name)) == meaning(strategy.for_sample(name))


@FEW
@given(strategies(labels=False))
def test_flowkit_alone_gets_the_same_events_from_the_document(strategy):
    """Our extra words are for us only: complements, quadrants and names mean the same without them."""
    import flowkit as fk

    dimensions = [(g.kind, d) for g in strategy.gates for d in g.dimensions]
    assume(not any(d.matrix == "my spectral" for _, d in dimensions))  # FlowKit solves square matrices of GatingML only
    open_ratio = [d for kind, d in dimensions if kind == "rectangle" and d.ratio and None in (d.minimum, d.maximum)]
    assume(not open_ratio)  # AttributeError in FlowKit
    file = sample()
    strategy = replace(strategy, matrices=strategy.matrices[:2])
    target = fk.parse_gating_xml(BytesIO(gatingml.document(strategy)))
    with np.errstate(all="ignore"):
        theirs = target.gate_sample(_flowkit.flowkit_sample(file, strategy=strategy))
        ours = _flowkit.memberships(strategy, file, None)
    for population, mask in ours.items():
        np.testing.assert_array_equal(theirs.get_gate_membership(population), mask, err_msg=population)


def test_labels_of_flowjo_survive_flowkit():
    gates = (
        Gate("cd3_pos_cd8_pos", "root", "rectangle", (Dimension("FSC-A", 1.0),), label="CD3+ CD8+"),
        Gate("g_4_pos", "cd3_pos_cd8_pos", "rectangle", (Dimension("SSC-A", 1.0),), label="4_pos"),
        Gate("g_4_pos_2", "root", "not", operands=(Operand("cd3_pos_cd8_pos"),), label="4_pos"),
    )
    strategy = Strategy("t", gates, channels=(("FSC-A", "FSC-A"), ("SSC-A", "SSC-A")))
    theirs = gate.to_flowkit(strategy)
    assert theirs.get_gate_ids() == [
        ("CD3+ CD8+", ("root",)), ("4_pos", ("root", "CD3+ CD8+")), ("4_pos", ("root",)),
    ]  # fmt: skip
    assert gate.from_flowkit(theirs, tube="t")["t"] == strategy
    assert reread(strategy) == strategy
