"""What is read back of a visits object: the same cells, each word kept once."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd

from immunoprofile.io.h5ad import read_h5ad, write_h5ad


def test_words_of_tables_are_kept_once_and_all_cells_are_as_written(tmp_path):
    table = pd.DataFrame(
        {
            "check": ["margins", "flow rate"] * 200,
            "value": np.arange(400.0),
            "said": ["PASS", "", "WARN", "PASS"] * 100,
        }
    )
    adata = anndata.AnnData(np.zeros((2, 1)), uns={"quality": table, "version": "1"})
    adata.obs["usubjid"] = ["S-1", "S-1"]
    write_h5ad(adata, tmp_path / "visits.h5ad")
    ours, theirs = read_h5ad(tmp_path / "visits.h5ad"), anndata.read_h5ad(tmp_path / "visits.h5ad")
    pd.testing.assert_frame_equal(ours.uns["quality"], theirs.uns["quality"])
    pd.testing.assert_frame_equal(ours.obs, theirs.obs)
    assert ours.uns["version"] == "1"
    words = ours.uns["quality"]["check"]
    assert len({id(word) for word in words}) == 2
    assert len({id(word) for word in theirs.uns["quality"]["check"]}) == 400
