"""Which matrix is applied, what is asked, and the checks of a matrix."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from immunoprofile.compensation import (
    Spillover,
    already_compensated,
    check,
    choose,
    compensate,
    decide,
    from_keywords,
    subtracted_at_acquisition,
)
from immunoprofile.compensation.applied import ASK
from immunoprofile.errors import CompensationError, FcsError
from immunoprofile.io.fcs import Sample, read_fcs
from tests.compensation.samples import sample_of

TWO = "2,A,B,1,0.2,0.1,1"


def two(keywords: dict[str, str]) -> Sample:
    return sample_of(("FSC-A", "A", "B"), np.array([[1.0, 10, 20], [2, 30, 40]]), keywords)


def test_keywords_old_and_new() -> None:
    for keyword in ("spillover", "spill", "comp"):
        found = from_keywords(two({keyword: TWO}))
        assert found is not None
        assert found.matrix.tolist() == [[1, 0.2], [0.1, 1]]
    # channels by their number in the file
    found = from_keywords(two({"spill": "2,2,3,1,0.2,0.1,1"}))
    assert found is not None
    assert found.channels == ("A", "B")
    assert from_keywords(two({"spillover": " ", "spill": TWO})) is not None
    with pytest.raises(CompensationError, match="different"):
        from_keywords(two({"spillover": TWO, "spill": "2,A,B,1,0.3,0.1,1"}))
    with pytest.raises(CompensationError, match="does not have"):
        from_keywords(two({"spill": "2,A,C,1,0.2,0.1,1"}))
    with pytest.raises(CompensationError, match="announces 2 channels and holds 3"):
        from_keywords(two({"spill": "2,A,B,1,0.2,0.1"}))
    with pytest.raises(CompensationError, match="parsed"):
        from_keywords(two({"spill": "many,A,B"}))
    with pytest.raises(CompensationError, match="announces -3"):
        from_keywords(two({"spill": "-3,A,B"}))


def test_what_the_cytometer_subtracted_is_never_subtracted_again() -> None:
    """$COMP of FCS 3.0 and $DFCmTOn of FCS 2.0 tell what the electronics took away."""
    for keywords in ({"comp": "2,0,-1.5,0,0"}, {"dfc2to1": "1.2"}):
        sample = two(keywords)
        assert from_keywords(sample) is None
        assert subtracted_at_acquisition(sample)
        assert choose(sample, None) == (None, "compensated")
    for keywords in ({"comp": "2,1,0,0,1"}, {"comp": "2,1,0"}, {"dfc2to1": "0.0"}, {"dfc1to1": "100"}, {}):
        assert not subtracted_at_acquisition(two(keywords))
        assert choose(two(keywords), None) == (None, "none")


@given(st.sampled_from(["spillover", "spill", "comp", "dfc1to2"]), st.text("0123456789,.-+enaif AB", max_size=30))
@example("comp", "1e308,1")
@example("spill", f"{10**30},A,B")
@example("spill", "1,A,inf")
def test_any_keyword_is_a_matrix_or_a_named_error(keyword: str, text: str) -> None:
    try:
        chosen = decide(two({keyword: text}))
    except CompensationError as error:
        assert error.where == "made"
    else:
        assert chosen.source in ("keyword", "compensated", "none")


@pytest.mark.outside_data
def test_a_file_of_the_older_kind(outside_data: Path) -> None:
    sample = read_fcs(outside_data / "torture_fcs_readers" / "fcsparser" / "fake_bitmask_error" / "fcs1_cleaned.lmd")
    assert subtracted_at_acquisition(sample)


def test_declarations() -> None:
    sample = two({"spill": TWO})
    assert choose(sample, "none") == (None, "none")
    assert choose(sample, "compensated") == (None, "compensated")
    assert choose(sample, "keyword")[1] == "keyword"
    with pytest.raises(CompensationError, match="declares a spillover matrix"):
        choose(two({}), "keyword")
    given = Spillover(("A", "B"), np.array([[1, 0.5], [0, 1]]), "file lab.csv")
    assert decide(sample, study_matrix=given).source == "file lab.csv"
    assert decide(sample, "keyword", study_matrix=given).source == "keyword"
    with pytest.raises(CompensationError, match="does not have once"):
        decide(sample, study_matrix=Spillover(("A", "C"), np.eye(2), "file lab.csv"))


def test_compensation_by_hand() -> None:
    sample = two({"spill": TWO})
    events = compensate(sample, from_keywords(sample))
    # 10 = a + 0.1 b, 20 = 0.2 a + b  ->  b = 18 / 0.98, a = 10 - 0.1 b
    assert events[0, 2] == pytest.approx(18 / 0.98)
    assert events[0, 1] == pytest.approx(10 - 1.8 / 0.98)
    assert events[0, 0] == 1
    assert compensate(sample, None) is sample.events


def states(spillover: Spillover, reference: Spillover | None = None) -> dict[str, str]:
    return {finding.check: finding.state for finding in check(spillover, reference=reference)}


def test_checks_of_a_matrix() -> None:
    good = Spillover(("A", "B"), np.array([[1, 0.2], [0.1, 1]]), "x")
    assert set(states(good).values()) == {"PASS", "NOT_EVALUABLE"}
    assert states(good)["spillover_difference"] == "NOT_EVALUABLE"
    assert set(states(good, good).values()) == {"PASS"}
    assert states(Spillover(("A", "B"), np.eye(2), "x"))["spillover_identity"] == "WARN"
    assert states(Spillover(("A", "B"), np.array([[1, -0.01], [0, 1]]), "x"))["spillover_negative"] == "WARN"
    assert states(Spillover(("A", "B"), np.array([[1, 1.2], [0, 1]]), "x"))["spillover_above_one"] == "WARN"
    assert states(Spillover(("A", "B"), np.array([[2, 0.2], [0.1, 1]]), "x"))["spillover_diagonal"] == "FAIL"
    assert states(Spillover(("A", "B"), np.array([[1, 0.95], [0.95, 1]]), "x"))["spillover_condition"] == "WARN"


@pytest.mark.parametrize(("change", "state"), [(0.0499, "PASS"), (0.05, "PASS"), (0.0501, "WARN")])
def test_difference_from_the_reference_at_its_limit(change: float, state: str) -> None:
    reference = Spillover(("A", "B"), np.array([[1, 0.25], [0.0, 1]]), "x")
    other = Spillover(("B", "A"), np.array([[1, 0.0], [0.25 + change, 1]]), "x")
    assert states(other, reference)["spillover_difference"] == state


def test_a_transposed_matrix_is_told_from_a_wrong_one() -> None:
    reference = Spillover(("A", "B"), np.array([[1, 0.3], [0.02, 1]]), "x")
    turned = check(Spillover(("A", "B"), reference.matrix.T.copy(), "x"), reference=reference)[-1]
    assert turned.state == "FAIL"
    assert "transposed" in turned.text
    with pytest.raises(CompensationError, match="other channels"):
        check(Spillover(("A", "C"), np.eye(2), "x"), reference=reference)


# --- compensated already ------------------------------------------------------------------------------


def with_matrix(folder: Path) -> Iterator[tuple[Sample, Spillover]]:
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".fcs", ".lmd")):
        try:
            sample = read_fcs(path)
            spillover = from_keywords(sample)
        except (FcsError, CompensationError):
            continue
        if spillover is not None and not spillover.is_identity:
            yield sample, spillover


def rates(folder: Path) -> tuple[int, int, int, int]:
    """Files that can be judged as they are and after compensation, and how many of both are asked about."""
    raw, clean = [], []
    for sample, spillover in with_matrix(folder):
        raw.append(already_compensated(sample, spillover))
        clean.append(already_compensated(replace(sample, events=compensate(sample, spillover)), spillover))
    judged = [[f for f in found if f.state != "NOT_EVALUABLE"] for found in (raw, clean)]
    asked = [sum(f.flag == "COMP_ASK" for f in found) for found in judged]
    return len(judged[0]), asked[0], len(judged[1]), asked[1]


def test_simulated_files_are_told_apart(repository: Path) -> None:
    raw, false_alarms, clean, found = rates(repository / "data" / "demo" / "fcs")
    assert raw >= 20
    assert false_alarms == 0
    assert clean >= 20
    assert found == clean


@pytest.mark.outside_data
def test_real_files_are_told_apart(outside_data: Path) -> None:
    """21 files that carry a matrix and can be judged; asked about are one that is compensated, and two controls.

    ``111_Comp_Trans.fcs`` was compensated and transformed and keeps its matrix; the unstained control has no dye, and
    of the FITC control few pairs tell (2 of 6 without their light; by all of its events 2 of 7, just below the limit).
    """
    folders = (
        "comp_controls_conventional", "immport_sdy736_sdy420_metacyto", "wsp_flowjo_mouse_flowsom", "qc_peacoqc_111",
        "torture_fcs_readers/fcsparser/FACS_Diva", "torture_fcs_readers/fcsparser/HTS_BD_LSR-II",
    )  # fmt: skip
    found = [rates(outside_data / folder) for folder in folders]
    raw, asked, clean, recognised = (sum(column) for column in zip(*found, strict=True))
    assert (raw, asked) == (21, 3)
    assert (clean, recognised) == (20, 20)


@pytest.mark.outside_data
def test_a_real_file_that_was_compensated_and_carries_its_matrix(outside_data: Path) -> None:
    folder = outside_data / "qc_peacoqc_111"
    raw, done = read_fcs(folder / "111.fcs"), read_fcs(folder / "111_Comp_Trans.fcs")
    spillover = from_keywords(raw)
    carried = from_keywords(done)
    assert spillover is not None
    assert carried is not None
    assert already_compensated(raw, spillover).state == "PASS"
    finding = already_compensated(done, carried)
    assert finding.flag == "COMP_ASK"
    assert finding.confidence >= 0.5
    assert already_compensated(replace(raw, events=compensate(raw, spillover)), spillover).flag == "COMP_ASK"


def test_it_asks_and_guesses_nothing(repository: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = next((repository / "data" / "demo" / "fcs" / "IL2CMV-01-001").glob("*_BL_effector.fcs"))
    raw = read_fcs(path)
    spillover = from_keywords(raw)
    done = replace(raw, events=compensate(raw, spillover))
    with caplog.at_level(logging.WARNING, logger="immunoprofile"):
        assert choose(raw, None)[1] == "keyword"
        assert caplog.records == []
        found = decide(done)
    assert found.finding is not None
    assert found.finding.state == "WARN"
    assert found.finding.value >= ASK
    assert "comp_source in samples.csv" in caplog.text
    assert "gate --comp" in caplog.text
    assert decide(done, "keyword").finding is None
    assert decide(done, "compensated").spillover is None
    with pytest.raises(CompensationError, match="clearly look compensated"):
        decide(done, doubt="refuse")
    decide(raw, doubt="refuse")


def test_too_little_to_tell_is_no_pass() -> None:
    sample = two({"spill": TWO})
    spillover = from_keywords(sample)
    assert spillover is not None
    finding = already_compensated(sample, spillover)
    assert finding.state == "NOT_EVALUABLE"
    assert math.isnan(finding.value)
    identity = Spillover(("A", "B"), np.eye(2), "x")
    assert already_compensated(sample, identity).state == "NOT_EVALUABLE"


@pytest.mark.parametrize("n", [1, 2, 2047, 4095, 4097, 9000])
def test_events_are_compensated_in_parts_as_all_at_once(n):
    rng = np.random.default_rng(n)
    names = tuple(f"FL{k}-A" for k in range(7))
    matrix = np.eye(5) + 0.1 * rng.random((5, 5)) * (1 - np.eye(5))
    sample = sample_of(names, np.asfortranarray(rng.normal(1e3, 2e3, (n, 7))))
    found = compensate(sample, Spillover(names[1:6], matrix, "made"))
    expected = sample.events.copy()
    expected[:, 1:6] = np.linalg.solve(matrix.T, sample.events[:, 1:6].T).T
    np.testing.assert_array_equal(found, expected)
