"""The plan of analyses in study.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from immunoprofile.errors import StudyError
from immunoprofile.io.analysis_plan import Analysis, AnalysisFamily, AnalysisPlan, FunctionalEndpoint, VirologyEndpoint
from immunoprofile.io.config import StudyConfig, read_config, write_config

STUDY = """
study_id: X
title: plan
arms: [{code: A, label: A}, {code: B, label: B}]
reference_arm: A
visits: [{visit: BL, visitnum: 1, day: 1, baseline: true}, {visit: D14, visitnum: 2, day: 14}]
primary_visit: D14
endpoints: [{population: treg, primary: true}, {population: nk, measure: abs, key: true}]
tubes: {count: {panel: p, gates: count}}
"""
PLAN = """
functional_endpoints: [{readout: nk_cd107a, key: true}]
virology_endpoints: [{rule: clearance_2, kind: time_to_event, primary: true}]
plan:
  families: [{name: F1, correction: Holm}]
  windows: {D14: [12, 17]}
  analyses:
    - {key: compare, method: S3, role: primary, family: F1, visits: [D14], options: {covariance: HC3}}
    - {key: without_warnings, method: S3, role: sensitivity, leave_out: [qc_warn]}
    - {key: clearance, method: S13, rule: clearance_2, options: {permutations: 99, confidence: 0.9}}
"""


def read(folder: Path, text: str) -> StudyConfig:
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return read_config(folder)


def test_a_plan_is_read_and_written_back(tmp_path: Path) -> None:
    config = read(tmp_path, STUDY + PLAN)
    assert config.functional_endpoints == (FunctionalEndpoint(readout="nk_cd107a", key=True),)
    assert config.virology_endpoints == (VirologyEndpoint(rule="clearance_2", kind="time_to_event", primary=True),)
    assert config.plan is not None
    assert config.plan.families == (AnalysisFamily(name="F1", correction="Holm"),)
    assert config.plan.windows == {"D14": (12, 17)}
    assert config.plan.analyses[2] == Analysis(key="clearance", method="S13", rule="clearance_2",
                                               options={"permutations": 99, "confidence": 0.9})  # fmt: skip
    (tmp_path / "again").mkdir()
    write_config(config, tmp_path / "again")
    assert read_config(tmp_path / "again") == config
    assert AnalysisPlan.model_validate_json(config.plan.model_dump_json()) == config.plan


def test_a_study_without_a_plan_is_as_before(tmp_path: Path) -> None:
    config = read(tmp_path, STUDY)
    assert config.plan is None
    assert "plan" not in yaml.safe_load(write_config(config, tmp_path).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("family: F1", "family: F9", "family 'F9' is not declared"),
        ("visits: [D14], options", "visits: [D99], options", "plan.compare: 'D99' is not a visit"),
        ("[12, 17]", "[17, 12]", "first day 17 is after the last day 12"),
        ("windows: {D14", "windows: {D15", "plan.windows: 'D15' is not a visit"),
        ("key: without_warnings", "key: compare", "key 'compare' stands twice"),
        ("role: sensitivity", "role: sensitivity, family: F1", "has no family"),
        ("method: S13", "method: S99", "Input should be"),
        ("leave_out: [qc_warn]", "leave_out: [bad_luck]", "Input should be"),
        ("nk_cd107a, key: true", "nk_cd107a, key: true}, {readout: b, key: true", "at most 3 may be primary or key"),
        ("nk_cd107a, key", "nk_cd107a, primary", "only one may be primary"),
    ],
)
def test_contradictions_are_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in STUDY + PLAN
    with pytest.raises(StudyError) as caught:
        read(tmp_path, (STUDY + PLAN).replace(old, new))
    assert words in str(caught.value)
