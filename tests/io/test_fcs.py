"""Reading FCS files: what is right is read, what is wrong is refused with a reason."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from immunoprofile.compensation import choose, compensate, from_keywords
from immunoprofile.errors import CompensationError, FcsError
from immunoprofile.io.fcs import read_fcs
from tests.io.fcs_files import PNN, SPILL, events, spill_text, write


def test_events_channels_and_identity(tmp_path):
    data = events()
    path = write(tmp_path / "a.fcs", data, **{"$SPILLOVER": spill_text()})
    sample = read_fcs(path)
    np.testing.assert_array_equal(sample.events[:, :5], data[:, :5].astype(np.float64))
    # Time is stored in ticks of 10 ms and read in seconds.
    np.testing.assert_allclose(sample.values("Time"), data[:, 5].astype(np.float64) * 0.01, rtol=1e-15)
    assert sample.markers == ("FSC-A", "SSC-A", "CD3", "CD56", "HLA-DR", "Time")
    assert sample.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sample.repairs == ()
    assert [channel.kind for channel in sample.channels] == [
        "scatter", "scatter", "lineage", "lineage", "functional", "time",
    ]  # fmt: skip


def test_marker_is_found_by_alias_and_by_channel(tmp_path):
    sample = read_fcs(write(tmp_path / "a.fcs", events(5)))
    assert sample.position("HLADR") == sample.position("hla_dr") == sample.position("APC-A") == 4
    with pytest.raises(FcsError, match=r"no channel carries CD8.*FITC-A \(CD3\)"):
        sample.position("CD8")


def test_ambiguous_marker_is_refused_with_the_candidates(tmp_path):
    sample = read_fcs(write(tmp_path / "a.fcs", events(5), pns=("", "", "CD3", "CD56", "cd-3", "")))
    with pytest.raises(FcsError, match="several channels: FITC-A, APC-A"):
        sample.position("CD3")


@pytest.mark.parametrize(
    ("cut", "reason"),
    [(0, "empty"), (30, "cut off inside its header"), (2000, "cut off: the header promises"), (-4, "cut off")],
)
def test_cut_files_are_refused(tmp_path, cut, reason):
    whole = write(tmp_path / "a.fcs", events()).read_bytes()
    path = tmp_path / "cut.fcs"
    path.write_bytes(whole[:cut])
    with pytest.raises(FcsError, match=reason):
        read_fcs(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.fcs").write_text("sample,tube\n")
    with pytest.raises(FcsError, match="not an FCS file"):
        read_fcs(tmp_path / "a.fcs")
    with pytest.raises(FcsError, match="missing"):
        read_fcs(tmp_path / "b.fcs")


def test_offset_by_one_is_repaired_and_named(outside_data):
    path = next((outside_data / "pbmc_cytof_bodenmiller_labelled").rglob("*.fcs"))
    sample = read_fcs(path)
    assert [repair.partition(":")[0] for repair in sample.repairs] == ["REPAIR_TEXT_END", "REPAIR_OFFSET_BY_ONE"]
    assert sample.n_events == int(sample.keywords["tot"])


def test_compensation_undoes_the_spillover(tmp_path):
    data = events()
    sample = read_fcs(write(tmp_path / "a.fcs", data, **{"$SPILLOVER": spill_text()}))
    spillover, source = choose(sample, None)
    assert source == "keyword"
    assert spillover is not None
    assert spillover.channels == PNN[2:5]
    back = compensate(sample, spillover)[:, 2:5] @ SPILL
    np.testing.assert_allclose(back, data[:, 2:5].astype(np.float64), rtol=1e-9, atol=1e-6)
    # Scatter and Time are untouched, and the raw events stay raw.
    np.testing.assert_array_equal(compensate(sample, spillover)[:, [0, 1, 5]], sample.events[:, [0, 1, 5]])
    np.testing.assert_array_equal(sample.events[:, 2:5], data[:, 2:5].astype(np.float64))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("3,FITC-A,PE-A,APC-A,1,0,0,0,1", "announces 3 channels and holds 5 values"),
        ("2,FITC-A,PE-Cy7-A,1,0,0,1", "does not have: PE-Cy7-A"),
        ("2,FITC-A,PE-A,1,1,1,1", "cannot be inverted"),
        ("x,FITC-A", "cannot be parsed"),
    ],
)
def test_unusable_matrices_are_refused(tmp_path, text, reason):
    sample = read_fcs(write(tmp_path / "a.fcs", events(5), **{"$SPILLOVER": text}))
    with pytest.raises(CompensationError, match=reason):
        from_keywords(sample)


def test_declared_compensation(tmp_path):
    without = read_fcs(write(tmp_path / "a.fcs", events(5)))
    assert choose(without, None) == (None, "none")
    assert choose(without, "compensated") == (None, "compensated")
    with pytest.raises(CompensationError, match="declares a spillover matrix"):
        choose(without, "keyword")
    with_matrix = read_fcs(write(tmp_path / "b.fcs", events(5), **{"$SPILLOVER": spill_text()}))
    assert choose(with_matrix, "none") == (None, "none")
