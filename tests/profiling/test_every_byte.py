"""A byte that was changed in any file of results is named by `check`, wherever it lies."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import immunoprofile as ip
from immunoprofile.cli import EXIT_ERROR
from immunoprofile.errors import ResultsError
from immunoprofile.profiling.sealing import PROVENANCE, differences, read_provenance, verify
from tests.profiling.test_gate_overrides import draw
from tests.small_study import write_gates, write_study
from tests.test_cli import invoke

RANDOM_PLACES = 6


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that a run writes: tables, h5ad, arrays, gates, ledger, study, statistics, pages and pictures."""
    folder = tmp_path_factory.mktemp("bytes")
    write_study(folder / "study")
    write_gates(folder / "study" / "gating")
    draw(folder)
    study, gates = ip.read_study(folder / "study"), ip.gate.load(folder / "study" / "gating")
    ip.run_study(study, gates, out=folder / "results", cells=True)
    return folder / "results"


def flipped(content: bytes, place: int, bit: int) -> bytes:
    return content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]


def test_first_middle_last_and_random_bytes_of_every_file(results: Path) -> None:
    assert verify(results) == []
    outputs = read_provenance(results)["outputs"]
    kinds = {Path(name).suffix for name in outputs}
    assert {".csv", ".h5ad", ".npz", ".xml", ".jsonl", ".json", ".html", ".svg", ".yaml", ".txt"} <= kinds
    there = {path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file()}
    assert there - set(outputs) == {PROVENANCE}  # nothing else escapes
    chance = random.Random(16)
    for name in sorted(outputs):
        path = results / name
        content = path.read_bytes()
        some = [chance.randrange(len(content)) for _ in range(RANDOM_PLACES)]
        places = {0, len(content) // 2, len(content) - 1, *some}
        for place in sorted(places):
            path.write_bytes(flipped(content, place, chance.randrange(8)))
            assert differences(results, {name: outputs[name]}) == [f"changed: {name}"], (name, place)
        for other in (content[:-1], content + b"\0", b""):
            path.write_bytes(other)
            assert differences(results, {name: outputs[name]}) == [f"changed: {name}"], name
        path.write_bytes(content)
    assert verify(results) == []


def test_bytes_of_the_provenance_itself_blanks_among_them(results: Path) -> None:
    path = results / PROVENANCE
    content = path.read_bytes()
    chance = random.Random(18)
    blanks = [place for place, byte in enumerate(content) if byte in b" \n"]
    places = {0, len(content) - 1, *chance.sample(range(len(content)), 300), *chance.sample(blanks, 60)}
    try:
        for place in sorted(places):
            # a blank becomes another blank: the same JSON
            other = content[:place] + b"\t" + content[place + 1 :] if place in blanks else flipped(content, place, 0)
            path.write_bytes(other)
            assert _named(results), place
        path.write_bytes(content + b"\n")
        assert verify(results) == [f"changed: {PROVENANCE}, blanks or spelling"]
    finally:
        path.write_bytes(content)
    assert verify(results) == []


def _named(results: Path) -> bool:
    try:
        return any(PROVENANCE in line for line in verify(results))
    except ResultsError as error:
        return PROVENANCE in str(error)


def test_the_command_names_the_file(results: Path) -> None:
    for name in ("visits.h5ad", "gating/overrides.jsonl", "study/study.yaml"):
        path = results / name
        content = path.read_bytes()
        path.write_bytes(flipped(content, len(content) // 3, 2))
        outcome = invoke("check", results)
        path.write_bytes(content)
        assert outcome.exit_code == EXIT_ERROR
        assert outcome.output.splitlines()[0] == f"changed: {name}"
    assert invoke("check", results).exit_code == 0
