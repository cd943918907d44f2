"""What moved between two results is listed cell by cell, with what differs at that place; nothing else is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import immunoprofile as ip
from immunoprofile.cli import EXIT_ERROR, app
from immunoprofile.cli.results import EXIT_MOVED, EXIT_UNEXPLAINED
from immunoprofile.errors import ResultsError
from immunoprofile.io.files import sha256_of
from immunoprofile.profiling import run as run_module
from immunoprofile.profiling.sealing import facts_of, read_provenance, seal
from immunoprofile.profiling.stored_files import read_text_table
from immunoprofile.report.restatement import COLUMNS
from tests.io.fcs_files import events, spill_text, write
from tests.profiling.test_gate_overrides import draw
from tests.small_study import TABLES, TEMPLATE, write_gates, write_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("restate")
    write_study(folder / "study")
    write_gates(folder / "study" / "gating")
    profiled(folder, "old")
    return folder


def profiled(folder: Path, out: str) -> Path:
    ip.profile(ip.read_study(folder / "study"), ip.gate.load(folder / "study" / "gating"), out=folder / out)
    return folder / out


@pytest.fixture
def changed(folder: Path, tmp_path: Path) -> Callable[[Callable[[Path], object]], ip.report.Restatement]:
    """Restatement of the study after a change of its folder."""

    def restated(change: Callable[[Path], object]) -> ip.report.Restatement:
        shutil.copytree(folder / "study", tmp_path / "study")
        change(tmp_path / "study")
        return ip.report.restate(folder / "old", profiled(tmp_path, "new"))

    return restated


def causes_of(found: ip.report.Restatement) -> set[str]:
    return {cause for words in found.table["causes"] for cause in words.split("; ")}


def test_the_same_study_again_moves_nothing(folder: Path, tmp_path: Path) -> None:
    found = ip.report.restate(folder / "old", profiled(folder, "again"))
    assert found.table.empty
    assert list(found.table.columns) == list(COLUMNS)
    assert (found.causes, found.unexplained) == ((), 0)
    assert found.compared > 500
    outcome = CliRunner().invoke(app, ["restate", str(folder / "old"), str(folder / "again"), "--out", str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output
    assert "Nothing moved" in (tmp_path / "restatement.html").read_text(encoding="utf-8")


def test_an_override_moves_what_hangs_on_it_and_says_who_and_why(
    changed: Callable[[Callable[[Path], object]], ip.report.Restatement], folder: Path
) -> None:
    found = changed(lambda study: draw(study.parent))
    assert causes_of(found) == {"override: t/t of S-1_D14 by R7: dim CD3 in this tube"}
    counts = found.table[found.table["where"] == "counts"]
    assert set(counts["sample_id"]) == {"S-1_D14"}
    (row,) = counts[counts["column"] == "n"].to_dict("records")
    before = (
        pd.read_csv(folder / "old" / "counts.csv").set_index(["sample_id", "population"]).loc[("S-1_D14", "t"), "n"]
    )
    assert row["old"] == str(before)
    assert row["difference"] == int(row["new"]) - before
    assert row["per_cent"] == pytest.approx(100 * row["difference"] / before)
    visits = found.table[found.table["where"] == "visits"]
    assert set(visits["usubjid"] + visits["visit"]) == {"S-1D14"}


def test_each_kind_of_change_is_the_cause_of_what_it_moved(
    changed: Callable[[Callable[[Path], object]], ip.report.Restatement],
) -> None:
    def change(study: Path) -> None:
        template = TEMPLATE.replace("nk,lymphocytes,rectangle,CD3,,0.45", "nk,lymphocytes,rectangle,CD3,,0.40")
        (study / "gating" / "t.csv").write_text(template, encoding="utf-8")
        write(study / "fcs" / "S-2_BL.fcs", events(2500, seed=9), **{"$SPILLOVER": spill_text()})
        text = TABLES["cmv_dna"].replace("S-1,D14,2024-03-14,<137", "S-1,D14,2024-03-14,500")
        (study / "cmv_dna.csv").write_text(text, encoding="utf-8")

    found = changed(change)
    table = found.table
    assert found.unexplained == 0

    def why(where: str, subject: str = "", sample: str = "") -> set[str]:
        own = table[(table["where"] == where) & (table["usubjid"] == subject) & (table["sample_id"] == sample)]
        assert len(own), (where, subject, sample)
        return set(own["causes"])

    template = "template: the gates of tube t are others"
    assert why("counts", sample="S-1_BL") == {template}
    assert why("counts", sample="S-2_BL") == {f"data: the FCS file of S-2_BL is another one; {template}"}
    assert why("virology", "S-1") == {"data: cmv_dna.csv, 1 row of S-1 differs"}
    # only NK hang on the gate that moved in the files that stayed
    moved = table[(table["where"] == "counts") & (table["sample_id"] == "S-1_BL")]
    assert moved["item"].str.contains("nk").all()


def test_rules_and_versions_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rules = dict(run_module.rule_hashes())
    monkeypatch.setattr(run_module, "rule_hashes", lambda: rules | {"cmv_rules.yaml": "0" * 64, "ctcae.yaml": "1"})
    monkeypatch.setattr(run_module, "package_digest", lambda: "2" * 64)
    shutil.copytree(folder / "study", tmp_path / "study")
    text = TABLES["cmv_dna"].replace("S-2,BL,2024-03-04,5000", "S-2,BL,2024-03-04,6000")
    (tmp_path / "study" / "cmv_dna.csv").write_text(text, encoding="utf-8")
    found = ip.report.restate(folder / "old", profiled(tmp_path, "new"))
    build = f"version: immunoprofile, another build of {ip.__version__}"
    why = set(found.table.loc[found.table["where"] == "virology", "causes"])
    assert why == {f"data: cmv_dna.csv, 1 row of S-2 differs; rule: cmv_rules.yaml is another one; {build}"}


def resealed(folder: Path) -> None:
    provenance = read_provenance(folder)
    files = {name: sha256_of(folder / name) for name in provenance["outputs"]}
    seal(folder, facts_of(provenance), files, parts=("profile",))


def test_what_nothing_explains_is_unexplained(folder: Path, tmp_path: Path) -> None:
    forged = tmp_path / "forged"
    shutil.copytree(folder / "old", forged)
    counts = (forged / "counts.csv").read_text(encoding="utf-8")
    row = next(line for line in counts.splitlines() if line.startswith("S-1_BL") and ",nk," in line)
    cells = row.split(",")
    cells[7] = str(int(cells[7]) + 1)
    (forged / "counts.csv").write_text(counts.replace(row, ",".join(cells)), encoding="utf-8")
    with pytest.raises(ResultsError, match=r"is not as it was written: changed: counts.csv"):
        ip.report.restate(folder / "old", forged)
    resealed(forged)
    outcome = CliRunner().invoke(app, ["restate", str(folder / "old"), str(forged), "--out", str(tmp_path / "out")])
    assert outcome.exit_code == EXIT_UNEXPLAINED, outcome.output
    table = read_text_table(tmp_path / "out" / "restatement.csv")
    (found,) = table.to_dict("records")
    assert (found["sample_id"], found["column"], found["causes"]) == ("S-1_BL", "n", "unexplained")
    assert float(found["difference"]) == 1


def test_results_of_two_studies_are_not_compared(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "study", tmp_path / "study")
    config = (tmp_path / "study" / "study.yaml").read_text(encoding="utf-8")
    (tmp_path / "study" / "study.yaml").write_text(config.replace("SMALL", "OTHER"), encoding="utf-8")
    with pytest.raises(ResultsError, match="of two studies: SMALL and OTHER"):
        ip.report.restate(folder / "old", profiled(tmp_path, "new"))
    assert EXIT_ERROR == 1


def test_sentences_and_numbers_of_the_pages_and_the_page_of_the_restatement(tmp_path: Path) -> None:
    write_study(tmp_path / "study")
    write_gates(tmp_path / "study" / "gating")
    for out in ("old", "new"):
        ip.run_study(ip.read_study(tmp_path / "study"), ip.gate.load(tmp_path / "study" / "gating"), out=tmp_path / out)
        if out == "old":
            draw(tmp_path)
    outcome = CliRunner().invoke(
        app, ["restate", str(tmp_path / "old"), str(tmp_path / "new"), "--out", str(tmp_path / "out")]
    )
    assert outcome.exit_code == EXIT_MOVED, outcome.output
    table = read_text_table(tmp_path / "out" / "restatement.csv")
    assert set(table["causes"]) == {"override: t/t of S-1_D14 by R7: dim CD3 in this tube"}
    page = table[table["where"] == "reports/S-1/D14"]
    verdict = page[(page["kind"] == "words") & (page["column"] == "Verdict")]
    assert set(verdict["old"]) == {"= within noise"}
    assert set(verdict["new"]) == {"▼ more than noise"}
    assert not len(table[table["where"].isin(["reports/S-1/BL", "reports/S-2/BL"])])
    # every changed cell of every page is listed, by another way of looking: texts of the twins
    for name in ("reports/S-1/D14", "reports/cohort"):
        texts = [
            _texts(json.loads((tmp_path / out / f"{name}.json").read_text("utf-8"))["content"])
            for out in ("old", "new")
        ]
        own = table[table["where"] == name]
        told = " ".join([*own["new"], *own["item"]])
        for text in texts[1] - texts[0]:
            assert text in told, text
    html = (tmp_path / "out" / "restatement.html").read_text(encoding="utf-8")
    assert "each with its cause" in html
    assert "dim CD3 in this tube" in html
    assert "▼ more than noise" in html


def _texts(content: object, inside: str = "") -> set[str]:
    """Every text of the parts of a page but its provenance, glossary and list of exceptions."""
    if isinstance(content, dict):
        if (
            content.get("id") in ("provenance", "glossary")
            or content.get("style") == "exceptions"
            or "tubes" in content
        ):
            return set()
        return {text for name, one in content.items() for text in _texts(one, name)}
    if isinstance(content, list):
        return {text for one in content for text in _texts(one, inside)}
    return {content} if isinstance(content, str) and inside in ("words", "sentence", "findings", "items") else set()
