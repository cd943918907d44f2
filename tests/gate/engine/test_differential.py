"""The engine against FlowKit: all kinds of gates on nasty data, event for event."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gate.engine.cases import KINDS, SCALES, case
from tests.gate.engine.differential import Outcome, compare

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    gates=st.integers(1, 14),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, unique=True).map(lambda found: ("rectangle", *found)),
)
def test_memberships_are_those_of_flowkit(seed, gates, kinds):
    outcome = Outcome()
    compare(case(seed, gates=gates, kinds=kinds), outcome)
    assert not outcome.differences, "\n".join(outcome.differences)


def test_a_campaign_meets_all_kinds_scales_and_tiers():
    """Fixed seeds; the campaign would be worthless if it never met what it is for."""
    outcome = Outcome()
    met, scales = set(), set()
    for seed in range(250):
        one = case(seed)
        compare(one, outcome, name=f"seed {seed}")
        met |= {gate.kind for gate in one.strategy.gates}
        met |= {"complement" for gate in one.strategy.gates if gate.complement}
        met |= {"ratio" for gate in one.strategy.gates for d in gate.dimensions if d.ratio is not None}
        scales |= {d.scale for gate in one.strategy.gates for d in gate.dimensions}
    assert not outcome.differences, "\n".join(outcome.differences)
    assert met == {"rectangle", "polygon", "ellipsoid", "quadrant", "and", "or", "not", "complement", "ratio"}
    assert scales == {None, *(name for name, _ in SCALES)}
    assert outcome.tiers["kernel"] > 200 and outcome.tiers["exact"] > 0
    assert 0 < outcome.arbiter < outcome.events / 2


def test_more_nodes_than_a_word_has_bits():
    outcome = Outcome()
    for seed in range(4):
        compare(case(900 + seed, gates=150), outcome, name=f"seed {900 + seed}")
    assert not outcome.differences, "\n".join(outcome.differences)
    assert outcome.gates > 4 * 128
