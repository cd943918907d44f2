"""A run follows the ledger of its study, says so wherever a number hangs on it, and its results keep the head."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import immunoprofile as ip
from immunoprofile.cli import EXIT_ERROR
from immunoprofile.errors import GateError
from immunoprofile.gate.ledger import LEDGER, append, read_ledger
from tests.small_study import STUDY_YAML, TEMPLATE, write_gates, write_study
from tests.test_cli import invoke


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_study(tmp_path / "study")
    write_gates(tmp_path / "study" / "gating")
    return tmp_path


def draw(folder: Path, sample: str = "S-1_D14", by: float | None = 0.1, reason: str = "dim CD3 in this tube") -> None:
    gates = ip.gate.load(folder / "study" / "gating")
    gate = gates["t"]["t"]
    axis = gate.dimensions[0]
    to = (
        None
        if by is None
        else replace(gate, dimensions=(replace(axis, minimum=axis.minimum + by), *gate.dimensions[1:]))
    )
    ip.gate.override(gates, "t/t", to=to, sample=sample, reason=reason, author="R7",
                     study=ip.read_study(folder / "study"))  # fmt: skip


def run(folder: Path, out: str = "results") -> ip.Profile:
    return ip.profile(ip.read_study(folder / "study"), ip.gate.load(folder / "study" / "gating"), out=folder / out)


def n(profile: ip.Profile, sample: str) -> int:
    counts = profile.counts
    return int(counts.loc[(counts["sample_id"] == sample) & (counts["population"] == "t"), "n"].iloc[0])


def test_a_run_follows_the_ledger_and_says_so(folder: Path) -> None:
    plain = run(folder, "before")
    draw(folder)
    made = run(folder)
    ledger = read_ledger(folder / "study")
    (row,) = ledger.overrides
    assert n(made, "S-1_D14") == row.n_after != n(plain, "S-1_D14") == row.n_before
    assert all(n(made, name) == n(plain, name) for name in ("S-1_BL", "S-2_BL"))
    # where a person looks: exceptions, flags, table, provenance
    told = made.exceptions[made.exceptions["code"] == "GATE_OVERRIDDEN"]
    assert told["sample_id"].tolist() == ["S-1_D14"]
    assert f"drawn anew by R7: dim CD3 in this tube ({row.n_before} -> {row.n_after} of" in told["message"].iloc[0]
    flags = made.visits.obs["flags"].str.contains("GATE_OVERRIDE")
    assert flags[flags].index.tolist() == ["S-1_D14"]
    (listed,) = made.tables["gate_overrides"].to_dict("records")
    assert (listed["in_force"], listed["author"], listed["affects"]) == (True, "R7", "t")
    assert re.match(r"CD3 at least \d+", listed["before"])
    assert listed["before"] != listed["after"]
    assert made.provenance["ledger"] == {"rows": 1, "head": ledger.head}
    assert made.provenance["inputs"][LEDGER] == ledger.sha256
    assert (folder / "results" / LEDGER).read_bytes() == ledger.content
    # the effective gates of the sample, and the results read back
    effective = ip.gate.load(folder / "results" / "gating" / "S-1_D14.xml")
    (strategy,) = effective.values()
    assert strategy["t"].dimensions[0].minimum == row.after.dimensions[0].minimum  # type: ignore[union-attr]
    again = ip.read_results(folder / "results")
    assert again.gates.overrides == ledger.overrides
    assert invoke("check", folder / "results").exit_code == 0
    # the same bytes as a run that gated nothing before
    fresh = run(folder, "before")
    assert fresh.provenance["outputs"] == made.provenance["outputs"]


def test_cells_are_those_of_the_drawn_gate(folder: Path) -> None:
    draw(folder)
    made = run(folder)
    back = replace(ip.read_results(folder / "results"), study=made.study)
    cells = back.cells("t", per_visit=None)
    assert (cells.obs["sample_id"] == "S-1_D14").sum() == n(made, "S-1_D14")


def test_reports_mark_what_hangs_on_a_drawn_gate_and_carry_the_head(folder: Path) -> None:
    reviewed = run(folder, "before")
    untouched = ip.report.visit(reviewed, "S-2", "BL").data["report_id"]
    draw(folder)
    made = run(folder)
    head = made.provenance["ledger"]["head"]
    page = ip.report.visit(made, "S-1", "D14").html
    assert "Gates drawn anew by a person" in page
    assert "drawn anew by R7" in page
    assert "dim CD3 in this tube" in page
    assert re.search(r"[0-9]\s%‡", page)
    other = ip.report.visit(made, "S-2", "BL")
    for html in (page, other.html):
        assert f"ledger of overrides: 1 row, head {head}" in html
    assert "‡" not in ip.report.visit(made, "S-1", "BL").html
    assert other.data["report_id"] == untouched  # what was reviewed of another subject stays reviewed
    blind = ip.report.visit(made, "S-1", "D14", blinded=True).html
    assert "‡" in blind
    assert "dim CD3" not in blind
    draw(folder, by=None, reason="looked again")
    taken_back = run(folder)
    assert "‡" not in ip.report.visit(taken_back, "S-1", "D14").html
    assert n(taken_back, "S-1_D14") == n(reviewed, "S-1_D14")
    assert taken_back.tables["gate_overrides"]["in_force"].tolist() == [False, False]


def test_a_template_that_moved_below_an_override_is_told(folder: Path) -> None:
    draw(folder)
    template = folder / "study" / "gating" / "t.csv"
    template.write_text(TEMPLATE.replace("rectangle,CD3,0.45", "rectangle,CD3,0.46"))
    made = run(folder)
    warned = made.exceptions[made.exceptions["code"] == "OVERRIDE_OF_ANOTHER_GATE"]
    assert warned["severity"].tolist() == ["warning"]
    template.write_text(TEMPLATE.replace("W: 0.5", "W: 0.6"))
    with pytest.raises(GateError, match="scale logicle is another one now"):
        run(folder)


def test_all_rows_that_cannot_be_followed_are_told_before_a_file_is_gated(folder: Path) -> None:
    draw(folder)
    (row,) = read_ledger(folder / "study").overrides
    append(folder / "study", [replace(row, sample="S-7"), replace(row, tube="x")], "SMALL")
    with pytest.raises(GateError) as refused:
        run(folder)
    assert len(refused.value.problems) == 2
    assert not (folder / "results").exists()


def test_a_cut_off_tail_is_named_by_the_results(folder: Path) -> None:
    draw(folder)
    draw(folder, "S-2_BL")
    run(folder)
    path = folder / "study" / LEDGER
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\n") + 1])
    assert invoke("check", folder / "study").exit_code == 0  # a chain that ends earlier is a chain
    outcome = invoke("check", folder / "study", "--results", folder / "results")
    assert outcome.exit_code == EXIT_ERROR
    assert "the 2 rows that the results" in outcome.output
    for what in (path.write_bytes(content[: content.index(b"\n") + 1]), path.unlink()):
        assert what is not False
        with pytest.raises(GateError, match="the ledger of overrides lost rows"):
            run(folder)
    path.write_bytes(content)
    assert n(run(folder), "S-2_BL") == read_ledger(folder / "study").overrides[1].n_after


def test_check_names_each_damage_of_a_ledger_and_a_run_refuses_it(folder: Path) -> None:
    draw(folder)
    path = folder / "study" / LEDGER
    path.write_bytes(path.read_bytes().replace(b'"R7"', b'"R8"'))
    outcome = invoke("check", folder / "study")
    assert (outcome.exit_code, outcome.output) == (
        EXIT_ERROR, "gating/overrides.jsonl, row 1: was changed: its hash does not fit\n",
    )  # fmt: skip
    with pytest.raises(GateError, match="row 1: was changed"):
        run(folder)


def test_the_command_line_says_which_gates_were_drawn_anew(folder: Path) -> None:
    draw(folder)
    head = read_ledger(folder / "study").head
    outcome = invoke("run", folder / "study", "--out", folder / "results", "--quiet")
    assert "override: S-1_D14, t/t by R7: dim CD3 in this tube\n" in outcome.output
    assert f"ledger of overrides: 1 row, head {head}; not locked" in outcome.output


def test_a_ledger_beside_shipped_gates_does_not_hide_them(tmp_path: Path) -> None:
    write_study(tmp_path / "study", config=STUDY_YAML)
    (tmp_path / "study" / "gating").mkdir()
    (tmp_path / "study" / LEDGER).write_bytes(b"")
    assert not ip.gate.holds_gates(tmp_path / "study" / "gating")
    assert "is empty" in invoke("check", tmp_path / "study").output


def test_mapped_ids_of_other_documents_are_the_places_of_overrides(folder: Path) -> None:
    """populations.csv renames a population: the ledger speaks of the ids that reports have."""
    write_study(folder / "study", files=False, populations="tube,source,population\nt,nk,nk_bright\n")
    study, gates = ip.read_study(folder / "study"), ip.gate.load(folder / "study" / "gating")
    with pytest.raises(GateError, match="there is no such gate"):
        ip.gate.override(gates, "t/nk", to=None, sample="S-1_BL", reason="r", author="a", study=study)
    own = ip.gate.check(gates, study)["t"]["nk_bright"]
    to = own.moved(lambda _, place: place + 0.02)
    ip.gate.override(gates, "t/nk_bright", to=to, sample="S-1_BL", reason="r", author="a", study=study)
    made = run(folder)
    counts = made.counts.set_index(["sample_id", "population"])["n"]
    assert isinstance(counts, pd.Series)
    assert counts["S-1_BL", "nk_bright"] == read_ledger(folder / "study").overrides[0].n_after
