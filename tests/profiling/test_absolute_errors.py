"""What study.yaml says of pipetting, beads and blood count is what the intervals of a run hold."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile.errors import StudyError
from immunoprofile.pp.concentration import CV_BEADS, CV_BLOOD_COUNT, CV_PIPETTING

SAID = "absolute_counts:\n  cv_pipetting: 0.03\n  cv_beads: 0.02\n  cv_blood_count: 0.05\n"


def study_with(demo: Path, out: Path, text: str) -> ip.Study:
    shutil.copytree(demo, out)
    path = out / "study.yaml"
    content = path.read_text(encoding="utf-8")
    assert SAID in content
    path.write_text(content.replace(SAID, text), encoding="utf-8")
    return ip.read_study(out)


def errors_of(profile: ip.Profile) -> np.ndarray:
    return np.asarray(profile.visits.layers["abs_cv"], dtype=float)


def test_the_errors_of_the_study_stand_in_the_intervals(tmp_path: Path) -> None:
    gates = ip.gate.load(ip.gate.shipped_folder())
    demo = ip.datasets.il2_cmv(tmp_path / "demo", subjects=2, visits=2, events=8000, warts=False)
    said = ip.read_study(demo).config.absolute_counts.said
    package = {"cv_pipetting": CV_PIPETTING, "cv_beads": CV_BEADS, "cv_blood_count": CV_BLOOD_COUNT}
    assert said == package  # the synthetic study says what is in force without the key
    without, wide = (
        ip.profile(study_with(demo, tmp_path / name, text), gates, out=tmp_path / f"{name}-results")
        for name, text in (("without", ""), ("wide", "absolute_counts: {cv_pipetting: 0.08, cv_beads: 0.0}\n"))
    )
    beads = (without.visits.obs["abs_method"] == "bead").to_numpy()
    assert beads.any()
    t = without.visits.var_names.get_loc("t")
    for row in np.flatnonzero(beads):
        n = without.visits.layers["counts"][row, t]
        counting = 1 / n + 1 / without.visits.obs["n_beads"].iloc[row]
        assert errors_of(without)[row, t] == pytest.approx(100 * math.sqrt(counting + 0.03**2 + 0.02**2), rel=1e-9)
        assert errors_of(wide)[row, t] == pytest.approx(100 * math.sqrt(counting + 0.08**2), rel=1e-9)
    np.testing.assert_array_equal(without.visits.layers["abs"], wide.visits.layers["abs"])  # the values stay


@pytest.mark.parametrize("text", ["cv_pipetting: -0.1", "cv_beads: 1.5", "cv_bead: 0.02"])
def test_what_cannot_be_is_refused_by_name(repository: Path, tmp_path: Path, text: str) -> None:
    shutil.copytree(repository / "data" / "demo", tmp_path / "study")
    path = tmp_path / "study" / "study.yaml"
    content = path.read_text(encoding="utf-8").replace(SAID, f"absolute_counts: {{{text}}}\n")
    path.write_text(content, encoding="utf-8")
    with pytest.raises(StudyError, match=f"absolute_counts.{text.partition(':')[0]}"):
        ip.read_study(tmp_path / "study")
