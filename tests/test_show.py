"""Objects show themselves in a notebook: what they say, and that no text of theirs is taken for HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import immunoprofile as ip
from immunoprofile.errors import Problem
from immunoprofile.gate.gates import Dimension, Gate
from immunoprofile.gate.strategy import GateSet, Strategy
from immunoprofile.io.fcs import Channel
from immunoprofile.markup import block, counted, hinted, line, table
from immunoprofile.profiling.profile_view import profile_view
from immunoprofile.study import Study
from tests.fake_profile import make_profile
from tests.small_study import write_gates, write_study

EVIL = "<script>alert('x')</script>&\"'"
VOID = {"br", "hr", "img"}


class Page(HTMLParser):
    """Tags and visible text of a piece of HTML; tags that do not close in order are an error."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def shown(thing: Any) -> Page:
    """A view that is well formed, loads nothing, runs nothing, and has no colour that a dark theme would not."""
    source = thing if isinstance(thing, str) else thing._repr_html_()
    page = Page(source)
    assert {"script", "style", "link", "img", "iframe", "object"}.isdisjoint(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "href")
        if name == "style":
            assert not re.search(r"url\(|#[0-9a-fA-F]{3,8}\b|white|black|(?<!border-)color", str(value)), value
    return page


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return ip.read_study(write_study(tmp_path_factory.mktemp("show")))


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> GateSet:
    return ip.gate.load(write_gates(tmp_path_factory.mktemp("gates")))


# --- the pieces -----------------------------------------------------------------------------------


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_comes_out_as_it_went_in(title: str, cell: str) -> None:
    page = shown(block(title, line(cell), table(("a", title), [(cell, hinted(cell, title))])))
    assert {"script", "b", "i", "a"}.isdisjoint(page.tags)
    words = "".join("".join(page.words).split())
    for text in (title, cell):
        # The parser makes what a browser makes of characters that no HTML can carry.
        if not re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef]|.[\ufffe\uffff]|[\ufffe\uffff]", text):
            assert "".join(text.split()) in words


def test_counted() -> None:
    assert [counted(0, "file"), counted(1, "file"), counted(1200, "file")] == ["0 files", "1 file", "1,200 files"]
    assert counted(2, "open query", "open queries") == "2 open queries"


# --- a study --------------------------------------------------------------------------------------


def test_study_shows_arms_visits_tables_and_exceptions(study: Study) -> None:
    text = shown(study).text
    assert "Study SMALL: A small study" in text
    assert "Drug (A): 1 subject · Control (B): 1 subject" in text
    # The rows of small_study: S-1 came twice with its only tube, S-2 missed D14; one result names no visit.
    assert "S-1 A ✓ 1/1 tubes ✓ 1/1 tubes" in text
    assert "S-2 B ✓ 1/1 tubes – missed" in text
    assert "1 unscheduled visit with results" in text or "2 unscheduled visits with results" in text
    assert "study.cmv_dna 4" in text
    assert "study.dosing – (absent or empty)" in text
    assert "note VISIT_MISSED 1" in text


def test_study_tells_missing_tubes_from_missing_visits(tmp_path: Path) -> None:
    samples = """\
sample_id,usubjid,visit,tube_id,role,specimen_type,collected_dtc,fcs_path
S-1_BL,S-1,BL,t,sample,WB_EDTA,2024-03-01T08:00,fcs/S-1_BL.fcs
S-1_FMO,S-1,D14,t,fmo,WB_EDTA,2024-03-14T08:00,fcs/S-1_D14.fcs
"""
    visits = """\
usubjid,visit,start_dtc,occurred,reason_not_done
S-1,BL,2024-03-01,Y,
S-1,D14,2024-03-14,Y,
S-2,D14,,N,DROPOUT
"""
    path = write_study(tmp_path, samples=samples, visits=visits, cmv_dna=None, labs=None)
    page = shown(ip.read_study(path, require_files=False))
    assert "S-1 A ✓ 1/1 tubes ! 0/1 tubes" in page.text  # a control is no sample of the visit
    assert "S-2 B ? not recorded – missed" in page.text
    assert ("title", "missing: t") in page.attributes
    assert ("title", "did not take place: DROPOUT") in page.attributes


def test_study_escapes_its_texts(study: Study) -> None:
    named = study.config.model_copy(update={"title": EVIL})
    subjects = study.tables["subjects"].assign(usubjid=EVIL)
    page = shown(replace(study, config=named, tables={**study.tables, "subjects": subjects}))
    assert page.text.count(EVIL) == 3  # title and two subjects


def test_large_study_says_what_it_does_not_show(study: Study) -> None:
    import pandas as pd

    many = pd.concat([study.tables["subjects"]] * 30, ignore_index=True)
    many["usubjid"] = [f"N-{number:03d}" for number in range(60)]
    page = shown(replace(study, tables={**study.tables, "subjects": many}))
    assert "N-039" in page.text
    assert "N-040" not in page.text
    assert "… and 20 more subjects: study.visits" in page.text or "… and 20 subjects more: study.visits" in page.text


# --- gates ----------------------------------------------------------------------------------------


def test_strategy_shows_its_tree(gates: GateSet) -> None:
    text = shown(gates["t"]).text
    assert "root all recorded events └ lymphocytes FSC-A x SSC-A rectangle └ t CD3 x CD56 rectangle" in text
    assert f"hash {gates['t'].sha256[:12]}" in text


def test_every_shipped_gate_stands_below_its_parent() -> None:
    shipped = ip.gate.load(ip.gate.shipped_folder())
    for strategy in shipped.values():
        rows = re.findall(r'<th scope="row"[^>]*>([\u2003└ ]*)([^<]+)</th>', strategy._repr_html_())
        above: list[str] = []
        found = {}
        for lead, name in rows:
            depth = 0 if not lead else lead.count("\u2003") + 1
            found[name.removesuffix(" (beads)")] = above[depth - 1] if depth else ""
            above[depth:] = [name]
        assert found.pop("root") == ""
        assert found == {gate.population: gate.parent for gate in strategy.gates}


def test_gate_set_shows_each_tube_and_what_was_not_read(gates: GateSet) -> None:
    page = shown(replace(gates, problems=(Problem("gate <x>", "is a kind & not known"),)))
    assert "Gates of 1 tube t: 3 gates" in page.text
    assert "! not read: 1 where what gate <x> is a kind & not known" in page.text


def test_gated_sample_shows_counts_and_per_cent_of_parent(study: Study, gates: GateSet) -> None:
    sample = ip.read_fcs(study.fcs_path("S-1_BL"))
    gated = ip.gate.gate_sample(sample, gates["t"])
    text = shown(gated).text
    for row in gated.counts().itertuples():
        assert f"└ {row.population} {row.n:,} {row.pct_parent:.2f}" in text
    assert f"root {sample.n_events:,} all recorded events" in text


def test_empty_parent_has_no_percentage(study: Study) -> None:
    high = Gate("none", "root", "rectangle", (Dimension("FSC-A", minimum=1e12),))
    below = Gate("below", "none", "rectangle", (Dimension("SSC-A", minimum=0.0),))
    sample = ip.read_fcs(study.fcs_path("S-1_BL"))
    text = shown(ip.gate.gate_sample(sample, Strategy("t", (high, below)), comp_source="none")).text
    assert "└ none 0 0.00" in text
    assert "└ below 0 – (empty parent)" in text


def test_gates_escape_their_labels(study: Study) -> None:
    gate = Gate("cells", "root", "rectangle", (Dimension("FSC-A", minimum=0.0),), label=EVIL)
    strategy = Strategy("t", (gate,), panel=EVIL)
    assert shown(strategy).text.count(EVIL) == 2
    gated = ip.gate.gate_sample(ip.read_fcs(study.fcs_path("S-1_BL")), strategy, comp_source="none")
    assert EVIL in shown(gated).text


# --- a file ---------------------------------------------------------------------------------------


def test_sample_shows_channels_and_no_person(study: Study) -> None:
    sample = ip.read_fcs(study.fcs_path("S-1_BL"))
    persons = {
        "patient name": "Erika Mustermann", "op": "Dr. Who", "src": "Erika", "cells": "Erika", "date": "01-MAR-2024",
        "fil": "Erika.fcs", "p1v": "400", "cyt": "Canto <II>", "tot": "Erika",
    }  # fmt: skip
    page = shown(replace(sample, keywords={"mode": "L", **persons}))
    assert (
        f"FCS {sample.version} · 3,000 events · {len(sample.channels)} channels · sha256 {sample.sha256[:12]}"
        in page.text
    )
    for channel in sample.channels:
        assert channel.pnn in page.text
    for word in ("Erika", "Who", "MAR-2024", "patient"):
        assert word not in page.text
    assert "cyt Canto <II> mode L" in page.text
    assert "7 keywords not shown" in page.text


def test_sample_escapes_its_texts() -> None:
    channel = Channel(EVIL, EVIL, EVIL, 1024.0)
    sample = ip.Sample(EVIL, np.zeros((2, 1)), (channel,), {"cyt": EVIL[:20]}, repairs=(EVIL,))
    page = shown(sample)
    assert page.text.count(EVIL) == 5
    assert "no file" in page.text


# --- a profile ------------------------------------------------------------------------------------


@pytest.fixture
def profile() -> Any:
    made = make_profile()
    made.folder = Path("results")
    if not hasattr(made, "tables"):
        made.tables = {}
    return made


def test_profile_shows_every_tube_as_the_worst_of_its_checks(profile: Any) -> None:
    page = shown(profile_view(profile))
    symbols = {"PASS": "✓", "NOT_EVALUABLE": "?", "WARN": "!", "FAIL": "✕"}
    quality = profile.quality
    config = profile.study.config
    for usubjid, arm in zip(profile.study.subjects["usubjid"], profile.study.subjects["arm"], strict=True):
        expected = []
        for visit in (visit.visit for visit in config.visits if visit.flow):
            for tube in config.tubes:
                own = quality[(quality["usubjid"] == usubjid) & (quality["visit"] == visit) & (quality["tube"] == tube)]
                states = [state for state in reversed(symbols) if state in set(own["state"])]
                expected.append(symbols[states[0]] if states else "–")
        assert " ".join([usubjid, arm, *expected]) in page.text


def test_profile_names_what_was_left_out_and_where_the_rest_is(profile: Any) -> None:
    profile.exceptions.loc[len(profile.exceptions)] = {
        **dict.fromkeys(profile.exceptions.columns, ""), "severity": "error", "code": "BAD", "message": EVIL,
    }  # fmt: skip
    text = shown(profile_view(profile)).text
    assert EVIL in text
    assert f"Results folder {profile.folder}" in text
    assert f"{profile.counts['sample_id'].nunique()} files gated" in text
    assert f"{profile.visits.n_obs} visits x {profile.visits.n_vars} populations" in text


def test_profile_counts_open_queries(profile: Any) -> None:
    import pandas as pd

    closed = pd.DataFrame({"closed": pd.array([True, False, None], dtype="boolean")})
    profile.tables = {"queries": closed}
    assert "2 open queries" in shown(profile_view(profile)).text  # one that does not say is open


# --- a report -------------------------------------------------------------------------------------


def test_report_preview_is_a_closed_frame() -> None:
    from immunoprofile.report.render import Report

    source = Report(f"<p>{EVIL}</p>", EVIL)._repr_html_()
    page = Page(source)
    assert page.tags == ["iframe"]
    attributes = dict(page.attributes)
    assert attributes["srcdoc"] == f"<p>{EVIL}</p>"
    assert attributes["title"] == EVIL
    assert attributes["sandbox"] == ""


def test_repr_methods_are_those_that_jupyter_calls() -> None:
    for kind in (ip.Study, ip.Sample, ip.Profile, Strategy, GateSet, ip.gate.GatedSample):
        assert callable(kind._repr_html_)
