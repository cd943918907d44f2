"""The verdict on visits: every limit at its boundary, and unknown is never a pass."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from immunoprofile import pp
from immunoprofile.errors import AnalysisError
from immunoprofile.schema import FLAGS, QUALITY_COLUMNS
from tests.pp.visits_object import samples_table, tube_counts, visits_object


def judged(adata=None, change=None, **options):  # type: ignore[no-untyped-def]
    adata = visits_object() if adata is None else adata
    pp.absolute(adata)
    tubes = tube_counts(adata)
    if change is not None:
        change(tubes)
    return adata, pp.verdict(adata, tubes, samples_table(tubes), **options)


def states(quality: pd.DataFrame, check: str, visit: str = "D14", subject: str = "S1") -> list[str]:
    found = (quality["check"] == check) & (quality["visit"] == visit) & (quality["usubjid"] == subject)
    return quality.loc[found, "state"].tolist()


def test_a_good_visit_passes() -> None:
    adata, quality = judged()
    assert tuple(quality.columns) == QUALITY_COLUMNS
    assert set(quality["state"]) == {"PASS"}
    pp.summarise(adata, quality)
    assert set(adata.obs["qc_status"]) == {"PASS"}
    assert list(adata.obs["flags"]) == ["SYNTHETIC_DATA"] * 4
    assert adata.uns["quality"].equals(quality)


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
        ("bead_vs_cbc", [(80, "PASS"), (120, "PASS"), (79.9, "WARN"), (120.1, "WARN")]),
        ("abs_sum", [(90, "PASS"), (110, "PASS"), (89.9, "WARN")]),
        ("lymphocytes_plausible", [(200, "PASS"), (199, "WARN"), (4_001, "WARN"), (20_001, "FAIL")]),
        ("hours_since_il2", [(18, "PASS"), (17.99, "WARN")]),
        ("treg_foxp3", [(70, "PASS"), (69.99, "WARN")]),
    ],
)
def test_boundaries(check: str, boundaries: list[tuple[float, str]]) -> None:
    limits = pp.quality_checks()[check]
    for value, state in boundaries:
        assert limits.state(value) == state, f"{check} {value}"
    assert limits.state(math.nan) == "NOT_EVALUABLE"


def test_every_flag_and_source_is_declared() -> None:
    for check in pp.quality_checks().values():
        assert not check.flag or check.flag in FLAGS
        assert check.source
        assert check.tag in ("V", "K", "A")


def test_few_lymphocytes_are_a_flag_not_a_failure() -> None:
    def few(tubes: pd.DataFrame) -> None:
        tubes.loc[tubes["population"] == "lymphocytes", "n"] = 600

    adata, quality = judged(change=few)
    assert states(quality, "gated_lymphocytes") == ["WARN"]
    pp.summarise(adata, quality)
    assert set(adata.obs["qc_status"]) == {"WARN"}
    assert adata.obs["flags"].str.contains("LYMPHOCYTES_LOW").all()


def test_without_b_cells_the_lymphosum_is_not_evaluable() -> None:
    def no_b(tubes: pd.DataFrame) -> None:
        tubes.drop(tubes.index[tubes["population"] == "b"], inplace=True)

    adata, quality = judged(change=no_b)
    assert states(quality, "lymphosum") == ["NOT_EVALUABLE"]
    pp.summarise(adata, quality)
    assert set(adata.obs["qc_status"]) == {"PASS"}


def test_a_small_tube_may_disagree_within_its_counting_error() -> None:
    def small(tubes: pd.DataFrame) -> None:
        mine = (tubes["tube"] == "treg") & (tubes["population"] == "t")
        tubes.loc[mine, ["n", "n_parent"]] = [62, 100]  # 62 % against 70 %, standard error 4.9 points

    def large(tubes: pd.DataFrame) -> None:
        mine = (tubes["tube"] == "treg") & (tubes["population"] == "t")
        tubes.loc[mine, ["n", "n_parent"]] = [6200, 10_000]

    assert states(judged(change=small)[1], "t_between_tubes") == ["PASS"]
    adata, quality = judged(change=large)
    assert states(quality, "t_between_tubes") == ["FAIL"]
    pp.summarise(adata, quality)
    assert set(adata.obs["qc_status"]) == {"FAIL"}


def test_different_parents_are_not_compared() -> None:
    def other_parent(tubes: pd.DataFrame) -> None:
        mine = (tubes["tube"] == "treg") & (tubes["population"] == "t")
        tubes.loc[mine, "parent"] = "leukocytes"

    assert states(judged(change=other_parent)[1], "t_between_tubes") == ["NOT_EVALUABLE"]


def test_recent_il2_only_for_treated_subjects_after_the_first_dose() -> None:
    adata = visits_object()
    adata.obs.loc["S1_D14", "hours_since_last_il2"] = 6.0
    adata, quality = judged(adata)
    assert states(quality, "hours_since_il2") == ["WARN"]
    assert states(quality, "hours_since_il2", visit="BL") == []
    assert states(quality, "hours_since_il2", subject="S2") == []
    pp.summarise(adata, quality)
    assert adata.obs["flags"].str.contains("RECENT_IL2").tolist() == [False, True, False, False]


def test_an_unknown_time_since_il2_is_flagged_and_no_pass() -> None:
    adata = visits_object()
    adata.obs["hours_since_last_il2"] = np.nan
    adata, quality = judged(adata, il2_subjects=["S1"])
    assert states(quality, "hours_since_il2") == ["NOT_EVALUABLE"]
    pp.summarise(adata, quality)
    assert "RECENT_IL2" in adata.obs.loc["S1_D14", "flags"]


def test_discordant_blood_count() -> None:
    adata = visits_object()
    adata.obs["alc"] = [1000.0, 700.0, np.nan, 1000.0]
    _, quality = judged(adata)
    mine = quality[quality["check"] == "bead_vs_cbc"]
    assert mine["state"].tolist() == ["PASS", "WARN", "NOT_EVALUABLE", "PASS"]
    assert mine["flag"].tolist() == ["", "ABS_DISCORDANT", "NO_CBC", ""]


def test_nothing_known_never_passes() -> None:
    """Delete every input in turn: a check that used it must not pass on what is left."""
    adata, full = judged()
    for column in ("n_beads", "alc", "hours_since_last_il2"):
        reduced = visits_object()
        reduced.obs[column] = np.nan
        _, quality = judged(reduced, il2_subjects=["S1"])
        name = {"n_beads": "bead_vs_cbc", "alc": "bead_vs_cbc", "hours_since_last_il2": "hours_since_il2"}[column]
        assert set(quality.loc[quality["check"] == name, "state"]) == {"NOT_EVALUABLE"}
    nothing = pp.verdict(adata, tube_counts(adata).iloc[:0])
    from_tubes = nothing["check"].isin(["lymphosum", "t_sum", "viability_fresh", "singlets", "gated_lymphocytes"])
    assert set(nothing.loc[from_tubes, "state"]) == {"NOT_EVALUABLE"}
    no_times = pp.verdict(adata, tube_counts(adata))
    assert set(no_times.loc[no_times["check"] == "collection_to_stain", "state"]) == {"NOT_EVALUABLE"}
    assert set(full["state"]) == {"PASS"}


def test_summary_of_nothing_is_not_evaluable() -> None:
    adata, quality = judged()
    pp.summarise(adata, quality.iloc[:0])
    assert set(adata.obs["qc_status"]) == {"NOT_EVALUABLE"}
    unknown = quality.assign(state="NOT_EVALUABLE", flag="")
    pp.summarise(adata, unknown)
    assert set(adata.obs["qc_status"]) == {"NOT_EVALUABLE"}


def test_limits_of_a_site() -> None:
    _, quality = judged(limits={"gated_lymphocytes": {"pass": [20_000, None]}})
    assert states(quality, "gated_lymphocytes") == ["WARN"]
    with pytest.raises(AnalysisError, match="no check"):
        pp.quality_checks({"lymphsum": {"pass": [90, 110]}})
    with pytest.raises(AnalysisError, match="not a limit"):
        pp.quality_checks({"lymphosum": {"passes": [90, 110]}})


def test_rows_of_tubes_in_any_order() -> None:
    adata, quality = judged()
    tubes = tube_counts(adata)
    shuffled = tubes.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(pp.verdict(adata, shuffled, samples_table(tubes)), quality)


def test_findings_of_files() -> None:
    adata = visits_object()
    tubes = tube_counts(adata)
    samples = samples_table(tubes)
    samples = pd.concat([samples, samples.iloc[:1].assign(sample_id="again")], ignore_index=True)
    files = tubes[["usubjid", "visit", "tube", "sample_id"]].drop_duplicates().iloc[:-1]
    files = files.assign(flow_pct_time=[0.0, 12.0, 30.0, np.nan, 0.0, 0.0, 0.0], comp_source=["keyword"] * 6 + ["none"])
    found = pp.file_findings(files, ("count", "treg"), samples)
    assert tuple(found.columns) == QUALITY_COLUMNS
    assert found.loc[found["check"] == "flow_rate", "state"].value_counts().to_dict() == {
        "PASS": 4, "WARN": 1, "FAIL": 1, "NOT_EVALUABLE": 1,
    }  # fmt: skip
    flags = found["flag"].value_counts()
    assert {name: int(flags[name]) for name in ("TUBE_MISSING", "RERUN", "COMP_NONE", "TIME_NOT_ASSESSABLE")} == {
        "TUBE_MISSING": 1, "RERUN": 1, "COMP_NONE": 1, "TIME_NOT_ASSESSABLE": 1,
    }  # fmt: skip
