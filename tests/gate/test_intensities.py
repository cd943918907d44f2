"""Statistics of intensities, against hand calculations, SciPy and what must hold when all values are multiplied."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from immunoprofile.errors import GateError
from immunoprofile.gate.batch import batch_intensities
from immunoprofile.gate.evaluate import gate_sample
from immunoprofile.gate.exchange import load
from immunoprofile.gate.intensities import check_statistics, intensity, intensity_table
from immunoprofile.gate.strategy import Dimension, Gate, Strategy
from immunoprofile.io.fcs import read_fcs
from immunoprofile.profiling import profile
from immunoprofile.study import read_study
from tests.io.fcs_files import events, spill_text, write
from tests.small_study import STUDY_YAML, write_gates, write_study

NAMES = ("median", "mean", "geomean", "sd", "cv", "rsd", "rcv", "p5", "p97.5")


def value(values, statistic):
    return intensity(np.array(values, dtype=float), statistic).value


def test_by_hand():
    assert value([1, 2, 3, 10], "median") == 2.5
    assert value([1, 2, 3, 10], "mean") == 4
    assert value([1, 10, 100], "geomean") == pytest.approx(10)
    assert value([2, 4, 4, 4, 5, 5, 7, 9], "sd") == pytest.approx(math.sqrt(32 / 7))
    assert value([2, 4, 4, 4, 5, 5, 7, 9], "cv") == pytest.approx(100 * math.sqrt(32 / 7) / 5)
    assert value(range(101), "p97.5") == 97.5
    assert value([-3, -1, 5], "mean") == pytest.approx(1 / 3)


def test_geometric_mean_tells_what_it_leaves_out():
    found = intensity(np.array([-5.0, 0.0, 1.0, 100.0]), "geomean")
    assert (found.value, found.left_out_pct) == (pytest.approx(10), 50.0)
    assert math.isnan(value([-1, 0], "geomean"))


def test_robust_spread_of_a_normal_distribution_is_its_spread():
    sample = np.random.default_rng(7).normal(1000, 50, 200_000)
    assert value(sample, "rsd") == pytest.approx(50, rel=0.01)
    assert value(sample, "rcv") == pytest.approx(5, rel=0.01)
    low, high = np.percentile(sample, [100 * stats.norm.cdf(-1), 100 * stats.norm.cdf(1)])
    assert value(sample, "rsd") == pytest.approx((high - low) / 2)


def test_nothing_and_no_numbers():
    assert all(math.isnan(value([], name)) for name in NAMES)
    found = intensity(np.array([1.0, np.nan, np.inf, 3.0]), "mean")
    assert (found.value, found.left_out_pct) == (2, 50)
    assert math.isnan(value([5], "sd"))
    assert math.isnan(value([-4, -2], "cv"))
    assert math.isnan(value([-4, -2], "rcv"))


@given(st.lists(st.floats(0.1, 1e5), min_size=2, max_size=60), st.floats(0.01, 100))
def test_gain_scales_intensities_and_leaves_shares(values, gain):
    for name in NAMES:
        before, after = value(values, name), value(np.array(values) * gain, name)
        expected = before if name in ("cv", "rcv") else before * gain
        assert after == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", ["mode", "p0", "p100", "pNN", "p-1", ""])
def test_unknown_statistics_are_refused_with_those_there_are(name):
    with pytest.raises(GateError, match="geomean"):
        check_statistics(["median", name])


def test_table_of_a_file(tmp_path):
    sample = read_fcs(write(tmp_path / "a.fcs", events(1500), **{"$SPILLOVER": spill_text()}))
    bright = Gate("bright", "root", "rectangle", (Dimension("FITC-A", 500.0, None, compensated=True),))
    gated = gate_sample(sample, Strategy("t", (bright,)))
    table = intensity_table(gated, ("median", "geomean", "rcv"))
    assert len(table) == 3 * len(sample.channels)
    row = table[(table["channel"] == "FITC-A") & (table["statistic"] == "median")].iloc[0]
    inside = gated.compensated[gated.mask("bright"), 2]
    assert row["value"] == np.median(inside)
    assert (row["n"], row["gate_path"], row["unit"]) == (len(inside), "root/bright", "")
    with pytest.raises(GateError, match="bright"):
        intensity_table(gated, ("median",), ["dull"])


def test_many_files_and_a_study(tmp_path):
    files = [write(tmp_path / f"{n}.fcs", events(800, seed=n), **{"$SPILLOVER": spill_text()}) for n in (1, 2)]
    bright = Gate("bright", "root", "rectangle", (Dimension("FITC-A", 500.0, None, compensated=True),))
    gates = Strategy("t", (bright,))
    table = batch_intensities(files, gates, statistics=("geomean", "p5"), jobs=2)
    assert list(table["file"].unique()) == [path.as_posix() for path in files]
    for path in files:
        alone = intensity_table(gate_sample(read_fcs(path), gates), ("geomean", "p5"))
        own = table[table["file"] == path.as_posix()].drop(columns="file").reset_index(drop=True)
        pd.testing.assert_frame_equal(own, alone)


def test_a_study_asks_for_statistics(tmp_path):
    write_study(tmp_path / "study", config=STUDY_YAML + "intensity_statistics: [geomean, rcv]\n")
    write_gates(tmp_path / "gates")
    study, gates = read_study(tmp_path / "study"), load(tmp_path / "gates")
    result = profile(study, gates, out=tmp_path / "results")
    table = result.tables["intensities"]
    assert set(table["statistic"]) == {"geomean", "rcv"}
    by_visit = result.visits.obsm["intensity_geomean"]
    row = table[(table["sample_id"] == "S-1_D14") & (table["population"] == "t") & (table["statistic"] == "geomean")]
    for entry in row.itertuples():
        column = f"t_{''.join(c if c.isalnum() else '_' for c in entry.marker.casefold())}"
        if column in by_visit:
            assert by_visit.loc["S-1_D14", column] == pytest.approx(entry.value)
    assert "t_cd3" in by_visit
    again = profile(study, gates, out=tmp_path / "results")
    assert again.visits.obsm["intensity_rcv"].equals(result.visits.obsm["intensity_rcv"])
    (tmp_path / "study" / "study.yaml").write_text(STUDY_YAML + "intensity_statistics: [mode]\n")
    with pytest.raises(GateError, match="mode"):
        profile(read_study(tmp_path / "study"), gates, out=tmp_path / "other")
