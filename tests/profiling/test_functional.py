"""Functional assays on the visits object."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

from immunoprofile.errors import StudyError
from immunoprofile.io.exceptions import Exceptions
from immunoprofile.profiling.functional import add_functional, readouts

COLUMNS = ["usubjid", "visit", "collected_dtc", "assay", "population", "stimulus", "readout", "value", "unit"]


def table(*rows: tuple[object, ...]) -> pd.DataFrame:
    # Rows count from 1, as `read_study` gives them.
    return pd.DataFrame(rows, columns=COLUMNS, index=range(1, len(rows) + 1))


def visits(*places: tuple[str, str]) -> anndata.AnnData:
    names = [f"{subject}_{visit}" for subject, visit in places]
    obs = pd.DataFrame(list(places), columns=["usubjid", "visit"], index=names)
    return anndata.AnnData(X=np.zeros((len(places), 1)), obs=obs)


def test_zero_is_a_result_and_missing_is_not() -> None:
    adata = visits(("S1", "BL"), ("S1", "D14"), ("S2", "BL"))
    functional = table(
        ("S1", "BL", "2021-03-01", "degranulation", "nk", "K562", "CD107a", 0.0, "%"),
        ("S1", "D14", "2021-03-14", "degranulation", "nk", "K562", "CD107a", 21.5, "%"),
        ("S2", "BL", "2021-03-01", "ICS", "cd8", None, "IFNg", 0.4, "%"),
    )
    notes = Exceptions()
    add_functional(adata, functional, notes)
    got = adata.obsm["functional"]
    assert list(got.columns) == ["cd8_ics_ifng", "nk_degranulation_k562_cd107a"]
    assert got["nk_degranulation_k562_cd107a"].tolist()[:2] == [0.0, 21.5]
    assert np.isnan(got["nk_degranulation_k562_cd107a"].iloc[2])
    assert adata.uns["functional_readouts"].set_index("id").loc["cd8_ics_ifng", "display"] == "IFNg of cd8 ICS"
    assert notes.table().empty


def test_results_without_a_place_are_listed() -> None:
    adata = visits(("S1", "BL"))
    functional = table(
        ("S1", "BL", "2021-03-01T09:00", "killing", "nk", "K562", "lysis", 30.0, "%"),
        ("S1", "BL", "2021-03-01T15:00", "killing", "nk", "K562", "lysis", 35.0, "%"),
        ("S1", None, "2021-05-01", "killing", "nk", "K562", "lysis", 20.0, "%"),
    )
    notes = Exceptions()
    add_functional(adata, functional, notes)
    assert adata.obsm["functional"].to_numpy().tolist() == [[30.0]]
    listed = notes.table()
    assert sorted(listed["code"]) == ["FUNCTIONAL_REPEATED", "FUNCTIONAL_WITHOUT_VISIT"]
    assert sorted(listed["row"]) == ["2", "3"]


def test_mixed_units_and_equal_ids_are_refused_at_once() -> None:
    functional = table(
        ("S1", "BL", "2021-03-01", "ICS", "cd8", "pp65", "IFNg", 1.0, "%"),
        ("S1", "D14", "2021-03-14", "ICS", "cd8", "pp65", "IFNg", 12.0, "spots"),
        ("S1", "BL", "2021-03-01", "ICS", "cd8", "IE-1", "TNF", 1.0, "%"),
        ("S1", "BL", "2021-03-01", "ICS", "cd8", "IE 1", "TNF", 1.0, "%"),
    )
    with pytest.raises(StudyError) as error:
        readouts(functional)
    assert len(error.value.problems) == 2
    assert "%, spots" in str(error.value)
    assert "cd8_ics_ie_1_tnf" in str(error.value)
