"""Tidy tables out of the visits object."""

from __future__ import annotations

import numpy as np
import pytest

from immunoprofile import get
from immunoprofile.datasets import il2_cmv_counts
from immunoprofile.errors import NotAvailableError


def test_long_table_has_every_number_at_its_place() -> None:
    adata = il2_cmv_counts(subjects=4, seed=1)
    table = get.visits(adata, populations=["treg", "nk"])
    assert len(table) == adata.n_obs * 2
    for row in (0, 5, 11):
        entry = table[
            (table["usubjid"] == adata.obs["usubjid"].iloc[row]) & (table["visit"] == adata.obs["visit"].iloc[row])
        ]
        for population in ("treg", "nk"):
            column = adata.var_names.get_loc(population)
            found = entry[entry["population"] == population].iloc[0]
            assert found["pct_parent"] == adata.X[row, column]
            assert found["abs"] == adata.layers["abs"][row, column]
            assert found["parent"] == adata.var["parent"].iloc[column]
    assert table["visit"].cat.ordered


def test_unknown_names_are_told() -> None:
    adata = il2_cmv_counts(subjects=4, seed=1)
    with pytest.raises(NotAvailableError, match="tregs"):
        get.visits(adata, populations=["tregs"])
    with pytest.raises(NotAvailableError, match="no layer absolute"):
        get.visits(adata, layers=["absolute"])


def test_default_layers_that_do_not_exist_are_left_out() -> None:
    adata = il2_cmv_counts(subjects=4, seed=1)
    del adata.layers["abs"]
    assert "abs" not in get.visits(adata).columns


def test_cmv_has_one_row_a_result() -> None:
    adata = il2_cmv_counts(subjects=10, seed=1)
    table = get.cmv(adata)
    assert len(table) == int((adata.obs["cmv_kind"].fillna("") != "").sum())
    assert table.loc[table["cmv_kind"] != "QUANT", "cmv_log10"].isna().all()
    assert np.isfinite(table.loc[table["cmv_kind"] == "QUANT", "cmv_log10"]).all()
