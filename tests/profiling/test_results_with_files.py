"""`read_results(folder, study=...)`: cells and gated files of a run that is over, without a second run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import immunoprofile as ip
from immunoprofile.errors import NotAvailableError, ResultsError
from tests.small_study import TABLES, write_gates, write_study


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_study(folder / "study")
    write_gates(folder / "study" / "gating")
    study = ip.read_study(folder / "study")
    ip.profile(study, ip.gate.load(folder / "study" / "gating"), out=folder / "results")
    ip.profile(study, ip.gate.load(folder / "study" / "gating"), out=folder / "with-cells", cells=True)
    return folder


@pytest.mark.parametrize("given", [str, Path, ip.read_study])
def test_files_and_cells_are_those_of_the_run(ran: Path, given: type) -> None:
    found = ip.read_results(ran / "results", study=given(ran / "study"))
    for sample in ("S-1_BL", "S-1_D14", "S-2_BL"):
        gated = found.gated(sample)
        counts = found.counts[found.counts["sample_id"] == sample].set_index("population")["n"]
        assert {name: gated.n(name) for name in counts.index} == counts.to_dict()
    cells = found.cells("t", per_visit=200, seed=3)
    # The oracle is a run that stored every cell of every file.
    stored = ip.read_results(ran / "with-cells").cells("t", per_visit=200, seed=3)
    assert list(cells.obs_names) == list(stored.obs_names) and cells.n_obs == 600
    for layer in ("raw", "comp"):
        np.testing.assert_allclose(cells.layers[layer], stored.layers[layer], rtol=1e-6)
    np.testing.assert_allclose(cells.X, stored.X, rtol=1e-6)
    assert cells.obs["gate_t"].all()


def test_tables_are_those_of_the_run_whatever_the_study_says_now(ran: Path, tmp_path: Path) -> None:
    moved = tmp_path / "study"
    shutil.copytree(ran / "study", moved)
    text = TABLES["subjects"].replace("S-1,A,", "S-1,B,")
    (moved / "subjects.csv").write_text(text, encoding="utf-8")
    found = ip.read_results(ran / "results", study=moved)
    arms = found.study.subjects.set_index("usubjid")["arm"].astype(str).to_dict()
    assert arms == {"S-1": "A", "S-2": "B"}
    assert set(found.cells("t", per_visit=10).obs["arm"]) == {"A", "B"}


def test_without_files_the_error_says_how_to_have_them(ran: Path) -> None:
    bare = ip.read_results(ran / "results")
    for ask in (lambda: bare.gated("S-1_BL"), lambda: bare.cells("t")):
        with pytest.raises(NotAvailableError, match=r"read_results\(folder, study=\.\.\.\)"):
            ask()


def test_files_that_are_missing_or_others_are_named(ran: Path, tmp_path: Path) -> None:
    moved = tmp_path / "study"
    shutil.copytree(ran / "study", moved)
    shutil.copy(moved / "fcs" / "S-1_BL.fcs", moved / "fcs" / "S-1_D14.fcs")
    found = ip.read_results(ran / "results", study=moved)
    assert found.gated("S-1_BL").n("t") > 0
    with pytest.raises(ResultsError, match=r"S-1_D14\.fcs: the file is not the one that was gated"):
        found.gated("S-1_D14")
    (moved / "fcs" / "S-2_BL.fcs").unlink()
    with pytest.raises(ResultsError, match=r"1 FCS files of the results are not in the study \(S-2_BL\)"):
        ip.read_results(ran / "results", study=moved)
