"""A small visits object with round numbers: two tubes, two subjects, two visits."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd

VAR = pd.DataFrame(
    {
        "display": ["Lymphocytes", "T", "B", "NK", "CD4", "CD8", "Treg", "Tconv"],
        "parent": ["leukocytes", "lymphocytes", "lymphocytes", "lymphocytes", "t", "t", "cd4", "cd4"],
        "tube": ["count"] * 6 + ["treg"] * 2,
        "abs_anchor": ["lymphocytes", "t", "b", "nk", "cd4", "cd8", "cd4", "cd4"],
        "is_key": [False, False, False, True, False, True, True, False],
    },
    index=["lymphocytes", "t", "b", "nk", "cd4", "cd8", "treg", "tconv"],
)

# lymphocytes 10,000 = T 7,000 + B 1,000 + NK 2,000; in the other tube CD4 5,000 = Treg 250 + Tconv 4,750
COUNTS = np.array([10_000, 7_000, 1_000, 2_000, 4_000, 2_900, 250, 4_750], dtype=float)
PARENTS = np.array([20_000, 10_000, 10_000, 10_000, 7_000, 7_000, 5_000, 5_000], dtype=float)
ANCHORS = np.array([10_000, 7_000, 1_000, 2_000, 4_000, 2_900, 5_000, 5_000], dtype=float)


def visits_object() -> anndata.AnnData:
    """Four rows that are all alike: 1,000 lymphocytes/uL by beads and by the blood count."""
    subjects, visits = ["S1", "S1", "S2", "S2"], ["BL", "D14", "BL", "D14"]
    obs = pd.DataFrame(
        {
            "usubjid": subjects,
            "visit": pd.Categorical(visits, categories=["BL", "D14"], ordered=True),
            "study_day": pd.array([1, 14, 1, 14], dtype="Int64"),
            "arm": ["IL2_GCV", "IL2_GCV", "GCV", "GCV"],
            "specimen_type": "WB_EDTA",
            "baseline_flag": pd.array([True, False, True, False], dtype="boolean"),
            "flags": "SYNTHETIC_DATA",
            "n_beads": 10_000.0,
            "beads_per_tube": 50_000.0,
            "blood_volume_ul": 50.0,
            "dilution": 1.0,
            "bead_lot": "LOT1",
            "alc": 1_000.0,
            "wbc": 2_000.0,
            "hours_since_last_il2": [np.nan, 24.0, np.nan, np.nan],
        },
        index=[f"{subject}_{visit}" for subject, visit in zip(subjects, visits, strict=True)],
    )
    pct_lymphocytes = np.where(VAR["tube"] == "count", 100 * COUNTS / 10_000, np.nan)
    return anndata.AnnData(
        X=np.tile(100 * COUNTS / PARENTS, (4, 1)),
        obs=obs,
        var=VAR.copy(),
        layers={
            "counts": np.tile(COUNTS, (4, 1)),
            "parent_counts": np.tile(PARENTS, (4, 1)),
            "anchor_counts": np.tile(ANCHORS, (4, 1)),
            "pct_lymphocytes": np.tile(pct_lymphocytes, (4, 1)),
        },
        uns={"study": {"count_tube": "count", "reference_arm": "GCV", "primary_visit": "D14"}},
    )


def tube_counts(adata: anndata.AnnData) -> pd.DataFrame:
    """Counts of all tubes; the Treg tube sees T and CD4 too, and has a viability dye."""
    count = {name: (COUNTS[i], PARENTS[i]) for i, name in enumerate(VAR.index) if VAR["tube"].iloc[i] == "count"}
    count |= {"singlets": (38_000, 40_000), "time_ok": (40_000, 40_000)}
    treg = {"live": (19_000, 20_000), "singlets": (20_000, 22_000), "time_ok": (22_000, 22_000), "t": (7_100, 10_000),
            "cd4": (4_100, 7_100), "cd8": (2_900, 7_100), "treg": (250, 5_000), "treg_foxp3": (200, 250)}  # fmt: skip
    parent = {"t": "lymphocytes", "cd4": "t", "cd8": "t"}
    rows = [
        (subject, visit, tube, f"{subject}-{visit}-{tube}", name, parent.get(name, ""), float(n), float(n_parent))
        for subject, visit in zip(adata.obs["usubjid"], adata.obs["visit"], strict=True)
        for tube, content in (("count", count), ("treg", treg))
        for name, (n, n_parent) in content.items()
    ]
    columns = ["usubjid", "visit", "tube", "sample_id", "population", "parent", "n", "n_parent"]
    return pd.DataFrame(rows, columns=columns)


def samples_table(tubes: pd.DataFrame) -> pd.DataFrame:
    """Samples stained four hours after the draw."""
    table = tubes[["sample_id", "usubjid", "visit", "tube"]].drop_duplicates().rename(columns={"tube": "tube_id"})
    return table.assign(
        specimen_type="WB_EDTA", role="sample", collected_dtc="2024-03-01T08:00", stained_dtc="2024-03-01T12:00"
    )
