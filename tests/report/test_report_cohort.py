from __future__ import annotations

import re
from typing import Any

import pytest

from immunoprofile import report
from immunoprofile.report.content import Table
from immunoprofile.report.source import Source
from immunoprofile.report.statistics_tables import effects
from immunoprofile.report.write import build_cohort


@pytest.fixture(scope="module")
def page(profile: Any) -> str:
    return report.cohort(profile).html


def test_sections_stand_in_the_order_that_matters(page: str) -> None:
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", page) == [
        "Synopsis", "Disposition", "Eligibility", "Baseline", "Completeness and quality", "Immune change", "CMV-DNA",
        "Association with CMV-DNA", "Safety", "Sensitivity", "Exceptions", "Change within each arm", "Limits", "Review",
        "Methods", "Provenance",
    ]  # fmt: skip
    assert page.count("<img") == 5


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
    rows = dict(build_cohort(Source(profile)).baseline)
    for cell in rows["Women"]:
        shown = re.match(r"(\d+) of (\d+)", cell)
        assert shown is None or min(int(shown[1]), int(shown[2]) - int(shown[1])) not in (1, 2)


def test_disposition_counts_by_hand(profile: Any) -> None:
    rows = dict(build_cohort(Source(profile)).disposition)
    assert rows["In the study"] == ("5 of 5 subjects", "5 of 5 subjects")
    assert rows["Received IL-2"] == ("0 of 5 subjects", "5 of 5 subjects")
    assert rows["Flow visits measured"] == ("25 of 25 visits", "24 of 25 visits")
    assert rows["Flow visits that did not take place"] == ("0 visits", "1 visits")


def test_every_exception_is_listed(profile: Any, page: str) -> None:
    for code in profile.exceptions["code"]:
        assert f"<code>{code}</code>" in page


def test_baseline_has_units_and_no_p(profile: Any) -> None:
    for label, cells in build_cohort(Source(profile)).baseline:
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
