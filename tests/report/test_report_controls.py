"""Held and released batches on the pages, CVs of replicates in the verdicts, and the charts of controls."""

from __future__ import annotations

import copy
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import immunoprofile as ip
from immunoprofile import pl
from immunoprofile.cli import EXIT_LEFT_OUT, app
from immunoprofile.errors import NotAvailableError
from immunoprofile.pp.precision import DEFAULT_CV
from immunoprofile.report.batch_controls import noise_of, noise_words, precision
from immunoprofile.report.source import Source
from immunoprofile.report.view import VisitView
from immunoprofile.schema import CONTROL_COLUMNS, PRECISION_COLUMNS
from tests.io.fcs_files import events, spill_text, write
from tests.small_study import TABLES, write_gates, write_study

TARGETS = "control_lot,tube_id,population,measure,mean,sd,source\nL1,t,t,pct_parent,10,0.5,certificate\n"
RELEASE = "batch_id,tube_id,reason,author,dtc\nB01,t,aliquot thawed twice,AB,2024-03-02\n"


def folder(out: Path, **tables: str) -> Path:
    """A study whose control failed in batch B01 (baseline visits) and was not run in B02."""
    head, *rows = TABLES["samples"].splitlines()
    batches = ("B01", "B02", "B01")
    text = head + ",batch_id,control_lot\n" + "".join(f"{r},{b},\n" for r, b in zip(rows, batches, strict=True))
    text += "C01,,,t,control,WB_EDTA,2024-03-01T08:00,fcs/C01.fcs,B01,L1\n"
    study = write_study(out / "study", samples=text, control_targets=TARGETS, **tables)
    write(study / "fcs" / "C01.fcs", events(3000, seed=9), **{"$SPILLOVER": spill_text()})
    write_gates(out / "gates")
    return out


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = folder(tmp_path_factory.mktemp("held"))
    done = CliRunner().invoke(
        app, ["run", str(out / "study"), "--out", str(out / "out"), "--gates", str(out / "gates")]
    )
    return out, done


def test_a_failed_control_is_told_by_command_table_and_every_page(held: tuple[Path, Any]) -> None:
    out, done = held
    assert done.exit_code == EXIT_LEFT_OUT, done.output
    assert "held: fcs" in done.output or "held: C01" in done.output
    assert "control of batch B01, tube t failed: t % of parent 1-3s" in done.output
    assert "the reports of 2 visits are held" in done.output
    page = words((out / "out" / "reports" / "S-1" / "BL.html").read_text(encoding="utf-8"))
    assert "Held: the control of batch B01 (tube t) failed" in page
    assert page.index("Held: the control") < page.index("Verdict: change from baseline")
    assert "Until a person releases the batch with a reason" in page
    later = words((out / "out" / "reports" / "S-1" / "D14.html").read_text(encoding="utf-8"))
    assert "Held:" not in later
    assert "the baseline is held: the control of batch B01 (tube t) failed" in later
    cohort = words((out / "out" / "reports" / "cohort.html").read_text(encoding="utf-8"))
    assert "1 batch is held: B01 (tube t). 2 of 3 visits rest on them" in cohort
    twin = json.loads((out / "out" / "reports" / "S-1" / "BL.json").read_text(encoding="utf-8"))
    assert "Held: the control of batch B01" in json.dumps(twin)
    exceptions = pd.read_csv(out / "out" / "exceptions.csv", dtype=str)
    assert {"CONTROL_FAILED", "CONTROL_MISSING"} <= set(exceptions["code"])


def test_a_release_stands_on_the_page_and_gates_nothing_again(held: tuple[Path, Any], monkeypatch: Any) -> None:
    from immunoprofile.profiling import one_file

    out, _ = held
    again = out / "released"
    study = folder(again, control_releases=RELEASE) / "study"
    ip.profile(ip.read_study(folder(again) / "study"), ip.gate.load(again / "gates"), out=again / "out")
    (study / "control_releases.csv").write_text(RELEASE, encoding="utf-8")
    monkeypatch.setattr(one_file, "_gate", lambda *a, **k: pytest.fail("gated again"))
    profile = ip.profile(ip.read_study(study), ip.gate.load(again / "gates"), out=again / "out")
    assert profile.tables["control_batches"].set_index("batch_id")["state"].to_dict() == {
        "B01": "RELEASED", "B02": "NO_CONTROL",
    }  # fmt: skip
    assert "CONTROL_RELEASED" in profile.visits.obs.loc["S-1_BL", "flags"]
    page = words(ip.report.visit(profile, "S-1", "BL").to_html(again / "page.html").read_text(encoding="utf-8"))
    assert "Held" not in page.split("Quality")[0]
    assert "Released by AB on 2024-03-02: aliquot thawed twice." in page
    blinded = ip.report.visit(profile, "S-1", "BL", blinded=True).to_html(again / "blind.html")
    assert "thawed" not in blinded.read_text(encoding="utf-8")


def precise(profile: Any, **changed: Any) -> Any:
    """The made-up profile with one row of precision.csv about Treg."""
    row = {
        "population": "treg", "tube": "treg", "measure": "pct_parent", "kind": "draw", "groups": 20, "tubes": 40,
        "dof": 20, "cv": 7.0, "cv_lower": 5.4, "cv_upper": 10.0, "loq_events": math.nan, "loq": math.nan, "unit": "%",
        "used": True, "cv_used": 7.5, "note": "",
    }  # fmt: skip
    table = pd.DataFrame([row | changed], columns=list(PRECISION_COLUMNS)).astype({"used": "boolean"})
    other = copy.copy(profile)
    other.tables = {**getattr(profile, "tables", {}), "precision": table}
    return other


def test_verdicts_take_the_cv_of_replicates(profile: Any) -> None:
    plain, own = Source(profile), Source(precise(profile))
    assert noise_of(plain, "treg", "pct_parent")[0] == DEFAULT_CV
    assert noise_of(own, "treg", "pct_parent")[0] == pytest.approx(0.075)
    assert noise_of(own, "nk", "pct_parent")[0] == DEFAULT_CV
    assert noise_of(Source(precise(profile, used=False)), "treg", "pct_parent")[0] == DEFAULT_CV

    def limits(source: Source) -> tuple[float, float]:
        row = next(one for one in VisitView(source, "IL2CMV-01-001", "D28").rows if one.population == "treg")
        confirmed = next(line for line in row.lines if line.scale == "pct_parent" and not line.confirmed)
        return confirmed.verdict.down, confirmed.verdict.up

    wide, narrow = limits(plain), limits(own)
    assert narrow[0] > wide[0] or math.isnan(narrow[0])
    assert "from 40 draws without treatment" in noise_words(own)
    assert "default, no replicates of this study" in noise_words(plain)


def control_rows() -> pd.DataFrame:
    rows = []
    for number in range(1, 15):
        shifted = number in (9, 10)
        row = dict.fromkeys(CONTROL_COLUMNS, "")
        row |= {
            "tube": "t", "control_lot": "L1" if number < 12 else "L2", "batch_id": f"B{number:02d}", "tubes": 1,
            "acquired_dtc": f"2024-{number:02d}-01" if number < 13 else f"2025-{number - 12:02d}-01",
            "population": "t", "measure": "pct_parent", "value": 50 + 5 * shifted, "target": 50.0, "sd": 2.0,
            "z": 2.5 * shifted, "ewma": 0.5 * shifted, "rules": "1-2s; 2-2s" if number == 10 else "",
            "state": "FAIL" if number == 10 else "WARN" if number == 9 else "PASS", "holds": True, "n": 5000,
        }  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows)


def test_levey_jennings_shows_every_run_and_names_what_failed() -> None:
    table = control_rows()
    figure = pl.levey_jennings(table, "t", displays={"t": "T cells"})
    alt = pl.alt_text(figure)
    assert "T cells, 14 runs, failed: B10" in alt
    (axes,) = (one for one in figure.axes if one.get_visible())
    drawn = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert sum(len(line.get_xdata()) for line in drawn) == 14
    assert [text.get_text() for text in axes.texts] == ["2-2s"]
    shuffled = pl.levey_jennings(table.sample(frac=1, random_state=2), "t", displays={"t": "T cells"})
    assert pl.to_svg(shuffled) == pl.to_svg(figure)
    with pytest.raises(NotAvailableError, match="no control of tube x"):
        pl.levey_jennings(table, "x")


def test_no_day_stands_in_anything_that_blinded_reports_write(held: tuple[Path, Any], tmp_path: Path) -> None:
    """Pages and their twins: the day of a control would be that of the draws of its batch."""
    shutil.copytree(held[0] / "out", tmp_path / "out")
    day = re.compile(r"20\d\d-\d\d-\d\d")
    reports = tmp_path / "out" / "reports"
    assert any(day.search(path.read_text(encoding="utf-8")) for path in reports.rglob("*.json"))
    assert CliRunner().invoke(app, ["report", str(tmp_path / "out"), "--blinded", "--quiet"]).exit_code == 0
    texts = {path.name: path.read_text(encoding="utf-8") for path in reports.rglob("*") if path.is_file()}
    assert {"cohort.html", "cohort.json", "BL.html", "BL.json"} <= set(texts)
    for name, text in texts.items():
        assert not day.search(text), name
        assert not re.search(r"C01\b|\.fcs\b", text), name
    twin = json.loads(texts["cohort.json"])
    assert '"control_lot": "L1"' in json.dumps(twin)  # the chart is there


def test_limits_of_few_replicates_have_no_number_that_nobody_can_believe(profile: Any) -> None:
    told = repr(precision(Source(precise(profile, cv_upper=math.inf))))
    assert "5.4 or more" in told
    assert "5.4 to 10.0" in repr(precision(Source(precise(profile))))
