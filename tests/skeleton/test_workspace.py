"""A FlowJo workspace begins a study: groups call tubes, keywords tell subject and visit, files keep their gates."""

from __future__ import annotations

import pandas as pd
import pytest
from typer.testing import CliRunner

import immunoprofile as ip
from immunoprofile.cli import app
from immunoprofile.io.fcs import read_fcs
from tests.gate.workspaces import axis, group, population, rectangle, sample, workspace
from tests.io.fcs_files import events, write

CELLS = population("Cells", rectangle(axis("FSC-A", 80_000)))
OTHER_PANEL = ("", "", "CD4", "CD25", "CD127", "")


def begin(folder, files, made, groups="", **options):
    """A study of files (name -> keywords of the file, or the file's markers under ``pns``) and samples."""
    for seed, (name, keywords) in enumerate(files.items(), 1):
        write(folder / "raw" / name, events(800, seed), **keywords)
    (folder / "lab.wsp").write_bytes(workspace(*made, groups=groups))
    begun = ip.study_skeleton(
        folder / "s", fcs=folder / "raw", workspace=folder / "lab.wsp", specimen="WB_EDTA", **options
    )
    table = pd.read_csv(folder / "s" / "samples.csv", dtype=str)
    return begun, table.set_index(table["fcs_path"].str.removeprefix("fcs/"))


def samples_of(files, keywords=None):
    return [sample(n, name, CELLS, keywords=(keywords or {}).get(name)) for n, name in enumerate(files, 1)]


def test_groups_call_the_tubes(tmp_path):
    files = {"P1_x.fcs": {}, "P2_x.fcs": {}, "P1_y.fcs": {"pns": OTHER_PANEL}, "P2_y.fcs": {"pns": OTHER_PANEL}}
    groups = group("All Samples", 1, 2, 3, 4) + group("Trial", 1, 2, 3, 4) + group("T + NK", 1, 2) + group("Treg", 3, 4)
    begun, table = begin(tmp_path, files, samples_of(files), groups)
    assert table["tube_id"].to_dict() == {
        "P1_x.fcs": "T_NK",
        "P2_x.fcs": "T_NK",
        "P1_y.fcs": "Treg",
        "P2_y.fcs": "Treg",
    }
    assert table["usubjid"].tolist() == ["P1", "P1", "P2", "P2"]
    assert "tubes are called as the groups of lab.wsp: T_NK, Treg" in begun.text()


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        (group("Arm A", 1, 2) + group("Arm B", 3, 4), "part the subjects: they name no tubes"),
        (group("one", 1, 2, 3) + group("other", 3, 4), "do not part its files: they name no tubes"),
    ],
)
def test_groups_that_are_no_tubes(tmp_path, groups, told):
    files = {name: {} for name in ("P1_BL.fcs", "P1_D7.fcs", "P2_BL.fcs", "P2_D7.fcs")}
    begun, table = begin(tmp_path, files, samples_of(files), groups)
    assert set(table["tube_id"]) == {"tube1"}
    assert told in begun.text()


def test_groups_that_are_visits(tmp_path):
    files = {name: {} for name in ("P1_a.fcs", "P1_b.fcs", "P2_a.fcs", "P2_b.fcs")}
    _, table = begin(tmp_path, files, samples_of(files), group("Baseline", 1, 3) + group("Day 14", 2, 4))
    assert table["visit"].tolist() == ["Baseline", "Day 14", "Baseline", "Day 14"]
    assert table["usubjid"].tolist() == ["P1", "P1", "P2", "P2"]
    assert set(table["tube_id"]) == {"tube1"}
    config = ip.read_study(tmp_path / "s").config
    assert [(visit.visit, visit.day) for visit in config.visits] == [("Baseline", 1), ("Day 14", 14)]


def test_groups_that_say_another_than_the_names_are_told(tmp_path):
    files = {name: {} for name in ("P1_BL.fcs", "P1_D7.fcs", "P2_BL.fcs")}
    begun, table = begin(tmp_path, files, samples_of(files), group("BL", 1) + group("D14", 2, 3))
    assert table["visit"].tolist() == ["BL", "D7", "BL"]
    assert "where groups of lab.wsp say another: BL (group D14), D7 (group D14)" in begun.text()


def test_keywords_that_a_person_edited_tell_subject_and_visit(tmp_path):
    """The cytometer wrote one visit wrong; it was put right in FlowJo, where the subject was added too."""
    files = {"a.fcs": {"VISIT": "BL"}, "b.fcs": {"VISIT": "BL"}, "c.fcs": {"VISIT": "BL"}}
    edited = {
        "a.fcs": {"VISIT": "BL", "Subject ID": "S-1"},
        "b.fcs": {"VISIT": "D14", "Subject ID": "S-1"},
        "c.fcs": {"VISIT": "BL", "Subject ID": "S-2"},
    }
    begun, table = begin(tmp_path, files, samples_of(files, edited))
    assert table["visit"].to_dict() == {"a.fcs": "BL", "b.fcs": "D14", "c.fcs": "BL"}
    assert table["usubjid"].to_dict() == {"a.fcs": "S-1", "b.fcs": "S-1", "c.fcs": "S-2"}
    (differs,) = begun.left_out
    assert "b.fcs" in differs and "keyword VISIT is D14 in lab.wsp and BL in the file" in differs
    assert "each file is a subject of its own" not in begun.text()
    assert ip.read_study(tmp_path / "s").config.baseline_visit == "BL"


def test_a_keyword_against_the_name(tmp_path):
    files = {name: {} for name in ("P1_BL.fcs", "P1_D14.fcs", "P2_BL.fcs")}
    edited = {"P2_BL.fcs": {"Timepoint": "D14"}}
    begun, table = begin(tmp_path / "proposed", files, samples_of(files, edited))
    assert table["visit"].tolist() == ["BL", "D14", "D14"]
    assert any("the name says visit BL, keyword TIMEPOINT says D14" in line for line in begun.left_out)
    # A pattern that a person gave stands above it, and the difference is named all the same.
    begun, table = begin(tmp_path / "given", files, samples_of(files, edited), pattern="{subject}_{visit}.fcs")
    assert table["visit"].tolist() == ["BL", "D14", "BL"]
    assert any("keyword TIMEPOINT says D14" in line and "the name is taken" in line for line in begun.left_out)


def test_the_number_of_a_hospital_never_stands_for_the_code_in_a_name(tmp_path):
    files = {"P1_BL.fcs": {"PATIENT ID": "4711"}, "P2_BL.fcs": {"PATIENT ID": "4712"}}
    _, table = begin(tmp_path / "coded", files, samples_of(files))
    assert table["usubjid"].tolist() == ["P1", "P2"]
    files = {"Anna_x_1.fcs": {"PATIENT ID": "7"}, "Otto_y_2.fcs": {"PATIENT ID": "8"}}
    _, table = begin(tmp_path / "open", files, samples_of(files))
    assert table["usubjid"].tolist() == ["7", "8"]


def test_each_file_of_a_tube_gets_the_gates_of_its_own_sample(tmp_path):
    """Two trees in one tube: one sample has a gate of its own below a moved one."""
    files = {name: {} for name in ("P1_BL.fcs", "P1_D14.fcs", "P2_BL.fcs")}
    below = population("Bright", rectangle(axis("SSC-A", 45_000)))
    made = [
        sample(1, "P1_BL.fcs", CELLS),
        sample(2, "P1_D14.fcs", population("Cells", rectangle(axis("FSC-A", 95_000)), below)),
        sample(3, "P2_BL.fcs", CELLS),
    ]
    begun, table = begin(tmp_path, files, made, group("NK panel", 1, 2, 3))
    assert set(table["tube_id"]) == {"NK_panel"}
    assert "gates its files in 2 ways" in begun.text() and "the gates of its own sample" in begun.text()
    checked = CliRunner().invoke(app, ["check", str(tmp_path / "s"), "--quiet"], catch_exceptions=False)
    assert checked.exit_code == 0, checked.output
    study = ip.read_study(tmp_path / "s")
    counts = ip.profile(study, ip.gate.load(tmp_path / "s" / "gating"), out=tmp_path / "r").counts
    file_of = dict(zip(table["sample_id"], table.index, strict=True))
    found = {(file_of[row.sample_id], row.population): row.n for row in counts.itertuples()}
    expected = {}
    for name, low in {"P1_BL.fcs": 80_000, "P1_D14.fcs": 95_000, "P2_BL.fcs": 80_000}.items():
        file = read_fcs(tmp_path / "raw" / name)
        cells = file.values("FSC-A") >= low
        expected[name, "cells"] = int(cells.sum())
        if low == 95_000:
            expected[name, "bright"] = int((cells & (file.values("SSC-A") >= 45_000)).sum())
    assert {key: n for key, n in found.items() if key[1] in ("cells", "bright")} == expected
