from __future__ import annotations

import copy
import math
import re
from typing import Any

import pandas as pd
import pytest

from immunoprofile import report
from immunoprofile.io.analysis_plan import FunctionalEndpoint
from immunoprofile.report import cohort_tables
from immunoprofile.report.cohort_figures import endpoint_courses, strategy_examples
from immunoprofile.report.cohort_model import build_cohort
from immunoprofile.report.cohort_view import CohortView
from immunoprofile.report.content import Block, Table
from immunoprofile.report.drawing import pictures
from immunoprofile.report.source import Source
from immunoprofile.report.statistics_tables import effects
from immunoprofile.report.synopsis import synopsis


def by_group(blocks: tuple[Block, ...]) -> dict[str, tuple[str, ...]]:
    """First word of each row of the table among the blocks -> the others."""
    (table,) = [block for block in blocks if isinstance(block, Table)]
    words = [[cell.words for cell in row if cell is not None] for row in table.rows]
    return {label: tuple(cells) for label, *cells in words}


@pytest.fixture(scope="module")
def page(profile: Any) -> str:
    return report.cohort(profile).html


def test_sections_stand_in_the_order_that_matters(page: str) -> None:
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", page) == [
        "Synopsis", "Disposition", "Subjects and visits", "Eligibility", "Baseline", "Completeness and quality",
        "Controls and precision", "Immune change", "CMV-DNA",
        "Association with CMV-DNA", "Safety", "Sensitivity", "Exceptions", "Change within each arm", "Limits", "Review",
        "Gating strategy", "Methods", "Glossary", "Provenance",
    ]  # fmt: skip
    assert page.count("<img") == 8  # five of statistics, one of each tube


def test_an_interval_over_the_null_cannot_conclude(profile: Any) -> None:
    rows = {row.population: row for row in effects(profile.visits.uns["compare"], {})}
    assert rows["treg"].conclusion == "higher"
    assert rows["nk"].conclusion == "cannot conclude"
    assert rows["nk_bright"].conclusion == "not estimated"
    assert rows["nk"].n == "5 vs 4"
    # The null of a correlation is 0, that of a ratio 1.
    assert effects(profile.visits.uns["associate"], {})[0].conclusion == "cannot conclude"


def test_small_arms_are_warned_about(page: str) -> None:
    assert "cannot reach p &lt; 0.05" in page
    assert "regression to the mean" in page


def test_small_groups_are_not_shown(profile: Any) -> None:
    rows = by_group(cohort_tables.baseline(CohortView(Source(profile))))
    for cell in rows["Women"]:
        shown = re.match(r"(\d+) of (\d+)", cell)
        assert shown is None or min(int(shown[1]), int(shown[2]) - int(shown[1])) not in (1, 2)


def test_disposition_counts_by_hand(profile: Any) -> None:
    rows = by_group(cohort_tables.disposition(CohortView(Source(profile))))
    assert rows["In the study"] == ("5 of 5 subjects", "5 of 5 subjects")
    assert rows["Received IL-2"] == ("0 of 5 subjects", "5 of 5 subjects")
    assert rows["Flow visits measured"] == ("25 of 25 visits", "24 of 25 visits")
    assert rows["Flow visits that did not take place"] == ("0 visits", "1 visits")


def test_every_exception_is_listed(profile: Any, page: str) -> None:
    for code in profile.exceptions["code"]:
        assert f"<code>{code}</code>" in page


def test_baseline_has_units_and_no_p(profile: Any) -> None:
    for label, cells in by_group(cohort_tables.baseline(CohortView(Source(profile)))).items():
        assert all(re.search(r"(y|%|cells/µL|log10|subjects|not shown)", cell) for cell in cells), label


def test_cmv_change_keeps_bounds(profile: Any) -> None:
    import copy

    import pandas as pd

    other = copy.copy(profile)
    other.visits = profile.visits.copy()
    nan = float("nan")
    other.visits.uns["cmv_change"] = pd.DataFrame(
        {
            "usubjid": ["a", "b"],
            "arm": ["GCV", "GCV"],
            "visit": ["D14", "D7"],
            "population": ["treg", "treg"],
            "measure": ["pct_parent", "pct_parent"],
            "baseline": [5.0, 5.0],
            "value": [10.0, 10.0],
            "fold_change": [2.0, 2.0],
            "cmv_kind": ["BLQ", "BLQ"],
            "cmv_drop": [nan, nan],
            "cmv_drop_lower": [0.8633, 0.1],
            "cmv_drop_upper": [nan, nan],
        }
    )

    def shown(*, blinded: bool) -> list[Table]:
        blocks = [block for part in build_cohort(Source(other, blinded)).parts for block in part.blocks]
        return [one for one in blocks if isinstance(one, Table) and one.title == "Immune change beside CMV-DNA"]

    (table,) = shown(blinded=False)
    assert [column.head for column in table.columns[2:]] == ["Regulatory T cells, % of CD4+ T cells", "CMV-DNA kind",
                                                             "Fall, log10"]  # fmt: skip
    assert [[cell.words for cell in row] for row in table.rows] == [["a", "Ganciclovir", "×2.00", "BLQ", "≥0.86"]]
    assert shown(blinded=True) == []


@pytest.fixture
def with_readout(profile: Any) -> Any:
    other = copy.copy(profile)
    other.visits = profile.visits.copy()
    values = pd.DataFrame({"nk_cd107a": range(other.visits.n_obs)}, index=other.visits.obs_names, dtype=float)
    values.iloc[3] = math.nan
    other.visits.obsm["functional"] = values
    other.visits.uns["functional_readouts"] = pd.DataFrame(
        [("nk_cd107a", "CD107a of nk", "nk", "degranulation", "K562", "CD107a", "% of NK")],
        columns=["id", "display", "population", "assay", "stimulus", "readout", "unit"],
    )
    row = profile.visits.uns["compare"].iloc[[0]].assign(population="nk_cd107a", measure="functional")
    other.visits.uns["compare_functional"] = row
    other.study = copy.copy(profile.study)
    endpoints = (FunctionalEndpoint(readout="nk_cd107a", label="NK degranulation"), FunctionalEndpoint(readout="other"))
    other.study.config = profile.study.config.model_copy(update={"functional_endpoints": endpoints})
    return other


@pytest.mark.parametrize("blinded", [False, True])
def test_a_declared_readout_has_a_panel_beside_the_populations(with_readout: Any, blinded: bool) -> None:
    found = endpoint_courses(CohortView(Source(with_readout, blinded)))
    assert [(kind, group[0].display) for kind, group in found][-1] == ("functional", "NK degranulation")
    assert len(found) == 4
    group = found[-1][1]
    assert {one.unit for one in group} == {"% of NK"}
    assert {one.arm for one in group} == ({""} if blinded else {"GCV", "IL2_GCV"})
    values = with_readout.visits.obsm["functional"]["nk_cd107a"]
    for one in group:
        expected = [values[f"{one.subject}_{visit}"] for visit in one.visits]
        assert [None if math.isnan(value) else value for value in one.values] == [
            None if math.isnan(value) else value for value in expected
        ]
    assert pictures(build_cohort(Source(with_readout, blinded)))["trajectories"].source


def test_the_forest_holds_the_declared_readout_too(with_readout: Any) -> None:
    alt = pictures(build_cohort(Source(with_readout)))["forest"].alt
    assert "NK degranulation, D14" in alt
    assert "Treg" in alt or "Regulatory T cells" in alt


@pytest.mark.parametrize("blinded", [False, True])
def test_gating_strategy_of_every_tube_says_whose_file_it_is(profile: Any, blinded: bool) -> None:
    drawn = pictures(build_cohort(Source(profile, blinded)))
    first = profile.study.subjects["usubjid"].iloc[0]
    for tube in ("count", "treg", "effector"):
        alt = drawn[f"gating_{tube}"].alt
        assert alt.startswith(f"Example: tube {tube}, baseline (BL) of {'one subject' if blinded else first}. ")
        assert (first in alt) is not blinded
    assert "CD4+ T cells (n = 2,640), CD25 by CD127: Regulatory T cells" in drawn["gating_treg"].alt
    treg = next(one for one in strategy_examples(CohortView(Source(profile, blinded))) if one.tube == "treg")
    counts = profile.counts[profile.counts["sample_id"].str.contains("-BL-treg")]
    own = counts[counts["population"] == "treg"].iloc[0]
    assert treg.nodes[0].percentages["treg"] == own["pct_parent"]


def test_a_failed_file_is_no_example(profile: Any) -> None:
    other = copy.copy(profile)
    other.quality = profile.quality.copy()
    subjects = profile.study.subjects["usubjid"].tolist()
    place = (other.quality["usubjid"] == subjects[0]) & (other.quality["visit"] == "BL")
    other.quality.loc[place & (other.quality["tube"] == "treg"), "state"] = "FAIL"
    words = {one.tube: one.words for one in strategy_examples(CohortView(Source(other)))}
    assert words["treg"].endswith(f"{subjects[1]}.")
    assert words["count"].endswith(f"{subjects[0]}.")
    other.rasters = lambda sample_id: ()
    assert strategy_examples(CohortView(Source(other))) == ()


def test_the_synopsis_says_that_foxp3_was_not_stained_where_it_was_not(profile: Any) -> None:
    """An analysis that is missing or refused is no stain that is missing."""

    def said(shown: Any) -> str:
        view = CohortView(Source(shown))
        (table,) = [one for one in synopsis(view) if isinstance(one, Table)]
        (words,) = {row[-1].words for row in table.rows if row[0].words.startswith("Did Regulatory T cells move")}
        return words

    stained, plain = copy.copy(profile), copy.copy(profile)
    stained.visits = profile.visits.copy()
    stained.visits.uns = {name: one for name, one in profile.visits.uns.items() if name != "compare_all_pct"}
    assert "treg_foxp3" in stained.visits.var_names
    assert "was not stained" not in said(stained)
    assert said(stained).endswith("share of the gate that is FoxP3+, between arms: not estimated")
    plain.visits = stained.visits[:, [name for name in profile.visits.var_names if "foxp3" not in name]].copy()
    assert said(plain) == "a CD25 shift cannot be excluded: FoxP3 was not stained"
