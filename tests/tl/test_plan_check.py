"""What a plan names must exist before the first file is gated."""

from __future__ import annotations

from pathlib import Path

import pytest

from immunoprofile import gate, read_study
from immunoprofile.errors import StudyError
from immunoprofile.tl import check_plan
from tests.small_study import STUDY_YAML, write_gates, write_study

PLAN = """
functional_endpoints: [{readout: nk_killing}]
virology_endpoints: [{rule: clearance_7, kind: time_to_event}]
plan:
  families: [{name: F1, correction: Holm}]
  analyses:
    - {key: compare, method: S3, role: primary, family: F1, endpoints: [tt]}
    - {key: readout, method: S3, endpoints: [lysis], measure: functional}
    - {key: clear, method: S13, rule: clearance_8}
    - {key: consensus, method: S18, rule: refractory_2024}
    - {key: robust, method: S3, role: sensitivity, options: {covarience: HC3}}
"""
SOUND = """
plan:
  families: [{name: F1, correction: Holm}]
  windows: {D14: [12, 17]}
  analyses:
    - {key: compare, method: S3, role: primary, family: F1, endpoints: [t, nk]}
    - {key: everything, method: S3, endpoints: [all]}
    - {key: clear, method: S13, rule: clearance_2, options: {permutations: 99}}
"""


def check(folder: Path, plan: str) -> None:
    study = read_study(write_study(folder / "study", config=STUDY_YAML + plan))
    check_plan(study, gate.load(write_gates(folder / "gates")))


def test_everything_unknown_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as refused:
        check(tmp_path, PLAN)
    told = [str(problem) for problem in refused.value.problems]
    assert len(told) == 7
    for words in (
        "functional_endpoints: there is no such functional readout (found 'nk_killing'); allowed: none in this study",
        "virology_endpoints: there is no such CMV rule (found 'clearance_7')",
        "plan.compare.endpoints: there is no such population (found 'tt'); allowed: lymphocytes, nk, t",
        "plan.readout.endpoints: there is no such functional readout (found 'lysis')",
        "plan.clear.rule: there is no such CMV rule (found 'clearance_8')",
        "plan.consensus.rule: there is no rule for this definition yet: the consensus of 2024",
        "plan.robust: compare takes no covarience; it takes: confidence, covariance, ",
    ):
        assert sum(words in line for line in told) == 1, words


def test_a_sound_plan_passes(tmp_path: Path) -> None:
    check(tmp_path, SOUND)
