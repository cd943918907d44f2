"""A run is one call: from Python as from the command line, resumed, repeated, and beside another one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import immunoprofile as ip
from immunoprofile import run as run_module
from immunoprofile.cli import EXIT_ERROR, app
from immunoprofile.errors import OutputError, ResultsError, StudyError
from immunoprofile.gate.check import check
from immunoprofile.io.only_writer import LOCK
from immunoprofile.profiling import one_file
from immunoprofile.profiling.locking import lock
from immunoprofile.profiling.sealing import read_provenance, verify
from immunoprofile.report import complete as complete_module
from immunoprofile.report import pages as pages_module
from tests.folders import content
from tests.small_study import TABLES, write_gates, write_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_study(folder / "study")
    write_gates(folder / "gates")
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    return run(folder, folder / "whole")


def run(folder, out, **options):
    return ip.run_study(ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=out, **options)


@pytest.fixture
def gated(monkeypatch):
    """Samples that were gated, not taken from a record."""
    found = []
    gate = one_file._gate
    monkeypatch.setattr(one_file, "_gate", lambda r, *a, **k: found.append(r.sample_id) or gate(r, *a, **k))
    return found


@pytest.fixture
def drawn(monkeypatch):
    """Pages that were written."""
    found = []
    write = pages_module._write
    monkeypatch.setattr(pages_module, "_write", lambda m, p, pdf: found.append(p.stem) or write(m, p, pdf))
    return found


def test_the_folder_of_one_call_is_complete(whole):
    assert verify(whole.folder) == []
    provenance = read_provenance(whole.folder)
    assert provenance["complete"] is True
    assert provenance["parts"] == ["profile", "statistics", "reports"]
    assert (whole.folder / "statistics" / "plan_runs.csv").is_file()
    assert (whole.folder / "reports" / "cohort.html").is_file()
    assert "plan_runs" in whole.visits.uns
    assert whole.provenance == provenance
    assert not {".lock", ".partial"} & {path.name for path in whole.folder.iterdir()}


def test_reports_written_after_profile_leave_the_same_folder(folder, whole, tmp_path):
    profile = ip.profile(ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=tmp_path / "out")
    assert verify(tmp_path / "out") == []  # nothing was asked for beyond the profile
    assert read_provenance(tmp_path / "out")["parts"] == ["profile"]
    ip.tl.declared(profile.visits)
    ip.report.write_all(profile, tmp_path / "out")
    assert content(tmp_path / "out") == content(whole.folder)
    ip.report.write_all(profile, tmp_path / "out", subject="S-1", visit="D14")  # the others stay
    assert verify(tmp_path / "out") == []
    assert set(content(tmp_path / "out")) == set(content(whole.folder))


def test_reports_beside_results_leave_them_alone(whole, tmp_path):
    before = content(whole.folder)
    written = ip.report.write_all(whole, tmp_path / "pages", subject="S-1", visit="D14")
    assert [path.name for path in written] == ["D14.json", "D14.html"]
    assert content(whole.folder) == before


def test_reports_into_the_results_of_another_run_are_refused(folder, whole, tmp_path):
    labs = TABLES["labs"].replace("900", "901")
    write_study(tmp_path / "study", labs=labs)
    shutil.copytree(folder / "gates", tmp_path / "gates")
    other = run(tmp_path, tmp_path / "out")
    with pytest.raises(ResultsError, match="was written again since this profile was read"):
        ip.report.write_all(whole, other.folder)
    assert verify(other.folder) == []


def test_an_unchanged_study_is_neither_gated_nor_drawn_again(folder, whole, tmp_path, gated, drawn):
    shutil.copytree(whole.folder, tmp_path / "out")
    again = run(folder, tmp_path / "out")
    assert (gated, drawn) == ([], [])
    assert content(tmp_path / "out") == content(whole.folder)
    assert again.visits.uns["plan_runs"].shape == whole.visits.uns["plan_runs"].shape


def test_an_unchanged_study_is_compared_and_read_back_and_no_file_is_touched(folder, whole, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(whole.folder, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    stages = []

    @contextmanager
    def stage(name):
        stages.append(name)
        yield

    monkeypatch.setattr(run_module, "prepare", lambda *_: pytest.fail("what is unchanged was evaluated again"))
    again = run(folder, out, stage=stage)
    assert stages == ["compare with last run", "unchanged, read back"]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert content(out) == content(whole.folder)
    assert again.provenance == whole.provenance
    pd.testing.assert_frame_equal(again.visits.to_df(), whole.visits.to_df())
    assert again.visits.uns.keys() == ip.read_results(out).visits.uns.keys()


def _in_memory(study, gates):
    labs = study.tables["labs"].assign(value=study.tables["labs"]["value"] + 1)
    return replace(study, tables={**study.tables, "labs": labs}), gates


def _drawn(study, gates):
    gate = gates["t"]["nk"]
    moved = replace(gate, dimensions=(replace(gate.dimensions[0], maximum=0.4), *gate.dimensions[1:]))
    return study, gates.with_strategy(gates["t"].with_gate(moved))


def _noted(study, gates):
    """A note is no part of the meaning of a gate, and stands in the template that a run writes."""
    return study, gates.with_strategy(gates["t"].with_gate(replace(gates["t"]["nk"], note="as agreed")))


def _cut(study, gates):
    lock(study, check(gates, study), "interim")
    return study, gates


def _fcs(study, gates):
    path = study.folder / "fcs" / "S-2_BL.fcs"
    path.write_bytes(path.read_bytes() + b" ")
    return study, gates


def _output(study, gates):
    (study.folder.parent / "out" / "counts.csv").write_text("sample_id\n")
    return study, gates


def _page_of_nobody(study, gates):
    (study.folder.parent / "out" / "reports" / "S-9.html").write_text("<p>")
    return study, gates


@pytest.mark.parametrize("change", [_in_memory, _drawn, _noted, _cut, _fcs, _output, _page_of_nobody])
def test_whatever_changed_is_seen(folder, whole, tmp_path, monkeypatch, change):
    shutil.copytree(whole.folder, tmp_path / "out")
    shutil.copytree(folder / "study", tmp_path / "study")
    study, gates = change(ip.read_study(tmp_path / "study"), ip.gate.load(folder / "gates"))
    monkeypatch.setattr(run_module, "prepare", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        ip.run_study(study, gates, out=tmp_path / "out")


def test_other_options_are_no_unchanged_run(folder, whole, monkeypatch):
    monkeypatch.setattr(run_module, "prepare", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    for options in ({"cells": True}, {"pdf": True}):
        with pytest.raises(KeyboardInterrupt):
            run(folder, whole.folder, **options)


def test_every_file_of_the_study_that_a_run_opens_is_compared_by_the_next(folder, tmp_path):
    """Asked of the interpreter itself: what is opened and has no hash could change without being seen."""
    study = folder / "study"
    opened, listening = set(), [True]

    def hear(event, arguments):
        if listening and event == "open" and isinstance(arguments[0], str | Path):
            opened.add(Path(arguments[0]))

    sys.addaudithook(hear)  # stays until the process ends: it hears no more when the list is empty
    try:
        made = ip.run_study(ip.read_study(study), ip.gate.load(folder / "gates"), out=tmp_path / "out")
    finally:
        listening.clear()
    names = {path.relative_to(study).as_posix() for path in opened if path.is_relative_to(study)}
    assert {"study.yaml", "labs.csv", "fcs/S-1_BL.fcs"} <= names
    beside = {name for name in names if name.startswith(("gating/", "locks/"))}
    assert names - beside <= made.provenance["inputs"].keys()


def test_a_changed_table_gates_nothing_again(folder, whole, tmp_path, gated, drawn):
    shutil.copytree(whole.folder, tmp_path / "out")
    shutil.copytree(folder / "study", tmp_path / "study")
    shutil.copytree(folder / "gates", tmp_path / "gates")
    (tmp_path / "study" / "labs.csv").write_text(TABLES["labs"].replace(",900,", ",905,"))
    changed = (tmp_path / "study" / "study.yaml").read_text().replace("A small study", "Another title")
    (tmp_path / "study" / "study.yaml").write_text(changed)
    run(tmp_path, tmp_path / "out")
    assert gated == []
    assert "D14" in drawn
    run(tmp_path, tmp_path / "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


@pytest.mark.parametrize("gone", ["labs", "sample", "template"])
def test_nothing_of_an_earlier_run_survives(folder, whole, tmp_path, gone):
    shutil.copytree(whole.folder, tmp_path / "out")
    shutil.copytree(folder / "study", tmp_path / "study")
    shutil.copytree(folder / "gates", tmp_path / "gates")
    if gone == "labs":
        (tmp_path / "study" / "labs.csv").unlink()
    elif gone == "sample":
        rows = TABLES["samples"].splitlines(keepends=True)
        (tmp_path / "study" / "samples.csv").write_text("".join(row for row in rows if not row.startswith("S-2")))
    else:
        (tmp_path / "out" / "gating" / "templates" / "old.csv").write_text("an earlier tube")
        (tmp_path / "out" / "gating" / "templates" / "t.vertices.csv").write_text("population,order,x,y\nq,1,1,1\n")
        (tmp_path / "out" / "reports" / "S-9").mkdir()
        (tmp_path / "out" / "reports" / "S-9" / "provenance.json").write_text("{}")
        (tmp_path / "out" / "study" / "run.log").write_text("x")
        assert verify(tmp_path / "out") == [
            "not written by a run: gating/templates/old.csv",
            "not written by a run: gating/templates/t.vertices.csv",
            "not written by a run: reports/S-9/provenance.json",
            "not written by a run: study/run.log",
        ]
    run(tmp_path, tmp_path / "out")
    run(tmp_path, tmp_path / "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_a_run_stopped_after_its_seal_is_finished_by_the_same_command(folder, whole, tmp_path, monkeypatch, gated):
    """Between the last seal and the removal of the notes the results are whole; what is left is no forgery."""
    out = tmp_path / "out"
    shutil.copytree(whole.folder, out)
    (out / "reports" / "cohort.html").unlink()  # so that there is something to make again
    remove = shutil.rmtree

    def stopped(path, **options):
        if path == out / ".partial":
            raise KeyboardInterrupt
        remove(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(folder, out)
    assert (out / ".partial" / "gated.json").is_file()
    assert read_provenance(out) == whole.provenance
    (line,) = verify(out)
    assert line == (
        "left by a run that was stopped in its last step: .partial; the same 'immunoprofile run' with the same --out "
        "takes it away"
    )
    (out / "reports" / "forged.html").write_text("<p>all well</p>")
    assert verify(out) == ["not written by a run: reports/forged.html", line]  # other files are named as ever
    told = CliRunner().invoke(app, ["check", str(out)])
    assert (told.exit_code, told.stdout.splitlines()) == (EXIT_ERROR, verify(out))
    run(folder, out)
    assert gated == []
    assert content(out) == content(whole.folder)
    assert verify(out) == []


def test_a_run_stopped_in_the_reports_goes_on_there(folder, whole, tmp_path, monkeypatch, gated):
    out = tmp_path / "out"
    write = pages_module._write

    def stop(model, path, pdf):
        if path.stem == "BL":
            raise KeyboardInterrupt
        return write(model, path, pdf)

    with monkeypatch.context() as patched:
        patched.setattr(pages_module, "_write", stop)
        with pytest.raises(KeyboardInterrupt):
            run(folder, out)
    assert len(gated) == 3
    for reads in (verify, ip.read_results):
        with pytest.raises(ResultsError, match="a run has not ended"):
            reads(out)
    pages = [path.stem for path in (out / "reports").rglob("*.html")]
    drawn = []
    monkeypatch.setattr(pages_module, "_write", lambda m, p, pdf: drawn.append(p.stem) or write(m, p, pdf))
    run(folder, out)
    assert len(gated) == 3
    assert sorted(drawn + pages) == sorted(path.stem for path in whole.folder.rglob("*.html"))
    assert "cohort" in pages
    assert content(out) == content(whole.folder)


def test_reports_that_were_stopped_are_taken_up_without_the_files(whole, tmp_path, monkeypatch):
    """The FCS files are gone: what was gated must not be lost with the reports."""
    out = tmp_path / "out"
    shutil.copytree(whole.folder, out)
    with monkeypatch.context() as patched:
        patched.setattr(complete_module, "declared", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ip.report.write_all(ip.read_results(out), out)
    with pytest.raises(ResultsError, match="so does 'immunoprofile report'"):
        ip.read_results(out)
    complete_module.write_reports(out, complete_module.Asked())
    assert content(out) == content(whole.folder)
    (out / "counts.csv").write_text("x")
    with pytest.raises(ResultsError, match=r"not as it was written: changed: counts.csv"):
        complete_module.write_reports(out, complete_module.Asked())


def test_a_file_changed_while_the_run_is_at_work_is_not_sealed(folder, tmp_path, monkeypatch):
    analyse = complete_module.analyse

    def change(profile):
        (profile.folder / "counts.csv").write_text("x")
        return analyse(profile)

    monkeypatch.setattr(complete_module, "analyse", change)
    with pytest.raises(ResultsError, match=r"changed while the run was at work: counts.csv"):
        run(folder, tmp_path / "out")
    with pytest.raises(ResultsError, match="a run has not ended"):
        ip.read_results(tmp_path / "out")


def test_the_seal_covers_the_provenance_itself(whole, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "out")
    path = tmp_path / "out" / "provenance.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    for change in (
        {"gates": {"t": said["gates"]["t"] | {"version": "9"}}},
        {"versions": said["versions"] | {"numpy": "0"}},
        {"inputs": said["inputs"] | {"labs.csv": "0" * 64}},
        {"outputs": {}},
        {"seal": ""},
    ):
        path.write_text(json.dumps(said | change))
        for reads in (verify, ip.read_results):
            with pytest.raises(ResultsError, match=r"provenance.json: is damaged, was changed by hand"):
                reads(tmp_path / "out")


_HOLDER = """
import sys, time
from pathlib import Path
from immunoprofile.io.only_writer import only_writer
with only_writer(Path(sys.argv[1]), "run"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_run_is_refused_by_name_and_a_killed_one_stops_nobody(folder, whole, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(whole.folder, out)
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, out], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    said = rf"another 'run' is at work in this folder \(process {holder.pid} on "
    try:
        with pytest.raises(ResultsError, match=said):
            run(folder, out)
        with pytest.raises(ResultsError, match=said):
            ip.report.write_all(ip.read_results(out), out)
        with pytest.raises(ResultsError, match=said):
            ip.profile(ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=out)
        assert verify(out) == []
    finally:
        holder.kill()
        holder.wait()
    assert (out / LOCK).is_file()
    run(folder, out)
    assert content(out) == content(whole.folder)


def test_the_lock_of_another_machine_is_believed(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / LOCK).write_text('{"host": "elsewhere", "pid": 1, "started": "2024-03-01T08:00:00Z", "work": "run"}')
    with pytest.raises(ResultsError, match=r"process 1 on elsewhere.*delete .*\.lock"):
        run(folder, out)
    (out / LOCK).unlink()
    run(folder, out)


def test_a_table_saved_while_files_are_gated_keeps_the_hash_of_what_was_read(folder, whole, tmp_path, monkeypatch):
    shutil.copytree(folder / "study", tmp_path / "study")
    shutil.copytree(folder / "gates", tmp_path / "gates")
    gate = one_file._gate

    def save(*args, **options):
        (tmp_path / "study" / "labs.csv").write_text(TABLES["labs"].replace(",900,", ",71,"))
        return gate(*args, **options)

    monkeypatch.setattr(one_file, "_gate", save)
    profile = run(tmp_path, tmp_path / "out")
    assert profile.provenance["inputs"]["labs.csv"] == whole.provenance["inputs"]["labs.csv"]
    assert content(tmp_path / "out") == content(whole.folder)


def test_no_room_and_no_permission_are_named(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"file is a file, not a folder"):
        run(folder, tmp_path / "file" / "results")
    import errno

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match="no room is left to write it -> free some space"):
            run(folder, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if ".tmp" in path.name]
    run(folder, tmp_path / "out")
    assert verify(tmp_path / "out") == []


def test_what_does_not_fit_is_said_before_the_folder_is_touched(folder, whole, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(whole.folder, out)
    cmv = TABLES["cmv_dna"] + "S-1,D14,2024-03-15,no idea,IU/mL,cap,plasma\n"
    write_study(tmp_path / "study", cmv_dna=cmv)
    shutil.copytree(folder / "gates", tmp_path / "gates")
    with pytest.raises(StudyError, match="no idea"):
        run(tmp_path, out)
    assert content(out) == content(whole.folder)
