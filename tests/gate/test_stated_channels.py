"""The channels that a template names for its markers, and detectors that change between the files of a study."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile import gate
from immunoprofile.errors import GateError, Problems
from immunoprofile.gate.binding import find_channels, label_doubts
from immunoprofile.gate.check import _moved_detectors
from immunoprofile.gate.strategy import GateSet
from immunoprofile.gate.template import read_template, write_template
from immunoprofile.io.fcs_source import FcsSource
from tests.io import fcs_bytes

ROWS = np.array([[5e4, 20_000, 10]] * 7 + [[5e4, 10, 20_000]] * 3)


def put(path, names, labels=()):
    words = {f"$P{n}S": label for n, label in enumerate(labels, 1) if label}
    path.write_bytes(fcs_bytes.fcs(ROWS, names, keywords=words))
    return path


def template(path, channels):
    path.write_text(
        f"# tube: t\n# channels: {channels}\n# scales:\n#   lin: {{kind: linear, T: 262144, A: 0}}\n"
        "# default_scale: lin\n# compensated: false\npopulation,parent,gate,method,dim_1,min_1,max_1\n"
        "cd3,root,rectangle,fixed,CD3,0.01,\ncd4,root,rectangle,fixed,CD4,0.01,\n"
    )
    return gate.load(path)["t"]


@pytest.fixture
def strategy(tmp_path):
    return template(tmp_path / "t.csv", "{CD3: FITC-A, CD4: PE-A}")


def counts(strategy, file):
    found = []
    table = gate.batch([file], strategy, exceptions=found)
    return dict(zip(table["population"], table["n"], strict=True)), found


@pytest.mark.parametrize(
    "labels", [(), ("", "CD3", "CD4"), ("", "cd3 FITC", "CD4 PE"), ("", "FITC", "PE"), ("", "FITC-A", "")]
)
def test_stated_channels_hold_and_labels_that_agree_are_silent(tmp_path, strategy, labels):
    file = put(tmp_path / "a.fcs", ("FSC-A", "FITC-A", "PE-A"), labels)
    assert counts(strategy, file) == ({"cd3": 7, "cd4": 3}, [])


def test_a_contradicting_label_is_named_and_the_template_holds(tmp_path, strategy):
    file = put(tmp_path / "a.fcs", ("FSC-A", "FITC-A", "PE-A"), ("", "CD4", "CD3"))
    found, rows = counts(strategy, file)
    assert found == {"cd3": 7, "cd4": 3}
    assert {row["code"] for row in rows} == {"GATES_DOUBTFUL"}
    assert any("FITC-A is CD3 by the template, and its label says CD4" in row["message"] for row in rows)
    assert label_doubts(strategy, ip.read_fcs(file))


@pytest.mark.parametrize("labels", [(), ("", "CD3", "CD4")])
def test_an_absent_channel_is_named_also_where_a_label_would_fit(tmp_path, labels):
    strategy = template(tmp_path / "t.csv", "{CD3: B525-A, CD4: PE-A}")
    file = put(tmp_path / "a.fcs", ("FSC-A", "FITC-A", "PE-A"), labels)
    _, rows = counts(strategy, file)
    assert [row["severity"] for row in rows] == ["error"]
    assert "CD3 on B525-A, which the file does not have" in rows[0]["message"]


def test_compensated_copies_of_the_stated_channel_are_that_channel(tmp_path, strategy):
    file = put(tmp_path / "a.fcs", ("FSC-A", "Comp-FITC-A", "Comp-PE-A"))
    assert counts(strategy, file)[0] == {"cd3": 7, "cd4": 3}


def test_a_marker_may_have_a_channel_on_each_of_two_cytometers(tmp_path):
    strategy = template(tmp_path / "t.csv", "{CD3: [FITC-A, BB515-A], CD4: PE-A}")
    for name in ("FITC-A", "BB515-A"):
        assert counts(strategy, put(tmp_path / f"{name}.fcs", ("FSC-A", name, "PE-A")))[0] == {"cd3": 7, "cd4": 3}
    both = put(tmp_path / "both.fcs", ("FITC-A", "BB515-A", "PE-A"))
    problems = Problems()
    find_channels(strategy, ip.read_fcs(both), problems)
    assert [problem.what for problem in problems.found] == ["marker CD3 is ambiguous"]
    labelled = put(tmp_path / "labelled.fcs", ("FITC-A", "BB515-A", "PE-A"), ("CD8", "CD3", "CD4"))
    assert find_channels(strategy, ip.read_fcs(labelled), Problems())["CD3"] == "BB515-A"
    again = read_template(write_template(strategy, tmp_path / "again.csv"))
    assert (again, again.sha256) == (strategy, strategy.sha256)


def test_a_detector_that_changed_between_files_is_refused_unless_both_are_named(tmp_path):
    files = [
        put(tmp_path / "BL.fcs", ("FSC-A", "PE-A", "APC-A"), ("", "CD3", "CD4")),
        put(tmp_path / "D7.fcs", ("FSC-A", "YG-A", "APC-A"), ("", "CD3", "CD4")),
    ]
    sources = [FcsSource(path) for path in files]
    (problem,) = _moved_detectors(template(tmp_path / "t.csv", "{}"), sources)
    assert "CD3 is on different channels: PE-A in 1 files (BL.fcs ...); YG-A in 1 files (D7.fcs ...)" in problem.what
    assert "channels: {CD3: [PE-A, YG-A]}" in problem.allowed
    assert not _moved_detectors(template(tmp_path / "u.csv", "{CD3: [PE-A, YG-A]}"), sources)
    assert not _moved_detectors(template(tmp_path / "v.csv", "{}"), sources[:1])


def test_the_check_of_a_study_refuses_a_detector_that_changed(tmp_path):
    from tests.small_study import write_gates, write_study

    write_study(tmp_path / "study")
    write_gates(tmp_path / "gates")
    study, gates = ip.read_study(tmp_path / "study"), gate.load(tmp_path / "gates")
    gates = GateSet(tuple(replace(strategy, channels=()) for strategy in gates.values()))  # by labels alone
    gate.check(gates, study)
    path = next((tmp_path / "study" / "fcs").glob("S-1_D14*"))
    sample = ip.read_fcs(path)
    strategy = next(iter(gates.values()))
    marker = next(m for m in strategy.markers if sample.channels[sample.position(m)].kind == "lineage")
    old = sample.channels[sample.position(marker)].pnn
    content = path.read_bytes()
    new = "Z" + old[1:]
    assert content.count(old.encode()) >= 1
    path.write_bytes(content.replace(old.encode(), new.encode()))
    with pytest.raises(GateError, match=f"{marker} is on different channels: {old} in"):
        gate.check(gates, ip.read_study(tmp_path / "study"))
