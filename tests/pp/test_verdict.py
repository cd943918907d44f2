"""The verdict on visits; unknown is never a pass."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from immunoprofile import pp
from immunoprofile.pp.verdict import failed_rows, tube_states
from immunoprofile.schema import QUALITY_COLUMNS
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

    assert states(judged(change=small)[1], "t_between_tubes") == ["PASS", "PASS"]
    adata, quality = judged(change=large)
    assert states(quality, "t_between_tubes") == ["FAIL", "FAIL"]
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


def whole_blood(flow_lymphocytes: float = 50.0, **obs: object):  # type: ignore[no-untyped-def]
    """A visit object and its tubes, with a gate on all white cells in the count tube."""
    adata = visits_object()
    for name, value in obs.items():
        adata.obs[name] = value
    pp.absolute(adata)
    tubes = tube_counts(adata)
    own = tubes["population"] == "lymphocytes"
    white = tubes[own].assign(population="leukocytes", parent="cells", n=tubes.loc[own, "n"] * 100 / flow_lymphocytes)
    return adata, pd.concat([tubes, white.assign(n_parent=40_000.0)], ignore_index=True)


@pytest.mark.parametrize(
    ("flow", "obs", "state"),
    [
        (50.0, {}, "PASS"),  # 1,000 of 2,000 white cells per uL
        (59.9, {}, "PASS"),
        (60.1, {}, "WARN"),
        (39.0, {}, "WARN"),
        (30.0, {"alc": 620.0}, "PASS"),
        (50.0, {"alc": 620.0}, "WARN"),
        (62.0, {"cbc_differential": "manual"}, "PASS"),  # 100 cells counted by eye: standard error 5 points
        (66.0, {"cbc_differential": "manual"}, "WARN"),
        (50.0, {"alc": np.nan}, "NOT_EVALUABLE"),
        (50.0, {"wbc": np.nan}, "NOT_EVALUABLE"),
    ],
)
def test_lymphocytes_by_flow_against_the_blood_count(flow: float, obs: dict[str, object], state: str) -> None:
    adata, tubes = whole_blood(flow, **obs)
    quality = pp.verdict(adata, tubes, samples_table(tubes))
    assert states(quality, "lymphocytes_vs_cbc") == [state]
    flags = set(quality.loc[quality["check"] == "lymphocytes_vs_cbc", "flag"])
    assert flags == {{"PASS": "", "WARN": "SAMPLE_SWAP", "NOT_EVALUABLE": "NO_CBC"}[state]}


def test_the_swap_check_needs_whole_blood() -> None:
    adata, tubes = whole_blood()
    samples = samples_table(tubes)
    assert states(pp.verdict(adata, tubes, samples.assign(specimen_type="PBMC_FRESH")), "lymphocytes_vs_cbc") == []
    unknown = pp.verdict(adata, tubes, samples.assign(specimen_type=None))
    assert states(unknown, "lymphocytes_vs_cbc") == ["NOT_EVALUABLE"]


@pytest.mark.parametrize(
    ("specimen", "check"),
    [
        ("WB_EDTA", "collection_to_stain"),
        ("WB_HEP", "collection_to_stain_heparin"),
        ("PBMC_FRESH", "collection_to_stain_pbmc_fresh"),
        ("PBMC_FROZEN", "collection_to_stain_pbmc_frozen"),
    ],
)
def test_time_to_staining_has_limits_for_each_specimen(specimen: str, check: str) -> None:
    adata, tubes = whole_blood()
    samples = samples_table(tubes).assign(specimen_type=specimen)
    expected = "PASS" if specimen == "WB_EDTA" else "NOT_EVALUABLE"
    assert states(pp.verdict(adata, tubes, samples), check) == [expected] * 2
    ours = {check: {"pass": [0, 3], "warn": [0, 4]}}
    assert states(pp.verdict(adata, tubes, samples, limits=ours), check) == ["WARN"] * 2
    stained_late = samples.assign(stained_dtc="2024-03-03T12:00")
    assert states(pp.verdict(adata, tubes, stained_late, limits=ours), check) == ["FAIL"] * 2


@pytest.mark.parametrize(
    ("run", "expiry", "state"),
    [
        ("2024-03-01T15:00", "2024-03-01", "PASS"),  # the day itself
        ("2024-03-01T15:00", "2024-02-29", "WARN"),
        ("2024-02-29", "2024-02", "PASS"),  # a lot that names the month lasts to its end
        ("2024-03-01", "2024-02", "WARN"),
        ("2024-03-01", None, "NOT_EVALUABLE"),
        (None, "2024-12-31", "NOT_EVALUABLE"),
        ("2024-03", "2024-12-31", "NOT_EVALUABLE"),
    ],
)
def test_expiry_of_the_beads(run: str | None, expiry: str | None, state: str) -> None:
    adata, tubes = whole_blood()
    samples = samples_table(tubes).assign(acquired_dtc=run, bead_expiry=expiry, bead_lot="LOT1")
    assert set(states(pp.verdict(adata, tubes, samples), "bead_expiry")) == {state}
    assert states(pp.verdict(adata, tubes, samples.drop(columns="bead_lot")), "bead_expiry") == []


def everything() -> tuple[object, pd.DataFrame, pd.DataFrame]:
    adata, tubes = whole_blood(50.0, cbc_differential="analyser")
    samples = samples_table(tubes).assign(acquired_dtc="2024-03-01T15:00", bead_lot="LOT1", bead_expiry="2024-12-31")
    return adata, tubes, samples


def spoilt() -> tuple[object, pd.DataFrame, pd.DataFrame]:
    """The same with everything wrong that can be: no check passes that could warn."""
    adata, tubes, samples = everything()
    adata.obs["hours_since_last_il2"] = 2.0  # type: ignore[attr-defined]
    adata.obs["n_beads"] = 10.0  # type: ignore[attr-defined]
    adata.obs["alc"] = 100.0  # type: ignore[attr-defined]
    for layer in ("abs", "abs_bead", "counts", "parent_counts"):
        adata.layers[layer] = adata.layers[layer] * 0.02  # type: ignore[attr-defined]
    tubes["n"] = tubes["n"] * np.where(tubes["population"].isin(["lymphocytes", "leukocytes"]), 0.02, 1.0)
    tubes.loc[tubes["population"].isin(["live", "singlets", "time_ok", "treg_foxp3"]), "n"] *= 0.1
    tubes.loc[(tubes["population"].isin(["t", "cd4", "cd8"])) & (tubes["tube"] == "treg"), "n"] *= 0.3
    samples = samples.assign(stained_dtc="2024-03-09T12:00", bead_expiry="2023-12-31")
    return adata, tubes, samples


def passed(quality: pd.DataFrame) -> set[tuple[str, ...]]:
    rows = quality[quality["state"] == "PASS"]
    return set(rows[["usubjid", "visit", "tube", "check"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("start", [everything, spoilt], ids=["good", "spoilt"])
def test_deleting_any_input_never_yields_a_pass(start) -> None:  # type: ignore[no-untyped-def]
    """One input after another is taken away; a check may pass only if it passed before."""
    adata, tubes, samples = start()
    options = {"il2_subjects": ["S1"]}
    before = pp.verdict(adata, tubes, samples, **options)
    if start is spoilt:
        assert {"FAIL", "WARN"} <= set(before["state"])
    deletions = 0
    for column in ("n_beads", "alc", "wbc", "cbc_differential", "hours_since_last_il2", "baseline_flag"):
        for gone in (adata.copy(), adata.copy()):
            # as a missing value, and as a column that is not there
            if deletions % 2 and column not in ("baseline_flag",):
                gone.obs[column] = np.nan
            else:
                del gone.obs[column]
            deletions += 1
            assert passed(pp.verdict(gone, tubes, samples, **options)) <= passed(before), column
    for layer in ("abs", "abs_bead", "counts", "parent_counts"):
        gone = adata.copy()
        gone.layers[layer] = np.full(gone.shape, np.nan)
        assert passed(pp.verdict(gone, tubes, samples, **options)) <= passed(before), layer
    for population in tubes["population"].unique():
        reduced = tubes[tubes["population"] != population]
        assert passed(pp.verdict(adata, reduced, samples, **options)) <= passed(before), population
    for tube in tubes["tube"].unique():
        assert passed(pp.verdict(adata, tubes[tubes["tube"] != tube], samples, **options)) <= passed(before), tube
    for column in samples.columns.drop(["sample_id", "usubjid", "visit", "tube_id", "role"]):
        for reduced in (samples.assign(**{column: None}), samples.drop(columns=column)):
            assert passed(pp.verdict(adata, tubes, reduced, **options)) <= passed(before), column
    assert passed(pp.verdict(adata, tubes, None, **options)) <= passed(before)


def test_compensation_of_files() -> None:
    adata = visits_object()
    tubes = tube_counts(adata)
    files = tubes[["usubjid", "visit", "tube", "sample_id"]].drop_duplicates().assign(flow_pct_time=0.0)
    sources = ["keyword", "file lab.csv", "controls (median)", "none", "compensated", None, "keyword", "keyword"]
    files = files.assign(comp_source=sources)
    found = pp.file_findings(files, ("count", "treg"), samples_table(tubes))
    mine = found[found["check"] == "compensation"].set_index("sample_id").loc[files["sample_id"], "state"]
    assert mine.tolist() == ["PASS", "PASS", "PASS", "WARN", "WARN", "NOT_EVALUABLE", "PASS", "PASS"]


def quality_rows(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Rows (tube, check, state) of one visit."""
    table = pd.DataFrame(rows, columns=["tube", "check", "state"]).assign(usubjid="S1", visit="D14", flag="", value=1.0)
    return table.reindex(columns=list(QUALITY_COLUMNS)).fillna({"sample_id": "", "unit": "", "limits": ""})


def test_status_of_a_tube_is_the_worst_check_that_judges_it() -> None:
    quality = quality_rows(
        ("count", "singlets", "PASS"), ("count", "nk_without_monocytes", "NOT_EVALUABLE"),
        ("treg", "singlets", "PASS"), ("treg", "time_loss", "NOT_EVALUABLE"),
        ("effector", "singlets", "WARN"), ("effector", "time_loss", "NOT_EVALUABLE"),
        ("spare", "singlets", "WARN"), ("spare", "viability_fresh", "FAIL"),
        ("bare", "nk_without_monocytes", "NOT_EVALUABLE"),
        ("", "abs_sum", "FAIL"),
    )  # fmt: skip
    # What the panel rules out judges nothing; what should have been possible and was not is no pass.
    assert {tube: state for (_, _, tube), state in tube_states(quality).items()} == {
        "count": "PASS",
        "treg": "NOT_EVALUABLE",
        "effector": "WARN",
        "spare": "FAIL",
        "bare": "NOT_EVALUABLE",
    }


def test_what_the_panel_rules_out_changes_no_value_that_enters() -> None:
    adata, quality = judged()
    pp.summarise(adata, quality)
    without = {name: failed_rows(adata, name).tolist() for name in adata.var_names}
    status = list(adata.obs["qc_status"])
    rows = quality_rows(("count", "nk_without_monocytes", "NOT_EVALUABLE")).assign(flag="NK_NO_CD14")
    pp.summarise(adata, pd.concat([quality, rows], ignore_index=True))
    assert {name: failed_rows(adata, name).tolist() for name in adata.var_names} == without
    assert list(adata.obs["qc_status"]) == status
    flagged = adata.obs.loc[(adata.obs["usubjid"] == "S1") & (adata.obs["visit"] == "D14"), "flags"]
    assert "NK_NO_CD14" in flagged.iloc[0].split()


def test_a_tube_may_have_its_own_time_to_staining() -> None:
    adata, tubes = whole_blood()
    samples = samples_table(tubes).assign(collected_dtc="2024-03-01T08:00", stained_dtc="2024-03-01T13:00")
    first, second = sorted(tubes["tube"].unique())
    for hours, expected in ((4, "WARN"), (5, "PASS")):
        own = {first: {"collection_to_stain": {"pass": [0, hours]}}}
        table = pp.verdict(adata, tubes, samples, tube_limits=own)
        found = table[table["check"] == "collection_to_stain"]
        states_of = found.groupby("tube")["state"].unique().map(list).to_dict()
        assert states_of == {first: [expected], second: ["PASS"]}
        assert found.loc[found["tube"] == first, "limits"].str.startswith(f"pass 0 to {hours}").all()
