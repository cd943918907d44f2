"""Worker processes of this machine: what they load, how they end, and that a script is not run again in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from immunoprofile.errors import ImmunoprofileError, OutputError
from immunoprofile.workers import Processes, crew, server
from tests.cluster import on_workers

pytestmark = pytest.mark.skipif(not crew.FORKS, reason="only Linux forks workers")

WAIT = 120.0
"""Seconds after which what must happen is given up."""


@pytest.fixture
def light(monkeypatch):
    """Workers that load nothing beforehand."""
    monkeypatch.setattr(crew, "LOADS", ())


def comes(condition):
    """Whether something comes true before too long."""
    end = time.monotonic() + WAIT
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def is_gone(pid):
    """Whether a process has ended; one that nobody asks for its exit code has ended as well."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def are_gone(pids):
    """Whether processes end: the system takes a moment to take one down."""
    return comes(lambda: all(map(is_gone, pids)))


def test_processes_stay_in_a_context_and_end_with_it(light):
    with Processes(2) as workers:
        assert not workers.begun
        workers.begin()
        assert workers.begun
        first = {pid for pid, _ in workers.results(on_workers.where, range(6))}
        second = {pid for pid, _ in workers.results(on_workers.where, range(6))}
        assert first == second and len(first) == 2 and os.getpid() not in first
        assert {parent for _, parent in workers.results(on_workers.where, range(6))} != {os.getpid()}
    assert not workers.begun
    assert are_gone(first)
    third = {pid for pid, _ in workers.results(on_workers.where, range(6))}
    assert not third & first
    assert not workers.begun
    assert are_gone(third)


def test_nothing_is_begun_without_a_context_or_for_one_job(light):
    workers = Processes(2)
    workers.begin()
    assert not workers.begun
    with Processes(1) as workers:
        workers.begin()
        assert not workers.begun
        assert [pid for pid, _ in workers.results(on_workers.where, range(2))] == [os.getpid()] * 2


def test_processes_that_load_for_nothing_end_at_once(monkeypatch):
    monkeypatch.setattr(crew, "LOADS", ("tests.cluster.on_workers:never_ready",))
    with pytest.raises(OutputError, match="not what it should be"), Processes(2) as workers:
        workers.begin()
        loading = workers._crew._server.pid
        raise OutputError("not what it should be")
    assert are_gone({loading})


def test_workers_that_are_killed_leave_nothing_temporary(monkeypatch, tmp_path):
    monkeypatch.setattr(crew, "LOADS", ("tests.cluster.on_workers:write_and_wait",))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OutputError, match="not what it should be"), Processes(2) as workers:
        workers.begin()
        assert comes(lambda: list(tmp_path.rglob("something")))
        raise OutputError("not what it should be")
    assert not any(tmp_path.iterdir())


def test_processes_begin_in_a_folder_that_was_deleted(light, monkeypatch, tmp_path):
    (tmp_path / "deleted").mkdir()
    monkeypatch.chdir(tmp_path / "deleted")
    (tmp_path / "deleted").rmdir()
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert sorted(Processes(2).results(abs, range(3))) == [0, 1, 2]


def test_more_jobs_than_the_system_gives_are_told(light, tmp_path, monkeypatch):
    import resource

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        with pytest.raises(ImmunoprofileError, match=r"400 jobs: .*Too many open files.* -> use fewer jobs"):
            list(Processes(400).results(abs, range(3)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert not any(tmp_path.iterdir())


def test_what_is_loaded_is_there_before_the_first_task_and_the_server_has_one_thread(monkeypatch):
    monkeypatch.setattr(crew, "LOADS", (*crew.LOADS, "tests.cluster.on_workers:note_threads"))
    with Processes(2) as workers:
        seen = list(workers.results(on_workers.loaded, range(6)))
    assert {threads for threads, _, _ in seen} == {1}, "it forks, which with more threads may hang"
    assert {numba for _, numba, _ in seen} == {True}
    assert len({parent for _, _, parent in seen}) == 1


def test_a_server_with_threads_does_not_fork(monkeypatch):
    monkeypatch.setattr(crew, "LOADS", ("tests.cluster.on_workers:begin_a_thread",))
    with Processes(2) as workers:
        seen = set(workers.results(on_workers.has_that_thread, range(6)))
    # A fork has no thread but its own; a process that loaded for itself has what that began.
    assert {there for _, there in seen} == {True}
    assert len({pid for pid, _ in seen}) == 2
    assert are_gone({pid for pid, _ in seen})


def test_a_system_that_does_not_tell_its_threads_is_not_trusted_to_have_one(monkeypatch):
    def hidden(_):
        raise FileNotFoundError("/proc")

    monkeypatch.setattr(server.Path, "iterdir", hidden)
    assert server._threads() > 1


def test_an_error_of_a_task_comes_as_it_was_and_the_workers_end(light, tmp_path):
    log = tmp_path / "log"
    with Processes(2) as workers:
        with pytest.raises(ValueError, match="a real error") as raised:
            list(workers.results(on_workers.fail, (f"{log}:{n}" for n in range(50))))
        assert "on_workers.py" in "".join(raised.value.__notes__)
        assert not workers.begun
        assert len(log.read_text()) < 40, "what had not begun is not begun any more"
        # The next call has new ones.
        assert len({pid for pid, _ in workers.results(on_workers.where, range(6))}) == 2
    with pytest.raises(ImmunoprofileError) as raised:
        list(Processes(2).results(on_workers.refuse, range(3)))
    assert str(raised.value) == str(on_workers.REFUSED)
    assert not getattr(raised.value, "__notes__", ())
    with pytest.raises(RuntimeError, match="CannotBeSentError: it holds a lock"):
        list(Processes(2).results(on_workers.raise_what_cannot_be_sent, range(3)))


def test_a_worker_that_is_lost_is_told_with_its_task(light):
    with Processes(2) as workers:
        with pytest.raises(ImmunoprofileError, match=r"task 3: .*ended from outside.*same command goes on"):
            list(workers.results(on_workers.end_itself, range(50), name=lambda item: f"task {item}"))
        assert not workers.begun
        assert sorted(workers.results(abs, range(3))) == [0, 1, 2]


def test_workers_end_when_the_caller_stops(light):
    with Processes(2) as workers:
        found = workers.results(on_workers.slow, range(100))
        pids = {next(found) for _ in range(2)}
        found.close()
        assert are_gone(pids)


SCRIPT = """
import sys, os
from pathlib import Path
print("begun", flush=True)
sys.path.insert(0, {root!r})
from immunoprofile.workers import Processes
from tests.cluster import on_workers
with Processes(2) as workers:
    workers.begin()
    for result in workers.results({function}, range({number})):
        print(result, flush=True)
print("ended", flush=True)
"""


def script(tmp_path, function, number):
    """A script as people write them, without a guard."""
    path = tmp_path / "script.py"
    root = str(Path(__file__).parents[2])
    path.write_text(SCRIPT.format(root=root, function=function, number=number))
    return [sys.executable, str(path)]


def test_a_script_without_a_guard_is_run_once(tmp_path):
    done = subprocess.run(script(tmp_path, "on_workers.simulated", 0), cwd=tmp_path, capture_output=True, text=True,
                          timeout=WAIT, check=True)  # fmt: skip
    assert done.stdout.split() == ["begun", "ended"]
    done = subprocess.run(script(tmp_path, "abs", 9), cwd=tmp_path, capture_output=True, text=True,
                          timeout=WAIT, check=True)  # fmt: skip
    words = done.stdout.split()
    assert (words[0], words[-1]) == ("begun", "ended")
    assert sorted(words[1:-1]) == [str(n) for n in range(9)]
    assert done.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda one: one.name)
def test_workers_end_with_their_parent_however_it_ends(tmp_path, number):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        script(tmp_path, "on_workers.slow", 10**6),
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    pids: set[int] = set()
    while len(pids) < 2:
        pids.add(int(process.stdout.readline()))
    parents = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in pids}
    assert len(parents) == 1 and process.pid not in parents
    process.send_signal(number)
    process.communicate(timeout=WAIT)
    assert process.returncode != 0
    assert are_gone(pids | parents)
    assert comes(lambda: not any(temporary.iterdir())), "nothing temporary is left"
