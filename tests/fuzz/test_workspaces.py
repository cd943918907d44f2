"""FlowJo workspaces from anywhere: read, or refused with a GateError; never another error or a hang."""

from __future__ import annotations

import os
import random
import time

import pytest

from immunoprofile.errors import GateError
from immunoprofile.gate.workspace import read_workspace
from tests.fuzz.test_gatingml import mutant
from tests.gate import workspaces as w
from tests.gate.test_workspace import CELLS

# IMMUNOPROFILE_FUZZ=N makes N mutants of every document instead of the short run.
MUTANTS = int(os.environ.get("IMMUNOPROFILE_FUZZ", "40"))
SECONDS = 5.0
"""Of CPU, so that a busy machine does not fail it."""

SHAPE = w.ellipse("FSC-A", "SSC-A", ((100, 128), (156, 128)), ((78, 128), (178, 128), (128, 90), (128, 166)))
DOCUMENT = w.workspace(
    w.sample(
        1,
        "a.fcs",
        CELLS,
        w.population("round", SHAPE),
        w.population("many", w.polygon("Comp-FITC-A", "PE-A", (0, 0), (1e4, 0), (1e4, 1e4))),
        w.boolean("Or", "either", "round", "many"),
    ),
    w.sample(2, "b.fcs", CELLS),
    groups=w.group("All Samples", 1, 2),
)


def outcome(content: bytes) -> str:
    """``read``, ``in part`` or ``refused``; everything else is a failure of the test."""
    start = time.process_time()
    try:
        gates = read_workspace(content, "mutant.wsp")
    except GateError as error:
        result = "refused"
        assert error.problems
    else:
        result = "in part" if gates.problems else "read"
        assert len(gates)
    assert time.process_time() - start < SECONDS
    return result


def test_mutants_of_a_small_workspace():
    outcome(DOCUMENT)  # imports FlowKit
    found = [outcome(mutant(DOCUMENT, random.Random(f"workspace {number}"))) for number in range(MUTANTS)]
    assert set(found) >= {"read", "in part", "refused"}


@pytest.mark.outside_data
def test_mutants_of_a_real_workspace(outside_data):
    content = (outside_data / "wsp_flowjo_mouse_flowsom" / "gating.wsp").read_bytes()
    assert outcome(content) == "read"
    for number in range(MUTANTS // 8):
        outcome(mutant(content, random.Random(f"real {number}")))


@pytest.mark.parametrize(
    "setting",
    [
        'neg="1e308"',
        'neg="nan"',
        'width="0"',
        'width="-1e-300"',
        'width="1e9"',
        'pos="0"',
        'pos="1e9"',
        'maxRange="-1"',
    ],
)
def test_settings_of_a_scale_that_give_no_numbers(setting):
    name = setting.split("=")[0]
    old = {"neg": 'neg="0"', "width": 'width="-100"', "pos": 'pos="4.418539922"', "maxRange": 'maxRange="262144"'}[name]
    assert old in w.biex("PE-A")
    content = DOCUMENT.replace(w.biex("PE-A").encode(), w.biex("PE-A").replace(old, setting).encode())
    outcome(content)


def test_many_samples_with_a_gate_that_cannot_be_read_take_no_time():
    bad = w.population("wrong", w.rectangle(w.axis("FSC-A", 5, 2)))
    content = w.workspace(*(w.sample(n, f"{n}.fcs", CELLS, bad) for n in range(60)))
    assert outcome(content) == "in part"
