"""Functional readouts of the synthetic trial against their truth, and the queries that come with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from immunoprofile.datasets import il2_cmv
from immunoprofile.datasets import parameters as par
from immunoprofile.datasets.cohort import simulate_cohort, true_effects
from immunoprofile.datasets.functional import READOUTS

D14 = par.VISIT_NAMES.index("D14")


def _logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return il2_cmv(tmp_path_factory.mktemp("functional") / "study", subjects=20, visits=5, events=200, seed=3)


@pytest.fixture(scope="module")
def results(study: Path) -> pd.DataFrame:
    return pd.read_csv(study / "functional.csv")


def test_most_visits_have_both_readouts(study: Path, results: pd.DataFrame) -> None:
    visits = pd.read_csv(study / "visits.csv")
    held = visits[(visits["occurred"] == "Y") & visits["visit"].isin(["BL", "D7", "D14", "D28", "W8"])]
    per_visit = results.groupby(["usubjid", "visit"]).size()
    assert set(per_visit) == {len(READOUTS)}
    assert 0.8 * len(held) < len(per_visit) < len(held)
    for visit in ("BL", "D14"):
        assert (per_visit.index.get_level_values("visit") == visit).sum() == (held["visit"] == visit).sum()
    assert set(zip(results["population"], results["readout"], results["stimulus"], strict=True)) == {
        ("nk", "CD107a", "K562"), ("cd8", "IFN-g", "CMV pp65 peptides"),
    }  # fmt: skip


def test_values_are_the_truth_with_counting_noise(study: Path, results: pd.DataFrame) -> None:
    truth = pd.read_csv(study.with_name("study-truth") / "visits.csv")
    true = truth.set_index(["usubjid", "visit", "quantity"])["value"]
    for one in READOUTS:
        own = results[results["readout"] == one.readout]
        p = np.array([true[row.usubjid, row.visit, one.quantity] for row in own.itertuples()])
        se = np.sqrt(p * (1 - p) / one.cells + (10.0**-one.decimals / 100) ** 2 / 12)
        z = (own["value"] / 100 - p) / se
        assert z.std() == pytest.approx(1.0, abs=0.25), one.quantity
        assert abs(z.mean()) < 4 / np.sqrt(len(z)), one.quantity


@pytest.mark.parametrize(("quantity", "baseline", "factor"), [("nk_cd107a", 0.15, 1.3), ("cd8_cmv", 0.015, 1.4)])
def test_il2_moves_them_as_declared(quantity: str, baseline: float, factor: float) -> None:
    declared = true_effects("il2").set_index(["population", "visit"])["effect"]
    by_hand = np.log(factor * baseline / (1 - factor * baseline)) - np.log(baseline / (1 - baseline))
    assert declared[quantity, "D14"] == pytest.approx(by_hand)
    cohort = simulate_cohort(2000, seed=8)
    change = _logit(cohort.share[quantity][:, D14]) - _logit(cohort.share[quantity][:, 0])
    arms = [change[cohort.arm == arm] for arm in (par.TREATED, par.REFERENCE)]
    se = np.sqrt(sum(arm.var() / len(arm) for arm in arms))
    assert abs(arms[0].mean() - arms[1].mean() - by_hand) < 4 * se
    assert (true_effects("none").query("population == @quantity")["effect"] == 0).all()


@pytest.mark.parametrize("warts", [True, False])
def test_queries_are_open_and_closed(tmp_path: Path, *, warts: bool) -> None:
    folder = il2_cmv(tmp_path / "s", subjects=4, visits=2, events=200, warts=warts)
    queries = pd.read_csv(folder / "queries.csv", dtype=str, keep_default_na=False)
    assert {"Y", "N"} == set(queries["closed"])
    assert (queries.loc[queries["closed"] == "Y", "answer"] != "").all()
    assert (queries.loc[queries["closed"] == "N", "answer"] == "").all()
    subjects = set(pd.read_csv(folder / "subjects.csv")["usubjid"])
    assert {record.split()[0] for record in queries["record"]} <= subjects
    steroids = pd.read_csv(folder / "conmeds.csv").query("drug == 'prednisone'")
    assert set(steroids["usubjid"]) == subjects
