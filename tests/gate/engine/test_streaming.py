"""Files evaluated block by block against the same files in memory, and against FlowKit."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile.compensation import from_keywords
from immunoprofile.errors import FcsError, ImmunoprofileError
from immunoprofile.gate.engine import evaluate, evaluate_file
from immunoprofile.gate.engine.streaming import CHUNK
from immunoprofile.io.fcs import read_fcs, read_fcs_datasets, read_fcs_head
from immunoprofile.io.markers import is_scatter, is_time
from tests.gate.engine.cases import case_on
from tests.gate.engine.differential import Outcome, compare
from tests.io.fcs_files import events, spill_text, write

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def same(path, seed: int, *, dataset: int | None = None, jobs: int = 1, gates: int = 12):
    """Streamed, in memory and FlowKit agree; the record of the streamed file."""
    head = read_fcs_head(path, dataset=dataset)
    sample = read_fcs(path, dataset=dataset)
    spillover = from_keywords(sample)
    one = case_on(sample, spillover, seed, gates=gates)
    streamed = evaluate_file(path, head, one.strategy, spillover, jobs=jobs)
    whole = evaluate(one.strategy, sample, spillover)
    np.testing.assert_array_equal(streamed.masks.words, whole.masks.words)
    assert streamed.counts == whole.counts
    if spillover is None or not any(is_scatter(name) or is_time(name) for name in spillover.channels):
        # FlowKit refuses matrices of scatter channels
        outcome = Outcome()
        compare(one, outcome)
        assert not outcome.differences, "\n".join(outcome.differences)
    return streamed.record


@pytest.mark.parametrize("n", [0, 1, 7, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_any_number_of_events(tmp_path, n):
    path = write(tmp_path / "a.fcs", events(n), **{"$SPILLOVER": spill_text(), "p4g": "2.5"})
    assert same(path, n).tier == "kernel"
    assert same(path, n + 1, jobs=3).tier == "kernel"


def test_more_nodes_than_a_word_has_bits(tmp_path):
    path = write(tmp_path / "a.fcs", events(2 * CHUNK + 9), **{"$SPILLOVER": spill_text()})
    assert same(path, 4, gates=140, jobs=2).tier == "kernel"


def test_events_that_are_no_numbers(tmp_path):
    data = events(3000)
    data[::50, 2], data[3::70, 4], data[5::90, 0], data[7::40, 3] = np.nan, np.inf, -np.inf, 3e38
    path = write(tmp_path / "a.fcs", data, **{"$SPILLOVER": spill_text()})
    for seed in range(5):
        assert same(path, seed).n_arbiter >= 60


def test_a_file_that_shrinks_is_refused(tmp_path):
    path = write(tmp_path / "a.fcs", events(5000), **{"$SPILLOVER": spill_text()})
    head = read_fcs_head(path)
    sample = read_fcs(path)
    one = case_on(sample, from_keywords(sample), 3)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(FcsError, match="ended while it was read"):
        evaluate_file(path, head, one.strategy, one.spillover)


@pytest.mark.outside_data
def test_files_of_all_vendors(outside_data):
    """Integers, mixed widths, logarithmic amplifiers, doubles, odd byte orders, several data sets, duplicate labels."""
    met = {"I": 0, "F": 0, "D": 0, "log": 0}
    files = sorted((outside_data / "torture_fcs_readers").rglob("*.fcs")) + sorted(
        (outside_data / "torture_fcs_readers").rglob("*.lmd")
    )
    for number, path in enumerate(files):
        try:
            samples = read_fcs_datasets(path)
            for sample in samples:
                from_keywords(sample)
        except ImmunoprofileError:
            continue
        for position, sample in enumerate(samples, 1):
            if sample.n_events > 60_000:
                continue
            same(path, number, dataset=position)
            assert sample.layout is not None
            met[sample.layout.datatype] += 1
            met["log"] += any(scale.decades for scale in sample.layout.scales)
    assert met["I"] >= 5 and met["F"] >= 5 and met["log"] >= 2, met


@pytest.mark.outside_data
@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("itn507_multitube", "*.fcs"),
        ("hd_longitudinal_replicates", "HD_A_1_*.fcs"),
        ("immport_sdy736_sdy420_metacyto", "*.fcs"),
        ("treg_tube_facscalibur_galaxy", "*.fcs"),
        ("pbmc_cytof_bodenmiller_labelled", "*cd8*H1*.fcs"),
        ("qc_peacoqc_111", "*.fcs"),
        ("comp_controls_conventional", "*.fcs"),
        ("wsp_flowjo_mouse_flowsom", "*.fcs"),
    ],
)
def test_real_files(outside_data, folder, pattern):
    files = sorted((outside_data / folder).rglob(pattern))[:4]
    assert files
    checked = 0
    for number, path in enumerate(files):
        try:
            if read_fcs_head(path).layout.n_events > 120_000:
                continue
        except FcsError:
            continue
        same(path, 50 + number)
        checked += 1
    assert checked
