"""The judge of quality checks: every limit at its boundary, limits that a study sets, one wording, one rounding."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from immunoprofile import compensation, pp
from immunoprofile.compensation import Spillover
from immunoprofile.errors import AnalysisError
from immunoprofile.profiling.findings import channel_swaps
from immunoprofile.profiling.outcome import Outcome
from immunoprofile.profiling.records import FOLDER, write_record
from immunoprofile.profiling.replicates import Replicates, replicate_rows
from immunoprofile.profiling.tube_values import TubeValue
from immunoprofile.quality import assess, panel_quantiles
from immunoprofile.resources.checks import Finding, QualityRow, quality_checks, quality_table
from immunoprofile.schema import FLAGS, QUALITY_COLUMNS
from tests.pp.test_verdict import whole_blood
from tests.pp.visits_object import samples_table
from tests.quality.test_assess import tube

CHECKS = sorted(quality_checks())


@pytest.mark.parametrize(
    ("check", "boundaries"),
    [
        ("lymphosum", [(95, "PASS"), (105, "PASS"), (94.999, "WARN"), (90, "WARN"), (89.999, "WARN"), (111, "WARN")]),
        ("t_sum", [(5, "PASS"), (5.001, "WARN"), (10.001, "WARN")]),
        ("t_between_tubes", [(3, "PASS"), (3.001, "WARN"), (5, "WARN"), (5.001, "FAIL")]),
        ("viability_fresh", [(90, "PASS"), (89.999, "WARN"), (80, "WARN"), (79.999, "FAIL")]),
        ("viability_frozen", [(80, "PASS"), (70, "WARN"), (69.999, "FAIL")]),
        ("singlets", [(85, "PASS"), (84.999, "WARN"), (75, "WARN"), (74.999, "FAIL")]),
        ("gated_lymphocytes", [(10_000, "PASS"), (9_999, "WARN"), (2_500, "WARN"), (2_499, "WARN"), (0, "WARN")]),
        ("beads", [(1_000, "PASS"), (999, "WARN"), (499, "WARN")]),
        ("collection_to_stain", [(24, "PASS"), (24.01, "WARN"), (48, "WARN"), (48.01, "FAIL"), (-1, "FAIL")]),
        ("time_loss", [(10, "PASS"), (25, "WARN"), (25.001, "FAIL")]),
        ("lymphocytes_vs_cbc", [(0, "PASS"), (10, "PASS"), (10.001, "WARN"), (20.001, "WARN"), (100, "WARN")]),
        ("bead_expiry", [(0, "PASS"), (-0.001, "WARN"), (-400, "WARN"), (400, "PASS")]),
        ("cd4_between_tubes", [(3, "PASS"), (3.001, "WARN"), (5.001, "WARN")]),
        ("cd8_between_tubes", [(3, "PASS"), (3.001, "WARN"), (5.001, "WARN")]),
        ("flow_rate", [(10, "PASS"), (10.001, "WARN"), (25, "WARN"), (25.001, "FAIL")]),
        ("bead_vs_wbc", [(80, "PASS"), (120, "PASS"), (79.9, "WARN"), (120.1, "WARN")]),
        ("tube_present", [(1, "PASS"), (0, "WARN")]),
        ("compensation", [(1, "PASS"), (0, "WARN")]),
        ("channel_order", [(0, "PASS"), (1, "WARN")]),
        ("spillover_diagonal", [(0, "PASS"), (1e-6, "PASS"), (1.1e-6, "FAIL")]),
        ("spillover_identity", [(0, "PASS"), (1, "WARN")]),
        ("spillover_negative", [(0, "PASS"), (1, "WARN")]),
        ("spillover_above_one", [(0, "PASS"), (1, "WARN")]),
        ("spillover_condition", [(10, "PASS"), (10.001, "WARN"), (1e9, "WARN")]),
        ("spillover_difference", [(0.05, "PASS"), (0.0501, "WARN"), (1, "WARN")]),
        ("events", [(100, "PASS"), (99, "WARN"), (0, "WARN")]),
        ("parent_events", [(100, "PASS"), (99, "WARN"), (0, "WARN")]),
        ("collection_to_stain_heparin", [(1, "NOT_EVALUABLE")]),
        ("collection_to_stain_pbmc_fresh", [(1, "NOT_EVALUABLE")]),
        ("collection_to_stain_pbmc_frozen", [(1, "NOT_EVALUABLE")]),
        ("bead_vs_cbc", [(80, "PASS"), (120, "PASS"), (79.9, "WARN"), (120.1, "WARN")]),
        ("abs_sum", [(90, "PASS"), (110, "PASS"), (89.9, "WARN"), (110.1, "WARN")]),
        (
            "lymphocytes_plausible",
            [
                (200, "PASS"),
                (199, "WARN"),
                (4_000, "PASS"),
                (4_001, "WARN"),
                (20_000, "WARN"),
                (20_001, "FAIL"),
                (0, "WARN"),
                (-1, "FAIL"),
            ],
        ),
        ("hours_since_il2", [(18, "PASS"), (17.99, "WARN")]),
        ("treg_foxp3", [(70, "PASS"), (69.99, "WARN")]),
        ("signal_stability", [(20, "PASS"), (20.001, "WARN"), (70, "WARN"), (70.001, "FAIL")]),
        ("signal_bins", [(150, "PASS"), (149, "WARN"), (0, "WARN")]),
        ("signal_drift", [(0, "PASS"), (12, "PASS")]),
        ("time_gaps", [(0, "PASS"), (1, "WARN")]),
        ("time_order", [(1, "PASS"), (1.001, "WARN")]),
        ("margins", [(20, "PASS"), (20.001, "WARN"), (100, "WARN")]),
        ("doublets", [(15, "PASS"), (15.001, "WARN"), (100, "WARN")]),
        ("replicates_cd3", [(10, "PASS"), (10.001, "WARN"), (100, "WARN")]),
        ("dead_cells", [(10, "PASS"), (10.001, "WARN"), (100, "WARN")]),
    ],
)
def test_boundaries(check: str, boundaries: list[tuple[float, str]]) -> None:
    judge, flag = quality_checks()[check].judge, quality_checks()[check].flag
    for value, state in boundaries:
        found = judge(value, unknown_flag="UNKNOWN")
        expected = {"PASS": "", "NOT_EVALUABLE": "UNKNOWN"}.get(state, flag)
        assert (found.state, found.flag) == (state, expected), f"{check} {value}"
    assert judge(math.nan).state == "NOT_EVALUABLE"


def test_every_check_of_the_table_has_its_boundaries_tested() -> None:
    (marker,) = test_boundaries.pytestmark  # type: ignore[attr-defined]
    assert {row[0] for row in marker.args[1]} == set(CHECKS)


def test_every_flag_and_source_is_declared() -> None:
    for check in quality_checks().values():
        assert not check.flag or check.flag in FLAGS
        assert check.source
        assert check.tag in ("V", "K", "A")


# --- what runs ----------------------------------------------------------------------------------

Found = dict[str, list[tuple[float, str, str]]]


def of_events(limits: Any, _: Path) -> pd.DataFrame:
    return assess(tube(), limits=limits).table()


def of_visits(limits: Any, _: Path) -> pd.DataFrame:
    """Every check of a visit, with a blood count, beads, and each kind of specimen."""
    adata, tubes = whole_blood(53.0, cbc_differential="analyser")
    # the counting error of the tubes must be small, or a difference is accepted whatever the limits are
    tubes = tubes.assign(n=tubes["n"] * 1e4, n_parent=tubes["n_parent"] * 1e4)
    adata.var_names = [*adata.var_names[:-1], "leukocytes"]
    adata.layers["abs_bead"][:, -1] = 2_000.0
    samples = samples_table(tubes).assign(acquired_dtc="2024-03-01T15:00", bead_lot="LOT1", bead_expiry="2024-12-31")
    kinds = ("WB_EDTA", "WB_HEP", "PBMC_FRESH", "PBMC_FROZEN")
    tables = [pp.verdict(adata, tubes, samples.assign(specimen_type=kind), limits=limits) for kind in kinds]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(check=table["check"].str.split().str[0])


def of_files(limits: Any, _: Path) -> pd.DataFrame:
    _, tubes = whole_blood()
    files = tubes[["usubjid", "visit", "tube", "sample_id"]].drop_duplicates()
    files = files.assign(flow_pct_time=7.5, comp_source="keyword")
    return pp.file_findings(files, ("count", "treg"), samples_table(tubes), limits=limits)


def of_matrices(limits: Any, _: Path) -> pd.DataFrame:
    matrix = Spillover(("A", "B"), np.array([[1, 0.2], [0.1, 1]]), "file")
    reference = Spillover(("A", "B"), np.array([[1, 0.22], [0.1, 1]]), "reference")
    found = compensation.check(matrix, reference=reference, limits=limits)
    return quality_table(finding.row("S1", "D14") for finding in found)


def of_panels(limits: Any, out: Path) -> pd.DataFrame:
    outcomes = {visit: Outcome(f"S1-{visit}", f"{visit}.fcs", "count") for visit in ("BL", "D14")}
    for seed, outcome in enumerate(outcomes.values()):
        write_record(out, "key", outcome, panel_quantiles(tube(seed=seed)), ())
    obs = pd.DataFrame({"usubjid": "S1", "visit": ["BL", "D14"], "baseline_flag": [True, False]})
    study = SimpleNamespace(config=SimpleNamespace(tubes=("count",), check_limits=limits))
    chosen = {("S1", visit, "count"): outcome for visit, outcome in outcomes.items()}
    return channel_swaps(study, SimpleNamespace(obs=obs), chosen, out)  # type: ignore[arg-type]


def of_replicates(limits: Any, _: Path) -> pd.DataFrame:
    """Two tubes of one draw, 400 and 500 cells/uL."""
    study = SimpleNamespace(config=SimpleNamespace(count_tube="count", check_limits=limits))
    tubes = tuple({("t", "abs"): TubeValue(cells, 4_000, 10_000, 0.0)} for cells in (400.0, 500.0))
    return quality_table(replicate_rows(study, Replicates({}, {("S1", "D14"): tubes})))  # type: ignore[arg-type]


RUNS = (of_events, of_visits, of_files, of_matrices, of_panels, of_replicates)


def found_by(run: Any, limits: Any, out: Path) -> Found:
    """Check -> (value, state, limits in words) of each row that has a value."""
    (out / FOLDER).mkdir(parents=True, exist_ok=True)
    table = run(limits, out)
    found: Found = {}
    for check, value, state, words in table[["check", "value", "state", "limits"]].itertuples(index=False):
        if not math.isnan(value):
            found.setdefault(check, []).append((value, state, words))
    return found


def test_every_check_of_the_table_is_made_by_a_run(tmp_path: Path) -> None:
    assert {check for run in RUNS for check in found_by(run, None, tmp_path)} - {"attempts"} == set(CHECKS)


@pytest.mark.parametrize("run", RUNS)
def test_a_run_believes_the_limits_of_a_study(run: Any, tmp_path: Path) -> None:
    """Pass and warning limits around, beside and far from what was measured: each check judges by them, and says so."""
    measured = {name: rows[0][0] for name, rows in found_by(run, None, tmp_path).items() if name != "attempts"}
    for low, high, warn_low, warn_high in ((-0.5, 0.5, -1, 1), (0.5, 1, -0.5, 2), (2, 3, 1, 4), (-3, -2, -4, -1)):
        limits = {
            name: {"pass": [value + low, value + high], "warn": [value + warn_low, value + warn_high]}
            for name, value in measured.items()
        }
        judged = found_by(run, limits, tmp_path)
        for name, value in measured.items():
            expected = "PASS" if low <= 0 <= high else "WARN" if warn_low <= 0 <= warn_high else None
            (_, state, words), *_ = judged[name]
            assert state == (expected or quality_checks()[name].worst), (name, limits[name])
            told = [f"{value + low:g} to {value + high:g}", f"{value + warn_low:g} to {value + warn_high:g}"]
            assert words == f"pass {told[0]}, warn {told[1]}", name


@pytest.mark.parametrize("run", RUNS)
def test_a_run_believes_warning_limits_alone(run: Any, tmp_path: Path) -> None:
    """A study that fails (or warns) a sample earlier than the package sets only the warning limits."""
    checks = quality_checks()
    limits, measured = {}, {name: rows[0][0] for name, rows in found_by(run, None, tmp_path).items()}
    for name in measured.keys() & checks.keys():
        value, passes = measured[name], checks[name].passes
        # the value lies just outside; where the package has no pass limits, or nothing could pass, both must be given
        for warns in ([None, value - 0.25], [value + 0.25, None]):
            if passes is not None and passes[0] <= (warns[1] or np.inf) and passes[1] >= (warns[0] or -np.inf):
                limits[name] = {"warn": warns}
    assert limits
    judged = found_by(run, limits, tmp_path)
    assert {name: judged[name][0][1] for name in limits} == {name: checks[name].worst for name in limits}


# --- wording, rounding, limits that are none ----------------------------------------------------


@pytest.mark.parametrize("check", CHECKS)
def test_rounding_error_of_floats_fails_nobody(check: str) -> None:
    ours = quality_checks({check: {"pass": [1, 10], "warn": [0, 20]}})[check]
    for value, state in ((10.000000000000002, "PASS"), (0.9999999999999999, "PASS"), (20.000000000000004, "WARN")):
        assert ours.judge(value).state == state
    assert ours.judge(10.000001).state == "WARN"


@pytest.mark.parametrize(
    ("given_limits", "words"),
    [
        ({"pass": [None, 80]}, "pass at most 80"),  # the warning limit of the package is 70
        ({"pass": [None, 5]}, "pass at most 5, warn at most 70"),
        ({"warn": [None, 60]}, "pass at most 20, warn at most 60"),
        ({"warn": [None, 5]}, "pass at most 5"),
        ({"pass": [1, 30], "warn": [None, 30]}, "pass 1 to 30, warn at most 30"),
        ({"pass": [None, None]}, "pass any"),
        ({"pass": [2, None]}, "pass at least 2, warn any"),
        ({}, "pass at most 20, warn at most 70"),
    ],
)
def test_words_of_limits(given_limits: dict[str, Any], words: str) -> None:
    assert quality_checks({"margins": given_limits})["margins"].limits == words


@pytest.mark.parametrize(
    ("name", "given_limits", "words"),
    [
        ("lymphsum", {"pass": [90, 110]}, "no check"),
        ("lymphosum", {"passes": [90, 110]}, "not a limit"),
        ("lymphosum", {"pass": [110, 90]}, "no range"),
        ("lymphosum", {"pass": [math.nan, 90]}, "no range"),
        ("lymphosum", {"pass": [90, 110], "warn": [95, 120]}, "tighter than pass"),
        ("lymphosum", {"warn": [10, 20]}, "leaves nothing of pass"),
        ("collection_to_stain_heparin", {"warn": [0, 6]}, "only warning limits"),
    ],
)
def test_limits_that_are_none_are_refused(name: str, given_limits: dict[str, Any], words: str) -> None:
    with pytest.raises(AnalysisError, match=words):
        quality_checks({name: given_limits})


def test_without_limits_nothing_is_judged() -> None:
    check = quality_checks()["collection_to_stain_heparin"]
    finding = check.judge(1.0, unknown_flag="CODE")
    assert (finding.state, finding.flag, finding.limits) == ("NOT_EVALUABLE", "CODE", "limits of the site")
    ours = quality_checks({"collection_to_stain_heparin": {"pass": [0, 6]}})["collection_to_stain_heparin"]
    assert [ours.judge(hours).state for hours in (6, 6.01, math.nan)] == ["PASS", "FAIL", "NOT_EVALUABLE"]


limit = st.one_of(st.none(), st.integers(-50, 150))


@given(st.sampled_from(CHECKS), st.tuples(limit, limit), st.tuples(limit, limit), st.integers(-60, 160))
def test_what_passes_never_lies_outside_what_warns(name: str, passes: Any, warns: Any, value: int) -> None:
    for limits in ({"pass": passes}, {"warn": warns}, {"pass": passes, "warn": warns}):
        try:
            check = quality_checks({name: limits})[name]
        except AnalysisError:
            continue
        assert check.passes is not None and check.warns is not None
        assert check.warns[0] <= check.passes[0] <= check.passes[1] <= check.warns[1]
        state = check.judge(float(value)).state
        for key, pair in limits.items():
            inside = (pair[0] is None or value >= pair[0]) and (pair[1] is None or value <= pair[1])
            # what a study gave holds to the letter
            assert key != "pass" or (state == "PASS") == inside
            assert key != "warn" or inside or state == check.worst


def test_a_finding_is_one_row_of_the_table() -> None:
    assert QualityRow._fields == QUALITY_COLUMNS
    row = Finding("events", "WARN", 3.0, "events", "pass at least 100", "look", "LOW_EVENTS").row("S1", "D14", of="nk")
    assert quality_table([row]).to_dict("records") == [
        {"usubjid": "S1", "visit": "D14", "tube": "", "sample_id": "", "check": "events nk", "value": 3.0,
         "unit": "events", "limits": "pass at least 100", "state": "WARN", "flag": "LOW_EVENTS"}
    ]  # fmt: skip
    assert tuple(quality_table([]).columns) == QUALITY_COLUMNS
