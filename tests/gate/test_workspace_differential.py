"""Random workspaces: FlowKit's memberships in every gate of every sample (the long run is in the Makefile)."""

from __future__ import annotations

import pytest

from tests.gate.workspace_differential import Outcome, compare


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_random_workspaces_equal_flowkit(first):
    outcome = Outcome()
    for seed in range(first, first + 10):
        compare(seed, outcome)
    assert outcome.differences == []
    assert outcome.gates > 50
    assert outcome.samples > 15


def test_the_campaign_moves_gates_and_would_notice(monkeypatch):
    outcome = Outcome()
    for seed in range(9, 12):
        compare(seed, outcome)
    assert outcome.moved
    assert not outcome.differences
    from tests.gate import workspace_differential

    real = workspace_differential.theirs
    monkeypatch.setattr(workspace_differential, "theirs", lambda *given: {p: ~m for p, m in real(*given).items()})
    compare(0, outcome)
    assert outcome.differences
