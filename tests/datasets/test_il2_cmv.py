"""The study folder: bytes, tables, FCS files, warts, hidden truth."""

from __future__ import annotations

import hashlib
from pathlib import Path

import flowio
import numpy as np
import pandas as pd
import pytest

from immunoprofile import schema
from immunoprofile.datasets import il2_cmv, warts
from immunoprofile.datasets.cytometer import CLOG_EVENTS
from immunoprofile.datasets.panels import PANELS, TIMESTEP_S
from immunoprofile.errors import ImmunoprofileError
from immunoprofile.io.config import read_config


def _hashes(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False, encoding="utf-8")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return il2_cmv(tmp_path_factory.mktemp("sim") / "study", subjects=8, visits=5, events=600, seed=5)


@pytest.fixture(scope="module")
def truth(study: Path) -> Path:
    return study.with_name("study-truth")


@pytest.fixture(scope="module")
def placed(truth: Path) -> dict[str, list[dict[str, str]]]:
    rows = _read(truth, "warts").to_dict("records")
    return {name: [row for row in rows if row["name"] == name] for name in warts.WARTS}


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    kwargs = {"subjects": 2, "visits": 3, "events": 300}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        il2_cmv(tmp_path / name, seed=seed, **kwargs)
    a, b, c = (_hashes(tmp_path / name) for name in "abc")
    assert a == b
    assert _hashes(tmp_path / "a-truth") == _hashes(tmp_path / "b-truth")
    fcs = [name for name in a if name.endswith(".fcs")]
    assert len(fcs) > 20
    assert not any(a[name] == c.get(name) for name in fcs)


def test_the_number_of_visits_and_effect_leave_other_draws_alone(tmp_path: Path) -> None:
    il2_cmv(tmp_path / "few", subjects=2, visits=2, events=300, warts=False)
    il2_cmv(tmp_path / "many", subjects=2, visits=4, events=300, warts=False, effect="none")
    few, many = _hashes(tmp_path / "few"), _hashes(tmp_path / "many")
    baseline = [name for name in few if "_BL_" in name]
    assert len(baseline) == 6
    assert all(few[name] == many[name] for name in baseline)


def test_refuses_a_folder_with_content(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("mine")
    with pytest.raises(ImmunoprofileError, match="not empty"):
        il2_cmv(tmp_path, subjects=2, visits=2, events=300)
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


@pytest.mark.parametrize("wrong", [{"subjects": 1}, {"visits": 1}, {"visits": 8}, {"events": 10}, {"effect": "big"}])
def test_refuses_impossible_numbers(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        il2_cmv(tmp_path / "s", **wrong)
    assert not (tmp_path / "s").exists()


def test_tables_match_the_schema(study: Path) -> None:
    for path in study.glob("*.csv"):
        spec, table = schema.TABLES[path.stem], _read(study, path.stem)
        assert tuple(table.columns) == spec.column_names
        for column in spec.columns:
            values = table[column.name]
            if not column.nullable:
                assert (values != "").all(), (path.stem, column.name)
            filled = values[values != ""]
            if column.allowed:
                assert set(filled) <= set(column.allowed), (path.stem, column.name)
            if column.kind == "bool":
                assert set(filled) <= {"Y", "N"}
            if column.kind == "date":
                assert filled.str.match(schema.ISO_DATE).all()
            if column.kind in ("float", "int"):
                numbers = filled.astype(float)
                assert column.minimum is None or (numbers >= column.minimum).all(), (path.stem, column.name)
                assert column.maximum is None or (numbers <= column.maximum).all(), (path.stem, column.name)
        if spec.key:
            assert not table.duplicated(list(spec.key)).any(), path.stem
    labs = _read(study, "labs")
    for test, unit in labs[["test", "unit"]].drop_duplicates().itertuples(index=False):
        assert unit in schema.LAB_UNITS[test][1]


def test_config_and_tables_agree(study: Path) -> None:
    config = read_config(study)
    assert config.synthetic
    assert [v.visit for v in config.visits if v.flow] == ["BL", "D7", "D14", "D28", "W8"]
    assert {tube.panel for tube in config.tubes.values()} == {panel.panel_id for panel in PANELS.values()}
    subjects = _read(study, "subjects")
    assert subjects["arm"].value_counts().to_dict() == {"IL2_GCV": 4, "GCV": 4}
    samples = _read(study, "samples")
    of_patients = samples[samples["role"] == "sample"]
    assert set(of_patients["visit"]) == {"BL", "D7", "D14", "D28", "W8"}
    assert all((study / path).is_file() for path in samples["fcs_path"])
    for row in samples.itertuples():
        assert hashlib.sha256((study / row.fcs_path).read_bytes()).hexdigest() == row.sha256
    # IL-2 draws are before the dose of the day: 22 h after the last one, and none in the other arm
    il2 = of_patients.merge(subjects[["usubjid", "arm"]], on="usubjid")
    on_drug = il2[(il2["arm"] == "IL2_GCV") & il2["visit"].isin(["D7", "D14"])]["hours_since_last_il2"].astype(float)
    assert on_drug.between(18, 47).all()
    assert (il2[il2["arm"] == "GCV"]["hours_since_last_il2"] == "").all()


def test_beads_only_where_they_may_be(study: Path) -> None:
    samples = _read(study, "samples")
    assert (samples.loc[samples["tube_id"] != "count", "beads_per_tube"] == "").all()
    filled = samples["beads_per_tube"] != ""
    assert set(samples.loc[filled, "beads_per_tube"].astype(float)) == {49650.0}
    assert (samples.loc[filled, ["bead_lot", "bead_expiry", "blood_volume_ul"]] != "").all(axis=None)


def test_fcs_files_are_fcs_3_1(study: Path, placed: dict[str, list[dict[str, str]]]) -> None:
    samples = _read(study, "samples")
    broken = {(w["usubjid"], w["visit"], w["tube"]) for w in placed[warts.TRUNCATED_FCS]}
    for row in samples.itertuples():
        if (row.usubjid, row.visit, row.tube_id) in broken:
            continue
        panel = PANELS[row.tube_id]
        fcs = flowio.FlowData(str(study / row.fcs_path))
        assert fcs.version == "3.1"
        assert fcs.event_count == int(row.n_events_recorded)
        assert fcs.pnn_labels == list(panel.channel_names)
        assert [label for label in fcs.pns_labels if label] == list(panel.markers)
        size, *rest = fcs.text["spillover"].split(",")
        n = int(size)
        assert rest[:n] == list(panel.pnn)
        np.testing.assert_allclose(np.array(rest[n:], float).reshape(n, n), panel.spillover, rtol=1e-6)
        assert float(fcs.text["timestep"]) == TIMESTEP_S
        assert {"cyt", "date", "btim", "etim", "fil"} <= set(fcs.text)
        assert fcs.text["p1r"] == "262144"
        time = np.asarray(fcs.events).reshape(fcs.event_count, -1)[:, -1]
        assert (np.diff(time) >= 0).all()


def test_controls(study: Path) -> None:
    samples = _read(study, "samples")
    of_batch = samples[samples["role"] == "control"].groupby("batch_id")["tube_id"].apply(set)
    assert set(of_batch.index) == set(samples.loc[samples["role"] == "sample", "batch_id"])
    assert all(tubes == set(PANELS) for tubes in of_batch)
    for tube, panel in PANELS.items():
        here = samples[samples["tube_id"] == tube]
        assert set(here.loc[here["role"] == "single_stain", "fmo_marker"]) == set(panel.markers)
        assert set(here.loc[here["role"] == "fmo", "fmo_marker"]) == set(panel.fmo)
        assert (here["role"] == "unstained").sum() == 1
    assert (samples.loc[samples["role"] != "sample", "usubjid"] == "").all()


def test_single_stains_give_the_spillover_back(tmp_path: Path) -> None:
    folder = il2_cmv(tmp_path / "s", subjects=2, visits=2, events=8000, warts=False)
    samples = _read(folder, "samples")
    for row in samples[(samples["role"] == "single_stain") & (samples["tube_id"] == "treg")].itertuples():
        panel = PANELS["treg"]
        fcs = flowio.FlowData(str(folder / row.fcs_path))
        light = np.asarray(fcs.events).reshape(fcs.event_count, -1)[:, 3:-1]
        i = panel.index(row.fmo_marker)
        bright = light[:, i] > 5000
        rise = np.median(light[bright], axis=0) - np.median(light[~bright], axis=0)
        np.testing.assert_allclose(rise / rise[i], panel.spillover[i], atol=0.004)


def test_every_wart_is_there(study: Path, truth: Path, placed: dict[str, list[dict[str, str]]]) -> None:
    samples, visits, labs, cmv = (_read(study, name) for name in ("samples", "visits", "labs", "cmv_dna"))
    assert all(placed[name] for name in warts.WARTS)

    def at(table: pd.DataFrame, wart: dict[str, str]) -> pd.DataFrame:
        chosen = table[(table["usubjid"] == wart["usubjid"]) & (table["visit"] == wart["visit"])]
        return chosen[chosen["tube_id"] == wart["tube"]] if wart["tube"] else chosen

    (missing,) = placed[warts.MISSING_VISIT]
    assert at(visits, missing)[["occurred", "reason_not_done"]].to_numpy().tolist() == [["N", "MISSED"]]
    assert all(at(table, missing).empty for table in (samples, labs, cmv))
    assert set(visits.loc[visits["occurred"] == "N", "visit"]) == {missing["visit"]}

    (cbc,) = placed[warts.UNSCHEDULED_CBC]
    unscheduled = labs[labs["visit"] == ""]
    assert set(unscheduled["usubjid"]) == {cbc["usubjid"]}
    assert {"WBC", "ALC", "ANC", "PLT"} <= set(unscheduled["test"])

    (cut,) = placed[warts.TRUNCATED_FCS]
    (row,) = at(samples, cut).itertuples()
    whole = next(
        r for r in samples.itertuples() if r.tube_id == row.tube_id and r.role == "sample" and r.Index != row.Index
    )
    assert (study / row.fcs_path).stat().st_size < 0.7 * (study / whole.fcs_path).stat().st_size
    with pytest.raises(Exception, match=r"."):
        flowio.FlowData(str(study / row.fcs_path)).as_array()

    paths = [Path(at(samples, wart)["fcs_path"].item()) for wart in placed[warts.SAME_NAME]]
    assert len({path.name for path in paths}) == 1
    assert len({path.parent for path in paths}) == 2

    (rerun,) = placed[warts.RERUN_TUBE]
    first, second = at(samples, rerun).sort_values("attempt").to_dict("records")
    assert (first["attempt"], second["attempt"]) == ("1", "2")
    assert second["supersedes"] == first["sample_id"]
    assert int(first["n_events_recorded"]) < int(second["n_events_recorded"])

    texts = set(cmv["result_raw"])
    assert any("," in text for text in texts)
    assert any(text.startswith(("<", "\uff1c")) for text in texts)
    assert "\u672a\u68c0\u51fa" in texts or "not detected" in texts

    (clog,) = placed[warts.CLOG]
    fcs = flowio.FlowData(str(study / at(samples, clog)["fcs_path"].item()))
    time = np.asarray(fcs.events).reshape(fcs.event_count, -1)[:, -1] * TIMESTEP_S
    begin, end = (int(share * len(time)) for share in CLOG_EVENTS)
    rates = [len(part) / (part[-1] - part[0]) for part in (time[:begin], time[begin + 2 : end - 2])]
    assert rates[1] < 0.3 * rates[0]

    (no_beads,) = placed[warts.NO_BEADS]
    (row,) = at(samples, no_beads).itertuples()
    assert (row.beads_per_tube, row.bead_lot, row.blood_volume_ul) == ("", "", "")
    with np.load(truth / "events" / f"{row.sample_id}.npz") as labels:
        assert not (labels["classes"][labels["code"]] == "bead").any()
    assert {"WBC", "LYMPH_PCT"} <= set(at(labs, {**no_beads, "tube": ""})["test"])


def test_without_warts_nothing_is_wrong(tmp_path: Path) -> None:
    folder = il2_cmv(tmp_path / "s", subjects=3, visits=3, events=300, warts=False)
    assert set(_read(folder, "visits")["occurred"]) == {"Y"}
    assert (_read(folder, "labs")["visit"] != "").all()
    assert _read(folder, "cmv_dna")["result_raw"].str.fullmatch(r"\d+|<137|not detected").all()
    samples = _read(folder, "samples")
    assert set(samples["attempt"]) == {"1"}
    assert samples["fcs_path"].map(lambda path: Path(path).name).is_unique


def test_the_blood_count_agrees_with_the_cells(study: Path, truth: Path) -> None:
    labs = _read(study, "labs")
    labs = labs[labs["visit"] != ""].assign(value=lambda t: t["value"].astype(float))
    wide = labs.pivot(index=["usubjid", "visit"], columns="test", values="value")
    true = _read(truth, "visits").assign(value=lambda t: t["value"].astype(float))
    true = true.pivot(index=["usubjid", "visit"], columns="quantity", values="value").loc[wide.index]
    np.testing.assert_allclose(wide["ALC"] * 1000, true["lymphocytes"], rtol=0.2, atol=6)
    np.testing.assert_allclose(wide["LYMPH_PCT"], 100 * wide["ALC"] / wide["WBC"], rtol=0.04, atol=0.1)
    assert (wide["ANC"] + wide["ALC"] < wide["WBC"] + 0.02).all()


def test_patients_are_eligible(study: Path) -> None:
    labs = _read(study, "labs")
    base = labs[labs["visit"] == "BL"]
    ratio = base["value"].astype(float) / base["uln"].astype(float)
    assert (ratio[base["test"].isin(["ALT", "AST"])] <= 3).all()
    assert (ratio[base["test"] == "TBIL"] <= 1).all()
    conmeds, subjects, visits = (_read(study, name) for name in ("conmeds", "subjects", "visits"))
    weight = visits[visits["visit"] == "BL"].set_index("usubjid")["weight_kg"].astype(float)
    dose = conmeds[conmeds["drug"] == "prednisone"].set_index("usubjid")["dose"].astype(float)
    assert (dose / weight < 1.0).all()
    assert subjects["age_y"].astype(int).between(18, 65).all()
