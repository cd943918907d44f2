"""From a folder of files to a study folder that check reads and run gates; nothing of a person is overwritten."""

from __future__ import annotations

import os
import time

import numpy as np
import openpyxl
import pandas as pd
import pytest
from typer.testing import CliRunner

import immunoprofile as ip
from immunoprofile.cli import EXIT_LEFT_OUT, app
from immunoprofile.errors import ImmunoprofileError
from tests.folders import content
from tests.io.fcs_files import write

CHANNELS = ("FSC-A", "SSC-A", "FITC-A", "PE-A", "Time")


def events(seed, n=3000, share=0.3):
    rng = np.random.default_rng(seed)
    t = rng.normal(0, 150, n)
    t[: int(share * n)] = rng.lognormal(np.log(9000), 0.3, int(share * n))
    fsc = np.concatenate([rng.normal(12_000, 2500, n // 5), rng.normal(90_000, 9000, n - n // 5)])
    values = np.column_stack([rng.permutation(fsc), rng.normal(4e4, 5e3, n), t, rng.normal(0, 90, n), np.arange(n)])
    return values.astype(np.float32)


def files(folder, names, *, markers=("", "", "CD3", "CD56", ""), **keywords):
    for seed, name in enumerate(names, 1):
        write(folder / name, events(seed), pnn=CHANNELS, pns=markers, **({"$DATE": "01-MAR-2024"} | keywords))
    return folder


NAMES = ("001_BL_nk.fcs", "001_D7_nk.fcs", "002_BL_nk.fcs", "002_D7_nk.fcs")


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_a_study_that_runs(tmp_path):
    """Two subjects, two visits, one tube: read, checked, gated and reported with what init wrote, word for word."""
    source = files(tmp_path / "raw", NAMES)
    outcome = invoke("init", tmp_path / "trial", "--fcs", source, "--pattern", "{subject}_{visit}_{tube}.fcs",
                     "--specimen", "WB_EDTA")  # fmt: skip
    assert outcome.exit_code == 0, outcome.output
    assert "1. samples.csv, collected_dtc" in outcome.output
    study = ip.read_study(tmp_path / "trial")
    assert study.subjects["usubjid"].tolist() == ["001", "002"]
    assert study.config.visit_names == ("BL", "D7") and study.config.baseline_visit == "BL"
    assert [visit.day for visit in study.config.visits] == [1, 7]
    assert study.samples["tube_id"].tolist() == ["nk"] * 4
    assert study.samples["acquired_dtc"].tolist() == ["2024-03-01"] * 4
    assert study.samples["collected_dtc"].isna().all()
    gates = ip.gate.load(tmp_path / "trial" / "gating")
    assert gates["nk"].populations == ("cells", "t")
    assert gates["nk"].units == "data"
    checked = invoke("check", tmp_path / "trial", "--quiet")
    assert checked.exit_code == 0, checked.output
    profile = ip.profile(study, gates, out=tmp_path / "results")
    # 30 % of all events are CD3+; the debris gate takes a fifth of all events at random.
    t = profile.counts[profile.counts["population"] == "t"]["pct_parent"]
    assert len(t) == 4 and np.all(np.abs(t - 30) < 2)


def test_twice_is_safe_and_a_person_is_not_overwritten(tmp_path):
    source = files(tmp_path / "raw", NAMES)
    ip.study_skeleton(tmp_path / "s", fcs=source)
    before = content(tmp_path / "s")
    again = ip.study_skeleton(tmp_path / "s", fcs=source)
    assert (again.written, again.kept) == ([], [])
    assert content(tmp_path / "s") == before
    (tmp_path / "s" / "subjects.csv").write_text("usubjid,arm\n001,A\n")
    (tmp_path / "s" / "gating" / "tube1.csv").unlink()
    third = ip.study_skeleton(tmp_path / "s", fcs=source)
    assert third.kept == ["subjects.csv"]
    assert third.written == ["gating/tube1.csv"]
    assert (tmp_path / "s" / "subjects.csv").read_text() == "usubjid,arm\n001,A\n"
    assert "kept as it is" in third.text()


def test_files_are_linked_not_copied_and_stay_where_they_are_inside_the_study(tmp_path):
    source = files(tmp_path / "raw", NAMES)
    ip.study_skeleton(tmp_path / "s", fcs=source)
    assert (source / NAMES[0]).samefile(tmp_path / "s" / "fcs" / NAMES[0])
    inside = files(tmp_path / "t" / "cytometer" / "day1", NAMES)
    ip.study_skeleton(tmp_path / "t", fcs=inside.parent)
    assert not (tmp_path / "t" / "fcs").exists()
    assert pd.read_csv(tmp_path / "t" / "samples.csv")["fcs_path"][0] == f"cytometer/day1/{NAMES[0]}"


def test_a_disk_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    source = files(tmp_path / "raw", NAMES)
    assert "copied in fcs/" in ip.study_skeleton(tmp_path / "s", fcs=source).text()
    assert (tmp_path / "s" / "fcs" / NAMES[0]).read_bytes() == (source / NAMES[0]).read_bytes()


def test_tubes_by_panel_where_names_have_none(tmp_path):
    source = files(tmp_path / "raw", ("P1.fcs", "P2.fcs"))
    files(source / "more", ("P3.fcs",), markers=("", "", "CD4", "CD25", ""))
    begun = ip.study_skeleton(tmp_path / "s", fcs=source)
    table = pd.read_csv(tmp_path / "s" / "samples.csv", dtype=str)
    assert dict(zip(table["fcs_path"], table["tube_id"], strict=True)) == {
        "fcs/P1.fcs": "tube1", "fcs/P2.fcs": "tube1", "fcs/more/P3.fcs": "tube2",
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "s" / "gating").iterdir()) == ["tube1.csv", "tube2.csv"]
    assert "each file is a subject of its own" in begun.text()
    named = files(tmp_path / "named", ("P1.fcs",), **{"TUBE NAME": "Treg tube"})
    files(named, ("Q1.fcs",), markers=("", "", "CD4", "CD25", ""), **{"TUBE NAME": "B/NK"})
    ip.study_skeleton(tmp_path / "u", fcs=named)
    assert set(pd.read_csv(tmp_path / "u" / "samples.csv")["tube_id"]) == {"Treg_tube", "B_NK"}


def test_visits_by_date_where_names_have_none(tmp_path):
    source = tmp_path / "raw"
    for day, seed in (("01-MAR-2024", 1), ("15-MAR-2024", 2)):
        write(
            source / day[:2] / "P1_tube1.fcs",
            events(seed),
            pnn=CHANNELS,
            pns=("", "", "CD3", "CD56", ""),
            **{"$DATE": day},
        )
    begun = ip.study_skeleton(tmp_path / "s", fcs=source, pattern="{subject}_{tube}.fcs")
    table = pd.read_csv(tmp_path / "s" / "samples.csv")
    assert table["visit"].tolist() == ["V1", "V2"]
    assert "in their order" in begun.text()


def test_what_cannot_be_read_is_named_and_left_out(tmp_path):
    source = files(tmp_path / "raw", NAMES)
    (source / "003_BL_nk.fcs").write_bytes(b"FCS3.1 not a file")
    (source / "unstained_nk.fcs").write_bytes((source / NAMES[0]).read_bytes())
    outcome = invoke("init", source, "--out", tmp_path / "s", "--specimen", "WB_EDTA")
    assert outcome.exit_code == EXIT_LEFT_OUT
    assert "003_BL_nk.fcs" in outcome.output
    table = pd.read_csv(tmp_path / "s" / "samples.csv", dtype=str).set_index("fcs_path")
    assert "fcs/003_BL_nk.fcs" not in table.index
    assert table.loc["fcs/unstained_nk.fcs", "role"] == "unstained"
    assert pd.isna(table.loc["fcs/unstained_nk.fcs", "usubjid"])


def test_controls_with_labels_of_their_own_belong_to_the_tube_of_their_channels(tmp_path):
    source = files(tmp_path / "raw", NAMES)
    files(
        source / "Compensation Controls",
        ("single stain PE.fcs", "single stain FITC.fcs"),
        markers=("", "", "", "CD56", ""),
    )
    (source / "broken_D7_nk.fcs").write_bytes((source / NAMES[0]).read_bytes()[:3000])
    begun = ip.study_skeleton(tmp_path / "s", fcs=source, pattern="{subject}_{visit}_{tube}.fcs", specimen="WB_EDTA")
    study = ip.read_study(tmp_path / "s")
    assert set(study.samples["tube_id"]) == {"nk"} == set(study.config.tubes)
    assert study.samples["role"].tolist().count("single_stain") == 2
    assert len(study.samples["sample_id"].str.casefold().unique()) == len(study.samples)
    assert "broken_D7_nk.fcs" in begun.text()


def test_a_tube_that_cannot_be_read_keeps_its_place(tmp_path):
    """Keywords in order, events cut off: the study is checked, and the file is named when it is read."""
    source = files(tmp_path / "raw", NAMES[:2])
    files(source, ("001_BL_b.fcs",), markers=("", "", "CD19", "CD20", ""))
    whole = (source / "001_BL_b.fcs").read_bytes()
    (source / "001_BL_b.fcs").write_bytes(whole[: len(whole) // 2])
    begun = ip.study_skeleton(tmp_path / "s", fcs=source, pattern="{subject}_{visit}_{tube}.fcs", specimen="WB_EDTA")
    assert "tube b: none of its files could be read" in begun.text()
    outcome = invoke("check", tmp_path / "s", "--quiet")
    assert outcome.exit_code == EXIT_LEFT_OUT, outcome.output
    assert "001_BL_b.fcs" in outcome.output


def test_ids_of_samples_stay_apart(tmp_path):
    source = files(tmp_path / "raw", ("P+1.fcs", "P-1.fcs", "p-1.fcs"))
    ip.study_skeleton(tmp_path / "s", fcs=source, specimen="WB_EDTA")
    assert ip.read_study(tmp_path / "s").samples["sample_id"].str.casefold().nunique() == 3


@pytest.mark.parametrize(
    ("make", "options", "told"),
    [
        (lambda folder: folder.mkdir(), {}, "no FCS file below this folder"),
        (lambda folder: None, {}, "does not exist"),
        (lambda folder: files(folder, NAMES), {"specimen": "blood"}, "'blood' is no specimen"),
        (lambda folder: files(folder, NAMES), {"pattern": "{subjekt}.fcs"}, "unknown fields"),
        (
            lambda folder: broken(folder),
            {},
            "none of the 1 files can be read",
        ),
    ],
)
def test_refusals_write_nothing(tmp_path, make, options, told):
    make(tmp_path / "raw")
    with pytest.raises(ImmunoprofileError, match=told):
        ip.study_skeleton(tmp_path / "s", fcs=tmp_path / "raw", **options)
    assert not (tmp_path / "s").exists()


def broken(folder):
    folder.mkdir()
    (folder / "a.fcs").write_bytes(b"nothing")


def test_the_workbook_is_the_same_study(tmp_path):
    source = files(tmp_path / "raw", NAMES)
    ip.study_skeleton(tmp_path / "csv", fcs=source, specimen="WB_EDTA")
    begun = ip.study_skeleton(tmp_path / "xlsx", fcs=source, specimen="WB_EDTA", xlsx=True)
    assert not (tmp_path / "xlsx" / "samples.csv").exists()
    assert "study.xlsx, sheet samples, collected_dtc" in begun.text()
    one, other = ip.read_study(tmp_path / "csv"), ip.read_study(tmp_path / "xlsx")
    for name in ("subjects", "visits", "samples"):
        pd.testing.assert_frame_equal(one.tables[name], other.tables[name])
    assert "UNREAD_TABLE" not in set(other.exceptions["code"])
    before = (tmp_path / "xlsx" / "study.xlsx").read_bytes()
    time.sleep(2.1)  # the clock of a zip archive has steps of two seconds
    assert ip.study_skeleton(tmp_path / "xlsx", fcs=source, specimen="WB_EDTA", xlsx=True).kept == []
    ip.study_skeleton(tmp_path / "again" / "xlsx", fcs=source, specimen="WB_EDTA", xlsx=True)
    assert (tmp_path / "again" / "xlsx" / "study.xlsx").read_bytes() == before
    with pytest.raises(ImmunoprofileError, match="in the other form"):
        ip.study_skeleton(tmp_path / "xlsx", fcs=source)
    # Drop-downs of allowed values, and the sheet with units.
    book = openpyxl.load_workbook(tmp_path / "xlsx" / "study.xlsx")
    lists = {check.formula1: str(check.sqref) for check in book["labs"].data_validations.dataValidation}
    assert len(lists) >= 3
    rows = [[cell.value for cell in row] for row in book["columns"].iter_rows()]
    (weight,) = (row for row in rows if row[:2] == ["visits", "weight_kg"])
    assert weight[4] == "kg"
    # A row that a person adds in the spreadsheet.
    book["labs"].append(["001", "BL", "2024-03-01", "WBC", 4.66, "10^9/L"])
    book.save(tmp_path / "xlsx" / "study.xlsx")
    assert ip.read_study(tmp_path / "xlsx").labs["value"].tolist() == [4.66]


def test_names_that_tell_nothing_are_no_fault_and_each_file_is_a_subject(tmp_path):
    """No pattern was given, so none is missed; one name in two folders is two subjects."""
    names = ("mon/Hs90_00.583331.fcs", "mon/Tube.fcs", "tue/Tube.fcs", "wed/x/11059-cells found.fcs")
    source = files(tmp_path / "raw", names)
    outcome = invoke("init", tmp_path / "trial", "--fcs", source, "--specimen", "WB_EDTA")
    assert outcome.exit_code == 0, outcome.output
    assert "does not match the pattern" not in outcome.output
    assert "4 subjects" in outcome.output
    assert "each file is a subject of its own" in outcome.output
    study = ip.read_study(tmp_path / "trial")
    assert study.samples["usubjid"].is_unique
    assert set(study.subjects["usubjid"]) == {"Hs90_00.583331", "mon_Tube", "tue_Tube", "11059-cells found"}
    assert study.config.endpoints[0].label == "T cells"


def test_a_replicate_in_the_name_is_no_second_attempt(tmp_path):
    """Of two attempts one is left out; two tubes of a draw tell how precise the assay is."""
    names = ("A_BL_nk_1.fcs", "A_BL_nk_2.fcs", "A_D7_nk_1.fcs", "A_D7_nk_2.fcs")
    source = files(tmp_path / "raw", names)
    outcome = invoke("init", tmp_path / "trial", "--fcs", source, "--specimen", "WB_EDTA",
                     "--pattern", "{subject}_{visit}_{tube}_{replicate}.fcs")  # fmt: skip
    assert outcome.exit_code == 0, outcome.output
    study = ip.read_study(tmp_path / "trial")
    assert study.samples["role"].tolist() == ["sample", "replicate"] * 2
    assert not study.exceptions["code"].isin(["ATTEMPTS_ALIKE"]).any()
    assert "ATTEMPTS_ALIKE" not in invoke("check", tmp_path / "trial").output
