"""The review board: order by flags, decisions that go on, nothing shown when blinded, its page in Chromium."""

from __future__ import annotations

import json
import traceback
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from immunoprofile.errors import ImmunoprofileError, NotAvailableError, OutputError, Problem
from immunoprofile.gate import change, gate_sample
from immunoprofile.gate.matching import Match
from immunoprofile.widget.board import Board, board_of
from tests.widget.files import axis, sample, strategy
from tests.widget.stand_in import SUBJECTS, VISITS, StandIn, stand_in

pytest.importorskip("anywidget")

from immunoprofile.widget import edit, review
from tests.widget.page import WidgetPage


@pytest.fixture(scope="module")
def study() -> StandIn:
    return stand_in()


def board(study: Any, **options: Any) -> Board:
    return board_of(study, "treg/treg", **options)


def test_worst_come_first_with_the_reason(study: StandIn) -> None:
    items = {item.sample_id: item for item in board(study).items}
    assert any("parent shifted" in flag for flag in items["S-2_D14"].flags)
    assert any(flag.startswith("few events") for flag in items["S-3_D28"].flags)
    first = [item.sample_id for item in board(study).items]
    assert set(first[:2]) == {"S-2_D14", "S-3_D28"}
    scores = [item.score for item in board(study).items]
    assert scores == sorted(scores, reverse=True)
    for name, item in items.items():
        assert (item.n, item.n_parent) == (study.files[name].n("treg"), study.files[name].n("cd3"))
    by_subject = [item.sample_id for item in board(study, order="subject").items]
    assert by_subject == [f"{s}_{v}" for s in SUBJECTS for v in VISITS]


def test_far_from_baseline_is_the_default_reference_change(study: StandIn) -> None:
    items = board(study).items
    before = {item.usubjid: item.share for item in items if item.visit == "BL"}
    for item in items:
        told = any("baseline" in flag for flag in item.flags)
        if item.visit == "BL":
            assert not told
        elif item.n:
            assert told == (not 0.58 <= item.share / before[item.usubjid] <= 1.73)


def test_decisions_are_kept_and_go_on(study: StandIn, tmp_path: Path) -> None:
    record = tmp_path / "review.jsonl"
    first = board(study, record=record, author="R7")
    first.decide("S-1_BL", "accept")
    first.decide("S-2_D14", "flag", "CD25 another lot?")
    first.decide("S-1_BL", "edit", "cut too low")
    again = board(study, record=record)
    assert {name: one.decision for name, one in again.done.items()} == {"S-1_BL": "edit", "S-2_D14": "flag"}
    table = again.table().set_index("sample_id")
    assert table.loc["S-2_D14", ["decision", "reason", "author"]].tolist() == ["flag", "CD25 another lot?", "R7"]
    assert len(record.read_text(encoding="utf-8").splitlines()) == 3, "nothing is overwritten"
    moved = stand_in(change(study.gates, "treg/treg", corners={2: (700, 900)}))
    other = board(moved, record=record)
    assert other.done == {} and other.of_other_gates == 3
    record.write_text("{}\n", encoding="utf-8")
    with pytest.raises(ImmunoprofileError, match="line 1 is no decision"):
        board(study, record=record)


def test_a_reason_with_any_mark_is_read_back(study: StandIn, tmp_path: Path) -> None:
    record, reason = tmp_path / "review.jsonl", "Färbung\u2028pasted\x85line \u2029 \x1c end"
    board(study, record=record, author="R7").decide("S-1_BL", "flag", reason)
    board(study, record=record).decide("S-1_D14", "accept")
    again = board(study, record=record)
    assert {name: one.reason for name, one in again.done.items()} == {"S-1_BL": reason, "S-1_D14": ""}
    record.write_bytes(b"\xff\n")
    with pytest.raises(ImmunoprofileError, match="line 1 is no decision"):
        board(study, record=record)


def test_a_decision_that_cannot_be_written_is_none(study: StandIn, tmp_path: Path) -> None:
    one = review(study, study.gates, "treg/treg", record=tmp_path / "nowhere" / "review.jsonl")
    with pytest.raises(OutputError, match=r"review\.jsonl: cannot be written"):
        one.decide(1, "accept")
    one._received(None, {"type": "decide", "page": "p", "seq": 3, "number": 1, "decision": "accept", "reason": ""}, [])
    assert "review.jsonl: cannot be written" in one.state["error"]
    assert one.state["done"] == {} == one.board.done


def test_what_cannot_be_decided_is_refused(study: StandIn) -> None:
    one = board(study)
    with pytest.raises(ImmunoprofileError, match="needs a reason"):
        one.decide("S-1_BL", "flag", " ")
    with pytest.raises(ImmunoprofileError, match="is no decision"):
        one.decide("S-1_BL", "maybe")
    with pytest.raises(ImmunoprofileError, match="not on the board"):
        one.decide("S-9_BL", "accept")
    with pytest.raises(NotAvailableError, match="no tube gates"):
        board_of(study, "treg/nobody")
    assert one.done == {}


def test_blinded_board_says_nothing_of_subject_or_visit(study: StandIn) -> None:
    one = review(study, study.gates, "treg/treg")
    said = json.dumps([one.spec, one.state])
    assert not any(word in said for word in (*SUBJECTS, *VISITS, ".fcs", "B0", "B1"))
    opened = one.edit(1)
    assert opened.session.files[0].gated is study.files[one.board.items[0].sample_id]
    assert not any(word in json.dumps([opened.spec, opened.state]) for word in (*SUBJECTS, ".fcs"))


def test_blinded_editor_names_no_file_anywhere(study: StandIn) -> None:
    marks = ("S-1_D14.fcs", "S-1_BL", "CTRL7", "2026-03-04")
    file = sample(name="S-1_D14.fcs")
    compared = Problem("sample S-1_D14.fcs", "was acquired at another time than the file: 2026-03-04")
    own = Problem("S-1_D14.fcs", "PE-A is CD3 by the template, and its label says CD8")
    gated = gate_sample(file, Match(strategy(), problems=(compared,)), compiled=False)
    gated = replace(gated, problems=(*gated.problems, own))
    others = {"baseline": sample(seed=5, name="S-1_BL.fcs"), "fmo": sample(seed=6, name="CTRL7.fcs", n_channels=7)}
    nothing = strategy().with_gate(replace(strategy()["cd3"], dimensions=(axis("CD3", 5.0),)))
    for gates, given in ((strategy(), gated), (nothing, file)):
        one = edit(given, gates, "treg/treg", blinded=True, **others)
        messages: list[Any] = []
        one.send = lambda content, buffers=(): messages.append(content)  # type: ignore[method-assign] # noqa: B023
        for message in ({"type": "overlay", "id": "file:1"}, {"type": "overlay", "id": "file:9"}):
            one._received(None, {"page": "p", "seq": 1, **message}, [])
        shown = json.dumps([one.spec, one.state, messages, repr(one), one.session.notice()])
        assert not [mark for mark in marks if mark in shown]
        labels = [entry["label"] for entry in one.spec["overlays"] if entry["id"].startswith("file:")]
        assert labels == ["baseline", "FMO"]
    first = edit(gated, strategy(), "treg/treg", blinded=True, **others)
    assert first.spec["problems"] == [
        "this file: PE-A is CD3 by the template, and its label says CD8",
        "How the file met its gates: 1 to know, hidden in a blinded editor.",
    ]
    seen = edit(gated, strategy(), "treg/treg", **others)
    assert seen.spec["problems"] == [str(compared), str(own)]
    drawn = edit(file, strategy(), "treg/odd", parent="cd3", axes=("CD25", "CD127"), blinded=True)
    drawn._received(None, {"type": "axes", "page": "p", "seq": 2, "markers": ["CD99"]}, [])
    assert drawn.state["error"].startswith("this file: no channel carries CD99")


def test_blinded_board_names_no_file_when_one_cannot_be_opened(study: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: StandIn, sample_id: str) -> Any:
        raise NotAvailableError("the cells need the FCS files", where=sample_id)

    monkeypatch.setattr(StandIn, "gated", gone)
    blinded = review(study, study.gates, "treg/treg")
    with pytest.raises(NotAvailableError, match="number 2 cannot be opened") as told:
        blinded.edit(2)
    shown = "".join(traceback.format_exception(told.value))
    assert not any(word in shown for word in (*SUBJECTS, ".fcs"))
    name = blinded.board.items[1].sample_id
    with pytest.raises(NotAvailableError, match=name):
        review(study, study.gates, "treg/treg", blinded=False).edit(2)


def with_control(study: StandIn, folder: Path, control: Any) -> StandIn:
    """The study with an FMO control of CD25 in one batch of its Treg tube, and one that is left out."""
    rows = study.study.samples.assign(tube_id="treg", role="sample", panel_id="P", fmo_marker="", exclude_flag="N")
    fmo = {"tube_id": "treg", "role": "fmo", "panel_id": "P", "batch_id": "B0", "fmo_marker": "CD25"}
    controls = pd.DataFrame([{**fmo, "sample_id": "CTRL6", "exclude_flag": "Y"}, {**fmo, "sample_id": "CTRL7",
                              "exclude_flag": "N"}])  # fmt: skip
    files = SimpleNamespace(read=lambda: control)
    stated = SimpleNamespace(**vars(study.study))
    stated.samples = pd.concat([rows, controls], ignore_index=True)
    stated.fcs_path, stated.fcs_source = lambda name: folder / f"{name}.fcs", lambda name: files
    return StandIn(**(vars(study) | {"study": stated}))


@pytest.mark.parametrize("blinded", [True, False])
def test_editor_of_the_board_has_baseline_and_control(blinded: bool, study: StandIn, tmp_path: Path) -> None:
    control = sample(2000, seed=44, name="CTRL7.fcs")
    (tmp_path / "CTRL7.fcs").touch()
    one = review(with_control(study, tmp_path, control), study.gates, "treg/treg", blinded=blinded)
    seen = set()
    for number, item in enumerate(one.board.items, 1):
        opened = one.edit(number)
        expected = {"this file": study.files[item.sample_id].n("treg")}
        if item.visit != "BL":
            expected["baseline"] = study.files[f"{item.usubjid}_BL"].n("treg")
        if item.batch == "B0":
            expected["FMO CD25"] = gate_sample(control, strategy()).n("treg")
        assert {row["label"]: row["n"]["treg"] for row in opened.state["counts"]} == expected
        assert opened.spec["problems"] == []
        labels = [entry["label"] for entry in opened.spec["overlays"] if entry["id"].startswith("file:")]
        names = {"baseline": f"{item.usubjid}_BL.fcs", "FMO CD25": "CTRL7.fcs"}
        own = [name for name in expected if name != "this file"]
        assert labels == (own if blinded else [f"{name} ({names[name]})" for name in own])
        if blinded:
            shown = json.dumps([opened.spec, opened.state, repr(opened)])
            assert not any(word in shown for word in (*SUBJECTS, "CTRL", ".fcs"))
        seen |= expected.keys()
    assert seen == {"this file", "baseline", "FMO CD25"}


def test_what_cannot_be_laid_under_the_plot_is_told(
    study: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_baselines(self: StandIn, sample_id: str) -> Any:
        if sample_id.endswith("_BL"):
            raise NotAvailableError("the cells need the FCS files", where=sample_id)
        return self.files[sample_id]

    monkeypatch.setattr(StandIn, "gated", without_baselines)
    bare = with_control(study, tmp_path, sample(n_channels=5, seed=45, name="CTRL7.fcs"))
    boards = {name: review(bare, study.gates, "treg/treg", blinded=name == "blinded") for name in ("blinded", "open")}
    number = next(
        k for k, item in enumerate(boards["open"].board.items, 1) if item.visit != "BL" and item.batch == "B0"
    )
    baseline = f"{boards['open'].board.items[number - 1].usubjid}_BL"
    for there, reason in ((False, "CTRL7: its FCS file is not at hand"), (True, "CD127")):
        if there:
            (tmp_path / "CTRL7.fcs").touch()
        opened = boards["open"].edit(number)
        assert [row["label"] for row in opened.state["counts"]] == ["this file"]
        first, second = opened.spec["problems"]
        assert first == f"baseline is not laid under the plot: {baseline}: the cells need the FCS files"
        assert second.startswith("FMO CD25 is not laid under the plot: ") and reason in second
        shown = json.dumps([boards["blinded"].edit(number).spec])
        assert "baseline is not laid under the plot (NotAvailableError); why would name its file." in shown
        assert not any(word in shown for word in (*SUBJECTS, "CTRL", ".fcs"))


def test_opening_reads_each_plot_once_on_axes_that_hold_all(study: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(StandIn, "rasters", lambda self, name: (read.append(name), self.pictures.get(name, ()))[1])
    one = review(study, study.gates, "treg/treg")
    assert sorted(read) == sorted(f"{s}_{v}" for s in SUBJECTS for v in VISITS)
    plots = [next(p for p in study.pictures[name] if "treg" in [o.population for o in p.outlines]) for name in read]
    for axis_name in ("x", "y"):
        ranges = [getattr(plot, f"{axis_name}_range") for plot in plots]
        assert one.spec["frame"][axis_name] == [min(low for low, _ in ranges), max(high for _, high in ranges)]


def test_page_shows_asks_filters_and_decides(browser: Any, study: StandIn, tmp_path: Path) -> None:
    one = review(study, study.gates, "treg/treg", record=tmp_path / "r.jsonl", author="R7", blinded=False)
    shown = WidgetPage(browser, one, "board", width=800, height=700)
    page = shown.page
    page.wait_for_function("window.stats?.some(one => one.kind === 'tiles')")
    drawn = (
        "document.querySelector('.rb-tile canvas').getContext('2d').getImageData(20, 20, 100, 100).data"
        ".some(v => v && v < 200)"
    )
    assert page.evaluate(drawn)
    first = page.locator(".rb-tile").first
    first.focus()
    page.keyboard.press("f")
    page.locator(".rb-form input").fill("CD25 lot")
    page.keyboard.press("Enter")
    page.wait_for_selector('.rb-tile[data-decision="flag"]')
    page.keyboard.press("ArrowRight")
    page.keyboard.press("a")
    page.wait_for_selector('.rb-tile[data-decision="accept"]')
    table = one.decisions()
    assert table["decision"].tolist()[:2] == ["flag", "accept"] and table["reason"][0] == "CD25 lot"
    assert page.locator(".rb-told").inner_text() == "2 of 9 decided"
    page.get_by_label("show").select_option("open")
    assert page.locator(".rb-grid li:visible").count() == 7
    page.get_by_label("subject").select_option("S-1")
    assert page.locator(".rb-grid li:visible").count() <= 3
    page.get_by_label("show").select_option("")
    page.get_by_label("subject").select_option("")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page)
    assert [(v["id"], [node["html"][:150] for node in v["nodes"]]) for v in found.response["violations"]] == []
    assert (shown.errors, shown.asked) == ([], [])
    sent = page.evaluate("window.sent.filter(one => one.type === 'tiles').flatMap(one => one.numbers)")
    assert len(sent) == len(set(sent)), "no picture twice"
    page.screenshot(path=str(tmp_path / "board.png"), full_page=True)
    page.close()


def test_pictures_are_asked_for_when_they_come_into_view(study: StandIn) -> None:
    one = review(study, study.gates, "treg/treg")
    assert len(json.dumps(one.spec)) < 20_000, "no pictures before they are asked for"
    said: list[Any] = []
    one.send = lambda content, buffers=(): said.append((content, buffers))  # type: ignore[method-assign]
    one._received(None, {"type": "tiles", "page": "p", "numbers": [2, 5]}, [])
    content, buffers = said[0]
    assert [tile["number"] for tile in content["tiles"]] == [2, 5]
    levels = np.frombuffer(buffers[0], np.uint8)
    raster = next(
        r for r in study.rasters(one.board.items[1].sample_id) if any(o.population == "treg" for o in r.outlines)
    )
    assert np.array_equal(levels.reshape(raster.counts.shape) > 0, raster.counts > 0)
