"""The manifest proposes what names and keywords say, and lists everything else."""

from __future__ import annotations

import re
import shutil

import pandas as pd
import pytest

import immunoprofile as ip
from immunoprofile.errors import ImmunoprofileError
from immunoprofile.io.config import read_config
from immunoprofile.io.file_names import NamePattern
from immunoprofile.io.manifest import propose_manifest, write_manifest
from immunoprofile.schema import SAMPLES
from tests.io.fcs_files import PNS, events, write
from tests.small_study import TABLES, write_study

PATTERN = "{subject}_{visit}_{tube}[_{attempt}].fcs"
DATE = {"$DATE": "01-MAR-2024", "$BTIM": "08:00:00", "$ETIM": "08:05:00", "$CYT": "LSRFortessa", "$CYTSN": "H1"}


@pytest.fixture
def config(tmp_path):
    return read_config(write_study(tmp_path / "study", files=False))


def put(folder, name, seed=1, **keywords):
    pns = keywords.pop("pns", PNS)
    return write(folder / name, events(20, seed=seed), pns=pns, **{**DATE, **keywords})


def said(manifest):
    return [str(problem) for problem in manifest.problems]


def test_the_demo_is_found_again_from_names_and_keywords(repository):
    """The committed demo: what names and keywords can say equals its samples.csv, written by another program."""
    demo = repository / "data" / "demo"
    study = ip.read_study(demo)
    manifest = propose_manifest(
        demo / "fcs",
        pattern=[
            PATTERN,
            r"(?P<batch>B\d+)_(?P<tube>[a-z]+)_(?P<role>control|unstained|fmo|single_stain)(_(?P<fmo_marker>\w+))?\.fcs",
        ],
        config=study.config, study_folder=demo, fill={"specimen_type": "WB_EDTA", "role": "sample"},
    )  # fmt: skip
    ours = manifest.table.set_index("fcs_path")
    theirs = ip.read_study(demo).samples.set_index("fcs_path").loc[ours.index]
    for column in ("usubjid", "visit", "tube_id", "panel_id", "role", "sha256", "cytometer_sn", "n_events_recorded"):
        assert [str(v) if pd.notna(v) else "" for v in ours[column]] == [
            str(v) if pd.notna(v) else "" for v in theirs[column]
        ], column
    assert (ours["acquired_dtc"].str[:16] == theirs["acquired_dtc"]).all()
    samples = ours["role"] == "sample"
    assert (ours.loc[samples, "sample_id"] == theirs.loc[samples, "sample_id"]).all()
    # The draw is written nowhere in an FCS file: listed, not guessed.
    assert ours["collected_dtc"].isna().all()
    assert said(manifest) == [
        "samples.csv, column collected_dtc: is not known for any file; allowed: when the blood was drawn"
    ]


def test_the_proposal_is_read_as_a_study_once_the_unknown_is_filled(tmp_path):
    study = write_study(tmp_path / "study")
    shutil.move(study / "samples.csv", tmp_path / "by_hand.csv")
    for path in sorted((study / "fcs").iterdir()):
        path.rename(path.with_name(f"{path.stem}_t.fcs"))
    manifest = propose_manifest(
        study / "fcs", pattern=PATTERN, config=read_config(study), study_folder=study,
        fill={"role": "sample", "specimen_type": "WB_EDTA", "collected_dtc": "2024-03-01"},
    )  # fmt: skip
    assert manifest.problems == ()
    write_manifest(manifest, study / "samples.csv")
    with pytest.raises(ImmunoprofileError, match="exists already"):
        write_manifest(manifest, study / "samples.csv")
    assert write_manifest(manifest, study / "samples.csv", replace=True).is_file()
    found = ip.read_study(study).samples
    assert found["sample_id"].tolist() == ["S-1_BL_t", "S-1_D14_t", "S-2_BL_t"]
    assert len(found) == TABLES["samples"].count("fcs/")


def test_nothing_is_guessed(tmp_path, config):
    for seed, name in enumerate(("S-1_BL_x.fcs", "S-1_baseline_t.fcs", "S_1_BL_t.fcs", "scan.fcs", "S-1_BL_t_b.fcs")):
        put(tmp_path / "fcs", name, seed)
    manifest = propose_manifest(tmp_path / "fcs", pattern=PATTERN, config=config)
    table = manifest.table
    assert tuple(table.columns) == SAMPLES.column_names
    for column in ("usubjid", "visit", "tube_id", "role", "attempt", "specimen_type", "collected_dtc", "batch_id"):
        assert table[column].isna().all(), column
    text = "\n".join(said(manifest))
    assert "S-1_BL_x.fcs: unknown tube_id in the name (found 'x'); allowed: t" in text
    assert "S-1_baseline_t.fcs: unknown visit in the name (found 'baseline'); allowed: BL, D14" in text
    assert "S_1_BL_t.fcs: unknown visit" in text or "S_1_BL_t.fcs: the name does not match" in text
    assert "scan.fcs: the name does not match the pattern" in text
    assert "S-1_BL_t_b.fcs: attempt in the name is no number (found 'b')" in text
    for column in ("usubjid", "visit", "tube_id", "role", "specimen_type", "collected_dtc"):
        assert f"column {column}: is not known for any file" in text
    assert manifest.text().startswith("5 files; columns filled: sample_id, acquired_dtc, instrument")


def test_attempts_and_what_they_replace(tmp_path, config):
    folder = tmp_path / "fcs"
    put(folder, "S-1_BL_t.fcs", 1)
    put(folder, "S-1_BL_t_2.fcs", 2, **{"$BTIM": "09:00:00", "$ETIM": "09:10:00"})
    put(folder, "S-1_BL_t_3.fcs", 3, **{"$BTIM": "08:30:00", "$ETIM": "08:40:00"})
    manifest = propose_manifest(folder, pattern=PATTERN, config=config)
    rows = manifest.table.set_index("fcs_path")
    assert rows["attempt"].tolist() == [1, 2, 3]
    assert rows["supersedes"].fillna("").tolist() == ["", "S-1_BL_t", "S-1_BL_t_a2"]
    assert any("attempt 3 was acquired before attempt 2" in text for text in said(manifest))


def test_repeats_without_an_order_are_listed(tmp_path, config):
    first = put(tmp_path / "fcs" / "a", "S-1_BL_t.fcs", 1)
    put(tmp_path / "fcs" / "b", "S-1_BL_t.fcs", 2)
    (tmp_path / "fcs" / "c").mkdir()
    shutil.copy(first, tmp_path / "fcs" / "c" / "S-1_D14_t.fcs")
    manifest = propose_manifest(tmp_path / "fcs", pattern=PATTERN, config=config)
    text = "\n".join(said(manifest))
    assert "S-1 BL t was acquired 2 times without an order (found 'a/S-1_BL_t.fcs, b/S-1_BL_t.fcs')" in text
    assert "c/S-1_D14_t.fcs, column sha256: has the same content as a/S-1_BL_t.fcs" in text
    assert manifest.table["attempt"].isna().all()
    assert manifest.table["sample_id"].is_unique


def test_disagreements_are_listed(tmp_path, config):
    folder = tmp_path / "fcs"
    put(folder, "S-1_BL_t_20240301.fcs", 1)
    put(folder, "S-1_D14_t_20240314.fcs", 2, **{"$DATE": "13-FEB-2024", "$ETIM": "07:00:00"})
    put(folder, "S-2_BL_t_20240301.fcs", 3, pns=("", "", "CD3", "CD8", "HLA DR", ""))
    put(folder, "S-2_D14_t_20240314.fcs", 4, **{"$DATE": "14/03/2024"})
    manifest = propose_manifest(
        folder, pattern="{subject}_{visit}_{tube}_{date}", config=config, markers={"t": ["CD3", "CD56"]}
    )
    text = "\n".join(said(manifest))
    assert "S-1_D14_t_20240314.fcs, column acquired_dtc: the name says 20240314, keyword $DATE 2024-02-13" in text
    assert "S-1_D14_t_20240314.fcs, column acquired_dtc: the acquisition ends before it begins" in text
    assert "files of S-1 D14 were acquired on 2024-02-13, before those of BL (2024-03-01)" in text
    assert "S-2_BL_t_20240301.fcs, column tube_id: the name says t, but the file lacks CD56" in text
    assert (
        "S-2_BL_t_20240301.fcs, column tube_id: differs from the 3 other files of tube t: lacks CD56 and has CD8"
        in text
    )
    assert "S-2_D14_t_20240314.fcs: keyword $DATE is not understood (found '14/03/2024')" in text
    assert pd.isna(manifest.table.set_index("fcs_path").loc["S-2_D14_t_20240314.fcs", "acquired_dtc"])


def two_tubes(config):
    tube = config.tubes["t"]
    return config.model_copy(update={"tubes": {"treg": tube, "effector": tube}})


def test_name_says_treg_and_panel_says_effector(tmp_path, config):
    markers = {"treg": ["CD3", "CD25"], "effector": ["CD3", "CD56"]}
    put(tmp_path / "fcs", "S-1_BL_treg.fcs", 1)
    put(tmp_path / "fcs", "S-2_BL_treg.fcs", 2, pns=("", "", "CD3", "CD25", "", ""), **{"TUBE NAME": "Effector"})
    manifest = propose_manifest(
        tmp_path / "fcs", pattern="{subject}_{visit}_{tube}", config=two_tubes(config), markers=markers
    )
    text = "\n".join(said(manifest))
    assert (
        "S-1_BL_treg.fcs, column tube_id: the name says treg, but the file lacks CD25; the panel says effector" in text
    )
    assert "S-2_BL_treg.fcs: the name says tube treg, keyword TUBE NAME says Effector" in text
    assert "the files of tube treg have 2 different panels" in text
    # Without a tube in the name it comes from the keyword, or from the only panel that fits.
    by_panel = propose_manifest(
        tmp_path / "fcs", pattern="{subject}_{visit}_{}", config=two_tubes(config), markers=markers
    ).table
    assert by_panel["tube_id"].tolist() == ["effector", "effector"]


def test_keywords_are_used_only_for_what_a_person_says_they_mean(tmp_path, config):
    put(tmp_path / "fcs", "S-1_BL_t.fcs", 1, **{"EXPERIMENT NAME": "B07"})
    silent = propose_manifest(tmp_path / "fcs", pattern=PATTERN, config=config)
    assert silent.table["batch_id"].isna().all()
    assert any("keyword EXPERIMENT NAME has 1 values (B07); if it is the batch_id, say so" in t for t in said(silent))
    told = propose_manifest(
        tmp_path / "fcs", pattern=PATTERN, config=config, fill={"batch_id": "{EXPERIMENT NAME}", "role": "sample"}
    )
    assert told.table["batch_id"].tolist() == ["B07"]
    with pytest.raises(ImmunoprofileError, match="role cannot be 'patient'"):
        propose_manifest(tmp_path / "fcs", pattern=PATTERN, fill={"role": "patient"})
    with pytest.raises(ImmunoprofileError, match="no column 'batch'"):
        propose_manifest(tmp_path / "fcs", pattern=PATTERN, fill={"batch": "1"})


def test_order_links_and_unreadable_files(tmp_path, config):
    folder = tmp_path / "fcs"
    for seed, name in enumerate(("S-2_BL_t.fcs", "S-1_D14_t.fcs", "S-1_BL_t.FCS")):
        put(folder, name, seed)
    (folder / "S-2_D14_t.fcs").write_bytes(b"no flow file")
    outside = put(tmp_path / "elsewhere", "S-9_BL_t.fcs")
    (folder / "S-9_BL_t.fcs").symlink_to(outside)
    manifest = propose_manifest(folder, pattern=PATTERN.replace(".fcs", ""), config=config)
    assert manifest.table["fcs_path"].tolist() == ["S-1_BL_t.FCS", "S-1_D14_t.fcs", "S-2_BL_t.fcs", "S-2_D14_t.fcs"]
    assert manifest.table["usubjid"].tolist() == ["S-1", "S-1", "S-2", "S-2"]
    text = "\n".join(said(manifest))
    assert "S-2_D14_t.fcs: not an FCS file" in text
    assert re.search(r"S-9_BL_t\.fcs: path .* leaves the folder through a link", text)
    with pytest.raises(ImmunoprofileError, match="no FCS file"):
        propose_manifest(tmp_path / "study", pattern=PATTERN)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("{subject}_{visit}.fcs", "S-1_BL.fcs", {"subject": "S-1", "visit": "BL"}),
        # A separator within a field: two readings, so none.
        ("{subject}_{visit}.fcs", "S_1_BL.fcs", None),
        ("{subject}-{visit}_{tube}", "S-1-BL_t.fcs", None),
        ("{subject}_{visit}[_{attempt}].fcs", "S-1_BL_2.fcs", {"subject": "S-1", "visit": "BL", "attempt": "2"}),
        ("{subject}_{visit}[_{attempt}].fcs", "S-1_BL.fcs", {"subject": "S-1", "visit": "BL"}),
        ("{site}/{subject}/{visit}_{tube}.fcs", "01/S-1/BL_t.fcs",
         {"site": "01", "subject": "S-1", "visit": "BL", "tube": "t"}),
        ("ID-{subject}_{visit}", "x/ID-S-1_BL.fcs", {"subject": "S-1", "visit": "BL"}),
        (r"(?P<subject>S\d)(?P<visit>BL|D14)\.fcs", "S1D14.fcs", {"subject": "S1", "visit": "D14"}),
        ("{subject}.{visit}.fcs", "S1.BL.fcs", {"subject": "S1", "visit": "BL"}),
    ],
)  # fmt: skip
def test_patterns(pattern, path, expected):
    assert NamePattern(pattern).match(path) == expected


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("{subject}{visit}.fcs", "two fields touch"), ("{subject}_{subject}.fcs", "stands twice"),
        ("{patient}_{visit}.fcs", "unknown fields: patient"), ("plain.fcs", "names no field"),
        ("{subject_{visit}.fcs", "do not match"), ("{subject}[_{visit}.fcs", "do not match"),
        ("(?P<subject>[)", "no regular expression"), ("{subject}]_{visit}", "do not match"),
    ],
)  # fmt: skip
def test_bad_patterns_are_refused(pattern, reason):
    with pytest.raises(ImmunoprofileError, match=reason):
        NamePattern(pattern)
