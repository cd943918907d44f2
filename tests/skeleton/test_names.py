"""Which part of a name is what: read where the names show it, left open where they do not."""

from __future__ import annotations

import pytest

from immunoprofile.io.file_names import NamePattern
from immunoprofile.skeleton.names import in_order, propose_pattern, role_of


@pytest.mark.parametrize(
    ("paths", "pattern"),
    [
        (["001_BL_nk.fcs", "001_D7_nk.fcs", "002_BL_nk.fcs"], "{subject}_{visit}_{}.fcs"),
        (["pid1_tube1.fcs", "pid1_tube2.fcs", "pid2_tube1.fcs"], "{subject}_{tube}.fcs"),
        (["S-1-001_BL.fcs", "S-1-002_D14.fcs"], "{subject}_{visit}.fcs"),
        (["TRIAL P01 W2 panelA.fcs", "TRIAL P02 W4 panelA.fcs"], "{} {subject} {visit} {tube}.fcs"),
        (["BL/P01_tube1.fcs", "D14/P01_tube1.fcs", "D14/P02_tube2.fcs"], "{visit}/{subject}_{tube}.fcs"),
        (["P01/20240101_BL.fcs", "P02/20240108_D7.fcs"], "{subject}/{}_{visit}.fcs"),
        (["P1/P1_BL_tube1.fcs", "P1/P1_D7_tube1.fcs", "P2/P2_BL_tube1.fcs"], "{subject}_{visit}_{tube}.fcs"),
        (["A/P1_BL.fcs", "A/P1_D7.fcs", "A/P2_BL.fcs", "B/P3_BL.fcs"], "{subject}_{visit}.fcs"),
        (["Anna_Maria_BL.fcs", "Otto_Karl_D7.fcs"], None),
        (["P01_BL.fcs", "P02.fcs"], None),
        (["68983.fcs"], "{subject}.fcs"),
    ],
)
def test_pattern_of_names(paths, pattern):
    assert propose_pattern(paths, ["one panel"] * len(paths)) == pattern
    if pattern is not None:
        read = [NamePattern(pattern).match(path) for path in paths]
        assert all(fields is not None for fields in read)


def test_a_word_that_changes_with_the_panel_is_the_tube():
    paths = ["P1_treg.fcs", "P1_nk.fcs", "P2_treg.fcs", "P2_nk.fcs"]
    assert propose_pattern(paths, ["a", "b", "a", "b"]) == "{subject}_{tube}.fcs"
    # The same words with one panel: two parts could be the subject.
    assert propose_pattern(paths, ["a"] * 4) is None


def test_visits_in_the_order_of_their_days():
    visits = in_order(["W12", "D14", "BL", "D7", "SCR", "D100", "BL"])
    assert [visit.name for visit in visits] == ["SCR", "BL", "D7", "D14", "W12", "D100"]
    assert [visit.day for visit in visits] == [None, 1, 7, 14, 85, 100]
    assert [visit.name for visit in in_order(["V10", "V2", "V1"])] == ["V1", "V2", "V10"]


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("P1_BL_FMO-CD25.fcs", "fmo"), ("unstained.fcs", "unstained"), ("Controls/CompBead_PE.fcs", "single_stain"),
        ("Compensation Controls_PE.fcs", "single_stain"), ("affmode_1.fcs", "sample"), ("P1_BL.fcs", "sample"),
    ],
)  # fmt: skip
def test_controls_by_their_names(path, role):
    assert role_of(path) == role
