"""Files of real cytometers: the judged table of outcomes, and FlowIO as the oracle wherever it opens a file."""

from __future__ import annotations

import csv
import logging
import tracemalloc
import warnings

import flowio
import numpy as np
import pytest
from flowio.exceptions import FCSParsingError, MultipleDataSetsError

from benchmarks.torture import EXPECTED, rows
from immunoprofile.errors import FcsError
from immunoprofile.io.fcs import read_fcs, read_fcs_datasets
from immunoprofile.io.fcs_repair import EXPLANATIONS
from tests.io.fcs_bytes import fcs

# FlowIO's own answers to a file it does not trust; the first that opens the file counts.
OPTIONS = ({}, {"ignore_offset_error": True}, {"ignore_offset_error": True, "ignore_offset_discrepancy": True})
FOLDERS = (
    "torture_fcs_readers", "pbmc_cytof_bodenmiller_labelled", "treg_tube_facscalibur_galaxy", "itn507_multitube",
    "hd_longitudinal_replicates",
)  # fmt: skip
# FlowIO divides these by a range of zero (computed coordinates that claim a logarithm): infinities, not numbers.
NOT_LIKE_FLOWIO = {"CD4-10.fcs"}


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR, logger="immunoprofile.io.fcs")


def test_every_torture_file_has_the_judged_outcome(outside_data):
    with EXPECTED.open(encoding="utf-8", newline="") as handle:
        expected = list(csv.DictReader(handle))
    found = rows(outside_data / "torture_fcs_readers")
    assert [row["file"] for row in found] == [row["file"] for row in expected]
    for got, want in zip(found, expected, strict=True):
        extremes = {
            column: (float(got.pop(column) or 0), float(want.pop(column) or 0)) for column in ("lowest", "highest")
        }
        assert got == want
        for one, other in extremes.values():
            assert one == pytest.approx(other, rel=1e-4)


def test_every_repair_is_explained_in_the_guide(repository):
    page = (repository / "docs" / "fcs-reader.md").read_text(encoding="utf-8")
    for name, explanation in EXPLANATIONS.items():
        assert f"| `{name}` | {explanation} |" in page


def test_data_beyond_what_the_header_can_say(tmp_path):
    """Above 99,999,999 bytes the header holds zeros and the text alone counts (FCS 3.1, 3.1): no repair."""
    begin = 100_000_001
    content = fcs([(1.0, 2.0)] * 3, "ab", header_data=(0, 0), drop=("$BEGINDATA", "$ENDDATA"),
                  keywords={"$BEGINDATA ": str(begin), "$ENDDATA ": str(begin + 23)})  # fmt: skip
    path = tmp_path / "large.fcs"
    with path.open("wb") as handle:
        handle.write(content)
        handle.seek(begin)  # a hole: the file takes no room on most disks
        handle.write(content[-24:])
    np.testing.assert_array_equal(read_fcs(path, strict=True).events, [(1.0, 2.0)] * 3)


def by_flowio(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for options in OPTIONS:
            try:
                flows = [flowio.FlowData(path, **options)]
            except MultipleDataSetsError:
                flows = flowio.read_multiple_data_sets(
                    str(path), ignore_offset_error=True, ignore_offset_discrepancy=True
                )
            except (FCSParsingError, ValueError, KeyError, OSError):
                continue
            try:
                return flows, [flow.as_array() for flow in flows]
            except (ValueError, IndexError):
                return None
    return None


def test_events_equal_flowio_wherever_it_opens_a_file(outside_data):
    compared = 0
    for folder in FOLDERS:
        files = [p for p in sorted((outside_data / folder).rglob("*")) if p.suffix.lower() in (".fcs", ".lmd", ".b08")]
        for path in files[:60]:
            answer = None if path.name in NOT_LIKE_FLOWIO else by_flowio(path)
            if answer is None:
                continue
            samples = read_fcs_datasets(
                path, amplifiers={"*": "log"}
            )  # FlowIO takes floating point data for logarithms
            assert len(samples) == len(answer[1]), path
            for sample, flow, expected in zip(samples, *answer, strict=True):
                _count_time_like_us(sample, flow, expected)
                np.testing.assert_array_equal(sample.events, expected, err_msg=str(path))
                if "REPAIR_EMPTY_VALUE" not in str(sample.repairs):  # there FlowIO joins neighbours
                    assert [c.pnn for c in sample.channels] == [name.strip() for name in flow.pnn_labels], path
                    private = {key: value.strip(" \t\r\n\x00") for key, value in flow.text.items() if key}
                    differ = {k for k, v in private.items() if sample.keywords.get(k) != v.replace("$", "")}
                    # FlowIO removes every dollar sign from values, too; those are compared without it.
                    assert not {k for k in differ if sample.keywords.get(k, "").replace("$", "") != private[k]}, path
                compared += 1
    assert compared >= 60


def _count_time_like_us(sample, flow, expected):
    """FlowIO knows Time by that name and by $TIMESTEP only; other clocks it leaves in ticks, divided by their gain."""
    clock = sample.clock
    if clock is None or clock.step is None:
        return
    name = sample.channels[clock.column].pnn
    if name.lower() == "time" and clock.source == "$TIMESTEP":
        return
    gain = 1.0 if name.lower() == "time" else float(flow.text.get(f"p{clock.column + 1}g", 1) or 1)
    expected[:, clock.column] *= gain * clock.step


def test_layout_reads_the_file_without_the_package(outside_data):
    folder = outside_data / "torture_fcs_readers"
    checked = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in (".fcs", ".lmd"):
            continue
        try:
            samples = read_fcs_datasets(path)
        except FcsError:
            continue
        for sample in samples:
            layout = sample.layout
            assert layout.n_events == sample.n_events
            assert layout.length == -(-layout.n_events * layout.event_bits // 8)
            assert layout.data_offset + layout.length <= path.stat().st_size
            if not layout.columnar:
                assert layout.bits[0] == 24
                continue
            records = np.memmap(path, layout.dtype(), "r", layout.data_offset, (layout.n_events,))
            for column, scale in enumerate(layout.scales):
                if scale.is_identity:
                    values, mask = records[f"c{column}"], layout.masks[column]
                    values = values if mask is None else values & np.uint64(mask)
                    np.testing.assert_array_equal(np.asarray(values, dtype=np.float64), sample.events[:, column])
                    checked += 1
    assert checked > 200


def test_24_bit_channels(outside_data):
    """FlowCal's instrument: ranges of 1,024 in 24 bits, Time in tenths of a second; FlowIO cannot read it."""
    sample = read_fcs(outside_data / "torture_fcs_readers" / "flowcal" / "examples" / "FCFiles" / "sample001.fcs")
    assert sample.n_events == 33024
    assert np.all(np.diff(sample.values("Time")) >= 0)
    assert sample.values("Time").max() == pytest.approx(79.1)
    np.testing.assert_array_equal(sample.events.max(axis=0)[[1, 2, 6, 7]], 1023)


@pytest.mark.parametrize(
    ("options", "n"),
    [
        ({"datatype": "F"}, 150_000),
        ({"datatype": "D"}, 150_000),
        ({"datatype": "I", "bits": (24,) * 12, "ranges": (2**24,) * 12}, 150_000),
        ({"datatype": "I", "bits": (16,) * 12, "ranges": (1000,) * 12, "keywords": {"$P3E": "4,1"}}, 150_000),
    ],
)
def test_memory_stays_below_twice_the_data(tmp_path, options, n):
    """Never more than twice the data: the float64 result, and less than as much again while it is made."""
    width = {"F": 4, "D": 8, "I": options.get("bits", (0,))[0] // 8}[options["datatype"]]
    path = tmp_path / "large.fcs"
    row = [[0] * 12]
    path.write_bytes(fcs(row * n, [f"c{i}" for i in range(12)], data=bytes(n * 12 * width), **options))
    tracemalloc.start()
    sample = read_fcs(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    data = sample.events.nbytes
    assert data == n * 12 * 8
    assert peak < 1.5 * data
