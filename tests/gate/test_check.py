"""Gates against a study before a run: what is refused, and what is warned about."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

import immunoprofile as ip
from immunoprofile import gate
from immunoprofile.errors import GateError
from immunoprofile.gate.strategy import GateSet
from tests.small_study import write_gates, write_study


@pytest.fixture
def study_and_gates(tmp_path):
    write_study(tmp_path / "study")
    write_gates(tmp_path / "gates")
    return ip.read_study(tmp_path / "study"), gate.load(tmp_path / "gates")


def test_gates_of_unknown_samples_are_logged(study_and_gates, caplog):
    study, gates = study_and_gates
    strategy = next(iter(gates.values()))
    first = strategy.gates[0]
    moved = replace(first, dimensions=tuple(replace(d, minimum=-1e9, maximum=None) for d in first.dimensions))
    strange = replace(strategy, custom=(("nobody.fcs", moved),))
    gate.check(gates, study)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        gate.check(gates.with_strategy(strange), study)
    assert "gates of a sample that the study does not have" in caplog.text
    assert "nobody.fcs" in caplog.text


def test_mixed_compensation_is_refused_by_name(study_and_gates):
    study, gates = study_and_gates
    changed = []
    for strategy in gates.values():
        own = list(strategy.gates)
        for number, one in enumerate(own):
            if sum(d.compensated for d in one.dimensions) >= 2:
                head, *rest = one.dimensions
                own[number] = replace(one, dimensions=(replace(head, compensated=False), *rest))
        changed.append(replace(strategy, gates=tuple(own)))
    assert tuple(changed) != gates.strategies
    with pytest.raises(GateError, match="is uncompensated beside a compensated dimension"):
        gate.check(GateSet(tuple(changed)), study)
