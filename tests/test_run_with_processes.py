"""A run whose files and pages are made by processes, and its pages of visits while the statistics are made."""

from __future__ import annotations

import pytest

import immunoprofile as ip
from immunoprofile.errors import AnalysisError, OutputError
from immunoprofile.profiling import gate_files
from immunoprofile.profiling.sealing import verify
from immunoprofile.report import beside, pages
from immunoprofile.report import complete as complete_module
from immunoprofile.workers.crew import FORKS
from tests.folders import content
from tests.small_study import write_gates, write_study

pytestmark = pytest.mark.skipif(not FORKS, reason="only Linux forks workers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    write_study(folder / "study")
    write_gates(folder / "gates")
    return folder


def run(folder, out, jobs):
    return ip.run_study(ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=out, jobs=jobs)


@pytest.fixture(scope="module")
def whole(folder):
    return run(folder, folder / "whole", 1)


@pytest.fixture
def few(monkeypatch):
    """Processes for few files and pages; how many pages were made beside the statistics in each run."""
    monkeypatch.setattr(gate_files, "MANY_FILES", 1)
    for module in (beside, pages):
        monkeypatch.setattr(module, "WORTH_WORKERS", 1)
    found = []
    write = beside.write_pages
    monkeypatch.setattr(beside, "write_pages", lambda *a, **k: found.append(len(a[1])) or write(*a, **k))
    return found


@pytest.mark.parametrize("jobs", [2, 3])
def test_the_same_bytes_for_any_number_of_processes(folder, whole, few, tmp_path, jobs):
    made = run(folder, tmp_path / "out", jobs)
    assert few == [len(list((whole.folder / "reports").glob("*/*.html")))]
    assert few[0] >= 3
    assert content(made.folder) == content(whole.folder)
    assert made.visits.uns.keys() == whole.visits.uns.keys()


def test_statistics_that_fail_end_the_pages_and_the_same_command_goes_on(folder, whole, few, tmp_path, monkeypatch):
    def fail(_):
        raise AnalysisError("nothing can be said")

    with monkeypatch.context() as patch, pytest.raises(AnalysisError, match="nothing can be said"):
        patch.setattr(complete_module, "analyse", fail)
        run(folder, tmp_path / "out", 2)
    assert few
    run(folder, tmp_path / "out", 2)
    assert content(tmp_path / "out") == content(whole.folder)
    assert verify(tmp_path / "out") == []


def test_a_page_that_cannot_be_written_fails_the_run(folder, few, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OutputError("no room")

    monkeypatch.setattr(beside, "write_pages", full)
    with pytest.raises(OutputError, match="no room"):
        run(folder, tmp_path / "out", 2)
    assert not (tmp_path / "out" / "provenance.json").exists()
