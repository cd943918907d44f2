"""What is found about a file reaches exceptions.csv and the exit code, by the command, by batch and in a study."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import immunoprofile as ip
from immunoprofile import gate
from immunoprofile.cli import app
from immunoprofile.compensation import decide, from_keywords
from immunoprofile.compensation.applied import compensated_names
from immunoprofile.errors import CompensationError
from immunoprofile.gate.gates import Matrix
from immunoprofile.gate.notices import needs_matrix
from immunoprofile.io.fcs import read_fcs
from tests.io import fcs_bytes
from tests.io.fcs_files import events, write

NAMES = ("FSC-A", "FITC-A", "PE-A")
MATRIX = np.array([[1, 0.2], [0.0, 1]])


def spill(names, matrix):
    return ",".join([str(len(names)), *names, *(f"{value:g}" for row in matrix for value in row)])


def put(path, rows, names=NAMES, **keywords):
    path.write_bytes(fcs_bytes.fcs(rows, names, keywords={key.replace("_", " "): v for key, v in keywords.items()}))
    return path


def spilled(n=400):
    """Events whose PE is 500 before the light of FITC spills into it; half of them are bright in FITC."""
    true = np.c_[np.r_[np.full(n // 2, 10_000.0), np.full(n // 2, 500.0)], np.full(n, 500.0)]
    return np.c_[np.full(n, 5e4), true @ MATRIX]


def template(path, *rows, head=""):
    lines = [f"# {line}" for line in ("tube: t", *head.splitlines())]
    path.write_text("\n".join([*lines, "population,parent,gate,method,dim_1,min_1,max_1,operands", *rows, ""]))
    return path


def run(folder, *words):
    done = CliRunner().invoke(app, [str(word) for word in (*words, "--quiet", "--out", folder / "out")])
    return done, pd.read_csv(folder / "out" / "exceptions.csv", keep_default_na=False)


PE = "pe,root,rectangle,fixed,PE-A,300,1500,"


def test_a_matrix_that_is_asked_for_and_not_there_is_told(tmp_path):
    """Compensated all events lie in the gate, recorded only half of them: another number, not a smaller one."""
    with_matrix = put(tmp_path / "with.fcs", spilled(), SPILL=spill(NAMES[1:], MATRIX))
    without = put(tmp_path / "without.fcs", spilled())
    gates = template(tmp_path / "t.csv", PE)
    done, rows = run(tmp_path, "gate", with_matrix, without, "--gates", gates)
    assert done.exit_code == 3
    assert rows[["code", "file"]].to_numpy().tolist() == [["COMP_MISSING", without.as_posix()]]
    assert "gate --comp" in rows["action"][0]
    assert pd.read_csv(tmp_path / "out" / "counts.csv")["n"].tolist() == [400, 200]


def test_the_remedy_named_works(tmp_path):
    without = put(tmp_path / "without.fcs", spilled())
    gates = template(tmp_path / "t.csv", PE)
    (tmp_path / "m.csv").write_text(",FITC-A,PE-A\nFITC-A,1,0.2\nPE-A,0,1\n")
    done, rows = run(tmp_path, "gate", without, "--gates", gates, "--comp", tmp_path / "m.csv")
    assert (done.exit_code, len(rows)) == (0, 0)
    assert pd.read_csv(tmp_path / "out" / "counts.csv")["n"].tolist() == [400]
    for word in ("none", "compensated"):
        done, rows = run(tmp_path, "gate", without, "--gates", gates, "--comp", word)
        assert (done.exit_code, len(rows)) == (0, 0)
        assert pd.read_csv(tmp_path / "out" / "counts.csv")["n"].tolist() == [200]
    done, rows = run(tmp_path, "gate", without, "--gates", gates, "--comp", "keyword")
    assert (done.exit_code, rows["code"].tolist()) == (3, ["COMP_MISSING"])
    assert not len(pd.read_csv(tmp_path / "out" / "counts.csv"))


@pytest.mark.parametrize(
    "text",
    [spill(("FITC-A", "PE-A", "APC-A"), np.eye(3)), spill(("FITC-A", "PE-A"), np.ones((2, 2))), "2,FITC-A,PE-A,1,x,0,1",
     spill(("FITC-A", "PE-A"), 50 * np.eye(2))],
    ids=["absent channel", "singular", "no number", "diagonal 50"],
)  # fmt: skip
def test_a_keyword_that_cannot_be_used_blocks_only_who_needs_it(tmp_path, text):
    file = put(tmp_path / "a.fcs", spilled(), SPILL=text)
    needing = template(tmp_path / "t.csv", PE)
    plain = template(tmp_path / "u.csv", PE, head="compensated: false")
    done, rows = run(tmp_path, "gate", file, "--gates", needing)
    assert (done.exit_code, rows["severity"].tolist()) == (3, ["error"])
    done, rows = run(tmp_path, "gate", file, "--gates", plain)
    assert (done.exit_code, rows[["code", "severity"]].to_numpy().tolist()) == (0, [["COMP_UNUSABLE", "note"]])
    assert pd.read_csv(tmp_path / "out" / "counts.csv")["n"].tolist() == [200]
    done, rows = run(tmp_path, "quality", file)
    assert rows["code"].tolist() == ["COMP_UNUSABLE"]
    assert len(pd.read_csv(tmp_path / "out" / "quality.csv"))


def test_scatter_gates_need_no_matrix(tmp_path):
    strategies = gate.load(template(tmp_path / "t.csv", "all,root,rectangle,fixed,FSC-A,0,,"))
    assert not needs_matrix(strategies["t"])


def test_a_matrix_in_per_cent_is_taken_as_shares_and_told(tmp_path):
    shares = put(tmp_path / "a.fcs", spilled(), SPILL=spill(NAMES[1:], MATRIX))
    per_cent = put(tmp_path / "b.fcs", spilled(), SPILL=spill(NAMES[1:], 100 * MATRIX))
    one, two = (from_keywords(ip.read_fcs(path)) for path in (shares, per_cent))
    np.testing.assert_allclose(one.matrix, two.matrix, rtol=0, atol=1e-15)
    assert (one.per_cent, two.per_cent) == (False, True)
    exceptions = []
    counts = gate.batch([shares, per_cent], gate.load(template(tmp_path / "t.csv", PE)), exceptions=exceptions)
    assert counts["n"].tolist() == [400, 400]
    assert ["COMP_PER_CENT" in row["code"] for row in exceptions if row["file"] == per_cent.as_posix()] == [True]
    mixed = put(tmp_path / "c.fcs", spilled(), SPILL=spill(NAMES[1:], np.diag([1, 100]) @ MATRIX))
    with pytest.raises(CompensationError, match="diagonal is not 1"):
        from_keywords(ip.read_fcs(mixed))


@pytest.mark.parametrize(("factor", "n"), [(1.0, 400), (100.0, None)])
def test_a_matrix_of_the_gates_in_per_cent_is_refused_by_name(tmp_path, factor, n):
    rows = tuple(tuple(factor * value for value in row) for row in MATRIX.tolist())
    strategy = gate.load(template(tmp_path / "t.csv", PE))["t"].with_matrix("own", Matrix(NAMES[1:], rows))
    exceptions = []
    counts = gate.batch([put(tmp_path / "a.fcs", spilled())], strategy, exceptions=exceptions)
    assert counts["n"].tolist() == ([] if n is None else [n])
    assert ["in per cent" in row["message"] for row in exceptions] == ([True] if n is None else [])


@pytest.mark.parametrize("mark", ["Comp-{}", "FJComp-{}", "<{}>"])
def test_names_of_compensated_channels_are_evidence(tmp_path, mark):
    names = ("FSC-A", *(mark.format(name) for name in NAMES[1:]))
    file = put(tmp_path / "a.fcs", spilled(), names, SPILL=spill(NAMES[1:], MATRIX))
    sample = ip.read_fcs(file)
    assert compensated_names(sample) == names[1:]
    chosen = decide(sample)
    assert (chosen.spillover, chosen.source) == (None, "compensated")
    assert [notice.code for notice in chosen.notices] == ["COMP_BY_NAME"]
    counts = gate.batch([file], gate.load(template(tmp_path / "t.csv", PE)))
    assert counts["n"].tolist() == [200]


def test_copies_beside_the_recorded_channels_are_no_evidence(tmp_path):
    rows = np.c_[spilled(), spilled()[:, 1:]]
    names = (*NAMES, "Comp-FITC-A", "Comp-PE-A")
    sample = ip.read_fcs(put(tmp_path / "a.fcs", rows, names, SPILL=spill(NAMES[1:], MATRIX)))
    assert compensated_names(sample) == ()
    assert decide(sample).source == "keyword"


def test_events_without_a_number_in_a_complement_are_told(tmp_path):
    rows = np.array([[5e4, 1.0, value] for value in (2000, 2000, 10, 10, 10, np.nan, np.inf)])
    file = put(tmp_path / "a.fcs", rows)
    gates_of = ("dead,root,rectangle,fixed,PE-A,1000,,", "live,root,not,fixed,,,,dead")
    gates = template(tmp_path / "t.csv", *gates_of, head="compensated: false")
    done, rows = run(tmp_path, "gate", file, "--gates", gates)
    assert done.exit_code == 3
    told = rows[rows["code"] == "NOT_FINITE"]["message"].tolist()
    assert told == [
        "1 events of dead are no numbers (NaN or infinite) in PE-A",
        "1 events of live are no numbers (NaN or infinite) in PE-A",
    ]


@pytest.mark.parametrize("fault", ["no number", "on a scale", "clock"])
def test_what_the_events_show_is_told_whatever_is_declared(tmp_path, fault):
    """Streamed and read whole: the same counts, the same rows of exceptions.csv."""
    from immunoprofile.gate.batch import count_file
    from immunoprofile.gate.matching import Matcher
    from immunoprofile.io.fcs_source import FcsSource

    rng = np.random.default_rng(3)
    rows = np.c_[rng.normal(5e4, 5e3, 30_000), rng.lognormal(9, 1, 30_000), np.arange(30_000.0)]
    words = {}
    if fault == "no number":
        rows[17, 1] = np.nan
    if fault == "on a scale":
        rows[:, 1] = np.arcsinh(rows[:, 1] / 150)
    if fault != "clock":
        words = {"$TIMESTEP": "0.01"}
    path = tmp_path / "a.fcs"
    path.write_bytes(fcs_bytes.fcs(rows, ("FSC-A", "FITC-A", "Time"), keywords=words))
    head = "scales:\n  bi: {kind: logicle, T: 262144, W: 0.5, M: 4.5, A: 0}\ndefault_scale: bi\ncompensated: false"
    gates_of = (
        "on,root,rectangle,fixed,FITC-A,0.5,,",
        "off,root,not,fixed,,,,on",
        "late,root,rectangle,fixed,Time,9,,",
    )
    strategy = gate.load(template(tmp_path / "t.csv", *gates_of, head=head))
    ways: list[dict[str, Any]] = [{"comp_source": "none"}, {}, {"compiled": False}]
    two, *others = (count_file(FcsSource(path), Matcher(strategy), **way) for way in ways)
    for one in others:
        pd.testing.assert_frame_equal(one.table, two.table)
        assert [n.code for n in one.notices] == [n.code for n in two.notices]
    codes = {"no number": {"FILE_REPAIRED", "NOT_FINITE"}, "on a scale": {"TRANSFORMED"}, "clock": {"CLOCK"}}[fault]
    assert {n.code for n in two.notices if n.severity != "note"} == codes


@pytest.mark.parametrize("applied", [False, True])
def test_undeclared_matrix_is_asked_about_without_keeping_the_events(tmp_path, monkeypatch, applied):
    """A file of more events than are kept: the counts of the whole file, and the doubt where it belongs."""
    from immunoprofile.gate.batch import count_file
    from immunoprofile.gate.matching import Matcher
    from immunoprofile.io.fcs_source import FcsSource

    rng = np.random.default_rng(5)
    n = 50_000
    mixed = np.array([[1, 0.2, 0.1], [0.15, 1, 0.1], [0.1, 0.2, 1]])
    dyes = np.where(rng.random((n, 3)) < 0.3, rng.lognormal(10, 0.4, (n, 3)), 200) + rng.normal(0, 30, (n, 3))
    light = dyes if applied else dyes @ mixed
    names = ("FSC-A", "FITC-A", "PE-A", "APC-A")
    path = put(tmp_path / "a.fcs", np.c_[np.full(n, 5e4), light], names, SPILL=spill(names[1:], mixed))
    strategy = gate.load(template(tmp_path / "t.csv", "bright,root,rectangle,fixed,FITC-A,5000,,"))
    whole = count_file(FcsSource(path), Matcher(strategy), compiled=False)
    with monkeypatch.context() as patch:
        patch.setattr(FcsSource, "read", lambda _: pytest.fail("the events were read whole"))
        streamed = count_file(FcsSource(path), Matcher(strategy))
    pd.testing.assert_frame_equal(streamed.table, whole.table)
    assert streamed.notices == whole.notices
    assert ("COMP_ASK" in {notice.code for notice in streamed.notices}) == applied


def test_a_repair_is_a_row_and_exit_3(tmp_path):
    file = put(tmp_path / "a.fcs", spilled(20), **{"$P2E": "4,0"})
    file.write_bytes(file.read_bytes().replace(b"$MODE/L/", b"$NODE/L/"))
    done, rows = run(tmp_path, "gate", file, "--gates", template(tmp_path / "t.csv", PE, head="compensated: false"))
    assert done.exit_code == 3
    assert any("REPAIR_MODE_MISSING" in message for message in rows["message"])


def test_batch_without_a_list_logs_what_it_found(tmp_path, caplog):
    file = put(tmp_path / "a.fcs", spilled())
    gate.batch([file, file], gate.load(template(tmp_path / "t.csv", PE)))
    assert "gates ask for compensated values" in caplog.text
    assert "given twice" in caplog.text


def test_a_matrix_of_the_gates_is_checked_as_one_of_the_file(tmp_path):
    values = ((1.0, 1.4), (0.0, 1.0))
    axis = gate.Dimension("FITC-A", 100.0, None, compensated=True, matrix="m")
    strategy = gate.Strategy(
        "t",
        (gate.Gate("g", "root", "rectangle", (axis,)),),
        matrices=(("m", gate.Matrix(("FITC-A", "PE-A"), values)),),
    )
    gated = gate.gate_sample(read_fcs(write(tmp_path / "a.fcs", events(300))), strategy)
    told = [notice for notice in gated.notices if notice.code == "COMP_MATRIX"]
    assert any("m, of the gates" in notice.message for notice in told)
    sound = replace(strategy, matrices=(("m", gate.Matrix(("FITC-A", "PE-A"), ((1.0, 0.2), (0.05, 1.0)))),))
    again = gate.gate_sample(read_fcs(tmp_path / "a.fcs"), sound)
    assert not [notice for notice in again.notices if notice.code == "COMP_MATRIX"]
