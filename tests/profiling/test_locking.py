"""A data cut freezes data, gates and rules: every changed byte is named, a change needs a new cut."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import immunoprofile as ip
from immunoprofile.cli import EXIT_ERROR
from immunoprofile.errors import StudyError
from immunoprofile.gate.ledger import append, read_ledger
from immunoprofile.io.data_cuts import DataCut, cuts_of, locked_by, write_cut
from immunoprofile.profiling import locking
from immunoprofile.profiling.locking import damage
from tests.gate.test_override import made
from tests.profiling.test_gate_overrides import draw, run
from tests.small_study import TEMPLATE, write_gates, write_study
from tests.test_cli import invoke


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_study(tmp_path / "study")
    write_gates(tmp_path / "study" / "gating")
    return tmp_path


@pytest.fixture
def locked(folder: Path) -> Path:
    assert invoke("lock", folder / "study", "cut-1").exit_code == 0
    return folder


def test_a_locked_study_runs_and_its_results_say_so(locked: Path) -> None:
    profile = run(locked)
    (cut,) = cuts_of(locked / "study")
    assert profile.provenance["cut"] == {"cut": "cut-1", "state": "closed", "sha256": cut.sha256}
    page = ip.report.visit(profile, "S-1", "D14").html
    assert f"data cut cut-1 (closed), sha256 {cut.sha256}" in page
    assert invoke("check", locked / "study").exit_code == 0


def test_each_byte_of_a_locked_strategy_is_named(locked: Path) -> None:
    path = locked / "study" / "gating" / "t.csv"
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert damage(locked / "study") == ["gating/t.csv: was changed since cut cut-1"]
    path.write_bytes(content)
    assert damage(locked / "study") == []
    # whatever the change does to the reading of the table, the command names it
    path.write_bytes(content[:40] + b"\xff" + content[41:])
    outcome = invoke("check", locked / "study")
    assert (outcome.exit_code, outcome.output) == (EXIT_ERROR, "gating/t.csv: was changed since cut cut-1\n")


def test_each_byte_of_a_cut_is_named(locked: Path) -> None:
    path = locked / "study" / "locks" / "cut-1.json"
    content = path.read_bytes()
    for place in range(len(content)):
        for changed in (
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
            content[:place] + content[place + 1 :],
        ):
            path.write_bytes(changed)
            with pytest.raises(StudyError, match=r"locks/cut-1.json: was changed"):
                cuts_of(locked / "study")
    path.write_bytes(content[:-1])
    assert damage(locked / "study") == ["locks/cut-1.json: was changed: is not one line"]


def test_changed_files_are_refused_by_name_until_a_new_cut(locked: Path) -> None:
    names = ["study.yaml", "labs.csv", "samples.csv", "fcs/S-2_BL.fcs", "gating/t.csv"]
    for name in names:
        path = locked / "study" / name
        path.write_bytes(path.read_bytes() + (b"\n" if name.endswith(("yaml", "csv")) else b"x"))
    with pytest.raises(StudyError) as refused:
        run(locked)
    found = {problem.where for problem in refused.value.problems if problem.what == "was changed since cut cut-1"}
    assert found == set(names)
    assert not (locked / "results").exists()
    assert invoke("lock", locked / "study", "cut-2", "--open").exit_code == 0
    assert run(locked).provenance["cut"]["state"] == "open"
    assert invoke("lock", locked / "study", "cut-2").exit_code == 0
    assert run(locked).provenance["cut"]["cut"] == "cut-2"


def test_added_and_missing_files_and_other_gates_are_named(locked: Path) -> None:
    (locked / "study" / "overrides.csv").write_text(
        "usubjid,visit,tube_id,check,state,reason,author,dtc\nS-1,D14,t,margins,PASS,looked at,R7,2024-03-21\n"
    )
    (locked / "study" / "fcs" / "S-2_BL.fcs").unlink()
    (locked / "study" / "gating" / "u.csv").write_text(TEMPLATE.replace("tube: t", "tube: u"))
    lines = damage(locked / "study")
    assert lines == ["fcs/S-2_BL.fcs: is missing since cut cut-1", "gating/u.csv: was added since cut cut-1"]
    write_study(locked / "study")
    (locked / "study" / "gating" / "u.csv").unlink()
    shutil.copytree(locked / "study" / "gating", locked / "others")
    (locked / "others" / "t.csv").write_text(TEMPLATE.replace("0.45,,CD56", "0.44,,CD56"))
    with pytest.raises(StudyError) as refused:
        ip.profile(ip.read_study(locked / "study"), ip.gate.load(locked / "others"), out=locked / "results")
    found = [(problem.where, problem.what) for problem in refused.value.problems]
    assert found == [("overrides.csv", "was added since cut cut-1"), ("gates of tube t", "are others since cut cut-1")]


def test_reviews_and_answers_go_on(locked: Path) -> None:
    (locked / "study" / "reviews.csv").write_text(
        "usubjid,visit,report_id,decision,reviewer,dtc,comment\nS-1,D14,0123456789abcdef,accept,R7,2024-03-21,\n"
    )
    (locked / "study" / "queries.csv").write_text("record,question,owner,answer,closed\nS-1,a?,site,b,Y\n")
    run(locked)
    assert invoke("check", locked / "study").exit_code == 0


def test_an_override_needs_a_new_cut(locked: Path) -> None:
    with pytest.raises(StudyError, match=r"override of t/t: the study is locked by cut cut-1") as refused:
        draw(locked)
    assert "--open" in str(refused.value)
    # also when somebody goes around the function
    append(locked / "study", [made(ip.gate.load(locked / "study" / "gating"))], "SMALL")
    assert damage(locked / "study") == ["gating/overrides.jsonl: rows were added since cut cut-1"]
    with pytest.raises(StudyError, match="rows were added"):
        run(locked)


def test_a_cut_keeps_the_head_of_the_ledger(folder: Path) -> None:
    draw(folder)
    draw(folder, "S-2_BL")
    invoke("lock", folder / "study", "cut-1")
    path = folder / "study" / "gating" / "overrides.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    said = "gating/overrides.jsonl: rows that were there at cut cut-1 are gone or changed"
    assert damage(folder / "study") == [said]
    # a new cut does not make it good
    invoke("lock", folder / "study", "cut-2", "--open")
    assert damage(folder / "study") == [said]
    assert len(read_ledger(folder / "study")) == 1


@pytest.mark.parametrize("before", [(), ("cut-0",)])
def test_a_last_cut_that_is_gone_or_written_anew_is_named_by_the_results(folder: Path, before: tuple[str, ...]) -> None:
    study = folder / "study"
    for name in (*before, "cut-1"):
        assert invoke("lock", study, name).exit_code == 0
    run(folder)
    path = study / "locks" / "cut-1.json"
    content = path.read_bytes()
    path.unlink()
    assert invoke("check", study).exit_code == 0  # a chain that ends earlier is a chain
    told = f"locks/cut-1.json: the closed cut cut-1, with which the results in {folder / 'results'} were made, is gone"
    for again in (False, True):
        if again:  # the name is free again: another cut of the same name is another cut
            assert invoke("lock", study, "cut-1").exit_code == 0
            assert path.read_bytes() != content
        outcome = invoke("check", study, "--results", folder / "results")
        assert (outcome.exit_code, told in outcome.output) == (EXIT_ERROR, True), outcome.output
        with pytest.raises(StudyError, match="the study lost a data cut"):
            run(folder)
    path.write_bytes(content)
    assert invoke("check", study, "--results", folder / "results").exit_code == 0
    assert invoke("lock", study, "cut-2", "--open").exit_code == 0  # an open cut changes until it is closed
    run(folder)
    assert invoke("lock", study, "cut-2").exit_code == 0
    assert invoke("check", study, "--results", folder / "results").exit_code == 0
    run(folder)


def test_rules_and_version_are_frozen(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = dict(locking.rule_hashes())
    monkeypatch.setattr(locking, "rule_hashes", lambda: rules | {"ctcae.yaml": "0"})
    monkeypatch.setattr(locking, "__version__", "9.9.9")
    with pytest.raises(StudyError) as refused:
        run(locked)
    text = str(refused.value)
    assert "rules ctcae.yaml: were changed since cut cut-1" in text
    assert f"package: version {ip.__version__} is 9.9.9 now" in text


def test_names_and_order_of_cuts(locked: Path) -> None:
    for name, said in (
        ("cut-1", "is closed; a new cut needs another name"),
        ("a/b", "is no name of a cut"),
        ("CUT-1", "is closed"),
    ):
        outcome = invoke_failing("lock", locked / "study", name)
        assert said in outcome
    invoke("lock", locked / "study", "cut-2", "--open")
    assert locked_by(locked / "study") is None
    assert "cut cut-2 is open; close it first" in invoke_failing("lock", locked / "study", "cut-3")
    invoke("lock", locked / "study", "cut-2")
    invoke("lock", locked / "study", "cut-3")
    first, second, third = cuts_of(locked / "study")
    assert (second.previous, third.previous) == (first.sha256, second.sha256)
    (locked / "study" / "locks" / "cut-2.json").unlink()
    assert damage(locked / "study") == [
        "locks/cut-3.json: does not follow the cut before it: one is missing or was changed"
    ]


def invoke_failing(*arguments: object) -> str:
    try:
        return invoke(*arguments).output
    except StudyError as error:
        return str(error)


def test_a_cut_of_another_spelling_is_none(tmp_path: Path) -> None:
    written = write_cut(tmp_path, DataCut("a", 0, "SMALL", "closed", "2026-01-01T00:00:00Z", frozen={"files": {}}))
    assert written == replace(written, n=1)
    path = tmp_path / "locks" / "a.json"
    path.rename(tmp_path / "locks" / "b.json")
    with pytest.raises(StudyError, match="is no cut of this name"):
        cuts_of(tmp_path)
