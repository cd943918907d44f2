"""Data that say nothing are refused with the reason, instead of a small p-value; nobody leaves without a word."""

from __future__ import annotations

import math
from fractions import Fraction
from math import comb
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from benchmarks import campaign
from immunoprofile import datasets, tl
from immunoprofile.errors import AnalysisError
from immunoprofile.schema import ABS, COUNTS, PARENT_COUNTS
from immunoprofile.tl.ancova import ancova
from immunoprofile.tl.proportions import proportion_difference


@pytest.fixture
def trial() -> Any:
    adata = datasets.il2_cmv_counts(subjects=12, seed=5)
    adata.uns["study"] = {"count_tube": "count", "reference_arm": "GCV", "primary_visit": "D14"}
    return adata


def row_of(adata: Any, population: str, measure: Any = "pct_parent") -> Any:
    tl.compare(adata, populations=[population], measure=measure)
    return adata.uns["compare"].iloc[0]


@pytest.mark.parametrize("table", [(0, 4, 1, 5), (3, 4, 2, 3), (4, 4, 2, 6), (0, 4, 2, 2), (6, 7, 3, 3), (2, 5, 2, 5)])
def test_barnard_against_fractions(table: tuple[int, int, int, int]) -> None:
    """Tail in exact arithmetic at every 1/2000: the supremum lies at or a little above its largest value."""
    a, n, b, m = table

    def score(i: int, j: int) -> Fraction:
        pooled = (i + j) * (n + m - i - j)
        return Fraction((i * m - j * n) ** 2, pooled) if pooled else Fraction(0)

    extreme = [(i, j) for i in range(n + 1) for j in range(m + 1) if score(i, j) >= score(a, b)]
    points = [k / 2000 for k in range(2001)]
    tail = max(
        sum(comb(n, i) * comb(m, j) * p ** (i + j) * (1 - p) ** (n + m - i - j) for i, j in extreme) for p in points
    )
    found = proportion_difference((a, b), (n, m)).p_value
    assert tail - 1e-12 <= found <= tail + 1e-5


@pytest.mark.parametrize(("n", "m"), [(2, 3), (4, 5), (5, 5), (7, 4)])
def test_barnard_does_not_change_when_failures_are_counted(n: int, m: int) -> None:
    for a in range(n + 1):
        for b in range(m + 1):
            responders = proportion_difference((a, b), (n, m)).p_value
            failures = proportion_difference((n - a, m - b), (n, m)).p_value
            assert responders == pytest.approx(failures, abs=1e-9)
            assert (responders == 1) is (a * m == b * n)
            assert responders == pytest.approx(proportion_difference((b, a), (m, n)).p_value, abs=1e-9)


def test_ancova_refuses_an_outcome_without_error() -> None:
    start = np.array([5.1, 6.2, 4.4, 5.9, 6.6, 5.0])
    arms = np.array(["A", "A", "A", "B", "B", "B"])
    for outcome in (np.zeros(6), np.full(6, 1.0) + 1e-16, (arms == "A") * 0.3 + 0.1 * start):
        with pytest.raises(AnalysisError, match="no error to judge by"):
            ancova(outcome, start, arms, reference="B")


def test_ancova_refuses_one_subject_in_an_arm() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(AnalysisError, match="1 in A and 5 in B; 2 are needed"):
        ancova(rng.normal(size=6), rng.normal(size=6), ["A", *"BBBBB"], reference="B")


def test_doubling_in_everybody_is_no_difference_of_arms(trial: Any) -> None:
    names, visits = trial.obs["usubjid"].astype(str), trial.obs["visit"].astype(str)
    column = trial.var_names.get_loc("cd8")
    first = {name: trial.layers[ABS][i, column] for i, (name, visit) in enumerate(zip(names, visits, strict=True))
             if visit == "BL"}  # fmt: skip
    for i, (name, visit) in enumerate(zip(names, visits, strict=True)):
        trial.layers[ABS][i, column] = first[name] * (1 if visit == "BL" else 2)
    found = row_of(trial, "cd8", "abs")
    assert found["status"] == "NOT_ESTIMABLE"
    assert math.isnan(found["p_value"])
    assert "no error to judge by" in found["note"]


def test_a_population_without_any_cell_is_no_difference_of_arms(trial: Any) -> None:
    column = trial.var_names.get_loc("treg")
    trial.layers[COUNTS][:, column] = 0
    trial.X[:, column] = 0
    few = (trial.obs["arm"].astype(str) == "IL2_GCV").to_numpy()
    trial.layers[PARENT_COUNTS][few, column] = trial.layers[PARENT_COUNTS][few, column] // 4
    found = row_of(trial, "treg")
    assert found["status"] == "NOT_ESTIMABLE"
    assert "no event in 24 of 24 rows" in found["note"]


def test_a_few_zero_counts_are_said_and_stay(trial: Any) -> None:
    column = trial.var_names.get_loc("treg")
    row = int(np.flatnonzero((trial.obs["visit"].astype(str) == "D14").to_numpy())[0])
    trial.layers[COUNTS][row, column] = 0
    trial.X[row, column] = 0
    found = row_of(trial, "treg")
    assert found["status"] == "ESTIMATED"
    assert "no event in 1 of 24 rows" in found["note"]


@pytest.mark.parametrize("missing", ["", None])
def test_a_subject_without_an_arm_makes_no_arm_and_is_counted(trial: Any, missing: str | None) -> None:
    trial.obs["arm"] = trial.obs["arm"].astype(object)
    lost = trial.obs["usubjid"].astype(str) == str(trial.obs["usubjid"].iloc[0])
    trial.obs.loc[lost, "arm"] = missing
    tl.compare(trial, populations=["nk"], measure="abs")
    table = trial.uns["compare"]
    assert list(table["contrast"]) == ["IL2_GCV - GCV, D14 - BL"]
    assert sorted([int(table["n"].iloc[0]), int(table["n_reference"].iloc[0])]) == [5, 6]
    assert "1 without an arm" in table["exclusions"].iloc[0]
    tl.change(trial, populations=["nk"])
    assert set(trial.uns["change"]["arm"]) == {"GCV", "IL2_GCV"}


def test_an_infinite_concentration_is_named(trial: Any) -> None:
    trial.layers[ABS][3, trial.var_names.get_loc("nk")] = np.inf
    with pytest.raises(AnalysisError, match=f"nk is infinite in {trial.obs_names[3]}"):
        tl.compare(trial, populations=["nk"], measure="abs")


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("run", [tl.change_t, tl.compare, tl.compare_ranks, tl.mmrm])
def test_a_change_that_is_an_error_of_arithmetic_is_none(run: object, size: float) -> None:
    """Everybody moves by the same amount, but for the last digits of a number: there is nothing to test."""
    from benchmarks.campaign import SITUATIONS, trial

    rng = np.random.default_rng(int(size))
    adata = trial(rng, 9, SITUATIONS[0])
    factor = 2.0 ** adata.obs["visitnum"].to_numpy()
    who = adata.obs["usubjid"].astype("category").cat.codes.to_numpy()
    start = size * rng.uniform(1, 2, adata.n_obs)[who]
    adata.obsm["functional"]["x"] = start * factor * (1 + 1e-16 * rng.integers(-3, 4, adata.n_obs))
    run(adata, populations=["x"], measure="functional")  # type: ignore[operator]
    table = adata.uns[run.__name__]  # type: ignore[attr-defined]
    assert table["p_value"].isna().all()
    assert table["note"].str.contains("refused").all()


def rounding_noise(kind: str, seed: int) -> anndata.AnnData:
    """A population that does not change, or changes by the same in everybody, but for rounding."""
    rng = np.random.default_rng(seed)
    adata = campaign.trial(rng, 8, campaign.SITUATIONS[0])
    noise = 1 + 1e-15 * rng.integers(-3, 4, adata.n_obs)
    level = pd.Series(10 ** rng.uniform(-1, 2, adata.n_obs), adata.obs_names)
    own = level.groupby(adata.obs["usubjid"]).transform("first").to_numpy()
    values = {"one": np.ones(adata.n_obs), "own level": own, "doubled": own * 2 ** (adata.obs["visitnum"].to_numpy())}
    adata.obsm["functional"]["x"] = values[kind] * noise
    return adata


@pytest.mark.parametrize("kind", ["one", "own level", "doubled"])
@pytest.mark.parametrize(
    ("verb", "options"),
    [("compare", {}), ("compare_ranks", {}), ("mmrm", {}), ("mmrm", {"baseline_as_outcome": True}), ("change_t", {}),
     ("tipping_point", {})],
)  # fmt: skip
def test_no_comparison_out_of_rounding_noise(verb: str, options: dict[str, bool], kind: str) -> None:
    for seed in range(3):
        adata = rounding_noise(kind, seed)
        getattr(tl, verb)(adata, populations=["x"], measure="functional", **options)
        assert adata.uns[verb]["p_value"].isna().all(), (seed, adata.uns[verb]["note"].tolist())


@pytest.mark.parametrize("scale", ["identity", "log2"])
def test_no_change_out_of_rounding_noise(scale: str) -> None:
    """The logarithm of 1 and a rounding error is a number like any other, relative to itself."""
    for kind in ("one", "own level"):
        adata = rounding_noise(kind, 1)
        tl.change(adata, populations=["x"], measure="functional", scale=scale)
        assert (adata.uns["change"]["estimate"] == 0).all()
        assert adata.uns["change"]["p_value"].isna().all()
