"""Spread under moved cuts by hand: percentages, cells/uL, changes of one subject, and the object in one gating."""

from __future__ import annotations

import math

import anndata
import numpy as np
import pytest

from immunoprofile import pp
from immunoprofile.errors import AnalysisError
from immunoprofile.gate.cut_shifts import COLUMNS, RUNS, signs
from immunoprofile.pp.gate_spread import change_spread, log_shifts, spread, under_gatings
from immunoprofile.schema import GATE_ANCHOR_COUNTS, GATE_COUNTS, GATE_FROZEN, GATE_PARENT_COUNTS
from tests.pp.visits_object import visits_object

CD25, CD4_TREG_TUBE, CD4_COUNT_TUBE = (signs(COLUMNS[place]).astype(float) for place in (0, 1, 2))


def moved_object(*, later: float = 0.10) -> anndata.AnnData:
    """Treg move by a factor exp(+-0.10) with CD25 (`later`: at D14), CD4 of both tubes with cuts of their own."""
    adata = visits_object()
    pp.percentages(adata)
    pp.absolute(adata)
    shape = (*adata.shape, RUNS)
    names = list(adata.var_names)
    counts, parents, anchors = (
        np.broadcast_to(np.asarray(adata.layers[layer])[..., None], shape).copy()
        for layer in ("counts", "parent_counts", "anchor_counts")
    )
    treg, cd4 = names.index("treg"), names.index("cd4")
    at_d14 = (adata.obs["visit"] == "D14").to_numpy()
    for row in range(adata.n_obs):
        effect = later if at_d14[row] else 0.10
        inside_cd4 = np.exp(0.02 * CD4_TREG_TUBE)
        counts[row, treg] *= np.exp(effect * CD25) * inside_cd4
        parents[row, treg] *= inside_cd4
        anchors[row, treg] *= inside_cd4
        counts[row, cd4] *= np.exp(0.03 * CD4_COUNT_TUBE)
        anchors[row, cd4] = counts[row, cd4]
    adata.obsm[GATE_COUNTS], adata.obsm[GATE_PARENT_COUNTS], adata.obsm[GATE_ANCHOR_COUNTS] = counts, parents, anchors
    adata.layers[GATE_FROZEN] = np.ones(adata.shape)
    return adata


def test_spread_of_percentages_and_concentrations():
    adata = moved_object()
    pp.gate_spread(adata)
    treg, cd4 = (adata.var_names.get_loc(name) for name in ("treg", "cd4"))
    # per cent of CD4: the cut of CD4 moves both and cancels; cells/uL hang on the CD4 of the count tube instead
    np.testing.assert_allclose(adata.layers["gate_cv"][:, treg], 10.0)
    np.testing.assert_allclose(adata.layers["gate_cv"][:, cd4], 3.0)
    np.testing.assert_allclose(adata.layers["gate_cv_abs"][:, treg], 100 * math.hypot(0.10, 0.03))
    np.testing.assert_allclose(adata.layers["gate_cv_abs"][:, cd4], 3.0)


def test_a_frozen_cut_cancels_in_a_change_unless_the_drug_moves_the_marker():
    for later, expected in ((0.10, 0.0), (0.25, 0.15), (-0.05, 0.15)):
        adata = moved_object(later=later)
        pp.gate_spread(adata)
        found = adata.obsm["gate_sd_baseline"]["treg"].to_numpy()
        np.testing.assert_allclose(found, [0.0, expected, 0.0, expected], atol=1e-12)


def test_cuts_of_a_sample_are_two_errors_that_do_not_cancel():
    adata = moved_object()
    adata.layers[GATE_FROZEN][1, :] = 0.0
    pp.gate_spread(adata)
    found = adata.obsm["gate_sd_baseline"]["treg"].to_numpy()
    np.testing.assert_allclose(found, [0.0, math.hypot(0.10, 0.10), 0.0, 0.0], atol=1e-12)
    opposite = change_spread(0.1 * CD25, -0.1 * CD25, frozen=False)
    assert opposite == pytest.approx(0.2)  # together they are worse than apart


def test_without_a_shift_there_is_no_spread():
    adata = moved_object()
    for name, layer in ((GATE_COUNTS, "counts"), (GATE_PARENT_COUNTS, "parent_counts"),
                        (GATE_ANCHOR_COUNTS, "anchor_counts")):  # fmt: skip
        adata.obsm[name] = np.broadcast_to(np.asarray(adata.layers[layer])[..., None], adata.obsm[name].shape).copy()
    pp.gate_spread(adata)
    for name in ("gate_cv", "gate_cv_abs"):
        assert np.nanmax(adata.layers[name]) == 0.0
    assert np.nanmax(adata.obsm["gate_sd_baseline"].to_numpy()) == 0.0


def test_unknown_is_not_zero():
    adata = moved_object()
    treg = adata.var_names.get_loc("treg")
    adata.obsm[GATE_COUNTS][1, treg] = np.nan
    pp.gate_spread(adata)
    assert np.isnan(adata.layers["gate_cv"][1, treg])
    assert np.isnan(adata.obsm["gate_sd_baseline"]["treg"].iloc[1])
    assert not np.isnan(adata.layers["gate_cv"][0, treg])


def test_no_event_counts_as_half_an_event():
    assert log_shifts([0, 1], 1) == pytest.approx([math.log(0.5), 0.0])
    assert spread(log_shifts([0, 0], 0)) == 0.0


def test_cells_from_a_blood_count_hang_on_their_denominator():
    """Dual platform: T / lymphocytes; a cut that moves both by the same factor changes nothing."""
    adata = moved_object()
    names = list(adata.var_names)
    adata.obs["n_beads"] = np.nan
    pp.absolute(adata)
    assert set(adata.obs["abs_method"]) == {"dual_lymph"}
    for name in ("lymphocytes", "t"):
        adata.obsm[GATE_COUNTS][:, names.index(name)] *= np.exp(0.05 * CD25)
    pp.gate_spread(adata)
    np.testing.assert_allclose(adata.layers["gate_cv_abs"][:, names.index("t")], 0.0, atol=1e-9)
    np.testing.assert_allclose(adata.layers["gate_cv_abs"][:, names.index("b")], 5.0)


def test_the_object_in_each_gating():
    adata = moved_object()
    treg = adata.var_names.get_loc("treg")
    objects = list(under_gatings(adata))
    assert len(objects) == RUNS
    for run in (0, 9, 31):
        one = objects[run]
        factor = np.exp(0.10 * CD25[run])
        np.testing.assert_allclose(one.X[:, treg], adata.X[:, treg] * factor)
        bridged = adata.layers["abs"][:, treg] * factor * np.exp(0.03 * CD4_COUNT_TUBE[run])
        np.testing.assert_allclose(one.layers["abs"][:, treg], bridged)


def test_an_object_without_moved_cuts_says_so():
    adata = visits_object()
    pp.percentages(adata)
    pp.absolute(adata)
    with pytest.raises(AnalysisError, match="no counts under moved cuts"):
        pp.gate_spread(adata)
    some = moved_object()[:, ["treg", "cd4"]].copy()
    with pytest.raises(AnalysisError, match="chosen anew"):
        pp.gate_spread(some)
