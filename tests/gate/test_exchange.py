"""Gates go out and come back the same, in every form, and FlowKit alone reads from them what was meant."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from immunoprofile import gate
from immunoprofile.errors import GateError
from immunoprofile.gate import _flowkit, exchange, gatingml
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
    assert again.limits == "fcs"  # FlowKit reads Time as the standard says
    again = replace(again, limits=strategy.limits)
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
    assert replace(gate.from_flowkit(theirs, tube="t")["t"], limits="file") == strategy
    assert reread(strategy) == strategy


def custom_strategy() -> Strategy:
    axis = Dimension("FSC-A", 1.0, 2.0)
    gates = (Gate("a", "root", "rectangle", (axis,), label="A+"), Gate("b", "a", "rectangle", (axis,), complement=True))
    moved = (
        ("s/1.fcs", replace(gates[0], dimensions=(Dimension("FSC-A", 1.5, 2.0),))),
        ("s2", replace(gates[1], dimensions=(Dimension("FSC-A", -3.0, None),))),
    )
    return Strategy("x", gates, channels=(("FSC-A", "FSC-A"),), custom=moved)


def test_gates_of_samples_stand_in_documents_of_their_own(tmp_path):
    strategy = custom_strategy()
    written = gate.save(strategy, tmp_path / "x.xml")
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "x.xml", "x.samples/1_s_1.fcs.xml", "x.samples/2_s2.xml",
    ]  # fmt: skip
    assert gate.load(tmp_path / "x.xml")["x"] == strategy
    flat = gate.load(written[1])
    assert next(iter(flat.values()))["a"].dimensions[0].minimum == 1.5
    written[1].unlink()
    with pytest.raises(GateError, match=r"sample s/1\.fcs: the document of its own gates is missing"):
        gate.load(tmp_path / "x.xml")


def test_a_document_cannot_name_files_elsewhere(tmp_path):
    gate.save(custom_strategy(), tmp_path / "x.xml")
    text = (tmp_path / "x.xml").read_text().replace("1_s_1.fcs.xml", "../x.xml")
    (tmp_path / "x.xml").write_text(text)
    with pytest.raises(GateError, match="is missing"):
        gate.load(tmp_path / "x.xml")


AXIS = '<g:dimension g:compensation-ref="{}" g:min="1"{}><d:fcs-dimension d:name="A"/></g:dimension>'
HEAD = (
    '<g:Gating-ML xmlns:g="http://www.isac-net.org/std/Gating-ML/v2.0/gating" '
    'xmlns:d="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes" '
    'xmlns:t="http://www.isac-net.org/std/Gating-ML/v2.0/transformations">'
)


def rectangle(
    name: str, parent: str = "", comp: str = "uncompensated", scale: str = "", axis: str | None = None
) -> str:
    above = f' g:parent_id="{parent}"' * bool(parent)
    scale = f' g:transformation-ref="{scale}"' * bool(scale)
    return f'<g:RectangleGate g:id="{name}"{above}>{axis or AXIS.format(comp, scale)}</g:RectangleGate>'


def negation(name: str, of: str, parent: str = "") -> str:
    above = f' g:parent_id="{parent}"' * bool(parent)
    return f'<g:BooleanGate g:id="{name}"{above}><g:not><g:gateReference g:ref="{of}"/></g:not></g:BooleanGate>'


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            rectangle("a", "nobody"),
            "gate a: its parent is unknown (found 'nobody'); allowed: a gate of the document: a",
        ),
        (rectangle("a", "b") + rectangle("b", "a"), "is above itself"),
        (
            negation("a", "b") + negation("b", "a"),
            "gate a: needs itself through its parents or operands (found 'a, b')",
        ),
        (
            negation("a", "b") + rectangle("b", "a"),
            "gate a: needs itself through its parents or operands (found 'a, b')",
        ),
        (negation("a", "nobody"), "gate a: refers to an unknown gate (found 'nobody')"),
        (rectangle("a") + negation("b", "a", "a"), "gate b: an operand is its parent"),
        (rectangle("a") + rectangle("a"), "gate a: stands twice"),
        (rectangle("a", scale="log7"), "gate a: its scale or ratio is not defined (found 'log7')"),
        (rectangle("a", comp="m"), "gate a: its compensation matrix is not defined (found 'm')"),
        (
            rectangle("a", axis='<g:dimension g:compensation-ref="FCS" g:min="1"/>'),
            "gate a: a dimension names no channel",
        ),
        (rectangle("a", axis=AXIS.format("FCS", "").replace("g:min", "g:max") * 2), "gate a: A stands twice"),
    ],
    ids=[
        "orphan",
        "loop",
        "loop of operands",
        "loop of both",
        "operand",
        "parent",
        "twice",
        "scale",
        "matrix",
        "channel",
        "axis",
    ],
)
def test_errors_of_a_document_name_the_gate_and_what_to_do(tmp_path, body, told):
    (tmp_path / "x.xml").write_text(f"{HEAD}{body}</g:Gating-ML>")
    with pytest.raises(GateError) as caught:
        gate.load(tmp_path / "x.xml")
    assert told in str(caught.value)


def test_and_with_its_parent_is_read_without_it(tmp_path):
    references = '<g:gateReference g:ref="a"/><g:gateReference g:ref="b"/>'
    both = f'<g:BooleanGate g:id="c" g:parent_id="a"><g:and>{references}</g:and></g:BooleanGate>'
    (tmp_path / "x.xml").write_text(f"{HEAD}{rectangle('a')}{rectangle('b')}{both}</g:Gating-ML>")
    strategy = gate.load(tmp_path / "x.xml")["x"]
    assert set(strategy["c"].operands) == {Operand("b")}
    assert reread(strategy)["c"].operands == strategy["c"].operands


def test_operand_with_a_wrong_path_is_an_error():
    import flowkit as fk

    target = fk.GatingStrategy()
    target.add_gate(fk.gates.RectangleGate("a", [fk.Dimension("FSC-A", range_min=1)]), ("root",))
    reference = {"ref": "a", "path": ("root", "elsewhere"), "complement": False}
    target.add_gate(fk.gates.BooleanGate("n", "not", [reference]), ("root",))
    with pytest.raises(GateError, match="gate n: refers to a gate that is missing"):
        gate.from_flowkit(target)


def test_missing_channel_of_a_file_is_named(tmp_path):
    (tmp_path / "x.xml").write_text(f"{HEAD}{rectangle('a')}</g:Gating-ML>")
    with pytest.raises(GateError, match="marker A of tube x is missing; allowed: the file has FSC-A"):
        gate.membership(sample(), gate.load(tmp_path / "x.xml"))


def test_second_reading_needs_no_flowkit(tmp_path):
    gate.save(custom_strategy(), tmp_path / "x.xml")
    program = (
        "import sys; from immunoprofile import gate; "
        "print(gate.load(sys.argv[1])['x'].sha256, 'flowkit' in sys.modules)"
    )

    def run(cache: str) -> list[str]:
        environment = os.environ | {"IMMUNOPROFILE_CACHE": cache}
        command = [sys.executable, "-c", program, str(tmp_path / "x.xml")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()

    cache = tmp_path / "cache"
    meant = gate.load(tmp_path / "x.xml")["x"].sha256
    assert run(str(cache)) == [meant, "True"]
    assert run(str(cache)) == [meant, "False"]
    kept = sorted((cache / "gates").iterdir())
    assert len(kept) == 3  # the document, and one a sample
    for path in kept:
        path.write_text(path.read_text()[:-40])
    assert run(str(cache)) == [meant, "True"]
    assert run(str(cache)) == [meant, "False"]
    assert run("off") == [meant, "True"]


def test_a_document_of_the_last_run_is_compared_without_flowkit(tmp_path):
    """What FlowKit read in a document is known to the next run that writes it, and is compared all the same."""
    program = (
        "import sys; from pathlib import Path; from immunoprofile import gate\n"
        "from immunoprofile.gate import exchange\n"
        "gates = gate.load(gate.shipped_folder() / 'treg.csv')['treg']\n"
        "exchange.save_gatingml(gates, Path(sys.argv[1]), remember=True)\n"
        "print('flowkit' in sys.modules)"
    )
    cache, target = tmp_path / "cache", tmp_path / "treg.xml"

    def run() -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"IMMUNOPROFILE_CACHE": str(cache)}
        command = [sys.executable, "-c", program, str(target)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert run().stdout == "True\n"
    written = target.read_bytes()
    target.unlink()
    assert run().stdout == "False\n"
    assert target.read_bytes() == written
    target.unlink()
    (kept,) = (cache / "gates").iterdir()
    known = from_json(kept.read_text(), "kept")["treg"]
    kept.write_text(to_json(GateSet((replace(known, gates=known.gates[:-1]),))))
    assert "does not re-read to the same gates" in run().stderr
    assert not target.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 2}',
        '{"format": 1}',
        '{"format": 1, "strategies": [{}], "findings": []}',
        "[" * 10_000,
    ],
)
def test_stored_gates_that_are_damaged_are_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(GateError, match=r"stored gates cannot be read"):
        gate.load(tmp_path / "x.json")


def test_templates_refuse_by_name_what_they_cannot_say(tmp_path):
    with pytest.raises(GateError) as caught:
        gate.save(custom_strategy(), tmp_path / "x.csv")
    for part in ("gate b: a template has no complement", "found 'A+'", "sample s2: a template has no gates of single"):
        assert part in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def moved(strategy: Strategy, by: float) -> Strategy:
    return replace(strategy, gates=tuple(gate.moved(lambda _, at: at + by) for gate in strategy.gates))


def test_of_documents_that_differ_in_numbers_alone_one_is_read_back(tmp_path, monkeypatch):
    template = gate.load(gate.shipped_folder() / "treg.csv")["treg"]
    read = []
    own = _flowkit.parse_gatingml
    monkeypatch.setattr(_flowkit, "parse_gatingml", lambda text, *rest: (read.append(text), own(text, *rest))[1])
    alike: set[str] = set()
    for n, by in enumerate((0.01234567, 0.0123, -0.0456)):
        (path,) = exchange.save_gatingml(moved(template, by), tmp_path / f"{n}.xml", read_alike=alike)
        assert len(read) == 1
        (alone,) = exchange.save_gatingml(moved(template, by), tmp_path / "alone.xml")
        assert alone.read_bytes() == path.read_bytes()  # and this one was read back
        read.pop()
    # another name, and two limits that have become one number, are other forms
    renamed = replace(template, channels=tuple((m, f"{c}x") for m, c in template.channels))
    exchange.save_gatingml(renamed, tmp_path / "renamed.xml", read_alike=alike)
    places = [at for one in template.gates for d in one.dimensions for at in (d.minimum, d.maximum) if at is not None]
    one, other = places[0], next(at for at in places if at != places[0])
    joined = tuple(g.moved(lambda _, at: one if at == other else at) for g in template.gates)
    exchange.save_gatingml(replace(template, gates=joined), tmp_path / "joined.xml", read_alike=alike)
    assert len(read) == 3
