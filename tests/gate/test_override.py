"""Overrides of gates: values, the ledger as a chain of hashes, and what a study does with both."""

from __future__ import annotations

import json
import multiprocessing
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import immunoprofile as ip
from immunoprofile.errors import GateError, ResultsError
from immunoprofile.gate.gates import Operand
from immunoprofile.gate.ledger import LEDGER, Ledger, append, parse_ledger, read_ledger
from immunoprofile.gate.overrides import Override
from immunoprofile.gate.overrides_in_force import hanging_on, in_force, overridden
from immunoprofile.gate.stored import override_content, override_from
from immunoprofile.io.only_writer import only_writer
from immunoprofile.io.sealed_json import sealed, spelled
from tests.gate.strategies import strategies
from tests.small_study import write_gates, write_study


@pytest.fixture
def study(tmp_path: Path) -> ip.Study:
    return ip.read_study(write_study(tmp_path / "study"))


@pytest.fixture
def gates(tmp_path: Path) -> ip.gate.GateSet:
    return ip.gate.load(write_gates(tmp_path / "gates"))


def moved(gates: ip.gate.GateSet, by: float = 0.05) -> ip.gate.Gate:
    gate = gates["t"]["t"]
    axis = gate.dimensions[0]
    return replace(gate, dimensions=(replace(axis, minimum=axis.minimum + by), *gate.dimensions[1:]))


def made(gates: ip.gate.GateSet, sample: str = "S-1_BL", by: float = 0.05, reason: str = "dim CD3") -> Override:
    strategy = gates["t"]
    return Override("t", "t", sample, strategy["t"], moved(gates, by), reason, "R7", strategy.scales[:1],
                    "2026-01-02T03:04:05Z", 100, 50, 40, "ab" * 32)  # fmt: skip


def test_an_override_gives_new_gates_and_counts_by_another_path(study: ip.Study, gates: ip.gate.GateSet) -> None:
    whole = ip.gate.override(gates, "t/t", to=moved(gates), sample="S-1_BL", reason="dim CD3", author="R7")
    assert not gates.overrides
    assert whole.strategies == gates.strategies
    file = ip.read_fcs(study.fcs_path("S-1_BL"))
    found = ip.gate.membership(file, whole)["t"].sum()
    by_hand = ip.gate.membership(file, gates.with_strategy(gates["t"].with_gate(moved(gates))))["t"].sum()
    assert found == by_hand != ip.gate.membership(file, gates)["t"].sum()
    other = ip.read_fcs(study.fcs_path("S-1_D14"))
    assert ip.gate.membership(other, whole)["t"].sum() == ip.gate.membership(other, gates)["t"].sum()


def test_a_recorded_override_holds_what_an_auditor_asks_for(study: ip.Study, gates: ip.gate.GateSet) -> None:
    drawn = moved(gates)
    whole = ip.gate.override(gates, "t/t", to=drawn, sample="S-1_BL", reason=" dim CD3 ", author="R7", study=study)
    ledger = read_ledger(study.folder)
    (row,) = ledger.overrides
    assert whole.overrides == ledger.overrides
    assert (row.before, row.after, row.reason, row.author) == (gates["t"]["t"], drawn, "dim CD3", "R7")
    file = ip.read_fcs(study.fcs_path("S-1_BL"))
    before = ip.gate.membership(file, gates)
    after = ip.gate.membership(file, gates.with_strategy(gates["t"].with_gate(drawn)))
    counted = (before["lymphocytes"].sum(), before["t"].sum(), after["t"].sum())
    assert (row.n_parent, row.n_before, row.n_after) == counted
    assert row.fcs_sha256 == file.sha256
    # the second sees the first as the gate in force, and can take it back
    ip.gate.override(gates, "t/t", to=None, sample="S-1_BL", reason="was a mistake", author="R8", study=study)
    second = read_ledger(study.folder).overrides[1]
    assert second.before == drawn
    assert (second.n_before, second.n_after) == (row.n_after, row.n_before)
    assert in_force(read_ledger(study.folder).overrides, "S-1_BL") == ()


def test_the_ledger_is_followed_only_for_its_sample(study: ip.Study, gates: ip.gate.GateSet) -> None:
    ip.gate.override(gates, "t/t", to=moved(gates), sample="S-1_BL", reason="x", author="R7", study=study)
    checked = ip.gate.check(gates, study)
    assert checked.in_force("S-1_BL", "t")[0].after == moved(gates)
    assert checked.in_force("S-1_D14", "t") == ()
    assert checked.sha256_of_sample("S-1_D14", "t") == checked.sha256("t") != checked.sha256_of_sample("S-1_BL", "t")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"place": "t/tt"}, "there is no such gate (found 't/tt'); allowed: lymphocytes, t, nk"),
        ({"place": "u/t"}, "there is no such gate (found 'u/t'); allowed: t/..."),
        ({"sample": "S-9"}, "is no sample of tube t of the study (found 'S-9')"),
        ({"reason": " ", "author": ""}, "column reason: is empty"),
        ({"place": "t/nk"}, "is the gate of another place than nk below lymphocytes"),
        ({"limit": np.inf}, "a limit of CD3 is not finite"),
        ({"limit": np.nan}, "a limit of CD3 is no number"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    study: ip.Study, gates: ip.gate.GateSet, change: dict[str, object], said: str
) -> None:
    gate = moved(gates)
    limit = change.pop("limit", None)
    if limit is not None:
        gate = replace(gate, dimensions=(replace(gate.dimensions[0], minimum=limit), gate.dimensions[1]))
    asked = {"place": "t/t", "to": gate, "sample": "S-1_BL", "reason": "r", "author": "R7", "study": study} | change
    place = str(asked.pop("place"))
    with pytest.raises(GateError) as refused:
        ip.gate.override(gates, place, **asked)  # type: ignore[arg-type]
    assert said in str(refused.value)
    assert not (study.folder / LEDGER).exists()


def test_only_gates_that_a_run_places_keep_a_tube_from_overrides(study: ip.Study, gates: ip.gate.GateSet) -> None:
    """A Boolean gate with its method by name follows what it combines; nothing of it is placed."""
    rest = ip.gate.Gate("rest", "lymphocytes", "not", operands=(Operand("t"),), method="boolean")
    strategy = replace(gates["t"], gates=(*gates["t"].gates, rest))
    placed = strategy.with_gate(replace(strategy["nk"], method="mindensity"))
    asked = {"to": moved(gates), "sample": "S-1_BL", "reason": "r", "author": "R7", "study": study}
    with pytest.raises(GateError, match=r"a run places for each sample: say where.*\(found 'nk'\); allowed: placed="):
        ip.gate.override(gates.with_strategy(placed), "t/t", **asked)  # type: ignore[arg-type]
    assert not (study.folder / LEDGER).exists()
    ip.gate.override(gates.with_strategy(strategy), "t/t", **asked)  # type: ignore[arg-type]
    assert len(read_ledger(study.folder)) == 1


def test_rows_that_fit_nothing_are_told_all_at_once(study: ip.Study, gates: ip.gate.GateSet) -> None:
    good = made(gates)
    rescaled = replace(good, scales=(("logicle", replace(good.scales[0][1], kind="hyperlog")),))
    append(
        study.folder, [replace(good, tube="u"), replace(good, sample="S-1_BLL"), replace(good, population="b")], "SMALL"
    )
    append(study.folder, [replace(rescaled, sample="S-1_D14")], "OTHER")
    with pytest.raises(GateError) as refused:
        ip.gate.check(gates, study)
    text = refused.value.listed()
    for words in ("row 1, column tube: there is no such tube", "row 2, column sample: is no sample of tube t",
                  "did you mean S-1_BL?", "row 3, column population: is not gated in tube t",
                  "row 4, column study_id: is of another study",
                  "row 4, column scales: scale logicle is another"):  # fmt: skip
        assert words in text


def test_an_override_that_nobody_recorded_is_refused_by_a_run(study: ip.Study, gates: ip.gate.GateSet) -> None:
    whole = ip.gate.override(gates, "t/t", to=moved(gates), sample="S-1_BL", reason="r", author="R7")
    with pytest.raises(GateError, match="is not in the ledger of the study"):
        ip.gate.check(whole, study)


# --- the chain ---------------------------------------------------------------------------------


@pytest.fixture
def chain(tmp_path: Path, gates: ip.gate.GateSet) -> bytes:
    append(tmp_path / "chain", [made(gates), made(gates, "S-1_D14", -0.1)], "SMALL")
    append(tmp_path / "chain", [replace(made(gates), after=None, reason="taken back, 5 µL")], "SMALL")
    return (tmp_path / "chain" / LEDGER).read_bytes()


def test_each_changed_byte_is_named(chain: bytes) -> None:
    row_of = np.cumsum([0, *(byte == 10 for byte in chain)])[: len(chain)] + 1
    for place, byte in enumerate(chain):
        for other in (byte ^ 1, byte ^ 32):
            with pytest.raises(GateError) as refused:
                parse_ledger(chain[:place] + bytes([other]) + chain[place + 1 :], "study")
            rows = {problem.row for problem in refused.value.problems}
            assert row_of[place] in rows, (place, bytes([byte]), bytes([other]), rows)


def test_each_byte_that_is_gone_or_put_in_is_named(chain: bytes) -> None:
    for place in range(len(chain)):
        with pytest.raises(GateError):
            parse_ledger(chain[:place] + chain[place + 1 :], "study")
        with pytest.raises(GateError):
            parse_ledger(chain[:place] + b" " + chain[place:], "study")


def test_rows_removed_or_in_another_order_are_named_and_a_tail_by_the_head(chain: bytes) -> None:
    lines = chain.splitlines(keepends=True)
    whole = parse_ledger(chain, "study")
    for rows in ([1, 2], [0, 2], [1, 0, 2], [0, 2, 1], [2, 1, 0], [0, 0, 1, 2], [0, 1, 1, 2], [2], [1]):
        with pytest.raises(GateError, match=r"does not follow|another place"):
            parse_ledger(b"".join(lines[row] for row in rows), "study")
    for length in range(len(chain)):
        short = chain[:length]
        if length and short in (lines[0], lines[0] + lines[1]):  # whole rows: only the head knows
            assert not parse_ledger(short, "study").begins_with(whole.facts)
            assert whole.begins_with(parse_ledger(short, "study").facts)
        else:
            with pytest.raises(GateError, match=r"cut off|is empty"):
                parse_ledger(short, "study")
    assert not Ledger().begins_with(whole.facts)
    assert whole.begins_with(Ledger().facts)


def test_a_rewritten_row_breaks_the_chain_although_its_own_hash_fits(chain: bytes) -> None:
    lines = chain.splitlines()
    first = json.loads(lines[0])
    first["override"]["author"] = "R8"
    forged = b"\n".join([spelled(sealed(first)).encode(), *lines[1:], b""])
    with pytest.raises(GateError) as refused:
        parse_ledger(forged, "study")
    assert [problem.row for problem in refused.value.problems] == [2]


def test_nothing_is_added_to_a_damaged_ledger(tmp_path: Path, gates: ip.gate.GateSet, chain: bytes) -> None:
    path = tmp_path / "chain" / LEDGER
    path.write_bytes(chain[:-30])
    with pytest.raises(GateError, match="row 3: its last row is cut off"):
        append(tmp_path / "chain", [made(gates)], "SMALL")
    assert path.read_bytes() == chain[:-30]


def _write_many(folder: Path, override: Override, writer: int) -> None:
    for number in range(10):
        append(folder, [replace(override, reason=f"{writer}.{number}")], "SMALL")


def test_two_processes_and_two_threads_at_once_lose_no_row(tmp_path: Path, gates: ip.gate.GateSet) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_many, args=(tmp_path, made(gates), one)) for one in (1, 2)]
    threads = [threading.Thread(target=_write_many, args=(tmp_path, made(gates), one)) for one in (3, 4)]
    for one in (*processes, *threads):
        one.start()
    for one in (*processes, *threads):
        one.join()
    reasons = [row.reason for row in read_ledger(tmp_path).overrides]
    assert sorted(reasons) == sorted(f"{writer}.{number}" for writer in (1, 2, 3, 4) for number in range(10))
    for writer in "1234":  # each writer's rows in its own order
        own = [reason for reason in reasons if reason.startswith(f"{writer}.")]
        assert own == [f"{writer}.{number}" for number in range(10)]
    assert [path.name for path in (tmp_path / "gating").iterdir()] == ["overrides.jsonl"]


def test_a_writer_that_holds_the_ledger_too_long_is_named(tmp_path: Path) -> None:
    with only_writer(tmp_path, "override"), pytest.raises(ResultsError, match="another 'override' is at work"):
        with only_writer(tmp_path, "override", wait=0.05):
            pass


# --- bits --------------------------------------------------------------------------------------


@given(strategy=strategies(), data=st.data())
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_every_gate_comes_back_from_the_ledger_to_the_bit(strategy: ip.gate.Strategy, data: st.DataObject) -> None:
    gate = data.draw(st.sampled_from(strategy.gates))
    one = Override("x", gate.population, "s", gate, gate, "r", "a", strategy.scales)
    content = json.loads(spelled(sealed({"override": override_content(one)})))["override"]
    assert repr(override_from(content)) == repr(one)  # repr tells -0.0 from 0.0 and every digit


@given(corners=st.lists(st.tuples(*[st.floats(-2, 2, allow_subnormal=True)] * 2), min_size=3, max_size=12, unique=True))
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
def test_vertices_are_the_same_bits_in_python_ledger_template_and_gatingml(
    corners: list[tuple[float, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bits")
    gates = ip.gate.load(write_gates(folder / "gates"))
    gate = gates["t"]["nk"]
    axes = tuple(replace(axis, minimum=None, maximum=None) for axis in gate.dimensions)
    polygon = replace(gate, kind="polygon", dimensions=axes, vertices=tuple(corners))
    whole = ip.gate.override(gates, "t/nk", to=polygon, sample="S-1_BL", reason="r", author="a")
    bits = np.array(corners).tobytes()
    append(folder, whole.overrides, "SMALL")
    (row,) = read_ledger(folder).overrides
    strategy = overridden(gates["t"], [row])
    template, document = (ip.gate.save(strategy, folder / f"t.{kind}")[0] for kind in ("csv", "xml"))
    for found in (row.after, strategy["nk"], ip.gate.load(template)["t"]["nk"], ip.gate.load(document)["t"]["nk"]):
        assert found is not None
        assert np.array(found.vertices).tobytes() == bits


@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from(("S-1_BL", "S-2_BL")), st.sampled_from(("t", "nk")), st.none() | st.floats(-0.2, 0.2)
        ),
        max_size=12,
    )
)
@settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
def test_replaying_a_ledger_gives_the_gates(
    moves: list[tuple[str, str, float | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("replay")
    gates = ip.gate.load(write_gates(folder / "gates"))
    expected = {(sample, name): gates["t"][name] for sample in ("S-1_BL", "S-2_BL") for name in ("t", "nk")}
    for sample, name, by in moves:
        gate = gates["t"][name]
        to = None if by is None else gate.moved(lambda _, place, by=by: place + by)
        gates = ip.gate.override(gates, f"t/{name}", to=to, sample=sample, reason="r", author="a")
        assert gates.overrides[-1].before == expected[sample, name]  # what was in force
        expected[sample, name] = gate if to is None else to
    append(folder, gates.overrides, "SMALL")
    replayed = read_ledger(folder).overrides
    assert replayed == gates.overrides
    for (sample, name), gate in expected.items():
        assert overridden(gates["t"], in_force(replayed, sample, "t"))[name] == gate


def test_what_hangs_on_a_gate_is_what_changes_with_it() -> None:
    strategy = ip.gate.load(ip.gate.shipped_folder())["treg"]
    assert hanging_on(strategy, ["treg_foxp3"]) == ("treg_foxp3",)
    below = hanging_on(strategy, ["treg"])
    assert {"treg", "treg_foxp3", "tconv"} <= set(below)  # tconv is CD4 and not treg
    assert "cd4" not in below
