"""Every command that writes a folder holds it, writes into no results, and leaves nothing half written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import immunoprofile as ip
from immunoprofile.cli import EXIT_ERROR, app
from immunoprofile.errors import ImmunoprofileError, OutputError, ResultsError
from immunoprofile.io.only_writer import LOCK, RESULTS_MARKS, only_writer
from immunoprofile.io.sdtm import Sdtm
from immunoprofile.profiling import sealing
from tests.small_study import write_gates, write_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("writers")
    write_study(place / "study")
    write_gates(place / "gates")
    return place


def command(work: str, folder: Path, out: Path) -> None:
    """A command that writes into ``out``."""
    fcs = folder / "study" / "fcs" / "S-1_BL.fcs"
    if work == "sdtm":
        Sdtm({"DM": pd.DataFrame({"STUDYID": ["X"]})}, pd.DataFrame({"domain": ["DM"]})).write(out)
        return
    arguments = {
        "gate": ["gate", fcs, "--gates", folder / "gates", "--out", out, "--quiet"],
        "quality": ["quality", fcs, "--out", out, "--quiet"],
        "deidentify": ["deidentify", fcs, "--out", out],
        "simulate": ["simulate", out, "--subjects", "2", "--events", "1000", "--quiet"],
        "init": ["init", out, "--fcs", folder / "study" / "fcs"],
    }[work]
    CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)


EXPORTS = ("gate", "quality", "deidentify", "sdtm")


@pytest.mark.parametrize("work", [*EXPORTS, "simulate", "init"])
def test_a_folder_has_one_writer(folder, tmp_path, work):
    with (
        only_writer(tmp_path / "out", "something else"),
        pytest.raises(ResultsError, match="another 'something else' is at work in this folder"),
    ):
        command(work, folder, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_lock_that_is_no_file_is_neither_waited_for_nor_written_over(tmp_path):
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / LOCK)
    with pytest.raises(ResultsError, match="is no plain file"), only_writer(tmp_path / "pipe", "run"):
        pass
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / LOCK).symlink_to(mine)
    with pytest.raises(OutputError), only_writer(tmp_path / "link", "run"):
        pass
    assert mine.read_text() == "precious"


@pytest.mark.parametrize("mark", RESULTS_MARKS)
@pytest.mark.parametrize("work", [*EXPORTS, "init"])
def test_results_of_a_study_are_not_written_over(folder, tmp_path, work, mark):
    results = tmp_path / "results"
    results.mkdir()
    (results / mark).write_text("{}")
    for out in (results, results / "deep" / "er"):
        with pytest.raises(ResultsError, match="holds the results of a study"):
            command(work, folder, out)
    assert [path.name for path in results.iterdir()] == [mark]


def test_the_marks_of_results_are_those_of_the_seal():
    assert RESULTS_MARKS == (sealing.PROVENANCE, sealing.PARTIAL) == ("provenance.json", ".partial")


@pytest.mark.parametrize("work", EXPORTS)
def test_tables_of_a_study_are_not_written_over(folder, tmp_path, work):
    (tmp_path / "study.yaml").write_text("study_id: X")
    with pytest.raises(ResultsError, match="is a study folder"):
        command(work, folder, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_a_run_into_the_results_of_another_is_refused(tmp_path):
    (tmp_path / "provenance.json").write_text("{}")
    with pytest.raises(ResultsError, match=r"lies in .* holds the results of a study"):
        sealing.begin(tmp_path / "again", "X")


@pytest.mark.parametrize("name", ["reports", "study", "gating/templates", ".partial"])
def test_what_a_link_leads_to_is_not_taken_for_results(folder, tmp_path, name):
    """A run deletes what an earlier one left; behind a link stands somebody else's."""
    out, mine = tmp_path / "out", tmp_path / "mine"
    ip.profile(ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=out)
    mine.mkdir()
    (mine / "precious.txt").write_text("x")
    shutil.rmtree(out / name, ignore_errors=True)
    (out / name).symlink_to(mine)
    with pytest.raises(ResultsError, match="is a link to another place"):
        ip.profile(ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=out)
    assert (mine / "precious.txt").read_text() == "x"


def test_results_are_not_written_over_the_study_that_they_are_of(folder, tmp_path):
    out = tmp_path / "out"
    ip.profile(ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    copy = ip.read_study(out / "study", require_files=False)
    with pytest.raises(ResultsError, match="the study itself"):
        ip.profile(copy, ip.gate.load(folder / "gates"), out=out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    # The other way round is what many do.
    inside = ip.profile(
        ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=folder / "study" / "results"
    )
    assert inside.counts.equals(ip.read_results(out).counts)
    shutil.rmtree(folder / "study" / "results")


def test_what_cannot_be_deleted_is_named(tmp_path, monkeypatch):
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "old.html").write_text("x")

    def refused(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(OutputError, match=r"old\.html: may not be written"):
        sealing.sweep(tmp_path, [])


def test_the_lock_is_gone_when_the_work_is_done(folder, tmp_path):
    for work in ("quality", "deidentify", "sdtm"):
        command(work, folder, tmp_path / work)
        names = {path.name for path in (tmp_path / work).iterdir()}
        assert names, work
        assert not any(name.startswith(".") for name in names)


def test_tables_of_an_earlier_call_do_not_stay_beside_those_of_a_later(folder, tmp_path):
    out = tmp_path / "out"
    command("quality", folder, out)
    assert {"quality.csv", "overview.svg", "exceptions.csv"} <= {path.name for path in out.iterdir()}
    (tmp_path / "no.fcs").write_bytes(b"no FCS file")
    CliRunner().invoke(app, ["quality", str(tmp_path / "no.fcs"), "--out", str(out), "--quiet"])
    assert "no.fcs" in (out / "exceptions.csv").read_text()
    assert not (out / "quality.csv").exists()
    assert not (out / "overview.svg").exists()
    domains = {name: pd.DataFrame({"STUDYID": ["X"]}) for name in ("DM", "LB")}
    Sdtm(domains, pd.DataFrame({"domain": []})).write(tmp_path / "sdtm")
    command("sdtm", folder, tmp_path / "sdtm")
    assert sorted(path.name for path in (tmp_path / "sdtm").iterdir()) == ["dm.csv", "unmapped.csv"]


def limited(*arguments: object, size: int) -> subprocess.CompletedProcess[str]:
    """A command in a process whose files cannot grow beyond a size, as on a disk without room."""
    resource = pytest.importorskip("resource")
    return subprocess.run(
        [sys.executable, "-m", "immunoprofile.cli", *map(str, arguments)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_simulation_without_room_leaves_nothing(tmp_path):
    done = limited("simulate", tmp_path / "s", "--subjects", "2", "--events", "1000", "--quiet", size=20_000)
    assert done.returncode == EXIT_ERROR, done.stderr
    assert "no room is left to write it" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_export_without_room_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _EXPORT, str(tmp_path / "s")], capture_output=True, text=True, check=False
    )
    assert "OutputError" in done.stderr
    assert "no room is left to write it" in done.stderr
    assert list((tmp_path / "s").iterdir()) == []


_EXPORT = """
import resource, sys
import pandas as pd
from immunoprofile.io.sdtm import Sdtm
short, long = pd.DataFrame({"STUDYID": ["X"]}), pd.DataFrame({"STUDYID": ["X" * 90] * 200})
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
Sdtm({"DM": short, "LB": long}, short).write(sys.argv[1])
"""


def test_checks_of_files_without_room_leave_no_table(folder, tmp_path):
    fcs = folder / "study" / "fcs" / "S-1_BL.fcs"
    done = limited("quality", fcs, "--out", tmp_path / "q", "--quiet", size=3000)
    assert done.returncode == EXIT_ERROR, done.stderr
    assert "no room is left to write it" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "q").iterdir()) == []


def test_a_demo_goes_on_from_its_simulation(tmp_path, monkeypatch):
    from immunoprofile.cli import studies

    settings = {"subjects": 2, "events": 1000, "seed": 5, "effect": "il2", "version": "1"}
    study, record = tmp_path / "study", tmp_path / "simulation.json"
    for stopped in (KeyboardInterrupt, OutputError("no room")):

        def end(*_, error=stopped, **__):
            raise error

        with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, OutputError)):
            patch.setattr("immunoprofile.datasets.study_folder.write_tables", end)
            studies._simulate_once(study, record, settings, progress=False)
        assert not study.exists()
    studies._simulate_once(study, record, settings, progress=False)
    assert (study / "study.yaml").is_file()
    assert not (study / ".simulating").exists()
    written = (study / "study.yaml").stat().st_mtime_ns
    studies._simulate_once(study, record, settings, progress=False)
    assert (study / "study.yaml").stat().st_mtime_ns == written
    for damage in ("", "[]", "null", "{"):
        record.write_text(damage)
        with pytest.raises(ImmunoprofileError, match="a demo with other settings"):
            studies._simulate_once(study, record, settings, progress=False)
