"""A placed cut that moved names what moved it: template, baseline sample, control aliquot, its file, or the package."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import immunoprofile as ip
from immunoprofile.cli import app
from immunoprofile.cli.results import EXIT_MOVED
from immunoprofile.placement import limits
from immunoprofile.profiling import run as run_module
from tests.profiling.test_placed_overrides import PLACED, two_peaks
from tests.small_study import TABLES, write_study

HEAD, *ROWS = TABLES["samples"].splitlines()
BATCHES = {"S-1_BL": "B01", "S-1_D14": "B02", "S-2_BL": "B01"}
CONTROL = "{name},,,t,control,WB_EDTA,2024-03-01T08:00,fcs/{name}.fcs,{batch},1\n"
FIRST = "S-1_BL2,S-1,BL,t,sample,WB_EDTA,2024-03-01T08:00,fcs/S-1_BL2.fcs,B01,2\n"


def samples(*, controls: tuple[str, ...] = ("C01", "C02"), more: str = "") -> str:
    own = "".join(f"{row},{BATCHES[row.split(',')[0]]},1\n" for row in ROWS)
    aliquots = "".join(CONTROL.format(name=name, batch=f"B{name[1:]}") for name in controls)
    return f"{HEAD},batch_id,attempt\n{own}{aliquots}{more}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two batches with a control aliquot each; that of the second is brighter, and so is the frozen gate there."""
    folder = tmp_path_factory.mktemp("placed")
    study = write_study(folder / "study", samples=samples())
    gains = {"S-1_BL": 1.0, "S-1_D14": 1.15, "S-2_BL": 1.3, "C01": 1.0, "C02": 1.15, "S-1_BL2": 0.9}
    for seed, (name, gain) in enumerate(gains.items(), 1):
        two_peaks(study, name, seed=seed, gain=gain)
    (study / "gating").mkdir()
    (study / "gating" / "t.csv").write_text(PLACED, encoding="utf-8")
    profiled(folder, "old")
    return folder


def profiled(folder: Path, out: str) -> Path:
    ip.profile(ip.read_study(folder / "study"), ip.gate.load(folder / "study" / "gating"), out=folder / out)
    return folder / out


@pytest.fixture
def moved(folder: Path, tmp_path: Path) -> Callable[[Callable[[Path], object]], pd.DataFrame]:
    """Rows of placement that moved after a change of the study."""

    def after(change: Callable[[Path], object]) -> pd.DataFrame:
        shutil.copytree(folder / "study", tmp_path / "study")
        change(tmp_path / "study")
        found = ip.report.restate(folder / "old", profiled(tmp_path, "new"))
        assert found.unexplained == 0
        return found.table[(found.table["where"] == "placement") & (found.table["column"] == "value")]

    return after


def test_the_study_has_what_can_move(folder: Path) -> None:
    table = ip.read_results(folder / "old").tables["placement"].set_index("sample_id")
    assert (table["method"] == "mindensity").all()
    assert table.loc["S-1_D14", "source"] == "S-1_BL"
    assert table.loc["S-1_D14", "later_shift"] > 0.003
    assert table.loc["S-1_BL", "later_shift"] == 0


Moved = Callable[[Callable[[Path], object]], pd.DataFrame]


def test_the_template(moved: Moved) -> None:
    def change(study: Path) -> None:
        text = PLACED.replace("mindensity,events=100,", "mindensity,events=100;adjust=3,")
        (study / "gating" / "t.csv").write_text(text, encoding="utf-8")

    rows = moved(change)
    assert set(rows["sample_id"]) >= {"S-1_BL", "S-1_D14", "S-2_BL"}
    assert set(rows["causes"]) == {"template: the gates of tube t are others"}


def test_a_template_of_which_the_placed_gate_lies_where_it_lay(folder: Path, tmp_path: Path) -> None:
    """The valley is the same from a template a little beside: the record moved, the gates did not."""
    shutil.copytree(folder / "study", tmp_path / "study")
    text = PLACED.replace("mindensity,events=100,CD3,0.50", "mindensity,events=100,CD3,0.505")
    assert text != PLACED
    (tmp_path / "study" / "gating" / "t.csv").write_text(text, encoding="utf-8")
    outcome = CliRunner().invoke(
        app, ["restate", str(folder / "old"), str(profiled(tmp_path, "new")), "--out", str(tmp_path / "out")]
    )
    assert outcome.exit_code == EXIT_MOVED, outcome.output
    assert outcome.output.count("differs: template: the gates of tube t are others") == 1
    table = pd.read_csv(tmp_path / "out" / "restatement.csv", dtype=str)
    assert set(table["causes"]) == {"template: the gates of tube t are others"}
    assert not len(table[table["where"] == "counts"])
    assert set(table.loc[table["where"] == "placement", "column"]) >= {"template", "shift"}


def test_the_control_aliquot(moved: Moved) -> None:
    rows = moved(lambda study: two_peaks(study, "C02", seed=5, gain=1.3)).set_index("sample_id")
    assert set(rows.index) == {"S-1_D14", "C02"}  # nothing else was moved by it
    cause = "control: the control aliquot C02 of batch B02 is another file, or compensated otherwise"
    assert rows.loc["S-1_D14", "causes"] == cause
    assert rows.loc["C02", "causes"] == "data: the FCS file of C02 is another one"


def test_a_control_aliquot_that_is_gone(moved: Moved) -> None:
    def change(study: Path) -> None:
        (study / "samples.csv").write_text(samples(controls=("C01",)), encoding="utf-8")

    rows = moved(change)
    (row,) = rows[rows["sample_id"] == "S-1_D14"].to_dict("records")
    assert "control: the control aliquot C02 of batch B02 is gone" in row["causes"]
    assert "template" not in row["causes"]
    assert not len(rows[rows["sample_id"].isin(["S-1_BL", "S-2_BL"])])


def test_the_file_of_the_baseline_sample(moved: Moved) -> None:
    rows = moved(lambda study: two_peaks(study, "S-1_BL", seed=1, gain=1.2)).set_index("sample_id")
    assert set(rows.index) == {"S-1_BL", "S-1_D14"}
    assert rows.loc["S-1_BL", "causes"] == "data: the FCS file of S-1_BL is another one"
    cause = "baseline: S-1_BL, on which the gates of S-1_D14 lie, is another file, or compensated otherwise"
    assert rows.loc["S-1_D14", "causes"] == cause


def test_another_baseline_sample(moved: Moved) -> None:
    def change(study: Path) -> None:
        (study / "samples.csv").write_text(samples(more=FIRST), encoding="utf-8")

    rows = moved(change)
    (row,) = rows[rows["sample_id"] == "S-1_D14"].to_dict("records")
    assert "baseline: the gates of S-1_D14 lie on S-1_BL2, before on S-1_BL" in row["causes"]
    assert "template" not in row["causes"]
    assert not len(rows[rows["sample_id"] == "S-2_BL"])


def test_the_file_itself(moved: Moved) -> None:
    rows = moved(lambda study: two_peaks(study, "S-2_BL", seed=3, gain=1.5))
    assert rows[["sample_id", "causes"]].to_numpy().tolist() == [
        ["S-2_BL", "data: the FCS file of S-2_BL is another one"]
    ]


def test_a_later_file_moves_no_gate(moved: Moved) -> None:
    assert moved(lambda study: two_peaks(study, "S-1_D14", seed=9, gain=1.4)).empty


def test_the_package(moved: Moved, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = limits.mindensity
    monkeypatch.setattr(limits, "mindensity", lambda *args, **known: (plain(*args, **known) or 0.5) + 0.004)
    monkeypatch.setattr(run_module, "package_digest", lambda: "2" * 64)
    rows = moved(lambda study: None)
    assert set(rows["sample_id"]) >= {"S-1_BL", "S-1_D14", "S-2_BL"}
    (cause,) = set(rows["causes"])
    assert f"version: immunoprofile, another build of {ip.__version__}" in cause
