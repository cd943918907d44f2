"""S7: corrections within families."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from immunoprofile.errors import AnalysisError
from immunoprofile.tl._frame import statistic_row, statistic_table
from immunoprofile.tl.multiplicity import Family, adjust, adjust_families, complements
from tests.oracles.multiplicity import BH_1995, BH_1995_ADJUSTED

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_benjamini_hochberg_1995() -> None:
    assert adjust(BH_1995, correction="Benjamini-Hochberg") == pytest.approx(BH_1995_ADJUSTED, abs=5e-8)


def test_holm_by_hand() -> None:
    # smallest x 3, next x 2 (but not below the first), largest x 1
    assert adjust([0.03, 0.01, 0.04], correction="Holm") == pytest.approx([0.06, 0.03, 0.06])


@pytest.mark.parametrize(("correction", "name"), [("Holm", "holm"), ("Benjamini-Hochberg", "fdr_bh")])
def test_corrections_equal_statsmodels(correction: str, name: str) -> None:
    from statsmodels.stats.multitest import multipletests

    p_values = np.random.default_rng(3).beta(0.3, 1, 40).round(3)
    assert adjust(p_values, correction=correction) == pytest.approx(multipletests(p_values, method=name)[1])


@given(P_VALUES)
def test_a_missing_p_value_does_not_count(p_values: list[float]) -> None:
    for correction in ("Holm", "Benjamini-Hochberg"):
        plain = adjust(p_values, correction=correction)
        with_gap = adjust([*p_values, np.nan], correction=correction)
        assert with_gap[:-1] == pytest.approx(plain)
        assert np.isnan(with_gap[-1])
        assert np.all(plain >= np.asarray(p_values) - 1e-15)


@pytest.mark.parametrize("wrong", [[-0.1], [1.2]])
def test_what_is_no_probability_is_refused(wrong: list[float]) -> None:
    with pytest.raises(AnalysisError, match="between 0 and 1"):
        adjust(wrong, correction="Holm")


def make_object(rows: list[tuple[str, str, float]]) -> anndata.AnnData:
    adata = anndata.AnnData(np.zeros((1, 1)))
    adata.uns["compare"] = statistic_table(
        [
            statistic_row(population=name, measure=measure, visit="D14", p_value=p, estimate=p, adjusted="none")
            for name, measure, p in rows
        ]
    )
    return adata


def test_families_are_corrected_by_themselves_and_the_not_estimable_leave() -> None:
    adata = make_object([("treg", "pct_parent", 0.01), ("cd8", "pct_parent", 0.04), ("b", "pct_parent", np.nan),
                         ("nk", "abs", 0.03), ("cd8", "abs", 0.5)])  # fmt: skip
    families = (Family("F2", "Benjamini-Hochberg", ("compare",), measure="pct_parent", visit="D14"),
                Family("F3", "Holm", ("compare", "absent"), measure="abs"))  # fmt: skip
    adjust_families(adata, families)
    table = adata.uns["compare"]
    assert table["family"].tolist() == ["F2", "F2", "F2", "F3", "F3"]
    assert table["status"].tolist() == ["ESTIMATED", "ESTIMATED", "NOT_ESTIMABLE", "ESTIMATED", "ESTIMATED"]
    assert table["p_adjusted"].tolist() == pytest.approx([0.02, 0.04, np.nan, 0.06, 0.5], nan_ok=True)
    assert table["adjusted"].tolist() == ["Benjamini-Hochberg"] * 2 + ["none"] + ["Holm"] * 2
    assert table["exclusions"].tolist() == ["family: 1 of 3 rows left F2: not estimable"] * 3 + [""] * 2
    before = table.copy()
    adjust_families(adata, families)
    pd.testing.assert_frame_equal(adata.uns["compare"], before)


def with_counts(counts: dict[str, list[int]], total: list[int]) -> anndata.AnnData:
    names = list(counts)
    adata = anndata.AnnData(np.zeros((len(total), len(names))))
    adata.var_names = names
    adata.var["parent"] = "cd4"
    adata.layers["counts"] = np.array([counts[name] for name in names], dtype=float).T
    adata.layers["parent_counts"] = np.tile(np.array(total, dtype=float)[:, None], len(names))
    return adata


def test_complements_are_one_finding() -> None:
    """Treg and the other CD4 T cells add up to their parent: of four p-values three questions."""
    adata = with_counts({"tconv": [90, 190, 280], "th1": [30, 40, 70], "treg": [10, 10, 20], "nk_like": [60, 20, 9]},
                        [100, 200, 300])  # fmt: skip
    assert complements(adata) == {"tconv": "treg"}
    rows = [("treg", "pct_parent", 0.01), ("tconv", "pct_parent", 0.01), ("th1", "pct_parent", 0.03),
            ("nk_like", "pct_parent", 0.2)]  # fmt: skip
    adata.uns["compare"] = make_object(rows).uns["compare"]
    families = (Family("F2", "Benjamini-Hochberg", ("compare",)),)
    adjust_families(adata, families)
    table = adata.uns["compare"].set_index("population")
    assert table["p_adjusted"].tolist() == pytest.approx([0.03, 0.03, 0.045, 0.2])
    assert table["family"].tolist() == ["F2", "", "F2", "F2"]
    assert table.loc["tconv", "exclusions"] == "family: complement of treg, one result in F2: corrected there"
    before = adata.uns["compare"].copy()
    adjust_families(adata, families)
    pd.testing.assert_frame_equal(adata.uns["compare"], before)
    # a declared endpoint stands for both; cells/uL of the two are two results
    adata.uns["study"] = {"endpoints": pd.DataFrame({"population": ["tconv"], "measure": ["pct_parent"]})}
    assert complements(adata) == {"treg": "tconv"}
    adata.uns["compare"]["measure"] = "abs"
    adjust_families(adata, families)
    assert adata.uns["compare"]["family"].tolist() == ["F2"] * 4


def test_what_does_not_add_up_is_no_complement() -> None:
    adata = with_counts({"naive": [60, 100, 150], "memory": [39, 98, 140]}, [100, 200, 300])
    assert complements(adata) == {}
    assert complements(anndata.AnnData(np.zeros((2, 2)))) == {}


def test_a_row_of_two_families_is_refused() -> None:
    adata = make_object([("treg", "pct_parent", 0.01)])
    families = (Family("F1", "Holm", ("compare",)), Family("F2", "Holm", ("compare",)))
    with pytest.raises(AnalysisError, match="row 1 belongs to the families F1 and F2"):
        adjust_families(adata, families)
    with pytest.raises(AnalysisError, match="correction 'bonferroni' is not known"):
        Family("F1", "bonferroni", ())  # type: ignore[arg-type]


def test_every_row_has_a_state() -> None:
    assert statistic_row(p_value=0.5)["status"] == "ESTIMATED"
    assert statistic_row(estimate=1.0)["status"] == "ESTIMATED"
    assert statistic_row(note="why")["status"] == "NOT_ESTIMABLE"
    assert statistic_table([]).dtypes["n"] == "Int64"
