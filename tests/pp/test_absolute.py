"""Cells/uL: numbers calculated by hand, the choice of the method, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import absolute_counts
from immunoprofile import pp
from immunoprofile.errors import AnalysisError, UnitError
from immunoprofile.pp.absolute import cells_per_event
from tests.pp.visits_object import visits_object


def column(adata, layer: str, population: str) -> np.ndarray:  # type: ignore[no-untyped-def]
    return adata.layers[layer][:, adata.var_names.get_loc(population)]


def test_bead_golden() -> None:
    result = pp.bead_concentration(5_000, 12_000, beads_per_tube=49_650, volume_ul=50)
    assert float(result.value) == pytest.approx(413.75, rel=1e-12)
    assert float(result.cv) == pytest.approx(3.440, abs=5e-4)
    counting = pp.bead_concentration(5_000, 12_000, beads_per_tube=49_650, volume_ul=50, cv_pipetting=0)
    assert float(counting.cv) == pytest.approx(1.683, abs=5e-4)
    assert result.lower < result.value < result.upper


def test_dual_golden() -> None:
    alc = pp.analyser_alc(3.2, 25)
    assert float(alc) == 800
    assert float(pp.dual_platform(4_125, 10_000, alc=alc).value) == pytest.approx(330)


def test_volumetric_by_hand() -> None:
    result = pp.volumetric_concentration(4_000, 100, dilution=10)
    assert float(result.value) == 400  # 4,000 / 100 uL x 10
    assert float(result.cv) == pytest.approx(100 * (1 / 4000 + 0.03**2) ** 0.5)
    assert np.isnan(pp.volumetric_concentration(4_000, np.nan).value)
    assert float(pp.volumetric_concentration(0, 100).upper) == pytest.approx(3.689 / 100, rel=1e-3)
    with pytest.raises(AnalysisError, match="not whole blood"):
        pp.volumetric_concentration(4_000, 100, specimen_type="PBMC_FROZEN")


def test_errors_of_beads_and_blood_count_by_hand() -> None:
    result = pp.bead_concentration(5_000, 12_000, beads_per_tube=49_650, volume_ul=50, cv_beads=0.02)
    assert float(result.cv) == pytest.approx(100 * (1 / 5000 + 1 / 12_000 + 0.03**2 + 0.02**2) ** 0.5)
    assert float(result.cv) == pytest.approx(3.979, abs=5e-4)
    dual = pp.dual_platform(4_125, 10_000, alc=800, cv_analyser=0.05)
    assert float(dual.cv) == pytest.approx(100 * (0.05**2 + 1 / 4125 - 1 / 10_000) ** 0.5)


@pytest.mark.parametrize("case", absolute_counts.CASES, ids=lambda case: case[0])
def test_intervals_of_bridged_counts_cover(case: tuple[str, float, float, int, int]) -> None:
    """93 to 97 % under pipetting of 3 %, a bead loss of up to 3 %, and 5 % of the blood count (long: benchmarks)."""
    _, parent, share, counted, other = case
    rng, n = np.random.default_rng(11), 20_000
    settings = (parent, share, counted, other)
    found = {
        "beads": absolute_counts.beads(rng, n, *settings, loss=0.03),
        "volume": absolute_counts.volumetric(rng, n, *settings),
        "blood count": absolute_counts.blood_count(rng, n, *settings),
    }
    for name, one in found.items():
        assert 0.93 <= absolute_counts.coverage(one, parent * share) <= 0.97, name


def test_a_volumetric_cytometer_counts_where_there_are_no_beads() -> None:
    adata = visits_object()
    adata.obs["n_beads"] = np.nan
    adata.obs["beads_per_tube"] = np.nan
    adata.obs["acquired_volume_ul"] = [100.0, 100.0, 100.0, np.nan]
    adata.obs["dilution"] = 10.0
    pp.absolute(adata)
    # the second subject has no volume at one visit, and a blood count at both: the whole subject takes that
    assert list(adata.obs["abs_method"]) == ["volumetric", "volumetric", "dual_lymph", "dual_lymph"]
    counts = column(adata, "counts", "lymphocytes")
    np.testing.assert_allclose(column(adata, "abs", "lymphocytes")[:2], counts[:2] / 10)
    np.testing.assert_allclose(
        column(adata, "abs_cv", "cd4")[0], 100 * (1 / column(adata, "counts", "cd4")[0] + 9e-4) ** 0.5
    )
    pp.absolute(adata, method="volumetric")
    assert list(adata.obs["abs_method"]) == ["volumetric", "volumetric", "volumetric", "none"]


@pytest.mark.parametrize("unit", ["10^9/L", "K/uL", "10^3/uL", "K/µL", "10⁹/L"])
def test_thousands_per_ul(unit: str) -> None:
    assert float(pp.cells_per_ul(3.2, unit)) == 3200


@pytest.mark.parametrize("unit", ["10^6/L", "cells/uL", "/mm3", "/mm³", "cells/µL"])
def test_cells_per_ul(unit: str) -> None:
    assert float(pp.cells_per_ul(813, unit)) == 813


@pytest.mark.parametrize("unit", ["%", "10^12/L", "", "g/L"])
def test_unknown_unit_is_refused(unit: str) -> None:
    with pytest.raises(UnitError, match="unit"):
        pp.cells_per_ul(1, unit)


def test_separated_cells_are_refused() -> None:
    with pytest.raises(AnalysisError, match="not whole blood"):
        pp.bead_concentration(5_000, 12_000, beads_per_tube=49_650, volume_ul=50, specimen_type="PBMC_FRESH")


@pytest.mark.parametrize(("beads", "known"), [(499, False), (500, True)])
def test_bead_minimum(beads: int, known: bool) -> None:
    result = pp.bead_concentration(5_000, beads, beads_per_tube=49_650, volume_ul=50)
    assert np.isnan(result.value) != known


def test_none_found_has_an_upper_limit_and_no_cv() -> None:
    result = pp.bead_concentration(0, 10_000, beads_per_tube=50_000, volume_ul=50)
    assert (float(result.value), float(result.lower)) == (0, 0)
    assert np.isnan(result.cv)
    assert float(result.upper) == pytest.approx(3.689 * 0.1, rel=1e-3)


@given(st.integers(1, 4000), st.integers(4000, 10_000))
def test_bridge_propagates_on_the_log_scale(count: int, total: int) -> None:
    anchor = pp.bead_concentration(4_000, 10_000, beads_per_tube=50_000, volume_ul=50)
    result = pp.bridge(anchor, count, total)
    assert float(result.value) == pytest.approx(400 * count / total)
    expected = (float(anchor.cv) / 100) ** 2 + 1 / count - 1 / total
    assert (float(result.cv) / 100) ** 2 == pytest.approx(expected)
    assert result.lower <= result.value <= result.upper


def test_absolute_by_beads_and_bridge() -> None:
    adata = visits_object()
    pp.absolute(adata)
    np.testing.assert_allclose(column(adata, "abs", "lymphocytes"), 1000)
    np.testing.assert_allclose(column(adata, "abs", "cd4"), 400)
    np.testing.assert_allclose(column(adata, "abs", "treg"), 400 * 250 / 5000)
    np.testing.assert_allclose(adata.layers["abs_bead"], adata.layers["abs_dual"])
    assert list(adata.obs["abs_method"]) == ["bead"] * 4
    assert list(adata.obs["flags"]) == ["SYNTHETIC_DATA"] * 4
    np.testing.assert_allclose(cells_per_event(adata)[:, :6], 0.1)
    np.testing.assert_allclose(cells_per_event(adata)[:, 6], 400 / 5000)


def test_a_whole_subject_switches_never_one_visit() -> None:
    adata = visits_object()
    adata.obs.loc["S1_D14", ["n_beads"]] = np.nan
    adata.obs["alc"] = [1200.0, 900.0, 1100.0, 1000.0]
    pp.absolute(adata)
    assert list(adata.obs["abs_method"]) == ["dual_lymph", "dual_lymph", "bead", "bead"]
    np.testing.assert_allclose(column(adata, "abs", "lymphocytes"), [1200, 900, 1000, 1000])
    flags = adata.obs["flags"].str.split()
    assert ["ABS_METHOD_SWITCHED" in codes for codes in flags] == [True, True, False, False]
    assert ["NO_BEADS" in codes for codes in flags] == [False, True, False, False]
    before = adata.obs["flags"].tolist()
    pp.absolute(adata)
    assert adata.obs["flags"].tolist() == before


def test_neither_method_complete_takes_the_one_with_more_rows_and_leaves_gaps() -> None:
    adata = visits_object()
    adata.obs.loc["S1_D14", ["n_beads", "alc", "wbc"]] = np.nan
    pp.absolute(adata)
    assert list(adata.obs["abs_method"]) == ["bead", "none", "bead", "bead"]
    assert np.isnan(adata.layers["abs"][1]).all()


@pytest.mark.parametrize(
    ("field", "value"), [("bead_lot", ""), ("beads_per_tube", np.nan), ("blood_volume_ul", np.nan), ("n_beads", 499.0)]
)
def test_an_incomplete_bead_record_gives_no_count(field: str, value: object) -> None:
    adata = visits_object()
    adata.obs[["alc", "wbc"]] = np.nan
    adata.obs.loc["S2_D14", field] = value
    pp.absolute(adata)
    assert np.isnan(adata.layers["abs"][3]).all()
    assert not np.isnan(adata.layers["abs"][2]).any()
    assert adata.obs.loc["S2_D14", "abs_method"] == "none"


@pytest.mark.parametrize(("field", "value"), [("blood_volume_ul", np.nan), ("bead_lot", "")])
def test_bead_records_that_are_all_incomplete_are_flagged(field: str, value: object) -> None:
    """The blood count stands in for every visit: the reader has to know that the beads give nothing."""
    adata = visits_object()
    adata.obs[field] = value
    pp.absolute(adata)
    assert (adata.obs["abs_method"] == "dual_lymph").all()
    for flag in ("NO_BEADS", "ABS_METHOD_SWITCHED"):
        assert adata.obs["flags"].str.contains(flag).all()


def test_few_beads_are_flagged() -> None:
    adata = visits_object()
    adata.obs["n_beads"] = [1000.0, 999.0, 500.0, 499.0]
    pp.absolute(adata)
    assert ["BEADS_LOW" in codes for codes in adata.obs["flags"].str.split()] == [False, True, True, True]


def test_separated_cells_use_the_blood_count() -> None:
    adata = visits_object()
    adata.obs["specimen_type"] = "PBMC_FRESH"
    with pytest.raises(AnalysisError, match="separated cells"):
        pp.absolute(adata, method="bead")
    pp.absolute(adata)
    assert np.isnan(adata.layers["abs_bead"]).all()
    assert set(adata.obs["abs_method"]) == {"dual_lymph"}


def test_white_cells_stand_in_only_for_the_whole_subject() -> None:
    adata = visits_object()
    adata.obs[["n_beads", "beads_per_tube"]] = np.nan  # a study without beads
    adata.obs.loc["S1_D14", "alc"] = np.nan
    adata.layers["pct_leukocytes"] = adata.layers["pct_lymphocytes"] / 2
    pp.absolute(adata)
    assert list(adata.obs["abs_method"]) == ["dual_wbc", "dual_wbc", "dual_lymph", "dual_lymph"]
    np.testing.assert_allclose(column(adata, "abs", "lymphocytes"), 1000)
    assert not adata.obs["flags"].str.contains("SWITCHED").any()


def test_rows_in_another_order_give_the_same() -> None:
    adata = visits_object()
    adata.obs["n_beads"] = [10_000.0, np.nan, 8_000.0, 900.0]
    adata.obs["alc"] = [1200.0, 900.0, 1100.0, np.nan]
    turned = adata[[3, 1, 0, 2]].copy()
    pp.absolute(adata)
    pp.absolute(turned)
    pd.testing.assert_frame_equal(turned.to_df("abs").loc[adata.obs_names], adata.to_df("abs"))
    pd.testing.assert_series_equal(turned.obs["flags"].loc[adata.obs_names], adata.obs["flags"])


def test_missing_inputs_are_named() -> None:
    adata = visits_object()
    del adata.uns["study"]
    with pytest.raises(AnalysisError, match="count_tube"):
        pp.absolute(adata)
    adata = visits_object()
    adata.var.loc["treg", "abs_anchor"] = "cd4x"
    with pytest.raises(AnalysisError, match="cd4x"):
        pp.absolute(adata)
