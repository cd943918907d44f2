"""Shares of the files of a study: gated side by side, killed, joined to the bytes of one run."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import immunoprofile as ip
from immunoprofile.cli import EXIT_ERROR, EXIT_LEFT_OUT, app
from immunoprofile.errors import ImmunoprofileError, ResultsError
from immunoprofile.gate.study_gates import GATED_ROLES
from immunoprofile.io.only_writer import LOCK, only_writer, share_of
from immunoprofile.profiling import one_file
from immunoprofile.profiling.sealing import read_provenance, verify
from immunoprofile.profiling.shards import Shard, gate_shard, samples_of, shard_of
from tests.cluster import trial


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trial.make(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def whole(folder):
    trial.run(folder, folder / "whole")
    return trial.content(folder / "whole")


@pytest.fixture(scope="module")
def study(folder):
    return ip.read_study(folder / "study")


@pytest.fixture
def gated(monkeypatch):
    """Samples that were gated in this process, not taken from a record."""
    found = []
    gate = one_file._gate
    monkeypatch.setattr(one_file, "_gate", lambda r, *a, **k: found.append(r.sample_id) or gate(r, *a, **k))
    return found


def shard(folder, out, number, of):
    return gate_shard(ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=out, shard=Shard(number, of))


def command(folder, out, *options):
    return CliRunner().invoke(
        app, ["run", str(folder / "study"), "--gates", str(folder / "gates"), "--out", str(out), "--quiet", *options]
    )


@given(of=st.integers(1, 60))
def test_every_file_is_in_one_share_and_a_subject_is_not_divided(study, of):
    shares = [samples_of(study, Shard(number, of)) for number in range(1, of + 1)]
    rows = study.samples
    assert sorted(sample for share in shares for sample in share) == sorted(rows["sample_id"])
    assert set(rows["role"]) <= set(GATED_ROLES)
    assert any({"S-1_BL", "S-1_D14"} <= share for share in shares)
    if of <= 39:  # subjects and controls
        assert max(map(len, shares)) - min(map(len, shares)) <= 2


@pytest.mark.parametrize("text", ["0/4", "5/4", "a/4", "3", "3/", "-1/4", "1.5/4", "3/0"])
def test_what_is_no_share_is_refused(folder, tmp_path, text):
    with pytest.raises(ImmunoprofileError, match="is no share -> write K/N"):
        shard_of(text)
    told = command(folder, tmp_path / "out", "--shard", text)
    assert isinstance(told.exception, ImmunoprofileError)
    assert not (tmp_path / "out").exists()


def test_options_that_exclude_each_other_are_refused(folder, tmp_path):
    for other in (["--scheduler", "local:2"], ["--join"]):
        told = command(folder, tmp_path / "out", "--shard", "1/2", *other)
        assert told.exit_code == 2
        assert not (tmp_path / "out").exists()


_SLOWLY = """
import time
from immunoprofile.cli import main
from immunoprofile.profiling import one_file
gate = one_file._gate
one_file._gate = lambda *args, **options: time.sleep(0.5) or gate(*args, **options)
main()
"""


def test_shards_at_the_same_time_one_of_them_killed_are_joined_to_the_bytes_of_one_run(folder, whole, tmp_path, gated):
    out = tmp_path / "out"
    arguments = ["run", folder / "study", "--gates", folder / "gates", "--out", out, "--quiet", "--shard"]

    def start(number):
        words = [sys.executable, "-c", _SLOWLY, *map(str, arguments), f"{number}/3"]
        return subprocess.Popen(words, env=trial.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, stdin=subprocess.DEVNULL)  # fmt: skip

    processes = [start(number) for number in (1, 2, 3)]
    own = samples_of(ip.read_study(folder / "study"), Shard(3, 3))
    try:
        trial.until(lambda: len(trial.gated(out) & own) >= 3)
        refused = command(folder, out)
        assert isinstance(refused.exception, ResultsError)
        assert "another 'run --shard " in str(refused.exception)
        processes[2].kill()
        told = [process.communicate() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes[:2]] == [0, 0], told
    assert processes[2].returncode != 0
    assert "shard 1/3: 14 of 14 files gated" in told[0][0] or "shard 1/3: 13 of 13 files gated" in told[0][0]
    assert f"run {folder / 'study'} --out {out} --gates {folder / 'gates'} --join" in told[1][0]
    done = trial.gated(out)
    for reads in (verify, ip.read_results):
        with pytest.raises(ResultsError, match=r"shards of 3 \(ended: 1-2; begun and not ended: 3\) are not joined"):
            reads(out)
    for words in (["check", str(out)], ["report", str(out)]):
        assert "are not joined" in str(CliRunner().invoke(app, words).exception)
    joined = command(folder, out, "--join")
    assert joined.exit_code == 0, joined.output
    assert set(gated) == set(trial.content_samples(whole)) - done
    assert f"{len(gated)} files that no shard gated are left to this call" in joined.stdout
    assert "(shard 3/3 has not ended)" in joined.stdout
    assert f"{len(done)} files are taken up" in joined.stdout
    assert trial.content(out) == whole
    assert verify(out) == []


def test_a_join_gates_nothing_again_and_names_what_it_must(folder, whole, tmp_path, gated):
    shutil.copytree(folder / "study", tmp_path / "study")
    shutil.copytree(folder / "gates", tmp_path / "gates")
    out = tmp_path / "out"
    for number in (2, 1):
        assert command(tmp_path, out, "--shard", f"{number}/2").exit_code == 0
    assert len(gated) == trial.FILES
    gated.clear()
    again = command(tmp_path, out, "--shard", "1/2")
    assert (again.exit_code, gated) == (0, []), "a shard that is repeated takes up what it did"
    path = tmp_path / "study" / "fcs" / "C05.fcs"
    changed = path.read_bytes()
    path.write_bytes(changed[:-1] + bytes([changed[-1] ^ 1]))
    (out / "records" / "C09.json").unlink()
    joined = command(tmp_path, out, "--join", "--jobs", "2")
    assert sorted(gated) == ["C05", "C09"]
    assert "1 files that no shard gated are left to this call: C09 (shard " in joined.stdout
    assert "had ended without it)" in joined.stdout
    assert "1 files were gated again: C05 (file, gates, limits or software are others now)" in joined.stdout
    assert verify(out) == []
    trial.run(tmp_path, tmp_path / "fresh")
    assert trial.content(out) == trial.content(tmp_path / "fresh")


def test_what_a_shard_leaves_out_is_named(folder, tmp_path):
    shutil.copytree(folder / "study", tmp_path / "study")
    shutil.copytree(folder / "gates", tmp_path / "gates")
    path = tmp_path / "study" / "fcs" / "S-1_BL.fcs"
    path.write_bytes(path.read_bytes()[:3000])
    codes = [command(tmp_path, tmp_path / "out", "--shard", f"{number}/2") for number in (1, 2)]
    assert sorted(told.exit_code for told in codes) == [0, EXIT_LEFT_OUT]
    assert sum("left out: fcs/S-1_BL.fcs: " in told.output for told in codes) == 1
    assert command(tmp_path, tmp_path / "out", "--join").exit_code == EXIT_LEFT_OUT


def test_a_folder_without_shards_and_shards_of_different_numbers_are_told(folder, whole, tmp_path):
    told = command(folder, tmp_path / "out", "--join")
    assert "holds no shards to join" in str(told.exception)
    shutil.copytree(folder / "whole", tmp_path / "complete")
    told = command(folder, tmp_path / "complete", "--join")
    assert "holds no shards to join" in str(told.exception)
    assert verify(tmp_path / "complete") == []
    out = tmp_path / "mixed"
    shard(folder, out, 1, 30)
    shard(folder, out, 1, 40)
    told = command(folder, out, "--join")
    assert "holds shards of different numbers: of 30 and of 40" in str(told.exception)
    with pytest.raises(ResultsError, match="'immunoprofile run' without --join") as refused:
        read_provenance(out)  # what check and report say: no advice that is refused in its turn
    assert "--join' with" not in str(refused.value)
    assert command(folder, out).exit_code == 0
    assert trial.content(out) == whole


def test_the_command_that_a_shard_names_joins_it_as_it_stands(folder, whole, tmp_path):
    """With the same gates: without them all files would be gated again, by others."""
    out, gates = tmp_path / "results here", tmp_path / "other gates"
    shutil.copytree(folder / "gates", gates)
    words = ["run", str(folder / "study"), "--gates", str(gates), "--out", str(out), "--quiet"]
    for number in (1, 2):
        told = CliRunner().invoke(app, [*words, "--shard", f"{number}/2"])
    (line,) = (line for line in told.output.splitlines() if line.startswith("when all 2 shards have ended: "))
    program, *asked = shlex.split(line.partition(": ")[2])
    assert program == "immunoprofile"
    done = CliRunner().invoke(app, [*asked, "--quiet"])
    assert done.exit_code == 0, done.output
    assert "gated again" not in done.output
    assert trial.content(out) == whole


def test_shards_of_two_studies_do_not_share_a_folder(folder, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    shard(folder, out, 1, 30)
    shutil.copytree(folder / "study", other)
    text = (other / "study.yaml").read_text(encoding="utf-8")
    own = ip.read_study(folder / "study").config.study_id
    (other / "study.yaml").write_text(text.replace(f"study_id: {own}", "study_id: OTHER"), encoding="utf-8")
    before = trial.content(out)
    gates = ip.gate.load(folder / "gates")
    for attempt in (
        lambda: gate_shard(ip.read_study(other), gates, out=out, shard=Shard(2, 30)),
        lambda: ip.run_study(ip.read_study(other), gates, out=out),
    ):
        with pytest.raises(ResultsError, match=f"holds the results of study {own}"):
            attempt()
    words = ["run", str(other), "--out", str(out), "--gates", str(folder / "gates"), "--join", "--quiet"]
    told = CliRunner().invoke(app, words)
    assert f"holds the results of study {own}" in str(told.exception)
    assert "taken up" not in told.output
    assert trial.content(out) == before
    (out / ".partial" / "study.json").write_bytes(b"")  # as a power cut may leave it: nothing is known, nothing refused
    shard(folder, out, 2, 30)


def test_a_shard_over_complete_results_takes_their_mark(folder, tmp_path):
    """They are not believed until the shards are joined: a file of the study may have another content now."""
    shutil.copytree(folder / "whole", tmp_path / "out")
    shard(folder, tmp_path / "out", 1, 2)
    with pytest.raises(ResultsError, match=r"shards of 2 \(ended: 1; not begun: 2\) are not joined"):
        read_provenance(tmp_path / "out")
    assert command(folder, tmp_path / "out", "--join").exit_code == 0
    assert verify(tmp_path / "out") == []


_HOLDER = """
import sys, time
from pathlib import Path
from immunoprofile.io.only_writer import only_writer, share_of
folder, share = Path(sys.argv[1]), sys.argv[2]
with share_of(folder, "run --shard", share) if share else only_writer(folder, "run"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Starts a process that holds the folder, or a share of it."""
    processes = []

    def hold(share=""):
        process = subprocess.Popen([sys.executable, "-c", _HOLDER, tmp_path, share], env=trial.environment(),
                                   stdout=subprocess.PIPE, text=True)  # fmt: skip
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.wait()


def test_shares_and_the_whole_exclude_each_other(tmp_path, holder):
    first = holder("1-of-3")
    with share_of(tmp_path, "run --shard 2/3", "2-of-3"):
        with pytest.raises(ResultsError, match=rf"another 'run --shard' is at work .*process {first.pid} on"):
            with share_of(tmp_path, "run --shard 1/3", "1-of-3"):
                pass
        with (
            pytest.raises(ResultsError, match="another 'run --shard"),
            only_writer(tmp_path, "run"),
        ):
            pass
    first.kill()
    first.wait()
    assert (tmp_path / ".lock-1-of-3").is_file(), "a killed process leaves its file, which stops nobody"
    with only_writer(tmp_path, "run"):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    assert list(tmp_path.iterdir()) == []
    other = holder()
    with pytest.raises(ResultsError, match=rf"another 'run' is at work .*process {other.pid} on"):
        with share_of(tmp_path, "run --shard 1/3", "1-of-3"):
            pass
    other.kill()
    other.wait()
    with share_of(tmp_path, "run --shard 1/3", "1-of-3"):
        pass
    assert not (tmp_path / ".lock-1-of-3").exists()


def test_the_share_of_another_machine_is_believed(folder, tmp_path):
    out = tmp_path / "out"
    shard(folder, out, 1, 40)
    own = out / ".lock-2-of-40"
    own.write_text('{"host": "node7", "pid": 1, "started": "2024-03-01T08:00:00Z", "work": "run --shard 2/40"}')
    with pytest.raises(ResultsError, match=r"'run --shard 2/40' .*process 1 on node7.*delete .*\.lock-2-of-40"):
        trial.run(folder, out)
    with pytest.raises(ResultsError, match=r"process 1 on node7"):
        shard(folder, out, 2, 40)
    shard(folder, out, 3, 40)
    told = CliRunner().invoke(app, ["check", str(out)])
    assert told.exit_code == EXIT_ERROR
    own.unlink()
    trial.run(folder, out)
    assert verify(out) == []
