"""A run that is killed, and what a run knows of how its files were gated."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile.gate.study_gates import study_gates
from immunoprofile.io.fcs_source import FcsSource
from immunoprofile.profiling import one_file
from immunoprofile.profiling.gate_files import requests_of
from immunoprofile.profiling.records import key_of, read_panel, read_record
from immunoprofile.profiling.sealing import verify
from immunoprofile.quality import compare_panels, panel_quantiles
from tests.folders import content
from tests.small_study import write_gates, write_study

_RUN = """
import sys, time
import immunoprofile as ip
from immunoprofile.profiling import one_file
gate = one_file._gate
def with_pause(*args, **options):
    time.sleep(0.5)
    return gate(*args, **options)
one_file._gate = with_pause
ip.profile(ip.read_study(sys.argv[1]), ip.gate.load(sys.argv[2]), out=sys.argv[3], cells=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    write_study(folder / "study")
    write_gates(folder / "gates")
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    gates = ip.gate.load(folder / "gates")
    return ip.profile(ip.read_study(folder / "study"), gates, out=folder / "whole", cells=True)


def test_killed_process_is_resumed_to_the_same_bytes(folder, whole, monkeypatch):
    out = folder / "killed"
    process = subprocess.Popen([sys.executable, "-c", _RUN, folder / "study", folder / "gates", out])
    while process.poll() is None and not list((out / "records").glob("S-*.json")):
        time.sleep(0.01)
    process.kill()
    assert process.wait() != 0, "the run ended before it was killed"
    done = {path.stem for path in (out / "records").glob("S-*.json")}
    assert 1 <= len(done) < 3
    # What a process leaves that is killed while it writes.
    for name in (".visits.4242.tmp.h5ad", "rasters/.S-1_BL.4242.tmp.npz"):
        (out / name).write_bytes(b"half")
    gated = []
    gate = one_file._gate
    monkeypatch.setattr(
        one_file, "_gate", lambda request, *a, **k: gated.append(request.sample_id) or gate(request, *a, **k)
    )
    ip.profile(ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=out, cells=True, jobs=3)
    assert set(gated) == {"S-1_BL", "S-1_D14", "S-2_BL"} - done
    assert content(out) == content(whole.folder)
    assert verify(out) == []


def test_provenance_says_how_each_file_was_gated(folder, whole, tmp_path, monkeypatch):
    records = whole.provenance["engine"]
    assert set(records) == {"S-1_BL", "S-1_D14", "S-2_BL"}
    assert {record["tier"] for record in records.values()} == {"kernel"}
    assert {record["reason"] for record in records.values()} == {""}
    decided = sum(record["n_arbiter"] for record in records.values())
    assert whole.provenance["parameters"]["engine"] == f"kernel 3 files ({decided} events near a gate decided exactly)"

    evaluate_module = sys.modules["immunoprofile.gate.engine.evaluate"]  # the room has a function of that name

    def no_plan(*_, **__):
        raise evaluate_module.NotPlannedError("a gate that no kernel holds")

    monkeypatch.setattr(evaluate_module, "resolve", no_plan)
    other = ip.profile(
        ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=tmp_path / "out", cells=True
    )
    assert other.provenance["engine"]["S-1_BL"] == {
        "tier": "flowkit",
        "n_arbiter": 0,
        "reason": "a gate that no kernel holds",
    }
    assert other.provenance["parameters"]["engine"].startswith("flowkit 3 files")
    assert other.counts.equals(whole.counts)


def test_record_keeps_what_the_run_needs(folder, tmp_path):
    study, gates = ip.read_study(folder / "study"), ip.gate.load(folder / "gates")
    request = requests_of(study, study_gates(gates, study))[0]
    outcome = one_file.process(request, tmp_path, cells=False)
    sample = request.source.read()
    assert outcome.sha256 == sample.sha256
    key = key_of(request, sample.sha256, cells=False)
    # As text, since values that could not be told are NaN.
    assert repr(read_record(tmp_path, request.sample_id, key)) == repr(outcome)
    assert read_record(tmp_path, request.sample_id, key_of(request, sample.sha256, cells=True)) is None
    kept, direct = read_panel(tmp_path, request.sample_id), panel_quantiles(sample)
    assert (kept.channels, kept.markers, kept.n_events) == (direct.channels, direct.markers, direct.n_events)
    np.testing.assert_array_equal(kept.quantiles, direct.quantiles)
    np.testing.assert_array_equal(
        compare_panels(kept, kept).distance, compare_panels(sample, sample).distance
    )  # the file, or what was kept of it
    for name in outcome.files:
        whole = (tmp_path / name).read_bytes()
        for damage in (b"", whole[:-1], whole[:20] + b"x" + whole[21:]):
            (tmp_path / name).write_bytes(damage)
            assert read_record(tmp_path, request.sample_id, key) is None, name
        (tmp_path / name).unlink()
        assert read_record(tmp_path, request.sample_id, key) is None, name
        (tmp_path / name).write_bytes(whole)
    assert len(outcome.files) == 4
    record = tmp_path / "records" / f"{request.sample_id}.json"
    whole = record.read_bytes()
    count = str(outcome.counts[0][4]).encode()
    for damage in (b"", b"[]", b"null", b"{}", whole[:-9], whole.replace(count, b"7" * len(count), 1)):
        record.write_bytes(damage)
        assert read_record(tmp_path, request.sample_id, key) is None
    record.write_bytes(whole)
    assert read_record(tmp_path, request.sample_id, key) is not None


def test_each_file_is_read_and_hashed_once(folder, tmp_path, monkeypatch):
    reads, hashes = [], []
    read, digest = FcsSource.read, one_file.sha256_of
    monkeypatch.setattr(FcsSource, "read", lambda source: reads.append(source.path.name) or read(source))
    monkeypatch.setattr(one_file, "sha256_of", lambda path: hashes.append(path.name) or digest(path))
    ip.profile(ip.read_study(folder / "study"), ip.gate.load(folder / "gates"), out=tmp_path / "out")
    checked, gated = reads[:-3], reads[-3:]
    assert len(checked) <= 1, "the check of the gates reads one file of a panel"
    assert sorted(gated) == ["S-1_BL.fcs", "S-1_D14.fcs", "S-2_BL.fcs"]
    assert hashes == []


def test_a_channel_without_numbers_does_not_end_the_run(folder, tmp_path):
    """Channels cannot be compared where one holds NaN: that is no pass and no reason to lose the study."""
    from tests.io.fcs_files import PNS, events, spill_text, write

    write_study(tmp_path / "study")
    data = events(3000, seed=5)
    write(tmp_path / "study" / "fcs" / "S-1_BL.fcs", data, pns=PNS, **{"$SPILLOVER": spill_text()})
    data = data.copy()
    data[7, 3] = np.nan
    write(tmp_path / "study" / "fcs" / "S-1_D14.fcs", data, pns=PNS, **{"$SPILLOVER": spill_text()})
    profile = ip.profile(ip.read_study(tmp_path / "study"), ip.gate.load(folder / "gates"), out=tmp_path / "results")
    own = profile.quality[profile.quality["check"] == "channel_order"].set_index("sample_id")
    assert own.loc["S-1_D14", "state"] == "NOT_EVALUABLE"
    assert np.isnan(own.loc["S-1_D14", "value"])
