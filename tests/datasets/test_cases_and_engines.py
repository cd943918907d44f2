"""The engines of eligibility, virology and safety say of the clinical cases what the hidden truth expects of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import immunoprofile as ip
from immunoprofile import clinical, virology
from immunoprofile.datasets import cases, il2_cmv

SEEDS = (2020, 1, 7)
Said = Callable[[str, str, str], str]


@pytest.fixture(scope="module", params=SEEDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return il2_cmv(tmp_path_factory.mktemp("engines") / "study", events=200, seed=request.param)


@pytest.fixture(scope="module")
def truth(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder.with_name("study-truth") / "cases.csv", dtype=str)


@pytest.fixture(scope="module")
def said(folder: Path) -> Said:
    """What the engines say of (table, rule, subject)."""
    study = ip.read_study(folder, require_files=False)
    verdicts = clinical.eligibility(study)
    safety = clinical.safety(study)
    rules = virology.rules(study, adequacy=safety.adequacy).set_index(["usubjid", "rule_id"])["result"]
    criteria = verdicts.criteria.set_index(["usubjid", "criterion"])["state"]
    overall = verdicts.overall.set_index("usubjid")["state"]
    worst = safety.worst.set_index(["usubjid", "term"])["worst_grade"]
    flags = set(zip(safety.flags["usubjid"], safety.flags["flag"], strict=True))

    def say(table: str, rule: str, usubjid: str) -> str:
        if table == "eligibility":
            return str(overall[usubjid] if rule == "overall" else criteria[usubjid, rule])
        if table == "virology_rules":
            return str(rules[usubjid, rule])
        if table == "safety":
            return str(worst[usubjid, rule])
        assert table == "flags"
        return "TRUE" if (usubjid, rule) in flags else "FALSE"

    return say


def test_engines_find_every_case(truth: pd.DataFrame, said: Said) -> None:
    found = [said(row.table, row.rule, row.usubjid) for row in truth.itertuples()]
    assert found == truth["expected"].tolist(), truth.assign(found=found)[truth["expected"] != found]


@pytest.mark.parametrize(
    ("case", "table", "rule", "state"),
    [
        (cases.INDETERMINATE, "eligibility", "overall", "INDETERMINATE"),
        (cases.INELIGIBLE, "eligibility", "overall", "INELIGIBLE"),
        (cases.REFRACTORY, "virology_rules", "refractory_2019", "TRUE"),
        (cases.LATE_ONSET, "virology_rules", "late_onset", "TRUE"),
        (cases.UNDERDOSED, "flags", "GCV_UNDERDOSED", "TRUE"),
        (cases.REBOUND, "flags", "STEROID_PULSE", "TRUE"),
    ],
)
def test_nobody_else_is_that_case(
    folder: Path, truth: pd.DataFrame, said: Said, case: str, table: str, rule: str, state: str
) -> None:
    subjects = pd.read_csv(folder / "subjects.csv")["usubjid"]
    assert {one for one in subjects if said(table, rule, one) == state} == set(
        truth.loc[truth["case"] == case, "usubjid"]
    )


def test_everybody_without_a_case_of_eligibility_is_eligible(folder: Path, truth: pd.DataFrame) -> None:
    study = ip.read_study(folder, require_files=False)
    excluded = set(truth.loc[truth["table"] == "eligibility", "usubjid"])
    for profile in ("seed", "registry"):
        overall = clinical.eligibility(study, profile=profile).overall.set_index("usubjid")["state"]
        assert set(overall[~overall.index.isin(excluded)]) == {"ELIGIBLE"}
        assert (overall != "ELIGIBLE").sum() == len(excluded) == 2
