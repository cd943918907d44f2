"""The loop that gives tasks out: how many are begun, in which order results come, and how it ends."""

from __future__ import annotations

import pickle
import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from immunoprofile.errors import GateError, ImmunoprofileError, OutputError, Problem
from immunoprofile.workers import Processes, Threads, here
from immunoprofile.workers.flow import flow
from immunoprofile.workers.shared import Shared, call
from tests.cluster import on_workers


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("room", [1, 2, 7])
def test_every_result_comes_once_and_no_more_than_the_room_is_begun(ordered, room):
    begun, most, lock = [0], [0], threading.Lock()
    pause = [random.Random(4).random() / 200 for _ in range(60)]

    def work(item):
        time.sleep(pause[item])
        return item * item

    def submit(item):
        with lock:
            begun[0] += 1
            most[0] = max(most[0], begun[0])
        return pool.submit(work, item)

    with ThreadPoolExecutor(4) as pool:
        found = []
        for result in flow(submit, range(60), room=lambda: room, ordered=ordered):
            begun[0] -= 1
            found.append(result)
    assert sorted(found) == [n * n for n in range(60)]
    assert most[0] <= room
    if ordered:
        assert found == sorted(found)


def test_results_come_as_they_are_done():
    slow = threading.Event()

    def work(item):
        if item == 0:
            assert slow.wait(60)
        return item

    with ThreadPoolExecutor(2) as pool:
        found = flow(lambda item: pool.submit(work, item), range(6), room=lambda: 3, ordered=False)
        assert [next(found) for _ in range(5)] == [1, 2, 3, 4, 5]
        slow.set()
        assert list(found) == [0]


def test_what_has_not_begun_is_given_up_when_the_caller_stops_or_a_task_fails():
    futures = [Future() for _ in range(9)]
    found = flow(lambda item: futures[item], range(9), room=lambda: 4, ordered=False)
    futures[2].set_result("two")
    assert next(found) == "two"
    found.close()
    assert [future.cancelled() for future in futures] == [True, True, False, True, False, False, False, False, False]

    futures = [Future() for _ in range(9)]
    dropped = []

    def look():
        if not futures[0].done():
            futures[0].set_result(0)

    futures[1].set_exception(ValueError("a real error"))
    with pytest.raises(ValueError, match="a real error"):
        list(flow(lambda item: futures[item], range(9), room=lambda: 4, ordered=True, look=look, drop=dropped.extend))
    assert dropped == [*futures[2:5]]


def test_workers_are_looked_at_while_nothing_is_done(monkeypatch):
    monkeypatch.setattr("immunoprofile.workers.flow.LOOK", 0.01)
    looks = []

    def look():
        looks.append(1)
        if len(looks) == 3:
            raise OutputError("they are gone")

    with pytest.raises(OutputError, match="they are gone"):
        list(flow(lambda _: Future(), range(5), room=lambda: 2, ordered=False, look=look))
    assert len(looks) == 3


def test_what_is_shared_is_sent_once_and_meant_by_each_task(tmp_path):
    big = {"gates": list(range(50_000))}
    shared = Shared(tmp_path / "shared", (identities, big))
    packed = shared.pack((big, "own"))
    assert len(packed) < 100 < 100_000 < shared.size
    first, second = call(shared.place, packed), call(shared.place, shared.pack((big, "other")))
    assert first == (id_of(first), 50_000, "own")
    assert (second[0], second[2]) == (first[0], "other"), "one object for all tasks of a process"


def identities(item):
    return id(item[0]), len(item[0]["gates"]), item[1]


def id_of(result):
    return result[0]


@pytest.mark.parametrize("workers", [Threads(1), Threads(3), Processes(1), Processes(2)], ids=str)
def test_threads_and_processes_answer_alike(workers):
    found = list(workers.results(on_workers.simulated, (b"x" * n for n in range(20))))
    assert sorted(found) == list(range(20))


@pytest.mark.parametrize("forks", [True, False])
def test_processes_keep_to_one_thread_a_task(monkeypatch, forks):
    monkeypatch.setattr(here, "FORKS", forks and here.FORKS)
    found = list(Processes(2).results(on_workers.of_task, range(4)))
    assert len({pid for pid, _ in found}) == 2
    for _, own in found:
        assert own["numba"] == own["used"] == 1
        assert own["pools"] and set(own["pools"].values()) == {1}


def test_errors_of_other_processes_come_as_they_were_raised():
    problems = [Problem("labs.csv", "no number", row=3, column="value")]
    for error in (
        ImmunoprofileError("what", where="where", todo="todo"),
        GateError("gates do not fit", problems, where="study", todo="mend them"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert (str(again), vars(again)) == (str(error), vars(error))
