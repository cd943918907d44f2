"""Delta-adjusted multiple imputation: pooling by hand, no missing values, shifts, and agreement with the MMRM."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

from immunoprofile import tl
from immunoprofile.datasets import il2_cmv_counts
from immunoprofile.errors import AnalysisError
from immunoprofile.tl.tipping import pool


def cohort(subjects: int = 30, *, missed: int = 0) -> anndata.AnnData:
    """Of each arm ``missed`` patients have no D14."""
    adata = il2_cmv_counts(subjects=subjects, visits=4, seed=12)
    adata.uns["study"] = {"reference_arm": "GCV", "primary_visit": "D14"}
    people = adata.obs.groupby("arm", observed=True)["usubjid"].unique()
    gone = {name for names in people for name in list(names)[:missed]}
    kept = ~((adata.obs["visit"] == "D14") & adata.obs["usubjid"].isin(gone)).to_numpy()
    return adata[kept].copy()


def test_pooling_by_hand() -> None:
    """Mean 2; within 0.5 and between 1 make a total of 0.5 + 4/3, of which 8/11 are from the missing values."""
    found = pool([1, 2, 3], [0.4, 0.5, 0.6], complete_df=20)
    assert found.estimate == 2
    assert found.standard_error**2 == pytest.approx(0.5 + 4 / 3)
    old, seen = 2 / (8 / 11) ** 2, 20 * 21 / 23 * 3 / 11
    assert found.df == pytest.approx(old * seen / (old + seen))
    assert pool([1, 1], [0.5, 0.5], complete_df=20) == pytest.approx((1, np.sqrt(0.5), 20))
    with pytest.raises(AnalysisError, match="1 imputations"):
        pool([1], [1], complete_df=3)


def test_nothing_missing_is_the_ancova() -> None:
    adata = cohort()
    tl.tipping_point(adata, populations=["treg"], deltas=[0, -1], imputations=3)
    tl.compare(adata, populations=["treg"])
    table, plain = adata.uns["tipping_point"], adata.uns["compare"].iloc[0]
    for _, row in table.iterrows():
        columns = ["estimate", "lower", "upper", "p_value"]
        np.testing.assert_allclose(row[columns].astype(float), plain[columns].astype(float), rtol=1e-9)
    assert table["note"].str.startswith("0 values of IL2_GCV and 0 of GCV imputed").all()


def test_missing_at_random_agrees_with_the_mixed_model() -> None:
    adata = cohort(missed=4)
    tl.tipping_point(adata, populations=["treg"], deltas=[0], imputations=200)
    tl.mmrm(adata, populations=["treg"])
    imputed = adata.uns["tipping_point"].iloc[0]
    model = adata.uns["mmrm"].set_index("visit").loc["D14"]
    width = (model["upper"] - model["lower"]) / 2
    assert imputed["estimate"] == pytest.approx(model["estimate"], abs=0.1 * width)
    assert (imputed["upper"] - imputed["lower"]) / 2 == pytest.approx(width, rel=0.2)
    assert (imputed["n"], imputed["n_reference"]) == (15, 15)


def test_the_conclusion_tips_where_the_imputed_lose_enough() -> None:
    adata = cohort(missed=4)
    deltas = [0.0, -1.0, -2.0, -3.0, -4.0, -5.0]
    tl.tipping_point(adata, populations=["treg"], deltas=deltas, imputations=20)
    table = adata.uns["tipping_point"]
    assert len(table) == len(deltas)
    # the shift enters every data set in the same way: a straight line, about 4 of 15 patients carry it
    steps = np.diff(table["estimate"])
    np.testing.assert_allclose(steps, steps[0], rtol=1e-9)
    assert steps[0] == pytest.approx(-4 / 15, abs=0.08)
    first = float(deltas[int(np.argmax(table["p_value"] >= 0.05))])
    assert table["p_value"].iloc[0] < 0.05 <= table["p_value"].max()
    assert table["note"].str.endswith(f"tips at delta {first:g}").all()


def test_same_seed_same_table_and_default_steps() -> None:
    adata = cohort(missed=2)
    tl.tipping_point(adata, populations=["treg"], imputations=5)
    one = adata.uns["tipping_point"]
    tl.tipping_point(adata, populations=["treg"], imputations=5)
    pd.testing.assert_frame_equal(one, adata.uns["tipping_point"])
    assert len(one) == 9
    tl.tipping_point(adata, populations=["treg"], imputations=5, seed=3)
    assert one["estimate"].iloc[0] != adata.uns["tipping_point"]["estimate"].iloc[0]


def test_refusals() -> None:
    small = cohort(8)
    tl.tipping_point(small, populations=["treg"])
    row = small.uns["tipping_point"].iloc[0]
    assert row["status"] == "NOT_ESTIMABLE"
    assert row["note"].startswith("refused: 8 subjects for 9 parameters leave fewer than 3")
    with pytest.raises(AnalysisError, match="1 imputations"):
        tl.tipping_point(small, imputations=1)
    with pytest.raises(AnalysisError, match="BL is no scheduled visit after baseline"):
        tl.tipping_point(small, visit="BL")
