"""Files and pages on the workers of a dask cluster: the same bytes, whatever is lost on the way."""

from __future__ import annotations

import os
import random
import shutil

import pytest
from distributed import Client

import immunoprofile as ip
from immunoprofile.datasets import il2_cmv
from immunoprofile.errors import ClusterError
from immunoprofile.gate.check import check
from immunoprofile.placement.in_study import place_study
from immunoprofile.profiling.sealing import verify
from immunoprofile.workers.cluster import Cluster
from immunoprofile.workers.here import ONE_THREAD
from immunoprofile.workers.schedulers import connected
from tests.cluster import on_workers, trial
from tests.io.fcs_files import events, spill_text, write
from tests.placement.samples import placed_gates


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trial.make(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def whole(folder):
    """Content of a run without a scheduler."""
    trial.run(folder, folder / "whole")
    return trial.content(folder / "whole")


@pytest.fixture(scope="module")
def client():
    with connected("local:4") as client:
        client.wait_for_workers(4, timeout=120)
        yield client


def test_two_workers_killed_at_random_moments_change_no_byte(folder, whole, tmp_path, client, monkeypatch):
    chance = random.Random(os.urandom(8))
    seed = chance.getrandbits(32)
    print("seed", seed)  # shown where the test fails
    chance = random.Random(seed)
    victims = chance.sample(list(client.run(os.getpid).values()), 2)
    moments = sorted(chance.sample(range(1, trial.FILES - 4), 2))
    out = tmp_path / "out"
    monkeypatch.chdir(folder)  # paths that are relative here must be found there
    study, gates = ip.read_study("study"), ip.gate.load("gates")
    with (
        trial.when(lambda: len(trial.gated(out)) >= moments[0], lambda: trial.kill(victims[0])) as first,
        trial.when(lambda: len(trial.gated(out)) >= moments[1], lambda: trial.kill(victims[1])) as second,
    ):
        ip.run_study(study, gates, out=os.path.relpath(out), client=client)
    assert first and second
    assert trial.content(out) == whole
    assert verify(out) == []


def test_a_file_edited_between_two_runs_has_new_counts(folder, whole, tmp_path, client):
    """By its defaults dask takes the result of an earlier call with the same arguments."""
    shutil.copytree(folder / "study", tmp_path / "study")
    shutil.copytree(folder / "gates", tmp_path / "gates")
    out = tmp_path / "out"
    first = trial.run(tmp_path, out, client=client).counts
    write(tmp_path / "study" / "fcs" / "S-1_BL.fcs", events(3000, seed=77), **{"$SPILLOVER": spill_text()})
    second = trial.run(tmp_path, out, client=client).counts
    changed = (first["n"] != second["n"]).groupby(first["sample_id"]).any()
    assert changed[changed].index.tolist() == ["S-1_BL"]
    trial.run(tmp_path, tmp_path / "fresh")
    assert trial.content(out) == trial.content(tmp_path / "fresh")


def test_a_file_that_cannot_be_gated_is_an_exception_as_ever(folder, tmp_path, client):
    shutil.copytree(folder / "study", tmp_path / "study")
    shutil.copytree(folder / "gates", tmp_path / "gates")
    path = tmp_path / "study" / "fcs" / "C07.fcs"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:2000])
    trial.run(tmp_path, tmp_path / "here")
    profile = trial.run(tmp_path, tmp_path / "there", client=client)
    assert profile.exceptions.loc[profile.exceptions["severity"] == "error", "sample_id"].tolist() == ["C07"]
    assert trial.content(tmp_path / "there") == trial.content(tmp_path / "here")


@pytest.mark.slow
def test_gates_are_placed_by_the_workers_as_here(tmp_path, client):
    folder = il2_cmv(tmp_path / "study", subjects=2, visits=3, events=3000, warts=False)
    study = ip.read_study(folder)
    gates = check(placed_gates(), study)
    here, there = place_study(study, gates), place_study(study, gates, Cluster(client, tmp_path))
    assert len(here.strategies) > 10
    assert there.strategies == here.strategies
    assert there.table.equals(here.table)
    assert there.notes == here.notes


def test_each_worker_keeps_to_one_thread_a_task(client, tmp_path):
    client.wait_for_workers(4, timeout=120)
    found = dict(Cluster(client, tmp_path).results(on_workers.of_task, range(60)))
    assert set(found) == set(client.run(os.getpid).values())
    for own in found.values():
        assert own["numba"] == own["used"] == 1
        assert own["pools"] and set(own["pools"].values()) == {1}


@pytest.mark.parametrize("options", [[], ["--preload", "numba"]], ids=["plain", "numba is loaded first"])
def test_a_worker_that_others_started_keeps_to_one_thread_a_task(tmp_path, options, monkeypatch):
    for name in ONE_THREAD:
        monkeypatch.delenv(name, raising=False)
    with (
        trial.scheduler(tmp_path) as (_, file),
        trial.worker(file, tmp_path, *options),
        Client(scheduler_file=str(file), set_as_default=False) as client,
    ):
        client.wait_for_workers(1, timeout=120)
        for _, own in Cluster(client, tmp_path).results(on_workers.of_task, range(4)):
            assert own["used"] == 1
            assert own["pools"] and set(own["pools"].values()) == {1}


def test_a_task_that_fails_is_tried_once_and_its_error_told(client, tmp_path):
    log = tmp_path / "log"
    with pytest.raises(ValueError, match="a real error"):
        list(Cluster(client, tmp_path).results(on_workers.fail, [f"{log}:{n}" for n in (1, 2, 3)]))
    assert log.read_text().count("2") == 1
    assert not list(tmp_path.glob("shared-*")), "what the tasks had in common is taken away"


def test_a_task_that_ends_its_workers_is_named(client, tmp_path):
    """It is done again as often as dask allows (allowed-failures, 3 by default), and not for ever."""
    found = []
    with pytest.raises(ClusterError, match=r"item 3: the worker that had this task was lost 4 times"):
        for result in Cluster(client, tmp_path).results(on_workers.end_itself, range(40), name=lambda n: f"item {n}"):
            found.append(result)
    assert 3 not in found
    client.wait_for_workers(4, timeout=120)


def test_no_more_than_a_few_tasks_a_worker_are_with_the_scheduler(client, tmp_path):
    client.wait_for_workers(4, timeout=120)
    taken = []

    def items():
        for n in range(400):
            taken.append(n)
            yield bytes(10)

    results = Cluster(client, tmp_path).results(on_workers.simulated, items())
    for done in range(1, 401):
        next(results)
        assert len(taken) - done <= 3 * 4
        assert len(client.futures) <= 2 * 3 * 4, "those that were taken are let go of, a moment later"
    assert list(results) == []
    trial.until(lambda: not client.futures, 20)


def test_the_first_task_of_a_machine_is_alone_there(client, tmp_path):
    """What it compiles is kept on the machine: the others load it."""
    spans = list(Cluster(client, tmp_path).results(on_workers.span, range(9), warm=True))
    first = min(spans)
    assert all(begin >= first[1] for begin, _ in spans if (begin, _) != first)


def test_a_client_of_the_user_is_left_open(folder, tmp_path, client):
    ip.profile(ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=tmp_path / "out", client=client)
    assert isinstance(client, Client)
    assert client.status == "running"
    assert verify(tmp_path / "out") == []
