"""What is wrong with a cluster is said: where, what, and what to do; the same command goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from immunoprofile.cli import EXIT_ERROR, app
from immunoprofile.errors import ClusterError, ResultsError
from immunoprofile.profiling.sealing import read_provenance, verify
from immunoprofile.workers import schedulers
from immunoprofile.workers.schedulers import connected
from tests.cluster import on_workers, trial


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trial.make(tmp_path_factory.mktemp("messages"))


@pytest.fixture(scope="module")
def whole(folder):
    trial.run(folder, folder / "whole")
    return trial.content(folder / "whole")


@pytest.fixture
def client():
    """Two workers; what a test does to one of them ends with the test."""
    with connected("local:2") as client:
        client.wait_for_workers(2, timeout=120)
        yield client


def first_of(client):
    return sorted(client.nthreads())[0]


@pytest.mark.parametrize("unseen", ["study", "results", "fcs"])
def test_a_worker_that_does_not_see_a_folder_is_named(folder, tmp_path, client, unseen):
    out = tmp_path / "out"
    trial.run(folder, out)
    before = trial.content(out)
    place = {"study": folder / "study", "results": out, "fcs": folder / "study" / "fcs"}[unseen]
    own = first_of(client)
    client.run(on_workers.hide, str(place), workers=[own])
    (folder / "study" / "labs.csv").touch()
    with pytest.raises(ClusterError, match=rf"worker on .*, {own}: it does not see {place}.*mount the folders"):
        trial.run(folder, out, client=client, cells=True)
    assert trial.content(out) == before, "nothing was touched"
    assert verify(out) == []


def test_a_disk_that_is_lost_while_files_are_gated_leaves_no_file_out(folder, whole, tmp_path, client):
    """A file that is missing is left out and listed; one that only a worker misses is an error."""
    out = tmp_path / "out"
    fcs = folder / "study" / "fcs"
    with (
        trial.when(
            lambda: len(trial.gated(out)) > 5, lambda: client.run(on_workers.hide, str(fcs), workers=[first_of(client)])
        ) as hidden,
        pytest.raises(ClusterError, match=r"C\d\d\.fcs: a worker cannot read it, and this machine can"),
    ):
        trial.run(folder, out, client=client)
    assert hidden
    trial.run(folder, out)
    assert trial.content(out) == whole


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: on_workers.other_software("numpy", "1.0"), r"it has numpy 1\.0 \(here "),
        (lambda: on_workers.other_software("python", "3.10.1"), r"it has python 3\.10\.1 \(here "),
        (lambda: on_workers.other_software("immunoprofile", "0.0.1"), r"it has immunoprofile 0\.0\.1 \(here "),
        (on_workers.other_files, r"it has immunoprofile \S+ with other files than here"),
    ],
    ids=["numpy", "python", "immunoprofile", "files"],
)
def test_a_worker_with_other_software_is_named(folder, tmp_path, client, change, said):
    client.run(change, workers=[first_of(client)])
    with pytest.raises(ClusterError, match=rf"worker on .*{first_of(client)}: {said}.*install the same environment"):
        trial.run(folder, tmp_path / "out", client=client)
    assert not list((tmp_path / "out").iterdir()), "nothing was begun"


def test_a_worker_with_other_software_that_comes_later_does_no_task(folder, tmp_path):
    """It was not there when the others were asked; it is asked with its first task."""
    from distributed import Client

    older = tmp_path / "older" / "sitecustomize.py"
    older.parent.mkdir()
    older.write_text(
        "import importlib.metadata as metadata\nknown = metadata.version\n"
        "metadata.version = lambda name: '1.0' if name == 'numpy' else known(name)\n"
    )
    out = tmp_path / "out"
    with trial.scheduler(tmp_path) as (_, file), trial.worker(file, tmp_path) as good:
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(1, timeout=120)
            late = trial.worker(file, tmp_path, first=older.parent)
            try:
                with (
                    trial.when(lambda: len(trial.gated(out)) > 1, late.__enter__),
                    pytest.raises(
                        ClusterError, match=r"worker on .*: it has numpy 1\.0 \(here .*install the same environment"
                    ),
                ):
                    for attempt in range(9):  # until the second has come in time
                        trial.run(folder, out.with_name(f"out{attempt}") if attempt else out, client=client)
            finally:
                late.__exit__(None, None, None)
            assert good.poll() is None


def test_a_worker_without_the_package_is_named(folder, tmp_path):
    from distributed import Client

    fake = tmp_path / "older" / "immunoprofile"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("__version__ = '0.0.1'\n")
    with (
        trial.scheduler(tmp_path) as (_, file),
        trial.worker(file, tmp_path, first=fake.parent),
        Client(scheduler_file=str(file), set_as_default=False) as client,
        pytest.raises(ClusterError, match=r"it has no immunoprofile of this version .*install the same environment"),
    ):
        trial.run(folder, tmp_path / "out", client=client)


def test_a_scheduler_that_dies_is_told_and_the_same_command_goes_on(folder, whole, tmp_path):
    """As a user has it: a command, its scheduler killed, a new one, the same command."""
    out = tmp_path / "out"
    with trial.scheduler(tmp_path) as (process, file), trial.worker(file, tmp_path):
        with trial.when(lambda: len(trial.gated(out)) >= 10, process.kill) as killed:
            done = command(folder, out, "--scheduler", file)
        assert killed
        assert done.returncode == EXIT_ERROR, done.stderr
        assert "the scheduler was lost while the run was at work" in done.stderr
        assert "goes on where it stopped" in done.stderr
        assert "Traceback" not in done.stderr
    with pytest.raises(ResultsError, match="a run has not ended"):
        read_provenance(out)
    stamps = {name: (out / "records" / f"{name}.json").stat().st_mtime_ns for name in trial.gated(out)}
    assert len(stamps) >= 10
    done = command(folder, out, "--scheduler", "local:2")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert trial.content(out) == whole
    assert {name: (out / "records" / f"{name}.json").stat().st_mtime_ns for name in stamps} == stamps


def command(folder, out, *options):
    arguments = ["run", folder / "study", "--gates", folder / "gates", "--out", out, "--quiet", *options]
    return subprocess.run(
        [sys.executable, "-m", "immunoprofile.cli", *map(str, arguments)], env=trial.environment(),
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_all_workers_lost_is_told(folder, tmp_path):
    out = tmp_path / "out"
    with trial.scheduler(tmp_path) as (_, file), trial.worker(file, tmp_path, "--no-nanny") as own:
        with trial.when(lambda: len(trial.gated(out)) >= 5, own.kill) as killed:
            told = CliRunner().invoke(app, [*arguments(folder, out), "--scheduler", str(file), "--wait", "3"])
    assert killed
    assert isinstance(told.exception, ClusterError)
    assert "no worker was left for 3 s -> start workers" in str(told.exception)


def arguments(folder, out):
    return ["run", str(folder / "study"), "--gates", str(folder / "gates"), "--out", str(out), "--quiet"]


def test_no_worker_and_no_scheduler_are_told(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(schedulers, "_CONNECT", 1.0)
    with trial.scheduler(tmp_path) as (_, file):
        told = CliRunner().invoke(app, [*arguments(folder, tmp_path / "out"), "--scheduler", str(file), "--wait", "1"])
    assert isinstance(told.exception, ClusterError)
    assert "no worker came within 1 s -> start workers for it, or wait longer with --wait" in str(told.exception)
    (tmp_path / "empty.json").write_text("{}")
    for word, said in {
        "tcp://127.0.0.1:9": "no scheduler answers",
        "127.0.0.1:9": "no scheduler answers",
        "nonsense://127.0.0.1:9": "no scheduler answers",
        str(file): "no scheduler answers",  # it has ended
        str(tmp_path / "none.json"): "cannot be read as a scheduler file",
        str(tmp_path / "empty.json"): "names no scheduler",
        "local:0": "is no number of processes",
        "local": "is no number of processes",
        "local_scheduler.json": "cannot be read as a scheduler file",
        "": "no address is given",
    }.items():
        told = CliRunner().invoke(app, [*arguments(folder, tmp_path / "out"), "--scheduler", word])
        assert isinstance(told.exception, ClusterError), (word, told.exception)
        assert f"{word or '--scheduler'}: {said}" in str(told.exception)
        assert "local:N" in told.exception.todo


def test_a_cluster_that_is_started_here_says_nothing_of_its_own(tmp_path):
    """The handler is that of the command line; level and words of dask come back with the end."""
    program = """
import logging, sys
logging.basicConfig(level=logging.WARNING, format="%(message)s")
from immunoprofile.workers.schedulers import connected
with connected("local:1") as client:
    client.wait_for_workers(1, timeout=120)
    logging.getLogger("immunoprofile").warning("a line of ours")
logging.getLogger("distributed.scheduler").info("a line of dask")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=trial.environment() | {"TMPDIR": str(tmp_path)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr.splitlines()) == ("", ["a line of ours", "a line of dask"])


def test_a_killed_command_leaves_no_worker(folder, tmp_path):
    """local:N starts processes: they end with the command, however it ends."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "immunoprofile.cli", *arguments(folder, out), "--scheduler", "local:2"],
        env=trial.environment() | {"TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    trial.until(lambda: len(trial.gated(out)) > 3 or process.poll() is not None)
    children = descendants(process.pid)
    assert len(children) >= 2
    process.kill()
    process.wait()
    end = time.monotonic() + 60
    while any(os.path.exists(f"/proc/{pid}") for pid in children) and time.monotonic() < end:  # noqa: PTH110
        time.sleep(0.05)
    assert [pid for pid in children if os.path.exists(f"/proc/{pid}")] == []  # noqa: PTH110


def descendants(pid):
    if not os.path.isdir("/proc/self/task"):  # noqa: PTH112
        pytest.skip("this system has no /proc to list processes")
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208
        try:
            with open(f"/proc/{name}/stat") as handle:  # noqa: PTH123
                parent = int(handle.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == pid:
            found += [int(name), *descendants(int(name))]
    return found
