"""What is recorded as the hash of a file is the hash of the bytes that were parsed, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import importlib
import io
import random

import numpy as np
import pandas as pd
import pytest

import immunoprofile as ip
from immunoprofile.errors import FcsError
from immunoprofile.gate.matching import Matcher
from immunoprofile.io import fcs, one_pass
from immunoprofile.io.fcs_data import _all_finite
from immunoprofile.io.fcs_source import FcsSource
from immunoprofile.io.one_pass import NotedReading, OnePass
from tests.io.fcs_files import PNS, events, spill_text, write
from tests.small_study import write_gates, write_study

batch = importlib.import_module("immunoprofile.gate.batch")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_every_way_forward_through_a_file_gives_its_hash(seed, beside, monkeypatch):
    monkeypatch.setattr(one_pass, "HASHED_BESIDE", 0 if beside else 1 << 40)
    same = bytearray(77)
    chance = random.Random(seed)
    content = chance.randbytes(5000)
    handle = io.BytesIO(content)
    noted = NotedReading(handle, "a")
    for _ in range(3):
        place = chance.randrange(5000)
        noted.seek(place)
        assert noted.read(100) == content[place : place + 100]
    passing, at = OnePass(handle, noted), 0
    while at < 4000:
        at += chance.randrange(300)
        passing.seek(at)
        if chance.random() < 0.5:
            got = passing.read(77)
        else:
            got = same  # filled anew while the bytes before may still be hashed
            assert passing.readinto(memoryview(got)) == 77
        assert bytes(got) == content[at : at + 77]
        at += 77
    assert passing.sha256() == sha256(content)
    with pytest.raises(ValueError, match="lies behind"):
        passing.seek(10)


@pytest.mark.parametrize("place", [100, 109, 199])
def test_bytes_that_are_others_than_before_are_refused(place):
    content = bytes(range(250))
    noted = NotedReading(io.BytesIO(content), "tube.fcs")
    noted.seek(100)
    noted.read(100)
    other = content[:place] + b"\xff" + content[place + 1 :]
    passing = OnePass(io.BytesIO(other), noted)
    with pytest.raises(FcsError, match=r"tube\.fcs: was changed while it was read"):
        passing.sha256()
    for longer in (content + b"x", content[:-1]):
        with pytest.raises(FcsError, match="changed"):
            OnePass(io.BytesIO(longer), noted).sha256()


@pytest.fixture
def two(tmp_path):
    """Two files of one layout with other events; and the first with another operator in its header."""
    one = write(tmp_path / "one.fcs", events(9000, seed=1), pns=PNS, **{"$SPILLOVER": spill_text(), "$OP": "AB"})
    other = write(tmp_path / "other.fcs", events(9000, seed=2), pns=PNS, **{"$SPILLOVER": spill_text(), "$OP": "AB"})
    assert one.stat().st_size == other.stat().st_size
    return one, other.read_bytes(), one.read_bytes().replace(b"AB", b"CD", 1)


def test_events_that_change_after_the_header_was_read(two, monkeypatch):
    path, others, head = two
    genuine = fcs.read_stored

    def saved_meanwhile(handle, *rest):
        path.write_bytes(others)
        return genuine(handle, *rest)

    monkeypatch.setattr(fcs, "read_stored", saved_meanwhile)
    sample = ip.read_fcs(path)
    assert sample.sha256 == sha256(others)
    monkeypatch.undo()
    np.testing.assert_array_equal(sample.events, ip.read_fcs(path).events)
    others = head
    monkeypatch.setattr(fcs, "read_stored", saved_meanwhile)
    with pytest.raises(FcsError, match="was changed while it was read"):
        ip.read_fcs(path)


def test_counts_of_a_file_that_changes_after_its_header_was_read(two, tmp_path, monkeypatch):
    path, others, head = two
    matcher = Matcher(ip.gate.load(write_gates(tmp_path / "gates")))
    genuine = batch.evaluate_file

    def saved_meanwhile(*args, **options):
        path.write_bytes(others)
        return genuine(*args, **options)

    before = batch.count_file(FcsSource(path), matcher, comp_source="keyword")
    assert before.sample_id == sha256(path.read_bytes())
    monkeypatch.setattr(batch, "evaluate_file", saved_meanwhile)
    during = batch.count_file(FcsSource(path), matcher, comp_source="keyword")
    monkeypatch.undo()
    after = batch.count_file(FcsSource(path), matcher, comp_source="keyword")
    assert during.sample_id == after.sample_id == sha256(others)
    pd.testing.assert_frame_equal(during.table, after.table)
    assert not after.table["n"].equals(before.table["n"])
    others = head
    monkeypatch.setattr(batch, "evaluate_file", saved_meanwhile)
    with pytest.raises(FcsError, match="was changed while it was read"):
        batch.count_file(FcsSource(path), matcher, comp_source="keyword")


def test_gated_events_are_not_handed_back_with_those_of_another_file(two, tmp_path):
    path, others, _ = two
    gates = Matcher(ip.gate.load(write_gates(tmp_path / "gates")))
    gated = batch.gate_file(FcsSource(path), gates)
    assert ip.gate.write_fcs(gated, path, tmp_path / "copy.fcs").is_file()
    path.write_bytes(others)
    with pytest.raises(FcsError, match="was changed while it was read"):
        ip.gate.write_fcs(gated, path, tmp_path / "given.fcs")
    assert not (tmp_path / "given.fcs").exists()


def test_a_copy_without_persons_is_called_by_what_it_holds(two, tmp_path, monkeypatch):
    path, others, _ = two
    module = importlib.import_module("immunoprofile.io.deidentify")
    genuine = module._hash

    def saved_meanwhile(*args, **options):
        found = genuine(*args, **options)
        path.write_bytes(others)
        return found

    monkeypatch.setattr(module, "_hash", saved_meanwhile)
    with pytest.raises(FcsError, match="was changed while it was read"):
        ip.io.deidentify([path], out=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_with_other_than_numbers_is_read_whole(two, tmp_path):
    """Streamed or not, the counts and what is told of the file are the same."""
    data = events(9000, seed=3)
    data[8500, 3] = np.nan
    path = write(tmp_path / "nan.fcs", data, pns=PNS, **{"$SPILLOVER": spill_text()})
    matcher = Matcher(ip.gate.load(write_gates(tmp_path / "gates")))
    streamed = batch.count_file(FcsSource(path), matcher, comp_source="keyword")
    whole = batch.count_file(FcsSource(path), matcher, comp_source="keyword", compiled=False)
    assert streamed.table.equals(whole.table)
    assert streamed.notices == whole.notices
    assert "finite" in str(whole.notices)


def test_a_file_that_was_still_being_copied_is_gated_by_the_next_run(tmp_path, monkeypatch):
    """What was said of half a file is not believed of the whole one."""
    write_study(tmp_path / "study")
    path = tmp_path / "study" / "fcs" / "S-2_BL.fcs"
    whole, gates = path.read_bytes(), ip.gate.load(write_gates(tmp_path / "gates"))
    study = ip.read_study(tmp_path / "study")
    genuine, tries = FcsSource.read, []

    def arriving(source):
        if source.path.name == path.name:
            tries.append(source)
            path.write_bytes(whole[: len(whole) // 2] if len(tries) == 1 else whole)
        return genuine(source)

    monkeypatch.setattr(FcsSource, "read", arriving)
    first = ip.profile(study, gates, out=tmp_path / "out")
    monkeypatch.undo()
    said = first.exceptions[first.exceptions["code"] == "FILE_UNREADABLE"]
    assert list(said["sample_id"]) == ["S-2_BL"]
    assert "was changed while it was read" in said["message"].iloc[0]
    assert first.provenance["inputs"]["fcs/S-2_BL.fcs"] == ""
    second = ip.profile(study, gates, out=tmp_path / "out")
    assert "S-2_BL" in set(second.counts["sample_id"])
    assert second.provenance["inputs"]["fcs/S-2_BL.fcs"] == sha256(whole)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("width", [4, 8])
def test_values_that_are_no_numbers_are_seen_by_their_bits(order, width):
    bits = np.random.default_rng(4).integers(0, 1 << 32, (50, 40), dtype=np.uint32)
    bits[:, 0] = [
        0x7F7FFFFF,
        0xFF7FFFFF,
        0x7F800000,
        0xFF800000,
        0x7F800001,
        0x007F8000,
        0,
        1,
        0x80000000,
        0x7FC00000,
    ] * 5
    for row in bits:
        with np.errstate(invalid="ignore"):  # signalling NaN
            values = row.view(np.float32).astype(f"{order}f{width}")
        assert _all_finite(values) == bool(np.isfinite(values).all())
        for one in values[:, None]:
            assert _all_finite(one) == bool(np.isfinite(one).all())
