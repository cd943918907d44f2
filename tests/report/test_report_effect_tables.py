"""Tables of effects: what all rows say stands once, and nothing that differs is lost."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from immunoprofile import schema
from immunoprofile.report.content import Table
from immunoprofile.report.effect_tables import contrast_words, effect_table
from immunoprofile.report.statistics_tables import effects

LABELS = {"A": "Active", "B": "Control"}
ROW: dict[str, Any] = dict.fromkeys(schema.STATISTIC_COLUMNS, math.nan) | {
    "method_id": "S3", "method": "ANCOVA", "population": "treg", "measure": "pct_parent",
    "contrast": "A - B, D14 - BL", "visit": "D14", "arm": "A", "effect_kind": "odds ratio", "effect": 2.0,
    "effect_lower": 1.2, "effect_upper": 3.1, "p_value": 0.01, "conf_level": 0.95, "n": 5, "n_reference": 4,
    "median_baseline": 4.5, "median_visit": 8.94, "median_baseline_reference": 4.61, "median_visit_reference": 1234.0,
    "note": "residual df 7", "exclusions": "",
}  # fmt: skip


def made(*changes: dict[str, Any]) -> Table:
    return effect_table("Title", effects(pd.DataFrame([ROW | change for change in changes]), {"treg": "Treg"}), LABELS)


def heads(table: Table) -> list[str]:
    return [column.head for column in table.columns]


def test_what_is_the_same_stands_once_in_the_caption() -> None:
    table = made({}, {"population": "nk", "exclusions": "1 without a usable value"})
    assert heads(table) == ["Endpoint", "n", "Median, arm", "Median, reference", "Odds ratio", "95 % interval", "p",
                            "Reading", "Remark"]  # fmt: skip
    assert [cell.words for cell in table.rows[0]] == ["Treg", "5 vs 4", "4.5 → 8.94", "4.61 → 1,234", "2.00",
                                                      "1.20 to 3.10", "0.010", "higher", ""]  # fmt: skip
    assert table.rows[1][-1].words == "1 without a usable value"
    for words in ("Measure: % of parent.", "Arms: Active against Control.", "Contrast: change from BL to D14.",
                  "Method: S3: ANCOVA.", "residual df 7."):  # fmt: skip
        assert words in table.caption


def test_what_differs_is_a_column() -> None:
    nan = math.nan
    table = made(
        {},
        {"contrast": "A - B, D28 - BL", "visit": "D28", "effect_kind": "fold change", "measure": "abs"},
        {"method_id": "S5", "method": "MMRM", "effect": nan, "effect_lower": nan, "effect_upper": nan, "p_value": nan},
        {"effect_lower": 0.9, "conf_level": 0.9375, "p_adjusted": 0.2, "adjusted": "Holm", "family": "F1"},
    )
    assert heads(table) == ["Endpoint", "Contrast", "Method", "n", "Median, arm", "Median, reference", "Effect",
                            "Estimate", "Interval", "p", "p adjusted", "Reading"]  # fmt: skip
    column = dict(zip(heads(table), zip(*table.rows, strict=True), strict=True))
    assert [cell.words for cell in column["Endpoint"]] == [
        "Treg, % of parent", "Treg, cells/µL", "Treg, % of parent", "Treg, % of parent"
    ]  # fmt: skip
    assert [cell.words for cell in column["Interval"]] == [
        "1.20 to 3.10 (95 %)", "1.20 to 3.10 (95 %)", "none", "0.90 to 3.10 (93.75 %)"
    ]  # fmt: skip
    assert [cell.words for cell in column["Reading"]] == [
        "higher", "higher", "not estimated", "cannot conclude"
    ]  # fmt: skip
    assert [cell.words for cell in column["Method"]] == ["S3", "S3", "S5", "S3"]
    assert "S3: ANCOVA; S5: MMRM." in table.caption
    assert "p adjusted: Holm within F1 (declared endpoints)." in table.caption


def test_arms_of_a_change_inside_an_arm_are_told_apart() -> None:
    change = {"contrast": "D14 - BL", "n_reference": math.nan, "median_baseline_reference": math.nan}
    table = made(change, change | {"arm": "B"})
    assert heads(table)[0] == "Arms"
    assert [row[0].words for row in table.rows] == ["Active", "Control"]
    assert "Endpoint: Treg, % of parent." in table.caption


def test_ratios_of_time_and_hazard_name_their_direction() -> None:
    def reading(kind: str, effect: float) -> str:
        row = ROW | {"effect_kind": kind, "effect": effect, "effect_lower": effect - 0.1, "effect_upper": effect + 0.1}
        exact = row | {"method": schema.PERMUTATION_METHOD, "effect_lower": math.nan, "effect_upper": math.nan}
        found = effects(pd.DataFrame([row, exact]), {})
        assert found[1].conclusion == "test without an interval"
        return found[0].conclusion

    assert [reading("time ratio", x) for x in (0.5, 2.0)] == ["earlier", "later"]
    assert [reading("hazard ratio per doubling", x) for x in (0.5, 2.0)] == ["later", "earlier"]
    assert [reading("odds ratio", x) for x in (0.5, 2.0)] == ["lower", "higher"]


def test_few_subjects_and_the_permutation_test_withhold_a_conclusion() -> None:
    few = effects(pd.DataFrame([ROW, ROW | {"n_reference": 2}]), {})
    assert [one.conclusion for one in few] == ["higher", "cannot conclude (fewer than 3 subjects)"]
    ratio = ROW | {"effect_kind": "time ratio"}
    for p_value, reading in ((0.04, "later"), (0.06, "cannot conclude (permutation test)")):
        test = ROW | {"method": schema.PERMUTATION_METHOD, "p_value": p_value}
        assert effects(pd.DataFrame([ratio, test]), {})[0].conclusion == reading
    assert effects(pd.DataFrame([ratio]), {})[0].conclusion == "cannot conclude (permutation test)"


def test_small_ratios_are_not_printed_as_nothing() -> None:
    row = ROW | {"effect": 0.0384, "effect_lower": 0.00085, "effect_upper": 1.7}
    one = effects(pd.DataFrame([row]), {})[0]
    assert (one.effect, one.interval) == ("0.038", "0.00085 to 1.70")


def test_contrast_of_no_arm_stays_as_it_is() -> None:
    one = effects(pd.DataFrame([ROW | {"contrast": "within subjects", "arm": "all"}]), {})[0]
    assert contrast_words(one, LABELS) == ("", "within subjects")
