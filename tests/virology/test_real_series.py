"""Series that people measured, through results, kinetics and times to clearance.

* CMV-DNA of 14 Ugandan infants in primary infection, weekly oral swabs, log10 copies/mL, 0 = not detected (Mayer 2016).
  Nobody treated them; day 0 here is the first result, and the specimen is called plasma because swabs are none of ours.
* HIV RNA of 46 patients who began treatment on day 0 (ACTG 315), log10 copies/mL, limit 100, stored as 1.699 below it.
"""

from __future__ import annotations

import math
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid
from scipy.optimize import minimize
from scipy.stats import linregress, norm

from immunoprofile.io.cmv_assay import Assay
from immunoprofile.virology import VirologyTables, evaluate
from tests.virology.made_up_study import Config, MadeUpStudy, made_up


def study_of(table: pd.DataFrame, lloq: float) -> MadeUpStudy:
    """Columns subject, day, log10 (NaN: not detected). Day 0 is 2008-01-01."""
    start = date(2008, 1, 1)
    results = pd.DataFrame({
        "usubjid": table["subject"],
        "visit": "UNS",
        "collected_dtc": [(start + timedelta(days=int(day))).isoformat() for day in table["day"]],
        "result_raw": ["not detected" if math.isnan(y) else f"{10**y:.4f}" for y in table["log10"]],
        "unit": "copies/mL", "assay_id": "A", "specimen": "plasma", "genotype": None,
    })  # fmt: skip
    ids = sorted(set(table["subject"]))
    subjects = pd.DataFrame({"usubjid": ids, "first_gcv_dtc": start.isoformat(), "first_dose_dtc": start.isoformat()})
    config = Config({"A": Assay(name="PCR", unit="copies/mL", specimen="plasma", lloq=lloq)})
    empty = made_up([])
    return MadeUpStudy(config, subjects, results, empty.dosing, empty.events)


@pytest.fixture(scope="module")
def swabs(outside_data: Path) -> pd.DataFrame:
    data = pd.read_csv(outside_data / "tab_cmv_viral_load_uganda" / "CMV_primary_infection_data.csv")
    first = data.groupby("PatientID2")["days"].transform("min")
    level = data["count"].where(data["count"] > 0)
    return pd.DataFrame({"subject": data["PatientID2"], "day": data["days"] - first, "log10": level})


@pytest.fixture(scope="module")
def uganda(swabs: pd.DataFrame) -> VirologyTables:
    return evaluate(study_of(swabs, lloq=150))  # just below the lowest positive swab, 10**2.186


@pytest.fixture(scope="module")
def rna(outside_data: Path) -> pd.DataFrame:
    data = pd.read_csv(outside_data / "tab_hiv_actg315_viral_cd4" / "actg315raw.csv")
    subject = [f"P{number:02.0f}" for number in data["Patid"]]
    return pd.DataFrame(
        {"subject": subject, "day": data["Day"], "log10": data["log10.RNA."].where(data["log10.RNA."] > 2)}
    )


@pytest.fixture(scope="module")
def actg(rna: pd.DataFrame) -> VirologyTables:
    return evaluate(study_of(rna, lloq=100))


@pytest.mark.outside_data
def test_swabs_are_read_as_they_are(swabs: pd.DataFrame, uganda: VirologyTables) -> None:
    assert uganda.results["kind"].value_counts().to_dict() == {"QUANT": 759, "TND": 4}
    given = swabs.sort_values(["subject", "day"])["log10"].to_numpy()
    np.testing.assert_allclose(uganda.results["log10_value"].to_numpy(dtype=float), given, atol=1e-6)


@pytest.mark.outside_data
def test_swab_peaks_and_shares(swabs: pd.DataFrame, uganda: VirologyTables) -> None:
    table = uganda.kinetics.set_index("usubjid")
    for subject, own in swabs.groupby("subject"):
        row = table.loc[subject]
        top = own.loc[own["log10"].idxmax()]
        assert row["peak_log10"] == pytest.approx(top["log10"], abs=1e-6)
        assert row["time_to_peak_d"] == top["day"]
        assert row["n"] == len(own)
        assert row["pct_below_lloq"] == pytest.approx(100 * own["log10"].isna().mean())


@pytest.mark.outside_data
def test_swab_slopes_and_areas(swabs: pd.DataFrame, uganda: VirologyTables) -> None:
    """Primary infection expands: no infant falls within four weeks. Measured: doubling is estimable in 8 of 14, median
    2.4 days (1.3 to 3.3); published for untreated CMV: 1.5 to 4.3 days.
    """
    table = uganda.kinetics.set_index("usubjid")
    checked = 0
    for subject, own in swabs.groupby("subject"):
        month = own[own["day"] <= 31].sort_values("day")
        row = table.loc[subject]
        if month["log10"].isna().any() or len(month) < 3:
            continue
        fit = linregress(month["day"], month["log10"])
        assert row["slope"] == pytest.approx(fit.slope, rel=1e-5)
        assert row["auc_log10"] == pytest.approx(trapezoid(month["log10"], month["day"]), rel=1e-6)
        assert row["slope_status"] == "ESTIMATED"
        checked += 1
    assert checked >= 10
    doubling = table["doubling_time_d"].dropna()
    assert len(doubling) == 8
    assert doubling.median() == pytest.approx(2.4, abs=0.05)
    assert doubling.between(1.2, 3.4).all()
    assert table["half_life_d"].isna().all()


@pytest.mark.outside_data
def test_swabs_never_clear(uganda: VirologyTables) -> None:
    """Four single negatives in 763 weekly swabs: every one is followed by a positive, so nothing is cleared."""
    two = uganda.clearance[uganda.clearance["rule_id"] == "clearance_2"]
    assert len(two) == 14
    assert not two["observed"].any()
    assert two["upper_day"].eq(math.inf).all()


@pytest.mark.outside_data
def test_rna_slopes_against_an_independent_fit(rna: pd.DataFrame, actg: VirologyTables) -> None:
    """Each patient's slope: another optimiser on the likelihood written with the normal distribution."""
    table = actg.kinetics.set_index("usubjid")
    compared = censored = 0
    for subject, own in rna.groupby("subject"):
        row = table.loc[subject]
        if row["slope_status"] != "ESTIMATED":
            continue
        used = own[own["day"] <= row["slope_last_day"]]
        assert len(used) == row["slope_n"]
        day, y = used["day"].to_numpy(), used["log10"].to_numpy()
        below = np.isnan(y)

        def minus(theta: np.ndarray, day: np.ndarray = day, y: np.ndarray = y, below: np.ndarray = below) -> float:
            middle, sd = theta[0] + theta[1] * day, math.exp(theta[2])
            return -float(norm.logpdf(y[~below], middle[~below], sd).sum() + norm.logcdf(2, middle[below], sd).sum())

        start = np.array([row["slope_intercept"] + 0.1, row["slope"] - 0.01, math.log(0.3)])
        options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 8000, "maxfev": 8000}
        best = minimize(minus, start, method="Nelder-Mead", options=options)
        assert best.x[1] == pytest.approx(row["slope"], rel=2e-4, abs=1e-6), subject
        assert math.exp(best.x[2]) == pytest.approx(row["slope_sigma"], rel=2e-3), subject
        compared, censored = compared + 1, censored + int(below.any())
    assert compared >= 35
    assert censored >= 3


@pytest.mark.outside_data
def test_rna_under_treatment(rna: pd.DataFrame, actg: VirologyTables) -> None:
    """Treatment works: the levels fall. Measured: half-life over four weeks estimable in 37 of 46, median 4.15 days.
    Clearance agrees with a search through the raw table.
    """
    table = actg.kinetics.set_index("usubjid")
    estimated = table[table["slope_status"] == "ESTIMATED"]
    assert (estimated["slope"] < 0).mean() > 0.9
    assert table["half_life_d"].notna().sum() == 37
    assert table["half_life_d"].median() == pytest.approx(4.15, abs=0.05)
    assert (actg.results["kind"] == "TND").sum() == rna["log10"].isna().sum() == 40
    cleared = actg.clearance[(actg.clearance["rule_id"] == "clearance_2") & actg.clearance["observed"]]
    for row in cleared.to_dict("records"):
        own = rna[rna["subject"] == row["usubjid"]].set_index("day")["log10"]
        assert math.isnan(own[row["upper_day"]])
        assert own[row["lower_day"]] > 2
    by_hand = {
        subject
        for subject, own in rna.groupby("subject")
        if any(
            own[(own["day"] >= a) & (own["day"] <= b)]["log10"].isna().all()
            for a in own["day"]
            for b in own["day"]
            if b >= a + 5
        )
    }
    assert set(cleared["usubjid"]) == by_hand
