"""Percentages, ratios and change from baseline on the visits object."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile import pp
from immunoprofile.errors import AnalysisError
from tests.pp.visits_object import visits_object


def test_percentages_and_limits() -> None:
    adata = visits_object()
    adata.layers["counts"][0, 6] = 50
    adata.layers["parent_counts"][0, 6] = 1000
    adata.layers["counts"][1, 6] = adata.layers["parent_counts"][1, 6] = 0
    adata.layers["counts"][2, 6] = adata.layers["parent_counts"][2, 6] = np.nan
    pp.percentages(adata)
    np.testing.assert_allclose(adata.X[:, 6], [5, np.nan, np.nan, 5])
    assert adata.layers["pct_parent_lower"][0, 6] == pytest.approx(3.813, abs=5e-4)
    assert adata.layers["pct_parent_upper"][0, 6] == pytest.approx(6.531, abs=5e-4)
    np.testing.assert_array_equal(adata.layers["low_events"][:, 6], [1, 0, np.nan, 0])


def test_child_larger_than_parent_is_an_error() -> None:
    adata = visits_object()
    adata.layers["counts"][1, 7] = 5001
    with pytest.raises(AnalysisError, match="S1_D14 tconv: 5001 of 5000"):
        pp.percentages(adata)


def test_ratios_of_one_tube_and_of_two() -> None:
    adata = visits_object()
    adata.layers["anchor_counts"][1, 6:] = 2500  # the other tube saw half as many CD4 cells
    pp.absolute(adata)
    pp.ratios(adata)
    raw = adata.obsm["ratios"]
    np.testing.assert_allclose(raw["cd4_cd8"], 4000 / 2900)
    np.testing.assert_allclose(raw["treg_tconv"], 250 / 4750)
    np.testing.assert_allclose(raw["cd8_treg"], [290 / 20, 290 / 40, 290 / 20, 290 / 20])
    assert raw["nkbright_nkdim"].isna().all()
    np.testing.assert_allclose(adata.obsm["log2_ratios"]["cd8_treg"], np.log2(raw["cd8_treg"]))


def test_zero_in_a_ratio() -> None:
    adata = visits_object()
    adata.layers["counts"][0, adata.var_names.get_loc("cd8")] = 0
    adata.layers["counts"][1, adata.var_names.get_loc("cd4")] = 0
    adata.layers["counts"][2, adata.var_names.get_loc("nk")] = 0
    pp.absolute(adata)
    pp.ratios(adata)
    assert np.isnan(adata.obsm["ratios"]["cd4_cd8"].iloc[0])
    assert adata.obsm["ratios"]["cd4_cd8"].iloc[1] == 0
    assert adata.obsm["log2_ratios"]["cd4_cd8"].iloc[1] == pytest.approx(np.log2(0.5 / 2900))
    # half an event of NK stands for 0.05 cells/uL, Treg are 20/uL
    assert adata.obsm["log2_ratios"]["nk_treg"].iloc[2] == pytest.approx(np.log2(0.05 / 20))


def test_change_from_baseline() -> None:
    adata = visits_object()
    adata.layers["counts"][1, 6] = 500
    pp.percentages(adata)
    pp.absolute(adata)
    pp.baseline_change(adata)
    assert adata.obsm["delta_baseline"].loc["S1_D14", "treg"] == pytest.approx(5)
    assert adata.obsm["log2fc_baseline"].loc["S1_D14", "treg"] == pytest.approx(1)
    assert adata.obsm["log2fc_baseline_abs"].loc["S1_D14", "treg"] == pytest.approx(1)
    assert (adata.obsm["delta_baseline"].loc["S2_BL"] == 0).all()


def test_without_baseline_there_is_no_change() -> None:
    adata = visits_object()[1:].copy()
    pp.baseline_change(adata)
    assert adata.obsm["delta_baseline"].loc["S1_D14"].isna().all()
    assert adata.obsm["log2fc_baseline_abs"].isna().all(axis=None)


def test_two_baselines_are_an_error() -> None:
    adata = visits_object()
    adata.obs["baseline_flag"] = True
    with pytest.raises(AnalysisError, match="two baseline rows"):
        pp.baseline_change(adata)
