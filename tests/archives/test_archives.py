"""What one version of anndata wrote reads in the other: the same values, and the functions work on it."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

import immunoprofile as ip
from immunoprofile.errors import NotAvailableError
from tests.archives.objects import cells_object, visits_object

FILES = sorted(Path(__file__).parent.glob("*.h5ad"))


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """Values as objects, missing ones alike: a reader may choose the dtype of a text."""
    return table.astype(object).where(table.notna().to_numpy(), None).rename_axis(None).rename(index=str)


def test_both_versions_of_the_lock_have_written() -> None:
    assert {path.stem for path in FILES} == {f"{name}-0.{n}" for name in ("visits", "cells") for n in (12, 13)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_values_are_those_that_were_written(path: Path) -> None:
    found = anndata.read_h5ad(path)
    made = visits_object() if path.stem.startswith("visits") else cells_object()
    np.testing.assert_allclose(found.X, made.X, rtol=1e-9)
    names = ip.get.layer_names(made)
    assert sorted(ip.get.layer_names(found)) == sorted(names)
    assert "None" not in names
    for name in names:
        np.testing.assert_allclose(found.layers[name], made.layers[name], rtol=1e-9, err_msg=name)
    for one, other in ((found.obs, made.obs), (found.var, made.var)):
        pd.testing.assert_frame_equal(plain(one), plain(other), check_dtype=False, rtol=1e-9)
    tables = {name: value for name, value in made.uns.items() if isinstance(value, pd.DataFrame)}
    for name, table in tables.items():
        pd.testing.assert_frame_equal(plain(found.uns[name]), plain(table), check_dtype=False, rtol=1e-9)


@pytest.mark.parametrize("path", [path for path in FILES if "visits" in path.stem], ids=lambda path: path.stem)
def test_the_functions_work_on_what_was_read(path: Path) -> None:
    found = anndata.read_h5ad(path)
    table = ip.get.visits(found)
    assert table["abs"].notna().all()
    with pytest.raises(NotAvailableError, match="one of: pct_parent, abs, counts, parent_counts"):
        ip.get.visits(found, layers=["nothing"])
    with pytest.raises(NotAvailableError, match=r"there is: .*change"):
        ip.get.statistics(found, "nothing")
    before = ip.get.statistics(found, "change")
    ip.tl.change(found, visit="D14")
    pd.testing.assert_frame_equal(plain(ip.get.statistics(found, "change")), plain(before), rtol=1e-9)
    assert ip.pl.trajectory(found, ["treg", "nk"]).axes
    reviewed = found.obs["reviewed"]
    assert reviewed.isna().sum() == 1 and bool(reviewed.iloc[0]) is True


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_can_be_written_again(path: Path, tmp_path: Path) -> None:
    found = anndata.read_h5ad(path)
    found.write_h5ad(tmp_path / "again.h5ad")
    again = anndata.read_h5ad(tmp_path / "again.h5ad")
    pd.testing.assert_frame_equal(plain(again.obs), plain(found.obs))
    assert ip.get.layer_names(again) == ip.get.layer_names(found)
