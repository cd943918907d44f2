"""Gated events as FCS: the same stored bits for our reader and for FlowIO, and the memberships beside them."""

from __future__ import annotations

from dataclasses import replace

import flowio
import numpy as np
import pytest

from immunoprofile import gate
from immunoprofile.errors import FcsError, GateError
from immunoprofile.gate.evaluate import gate_sample
from immunoprofile.gate.strategy import Dimension, Gate, Strategy
from immunoprofile.gate.write_fcs import write_fcs
from immunoprofile.io.fcs import read_fcs
from immunoprofile.io.fcs_write import NewChannel, write_copy
from tests.io.fcs_files import events, spill_text, write

GATES = Strategy(
    "t",
    (
        Gate("low", "root", "rectangle", (Dimension("SSC-A", None, 60_000.0),), label="Low SSC"),
        Gate("bright", "low", "rectangle", (Dimension("FITC-A", 500.0, None, compensated=True),)),
    ),
    channels=(("FITC-A", "FITC-A"),),
)


@pytest.fixture
def source(tmp_path):
    values = events(2000)
    values[3, 2] = np.nan
    values[4, 3] = -np.inf
    return write(tmp_path / "a.fcs", values, **{"$SPILLOVER": spill_text(), "$CYT": "Fortessa"})


def test_values_are_the_same_bits_for_both_readers(tmp_path, source):
    gated = gate_sample(read_fcs(source), GATES)
    path = write_fcs(gated, source, tmp_path / "out" / "a.fcs")
    again, before = read_fcs(path), read_fcs(source)
    assert again.version == "3.1"
    assert again.events[:, : before.events.shape[1]].tobytes() == before.events.tobytes()
    names = [channel.pnn for channel in again.channels]
    assert names[-2:] == ["low", "bright"]
    assert again.channels[-2].pns == "Low SSC"
    np.testing.assert_array_equal(again.events[:, -2:], np.column_stack([gated.mask("low"), gated.mask("bright")]))
    flow, old = flowio.FlowData(path), flowio.FlowData(source)
    assert flow.pnn_labels == names
    np.testing.assert_array_equal(flow.as_array()[:, : old.channel_count], old.as_array())
    for keyword in ("cyt", "spillover", "tot"):
        assert again.keywords[keyword] == before.keywords[keyword]
    assert again.keywords["immunoprofile gates"] == GATES.sha256


def test_gating_the_copy_gives_the_same_counts(tmp_path, source):
    gated = gate_sample(read_fcs(source), GATES)
    path = write_fcs(gated, source, tmp_path / "b.fcs")
    assert gate_sample(read_fcs(path), GATES).counts().equals(gated.counts())


def test_one_population_only(tmp_path, source):
    gated = gate_sample(read_fcs(source), GATES)
    path = write_fcs(gated, source, tmp_path / "b.fcs", population="bright")
    again = read_fcs(path)
    assert again.n_events == gated.n("bright") > 0
    assert again.events.tobytes() == gated.sample.events[gated.mask("bright")].tobytes()
    assert [c.pnn for c in again.channels] == [c.pnn for c in gated.sample.channels]


def test_a_matrix_from_elsewhere_stands_in_the_copy(tmp_path, source):
    from immunoprofile.compensation import Spillover, from_keywords

    matrix = np.eye(2) + np.array([[0, 0.25], [0.125, 0]])
    other = Spillover(("FITC-A", "PE-A"), matrix, source="file m.csv")
    gated = replace(gate_sample(read_fcs(source), GATES), spillover=other, comp_source=other.source)
    again = read_fcs(write_fcs(gated, source, tmp_path / "c.fcs"))
    found = from_keywords(again)
    assert isinstance(found, Spillover)
    assert found.channels == ("FITC-A", "PE-A")
    np.testing.assert_array_equal(found.matrix, matrix)


@pytest.mark.parametrize("population", ["nothing", "root"])
def test_an_unknown_population_is_refused(tmp_path, source, population):
    gated = gate_sample(read_fcs(source), GATES)
    with pytest.raises(GateError, match="bright"):
        write_fcs(gated, source, tmp_path / "b.fcs", population=population)
    assert not (tmp_path / "b.fcs").exists()


def test_the_file_itself_and_names_of_channels_are_refused(tmp_path, source):
    gated = gate_sample(read_fcs(source), GATES)
    with pytest.raises(GateError, match="the file itself"):
        write_fcs(gated, source, source)
    with pytest.raises(FcsError, match="already"):
        write_copy(source, tmp_path / "x.fcs", channels=[NewChannel("SSC-A", "", np.zeros(2000, dtype=bool))])
    assert not (tmp_path / "x.fcs").exists()


@pytest.mark.outside_data
def test_real_files_of_every_kind_read_back(tmp_path, outside_data):
    """Integers with logarithmic amplifiers, bit-packed and big-endian files, doubles: the stored values stay."""
    folder = outside_data / "torture_fcs_readers"
    tried = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix.casefold() not in (".fcs", ".lmd") or path.stat().st_size > 4_000_000:
            continue
        try:
            sample = read_fcs(path)
        except FcsError:
            continue
        if not sample.n_events:
            continue
        column = Dimension(sample.channels[0].pnn, float(np.nanmedian(sample.events[:, 0])), None)
        some = Strategy("t", (Gate("upper_half", "root", "rectangle", (column,)),))
        try:
            gated = gate_sample(sample, some, comp_source="none")
        except GateError:
            continue
        try:
            again = read_fcs(write_fcs(gated, path, tmp_path / f"{tried}.fcs"))
        except FcsError as error:
            assert "52 bits" in str(error) or "mixes" in str(error), f"{path.name}: {error}"
            continue
        tried += 1
        np.testing.assert_array_equal(again.events[:, : sample.events.shape[1]], sample.events, err_msg=path.name)
        np.testing.assert_array_equal(again.events[:, -1], gated.mask("upper_half"), err_msg=path.name)
    assert tried >= 20


def test_door():
    assert gate.write_fcs is write_fcs
