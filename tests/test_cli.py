"""Command line: exit codes, messages, and that it says what the functions say."""

from __future__ import annotations

import pandas as pd
import pytest
from typer.testing import CliRunner

import immunoprofile as ip
from immunoprofile import schema
from immunoprofile.cli import EXIT_ERROR, EXIT_LEFT_OUT, app, main
from immunoprofile.cli.shell import grouped_exceptions
from tests.small_study import TABLES, write_gates, write_study


@pytest.fixture
def folder(tmp_path):
    write_study(tmp_path / "study")
    write_gates(tmp_path / "gates")
    return tmp_path


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_help_lists_the_commands():
    outcome = invoke("--help")
    assert outcome.exit_code == 0
    for command in ("demo", "simulate", "check", "run", "gate", "report"):
        assert command in outcome.output
    assert invoke("--version").output.strip() == ip.__version__


def test_run_writes_the_results_folder(folder):
    outcome = invoke("run", folder / "study", "--out", folder / "results", "--gates", folder / "gates", "--quiet")
    assert outcome.exit_code == 0, outcome.output
    for name in (
        "visits.h5ad", "counts.csv", "quality.csv", "exceptions.csv", "virology.csv", "provenance.json", "run.log",
        "study/study.yaml", "study/samples.csv", "gating/S-1_BL.xml", "rasters/S-1_BL.npz", "statistics/change.csv",
        "statistics/compare.csv", "reports/S-1/BL.html", "reports/S-2/BL.html", "reports/cohort.html",
    ):  # fmt: skip
        assert (folder / "results" / name).is_file(), name
    assert "cohort.html" in outcome.output
    assert invoke("check", folder / "results").exit_code == 0
    (folder / "results" / "quality.csv").unlink()
    outcome = invoke("check", folder / "results")
    assert (outcome.exit_code, outcome.output) == (EXIT_ERROR, "missing: quality.csv\n")


def test_report_from_the_results_alone_gives_the_same_pages(folder):
    invoke("run", folder / "study", "--out", folder / "results", "--gates", folder / "gates", "--quiet")
    pages = {path: path.read_bytes() for path in (folder / "results" / "reports").rglob("*.html")}
    for path in (folder / "study" / "fcs").iterdir():
        path.unlink()
    assert invoke("report", folder / "results", "--quiet").exit_code == 0
    assert {path: path.read_bytes() for path in (folder / "results" / "reports").rglob("*.html")} == pages


def test_exit_code_tells_what_was_left_out(folder):
    path = folder / "study" / "fcs" / "S-2_BL.fcs"
    path.write_bytes(path.read_bytes()[:4000])
    outcome = invoke("run", folder / "study", "--out", folder / "results", "--gates", folder / "gates", "--quiet")
    assert outcome.exit_code == EXIT_LEFT_OUT
    assert "left out: fcs/S-2_BL.fcs" in outcome.output
    assert (folder / "results" / "reports" / "cohort.html").is_file()


def test_check_tells_all_problems(folder, capsys, monkeypatch):
    (folder / "study" / "subjects.csv").write_text(TABLES["subjects"].replace("S-1,A", "S-1,X").replace(",F,", ",W,"))
    monkeypatch.setattr("sys.argv", ["immunoprofile", "check", str(folder / "study")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == EXIT_ERROR
    told = capsys.readouterr().err
    assert "the study has 2 problems" in told
    assert "unknown arm (found 'X'); allowed: A, B" in told
    assert "Traceback" not in told


def test_check_names_what_a_run_will_leave_open(folder):
    """ALT without an upper limit and a result of a later century: table, row and remedy; nothing stops."""
    labs = TABLES["labs"] + "S-1,D14,2024-03-14T08:00,ALT,90,U/L,7,,L1\n"
    (folder / "study" / "labs.csv").write_text(labs, encoding="utf-8")
    cmv = TABLES["cmv_dna"].replace("S-1,D14,2024-03-14", "S-1,D14,2124-03-14")
    (folder / "study" / "cmv_dna.csv").write_text(cmv, encoding="utf-8")
    outcome = invoke("check", folder / "study", "--gates", folder / "gates", "--quiet")
    assert outcome.exit_code == 0, outcome.output
    assert "exceptions.csv" not in outcome.output  # check writes no file
    told, rest = outcome.output.split(" warnings below\n")
    assert int(told.splitlines()[-1]) == rest.count("warning: ")
    lines = [line for line in outcome.output.splitlines() if line.startswith("warning: ")]
    (alt,) = (line for line in lines if "labs S-1 D14, row 4" in line)
    assert "no upper limit of normal" in alt and "-> fill lln and uln" in alt
    (future,) = (line for line in lines if "after today" in line)
    assert future.startswith("warning: cmv_dna S-1, row 2: collected_dtc is 2124-03-14")
    assert "-> correct the date; set data_cut" in future
    with (folder / "study" / "study.yaml").open("a", encoding="utf-8") as config:
        config.write("data_cut: 2024-03-31\n")
    with pytest.raises(ip.errors.StudyError, match=r"cmv_dna.csv, row 2, column collected_dtc: after the data cut"):
        invoke("check", folder / "study", "--gates", folder / "gates", "--quiet")


def test_gate_without_a_study(folder):
    files = sorted((folder / "study" / "fcs").glob("*.fcs"))
    (folder / "broken.fcs").write_bytes(b"FCS3.1")
    outcome = invoke(
        "gate",
        *files,
        folder / "broken.fcs",
        "--gates",
        folder / "gates",
        "--out",
        folder / "out",
        "--cells",
        "--quiet",
    )
    assert outcome.exit_code == EXIT_LEFT_OUT
    counts = pd.read_csv(folder / "out" / "counts.csv")
    pd.testing.assert_frame_equal(counts, ip.gate.batch(files, ip.gate.load(folder / "gates")))
    assert pd.read_csv(folder / "out" / "exceptions.csv")["file"].tolist() == [(folder / "broken.fcs").as_posix()]
    assert len(list((folder / "out" / "cells").glob("*.h5ad"))) == 3


def test_reconcile_tells_what_needs_a_look(tmp_path):
    from tests.gate import workspaces
    from tests.io.fcs_files import events, spill_text, write

    write(tmp_path / "fcs" / "a.fcs", events(500), **{"$SPILLOVER": spill_text()})
    all_events = workspaces.population("all", workspaces.rectangle(workspaces.axis("FSC-A", -1e9, None)), count=500)
    document = workspaces.workspace(workspaces.sample(1, "a.fcs", all_events))
    (tmp_path / "x.wsp").write_bytes(document)
    arguments = ("reconcile", tmp_path / "x.wsp", "--fcs", tmp_path / "fcs", "--out", tmp_path / "out.csv")
    outcome = invoke(*arguments)
    assert outcome.exit_code == 0
    assert pd.read_csv(tmp_path / "out.csv")["verdict"].tolist() == ["equal"]
    (tmp_path / "x.wsp").write_bytes(document.replace(b'count="500"', b'count="499"'))
    outcome = invoke(*arguments)
    assert outcome.exit_code == EXIT_LEFT_OUT
    assert "rectangles must be exact" in outcome.output


def test_demo_can_be_run_again_and_does_not_mix_settings(tmp_path, monkeypatch, capsys):
    arguments = ["demo", "--out", tmp_path / "d", "--subjects", 2, "--events", 2000, "--quiet", "--jobs", 1]
    first = invoke(*arguments)
    pages = {path: path.read_bytes() for path in (tmp_path / "d" / "results" / "reports").rglob("*.html")}
    again = invoke(*arguments)
    assert "using the simulated study" in again.output
    assert again.exit_code == first.exit_code
    assert {path: path.read_bytes() for path in (tmp_path / "d" / "results" / "reports").rglob("*.html")} == pages
    monkeypatch.setattr("sys.argv", ["immunoprofile", *(str(a) for a in arguments), "--seed", "1"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == EXIT_ERROR
    assert "holds a demo with other settings" in capsys.readouterr().err


def test_gates_of_the_study_are_found(folder):
    write_gates(folder / "study" / "gating")
    outcome = invoke("run", folder / "study", "--out", folder / "results", "--quiet")
    assert outcome.exit_code == 0, outcome.output
    assert list(ip.read_results(folder / "results").gates) == ["t"]


def test_power_of_the_declared_endpoints(tmp_path, repository):
    settings = ("power", repository / "data" / "demo", "--n", 5, "--replicates", 10, "--seed", 3, "--quiet", "--out")
    assert invoke(*settings, tmp_path / "one.csv").exit_code == 0
    table = pd.read_csv(tmp_path / "one.csv")
    assert table["n_per_arm"].tolist() == [5, 5, 5]
    assert table["power"].between(0, 1).all()
    assert invoke(*settings, tmp_path / "again.csv").exit_code == 0
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()


def test_sdtm_of_a_results_folder(folder):
    run = ("run", folder / "study", "--out", folder / "results", "--gates", folder / "gates", "--quiet")
    assert invoke(*run).exit_code == 0
    outcome = invoke("sdtm", folder / "results", "--out", folder / "sdtm")
    assert outcome.exit_code == 0, outcome.output
    assert "dm.csv  2 records" in outcome.output
    assert (folder / "sdtm" / "unmapped.csv").is_file()


def test_exceptions_of_one_kind_are_one_line():
    """Eighteen visits that were not recorded are one thing to mend; two files that cannot be read are two."""
    row = dict.fromkeys(schema.EXCEPTION_COLUMNS, "")
    missing = [row | {"code": "VISIT_NOT_RECORDED", "table": "visits", "usubjid": f"S-{n}", "visit": "BL",
                      "message": "planned, and not in visits.csv"} for n in range(18)]  # fmt: skip
    late = [row | {"code": "FUTURE_DATE", "row": str(n), "message": f"is 212{n}-01-01"} for n in range(2)]
    broken = [row | {"code": "FILE_UNREADABLE", "file": name, "message": f"cannot be read: {name}"} for name in "ab"]
    table = pd.DataFrame([*missing, *late, *broken])
    assert [places for places, _ in grouped_exceptions(table)] == [
        "(18 times) S-0 BL; S-1 BL; S-2 BL and 15 more", "(2 times) row 0; row 1", "a", "b",
    ]  # fmt: skip
    assert len(grouped_exceptions(table, every=True)) == 22
