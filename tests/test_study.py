"""Intake of a study folder: all problems at once, every record placed or listed."""

from __future__ import annotations

import pandas as pd
import pytest

import immunoprofile as ip
from immunoprofile import schema
from immunoprofile.errors import StudyError
from tests.io.fcs_files import events, write
from tests.small_study import STUDY_YAML, TABLES, write_study


def test_valid_study(tmp_path):
    study = ip.read_study(write_study(tmp_path))
    assert len(study.subjects) == 2
    assert study.config.baseline_visit == "BL"
    assert study.samples["sample_id"].tolist() == ["S-1_BL", "S-1_D14", "S-2_BL"]
    assert study.labs["value"].dtype == "float64"
    assert study.fcs_path("S-2_BL").is_file()
    # A table that the study does not have is empty, with all its columns.
    assert list(study.dosing.columns) == list(schema.TABLES["dosing"].column_names)


def test_unscheduled_results_get_a_visit_by_day(tmp_path):
    """Two results of one day without a visit belong together; they are data, not exceptions."""
    study = ip.read_study(write_study(tmp_path))
    assert study.cmv_dna["visit"].tolist() == ["BL", "D14", "UNS.01", "BL"]
    assert study.labs["visit"].tolist() == ["BL", "BL", "UNS.01"]
    assert study.exceptions["code"].tolist() == ["VISIT_MISSED"]


def test_result_without_visit_on_a_visit_day_belongs_to_it(tmp_path):
    labs = TABLES["labs"].replace("S-1,,2024-03-20T09:00", "S-1,,2024-03-14T16:00")
    study = ip.read_study(write_study(tmp_path, labs=labs))
    assert study.labs["visit"].tolist() == ["BL", "BL", "D14"]


def test_all_problems_of_all_tables_at_once(tmp_path):
    folder = write_study(
        tmp_path,
        subjects=TABLES["subjects"].replace("S-1,A,F,44", "S-1,C,X,forty"),
        visits=TABLES["visits"].replace("S-2,BL", "S-2,D99").replace("2024-03-14,Y", "14.03.2024,Y"),
        samples=TABLES["samples"].replace("S-1_D14,S-1", "S-1_BL,S-1").replace("fcs/S-2_BL", "fcs/gone"),
        labs=TABLES["labs"].replace("3.2,10^9/L", "3.2,10^12/L"),
        cmv_dna=TABLES["cmv_dna"].replace("5000,IU/mL", "5000,copies/mL"),
    )
    with pytest.raises(StudyError) as caught:
        ip.read_study(folder)
    found = {(p.where, p.row, p.column) for p in caught.value.problems}
    expected = {
        ("subjects.csv", 1, "arm"),
        ("subjects.csv", 1, "sex"),
        ("subjects.csv", 1, "age_y"),
        ("visits.csv", 3, "visit"),
        ("visits.csv", 2, "start_dtc"),
        ("samples.csv", 2, "sample_id"),
        ("samples.csv", 3, "fcs_path"),
        ("labs.csv", 1, "unit"),
        ("cmv_dna.csv", 4, "unit"),
    }
    assert expected <= found, expected - found
    told = str(caught.value)
    assert "unknown visit (found 'D99'); allowed: BL, D14" in told
    assert "(found 'forty'); allowed: a whole number in y" in told
    assert "unknown unit of WBC (found '10^12/L'); allowed: 10^9/L" in told
    assert "repeats row 1 (found 'S-1_BL')" in told
    assert "FCS file is missing (found 'fcs/gone.fcs')" in told


@pytest.mark.parametrize(
    ("table", "old", "new", "told"),
    [
        ("samples", "sample_id,", "sampleid,", "column sample_id: a column is missing (found 'sampleid')"),
        ("subjects", "usubjid,arm,sex", "usubjid;arm;sex", "two separators in one file"),
        ("samples", "fcs/S-1_BL.fcs", "../outside.fcs", "leaves the folder"),
        ("samples", "fcs/S-1_BL.fcs", "/etc/passwd", "leaves the folder"),
        ("labs", "WBC,3.2", "WBC,low", "allowed: a number"),
        ("labs", "WBC,3.2,10^9/L", "WBX,3.2,10^9/L", "allowed: one of ANC, WBC"),
        ("visits", "S-1,D14", "S-1,BL", "repeats row 1"),
        ("samples", "S-1_D14,S-1,D14,t", "S-1_D14,S-1,D14,u", "unknown tube_id (found 'u'); allowed: t"),
        ("samples", "S-1_D14,S-1,D14", "S-1_D14,,D14", "a sample without a subject"),
        ("samples", "S-1_D14,S-1", "../../S-1_D14,S-1", "not a valid sample id (found '../../S-1_D14')"),
        ("samples", "S-1_D14,S-1", "S 1:D14,S-1", "not a valid sample id"),
    ],
)
def test_single_problems(tmp_path, table, old, new, told):
    assert old in TABLES[table]
    with pytest.raises(StudyError) as caught:
        ip.read_study(write_study(tmp_path, **{table: TABLES[table].replace(old, new, 1)}))
    assert told in str(caught.value)


def test_missing_table_and_missing_config(tmp_path):
    with pytest.raises(StudyError, match=r"subjects\.csv: file is missing"):
        (write_study(tmp_path) / "subjects.csv").unlink()
        ip.read_study(tmp_path)
    with pytest.raises(StudyError, match=r"study\.yaml: file is missing"):
        ip.read_study(tmp_path / "fcs")
    with pytest.raises(StudyError, match="does not exist"):
        ip.read_study(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("reference_arm: B", "reference_arm: C", "reference_arm 'C' is not an arm (A, B)"),
        ("day: 1, baseline: true", "day: 1", "exactly one visit must have baseline: true"),
        (
            "arms:\n",
            "arms:\n" + "".join(f"  - {{code: X{n}, label: x}}\n" for n in range(7)),
            "arms: 9; figures can tell 8",
        ),
        ("primary_visit: D14", "primary_visit: D15", "primary_visit 'D15' is not a visit (BL, D14)"),
        ("protocol: washed", "protocol: washed, counts: true", "a washed tube loses cells and beads"),
        ("title: A small study", "titel: A small study", "titel"),
        ("unit: IU/mL", "unit: IU", "unit 'IU' is not one of IU/mL, copies/mL"),
    ],
)
def test_wrong_configuration(tmp_path, old, new, told):
    assert old in STUDY_YAML
    with pytest.raises(StudyError) as caught:
        ip.read_study(write_study(tmp_path, config=STUDY_YAML.replace(old, new)))
    assert told in str(caught.value)


def test_records_that_do_not_fit_are_listed_and_left_out(tmp_path):
    labs = TABLES["labs"] + "S-9,BL,2024-03-01,WBC,4,10^9/L,,,L1\nS-2,D14,2024-03-18,WBC,4,10^9/L,,,L1\n"
    labs += "S-2,,,ANC,2,10^9/L,,,L1\n"
    study = ip.read_study(write_study(tmp_path, labs=labs))
    errors = study.exceptions[study.exceptions["severity"] == "error"]
    assert list(zip(errors["code"], errors["row"], errors["usubjid"], strict=True)) == [
        ("UNKNOWN_SUBJECT", "4", "S-9"), ("VISIT_NOT_HELD", "5", "S-2"), ("NO_VISIT", "6", "S-2"),
    ]  # fmt: skip
    assert len(study.labs) == 3


def test_unknown_columns_and_gaps_are_noted(tmp_path):
    visits = TABLES["visits"].replace("S-1,D14,2024-03-14,Y,\n", "")
    samples = "".join(line for line in TABLES["samples"].splitlines(keepends=True) if "S-1_D14" not in line)
    samples = samples.replace("collected_dtc,fcs_path", "collected_dtc,fcs_path,blood_volume")
    samples = samples.replace(".fcs\n", ".fcs,50\n")
    cmv = "".join(line for line in TABLES["cmv_dna"].splitlines(keepends=True) if ",D14," not in line)
    study = ip.read_study(write_study(tmp_path, visits=visits, samples=samples, cmv_dna=cmv))
    noted = study.exceptions.set_index("code")
    assert noted.loc["UNKNOWN_COLUMN", "action"] == "did you mean blood_volume_ul?"
    assert noted.loc["VISIT_NOT_RECORDED", ["usubjid", "visit"]].tolist() == ["S-1", "D14"]


def test_path_of_another_subject_is_noted(tmp_path):
    samples = TABLES["samples"].replace("fcs/S-1_D14.fcs", "fcs/@").replace("fcs/S-2_BL.fcs", "fcs/S-1_D14.fcs")
    study = ip.read_study(write_study(tmp_path, samples=samples.replace("fcs/@", "fcs/S-2_BL.fcs")))
    noted = study.exceptions[study.exceptions["code"] == "PATH_OF_ANOTHER_SUBJECT"]
    assert noted["sample_id"].tolist() == ["S-1_D14", "S-2_BL"]


def test_tube_without_sample_is_noted(tmp_path):
    samples = "".join(line for line in TABLES["samples"].splitlines(keepends=True) if "S-1_D14" not in line)
    study = ip.read_study(write_study(tmp_path, samples=samples))
    assert study.exceptions.set_index("code").loc["TUBE_MISSING", "visit"] == "D14"


def test_same_study_from_parquet(tmp_path):
    study = ip.read_study(write_study(tmp_path / "csv"))
    folder = write_study(tmp_path / "parquet", **{name: None for name in TABLES})
    for name in TABLES:
        study.tables[name].dropna(axis=1, how="all").to_parquet(folder / f"{name}.parquet")
    again = ip.read_study(folder)
    for name in TABLES:
        pd.testing.assert_frame_equal(
            again.tables[name].reset_index(drop=True), study.tables[name].reset_index(drop=True), check_dtype=False
        )


def test_written_study_reads_the_same(tmp_path):
    study = ip.read_study(write_study(tmp_path / "a"))
    study.write(tmp_path / "b")
    again = ip.read_study(tmp_path / "b", require_files=False)
    assert again.config == study.config
    for name, table in study.tables.items():
        pd.testing.assert_frame_equal(again.tables[name].reset_index(drop=True), table.reset_index(drop=True))


def test_beads_in_separated_cells_are_refused(tmp_path):
    samples = TABLES["samples"].replace("collected_dtc,fcs_path", "collected_dtc,fcs_path,beads_per_tube")
    samples = samples.replace("WB_EDTA", "PBMC_FRESH").replace("BL.fcs\n", "BL.fcs,\n")
    samples = samples.replace("D14.fcs\n", "D14.fcs,49650\n")
    config = STUDY_YAML.replace("staining_protocol: washed", "staining_protocol: lyse_no_wash")
    with pytest.raises(StudyError) as told:
        ip.read_study(write_study(tmp_path, samples=samples, config=config))
    (problem,) = told.value.problems
    assert (problem.where, problem.row, problem.column) == ("samples.csv", 2, "beads_per_tube")
    assert "no whole-blood concentration" in problem.what
    assert problem.allowed == "empty"


def test_beads_in_a_washed_tube_are_refused(tmp_path):
    samples = TABLES["samples"].replace("collected_dtc,fcs_path", "collected_dtc,fcs_path,beads_per_tube")
    samples = samples.replace(".fcs\n", ".fcs,49650\n")
    with pytest.raises(StudyError, match="counting beads in a washed tube"):
        ip.read_study(write_study(tmp_path, samples=samples))


def test_other_spellings_of_units_are_stored_in_that_of_the_package(tmp_path):
    """The same study in UCUM, French and logarithms: nothing of it is another study."""
    plain = ip.read_study(write_study(tmp_path / "a"))
    labs = TABLES["labs"].replace("10^9/L", "10*9/L").replace("cells/uL", "{cells}/uL").replace(",%,", ", % ,")
    cmv = TABLES["cmv_dna"].replace("IU/mL", "UI/ml").replace('"10,000",UI/ml', "4.00,log10 IU/mL")
    other = ip.read_study(write_study(tmp_path / "b", labs=labs, cmv_dna=cmv))
    pd.testing.assert_frame_equal(other.labs, plain.labs)
    assert other.cmv_dna["unit"].tolist() == ["log10 IU/mL", "IU/mL", "IU/mL", "IU/mL"]
    results = [ip.virology.cmv_results(study)[["kind", "value", "unit"]] for study in (plain, other)]
    pd.testing.assert_frame_equal(*results)
    with pytest.raises(StudyError, match="unknown unit of WBC"):
        ip.read_study(write_study(tmp_path / "c", labs=TABLES["labs"].replace("10^9/L", "10^12/L")))


def test_limits_of_one_tube_are_those_of_its_staining(tmp_path):
    own = STUDY_YAML.replace("staining_protocol: washed}", "staining_protocol: washed, quality_limits: {LIMITS}}")
    limits = "collection_to_stain: {pass: [0, 4]}"
    study = ip.read_study(write_study(tmp_path / "a", config=own.replace("LIMITS", limits)))
    assert study.config.check_limits == {}
    assert study.config.tube_check_limits == {"t": {"collection_to_stain": {"pass": (0, 4)}}}
    with pytest.raises(StudyError, match="a tube sets limits of collection_to_stain"):
        ip.read_study(write_study(tmp_path / "b", config=own.replace("LIMITS", "margins: {pass: [null, 5]}")))


def test_labs_without_tests_are_a_problem_and_no_crash(tmp_path):
    labs = "usubjid,visit,collected_dtc,value,unit\nS-1,BL,2024-03-01,3.2,10^9/L\n"
    with pytest.raises(StudyError, match="column test: a column is missing"):
        ip.read_study(write_study(tmp_path, labs=labs))


def test_sample_ids_that_one_disk_takes_for_one(tmp_path):
    """Results of a sample are called by its id; APFS and NTFS do not tell capital letters apart."""
    rows = TABLES["samples"].replace("S-1_D14,S-1", "s-1_bl,S-1")
    write_study(tmp_path, samples=rows)
    with pytest.raises(StudyError, match="differs from S-1_BL in capital letters only"):
        ip.read_study(tmp_path)


@pytest.mark.parametrize(
    ("column", "cells", "told"),
    [
        ("attempt", ("", ""), True), ("attempt", ("1", "1"), True), ("attempt", ("1", "2"), False),
        ("attempt", ("", "2"), False), ("role", ("sample", "replicate"), False), ("exclude_flag", ("", "Y"), False),
    ],
)  # fmt: skip
def test_files_of_one_tube_that_nothing_tells_apart_are_told(tmp_path, column, cells, told):
    write_study(tmp_path)
    first, second = (f"S-2_BL{n},S-2,BL,t,WB_EDTA,2024-03-04T08:00,fcs/S-2_BL{n}.fcs," for n in ("", "x"))
    role = "" if column == "role" else ",role"
    more = "" if column == "role" else ",sample"
    header = f"sample_id,usubjid,visit,tube_id,specimen_type,collected_dtc,fcs_path,{column}{role},exclude_reason"
    for name in ("S-2_BL", "S-2_BLx"):
        write(tmp_path / "fcs" / f"{name}.fcs", events(200, seed=len(name)))
    reasons = ["clot" if cell == "Y" else "" for cell in cells]
    rows = [f"{text}{cell}{more},{why}" for text, cell, why in zip((first, second), cells, reasons, strict=True)]
    (tmp_path / "samples.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    found = ip.read_study(tmp_path).exceptions.query("code == 'ATTEMPTS_ALIKE'")
    assert len(found) == told
    if told:
        assert "2 files of tube t" in found["message"].iloc[0]
        assert "the last by its sample_id (S-2_BL, S-2_BLx)" in found["message"].iloc[0]


@pytest.mark.parametrize(
    ("cells", "counts", "measure", "codes"),
    [
        ("49650,L1,50,", "counts: true", "abs", []),
        (",,,20", "counts: true", "abs", []),
        ("49650,,50,", "counts: true", "abs", ["BEAD_RECORD_INCOMPLETE"] * 3),
        ("49650,L1,,", "counts: true", "abs", ["BEAD_RECORD_INCOMPLETE"] * 3),
        ("49650,L1,50,", "counts: false", "pct_parent", ["NO_COUNT_TUBE"]),
        (",,,20", "counts: false", "pct_parent", ["NO_COUNT_TUBE"]),
        (",,,", "counts: false", "abs", ["NO_COUNT_TUBE"]),
        (",,,", "counts: false", "pct_parent", []),
    ],
)
def test_what_gives_no_cells_per_ul_is_told_before_a_run(tmp_path, cells, counts, measure, codes):
    columns = ",beads_per_tube,bead_lot,blood_volume_ul,acquired_volume_ul"
    samples = TABLES["samples"].replace("fcs_path\n", f"fcs_path{columns}\n").replace(".fcs\n", f".fcs,{cells}\n")
    config = STUDY_YAML.replace("staining_protocol: washed", f"staining_protocol: lyse_no_wash, {counts}")
    config = config.replace("measure: pct_parent", f"measure: {measure}")
    study = ip.read_study(write_study(tmp_path, samples=samples, config=config))
    told = study.exceptions["code"].isin(["NO_COUNT_TUBE", "BEAD_RECORD_INCOMPLETE", "COUNTS_NOT_USED"])
    assert study.exceptions.loc[told, "code"].tolist() == codes
    assert (study.exceptions.loc[told, "severity"] == "warning").all()


def test_beads_of_a_tube_that_is_not_counted_are_told(tmp_path):
    samples = TABLES["samples"].replace("fcs_path\n", "fcs_path,beads_per_tube,bead_lot,blood_volume_ul\n")
    samples = samples.replace(".fcs\n", ".fcs,49650,L1,50\n")
    config = STUDY_YAML.replace(
        "t: {panel: T-1, gates: t, staining_protocol: washed}",
        "t: {panel: T-1, gates: t, staining_protocol: lyse_no_wash}\n"
        "  other: {panel: T-2, gates: t, staining_protocol: lyse_no_wash, counts: true}",
    )
    found = ip.read_study(write_study(tmp_path, samples=samples, config=config)).exceptions
    told = found[found["code"] == "COUNTS_NOT_USED"]
    assert told["sample_id"].tolist() == ["S-1_BL", "S-1_D14", "S-2_BL"]
    assert told["message"].str.endswith("of tube t are not used: tube other is counted").all()
