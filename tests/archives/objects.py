"""The two objects: visits of a small trial with its statistics, and cells of a small tube."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd

from immunoprofile import datasets, schema, tl
from immunoprofile.gate.cells import cells_of
from immunoprofile.gate.evaluate import gate_sample
from immunoprofile.gate.scales import Scale
from immunoprofile.gate.strategy import Dimension, Gate, Strategy
from immunoprofile.io.fcs import Channel, Sample


def visits_object() -> anndata.AnnData:
    """Four subjects, three visits; obs with missing numbers, texts and flags, tables in uns."""
    adata = datasets.il2_cmv_counts(subjects=4, seed=7, visits=3)
    tl.change(adata, visit="D14")
    adata.obs["reviewed"] = pd.array([True, None, *[False] * (adata.n_obs - 2)], dtype="boolean")
    adata.obs["remark"] = pd.Series(
        ["first look", None, *[""] * (adata.n_obs - 2)], index=adata.obs_names, dtype=object
    )
    rows = [("S1", "D14", "", "", "lymphosum", np.nan, "%", "pass 95 to 105", "NOT_EVALUABLE", "")]
    adata.uns[schema.UNS_QUALITY] = pd.DataFrame(rows, columns=list(schema.QUALITY_COLUMNS))
    return adata


def cells_object() -> anndata.AnnData:
    """Forty cells of two populations."""
    rng = np.random.default_rng(5)
    channels = tuple(
        Channel(name, label, label or name, 262144.0)
        for name, label in (("FSC-A", ""), ("V450-A", "CD3"), ("Time", ""))
    )
    events = np.column_stack([rng.normal(3e4, 2e3, 40), rng.lognormal(7, 2, 40), np.arange(40.0)])
    scale = ("logicle", Scale.of("logicle", {"T": 262144.0, "W": 0.5, "M": 4.5, "A": 0.0}))
    t = Gate("t", "root", "rectangle", (Dimension("CD3", minimum=0.4, scale="logicle", compensated=False),))
    flags = {"margins": np.arange(40) < 3}
    gated = gate_sample(Sample("s.fcs", events, channels), Strategy("t", (t,), scales=(scale,)), comp_source="none")
    return cells_of(gated, "s", flags=flags)
