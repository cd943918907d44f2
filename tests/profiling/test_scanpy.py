"""The cells object is ready for scanpy, above the 8,192 cells at which the neighbour search changes its method."""

from __future__ import annotations

import numpy as np

import immunoprofile as ip
from tests.io.fcs_files import events, spill_text, write
from tests.small_study import write_gates, write_study


def test_neighbours_umap_and_dot_plot(tmp_path):
    import scanpy as sc

    folder = write_study(tmp_path / "study")
    for seed, name in enumerate(("S-1_BL", "S-1_D14", "S-2_BL"), 11):
        write(folder / "fcs" / f"{name}.fcs", events(6000, seed=seed), **{"$SPILLOVER": spill_text()})
    profile = ip.profile(ip.read_study(folder), ip.gate.load(write_gates(tmp_path / "gates")), out=tmp_path / "results")
    cells = profile.cells("lymphocytes", per_visit=4000)
    assert cells.n_obs > 8192
    assert cells.X.dtype == np.float32
    assert cells.obs["visit"].cat.categories.tolist() == ["BL", "D14"]
    markers = cells.var_names[cells.var["marker_type"].isin(["lineage", "functional", "viability"])]
    selected = cells[:, markers].copy()
    sc.pp.neighbors(selected, n_neighbors=10, use_rep="X", random_state=0)
    sc.tl.umap(selected, n_components=2, maxiter=20, random_state=0)
    assert selected.obsm["X_umap"].shape == (cells.n_obs, 2)
    assert np.isfinite(selected.obsm["X_umap"]).all()
    sc.pl.dotplot(selected, list(markers), groupby="population", show=False)
