"""Tables of real patients through the visits object: radium-223 (S1, S6), ACTG 315 (S8, S10)."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from immunoprofile import tl


def visits_of(table: pd.DataFrame, readouts: list[str], baseline: str) -> anndata.AnnData:
    """A visits object without counted populations: the readouts take part like one."""
    obs = table.drop(columns=readouts).reset_index(drop=True)
    obs.index = [f"row{number}" for number in range(len(obs))]
    obs["baseline_flag"] = obs["visit"] == baseline
    obs["qc_status"] = "PASS"
    adata = anndata.AnnData(np.zeros((len(obs), 1)), obs=obs, var=pd.DataFrame(index=["none"]))
    adata.obsm["functional"] = table[readouts].set_axis(adata.obs_names, axis=0)
    adata.uns["study"] = {"reference_arm": "few", "primary_visit": "C3"}
    return adata


@pytest.fixture(scope="module")
def radium(outside_data: Path) -> anndata.AnnData:
    """30 patients, up to four visits with gaps; the groups are halves by the lymphocytes before treatment."""
    folder = outside_data / "tab_radium223_treg_cd8_longitudinal"
    treg = pd.read_csv(folder / "radium223_panel_d_subset.csv")[["study_code", "time", "Tregs"]]
    cd8 = pd.read_csv(folder / "radium223_panel_a_subset.csv")[["study_code", "time", "CD8"]]
    table = cd8.merge(treg, on=["study_code", "time"], how="outer").sort_values(["study_code", "time"])
    blood = pd.read_csv(folder / "radium223_lymphocyte_count.csv").set_index("ID")
    start = blood["1"].fillna(blood["BL"])
    table["arm"] = np.where(table["study_code"].map(start) > start.median(), "many", "few")
    table["visit"], table["visitnum"] = [f"C{time}" for time in table["time"]], table["time"].astype(float)
    table["study_day"] = 28 * (table["time"] - 1) + 1
    table = table.rename(columns={"study_code": "usubjid"}).drop(columns="time")
    return visits_of(table, ["Tregs", "CD8"], "C1")


@pytest.mark.parametrize("readout", ["Tregs", "CD8"])
def test_radium_change_inside_the_groups(radium: anndata.AnnData, readout: str) -> None:
    tl.change(radium, populations=[readout], measure="functional")
    table = radium.uns["change"].set_index("arm")
    frame = radium.obs.assign(y=np.log2(radium.obsm["functional"][readout]))
    people = frame.groupby("arm")["usubjid"].nunique()
    for arm, row in table.iterrows():
        wide = frame[frame["arm"] == arm].pivot(index="usubjid", columns="visit", values="y")
        change = (wide["C3"] - wide["C1"]).dropna().to_numpy()
        assert row["n"] == len(change)
        assert row["p_value"] == pytest.approx(wilcoxon(np.round(change, 10), method="exact").pvalue, abs=0.02)
        walsh = [(a + b) / 2 for i, a in enumerate(change) for b in change[i:]]
        assert row["estimate"] == pytest.approx(np.median(walsh), abs=1e-9)
        assert row["effect"] == pytest.approx(2 ** row["estimate"])
        # nobody leaves without being counted
        left = sum(int(part.split()[0]) for part in row["exclusions"].split("; ") if part)
        assert row["n"] + left == people[arm]
    assert table["exclusions"].ne("").any()


@pytest.mark.parametrize("readout", ["Tregs", "CD8"])
def test_radium_slopes_as_in_statsmodels(radium: anndata.AnnData, readout: str) -> None:
    from statsmodels.regression.mixed_linear_model import MixedLM

    tl.compare_slopes(radium, populations=[readout], measure="functional", random="intercept")
    row = radium.uns["compare_slopes"].iloc[0]
    assert (row["status"], row["arm"]) == ("ESTIMATED", "many")
    frame = radium.obs.assign(y=np.log2(radium.obsm["functional"][readout])).dropna(subset="y")
    week, many = frame["study_day"].to_numpy() / 7, (frame["arm"] == "many").to_numpy(dtype=float)
    design = np.column_stack([np.ones(len(frame)), many, week, many * week])
    other = MixedLM(frame["y"].to_numpy(), design, frame["usubjid"].to_numpy(str)).fit(reml=True)
    assert row["estimate"] == pytest.approx(other.fe_params[3], abs=1e-5)
    assert row["n"] + row["n_reference"] == frame["usubjid"].nunique()
    assert (row["upper"] - row["lower"]) / 2 == pytest.approx(
        other.bse_fe[3] * _t975(frame["usubjid"].nunique() - 4), rel=1e-2
    )
    tl.compare_slopes(radium, populations=[readout], measure="functional")
    assert radium.uns["compare_slopes"]["status"].tolist() == ["ESTIMATED"]


def _t975(df: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, df))


@pytest.fixture(scope="module")
def actg(outside_data: Path) -> anndata.AnnData:
    """46 patients on treatment: log10 HIV-1 RNA, below 100 copies/mL censored, beside CD4 cells/uL."""
    data = pd.read_csv(outside_data / "tab_hiv_actg315_viral_cd4" / "actg315raw.csv")
    marks = np.array([0, 2, 7, 10, 14, 21, 28, 56, 84, 168])
    nearest = np.abs(data["Day"].to_numpy()[:, None] - marks).argmin(axis=1)
    table = pd.DataFrame({"usubjid": [f"P{number:02.0f}" for number in data["Patid"]], "day": data["Day"],
                          "slot": nearest, "rna": data["log10.RNA."], "cd4": data["CD4"]})  # fmt: skip
    table["away"] = np.abs(table["day"] - marks[nearest])
    table = table.sort_values(["usubjid", "slot", "away"], kind="stable").drop_duplicates(["usubjid", "slot"])
    below = table["rna"] <= 2.0
    table["visit"], table["visitnum"] = [f"D{marks[slot]}" for slot in table["slot"]], table["slot"].astype(float)
    table["virology_day"] = table["study_day"] = table["day"]
    table["arm"] = "one"
    table["cmv_kind"], table["cmv_unit"] = np.where(below, "BLQ", "QUANT"), "copies/mL"
    table["cmv_log10"] = table["cmv_lower"] = table["rna"].mask(below)
    table["cmv_upper"] = table["rna"].clip(lower=2.0)
    return visits_of(table.drop(columns=["rna", "away", "slot", "day"]), ["cd4"], "D0")


def test_actg_within_subjects_by_residuals(actg: anndata.AnnData) -> None:
    tl.associate(actg, populations=["cd4"], measure="functional")
    row = actg.uns["associate"].iloc[0]
    frame = actg.obs.assign(x=np.log2(actg.obsm["functional"]["cd4"])).dropna(subset=["x", "cmv_upper"])
    frame = frame[frame.groupby("usubjid")["x"].transform("size") > 1]
    nuisance = pd.get_dummies(frame[["usubjid", "visit"]].astype(str)).to_numpy(dtype=float)
    a, b = (v - nuisance @ np.linalg.lstsq(nuisance, v, rcond=None)[0] for v in (frame["x"], frame["cmv_upper"]))
    assert row["n"] == len(frame) > 300
    assert row["estimate"] == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-9)
    assert f"{(frame['cmv_kind'] == 'BLQ').sum()} of {row['n']} CMV-DNA results" in row["note"]


def test_actg_with_results_below_the_limit_as_bounds(actg: anndata.AnnData) -> None:
    tl.associate_censored(actg, populations=["cd4"], measure="functional", trend="linear", random="intercept")
    row = actg.uns["associate_censored"].set_index("contrast").loc["within subjects"]
    assert row["status"] == "ESTIMATED"
    frame = actg.obs.assign(x=np.log2(actg.obsm["functional"]["cd4"])).dropna(subset=["x", "cmv_upper"])
    means = frame.groupby("usubjid")["x"].transform("mean")
    design = np.column_stack([np.ones(len(frame)), frame["study_day"] / 7, frame["x"] - means, means - means.mean()])
    lower = np.where(frame["cmv_kind"] == "QUANT", frame["cmv_log10"], -np.inf)
    fit = tl.fit_tobit_mixed(frame["usubjid"], lower, frame["cmv_upper"], design=design, names=list("abcd"))
    assert row["estimate"] == pytest.approx(fit.coefficients[2], abs=1e-6)
    assert row["effect"] == pytest.approx(10 ** fit.coefficients[2], rel=1e-5)
    # more CD4 cells go with less virus inside a patient on a straight line of time
    assert row["upper"] < 0
    tl.associate_censored(actg, populations=["cd4"], measure="functional")
    assert actg.uns["associate_censored"]["status"].eq("ESTIMATED").all()
